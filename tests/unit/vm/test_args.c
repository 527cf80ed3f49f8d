/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <glib.h>

#include "args.h"
#include "fail.h"

#define WORDS(...) ((const char *const[]){"qubes_penctl", __VA_ARGS__, NULL})

static const struct {
	const char *const *argv;
	const char *line; /* NULL: a usage error */
	int timeout_s;
	bool no_wait;
	bool quiet;
} rows[] = {
	{WORDS("new"), "new", 0, false, false},
	{WORDS("new", "size=2G"), "new size=2G", 0, false, false},
	{WORDS("new", "format=none", "size=2G"), "new size=2G format=none", 0, false, false},
	{WORDS("umount"), "umount", 0, false, false},
	{WORDS("send", "personal"), "send personal", 0, false, false},
	/* 2010 fell through to its usage message here */
	{WORDS("send", "personal", "7"), "send personal 7", 0, false, false},
	{WORDS("-q", "--no-wait", "umount"), "umount", 0, true, true},
	{WORDS("umount", "--timeout=5"), "umount", 5, false, false},
	{WORDS("-t", "604800", "umount"), "umount", 604800, false, false},
	{WORDS("--", "send", "personal"), "send personal", 0, false, false},
	/* 2010 took any single word for `new`, and any two for `send` */
	{WORDS("nwe"), NULL, 0, false, false},
	{WORDS("NEW"), NULL, 0, false, false},
	{WORDS(""), NULL, 0, false, false},
	{WORDS("give", "personal"), NULL, 0, false, false},
	{(const char *const[]){"qubes_penctl", NULL}, NULL, 0, false, false},
	{WORDS("new", "personal"), NULL, 0, false, false},
	{WORDS("new", ""), NULL, 0, false, false},
	{WORDS("new", "size="), NULL, 0, false, false},
	{WORDS("new", "size=1", "size=2"), NULL, 0, false, false},
	{WORDS("new", "format=vfat", "format=vfat"), NULL, 0, false, false},
	{WORDS("new", "format=ext4"), NULL, 0, false, false},
	{WORDS("new", "label=x"), NULL, 0, false, false},
	{WORDS("send"), NULL, 0, false, false},
	{WORDS("send", ""), NULL, 0, false, false},
	{WORDS("send", "a", "b", "c"), NULL, 0, false, false},
	{WORDS("send", "a b"), NULL, 0, false, false},
	{WORDS("send", "a #1"), NULL, 0, false, false},
	{WORDS("send", "a", "#1"), NULL, 0, false, false},
	{WORDS("send", "a\n"), NULL, 0, false, false},
	{WORDS("--", "send", "-a"), NULL, 0, false, false},
	{WORDS("umount", "now"), NULL, 0, false, false},
	{WORDS("discard"), "discard", 0, false, false},
	{WORDS("-q", "-t", "5", "discard"), "discard", 5, false, true},
	{WORDS("discard", "abc"), NULL, 0, false, false},
	{WORDS("discard", ""), NULL, 0, false, false},
	{WORDS("killme"), "killme", 0, false, false},
	{WORDS("killme", "now"), NULL, 0, false, false},
	{WORDS("killme", ""), NULL, 0, false, false},
	{WORDS("send", "disposable", "7"), "send disposable 7", 0, false, false},
	{WORDS("send", "disposable", "7", "view"), "send disposable 7 view", 0, false, false},
	{WORDS("send", "disposable"), NULL, 0, false, false},
	{WORDS("send", "disposable", "0"), NULL, 0, false, false},
	{WORDS("send", "disposable", "7", "edit"), NULL, 0, false, false},
	{WORDS("send", "disposable", "7", ""), NULL, 0, false, false},
	{WORDS("send", "disposable", "7", "view", "view"), NULL, 0, false, false},
	{WORDS("send", "personal", "7", "view"), NULL, 0, false, false},
	{WORDS("--timeout=0", "umount"), NULL, 0, false, false},
	{WORDS("--timeout=-1", "umount"), NULL, 0, false, false},
	{WORDS("--timeout=604801", "umount"), NULL, 0, false, false},
	{WORDS("--timeout=soon", "umount"), NULL, 0, false, false},
	{WORDS("--timeout", "umount"), NULL, 0, false, false},
	{WORDS("--force", "umount"), NULL, 0, false, false},
};

static char **copy_words(const char *const *words)
{
	GPtrArray *copy = g_ptr_array_new();

	for (; *words; words++)
		g_ptr_array_add(copy, g_strdup(*words));
	g_ptr_array_add(copy, NULL);
	return (char **)g_ptr_array_free(copy, FALSE);
}

static void test_table(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_auto(GStrv) argv = copy_words(rows[i].argv);
		g_autofree char *shown = g_strjoinv(" ", argv);
		g_autofree char *line = NULL;
		g_autoptr(GError) error = NULL;
		struct penctl_args args;
		bool ok = penctl_args_parse(argv, &args, &error);

		g_test_message("row %zu: %s: %s", i, shown, error ? error->message : "understood");
		g_assert_cmpint(ok, ==, rows[i].line != NULL);
		if (ok) {
			line = request_compose(&args.request);
			g_assert_cmpstr(line, ==, rows[i].line);
			g_assert_cmpint(args.timeout_s, ==, rows[i].timeout_s);
			g_assert_cmpint(args.no_wait, ==, rows[i].no_wait);
			g_assert_cmpint(args.quiet, ==, rows[i].quiet);
		} else {
			g_assert_error(error, VM_ERROR, VM_EXIT_USAGE);
		}
		penctl_args_finish(&args);
	}
}

static void test_version(void)
{
	char *argv[] = {(char[]){"qubes_penctl"}, (char[]){"--version"}, NULL};
	struct penctl_args args;

	g_assert_true(penctl_args_parse(argv, &args, NULL));
	g_assert_true(args.version);
	penctl_args_finish(&args);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vm/args/table", test_table);
	g_test_add_func("/vm/args/version", test_version);
	return g_test_run();
}
