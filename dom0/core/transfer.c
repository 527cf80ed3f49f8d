/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transfer.h"

#include <assert.h>
#include <string.h>

/* One step under way: what every handler needs, and where the actions gather. */
struct stepping {
	struct transfer *t;
	const struct transfer_limits *limits;
	int64_t now_ms;
	struct transfer_step *out;
};

static struct transfer_action *add(struct stepping *s, enum transfer_action_kind kind)
{
	struct transfer_action *action;

	/* Each action can come once in a step, so a full list is a mistake in this file. */
	assert(s->out->n_actions < TRANSFER_ACTIONS_MAX);
	action = &s->out->actions[s->out->n_actions++];
	memset(action, 0, sizeof *action);
	action->kind = kind;
	return action;
}

static void change_state(struct stepping *s, enum transfer_state state, int64_t timeout_ms)
{
	s->t->state = state;
	s->t->deadline_ms = s->now_ms + timeout_ms;
}

static void ignore(struct stepping *s)
{
	s->out->ignored = true;
}

/* ---- answers: each pending request is answered once, here and nowhere else ---- */

static void reply_sender(struct stepping *s, bool ok, enum qpen_error error, const char *detail)
{
	struct transfer_action *action;

	if (!s->t->to_sender.pending)
		return;
	action = add(s, TRANSFER_ACT_REPLY_SENDER);
	action->ok = ok;
	action->error = error;
	action->detail = detail;
	strcpy(action->id, s->t->to_sender.id);
	s->t->to_sender.pending = false;
}

static void fail_sender(struct stepping *s, enum qpen_error error, const char *text)
{
	reply_sender(s, false, error, text);
}

static void reply_receiver_ok(struct stepping *s)
{
	struct transfer_action *action;

	if (!s->t->to_receiver.pending)
		return;
	action = add(s, TRANSFER_ACT_REPLY_RECEIVER);
	action->ok = true;
	strcpy(action->id, s->t->to_receiver.id);
	s->t->to_receiver.pending = false;
}

/* Of what is being discarded, nothing but a `discard` waits for an answer. */
static void reply_discard_ok(struct stepping *s)
{
	struct transfer_action *action;

	if (!s->t->to_sender.pending)
		return;
	action = add(s, TRANSFER_ACT_REPLY_DISCARD);
	action->ok = true;
	strcpy(action->id, s->t->to_sender.id);
	s->t->to_sender.pending = false;
}

/* NULL: nobody waits. */
static struct transfer_action *tell_wait(struct stepping *s, enum qpen_wait wait)
{
	struct transfer_action *action;

	if (!s->t->to_sender.pending)
		return NULL;
	action = add(s, TRANSFER_ACT_WAIT);
	action->wait = wait;
	strcpy(action->id, s->t->to_sender.id);
	return action;
}

/* ---- the way out ---- */

static void start_detach(struct stepping *s, enum transfer_state state, bool force)
{
	s->t->forced = force;
	add(s, force ? TRANSFER_ACT_DETACH_FORCE : TRANSFER_ACT_DETACH);
	change_state(s, state, force ? s->limits->force_ms : s->limits->detach_ms);
}

/*
 * Goes on discarding from wherever t is: out of the VM's reach first, then off the disk. `force`:
 * the VM that has it is dead and cannot be asked.
 */
static void discard(struct stepping *s, bool force)
{
	struct transfer *t = s->t;

	if (t->place == TRANSFER_NOWHERE)
		reply_discard_ok(s);
	if (t->place != TRANSFER_NOWHERE) {
		start_detach(s, TRANSFER_DISCARDING, force);
	} else if (t->making) {
		change_state(s, TRANSFER_DISCARDING, s->limits->make_ms);
	} else if (!t->removed) {
		add(s, TRANSFER_ACT_REMOVE);
		change_state(s, TRANSFER_DISCARDING, s->limits->remove_ms);
	} else {
		change_state(s, TRANSFER_GONE, 0);
	}
}

static void refuse_now(struct stepping *s)
{
	fail_sender(s, QPEN_ERROR_REFUSED, "refused, or there is no such VM");
	discard(s, false);
}

/*
 * `until_ms`: when the question would have expired, had it been left unanswered. The image stays as
 * long: its sender could tell from the room that it leaves, or from a removal that is over already,
 * that there was an answer.
 */
static void refuse(struct stepping *s, int64_t until_ms)
{
	if (!s->limits->hide_refusals || !s->t->to_sender.pending) {
		refuse_now(s);
		return;
	}
	s->t->state = TRANSFER_REFUSING;
	s->t->deadline_ms = until_ms;
}

