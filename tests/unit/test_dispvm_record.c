/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A DisposableVM's record must say everything, or be refused: as test_record for a transfer's. */
#include <glib.h>
#include <string.h>

#include "dispvm_record.h"

#define UUID "33333333-3333-3333-3333-333333333333"
#define ID32 "abcdefghijklmnopqrstuvwxyzABCDEF"
#define NAME63 "n23456789012345678901234567890123456789012345678901234567890123"

static struct dispvm small(enum dispvm_state state)
{
	return (struct dispvm){
		.number = 1,
		.state = state,
		.id = {9, UUID, "disp1"},
	};
}

/* Every field as long as it can be. */
static struct dispvm large(enum dispvm_state state)
{
	return (struct dispvm){
		.number = UINT64_MAX,
		.state = state,
		.id = {UINT32_MAX, UUID, NAME63},
		.label = "l234567890123456789012345678901",
		.opener = {UINT32_MAX, "22222222-2222-2222-2222-222222222222", NAME63},
		.seq = ID32,
		.view = true,
		.request = UINT64_MAX,
		.kill_asked = true,
		.answer = UINT64_MAX,
		.to_opener = {true, ID32},
		.started_ms = INT64_MAX,
		.deadline_ms = INT64_MAX,
	};
}

static void assert_same_vm(const struct vm_id *a, const struct vm_id *b)
{
	g_assert_cmpuint(a->domid, ==, b->domid);
	g_assert_cmpstr(a->uuid, ==, b->uuid);
	g_assert_cmpstr(a->name, ==, b->name);
}

static void assert_same(const struct dispvm *a, const struct dispvm *b)
{
	g_assert_cmpuint(a->number, ==, b->number);
	g_assert_cmpint(a->state, ==, b->state);
	assert_same_vm(&a->id, &b->id);
	g_assert_cmpstr(a->label, ==, b->label);
	assert_same_vm(&a->opener, &b->opener);
	g_assert_cmpstr(a->seq, ==, b->seq);
	g_assert_cmpint(a->view, ==, b->view);
	g_assert_cmpuint(a->request, ==, b->request);
	g_assert_cmpint(a->kill_asked, ==, b->kill_asked);
	g_assert_cmpuint(a->answer, ==, b->answer);
	g_assert_cmpint(a->to_opener.pending, ==, b->to_opener.pending);
	g_assert_cmpstr(a->to_opener.id, ==, b->to_opener.id);
	g_assert_cmpint(a->started_ms, ==, b->started_ms);
	g_assert_cmpint(a->deadline_ms, ==, b->deadline_ms);
}

/* Parses a copy that ends where its memory ends. */
static enum record_result parse(const char *text, size_t len, struct dispvm *out)
{
	g_autofree char *copy = g_malloc(MAX(len, 1));

	memcpy(copy, text, len);
	return dispvm_record_parse(copy, len, out);
}

static void test_round_trip(void)
{
	for (int s = 0; s < DISPVM_GONE; s++) {
		const struct dispvm cases[] = {
			small((enum dispvm_state)s), large((enum dispvm_state)s)};

		for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
			char text[RECORD_MAX];
			struct dispvm back;

			dispvm_record_format(&cases[i], text);
			g_assert_cmpint(parse(text, strlen(text), &back), ==, RECORD_OK);
			assert_same(&cases[i], &back);
		}
	}
}

/* An ID outlives its answer in memory, but not in the record. */
static void test_answered(void)
{
	struct dispvm d = small(DISPVM_OPEN), back;
	char text[RECORD_MAX];

	d.to_opener = (struct pending_reply){.pending = false, .id = "old"};
	dispvm_record_format(&d, text);
	g_assert_null(strstr(text, "old"));
	g_assert_cmpint(parse(text, strlen(text), &back), ==, RECORD_OK);
	g_assert_false(back.to_opener.pending);
}

static void test_truncated(void)
{
	struct dispvm d = large(DISPVM_ANSWERING), back;
	char text[RECORD_MAX];

	dispvm_record_format(&d, text);
	for (size_t len = 0; len < strlen(text); len++)
		g_assert_cmpint(parse(text, len, &back), ==, RECORD_BAD);
	/* And what follows it. */
	g_assert_cmpint(parse(text, strlen(text) + 1, &back), ==, RECORD_BAD);
}

