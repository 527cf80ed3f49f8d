/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A header and one file's bytes onto a bare pendrive: in large blocks and past the page cache where
 * the device allows it. reader.h has the way off it.
 */
#ifndef QFX_VM_BULK_H
#define QFX_VM_BULK_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How large a pendrive must be for a file of that size. */
uint64_t bulk_room(uint64_t file_bytes);

/*
 * Writes the header for `name` and the whole of the open file `file` to the device at
 * `device_path`, and waits until it is there. Exactly as many bytes as the header says: it is an
 * error (VM_EXIT_FAILED) when the file changes meanwhile, in size or in time of modification.
 */
bool bulk_write(const char *device_path, const char *name, int file, GError **error);

/*
 * Told of each block of the file, in order and before it is written: `len` of its bytes, which may
 * be 0 for an empty file. False ends the writing with VM_EXIT_INTERRUPTED.
 */
struct bulk_watcher {
	bool (*on_block)(const void *bytes, size_t len, void *data);
	void *data;
};

/* bulk_write, and `watcher` (may be NULL) sees every byte that is sent. */
bool bulk_write_watched(const char *device_path, const char *name, int file,
	const struct bulk_watcher *watcher, GError **error);

#endif
