/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <gio/gunixinputstream.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

/* More of its last words than that would not fit a window. */
#define MESSAGE_BYTES 2000

struct child {
	struct child_events events;
	GSubprocess *process;
	GCancellable *cancellable; /* of the wait for its end */
	int lines;                 /* the end of the pipe that we read */
	guint source;              /* 0: the pipe was read to its end */
	GString *unfinished;       /* of a line */
	int errors;                /* a file without a name: its standard error */
};

/* ---- lines ---- */

static void hand_on(struct child *c)
{
	char *newline;

	while ((newline = strchr(c->unfinished->str, '\n'))) {
		gsize len = (gsize)(newline - c->unfinished->str);
		g_autofree char *line = g_strndup(c->unfinished->str, len);

		g_string_erase(c->unfinished, 0, (gssize)len + 1);
		c->events.line(c->events.ctx, line);
	}
}

/* All that is there. FALSE: nothing will come any more. */
static gboolean read_lines(struct child *c)
{
	char bytes[4096];
	ssize_t n;

	for (;;) {
		n = read(c->lines, bytes, sizeof bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		/* A NUL would hide what stands behind it. */
		for (ssize_t i = 0; i < n; i++)
			g_string_append_c(c->unfinished, (char)(bytes[i] ? bytes[i] : '?'));
		hand_on(c);
	}
	return n < 0 && errno == EAGAIN;
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer data)
{
	struct child *c = data;

	(void)fd;
	(void)condition;
	if (read_lines(c))
		return G_SOURCE_CONTINUE;
	c->source = 0;
	return G_SOURCE_REMOVE;
}

/* ---- the end ---- */

static char *last_words(int errors)
{
	off_t size = lseek(errors, 0, SEEK_END);
	off_t from = MAX(size - MESSAGE_BYTES, 0);
	g_autofree char *text = g_malloc0(MESSAGE_BYTES + 1);
	ssize_t n = pread(errors, text, MESSAGE_BYTES, from);

	text[MAX(n, 0)] = '\0';
	return g_strdup(g_strchomp(text));
}

/* Whatever it wrote is in the pipe by now, whoever else may still hold the other end. */
static void on_exit_of_it(GObject *process, GAsyncResult *result, gpointer data)
{
	struct child *c = data;
	g_autoptr(GError) error = NULL;
	g_autofree char *message = NULL;
	struct child_end end;

	if (!g_subprocess_wait_finish(G_SUBPROCESS(process), result, &error))
		return; /* destroyed: `c` is no more */
	g_clear_handle_id(&c->source, g_source_remove);
	read_lines(c);
	message = last_words(c->errors);
	end.message = message;
	end.status = g_subprocess_get_if_exited(c->process)
			     ? g_subprocess_get_exit_status(c->process)
			     : 128 + g_subprocess_get_term_sig(c->process);
	c->events.ended(c->events.ctx, &end);
}

/* ---- life ---- */

/* In the child, before it becomes the program. */
static void die_with_parent(gpointer data)
{
	const pid_t *parent = data;

	(void)prctl(PR_SET_PDEATHSIG, SIGINT);
	if (getppid() != *parent)
		(void)raise(SIGINT);
}

/* Takes over both descriptors. */
static GSubprocess *spawn(
	const char *const *argv, gboolean reports, int writer, int errors, GError **error)
{
	g_autoptr(GSubprocessLauncher) launcher =
		g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_NONE);
	pid_t self = getpid();

	if (reports)
		g_subprocess_launcher_take_fd(launcher, writer, CHILD_REPORT_FD);
	else
		g_subprocess_launcher_take_stdout_fd(launcher, writer);
	g_subprocess_launcher_take_stderr_fd(launcher, errors);
	g_subprocess_launcher_set_child_setup(launcher, die_with_parent, &self, NULL);
	return g_subprocess_launcher_spawnv(launcher, argv, error);
}

static gboolean open_pipe(int pipe_fds[2], int *out_errors, GError **error)
{
	if (!g_unix_open_pipe(pipe_fds, FD_CLOEXEC, error))
		return FALSE;
	*out_errors = memfd_create("stderr", MFD_CLOEXEC);
	if (*out_errors >= 0 && g_unix_set_fd_nonblocking(pipe_fds[0], TRUE, error))
		return TRUE;
	if (*out_errors < 0)
		g_set_error(error, G_FILE_ERROR, (int)g_file_error_from_errno(errno),
			"Cannot make a file in memory: %s", g_strerror(errno));
	else
		close(*out_errors);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return FALSE;
}

struct child *child_start(const char *const *argv, gboolean reports,
	const struct child_events *events, GError **error)
{
	struct child *c;
	GSubprocess *process;
	int pipe_fds[2], errors;

	if (!open_pipe(pipe_fds, &errors, error))
		return NULL;
	process = spawn(argv, reports, pipe_fds[1], fcntl(errors, F_DUPFD_CLOEXEC, 0), error);
	if (!process) {
		close(pipe_fds[0]);
		close(errors);
		return NULL;
	}
	c = g_new0(struct child, 1);
	c->events = *events;
	c->process = process;
	c->cancellable = g_cancellable_new();
	c->lines = pipe_fds[0];
	c->errors = errors;
	c->unfinished = g_string_new(NULL);
	c->source = g_unix_fd_add(c->lines, G_IO_IN | G_IO_HUP | G_IO_ERR, on_readable, c);
	g_subprocess_wait_async(c->process, c->cancellable, on_exit_of_it, c);
	return c;
}

void child_interrupt(struct child *c)
{
	g_subprocess_send_signal(c->process, SIGINT);
}

void child_destroy(struct child *c)
{
	if (!c)
		return;
	child_interrupt(c); /* does nothing to one that has ended */
	g_cancellable_cancel(c->cancellable);
	g_clear_handle_id(&c->source, g_source_remove);
	close(c->lines);
	close(c->errors);
	g_string_free(c->unfinished, TRUE);
	g_object_unref(c->cancellable);
	g_object_unref(c->process);
	g_free(c);
}
