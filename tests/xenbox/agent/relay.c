// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "relay.h"

#include "vchan_stream.h"
#include "wire.h"

#include <errno.h>
#include <libxenvchan.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xenstore.h>

/* 129 grants, half a megabyte of dom0, for each command in a VM. */
#define RING_BYTES (256U * 1024)
#define MAX_QUEUED (256U * 1024)
#define PATH_SIZE 160

struct relay {
	struct xs_handle *xs;
	unsigned int domid;
	char folder[PATH_SIZE]; /* the vchan's */
	struct libxenvchan *vchan;
	struct vchan_stream vm;
	struct queue to_vm, to_host;
};

static char reason[256];

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool has_name(struct xs_handle *xs, const char *domid, const char *name)
{
	char path[PATH_SIZE];
	char *value;
	bool same;

	snprintf(path, sizeof(path), "/local/domain/%s/name", domid);
	value = xs_read(xs, XBT_NULL, path, NULL);
	same = value && strcmp(value, name) == 0;
	free(value);
	return same;
}

/* By domid or by name. False if there is none, or it is dom0. */
static bool find_domain(struct xs_handle *xs, const char *domain, unsigned int *domid)
{
	unsigned int count = 0;
	char **ids = xs_directory(xs, XBT_NULL, "/local/domain", &count);
	bool found = false;

	for (unsigned int i = 0; ids && i < count && !found; i++) {
		found = strcmp(ids[i], "0") != 0 &&
			(strcmp(ids[i], domain) == 0 || has_name(xs, ids[i], domain));
		if (found)
			*domid = (unsigned int)strtoul(ids[i], NULL, 10);
	}
	free(ids);
	return found && xs_is_domain_introduced(xs, *domid);
}

static bool offer_vchan(struct relay *r)
{
	char go[PATH_SIZE + 8];

	snprintf(r->folder, sizeof(r->folder), "/local/domain/%u/" WIRE_XS_FOLDER "/%d-%lld",
		r->domid, (int)getpid(), (long long)(now_s() * 1e6));
	r->vchan = libxenvchan_server_init(NULL, (int)r->domid, r->folder, RING_BYTES, RING_BYTES);
	if (!r->vchan)
		return false;
	vchan_stream_init(&r->vm, r->vchan);
	snprintf(go, sizeof(go), "%s/go", r->folder);
	return xs_write(r->xs, XBT_NULL, go, "1", 1);
}

static bool domain_is_gone(struct relay *r)
{
	char **event;

	while ((event = xs_check_watch(r->xs)) != NULL)
		free(event);
	return !xs_is_domain_introduced(r->xs, r->domid);
}

/*
 * One round. Returns false when the conversation is over, with *why set if that is a failure. The
 * three things waited for: the host's port, the vchan, and the end of some domain.
 */
static bool pump(struct relay *r, struct stream *host, struct queue *from_host, double deadline,
	const char **why)
{
	struct stream *vm = &r->vm.stream;
	bool connected = libxenvchan_is_open(r->vchan) == 1;
	struct pollfd fds[3] = {
		host->pollfd(host, queue_size(&r->to_host) > 0),
		vm->pollfd(vm, false),
		{.fd = xs_fileno(r->xs), .events = POLLIN},
	};
	bool vm_open, full;

	if (poll(fds, 3, connected ? -1 : 1000) < 0 && errno != EINTR) {
		*why = strerror(errno);
		return false;
	}
	if (!host->polled(host, fds[0].revents))
		return false;
	vm->polled(vm, fds[1].revents);
	if (fds[2].revents && domain_is_gone(r)) {
		*why = "the VM died";
		return false;
	}
	/* All there is: wire.h bounds it. What stayed inside the stream poll() would not tell of.
	 */
	if (!stream_fill(host, from_host, SIZE_MAX))
		return false;
	queue_put(&r->to_vm, queue_bytes(from_host), queue_size(from_host));
	queue_clear(from_host);

	switch (libxenvchan_is_open(r->vchan)) {
	case 2:
		if (now_s() < deadline)
			return true;
		*why = "the VM's agent does not answer";
		return false;
	default:
		break;
	}
	vm_open = stream_flush(vm, &r->to_vm);
	/* Again while the host takes it, because the event that told of the rest is used up. */
	do {
		vm_open = stream_fill(vm, &r->to_host, MAX_QUEUED) && vm_open;
		full = queue_size(&r->to_host) >= MAX_QUEUED;
		if (!stream_flush(host, &r->to_host))
			return false;
	} while (full && queue_size(&r->to_host) < MAX_QUEUED);
	if (vm_open)
		return true;
	/* It sent its last frame and closed. If the last frame is not there, the host will see. */
	(void)stream_drain(host, &r->to_host);
	*why = "the VM's agent hung up";
	return false;
}

static const char *run(
	struct relay *r, struct stream *host, struct queue *from_host, const struct start *start)
{
	double deadline = now_s() + start->wait_s;
	const char *why = NULL;

	if (!find_domain(r->xs, start->domain, &r->domid))
		return "no such VM";
	if (!xs_watch(r->xs, "@releaseDomain", "gone"))
		return "cannot watch xenstore";
	if (!offer_vchan(r))
		return "cannot make a vchan";
	while (pump(r, host, from_host, deadline, &why))
		;
	return why;
}

const char *relay_run(struct stream *host, struct queue *from_host, const struct frame *frame,
	const struct start *start)
{
	struct relay r = {.xs = xs_open(0)};
	const char *why = "xenstore does not answer";

	frame_put(&r.to_vm, frame->type, frame->payload, frame->size);
	if (r.xs)
		why = run(&r, host, from_host, start);
	if (why) {
		snprintf(reason, sizeof(reason), "%s: %s", start->domain, why);
		why = reason;
	}
	if (r.vchan)
		libxenvchan_close(r.vchan);
	if (r.folder[0])
		xs_rm(r.xs, XBT_NULL, r.folder);
	if (r.xs)
		xs_close(r.xs);
	free(r.to_vm.data);
	free(r.to_host.data);
	return why;
}
