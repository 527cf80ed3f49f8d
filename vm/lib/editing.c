/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "editing.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "argv.h"
#include "descendants.h"
#include "fail.h"
#include "scope.h"

/* Each one that ends leads to a new look, so those beyond are seen as well, only later. */
#define WATCHED_MAX 256
/* The signals and the folder come first among what is waited for. */
#define POLL_FIXED 2

struct wait {
	const struct editing *editing;
	int signals;
	int inotify;
	GPid program;
	int status;         /* of the program; valid once it ended */
	bool program_ended; /* and was reaped */
	bool no_children;   /* the kernel knows of none: nobody descends from us any more */
	bool opened;        /* somebody has opened the file, or done more with it */
	bool stopped;       /* by a signal */
	gint64 handover_us; /* when the wait for a first opening ends; 0: not begun */
};

static bool fail_errno(const char *what, GError **error)
{
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s: %s", what, g_strerror(errno));
	return false;
}

/* -- the start ----------------------------------------------------------------------------------
 */

static void fill_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGCHLD);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

static bool prepare(struct wait *wait, GError **error)
{
	sigset_t set;

	fill_signals(&set);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return fail_errno("Orphans of the program cannot be waited for", error);
	sigprocmask(SIG_BLOCK, &set, NULL);
	wait->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	wait->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (wait->signals < 0 || wait->inotify < 0 ||
		inotify_add_watch(wait->inotify, wait->editing->folder,
			IN_OPEN | IN_CLOSE | IN_MOVE | IN_DELETE | IN_ONLYDIR) < 0)
		return fail_errno("The file's folder cannot be watched", error);
	return true;
}

/* The program is to find signals as any program does. Between fork and exec. */
static void unblock_signals(gpointer data G_GNUC_UNUSED)
{
	sigset_t set;

	fill_signals(&set);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static bool start(struct wait *wait, GError **error)
{
	g_auto(GStrv) argv = argv_copy(wait->editing->argv);
	g_autofree char *shown = vm_printable(argv[0], -1);
	g_autoptr(GError) cause = NULL;

	if (g_spawn_async(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH,
		    unblock_signals, NULL, &wait->program, &cause))
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "The program %s could not be started: %s",
		shown, cause->message);
	return false;
}

/* -- what has happened --------------------------------------------------------------------------
 */

static void reap(struct wait *wait)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != wait->program)
			continue;
		wait->status = status;
		wait->program_ended = true;
	}
	wait->no_children = pid < 0 && errno == ECHILD;
}

static void take_signals(struct wait *wait)
{
	struct signalfd_siginfo info;

	while (read(wait->signals, &info, sizeof info) == (ssize_t)sizeof info)
		if (info.ssi_signo != SIGCHLD)
			wait->stopped = true;
}

static void take_file_events(struct wait *wait)
{
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	const struct inotify_event *event;
	ssize_t len;

	while ((len = read(wait->inotify, buffer, sizeof buffer)) > 0)
		for (const char *p = buffer; p < buffer + len; p += sizeof *event + event->len) {
			event = (const struct inotify_event *)(const void *)p;
			/*
			 * Who moves or deletes it has got it as well; and an overflow says that
			 * much has happened.
			 */
			if ((event->mask & IN_Q_OVERFLOW) ||
				(event->len > 0 && strcmp(event->name, wait->editing->name) == 0))
				wait->opened = true;
		}
}

/* -- until it is over ---------------------------------------------------------------------------
 */

static int left_ms(const struct wait *wait)
{
	gint64 left_us = wait->handover_us - g_get_monotonic_time();

	return (int)MAX((left_us + 999) / 1000, 0);
}

/* Until one of them ends, a child does, something happens in the folder, or a signal comes. */
static bool wait_for_news(struct wait *wait, const GArray *busy, GError **error)
{
	struct pollfd fds[POLL_FIXED + WATCHED_MAX] = {
		{.fd = wait->signals, .events = POLLIN},
		{.fd = wait->inotify, .events = POLLIN},
	};
	nfds_t count = POLL_FIXED;
	bool lost = false;
	int r = 0;

	for (guint i = 0; i < busy->len && i < WATCHED_MAX && !lost; i++) {
		fds[count].fd = (int)syscall(SYS_pidfd_open, g_array_index(busy, pid_t, i), 0);
		fds[count].events = POLLIN;
		/* It has ended between the look and now: look again. */
		lost = fds[count].fd < 0 && errno == ESRCH;
		if (fds[count].fd >= 0)
			count++;
	}
	if (!lost)
		r = poll(fds, count, busy->len == 0 && wait->handover_us ? left_ms(wait) : -1);
	for (nfds_t i = POLL_FIXED; i < count; i++)
		close(fds[i].fd);
	take_signals(wait);
	take_file_events(wait);
	if (r < 0 && errno != EINTR)
		return fail_errno("The wait for the end of editing failed", error);
	return true;
}

/* The file went to another program, which has not opened it yet. */
static bool is_handed_over(struct wait *wait)
{
	if (wait->opened || wait->status != 0)
		return false;
	if (!wait->handover_us)
		wait->handover_us =
			g_get_monotonic_time() + (gint64)wait->editing->handover_ms * 1000;
	return left_ms(wait) > 0;
}

/*
 * Without any child the kernel's word is final. Else only services are left as far as one look
 * showed; but a look takes a while, and what moves meanwhile may be missed: a second one, in which
 * no child ended either, must show the same.
 */
static bool is_really_idle(struct wait *wait)
{
	g_autoptr(GArray) busy = NULL;
	siginfo_t ended = {0};

	if (wait->no_children)
		return true;
	busy = descendants_busy(wait->editing->folder, wait->editing->services);
	return busy->len == 0 && waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       ended.si_pid == 0;
}

static bool wait_until_over(struct wait *wait, GError **error)
{
	for (;;) {
		g_autoptr(GArray) busy = NULL;

		reap(wait);
		busy = descendants_busy(wait->editing->folder, wait->editing->services);
		take_file_events(wait);
		if (wait->program_ended && busy->len == 0) {
			if (!is_really_idle(wait))
				continue;
			if (!is_handed_over(wait))
				return true;
		}
		if (!wait_for_news(wait, busy, error))
			return false;
		if (wait->stopped) {
			g_set_error(error, VM_ERROR, VM_EXIT_INTERRUPTED,
				"Told to end while the file was open");
			return false;
		}
	}
}

bool editing_run(const struct editing *editing, int *out_status, GError **error)
{
	struct wait wait = {.editing = editing, .signals = -1, .inotify = -1};
	bool ok = prepare(&wait, error) && start(&wait, error) && wait_until_over(&wait, error);

	scope_close_fd(&wait.signals);
	scope_close_fd(&wait.inotify);
	*out_status = wait.status;
	return ok;
}
