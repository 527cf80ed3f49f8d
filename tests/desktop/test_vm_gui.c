/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the windows in a VM know and say, without a display. */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "copywords.h"
#include "fail.h"
#include "history.h"
#include "job.h"
#include "openwords.h"
#include "report.h"

/* ---- lines of the report ---- */

#define S(word) REPORT_STATE_##word

static const struct {
	const char *line;
	enum report_result result;
	struct report report;
} lines[] = {
	{"total 0 0", REPORT_OK, {.kind = REPORT_TOTAL}},
	{"total 18446744073709551615 3", REPORT_OK,
		{.kind = REPORT_TOTAL, .bytes = G_MAXUINT64, .files = 3}},
	{"total 18446744073709551616 3", REPORT_BROKEN, {0}},
	{"total 1", REPORT_BROKEN, {0}},
	{"total 1 ", REPORT_BROKEN, {0}},
	{"total 1 2 3", REPORT_BROKEN, {0}},
	{"total -1 2", REPORT_BROKEN, {0}},
	{"total 1  2", REPORT_BROKEN, {0}},
	{"total", REPORT_BROKEN, {0}},
	{"progress 7 2", REPORT_OK, {.kind = REPORT_PROGRESS, .bytes = 7, .files = 2}},
	{"progress x 2", REPORT_BROKEN, {0}},
	{"cannot a%20b it is a symbolic link", REPORT_OK,
		{.kind = REPORT_CANNOT,
			.path = (char[]){"a b"},
			.text = (char[]){"it is a symbolic link"}}},
	{"cannot %25%0a%ff%FE 100%25", REPORT_OK,
		{.kind = REPORT_CANNOT, .path = (char[]){"%\n\xff\xfe"}, .text = (char[]){"100%"}}},
	{"cannot %00 x", REPORT_BROKEN, {0}},
	{"cannot %2 x", REPORT_BROKEN, {0}},
	{"cannot % x", REPORT_BROKEN, {0}},
	{"cannot a %g0", REPORT_BROKEN, {0}},
	{"cannot a", REPORT_BROKEN, {0}},
	{"cannot a ", REPORT_BROKEN, {0}},
	{"cannot  a", REPORT_BROKEN, {0}},
	{"state scanning", REPORT_OK, {.kind = REPORT_STATE, .state = S(SCANNING)}},
	{"state new", REPORT_OK, {.kind = REPORT_STATE, .state = S(NEW)}},
	{"state copying", REPORT_OK, {.kind = REPORT_STATE, .state = S(COPYING)}},
	{"state asking", REPORT_OK, {.kind = REPORT_STATE, .state = S(ASKING)}},
	{"state queued", REPORT_OK, {.kind = REPORT_STATE, .state = S(QUEUED)}},
	{"state starting", REPORT_OK, {.kind = REPORT_STATE, .state = S(STARTING)}},
	{"state delivered", REPORT_OK, {.kind = REPORT_STATE, .state = S(DELIVERED)}},
	{"state deleting", REPORT_OK, {.kind = REPORT_STATE, .state = S(DELETING)}},
	{"state cancelled", REPORT_OK, {.kind = REPORT_STATE, .state = S(CANCELLED)}},
	{"state dancing", REPORT_UNKNOWN, {0}},
	{"state", REPORT_UNKNOWN, {0}},
	{"skipped 2", REPORT_OK, {.kind = REPORT_SKIPPED, .files = 2}},
	{"skipped", REPORT_BROKEN, {0}},
	{"failed 130 Interrupted", REPORT_OK,
		{.kind = REPORT_FAILED, .status = 130, .text = (char[]){"Interrupted"}}},
	{"failed 1 two%0Alines", REPORT_OK,
		{.kind = REPORT_FAILED, .status = 1, .text = (char[]){"two\nlines"}}},
	{"failed 0 not at all", REPORT_BROKEN, {0}},
	{"failed 256 x", REPORT_BROKEN, {0}},
	{"failed 1", REPORT_BROKEN, {0}},
	{"failed 1 ", REPORT_BROKEN, {0}},
	{"done", REPORT_OK, {.kind = REPORT_DONE}},
	{"done 1", REPORT_BROKEN, {0}},
	{"colour blue", REPORT_UNKNOWN, {0}},
	{"totals 1 2", REPORT_UNKNOWN, {0}},
	{"", REPORT_BROKEN, {0}},
	{" done", REPORT_BROKEN, {0}},
};

