/* SPDX-License-Identifier: GPL-2.0-or-later */
#define G_LOG_DOMAIN "qfilexchgd"
#include "store_xs.h"

#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "dispvm_record.h"
#include "qpen_contract.h"
#include "qpen_words.h"
#include "record.h"

/* Finished replies that stay readable for each VM, as docs/PROTOCOL.md promises. */
#define REPLIES_KEPT 16u

/* A VM's mailbox. */
struct mailbox {
	struct store_xs *store;
	uint32_t domid;
	unsigned watch;
	GQueue finished; /* IDs with a final reply, oldest first; owned */
	/* The request that was read and not answered or recorded yet: how it begins, its length. */
	char taken[QPEN_REQUEST_MAX + 1];
	size_t taken_len; /* 0: none */
};

struct store_xs {
	struct xs_conn *c;
	const struct port_events *events;
	GHashTable *mailboxes; /* domid -> struct mailbox */
	unsigned introduce_watch, release_watch;
};

static void domain_path(char out[XS_PATH_MAX], uint32_t domid, const char *key)
{
	g_snprintf(out, XS_PATH_MAX, "/local/domain/%" PRIu32 "/%s", domid, key);
}

static void free_mailbox(gpointer data)
{
	struct mailbox *m = data;

	xs_conn_unwatch(m->store->c, m->watch);
	g_queue_clear_full(&m->finished, g_free);
	g_free(m);
}

/* ---- the VMs ---- */

static void on_domains(void *ctx, uint32_t unused)
{
	struct store_xs *s = ctx;

	(void)unused;
	s->events->domains_changed(s->events->ctx);
}

static int list_domains(void *ctx, uint32_t **domids, size_t *n)
{
	struct store_xs *s = ctx;
	g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	char **names;
	unsigned n_names;
	int rc = xs_list(s->c, XBT_NULL, "/local/domain", &names, &n_names);

	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < n_names; i++) {
		guint64 domid;

		if (g_ascii_string_to_unsigned(names[i], 10, 1, UINT32_MAX, &domid, NULL)) {
			uint32_t value = (uint32_t)domid;

			g_array_append_val(found, value);
		}
	}
	free(names);
	*n = found->len;
	*domids = (uint32_t *)(void *)g_array_free(g_steal_pointer(&found), FALSE);
	return 0;
}

static bool is_uuid(const char *s)
{
	size_t i = 0;

	for (; s[i]; i++)
		if (!g_ascii_isxdigit(s[i]) && s[i] != '-')
			return false;
	return i == 36;
}

static int identify(void *ctx, uint32_t domid, struct vm_id *out)
{
	struct store_xs *s = ctx;
	char path[XS_PATH_MAX], vm[64], name[QPEN_NAME_MAX + 2];
	struct vm_id id = {.domid = domid};
	size_t len;
	int rc;

	domain_path(path, domid, "vm");
	rc = xs_read_into(s->c, XBT_NULL, path, vm, sizeof vm, &len);
	if (rc < 0)
		return rc;
	if (!g_str_has_prefix(vm, "/vm/") || !is_uuid(vm + 4))
		return -EINVAL;
	memcpy(id.uuid, vm + 4, sizeof id.uuid);
	domain_path(path, domid, "name");
	rc = xs_read_into(s->c, XBT_NULL, path, name, sizeof name, &len);
	if (rc < 0)
		return rc;
	/* libxl lets a VM be called anything; the name may have come from whoever made the VM. */
	if (!qpen_is_vm_name(name, len))
		return -EINVAL;
	memcpy(id.name, name, len + 1);
	*out = id;
	return 0;
}

/* ---- mailboxes ---- */

static void on_mailbox(void *ctx, uint32_t domid)
{
	struct mailbox *m = ctx;

	m->store->events->mailbox(m->store->events->ctx, domid);
}

