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

/* Where lives led to. */
struct visits {
	unsigned transfer[TRANSFER_N_STATES], dispvm[DISPVM_N_STATES];
	unsigned saved, unchanged, lost; /* transactions */
};

static void add_visits(struct visits *visits, const struct sim *sim)
{
	for (int s = 0; s < TRANSFER_N_STATES; s++)
		visits->transfer[s] += sim->visits[s];
	for (int s = 0; s < DISPVM_N_STATES; s++)
		visits->dispvm[s] += sim->dispvm_visits[s];
	visits->saved += sim->n_saved;
	visits->unchanged += sim->n_unchanged;
	visits->lost += sim->n_lost;
}

/* An explorer that never gets anywhere finds nothing. */
static void tell_visits(const struct visits *v, uint64_t runs)
{
	unsigned enough = runs >= RUNS ? (unsigned)runs / 50 : 0;

	for (int s = 0; s < TRANSFER_N_STATES; s++)
		g_test_message("%s: %u times", transfer_state_name((enum transfer_state)s),
			v->transfer[s]);
	for (int s = 0; s < DISPVM_N_STATES; s++)
		g_test_message("DisposableVM %s: %u times", dispvm_state_name((enum dispvm_state)s),
			v->dispvm[s]);
	g_test_message("%u saved, %u unchanged, %u lost", v->saved, v->unchanged, v->lost);
	for (int s = 0; s < TRANSFER_N_STATES; s++)
		g_assert_cmpuint(v->transfer[s], >=, enough);
	for (int s = 0; s < DISPVM_N_STATES; s++)
		g_assert_cmpuint(v->dispvm[s], >=, enough);
	g_assert_cmpuint(v->saved, >=, enough);
	g_assert_cmpuint(v->unchanged, >=, enough);
	g_assert_cmpuint(v->lost, >=, enough);
}

static void explore(uint64_t seed, unsigned steps, struct visits *visits)
{
	struct sim *sim = live(seed, steps, false);

	add_visits(visits, sim);
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
	struct visits visits = {0};
	gint64 start = g_get_monotonic_time();

	if (g_getenv("QFX_SEED")) {
		sim_free(live(number_from("QFX_SEED", 0), steps, true));
		explore(number_from("QFX_SEED", 0), steps, &visits);
		return;
	}
	g_test_message("%" PRIu64 " lives of %u steps, seeds from %" PRIu64, runs, steps, first);
	for (uint64_t i = 0; i < runs; i++)
		explore(first + i, steps, &visits);
	g_test_message("%.0f lives a second",
		(double)runs * 1e6 / (double)(g_get_monotonic_time() - start + 1));
	tell_visits(&visits, runs);
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
