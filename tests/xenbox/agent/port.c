// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "port.h"

#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CHUNK (64U * 1024)
#define SETTLE_US 20000
#define SETTLE_TRIES 100

/* Sleep until something happens at the port, or for so long. */
static void sleep_until_event(struct port *p, int timeout_ms)
{
	struct epoll_event event;

	(void)epoll_wait(p->epoll_fd, &event, 1, timeout_ms);
}

static bool is_hung_up(struct port *p)
{
	struct pollfd pfd = {.fd = p->fd};

	(void)poll(&pfd, 1, 0);
	return pfd.revents & POLLHUP;
}

/*
 * That the host came or went is told by messages which the kernel handles later than data: a client
 * that follows another at once is heard before the other is known to be gone. So only a hang-up
 * that lasts is one.
 */
static bool host_is_gone(struct port *p)
{
	if (!is_hung_up(p))
		return false;
	usleep(SETTLE_US);
	return is_hung_up(p);
}

/* What the device has, into raw_in. 0 if nothing now, -1 if there is nobody at the other end. */
static ssize_t read_device(struct port *p)
{
	ssize_t r = read(p->fd, queue_room(&p->raw_in, CHUNK), CHUNK);

	if (r > 0) {
		queue_filled(&p->raw_in, (size_t)r);
		return r;
	}
	return r < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

/*
 * Move bytes from raw_in to `out`, without the escapes. Stops at a SYNC, which it takes and
 * remembers in p->synced. Most bytes are ordinary: they are copied in runs.
 */
static size_t unescape(struct port *p, uint8_t *out, size_t size)
{
	size_t done = 0;

	while (done < size && queue_size(&p->raw_in) > 0) {
		const uint8_t *bytes = queue_bytes(&p->raw_in);
		size_t run = queue_size(&p->raw_in);
		const uint8_t *escape;

		if (p->in_escape) {
			p->in_escape = *bytes == WIRE_ESCAPE;
			if (*bytes == 0)
				out[done++] = WIRE_ESCAPE;
			p->synced = *bytes == WIRE_SYNC;
			queue_drop(&p->raw_in, 1);
			if (p->synced)
				break;
			continue;
		}
		if (run > size - done)
			run = size - done;
		escape = memchr(bytes, WIRE_ESCAPE, run);
		if (escape)
			run = (size_t)(escape - bytes);
		memcpy(out + done, bytes, run);
		done += run;
		queue_drop(&p->raw_in, run + (escape ? 1 : 0));
		p->in_escape = escape != NULL;
	}
	return done;
}

static ssize_t port_read(struct stream *s, void *data, size_t size)
{
	struct port *p = (struct port *)s;
	bool gone = queue_size(&p->raw_in) == 0 && read_device(p) < 0;
	size_t done = unescape(p, data, size);

	if (done > 0)
		return (ssize_t)done;
	return p->synced || (gone && host_is_gone(p)) ? -1 : 0;
}

/* False if there is nobody at the other end. */
static bool write_device(struct port *p)
{
	while (queue_size(&p->raw_out) > 0) {
		ssize_t r = write(p->fd, queue_bytes(&p->raw_out), queue_size(&p->raw_out));

		if (r < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (r <= 0)
			break;
		queue_drop(&p->raw_out, (size_t)r);
	}
	return true;
}

static void put_escaped(struct queue *q, const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		const uint8_t *escape = memchr(bytes, WIRE_ESCAPE, size);
		size_t run = escape ? (size_t)(escape - bytes) : size;

		queue_put(q, bytes, run);
		if (escape) {
			queue_put(q, (const uint8_t[]){WIRE_ESCAPE, 0}, 2);
			run++;
		}
		bytes += run;
		size -= run;
	}
}

static ssize_t port_write(struct stream *s, const void *data, size_t size)
{
	struct port *p = (struct port *)s;

	if (!write_device(p))
		return -1;
	if (queue_size(&p->raw_out) > 0)
		return 0;
	if (size > CHUNK)
		size = CHUNK;
	put_escaped(&p->raw_out, data, size);
	return write_device(p) ? (ssize_t)size : -1;
}

static bool port_holds_back(struct stream *s)
{
	return queue_size(&((struct port *)s)->raw_out) > 0;
}

static struct pollfd port_pollfd(struct stream *s, bool want_write)
{
	struct port *p = (struct port *)s;

	want_write = want_write || port_holds_back(s);
	return (struct pollfd){.fd = p->fd, .events = (short)(POLLIN | (want_write ? POLLOUT : 0))};
}

static bool port_polled(struct stream *s, short revents)
{
	struct port *p = (struct port *)s;

	/* What was taken from the caller and did not fit then. */
	if ((revents & POLLOUT) && !write_device(p))
		return false;
	return !(revents & (POLLHUP | POLLERR)) || !host_is_gone(p);
}

bool port_open(struct port *p, const char *path)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};

	*p = (struct port){.stream = {.read = port_read,
				   .write = port_write,
				   .holds_back = port_holds_back,
				   .pollfd = port_pollfd,
				   .polled = port_polled}};
	p->fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (p->fd < 0)
		return false;
	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return p->epoll_fd >= 0 && epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, p->fd, &event) == 0;
}

/* The host's greeting is here; wait for the kernel to say that the host is. */
static bool await_host(struct port *p)
{
	for (int i = 0; i < SETTLE_TRIES; i++) {
		if (!is_hung_up(p))
			return true;
		sleep_until_event(p, SETTLE_US / 1000);
	}
	return false;
}

void port_await_sync(struct port *p)
{
	uint8_t rubbish[4096];

	do {
		/*
		 * Not with poll(), which on a port without a host returns POLLHUP at once, always.
		 * An edge-triggered epoll sleeps. The timeout is for the case that this is wrong.
		 */
		while (!p->synced) {
			if (queue_size(&p->raw_in) > 0)
				(void)unescape(p, rubbish, sizeof(rubbish));
			else if (read_device(p) <= 0)
				sleep_until_event(p, 10000);
		}
		p->synced = false;
	} while (!await_host(p));
	queue_clear(&p->raw_out);
}

void port_put_sync(struct port *p)
{
	queue_put(&p->raw_out, (const uint8_t[]){WIRE_ESCAPE, WIRE_SYNC}, 2);
}