static void test_lines(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
		const struct report *want = &lines[i].report;
		struct report got = {.status = -1};

		g_test_message("%s", lines[i].line);
		g_assert_cmpint(report_parse(lines[i].line, &got), ==, lines[i].result);
		if (lines[i].result != REPORT_OK) {
			g_assert_cmpint(got.status, ==, -1);
			continue;
		}
		g_assert_cmpint(got.kind, ==, want->kind);
		g_assert_cmpuint(got.bytes, ==, want->bytes);
		g_assert_cmpuint(got.files, ==, want->files);
		g_assert_cmpint(got.state, ==, want->state);
		g_assert_cmpint(got.status, ==, want->status);
		g_assert_cmpstr(got.path, ==, want->path);
		g_assert_cmpstr(got.text, ==, want->text);
		report_finish(&got);
	}
}

/* ---- words ---- */

static void assert_words(char *words, const char *want)
{
	g_auto(GStrv) parts = g_strsplit(words, "\xc2\xa0", -1);
	g_autofree char *plain = g_strjoinv(" ", parts);

	g_assert_cmpstr(plain, ==, want);
	g_free(words);
}

#define SECOND G_USEC_PER_SEC

static void test_progress_words(void)
{
	struct progress p;

	progress_start(&p, 0, 1, 0);
	assert_words(copywords_progress(&p), "0 bytes of 0 bytes, 0 of 1 file");
	progress_start(&p, 100000000, 2, 0);
	progress_update(&p, 2000000, 1, 1 * SECOND);
	assert_words(copywords_progress(&p), "2.0 MB of 100.0 MB, 1 of 2 files");
	/* Too early to say how long. */
	assert_words(copywords_pace(&p), "2.0 MB/s");
	progress_start(&p, 3000000, 1, 0);
	assert_words(copywords_pace(&p), "");
}

