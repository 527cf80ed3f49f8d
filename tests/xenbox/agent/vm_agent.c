// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The box's agent in a VM: connects to each vchan that the agent in dom0 offers in our part of
 * xenstore, and runs the one command that comes over it.
 *
 * It keeps nothing between commands. After a restore under another domid the kernel registers the
 * watch anew, which makes it fire, and all is as at the start.
 */
#define _GNU_SOURCE
#include "session.h"
#include "vchan_stream.h"
#include "wire.h"

#include <errno.h>
#include <libxenvchan.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xenstore.h>

#define PATH_SIZE 256
#define CONNECT_TRIES 50
#define CONNECT_PAUSE_US 20000

static struct libxenvchan *connect_to_dom0(const char *folder)
{
	struct libxenvchan *vchan = NULL;

	for (int i = 0; i < CONNECT_TRIES && !vchan; i++) {
		if (i > 0)
			usleep(CONNECT_PAUSE_US);
		vchan = libxenvchan_client_init(NULL, 0, folder);
	}
	return vchan;
}

/* In a child of its own. */
static void serve(const char *folder)
{
	struct libxenvchan *vchan = connect_to_dom0(folder);
	struct vchan_stream vm;
	struct queue in = {0};
	struct frame frame;
	struct start start;

	if (!vchan) {
		fprintf(stderr, "%s: %s\n", folder, strerror(errno));
		_exit(1);
	}
	vchan_stream_init(&vm, vchan);
	if (stream_await_frame(&vm.stream, &in, WIRE_START, &frame) &&
		start_parse(frame.payload, frame.size, &start)) {
		frame_done(&in, &frame);
		session_run(&vm.stream, &in, start.argv);
	}
	libxenvchan_close(vchan);
	_exit(0);
}

/* Take the offer, if it is still there: whoever removes "go" has it. */
static void take_offer(struct xs_handle *xs, const char *folder)
{
	char go[PATH_SIZE + 8];

	snprintf(go, sizeof(go), "%s/go", folder);
	/* "Not there" is no error to xs_rm. */
	char *value = xs_read(xs, XBT_NULL, go, NULL);

	if (!value)
		return;
	free(value);
	if (!xs_rm(xs, XBT_NULL, go))
		return;
	if (fork() == 0) {
		signal(SIGCHLD, SIG_DFL);
		serve(folder);
	}
}

/* Offers made before the watch was there, or before a restore. */
static void take_all(struct xs_handle *xs)
{
	unsigned int count = 0;
	char **names = xs_directory(xs, XBT_NULL, WIRE_XS_FOLDER, &count);

	for (unsigned int i = 0; names && i < count; i++) {
		char folder[PATH_SIZE];

		snprintf(folder, sizeof(folder), "%s/%s", WIRE_XS_FOLDER, names[i]);
		take_offer(xs, folder);
	}
	free(names);
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static void handle_event(struct xs_handle *xs, char *path)
{
	if (strcmp(path, WIRE_XS_FOLDER) == 0) {
		take_all(xs);
	} else if (ends_with(path, "/go")) {
		path[strlen(path) - strlen("/go")] = '\0';
		take_offer(xs, path);
	}
}

int main(void)
{
	struct xs_handle *xs = xs_open(0);

	if (!xs || !xs_watch(xs, WIRE_XS_FOLDER, "offer")) {
		fprintf(stderr, "xenstore: %s\n", strerror(errno));
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		unsigned int count = 0;
		char **event = xs_read_watch(xs, &count);

		if (event)
			handle_event(xs, event[XS_WATCH_PATH]);
		free(event);
	}
}
