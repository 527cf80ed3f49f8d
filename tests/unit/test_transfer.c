/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state machine: every state with every event, then what the table cannot say, then that no
 * order of events whatever breaks the rules which all others rely on.
 */
#include <glib.h>
#include <string.h>

#include "record.h"
#include "transfer.h"

#define NOW 1000000

/* Each a different number, so that a deadline shows which of them was used. */
static const struct transfer_limits limits = {
	.make_ms = 1000,
	.attach_ms = 2000,
	.lent_ms = 3000,
	.detach_ms = 4000,
	.force_ms = 5000,
	.ask_ms = 6000,
	.start_ms = 10000,
	.queue_ms = 7000,
	.delivered_ms = 8000,
	.remove_ms = 9000,
	.hide_refusals = true,
};

static const struct request umount_request = {.verb = REQUEST_UMOUNT, .id = "u1", .seq = "0"};
static const struct request discard_request = {.verb = REQUEST_DISCARD, .id = "d1", .seq = "0"};
static const struct request send_request = {
	.verb = REQUEST_SEND, .id = "s1", .seq = "0", .dest = "personal"};
static const struct vm_id work = {7, "11111111-1111-1111-1111-111111111111", "work"};
static const struct vm_id disp1 = {9, "33333333-3333-3333-3333-333333333333", "disp1"};
static const struct vm_id personal = {8, "22222222-2222-2222-2222-222222222222", "personal"};

/* ---- a step as text: `state+deadline: actions`, or `-` when it was ignored ---- */

static const char *action_name(enum transfer_action_kind kind)
{
	switch (kind) {
	case TRANSFER_ACT_MAKE:
		return "make";
	case TRANSFER_ACT_ATTACH:
		return "attach";
	case TRANSFER_ACT_DETACH:
		return "detach";
	case TRANSFER_ACT_DETACH_FORCE:
		return "force";
	case TRANSFER_ACT_ABANDON:
		return "abandon";
	case TRANSFER_ACT_ASK:
		return "ask";
	case TRANSFER_ACT_WITHDRAW:
		return "withdraw";
	case TRANSFER_ACT_WAIT:
		return "wait";
	case TRANSFER_ACT_REPLY_SENDER:
		return "sender";
	case TRANSFER_ACT_REPLY_RECEIVER:
		return "receiver";
	case TRANSFER_ACT_REPLY_DISCARD:
		return "discard";
	case TRANSFER_ACT_OPENED:
		return "opened";
	case TRANSFER_ACT_REMOVE:
		return "remove";
	}
	g_assert_not_reached();
}

static void describe_action(GString *out, const struct transfer_action *action)
{
	g_string_append(out, action_name(action->kind));
	if (action->kind == TRANSFER_ACT_WAIT)
		g_string_append_printf(out, " %s%s%s", qpen_wait_name(action->wait),
			action->detail ? " " : "", action->detail ? action->detail : "");
	if (action->kind != TRANSFER_ACT_REPLY_SENDER &&
		action->kind != TRANSFER_ACT_REPLY_RECEIVER &&
		action->kind != TRANSFER_ACT_REPLY_DISCARD)
		return;
	g_string_append_printf(out, " %s", action->ok ? "ok" : qpen_error_name(action->error));
	if (action->ok && action->detail)
		g_string_append_printf(out, " %s", action->detail);
	if (!action->ok)
		g_assert_nonnull(action->detail);
}

static char *describe(const struct transfer *t, const struct transfer_step *step)
{
	GString *out = g_string_new(NULL);

	if (step->ignored) {
		g_assert_cmpuint(step->n_actions, ==, 0);
		g_string_append(out, "-");
		return g_string_free(out, FALSE);
	}
	g_string_append_printf(
		out, "%s+%d:", transfer_state_name(t->state), (int)(t->deadline_ms - NOW));
	for (unsigned i = 0; i < step->n_actions; i++) {
		g_string_append(out, i ? ", " : " ");
		describe_action(out, &step->actions[i]);
	}
	return g_string_free(out, FALSE);
}

/* ---- the ordinary transfer in each state; its deadline is at NOW + 123 ---- */

static struct transfer in_state(enum transfer_state state)
{
	struct transfer t = {
		.id = 1,
		.state = state,
		.image = "0123456789abcdef0123456789abcdef",
		.size_bytes = 64 << 20,
		.sender = work,
		.sender_alive = true,
		.seq = "0",
		.deadline_ms = NOW + 123,
	};
	bool after_send = state >= TRANSFER_FREEZING && state <= TRANSFER_REFUSING;

	if (after_send) {
		t.receiver = personal;
		t.receiver_known = true;
		t.ask = true;
	}
	if (state == TRANSFER_STARTING_VM) {
		t.kind = TRANSFER_REQUEST;
		t.receiver = (struct vm_id){0};
		t.receiver_known = false;
	}
	t.making = state == TRANSFER_MAKING;
	if (state == TRANSFER_MAKING || state == TRANSFER_ATTACHING_OUT)
		t.to_sender = (struct pending_reply){.pending = true, .id = "n1"};
	if (after_send && state != TRANSFER_DELIVERED && state != TRANSFER_TAKING_BACK)
		t.to_sender = (struct pending_reply){.pending = true, .id = "s1"};
	if (state == TRANSFER_TAKING_BACK)
		t.to_receiver = (struct pending_reply){.pending = true, .id = "u1"};
	if (state == TRANSFER_ATTACHING_OUT || state == TRANSFER_LENT ||
		state == TRANSFER_FREEZING || state == TRANSFER_DISCARDING)
		t.place = TRANSFER_AT_SENDER;
	if (state == TRANSFER_ATTACHING_IN || state == TRANSFER_DELIVERED ||
		state == TRANSFER_TAKING_BACK)
		t.place = TRANSFER_AT_RECEIVER;
	return t;
}

static struct transfer_event event_of(enum transfer_event_kind kind, const struct transfer *t)
{
	struct transfer_event event = {.kind = kind, .place = t->place};

	if (kind == TRANSFER_EV_MAKE_FAILED)
		event.error = QPEN_ERROR_NO_SPACE;
	if (kind == TRANSFER_EV_VM_FAILED)
		event.error = QPEN_ERROR_NO_MEMORY;
	if (kind == TRANSFER_EV_VM_READY)
		event.receiver = &disp1;
	if (kind == TRANSFER_EV_UMOUNT)
		event.request = &umount_request;
	if (kind == TRANSFER_EV_DISCARD)
		event.request = &discard_request;
	if (kind == TRANSFER_EV_SEND) {
		event.request = &send_request;
		event.receiver = &personal;
		event.receiver_known = true;
		event.ask = true;
	}
	return event;
}

/* As far as the next daemon would know. */
static void assert_same(const struct transfer *a, const struct transfer *b)
{
	char x[RECORD_MAX], y[RECORD_MAX];

	record_format(a, x);
	record_format(b, y);
	g_assert_cmpstr(x, ==, y);
}

/* ---- the matrix ---- */

#define IN(state) [TRANSFER_##state]
/* Too long for its place, and strings in two halves look like a comma that is missing. */
#define DISCARD_WHILE_ASKED "discarding+9000: withdraw, sender cancelled, discard ok, remove"
#define ON(event) [TRANSFER_EV_##event]
#define NOTHING "-"

