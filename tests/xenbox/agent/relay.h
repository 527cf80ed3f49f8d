/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Joins a conversation with the host to the agent in a VM, over a vchan made for it. */
#ifndef XENBOX_RELAY_H
#define XENBOX_RELAY_H

#include "session.h"

/*
 * Pass START and all that follows to the VM, until it is done or the host goes. Returns NULL, or
 * why it did not work (in a static buffer); the stream may then have got a part of a frame.
 */
const char *relay_run(struct stream *host, struct queue *from_host, const struct frame *frame,
	const struct start *start);

#endif
