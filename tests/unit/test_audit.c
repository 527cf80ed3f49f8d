/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The history: what a step means for it, and an entry as fields of the journal. When entries come,
 * and that none comes twice, is in the scenario tests.
 */
#include <glib.h>
#include <string.h>

#include "audit.h"
#include "audit_fields.h"

static const struct transfer a_transfer = {
	.id = 3,
	.state = TRANSFER_ASKING,
	.image = "0123456789abcdef0123456789abcdef",
	.size_bytes = 1048576,
	.sender = {7, "11111111-1111-1111-1111-111111111111", "work"},
	.receiver = {8, "22222222-2222-2222-2222-222222222222", "personal"},
	.receiver_known = true,
	.ask = true,
};
static const struct dispvm a_dispvm = {
	.number = 5,
	.state = DISPVM_OPEN,
	.id = {9, "33333333-3333-3333-3333-333333333333", "disp5"},
	.opener = {7, "11111111-1111-1111-1111-111111111111", "work"},
	.request = 4,
};

/* ---- decisions ---- */

static const struct {
	const char *label;
	enum transfer_state state;
	enum transfer_kind kind;
	bool receiver_known, ask;
	struct transfer_event event;
	const char *wanted; /* NULL: nothing is decided */
} decisions[] = {
	{"a yes", TRANSFER_ASKING, TRANSFER_FILES, true, true,
		{.kind = TRANSFER_EV_YES, .uid_known = true, .uid = 1000}, "allowed agent 1000"},
	{"a yes of one whom the bus did not name", TRANSFER_ASKING, TRANSFER_FILES, true, true,
		{.kind = TRANSFER_EV_YES}, "allowed agent"},
	{"a no of root", TRANSFER_ASKING, TRANSFER_FILES, true, true,
		{.kind = TRANSFER_EV_NO, .uid_known = true, .uid = 0}, "refused agent 0"},
	{"a block while it is asked", TRANSFER_ASKING, TRANSFER_FILES, true, true,
		{.kind = TRANSFER_EV_NO, .by_block = true}, "refused block"},
	{"nobody answers", TRANSFER_ASKING, TRANSFER_FILES, true, true,
		{.kind = TRANSFER_EV_DEADLINE}, "expired timeout"},
	{"taken back while it is asked", TRANSFER_ASKING, TRANSFER_FILES, true, true,
		{.kind = TRANSFER_EV_CANCEL}, "cancelled user"},
	{"the receiver stops while it is asked", TRANSFER_ASKING, TRANSFER_FILES, true, true,
		{.kind = TRANSFER_EV_RECEIVER_GONE}, "refused no-receiver"},
	{"the sender stops while it is asked", TRANSFER_ASKING, TRANSFER_FILES, true, true,
		{.kind = TRANSFER_EV_SENDER_GONE}, NULL},
	{"the DisposableVM is made while it is asked", TRANSFER_ASKING, TRANSFER_REQUEST, false,
		true, {.kind = TRANSFER_EV_VM_READY}, NULL},
	{"taken back before it is asked", TRANSFER_FREEZING, TRANSFER_FILES, true, true,
		{.kind = TRANSFER_EV_CANCEL}, "cancelled user"},
	{"taken back before it is delivered by a rule", TRANSFER_FREEZING, TRANSFER_FILES, true,
		false, {.kind = TRANSFER_EV_CANCEL}, "cancelled user"},
	{"a block before it is asked", TRANSFER_FREEZING, TRANSFER_FILES, true, true,
		{.kind = TRANSFER_EV_CANCEL, .by_block = true}, "refused block"},
	{"what was refused when it was sent, taken back", TRANSFER_FREEZING, TRANSFER_FILES, false,
		false, {.kind = TRANSFER_EV_CANCEL}, NULL},
	{"the receiver stops before it is asked", TRANSFER_FREEZING, TRANSFER_FILES, true, true,
		{.kind = TRANSFER_EV_RECEIVER_GONE}, "refused no-receiver"},
	{"a block before it is asked about a DisposableVM", TRANSFER_FREEZING, TRANSFER_REQUEST,
		false, true, {.kind = TRANSFER_EV_CANCEL, .by_block = true}, "refused block"},
	{"an answer is taken back", TRANSFER_FREEZING, TRANSFER_ANSWER, true, false,
		{.kind = TRANSFER_EV_CANCEL}, NULL},
	{"it is out of its sender's reach", TRANSFER_FREEZING, TRANSFER_FILES, true, true,
		{.kind = TRANSFER_EV_DETACHED}, NULL},
	{"a yes that comes late", TRANSFER_QUEUED, TRANSFER_FILES, true, true,
		{.kind = TRANSFER_EV_CANCEL}, NULL},
};