static const char *const matrix[TRANSFER_N_STATES][TRANSFER_N_EVENTS] =
	{
		IN(MAKING) =
			{
				ON(DISCARD) = "discarding+1000: sender cancelled, discard ok",
				ON(VM_STARTING) = NOTHING,
				ON(VM_READY) = NOTHING,
				ON(VM_FAILED) = NOTHING,
				ON(MADE) = "attaching-out+2000: attach",
				ON(MAKE_FAILED) = "discarding+9000: sender no-space, remove",
				ON(ATTACHED) = NOTHING,
				ON(LOST) = NOTHING,
				ON(SEND) = NOTHING,
				ON(DETACHED) = NOTHING,
				ON(YES) = NOTHING,
				ON(NO) = NOTHING,
				ON(SLOT_FREE) = NOTHING,
				ON(UMOUNT) = NOTHING,
				ON(SENDER_GONE) = "discarding+1000:",
				ON(RECEIVER_GONE) = NOTHING,
				ON(DEADLINE) = "discarding+1000: sender failed",
				ON(CANCEL) = "discarding+1000: sender cancelled",
				ON(REMOVED) = NOTHING,
			},
		IN(ATTACHING_OUT) =
			{
				ON(DISCARD) = "discarding+4000: sender cancelled, detach",
				ON(VM_STARTING) = NOTHING,
				ON(VM_READY) = NOTHING,
				ON(VM_FAILED) = NOTHING,
				ON(MADE) = NOTHING,
				ON(MAKE_FAILED) = NOTHING,
				ON(ATTACHED) = "lent+3000: sender ok xvdg",
				ON(LOST) = "discarding+4000: sender failed, detach",
				ON(SEND) = NOTHING,
				ON(DETACHED) = NOTHING,
				ON(YES) = NOTHING,
				ON(NO) = NOTHING,
				ON(SLOT_FREE) = NOTHING,
				ON(UMOUNT) = NOTHING,
				ON(SENDER_GONE) = "discarding+5000: force",
				ON(RECEIVER_GONE) = NOTHING,
				ON(DEADLINE) = "discarding+4000: sender timeout, detach",
				ON(CANCEL) = "discarding+4000: sender cancelled, detach",
				ON(REMOVED) = NOTHING,
			},
		IN(LENT) =
			{
				ON(DISCARD) = "discarding+4000: detach",
				ON(VM_STARTING) = NOTHING,
				ON(VM_READY) = NOTHING,
				ON(VM_FAILED) = NOTHING,
				ON(MADE) = NOTHING,
				ON(MAKE_FAILED) = NOTHING,
				ON(ATTACHED) = NOTHING,
				ON(LOST) = "discarding+4000: detach",
				ON(SEND) = "freezing+4000: wait asking, detach",
				ON(DETACHED) = NOTHING,
				ON(YES) = NOTHING,
				ON(NO) = NOTHING,
				ON(SLOT_FREE) = NOTHING,
				ON(UMOUNT) = NOTHING,
				ON(SENDER_GONE) = "discarding+5000: force",
				ON(RECEIVER_GONE) = NOTHING,
				ON(DEADLINE) = "discarding+4000: detach",
				ON(CANCEL) = "discarding+4000: detach",
				ON(REMOVED) = NOTHING,
			},
		IN(FREEZING) =
			{
				ON(DISCARD) = "discarding+4000: sender cancelled, detach",
				ON(VM_STARTING) = "freezing+123: wait starting",
				ON(VM_READY) = "freezing+123:",
				ON(VM_FAILED) = "discarding+4000: sender no-memory, detach",
				ON(MADE) = NOTHING,
				ON(MAKE_FAILED) = NOTHING,
				ON(ATTACHED) = NOTHING,
				ON(LOST) = NOTHING,
				ON(SEND) = NOTHING,
				ON(DETACHED) = "asking+6000: ask",
				ON(YES) = NOTHING,
				ON(NO) = NOTHING,
				ON(SLOT_FREE) = NOTHING,
				ON(UMOUNT) = NOTHING,
				ON(SENDER_GONE) = "discarding+5000: force",
				ON(RECEIVER_GONE) = "freezing+123:",
				ON(DEADLINE) = "freezing+5000: force",
				ON(CANCEL) = "freezing+123:",
				ON(REMOVED) = NOTHING,
			},
		IN(ASKING) =
			{
				ON(DISCARD) = DISCARD_WHILE_ASKED,
				ON(VM_STARTING) = NOTHING,
				ON(VM_READY) = NOTHING,
				ON(VM_FAILED) = NOTHING,
				ON(MADE) = NOTHING,
				ON(MAKE_FAILED) = NOTHING,
				ON(ATTACHED) = NOTHING,
				ON(LOST) = NOTHING,
				ON(SEND) = NOTHING,
				ON(DETACHED) = NOTHING,
				ON(YES) = "attaching-in+2000: attach",
				ON(NO) = "refusing+123:",
				ON(SLOT_FREE) = NOTHING,
				ON(UMOUNT) = NOTHING,
				ON(SENDER_GONE) = "discarding+9000: withdraw, remove",
				ON(RECEIVER_GONE) = "refusing+123: withdraw",
				ON(DEADLINE) = "discarding+9000: withdraw, sender refused, remove",
				ON(CANCEL) = "refusing+123: withdraw",
				ON(REMOVED) = NOTHING,
			},
		IN(STARTING_VM) =
			{
				ON(DISCARD) =
					"discarding+9000: sender cancelled, discard ok, remove",
				ON(VM_STARTING) = "starting-vm+123: wait starting",
				ON(VM_READY) = "attaching-in+10000: attach",
				ON(VM_FAILED) = "discarding+9000: sender no-memory, remove",
				ON(MADE) = NOTHING,
				ON(MAKE_FAILED) = NOTHING,
				ON(ATTACHED) = NOTHING,
				ON(LOST) = NOTHING,
				ON(SEND) = NOTHING,
				ON(DETACHED) = NOTHING,
				ON(YES) = NOTHING,
				ON(NO) = NOTHING,
				ON(SLOT_FREE) = NOTHING,
				ON(UMOUNT) = NOTHING,
				ON(SENDER_GONE) = "discarding+9000: remove",
				ON(RECEIVER_GONE) = NOTHING,
				ON(DEADLINE) = "discarding+9000: sender timeout, remove",
				ON(CANCEL) = "discarding+9000: sender cancelled, remove",
				ON(REMOVED) = NOTHING,
			},
		IN(QUEUED) =
			{
				ON(DISCARD) =
					"discarding+9000: sender cancelled, discard ok, remove",
				ON(VM_STARTING) = NOTHING,
				ON(VM_READY) = NOTHING,
				ON(VM_FAILED) = NOTHING,
				ON(MADE) = NOTHING,
				ON(MAKE_FAILED) = NOTHING,
				ON(ATTACHED) = NOTHING,
				ON(LOST) = NOTHING,
				ON(SEND) = NOTHING,
				ON(DETACHED) = NOTHING,
				ON(YES) = NOTHING,
				ON(NO) = NOTHING,
				ON(SLOT_FREE) = "attaching-in+2000: attach",
				ON(UMOUNT) = NOTHING,
				ON(SENDER_GONE) = "queued+123:",
				ON(RECEIVER_GONE) = "discarding+9000: sender receiver-gone, remove",
				ON(DEADLINE) = "discarding+9000: sender timeout, remove",
				ON(CANCEL) = "discarding+9000: sender cancelled, remove",
				ON(REMOVED) = NOTHING,
			},
		IN(ATTACHING_IN) =
			{
				ON(DISCARD) = "discarding+4000: sender cancelled, detach",
				ON(VM_STARTING) = NOTHING,
				ON(VM_READY) = NOTHING,
				ON(VM_FAILED) = "discarding+4000: sender no-memory, detach",
				ON(MADE) = NOTHING,
				ON(MAKE_FAILED) = NOTHING,
				ON(ATTACHED) = "delivered+8000: sender ok delivered",
				ON(LOST) = "discarding+4000: sender failed, detach",
				ON(SEND) = NOTHING,
				ON(DETACHED) = NOTHING,
				ON(YES) = NOTHING,
				ON(NO) = NOTHING,
				ON(SLOT_FREE) = NOTHING,
				ON(UMOUNT) = "taking-back+4000: sender ok delivered, detach",
				ON(SENDER_GONE) = "attaching-in+123:",
				ON(RECEIVER_GONE) = "discarding+5000: sender receiver-gone, force",
				ON(DEADLINE) = "discarding+4000: sender timeout, detach",
				ON(CANCEL) = "discarding+4000: sender cancelled, detach",
				ON(REMOVED) = NOTHING,
			},
		IN(DELIVERED) =
			{
				ON(DISCARD) = NOTHING,
				ON(VM_STARTING) = NOTHING,
				ON(VM_READY) = NOTHING,
				ON(VM_FAILED) = NOTHING,
				ON(MADE) = NOTHING,
				ON(MAKE_FAILED) = NOTHING,
				ON(ATTACHED) = NOTHING,
				ON(LOST) = "taking-back+4000: detach",
				ON(SEND) = NOTHING,
				ON(DETACHED) = NOTHING,
				ON(YES) = NOTHING,
				ON(NO) = NOTHING,
				ON(SLOT_FREE) = NOTHING,
				ON(UMOUNT) = "taking-back+4000: detach",
				ON(SENDER_GONE) = "delivered+123:",
				ON(RECEIVER_GONE) = "discarding+5000: force",
				ON(DEADLINE) = "taking-back+4000: detach",
				ON(CANCEL) = "taking-back+4000: detach",
				ON(REMOVED) = NOTHING,
			},
		IN(TAKING_BACK) =
			{
				ON(DISCARD) = NOTHING,
				ON(VM_STARTING) = NOTHING,
				ON(VM_READY) = NOTHING,
				ON(VM_FAILED) = NOTHING,
				ON(MADE) = NOTHING,
				ON(MAKE_FAILED) = NOTHING,
				ON(ATTACHED) = NOTHING,
				ON(LOST) = NOTHING,
				ON(SEND) = NOTHING,
				ON(DETACHED) = "discarding+9000: receiver ok, remove",
				ON(YES) = NOTHING,
				ON(NO) = NOTHING,
				ON(SLOT_FREE) = NOTHING,
				ON(UMOUNT) = NOTHING,
				ON(SENDER_GONE) = "taking-back+123:",
				ON(RECEIVER_GONE) = "discarding+5000: force",
				ON(DEADLINE) = "taking-back+5000: force",
				ON(CANCEL) = NOTHING,
				ON(REMOVED) = NOTHING,
			},
		IN(REFUSING) =
			{
				ON(DISCARD) =
					"discarding+9000: sender cancelled, discard ok, remove",
				ON(VM_STARTING) = NOTHING,
				ON(VM_READY) = NOTHING,
				ON(VM_FAILED) = NOTHING,
				ON(MADE) = NOTHING,
				ON(MAKE_FAILED) = NOTHING,
				ON(ATTACHED) = NOTHING,
				ON(LOST) = NOTHING,
				ON(SEND) = NOTHING,
				ON(DETACHED) = NOTHING,
				ON(YES) = NOTHING,
				ON(NO) = NOTHING,
				ON(SLOT_FREE) = NOTHING,
				ON(UMOUNT) = NOTHING,
				ON(SENDER_GONE) = "discarding+9000: remove",
				ON(RECEIVER_GONE) = NOTHING,
				ON(DEADLINE) = "discarding+9000: sender refused, remove",
				ON(CANCEL) = NOTHING,
				ON(REMOVED) = NOTHING,
			},
		IN(DISCARDING) =
			{
				ON(DISCARD) = "discarding+123:",
				ON(VM_STARTING) = NOTHING,
				ON(VM_READY) = NOTHING,
				ON(VM_FAILED) = NOTHING,
				ON(MADE) = NOTHING,
				ON(MAKE_FAILED) = NOTHING,
				ON(ATTACHED) = NOTHING,
				ON(LOST) = NOTHING,
				ON(SEND) = NOTHING,
				ON(DETACHED) = "discarding+9000: remove",
				ON(YES) = NOTHING,
				ON(NO) = NOTHING,
				ON(SLOT_FREE) = NOTHING,
				ON(UMOUNT) = NOTHING,
				ON(SENDER_GONE) = "discarding+5000: force",
				ON(RECEIVER_GONE) = "discarding+123:",
				ON(DEADLINE) = "discarding+5000: force",
				ON(CANCEL) = NOTHING,
				ON(REMOVED) = NOTHING,
			},
		IN(GONE) =
			{
				ON(DISCARD) = NOTHING,
				ON(VM_STARTING) = NOTHING,
				ON(VM_READY) = NOTHING,
				ON(VM_FAILED) = NOTHING,
				ON(MADE) = NOTHING,
				ON(MAKE_FAILED) = NOTHING,
				ON(ATTACHED) = NOTHING,
				ON(LOST) = NOTHING,
				ON(SEND) = NOTHING,
				ON(DETACHED) = NOTHING,
				ON(YES) = NOTHING,
				ON(NO) = NOTHING,
				ON(SLOT_FREE) = NOTHING,
				ON(UMOUNT) = NOTHING,
				ON(SENDER_GONE) = NOTHING,
				ON(RECEIVER_GONE) = NOTHING,
				ON(DEADLINE) = NOTHING,
				ON(CANCEL) = NOTHING,
				ON(REMOVED) = NOTHING,
			},
};

