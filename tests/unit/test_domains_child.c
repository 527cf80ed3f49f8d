/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The port to the VMs that dom0 makes, over a program that does what the test tells it. */
#include <glib.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

#include "domains_child.h"
#include "savefile_info.h"

/* For all waits: never reached, unless something is wrong. */
#define WAIT_US (60 * G_USEC_PER_SEC)
/* A deadline that nothing reaches that is not told to hang. */
#define LONG_MS 50000
#define SHORT_MS 300

/* Events, as lines of text in their order. */
struct fixture {
	char *dir, *log, *template, *savefile;
	struct domains_options options;
	struct port_events events;
	struct domains_child *child;
	struct domains_port port;
	GString *seen;
};

/* ---- what the port reports ---- */

static void on_made(void *ctx, uint64_t number, uint32_t domid)
{
	g_string_append_printf(ctx, "made %u %u\n", (unsigned)number, domid);
}

static void on_failed(void *ctx, uint64_t number, enum qpen_error error)
{
	g_string_append_printf(ctx, "failed %u %s\n", (unsigned)number, qpen_error_name(error));
}

static void on_unpaused(void *ctx, uint64_t number)
{
	g_string_append_printf(ctx, "unpaused %u\n", (unsigned)number);
}

static void on_destroyed(void *ctx, uint64_t number)
{
	g_string_append_printf(ctx, "destroyed %u\n", (unsigned)number);
}

static void on_prepared(void *ctx, bool ok, enum qpen_error error)
{
	g_string_append_printf(ctx, "prepared %s\n", ok ? "ok" : qpen_error_name(error));
}

static void on_surveyed(void *ctx, const struct domain_seen *seen, size_t n, uint64_t free_bytes)
{
	g_string_append_printf(ctx, "surveyed %u:", (unsigned)free_bytes);
	for (size_t i = 0; i < n; i++)
		g_string_append_printf(ctx, " %u%s %.8s", seen[i].domid, seen[i].down ? "!" : "",
			seen[i].uuid + 28);
	g_string_append_c(ctx, '\n');
}

/* ---- the fixture ---- */

