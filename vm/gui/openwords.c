/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "openwords.h"

#include "fail.h"
#include "lines.h"

#define PROGRAM "qvm-open-in-dvm"

gboolean openwords_is_open(const char *line)
{
	return g_str_has_prefix(line, "opened in ");
}

char *openwords_end(const struct child_end *end, const char *last_line, gboolean view)
{
	if (end->status == VM_EXIT_UNCHANGED)
		return NULL;
	if (end->status == VM_EXIT_OK)
		return view || !*last_line ? NULL : lines_printable(last_line);
	if (*end->message)
		return lines_of_program(PROGRAM, end->message);
	if (end->status > 128)
		return g_strdup_printf(PROGRAM " was ended by signal %d; a file that is open stays "
					       "open, and is saved back "
					       "when it is closed.",
			end->status - 128);
	return g_strdup_printf(PROGRAM " ended with exit status %d and without saying why; "
				       "`man " PROGRAM "` says what that means.",
		end->status);
}
