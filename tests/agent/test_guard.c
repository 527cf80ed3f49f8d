/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The focus clock and the keys: what counts, and when. */
#include <glib.h>

#include "guard.h"

enum step {
	END,
	FOCUS,   /* at a time */
	BLUR,    /* at a time */
	TICKS,   /* up to and with a time, every GUARD_TICK_MS */
	JUMP,    /* one tick at a time, whatever came before */
	HELD,    /* a key */
	PRESS,   /* a key; counts */
	IGNORED, /* a key is pressed; does not count */
	RELEASE, /* a key */
	OPEN,
	CLOSED,
	CLOSABLE,     /* at a time */
	NOT_CLOSABLE, /* at a time */
};

struct row {
	const char *label;
	struct {
		enum step step;
		int n;
	} steps[24];
};

static const struct row rows[] = {
	{"closed from the start", {{CLOSED, 0}, {TICKS, 5000}, {CLOSED, 0}, {IGNORED, 36}}},
	{"a second of focus opens it",
		{{FOCUS, 100}, {TICKS, 1050}, {CLOSED, 0}, {TICKS, 1100}, {OPEN, 0}}},
	{"a millisecond less does not",
		{{FOCUS, 0}, {TICKS, 950}, {JUMP, 999}, {CLOSED, 0}, {JUMP, 1000}, {OPEN, 0}}},
	{"a loss starts the second anew",
		{{FOCUS, 0}, {TICKS, 900}, {BLUR, 900}, {FOCUS, 901}, {TICKS, 1900}, {CLOSED, 0},
			{TICKS, 1901}, {JUMP, 1901}, {OPEN, 0}}},
	{"a loss closes it", {{FOCUS, 0}, {TICKS, 1000}, {OPEN, 0}, {BLUR, 1000}, {CLOSED, 0},
				     {TICKS, 9000}, {CLOSED, 0}}},
	{"time without the focus does not count",
		{{FOCUS, 0}, {TICKS, 900}, {BLUR, 900}, {TICKS, 5000}, {FOCUS, 5000}, {CLOSED, 0},
			{TICKS, 5950}, {CLOSED, 0}, {TICKS, 6000}, {OPEN, 0}}},
	{"the focus told twice starts anew too",
		{{FOCUS, 0}, {TICKS, 900}, {FOCUS, 900}, {TICKS, 1850}, {CLOSED, 0}, {TICKS, 1900},
			{OPEN, 0}}},
	{"it stays open", {{FOCUS, 0}, {TICKS, 1000}, {JUMP, 99000}, {OPEN, 0}, {PRESS, 36}}},
	{"a program that stood still starts anew",
		{{FOCUS, 0}, {TICKS, 500}, {JUMP, 1500}, {CLOSED, 0}, {TICKS, 2450}, {CLOSED, 0},
			{TICKS, 2500}, {OPEN, 0}}},
	{"standing still right away",
		{{FOCUS, 0}, {JUMP, 60000}, {CLOSED, 0}, {TICKS, 61000}, {OPEN, 0}}},
	{"a clock that goes back", {{FOCUS, 5000}, {TICKS, 5900}, {JUMP, 10}, {CLOSED, 0},
					   {TICKS, 960}, {CLOSED, 0}, {TICKS, 1010}, {OPEN, 0}}},
	{"a key while it is closed", {{FOCUS, 0}, {IGNORED, 36}, {TICKS, 1000}, {OPEN, 0}}},
	{"an early key that goes on repeating",
		{{FOCUS, 0}, {IGNORED, 36}, {TICKS, 1000}, {OPEN, 0}, {IGNORED, 36}, {IGNORED, 36},
			{RELEASE, 36}, {PRESS, 36}}},
	{"repetitions do not count again", {{FOCUS, 0}, {TICKS, 1000}, {PRESS, 36}, {IGNORED, 36},
						   {IGNORED, 36}, {RELEASE, 36}, {PRESS, 36}}},
	{"a key held since before the focus", {{FOCUS, 0}, {HELD, 36}, {TICKS, 3000}, {IGNORED, 36},
						      {IGNORED, 36}, {RELEASE, 36}, {PRESS, 36}}},
	{"one key does not stand for another",
		{{FOCUS, 0}, {IGNORED, 36}, {TICKS, 1000}, {PRESS, 37}, {PRESS, 44}, {PRESS, 28}}},
	{"a release without a press", {{FOCUS, 0}, {TICKS, 1000}, {RELEASE, 36}, {PRESS, 36}}},
	{"what was down before a loss is forgotten",
		{{FOCUS, 0}, {TICKS, 1000}, {PRESS, 36}, {BLUR, 1000}, {FOCUS, 1100}, {TICKS, 2100},
			{PRESS, 36}}},
	{"cannot be closed before it was open",
		{{NOT_CLOSABLE, 0}, {FOCUS, 0}, {NOT_CLOSABLE, 0}, {TICKS, 950},
			{NOT_CLOSABLE, 950}, {BLUR, 960}, {NOT_CLOSABLE, 960},
			{NOT_CLOSABLE, 9999}}},
	{"can be closed while open, and shortly after",
		{{FOCUS, 0}, {TICKS, 1000}, {CLOSABLE, 9000}, {BLUR, 9000}, {CLOSABLE, 9000},
			{FOCUS, 9100}, {CLOSED, 0}, {CLOSABLE, 9999}, {NOT_CLOSABLE, 10000}}},
	{"the last key code",
		{{FOCUS, 0}, {TICKS, 1000}, {PRESS, GUARD_KEYS - 1}, {IGNORED, GUARD_KEYS - 1}}},
	{"a key code beyond never counts",
		{{FOCUS, 0}, {TICKS, 1000}, {IGNORED, GUARD_KEYS}, {HELD, GUARD_KEYS},
			{RELEASE, GUARD_KEYS}, {IGNORED, GUARD_KEYS}}},
};

static int do_step(struct guard *g, enum step step, int n, int now)
{
	switch (step) {
	case END:
		break;
	case FOCUS:
	case BLUR:
		guard_focus(g, step == FOCUS, n);
		return n;
	case TICKS:
		for (int t = now + GUARD_TICK_MS; t <= n; t += GUARD_TICK_MS)
			guard_tick(g, now = t);
		return now;
	case JUMP:
		guard_tick(g, n);
		return n;
	case HELD:
		guard_held(g, (unsigned)n);
		break;
	case PRESS:
		g_assert_true(guard_press(g, (unsigned)n));
		break;
	case IGNORED:
		g_assert_false(guard_press(g, (unsigned)n));
		break;
	case RELEASE:
		guard_release(g, (unsigned)n);
		break;
	case OPEN:
		g_assert_true(guard_is_open(g));
		break;
	case CLOSED:
		g_assert_false(guard_is_open(g));
		break;
	case CLOSABLE:
		g_assert_true(guard_was_open(g, n));
		break;
	case NOT_CLOSABLE:
		g_assert_false(guard_was_open(g, n));
		break;
	}
	return now;
}

static void test_row(gconstpointer data)
{
	const struct row *row = data;
	struct guard g;
	int now = 0;

	guard_init(&g);
	for (size_t i = 0; row->steps[i].step != END; i++) {
		g_test_message("step %zu", i);
		now = do_step(&g, row->steps[i].step, row->steps[i].n, now);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *path = g_strdup_printf("/guard/%s", rows[i].label);

		g_test_add_data_func(path, &rows[i], test_row);
	}
	return g_test_run();
}
