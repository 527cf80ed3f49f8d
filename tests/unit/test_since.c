/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A time as people say it. */
#include "since.h"

static const struct {
	const char *text;
	const char *wanted; /* NULL: that is no time */
} rows[] = {
	{"2026-11-21", "2026-11-21T00:00:00+0200"},
	{"2026-11-21 10:30", "2026-11-21T10:30:00+0200"},
	{"2026-11-21T10:30", "2026-11-21T10:30:00+0200"},
	{"2026-11-21 10:30:15", "2026-11-21T10:30:15+0200"},
	{"2026-11-21T10:30:15Z", "2026-11-21T12:30:15+0200"},
	{"today", "2026-03-01T00:00:00+0200"},
	{"yesterday", "2026-02-28T00:00:00+0200"},
	{"30min", "2026-02-28T23:50:00+0200"},
	{"2h", "2026-02-28T22:20:00+0200"},
	{"3d", "2026-02-26T00:20:00+0200"},
	{"", NULL},
	{"0h", NULL},
	{"h", NULL},
	{"2 h", NULL},
	{"-2h", NULL},
	{"2hours", NULL},
	{"999999d", NULL},
	{"18446744073709551617h", NULL},
	{"2026-13-01", NULL},
	{"2026-11-21 25:00", NULL},
	{"21.11.2026", NULL},
	{"10:30", NULL},
	{"tomorrow", NULL},
	{"Today", NULL},
};

static void test_rows(void)
{
	g_autoptr(GTimeZone) zone = g_time_zone_new_offset(2 * 3600);
	/* Twenty minutes after midnight, and after a short month. */
	g_autoptr(GDateTime) now = g_date_time_new(zone, 2026, 3, 1, 0, 20, 0);

	for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autoptr(GDateTime) utc = NULL, local = NULL;
		g_autofree char *got = NULL;
		gint64 us = -1;

		g_test_message("%s", rows[i].text);
		if (since_parse(rows[i].text, now, &us)) {
			utc = g_date_time_new_from_unix_utc(us / G_USEC_PER_SEC);
			local = g_date_time_to_timezone(utc, zone);
			got = g_date_time_format(local, "%Y-%m-%dT%H:%M:%S%z");
		} else {
			g_assert_cmpint(us, ==, -1);
		}
		g_assert_cmpstr(got, ==, rows[i].wanted);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/since/rows", test_rows);
	return g_test_run();
}