static int make_mailbox(struct xs_conn *c, xs_transaction_t t, void *arg)
{
	const struct mailbox *m = arg;
	char path[XS_PATH_MAX];
	int rc;

	domain_path(path, m->domid, "device");
	if (!xs_exists(c, t, path))
		return -ENOENT; /* the domain is gone: do not leave half a tree of it behind */
	domain_path(path, m->domid, QPEN_KEY_REQUEST);
	rc = xs_make_node(c, t, path, m->domid, XS_PERM_READ | XS_PERM_WRITE);
	if (rc < 0)
		return rc;
	domain_path(path, m->domid, QPEN_KEY_REPLY);
	return xs_make_node(c, t, path, m->domid, XS_PERM_READ);
}

/* A former daemon made it. Only reads: with many VMs each write costs xenstored a great deal. */
static bool has_mailbox(struct xs_conn *c, uint32_t domid)
{
	char path[XS_PATH_MAX];

	domain_path(path, domid, QPEN_KEY_REQUEST);
	if (!xs_is_node(c, XBT_NULL, path, domid, XS_PERM_READ | XS_PERM_WRITE))
		return false;
	domain_path(path, domid, QPEN_KEY_REPLY);
	return xs_is_node(c, XBT_NULL, path, domid, XS_PERM_READ);
}

/* The replies that a former daemon left, in any order: they count as finished. */
static void find_old_replies(struct mailbox *m)
{
	char path[XS_PATH_MAX];
	char **names;
	unsigned n;

	domain_path(path, m->domid, QPEN_KEY_REPLY);
	if (xs_list(m->store->c, XBT_NULL, path, &names, &n) < 0)
		return;
	for (unsigned i = 0; i < n; i++)
		g_queue_push_tail(&m->finished, g_strdup(names[i]));
	free(names);
}

static int watch_mailbox(struct mailbox *m)
{
	char path[XS_PATH_MAX];

	domain_path(path, m->domid, QPEN_KEY_REQUEST);
	m->watch = xs_conn_watch(m->store->c, path, on_mailbox, m, m->domid);
	return m->watch ? 0 : -errno;
}

static int open_mailbox(void *ctx, uint32_t domid)
{
	struct store_xs *s = ctx;
	struct mailbox *m = g_hash_table_lookup(s->mailboxes, GUINT_TO_POINTER(domid));
	int rc = 0;

	if (m)
		return xs_conn_transact_briefly(s->c, make_mailbox, m);
	m = g_new0(struct mailbox, 1);
	m->store = s;
	m->domid = domid;
	g_queue_init(&m->finished);
	if (!has_mailbox(s->c, domid))
		rc = xs_conn_transact_briefly(s->c, make_mailbox, m);
	if (rc == 0) {
		find_old_replies(m);
		rc = watch_mailbox(m);
	}
	if (rc < 0) {
		free_mailbox(m);
		return rc;
	}
	g_hash_table_insert(s->mailboxes, GUINT_TO_POINTER(domid), m);
	return 0;
}

static void close_mailbox(void *ctx, uint32_t domid)
{
	struct store_xs *s = ctx;

	g_hash_table_remove(s->mailboxes, GUINT_TO_POINTER(domid));
}

static void listen_to(void *ctx, uint32_t domid, bool on)
{
	struct store_xs *s = ctx;
	struct mailbox *m = g_hash_table_lookup(s->mailboxes, GUINT_TO_POINTER(domid));
	int rc = 0;

	if (!m || on == (m->watch != 0))
		return;
	if (on) {
		rc = watch_mailbox(m);
	} else {
		xs_conn_unwatch(s->c, m->watch);
		m->watch = 0;
	}
	if (rc < 0)
		g_warning("cannot watch the mailbox of domain %u: %s", domid, g_strerror(-rc));
}

