/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A two-way stream of bytes that is not a file descriptor: a virtio-serial port or a vchan. And the
 * frames on it.
 */
#ifndef XENBOX_STREAM_H
#define XENBOX_STREAM_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct stream {
	/* Both never wait. Bytes done, 0 if none can be done now, -1 if the peer is gone. */
	ssize_t (*read)(struct stream *s, void *data, size_t size);
	ssize_t (*write)(struct stream *s, const void *data, size_t size);
	/* Whether it took bytes that have not left yet. NULL: it never does. */
	bool (*holds_back)(struct stream *s);
	/* What to poll for. want_write: there is something to write. */
	struct pollfd (*pollfd)(struct stream *s, bool want_write);
	/* To be called with what poll() said, before read and write. False if the peer is gone. */
	bool (*polled)(struct stream *s, short revents);
};

/* A growing byte queue. */
struct queue {
	uint8_t *data;
	size_t start, end, capacity;
};

size_t queue_size(const struct queue *q);
uint8_t *queue_bytes(const struct queue *q);
void queue_put(struct queue *q, const void *data, size_t size);
void queue_drop(struct queue *q, size_t size);
void queue_clear(struct queue *q);
/* Room for `size` bytes at the end, to be filled by the caller and then confirmed. */
uint8_t *queue_room(struct queue *q, size_t size);
void queue_filled(struct queue *q, size_t size);

struct frame {
	uint8_t type;
	uint32_t size;
	const uint8_t *payload; /* in the queue it was taken from, valid until that changes */
};

enum frame_result {
	FRAME_OK,
	FRAME_INCOMPLETE,
	FRAME_BAD,
};

/* The first frame in the queue, which stays there until frame_done(). */
enum frame_result frame_peek(const struct queue *q, struct frame *out);
void frame_done(struct queue *q, const struct frame *frame);
void frame_put(struct queue *q, uint8_t type, const void *payload, size_t size);
void frame_put_u32(struct queue *q, uint8_t type, uint32_t value);
uint32_t frame_u32(const uint8_t *bytes);

/* Read into the queue what there is, up to the limit, or write what can be written of it. False if
 * the peer is gone. */
bool stream_fill(struct stream *s, struct queue *q, size_t limit);
bool stream_flush(struct stream *s, struct queue *q);
/* Wait for a whole frame of this type. False if the peer is gone or says something else. */
bool stream_await_frame(struct stream *s, struct queue *q, uint8_t type, struct frame *out);
/* Write all, waiting as long as it takes. */
bool stream_drain(struct stream *s, struct queue *q);

#endif
