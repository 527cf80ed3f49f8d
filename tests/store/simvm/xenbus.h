/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The xenbus of one VM: its xenstore ring, and the socket on which the VM's programs reach it.
 *
 * It does what the kernel does between /dev/xen/xenbus and the ring: many clients share one
 * connection to xenstored, so request ids and watch tokens are made unique, a transaction can be
 * used by its owner only, and what a client leaves behind when it closes is cleaned up. All of it
 * is said to xenstored AS that domain.
 */
#ifndef QFX_SIMVM_XENBUS_H
#define QFX_SIMVM_XENBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct xenbus;

/* A reply to a request of the VM's own drivers; error 0 or the errno that xenstored named. */
typedef void (*xenbus_reply_fn)(void *owner, int error, const char *body, size_t length);
typedef void (*xenbus_watch_fn)(void *owner, const char *path);

/*
 * Listens on socket_path. The domain must have been introduced to xenstored before programs
 * connect. NULL with errno on failure.
 */
struct xenbus *xenbus_create(unsigned int domid, const char *socket_path);

/* The domain is gone: closes all clients, forgets all requests without calling anyone. */
void xenbus_destroy(struct xenbus *bus);

/* A paused VM neither takes nor gives a byte. */
void xenbus_set_frozen(struct xenbus *bus, bool is_frozen);

/* xenstored raised the event channel. */
void xenbus_on_event(struct xenbus *bus);

/* A request by one of the VM's own drivers. on_reply may be NULL. */
void xenbus_request(struct xenbus *bus, uint32_t type, uint32_t tx, const void *body, size_t length,
	xenbus_reply_fn on_reply, void *owner);

/* Watches path for a driver until xenbus_unwatch with the same path and owner. */
void xenbus_watch(struct xenbus *bus, const char *path, xenbus_watch_fn on_change, void *owner);
void xenbus_unwatch(struct xenbus *bus, const char *path, void *owner);

#endif
