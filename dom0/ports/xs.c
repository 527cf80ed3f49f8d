/* SPDX-License-Identifier: GPL-2.0-or-later */
#define G_LOG_DOMAIN "qfilexchgd"
#include "xs.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xenstore_lib.h>

/* How often a transaction is tried; dom0's changes rarely hit the same nodes twice in a row. */
#define TRANSACTION_TRIES 64
/* Of one that a VM can make collide as often as it likes: all others wait meanwhile. */
#define TRIES_AGAINST_VM 4
/* Events taken in one turn of the main loop, so that a VM that floods lets the others in. */
#define EVENTS_PER_TURN 256
/* How often to look for an xenstored that is gone. */
#define LOOK_AGAIN_S 2

struct watch {
	unsigned number; /* also its token, in decimal */
	char *path;
	xs_watch_fn fn;
	void *ctx;
	uint32_t arg;
};

struct xs_conn {
	struct xs_handle *xs;
	GHashTable *watches; /* number -> struct watch */
	unsigned last_number;
	guint source; /* of the watches */
	int line;     /* says nothing, and ends with xenstored; -1: none */
	guint line_source;
	guint looking; /* the connection is lost: what looks for another */
	void (*on_return)(void *ctx);
	void *on_return_ctx;
};

static void free_watch(gpointer data)
{
	struct watch *watch = data;

	g_free(watch->path);
	g_free(watch);
}

/* The numbers of the watches that fired, each once, however often they did. */
static GHashTable *take_events(struct xs_conn *c, bool *broken)
{
	GHashTable *fired = g_hash_table_new(NULL, NULL);

	*broken = false;
	for (unsigned i = 0; i < EVENTS_PER_TURN; i++) {
		char **event;

		errno = 0;
		event = xs_check_watch(c->xs);
		if (!event) {
			*broken = errno != EAGAIN && errno != 0;
			break;
		}
		g_hash_table_add(
			fired, GUINT_TO_POINTER((guint)strtoul(event[XS_WATCH_TOKEN], NULL, 10)));
		free(event);
	}
	return fired;
}

/*
 * By its socket alone: the kernel's device can be opened though nobody is behind it, and would hang
 * whoever asked it something.
 */
static gboolean look_for_store(gpointer data)
{
	struct xs_conn *c = data;
	struct xs_handle *xs = xs_open(XS_OPEN_SOCKETONLY);

	if (!xs)
		return G_SOURCE_CONTINUE;
	xs_close(xs);
	c->looking = 0;
	if (c->on_return)
		c->on_return(c->on_return_ctx);
	return G_SOURCE_REMOVE;
}

static void remove_source(guint *source)
{
	if (*source)
		g_source_remove(*source);
	*source = 0;
}

static void lose(struct xs_conn *c)
{
	g_critical("the connection to xenstored is lost: no VM can be served until it is there "
		   "again, for which the host may have to be rebooted");
	remove_source(&c->source);
	remove_source(&c->line_source);
	c->looking = g_timeout_add_seconds(LOOK_AGAIN_S, look_for_store, c);
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer data)
{
	struct xs_conn *c = data;
	g_autoptr(GHashTable) fired = NULL;
	GHashTableIter iter;
	gpointer number;
	bool broken;

	(void)fd;
	(void)condition;
	fired = take_events(c, &broken);
	g_hash_table_iter_init(&iter, fired);
	while (g_hash_table_iter_next(&iter, &number, NULL)) {
		/* An earlier one of this turn may have unwatched it. */
		struct watch *watch = g_hash_table_lookup(c->watches, number);

		if (watch)
			watch->fn(watch->ctx, watch->arg);
	}
	if (broken)
		lose(c);
	return G_SOURCE_CONTINUE;
}

static gboolean on_line(gint fd, GIOCondition condition, gpointer data)
{
	(void)fd;
	(void)condition;
	lose(data);
	return G_SOURCE_CONTINUE;
}

/*
 * libxenstore tells nobody when its connection is lost, but whoever asks something next (4.17: its
 * thread ends, and the pipe of the watches stays open). A connection of our own shows it. Where
 * there is no socket, xenstored is in a VM, and the kernel is connected for as long as it runs.
 */
static void open_line(struct xs_conn *c)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = xs_daemon_socket();

	if (!path || g_strlcpy(address.sun_path, path, sizeof address.sun_path) >=
			     sizeof address.sun_path)
		return;
	c->line = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->line < 0)
		return;
	if (connect(c->line, (const struct sockaddr *)&address, sizeof address) == 0)
		c->line_source = g_unix_fd_add(c->line, G_IO_IN | G_IO_HUP, on_line, c);
}

struct xs_conn *xs_conn_open(void)
{
	/*
	 * Without XS_UNWATCH_FILTER, which loses the memory of what it filters (libxenstore 4.17).
	 * No token is used twice, so an event that comes late for a former watch finds none and is
	 * dropped.
	 */
	struct xs_handle *xs = xs_open(0);
	struct xs_conn *c;

	if (!xs)
		return NULL;
	c = g_new0(struct xs_conn, 1);
	c->xs = xs;
	c->watches = g_hash_table_new_full(NULL, NULL, NULL, free_watch);
	c->source = g_unix_fd_add(xs_fileno(xs), G_IO_IN, on_readable, c);
	c->line = -1;
	open_line(c);
	return c;
}

void xs_conn_on_return(struct xs_conn *c, void (*fn)(void *ctx), void *ctx)
{
	c->on_return = fn;
	c->on_return_ctx = ctx;
}