static void touch(const char *path, const char *text)
{
	g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void set_up(struct fixture *f, gconstpointer data)
{
	(void)data;
	f->dir = g_dir_make_tmp("qfx-domains-XXXXXX", NULL);
	g_assert_nonnull(f->dir);
	f->log = g_build_filename(f->dir, "log", NULL);
	f->template = g_build_filename(f->dir, "template.cfg", NULL);
	f->savefile = g_build_filename(f->dir, "save", NULL);
	f->seen = g_string_new(NULL);
	touch(f->log, "");
	touch(f->template, "name = 'x'\n");
	g_setenv("FAKE_LOG", f->log, TRUE);
	g_setenv("FAKE_DO", "", TRUE);
	f->options = (struct domains_options){.program = FAKE_DOMAINS,
		.template = f->template,
		.savefile = f->savefile,
		.make_ms = LONG_MS,
		.prepare_ms = LONG_MS,
		.destroy_ms = LONG_MS,
		.survey_ms = LONG_MS};
	f->events = (struct port_events){.ctx = f->seen,
		.domain_made = on_made,
		.domain_failed = on_failed,
		.domain_unpaused = on_unpaused,
		.domain_destroyed = on_destroyed,
		.prepared = on_prepared,
		.surveyed = on_surveyed};
}

static void tear_down(struct fixture *f, gconstpointer data)
{
	g_autoptr(GDir) dir = NULL;
	const char *name;

	(void)data;
	domains_child_destroy(f->child);
	dir = g_dir_open(f->dir, 0, NULL);
	while ((name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(f->dir, name, NULL);

		g_remove(path);
	}
	g_rmdir(f->dir);
	g_string_free(f->seen, TRUE);
	g_free(f->dir);
	g_free(f->log);
	g_free(f->template);
	g_free(f->savefile);
}

static char *read_log(const struct fixture *f)
{
	char *text = NULL;

	g_assert_true(g_file_get_contents(f->log, &text, NULL, NULL));
	return text;
}

static unsigned count(const char *text, const char *part)
{
	unsigned n = 0;

	for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
		n++;
	return n;
}

static unsigned count_log(const struct fixture *f, const char *part)
{
	g_autofree char *log = read_log(f);

	return count(log, part);
}

/* Turns the main loop; a timer keeps it from sleeping past what only a file shows. */
static void turn(int64_t began_us)
{
	g_assert_cmpint(g_get_monotonic_time() - began_us, <, WAIT_US);
	if (!g_main_context_iteration(NULL, FALSE))
		g_usleep(1000);
}

static void wait_log(const struct fixture *f, const char *part, unsigned n)
{
	int64_t began_us = g_get_monotonic_time();

	while (count_log(f, part) < n)
		turn(began_us);
}

static void wait_events(const struct fixture *f, unsigned n)
{
	int64_t began_us = g_get_monotonic_time();

	while (count(f->seen->str, "\n") < n)
		turn(began_us);
}

/* With the leftover's destroy out of the way and out of the log. */
static void start(struct fixture *f)
{
	f->child = domains_child_create(&f->options, &f->events);
	f->port = domains_child_port(f->child);
	if (!f->options.template || f->options.from_config)
		return;
	wait_log(f, "end destroy\n", 1);
	touch(f->log, "");
}

/* Nothing more comes: a survey, which waits for no one, is asked for and is the last. */
static void assert_only(struct fixture *f, const char *expected)
{
	g_autofree char *with = g_strconcat(
		expected, "surveyed 2097152: 5 00000005 6 00000006 9! 00000009\n", NULL);

	f->port.survey(f->port.ctx);
	wait_events(f, count(with, "\n"));
	g_assert_cmpstr(f->seen->str, ==, with);
}

static struct domain_plan plan_of(unsigned number)
{
	struct domain_plan plan = {.number = number};

	g_snprintf(plan.name, sizeof plan.name, "disp%u", number);
	g_snprintf(plan.uuid, sizeof plan.uuid, "00000000-0000-4000-8000-%012u", number);
	return plan;
}

/* ---- the tests ---- */

static void test_all_well(struct fixture *f, gconstpointer data)
{
	struct domain_plan plan = plan_of(3);

	(void)data;
	start(f);
	g_assert_true(f->port.is_configured(f->port.ctx));
	g_assert_false(f->port.is_prepared(f->port.ctx));
	f->port.prepare(f->port.ctx);
	f->port.prepare(f->port.ctx);
	g_assert_cmpstr(f->seen->str, ==, ""); /* nothing from within a call */
	wait_events(f, 1);
	f->port.make(f->port.ctx, &plan);
	wait_events(f, 2);
	f->port.unpause(f->port.ctx, &plan);
	wait_events(f, 3);
	f->port.destroy(f->port.ctx, &plan);
	f->port.destroy(f->port.ctx, &plan);
	wait_events(f, 4);
	assert_only(f, "prepared ok\nmade 3 7\nunpaused 3\ndestroyed 3\n");
	g_assert_cmpuint(count_log(f, "begin prepare"), ==, 1);
}

struct failure {
	const char *label;
	const char *what;     /* for $FAKE_DO */
	const char *expected; /* the event */
	unsigned cleanups;    /* how many times the rest must have been destroyed */
};

static const struct failure make_failures[] = {
	{"it says that it failed", "make=fail", "failed 3 failed\n", 0},
	{"no memory", "make=exit10", "failed 3 no-memory\n", 0},
	{"its own deadline", "make=exit11", "failed 3 timeout\n", 0},
	{"hangs", "make=hang", "failed 3 timeout\n", 1},
	{"crashes", "make=crash", "failed 3 failed\n", 1},
	{"says rubbish", "make=garbage", "failed 3 failed\n", 1},
	{"says nothing", "make=silent", "failed 3 failed\n", 1},
	{"says far too much", "make=babble", "failed 3 failed\n", 1},
};

static void test_make_fails(struct fixture *f, gconstpointer data)
{
	const struct failure *row = data;
	struct domain_plan plan = plan_of(3);

	f->options.make_ms = strstr(row->what, "hang") ? SHORT_MS : LONG_MS;
	start(f);
	g_setenv("FAKE_DO", row->what, TRUE);
	f->port.make(f->port.ctx, &plan);
	wait_events(f, 1);
	/* When it is reported, nothing is left. */
	g_assert_cmpuint(count_log(f, "end destroy"), ==, row->cleanups);
	assert_only(f, row->expected);
}

static void test_others_fail(struct fixture *f, gconstpointer data)
{
	struct domain_plan plan = plan_of(4);

	(void)data;
	start(f);
	g_setenv("FAKE_DO", "unpause=fail prepare=exit10", TRUE);
	f->port.unpause(f->port.ctx, &plan);
	wait_events(f, 1);
	f->port.prepare(f->port.ctx);
	wait_events(f, 2);
	g_assert_cmpuint(count_log(f, "begin destroy"), ==, 0);
	f->options.make_ms = SHORT_MS;
	f->options.prepare_ms = SHORT_MS;
	domains_child_set_options(f->child, &f->options);
	g_setenv("FAKE_DO", "unpause=hang prepare=hang", TRUE);
	f->port.unpause(f->port.ctx, &plan);
	wait_events(f, 3);
	f->port.prepare(f->port.ctx);
	wait_events(f, 4);
	/* The VM that was to be saved is removed, which nobody asked for and nobody is told. */
	wait_log(f, "end destroy", 1);
	assert_only(f, "failed 4 failed\nprepared no-memory\nfailed 4 timeout\nprepared timeout\n");
}

static void test_no_program(struct fixture *f, gconstpointer data)
{
	struct domain_plan plan = plan_of(5);

	(void)data;
	f->options.program = "/nonexistent/qfilexchg-domains";
	f->options.from_config = true;
	start(f);
	f->port.make(f->port.ctx, &plan);
	f->port.prepare(f->port.ctx);
	g_assert_cmpstr(f->seen->str, ==, "");
	wait_events(f, 2);
	g_assert_cmpstr(f->seen->str, ==, "failed 5 failed\nprepared failed\n");
}

static void test_destroy_cuts_off(struct fixture *f, gconstpointer data)
{
	struct domain_plan plans[] = {plan_of(1), plan_of(2), plan_of(3)};

	(void)data;
	g_setenv("FAKE_DO", "make=hang", TRUE);
	start(f);
	for (size_t i = 0; i < G_N_ELEMENTS(plans); i++)
		f->port.make(f->port.ctx, &plans[i]);
	wait_log(f, "started", 2);
	/* The third waits for its turn: it must be forgotten. */
	f->port.destroy(f->port.ctx, &plans[2]);
	wait_events(f, 1);
	f->port.destroy(f->port.ctx, &plans[0]);
	wait_events(f, 2);
	f->port.destroy(f->port.ctx, &plans[1]);
	wait_events(f, 3);
	assert_only(f, "destroyed 3\ndestroyed 1\ndestroyed 2\n");
	g_assert_cmpuint(count_log(f, "begin make"), ==, 2);
}

static void test_destroy_is_tried_again(struct fixture *f, gconstpointer data)
{
	struct domain_plan plan = plan_of(6);

	(void)data;
	start(f);
	g_setenv("FAKE_DO", "destroy=once", TRUE);
	f->port.destroy(f->port.ctx, &plan);
	wait_events(f, 1);
	g_assert_cmpuint(count_log(f, "begin destroy"), ==, 2);
	assert_only(f, "destroyed 6\n");
}

/* What an earlier daemon left cannot be destroyed yet: that keeps nobody from making a save file.
 */
static void test_leftover_stays(struct fixture *f, gconstpointer data)
{
	(void)data;
	g_setenv("FAKE_DO", "destroy=fail", TRUE);
	f->child = domains_child_create(&f->options, &f->events);
	f->port = domains_child_port(f->child);
	wait_log(f, "begin destroy", 1);
	f->port.prepare(f->port.ctx);
	wait_events(f, 1);
	g_assert_cmpstr(f->seen->str, ==, "prepared ok\n");
}

/* How many makes were under way at most, by the log. */
static unsigned most_at_a_time(const char *log)
{
	g_auto(GStrv) lines = g_strsplit(log, "\n", 0);
	unsigned now = 0, most = 0;

	for (char **line = lines; *line; line++) {
		if (g_str_has_prefix(*line, "begin make"))
			now++;
		else if (strcmp(*line, "end make") == 0)
			now--;
		most = MAX(most, now);
	}
	return most;
}

static void test_two_at_a_time(struct fixture *f, gconstpointer data)
{
	g_autofree char *log = NULL, *gate = g_strconcat(f->log, ".gate", NULL);

	(void)data;
	g_setenv("FAKE_DO", "make=gate", TRUE);
	start(f);
	for (unsigned i = 1; i <= 8; i++) {
		struct domain_plan plan = plan_of(i);

		f->port.make(f->port.ctx, &plan);
	}
	/* When the survey is there, all have begun that may. */
	f->port.survey(f->port.ctx);
	wait_events(f, 1);
	g_assert_true(g_str_has_prefix(f->seen->str, "surveyed "));
	touch(gate, "");
	wait_events(f, 9);
	log = read_log(f);
	g_assert_cmpuint(count(log, "begin make"), ==, 8);
	g_assert_cmpuint(most_at_a_time(log), <=, 2);
}

static void test_survey(struct fixture *f, gconstpointer data)
{
	(void)data;
	start(f);
	/* Asked for while one is under way: once more, however often. */
	f->port.survey(f->port.ctx);
	wait_log(f, "begin survey", 1);
	f->port.survey(f->port.ctx);
	f->port.survey(f->port.ctx);
	wait_events(f, 2);
	assert_only(f, "surveyed 2097152: 5 00000005 6 00000006 9! 00000009\n"
		       "surveyed 2097152: 5 00000005 6 00000006 9! 00000009\n");
}

/* Who is missing from a survey counts as gone: half a one must not be believed. */
static void test_survey_is_cut_off(struct fixture *f, gconstpointer data)
{
	(void)data;
	start(f);
	g_setenv("FAKE_DO", "survey=short", TRUE);
	f->port.survey(f->port.ctx);
	wait_log(f, "end survey", 1);
	g_setenv("FAKE_DO", "", TRUE);
	wait_events(f, 1);
	g_assert_cmpstr(f->seen->str, ==, "surveyed 2097152: 5 00000005 6 00000006 9! 00000009\n");
	g_assert_cmpuint(count_log(f, "begin survey"), ==, 2);
}

static void test_arguments(struct fixture *f, gconstpointer data)
{
	struct domain_plan plan = plan_of(8);
	g_autofree char *pool = NULL, *fresh = NULL;

	(void)data;
	f->options.keep_free_mib = 500;
	f->options.memory_mib = 200;
	f->options.make_ms = 30000;
	start(f);
	g_strlcpy(plan.label, "red", sizeof plan.label);
	plan.for_pool = true;
	f->port.make(f->port.ctx, &plan);
	wait_events(f, 1);
	pool = g_strdup_printf("--uuid=%s --name=disp8 --label=red --savefile=%s --keep-free=500 "
			       "--settle=28\n",
		plan.uuid, f->savefile);
	g_assert_cmpuint(count_log(f, pool), ==, 1);
	f->options.from_config = true;
	domains_child_set_options(f->child, &f->options);
	g_assert_true(f->port.is_prepared(f->port.ctx));
	plan.for_pool = false;
	f->port.make(f->port.ctx, &plan);
	wait_events(f, 2);
	fresh = g_strdup_printf("--uuid=%s --name=disp8 --label=red --config=%s --memory=200 "
				"--settle=28\n",
		plan.uuid, f->template);
	g_assert_cmpuint(count_log(f, fresh), ==, 1);
}

/* A save file and its record, as the program writes them. */
static void save(struct fixture *f, const char *disk)
{
	struct savefile_info *info = savefile_info_create(f->template, f->options.memory_mib);

	g_assert_true(savefile_info_add(info, f->template, NULL));
	g_assert_true(savefile_info_add(info, disk, NULL));
	touch(f->savefile, "memory");
	g_assert_true(savefile_info_write(info, f->savefile, NULL));
	savefile_info_destroy(info);
}

static void assert_prepared(struct fixture *f, bool expected)
{
	g_assert_cmpint(f->port.is_prepared(f->port.ctx), ==, expected);
}

static void test_is_prepared(struct fixture *f, gconstpointer data)
{
	g_autofree char *disk = g_build_filename(f->dir, "disk", NULL);
	g_autofree char *record = g_strconcat(f->savefile, ".info", NULL);
	const char *files[] = {f->template, disk, f->savefile};

	(void)data;
	touch(disk, "root");
	start(f);
	assert_prepared(f, false);
	for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
		save(f, disk);
		assert_prepared(f, true);
		/* Of the same size, so that it is another file, or another time, that tells. */
		touch(files[i], i == 0 ? "name = 'y'\n" : i == 1 ? "ROOT" : "MEMORY");
		assert_prepared(f, false);
		save(f, disk);
		g_remove(files[i]);
		assert_prepared(f, false);
		touch(files[i], "name = 'x'\n");
	}
	save(f, disk);
	f->options.memory_mib = 100;
	domains_child_set_options(f->child, &f->options);
	assert_prepared(f, false);
	f->options.memory_mib = 0;
	f->options.template = disk;
	domains_child_set_options(f->child, &f->options);
	assert_prepared(f, false);
	f->options.template = f->template;
	domains_child_set_options(f->child, &f->options);
	assert_prepared(f, true);
	touch(record, "[savefile]\nlayout=2\n");
	assert_prepared(f, false);
	f->options.template = NULL;
	domains_child_set_options(f->child, &f->options);
	assert_prepared(f, false);
	g_assert_false(f->port.is_configured(f->port.ctx));
}

/* Killed, and at most waited for by whoever is process 1 here. */
static bool is_gone(int pid)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
	g_autofree char *stat = NULL;
	const char *state;

	if (!g_file_get_contents(path, &stat, NULL, NULL))
		return true;
	state = strrchr(stat, ')');
	return state && strncmp(state, ") Z", 3) == 0;
}

