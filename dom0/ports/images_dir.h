/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real images port: sparse files in a folder of dom0's. */
#ifndef QFX_IMAGES_DIR_H
#define QFX_IMAGES_DIR_H

#include "events.h"
#include "images.h"

struct images_dir;

/*
 * `dir` is made if it is missing, mode 0700, and locked: one daemon alone may work with it.
 * `reserve_bytes` of the file system stay free.
 * NULL after a logged error. Free with images_dir_destroy.
 */
struct images_dir *images_dir_create(
	const char *dir, uint64_t reserve_bytes, const struct port_events *events);
void images_dir_destroy(struct images_dir *s);
void images_dir_set_reserve(struct images_dir *s, uint64_t reserve_bytes);
struct images_port images_dir_port(struct images_dir *s);

#endif
