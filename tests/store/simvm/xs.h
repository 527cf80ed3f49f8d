/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dom0's own connection to xenstored, as the toolstack and the backend driver use it.
 *
 * Calls wait for their reply: xenstored never waits for simvm, so this cannot hang. Watch events
 * that come in between are kept and handed out from the loop. Paths are absolute. Functions that
 * return int give 0 or -errno.
 */
#ifndef QFX_SIMVM_XS_H
#define QFX_SIMVM_XS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define XS_NO_TX 0u

/* Connects to the socket, waiting up to a few seconds for it; on_watch gets every watch event. */
void xs_open(const char *socket_path, void (*on_watch)(const char *path, const char *token));

/* The node's value as a new string, or NULL with errno. */
char *xs_read(uint32_t tx, const char *path);

/* Its value as a small number, or fallback when it is missing or something else. */
unsigned int xs_read_number(uint32_t tx, const char *path, unsigned int fallback);

/* The names of its children as a new vector, or NULL with errno. */
char **xs_list(uint32_t tx, const char *path);

int xs_write(uint32_t tx, const char *path, const char *value);
int xs_rm(uint32_t tx, const char *path);

/* Removes path, then each parent that is left without children: libxl__xs_path_cleanup. */
void xs_cleanup(uint32_t tx, const char *path);

int xs_watch(const char *path, const char *token);
void xs_unwatch(const char *path, const char *token);
int xs_introduce(unsigned int domid, unsigned int port);
bool xs_is_introduced(unsigned int domid);

/*
 * Requests sent in one go, whose replies are awaited together. perms as xenstore writes them, for
 * example "n0 r5". xs_flush gives the first error.
 */
void xs_queue_write(uint32_t tx, const char *path, const char *value);
void xs_queue_perms(uint32_t tx, const char *path, const char *perms);
int xs_flush(void);

/*
 * Runs body(tx, context) in a transaction, again as long as it conflicts with another one. When
 * body does not return 0 the transaction is dropped and its result returned.
 */
int xs_transact(int (*body)(uint32_t tx, void *context), void *context);

/* xenstore names errors in words on the wire; 0 is never returned. */
int xs_errno_of(const char *name);

#endif
