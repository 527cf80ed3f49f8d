/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guard.h"

#include <string.h>

static bool is_down(const struct guard *g, unsigned code)
{
	return (g->down[code / 8] >> (code % 8)) & 1;
}

static void start_anew(struct guard *g, int64_t now_ms)
{
	g->open = false;
	g->since_ms = now_ms;
	g->seen_ms = now_ms;
}

void guard_init(struct guard *g)
{
	*g = (struct guard){0};
}

void guard_focus(struct guard *g, bool focused, int64_t now_ms)
{
	if (g->open) {
		g->was_open = true;
		g->lost_ms = now_ms;
	}
	start_anew(g, now_ms);
	g->focused = focused;
	/* What goes up elsewhere is not told to this window. */
	memset(g->down, 0, sizeof g->down);
}

bool guard_tick(struct guard *g, int64_t now_ms)
{
	if (!g->focused || g->open)
		return g->open;
	if (now_ms < g->seen_ms || now_ms - g->seen_ms > GUARD_STALL_MS)
		start_anew(g, now_ms);
	g->seen_ms = now_ms;
	g->open = now_ms - g->since_ms >= GUARD_HOLD_MS;
	return g->open;
}

bool guard_is_open(const struct guard *g)
{
	return g->open;
}

bool guard_was_open(const struct guard *g, int64_t now_ms)
{
	return g->open || (g->was_open && now_ms - g->lost_ms < GUARD_GRACE_MS);
}

void guard_held(struct guard *g, unsigned code)
{
	if (code < GUARD_KEYS)
		g->down[code / 8] |= (uint8_t)(1u << (code % 8));
}

bool guard_press(struct guard *g, unsigned code)
{
	bool repeated = code >= GUARD_KEYS || is_down(g, code);

	guard_held(g, code);
	return g->open && !repeated;
}

void guard_release(struct guard *g, unsigned code)
{
	if (code < GUARD_KEYS)
		g->down[code / 8] &= (uint8_t) ~(1u << (code % 8));
}
