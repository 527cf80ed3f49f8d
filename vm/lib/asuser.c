/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "asuser.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "argv.h"
#include "fail.h"
#include "journal.h"
#include "scope.h"

#define GROUPS_MAX 65536
#define USER_PATH "/usr/local/bin:/usr/bin:/bin:/usr/games"
/* A wrong line of the administrator's is shown so far. */
#define SHOWN_MAX 80

/* -- who it is --------------------------------------------------------------------------------- */

static bool find_groups(struct asuser *user, GError **error)
{
	int count = 0;

	getgrouplist(user->name, user->gid, NULL, &count);
	if (count > 0 && count <= GROUPS_MAX) {
		user->groups = g_new(gid_t, (size_t)count);
		if (getgrouplist(user->name, user->gid, user->groups, &count) >= 0) {
			user->group_count = (size_t)count;
			return true;
		}
	}
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "The groups of the user \"%s\" cannot be read",
		user->name);
	return false;
}

bool asuser_find(const char *name, struct asuser *out, GError **error)
{
	const struct passwd *passwd = getpwnam(name);

	memset(out, 0, sizeof *out);
	if (!passwd || passwd->pw_uid == 0) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			passwd ? "The user \"%s\" is root, and files of another VM are never "
				 "opened as root (see --user)"
			       : "There is no user \"%s\" in this VM (see --user)",
			name);
		return false;
	}
	out->name = g_strdup(passwd->pw_name);
	out->home = g_strdup(passwd->pw_dir);
	out->shell = g_strdup(passwd->pw_shell);
	out->uid = passwd->pw_uid;
	out->gid = passwd->pw_gid;
	if (find_groups(out, error))
		return true;
	asuser_finish(out);
	return false;
}

void asuser_finish(struct asuser *user)
{
	g_free(user->name);
	g_free(user->home);
	g_free(user->shell);
	g_free(user->groups);
	memset(user, 0, sizeof *user);
}

/* -- what its programs find in the environment --------------------------------------------------
 */

