/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes_dvm_open as root's script runs it, with a regular file as the pendrive, shell scripts as
 * editors and no xenstore. QPEN_TEST_PROGRAM names the program.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "argv.h"
#include "asuser.h"
#include "dvmheader.h"
#include "fail.h"

#define SOMEBODY "nobody"
#define NAME "-a 'b\"$(touch x)"

struct box {
	char *folder;
	char *device;
	char *editor;
	struct asuser user; /* not root, in any case */
	int out;            /* what the program says to who started it */
	int err;            /* its journal */
	pid_t pid;
};

static void fill_self(struct asuser *user)
{
	memset(user, 0, sizeof *user);
	user->name = g_strdup(g_get_user_name());
	user->home = g_strdup("/");
	user->shell = g_strdup("/bin/sh");
	user->uid = getuid();
	user->gid = getgid();
}

static void setup(struct box *box, const char *editor_body)
{
	unsigned char header[QPEN_DVM_HEADER_BYTES];
	g_autofree char *text = g_strdup_printf("#!/bin/sh\nset -eu\n%s\n", editor_body);
	g_autofree char *bytes = g_malloc0(QPEN_DVM_HEADER_BYTES + 4096);

	memset(box, 0, sizeof *box);
	box->folder = g_dir_make_tmp("dvm-open-XXXXXX", NULL);
	box->device = g_build_filename(box->folder, "device", NULL);
	box->editor = g_build_filename(box->folder, "editor", NULL);
	g_assert_true(dvm_header_compose(NAME, 3, header));
	memcpy(bytes, header, sizeof header);
	memcpy(bytes + sizeof header, "old", 3);
	g_assert_true(g_file_set_contents(box->device, bytes, QPEN_DVM_HEADER_BYTES + 4096, NULL));
	g_assert_true(g_file_set_contents(box->editor, text, -1, NULL));
	/* Like /tmp: whoever the user is, private folders are made in it. */
	g_assert_cmpint(g_chmod(box->editor, 0755), ==, 0);
	g_assert_cmpint(g_chmod(box->folder, 01777), ==, 0);
	if (geteuid() == 0)
		g_assert_true(asuser_find(SOMEBODY, &box->user, NULL));
	else
		fill_self(&box->user);
}

static void start(struct box *box, const char *mode)
{
	const char *argv[] = {
		g_getenv("QPEN_TEST_PROGRAM"), "--offset=0", "--opener=work", mode, "A1", NULL};
	g_auto(GStrv) environment = asuser_environment(&box->user, "/nonexistent");
	g_autoptr(GError) error = NULL;
	int out[2];
	int err[2];
	int device = open(box->device, O_RDONLY | O_CLOEXEC);
	int own = dup(STDERR_FILENO);

	environment = g_environ_setenv(environment, "QPEN_OPENER", box->editor, TRUE);
	environment = g_environ_setenv(environment, "XDG_RUNTIME_DIR", box->folder, TRUE);
	environment = g_environ_setenv(environment, "XENSTORED_PATH", "/nonexistent", TRUE);
	environment = g_environ_unsetenv(environment, "JOURNAL_STREAM");
	g_assert_cmpint(pipe2(out, O_CLOEXEC), ==, 0);
	g_assert_cmpint(pipe2(err, O_CLOEXEC), ==, 0);
	/* A program has our standard error: lend it the pipe's for a moment. */
	g_assert_cmpint(dup2(err[1], STDERR_FILENO), >=, 0);
	box->pid = asuser_spawn(&box->user,
		&(struct asuser_job){
			.argv = argv, .environment = environment, .in = device, .out = out[1]},
		&error);
	g_assert_cmpint(dup2(own, STDERR_FILENO), >=, 0);
	g_assert_no_error(error);
	close(own);
	close(device);
	close(out[1]);
	close(err[1]);
	box->out = out[0];
	box->err = err[0];
}

