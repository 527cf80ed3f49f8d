/* SPDX-License-Identifier: GPL-2.0-or-later */
#define G_LOG_DOMAIN "qfilexchg-agent"
#include "asking.h"

#include "guard.h"

struct asking {
	struct asking_effects effects;
	struct questions questions;
	struct window *window;
	const struct question *shown; /* in the window */
	guint timer;                  /* while there is a question */
};

static const guint block_seconds[] = {
	[BLOCK_NOT] = 0,
	[BLOCK_10_MINUTES] = 10 * 60,
	[BLOCK_1_HOUR] = 60 * 60,
	[BLOCK_UNTIL_UNBLOCKED] = 0,
};

static void update(struct asking *a);

static gint64 now(void)
{
	return g_get_monotonic_time() / 1000;
}

/* Takes over `q`, which is in the queue no more. Its window may be open still, until `update`. */
static void answer(struct asking *a, struct question *q, gboolean allow)
{
	a->effects.answer(a->effects.ctx, q->call, allow);
	if (a->shown == q) {
		g_clear_pointer(&a->window, window_destroy);
		a->shown = NULL;
	}
	question_free(q);
}

static void on_decided(void *ctx, const struct decision *decision)
{
	struct asking *a = ctx;
	struct question *q = questions_take(&a->questions, a->shown->id);

	if (decision->block != BLOCK_NOT)
		a->effects.block(a->effects.ctx, q->sender, block_seconds[decision->block]);
	else if (decision->remember)
		a->effects.remember(a->effects.ctx, q->id, decision->allow, decision->remember);
	answer(a, q, decision->allow);
	update(a);
}

static gboolean on_tick(gpointer data)
{
	struct asking *a = data;
	struct question *q;
	gboolean any = FALSE;

	while ((q = questions_take_expired(&a->questions, now()))) {
		answer(a, q, FALSE);
		any = TRUE;
	}
	if (any)
		update(a);
	else if (a->window)
		window_tick(a->window, now());
	return a->timer ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static void update_timer(struct asking *a)
{
	if (a->questions.current && !a->timer)
		a->timer = g_timeout_add(GUARD_TICK_MS, on_tick, a);
	if (!a->questions.current && a->timer) {
		g_source_remove(a->timer);
		a->timer = 0;
	}
}

/* Makes the screen agree with the queue. */
static void update(struct asking *a)
{
	struct question *current = a->questions.current;
	g_autofree char *waiting = questions_waiting(&a->questions);

	if (current && a->shown != current) {
		a->window = window_create(current, on_decided, a);
		a->shown = current;
	}
	if (a->window)
		window_set_waiting(a->window, waiting);
	update_timer(a);
}

void asking_add(struct asking *a, struct question *q)
{
	struct question *older = questions_take(&a->questions, q->id);

	if (older)
		answer(a, older, FALSE);
	if (!questions_add(&a->questions, q)) {
		g_warning("refused a question of %s: more than %d wait", q->sender, QUESTIONS_MAX);
		answer(a, q, FALSE);
	}
	update(a);
}

void asking_withdraw(struct asking *a, guint64 id)
{
	struct question *q = questions_take(&a->questions, id);

	if (!q)
		return;
	answer(a, q, FALSE);
	update(a);
}

void asking_withdraw_all(struct asking *a)
{
	struct question *q;

	while ((q = questions_take_any(&a->questions)))
		answer(a, q, FALSE);
	update(a);
}

struct asking *asking_create(const struct asking_effects *effects)
{
	struct asking *a = g_new0(struct asking, 1);

	a->effects = *effects;
	questions_init(&a->questions);
	return a;
}

void asking_destroy(struct asking *a)
{
	if (!a)
		return;
	if (a->timer)
		g_source_remove(a->timer);
	window_destroy(a->window);
	questions_clear(&a->questions);
	g_free(a);
}
