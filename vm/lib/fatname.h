/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which names a vfat file system carries unchanged. Linux refuses some of the others and silently
 * changes the rest, so they are sorted out before anything is copied. Pure.
 */
#ifndef QFX_VM_FATNAME_H
#define QFX_VM_FATNAME_H

#include <stddef.h>
#include <stdint.h>

enum fatname_result {
	FATNAME_OK,
	FATNAME_EMPTY,
	FATNAME_NOT_UTF8,
	FATNAME_CONTROL,   /* a character below U+0020 */
	FATNAME_CHARACTER, /* one of : ? " * < > | \ or / */
	FATNAME_END,       /* ends in a dot or a space */
	FATNAME_TOO_LONG,  /* more than 255 UTF-16 units */
};

enum fatname_result fatname_check(const char *name, size_t len);

/* Why it cannot be carried, to be read after the name; FATNAME_OK has no text. */
const char *fatname_text(enum fatname_result result);

/* How many directory slots of 32 bytes a sound name takes at most. */
uint32_t fatname_slots(const char *name, size_t len);

/*
 * Two names of one folder meet on vfat exactly if their keys are equal: it does not tell capital
 * ASCII letters from small ones (as Linux mounts it; others fold more). The caller frees it.
 */
char *fatname_key(const char *name);

/* A file's longest length, and the most slots a folder can have, its own two included. */
#define FAT_FILE_MAX_BYTES UINT32_MAX
#define FAT_FOLDER_MAX_SLOTS 65536u
#define FAT_SLOT_BYTES 32u

#endif