/* Reads until `word` came, or the end; what came before and with it is returned. */
static char *read_until(int fd, const char *word)
{
	GString *text = g_string_new(NULL);
	char byte;
	ssize_t r;

	while (!(word && strstr(text->str, word)) &&
		((r = read(fd, &byte, 1)) > 0 || (r < 0 && errno == EINTR)))
		if (r > 0)
			g_string_append_c(text, byte);
	return g_string_free(text, FALSE);
}

static int end_of(const struct box *box)
{
	int status;

	g_assert_cmpint(waitpid(box->pid, &status, 0), ==, box->pid);
	g_assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* The private folder, if it is still there. */
static char *private_folder(const struct box *box)
{
	g_autoptr(GDir) dir = g_dir_open(box->folder, 0, NULL);
	const char *name;

	while ((name = g_dir_read_name(dir)))
		if (g_str_has_prefix(name, "qubes-dvm-"))
			return g_build_filename(box->folder, name, NULL);
	return NULL;
}

static void remove_folder(const char *folder)
{
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(folder, name, NULL);

		if (g_file_test(path, G_FILE_TEST_IS_DIR))
			remove_folder(path);
		else
			g_unlink(path);
	}
	g_rmdir(folder);
}

static void teardown(struct box *box)
{
	close(box->out);
	close(box->err);
	remove_folder(box->folder);
	g_free(box->folder);
	g_free(box->device);
	g_free(box->editor);
	asuser_finish(&box->user);
}

/* -- the ends at which nothing is sent ------------------------------------------------------------
 */

static void test_ends(void)
{
	static const struct {
		const char *label;
		const char *mode;
		const char *editor;
		int status;
	} rows[] = {
		{"unchanged", "--mode=edit", "cat -- \"$1\" >/dev/null", VM_EXIT_UNCHANGED},
		{"touched", "--mode=edit", "touch -- \"$1\"", VM_EXIT_UNCHANGED},
		{"deleted", "--mode=edit", "rm -- \"$1\"", VM_EXIT_UNCHANGED},
		{"the name is as it was", "--mode=edit",
			"[ \"${1##*/}\" = '-a '\"'\"'b\"$(touch x)' ]; test -f \"$1\"; : <\"$1\"",
			VM_EXIT_UNCHANGED},
		{"a failed program", "--mode=edit", "exit 9", VM_EXIT_FAILED},
		{"viewed", "--mode=view", "[ ! -w \"$1\" ] && cat \"$1\"", VM_EXIT_UNCHANGED},
		{"viewed, and written by force", "--mode=view", "rm -f \"$1\"; echo new >\"$1\"",
			VM_EXIT_UNCHANGED},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct box box;
		g_autofree char *said = NULL;
		g_autofree char *log = NULL;
		g_autofree char *left = NULL;

		g_test_message("%s", rows[i].label);
		setup(&box, rows[i].editor);
		start(&box, rows[i].mode);
		said = read_until(box.out, NULL);
		log = read_until(box.err, NULL);
		g_test_message("%s", log);
		g_assert_cmpint(end_of(&box), ==, rows[i].status);
		/* Also when the editor printed more: it has not this pipe. */
		g_assert_cmpstr(said, ==, "read\n");
		left = private_folder(&box);
		g_assert_null(left);
		teardown(&box);
	}
}

static void test_bad_header(void)
{
	struct box box;
	g_autofree char *said = NULL;

	setup(&box, "echo new >\"$1\"");
	g_assert_true(g_file_set_contents(box.device, "short", 5, NULL));
	start(&box, "--mode=edit");
	said = read_until(box.out, NULL);
	g_assert_cmpstr(said, ==, "");
	g_assert_cmpint(end_of(&box), ==, VM_EXIT_FAILED);
	teardown(&box);
}

static void test_arguments(void)
{
	static const char *const wrong[] = {"--mode=write", "--mode=", "--opener=a b",
		"--opener=-x", "--opener=disposable", "--offset=1", "--unknown"};

	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
		struct box box;
		g_autofree char *said = NULL;

		setup(&box, "echo new >\"$1\"");
		/* The last of two options of a kind counts, and --mode is given last. */
		start(&box, wrong[i]);
		said = read_until(box.out, NULL);
		g_assert_cmpstr(said, ==, "");
		g_assert_cmpint(end_of(&box), ==, VM_EXIT_USAGE);
		teardown(&box);
	}
}

