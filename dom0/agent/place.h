/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a window opens so that it is not under the pointer. Pure. */
#ifndef QFX_PLACE_H
#define QFX_PLACE_H

#include <stdbool.h>

/* As far as the window keeps from the pointer: a hand that moves a little must not reach it. */
#define PLACE_MARGIN 48

/* In the units of the toolkit. */
struct place {
	int x, y, width, height;
};

/*
 * Fills in window->x and window->y, its size being known: the middle of `screen`, or when the
 * pointer is there, the nearest place beside it. False: the window is too large for any such place
 * and stands in the corner that is farthest from the pointer.
 */
bool place_window(const struct place *screen, int pointer_x, int pointer_y, struct place *window);

#endif
