// SPDX-License-Identifier: GPL-2.0-or-later
#include "stream.h"

#include "wire.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK (64U * 1024)

size_t queue_size(const struct queue *q)
{
	return q->end - q->start;
}

uint8_t *queue_bytes(const struct queue *q)
{
	return q->data + q->start;
}

uint8_t *queue_room(struct queue *q, size_t size)
{
	if (q->capacity - q->end >= size)
		return q->data + q->end;
	if (q->start > 0) {
		memmove(q->data, q->data + q->start, queue_size(q));
		q->end -= q->start;
		q->start = 0;
	}
	if (q->capacity - q->end < size) {
		q->capacity = q->end + size + CHUNK;
		q->data = realloc(q->data, q->capacity);
		if (!q->data)
			abort();
	}
	return q->data + q->end;
}

void queue_filled(struct queue *q, size_t size)
{
	q->end += size;
}

void queue_put(struct queue *q, const void *data, size_t size)
{
	if (size == 0)
		return;
	memcpy(queue_room(q, size), data, size);
	queue_filled(q, size);
}

void queue_drop(struct queue *q, size_t size)
{
	q->start += size;
	if (q->start == q->end)
		q->start = q->end = 0;
}

void queue_clear(struct queue *q)
{
	q->start = q->end = 0;
}

uint32_t frame_u32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
}

static void store_u32(uint8_t *bytes, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
}

enum frame_result frame_peek(const struct queue *q, struct frame *out)
{
	const uint8_t *bytes = queue_bytes(q);
	uint32_t size;

	if (queue_size(q) < WIRE_HEADER)
		return FRAME_INCOMPLETE;
	size = frame_u32(bytes + 1);
	if (size > WIRE_MAX_PAYLOAD)
		return FRAME_BAD;
	if (queue_size(q) < WIRE_HEADER + (size_t)size)
		return FRAME_INCOMPLETE;
	*out = (struct frame){.type = bytes[0], .size = size, .payload = bytes + WIRE_HEADER};
	return FRAME_OK;
}

void frame_done(struct queue *q, const struct frame *frame)
{
	queue_drop(q, WIRE_HEADER + (size_t)frame->size);
}

void frame_put(struct queue *q, uint8_t type, const void *payload, size_t size)
{
	uint8_t header[WIRE_HEADER] = {type};

	store_u32(header + 1, (uint32_t)size);
	queue_put(q, header, sizeof(header));
	queue_put(q, payload, size);
}

void frame_put_u32(struct queue *q, uint8_t type, uint32_t value)
{
	uint8_t bytes[4];

	store_u32(bytes, value);
	frame_put(q, type, bytes, sizeof(bytes));
}

bool stream_fill(struct stream *s, struct queue *q, size_t limit)
{
	while (queue_size(q) < limit) {
		ssize_t r = s->read(s, queue_room(q, CHUNK), CHUNK);

		if (r < 0)
			return false;
		if (r == 0)
			break;
		queue_filled(q, (size_t)r);
	}
	return true;
}

bool stream_flush(struct stream *s, struct queue *q)
{
	while (queue_size(q) > 0) {
		ssize_t r = s->write(s, queue_bytes(q), queue_size(q));

		if (r < 0)
			return false;
		if (r == 0)
			break;
		queue_drop(q, (size_t)r);
	}
	return true;
}

static bool wait_for(struct stream *s, bool want_write)
{
	struct pollfd pfd = s->pollfd(s, want_write);

	(void)poll(&pfd, 1, -1);
	return s->polled(s, pfd.revents);
}

bool stream_await_frame(struct stream *s, struct queue *q, uint8_t type, struct frame *out)
{
	for (;;) {
		switch (frame_peek(q, out)) {
		case FRAME_OK:
			return out->type == type;
		case FRAME_BAD:
			return false;
		case FRAME_INCOMPLETE:
			break;
		}
		if (!stream_fill(s, q, SIZE_MAX))
			return false;
		if (frame_peek(q, out) == FRAME_INCOMPLETE && !wait_for(s, false))
			return false;
	}
}

bool stream_drain(struct stream *s, struct queue *q)
{
	while (stream_flush(s, q)) {
		if (queue_size(q) == 0 && !(s->holds_back && s->holds_back(s)))
			return true;
		if (!wait_for(s, true))
			return false;
	}
	return false;
}
