/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The drop of root's rights. Without root there is nothing to drop, and those tests are skipped. */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asuser.h"
#include "fail.h"

#define SOMEBODY "nobody"
#define NO_FILE "/nonexistent/environment"

/* What the program prints, run as somebody else; its input is `in`. */
static char *run_words(const char *const *argv, int in, int *out_status)
{
	struct asuser user;
	g_auto(GStrv) environment = NULL;
	char *text = g_malloc0(65536);
	g_autoptr(GError) error = NULL;
	size_t len = 0;
	ssize_t r;
	int fds[2];
	pid_t pid;

	g_assert_true(asuser_find(SOMEBODY, &user, NULL));
	environment = asuser_environment(&user, NO_FILE);
	g_assert_cmpint(pipe2(fds, O_CLOEXEC), ==, 0);
	pid = asuser_spawn(&user,
		&(struct asuser_job){
			.argv = argv, .environment = environment, .in = in, .out = fds[1]},
		&error);
	g_assert_no_error(error);
	close(fds[1]);
	while ((r = read(fds[0], text + len, 65535 - len)) > 0)
		len += (size_t)r;
	close(fds[0]);
	g_assert_true(asuser_wait(pid, -1, out_status, &error));
	asuser_finish(&user);
	return text;
}

static char *run(const char *script, int in, int *out_status)
{
	const char *const argv[] = {"/bin/sh", "-c", script, NULL};

	return run_words(argv, in, out_status);
}

static bool need_root(void)
{
	if (geteuid() == 0)
		return true;
	g_test_skip("needs root");
	return false;
}

static void assert_line(const char *text, const char *start, const char *rest)
{
	g_autofree char *line = g_strdup_printf("\n%s%s", start, rest);
	const char *at = strstr(text, line);

	g_test_message("%s%s", start, rest);
	g_assert_nonnull(at);
	g_assert_true(at[strlen(line)] == '\n' || at[strlen(line)] == ' ');
}

static void test_rights(void)
{
	const struct passwd *passwd = getpwnam(SOMEBODY);
	g_autofree char *text = NULL;
	g_autofree char *uids = NULL;
	g_autofree char *gids = NULL;
	g_autofree char *group = NULL;
	const char *const cat[] = {"/bin/cat", "/proc/self/status", NULL};
	sigset_t set;
	int status;

	if (!need_root())
		return;
	g_assert_nonnull(passwd);
	uids = g_strdup_printf(
		"%u\t%u\t%u\t%u", passwd->pw_uid, passwd->pw_uid, passwd->pw_uid, passwd->pw_uid);
	gids = g_strdup_printf(
		"%u\t%u\t%u\t%u", passwd->pw_gid, passwd->pw_gid, passwd->pw_gid, passwd->pw_gid);
	group = g_strdup_printf("%u", passwd->pw_gid);
	/* What the caller does with signals is no business of the program. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* No shell, which would put the signals in order itself. */
	text = run_words(cat, STDIN_FILENO, &status);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	signal(SIGPIPE, SIG_DFL);
	g_assert_cmpint(status, ==, 0);
	assert_line(text, "Uid:\t", uids);
	assert_line(text, "Gid:\t", gids);
	assert_line(text, "Groups:\t", group);
	assert_line(text, "CapPrm:\t", "0000000000000000");
	assert_line(text, "CapEff:\t", "0000000000000000");
	assert_line(text, "NoNewPrivs:\t", "1");
	assert_line(text, "SigBlk:\t", "0000000000000000");
	assert_line(text, "SigIgn:\t", "0000000000000000");
	assert_line(text, "Umask:\t", "0077");
}

/* Neither the secrets of root's environment nor root's descriptors. */
static void test_clean(void)
{
	g_autofree char *text = NULL;
	g_autofree char *fds = NULL;
	int open_one;
	int status;

	if (!need_root())
		return;
	g_setenv("SECRET", "of root", TRUE);
	open_one = open("/etc/passwd", O_RDONLY); /* without close-on-exec: somebody forgot it */
	g_assert_cmpint(open_one, >=, 3);
	text = run("env", STDIN_FILENO, &status);
	/* What ls itself opens for the listing is the 3. */
	fds = run("ls /proc/self/fd", STDIN_FILENO, &status);
	close(open_one);
	g_unsetenv("SECRET");
	g_assert_null(strstr(text, "SECRET"));
	g_assert_nonnull(strstr(text, "USER=" SOMEBODY "\n"));
	g_assert_nonnull(strstr(text, "DISPLAY=:0\n"));
	g_assert_cmpstr(fds, ==, "0\n1\n2\n3\n");
}

