/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "journal.h"

#include <stdarg.h>
#include <stdlib.h>

#include "fail.h"

static const char *program = "qubes-pendrive";

void journal_set_program(const char *name)
{
	program = name;
}

void journal_say(enum journal_level level, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list list;

	va_start(list, format);
	text = g_strdup_vprintf(format, list);
	va_end(list);
	if (getenv("JOURNAL_STREAM"))
		vm_print_error("<%d>%s\n", (int)level, text);
	else
		vm_print_error("%s: %s\n", program, text);
}
