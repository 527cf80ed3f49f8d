/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `qvm-copy-to-vm --report=FD` says, line by line, as values. Pure. The lines are described in
 * qvm-copy-to-vm(1).
 */
#ifndef QFX_VM_GUI_REPORT_H
#define QFX_VM_GUI_REPORT_H

#include <glib.h>

enum report_kind {
	REPORT_TOTAL,    /* bytes and files that there are to copy */
	REPORT_CANNOT,   /* a pendrive cannot carry `path`; `text` says why */
	REPORT_STATE,    /* what is going on: `state` */
	REPORT_PROGRESS, /* bytes and files that were copied */
	REPORT_SKIPPED,  /* so many `files` were left out */
	REPORT_FAILED,   /* it will end with exit status `status`; `text` says why */
	REPORT_DONE,     /* delivered, and everything that comes behind that */
};

/* X(enumerator, word on the line, the same for people) */
#define REPORT_STATES(X)                                                                           \
	X(SCANNING, "scanning", "Looking at the files")                                            \
	X(NEW, "new", "Asking dom0 for a pendrive")                                                \
	X(COPYING, "copying", "Copying")                                                           \
	X(ASKING, "asking", "Waiting for the answer in dom0")                                      \
	X(QUEUED, "queued", "Allowed; waiting until the receiver has unmounted another pendrive")  \
	X(STARTING, "starting", "Allowed; the pendrive is being attached")                         \
	X(DELIVERED, "delivered", "Delivered")                                                     \
	X(DELETING, "deleting", "Delivered; deleting the originals")                               \
	X(CANCELLED, "cancelled", "Cancelled; giving the pendrive back")

#define REPORT_ENUM_STATE_(name, word, people) REPORT_STATE_##name,
enum report_state { REPORT_STATES(REPORT_ENUM_STATE_) };
#undef REPORT_ENUM_STATE_

/* For people; static. */
const char *report_state_words(enum report_state state);

struct report {
	enum report_kind kind;
	guint64 bytes;
	guint64 files;
	enum report_state state;
	int status;
	char *path; /* any bytes but NUL; owned */
	char *text; /* any bytes but NUL; owned */
};

enum report_result {
	REPORT_OK,
	REPORT_UNKNOWN, /* of a later qvm-copy-to-vm: to be passed over */
	REPORT_BROKEN,  /* not a line of this format */
};

/* `line` is without its newline. `out` is set, to be finished, on REPORT_OK alone. */
enum report_result report_parse(const char *line, struct report *out);
void report_finish(struct report *report);

#endif
