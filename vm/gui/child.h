/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that works for a window: what it reports is handed on line by line, what it writes to
 * its standard error is kept, and its end is told once. It is interrupted when this process dies,
 * so that nothing goes on behind the user's back.
 */
#ifndef QFX_VM_GUI_CHILD_H
#define QFX_VM_GUI_CHILD_H

#include <glib.h>

/* Where the program finds the pipe for its report. */
#define CHILD_REPORT_FD 3

struct child_end {
	int status; /* its exit status, or 128 and the number of the signal that ended it */
	const char *message; /* the end of what it wrote to its standard error; any bytes */
};

struct child_events {
	void *ctx;
	/* A line, without its newline; any bytes. */
	void (*line)(void *ctx, const char *untrusted_line);
	/* The last event; the child may be destroyed in it. */
	void (*ended)(void *ctx, const struct child_end *end);
};

struct child;

/*
 * Starts the program `argv`, found in PATH, with no input. The lines come from its standard output,
 * or with `reports` from CHILD_REPORT_FD, and its standard output is this program's. NULL: `error`
 * says why.
 */
struct child *child_start(const char *const *argv, gboolean reports,
	const struct child_events *events, GError **error);

/* As Ctrl-C does; the end is told when it has come. */
void child_interrupt(struct child *child);

/* Interrupts it if it still runs; nothing is told any more. */
void child_destroy(struct child *child);

#endif
