/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the file system of an ordinary pendrive is laid out. dom0 has it made so, and a VM reckons
 * with it how large a pendrive must be.
 */
#ifndef QFX_QPEN_FAT_H
#define QFX_QPEN_FAT_H

#include <stdint.h>

/*
 * The largest that vfat has, and a page of the VM's kernel: that maps and writes each page at once,
 * and not in the eight parts that sectors of 512 bytes would make (docs/PERFORMANCE.md).
 */
#define QPEN_FAT_SECTOR_BYTES 4096u

/* Never less than a sector: clusters of 512 bytes cost twice the time of 4096. */
static inline uint32_t qpen_fat_cluster_bytes(uint64_t size_bytes)
{
	const uint64_t gib = UINT64_C(1) << 30;

	/* As Microsoft's format and mkfs.vfat have it from 260 MB on, so that the tables stay
	 * small. */
	if (size_bytes <= 8 * gib)
		return 4096;
	if (size_bytes <= 16 * gib)
		return 8192;
	if (size_bytes <= 32 * gib)
		return 16384;
	return 32768;
}

#endif
