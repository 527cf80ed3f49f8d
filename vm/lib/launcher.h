/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which program a file is opened with, as words for execve: no shell ever sees the name. */
#ifndef QFX_VM_LAUNCHER_H
#define QFX_VM_LAUNCHER_H

#include <glib.h>
#include <stdbool.h>

/* Group and keys of the administrator's file. */
#define LAUNCHER_GROUP "open"
#define LAUNCHER_KEY_PROGRAM "program"
#define LAUNCHER_KEY_SERVICES "services"

/*
 * In this order: QPEN_OPENER of the environment, `program` of the file `config` (it need not be
 * there), the desktop's default program for the file's type, mimeopen(1), xdg-open(1). `path` is
 * absolute. NULL: there is none, or the configuration is wrong. Free it with g_strfreev().
 */
char **launcher_choose(const char *config, const char *path, GError **error);

/* What descendants_busy() shall not wait for: ours, and `services` of that file. g_strfreev(). */
char **launcher_services(const char *config);

/*
 * A command line in the notation of desktop entries -> words: quotes as in a shell, and nothing
 * else of one. %f and %F become `path`, %u and %U its URI, %% a %; other codes go. Without any of
 * the four the path is the last word. NULL: it cannot be read.
 */
char **launcher_expand(const char *command, const char *path, GError **error);

#endif
