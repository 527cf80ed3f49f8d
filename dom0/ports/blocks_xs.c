/* SPDX-License-Identifier: GPL-2.0-or-later */
#define G_LOG_DOMAIN "qfilexchgd"
#include "blocks_xs.h"

#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <string.h>

#include "images.h"
#include "loop.h"
#include "qpen_contract.h"
#include "store_xs.h"
#include "vbd.h"

/* How long to wait between two looks at whether blkback has let go of the loop device. */
#define RELEASE_FIRST_MS 2
#define RELEASE_LONGEST_MS 100

enum disk_phase {
	DISK_ATTACHING, /* the nodes are there, the VM has not connected */
	DISK_ATTACHED,
	DISK_CLOSING,   /* the VM was asked to let go */
	DISK_RELEASING, /* the nodes are gone, the loop device may still be held */
	DISK_DONE,      /* an event is on its way */
};

struct disk {
	struct blocks_xs *blocks;
	uint64_t id;
	struct vm_id vm; /* which has it */
	struct vbd vbd;
	enum disk_phase phase;
	char *image;
	struct loop loop;
	gboolean has_loop;  /* loop.number is known */
	gboolean has_nodes; /* the device nodes are ours; else they may be somebody else's */
	unsigned watch;
	guint source; /* the pending idle or timeout; 0: none */
	guint wait_ms;
};

struct blocks_xs {
	struct xs_conn *c;
	const struct port_events *events;
	char *image_dir;
	GHashTable *disks; /* &disk->id -> disk */
};

/* ---- one disk ---- */

static void free_disk(gpointer data)
{
	struct disk *d = data;

	if (d->source)
		g_source_remove(d->source);
	xs_conn_unwatch(d->blocks->c, d->watch);
	loop_let_go(&d->loop);
	g_free(d->image);
	g_free(d);
}

static struct disk *find_disk(struct blocks_xs *b, uint64_t id)
{
	return g_hash_table_lookup(b->disks, &id);
}

/* Where the time goes: the journal notes the microsecond of each; scripts/bench attach reads it. */
static void trace(const struct disk *d, const char *what)
{
	g_debug("transfer %" PRIu64 ", domain %" PRIu32 ": %s", d->id, d->vbd.domid, what);
}

static enum transfer_place place_of(const struct disk *d)
{
	return d->vbd.vdev == QPEN_OUTGOING_VDEV ? TRANSFER_AT_SENDER : TRANSFER_AT_RECEIVER;
}

/* A disk of t's, tracked from now on. Replaces one of the same transfer. */
static struct disk *track(struct blocks_xs *b, const struct transfer *t, enum disk_phase phase)
{
	bool out = t->place == TRANSFER_AT_SENDER;
	struct disk *d = g_new0(struct disk, 1);

	d->blocks = b;
	d->id = t->id;
	d->vm = out ? t->sender : t->receiver;
	d->vbd.domid = d->vm.domid;
	d->vbd.vdev = out ? QPEN_OUTGOING_VDEV : QPEN_INCOMING_VDEV;
	d->phase = phase;
	d->image = g_strconcat(b->image_dir, "/", t->image, IMAGE_SUFFIX, NULL);
	d->loop.fd = -1;
	g_hash_table_replace(b->disks, &d->id, d);
	return d;
}

static void schedule(struct disk *d, guint delay_ms, GSourceFunc fn)
{
	if (d->source)
		g_source_remove(d->source);
	d->source = delay_ms ? g_timeout_add(delay_ms, fn, d) : g_idle_add(fn, d);
}

/* Forgets d first: what the event sets off may attach the same image again. */
static void finish(struct disk *d, void (*event)(void *ctx, uint64_t id, enum transfer_place place))
{
	const struct port_events *events = d->blocks->events;
	enum transfer_place place = place_of(d);
	struct blocks_xs *b = d->blocks;
	uint64_t id = d->id;

	d->source = 0;
	g_hash_table_remove(b->disks, &id);
	event(events->ctx, id, place);
}

static gboolean report_detached(gpointer data)
{
	struct disk *d = data;

	finish(d, d->blocks->events->disk_detached);
	return G_SOURCE_REMOVE;
}

/* A lost disk stays tracked: what comes next is its detach. */
static gboolean report_lost(gpointer data)
{
	struct disk *d = data;
	const struct port_events *events = d->blocks->events;

	d->source = 0;
	events->disk_lost(events->ctx, d->id, place_of(d));
	return G_SOURCE_REMOVE;
}

/* ---- attach ---- */

static bool has_guarded_tools(struct xs_conn *c, xs_transaction_t t, uint32_t domid)
{
	char path[XS_PATH_MAX], untrusted[8];
	size_t len;

	g_snprintf(path, sizeof path, "/local/domain/%" PRIu32 "/" QPEN_KEY_VERSION, domid);
	if (xs_read_into(c, t, path, untrusted, sizeof untrusted, &len) < 0)
		return false;
	return strcmp(untrusted, QPEN_VERSION) == 0 && len == strlen(QPEN_VERSION);
}

