/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a file holds, as 64 characters: whether it changed is asked by content, not by its times. */
#ifndef QFX_VM_FILEHASH_H
#define QFX_VM_FILEHASH_H

#include <glib.h>
#include <stdbool.h>

#define FILEHASH_CHARS 64

/*
 * The SHA-256, in small hexadecimal letters, of the open regular file from its start to its end.
 * The descriptor's position stays. False: errno says what could not be read.
 */
bool filehash_sha256(int fd, char out[FILEHASH_CHARS + 1]);

/* The same of bytes that come bit by bit; `checksum` is GLib's, for G_CHECKSUM_SHA256. */
void filehash_finish(GChecksum *checksum, char out[FILEHASH_CHARS + 1]);

bool filehash_is_sound(const char *text);

#endif