static void test_decisions(void)
{
	for (gsize i = 0; i < G_N_ELEMENTS(decisions); i++) {
		struct transfer before = a_transfer;
		struct audit_verdict v;
		g_autofree char *got = NULL, *uid = NULL;

		g_test_message("%s", decisions[i].label);
		before.state = decisions[i].state;
		before.kind = decisions[i].kind;
		before.receiver_known = decisions[i].receiver_known;
		before.ask = decisions[i].ask;
		if (audit_decided(&before, &decisions[i].event, &v)) {
			uid = v.uid_known ? g_strdup_printf(" %u", v.uid) : g_strdup("");
			got = g_strdup_printf("%s %s%s", audit_decision_name(v.decision),
				audit_by_name(v.by), uid);
		}
		g_assert_cmpstr(got, ==, decisions[i].wanted);
	}
}

/* ---- ends of transfers ---- */

static const struct {
	const char *label;
	enum transfer_state before;
	bool to_receiver; /* the receiver has asked to give it back */
	struct transfer_event event;
	enum transfer_state after;
	const char *wanted; /* NULL: it does not end */
} ends[] = {
	{"given back", TRANSFER_TAKING_BACK, true, {.kind = TRANSFER_EV_DETACHED},
		TRANSFER_DISCARDING, "delivered returned"},
	{"given back by force", TRANSFER_TAKING_BACK, true, {.kind = TRANSFER_EV_DEADLINE},
		TRANSFER_DISCARDING, "delivered returned"},
	{"taken from its receiver", TRANSFER_TAKING_BACK, false, {.kind = TRANSFER_EV_DETACHED},
		TRANSFER_DISCARDING, "delivered taken-back"},
	{"the receiver stops with it", TRANSFER_DELIVERED, false,
		{.kind = TRANSFER_EV_RECEIVER_GONE}, TRANSFER_DISCARDING,
		"delivered receiver-gone"},
	{"on its way back", TRANSFER_DELIVERED, false, {.kind = TRANSFER_EV_UMOUNT},
		TRANSFER_TAKING_BACK, NULL},
	{"still on its way back", TRANSFER_TAKING_BACK, true, {.kind = TRANSFER_EV_DEADLINE},
		TRANSFER_TAKING_BACK, NULL},
	{"no", TRANSFER_ASKING, false, {.kind = TRANSFER_EV_NO}, TRANSFER_DISCARDING, "refused"},
	{"no, and nobody is told yet", TRANSFER_ASKING, false, {.kind = TRANSFER_EV_NO},
		TRANSFER_REFUSING, NULL},
	{"the time comes to tell of a no", TRANSFER_REFUSING, false, {.kind = TRANSFER_EV_DEADLINE},
		TRANSFER_GONE, "refused"},
	{"the sender stops before it is told", TRANSFER_REFUSING, false,
		{.kind = TRANSFER_EV_SENDER_GONE}, TRANSFER_DISCARDING, "refused"},
	{"nobody answers", TRANSFER_ASKING, false, {.kind = TRANSFER_EV_DEADLINE},
		TRANSFER_DISCARDING, "expired"},
	{"kept too long", TRANSFER_LENT, false, {.kind = TRANSFER_EV_DEADLINE}, TRANSFER_DISCARDING,
		"unsent"},
	{"taken back", TRANSFER_LENT, false, {.kind = TRANSFER_EV_CANCEL}, TRANSFER_DISCARDING,
		"cancelled"},
	{"taken away by somebody else", TRANSFER_LENT, false, {.kind = TRANSFER_EV_LOST},
		TRANSFER_DISCARDING, "failed device"},
	{"given up while it is asked", TRANSFER_ASKING, false, {.kind = TRANSFER_EV_DISCARD},
		TRANSFER_DISCARDING, "given-up"},
	{"given up when it was refused already", TRANSFER_REFUSING, false,
		{.kind = TRANSFER_EV_DISCARD}, TRANSFER_DISCARDING, "refused"},
	{"the sender stops", TRANSFER_MAKING, false, {.kind = TRANSFER_EV_SENDER_GONE},
		TRANSFER_DISCARDING, "sender-gone"},
	{"no room", TRANSFER_MAKING, false,
		{.kind = TRANSFER_EV_MAKE_FAILED, .error = QPEN_ERROR_NO_SPACE},
		TRANSFER_DISCARDING, "failed no-space"},
	{"the queue is full after a yes", TRANSFER_ASKING, false, {.kind = TRANSFER_EV_YES},
		TRANSFER_DISCARDING, "failed queue-full"},
	{"the receiver does not connect", TRANSFER_ATTACHING_IN, false,
		{.kind = TRANSFER_EV_DEADLINE}, TRANSFER_DISCARDING, "failed timeout"},
	{"the receiver stops after the yes", TRANSFER_QUEUED, false,
		{.kind = TRANSFER_EV_RECEIVER_GONE}, TRANSFER_DISCARDING, "failed receiver-gone"},
	{"no DisposableVM", TRANSFER_STARTING_VM, false,
		{.kind = TRANSFER_EV_VM_FAILED, .error = QPEN_ERROR_NO_MEMORY}, TRANSFER_DISCARDING,
		"failed no-memory"},
	{"its DisposableVM was removed in dom0", TRANSFER_STARTING_VM, false,
		{.kind = TRANSFER_EV_VM_FAILED, .error = QPEN_ERROR_CANCELLED}, TRANSFER_DISCARDING,
		"cancelled"},
	{"its end goes on", TRANSFER_DISCARDING, false, {.kind = TRANSFER_EV_REMOVED},
		TRANSFER_GONE, NULL},
};