/* With the same rate at all times it is known how long; a second is added for safety. */
static void test_pace_words(void)
{
	static const struct {
		uint64_t total_mb; /* one MB a second, four of them done */
		const char *words;
	} rows[] = {
		{4 + 50, "1.0 MB/s, about 51 s left"},
		{4 + 30 * 60, "1.0 MB/s, about 30 min left"},
		{4 + 7200 + 120, "1.0 MB/s, about 2 h 2 min left"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct progress p;

		progress_start(&p, rows[i].total_mb * 1000000, 0, 0);
		for (uint64_t s = 1; s <= 4; s++)
			progress_update(&p, s * 1000000, 0, (gint64)s * SECOND);
		assert_words(copywords_pace(&p), rows[i].words);
	}
}

static void test_files_words(void)
{
	char *one[] = {(char[]){"/home/user/a<b>.txt"}, NULL};
	char *five[] = {(char[]){"1"}, (char[]){"2"}, (char[]){"3"}, (char[]){"4\xff"},
		(char[]){"5/"}, NULL};
	char *six[] = {five[0], five[1], five[2],
		(char[]){"\xe2\x80\xae"
			 "4"},
		five[4], five[0], NULL};

	assert_words(copywords_files(one), "a<b>.txt");
	assert_words(copywords_files(five), "1\n2\n3\n4\\xff\n5");
	assert_words(copywords_files(six), "1\n2\n3\n\\xe2\\x80\\xae"
					   "4\nand 2 more");
}

static void test_names(void)
{
	g_assert_null(copywords_unsound(""));
	g_assert_null(copywords_unsound("work-2.a"));
	g_assert_nonnull(copywords_unsound("disposable"));
	g_assert_nonnull(copywords_unsound("-work"));
	g_assert_nonnull(copywords_unsound("my work"));
	g_assert_nonnull(copywords_unsound("w\xc3\xb6rk"));
}

/* ---- the names used before ---- */

struct folder {
	char *top, *path;
};

static void make_folder(struct folder *f, gconstpointer data)
{
	(void)data;
	f->top = g_dir_make_tmp("qfx-history-XXXXXX", NULL);
	g_assert_nonnull(f->top);
	f->path = g_build_filename(f->top, "data", "destinations", NULL);
}

static void remove_folder(struct folder *f, gconstpointer data)
{
	g_autofree char *data_folder = g_path_get_dirname(f->path);

	(void)data;
	(void)g_unlink(f->path);
	(void)g_rmdir(data_folder);
	(void)g_unlink(data_folder);
	g_assert_cmpint(g_rmdir(f->top), ==, 0);
	g_free(f->top);
	g_free(f->path);
}

static void add(const struct folder *f, const char *name)
{
	g_autoptr(GError) error = NULL;

	g_assert_true(history_add(f->path, name, &error));
	g_assert_no_error(error);
}

static void assert_names(const struct folder *f, const char *want)
{
	g_auto(GStrv) names = history_load(f->path);
	g_autofree char *joined = g_strjoinv(" ", names);

	g_assert_cmpstr(joined, ==, want);
}

static void test_history(struct folder *f, gconstpointer data)
{
	struct stat st;

	(void)data;
	assert_names(f, "");
	add(f, "work");
	add(f, "personal");
	assert_names(f, "personal work");
	add(f, "work");
	assert_names(f, "work personal");
	g_assert_cmpint(stat(f->path, &st), ==, 0);
	g_assert_cmpint(st.st_mode & 07777, ==, 0600);
}

static void test_history_is_bounded(struct folder *f, gconstpointer data)
{
	g_auto(GStrv) names = NULL;

	(void)data;
	for (guint i = 0; i < HISTORY_MAX + 5; i++) {
		g_autofree char *name = g_strdup_printf("vm%u", i);

		add(f, name);
	}
	names = history_load(f->path);
	g_assert_cmpuint(g_strv_length(names), ==, HISTORY_MAX);
	g_assert_cmpstr(names[0], ==, "vm24");
	g_assert_cmpstr(names[HISTORY_MAX - 1], ==, "vm5");
}

static void test_history_of_somebody_else(struct folder *f, gconstpointer data)
{
	g_autofree char *folder = g_path_get_dirname(f->path);

	(void)data;
	g_assert_cmpint(g_mkdir(folder, 0700), ==, 0);
	g_assert_true(g_file_set_contents(
		f->path, "good\n\n<b>bad</b>\ntwo words\ngood\n\xff\nlast", -1, NULL));
	assert_names(f, "good last");
}

/* A file where the folder should be. */
static void test_history_cannot(struct folder *f, gconstpointer data)
{
	g_autofree char *folder = g_path_get_dirname(f->path);
	g_autoptr(GError) error = NULL;

	(void)data;
	g_assert_true(g_file_set_contents(folder, "", 0, NULL));
	g_assert_false(history_add(f->path, "work", &error));
	g_assert_nonnull(strstr(error->message, folder));
	assert_names(f, "");
}

/* ---- a run ---- */

static const struct {
	const char *label;
	const char *lines[4];
	gboolean skip;
	struct child_end end;
	enum job_outcome outcome;
	const char *why; /* NULL: not asked for */
} runs[] = {
	{"delivered", {"done"}, FALSE, {0, ""}, JOB_DELIVERED, NULL},
	{"no word of it", {"state delivered"}, FALSE, {0, ""}, JOB_FAILED,
		"qvm-copy-to-vm ended with exit status 0 and without saying why; "
		"`man qvm-copy-to-vm` says what that means."},
	{"a word and a failure", {"done"}, FALSE, {5, "x"}, JOB_FAILED, "x"},
	{"both words", {"done", "failed 5 a"}, FALSE, {0, ""}, JOB_FAILED, "a"},
	{"interrupted", {"failed 130 Interrupted"}, FALSE, {130, ""}, JOB_CANCELLED, "Interrupted"},
	{"names it cannot carry", {"cannot a b", "failed 6 c"}, FALSE, {6, ""}, JOB_UNSUPPORTED,
		NULL},
	{"other trouble with files", {"failed 6 c"}, FALSE, {6, ""}, JOB_FAILED, "c"},
	{"though they were skipped", {"cannot a b", "failed 6 c"}, TRUE, {6, ""}, JOB_FAILED, "c"},
	{"what one is left with", {"failed 1 a"}, FALSE,
		{1, "qvm-copy-to-vm: a\nqvm-copy-to-vm: it is mounted"}, JOB_FAILED,
		"a\nit is mounted"},
	{"delivered, and yet", {"state delivered", "failed 5 a"}, FALSE, {5, ""}, JOB_FAILED, "a"},
	{"lines, and what is in them", {"failed 1 a%0a<b>%1b"}, FALSE, {1, ""}, JOB_FAILED,
		"a\n<b>\\x1b"},
	{"a signal", {NULL}, FALSE, {137, ""}, JOB_FAILED,
		"qvm-copy-to-vm was ended by signal 9; nothing is known of what it did. "
		"`qvm-copy-to-vm` in a terminal may say more."},
};

static void test_runs(void)
{
	char *files[] = {(char[]){"a"}, NULL};

	for (size_t i = 0; i < G_N_ELEMENTS(runs); i++) {
		struct job job;
		g_autofree char *why = NULL;

		g_test_message("%s", runs[i].label);
		job_init(&job, FALSE, files);
		job_begin(&job, "work", runs[i].skip);
		for (const char *const *line = runs[i].lines; *line; line++)
			job_take(&job, *line, 0);
		g_assert_cmpint(job_outcome(&job, &runs[i].end), ==, runs[i].outcome);
		why = job_why(&job, &runs[i].end);
		if (runs[i].why)
			g_assert_cmpstr(why, ==, runs[i].why);
		job_finish(&job);
	}
}

static void test_job(void)
{
	char *files[] = {(char[]){"-a"}, (char[]){"--"}, NULL};
	struct job job;
	g_auto(GStrv) first = NULL;
	g_auto(GStrv) second = NULL;
	g_autofree char *first_line = NULL;
	g_autofree char *second_line = NULL;

	job_init(&job, TRUE, files);
	job_begin(&job, "work", FALSE);
	g_assert_cmpfloat(job_fraction(&job), ==, 0);
	job_take(&job, "total 200 4", 0);
	job_take(&job, "progress 50 1", 0);
	job_take(&job, "cannot a b", 0);
	g_assert_cmpfloat(job_fraction(&job), ==, 0.25);
	job_take(&job, "progress 300 4", 0);
	g_assert_cmpfloat(job_fraction(&job), ==, 1);
	first = job_argv(&job);
	first_line = g_strjoinv(" ", first);
	g_assert_cmpstr(first_line, ==, "qvm-move-to-vm --quiet --report=3 -- work -a --");
	job_begin(&job, job.vm, TRUE);
	g_assert_cmpuint(job.cannot->len, ==, 0);
	g_assert_cmpfloat(job_fraction(&job), ==, 0);
	second = job_argv(&job);
	second_line = g_strjoinv(" ", second);
	g_assert_cmpstr(second_line, ==,
		"qvm-move-to-vm --quiet --report=3 --skip-unsupported -- work -a --");
	g_assert_cmpint(job_outcome(&job, &(struct child_end){9, ""}), ==, JOB_FAILED);
	job_take(&job, "state delivered", 0);
	job_take(&job, "state deleting", 0);
	job_take(&job, "kept a it was changed", 0);
	g_assert_cmpint(job_outcome(&job, &(struct child_end){9, ""}), ==, JOB_LEFT);
	g_assert_cmpint(job_outcome(&job, &(struct child_end){130, ""}), ==, JOB_LEFT);
	/* Empty files only. */
	job_take(&job, "total 0 2", 0);
	job_take(&job, "progress 0 2", 0);
	g_assert_cmpfloat(job_fraction(&job), ==, 1);
	job_finish(&job);
}

/* ---- DisposableVMs ---- */

static const struct {
	const char *label;
	struct child_end end;
	const char *last_line;
	gboolean view;
	const char *words; /* NULL: nothing is told */
} ends[] = {
	{"saved", {0, ""}, "saved back: /home/user/<a>", FALSE, "saved back: /home/user/<a>"},
	{"saved beside it", {0, "x"}, "saved back: a; kept as b\xff", FALSE,
		"saved back: a; kept as b\\xff"},
	{"unchanged", {7, ""}, "closed without changes", FALSE, NULL},
	{"viewed", {0, ""}, "closed", TRUE, NULL},
	{"silent", {0, ""}, "", FALSE, NULL},
	{"refused", {1, "qvm-open-in-dvm: no memory"}, "waiting", FALSE, "no memory"},
	{"two lines", {1, "qvm-open-in-dvm: a\nqvm-open-in-dvm: b\033"}, "", TRUE, "a\nb\\x1b"},
	{"another program's words", {5, "a\n qvm-open-in-dvm: b"}, "", FALSE,
		"a\n qvm-open-in-dvm: b"},
	{"without words", {3, ""}, "", FALSE,
		"qvm-open-in-dvm ended with exit status 3 and without saying why; "
		"`man qvm-open-in-dvm` says what that means."},
	{"a signal", {139, ""}, "", TRUE,
		"qvm-open-in-dvm was ended by signal 11; a file that is open stays open, and is "
		"saved back when it is closed."},
};

static void test_ends(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
		g_autofree char *words =
			openwords_end(&ends[i].end, ends[i].last_line, ends[i].view);

		g_test_message("%s", ends[i].label);
		g_assert_cmpstr(words, ==, ends[i].words);
	}
	g_assert_true(openwords_is_open("opened in disp7"));
	g_assert_false(openwords_is_open("waiting for a DisposableVM"));
	g_assert_false(openwords_is_open("saved back: opened in disp7"));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/report/lines", test_lines);
	g_test_add_func("/words/progress", test_progress_words);
	g_test_add_func("/words/pace", test_pace_words);
	g_test_add_func("/words/files", test_files_words);
	g_test_add_func("/words/names", test_names);
	g_test_add("/history/order", struct folder, NULL, make_folder, test_history, remove_folder);
	g_test_add("/history/bounded", struct folder, NULL, make_folder, test_history_is_bounded,
		remove_folder);
	g_test_add("/history/foreign", struct folder, NULL, make_folder,
		test_history_of_somebody_else, remove_folder);
	g_test_add("/history/cannot", struct folder, NULL, make_folder, test_history_cannot,
		remove_folder);
	g_test_add_func("/job/outcomes", test_runs);
	g_test_add_func("/job/lines", test_job);
	g_test_add_func("/openwords/ends", test_ends);
	return g_test_run();
}
