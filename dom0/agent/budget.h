/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many notifications a VM may cause: BUDGET_PER_MINUTE, and what is beyond is counted. Pure. */
#ifndef QFX_BUDGET_H
#define QFX_BUDGET_H

#include <glib.h>

#define BUDGET_PER_MINUTE 5

struct budget;

struct budget *budget_create(void);
/* Accepts NULL. */
void budget_destroy(struct budget *b);
/*
 * True: one more may be shown on behalf of `vm` now; *left_out is how many were not, since the last
 * that was. `now_ms` is by a clock that does not jump.
 */
gboolean budget_take(struct budget *b, const char *vm, gint64 now_ms, guint *left_out);

#endif
