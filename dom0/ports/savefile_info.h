/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a save file was made from: the record beside it, SAVEFILE.info. Written by the program that
 * makes the save file, when it is complete; read by the daemon, to see whether it is still good.
 */
#ifndef QFX_SAVEFILE_INFO_H
#define QFX_SAVEFILE_INFO_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct savefile_info;

/* Of a VM made from this xl config, with so much memory (0: what the config says). */
struct savefile_info *savefile_info_create(const char *config, uint64_t memory_mib);
void savefile_info_destroy(struct savefile_info *info);

/*
 * Takes down how this file is now: size, time of change, inode and, of a device, its number. Call
 * it before the VM starts, so that a change meanwhile is noticed later. False with error set if
 * there is no such file.
 */
bool savefile_info_add(struct savefile_info *info, const char *path, GError **error);
/* Takes down the save file itself and writes the record beside it, at once or not at all. */
bool savefile_info_write(struct savefile_info *info, const char *savefile, GError **error);

/*
 * Whether the save file is there and was made from that config and memory, and neither it nor a
 * file that it was made from changed since. stat(2) and one small file; never blocks for long.
 */
bool savefile_info_is_current(const char *savefile, const char *config, uint64_t memory_mib);

#endif