static char *end_text(const struct audit_end *end)
{
	return g_strdup_printf("%s%s%s", audit_result_name(end->result), end->reason ? " " : "",
		end->reason ? end->reason : "");
}

static void test_ends(void)
{
	for (gsize i = 0; i < G_N_ELEMENTS(ends); i++) {
		struct transfer before = a_transfer, after = a_transfer;
		struct audit_end end;
		g_autofree char *got = NULL;

		g_test_message("%s", ends[i].label);
		before.state = ends[i].before;
		before.to_receiver.pending = ends[i].to_receiver;
		after.state = ends[i].after;
		if (audit_ended(&before, &ends[i].event, &after, &end))
			got = end_text(&end);
		g_assert_cmpstr(got, ==, ends[i].wanted);
	}
}

/* What no receiver was ever known for is refused as soon as it is frozen, where nothing is hidden.
 */
static void test_end_of_a_missing_receiver(void)
{
	const struct transfer_event detached = {.kind = TRANSFER_EV_DETACHED};
	struct transfer before = a_transfer, after = a_transfer;
	struct audit_end end;

	before.state = TRANSFER_FREEZING;
	before.receiver_known = false;
	after.state = TRANSFER_DISCARDING;
	g_assert_true(audit_ended(&before, &detached, &after, &end));
	g_assert_cmpstr(audit_result_name(end.result), ==, "refused");
}

/* ---- ends of DisposableVMs ---- */

static const struct {
	const char *label;
	enum dispvm_state before;
	struct dispvm_event event;
	enum dispvm_state after;
	const char *wanted;
} dispvm_ends[] = {
	{"stored", DISPVM_ANSWERING, {.kind = DISPVM_EV_STORED}, DISPVM_DESTROYING, "saved"},
	{"closed", DISPVM_OPEN, {.kind = DISPVM_EV_KILLME}, DISPVM_DESTROYING, "unchanged"},
	{"crashed", DISPVM_OPEN, {.kind = DISPVM_EV_VM_GONE}, DISPVM_DESTROYING, "lost"},
	{"too old", DISPVM_OPEN, {.kind = DISPVM_EV_DEADLINE}, DISPVM_DESTROYING, "lost"},
	{"removed", DISPVM_OPEN, {.kind = DISPVM_EV_DISCARD}, DISPVM_DESTROYING, "cancelled"},
	{"its opener stops", DISPVM_ANSWERING, {.kind = DISPVM_EV_OPENER_GONE}, DISPVM_DESTROYING,
		"opener-gone"},
	{"the answer is on its way", DISPVM_OPEN, {.kind = DISPVM_EV_ANSWER}, DISPVM_ANSWERING,
		NULL},
	{"no memory", DISPVM_MAKING, {.kind = DISPVM_EV_FAILED, .error = QPEN_ERROR_NO_MEMORY},
		DISPVM_GONE, "failed no-memory"},
	{"takes too long", DISPVM_MAKING, {.kind = DISPVM_EV_DEADLINE}, DISPVM_DESTROYING,
		"failed timeout"},
	{"its file does not come", DISPVM_READY, {.kind = DISPVM_EV_REQUEST_GONE},
		DISPVM_DESTROYING, "failed request-gone"},
	{"destroyed at last", DISPVM_DESTROYING, {.kind = DISPVM_EV_DESTROYED}, DISPVM_GONE, NULL},
};

