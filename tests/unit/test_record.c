/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A record is all that the next daemon knows: it must say everything, or be refused. */
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "record.h"

#define ID32 "abcdefghijklmnopqrstuvwxyzABCDEF"
#define NAME63 "n23456789012345678901234567890123456789012345678901234567890123"

static enum transfer_place place_in(enum transfer_state state)
{
	switch (state) {
	case TRANSFER_ATTACHING_OUT:
	case TRANSFER_LENT:
	case TRANSFER_FREEZING:
		return TRANSFER_AT_SENDER;
	case TRANSFER_ATTACHING_IN:
	case TRANSFER_DELIVERED:
	case TRANSFER_TAKING_BACK:
		return TRANSFER_AT_RECEIVER;
	case TRANSFER_MAKING:
	case TRANSFER_ASKING:
	case TRANSFER_STARTING_VM:
	case TRANSFER_QUEUED:
	case TRANSFER_REFUSING:
	case TRANSFER_DISCARDING:
	case TRANSFER_GONE:
		return TRANSFER_NOWHERE;
	}
	g_assert_not_reached();
}

static struct transfer small(enum transfer_state state)
{
	return (struct transfer){
		.id = 1,
		.state = state,
		.place = place_in(state),
		.image = "a",
		.sender = {3, "u", "w"},
		.seq = "0",
	};
}

/* Every field as long as it can be. */
static struct transfer large(enum transfer_state state)
{
	return (struct transfer){
		.id = UINT64_MAX,
		.state = state,
		.place = place_in(state),
		.image = "0123456789abcdef0123456789abcdef",
		.size_bytes = INT64_MAX,
		.format = PENDRIVE_NONE,
		.sender = {UINT32_MAX, "11111111-1111-1111-1111-111111111111", NAME63},
		.sender_alive = true,
		.receiver = {UINT32_MAX, "22222222-2222-2222-2222-222222222222", NAME63},
		.receiver_known = true,
		.kind = TRANSFER_ANSWER,
		.ask = true,
		.quiet = true,
		.view = true,
		.seq = ID32,
		.to_sender = {true, ID32},
		.to_receiver = {true, ID32},
		.making = true,
		.removed = true,
		.forced = true,
		.started_ms = INT64_MAX,
		.deadline_ms = INT64_MAX,
	};
}

static void assert_same(const struct transfer *a, const struct transfer *b)
{
	g_assert_cmpuint(a->id, ==, b->id);
	g_assert_cmpint(a->state, ==, b->state);
	g_assert_cmpint(a->place, ==, b->place);
	g_assert_cmpstr(a->image, ==, b->image);
	g_assert_cmpuint(a->size_bytes, ==, b->size_bytes);
	g_assert_cmpint(a->format, ==, b->format);
	g_assert_cmpuint(a->sender.domid, ==, b->sender.domid);
	g_assert_cmpstr(a->sender.uuid, ==, b->sender.uuid);
	g_assert_cmpstr(a->sender.name, ==, b->sender.name);
	g_assert_cmpint(a->sender_alive, ==, b->sender_alive);
	g_assert_cmpuint(a->receiver.domid, ==, b->receiver.domid);
	g_assert_cmpstr(a->receiver.uuid, ==, b->receiver.uuid);
	g_assert_cmpstr(a->receiver.name, ==, b->receiver.name);
	g_assert_cmpint(a->receiver_known, ==, b->receiver_known);
	g_assert_cmpint(a->kind, ==, b->kind);
	g_assert_cmpstr(a->seq, ==, b->seq);
	g_assert_cmpint(a->ask, ==, b->ask);
	g_assert_cmpint(a->quiet, ==, b->quiet);
	g_assert_cmpint(a->view, ==, b->view);
	g_assert_cmpint(a->to_sender.pending, ==, b->to_sender.pending);
	g_assert_cmpstr(a->to_sender.id, ==, b->to_sender.id);
	g_assert_cmpint(a->to_receiver.pending, ==, b->to_receiver.pending);
	g_assert_cmpstr(a->to_receiver.id, ==, b->to_receiver.id);
	g_assert_cmpint(a->making, ==, b->making);
	g_assert_cmpint(a->removed, ==, b->removed);
	g_assert_cmpint(a->forced, ==, b->forced);
	g_assert_cmpint(a->started_ms, ==, b->started_ms);
	g_assert_cmpint(a->deadline_ms, ==, b->deadline_ms);
}

