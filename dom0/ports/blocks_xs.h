/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real blocks port: attaches a disk by writing the xenstore nodes that libxl would write, with
 * the device number already filled in, so that no hotplug script runs; and takes it away again.
 */
#ifndef QFX_BLOCKS_XS_H
#define QFX_BLOCKS_XS_H

#include "blocks.h"
#include "events.h"
#include "xs.h"

struct blocks_xs;

/* `image_dir` is absolute. `c` and `events` must outlive it. Free with blocks_xs_destroy. */
struct blocks_xs *blocks_xs_create(
	struct xs_conn *c, const char *image_dir, const struct port_events *events);
void blocks_xs_destroy(struct blocks_xs *b);
struct blocks_port blocks_xs_port(struct blocks_xs *b);

#endif
