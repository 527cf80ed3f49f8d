/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real rules port: the policy's files, read again when they change. */
#ifndef QFX_RULES_DIR_H
#define QFX_RULES_DIR_H

#include <glib.h>

#include "policy_set.h"
#include "rules.h"

struct rules;

/* Reads them; a policy that is wrong is logged, and then everything is denied until it is right.
 * Free with rules_destroy (accepts NULL). */
struct rules *rules_create(const struct policy_places *places);
void rules_destroy(struct rules *r);
/* When dom0's user says so. The old policy stays in force if the new one is wrong, which is logged.
 */
void rules_reload(struct rules *r);
struct rules_port rules_port(struct rules *r);

/*
 * The same wish is answered alike from now on, until the host is restarted or `always`. FALSE where
 * that must not be, or could not be written.
 */
gboolean rules_remember(struct rules *r, struct policy_query query, gboolean allow, gboolean always,
	GError **error);

#endif