/* Each byte replaced by each other: refused, or what it says is all of what it says. */
static void test_damaged(void)
{
	struct dispvm d = small(DISPVM_OPEN);
	char text[RECORD_MAX];
	size_t len;
	unsigned n_refused = 0, n_read = 0;

	d.to_opener = (struct pending_reply){true, "r1"};
	dispvm_record_format(&d, text);
	len = strlen(text);
	for (size_t at = 0; at < len; at++) {
		char good = text[at];

		for (int byte = 0; byte < 256; byte++) {
			struct dispvm back = {.number = 77};
			char again[RECORD_MAX];

			if ((char)byte == good)
				continue;
			text[at] = (char)byte;
			if (parse(text, len, &back) == RECORD_OK) {
				dispvm_record_format(&back, again);
				g_assert_cmpstr(again, ==, text);
				n_read++;
			} else {
				g_assert_cmpuint(back.number, ==, 77);
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
	{"another version", "version=1", "version=2", RECORD_OTHER_VERSION},
	{"the oldest version", "version=1", "version=0", RECORD_OTHER_VERSION},
	{"no version", "version=1\n", "", RECORD_BAD},
	{"version with a zero", "version=1", "version=01", RECORD_BAD},
	{"a key twice", "number=1\n", "number=1\nnumber=1\n", RECORD_BAD},
	{"a key too many", "number=1\n", "number=1\ncolour=red\n", RECORD_BAD},
	{"a number beyond 64 bits", "number=1", "number=18446744073709551616", RECORD_BAD},
	{"a number below 0", "number=1", "number=-1", RECORD_BAD},
	{"an unknown state", "state=open", "state=closed", RECORD_BAD},
	{"the state's beginning", "state=open", "state=op", RECORD_BAD},
	{"nothing is left of it", "state=open", "state=gone", RECORD_BAD},
	{"open, but in no domain", "vm=9", "vm=0", RECORD_BAD},
	{"being made, in no domain yet", "state=open\nvm=9", "state=making\nvm=0", RECORD_OK},
	{"a domid beyond 32 bits", "vm=9", "vm=4294967296", RECORD_BAD},
	{"no uuid to destroy it by", "vm-uuid=" UUID, "vm-uuid=", RECORD_BAD},
	{"a uuid of 35", "vm-uuid=" UUID, "vm-uuid=3333333-3333-3333-3333-333333333333",
		RECORD_BAD},
	{"a uuid of 37", "vm-uuid=", "vm-uuid=3", RECORD_BAD},
	{"a name of 64", "vm-name=disp1", "vm-name=" NAME63 "4", RECORD_BAD},
	{"a label of 32", "label=", "label=" ID32, RECORD_BAD},
	{"an opener's domid that is none", "opener=0", "opener=x", RECORD_BAD},
	{"an opener's uuid of 37", "opener-uuid=", "opener-uuid=" UUID "3", RECORD_BAD},
	{"an opener's name of 64", "opener-name=", "opener-name=" NAME63 "4", RECORD_BAD},
	{"a SEQ of 33", "seq=", "seq=" ID32 "x", RECORD_BAD},
	{"a view of 2", "view=0", "view=2", RECORD_BAD},
	{"no request", "request=0\n", "", RECORD_BAD},
	{"an empty request", "request=0", "request=", RECORD_BAD},
	{"a wish in words", "kill-asked=0", "kill-asked=yes", RECORD_BAD},
	{"an answer with a zero", "answer=0", "answer=00", RECORD_BAD},
	{"an ID that is none", "to-opener=", "to-opener=a b", RECORD_BAD},
	{"an ID of 33", "to-opener=", "to-opener=" ID32 "x", RECORD_BAD},
	{"an answer without an ID", "to-opener=", "to-opener=-", RECORD_OK},
	{"a start beyond 2^63", "started=0", "started=9223372036854775808", RECORD_BAD},
	{"a deadline beyond 2^63", "deadline=0", "deadline=9223372036854775808", RECORD_BAD},
	{"keys in another order", "view=0\nrequest=0", "request=0\nview=0", RECORD_BAD},
	{"a blank line before", "version=1", "\nversion=1", RECORD_BAD},
	{"a transfer's record", "number=1", "id=1", RECORD_BAD},
};

static void test_edited(void)
{
	struct dispvm d = small(DISPVM_OPEN);
	char text[RECORD_MAX];

	dispvm_record_format(&d, text);
	for (size_t i = 0; i < G_N_ELEMENTS(edits); i++) {
		g_auto(GStrv) parts = g_strsplit(text, edits[i].find, 2);
		g_autofree char *edited = NULL;
		struct dispvm back;

		g_test_message("%s", edits[i].label);
		g_assert_nonnull(parts[1]);
		edited = g_strconcat(parts[0], edits[i].replace, parts[1], NULL);
		g_assert_cmpint(parse(edited, strlen(edited), &back), ==, edits[i].result);
	}
}

/* A NUL would end a text before its end. */
static void test_nul(void)
{
	struct dispvm d = small(DISPVM_OPEN), back;
	char text[RECORD_MAX];
	size_t len;

	dispvm_record_format(&d, text);
	len = strlen(text);
	*strstr(text, "isp1\n") = '\0';
	g_assert_cmpint(parse(text, len, &back), ==, RECORD_BAD);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/dispvm-record/round-trip", test_round_trip);
	g_test_add_func("/dispvm-record/answered", test_answered);
	g_test_add_func("/dispvm-record/truncated", test_truncated);
	g_test_add_func("/dispvm-record/damaged", test_damaged);
	g_test_add_func("/dispvm-record/edited", test_edited);
	g_test_add_func("/dispvm-record/nul", test_nul);
	return g_test_run();
}
