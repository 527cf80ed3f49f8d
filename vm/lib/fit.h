/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How large a pendrive must be to hold something. Pure arithmetic; nothing overflows silently. */
#ifndef QFX_VM_FIT_H
#define QFX_VM_FIT_H

#include <stdbool.h>
#include <stdint.h>

#define FIT_MIB (UINT64_C(1) << 20)
#define FIT_GIB (UINT64_C(1) << 30)

/* What every dom0's default can hold: for that no size is asked for, as since 2010. */
#define FIT_PLAIN_BYTES (64 * FIT_MIB)
/* Others are asked for in steps, so that dom0 meets few different sizes: below and above 1 GiB. */
#define FIT_SMALL_STEP_BYTES (64 * FIT_MIB)
#define FIT_STEP_BYTES (256 * FIT_MIB)
/* FAT32 counts sectors of 512 bytes in 32 bits. */
#define FIT_MAX_BYTES (2048 * FIT_GIB - FIT_STEP_BYTES)

/* *sum += bytes rounded up to whole clusters. False: beyond 2^64; `sum` is unchanged. */
bool fit_add(uint64_t *sum, uint64_t bytes, uint32_t cluster_bytes);

/*
 * The size to ask for when whole clusters come to `data_bytes`: with room for the tables, rounded
 * up. 0: dom0's default will do. False: no FAT32 file system is that large.
 */
bool fit_size(uint64_t data_bytes, uint64_t *out_bytes);

#endif