static void take_back(struct stepping *s)
{
	start_detach(s, TRANSFER_TAKING_BACK, false);
}

static void sender_died(struct stepping *s)
{
	s->t->sender_alive = false;
	s->t->to_sender.pending = false;
}

static void cancelled(struct stepping *s)
{
	fail_sender(s, QPEN_ERROR_CANCELLED, "taken back in dom0");
	discard(s, false);
}

static void await_discard(struct stepping *s, const struct transfer_event *ev)
{
	s->t->to_sender.pending = true;
	strcpy(s->t->to_sender.id, ev->request->id);
}

/* By the sender itself: the user of dom0 need not be told how it ended. */
static void given_up(struct stepping *s, const struct transfer_event *ev)
{
	s->t->quiet = true;
	fail_sender(s, QPEN_ERROR_CANCELLED, "given up by this VM");
	await_discard(s, ev);
	discard(s, false);
}

static void receiver_stopped(struct stepping *s)
{
	fail_sender(s, QPEN_ERROR_RECEIVER_GONE, "the receiver has stopped");
	discard(s, false);
}

/* ---- the states, in the order of a life ---- */

static void start_attach(struct stepping *s, enum transfer_state state, enum transfer_place place)
{
	/* A DisposableVM may have to boot before it connects. */
	bool to_new_vm = place == TRANSFER_AT_RECEIVER && s->t->kind == TRANSFER_REQUEST;

	s->t->place = place;
	s->t->forced = false;
	add(s, TRANSFER_ACT_ATTACH);
	change_state(s, state, to_new_vm ? s->limits->start_ms : s->limits->attach_ms);
}

static void in_making(struct stepping *s, const struct transfer_event *ev)
{
	switch (ev->kind) {
	case TRANSFER_EV_MADE:
		s->t->making = false;
		start_attach(s, TRANSFER_ATTACHING_OUT, TRANSFER_AT_SENDER);
		return;
	case TRANSFER_EV_MAKE_FAILED:
		s->t->making = false;
		fail_sender(s, ev->error, "the pendrive could not be made");
		discard(s, false);
		return;
	case TRANSFER_EV_DEADLINE:
		fail_sender(s, QPEN_ERROR_FAILED, "making the pendrive took too long");
		discard(s, false);
		return;
	case TRANSFER_EV_SENDER_GONE:
		sender_died(s);
		discard(s, true);
		return;
	case TRANSFER_EV_DISCARD:
		given_up(s, ev);
		return;
	case TRANSFER_EV_CANCEL:
		cancelled(s);
		return;
	case TRANSFER_EV_ATTACHED:
	case TRANSFER_EV_LOST:
	case TRANSFER_EV_SEND:
	case TRANSFER_EV_DETACHED:
	case TRANSFER_EV_YES:
	case TRANSFER_EV_NO:
	case TRANSFER_EV_SLOT_FREE:
	case TRANSFER_EV_UMOUNT:
	case TRANSFER_EV_RECEIVER_GONE:
	case TRANSFER_EV_VM_STARTING:
	case TRANSFER_EV_VM_READY:
	case TRANSFER_EV_VM_FAILED:
	case TRANSFER_EV_REMOVED:
		ignore(s);
		return;
	}
}

static void in_attaching_out(struct stepping *s, const struct transfer_event *ev)
{
	switch (ev->kind) {
	case TRANSFER_EV_ATTACHED:
		reply_sender(s, true, QPEN_ERROR_FAILED, QPEN_OUTGOING_NAME);
		change_state(s, TRANSFER_LENT, s->limits->lent_ms);
		return;
	case TRANSFER_EV_LOST:
		fail_sender(s, QPEN_ERROR_FAILED, "the device could not be attached");
		discard(s, false);
		return;
	case TRANSFER_EV_DEADLINE:
		fail_sender(s, QPEN_ERROR_TIMEOUT, "the VM did not connect to its device");
		discard(s, false);
		return;
	case TRANSFER_EV_SENDER_GONE:
		sender_died(s);
		discard(s, true);
		return;
	case TRANSFER_EV_DISCARD:
		given_up(s, ev);
		return;
	case TRANSFER_EV_CANCEL:
		cancelled(s);
		return;
	case TRANSFER_EV_MADE:
	case TRANSFER_EV_MAKE_FAILED:
	case TRANSFER_EV_SEND:
	case TRANSFER_EV_DETACHED:
	case TRANSFER_EV_YES:
	case TRANSFER_EV_NO:
	case TRANSFER_EV_SLOT_FREE:
	case TRANSFER_EV_UMOUNT:
	case TRANSFER_EV_RECEIVER_GONE:
	case TRANSFER_EV_VM_STARTING:
	case TRANSFER_EV_VM_READY:
	case TRANSFER_EV_VM_FAILED:
	case TRANSFER_EV_REMOVED:
		ignore(s);
		return;
	}
}

