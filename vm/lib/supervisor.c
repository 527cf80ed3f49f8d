/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "argv.h"
#include "fail.h"
#include "journal.h"
#include "scope.h"
#include "supervise.h"

struct supervisor {
	const struct supervisor_terms *terms;
	GMainLoop *loop;
	struct supervise supervise;
	int inotify;
	char *name;  /* of the device in its folder */
	GPid worker; /* 0: none runs */
	guint timer; /* 0: not set */
};

static void happen(struct supervisor *supervisor, enum supervise_event event);

/* -- the worker -------------------------------------------------------------------------------- */

static void on_worker_ended(GPid pid, gint status, gpointer data)
{
	struct supervisor *supervisor = data;
	g_autoptr(GError) error = NULL;
	const bool well = g_spawn_check_wait_status(status, &error);

	g_spawn_close_pid(pid);
	supervisor->worker = 0;
	if (!well && supervisor->supervise.state == SUPERVISE_WORKING)
		journal_say(
			JOURNAL_WARNING, "the worker of the pendrive failed: %s", error->message);
	happen(supervisor, well ? SUPERVISE_ENDED : SUPERVISE_FAILED);
}

/* In the child, before its program. `data` is the supervisor's pid. */
static void die_with_supervisor(gpointer data)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != GPOINTER_TO_INT(data))
		raise(SIGKILL);
}

static void start_worker(struct supervisor *supervisor)
{
	g_auto(GStrv) argv = argv_copy(supervisor->terms->worker);
	g_autoptr(GError) error = NULL;

	if (g_spawn_async("/", argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, die_with_supervisor,
		    GINT_TO_POINTER(getpid()), &supervisor->worker, &error)) {
		g_child_watch_add(supervisor->worker, on_worker_ended, supervisor);
		return;
	}
	supervisor->worker = 0;
	journal_say(JOURNAL_ERROR, "a pendrive came, but %s cannot be run: %s", argv[0],
		error->message);
	happen(supervisor, SUPERVISE_FAILED);
}

/* -- what was decided -------------------------------------------------------------------------- */

static gboolean on_due(gpointer data)
{
	struct supervisor *supervisor = data;

	supervisor->timer = 0;
	happen(supervisor, SUPERVISE_DUE);
	return G_SOURCE_REMOVE;
}

static void set_timer(struct supervisor *supervisor, int ms)
{
	if (ms == SUPERVISE_KEEP_TIMER)
		return;
	if (supervisor->timer)
		g_source_remove(supervisor->timer);
	supervisor->timer = ms ? g_timeout_add((guint)ms, on_due, supervisor) : 0;
}

static void act(struct supervisor *supervisor, enum supervise_action action)
{
	switch (action) {
	case SUPERVISE_NOTHING:
		break;
	case SUPERVISE_START:
		start_worker(supervisor);
		break;
	case SUPERVISE_TERMINATE:
		kill(supervisor->worker, SIGTERM);
		break;
	case SUPERVISE_KILL:
		journal_say(JOURNAL_WARNING, "the worker of the pendrive did not end; killed");
		kill(supervisor->worker, SIGKILL);
		break;
	case SUPERVISE_QUIT:
		g_main_loop_quit(supervisor->loop);
		break;
	}
}

static void happen(struct supervisor *supervisor, enum supervise_event event)
{
	const struct supervise_step step = supervise_step(&supervisor->supervise, event);

	/* A worker that cannot be started is an event within the action, and sets the timer last.
	 */
	set_timer(supervisor, step.timer_ms);
	act(supervisor, step.action);
}

/* -- the device -------------------------------------------------------------------------------- */

static void look(struct supervisor *supervisor)
{
	struct stat st;

	happen(supervisor,
		stat(supervisor->terms->device, &st) == 0 ? SUPERVISE_CAME : SUPERVISE_WENT);
}

static void on_change(struct supervisor *supervisor, const struct inotify_event *change)
{
	/* Some are lost: what was missed is over, and what is there now is all that matters. */
	if (change->mask & IN_Q_OVERFLOW)
		look(supervisor);
	else if (change->len && strcmp(change->name, supervisor->name) == 0)
		happen(supervisor,
			change->mask & (IN_CREATE | IN_MOVED_TO) ? SUPERVISE_CAME : SUPERVISE_WENT);
}

static gboolean on_changes(gint fd, GIOCondition condition G_GNUC_UNUSED, gpointer data)
{
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t len = read(fd, buffer, sizeof buffer);
	const char *p = buffer;

	while (len > 0 && p < buffer + len) {
		const struct inotify_event *change = (const void *)p;

		on_change(data, change);
		p += sizeof *change + change->len;
	}
	return G_SOURCE_CONTINUE;
}

static bool watch(struct supervisor *supervisor, GError **error)
{
	g_autofree char *folder = g_path_get_dirname(supervisor->terms->device);

	supervisor->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (supervisor->inotify >= 0 &&
		inotify_add_watch(supervisor->inotify, folder,
			IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_ONLYDIR) >= 0)
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s cannot be watched: %s", folder,
		g_strerror(errno));
	return false;
}

/* -- the frame --------------------------------------------------------------------------------- */

static gboolean on_stop(gpointer data)
{
	happen(data, SUPERVISE_STOP);
	return G_SOURCE_CONTINUE;
}

/* The kernel lets go of it with the process. */
static int lock(const char *path, GError **error)
{
	g_autofree char *folder = g_path_get_dirname(path);
	autofd fd = -1;

	if (mkdir(folder, 0700) == 0 || errno == EEXIST)
		fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		return steal_fd(&fd);
	if (fd >= 0 && errno == EWOULDBLOCK)
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			"Another supervisor runs already (it holds %s)", path);
	else
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s cannot be locked: %s", path,
			g_strerror(errno));
	return -1;
}

bool supervisor_run(const struct supervisor_terms *terms, GError **error)
{
	g_autofree char *name = g_path_get_basename(terms->device);
	struct supervisor supervisor = {.terms = terms, .inotify = -1, .name = name};
	autofd locked = lock(terms->lock, error);
	const bool watched = locked >= 0 && watch(&supervisor, error);
	autofd inotify = supervisor.inotify;
	guint sources[3];

	if (!watched)
		return false;
	supervisor.loop = g_main_loop_new(NULL, FALSE);
	sources[0] = g_unix_signal_add(SIGTERM, on_stop, &supervisor);
	sources[1] = g_unix_signal_add(SIGINT, on_stop, &supervisor);
	sources[2] = g_unix_fd_add(inotify, G_IO_IN, on_changes, &supervisor);
	journal_say(JOURNAL_INFO, "waiting for pendrives at %s", terms->device);
	/* The watch stands, so nothing can come between this look and the first event. */
	look(&supervisor);
	if (supervisor.supervise.state != SUPERVISE_OVER)
		g_main_loop_run(supervisor.loop);
	for (size_t i = 0; i < G_N_ELEMENTS(sources); i++)
		g_source_remove(sources[i]);
	set_timer(&supervisor, 0);
	g_main_loop_unref(supervisor.loop);
	return true;
}
