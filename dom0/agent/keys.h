/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which keys are down at the moment, as far as the display server tells. */
#ifndef QFX_KEYS_H
#define QFX_KEYS_H

#include <gdk/gdk.h>

#include "guard.h"

/*
 * Tells the guard of every key that is down. Under X11 a key that is held while the focus changes
 * goes on repeating in the new window, after a delay that the user may have set to any length;
 * under Wayland the toolkit repeats only what went down in this window, and there is nothing to do.
 */
void keys_tell_held(GdkDisplay *display, struct guard *guard);

#endif