static enum qpen_wait first_wait(const struct transfer_event *ev)
{
	switch (ev->as) {
	case TRANSFER_FILES:
		return QPEN_WAIT_ASKING;
	case TRANSFER_REQUEST:
		return ev->preparing ? QPEN_WAIT_PREPARING : QPEN_WAIT_STARTING;
	case TRANSFER_ANSWER:
		return QPEN_WAIT_STARTING;
	}
	return QPEN_WAIT_ASKING;
}

static void sent(struct stepping *s, const struct transfer_event *ev)
{
	struct transfer *t = s->t;

	t->to_sender.pending = true;
	strcpy(t->to_sender.id, ev->request->id);
	t->kind = ev->as;
	t->ask = ev->ask;
	t->quiet = ev->quiet;
	/* Of an ordinary pendrive the receiver reads no SEQ, whatever the sender said. */
	strcpy(t->seq, ev->as == TRANSFER_FILES ? QPEN_SEQ_NONE : ev->request->seq);
	t->view = ev->request->view;
	t->receiver = *ev->receiver;
	t->receiver_known = ev->receiver_known;
	tell_wait(s, first_wait(ev));
	start_detach(s, TRANSFER_FREEZING, false);
}

static void in_lent(struct stepping *s, const struct transfer_event *ev)
{
	switch (ev->kind) {
	case TRANSFER_EV_SEND:
		sent(s, ev);
		return;
	case TRANSFER_EV_DISCARD:
		given_up(s, ev);
		return;
	case TRANSFER_EV_LOST:
	case TRANSFER_EV_DEADLINE:
	case TRANSFER_EV_CANCEL:
		discard(s, false);
		return;
	case TRANSFER_EV_SENDER_GONE:
		sender_died(s);
		discard(s, true);
		return;
	case TRANSFER_EV_MADE:
	case TRANSFER_EV_MAKE_FAILED:
	case TRANSFER_EV_ATTACHED:
	case TRANSFER_EV_DETACHED:
	case TRANSFER_EV_YES:
	case TRANSFER_EV_NO:
	case TRANSFER_EV_SLOT_FREE:
	case TRANSFER_EV_UMOUNT:
	case TRANSFER_EV_RECEIVER_GONE:
	case TRANSFER_EV_VM_STARTING:
	case TRANSFER_EV_VM_READY:
	case TRANSFER_EV_VM_FAILED:
	case TRANSFER_EV_REMOVED:
		ignore(s);
		return;
	}
}

static void vm_ready(struct stepping *s, const struct transfer_event *ev)
{
	s->t->receiver = *ev->receiver;
	s->t->receiver_known = true;
}

static void vm_failed(struct stepping *s, const struct transfer_event *ev)
{
	fail_sender(s, ev->error, "there is no DisposableVM for the file");
	discard(s, false);
}

static void approved(struct stepping *s, enum transfer_slot slot)
{
	switch (slot) {
	case TRANSFER_SLOT_FREE:
		start_attach(s, TRANSFER_ATTACHING_IN, TRANSFER_AT_RECEIVER);
		return;
	case TRANSFER_SLOT_TAKEN:
		tell_wait(s, QPEN_WAIT_QUEUED);
		/* An answer is somebody's work: it waits as long as a pendrive may be kept. */
		change_state(s, TRANSFER_QUEUED,
			s->t->kind == TRANSFER_ANSWER ? s->limits->delivered_ms
						      : s->limits->queue_ms);
		return;
	case TRANSFER_SLOT_QUEUE_FULL:
		fail_sender(s, QPEN_ERROR_QUEUE_FULL, "too many pendrives wait for that VM");
		discard(s, false);
		return;
	}
}

/* Nothing stands between it and its receiver any more. */
static void go_on(struct stepping *s, enum transfer_slot slot)
{
	if (s->t->kind != TRANSFER_REQUEST)
		approved(s, slot);
	else if (s->t->receiver_known)
		start_attach(s, TRANSFER_ATTACHING_IN, TRANSFER_AT_RECEIVER);
	else
		change_state(s, TRANSFER_STARTING_VM, s->limits->start_ms);
}