static int put_key(
	struct xs_conn *c, xs_transaction_t t, uint32_t domid, const char *key, const char *value)
{
	char path[XS_PATH_MAX];
	int rc;

	g_snprintf(path, sizeof path, "/local/domain/%" PRIu32 "/%s", domid, key);
	rc = xs_put(c, t, path, value);
	return rc < 0 ? rc : xs_grant(c, t, path, domid, XS_PERM_READ);
}

/* Whether the domain is still the VM that it was: its number may be another's by now. */
static bool is_same_vm(struct xs_conn *c, xs_transaction_t x, const struct vm_id *id)
{
	char path[XS_PATH_MAX], vm[64];
	size_t len;

	g_snprintf(path, sizeof path, "/local/domain/%" PRIu32 "/vm", id->domid);
	return xs_read_into(c, x, path, vm, sizeof vm, &len) == 0 && g_str_has_prefix(vm, "/vm/") &&
	       strcmp(vm + strlen("/vm/"), id->uuid) == 0;
}

/* `params` has room for what it points to. */
static struct vbd_disk disk_of(const struct disk *d, char params[32])
{
	bool in = place_of(d) == TRANSFER_AT_RECEIVER;

	g_snprintf(params, 32, "/dev/loop%u", d->loop.number);
	return (struct vbd_disk){
		.name = in ? QPEN_INCOMING_NAME : QPEN_OUTGOING_NAME,
		.params = params,
		.major = d->loop.major,
		.minor = d->loop.minor,
		.read_only = in,
	};
}

struct attaching {
	struct disk *d;
	const struct transfer *t;
	bool guarded;
};

static int put_attach(struct xs_conn *c, xs_transaction_t x, void *arg)
{
	const struct attaching *a = arg;
	const struct transfer *t = a->t;
	bool in = t->place == TRANSFER_AT_RECEIVER;
	char params[32];
	const struct vbd_disk disk = disk_of(a->d, params);
	int rc;

	if (!is_same_vm(c, x, &a->d->vm))
		return -ENOENT;
	rc = vbd_add(c, x, a->d->vbd, &disk);
	if (rc == 0)
		rc = store_xs_put_record(c, x, t);
	if (rc < 0 || !in)
		return rc;
	rc = put_key(c, x, t->receiver.domid, QPEN_KEY_BLOCKSRC, t->sender.name);
	if (rc == 0)
		rc = put_key(c, x, t->receiver.domid, QPEN_KEY_SEQ, t->seq);
	if (rc == 0 && t->kind != TRANSFER_FILES)
		rc = put_key(c, x, t->receiver.domid, QPEN_KEY_MODE,
			t->view ? QPEN_MODE_VIEW : QPEN_MODE_EDIT);
	if (rc == 0)
		rc = put_key(c, x, t->receiver.domid, QPEN_KEY_OFFSET,
			a->guarded ? G_STRINGIFY(65536) : "0");
	return rc;
}

static void on_state(void *ctx, uint32_t unused);

static int watch_state(struct disk *d)
{
	char path[XS_PATH_MAX];

	vbd_state_path(path, d->vbd);
	d->watch = xs_conn_watch(d->blocks->c, path, on_state, d, 0);
	return d->watch ? 0 : -errno;
}

/* What of the image the VM sees: the data alone, or the guards with it. */
static struct loop_view view_of(const struct disk *d, const struct transfer *t, bool guarded)
{
	struct loop_view view = {
		.path = d->image,
		.read_only = t->place == TRANSFER_AT_RECEIVER,
	};

	if (!guarded) {
		view.offset = QPEN_GUARD_BYTES;
		view.size_limit = t->size_bytes;
	}
	return view;
}

static int try_attach(struct disk *d, const struct transfer *t)
{
	struct blocks_xs *b = d->blocks;
	struct attaching a = {.d = d, .t = t};
	struct loop_view view;
	int rc;

	a.guarded =
		t->place == TRANSFER_AT_RECEIVER && has_guarded_tools(b->c, XBT_NULL, d->vbd.domid);
	view = view_of(d, t, a.guarded);
	rc = loop_bind(&view, &d->loop);
	if (rc < 0) {
		g_warning("cannot bind %s to a loop device: %s", d->image, g_strerror(-rc));
		return rc;
	}
	d->has_loop = TRUE;
	trace(d, "the loop device is bound");
	rc = xs_conn_transact_briefly(b->c, put_attach, &a);
	d->has_nodes = rc == 0;
	trace(d, "its nodes are written");
	if (rc == 0)
		rc = watch_state(d);
	if (rc < 0)
		g_warning("cannot attach %s to domain %" PRIu32 ": %s", d->image, d->vbd.domid,
			rc == -EEXIST ? "it has a device of that number" : g_strerror(-rc));
	return rc;
}

