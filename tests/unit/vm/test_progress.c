/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bar, and what is written for programs instead of it. */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <locale.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"
#include "progress.h"
#include "reporter.h"

#define MIB (UINT64_C(1) << 20)
#define SECOND ((gint64)G_USEC_PER_SEC)

/* ---- how far, how fast, how long ---- */

static void test_percent(void)
{
	struct progress p;

	progress_start(&p, 100 * MIB, 1, 0);
	g_assert_cmpuint(progress_percent(&p), ==, 0);
	progress_update(&p, 50 * MIB, 0, SECOND);
	g_assert_cmpuint(progress_percent(&p), ==, 49);
	/* All bytes, but the file is not closed yet. */
	progress_update(&p, 100 * MIB, 0, 2 * SECOND);
	g_assert_cmpuint(progress_percent(&p), ==, 99);
	progress_update(&p, 100 * MIB, 1, 2 * SECOND);
	g_assert_cmpuint(progress_percent(&p), ==, 100);
	/* Files that grew. */
	progress_update(&p, 200 * MIB, 2, 3 * SECOND);
	g_assert_cmpuint(progress_percent(&p), ==, 100);
	g_assert_cmpint(progress_seconds_left(&p), ==, 0);
}

static void test_nothing(void)
{
	struct progress p;

	progress_start(&p, 0, 0, 0);
	g_assert_cmpuint(progress_percent(&p), ==, 100);
	g_assert_cmpint(progress_seconds_left(&p), ==, 0);
}

/* Empty files are work as well. */
static void test_files_without_bytes(void)
{
	struct progress p;

	progress_start(&p, 0, 1000, 0);
	progress_update(&p, 0, 500, 10 * SECOND);
	g_assert_cmpuint(progress_percent(&p), ==, 50);
	g_assert_cmpint(progress_seconds_left(&p), >=, 10);
	g_assert_cmpint(progress_seconds_left(&p), <=, 11);
}

/* At an even pace the guess is right at every moment, and there is none before two seconds. */
static void test_even_pace(void)
{
	struct progress p;

	progress_start(&p, 1000 * MIB, 1, 0);
	for (gint64 tenth = 1; tenth < 1000; tenth++) {
		gint64 left;

		progress_update(&p, (uint64_t)tenth * MIB, 0, tenth * SECOND / 10);
		left = progress_seconds_left(&p);
		if (tenth < 20) {
			g_assert_cmpint(left, ==, -1);
			continue;
		}
		/* Rates are half a second old at most. */
		g_assert_cmpint(left, >=, (1000 - tenth) / 10);
		g_assert_cmpint(left, <=, (1000 - tenth) / 10 + 2);
		g_assert_cmpfloat(p.bytes_per_s, >, 9.9 * MIB);
		g_assert_cmpfloat(p.bytes_per_s, <, 10.1 * MIB);
	}
}

/* One slow second does not turn minutes into hours. */
static void test_smooth(void)
{
	struct progress p;

	progress_start(&p, 10000 * MIB, 1, 0);
	for (gint64 s = 1; s <= 30; s++)
		progress_update(&p, (uint64_t)s * 100 * MIB, 0, s * SECOND);
	g_assert_cmpint(progress_seconds_left(&p), <=, 71);
	progress_update(&p, 3000 * MIB, 0, 31 * SECOND);
	g_assert_cmpint(progress_seconds_left(&p), >=, 70);
	g_assert_cmpint(progress_seconds_left(&p), <=, 90);
}

/* A stop for good is not told as a number. */
static void test_standstill(void)
{
	struct progress p;

	progress_start(&p, UINT64_MAX / 2, 1, 0);
	progress_update(&p, 1, 0, 3 * SECOND);
	g_assert_cmpint(progress_seconds_left(&p), ==, -1);
	progress_start(&p, 10, 1, 0);
	progress_update(&p, 0, 0, 60 * SECOND);
	g_assert_cmpint(progress_seconds_left(&p), ==, -1);
}

static void test_line(void)
{
	static const struct {
		uint64_t total, done;
		gint64 at_us;
	} cases[] = {
		{0, 0, 0},
		{1, 0, SECOND},
		{10 * MIB, 5 * MIB, 10 * SECOND},
		{UINT64_MAX / 4, UINT64_MAX / 8, 3600 * SECOND},
		{UINT64_MAX / 4, UINT64_MAX / 4, 3600 * SECOND},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct progress p;

		progress_start(&p, cases[i].total, 1, 0);
		progress_update(&p, cases[i].done, 0, cases[i].at_us);
		for (unsigned columns = 0; columns < 300; columns++) {
			g_autofree char *line = progress_line(&p, columns);

			g_assert_true(g_utf8_validate(line, -1, NULL));
			/* The last column stays free: some terminals wrap when it is written to. */
			g_assert_cmpint(g_utf8_strlen(line, -1), <=, columns ? columns - 1 : 0);
			g_assert_null(strchr(line, '\n'));
			if (columns >= 80)
				g_assert_nonnull(strstr(line, "["));
			if (columns > 8)
				g_assert_nonnull(strstr(line, " %"));
		}
	}
}