static void test_dispvm_ends(void)
{
	for (gsize i = 0; i < G_N_ELEMENTS(dispvm_ends); i++) {
		struct dispvm before = a_dispvm, after = a_dispvm;
		struct audit_end end;
		g_autofree char *got = NULL;

		g_test_message("%s", dispvm_ends[i].label);
		before.state = dispvm_ends[i].before;
		after.state = dispvm_ends[i].after;
		if (audit_dispvm_ended(&before, &dispvm_ends[i].event, &after, &end))
			got = end_text(&end);
		g_assert_cmpstr(got, ==, dispvm_ends[i].wanted);
	}
}

/* One that waited in the pool in vain was nobody's. */
static void test_end_of_the_pool(void)
{
	const struct dispvm_event discard = {.kind = DISPVM_EV_DISCARD};
	struct dispvm before = a_dispvm, after;
	struct audit_end end;

	before.opener = (struct vm_id){0};
	before.state = DISPVM_POOLED;
	after = before;
	after.state = DISPVM_DESTROYING;
	g_assert_false(audit_dispvm_ended(&before, &discard, &after, &end));
}

/* ---- fields ---- */

static void assert_fields(const struct audit_entry *entry, gboolean names, const char *wanted)
{
	g_autoptr(GPtrArray) fields = audit_fields(entry, names);
	g_autofree char *got = NULL;

	g_ptr_array_add(fields, NULL);
	got = g_strjoinv("\n", (char **)fields->pdata);
	g_assert_cmpstr(got, ==, wanted);
}

static const struct audit_entry a_yes = {
	.event = AUDIT_DECIDED,
	.transfer = &a_transfer,
	.verdict = {AUDIT_ALLOWED, AUDIT_BY_AGENT, true, 1000},
	.rule = "/etc/qfilexchgd/policy.d/90-default.policy:31",
	.used_bytes = 4096,
	.asked_ms = 2500,
	.total_ms = -1,
};

static void test_fields_of_a_decision(void)
{
	assert_fields(&a_yes, TRUE,
		"MESSAGE_ID=" AUDIT_MESSAGE_ID "\nPRIORITY=5\nSYSLOG_IDENTIFIER=qfilexchgd\n"
		"MESSAGE=transfer 3, work to personal: allowed by agent of uid 1000\n"
		"QFX_EVENT=decision\nQFX_KIND=files\nQFX_TRANSFER=3\n"
		"QFX_PENDRIVE=0123456789abcdef0123456789abcdef\n"
		"QFX_SENDER=work\nQFX_SENDER_DOMID=7\n"
		"QFX_RECEIVER=personal\nQFX_RECEIVER_DOMID=8\n"
		"QFX_SIZE=1048576\nQFX_USED=4096\nQFX_DECISION=allowed\nQFX_BY=agent\n"
		"QFX_RULE=/etc/qfilexchgd/policy.d/90-default.policy:31\nQFX_UID=1000\n"
		"QFX_ASKED_MS=2500");
}

static void test_fields_of_an_end(void)
{
	const struct audit_entry end = {
		.event = AUDIT_ENDED,
		.transfer = &a_transfer,
		.end = {AUDIT_END_DELIVERED, "returned"},
		.used_bytes = -1,
		.asked_ms = -1,
		.total_ms = 0,
	};

	assert_fields(&end, TRUE,
		"MESSAGE_ID=" AUDIT_MESSAGE_ID "\nPRIORITY=5\nSYSLOG_IDENTIFIER=qfilexchgd\n"
		"MESSAGE=transfer 3, work to personal: delivered, returned\n"
		"QFX_EVENT=end\nQFX_KIND=files\nQFX_TRANSFER=3\n"
		"QFX_PENDRIVE=0123456789abcdef0123456789abcdef\n"
		"QFX_SENDER=work\nQFX_SENDER_DOMID=7\n"
		"QFX_RECEIVER=personal\nQFX_RECEIVER_DOMID=8\n"
		"QFX_SIZE=1048576\nQFX_RESULT=delivered\nQFX_REASON=returned\nQFX_TOTAL_MS=0");
}