/* Root opened it; the user, who may not, reads it. */
static void test_input(void)
{
	g_autofree char *path = NULL;
	g_autofree char *text = NULL;
	int status;
	int fd = g_file_open_tmp("asuser-XXXXXX", &path, NULL);
	int in;

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(write(fd, "bytes", 5), ==, 5);
	close(fd);
	in = open(path, O_RDONLY | O_CLOEXEC);
	if (need_root()) {
		g_autofree char *script = g_strdup_printf("cat; cat %s 2>&1 || :", path);

		text = run(script, in, &status);
		g_assert_true(g_str_has_prefix(text, "bytes"));
		g_assert_nonnull(strstr(text, "ermission denied"));
	}
	close(in);
	g_unlink(path);
}

static void test_refused(void)
{
	static const char *const names[] = {"root", "no-such-user", ""};
	const char *const argv[] = {"/nonexistent/program", NULL};
	struct asuser user;

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_false(asuser_find(names[i], &user, &error));
		g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
	}
	if (need_root()) {
		char *none[] = {NULL};
		g_autoptr(GError) error = NULL;

		g_assert_true(asuser_find(SOMEBODY, &user, NULL));
		g_assert_cmpint(
			asuser_spawn(&user,
				&(struct asuser_job){
					.argv = argv, .environment = none, .in = 0, .out = -1},
				&error),
			==, -1);
		g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
		g_assert_nonnull(strstr(error->message, "/nonexistent/program"));
		asuser_finish(&user);
	}
}

/* Not root, and not that user either: nothing runs, and nothing runs as somebody else. */
static void test_cannot_drop(void)
{
	const char *const argv[] = {"/bin/true", NULL};
	char *none[] = {NULL};
	struct asuser user;
	int status;
	pid_t pid;

	if (!need_root())
		return;
	g_assert_true(asuser_find(SOMEBODY, &user, NULL));
	pid = fork();
	if (pid == 0) {
		const struct asuser_job job = {
			.argv = argv, .environment = none, .in = 0, .out = -1};

		_exit(setresuid(1, 1, 1) == 0 && asuser_spawn(&user, &job, NULL) == -1 ? 0 : 1);
	}
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	g_assert_cmpint(status, ==, 0);
	asuser_finish(&user);
}

static void test_deadline(void)
{
	g_autoptr(GError) error = NULL;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	g_assert_false(asuser_wait(pid, 1, &status, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
	g_assert_true(WIFSIGNALED(status));
	g_assert_cmpint(WTERMSIG(status), ==, SIGKILL);
}

static void test_environment_file(void)
{
	g_autofree char *path = NULL;
	g_auto(GStrv) environment = NULL;
	struct asuser user = {.name = (char[]){"u"},
		.home = (char[]){"/h"},
		.shell = (char[]){"/s"},
		.uid = 4294967294u};
	int fd = g_file_open_tmp("environment-XXXXXX", &path, NULL);

	g_assert_cmpint(fd, >=, 0);
	close(fd);
	g_assert_true(g_file_set_contents(path,
		"# a remark\n\nDISPLAY=:7\nA_1=x=y $HOME\nnothing\n=z\n1A=z\nA B=z\n", -1, NULL));
	environment = asuser_environment(&user, path);
	g_assert_cmpstr(g_environ_getenv(environment, "DISPLAY"), ==, ":7");
	g_assert_cmpstr(g_environ_getenv(environment, "A_1"), ==, "x=y $HOME");
	g_assert_cmpstr(g_environ_getenv(environment, "HOME"), ==, "/h");
	g_assert_null(g_environ_getenv(environment, "1A"));
	g_assert_null(g_environ_getenv(environment, "A B"));
	/* That user has no session here: no folder is claimed, and no bus is to be started. */
	g_assert_null(g_environ_getenv(environment, "XDG_RUNTIME_DIR"));
	g_assert_cmpstr(g_environ_getenv(environment, "DBUS_SESSION_BUS_ADDRESS"), ==, "disabled:");
	g_unlink(path);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vm/asuser/rights", test_rights);
	g_test_add_func("/vm/asuser/clean", test_clean);
	g_test_add_func("/vm/asuser/input", test_input);
	g_test_add_func("/vm/asuser/refused", test_refused);
	g_test_add_func("/vm/asuser/cannot-drop", test_cannot_drop);
	g_test_add_func("/vm/asuser/deadline", test_deadline);
	g_test_add_func("/vm/asuser/environment-file", test_environment_file);
	return g_test_run();
}