void xs_conn_close(struct xs_conn *c)
{
	if (!c)
		return;
	remove_source(&c->source);
	remove_source(&c->line_source);
	remove_source(&c->looking);
	if (c->line >= 0)
		close(c->line);
	xs_close(c->xs);
	g_hash_table_destroy(c->watches);
	g_free(c);
}

unsigned xs_conn_watch(struct xs_conn *c, const char *path, xs_watch_fn fn, void *ctx, uint32_t arg)
{
	struct watch *watch;
	char token[16];
	unsigned number;

	do
		number = ++c->last_number;
	while (number == 0 || g_hash_table_contains(c->watches, GUINT_TO_POINTER(number)));
	g_snprintf(token, sizeof token, "%u", number);
	if (!xs_watch(c->xs, path, token))
		return 0;
	watch = g_new0(struct watch, 1);
	*watch = (struct watch){
		.number = number, .path = g_strdup(path), .fn = fn, .ctx = ctx, .arg = arg};
	g_hash_table_insert(c->watches, GUINT_TO_POINTER(number), watch);
	return number;
}

void xs_conn_unwatch(struct xs_conn *c, unsigned number)
{
	struct watch *watch = g_hash_table_lookup(c->watches, GUINT_TO_POINTER(number));
	char token[16];

	if (number == 0 || !watch)
		return;
	g_snprintf(token, sizeof token, "%u", number);
	if (!xs_unwatch(c->xs, watch->path, token) && errno != ENOENT)
		g_warning("cannot stop watching %s: %s", watch->path, g_strerror(errno));
	g_hash_table_remove(c->watches, GUINT_TO_POINTER(number));
}

static int transact(struct xs_conn *c, xs_transaction_fn fn, void *arg, int tries)
{
	for (int i = 0; i < tries; i++) {
		xs_transaction_t t = xs_transaction_start(c->xs);
		int rc;

		if (t == XBT_NULL)
			return -errno;
		rc = fn(c, t, arg);
		if (rc < 0) {
			xs_transaction_end(c->xs, t, true);
			return rc;
		}
		if (xs_transaction_end(c->xs, t, false))
			return 0;
		if (errno != EAGAIN)
			return -errno;
	}
	return -EAGAIN;
}

int xs_conn_transact(struct xs_conn *c, xs_transaction_fn fn, void *arg)
{
	return transact(c, fn, arg, TRANSACTION_TRIES);
}

int xs_conn_transact_briefly(struct xs_conn *c, xs_transaction_fn fn, void *arg)
{
	return transact(c, fn, arg, TRIES_AGAINST_VM);
}

int xs_read_into(
	struct xs_conn *c, xs_transaction_t t, const char *path, char *out, size_t max, size_t *len)
{
	unsigned n = 0;
	char *value = xs_read(c->xs, t, path, &n);
	size_t stored;

	if (!value)
		return -errno;
	stored = MIN((size_t)n, max - 1);
	memcpy(out, value, stored);
	out[stored] = '\0';
	*len = n;
	free(value);
	return 0;
}

int xs_put(struct xs_conn *c, xs_transaction_t t, const char *path, const char *value)
{
	return xs_write(c->xs, t, path, value, (unsigned)strlen(value)) ? 0 : -errno;
}

int xs_put_number(struct xs_conn *c, xs_transaction_t t, const char *path, uint64_t value)
{
	char text[24];

	g_snprintf(text, sizeof text, "%" PRIu64, value);
	return xs_put(c, t, path, text);
}

int xs_remove(struct xs_conn *c, xs_transaction_t t, const char *path)
{
	return xs_rm(c->xs, t, path) || errno == ENOENT ? 0 : -errno;
}

bool xs_exists(struct xs_conn *c, xs_transaction_t t, const char *path)
{
	unsigned n;
	char *value = xs_read(c->xs, t, path, &n);

	free(value);
	return value != NULL;
}

int xs_grant(
	struct xs_conn *c, xs_transaction_t t, const char *path, uint32_t domid, unsigned access)
{
	struct xs_permissions perms[] = {
		{.id = 0, .perms = XS_PERM_NONE},
		{.id = domid, .perms = access},
	};

	return xs_set_permissions(c->xs, t, path, perms, domid == 0 ? 1 : 2) ? 0 : -errno;
}

int xs_make_node(
	struct xs_conn *c, xs_transaction_t t, const char *path, uint32_t domid, unsigned access)
{
	return xs_mkdir(c->xs, t, path) ? xs_grant(c, t, path, domid, access) : -errno;
}

bool xs_is_node(
	struct xs_conn *c, xs_transaction_t t, const char *path, uint32_t domid, unsigned access)
{
	unsigned n = 0;
	struct xs_permissions *perms = xs_get_permissions(c->xs, t, path, &n);
	bool is = perms && n == 2 && perms[0].id == 0 &&
		  (perms[0].perms & (XS_PERM_READ | XS_PERM_WRITE)) == XS_PERM_NONE &&
		  perms[1].id == domid &&
		  (perms[1].perms & (XS_PERM_READ | XS_PERM_WRITE)) == access;

	free(perms);
	return is;
}

int xs_make_guest_node(struct xs_conn *c, xs_transaction_t t, const char *path, uint32_t domid)
{
	struct xs_permissions perms[] = {
		{.id = domid, .perms = XS_PERM_NONE},
		{.id = 0, .perms = XS_PERM_READ},
	};

	if (!xs_mkdir(c->xs, t, path))
		return -errno;
	return xs_set_permissions(c->xs, t, path, perms, 2) ? 0 : -errno;
}

int xs_list(struct xs_conn *c, xs_transaction_t t, const char *path, char ***names, unsigned *n)
{
	*n = 0;
	*names = xs_directory(c->xs, t, path, n);
	return *names || errno == ENOENT ? 0 : -errno;
}
