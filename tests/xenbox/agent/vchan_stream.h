/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A vchan as a stream. */
#ifndef XENBOX_VCHAN_STREAM_H
#define XENBOX_VCHAN_STREAM_H

#include "stream.h"

struct libxenvchan;

struct vchan_stream {
	struct stream stream; /* first: the callbacks cast */
	struct libxenvchan *vchan;
};

void vchan_stream_init(struct vchan_stream *v, struct libxenvchan *vchan);

#endif
