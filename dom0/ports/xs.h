/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one connection to xenstored: its watches in the main loop, transactions with their retries,
 * and the few forms of access that the ports need. Knows nothing of pendrives.
 */
#ifndef QFX_XS_H
#define QFX_XS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xenstore.h>

struct xs_conn;

/* Long enough for every path that the daemon makes. */
#define XS_PATH_MAX 192u

/* Called from the main loop when something at or below the watched path changed, and once at first.
 */
typedef void (*xs_watch_fn)(void *ctx, uint32_t arg);

/* NULL with errno set when xenstored cannot be reached. Closed with xs_conn_close (accepts NULL).
 */
struct xs_conn *xs_conn_open(void);
void xs_conn_close(struct xs_conn *c);
/*
 * Called once, from the main loop, when the connection was lost and xenstored can be reached again.
 * Between the two all else here fails, and c stays as it is afterwards: only a new connection sees
 * what the new xenstored has.
 */
void xs_conn_on_return(struct xs_conn *c, void (*fn)(void *ctx), void *ctx);

/* Returns a number above 0 for xs_conn_unwatch, or 0 with errno set. */
unsigned xs_conn_watch(
	struct xs_conn *c, const char *path, xs_watch_fn fn, void *ctx, uint32_t arg);
/* No call of the watch's function follows. 0 is accepted and means none. */
void xs_conn_unwatch(struct xs_conn *c, unsigned watch);

/* One attempt at a transaction's work: 0 to commit, -errno to abort and return it. */
typedef int (*xs_transaction_fn)(struct xs_conn *c, xs_transaction_t t, void *arg);
/*
 * Runs fn in a transaction, again when others changed what it read; what is written or removed
 * counts as read. 0 or -errno. For nodes of dom0 alone: a VM that wrote into one of them without
 * pause would keep the daemon from everything else.
 */
int xs_conn_transact(struct xs_conn *c, xs_transaction_fn fn, void *arg);
/*
 * The same for nodes that a VM may write, or have the kernel of dom0 write. It gives up soon, with
 * -EAGAIN: the caller does without, or comes back to it after a while.
 */
int xs_conn_transact_briefly(struct xs_conn *c, xs_transaction_fn fn, void *arg);

/*
 * All with a transaction or XBT_NULL; 0 or -errno. `xs_read_into` stores at most max - 1 bytes and
 * a NUL and sets *len to the value's true length.
 */
int xs_read_into(struct xs_conn *c, xs_transaction_t t, const char *path, char *out, size_t max,
	size_t *len);
int xs_put(struct xs_conn *c, xs_transaction_t t, const char *path, const char *value);
int xs_put_number(struct xs_conn *c, xs_transaction_t t, const char *path, uint64_t value);
/* Removing what is not there is no error. */
int xs_remove(struct xs_conn *c, xs_transaction_t t, const char *path);
bool xs_exists(struct xs_conn *c, xs_transaction_t t, const char *path);
/* A node of dom0's, empty if it is new, on which `domid` has `access` (XS_PERM_...) and nobody
 * else. */
int xs_make_node(
	struct xs_conn *c, xs_transaction_t t, const char *path, uint32_t domid, unsigned access);
/* Gives a node that is there the permissions which xs_make_node gives. */
int xs_grant(
	struct xs_conn *c, xs_transaction_t t, const char *path, uint32_t domid, unsigned access);
/* Whether there is such a node with just the permissions that xs_make_node gives. */
bool xs_is_node(
	struct xs_conn *c, xs_transaction_t t, const char *path, uint32_t domid, unsigned access);
/* A node that `domid` owns and dom0 may read: a front end's folder. */
int xs_make_guest_node(struct xs_conn *c, xs_transaction_t t, const char *path, uint32_t domid);
/* The names of a node's children, to be freed with free(); *n is 0 when there is no such node. */
int xs_list(struct xs_conn *c, xs_transaction_t t, const char *path, char ***names, unsigned *n);

#endif