static int take_request(void *ctx, uint32_t domid, char *untrusted_out, size_t max, size_t *len)
{
	struct store_xs *s = ctx;
	struct mailbox *m = g_hash_table_lookup(s->mailboxes, GUINT_TO_POINTER(domid));
	char path[XS_PATH_MAX];
	int rc;

	domain_path(path, domid, QPEN_KEY_REQUEST);
	rc = xs_read_into(s->c, XBT_NULL, path, untrusted_out, max, len);
	if (rc < 0 || !m)
		return rc < 0 ? rc : -ENOENT;
	m->taken_len = *len;
	memcpy(m->taken, untrusted_out, MIN(MIN(*len, max), sizeof m->taken));
	return 0;
}

/* Whether the request that was taken still stands in the mailbox: 1 or 0, or -errno. */
static int holds_taken(struct xs_conn *c, xs_transaction_t t, const struct mailbox *m)
{
	char path[XS_PATH_MAX], now[sizeof m->taken];
	size_t len;
	int rc;

	domain_path(path, m->domid, QPEN_KEY_REQUEST);
	rc = xs_read_into(c, t, path, now, sizeof now, &len);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	return len == m->taken_len && memcmp(now, m->taken, MIN(len, sizeof now - 1)) == 0;
}

/* Empties the mailbox of the request that was taken; another one that came since stays. */
static int empty_mailbox(struct xs_conn *c, xs_transaction_t t, void *arg)
{
	const struct mailbox *m = arg;
	char path[XS_PATH_MAX];
	int rc = holds_taken(c, t, m);

	if (rc <= 0)
		return rc;
	domain_path(path, m->domid, QPEN_KEY_REQUEST);
	return xs_put(c, t, path, "");
}

/* ---- records and replies ---- */

static void record_path(char out[XS_PATH_MAX], uint64_t id)
{
	g_snprintf(out, XS_PATH_MAX, STORE_RECORDS "/%" PRIu64, id);
}

int store_xs_put_record(struct xs_conn *c, xs_transaction_t x, const struct transfer *t)
{
	char path[XS_PATH_MAX], text[RECORD_MAX];

	record_path(path, t->id);
	if (t->state == TRANSFER_GONE)
		return xs_remove(c, x, path);
	record_format(t, text);
	return xs_put(c, x, path, text);
}

static int put_reply(struct xs_conn *c, xs_transaction_t t, const struct store_reply *r)
{
	char path[XS_PATH_MAX];
	int rc;

	domain_path(path, r->domid, QPEN_KEY_REPLY);
	if (!xs_exists(c, t, path))
		return 0; /* the VM is gone */
	rc = xs_put(c, t, path, r->reply.text);
	if (rc < 0 || strcmp(r->id, QPEN_ID_NONE) == 0)
		return rc;
	g_snprintf(path, sizeof path, "/local/domain/%" PRIu32 "/" QPEN_KEY_REPLY "/%s", r->domid,
		r->id);
	/* A new child has its parent's permissions: the VM may read it. */
	return xs_put(c, t, path, r->reply.text);
}

/* One of the pool gets its opener's label only when it has an opener. */
static int put_label(struct xs_conn *c, xs_transaction_t x, const struct dispvm *d)
{
	char path[XS_PATH_MAX];

	if (d->state != DISPVM_READY || !d->label[0])
		return 0;
	domain_path(path, d->id.domid, "name");
	if (!xs_exists(c, x, path))
		return 0; /* it is gone already, which its end will show */
	domain_path(path, d->id.domid, QPEN_KEY_LABEL);
	return xs_put(c, x, path, d->label);
}

static int put_dispvm(struct xs_conn *c, xs_transaction_t x, const struct dispvm *d)
{
	char path[XS_PATH_MAX], text[RECORD_MAX];
	int rc = put_label(c, x, d);

	if (rc < 0)
		return rc;

	g_snprintf(path, sizeof path, STORE_DISPVMS "/%" PRIu64, d->number);
	if (d->state == DISPVM_GONE)
		return xs_remove(c, x, path);
	dispvm_record_format(d, text);
	return xs_put(c, x, path, text);
}

struct committing {
	const struct store_change *change;
	struct mailbox *served; /* whose request this records or answers; NULL: no one's */
	unsigned tries;
};

