/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fail.h"

bool fail(GError **error, enum domains_exit code, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	g_set_error_literal(error, DOMAINS_ERROR, (gint)code, text);
	return false;
}

bool fail_errno(GError **error, int code, const char *what, const char *path)
{
	return fail(error, DOMAINS_FAILED, "%s %s: %s", what, path, g_strerror(code));
}
