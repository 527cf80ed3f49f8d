// SPDX-License-Identifier: GPL-2.0-or-later
#include "vchan_stream.h"

#include <libxenvchan.h>

#define MAX_CALL (256U * 1024)

static struct libxenvchan *vchan_of(struct stream *s)
{
	return ((struct vchan_stream *)s)->vchan;
}

static ssize_t vchan_read(struct stream *s, void *data, size_t size)
{
	return libxenvchan_read(vchan_of(s), data, size < MAX_CALL ? size : MAX_CALL);
}

static ssize_t vchan_write(struct stream *s, const void *data, size_t size)
{
	return libxenvchan_write(vchan_of(s), data, size < MAX_CALL ? size : MAX_CALL);
}

/* One event channel tells both: there is something to read, there is room to write. */
static struct pollfd vchan_pollfd(struct stream *s, bool want_write)
{
	(void)want_write;
	return (struct pollfd){.fd = libxenvchan_fd_for_select(vchan_of(s)), .events = POLLIN};
}

static bool vchan_polled(struct stream *s, short revents)
{
	/* Takes the event; without it poll() would return at once for ever. */
	if (revents)
		(void)libxenvchan_wait(vchan_of(s));
	/* That the peer closed is told by read, after what it still sent. */
	return true;
}

void vchan_stream_init(struct vchan_stream *v, struct libxenvchan *vchan)
{
	vchan->blocking = 0;
	*v = (struct vchan_stream){.stream = {.read = vchan_read,
					   .write = vchan_write,
					   .pollfd = vchan_pollfd,
					   .polled = vchan_polled},
		.vchan = vchan};
}
