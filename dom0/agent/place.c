/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "place.h"

#include <stdlib.h>

static bool is_near(const struct place *window, int x, int y)
{
	return x >= window->x - PLACE_MARGIN && x < window->x + window->width + PLACE_MARGIN &&
	       y >= window->y - PLACE_MARGIN && y < window->y + window->height + PLACE_MARGIN;
}

static bool is_within(const struct place *screen, const struct place *window)
{
	return window->x >= screen->x && window->y >= screen->y &&
	       window->x + window->width <= screen->x + screen->width &&
	       window->y + window->height <= screen->y + screen->height;
}

static int distance(const struct place *a, const struct place *b)
{
	return abs(a->x - b->x) + abs(a->y - b->y);
}

static void farthest_corner(const struct place *screen, int x, int y, struct place *window)
{
	bool is_left = x < screen->x + screen->width / 2;
	bool is_top = y < screen->y + screen->height / 2;

	window->x = is_left ? screen->x + screen->width - window->width : screen->x;
	window->y = is_top ? screen->y + screen->height - window->height : screen->y;
	/* Larger than the screen: its beginning is to be seen. */
	if (window->x < screen->x)
		window->x = screen->x;
	if (window->y < screen->y)
		window->y = screen->y;
}

bool place_window(const struct place *screen, int pointer_x, int pointer_y, struct place *window)
{
	struct place middle = *window, beside[4], *best = NULL;

	middle.x = screen->x + (screen->width - window->width) / 2;
	middle.y = screen->y + (screen->height - window->height) / 2;
	*window = middle;
	if (is_within(screen, window) && !is_near(window, pointer_x, pointer_y))
		return true;
	for (int i = 0; i < 4; i++)
		beside[i] = middle;
	beside[0].x = pointer_x - PLACE_MARGIN - window->width - 1;
	beside[1].x = pointer_x + PLACE_MARGIN + 1;
	beside[2].y = pointer_y - PLACE_MARGIN - window->height - 1;
	beside[3].y = pointer_y + PLACE_MARGIN + 1;
	for (int i = 0; i < 4; i++)
		if (is_within(screen, &beside[i]) &&
			(!best || distance(&beside[i], &middle) < distance(best, &middle)))
			best = &beside[i];
	if (!best) {
		farthest_corner(screen, pointer_x, pointer_y, window);
		return !is_near(window, pointer_x, pointer_y);
	}
	*window = *best;
	return true;
}