static bool is_variable(const char *name, size_t len)
{
	if (len == 0 || g_ascii_isdigit(name[0]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!g_ascii_isalnum(name[i]) && name[i] != '_')
			return false;
	return true;
}

static char **add_line(char **environment, const char *line, const char *file)
{
	const char *equals = strchr(line, '=');
	g_autofree char *name = equals ? g_strndup(line, (gsize)(equals - line)) : NULL;
	g_autofree char *shown = NULL;

	if (name && is_variable(name, strlen(name)))
		return g_environ_setenv(environment, name, equals + 1, TRUE);
	shown = vm_printable(line, (gssize)MIN(strlen(line), SHOWN_MAX));
	journal_say(
		JOURNAL_WARNING, "%s: the line \"%s\" is not NAME=VALUE; left out", file, shown);
	return environment;
}

static char **add_file(char **environment, const char *file)
{
	g_autofree char *text = NULL;
	g_autoptr(GError) error = NULL;
	g_auto(GStrv) lines = NULL;

	if (!g_file_get_contents(file, &text, NULL, &error)) {
		if (!g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
			journal_say(JOURNAL_WARNING, "%s; its lines are left out", error->message);
		return environment;
	}
	lines = g_strsplit(text, "\n", -1);
	for (char **line = lines; *line; line++)
		if (**line && **line != '#')
			environment = add_line(environment, *line, file);
	return environment;
}

/* systemd-logind makes it; the user's bus lies in it. */
static char **add_runtime(char **environment, const struct asuser *user)
{
	g_autofree char *folder = g_strdup_printf("/run/user/%u", user->uid);
	g_autofree char *bus = g_strconcat(folder, "/bus", NULL);
	g_autofree char *address = NULL;
	struct stat st;

	if (lstat(folder, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == user->uid)
		environment = g_environ_setenv(environment, "XDG_RUNTIME_DIR", folder, TRUE);
	/*
	 * Without a bus none is to be started: a bus that an editor starts stays behind as its
	 * child, and the wait for the editor's end would never be over.
	 */
	if (lstat(bus, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_uid == user->uid)
		address = g_strconcat("unix:path=", bus, NULL);
	return g_environ_setenv(
		environment, "DBUS_SESSION_BUS_ADDRESS", address ? address : "disabled:", TRUE);
}

char **asuser_environment(const struct asuser *user, const char *file)
{
	const char *lang = getenv("LANG");
	const char *journal = getenv("JOURNAL_STREAM");
	char **environment = g_new0(char *, 1);

	environment = g_environ_setenv(environment, "HOME", user->home, TRUE);
	environment = g_environ_setenv(environment, "USER", user->name, TRUE);
	environment = g_environ_setenv(environment, "LOGNAME", user->name, TRUE);
	environment = g_environ_setenv(environment, "SHELL", user->shell, TRUE);
	environment = g_environ_setenv(environment, "PATH", USER_PATH, TRUE);
	environment = g_environ_setenv(environment, "LANG", lang && *lang ? lang : "C.UTF-8", TRUE);
	environment = g_environ_setenv(environment, "DISPLAY", ":0", TRUE);
	if (journal)
		environment = g_environ_setenv(environment, "JOURNAL_STREAM", journal, TRUE);
	return add_file(add_runtime(environment, user), file);
}

/* -- the drop -----------------------------------------------------------------------------------
 */

/* What the child says over the pipe when it could not become the program. */
struct verdict {
	const char *step; /* a literal; both processes have the same */
	int err;
};

/* Between fork and exec: only what is safe there, since libxenstore has a thread. */
static const char *become(const struct asuser *user)
{
	uid_t uids[3];
	gid_t gids[3];

	if (geteuid() == 0 && setgroups(user->group_count, user->groups) < 0)
		return "taking the user's groups";
	if (setresgid(user->gid, user->gid, user->gid) < 0)
		return "taking the user's group";
	if (setresuid(user->uid, user->uid, user->uid) < 0)
		return "becoming the user";
	errno = EPERM;
	if (getresuid(&uids[0], &uids[1], &uids[2]) < 0 ||
		getresgid(&gids[0], &gids[1], &gids[2]) < 0)
		return "asking who we became";
	for (int i = 0; i < 3; i++)
		if (uids[i] != user->uid || gids[i] != user->gid)
			return "dropping root's rights";
	/* It must not be possible to go back. */
	if (user->uid == 0 || setuid(0) == 0 || seteuid(0) == 0)
		return "dropping root's rights for good";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return "forbidding new rights";
	return NULL;
}

/* `in` and `out` may be any numbers, also 0 and 1. */
static const char *arrange_descriptors(const struct asuser_job *job)
{
	int in = fcntl(job->in, F_DUPFD_CLOEXEC, 3);
	int out = job->out >= 0 ? fcntl(job->out, F_DUPFD_CLOEXEC, 3)
				: open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (in < 0 || out < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
		return "passing on its input and output";
	/* Kernels before 5.11 do not know it; everything of ours is close-on-exec anyway. */
	(void)syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
	return NULL;
}

static void reset_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		if (number != SIGKILL && number != SIGSTOP)
			signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void run_child(
	const struct asuser *user, const struct asuser_job *job, char *const *argv, int report)
{
	struct verdict verdict;
	ssize_t written;

	reset_signals();
	setsid();
	umask(077);
	verdict.step = become(user);
	if (!verdict.step)
		verdict.step = arrange_descriptors(job);
	if (!verdict.step) {
		verdict.step = chdir(user->home) < 0 && chdir("/") < 0 ? "entering a folder"
								       : "starting it";
		execve(argv[0], argv, job->environment);
	}
	verdict.err = errno;
	written = write(report, &verdict, sizeof verdict);
	_exit(written == (ssize_t)sizeof verdict ? 127 : 126);
}

/* True: the pipe closed with the exec, without a word. */
static bool hear_verdict(int report, const struct asuser *user, const char *program, GError **error)
{
	struct verdict verdict;
	ssize_t r;

	do
		r = read(report, &verdict, sizeof verdict);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return true;
	if (r != (ssize_t)sizeof verdict)
		verdict = (struct verdict){"hearing from it", r < 0 ? errno : EIO};
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		"%s could not be run as the user \"%s\": %s: %s", program, user->name, verdict.step,
		g_strerror(verdict.err));
	return false;
}

pid_t asuser_spawn(const struct asuser *user, const struct asuser_job *job, GError **error)
{
	g_auto(GStrv) argv = argv_copy(job->argv);
	int pipe_fds[2] = {-1, -1};
	bool ok;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s could not be started: %s",
			job->argv[0], g_strerror(errno));
		scope_close_fd(&pipe_fds[0]);
		scope_close_fd(&pipe_fds[1]);
		return -1;
	}
	if (pid == 0)
		run_child(user, job, argv, pipe_fds[1]);
	close(pipe_fds[1]);
	ok = hear_verdict(pipe_fds[0], user, job->argv[0], error);
	close(pipe_fds[0]);
	if (ok)
		return pid;
	(void)waitpid(pid, NULL, 0);
	return -1;
}

/* -- until it ends ------------------------------------------------------------------------------
 */

/* Readable when the child has ended. */
static bool await_end(pid_t pid, int timeout_ms)
{
	autofd pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd pollfd = {.fd = pidfd, .events = POLLIN};
	gint64 end_us = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
	gint64 left_ms = timeout_ms;
	int r;

	if (pidfd < 0)
		return true; /* an old kernel: waitpid alone, without a deadline */
	do {
		r = poll(&pollfd, 1, (int)left_ms);
		if (timeout_ms >= 0)
			left_ms = MAX((end_us - g_get_monotonic_time()) / 1000, 0);
	} while (r < 0 && errno == EINTR);
	return r != 0;
}

bool asuser_wait(pid_t pid, int timeout_ms, int *out_status, GError **error)
{
	bool in_time = await_end(pid, timeout_ms);
	pid_t r;

	if (!in_time)
		kill(pid, SIGKILL);
	do
		r = waitpid(pid, out_status, 0);
	while (r < 0 && errno == EINTR);
	if (in_time && r == pid)
		return true;
	if (!in_time)
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			"it did not end within %d s and was killed", timeout_ms / 1000);
	else
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "its end could not be waited for: %s",
			g_strerror(errno));
	return false;
}
