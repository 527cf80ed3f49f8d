/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the ports report. Every operation of a port that takes time ends in one of these events.
 *
 * The contract of all of them: an event comes from the main loop, never from within a call into a
 * port. Late, repeated and foreign events are allowed; whoever takes them decides by the transfer's
 * id, and for a disk by the VM that had it: what is heard late of the sender's is nothing to the
 * receiver's.
 */
#ifndef QFX_EVENTS_H
#define QFX_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "asker.h"
#include "domains.h"
#include "transfer.h"

struct port_events {
	void *ctx;
	/* A domain may have come or gone: list them anew. */
	void (*domains_changed)(void *ctx);
	/* The VM's mailbox may hold a request, or may have been deleted. */
	void (*mailbox)(void *ctx, uint32_t domid);
	void (*image_made)(void *ctx, uint64_t id);
	void (*image_failed)(void *ctx, uint64_t id, enum qpen_error error);
	void (*image_removed)(void *ctx, uint64_t id);
	/* The VM's front end is connected. */
	void (*disk_attached)(void *ctx, uint64_t id, enum transfer_place place);
	/* The disk could not be attached, or somebody else took it away. */
	void (*disk_lost)(void *ctx, uint64_t id, enum transfer_place place);
	/* The device nodes are gone and nobody has the loop device open: the image is ours alone.
	 */
	void (*disk_detached)(void *ctx, uint64_t id, enum transfer_place place);
	void (*answered)(void *ctx, uint64_t id, const struct answer *answer);
	/* The DisposableVM of that number is there, paused. */
	void (*domain_made)(void *ctx, uint64_t number, uint32_t domid);
	/* It could not be made, or not be made to run; `error` says how: no-memory, timeout,
	 * failed. */
	void (*domain_failed)(void *ctx, uint64_t number, enum qpen_error error);
	void (*domain_unpaused)(void *ctx, uint64_t number);
	void (*domain_destroyed)(void *ctx, uint64_t number);
	/* The save file is there, or could not be made. */
	void (*prepared)(void *ctx, bool ok, enum qpen_error error);
	void (*surveyed)(void *ctx, const struct domain_seen *seen, size_t n, uint64_t free_bytes);
	void (*alarm)(void *ctx);
};

#endif
