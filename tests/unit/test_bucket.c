/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Buckets of tokens: how many there are when, and that neither clock nor limits lock anybody out.
 */
#include <glib.h>

#include "bucket.h"

#define YEAR_MS (G_GINT64_CONSTANT(365) * 24 * 3600 * 1000)

static const struct bucket_limits three = {.burst = 3, .interval_ms = 1000};

/* How many can be taken at that moment; no more than `most`. */
static unsigned drain(
	struct bucket *b, const struct bucket_limits *limits, int64_t now_ms, unsigned most)
{
	unsigned n = 0;

	while (n < most && bucket_has(b, limits, now_ms)) {
		bucket_take(b, limits, now_ms);
		n++;
	}
	return n;
}

static void test_burst(void)
{
	struct bucket b = {0};

	g_assert_cmpuint(drain(&b, &three, 5000, 10), ==, 3);
	g_assert_false(bucket_has(&b, &three, 5000));
}

/* Emptied at 5000; at that time so many are there again. */
static const struct {
	const char *label;
	int64_t at_ms;
	unsigned tokens;
} refills[] = {
	{"at once", 5000, 0},
	{"a moment too early", 5999, 0},
	{"after an interval", 6000, 1},
	{"before the second", 6999, 1},
	{"after two", 7000, 2},
	{"full again", 8000, 3},
	{"no more than full", 8000 + YEAR_MS, 3},
};

static void test_refill(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(refills); i++) {
		struct bucket b = {0};

		g_test_message("%s", refills[i].label);
		drain(&b, &three, 5000, 10);
		g_assert_cmpuint(drain(&b, &three, refills[i].at_ms, 10), ==, refills[i].tokens);
	}
}

/* However often it is tried, in the long run there is one each interval. */
static void test_rate(void)
{
	struct bucket b = {0};
	unsigned n = 0;

	for (int64_t now_ms = 0; now_ms < 60000; now_ms++)
		n += drain(&b, &three, now_ms, 10);
	g_assert_cmpuint(n, ==, 3 + 59);
}

static void test_next(void)
{
	struct bucket b = {0};

	g_assert_cmpint(bucket_next_ms(&b, &three, 5000), ==, 5000);
	drain(&b, &three, 5000, 2);
	g_assert_cmpint(bucket_next_ms(&b, &three, 5000), ==, 5000);
	drain(&b, &three, 5000, 1);
	g_assert_cmpint(bucket_next_ms(&b, &three, 5000), ==, 6000);
	g_assert_cmpint(bucket_next_ms(&b, &three, 5400), ==, 6000);
	g_assert_cmpint(bucket_next_ms(&b, &three, 7000), ==, 7000);
}

static void test_give_back(void)
{
	struct bucket b = {0};

	drain(&b, &three, 5000, 10);
	bucket_give_back(&b, &three);
	g_assert_cmpuint(drain(&b, &three, 5000, 10), ==, 1);
}

static void test_full(void)
{
	struct bucket b = {0};

	g_assert_true(bucket_is_full(&b, 0));
	bucket_take(&b, &three, 5000);
	g_assert_false(bucket_is_full(&b, 5999));
	g_assert_true(bucket_is_full(&b, 6000));
}

/* It is empty; then the clock says an earlier time, or the limits are others. */
static const struct {
	const char *label;
	int64_t now_ms;
	struct bucket_limits limits;
	int64_t next_ms;
} steps[] = {
	{"the clock goes back a little", 4000, {3, 1000}, 5000},
	{"the clock goes back by years", -YEAR_MS, {3, 1000}, -YEAR_MS + 1000},
	{"the clock goes forward by years", YEAR_MS, {3, 1000}, YEAR_MS},
	{"a shorter interval", 5000, {3, 10}, 5010},
	{"a longer interval", 5000, {3, 60000}, 5000},
	{"a smaller burst", 5000, {1, 1000}, 6000},
	{"a larger burst", 5000, {5, 1000}, 5000},
};

static void test_steps(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
		struct bucket b = {0};

		g_test_message("%s", steps[i].label);
		drain(&b, &three, 5000, 3);
		g_assert_cmpint(bucket_next_ms(&b, &steps[i].limits, steps[i].now_ms), ==,
			steps[i].next_ms);
		g_assert_true(bucket_has(&b, &steps[i].limits, steps[i].next_ms));
	}
}

/* No time that a clock can say makes it wrap, with the largest limits there are. */
static void test_overflow(void)
{
	const struct bucket_limits most = {.burst = 1000000, .interval_ms = YEAR_MS};
	const int64_t times[] = {
		0, 1, -1, INT64_MIN / 2, INT64_MAX / 2, INT64_MAX - 1, INT64_MAX, INT64_MIN};

	for (size_t i = 0; i < G_N_ELEMENTS(times); i++) {
		for (size_t j = 0; j < G_N_ELEMENTS(times); j++) {
			struct bucket b = {0};

			bucket_take(&b, &most, times[i]);
			bucket_take(&b, &three, times[i]);
			g_assert_cmpint(bucket_next_ms(&b, &three, times[j]), >=, times[j]);
			if (times[j] < INT64_MAX - 10000) /* where time ends, it is full */
				g_assert_cmpuint(drain(&b, &three, times[j], 10), <=, 3);
		}
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/bucket/burst", test_burst);
	g_test_add_func("/bucket/refill", test_refill);
	g_test_add_func("/bucket/rate", test_rate);
	g_test_add_func("/bucket/next", test_next);
	g_test_add_func("/bucket/give-back", test_give_back);
	g_test_add_func("/bucket/full", test_full);
	g_test_add_func("/bucket/steps", test_steps);
	g_test_add_func("/bucket/overflow", test_overflow);
	return g_test_run();
}
