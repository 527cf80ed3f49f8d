/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lives at random, each from a seed: nothing may ever break a promise, and at the end nothing is
 * left. QFX_SEED=n repeats one life and tells it; QFX_RUNS=n says how many, QFX_STEPS how long they
 * are.
 */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drive.h"

#define RUNS 4000
#define STEPS 300

/* SplitMix64: a seed of any shape gives a good sequence, and the same one on every machine. */
struct random {
	uint64_t state;
	unsigned left;
};

static uint64_t next(struct random *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint32_t below(void *ctx, uint32_t n)
{
	return (uint32_t)((next(ctx) >> 32) * n >> 32);
}

static bool at_end(void *ctx)
{
	struct random *r = ctx;

	return r->left == 0 || r->left-- == 0;
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
	const char *text = g_getenv(name);

	return text ? g_ascii_strtoull(text, NULL, 0) : otherwise;
}

static struct sim *live(uint64_t seed, unsigned steps, bool trace)
{
	struct random r = {.state = seed, .left = steps};
	const struct choices c = {.ctx = &r, .below = below, .at_end = at_end};

	return drive_run(&c, trace);
}

static void explore(uint64_t seed, unsigned steps, unsigned visits[TRANSFER_N_STATES])
{
	struct sim *sim = live(seed, steps, false);

	for (int s = 0; s < TRANSFER_N_STATES; s++)
		visits[s] += sim->visits[s];
	if (sim->violation) {
		printf("# seed %" PRIu64 ": %s\n", seed, sim->violation);
		sim_free(live(seed, steps, true));
		printf("# repeat it with QFX_SEED=%" PRIu64 " QFX_STEPS=%u\n", seed, steps);
		g_error("a promise was broken: %s", sim->violation);
	}
	sim_free(sim);
}

static void test_explore(void)
{
	unsigned steps = (unsigned)number_from("QFX_STEPS", STEPS);
	uint64_t runs = number_from("QFX_RUNS", RUNS);
	uint64_t first = ((uint64_t)g_random_int() << 16) + 1;
	unsigned visits[TRANSFER_N_STATES] = {0};
	gint64 start = g_get_monotonic_time();

	if (g_getenv("QFX_SEED")) {
		sim_free(live(number_from("QFX_SEED", 0), steps, true));
		explore(number_from("QFX_SEED", 0), steps, visits);
		return;
	}
	g_test_message("%" PRIu64 " lives of %u steps, seeds from %" PRIu64, runs, steps, first);
	for (uint64_t i = 0; i < runs; i++)
		explore(first + i, steps, visits);
	g_test_message("%.0f lives a second",
		(double)runs * 1e6 / (double)(g_get_monotonic_time() - start + 1));
	for (int s = 0; s < TRANSFER_N_STATES; s++)
		g_test_message(
			"%s: %u times", transfer_state_name((enum transfer_state)s), visits[s]);
	/* An explorer that never gets anywhere finds nothing. */
	for (int s = 0; runs >= RUNS && s < TRANSFER_N_STATES; s++)
		g_assert_cmpuint(visits[s], >, runs / 20);
}

/* The same seed must lead the same way, or QFX_SEED would be of no use. */
static void test_repeats(void)
{
	for (uint64_t seed = 1; seed < 20; seed++) {
		struct sim *a = live(seed, STEPS, false), *b = live(seed, STEPS, false);

		g_assert_cmpint(a->now_ms, ==, b->now_ms);
		g_assert_cmpuint(a->n_events, ==, b->n_events);
		g_assert_cmpuint(a->n_ids, ==, b->n_ids);
		sim_free(a);
		sim_free(b);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	sim_quiet_log();
	g_test_add_func("/explore/repeats", test_repeats);
	g_test_add_func("/explore/lives", test_explore);
	return g_test_run();
}
