/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands in for systemd: every state with every event, and the stories that matter. */
#include <glib.h>

#include "supervise.h"

#define KEEP SUPERVISE_KEEP_TIMER
#define END SUPERVISE_END_MS
#define REST SUPERVISE_REST_MS

static const struct {
	enum supervise_state state;
	enum supervise_event event;
	enum supervise_action action;
	int timer_ms;
	enum supervise_state then;
} rows[] = {
	{SUPERVISE_IDLE, SUPERVISE_CAME, SUPERVISE_START, 0, SUPERVISE_WORKING},
	{SUPERVISE_IDLE, SUPERVISE_WENT, SUPERVISE_NOTHING, KEEP, SUPERVISE_IDLE},
	{SUPERVISE_IDLE, SUPERVISE_ENDED, SUPERVISE_NOTHING, KEEP, SUPERVISE_IDLE},
	{SUPERVISE_IDLE, SUPERVISE_FAILED, SUPERVISE_NOTHING, KEEP, SUPERVISE_IDLE},
	{SUPERVISE_IDLE, SUPERVISE_DUE, SUPERVISE_NOTHING, KEEP, SUPERVISE_IDLE},
	{SUPERVISE_IDLE, SUPERVISE_STOP, SUPERVISE_QUIT, 0, SUPERVISE_OVER},

	{SUPERVISE_WORKING, SUPERVISE_CAME, SUPERVISE_NOTHING, KEEP, SUPERVISE_WORKING},
	{SUPERVISE_WORKING, SUPERVISE_WENT, SUPERVISE_TERMINATE, END, SUPERVISE_ENDING},
	{SUPERVISE_WORKING, SUPERVISE_ENDED, SUPERVISE_NOTHING, 0, SUPERVISE_IDLE},
	{SUPERVISE_WORKING, SUPERVISE_FAILED, SUPERVISE_NOTHING, REST, SUPERVISE_RESTING},
	{SUPERVISE_WORKING, SUPERVISE_DUE, SUPERVISE_NOTHING, KEEP, SUPERVISE_WORKING},
	{SUPERVISE_WORKING, SUPERVISE_STOP, SUPERVISE_TERMINATE, END, SUPERVISE_ENDING},

	{SUPERVISE_ENDING, SUPERVISE_CAME, SUPERVISE_NOTHING, KEEP, SUPERVISE_ENDING},
	{SUPERVISE_ENDING, SUPERVISE_WENT, SUPERVISE_NOTHING, KEEP, SUPERVISE_ENDING},
	{SUPERVISE_ENDING, SUPERVISE_ENDED, SUPERVISE_NOTHING, 0, SUPERVISE_IDLE},
	{SUPERVISE_ENDING, SUPERVISE_FAILED, SUPERVISE_NOTHING, 0, SUPERVISE_IDLE},
	{SUPERVISE_ENDING, SUPERVISE_DUE, SUPERVISE_KILL, 0, SUPERVISE_ENDING},
	{SUPERVISE_ENDING, SUPERVISE_STOP, SUPERVISE_NOTHING, KEEP, SUPERVISE_ENDING},

	{SUPERVISE_RESTING, SUPERVISE_CAME, SUPERVISE_START, 0, SUPERVISE_WORKING},
	{SUPERVISE_RESTING, SUPERVISE_WENT, SUPERVISE_NOTHING, 0, SUPERVISE_IDLE},
	{SUPERVISE_RESTING, SUPERVISE_ENDED, SUPERVISE_NOTHING, KEEP, SUPERVISE_RESTING},
	{SUPERVISE_RESTING, SUPERVISE_FAILED, SUPERVISE_NOTHING, KEEP, SUPERVISE_RESTING},
	{SUPERVISE_RESTING, SUPERVISE_DUE, SUPERVISE_START, 0, SUPERVISE_WORKING},
	{SUPERVISE_RESTING, SUPERVISE_STOP, SUPERVISE_QUIT, 0, SUPERVISE_OVER},

	{SUPERVISE_OVER, SUPERVISE_CAME, SUPERVISE_NOTHING, KEEP, SUPERVISE_OVER},
	{SUPERVISE_OVER, SUPERVISE_WENT, SUPERVISE_NOTHING, KEEP, SUPERVISE_OVER},
	{SUPERVISE_OVER, SUPERVISE_ENDED, SUPERVISE_NOTHING, KEEP, SUPERVISE_OVER},
	{SUPERVISE_OVER, SUPERVISE_FAILED, SUPERVISE_NOTHING, KEEP, SUPERVISE_OVER},
	{SUPERVISE_OVER, SUPERVISE_DUE, SUPERVISE_NOTHING, KEEP, SUPERVISE_OVER},
	{SUPERVISE_OVER, SUPERVISE_STOP, SUPERVISE_NOTHING, KEEP, SUPERVISE_OVER},
};