static void frozen(struct stepping *s, enum transfer_slot slot)
{
	s->t->place = TRANSFER_NOWHERE;
	if (s->t->kind == TRANSFER_FILES && !s->t->receiver_known) {
		refuse(s, s->now_ms + s->limits->ask_ms);
	} else if (s->t->ask) {
		add(s, TRANSFER_ACT_ASK);
		change_state(s, TRANSFER_ASKING, s->limits->ask_ms);
	} else {
		go_on(s, slot);
	}
}

static void in_freezing(struct stepping *s, const struct transfer_event *ev)
{
	switch (ev->kind) {
	case TRANSFER_EV_DETACHED:
		frozen(s, ev->slot);
		return;
	case TRANSFER_EV_DEADLINE:
		if (!s->t->forced) {
			start_detach(s, TRANSFER_FREEZING, true);
			return;
		}
		/* Somebody still holds the disk: what the user would be asked about could change.
		 */
		add(s, TRANSFER_ACT_ABANDON);
		s->t->place = TRANSFER_NOWHERE;
		fail_sender(s, QPEN_ERROR_TIMEOUT, "the device could not be taken from the VM");
		discard(s, false);
		return;
	case TRANSFER_EV_SENDER_GONE:
		sender_died(s);
		discard(s, true);
		return;
	case TRANSFER_EV_RECEIVER_GONE:
	case TRANSFER_EV_CANCEL:
		if (s->t->kind == TRANSFER_FILES)
			/* The sender must not learn more than from any other refusal. */
			s->t->receiver_known = false;
		else if (ev->kind == TRANSFER_EV_CANCEL)
			cancelled(s);
		else
			receiver_stopped(s);
		return;
	case TRANSFER_EV_DISCARD:
		given_up(s, ev);
		return;
	case TRANSFER_EV_VM_STARTING:
		tell_wait(s, QPEN_WAIT_STARTING);
		return;
	case TRANSFER_EV_VM_READY:
		vm_ready(s, ev);
		return;
	case TRANSFER_EV_VM_FAILED:
		vm_failed(s, ev);
		return;
	case TRANSFER_EV_MADE:
	case TRANSFER_EV_MAKE_FAILED:
	case TRANSFER_EV_ATTACHED:
	case TRANSFER_EV_LOST:
	case TRANSFER_EV_SEND:
	case TRANSFER_EV_YES:
	case TRANSFER_EV_NO:
	case TRANSFER_EV_SLOT_FREE:
	case TRANSFER_EV_UMOUNT:
	case TRANSFER_EV_REMOVED:
		ignore(s);
		return;
	}
}

/* News of the DisposableVM that the user is being asked about. */
static void asking_about_vm(struct stepping *s, const struct transfer_event *ev)
{
	if (s->t->kind != TRANSFER_REQUEST) {
		ignore(s);
	} else if (ev->kind == TRANSFER_EV_VM_READY) {
		vm_ready(s, ev);
	} else {
		add(s, TRANSFER_ACT_WITHDRAW);
		vm_failed(s, ev);
	}
}

static void in_asking(struct stepping *s, const struct transfer_event *ev)
{
	switch (ev->kind) {
	case TRANSFER_EV_YES:
		go_on(s, ev->slot);
		return;
	case TRANSFER_EV_VM_READY: /* it is made while the user thinks */
	case TRANSFER_EV_VM_FAILED:
		asking_about_vm(s, ev);
		return;
	case TRANSFER_EV_NO:
		refuse(s, s->t->deadline_ms);
		return;
	case TRANSFER_EV_CANCEL:
	case TRANSFER_EV_RECEIVER_GONE:
		add(s, TRANSFER_ACT_WITHDRAW);
		refuse(s, s->t->deadline_ms);
		return;
	case TRANSFER_EV_DEADLINE:
		add(s, TRANSFER_ACT_WITHDRAW);
		refuse_now(s);
		return;
	case TRANSFER_EV_SENDER_GONE:
		add(s, TRANSFER_ACT_WITHDRAW);
		sender_died(s);
		discard(s, true);
		return;
	case TRANSFER_EV_DISCARD:
		add(s, TRANSFER_ACT_WITHDRAW);
		given_up(s, ev);
		return;
	case TRANSFER_EV_MADE:
	case TRANSFER_EV_MAKE_FAILED:
	case TRANSFER_EV_ATTACHED:
	case TRANSFER_EV_LOST:
	case TRANSFER_EV_SEND:
	case TRANSFER_EV_DETACHED:
	case TRANSFER_EV_SLOT_FREE:
	case TRANSFER_EV_UMOUNT:
	case TRANSFER_EV_VM_STARTING:
	case TRANSFER_EV_REMOVED:
		ignore(s);
		return;
	}
}

