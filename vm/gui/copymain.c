/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qvm-copy-gui: the window that `qvm-copy-to-vm --gui` and `qvm-move-to-vm --gui` open. It copies
 * nothing itself and does not speak with dom0; both is done by the program it was called from.
 */
#include "copywindow.h"
#include "frame.h"

static void on_start(void *ctx, GtkApplication *application, gboolean move, char **files)
{
	struct copywindow **window = ctx;

	*window = copywindow_create(application, move, files);
}

static void on_signal(void *ctx)
{
	struct copywindow **window = ctx;

	copywindow_stop(*window);
}

static int on_end(void *ctx, int application_status)
{
	struct copywindow **window = ctx;
	int status = copywindow_status(*window);

	(void)application_status;
	copywindow_destroy(*window);
	return status;
}

int main(int argc, char **argv)
{
	struct copywindow *window = NULL;
	const struct frame_words words = {
		.program = "qvm-copy-gui",
		.summary = "The window of qvm-copy-to-vm and qvm-move-to-vm.",
		.option = "move",
		.option_help = "Delete the files here when they were delivered",
		.instead = "qvm-copy-to-vm VM FILE...",
	};
	const struct frame_events events = {&window, on_start, on_signal, on_end};

	return frame_main(&words, &events, argc, argv);
}
