/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs the program that a file is opened with, and knows when editing is over: also when that
 * program starts another one and returns at once.
 */
#ifndef QFX_VM_EDITING_H
#define QFX_VM_EDITING_H

#include <glib.h>
#include <stdbool.h>

/* How long a file that a program has handed to another one may stay unopened. */
#define EDITING_HANDOVER_MS 20000u

struct editing {
	const char *const *argv;     /* argv[0] is looked for in PATH; no shell */
	const char *folder;          /* the private folder of the file */
	const char *name;            /* of the file in it */
	const char *const *services; /* see descendants_busy() */
	unsigned handover_ms;
};

/*
 * Returns when the program and all that descend from it have ended, services apart, and no other
 * process of this user has something in the folder open or the folder in its command line. If the
 * program ended well and nobody has opened the file by then, somebody else was told to: the first
 * opening is waited for, `handover_ms` at most.
 *
 * *out_status is waitpid(2)'s, of the program itself. False: it could not be started
 * (VM_EXIT_FAILED), or SIGTERM, SIGINT or SIGHUP came (VM_EXIT_INTERRUPTED; what runs then runs
 * on). Makes this process a child subreaper and blocks those signals and SIGCHLD, for good.
 */
bool editing_run(const struct editing *editing, int *out_status, GError **error);

#endif
