/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loop devices: a read-only window into a block device, and which one stands on what. */
#ifndef QFX_VM_LOOPDEV_H
#define QFX_VM_LOOPDEV_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define LOOPDEV_PATH_BYTES 32

/*
 * The part of `device_fd` from `offset` on, `size` bytes of it, as a new read-only loop device that
 * goes by itself with its last user. Its partition table, if any, is not looked for. Returns a
 * descriptor that keeps it alive and its path in `out_path`; -1: `error` says why.
 */
int loopdev_make(int device_fd, uint64_t offset, uint64_t size, char out_path[LOOPDEV_PATH_BYTES],
	GError **error);

/* A loop device that stands on that device or file, as a path; NULL: none. The caller frees it. */
char *loopdev_find(const struct stat *backing);

/* Whether both are the same device, or the same file. */
bool loopdev_is_same(const struct stat *a, const struct stat *b);

#endif