/* Parses a copy that ends where its memory ends. */
static enum record_result parse(const char *text, size_t len, struct transfer *out)
{
	g_autofree char *copy = g_malloc(MAX(len, 1));

	memcpy(copy, text, len);
	return record_parse(copy, len, out);
}

static void test_round_trip(void)
{
	for (int s = 0; s < TRANSFER_GONE; s++) {
		const struct transfer cases[] = {
			small((enum transfer_state)s), large((enum transfer_state)s)};

		for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
			char text[RECORD_MAX];
			struct transfer back;

			record_format(&cases[i], text);
			g_assert_cmpint(parse(text, strlen(text), &back), ==, RECORD_OK);
			assert_same(&cases[i], &back);
		}
	}
}

/* An ID outlives its answer in memory, but not in the record. */
static void test_answered(void)
{
	struct transfer t = small(TRANSFER_LENT), back;
	char text[RECORD_MAX];

	t.to_sender = (struct pending_reply){.pending = false, .id = "old"};
	record_format(&t, text);
	g_assert_null(strstr(text, "old"));
	g_assert_cmpint(parse(text, strlen(text), &back), ==, RECORD_OK);
	g_assert_false(back.to_sender.pending);
}

/* A client of 2010 has no ID, but an answer to come. */
static void test_answer_without_id(void)
{
	struct transfer t = small(TRANSFER_ASKING), back;
	char text[RECORD_MAX];

	t.to_sender = (struct pending_reply){.pending = true, .id = QPEN_ID_NONE};
	record_format(&t, text);
	g_assert_cmpint(parse(text, strlen(text), &back), ==, RECORD_OK);
	g_assert_true(back.to_sender.pending);
	g_assert_cmpstr(back.to_sender.id, ==, QPEN_ID_NONE);
}

static void test_truncated(void)
{
	struct transfer t = large(TRANSFER_TAKING_BACK), back;
	char text[RECORD_MAX];

	record_format(&t, text);
	for (size_t len = 0; len < strlen(text); len++)
		g_assert_cmpint(parse(text, len, &back), ==, RECORD_BAD);
	/* And what follows it. */
	g_assert_cmpint(parse(text, strlen(text) + 1, &back), ==, RECORD_BAD);
}

/* Each byte replaced by each other: refused, or what it says is all of what it says. */
static void test_damaged(void)
{
	struct transfer t = small(TRANSFER_DELIVERED);
	char text[RECORD_MAX];
	size_t len;
	unsigned n_refused = 0, n_read = 0;

	t.receiver = (struct vm_id){9, "v", "personal"};
	t.started_ms = 10;
	t.deadline_ms = 20;
	record_format(&t, text);
	len = strlen(text);
	for (size_t at = 0; at < len; at++) {
		char good = text[at];

		for (int byte = 0; byte < 256; byte++) {
			struct transfer back = {.id = 77};
			char again[RECORD_MAX];
			enum record_result result;

			if ((char)byte == good)
				continue;
			text[at] = (char)byte;
			result = parse(text, len, &back);
			if (result == RECORD_OK) {
				record_format(&back, again);
				g_assert_cmpstr(again, ==, text);
				n_read++;
			} else {
				g_assert_cmpuint(back.id, ==, 77);
				n_refused++;
			}
		}
		text[at] = good;
	}
	g_test_message("%u refused, %u read as another record", n_refused, n_read);
	g_assert_cmpuint(n_refused, >, n_read);
}

