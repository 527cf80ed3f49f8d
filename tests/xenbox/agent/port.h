/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtio-serial port as a stream that can be told to begin anew at any place (wire.h). */
#ifndef XENBOX_PORT_H
#define XENBOX_PORT_H

#include "stream.h"

struct port {
	struct stream stream; /* first: the callbacks cast */
	int fd;
	int epoll_fd;
	struct queue raw_in;  /* as they came, escaped */
	struct queue raw_out; /* escaped, to go */
	bool in_escape;       /* the byte before raw_in was WIRE_ESCAPE */
	bool synced;          /* a SYNC was met that nobody has answered yet */
};

bool port_open(struct port *p, const char *path);
/* Wait, as long as it takes, for a host that begins a conversation. */
void port_await_sync(struct port *p);
/* Say SYNC ourselves; what follows is a fresh stream of frames. */
void port_put_sync(struct port *p);

#endif