/* The pids of what hangs: the program and what it started. */
static void wait_until_gone(const struct fixture *f)
{
	g_autofree char *log = read_log(f);
	int64_t began_us = g_get_monotonic_time();
	g_auto(GStrv) words = g_strsplit_set(strstr(log, "started "), " \n", 4);
	int program = (int)strtol(words[1], NULL, 10), started = (int)strtol(words[2], NULL, 10);

	g_assert_cmpint(program, >, 1);
	g_assert_cmpint(started, >, 1);
	while (!is_gone(program) || !is_gone(started))
		turn(began_us);
}

/* A VM whose disks are attached by a script that goes on would get them when it is gone. */
static void test_all_is_killed(struct fixture *f, gconstpointer data)
{
	struct domain_plan plan = plan_of(9);

	(void)data;
	start(f);
	g_setenv("FAKE_DO", "make=hang", TRUE);
	f->port.make(f->port.ctx, &plan);
	wait_log(f, "started", 1);
	f->port.destroy(f->port.ctx, &plan);
	wait_events(f, 1);
	wait_until_gone(f);
	touch(f->log, "");
	f->port.make(f->port.ctx, &plan);
	wait_log(f, "started", 1);
	domains_child_destroy(f->child);
	f->child = NULL;
	wait_until_gone(f);
	g_assert_cmpstr(f->seen->str, ==, "destroyed 9\n");
}

