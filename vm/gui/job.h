/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One run of qvm-copy-to-vm or qvm-move-to-vm: the command line that it is started with, and what
 * it has said so far. Pure.
 */
#ifndef QFX_VM_GUI_JOB_H
#define QFX_VM_GUI_JOB_H

#include <glib.h>

#include "child.h"
#include "progress.h"
#include "report.h"

struct job {
	gboolean move;
	char **files; /* borrowed */
	char *vm;
	gboolean skip; /* what a pendrive cannot carry */

	/* What it has said. */
	gboolean is_told;        /* there is a state */
	enum report_state state; /* the last one */
	gboolean is_counted;     /* there are totals in `progress` */
	struct progress progress;
	guint64 skipped;
	GPtrArray *cannot; /* struct report: REPORT_CANNOT */
	gboolean done;
	gboolean delivered; /* dom0 has said so; what comes then is deleting */
	int failed;         /* the exit status that it announced; 0: none */
	char *why;          /* with it */
};

/* `files` must live as long as the job. */
void job_init(struct job *job, gboolean move, char **files);
void job_finish(struct job *job);

/* A new run to `vm`: forgets what the last one said. */
void job_begin(struct job *job, const char *vm, gboolean skip);

/* Words for child_start(); g_strfreev(). */
char **job_argv(const struct job *job);

/* Takes in a line of the report. Lines that are not understood are passed over. */
void job_take(struct job *job, const char *line, gint64 now_us);

/* How far the copying is, 0 to 1. */
double job_fraction(const struct job *job);

/* Once it has ended. */
enum job_outcome {
	JOB_DELIVERED,
	JOB_LEFT,        /* of a move: delivered, but not all of it was deleted here */
	JOB_UNSUPPORTED, /* nothing was asked of dom0; `cannot` says what a pendrive cannot carry */
	JOB_CANCELLED,
	JOB_FAILED,
};
enum job_outcome job_outcome(const struct job *job, const struct child_end *end);

/* Why it failed, safe to show; the caller frees it. */
char *job_why(const struct job *job, const struct child_end *end);

#endif