static void in_starting_vm(struct stepping *s, const struct transfer_event *ev)
{
	switch (ev->kind) {
	case TRANSFER_EV_VM_STARTING:
		tell_wait(s, QPEN_WAIT_STARTING);
		return;
	case TRANSFER_EV_VM_READY:
		vm_ready(s, ev);
		start_attach(s, TRANSFER_ATTACHING_IN, TRANSFER_AT_RECEIVER);
		return;
	case TRANSFER_EV_VM_FAILED:
		vm_failed(s, ev);
		return;
	case TRANSFER_EV_DEADLINE:
		fail_sender(s, QPEN_ERROR_TIMEOUT, "the DisposableVM took too long to start");
		discard(s, false);
		return;
	case TRANSFER_EV_DISCARD:
		given_up(s, ev);
		return;
	case TRANSFER_EV_CANCEL:
		cancelled(s);
		return;
	case TRANSFER_EV_SENDER_GONE:
		sender_died(s);
		discard(s, true);
		return;
	case TRANSFER_EV_MADE:
	case TRANSFER_EV_MAKE_FAILED:
	case TRANSFER_EV_ATTACHED:
	case TRANSFER_EV_LOST:
	case TRANSFER_EV_SEND:
	case TRANSFER_EV_DETACHED:
	case TRANSFER_EV_YES:
	case TRANSFER_EV_NO:
	case TRANSFER_EV_SLOT_FREE:
	case TRANSFER_EV_UMOUNT:
	case TRANSFER_EV_RECEIVER_GONE:
	case TRANSFER_EV_REMOVED:
		ignore(s);
		return;
	}
}

static void in_queued(struct stepping *s, const struct transfer_event *ev)
{
	switch (ev->kind) {
	case TRANSFER_EV_SLOT_FREE:
		start_attach(s, TRANSFER_ATTACHING_IN, TRANSFER_AT_RECEIVER);
		return;
	case TRANSFER_EV_DEADLINE:
		fail_sender(s, QPEN_ERROR_TIMEOUT, "the receiver's slot did not become free");
		discard(s, false);
		return;
	case TRANSFER_EV_DISCARD:
		given_up(s, ev);
		return;
	case TRANSFER_EV_CANCEL:
		cancelled(s);
		return;
	case TRANSFER_EV_RECEIVER_GONE:
		receiver_stopped(s);
		return;
	case TRANSFER_EV_SENDER_GONE:
		sender_died(s); /* the user said yes: it goes on */
		return;
	case TRANSFER_EV_MADE:
	case TRANSFER_EV_MAKE_FAILED:
	case TRANSFER_EV_ATTACHED:
	case TRANSFER_EV_LOST:
	case TRANSFER_EV_SEND:
	case TRANSFER_EV_DETACHED:
	case TRANSFER_EV_YES:
	case TRANSFER_EV_NO:
	case TRANSFER_EV_UMOUNT:
	case TRANSFER_EV_VM_STARTING:
	case TRANSFER_EV_VM_READY:
	case TRANSFER_EV_VM_FAILED:
	case TRANSFER_EV_REMOVED:
		ignore(s);
		return;
	}
}

static void tell_open(struct stepping *s)
{
	struct transfer_action *action = tell_wait(s, QPEN_WAIT_OPEN);

	if (action) {
		action->detail = s->t->receiver.name;
		s->t->to_sender.pending = false;
	}
	add(s, TRANSFER_ACT_OPENED);
}

static void delivered(struct stepping *s)
{
	if (s->t->kind == TRANSFER_REQUEST)
		tell_open(s);
	else
		reply_sender(s, true, QPEN_ERROR_FAILED, "delivered");
	change_state(s, TRANSFER_DELIVERED, s->limits->delivered_ms);
}

static void umount(struct stepping *s, const struct request *request)
{
	s->t->to_receiver.pending = true;
	strcpy(s->t->to_receiver.id, request->id);
	take_back(s);
}

