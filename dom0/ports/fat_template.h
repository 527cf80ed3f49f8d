/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fresh FAT32 file system of some size, kept as the few sectors of it that are not zero, so that
 * mkfs.vfat need run once per size only. A copy gets its own serial number and label.
 */
#ifndef QFX_FAT_TEMPLATE_H
#define QFX_FAT_TEMPLATE_H

#include <stdint.h>

/* Also what mkfs.vfat -n takes at most. */
#define FAT_LABEL_LEN 11u
/* Smaller ones gain nobody anything. FAT32 is what the boot sector says it is, for mkfs.vfat -F 32
   as for Linux; by the number of its clusters it would be from 256 MiB on. */
#define FAT_MIN_BYTES (UINT64_C(64) << 20)

struct fat_template;

/*
 * Reads the file system that mkfs.vfat has just made in the file `fd`, which holds it and nothing
 * else. 0, or -EINVAL when it is not a FAT32 such as mkfs.vfat makes, or -errno.
 */
int fat_template_read(int fd, struct fat_template **out);
/* Accepts NULL. */
void fat_template_destroy(struct fat_template *tpl);
/* How large the file system is, in bytes. */
uint64_t fat_template_size(const struct fat_template *tpl);
/*
 * Writes a copy at `offset` of the file `fd`, which must read as zeros there. `label` is padded
 * with blanks. 0 or -errno; -ENOSPC is to be expected.
 */
int fat_template_write(const struct fat_template *tpl, int fd, uint64_t offset, uint32_t serial,
	const char label[FAT_LABEL_LEN]);

/*
 * A VM's name as a label: upper case, what a label cannot hold made `_`, cut to 11 characters and
 * padded with blanks.
 */
void fat_label(const char *name, char out[FAT_LABEL_LEN]);

#endif