/* -- an edit that cannot be sent ------------------------------------------------------------------
 */

static void test_unsent(void)
{
	static const char *const editors[] = {"echo new >\"$1\"", ": >\"$1\"",
		"echo new >\"$1\"; exit 3",
		"echo new >\"${1%/*}/tmp\"; mv \"${1%/*}/tmp\" \"$1\"; sync"};

	for (size_t i = 0; i < G_N_ELEMENTS(editors); i++) {
		struct box box;
		g_autofree char *log = NULL;
		g_autofree char *last = NULL;
		g_autofree char *left = NULL;
		g_autofree char *file = NULL;

		setup(&box, editors[i]);
		start(&box, "--mode=edit");
		/* There is no xenstore: the first try fails, and the next one is announced. */
		log = read_until(box.err, "next try");
		g_assert_nonnull(strstr(log, "next try"));
		g_assert_cmpint(kill(box.pid, SIGTERM), ==, 0);
		last = read_until(box.err, NULL);
		g_assert_cmpint(end_of(&box), ==, VM_EXIT_LOST);
		g_assert_nonnull(strstr(last, "NOT sent"));
		left = private_folder(&box);
		g_assert_nonnull(left);
		/* The message says where it is. */
		g_assert_nonnull(strstr(last, left));
		file = g_build_filename(left, NAME, NULL);
		g_assert_true(g_file_test(file, G_FILE_TEST_IS_REGULAR));
		teardown(&box);
	}
}

/* The device is free before the editor has ended: it waits for us, and we look at the pipe. */
static void test_lets_go_first(void)
{
	struct box box;
	g_autofree char *gate = NULL;
	g_autofree char *said = NULL;
	int fd;

	setup(&box, "cat \"${0%/*}/gate\" \"$1\" >/dev/null");
	gate = g_build_filename(box.folder, "gate", NULL);
	g_assert_cmpint(mkfifo(gate, 0600), ==, 0);
	g_assert_cmpint(chown(gate, box.user.uid, box.user.gid), ==, 0);
	start(&box, "--mode=edit");
	/* To its end, not to the word: nobody holds the pipe any more, though the editor runs. */
	said = read_until(box.out, NULL);
	g_assert_cmpstr(said, ==, "read\n");
	fd = open(gate, O_WRONLY | O_CLOEXEC);
	g_assert_cmpint(fd, >=, 0);
	close(fd);
	g_assert_cmpint(end_of(&box), ==, VM_EXIT_UNCHANGED);
	teardown(&box);
}

static void test_never_root(void)
{
	const char *const words[] = {g_getenv("QPEN_TEST_PROGRAM"), "--offset=0", "--opener=work",
		"--mode=edit", "A1", NULL};
	g_auto(GStrv) argv = argv_copy(words);
	g_autofree char *said = NULL;
	int status = 0;

	if (geteuid() != 0) {
		g_test_skip("needs root");
		return;
	}
	g_assert_true(g_spawn_sync(
		NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, &said, &status, NULL));
	g_assert_true(WIFEXITED(status));
	g_assert_cmpint(WEXITSTATUS(status), ==, VM_EXIT_FAILED);
	/* For that reason, and not for want of a pendrive. */
	g_assert_nonnull(strstr(said, "never does so as root"));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	if (!g_getenv("QPEN_TEST_PROGRAM"))
		return 77;
	g_test_add_func("/vm/dvm-open/ends", test_ends);
	g_test_add_func("/vm/dvm-open/bad-header", test_bad_header);
	g_test_add_func("/vm/dvm-open/arguments", test_arguments);
	g_test_add_func("/vm/dvm-open/unsent", test_unsent);
	g_test_add_func("/vm/dvm-open/lets-go-first", test_lets_go_first);
	g_test_add_func("/vm/dvm-open/never-root", test_never_root);
	return g_test_run();
}