static const struct {
	const char *label, *find, *replace;
	enum record_result result;
} edits[] = {
	{"another version", "version=2", "version=3", RECORD_OTHER_VERSION},
	{"the version before", "version=2", "version=1", RECORD_OTHER_VERSION},
	{"the oldest version", "version=2", "version=0", RECORD_OTHER_VERSION},
	{"a version of 20 digits", "version=2", "version=18446744073709551615",
		RECORD_OTHER_VERSION},
	{"a version beyond 64 bits", "version=2", "version=18446744073709551616", RECORD_BAD},
	{"no version", "version=2\n", "", RECORD_BAD},
	{"version empty", "version=2", "version=", RECORD_BAD},
	{"version with a zero", "version=2", "version=02", RECORD_BAD},
	{"a key twice", "id=1\n", "id=1\nid=1\n", RECORD_BAD},
	{"a key too many", "id=1\n", "id=1\ncolour=red\n", RECORD_BAD},
	{"a key missing", "forced=0\n", "", RECORD_BAD},
	{"keys in another order", "making=0\nremoved=0", "removed=0\nmaking=0", RECORD_BAD},
	{"an unknown state", "state=asking", "state=wondering", RECORD_BAD},
	{"the state's beginning", "state=asking", "state=ask", RECORD_BAD},
	{"nothing is left of it", "state=asking", "state=gone", RECORD_BAD},
	{"an unknown place", "place=0", "place=3", RECORD_BAD},
	{"asking, but in the sender's reach", "place=0", "place=1", RECORD_BAD},
	{"asking, but in the receiver's reach", "place=0", "place=2", RECORD_BAD},
	{"lent, but out of reach", "state=asking", "state=lent", RECORD_BAD},
	{"discarding, out of reach", "state=asking", "state=discarding", RECORD_OK},
	{"a path for an image", "image=a", "image=../a", RECORD_BAD},
	{"no image", "image=a", "image=", RECORD_BAD},
	{"an image of 33", "image=a", "image=" ID32 "x", RECORD_BAD},
	{"a size beyond 2^63", "size=0", "size=9223372036854775808", RECORD_BAD},
	{"a size below 0", "size=0", "size=-1", RECORD_BAD},
	{"an unknown format", "format=0", "format=2", RECORD_BAD},
	{"a domid beyond 32 bits", "sender=3", "sender=4294967296", RECORD_BAD},
	{"a boolean of 2", "forced=0", "forced=2", RECORD_BAD},
	{"a boolean in words", "forced=0", "forced=yes", RECORD_BAD},
	{"an empty number", "forced=0", "forced=", RECORD_BAD},
	{"a leading zero", "forced=0", "forced=00", RECORD_BAD},
	{"a name of 64", "sender-name=w", "sender-name=" NAME63 "4", RECORD_BAD},
	{"a uuid of 37", "sender-uuid=u", "sender-uuid=1111111111111111111111111111111111111",
		RECORD_BAD},
	{"an unknown kind", "kind=0", "kind=3", RECORD_BAD},
	{"no kind", "kind=0\n", "", RECORD_BAD},
	{"an ask of 2", "ask=0", "ask=2", RECORD_BAD},
	{"a quiet of 2", "quiet=0", "quiet=2", RECORD_BAD},
	{"a view of 2", "view=0", "view=2", RECORD_BAD},
	{"making a VM, but in the sender's reach", "state=asking\nplace=0",
		"state=starting-vm\nplace=1", RECORD_BAD},
	{"making a VM", "state=asking", "state=starting-vm", RECORD_OK},
	{"a SEQ of 33", "seq=0", "seq=" ID32 "x", RECORD_BAD},
	{"an ID that is none", "to-sender=", "to-sender=a b", RECORD_BAD},
	{"an ID of 33", "to-sender=", "to-sender=" ID32 "x", RECORD_BAD},
	{"a deadline beyond 2^63", "deadline=0", "deadline=9223372036854775808", RECORD_BAD},
	{"a blank line before", "version=2", "\nversion=2", RECORD_BAD},
};

static void test_edited(void)
{
	struct transfer t = small(TRANSFER_ASKING);
	char text[RECORD_MAX];

	record_format(&t, text);
	for (size_t i = 0; i < G_N_ELEMENTS(edits); i++) {
		g_auto(GStrv) parts = g_strsplit(text, edits[i].find, 2);
		g_autofree char *edited = NULL;
		struct transfer back;

		g_test_message("%s", edits[i].label);
		g_assert_nonnull(parts[1]);
		edited = g_strconcat(parts[0], edits[i].replace, parts[1], NULL);
		g_assert_cmpint(parse(edited, strlen(edited), &back), ==, edits[i].result);
	}
}

/* A NUL would end a text before its end. */
static void test_nul(void)
{
	struct transfer t = small(TRANSFER_ASKING), back;
	char text[RECORD_MAX];
	size_t len;

	record_format(&t, text);
	len = strlen(text);
	*strstr(text, "w\nsender-alive") = '\0';
	g_assert_cmpint(parse(text, len, &back), ==, RECORD_BAD);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/record/round-trip", test_round_trip);
	g_test_add_func("/record/answered", test_answered);
	g_test_add_func("/record/answer-without-id", test_answer_without_id);
	g_test_add_func("/record/truncated", test_truncated);
	g_test_add_func("/record/damaged", test_damaged);
	g_test_add_func("/record/edited", test_edited);
	g_test_add_func("/record/nul", test_nul);
	return g_test_run();
}
