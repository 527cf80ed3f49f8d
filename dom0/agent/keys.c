/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keys.h"

#ifdef GDK_WINDOWING_X11
#include <gdk/gdkx.h>
#endif

void keys_tell_held(GdkDisplay *display, struct guard *guard)
{
#ifdef GDK_WINDOWING_X11
	char keys[32]; /* a bit for each of X's key codes */

	if (!GDK_IS_X11_DISPLAY(display))
		return;
	XQueryKeymap(gdk_x11_display_get_xdisplay(display), keys);
	for (unsigned code = 0; code < 8 * sizeof keys; code++)
		if (keys[code / 8] >> (code % 8) & 1)
			guard_held(guard, code);
#else
	(void)display;
	(void)guard;
#endif
}