static void test_matrix(void)
{
	for (int s = 0; s < TRANSFER_N_STATES; s++) {
		for (int e = 0; e < TRANSFER_N_EVENTS; e++) {
			struct transfer before = in_state((enum transfer_state)s), t = before;
			struct transfer_event event =
				event_of((enum transfer_event_kind)e, &before);
			struct transfer_step step;
			g_autofree char *got = NULL;

			transfer_step(&t, &event, &limits, NOW, &step);
			got = describe(&t, &step);
			g_test_message("%-13s %-13s %s", transfer_state_name(before.state),
				transfer_event_name(event.kind), got);
			/* A cell that nobody thought about is NULL, and equal to nothing. */
			g_assert_cmpstr(got, ==, matrix[s][e]);
			if (step.ignored)
				assert_same(&t, &before);
		}
	}
}

/* ---- what depends on more than the state ---- */

static void forced(struct transfer *t)
{
	t->forced = true;
}

static void unknown_receiver(struct transfer *t)
{
	t->receiver_known = false;
}

static void sender_dead(struct transfer *t)
{
	t->sender_alive = false;
	t->to_sender.pending = false;
}

static void no_umount(struct transfer *t)
{
	t->to_receiver.pending = false;
}

static void removed(struct transfer *t)
{
	t->removed = true;
}

static void making_still(struct transfer *t)
{
	t->place = TRANSFER_NOWHERE;
	t->making = true;
}

static void out_of_reach(struct transfer *t)
{
	t->place = TRANSFER_NOWHERE;
}

static void given_up(struct transfer *t)
{
	t->to_sender = (struct pending_reply){.pending = true, .id = "d1"};
}

static void given_up_forced(struct transfer *t)
{
	given_up(t);
	t->forced = true;
}

