/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

G_DEFINE_QUARK(qpen - vm - error, vm_error)

int vm_exit_status(const GError *error)
{
	if (!error)
		return VM_EXIT_OK;
	return error->domain == VM_ERROR ? error->code : VM_EXIT_FAILED;
}

bool vm_fail_usage(GError **error, const char *why)
{
	g_set_error(error, VM_ERROR, VM_EXIT_USAGE, "%s", why);
	return false;
}

char *vm_printable(const char *untrusted, gssize len)
{
	const char *p = untrusted;
	const char *end = untrusted + (len < 0 ? (gssize)strlen(untrusted) : len);
	GString *out = g_string_new(NULL);

	while (p < end) {
		gunichar c = g_utf8_get_char_validated(p, end - p);
		gsize bytes = 1;

		if (c != (gunichar)-1 && c != (gunichar)-2 && c != '\\' && g_unichar_isprint(c)) {
			bytes = (gsize)g_utf8_skip[(unsigned char)*p];
			g_string_append_len(out, p, (gssize)bytes);
		} else {
			g_string_append_printf(out, "\\x%02x", (unsigned char)*p);
		}
		p += bytes;
	}
	return g_string_free(out, FALSE);
}

void vm_print(const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list list;

	va_start(list, format);
	text = g_strdup_vprintf(format, list);
	va_end(list);
	(void)fputs(text, stdout);
	(void)fflush(stdout);
}

void vm_print_error(const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list list;

	va_start(list, format);
	text = g_strdup_vprintf(format, list);
	va_end(list);
	(void)fputs(text, stderr);
}
