/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bucket.h"

bool bucket_is_full(const struct bucket *b, int64_t now_ms)
{
	return b->full_at_ms <= now_ms;
}

void bucket_settle(struct bucket *b, const struct bucket_limits *limits, int64_t now_ms)
{
	int64_t whole_ms = limits->interval_ms * (int64_t)limits->burst;

	/* Where that sum would wrap, so late is no time. */
	if (now_ms < INT64_MAX - whole_ms && b->full_at_ms > now_ms + whole_ms)
		b->full_at_ms = now_ms + whole_ms;
}

/* How long until it is full. */
static int64_t missing_ms(struct bucket *b, const struct bucket_limits *limits, int64_t now_ms)
{
	bucket_settle(b, limits, now_ms);
	return bucket_is_full(b, now_ms) ? 0 : b->full_at_ms - now_ms;
}

/* How much may be missing while there is a token. */
static int64_t bound_ms(const struct bucket_limits *limits)
{
	return limits->interval_ms * ((int64_t)limits->burst - 1);
}

bool bucket_has(struct bucket *b, const struct bucket_limits *limits, int64_t now_ms)
{
	return missing_ms(b, limits, now_ms) <= bound_ms(limits);
}

void bucket_take(struct bucket *b, const struct bucket_limits *limits, int64_t now_ms)
{
	int64_t more_ms = missing_ms(b, limits, now_ms) + limits->interval_ms;

	b->full_at_ms = now_ms > INT64_MAX - more_ms ? INT64_MAX : now_ms + more_ms;
}

void bucket_give_back(struct bucket *b, const struct bucket_limits *limits)
{
	b->full_at_ms -= limits->interval_ms;
}

int64_t bucket_next_ms(struct bucket *b, const struct bucket_limits *limits, int64_t now_ms)
{
	int64_t over_ms = missing_ms(b, limits, now_ms) - bound_ms(limits);

	return over_ms > 0 ? now_ms + over_ms : now_ms;
}