static void test_matrix(void)
{
	g_assert_cmpuint(G_N_ELEMENTS(rows), ==, (SUPERVISE_OVER + 1) * (SUPERVISE_STOP + 1));
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct supervise s = {.state = rows[i].state, .present = true};
		struct supervise_step step;

		g_test_message("state %d, event %d", rows[i].state, rows[i].event);
		for (size_t j = 0; j < i; j++)
			g_assert_false(
				rows[i].state == rows[j].state && rows[i].event == rows[j].event);
		step = supervise_step(&s, rows[i].event);
		g_assert_cmpint(step.action, ==, rows[i].action);
		g_assert_cmpint(step.timer_ms, ==, rows[i].timer_ms);
		g_assert_cmpint(s.state, ==, rows[i].then);
	}
}

static enum supervise_action play(
	struct supervise *s, const enum supervise_event *events, size_t count)
{
	enum supervise_action last = SUPERVISE_NOTHING;

	for (size_t i = 0; i < count; i++)
		last = supervise_step(s, events[i]).action;
	return last;
}

#define PLAY(s, ...)                                                                               \
	play(s, (const enum supervise_event[]){__VA_ARGS__},                                       \
		sizeof((const enum supervise_event[]){__VA_ARGS__}) /                              \
			sizeof(enum supervise_event))

/* The next pendrive may come before the worker of the last one has ended. */
static void test_next_one_comes_early(void)
{
	struct supervise s = {0};

	g_assert_cmpint(
		PLAY(&s, SUPERVISE_CAME, SUPERVISE_WENT, SUPERVISE_CAME), ==, SUPERVISE_NOTHING);
	g_assert_cmpint(supervise_step(&s, SUPERVISE_FAILED).action, ==, SUPERVISE_START);
	/* ... and go as well. */
	g_assert_cmpint(PLAY(&s, SUPERVISE_WENT, SUPERVISE_CAME, SUPERVISE_WENT, SUPERVISE_ENDED),
		==, SUPERVISE_NOTHING);
	g_assert_cmpint(s.state, ==, SUPERVISE_IDLE);
}

/* One that was given back is not served again, though its device is still there for a moment. */
static void test_served_once(void)
{
	struct supervise s = {0};

	g_assert_cmpint(PLAY(&s, SUPERVISE_CAME, SUPERVISE_ENDED), ==, SUPERVISE_NOTHING);
	g_assert_cmpint(PLAY(&s, SUPERVISE_WENT, SUPERVISE_CAME), ==, SUPERVISE_START);
}

/* The worker fails because its device was pulled, and is heard of first. */
static void test_fails_with_the_device(void)
{
	struct supervise s = {0};

	PLAY(&s, SUPERVISE_CAME, SUPERVISE_FAILED, SUPERVISE_WENT);
	g_assert_cmpint(s.state, ==, SUPERVISE_IDLE);
}

static void test_rests_longer(void)
{
	static const int want_ms[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
	struct supervise s = {0};

	supervise_step(&s, SUPERVISE_CAME);
	for (size_t i = 0; i < G_N_ELEMENTS(want_ms); i++) {
		g_assert_cmpint(supervise_step(&s, SUPERVISE_FAILED).timer_ms, ==, want_ms[i]);
		g_assert_cmpint(supervise_step(&s, SUPERVISE_DUE).action, ==, SUPERVISE_START);
	}
	for (unsigned i = 0; i < 100; i++)
		PLAY(&s, SUPERVISE_FAILED, SUPERVISE_DUE);
	g_assert_cmpint(supervise_step(&s, SUPERVISE_FAILED).timer_ms, ==, 60000);
	/* Another pendrive begins anew. */
	PLAY(&s, SUPERVISE_WENT, SUPERVISE_CAME);
	g_assert_cmpint(supervise_step(&s, SUPERVISE_FAILED).timer_ms, ==, 1000);
}

static void test_stops_when_the_worker_has(void)
{
	struct supervise s = {0};

	PLAY(&s, SUPERVISE_CAME);
	g_assert_cmpint(supervise_step(&s, SUPERVISE_STOP).action, ==, SUPERVISE_TERMINATE);
	g_assert_cmpint(PLAY(&s, SUPERVISE_WENT, SUPERVISE_CAME), ==, SUPERVISE_NOTHING);
	g_assert_cmpint(supervise_step(&s, SUPERVISE_DUE).action, ==, SUPERVISE_KILL);
	g_assert_cmpint(supervise_step(&s, SUPERVISE_FAILED).action, ==, SUPERVISE_QUIT);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vm/supervise/matrix", test_matrix);
	g_test_add_func("/vm/supervise/next-one-comes-early", test_next_one_comes_early);
	g_test_add_func("/vm/supervise/served-once", test_served_once);
	g_test_add_func("/vm/supervise/fails-with-the-device", test_fails_with_the_device);
	g_test_add_func("/vm/supervise/rests-longer", test_rests_longer);
	g_test_add_func("/vm/supervise/stops-when-the-worker-has", test_stops_when_the_worker_has);
	return g_test_run();
}