static void in_attaching_in(struct stepping *s, const struct transfer_event *ev)
{
	switch (ev->kind) {
	case TRANSFER_EV_ATTACHED:
		delivered(s);
		return;
	case TRANSFER_EV_UMOUNT:
		/* It read the pendrive before we heard that it had connected. */
		delivered(s);
		umount(s, ev->request);
		return;
	case TRANSFER_EV_LOST:
		fail_sender(
			s, QPEN_ERROR_FAILED, "the device could not be attached to the receiver");
		discard(s, false);
		return;
	case TRANSFER_EV_DEADLINE:
		fail_sender(s, QPEN_ERROR_TIMEOUT, "the receiver did not connect to its device");
		discard(s, false);
		return;
	case TRANSFER_EV_DISCARD:
		given_up(s, ev);
		return;
	case TRANSFER_EV_CANCEL:
		cancelled(s);
		return;
	case TRANSFER_EV_RECEIVER_GONE:
		fail_sender(s, QPEN_ERROR_RECEIVER_GONE, "the receiver has stopped");
		discard(s, true);
		return;
	case TRANSFER_EV_VM_FAILED: /* it was there, but does not run */
		vm_failed(s, ev);
		return;
	case TRANSFER_EV_SENDER_GONE:
		sender_died(s);
		return;
	case TRANSFER_EV_MADE:
	case TRANSFER_EV_MAKE_FAILED:
	case TRANSFER_EV_SEND:
	case TRANSFER_EV_DETACHED:
	case TRANSFER_EV_YES:
	case TRANSFER_EV_NO:
	case TRANSFER_EV_SLOT_FREE:
	case TRANSFER_EV_VM_STARTING:
	case TRANSFER_EV_VM_READY:
	case TRANSFER_EV_REMOVED:
		ignore(s);
		return;
	}
}

static void in_delivered(struct stepping *s, const struct transfer_event *ev)
{
	switch (ev->kind) {
	case TRANSFER_EV_UMOUNT:
		umount(s, ev->request);
		return;
	case TRANSFER_EV_LOST:
	case TRANSFER_EV_DEADLINE:
	case TRANSFER_EV_CANCEL:
		take_back(s);
		return;
	case TRANSFER_EV_RECEIVER_GONE:
		discard(s, true);
		return;
	case TRANSFER_EV_SENDER_GONE:
		sender_died(s);
		return;
	case TRANSFER_EV_MADE:
	case TRANSFER_EV_MAKE_FAILED:
	case TRANSFER_EV_ATTACHED:
	case TRANSFER_EV_SEND:
	case TRANSFER_EV_DETACHED:
	case TRANSFER_EV_YES:
	case TRANSFER_EV_NO:
	case TRANSFER_EV_SLOT_FREE:
	case TRANSFER_EV_VM_STARTING:
	case TRANSFER_EV_VM_READY:
	case TRANSFER_EV_VM_FAILED:
	case TRANSFER_EV_DISCARD:
	case TRANSFER_EV_REMOVED:
		ignore(s);
		return;
	}
}

static void in_taking_back(struct stepping *s, const struct transfer_event *ev)
{
	switch (ev->kind) {
	case TRANSFER_EV_DETACHED:
		s->t->place = TRANSFER_NOWHERE;
		reply_receiver_ok(s);
		discard(s, false);
		return;
	case TRANSFER_EV_DEADLINE:
		if (!s->t->forced) {
			start_detach(s, TRANSFER_TAKING_BACK, true);
			return;
		}
		add(s, TRANSFER_ACT_ABANDON);
		s->t->place = TRANSFER_NOWHERE;
		reply_receiver_ok(s);
		discard(s, false);
		return;
	case TRANSFER_EV_RECEIVER_GONE:
		s->t->to_receiver.pending = false;
		discard(s, true);
		return;
	case TRANSFER_EV_SENDER_GONE:
		sender_died(s);
		return;
	case TRANSFER_EV_MADE:
	case TRANSFER_EV_MAKE_FAILED:
	case TRANSFER_EV_ATTACHED:
	case TRANSFER_EV_LOST:
	case TRANSFER_EV_SEND:
	case TRANSFER_EV_YES:
	case TRANSFER_EV_NO:
	case TRANSFER_EV_SLOT_FREE:
	case TRANSFER_EV_UMOUNT:
	case TRANSFER_EV_CANCEL:
		/* A cancel has what it wants already. */
	case TRANSFER_EV_VM_STARTING:
	case TRANSFER_EV_VM_READY:
	case TRANSFER_EV_VM_FAILED:
	case TRANSFER_EV_DISCARD:
	case TRANSFER_EV_REMOVED:
		ignore(s);
		return;
	}
}

