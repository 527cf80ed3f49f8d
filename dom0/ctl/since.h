/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A time as people say it. */
#ifndef QFX_SINCE_H
#define QFX_SINCE_H

#include <glib.h>

#define SINCE_FORMS                                                                                \
	"a date as 2026-11-21, with or without a time as 10:30, today, yesterday, or how "         \
	"long ago as 30min, 2h or 3d"

/*
 * One of SINCE_FORMS, in the time zone of `now`, as microseconds since 1970. FALSE if it is none;
 * *out_us is then untouched.
 */
gboolean since_parse(const char *text, GDateTime *now, gint64 *out_us);

#endif
