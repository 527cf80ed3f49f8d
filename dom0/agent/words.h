/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the agent shows, as text for people. Pure. Every result is to be freed with g_free. */
#ifndef QFX_WORDS_H
#define QFX_WORDS_H

#include "questions.h"

/*
 * A name as it may be shown: printable characters only, others as \xNN or \u{N}, no more than 64
 * of them. The daemon hands on names of a small alphabet; this does not rely on it. Characters that
 * turn the direction of writing, or that have no width, are not printable here.
 */
char *words_name(const char *name);
/* "work (red)", for people who cannot tell the colours, and for those who hear them. */
char *words_vm(const char *name, const char *label);
char *words_kind(const char *kind);
/* "1.0 GiB, 12.0 MiB of it used" */
char *words_size(const struct question *q);
/* "Refused by itself in 42 s"; rounds up, so that 0 is not shown while it can be answered. */
char *words_countdown(gint64 left_ms);
/* The whole question in one sentence, for whoever hears it. */
char *words_question(const struct question *q);

/* A notification: `what` and `details` of the signal Notice. *body may be "". */
void words_notice(const char *what, GVariant *details, char **title, char **body);
/* Line after the body when others were left out; NULL for none. */
char *words_left_out(guint n, const char *vm);

/* The states of transfers and DisposableVMs, as the daemon names them, for people. */
char *words_state(const char *state);

#endif