static void in_refusing(struct stepping *s, const struct transfer_event *ev)
{
	switch (ev->kind) {
	case TRANSFER_EV_DEADLINE:
		refuse_now(s);
		return;
	case TRANSFER_EV_SENDER_GONE:
		sender_died(s);
		discard(s, true);
		return;
	case TRANSFER_EV_DISCARD:
		given_up(s, ev);
		return;
	case TRANSFER_EV_MADE:
	case TRANSFER_EV_MAKE_FAILED:
	case TRANSFER_EV_ATTACHED:
	case TRANSFER_EV_LOST:
	case TRANSFER_EV_SEND:
	case TRANSFER_EV_DETACHED:
	case TRANSFER_EV_YES:
	case TRANSFER_EV_NO:
	case TRANSFER_EV_SLOT_FREE:
	case TRANSFER_EV_UMOUNT:
	case TRANSFER_EV_RECEIVER_GONE:
	case TRANSFER_EV_VM_STARTING:
	case TRANSFER_EV_VM_READY:
	case TRANSFER_EV_VM_FAILED:
	case TRANSFER_EV_CANCEL:
	case TRANSFER_EV_REMOVED:
		ignore(s);
		return;
	}
}

static void discarding_deadline(struct stepping *s)
{
	if (s->t->place != TRANSFER_NOWHERE && s->t->forced) {
		add(s, TRANSFER_ACT_ABANDON);
		s->t->place = TRANSFER_NOWHERE;
		discard(s, false);
	} else if (s->t->place != TRANSFER_NOWHERE) {
		discard(s, true);
	} else {
		/* The image store forgot to answer: removing is safe to ask for again. */
		s->t->making = false;
		discard(s, false);
	}
}

/* The VM that has the disk died while it was asked to let go of it. */
static void discarding_death(struct stepping *s, enum transfer_place of)
{
	if (s->t->place == of && !s->t->forced)
		discard(s, true);
}

static void in_discarding(struct stepping *s, const struct transfer_event *ev)
{
	switch (ev->kind) {
	case TRANSFER_EV_MADE:
	case TRANSFER_EV_MAKE_FAILED:
		if (!s->t->making) {
			ignore(s);
			return;
		}
		s->t->making = false;
		discard(s, false);
		return;
	case TRANSFER_EV_DETACHED:
		if (s->t->place == TRANSFER_NOWHERE) {
			ignore(s);
			return;
		}
		s->t->place = TRANSFER_NOWHERE;
		discard(s, false);
		return;
	case TRANSFER_EV_REMOVED:
		if (s->t->place != TRANSFER_NOWHERE || s->t->making) {
			ignore(s);
			return;
		}
		s->t->removed = true;
		discard(s, false);
		return;
	case TRANSFER_EV_DEADLINE:
		discarding_deadline(s);
		return;
	case TRANSFER_EV_SENDER_GONE:
		sender_died(s);
		discarding_death(s, TRANSFER_AT_SENDER);
		return;
	case TRANSFER_EV_RECEIVER_GONE:
		discarding_death(s, TRANSFER_AT_RECEIVER);
		return;
	case TRANSFER_EV_DISCARD:
		if (s->t->place != TRANSFER_AT_SENDER || s->t->to_sender.pending)
			ignore(s);
		else
			await_discard(s, ev);
		return;
	case TRANSFER_EV_ATTACHED:
	case TRANSFER_EV_LOST:
	case TRANSFER_EV_SEND:
	case TRANSFER_EV_YES:
	case TRANSFER_EV_NO:
	case TRANSFER_EV_SLOT_FREE:
	case TRANSFER_EV_UMOUNT:
	case TRANSFER_EV_VM_STARTING:
	case TRANSFER_EV_VM_READY:
	case TRANSFER_EV_VM_FAILED:
	case TRANSFER_EV_CANCEL:
		ignore(s);
		return;
	}
}

static struct stepping begin(struct transfer *t, const struct transfer_limits *limits,
	int64_t now_ms, struct transfer_step *out)
{
	memset(out, 0, sizeof *out);
	return (struct stepping){.t = t, .limits = limits, .now_ms = now_ms, .out = out};
}

void transfer_start(struct transfer *t, const struct transfer_limits *limits, int64_t now_ms,
	struct transfer_step *out)
{
	struct stepping s = begin(t, limits, now_ms, out);

