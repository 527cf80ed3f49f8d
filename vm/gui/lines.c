/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lines.h"

#include <glib.h>
#include <string.h>

#include "fail.h"

char *lines_printable(const char *untrusted)
{
	g_auto(GStrv) lines = g_strsplit(untrusted, "\n", -1);

	for (char **line = lines; *line; line++) {
		char *printable = vm_printable(*line, -1);

		g_free(*line);
		*line = printable;
	}
	return g_strjoinv("\n", lines);
}

char *lines_of_program(const char *program, const char *untrusted)
{
	g_autofree char *prefix = g_strconcat(program, ": ", NULL);
	g_auto(GStrv) lines = g_strsplit(untrusted, "\n", -1);
	g_autofree char *text = NULL;

	for (char **line = lines; *line; line++)
		if (g_str_has_prefix(*line, prefix))
			memmove(*line, *line + strlen(prefix), strlen(*line + strlen(prefix)) + 1);
	text = g_strjoinv("\n", lines);
	return lines_printable(text);
}