static void at_receiver(struct transfer *t)
{
	t->place = TRANSFER_AT_RECEIVER;
}

static void at_receiver_forced(struct transfer *t)
{
	t->place = TRANSFER_AT_RECEIVER;
	t->forced = true;
}

static const struct {
	const char *label;
	enum transfer_state state;
	void (*change)(struct transfer *t);
	enum transfer_event_kind event;
	enum transfer_slot slot;
	bool tell_refusals_at_once;
	const char *wanted;
} variants[] = {
	{"a VM that lets go too late is asked about nothing", TRANSFER_FREEZING, forced,
		TRANSFER_EV_DEADLINE, 0, false, "discarding+9000: abandon, sender timeout, remove"},
	{"forced, then let go: goes on", TRANSFER_FREEZING, forced, TRANSFER_EV_DETACHED, 0, false,
		"asking+6000: ask"},
	{"a missing VM is not asked about", TRANSFER_FREEZING, unknown_receiver,
		TRANSFER_EV_DETACHED, 0, false, "refusing+6000:"},
	{"a missing VM, refusals not hidden", TRANSFER_FREEZING, unknown_receiver,
		TRANSFER_EV_DETACHED, 0, true, "discarding+9000: sender refused, remove"},
	{"yes, but the slot is taken", TRANSFER_ASKING, NULL, TRANSFER_EV_YES, TRANSFER_SLOT_TAKEN,
		false, "queued+7000: wait queued"},
	{"yes, but the queue is full", TRANSFER_ASKING, NULL, TRANSFER_EV_YES,
		TRANSFER_SLOT_QUEUE_FULL, false, "discarding+9000: sender queue-full, remove"},
	{"no, refusals not hidden", TRANSFER_ASKING, NULL, TRANSFER_EV_NO, 0, true,
		"discarding+9000: sender refused, remove"},
	{"the receiver dies, refusals not hidden", TRANSFER_ASKING, NULL, TRANSFER_EV_RECEIVER_GONE,
		0, true, "discarding+9000: withdraw, sender refused, remove"},
	{"cancelled, refusals not hidden", TRANSFER_ASKING, NULL, TRANSFER_EV_CANCEL, 0, true,
		"discarding+9000: withdraw, sender refused, remove"},
	{"delivered to the receiver of a dead sender", TRANSFER_ATTACHING_IN, sender_dead,
		TRANSFER_EV_ATTACHED, 0, false, "delivered+8000:"},
	{"queued, the sender is dead, cancelled", TRANSFER_QUEUED, sender_dead, TRANSFER_EV_CANCEL,
		0, false, "discarding+9000: remove"},
	{"taken back without having been asked for", TRANSFER_TAKING_BACK, no_umount,
		TRANSFER_EV_DETACHED, 0, false, "discarding+9000: remove"},
	{"the receiver never lets go: abandoned, and answered", TRANSFER_TAKING_BACK, forced,
		TRANSFER_EV_DEADLINE, 0, false, "discarding+9000: abandon, receiver ok, remove"},
	{"refused, and removed by a daemon of before: told when it is time", TRANSFER_REFUSING,
		removed, TRANSFER_EV_DEADLINE, 0, false, "gone+0: sender refused"},
	{"refused and removed, the sender dies", TRANSFER_REFUSING, removed,
		TRANSFER_EV_SENDER_GONE, 0, false, "gone+0:"},
	{"made after it was given up", TRANSFER_DISCARDING, making_still, TRANSFER_EV_MADE, 0,
		false, "discarding+9000: remove"},
	{"failed after it was given up", TRANSFER_DISCARDING, making_still, TRANSFER_EV_MAKE_FAILED,
		0, false, "discarding+9000: remove"},
	{"never made, never failed: removed all the same", TRANSFER_DISCARDING, making_still,
		TRANSFER_EV_DEADLINE, 0, false, "discarding+9000: remove"},
	{"still being made: it cannot have been removed", TRANSFER_DISCARDING, making_still,
		TRANSFER_EV_REMOVED, 0, false, "-"},
	{"still being made, the sender dies", TRANSFER_DISCARDING, making_still,
		TRANSFER_EV_SENDER_GONE, 0, false, "discarding+123:"},
	{"removed: the end", TRANSFER_DISCARDING, out_of_reach, TRANSFER_EV_REMOVED, 0, false,
		"gone+0:"},
	{"the store forgot: asked again", TRANSFER_DISCARDING, out_of_reach, TRANSFER_EV_DEADLINE,
		0, false, "discarding+9000: remove"},
	{"detached twice", TRANSFER_DISCARDING, out_of_reach, TRANSFER_EV_DETACHED, 0, false, "-"},
	{"force did not help: abandoned", TRANSFER_DISCARDING, forced, TRANSFER_EV_DEADLINE, 0,
		false, "discarding+9000: abandon, remove"},
	{"the VM dies after the force: still waited for", TRANSFER_DISCARDING, forced,
		TRANSFER_EV_SENDER_GONE, 0, false, "discarding+123:"},
	{"the receiver dies while asked to let go", TRANSFER_DISCARDING, at_receiver,
		TRANSFER_EV_RECEIVER_GONE, 0, false, "discarding+5000: force"},
	{"the sender's death is nothing to the receiver's disk", TRANSFER_DISCARDING, at_receiver,
		TRANSFER_EV_SENDER_GONE, 0, false, "discarding+123:"},
	{"given up, and let go of", TRANSFER_DISCARDING, given_up, TRANSFER_EV_DETACHED, 0, false,
		"discarding+9000: discard ok, remove"},
	{"given up, and never let go of", TRANSFER_DISCARDING, given_up_forced,
		TRANSFER_EV_DEADLINE, 0, false, "discarding+9000: abandon, discard ok, remove"},
	{"given up twice", TRANSFER_DISCARDING, given_up, TRANSFER_EV_DISCARD, 0, false, "-"},
	{"given up, and the sender dies", TRANSFER_DISCARDING, given_up, TRANSFER_EV_SENDER_GONE, 0,
		false, "discarding+5000: force"},
	{"given up when it is out of reach", TRANSFER_DISCARDING, out_of_reach, TRANSFER_EV_DISCARD,
		0, false, "-"},
	{"the receiver's, given up by the sender", TRANSFER_DISCARDING, at_receiver,
		TRANSFER_EV_DISCARD, 0, false, "-"},
	{"refused and removed, given up: as if it were asked about", TRANSFER_REFUSING, removed,
		TRANSFER_EV_DISCARD, 0, false, "gone+0: sender cancelled, discard ok"},
	{"the receiver dies after the force", TRANSFER_DISCARDING, at_receiver_forced,
		TRANSFER_EV_RECEIVER_GONE, 0, false, "discarding+123:"},
};

static void test_variants(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(variants); i++) {
		struct transfer t = in_state(variants[i].state);
		struct transfer_limits l = limits;
		struct transfer_event event;
		struct transfer_step step;
		g_autofree char *got = NULL;

		g_test_message("%s", variants[i].label);
		l.hide_refusals = !variants[i].tell_refusals_at_once;
		if (variants[i].change)
			variants[i].change(&t);
		event = event_of(variants[i].event, &t);
		event.slot = variants[i].slot;
		transfer_step(&t, &event, &l, NOW, &step);
		got = describe(&t, &step);
		g_assert_cmpstr(got, ==, variants[i].wanted);
	}
}

/* ---- transactions ---- */

static void request(struct transfer *t)
{
	t->kind = TRANSFER_REQUEST;
	t->ask = false;
	t->receiver = (struct vm_id){0};
	t->receiver_known = false;
}

