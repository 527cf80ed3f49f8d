/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The focus clock: when a window may believe that a click or a key was meant for it.
 *
 * A question that appears under the pointer, or takes the focus while somebody types, would be
 * answered by accident. So nothing counts until the window has held the focus for a second without
 * loss; each loss starts the second anew, and so does a program that stood still meanwhile, since
 * what was typed at that time is still to come. A key counts when it goes down after that: not one
 * that is held since before, and not its repetitions.
 *
 * Pure: no GTK, no clock; times are the caller's, in milliseconds of a clock that does not jump.
 */
#ifndef QFX_GUARD_H
#define QFX_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#define GUARD_HOLD_MS 1000
/* How often guard_tick is to be called at least, and after how long it takes the program as stuck.
 */
#define GUARD_TICK_MS 50
#define GUARD_STALL_MS 400
/* A window manager takes the focus for as long as its keys and frames are pressed. */
#define GUARD_GRACE_MS 1000
/* Hardware key codes are below this; a key beyond never counts. */
#define GUARD_KEYS 1024

struct guard {
	bool focused;
	bool open;
	int64_t since_ms; /* when the second began */
	int64_t seen_ms;  /* the last call that told the time */
	bool was_open;    /* before the focus was lost, */
	int64_t lost_ms;  /* at that time */
	uint8_t down[GUARD_KEYS / 8];
};

/* Closed, without the focus, no key down. */
void guard_init(struct guard *g);
/* The window got or lost the focus. Each call, even a second one alike, closes the guard. */
void guard_focus(struct guard *g, bool focused, int64_t now_ms);
/* Opens it when it is time. True: open. */
bool guard_tick(struct guard *g, int64_t now_ms);
bool guard_is_open(const struct guard *g);
/*
 * Open, or it was until a moment ago: enough for what the window manager asks for, which takes the
 * focus before it asks, and which can only mean this window. Not enough for a yes.
 */
bool guard_was_open(const struct guard *g, int64_t now_ms);
/* The key was down before the window got the focus; to be called after guard_focus. */
void guard_held(struct guard *g, unsigned code);
/* True: this press counts. False: too early, a repetition, or held since too early. */
bool guard_press(struct guard *g, unsigned code);
void guard_release(struct guard *g, unsigned code);

#endif
