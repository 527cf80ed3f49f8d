/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "record.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "qpen_words.h"
#include "record_text.h"

#define RECORD_VERSION 2

void record_format(const struct transfer *t, char out[RECORD_MAX])
{
	int n = snprintf(out, RECORD_MAX,
		"version=%d\nid=%" PRIu64 "\nstate=%s\nplace=%d\nimage=%s\nsize=%" PRIu64
		"\nformat=%d\nsender=%" PRIu32 "\nsender-uuid=%s\nsender-name=%s\nsender-alive=%d"
		"\nreceiver=%" PRIu32 "\nreceiver-uuid=%s\nreceiver-name=%s\nreceiver-known=%d"
		"\nkind=%d\nask=%d\nquiet=%d\nseq=%s\nview=%d\nto-sender=%s\nto-receiver=%"
		"s\nmaking=%"
		"d\nremoved=%"
		"d\nforced=%d"
		"\nstarted=%" PRId64 "\ndeadline=%" PRId64 "\n",
		RECORD_VERSION, t->id, transfer_state_name(t->state), (int)t->place, t->image,
		t->size_bytes, (int)t->format, t->sender.domid, t->sender.uuid, t->sender.name,
		t->sender_alive, t->receiver.domid, t->receiver.uuid, t->receiver.name,
		t->receiver_known, (int)t->kind, t->ask, t->quiet, t->seq, t->view,
		t->to_sender.pending ? t->to_sender.id : "",
		t->to_receiver.pending ? t->to_receiver.id : "", t->making, t->removed, t->forced,
		t->started_ms, t->deadline_ms);

	assert(n > 0 && (size_t)n < RECORD_MAX);
}

static enum transfer_state read_state(struct record_reader *r)
{
	const char *value;
	size_t len;

	record_next(r, "state", &value, &len);
	for (int s = 0; s < TRANSFER_N_STATES; s++)
		if (qpen_is_word(value, len, transfer_state_name((enum transfer_state)s)))
			return (enum transfer_state)s;
	r->ok = false;
	return TRANSFER_GONE;
}

static void read_image(struct record_reader *r, char *out)
{
	record_read_text(r, "image", out, TRANSFER_IMAGE_NAME_MAX);
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
	case TRANSFER_STARTING_VM:
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
	struct record_reader r = {.at = text, .end = text + len, .ok = true};
	struct transfer t;

	memset(&t, 0, sizeof t);
	if (record_read_number(&r, "version", UINT64_MAX) != RECORD_VERSION)
		return r.ok ? RECORD_OTHER_VERSION : RECORD_BAD;
	t.id = record_read_number(&r, "id", UINT64_MAX);
	t.state = read_state(&r);
	t.place = (enum transfer_place)record_read_number(&r, "place", TRANSFER_AT_RECEIVER);
	read_image(&r, t.image);
	t.size_bytes = record_read_number(&r, "size", INT64_MAX);
	t.format = (enum pendrive_format)record_read_number(&r, "format", PENDRIVE_NONE);
	t.sender.domid = (uint32_t)record_read_number(&r, "sender", UINT32_MAX);
	record_read_text(&r, "sender-uuid", t.sender.uuid, sizeof t.sender.uuid - 1);
	record_read_text(&r, "sender-name", t.sender.name, QPEN_NAME_MAX);
	t.sender_alive = record_read_bool(&r, "sender-alive");
	t.receiver.domid = (uint32_t)record_read_number(&r, "receiver", UINT32_MAX);
	record_read_text(&r, "receiver-uuid", t.receiver.uuid, sizeof t.receiver.uuid - 1);
	record_read_text(&r, "receiver-name", t.receiver.name, QPEN_NAME_MAX);
	t.receiver_known = record_read_bool(&r, "receiver-known");
	t.kind = (enum transfer_kind)record_read_number(&r, "kind", TRANSFER_ANSWER);
	t.ask = record_read_bool(&r, "ask");
	t.quiet = record_read_bool(&r, "quiet");
	record_read_text(&r, "seq", t.seq, QPEN_SEQ_MAX);
	t.view = record_read_bool(&r, "view");
	record_read_pending(&r, "to-sender", &t.to_sender);
	record_read_pending(&r, "to-receiver", &t.to_receiver);
	t.making = record_read_bool(&r, "making");
	t.removed = record_read_bool(&r, "removed");
	t.forced = record_read_bool(&r, "forced");
	t.started_ms = (int64_t)record_read_number(&r, "started", INT64_MAX);
	t.deadline_ms = (int64_t)record_read_number(&r, "deadline", INT64_MAX);
	if (!r.ok || r.at != r.end || !fits(t.state, t.place))
		return RECORD_BAD;
	*out = t;
	return RECORD_OK;
}