static int put_all(struct xs_conn *c, xs_transaction_t x, void *arg)
{
	struct committing *what = arg;
	const struct store_change *change = what->change;
	int rc = change->transfer ? store_xs_put_record(c, x, change->transfer) : 0;

	/* It collided, most likely with the VM's next request, which stands over this one: then
	 * there is nothing to empty, and without the mailbox nothing to collide with. */
	if (what->served && what->tries++ && holds_taken(c, XBT_NULL, what->served) == 0)
		what->served = NULL;
	if (rc == 0 && change->dispvm)
		rc = put_dispvm(c, x, change->dispvm);
	for (size_t i = 0; rc == 0 && i < change->n_replies; i++)
		rc = put_reply(c, x, &change->replies[i]);
	if (rc == 0 && what->served)
		rc = empty_mailbox(c, x, what->served);
	return rc;
}

/* The mailbox of the request that is served; NULL if there is none, or not any more. */
static struct mailbox *find_served(struct store_xs *s, uint32_t domid)
{
	struct mailbox *m = g_hash_table_lookup(s->mailboxes, GUINT_TO_POINTER(domid));

	return m && m->taken_len ? m : NULL;
}

/* A VM that keeps on writing into its mailbox must not keep its record from being written. */
static int commit_apart(struct store_xs *s, struct committing *what, struct mailbox *m)
{
	int rc;

	what->served = NULL;
	rc = xs_conn_transact(s->c, put_all, what);
	if (xs_conn_transact_briefly(s->c, empty_mailbox, m) < 0)
		g_debug("the mailbox of domain %" PRIu32 " is never at rest", m->domid);
	return rc;
}

/* Drops the oldest of the finished replies, so that a VM cannot fill dom0's xenstore with them. */
static void prune_replies(struct store_xs *s, const struct store_reply *r)
{
	struct mailbox *m = g_hash_table_lookup(s->mailboxes, GUINT_TO_POINTER(r->domid));
	char path[XS_PATH_MAX];
	GList *old;

	if (!m || strcmp(r->id, QPEN_ID_NONE) == 0 || strstr(r->reply.text, " wait "))
		return;
	/* It is the newest, wherever a former daemon's stood. */
	old = g_queue_find_custom(&m->finished, r->id, (GCompareFunc)g_strcmp0);
	if (old)
		g_queue_unlink(&m->finished, old);
	else
		old = g_list_append(NULL, g_strdup(r->id));
	g_queue_push_tail_link(&m->finished, old);
	while (m->finished.length > REPLIES_KEPT) {
		g_autofree char *id = g_queue_pop_head(&m->finished);

		g_snprintf(path, sizeof path, "/local/domain/%" PRIu32 "/" QPEN_KEY_REPLY "/%s",
			r->domid, id);
		xs_remove(s->c, XBT_NULL, path);
	}
}

static int commit(void *ctx, const struct store_change *change)
{
	struct store_xs *s = ctx;
	struct committing what = {.change = change};
	int rc;

	if (!change->transfer && !change->dispvm && change->n_replies == 0)
		return 0;
	what.served = change->served ? find_served(s, change->served) : NULL;
	if (what.served) {
		struct mailbox *m = what.served;

		rc = xs_conn_transact_briefly(s->c, put_all, &what);
		if (rc < 0)
			rc = commit_apart(s, &what, m);
		m->taken_len = 0;
	} else {
		rc = xs_conn_transact(s->c, put_all, &what);
	}
	for (size_t i = 0; rc == 0 && i < change->n_replies; i++)
		prune_replies(s, &change->replies[i]);
	return rc;
}

static int load(struct store_xs *s, const char *folder, store_record_fn fn, void *arg)
{
	char **names;
	unsigned n;
	int rc = xs_list(s->c, XBT_NULL, folder, &names, &n);

	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < n; i++) {
		g_autofree char *path = g_strdup_printf("%s/%s", folder, names[i]);
		char text[RECORD_MAX];
		size_t len;

		rc = xs_read_into(s->c, XBT_NULL, path, text, sizeof text, &len);
		if (rc == 0)
			fn(arg, text, MIN(len, sizeof text - 1));
		else
			g_warning("cannot read the record %s: %s", path, g_strerror(-rc));
	}
	free(names);
	return 0;
}