static void request_with_vm(struct transfer *t)
{
	t->kind = TRANSFER_REQUEST;
	t->ask = false;
	t->receiver = disp1;
}

static void request_of_dead(struct transfer *t)
{
	request_with_vm(t);
	sender_dead(t);
}

static void request_forced(struct transfer *t)
{
	request(t);
	t->forced = true;
}

static void answer(struct transfer *t)
{
	t->kind = TRANSFER_ANSWER;
	t->ask = false;
}

/* The policy says that the user is to be asked about it. */
static void asked_request(struct transfer *t)
{
	request(t);
	t->ask = true;
}

static void asked_request_with_vm(struct transfer *t)
{
	request_with_vm(t);
	t->ask = true;
}

/* An ordinary pendrive that the policy allows. */
static void allowed(struct transfer *t)
{
	t->ask = false;
}

/* ... and what it denies is as if there were no such VM. */
static void denied(struct transfer *t)
{
	t->ask = false;
	t->receiver_known = false;
}

static const struct {
	const char *label;
	enum transfer_state state;
	void (*change)(struct transfer *t);
	enum transfer_event_kind event;
	enum transfer_slot slot;
	const char *wanted;
} transactions[] = {
	{"frozen before there is a VM", TRANSFER_FREEZING, request, TRANSFER_EV_DETACHED, 0,
		"starting-vm+10000:"},
	{"allowed by the policy", TRANSFER_FREEZING, allowed, TRANSFER_EV_DETACHED,
		TRANSFER_SLOT_FREE, "attaching-in+2000: attach"},
	{"allowed, and the slot is taken", TRANSFER_FREEZING, allowed, TRANSFER_EV_DETACHED,
		TRANSFER_SLOT_TAKEN, "queued+7000: wait queued"},
	{"denied by the policy", TRANSFER_FREEZING, denied, TRANSFER_EV_DETACHED, 0,
		"refusing+6000:"},
	{"a request that is asked about", TRANSFER_FREEZING, asked_request, TRANSFER_EV_DETACHED, 0,
		"asking+6000: ask"},
	{"allowed before there is a VM", TRANSFER_ASKING, asked_request, TRANSFER_EV_YES, 0,
		"starting-vm+10000:"},
	{"allowed after there is a VM", TRANSFER_ASKING, asked_request_with_vm, TRANSFER_EV_YES, 0,
		"attaching-in+10000: attach"},
	{"a request that is refused", TRANSFER_ASKING, asked_request_with_vm, TRANSFER_EV_NO, 0,
		"refusing+123:"},
	{"the VM is there before the answer", TRANSFER_ASKING, asked_request, TRANSFER_EV_VM_READY,
		0, "asking+123:"},
	{"a request nobody answers", TRANSFER_ASKING, asked_request_with_vm, TRANSFER_EV_DEADLINE,
		0, "discarding+9000: withdraw, sender refused, remove"},
	{"a request is taken back while it is asked about", TRANSFER_ASKING, asked_request,
		TRANSFER_EV_CANCEL, 0, "refusing+123: withdraw"},
	{"the opener ends while its request is asked about", TRANSFER_ASKING, asked_request,
		TRANSFER_EV_SENDER_GONE, 0, "discarding+9000: withdraw, remove"},
	{"the VM ends while it is asked about", TRANSFER_ASKING, asked_request_with_vm,
		TRANSFER_EV_RECEIVER_GONE, 0, "refusing+123: withdraw"},
	{"the VM of a request that is asked about begins", TRANSFER_ASKING, asked_request,
		TRANSFER_EV_VM_STARTING, 0, "-"},
	{"the VM is there before a request is asked about", TRANSFER_FREEZING, asked_request,
		TRANSFER_EV_VM_READY, 0, "freezing+123:"},
	{"allowed, and the queue is full", TRANSFER_FREEZING, allowed, TRANSFER_EV_DETACHED,
		TRANSFER_SLOT_QUEUE_FULL, "discarding+9000: sender queue-full, remove"},
	{"allowed, and the receiver ends first", TRANSFER_FREEZING, allowed,
		TRANSFER_EV_RECEIVER_GONE, 0, "freezing+123:"},
	{"there will be no VM to ask about", TRANSFER_ASKING, asked_request, TRANSFER_EV_VM_FAILED,
		0, "discarding+9000: withdraw, sender no-memory, remove"},
	{"frozen after there is a VM", TRANSFER_FREEZING, request_with_vm, TRANSFER_EV_DETACHED, 0,
		"attaching-in+10000: attach"},
	{"a request cannot be frozen", TRANSFER_FREEZING, request_forced, TRANSFER_EV_DEADLINE, 0,
		"discarding+9000: abandon, sender timeout, remove"},
	{"a request is taken back in freezing", TRANSFER_FREEZING, request, TRANSFER_EV_CANCEL, 0,
		"discarding+4000: sender cancelled, detach"},
	{"the VM ends in freezing", TRANSFER_FREEZING, request_with_vm, TRANSFER_EV_RECEIVER_GONE,
		0, "discarding+4000: sender receiver-gone, detach"},
	{"the opener ends in freezing", TRANSFER_FREEZING, request, TRANSFER_EV_SENDER_GONE, 0,
		"discarding+5000: force"},
	{"open", TRANSFER_ATTACHING_IN, request_with_vm, TRANSFER_EV_ATTACHED, 0,
		"delivered+8000: wait open disp1, opened"},
	{"open for a dead opener", TRANSFER_ATTACHING_IN, request_of_dead, TRANSFER_EV_ATTACHED, 0,
		"delivered+8000: opened"},
	{"read before it was heard of", TRANSFER_ATTACHING_IN, request_with_vm, TRANSFER_EV_UMOUNT,
		0, "taking-back+4000: wait open disp1, opened, detach"},
	{"the VM does not connect", TRANSFER_ATTACHING_IN, request_with_vm, TRANSFER_EV_DEADLINE, 0,
		"discarding+4000: sender timeout, detach"},
	{"an answer goes on without a question", TRANSFER_FREEZING, answer, TRANSFER_EV_DETACHED,
		TRANSFER_SLOT_FREE, "attaching-in+2000: attach"},
	{"an answer waits as long as a pendrive may be kept", TRANSFER_FREEZING, answer,
		TRANSFER_EV_DETACHED, TRANSFER_SLOT_TAKEN, "queued+8000: wait queued"},
	{"an answer meets a full queue, if the exchange lets it", TRANSFER_FREEZING, answer,
		TRANSFER_EV_DETACHED, TRANSFER_SLOT_QUEUE_FULL,
		"discarding+9000: sender queue-full, remove"},
	{"an answer is taken back in freezing", TRANSFER_FREEZING, answer, TRANSFER_EV_CANCEL, 0,
		"discarding+4000: sender cancelled, detach"},
	{"the opener ends while its answer is frozen", TRANSFER_FREEZING, answer,
		TRANSFER_EV_RECEIVER_GONE, 0, "discarding+4000: sender receiver-gone, detach"},
	{"a request is given up while it is asked about", TRANSFER_ASKING, asked_request_with_vm,
		TRANSFER_EV_DISCARD, 0,
		"discarding+9000: withdraw, sender cancelled, discard ok, remove"},
	{"a request is given up while its VM starts", TRANSFER_ATTACHING_IN, request_with_vm,
		TRANSFER_EV_DISCARD, 0, "discarding+4000: sender cancelled, detach"},
	{"an answer is given up", TRANSFER_QUEUED, answer, TRANSFER_EV_DISCARD, 0,
		"discarding+9000: sender cancelled, discard ok, remove"},
	{"an answer arrives", TRANSFER_ATTACHING_IN, answer, TRANSFER_EV_ATTACHED, 0,
		"delivered+8000: sender ok delivered"},
	{"an answer of a VM that ended goes on", TRANSFER_QUEUED, answer, TRANSFER_EV_SENDER_GONE,
		0, "queued+123:"},
};

