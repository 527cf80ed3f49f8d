/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The head of a save file as xl writes it: a header, the VM's configuration, and then libxl's
 * stream. So `xl restore` reads ours, and we read what `xl save` wrote.
 */
#ifndef QFX_DOMAINS_SAVEFILE_H
#define QFX_DOMAINS_SAVEFILE_H

#include "fail.h"

/*
 * Opens a save file and reads its head. Returns the descriptor, at the start of the stream, and
 * in *json the configuration, to be freed with g_free; or -1 with error set. `path` is absolute.
 */
int savefile_open(const char *path, char **json, GError **error);
/* Writes the head to a descriptor at offset 0; the stream comes next. `path` is for messages. */
bool savefile_write_head(int fd, const char *json, const char *path, GError **error);

/*
 * A new save file has no name before it is complete, so one that was half made is gone with its
 * maker. -1 with error set if it cannot be.
 */
int savefile_create(const char *path, GError **error);
/* Makes it durable and gives it its name, in place of one that has it. Does not close it. */
bool savefile_publish(int fd, const char *path, GError **error);

#endif