static int put_libxl_half(struct xs_conn *c, xs_transaction_t x, void *arg)
{
	const struct disk *d = arg;
	char params[32];
	const struct vbd_disk disk = disk_of(d, params);

	return is_same_vm(c, x, &d->vm) ? vbd_tell_libxl(c, x, d->vbd, &disk) : -ENOENT;
}

/* Only when the VM has the disk: as many nodes again, which nobody waits for. */
static gboolean tell_libxl(gpointer data)
{
	struct disk *d = data;
	int rc = 0;

	d->source = 0;
	if (d->phase == DISK_ATTACHED && d->has_loop)
		rc = xs_conn_transact_briefly(d->blocks->c, put_libxl_half, d);
	if (rc < 0 && rc != -ENOENT)
		g_message("xl block-list will not show the disk of domain %" PRIu32 ": %s",
			d->vbd.domid, g_strerror(-rc));
	return G_SOURCE_REMOVE;
}

static void attach(void *ctx, const struct transfer *t)
{
	struct disk *d = track(ctx, t, DISK_ATTACHING);

	if (try_attach(d, t) < 0) {
		d->phase = DISK_DONE;
		schedule(d, 0, report_lost);
	}
}

/* ---- detach ---- */

/* What told the receiver of its pendrive. */
static int remove_keys(struct xs_conn *c, xs_transaction_t x, uint32_t domid)
{
	static const char *const keys[] = {
		QPEN_KEY_BLOCKSRC, QPEN_KEY_SEQ, QPEN_KEY_MODE, QPEN_KEY_OFFSET};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < G_N_ELEMENTS(keys); i++) {
		char path[XS_PATH_MAX];

		g_snprintf(path, sizeof path, "/local/domain/%" PRIu32 "/%s", domid, keys[i]);
		rc = xs_remove(c, x, path);
	}
	return rc;
}

static int put_removal(struct xs_conn *c, xs_transaction_t x, void *arg)
{
	const struct disk *d = arg;
	int rc = vbd_remove(c, x, d->vbd);

	if (rc == 0 && place_of(d) == TRANSFER_AT_RECEIVER)
		rc = remove_keys(c, x, d->vbd.domid);
	return rc;
}

/*
 * The VM's half goes first and by itself, which nothing can collide with: a VM that writes into it
 * without pause would make each transaction over it fail. What collides all the same is tried
 * again as long as has_nodes.
 */
static void take_nodes(struct disk *d)
{
	int rc = vbd_remove_front(d->blocks->c, d->vbd);

	if (rc == 0)
		rc = xs_conn_transact_briefly(d->blocks->c, put_removal, d);
	if (rc == -EAGAIN)
		return;
	d->has_nodes = FALSE;
	if (rc < 0)
		g_warning("cannot remove the disk of domain %" PRIu32 " from xenstore: %s",
			d->vbd.domid, g_strerror(-rc));
}

static gboolean look_whether_released(gpointer data)
{
	struct disk *d = data;

	if (d->has_nodes)
		take_nodes(d);
	if (!d->has_nodes && (!d->has_loop || !loop_is_bound(d->loop.number, d->image)))
		return report_detached(d);
	d->wait_ms = MIN(2 * d->wait_ms, RELEASE_LONGEST_MS);
	d->source = g_timeout_add(d->wait_ms, look_whether_released, d);
	return G_SOURCE_REMOVE;
}

/* The VM has let go, or is not asked: the nodes go, then blkback gives up the loop device. */
static void remove_nodes(struct disk *d)
{
	trace(d, "the VM has let go, or is not asked");
	xs_conn_unwatch(d->blocks->c, d->watch);
	d->watch = 0;
	d->phase = DISK_RELEASING;
	if (d->has_nodes)
		take_nodes(d);
	trace(d, "its nodes are gone");
	loop_let_go(&d->loop);
	d->wait_ms = RELEASE_FIRST_MS;
	schedule(d, 0, look_whether_released);
}

static int put_close(struct xs_conn *c, xs_transaction_t x, void *arg)
{
	const struct disk *d = arg;

	return vbd_ask_to_close(c, x, d->vbd);
}

/* One that is not tracked was attached by a daemon before this one, or not at all. */
static struct disk *find_or_track(struct blocks_xs *b, const struct transfer *t)
{
	struct disk *d = find_disk(b, t->id);
	int number;

	if (d)
		return d;
	d = track(b, t, DISK_ATTACHED);
	d->has_nodes = TRUE;
	number = vbd_loop_number(b->c, d->vbd);
	if (number < 0)
		number = loop_find(d->image);
	d->has_loop = number >= 0 && loop_hold((unsigned)number, d->image, &d->loop) == 0;
	return d;
}

