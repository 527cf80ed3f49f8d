/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bucket of tokens: so many at once, and then one each interval. What it holds is said by one
 * time, so that there is nothing to be refilled: the time at which it will be full again. Pure.
 */
#ifndef QFX_BUCKET_H
#define QFX_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct bucket_limits {
	unsigned burst;      /* above 0 */
	int64_t interval_ms; /* above 0; `burst` times this is below 2^62 */
};

/* Zeroed: full. */
struct bucket {
	int64_t full_at_ms;
};

/* Whether there is a token in it. */
bool bucket_has(struct bucket *b, const struct bucket_limits *limits, int64_t now_ms);
/* Takes a token. The caller has asked whether there is one. */
void bucket_take(struct bucket *b, const struct bucket_limits *limits, int64_t now_ms);
/* Puts one back that was not used after all. */
void bucket_give_back(struct bucket *b, const struct bucket_limits *limits);
/* When there is a token in it: now_ms or later. */
int64_t bucket_next_ms(struct bucket *b, const struct bucket_limits *limits, int64_t now_ms);
/* If the clock was put back, or the limits were made smaller, it is empty and no more than that. */
void bucket_settle(struct bucket *b, const struct bucket_limits *limits, int64_t now_ms);
/* Full: it says no more than one that was never used. */
bool bucket_is_full(const struct bucket *b, int64_t now_ms);

#endif
