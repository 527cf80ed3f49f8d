// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "session.h"

#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNK (64U * 1024)
/* Do not take more of the command's output while so much waits to be sent. */
#define MAX_UNSENT (2U * CHUNK)

struct session {
	struct stream *stream;
	struct queue *in;     /* frames from the peer */
	struct queue to_peer; /* frames for it */
	struct queue input;   /* bytes for the command */
	bool input_ended;     /* the peer has no more */
	pid_t pid;
	int pidfd;
	int last_signal;           /* that the peer sent, 0 if none */
	int fd_in, fd_out, fd_err; /* our ends of the command's pipes, -1 when closed */
};

bool start_parse(const uint8_t *payload, size_t size, struct start *out)
{
	char *text = (char *)(uintptr_t)payload;
	size_t words = 0;
	char **argv;

	if (size == 0 || payload[size - 1] != '\0')
		return false;
	for (size_t i = 0; i < size; i++)
		words += payload[i] == '\0';
	if (words < 3)
		return false;
	argv = calloc(words + 1, sizeof(*argv));
	if (!argv)
		return false;
	for (size_t i = 0; i < words; i++) {
		argv[i] = text;
		text += strlen(text) + 1;
	}
	out->domain = argv[0];
	out->wait_s = (unsigned int)strtoul(argv[1], NULL, 10);
	/* The array begins with the command, and is what the caller frees. */
	memmove(argv, argv + 2, (words - 1) * sizeof(*argv));
	out->argv = argv;
	return true;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* In the child: never returns. */
static void exec_command(char **argv, int in, int out, int err)
{
	sigset_t none;

	setsid();
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close_range(3, ~0U, 0);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(argv[0], argv);
	fprintf(stderr, "xenbox: %s: %s\n", argv[0], strerror(errno));
	fflush(stderr);
	_exit(errno == ENOENT ? 127 : 126);
}

static bool start_command(struct session *ss, char **argv)
{
	int in[2], out[2], err[2];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		return false;
	ss->pid = fork();
	if (ss->pid == 0)
		exec_command(argv, in[0], out[1], err[1]);
	close(in[0]);
	close(out[1]);
	close(err[1]);
	ss->fd_in = in[1];
	ss->fd_out = out[0];
	ss->fd_err = err[0];
	/* Only our ends: the command must find ordinary, blocking pipes. */
	fcntl(ss->fd_in, F_SETFL, O_NONBLOCK);
	fcntl(ss->fd_out, F_SETFL, O_NONBLOCK);
	fcntl(ss->fd_err, F_SETFL, O_NONBLOCK);
	if (ss->pid < 0)
		return false;
	ss->pidfd = pidfd_open(ss->pid, 0);
	return ss->pidfd >= 0;
}

/* Give the command its input, and tell the peer how much it took. */
static void feed_command(struct session *ss)
{
	size_t taken = 0;

	while (ss->fd_in >= 0 && queue_size(&ss->input) > 0) {
		ssize_t r = write(ss->fd_in, queue_bytes(&ss->input), queue_size(&ss->input));

		if (r < 0 && errno == EAGAIN)
			break;
		if (r < 0)
			close_fd(&ss->fd_in);
		else {
			queue_drop(&ss->input, (size_t)r);
			taken += (size_t)r;
		}
	}
	/* A command that closed its input must not keep the peer waiting. */
	if (ss->fd_in < 0) {
		taken += queue_size(&ss->input);
		queue_clear(&ss->input);
	}
	if (taken > 0)
		frame_put_u32(&ss->to_peer, WIRE_TAKEN, (uint32_t)taken);
	if (ss->input_ended && queue_size(&ss->input) == 0)
		close_fd(&ss->fd_in);
}

static void signal_group(struct session *ss, int number)
{
	/* A child that has hardly begun has no group of its own yet. */
	if (kill(-ss->pid, number) != 0)
		kill(ss->pid, number);
	ss->last_signal = number;
}

/* False if the peer does not keep to wire.h. */
static bool handle_frames(struct session *ss)
{
	struct frame frame;
	enum frame_result result;

	while ((result = frame_peek(ss->in, &frame)) == FRAME_OK) {
		if (frame.type == WIRE_STDIN && frame.size == 0)
			ss->input_ended = true;
		else if (frame.type == WIRE_STDIN)
			queue_put(&ss->input, frame.payload, frame.size);
		else if (frame.type == WIRE_SIGNAL && frame.size == 4)
			signal_group(ss, (int)frame_u32(frame.payload));
		else
			return false;
		frame_done(ss->in, &frame);
	}
	return result != FRAME_BAD;
}

/* Returns how many bytes there were; closes the pipe at its end. */
static size_t take_output(struct session *ss, int *fd, uint8_t type)
{
	static uint8_t chunk[CHUNK];
	ssize_t r = read(*fd, chunk, sizeof(chunk));

	if (r > 0) {
		frame_put(&ss->to_peer, type, chunk, (size_t)r);
		return (size_t)r;
	}
	if (r == 0 || errno != EAGAIN)
		close_fd(fd);
	return 0;
}

/*
 * The command has ended. What it wrote is in the pipes; take that much and no more, because some
 * daemon that it left behind may hold the other end for ever.
 */
static void take_rest(struct session *ss, int *fd, uint8_t type)
{
	int left = 0;

	if (*fd < 0 || ioctl(*fd, FIONREAD, &left))
		return;
	while (left > 0 && *fd >= 0) {
		size_t taken = take_output(ss, fd, type);

		if (taken == 0)
			break;
		left -= (int)taken;
	}
}

/* One round of waiting and moving bytes. False if the peer is gone. */
static bool pump(struct session *ss, bool *ended)
{
	bool room = queue_size(&ss->to_peer) < MAX_UNSENT;
	struct pollfd fds[5] = {
		ss->stream->pollfd(ss->stream, queue_size(&ss->to_peer) > 0),
		{.fd = ss->pidfd, .events = POLLIN},
		{.fd = queue_size(&ss->input) > 0 ? ss->fd_in : -1, .events = POLLOUT},
		{.fd = room ? ss->fd_out : -1, .events = POLLIN},
		{.fd = room ? ss->fd_err : -1, .events = POLLIN},
	};

	if (poll(fds, 5, -1) < 0)
		return errno == EINTR;
	if (!ss->stream->polled(ss->stream, fds[0].revents))
		return false;
	if (!stream_fill(ss->stream, ss->in, SIZE_MAX) || !handle_frames(ss))
		return false;
	feed_command(ss);
	if (fds[3].revents)
		take_output(ss, &ss->fd_out, WIRE_STDOUT);
	if (fds[4].revents)
		take_output(ss, &ss->fd_err, WIRE_STDERR);
	*ended = fds[1].revents != 0;
	return stream_flush(ss->stream, &ss->to_peer);
}

static uint32_t reap(struct session *ss)
{
	int status = 0;

	/*
	 * dash blocks signals while it starts a program: one that comes then kills dash alone. The
	 * group's number is still ours, because its leader was not waited for yet.
	 */
	if (ss->last_signal)
		kill(-ss->pid, ss->last_signal);
	while (waitpid(ss->pid, &status, 0) < 0 && errno == EINTR)
		;
	return (uint32_t)(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

void session_run(struct stream *s, struct queue *in, char **argv)
{
	struct session ss = {
		.stream = s, .in = in, .pidfd = -1, .fd_in = -1, .fd_out = -1, .fd_err = -1};
	bool ended = false, peer = true;

	if (!start_command(&ss, argv)) {
		const char *text = strerror(errno);

		frame_put(&ss.to_peer, WIRE_ERROR, text, strlen(text));
		(void)stream_drain(s, &ss.to_peer);
		goto out;
	}
	/* What came together with START: its input may be there already, and its end. */
	peer = handle_frames(&ss);
	feed_command(&ss);
	while (peer && !ended)
		peer = pump(&ss, &ended);
	if (!ended)
		signal_group(&ss, SIGKILL);
	uint32_t status = reap(&ss);

	if (peer) {
		take_rest(&ss, &ss.fd_out, WIRE_STDOUT);
		take_rest(&ss, &ss.fd_err, WIRE_STDERR);
		frame_put_u32(&ss.to_peer, WIRE_EXIT, status);
		(void)stream_drain(s, &ss.to_peer);
	}
out:
	close_fd(&ss.pidfd);
	close_fd(&ss.fd_in);
	close_fd(&ss.fd_out);
	close_fd(&ss.fd_err);
	free(ss.to_peer.data);
	free(ss.input.data);
}
