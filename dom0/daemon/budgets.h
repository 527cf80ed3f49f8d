/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many questions each VM may still cause, and what the user is told of one that asks too often:
 * once, and then once in a while how many more were refused.
 */
#ifndef QFX_BUDGETS_H
#define QFX_BUDGETS_H

#include <glib.h>

#include "bucket.h"
#include "transfer.h"

/* How long the user hears no more of a VM after having been told that it asks too often. */
#define BUDGETS_NOTICE_MS 300000

struct budgets;

/* Free with budgets_destroy, which accepts NULL. */
struct budgets *budgets_create(void);
void budgets_destroy(struct budgets *b);

/*
 * A VM has a bucket by its name and another by its uuid, and needs a token of both: so neither a
 * reboot, which may give it a new uuid, nor another name gives it new ones.
 */
gboolean budgets_have(struct budgets *b, const struct vm_id *vm, const struct bucket_limits *limits,
	gint64 now_ms);
/* The caller has asked whether there is one. */
void budgets_take(struct budgets *b, const struct vm_id *vm, const struct bucket_limits *limits,
	gint64 now_ms);

/* Nobody waits longer from now on than an empty bucket takes by these. */
void budgets_set_limits(struct budgets *b, const struct bucket_limits *limits, gint64 now_ms);

/* The VM was refused because it has none. TRUE: the user is to be told at once. */
gboolean budgets_refused(struct budgets *b, const char *vm, gint64 now_ms);
/* When budgets_summary has to be asked again; CLOCK_NEVER: it has not. */
gint64 budgets_summary_ms(struct budgets *b);
/*
 * A VM of which the user is to be told now that so many more were refused; the caller frees it.
 * NULL: none (any more).
 */
char *budgets_summary(struct budgets *b, gint64 now_ms, guint *n_refused);

#endif
