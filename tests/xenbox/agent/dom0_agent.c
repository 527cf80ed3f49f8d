// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The box's agent in dom0: runs commands for the host, in dom0 itself or, through the agent there,
 * in a VM. One process for each virtio-serial port; each runs one command at a time.
 *
 * usage: dom0_agent PREFIX COUNT (the ports are PREFIX0 to PREFIXn)
 */
#define _GNU_SOURCE
#include "port.h"
#include "relay.h"
#include "session.h"
#include "wire.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_PORTS 64

/*
 * Say it in a fresh conversation: the one before may have been cut in the middle of a frame, and
 * the nonce is remembered so that the client takes this SYNC for ours.
 */
static void refuse(struct port *p, const uint8_t *nonce, const char *text)
{
	struct queue out = {0};

	port_put_sync(p);
	frame_put(&out, WIRE_HELLO, nonce, WIRE_NONCE);
	frame_put(&out, WIRE_ERROR, text, strlen(text));
	(void)stream_drain(&p->stream, &out);
	free(out.data);
}

static bool greet(struct port *p, struct queue *in, uint8_t *nonce)
{
	struct queue out = {0};
	struct frame frame;
	bool ok;

	if (!stream_await_frame(&p->stream, in, WIRE_HELLO, &frame) || frame.size != WIRE_NONCE)
		return false;
	memcpy(nonce, frame.payload, WIRE_NONCE);
	frame_done(in, &frame);
	port_put_sync(p);
	frame_put(&out, WIRE_HELLO, nonce, WIRE_NONCE);
	ok = stream_drain(&p->stream, &out);
	free(out.data);
	return ok;
}

static void converse(struct port *p, struct queue *in)
{
	uint8_t nonce[WIRE_NONCE];
	struct frame frame;
	struct start start;

	if (!greet(p, in, nonce) || !stream_await_frame(&p->stream, in, WIRE_START, &frame))
		return;
	if (!start_parse(frame.payload, frame.size, &start)) {
		refuse(p, nonce, "bad START frame");
		return;
	}
	frame_done(in, &frame);
	if (strcmp(start.domain, WIRE_DOM0) == 0 || strcmp(start.domain, "0") == 0) {
		session_run(&p->stream, in, start.argv);
	} else {
		/* The frame's bytes lie in a queue that is about to change. */
		uint8_t *copy = malloc(frame.size);
		const char *why = "out of memory";
		struct frame kept = frame;

		free(start.argv);
		start.argv = NULL;
		if (copy) {
			memcpy(copy, frame.payload, frame.size);
			kept.payload = copy;
			if (start_parse(copy, frame.size, &start))
				why = relay_run(&p->stream, in, &kept, &start);
		}
		if (why)
			refuse(p, nonce, why);
		free(start.argv);
		free(copy);
		return;
	}
	free(start.argv);
}

static void serve(const char *path)
{
	struct queue in = {0};
	struct port port;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (!port_open(&port, path)) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		_exit(1);
	}
	for (;;) {
		port_await_sync(&port);
		queue_clear(&in);
		converse(&port, &in);
	}
}

static pid_t start_server(const char *prefix, int number)
{
	pid_t pid = fork();
	char path[128];

	if (pid == 0) {
		snprintf(path, sizeof(path), "%s%d", prefix, number);
		serve(path);
	}
	return pid;
}

int main(int argc, char **argv)
{
	int count = argc == 3 ? atoi(argv[2]) : 0;
	pid_t servers[MAX_PORTS];

	if (count < 1 || count > MAX_PORTS) {
		fprintf(stderr, "usage: dom0_agent PREFIX COUNT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < count; i++)
		servers[i] = start_server(argv[1], i);
	/* A port whose process died gets another; slowly, because at boot udev may be behind. */
	for (;;) {
		pid_t pid = wait(NULL);

		sleep(1);
		for (int i = 0; i < count; i++) {
			if (servers[i] == pid)
				servers[i] = start_server(argv[1], i);
		}
	}
}
