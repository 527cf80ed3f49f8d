/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole blocks in and out of pendrives, files and sockets, past the page cache where that can be.
 */
#ifndef QFX_VM_BLOCKIO_H
#define QFX_VM_BLOCKIO_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A whole block is a multiple of every sector size, and blkfront takes it in few requests. */
#define BLOCKIO_BYTES ((size_t)1 << 20)
/* The largest sector of a block device, which O_DIRECT wants addresses and lengths to be of. */
#define BLOCKIO_SECTOR ((size_t)4096)

/* A block of BLOCKIO_BYTES that O_DIRECT takes; NULL with an error when there is no memory. */
unsigned char *blockio_make(GError **error);
void blockio_free(unsigned char *const *block);
#define autoblock __attribute__((cleanup(blockio_free))) unsigned char

/* Sets VM_EXIT_FAILED with "WHAT: what errno says" and returns false, for the caller to return. */
bool blockio_fail(GError **error, int err, const char *what);

/* The size of a block device, or for tests of a regular file. 0 or -errno. */
int blockio_size(int fd, uint64_t *out);

/* Past the page cache from now on, where that can be. */
void blockio_try_direct(int fd);

/*
 * These two give up O_DIRECT where it does not go, and make no other system calls but the one they
 * are named after. How much was read before the end, at most `len`; -1: errno says why not.
 */
ssize_t blockio_read(int fd, unsigned char *bytes, size_t len, uint64_t at);
bool blockio_write(int fd, const unsigned char *bytes, size_t len, uint64_t at);

/* All of it into a socket, and all of it out, or until its end; -1 or false: errno says why not. */
bool blockio_put(int socket, const void *bytes, size_t len);
ssize_t blockio_get(int socket, void *bytes, size_t len);

#endif
