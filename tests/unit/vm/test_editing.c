/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small shell scripts play the editors. What must come one after the other is ordered by pipes: a
 * named pipe tells its reader by its end that the writer has ended. Nothing sleeps.
 *
 * Each wait runs in a child, as in life: the process that waits is the reaper of all it started,
 * and the test itself is a stranger that no editor descends from.
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

#include "descendants.h"
#include "editing.h"
#include "fail.h"

/* Longer than any test may take: whoever waits for it in vain is stopped by the test's timeout. */
#define FOREVER_MS 3600000u

struct box {
	char *folder; /* private, with the file "it" */
	char *tools;  /* scripts and pipes: the folder must not hold them */
	char *file;
	char *editor;
	char *gate;
	unsigned handover_ms;
};

static char *write_script(const struct box *box, const char *name, const char *body)
{
	char *path = g_build_filename(box->tools, name, NULL);
	g_autofree char *text =
		g_strdup_printf("#!/bin/sh\nset -eu\nfile=$1\ntools=%s\n%s\n", box->tools, body);

	g_assert_true(g_file_set_contents(path, text, -1, NULL));
	g_assert_cmpint(g_chmod(path, 0755), ==, 0);
	return path;
}

static void setup(struct box *box, const char *body)
{
	box->folder = g_dir_make_tmp("editing-XXXXXX", NULL);
	box->tools = g_dir_make_tmp("tools-XXXXXX", NULL);
	g_assert_nonnull(box->folder);
	g_assert_nonnull(box->tools);
	box->file = g_build_filename(box->folder, "it", NULL);
	box->gate = g_build_filename(box->tools, "gate", NULL);
	g_assert_cmpint(mkfifo(box->gate, 0600), ==, 0);
	g_assert_true(g_file_set_contents(box->file, "old", -1, NULL));
	box->editor = write_script(box, "editor", body);
	box->handover_ms = FOREVER_MS;
}

static void remove_folder(const char *folder)
{
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(folder, name, NULL);

		g_unlink(path);
	}
	g_rmdir(folder);
}

static void teardown(struct box *box)
{
	remove_folder(box->folder);
	remove_folder(box->tools);
	g_free(box->folder);
	g_free(box->tools);
	g_free(box->file);
	g_free(box->editor);
	g_free(box->gate);
}

static char *content(const struct box *box)
{
	char *text = NULL;

	g_assert_true(g_file_get_contents(box->file, &text, NULL, NULL));
	return text;
}

