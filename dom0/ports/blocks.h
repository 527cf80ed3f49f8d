/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Port: lends an image to a VM as a block device and takes it back. Everything is asynchronous and
 * idempotent; see events.h for how it ends.
 */
#ifndef QFX_BLOCKS_H
#define QFX_BLOCKS_H

#include "transfer.h"

struct blocks_port {
	void *ctx;
	/*
	 * Attaches t's image to the VM that t->place names, read-write to the sender, read-only to
	 * the receiver. The device nodes, t's record and the keys that tell the receiver of it are
	 * written in one transaction. Ends in disk_attached or disk_lost.
	 */
	void (*attach)(void *ctx, const struct transfer *t);
	/* Asks the VM to let go. Ends in disk_detached, once nobody has the image open any more. */
	void (*detach)(void *ctx, const struct transfer *t);
	/* Takes the nodes away without asking; then as detach. */
	void (*detach_force)(void *ctx, const struct transfer *t);
	/* Stops waiting: no event will come for t. The kernel frees the loop device when it can. */
	void (*abandon)(void *ctx, const struct transfer *t);
	/* After a restart: takes up a disk that a former daemon attached. Ends in attached or lost.
	 */
	void (*resume)(void *ctx, const struct transfer *t);
	/* After all resumes: frees loop devices over our images that no transfer knows. */
	void (*sweep)(void *ctx);
};

#endif
