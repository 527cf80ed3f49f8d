/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers of the user that are to hold the next time as well: lines in a file of their own, in the
 * administrator's folder (always) or the session's (until the host is restarted). Only of one VM to
 * another, both by name; never of DisposableVMs, whose names are other VMs' the next day.
 *
 * Each change is made in one step: whoever reads sees the old file or the new one, and when it
 * fails the old one stays. Two programs that change it at a time wait for each other, a second
 * long.
 */
#ifndef QFX_POLICY_ANSWERS_H
#define QFX_POLICY_ANSWERS_H

#include <stdbool.h>

#include "policy_set.h"

enum policy_how_long {
	POLICY_THIS_SESSION,
	POLICY_ALWAYS,
};

struct policy_answer {
	char source[QPEN_NAME_MAX + 1];
	char dest[QPEN_NAME_MAX + 1];
	enum policy_action action;
	enum policy_how_long how_long;
};

/* Whether a rule for these names can be written at all: a pendrive, from a VM to a VM. */
bool policy_answers_may_hold(enum policy_service service, const char *source, const char *dest);

/*
 * Remembers `action`, which is not POLICY_ASK, in place of an older answer for the two. One that is
 * to hold always ends the session's as well, which would beat it.
 * FALSE with error set: POLICY_ERROR_REFUSED if a DisposableVM takes part or dom0, else because the
 * file could not be written.
 */
gboolean policy_answers_add(const struct policy_places *places, const struct policy_query *query,
	enum policy_action action, enum policy_how_long how_long, GError **error);

/* A GArray of struct policy_answer, the session's first; or NULL with error set. */
GArray *policy_answers_list(const struct policy_places *places, GError **error);

/* Forgets both answers for the two. *n_forgotten may be 0. FALSE with error set. */
gboolean policy_answers_forget(const struct policy_places *places, const char *source,
	const char *dest, guint *n_forgotten, GError **error);

/* Forgets all answers that were for this session. FALSE with error set. */
gboolean policy_answers_end_session(const struct policy_places *places, GError **error);

#endif
