/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What people see of a copy: lines, and on a terminal a bar below them. All on the standard error.
 */
#ifndef QFX_VM_SCREEN_H
#define QFX_VM_SCREEN_H

#include <glib.h>
#include <stdbool.h>

#include "progress.h"

struct screen {
	bool quiet;
	bool terminal; /* a bar can be drawn */
	bool drawn;    /* ... and is there, to be wiped before anything else is said */
	gint64 drawn_us;
};

/* Watches the size of the window from now on. */
void screen_open(struct screen *screen, bool quiet);

/* Words on a line of their own; nothing when quiet. */
void screen_say(struct screen *screen, const char *words);

/* Takes the bar away, so that something else can be printed. */
void screen_wipe(struct screen *screen);

/* Draws the bar, if it is time to: a few times a second, and at once when the window changed. */
void screen_draw(struct screen *screen, const struct progress *progress, gint64 now_us);

#endif