static int load_records(void *ctx, store_record_fn fn, void *arg)
{
	return load(ctx, STORE_RECORDS, fn, arg);
}

static int load_dispvms(void *ctx, store_record_fn fn, void *arg)
{
	return load(ctx, STORE_DISPVMS, fn, arg);
}

/* A name may have characters that a path in xenstore may not: it is written in hexadecimal. */
static void blocked_path(char out[XS_PATH_MAX], const char *name)
{
	int at = g_snprintf(out, XS_PATH_MAX, STORE_BLOCKED "/");

	for (; *name; name++)
		at += g_snprintf(out + at, XS_PATH_MAX - (gulong)at, "%02x", (unsigned char)*name);
}

static int put_blocked(void *ctx, const struct blocked_vm *b)
{
	struct store_xs *s = ctx;
	char path[XS_PATH_MAX], text[RECORD_MAX];

	blocked_path(path, b->name);
	blocked_record_format(b, text);
	return xs_put(s->c, XBT_NULL, path, text);
}

static int drop_blocked(void *ctx, const char *name)
{
	struct store_xs *s = ctx;
	char path[XS_PATH_MAX];

	blocked_path(path, name);
	return xs_remove(s->c, XBT_NULL, path);
}

static int load_blocked(void *ctx, store_record_fn fn, void *arg)
{
	return load(ctx, STORE_BLOCKED, fn, arg);
}

/* ---- life ---- */

struct store_xs *store_xs_create(struct xs_conn *c, const struct port_events *events)
{
	struct store_xs *s = g_new0(struct store_xs, 1);
	int rc;

	s->c = c;
	s->events = events;
	s->mailboxes = g_hash_table_new_full(NULL, NULL, NULL, free_mailbox);
	rc = xs_make_node(c, XBT_NULL, "/qfilexchgd", 0, XS_PERM_NONE);
	if (rc == 0)
		rc = xs_make_node(c, XBT_NULL, STORE_RECORDS, 0, XS_PERM_NONE);
	if (rc == 0)
		rc = xs_make_node(c, XBT_NULL, STORE_DISPVMS, 0, XS_PERM_NONE);
	if (rc == 0)
		rc = xs_make_node(c, XBT_NULL, STORE_BLOCKED, 0, XS_PERM_NONE);
	if (rc < 0) {
		g_critical(
			"cannot make /qfilexchgd in xenstore: %s (is this dom0?)", g_strerror(-rc));
		store_xs_destroy(s);
		return NULL;
	}
	s->introduce_watch = xs_conn_watch(c, "@introduceDomain", on_domains, s, 0);
	s->release_watch = xs_conn_watch(c, "@releaseDomain", on_domains, s, 0);
	if (!s->introduce_watch || !s->release_watch) {
		g_critical("cannot watch for VMs: %s", g_strerror(errno));
		store_xs_destroy(s);
		return NULL;
	}
	return s;
}

void store_xs_destroy(struct store_xs *s)
{
	if (!s)
		return;
	xs_conn_unwatch(s->c, s->introduce_watch);
	xs_conn_unwatch(s->c, s->release_watch);
	g_hash_table_destroy(s->mailboxes);
	g_free(s);
}

struct store_port store_xs_port(struct store_xs *s)
{
	return (struct store_port){
		.ctx = s,
		.list_domains = list_domains,
		.identify = identify,
		.open_mailbox = open_mailbox,
		.close_mailbox = close_mailbox,
		.listen = listen_to,
		.take_request = take_request,
		.commit = commit,
		.load_records = load_records,
		.load_dispvms = load_dispvms,
		.put_blocked = put_blocked,
		.drop_blocked = drop_blocked,
		.load_blocked = load_blocked,
	};
}
