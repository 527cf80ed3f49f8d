/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "text.h"

#include <string.h>

/* UTF-8 for the space that may not be broken at, which GLib puts before the unit. */
#define NO_BREAK_SPACE "\302\240"

char *text_size(guint64 bytes)
{
	g_autofree char *text = g_format_size_full(bytes, G_FORMAT_SIZE_IEC_UNITS);
	g_auto(GStrv) words = g_strsplit(text, NO_BREAK_SPACE, -1);

	return g_strjoinv(" ", words);
}

char *text_duration(guint64 seconds)
{
	if (seconds < 120)
		return g_strdup_printf("%" G_GUINT64_FORMAT " s", seconds);
	if (seconds < 2 * 3600)
		return g_strdup_printf("%" G_GUINT64_FORMAT " min", seconds / 60);
	if (seconds < 48 * 3600)
		return g_strdup_printf("%" G_GUINT64_FORMAT " h", seconds / 3600);
	return g_strdup_printf("%" G_GUINT64_FORMAT " d", seconds / (24 * 3600));
}
