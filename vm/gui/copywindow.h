/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The window of `qvm-copy-to-vm --gui`: asks where to, runs the program that copies, shows what
 * that says, and interrupts it when the user has had enough.
 */
#ifndef QFX_VM_GUI_COPYWINDOW_H
#define QFX_VM_GUI_COPYWINDOW_H

#include <gtk/gtk.h>

struct copywindow;

/* Shows it; it is one of the application's windows and ends with it. `files` must outlive it. */
struct copywindow *copywindow_create(GtkApplication *application, gboolean move, char **files);
void copywindow_destroy(struct copywindow *window);

/* Interrupts what runs, and closes the window when that has ended. */
void copywindow_stop(struct copywindow *window);

/* What this program shall exit with: 0 delivered, else as the program that copied. */
int copywindow_status(const struct copywindow *window);

#endif