/* In the child: its exit status is the program's, or 100 and what the failure stands for. */
static int run(const struct box *box)
{
	const char *const argv[] = {box->editor, box->file, NULL};
	const struct editing editing = {
		.argv = argv,
		.folder = box->folder,
		.name = "it",
		.services = descendants_services,
		.handover_ms = box->handover_ms,
	};
	g_autoptr(GError) error = NULL;
	int status;

	if (!editing_run(&editing, &status, &error))
		return 100 + vm_exit_status(error) % 100;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

static pid_t start(const struct box *box)
{
	pid_t pid = fork();

	g_assert_cmpint(pid, >=, 0);
	if (pid == 0)
		_exit(run(box));
	return pid;
}

static int end_of(pid_t pid)
{
	int status;

	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	g_assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* -- editors that are their own masters ----------------------------------------------------------
 */

static void test_editors(void)
{
	static const struct {
		const char *label;
		const char *body;
		const char *wanted;
		int status;
	} rows[] = {
		{"writes", "printf new >\"$file\"", "new", 0},
		{"saves by rename and leaves a backup",
			"cp \"$file\" \"$file~\"; printf new >\"$file.tmp\"; mv \"$file.tmp\" "
			"\"$file\"",
			"new", 0},
		{"empties", ": >\"$file\"", "", 0},
		{"touches", "touch \"$file\"", "old", 0},
		{"fails", "exit 3", "old", 3},
		/* The pipe's end comes with the end of the program: what is written is written
		   later. */
		{"forks and returns at once",
			"(cat \"$tools/gate\"; printf new >\"$file\") & exec 3>\"$tools/gate\"; "
			"touch \"$file\"",
			"new", 0},
		{"forks a daemon that forks",
			"setsid sh -c '(cat \"$2\"; printf new >\"$1\") &' sh \"$file\" "
			"\"$tools/gate\" & exec 3>\"$tools/gate\"; touch \"$file\"",
			"new", 0},
		{"fails, but what it forked does not",
			"(cat \"$tools/gate\"; printf new >\"$file\") & exec 3>\"$tools/gate\"; "
			"exit 4",
			"new", 4},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct box box;
		g_autofree char *now = NULL;

		g_test_message("%s", rows[i].label);
		setup(&box, rows[i].body);
		g_assert_cmpint(end_of(start(&box)), ==, rows[i].status);
		now = content(&box);
		g_assert_cmpstr(now, ==, rows[i].wanted);
		teardown(&box);
	}
}

static void test_missing(void)
{
	struct box box;

	setup(&box, "");
	g_assert_cmpint(g_unlink(box.editor), ==, 0);
	g_assert_cmpint(end_of(start(&box)), ==, 100 + VM_EXIT_FAILED);
	teardown(&box);
}

/* -- services ------------------------------------------------------------------------------------
 */

/* It reads the pipe for ever, so it is alive when the wait is over; then it is let go. */
static void test_service(void)
{
	struct box box;
	int gate;
	pid_t pid;

	setup(&box, "\"$tools/dbus-daemon\" x & touch \"$file\"");
	g_free(write_script(&box, "dbus-daemon", "read -r line <\"$tools/gate\""));
	pid = start(&box);
	g_assert_cmpint(end_of(pid), ==, 0);
	/* Opens only if somebody reads: the service lives. */
	gate = open(box.gate, O_WRONLY | O_CLOEXEC);
	g_assert_cmpint(gate, >=, 0);
	close(gate);
	teardown(&box);
}

/* -- strangers -----------------------------------------------------------------------------------
 */

/* Returns when the other end is closed, which its owner's end does. */
static void await_end(int fd)
{
	char byte;
	ssize_t r;

	while ((r = read(fd, &byte, 1)) > 0 || (r < 0 && errno == EINTR))
		;
	g_assert_cmpint(r, ==, 0);
	close(fd);
}

static bool waits_for(pid_t waiter, pid_t pid)
{
	g_autofree char *folder = g_strdup_printf("/proc/%d/fdinfo", waiter);
	g_autofree char *wanted = g_strdup_printf("\nPid:\t%d\n", pid);
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(folder, name, NULL);
		g_autofree char *text = NULL;

		if (g_file_get_contents(path, &text, NULL, NULL) && strstr(text, wanted))
			return true;
	}
	return false;
}

/* Until it holds a pidfd of that process. If it ends instead, it did not wait. */
static void await_waiting(pid_t waiter, pid_t pid)
{
	while (!waits_for(waiter, pid)) {
		siginfo_t info = {0};

		g_assert_cmpint(
			waitid(P_PID, (id_t)waiter, &info, WEXITED | WNOHANG | WNOWAIT), ==, 0);
		g_assert_cmpint(info.si_pid, ==, 0);
		g_thread_yield();
	}
}

static pid_t read_pid(const struct box *box, const char *name)
{
	g_autofree char *path = g_build_filename(box->tools, name, NULL);
	g_autofree char *text = NULL;
	pid_t pid;

	g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
	pid = (pid_t)g_ascii_strtoll(text, NULL, 10);
	g_assert_cmpint(pid, >, 1);
	return pid;
}

static void await_reaped(pid_t pid)
{
	while (kill(pid, 0) == 0)
		g_thread_yield();
}

/* Its parent has ended and its command line names no file: only the descent tells of it. */
static void test_orphan(void)
{
	struct box box;
	g_autofree char *now = NULL;
	int gate;
	pid_t pid;

	setup(&box, "touch \"$file\"; echo $$ >\"$tools/editor-pid\"; F=$file T=$tools setsid "
		    "sh -c 'echo $$ >\"$T/pid\"; cat \"$T/gate\"; printf new >\"$F\"' &");
	pid = start(&box);
	gate = open(box.gate, O_WRONLY | O_CLOEXEC);
	g_assert_cmpint(gate, >=, 0);
	await_reaped(read_pid(&box, "editor-pid"));
	await_waiting(pid, read_pid(&box, "pid"));
	close(gate);
	g_assert_cmpint(end_of(pid), ==, 0);
	now = content(&box);
	g_assert_cmpstr(now, ==, "new");
	teardown(&box);
}

/* The program ends while somebody else has the file open: that one is waited for. */
static void test_stranger_holds(void)
{
	struct box box;
	g_autofree char *back = NULL;
	int gate;
	int file;
	int held;
	pid_t pid;

	setup(&box, "exec 3>\"$tools/gate\"; read -r line <\"$tools/back\"");
	back = g_build_filename(box.tools, "back", NULL);
	g_assert_cmpint(mkfifo(back, 0600), ==, 0);
	pid = start(&box);
	gate = open(box.gate, O_RDONLY | O_CLOEXEC);
	file = open(box.file, O_WRONLY | O_CLOEXEC);
	held = open(back, O_WRONLY | O_CLOEXEC);
	g_assert_cmpint(gate, >=, 0);
	g_assert_cmpint(file, >=, 0);
	g_assert_cmpint(write(held, "\n", 1), ==, 1);
	close(held);
	await_end(gate);
	await_waiting(pid, getpid());
	close(file);
	g_assert_cmpint(end_of(pid), ==, 0);
	teardown(&box);
}

/* The program ends before anybody has opened the file: it has told somebody else to. */
static void test_handed_over(void)
{
	struct box box;
	int gate;
	int file;
	pid_t pid;

	setup(&box, "exec 3>\"$tools/gate\"");
	pid = start(&box);
	gate = open(box.gate, O_RDONLY | O_CLOEXEC);
	g_assert_cmpint(gate, >=, 0);
	await_end(gate);
	file = open(box.file, O_WRONLY | O_CLOEXEC);
	g_assert_cmpint(file, >=, 0);
	await_waiting(pid, getpid());
	close(file);
	g_assert_cmpint(end_of(pid), ==, 0);
	teardown(&box);
}

/*
 * It does not end by itself before anybody has opened the file. The signal comes after the program
 * was reaped; who takes that for the end of editing does not look at signals any more.
 */
static void test_waits_for_the_other(void)
{
	struct box box;
	int gate;
	pid_t pid;

	setup(&box, "echo $$ >\"$tools/pid\"; exec 3>\"$tools/gate\"");
	pid = start(&box);
	gate = open(box.gate, O_RDONLY | O_CLOEXEC);
	g_assert_cmpint(gate, >=, 0);
	await_end(gate);
	await_reaped(read_pid(&box, "pid"));
	g_assert_cmpint(kill(pid, SIGTERM), ==, 0);
	g_assert_cmpint(end_of(pid), ==, 100 + VM_EXIT_INTERRUPTED % 100);
	teardown(&box);
}

static void test_nobody_takes_it(void)
{
	struct box box;

	setup(&box, "");
	box.handover_ms = 1;
	g_assert_cmpint(end_of(start(&box)), ==, 0);
	teardown(&box);
}

static void test_told_to_end(void)
{
	struct box box;
	int gate;
	pid_t pid;

	setup(&box, "read -r line <\"$tools/gate\"");
	pid = start(&box);
	/* Opens when the editor reads: signals are taken by then. */
	gate = open(box.gate, O_WRONLY | O_CLOEXEC);
	g_assert_cmpint(kill(pid, SIGTERM), ==, 0);
	g_assert_cmpint(end_of(pid), ==, 100 + VM_EXIT_INTERRUPTED % 100);
	close(gate);
	teardown(&box);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vm/editing/editors", test_editors);
	g_test_add_func("/vm/editing/missing", test_missing);
	g_test_add_func("/vm/editing/service", test_service);
	g_test_add_func("/vm/editing/orphan", test_orphan);
	g_test_add_func("/vm/editing/stranger-holds", test_stranger_holds);
	g_test_add_func("/vm/editing/handed-over", test_handed_over);
	g_test_add_func("/vm/editing/waits-for-the-other", test_waits_for_the_other);
	g_test_add_func("/vm/editing/nobody-takes-it", test_nobody_takes_it);
	g_test_add_func("/vm/editing/told-to-end", test_told_to_end);
	return g_test_run();
}