	t->sender_alive = true;
	t->making = true;
	t->started_ms = now_ms;
	strcpy(t->seq, QPEN_SEQ_NONE);
	add(&s, TRANSFER_ACT_MAKE);
	change_state(&s, TRANSFER_MAKING, limits->make_ms);
}

/* News of a disk that t has no more, or not yet: a detach told twice must not free the next disk.
 */
static bool is_of_other_disk(const struct transfer *t, const struct transfer_event *event)
{
	bool of_disk = event->kind == TRANSFER_EV_ATTACHED || event->kind == TRANSFER_EV_LOST ||
		       event->kind == TRANSFER_EV_DETACHED;

	return of_disk && event->place != t->place;
}

void transfer_step(struct transfer *t, const struct transfer_event *event,
	const struct transfer_limits *limits, int64_t now_ms, struct transfer_step *out)
{
	struct stepping s = begin(t, limits, now_ms, out);

	if (is_of_other_disk(t, event)) {
		ignore(&s);
		return;
	}
	switch (t->state) {
	case TRANSFER_MAKING:
		in_making(&s, event);
		return;
	case TRANSFER_ATTACHING_OUT:
		in_attaching_out(&s, event);
		return;
	case TRANSFER_LENT:
		in_lent(&s, event);
		return;
	case TRANSFER_FREEZING:
		in_freezing(&s, event);
		return;
	case TRANSFER_ASKING:
		in_asking(&s, event);
		return;
	case TRANSFER_STARTING_VM:
		in_starting_vm(&s, event);
		return;
	case TRANSFER_QUEUED:
		in_queued(&s, event);
		return;
	case TRANSFER_ATTACHING_IN:
		in_attaching_in(&s, event);
		return;
	case TRANSFER_DELIVERED:
		in_delivered(&s, event);
		return;
	case TRANSFER_TAKING_BACK:
		in_taking_back(&s, event);
		return;
	case TRANSFER_REFUSING:
		in_refusing(&s, event);
		return;
	case TRANSFER_DISCARDING:
		in_discarding(&s, event);
		return;
	case TRANSFER_GONE:
		ignore(&s);
		return;
	}
}

void transfer_resume(struct transfer *t, const struct transfer_limits *limits, int64_t now_ms,
	struct transfer_step *out)
{
	struct stepping s = begin(t, limits, now_ms, out);

	switch (t->state) {
	case TRANSFER_MAKING:
		t->making = true;
		add(&s, TRANSFER_ACT_MAKE);
		change_state(&s, TRANSFER_MAKING, limits->make_ms);
		return;
	case TRANSFER_FREEZING:
	case TRANSFER_TAKING_BACK:
		start_detach(&s, t->state, t->forced);
		return;
	case TRANSFER_ASKING:
		add(&s, TRANSFER_ACT_ASK);
		return;
	case TRANSFER_DISCARDING:
		t->making = false;
		discard(&s, t->forced);
		return;
	case TRANSFER_ATTACHING_OUT:
	case TRANSFER_LENT:
	case TRANSFER_STARTING_VM:
	case TRANSFER_QUEUED:
	case TRANSFER_ATTACHING_IN:
	case TRANSFER_DELIVERED:
	case TRANSFER_REFUSING:
	case TRANSFER_GONE:
		/* The port that took the device up again says when it is connected, or lost. */
		return;
	}
}

static bool is_before_delivery(const struct transfer *t)
{
	switch (t->state) {
	case TRANSFER_MAKING:
	case TRANSFER_ATTACHING_OUT:
	case TRANSFER_LENT:
	case TRANSFER_FREEZING:
	case TRANSFER_ASKING:
	case TRANSFER_STARTING_VM:
	case TRANSFER_QUEUED:
	case TRANSFER_ATTACHING_IN:
	case TRANSFER_REFUSING:
		return true;
	case TRANSFER_DISCARDING:
		return t->place == TRANSFER_AT_SENDER;
	case TRANSFER_DELIVERED:
	case TRANSFER_TAKING_BACK:
	case TRANSFER_GONE:
		return false;
	}
	return false;
}

bool transfer_can_be_given_up(const struct transfer *t, const char *of)
{
	return is_before_delivery(t) && (!of[0] || strcmp(t->to_sender.id, of) == 0);
}

bool transfer_holds_outgoing(const struct transfer *t)
{
	return t->state == TRANSFER_MAKING || t->place == TRANSFER_AT_SENDER;
}

bool transfer_holds_incoming(const struct transfer *t)
{
	return t->place == TRANSFER_AT_RECEIVER;
}