/* What the port logs is not what is tested here. */
static gboolean is_fatal(const char *domain, GLogLevelFlags level, const char *text, gpointer data)
{
	(void)domain;
	(void)text;
	(void)data;
	return (level & (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR)) != 0;
}

#define ADD(name, data, function)                                                                  \
	g_test_add(name, struct fixture, data, set_up, function, tear_down)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL | G_LOG_FATAL_MASK);
	g_test_log_set_fatal_handler(is_fatal, NULL);
	ADD("/domains/all-well", NULL, test_all_well);
	for (size_t i = 0; i < G_N_ELEMENTS(make_failures); i++) {
		g_autofree char *name = g_strdup_printf("/domains/make/%s", make_failures[i].label);

		ADD(name, &make_failures[i], test_make_fails);
	}
	ADD("/domains/others-fail", NULL, test_others_fail);
	ADD("/domains/no-program", NULL, test_no_program);
	ADD("/domains/destroy-cuts-off", NULL, test_destroy_cuts_off);
	ADD("/domains/destroy-is-tried-again", NULL, test_destroy_is_tried_again);
	ADD("/domains/leftover-stays", NULL, test_leftover_stays);
	ADD("/domains/two-at-a-time", NULL, test_two_at_a_time);
	ADD("/domains/survey", NULL, test_survey);
	ADD("/domains/survey-is-cut-off", NULL, test_survey_is_cut_off);
	ADD("/domains/arguments", NULL, test_arguments);
	ADD("/domains/is-prepared", NULL, test_is_prepared);
	ADD("/domains/all-is-killed", NULL, test_all_is_killed);
	return g_test_run();
}
