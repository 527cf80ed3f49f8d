/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "record.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "qpen_words.h"

#define RECORD_VERSION 1

void record_format(const struct transfer *t, char out[RECORD_MAX])
{
	int n = snprintf(out, RECORD_MAX,
		"version=%d\nid=%" PRIu64 "\nstate=%s\nplace=%d\nimage=%s\nsize=%" PRIu64
		"\nformat=%d\nsender=%" PRIu32 "\nsender-uuid=%s\nsender-name=%s\nsender-alive=%d"
		"\nreceiver=%" PRIu32 "\nreceiver-uuid=%s\nreceiver-name=%s\nreceiver-known=%d"
		"\nseq=%s\nto-sender=%s\nto-receiver=%s\nmaking=%d\nremoved=%d\nforced=%d"
		"\nstarted=%" PRId64 "\ndeadline=%" PRId64 "\n",
		RECORD_VERSION, t->id, transfer_state_name(t->state), (int)t->place, t->image,
		t->size_bytes, (int)t->format, t->sender.domid, t->sender.uuid, t->sender.name,
		t->sender_alive, t->receiver.domid, t->receiver.uuid, t->receiver.name,
		t->receiver_known, t->seq, t->to_sender.pending ? t->to_sender.id : "",
		t->to_receiver.pending ? t->to_receiver.id : "", t->making, t->removed, t->forced,
		t->started_ms, t->deadline_ms);

	assert(n > 0 && (size_t)n < RECORD_MAX);
}

/* A reader that fails once and for all: after the first mismatch every further read fails too. */
struct reader {
	const char *at, *end;
	bool ok;
};

/* The value of the next line, which must be `key`'s. An empty one after a failure. */
static void next_value(struct reader *r, const char *key, const char **value, size_t *len)
{
	size_t key_len = strlen(key);
	const char *newline;

	*value = "";
	*len = 0;
	if (!r->ok)
		return;
	r->ok = false;
	newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
	if (!newline || (size_t)(newline - r->at) < key_len + 1)
		return;
	if (memcmp(r->at, key, key_len) != 0 || r->at[key_len] != '=')
		return;
	*value = r->at + key_len + 1;
	*len = (size_t)(newline - *value);
	r->at = newline + 1;
	r->ok = true;
}

static uint64_t read_number(struct reader *r, const char *key, uint64_t max)
{
	const char *value;
	size_t len;
	uint64_t n = 0;

	next_value(r, key, &value, &len);
	/* As we write it, without leading zeros: a record has one form only. */
	if (len == 0 || (len > 1 && value[0] == '0'))
		r->ok = false;
	for (size_t i = 0; r->ok && i < len; i++) {
		unsigned digit = (unsigned)(value[i] - '0');

		if (value[i] < '0' || value[i] > '9' || n > (UINT64_MAX - digit) / 10)
			r->ok = false;
		else
			n = n * 10 + digit;
	}
	if (n > max)
		r->ok = false;
	return r->ok ? n : 0;
}

static bool read_bool(struct reader *r, const char *key)
{
	return read_number(r, key, 1) == 1;
}

/* `out` has room for max bytes and a NUL. */
static void read_text(struct reader *r, const char *key, char *out, size_t max)
{
	const char *value;
	size_t len;

	next_value(r, key, &value, &len);
	if (len > max || memchr(value, '\0', len)) {
		r->ok = false;
		len = 0;
	}
	memcpy(out, value, len);
	out[len] = '\0';
}

static void read_pending(struct reader *r, const char *key, struct pending_reply *out)
{
	read_text(r, key, out->id, QPEN_ID_MAX);
	out->pending = out->id[0] != '\0';
	if (out->pending && strcmp(out->id, QPEN_ID_NONE) != 0 &&
		!qpen_is_request_id(out->id, strlen(out->id)))
		r->ok = false;
}

static enum transfer_state read_state(struct reader *r)
{
	const char *value;
	size_t len;

	next_value(r, "state", &value, &len);
	for (int s = 0; s < TRANSFER_N_STATES; s++)
		if (qpen_is_word(value, len, transfer_state_name((enum transfer_state)s)))
			return (enum transfer_state)s;
	r->ok = false;
	return TRANSFER_GONE;
}

static void read_image(struct reader *r, char *out)
{
	read_text(r, "image", out, TRANSFER_IMAGE_NAME_MAX);
	if (!qpen_is_alnum_word(out, strlen(out), TRANSFER_IMAGE_NAME_MAX))
		r->ok = false;
}

/* Whether a transfer in that state can be there: a detach from nowhere would hit somebody else's
 * disk. */
static bool fits(enum transfer_state state, enum transfer_place place)
{
	switch (state) {
	case TRANSFER_MAKING:
	case TRANSFER_ASKING:
	case TRANSFER_QUEUED:
	case TRANSFER_REFUSING:
		return place == TRANSFER_NOWHERE;
	case TRANSFER_ATTACHING_OUT:
	case TRANSFER_LENT:
	case TRANSFER_FREEZING:
		return place == TRANSFER_AT_SENDER;
	case TRANSFER_ATTACHING_IN:
	case TRANSFER_DELIVERED:
	case TRANSFER_TAKING_BACK:
		return place == TRANSFER_AT_RECEIVER;
	case TRANSFER_DISCARDING:
		return true;
	case TRANSFER_GONE:
		return false; /* its record is dropped */
	}
	return false;
}

enum record_result record_parse(const char *text, size_t len, struct transfer *out)
{
	struct reader r = {.at = text, .end = text + len, .ok = true};
	struct transfer t;

	memset(&t, 0, sizeof t);
	if (read_number(&r, "version", UINT64_MAX) != RECORD_VERSION)
		return r.ok ? RECORD_OTHER_VERSION : RECORD_BAD;
	t.id = read_number(&r, "id", UINT64_MAX);
	t.state = read_state(&r);
	t.place = (enum transfer_place)read_number(&r, "place", TRANSFER_AT_RECEIVER);
	read_image(&r, t.image);
	t.size_bytes = read_number(&r, "size", INT64_MAX);
	t.format = (enum pendrive_format)read_number(&r, "format", PENDRIVE_NONE);
	t.sender.domid = (uint32_t)read_number(&r, "sender", UINT32_MAX);
	read_text(&r, "sender-uuid", t.sender.uuid, sizeof t.sender.uuid - 1);
	read_text(&r, "sender-name", t.sender.name, QPEN_NAME_MAX);
	t.sender_alive = read_bool(&r, "sender-alive");
	t.receiver.domid = (uint32_t)read_number(&r, "receiver", UINT32_MAX);
	read_text(&r, "receiver-uuid", t.receiver.uuid, sizeof t.receiver.uuid - 1);
	read_text(&r, "receiver-name", t.receiver.name, QPEN_NAME_MAX);
	t.receiver_known = read_bool(&r, "receiver-known");
	read_text(&r, "seq", t.seq, QPEN_SEQ_MAX);
	read_pending(&r, "to-sender", &t.to_sender);
	read_pending(&r, "to-receiver", &t.to_receiver);
	t.making = read_bool(&r, "making");
	t.removed = read_bool(&r, "removed");
	t.forced = read_bool(&r, "forced");
	t.started_ms = (int64_t)read_number(&r, "started", INT64_MAX);
	t.deadline_ms = (int64_t)read_number(&r, "deadline", INT64_MAX);
	if (!r.ok || r.at != r.end || !fits(t.state, t.place))
		return RECORD_BAD;
	*out = t;
	return RECORD_OK;
}