static void test_transactions(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(transactions); i++) {
		struct transfer t = in_state(transactions[i].state);
		struct transfer_event event;
		struct transfer_step step;
		g_autofree char *got = NULL;

		g_test_message("%s", transactions[i].label);
		transactions[i].change(&t);
		event = event_of(transactions[i].event, &t);
		event.slot = transactions[i].slot;
		transfer_step(&t, &event, &limits, NOW, &step);
		got = describe(&t, &step);
		g_assert_cmpstr(got, ==, transactions[i].wanted);
	}
}

/* A restart puts the question once more, and only where there is one. */
/* The two answers of one step go to the two who asked. */
static void test_given_up(void)
{
	struct transfer t = in_state(TRANSFER_QUEUED);
	struct transfer_event event = event_of(TRANSFER_EV_DISCARD, &t);
	struct transfer_step step;

	transfer_step(&t, &event, &limits, NOW, &step);
	g_assert_cmpuint(step.n_actions, ==, 3);
	g_assert_cmpint(step.actions[0].kind, ==, TRANSFER_ACT_REPLY_SENDER);
	g_assert_cmpstr(step.actions[0].id, ==, "s1");
	g_assert_cmpint(step.actions[1].kind, ==, TRANSFER_ACT_REPLY_DISCARD);
	g_assert_cmpstr(step.actions[1].id, ==, "d1");
	g_assert_true(t.quiet);
}

/* Every state in which the sender can still give it up, by any ID, its own, and another one. */
static void test_can_be_given_up(void)
{
	static const bool wanted[TRANSFER_N_STATES] = {
		IN(MAKING) = true, IN(ATTACHING_OUT) = true, IN(LENT) = true, IN(FREEZING) = true,
		IN(ASKING) = true, IN(STARTING_VM) = true, IN(QUEUED) = true,
		IN(ATTACHING_IN) = true, IN(REFUSING) = true,
		IN(DISCARDING) = true, /* in_state() has it at the sender */
	};

	for (int s = 0; s < TRANSFER_N_STATES; s++) {
		struct transfer t = in_state((enum transfer_state)s);

		strcpy(t.to_sender.id, "x1");
		g_assert_cmpint(transfer_can_be_given_up(&t, ""), ==, wanted[s]);
		g_assert_cmpint(transfer_can_be_given_up(&t, "x1"), ==, wanted[s]);
		g_assert_false(transfer_can_be_given_up(&t, "x2"));
	}
	for (int place = TRANSFER_NOWHERE; place <= TRANSFER_AT_RECEIVER; place++) {
		struct transfer t = in_state(TRANSFER_DISCARDING);

		t.place = (enum transfer_place)place;
		g_assert_cmpint(transfer_can_be_given_up(&t, ""), ==, place == TRANSFER_AT_SENDER);
	}
}

static void test_resumed_question(void)
{
	struct transfer t = in_state(TRANSFER_ASKING);
	struct transfer_step step;
	g_autofree char *asked = NULL, *starting = NULL;

	asked_request(&t);
	transfer_resume(&t, &limits, NOW, &step);
	asked = describe(&t, &step);
	g_assert_cmpstr(asked, ==, "asking+123: ask");
	t = in_state(TRANSFER_STARTING_VM);
	asked_request(&t);
	transfer_resume(&t, &limits, NOW, &step);
	starting = describe(&t, &step);
	g_assert_cmpstr(starting, ==, "starting-vm+123:");
}

/* What `send` says first: the same, whatever the policy decided. */
static const struct {
	enum transfer_kind as;
	bool preparing, ask;
	const char *wanted;
} sends[] = {
	{TRANSFER_FILES, false, true, "freezing+4000: wait asking, detach"},
	{TRANSFER_FILES, false, false, "freezing+4000: wait asking, detach"},
	{TRANSFER_REQUEST, false, false, "freezing+4000: wait starting, detach"},
	{TRANSFER_REQUEST, false, true, "freezing+4000: wait starting, detach"},
	{TRANSFER_REQUEST, true, true, "freezing+4000: wait preparing, detach"},
	{TRANSFER_ANSWER, false, false, "freezing+4000: wait starting, detach"},
};

static void test_sends(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(sends); i++) {
		struct transfer t = in_state(TRANSFER_LENT);
		struct transfer_event event = event_of(TRANSFER_EV_SEND, &t);
		struct transfer_step step;
		g_autofree char *got = NULL;

		event.as = sends[i].as;
		event.ask = sends[i].ask;
		event.preparing = sends[i].preparing;
		transfer_step(&t, &event, &limits, NOW, &step);
		got = describe(&t, &step);
		g_assert_cmpstr(got, ==, sends[i].wanted);
		g_assert_cmpint(t.kind, ==, sends[i].as);
		g_assert_cmpint(t.ask, ==, sends[i].ask);
	}
}

/* What the sender's disk did must not be taken for the receiver's, and the other way round. */
static void test_foreign_place(void)
{
	static const enum transfer_event_kind kinds[] = {
		TRANSFER_EV_ATTACHED, TRANSFER_EV_LOST, TRANSFER_EV_DETACHED};

	for (int s = 0; s < TRANSFER_N_STATES; s++) {
		for (size_t k = 0; k < G_N_ELEMENTS(kinds); k++) {
			struct transfer before = in_state((enum transfer_state)s), t = before;
			struct transfer_event event = event_of(kinds[k], &t);
			struct transfer_step step;

			for (int p = 0; p <= TRANSFER_AT_RECEIVER; p++) {
				event.place = (enum transfer_place)p;
				if (event.place == t.place)
					continue;
				transfer_step(&t, &event, &limits, NOW, &step);
				g_assert_true(step.ignored);
				assert_same(&t, &before);
			}
		}
	}
}

static void test_start(void)
{
	struct transfer t = {.id = 1, .sender = work, .to_sender = {true, "n1"}};
	struct transfer_step step;
	g_autofree char *got = NULL;

	transfer_start(&t, &limits, NOW, &step);
	got = describe(&t, &step);
	g_assert_cmpstr(got, ==, "making+1000: make");
	g_assert_true(t.making);
	g_assert_true(t.sender_alive);
	g_assert_true(t.to_sender.pending);
	g_assert_cmpint(t.place, ==, TRANSFER_NOWHERE);
	g_assert_cmpint(t.started_ms, ==, NOW);
	g_assert_cmpstr(t.seq, ==, "0");
}

/* What `send` brings with it. */
static void test_send_fields(void)
{
	static const struct request with_seq = {
		.verb = REQUEST_SEND, .id = "xyz", .seq = "42", .view = true};
	struct transfer t = in_state(TRANSFER_LENT);
	struct transfer_event event = event_of(TRANSFER_EV_SEND, &t);
	struct transfer_step step;

	event.request = &with_seq;
	event.receiver_known = false;
	transfer_step(&t, &event, &limits, NOW, &step);
	g_assert_true(t.to_sender.pending);
	g_assert_cmpstr(t.to_sender.id, ==, "xyz");
	/* An ordinary pendrive is of no transaction, whatever its sender says. */
	g_assert_cmpstr(t.seq, ==, "0");
	g_assert_cmpstr(t.receiver.name, ==, "personal");
	g_assert_false(t.receiver_known);

	t = in_state(TRANSFER_LENT);
	event.as = TRANSFER_REQUEST;
	transfer_step(&t, &event, &limits, NOW, &step);
	g_assert_cmpstr(t.seq, ==, "42");
	g_assert_true(t.view);
}

