/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole policy: all rules of all its files, in their order. It is read at once, checked, and
 * never changed; when one line is wrong there is no policy, but an error that names file and line.
 */
#ifndef QFX_POLICY_SET_H
#define QFX_POLICY_SET_H

#include <glib.h>

#include "policy.h"

/* Where the policy is. Both folders are read as if they were one; see policy_set_load. */
struct policy_places {
	const char *dir;     /* the administrator's; includes are relative to it */
	const char *session; /* what holds until the host is restarted */
};
#define POLICY_DIR "/etc/qfilexchgd/policy.d"
#define POLICY_SESSION_DIR "/run/qfilexchgd/policy.d"
#define POLICY_PLACES ((struct policy_places){POLICY_DIR, POLICY_SESSION_DIR})

/* The user's remembered answers, in either folder: what sorts before them beats them. */
#define POLICY_ANSWERS "30-remembered.policy"

#define POLICY_RULES_MAX 10000u
#define POLICY_FILES_MAX 1000u
/* Files that include each other: the chain of them. */
#define POLICY_DEPTH_MAX 8u

struct policy_set;

/*
 * Reads all files called *.policy of both folders, by name in the order of bytes; of two of the
 * same name the session's first. A folder that does not exist is empty. When no file but the
 * remembered answers has a rule, policy_defaults stand at the end.
 * `tried`, if it is not NULL, gets the path of everything outside of the two folders that was read
 * or looked for (g_strdup'ed keys, of a set that frees them), in the case of an error as well:
 * when that changes, the policy may.
 * NULL with error set. Free with policy_set_free.
 */
struct policy_set *policy_set_load(
	const struct policy_places *places, GHashTable *tried, GError **error);
/* The same of one file and what it includes, relative to places->dir; no defaults are added. */
struct policy_set *policy_set_load_file(
	const struct policy_places *places, const char *path, GError **error);
/* No rules at all: everything is denied. Cannot fail. */
struct policy_set *policy_set_empty(void);
/* Accepts NULL. */
void policy_set_free(struct policy_set *set);

/* The rules, in their order; they live as long as the set. */
const struct policy_rule *policy_set_rules(const struct policy_set *set, size_t *n);
struct policy_decision policy_set_decide(
	const struct policy_set *set, const struct policy_query *query);
/* "FILE:LINE", or that it is built in. NULL is allowed: no rule. To be freed with g_free. */
char *policy_set_where(const struct policy_set *set, const struct policy_rule *rule);

/*
 * Whether an answer to this question could be remembered, and would then hold: not if a
 * DisposableVM takes part, and not if the rule that asks stands before the remembered answers.
 * `decision` is policy_set_decide's of the same set and query.
 */
gboolean policy_set_can_remember(const struct policy_set *set, const struct policy_query *query,
	const struct policy_decision *decision);

#endif
