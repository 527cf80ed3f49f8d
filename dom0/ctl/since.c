/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "since.h"

#include <string.h>

/* More is no wish, but a slip of the fingers, and would leave the range of a date. */
#define COUNT_MAX 100000

static GDateTime *midnight(GDateTime *day)
{
	return g_date_time_new(g_date_time_get_timezone(day), g_date_time_get_year(day),
		g_date_time_get_month(day), g_date_time_get_day_of_month(day), 0, 0, 0);
}

static GDateTime *days_ago(GDateTime *now, int days)
{
	g_autoptr(GDateTime) day = g_date_time_add_days(now, -days);

	return midnight(day);
}

/* NULL: that is no number with a unit. */
static GDateTime *ago(const char *text, GDateTime *now)
{
	static const struct {
		const char *unit;
		GTimeSpan span;
	} units[] = {{"min", G_TIME_SPAN_MINUTE}, {"h", G_TIME_SPAN_HOUR}, {"d", G_TIME_SPAN_DAY}};
	size_t digits = strspn(text, "0123456789");
	g_autofree char *count_text = g_strndup(text, digits);
	guint64 count;

	if (!g_ascii_string_to_unsigned(count_text, 10, 1, COUNT_MAX, &count, NULL))
		return NULL;
	for (gsize i = 0; i < G_N_ELEMENTS(units); i++)
		if (strcmp(text + digits, units[i].unit) == 0)
			return g_date_time_add(now, -(GTimeSpan)count * units[i].span);
	return NULL;
}

/* NULL: that is no date. */
static GDateTime *date(const char *text, GDateTime *now)
{
	g_autofree char *whole = NULL;

	if (strlen(text) == strlen("2026-11-21"))
		whole = g_strconcat(text, " 00:00:00", NULL);
	else if (strlen(text) == strlen("2026-11-21 10:30"))
		whole = g_strconcat(text, ":00", NULL);
	else
		whole = g_strdup(text);
	return g_date_time_new_from_iso8601(whole, g_date_time_get_timezone(now));
}

gboolean since_parse(const char *text, GDateTime *now, gint64 *out_us)
{
	g_autoptr(GDateTime) time = NULL;

	if (strcmp(text, "today") == 0)
		time = days_ago(now, 0);
	else if (strcmp(text, "yesterday") == 0)
		time = days_ago(now, 1);
	else if (!(time = ago(text, now)))
		time = date(text, now);
	if (!time)
		return FALSE;
	*out_us = g_date_time_to_unix(time) * G_USEC_PER_SEC + g_date_time_get_microsecond(time);
	return TRUE;
}
