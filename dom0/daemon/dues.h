/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is due when: deadlines in their order, over the clock port's one alarm. */
#ifndef QFX_DUES_H
#define QFX_DUES_H

#include <glib.h>

#include "clock.h"

enum due_kind {
	DUE_TRANSFER, /* a transfer's deadline; key: its id */
	DUE_MAILBOX,  /* a VM that asked too often may be heard again; key: its domid */
	DUE_DISPVM,   /* a DisposableVM's deadline; key: its number */
	DUE_POOL,     /* the pool is to be looked at */
	DUE_NOTICES,  /* the user may be told how many more were refused */
};

/* Part of what it belongs to; must be disarmed before that is freed. */
struct due {
	gint64 at_ms;
	enum due_kind kind;
	guint64 key;
	gboolean armed;
};

struct dues;

/* Free with dues_destroy, which disarms nothing. */
struct dues *dues_create(const struct clock_port *clock);
void dues_destroy(struct dues *d);
gint64 dues_now_ms(struct dues *d);
/* Sets it, or sets it anew. */
void dues_arm(struct dues *d, struct due *due, gint64 at_ms);
void dues_disarm(struct dues *d, struct due *due);
/* The alarm rang: the next that is due, disarmed, or NULL; then the alarm is set again. */
struct due *dues_next(struct dues *d);

#endif
