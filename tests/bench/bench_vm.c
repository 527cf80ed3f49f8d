/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The VM's end of scripts/bench attach: waits in the VM for what a user would wait for there. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>
#include <xenstore.h>

#include "bench_words.h"
#include "qpen_contract.h"

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void put(struct xs_handle *xs, const char *path, const char *value)
{
	if (!xs_write(xs, XBT_NULL, path, value, (unsigned)strlen(value)))
		die(path);
}

/* Whether a program of the VM can use it now, or it is gone, as `wanted` says. */
static bool is_so(const char *device, bool wanted)
{
	int fd;

	if (!wanted)
		return access(device, F_OK) < 0;
	fd = open(device, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* By an event each time that /dev changes: nothing is lost to the interval of a timer. */
static void wait_device(int watch, const char *word)
{
	bool wanted = word[0] != '-';
	char device[64];
	char events[4096] __attribute__((aligned(8)));

	snprintf(device, sizeof device, "/dev/%s", wanted ? word : word + 1);
	while (!is_so(device, wanted))
		if (read(watch, events, sizeof events) < 0 && errno != EINTR)
			die("inotify");
}

static void obey(struct xs_handle *xs, int watch, char *order)
{
	char *number = strtok(order, " "), *device = strtok(NULL, " "), *request = strtok(NULL, "");

	if (!number || !device)
		return;
	if (request)
		put(xs, QPEN_KEY_REQUEST, request);
	else
		put(xs, BENCH_READY, number);
	if (strcmp(device, ".") != 0)
		wait_device(watch, device);
	put(xs, BENCH_DONE, number);
}

int main(void)
{
	struct xs_handle *xs = xs_open(0);
	int watch = inotify_init1(IN_CLOEXEC);

	if (!xs || watch < 0)
		die("bench_vm");
	/* A node appears before udev gives it to its group, which is an event too. */
	if (inotify_add_watch(watch, "/dev", IN_CREATE | IN_DELETE | IN_ATTRIB) < 0)
		die("/dev");
	if (!xs_watch(xs, BENCH_ORDER, "order"))
		die(BENCH_ORDER);
	for (;;) {
		unsigned n;
		char **event = xs_read_watch(xs, &n), *order;

		if (!event)
			die("xenstore");
		free(event);
		order = xs_read(xs, XBT_NULL, BENCH_ORDER, &n);
		if (order)
			obey(xs, watch, order);
		free(order);
	}
}