/* ---- after a restart ---- */

static const struct {
	const char *label;
	enum transfer_state state;
	void (*change)(struct transfer *t);
	const char *wanted;
} resumes[] = {
	{"made again", TRANSFER_MAKING, NULL, "making+1000: make"},
	{"the port says whether it connected", TRANSFER_ATTACHING_OUT, NULL, "attaching-out+123:"},
	{"nothing to do", TRANSFER_LENT, NULL, "lent+123:"},
	{"asked to let go again", TRANSFER_FREEZING, NULL, "freezing+4000: detach"},
	{"forced again", TRANSFER_FREEZING, forced, "freezing+5000: force"},
	{"asked again, until the same time", TRANSFER_ASKING, NULL, "asking+123: ask"},
	{"its VM is told of again", TRANSFER_STARTING_VM, NULL, "starting-vm+123:"},
	{"waits on", TRANSFER_QUEUED, NULL, "queued+123:"},
	{"the port says, again", TRANSFER_ATTACHING_IN, NULL, "attaching-in+123:"},
	{"nothing to do, again", TRANSFER_DELIVERED, NULL, "delivered+123:"},
	{"asked to give back again", TRANSFER_TAKING_BACK, NULL, "taking-back+4000: detach"},
	{"forced to give back again", TRANSFER_TAKING_BACK, forced, "taking-back+5000: force"},
	{"told at the same time", TRANSFER_REFUSING, NULL, "refusing+123:"},
	{"discarded on", TRANSFER_DISCARDING, NULL, "discarding+4000: detach"},
	{"discarded by force", TRANSFER_DISCARDING, forced, "discarding+5000: force"},
	{"discarded out of reach", TRANSFER_DISCARDING, out_of_reach, "discarding+9000: remove"},
	{"nobody makes it any more", TRANSFER_DISCARDING, making_still, "discarding+9000: remove"},
};

static void test_resume(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(resumes); i++) {
		struct transfer t = in_state(resumes[i].state);
		struct pending_reply sender = t.to_sender, receiver = t.to_receiver;
		struct transfer_step step;
		g_autofree char *got = NULL;

		g_test_message("%s", resumes[i].label);
		if (resumes[i].change)
			resumes[i].change(&t);
		transfer_resume(&t, &limits, NOW, &step);
		got = describe(&t, &step);
		g_assert_cmpstr(got, ==, resumes[i].wanted);
		g_assert_cmpint(t.to_sender.pending, ==, sender.pending);
		g_assert_cmpint(t.to_receiver.pending, ==, receiver.pending);
	}
}

/* ---- any order of events ---- */

struct walk {
	struct transfer t;
	int64_t now_ms;
	unsigned asked, answered; /* of the sender, then of the receiver, together */
	bool question;
	bool removing;
};

/* Out of its sender's reach, and nobody has to be asked. */
static bool goes_straight_on(const struct transfer *before, const struct transfer_event *event)
{
	return before->kind != TRANSFER_FILES && before->state == TRANSFER_FREEZING &&
	       event->kind == TRANSFER_EV_DETACHED;
}

static void check_action(struct walk *w, const struct transfer *before,
	const struct transfer_event *event, const struct transfer_action *action)
{
	switch (action->kind) {
	case TRANSFER_ACT_MAKE:
	case TRANSFER_ACT_WAIT:
		return;
	case TRANSFER_ACT_ATTACH:
		g_assert_true(before->place == TRANSFER_NOWHERE || goes_straight_on(before, event));
		g_assert_cmpint(w->t.place, !=, TRANSFER_NOWHERE);
		g_assert_false(w->removing);
		return;
	case TRANSFER_ACT_DETACH:
		g_assert_cmpint(w->t.place, !=, TRANSFER_NOWHERE);
		return;
	case TRANSFER_ACT_DETACH_FORCE:
		g_assert_cmpint(w->t.place, !=, TRANSFER_NOWHERE);
		return;
	case TRANSFER_ACT_ABANDON:
		g_assert_cmpint(before->place, !=, TRANSFER_NOWHERE);
		g_assert_cmpint(w->t.place, ==, TRANSFER_NOWHERE);
		g_assert_true(before->forced);
		return;
	case TRANSFER_ACT_ASK:
		g_assert_cmpint(w->t.place, ==, TRANSFER_NOWHERE);
		g_assert_false(w->question);
		w->question = true;
		return;
	case TRANSFER_ACT_WITHDRAW:
		g_assert_true(w->question);
		w->question = false;
		return;
	case TRANSFER_ACT_REPLY_SENDER:
		g_assert_true(before->to_sender.pending || w->t.state == TRANSFER_TAKING_BACK);
		w->answered++;
		return;
	case TRANSFER_ACT_REPLY_RECEIVER:
		g_assert_true(before->to_receiver.pending);
		w->answered++;
		return;
	case TRANSFER_ACT_REPLY_DISCARD:
		/* When nobody can reach it any more, and with the ID of the `discard`. */
		g_assert_cmpint(w->t.place, ==, TRANSFER_NOWHERE);
		g_assert_cmpstr(action->id, ==, discard_request.id);
		w->answered++;
		return;
	case TRANSFER_ACT_OPENED:
		g_assert_cmpint(w->t.place, ==, TRANSFER_AT_RECEIVER);
		g_assert_cmpint(w->t.kind, ==, TRANSFER_REQUEST);
		/* The answer is the transaction's from now on. */
		if (before->to_sender.pending)
			w->answered++;
		return;
	case TRANSFER_ACT_REMOVE:
		g_assert_cmpint(w->t.place, ==, TRANSFER_NOWHERE);
		g_assert_false(w->t.making);
		w->removing = true;
		return;
	}
}

static void check_step(struct walk *w, const struct transfer *before,
	const struct transfer_event *event, const struct transfer_step *step)
{
	const struct transfer *t = &w->t;

	if (step->ignored) {
		assert_same(t, before);
		g_assert_true(event->kind != TRANSFER_EV_DEADLINE || t->state == TRANSFER_GONE);
		return;
	}
	g_assert_cmpuint(step->n_actions, <=, TRANSFER_ACTIONS_MAX);
	/* A yes or no has closed the question. */
	if (event->kind == TRANSFER_EV_YES || event->kind == TRANSFER_EV_NO)
		w->question = false;
	for (unsigned i = 0; i < step->n_actions; i++)
		check_action(w, before, event, &step->actions[i]);
	if (before->place != TRANSFER_NOWHERE && t->place != TRANSFER_NOWHERE &&
		!goes_straight_on(before, event))
		g_assert_cmpint(before->place, ==, t->place);
	if (t->place == TRANSFER_AT_RECEIVER)
		g_assert_true(t->receiver_known);
	g_assert_true(w->question == (t->state == TRANSFER_ASKING));
	if (t->state != before->state && t->state != TRANSFER_GONE)
		g_assert_cmpint(t->deadline_ms, >, w->now_ms);
	if (t->state == TRANSFER_GONE) {
		g_assert_true(t->removed);
		g_assert_false(t->making);
		g_assert_cmpint(t->place, ==, TRANSFER_NOWHERE);
		g_assert_false(t->to_sender.pending);
		g_assert_false(t->to_receiver.pending);
	}
	g_assert_false(!t->sender_alive && t->to_sender.pending);
}

