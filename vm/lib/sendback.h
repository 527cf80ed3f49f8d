/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A DisposableVM's answer: the edited file on a pendrive of its own, sent to the opener. */
#ifndef QFX_VM_SENDBACK_H
#define QFX_VM_SENDBACK_H

#include <glib.h>
#include <stdbool.h>

struct sendback {
	const char *opener;       /* checked: a VM's name */
	const char *seq;          /* checked */
	const char *name;         /* goes into the header */
	int file;                 /* open for reading; borrowed */
	const unsigned *pauses_s; /* between two tries; NULL: sendback_pauses_s */
	size_t pause_count;
};

/* From seconds to minutes: dom0's daemon is restarted, its disk is made free. */
extern const unsigned sendback_pauses_s[];
extern const size_t sendback_pause_count;

/*
 * Sends it, and tries again after each pause when something went wrong; each try that fails is
 * written to the journal. False: the last error, or VM_EXIT_INTERRUPTED.
 */
bool sendback_run(const struct sendback *answer, GError **error);

#endif
