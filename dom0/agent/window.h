/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The window of one question. It takes an answer only when its guard is open (guard.h), and at most
 * one; nothing in it is focused or chosen beforehand. It does not decide when the question expires.
 */
#ifndef QFX_WINDOW_H
#define QFX_WINDOW_H

#include <glib.h>

#include "questions.h"

enum block {
	BLOCK_NOT,
	BLOCK_10_MINUTES,
	BLOCK_1_HOUR,
	BLOCK_UNTIL_UNBLOCKED,
};

struct decision {
	gboolean allow;
	const char *remember; /* NULL: this once; or "session", "always" */
	enum block block;     /* BLOCK_NOT if it is allowed */
};

struct window;

/* Once at most; the window is still there, and may be destroyed from within. */
typedef void (*window_decided)(void *ctx, const struct decision *decision);

/* `q` must outlive it. */
struct window *window_create(const struct question *q, window_decided decided, void *ctx);
/* Accepts NULL. */
void window_destroy(struct window *w);
/* "2 more from work"; NULL: none. */
void window_set_waiting(struct window *w, const char *text);
/* To be called every GUARD_TICK_MS: for the guard, and for the time that is shown. */
void window_tick(struct window *w, gint64 now_ms);

#endif