static void take_step(struct walk *w, const struct transfer_event *event)
{
	struct transfer before = w->t;
	struct transfer_step step;
	unsigned answered = w->answered, owed;

	if (event->kind == TRANSFER_EV_DEADLINE)
		w->now_ms = MAX(w->now_ms, w->t.deadline_ms);
	transfer_step(&w->t, event, &limits, w->now_ms, &step);
	if (!step.ignored && event->request)
		w->asked++;
	check_step(w, &before, event, &step);
	/* A request is owed an answer, has had it, or the one who asked is dead. */
	if (event->kind == TRANSFER_EV_SENDER_GONE && before.to_sender.pending && !step.ignored &&
		w->answered == answered)
		w->answered++;
	if (event->kind == TRANSFER_EV_RECEIVER_GONE && before.to_receiver.pending && !step.ignored)
		w->answered++;
	owed = (unsigned)w->t.to_sender.pending + (unsigned)w->t.to_receiver.pending;
	g_assert_cmpuint(w->asked, ==, w->answered + owed);
}

/* What leads on from each state, so that walks come to the later ones often enough. */
static const enum transfer_event_kind forward[TRANSFER_N_STATES] = {
	IN(MAKING) = TRANSFER_EV_MADE,
	IN(ATTACHING_OUT) = TRANSFER_EV_ATTACHED,
	IN(LENT) = TRANSFER_EV_SEND,
	IN(FREEZING) = TRANSFER_EV_DETACHED,
	IN(ASKING) = TRANSFER_EV_YES,
	IN(STARTING_VM) = TRANSFER_EV_VM_READY,
	IN(QUEUED) = TRANSFER_EV_SLOT_FREE,
	IN(ATTACHING_IN) = TRANSFER_EV_ATTACHED,
	IN(DELIVERED) = TRANSFER_EV_UMOUNT,
	IN(TAKING_BACK) = TRANSFER_EV_DETACHED,
	IN(REFUSING) = TRANSFER_EV_DEADLINE,
	IN(DISCARDING) = TRANSFER_EV_DETACHED,
	IN(GONE) = TRANSFER_EV_DEADLINE,
};

static void random_event(GRand *rand, const struct transfer *t, struct transfer_event *out)
{
	if (g_rand_boolean(rand)) {
		*out = event_of(forward[t->state], t);
	} else {
		*out = event_of(
			(enum transfer_event_kind)g_rand_int_range(rand, 0, TRANSFER_N_EVENTS), t);
		out->place = (enum transfer_place)g_rand_int_range(rand, 0, 3);
	}
	out->slot = (enum transfer_slot)g_rand_int_range(rand, 0, 3);
	out->receiver_known = g_rand_int_range(rand, 0, 4) > 0;
	out->as = (enum transfer_kind)g_rand_int_range(rand, 0, 3);
	/* A request has no VM yet, and an answer always has its opener. */
	if (out->as != TRANSFER_FILES)
		out->receiver_known = out->as == TRANSFER_ANSWER;
}

/* With nothing but deadlines and a store that removes, every transfer comes to its end. */
static void run_out(struct walk *w)
{
	for (int i = 0; w->t.state != TRANSFER_GONE; i++) {
		struct transfer_event event = event_of(TRANSFER_EV_DEADLINE, &w->t);

		g_assert_cmpint(i, <, 20);
		take_step(w, &event);
		if (w->removing && w->t.state == TRANSFER_DISCARDING) {
			event = event_of(TRANSFER_EV_REMOVED, &w->t);
			take_step(w, &event);
		}
	}
	g_assert_cmpuint(w->asked, ==, w->answered);
}

static void test_walks(void)
{
	unsigned visits[TRANSFER_N_STATES] = {0};
	g_autoptr(GRand) rand = g_rand_new_with_seed(2010);

	for (int i = 0; i < 50000; i++) {
		struct walk w = {
			.t = {.id = 1, .sender = work, .to_sender = {true, "n1"}},
			.now_ms = NOW,
			.asked = 1,
		};
		struct transfer_step step;
		int n = g_rand_int_range(rand, 1, 60);

		transfer_start(&w.t, &limits, w.now_ms, &step);
		while (n-- > 0 && w.t.state != TRANSFER_GONE) {
			struct transfer_event event;

			visits[w.t.state]++;
			w.now_ms += g_rand_int_range(rand, 0, 100);
			random_event(rand, &w.t, &event);
			/* What has not been asked for cannot have been done. */
			if (event.kind == TRANSFER_EV_REMOVED && !w.removing)
				continue;
			/* Nor does a dead VM ask. */
			if (event.kind == TRANSFER_EV_DISCARD && !w.t.sender_alive)
				continue;
			take_step(&w, &event);
		}
		visits[w.t.state]++;
		run_out(&w);
	}
	for (int s = 0; s < TRANSFER_N_STATES; s++) {
		g_test_message(
			"%s: %u times", transfer_state_name((enum transfer_state)s), visits[s]);
		g_assert_cmpuint(visits[s], >, 100);
	}
}

static void test_names(void)
{
	for (int s = 0; s < TRANSFER_N_STATES; s++)
		for (int other = 0; other < s; other++)
			g_assert_cmpstr(transfer_state_name((enum transfer_state)s), !=,
				transfer_state_name((enum transfer_state)other));
	for (int e = 0; e < TRANSFER_N_EVENTS; e++)
		for (int other = 0; other < e; other++)
			g_assert_cmpstr(transfer_event_name((enum transfer_event_kind)e), !=,
				transfer_event_name((enum transfer_event_kind)other));
	g_assert_cmpstr(transfer_state_name(TRANSFER_GONE), ==, "gone");
	g_assert_cmpint(TRANSFER_GONE + 1, ==, TRANSFER_N_STATES);
	g_assert_cmpint(TRANSFER_EV_REMOVED + 1, ==, TRANSFER_N_EVENTS);
}

static void test_slots(void)
{
	static const bool out[TRANSFER_N_STATES] = {
		IN(MAKING) = true, IN(ATTACHING_OUT) = true, IN(LENT) = true, IN(FREEZING) = true,
		IN(DISCARDING) = true, /* in_state() has it at the sender */
	};
	static const bool in[TRANSFER_N_STATES] = {
		IN(ATTACHING_IN) = true,
		IN(DELIVERED) = true,
		IN(TAKING_BACK) = true,
	};

	for (int s = 0; s < TRANSFER_N_STATES; s++) {
		struct transfer t = in_state((enum transfer_state)s);

		g_assert_cmpint(transfer_holds_outgoing(&t), ==, out[s]);
		g_assert_cmpint(transfer_holds_incoming(&t), ==, in[s]);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/transfer/matrix", test_matrix);
	g_test_add_func("/transfer/variants", test_variants);
	g_test_add_func("/transfer/transactions", test_transactions);
	g_test_add_func("/transfer/sends", test_sends);
	g_test_add_func("/transfer/resumed-question", test_resumed_question);
	g_test_add_func("/transfer/foreign-place", test_foreign_place);
	g_test_add_func("/transfer/given-up", test_given_up);
	g_test_add_func("/transfer/can-be-given-up", test_can_be_given_up);
	g_test_add_func("/transfer/start", test_start);
	g_test_add_func("/transfer/send-fields", test_send_fields);
	g_test_add_func("/transfer/resume", test_resume);
	g_test_add_func("/transfer/walks", test_walks);
	g_test_add_func("/transfer/names", test_names);
	g_test_add_func("/transfer/slots", test_slots);
	return g_test_run();
}