static void detach(void *ctx, const struct transfer *t)
{
	struct blocks_xs *b = ctx;
	struct disk *d = find_or_track(b, t);
	int rc;

	if (d->phase == DISK_CLOSING || d->phase == DISK_RELEASING)
		return;
	rc = d->has_nodes ? xs_conn_transact_briefly(b->c, put_close, d) : -ENOENT;
	if (rc == 0 && !d->watch)
		rc = watch_state(d);
	if (rc < 0) {
		if (rc != -ENOENT && rc != -EALREADY)
			g_warning("cannot ask domain %" PRIu32 " to close its disk: %s",
				d->vbd.domid, g_strerror(-rc));
		remove_nodes(d);
		return;
	}
	d->phase = DISK_CLOSING;
	trace(d, "the VM is asked to let go");
	loop_let_go(&d->loop);
}

static void detach_force(void *ctx, const struct transfer *t)
{
	struct disk *d = find_or_track(ctx, t);

	if (d->phase != DISK_RELEASING)
		remove_nodes(d);
}

static void abandon(void *ctx, const struct transfer *t)
{
	struct blocks_xs *b = ctx;

	g_hash_table_remove(b->disks, &t->id);
}

/* ---- what happens to it in between ---- */

static void on_state(void *ctx, uint32_t unused)
{
	struct disk *d = ctx;
	const struct port_events *events = d->blocks->events;
	enum vbd_state state = vbd_state(d->blocks->c, XBT_NULL, d->vbd);

	(void)unused;
	switch (d->phase) {
	case DISK_ATTACHING:
	case DISK_ATTACHED:
		if (state == VBD_CONNECTED && d->phase == DISK_ATTACHING) {
			d->phase = DISK_ATTACHED;
			/* blkback has it open from here on. */
			loop_let_go(&d->loop);
			schedule(d, 0, tell_libxl);
			events->disk_attached(events->ctx, d->id, place_of(d));
		} else if (state == VBD_ABSENT || state == VBD_CLOSING || state == VBD_CLOSED) {
			g_message("somebody else is taking %s from domain %" PRIu32,
				d->vbd.vdev == QPEN_OUTGOING_VDEV ? QPEN_OUTGOING_NAME
								  : QPEN_INCOMING_NAME,
				d->vbd.domid);
			events->disk_lost(events->ctx, d->id, place_of(d));
		}
		return;
	case DISK_CLOSING:
		if (state == VBD_CLOSED || state == VBD_ABSENT)
			remove_nodes(d);
		return;
	case DISK_RELEASING:
	case DISK_DONE:
		return;
	}
}

/* ---- recovery ---- */

static void resume(void *ctx, const struct transfer *t)
{
	struct disk *d = find_or_track(ctx, t);

	d->phase = DISK_ATTACHING;
	if (!d->has_loop)
		g_warning("transfer %" PRIu64 ": no loop device is over %s any more", d->id,
			d->image);
	/* The watch's first event says how it stands: connected, or gone. */
	if (!d->has_loop || watch_state(d) < 0) {
		d->phase = DISK_DONE;
		schedule(d, 0, report_lost);
	}
}

static bool is_tracked(void *arg, unsigned number)
{
	struct blocks_xs *b = arg;
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, b->disks);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		const struct disk *d = value;

		if (d->has_loop && d->loop.number == number)
			return true;
	}
	return false;
}

static void sweep(void *ctx)
{
	struct blocks_xs *b = ctx;

	loop_sweep(b->image_dir, is_tracked, b);
}

/* ---- life ---- */

struct blocks_xs *blocks_xs_create(
	struct xs_conn *c, const char *image_dir, const struct port_events *events)
{
	struct blocks_xs *b = g_new0(struct blocks_xs, 1);

	b->c = c;
	b->events = events;
	b->image_dir = g_strdup(image_dir);
	b->disks = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, free_disk);
	return b;
}

void blocks_xs_destroy(struct blocks_xs *b)
{
	GHashTableIter iter;
	gpointer value;

	if (!b)
		return;
	/* What blkback may not have opened yet is the next daemon's. */
	g_hash_table_iter_init(&iter, b->disks);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct disk *d = value;

		if (d->phase == DISK_ATTACHING)
			loop_leave(&d->loop);
	}
	g_hash_table_destroy(b->disks);
	g_free(b->image_dir);
	g_free(b);
}

struct blocks_port blocks_xs_port(struct blocks_xs *b)
{
	return (struct blocks_port){
		.ctx = b,
		.attach = attach,
		.detach = detach,
		.detach_force = detach_force,
		.abandon = abandon,
		.resume = resume,
		.sweep = sweep,
	};
}
