/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names of VMs that this user has sent something to, the last one first. A VM does not know
 * which others there are; these it knows because something was delivered there.
 */
#ifndef QFX_VM_GUI_HISTORY_H
#define QFX_VM_GUI_HISTORY_H

#include <glib.h>

#define HISTORY_MAX 20u

/* $XDG_DATA_HOME/qubes-pendrive/destinations; the caller frees it. */
char *history_default_path(void);

/*
 * What is in the file: lines that are VM names, each once, HISTORY_MAX at most; all else in it is
 * passed over. A file that cannot be read has none. g_strfreev().
 */
char **history_load(const char *path);

/*
 * Puts `name`, a VM's name, first. The folder is made where it is missing; the file is replaced as
 * a whole. FALSE: `error` names the file, and it is as it was.
 */
gboolean history_add(const char *path, const char *name, GError **error);

#endif