static void test_line_says(void)
{
	struct progress p;
	g_autofree char *line = NULL;

	progress_start(&p, 100000000, 0, 0);
	progress_update(&p, 50000000, 0, 10 * SECOND);
	line = progress_line(&p, 120);
	g_assert_nonnull(strstr(line, "[####################....................]  50 %"));
	g_assert_nonnull(strstr(line, "50.0\xc2\xa0MB of 100.0\xc2\xa0MB"));
	g_assert_nonnull(strstr(line, "5.0\xc2\xa0MB/s"));
	g_assert_nonnull(strstr(line, "0:11 left"));
}

/* ---- the lines for programs ---- */

static const struct {
	const char *raw, *word, *last;
} escapes[] = {
	{"", "", ""},
	{"plain", "plain", "plain"},
	{"a b", "a%20b", "a b"},
	{"100%", "100%25", "100%25"},
	{"line\nfeed\x1b\x7f", "line%0Afeed%1B%7F", "line%0Afeed%1B%7F"},
	{"Gr\xc3\xbc\xc3\x9f"
	 "e",
		"Gr\xc3\xbc\xc3\x9f"
		"e",
		"Gr\xc3\xbc\xc3\x9f"
		"e"},
	{"latin\xe9", "latin%E9", "latin%E9"},
	{"cut\xc3", "cut%C3", "cut%C3"},
	{"%41", "%2541", "%2541"},
};

static void test_escapes(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(escapes); i++) {
		g_autofree char *word = report_escape(escapes[i].raw, false);
		g_autofree char *last = report_escape(escapes[i].raw, true);
		g_autofree char *back = g_uri_unescape_string(word, NULL);

		g_assert_cmpstr(word, ==, escapes[i].word);
		g_assert_cmpstr(last, ==, escapes[i].last);
		/* Whoever knows percent signs from elsewhere gets the bytes back. */
		g_assert_cmpstr(back, ==, escapes[i].raw);
	}
}

static char *read_all(int fd)
{
	char text[1000];
	ssize_t len = read(fd, text, sizeof text - 1);

	g_assert_cmpint(len, >=, 0);
	text[len] = '\0';
	return g_strdup(text);
}

static void test_report(void)
{
	struct reporter report;
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;
	int ends[2];

	g_assert_true(g_unix_open_pipe(ends, 0, NULL));
	g_assert_true(report_open(&report, ends[1], &error));
	g_assert_cmpint(fcntl(ends[1], F_GETFD) & FD_CLOEXEC, !=, 0);
	report_line(&report, "state %s", "new");
	report_progress(&report, 1, 0, false, 1000000);
	report_progress(&report, 2, 0, false, 1100000); /* too soon */
	report_progress(&report, 3, 0, false, 1200000);
	report_progress(&report, 3, 0, true, 1200001); /* told already */
	report_progress(&report, 4, 1, true, 1200002);
	close(ends[1]);
	text = read_all(ends[0]);
	g_assert_cmpstr(text, ==, "state new\nprogress 1 0\nprogress 3 0\nprogress 4 1\n");
	close(ends[0]);
}

static void test_report_nobody_reads(void)
{
	struct reporter report;
	int ends[2];

	g_assert_true(g_unix_open_pipe(ends, FD_CLOEXEC, NULL));
	g_assert_true(report_open(&report, ends[1], NULL));
	close(ends[0]);
	report_line(&report, "state new");
	g_assert_cmpint(report.fd, ==, -1);
	report_line(&report, "done");
	close(ends[1]);
}

static void test_report_wrong_descriptors(void)
{
	int reading = open("/dev/null", O_RDONLY | O_CLOEXEC);
	const int wrong[] = {-1, 999, reading};

	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
		struct reporter report;
		g_autoptr(GError) error = NULL;

		g_assert_false(report_open(&report, wrong[i], &error));
		g_assert_error(error, VM_ERROR, VM_EXIT_USAGE);
		g_assert_cmpint(report.fd, ==, -1);
	}
	close(reading);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vm/progress/percent", test_percent);
	g_test_add_func("/vm/progress/nothing", test_nothing);
	g_test_add_func("/vm/progress/files-without-bytes", test_files_without_bytes);
	g_test_add_func("/vm/progress/even-pace", test_even_pace);
	g_test_add_func("/vm/progress/smooth", test_smooth);
	g_test_add_func("/vm/progress/standstill", test_standstill);
	g_test_add_func("/vm/progress/line", test_line);
	g_test_add_func("/vm/progress/line-says", test_line_says);
	g_test_add_func("/vm/report/escapes", test_escapes);
	g_test_add_func("/vm/report/lines", test_report);
	g_test_add_func("/vm/report/nobody-reads", test_report_nobody_reads);
	g_test_add_func("/vm/report/wrong-descriptors", test_report_wrong_descriptors);
	return g_test_run();
}