static const struct audit_entry a_dispvm_end = {
	.event = AUDIT_DISPVM_ENDED,
	.dispvm = &a_dispvm,
	.end = {AUDIT_END_SAVED, NULL},
	.used_bytes = -1,
	.asked_ms = -1,
	.total_ms = 61000,
};

static void test_fields_of_a_disposable(void)
{
	assert_fields(&a_dispvm_end, TRUE,
		"MESSAGE_ID=" AUDIT_MESSAGE_ID "\nPRIORITY=5\nSYSLOG_IDENTIFIER=qfilexchgd\n"
		"MESSAGE=DisposableVM 5 of work: saved\n"
		"QFX_EVENT=disposable-end\nQFX_DISPOSABLE=5\nQFX_TRANSFER=4\n"
		"QFX_SENDER=work\nQFX_SENDER_DOMID=7\nQFX_RECEIVER=disp5\nQFX_RECEIVER_DOMID=9\n"
		"QFX_RESULT=saved\nQFX_TOTAL_MS=61000");
}

static void assert_nameless(const struct audit_entry *entry)
{
	g_autoptr(GPtrArray) fields = audit_fields(entry, FALSE);

	g_assert_cmpuint(fields->len, >, 8);
	for (guint i = 0; i < fields->len; i++) {
		g_test_message("%s", (char *)fields->pdata[i]);
		g_assert_null(strstr(fields->pdata[i], "work"));
		g_assert_null(strstr(fields->pdata[i], "personal"));
		g_assert_null(strstr(fields->pdata[i], "disp5"));
	}
}

static void test_names_are_hidden(void)
{
	struct transfer to_nobody = a_transfer;
	struct audit_entry refused = a_yes;

	assert_nameless(&a_yes);
	assert_nameless(&a_dispvm_end);
	/* A VM that does not exist has no number either. */
	to_nobody.receiver.domid = 0;
	refused.transfer = &to_nobody;
	refused.verdict = (struct audit_verdict){AUDIT_REFUSED, AUDIT_BY_NO_RECEIVER, false, 0};
	assert_nameless(&refused);
}

/* Names are checked before they come here; this is the second fence. */
static void test_every_value_is_a_line_of_ascii(void)
{
	static const char hostile[] = "a\nQFX_SENDER=b\033[31m\"\\\177\303\244";
	struct transfer t = a_transfer;
	struct audit_entry entry = a_yes;
	g_autoptr(GPtrArray) fields = NULL;

	strcpy(t.receiver.name, hostile);
	entry.transfer = &t;
	entry.rule = hostile;
	fields = audit_fields(&entry, TRUE);
	for (guint i = 0; i < fields->len; i++)
		for (const char *c = fields->pdata[i]; *c; c++)
			g_assert_true(g_ascii_isprint(*c));
	g_assert_true(g_ptr_array_find_with_equal_func(fields,
		"QFX_RECEIVER=a\\nQFX_SENDER=b\\033[31m\\\"\\\\\\177\\303\\244", g_str_equal,
		NULL));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/audit/decisions", test_decisions);
	g_test_add_func("/audit/ends", test_ends);
	g_test_add_func("/audit/end-of-a-missing-receiver", test_end_of_a_missing_receiver);
	g_test_add_func("/audit/dispvm-ends", test_dispvm_ends);
	g_test_add_func("/audit/end-of-the-pool", test_end_of_the_pool);
	g_test_add_func("/audit/fields-of-a-decision", test_fields_of_a_decision);
	g_test_add_func("/audit/fields-of-an-end", test_fields_of_an_end);
	g_test_add_func("/audit/fields-of-a-disposable", test_fields_of_a_disposable);
	g_test_add_func("/audit/names-are-hidden", test_names_are_hidden);
	g_test_add_func(
		"/audit/every-value-is-a-line-of-ascii", test_every_value_is_a_line_of_ascii);
	return g_test_run();
}
