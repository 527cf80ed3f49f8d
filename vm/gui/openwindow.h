/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that is opened in a DisposableVM: runs qvm-open-in-dvm for it, and has a window as long as
 * there is something to wait for, and when there is something to tell.
 */
#ifndef QFX_VM_GUI_OPENWINDOW_H
#define QFX_VM_GUI_OPENWINDOW_H

#include <gtk/gtk.h>

struct openwindow;

struct openwindow_events {
	void *ctx;
	/* The next file can be opened: this one is open, or never will be. Told once. */
	void (*passed)(void *ctx);
	/* The window is closed, and nothing runs any more; it can be destroyed from here on. */
	void (*finished)(void *ctx, struct openwindow *window, int status);
};

struct openwindow *openwindow_create(GtkApplication *application, const char *file, gboolean view,
	const struct openwindow_events *events);

/* What runs is interrupted; dom0 goes on with what it has begun. Nothing is told any more. */
void openwindow_destroy(struct openwindow *window);

#endif
