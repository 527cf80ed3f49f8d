/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs one command for the peer of a stream: its input, output and end are frames (wire.h). */
#ifndef XENBOX_SESSION_H
#define XENBOX_SESSION_H

#include "stream.h"

/* What a START frame says. argv points into the frame's payload; free it with free(). */
struct start {
	const char *domain;
	unsigned int wait_s;
	char **argv;
};

/* False if the payload is not what wire.h says. */
bool start_parse(const uint8_t *payload, size_t size, struct start *out);

/*
 * Run argv until it ends or the peer goes; in the latter case kill its process group. `in` holds
 * what was already read from the stream.
 */
void session_run(struct stream *s, struct queue *in, char **argv);

#endif
