/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the windowed programs of a VM have in common: FILE... and one option, a display, signals. */
#ifndef QFX_VM_GUI_FRAME_H
#define QFX_VM_GUI_FRAME_H

#include <gtk/gtk.h>

struct frame_words {
	const char *program;
	const char *summary;
	const char *option, *option_help; /* the one that it has, without its dashes */
	const char *instead;              /* the command that does it without a window */
};

struct frame_events {
	void *ctx;
	/* Once, with the words it was started with; they last until on_end() returns. */
	void (*on_start)(void *ctx, GtkApplication *application, gboolean option, char **files);
	/* SIGINT, SIGTERM or SIGHUP, not before on_start(). */
	void (*on_signal)(void *ctx);
	/* The last, after on_start(): frees what is left, and gives the exit status. */
	int (*on_end)(void *ctx, int status);
};

/* All of main(). The exit status: VM_EXIT_USAGE, VM_EXIT_FAILED without a display, or on_end()'s.
 */
int frame_main(
	const struct frame_words *words, const struct frame_events *events, int argc, char **argv);

#endif
