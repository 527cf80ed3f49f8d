/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way from a program on the command line to its window. */
#ifndef QFX_VM_GUI_H
#define QFX_VM_GUI_H

#include <glib.h>
#include <stdbool.h>

/* Whether the first argument is --gui. */
bool gui_wanted(char *const *argv);

/*
 * Becomes the program of /usr/lib/qubes that copies with a window, with what stands behind --gui,
 * and --move before it if that is wanted. Comes back, with `error`, only if it cannot be run.
 * QPEN_PROGRAMS in the environment names another folder, for tests.
 */
bool gui_become(char *const *argv, bool move, GError **error);

/* The same for the one that opens files in DisposableVMs. */
bool gui_become_opener(char *const *argv, GError **error);

#endif
