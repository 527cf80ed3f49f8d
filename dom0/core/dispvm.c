/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispvm.h"

#include <assert.h>
#include <string.h>

struct stepping {
	struct dispvm *d;
	const struct dispvm_limits *limits;
	int64_t now_ms;
	struct dispvm_step *out;
};

static struct dispvm_action *add(struct stepping *s, enum dispvm_action_kind kind)
{
	struct dispvm_action *action;

	assert(s->out->n_actions < DISPVM_ACTIONS_MAX);
	action = &s->out->actions[s->out->n_actions++];
	memset(action, 0, sizeof *action);
	action->kind = kind;
	return action;
}

static void change_state(struct stepping *s, enum dispvm_state state, int64_t timeout_ms)
{
	s->d->state = state;
	s->d->deadline_ms = s->now_ms + timeout_ms;
}

static void ignore(struct stepping *s)
{
	s->out->ignored = true;
}

static bool has_opener(const struct dispvm *d)
{
	return d->opener.uuid[0] != '\0';
}

static void reply(struct stepping *s, bool ok, enum qpen_error error, const char *detail)
{
	struct dispvm_action *action;

	if (!s->d->to_opener.pending)
		return;
	action = add(s, DISPVM_ACT_REPLY);
	action->ok = ok;
	action->error = error;
	action->detail = detail;
	s->d->to_opener.pending = false;
}

static void reply_lost(struct stepping *s)
{
	reply(s, false, QPEN_ERROR_LOST, "the DisposableVM ended before its answer was stored");
}

static void tell_failed(struct stepping *s, enum qpen_error error)
{
	if (s->d->request)
		add(s, DISPVM_ACT_TELL_FAILED)->error = error;
}

/* ---- the way out ---- */

static void destroy(struct stepping *s)
{
	add(s, DISPVM_ACT_DESTROY);
	change_state(s, DISPVM_DESTROYING, s->limits->destroy_ms);
}

/* Nothing of it was made. */
static void be_gone(struct stepping *s)
{
	change_state(s, DISPVM_GONE, 0);
}

/* What ended before it was open: its request is told, if that is still there to be told. */
static void end_unopened(struct stepping *s, const struct dispvm_event *ev)
{
	switch (ev->kind) {
	case DISPVM_EV_DEADLINE:
		tell_failed(s, QPEN_ERROR_TIMEOUT);
		return;
	case DISPVM_EV_DISCARD:
		tell_failed(s, QPEN_ERROR_CANCELLED);
		return;
	case DISPVM_EV_FAILED:
		tell_failed(s, ev->error);
		return;
	case DISPVM_EV_VM_GONE:
		tell_failed(s, QPEN_ERROR_LOST);
		return;
	case DISPVM_EV_REQUEST_GONE:
	case DISPVM_EV_OPENER_GONE:
	case DISPVM_EV_PREPARED:
	case DISPVM_EV_MADE:
	case DISPVM_EV_ASSIGN:
	case DISPVM_EV_ATTACHING:
	case DISPVM_EV_OPENED:
	case DISPVM_EV_ANSWER:
	case DISPVM_EV_STORED:
	case DISPVM_EV_ANSWER_GONE:
	case DISPVM_EV_KILLME:
	case DISPVM_EV_DESTROYED:
		return;
	}
}

/* ---- the states, in the order of a life ---- */

static void make(struct stepping *s)
{
	add(s, DISPVM_ACT_MAKE);
	change_state(s, DISPVM_MAKING, s->limits->make_ms);
}

static void prepare_or_make(struct stepping *s, bool prepared)
{
	if (prepared) {
		make(s);
		return;
	}
	add(s, DISPVM_ACT_PREPARE);
	change_state(s, DISPVM_PREPARING, s->limits->prepare_ms);
}

static void in_clearing(struct stepping *s, const struct dispvm_event *ev)
{
	switch (ev->kind) {
	case DISPVM_EV_DESTROYED:
		prepare_or_make(s, ev->prepared);
		return;
	case DISPVM_EV_DEADLINE:
	case DISPVM_EV_DISCARD:
	case DISPVM_EV_REQUEST_GONE:
	case DISPVM_EV_OPENER_GONE:
		end_unopened(s, ev);
		destroy(s);
		return;
	case DISPVM_EV_PREPARED:
	case DISPVM_EV_MADE:
	case DISPVM_EV_FAILED:
	case DISPVM_EV_ASSIGN:
	case DISPVM_EV_ATTACHING:
	case DISPVM_EV_OPENED:
	case DISPVM_EV_ANSWER:
	case DISPVM_EV_STORED:
	case DISPVM_EV_ANSWER_GONE:
	case DISPVM_EV_KILLME:
	case DISPVM_EV_VM_GONE:
		ignore(s);
		return;
	}
}

static void in_preparing(struct stepping *s, const struct dispvm_event *ev)
{
	switch (ev->kind) {
	case DISPVM_EV_PREPARED:
		if (s->d->request)
			add(s, DISPVM_ACT_TELL_STARTING);
		make(s);
		return;
	case DISPVM_EV_FAILED:
	case DISPVM_EV_DEADLINE:
	case DISPVM_EV_DISCARD:
	case DISPVM_EV_REQUEST_GONE:
	case DISPVM_EV_OPENER_GONE:
		end_unopened(s, ev);
		be_gone(s);
		return;
	case DISPVM_EV_MADE:
	case DISPVM_EV_ASSIGN:
	case DISPVM_EV_ATTACHING:
	case DISPVM_EV_OPENED:
	case DISPVM_EV_ANSWER:
	case DISPVM_EV_STORED:
	case DISPVM_EV_ANSWER_GONE:
	case DISPVM_EV_KILLME:
	case DISPVM_EV_VM_GONE:
	case DISPVM_EV_DESTROYED:
		ignore(s);
		return;
	}
}

static void made(struct stepping *s, uint32_t domid)
{
	s->d->id.domid = domid;
	if (!has_opener(s->d)) {
		change_state(s, DISPVM_POOLED, s->limits->life_ms);
		return;
	}
	add(s, DISPVM_ACT_TELL_READY);
	change_state(s, DISPVM_READY, s->limits->life_ms);
}

static void in_making(struct stepping *s, const struct dispvm_event *ev)
{
	switch (ev->kind) {
	case DISPVM_EV_MADE:
		made(s, ev->domid);
		return;
	case DISPVM_EV_FAILED: /* the port has left nothing of it */
		end_unopened(s, ev);
		be_gone(s);
		return;
	case DISPVM_EV_DEADLINE:
	case DISPVM_EV_DISCARD:
	case DISPVM_EV_REQUEST_GONE:
	case DISPVM_EV_OPENER_GONE:
		end_unopened(s, ev);
		destroy(s);
		return;
	case DISPVM_EV_PREPARED:
	case DISPVM_EV_ASSIGN:
	case DISPVM_EV_ATTACHING:
	case DISPVM_EV_OPENED:
	case DISPVM_EV_ANSWER:
	case DISPVM_EV_STORED:
	case DISPVM_EV_ANSWER_GONE:
	case DISPVM_EV_KILLME:
	case DISPVM_EV_VM_GONE:
	case DISPVM_EV_DESTROYED:
		ignore(s);
		return;
	}
}

static void assign(struct dispvm *d, const struct dispvm_event *ev)
{
	d->opener = *ev->opener;
	strcpy(d->seq, ev->request->seq);
	d->view = ev->request->view;
	d->request = ev->transfer;
}

static void in_pooled(struct stepping *s, const struct dispvm_event *ev)
{
	switch (ev->kind) {
	case DISPVM_EV_ASSIGN:
		assign(s->d, ev);
		add(s, DISPVM_ACT_TELL_READY);
		change_state(s, DISPVM_READY, s->limits->life_ms);
		return;
	case DISPVM_EV_FAILED:
	case DISPVM_EV_VM_GONE:
	case DISPVM_EV_DISCARD:
	case DISPVM_EV_DEADLINE: /* what it was copied from has aged with it */
		destroy(s);
		return;
	case DISPVM_EV_PREPARED:
	case DISPVM_EV_MADE:
	case DISPVM_EV_ATTACHING:
	case DISPVM_EV_OPENED:
	case DISPVM_EV_REQUEST_GONE:
	case DISPVM_EV_ANSWER:
	case DISPVM_EV_STORED:
	case DISPVM_EV_ANSWER_GONE:
	case DISPVM_EV_KILLME:
	case DISPVM_EV_OPENER_GONE:
	case DISPVM_EV_DESTROYED:
		ignore(s);
		return;
	}
}

static void in_ready(struct stepping *s, const struct dispvm_event *ev)
{
	switch (ev->kind) {
	case DISPVM_EV_ATTACHING:
		add(s, DISPVM_ACT_UNPAUSE);
		return;
	case DISPVM_EV_OPENED:
		s->d->to_opener = *ev->reply;
		change_state(s, DISPVM_OPEN, s->limits->life_ms);
		return;
	case DISPVM_EV_FAILED:
	case DISPVM_EV_VM_GONE:
	case DISPVM_EV_DISCARD:
	case DISPVM_EV_DEADLINE:
	case DISPVM_EV_REQUEST_GONE:
	case DISPVM_EV_OPENER_GONE:
		end_unopened(s, ev);
		destroy(s);
		return;
	case DISPVM_EV_PREPARED:
	case DISPVM_EV_MADE:
	case DISPVM_EV_ASSIGN:
	case DISPVM_EV_ANSWER:
	case DISPVM_EV_STORED:
	case DISPVM_EV_ANSWER_GONE:
	case DISPVM_EV_KILLME:
	case DISPVM_EV_DESTROYED:
		ignore(s);
		return;
	}
}

static void discarded(struct stepping *s)
{
	reply(s, false, QPEN_ERROR_CANCELLED, "the DisposableVM was removed in dom0");
	destroy(s);
}

static void lost(struct stepping *s)
{
	reply_lost(s);
	destroy(s);
}

static void in_open(struct stepping *s, const struct dispvm_event *ev)
{
	switch (ev->kind) {
	case DISPVM_EV_ANSWER:
		s->d->answer = ev->transfer;
		s->d->state = DISPVM_ANSWERING; /* its time goes on */
		return;
	case DISPVM_EV_KILLME:
		reply(s, true, QPEN_ERROR_FAILED, "unchanged");
		destroy(s);
		return;
	case DISPVM_EV_VM_GONE:
	case DISPVM_EV_DEADLINE:
		lost(s);
		return;
	case DISPVM_EV_DISCARD:
		discarded(s);
		return;
	case DISPVM_EV_OPENER_GONE:
		s->d->to_opener.pending = false;
		destroy(s);
		return;
	case DISPVM_EV_PREPARED:
	case DISPVM_EV_MADE:
	case DISPVM_EV_FAILED:
	case DISPVM_EV_ASSIGN:
	case DISPVM_EV_ATTACHING:
	case DISPVM_EV_OPENED:
	case DISPVM_EV_REQUEST_GONE: /* it has given the pendrive back */
	case DISPVM_EV_STORED:
	case DISPVM_EV_ANSWER_GONE:
	case DISPVM_EV_DESTROYED:
		ignore(s);
		return;
	}
}

static void in_answering(struct stepping *s, const struct dispvm_event *ev)
{
	switch (ev->kind) {
	case DISPVM_EV_STORED:
		s->d->answer = 0;
		reply(s, true, QPEN_ERROR_FAILED, "saved");
		destroy(s);
		return;
	case DISPVM_EV_ANSWER_GONE:
		s->d->answer = 0;
		if (s->d->kill_asked)
			lost(s);
		else
			s->d->state = DISPVM_OPEN; /* it may try again */
		return;
	case DISPVM_EV_VM_GONE: /* its answer may be out of its hands already */
		if (s->d->kill_asked) {
			ignore(s);
			return;
		}
		s->d->kill_asked = true; /* and it cannot try again */
		return;
	case DISPVM_EV_KILLME:
		s->d->kill_asked = true;
		return;
	case DISPVM_EV_DISCARD:
		discarded(s);
		return;
	case DISPVM_EV_DEADLINE:
		lost(s);
		return;
	case DISPVM_EV_OPENER_GONE:
		s->d->to_opener.pending = false;
		destroy(s);
		return;
	case DISPVM_EV_PREPARED:
	case DISPVM_EV_MADE:
	case DISPVM_EV_FAILED:
	case DISPVM_EV_ASSIGN:
	case DISPVM_EV_ATTACHING:
	case DISPVM_EV_OPENED:
	case DISPVM_EV_REQUEST_GONE:
	case DISPVM_EV_ANSWER:
	case DISPVM_EV_DESTROYED:
		ignore(s);
		return;
	}
}

static void in_destroying(struct stepping *s, const struct dispvm_event *ev)
{
	switch (ev->kind) {
	case DISPVM_EV_DESTROYED:
		be_gone(s);
		return;
	case DISPVM_EV_DEADLINE:
		destroy(s);
		return;
	case DISPVM_EV_PREPARED:
	case DISPVM_EV_MADE:
	case DISPVM_EV_FAILED:
	case DISPVM_EV_ASSIGN:
	case DISPVM_EV_ATTACHING:
	case DISPVM_EV_OPENED:
	case DISPVM_EV_REQUEST_GONE:
	case DISPVM_EV_ANSWER:
	case DISPVM_EV_STORED:
	case DISPVM_EV_ANSWER_GONE:
	case DISPVM_EV_KILLME:
	case DISPVM_EV_OPENER_GONE:
	case DISPVM_EV_VM_GONE:
	case DISPVM_EV_DISCARD:
		ignore(s);
		return;
	}
}

static struct stepping begin(struct dispvm *d, const struct dispvm_limits *limits, int64_t now_ms,
	struct dispvm_step *out)
{
	memset(out, 0, sizeof *out);
	return (struct stepping){.d = d, .limits = limits, .now_ms = now_ms, .out = out};
}

void dispvm_start(struct dispvm *d, const struct dispvm_event *assign_event, bool prepared,
	const struct dispvm_limits *limits, int64_t now_ms, struct dispvm_step *out)
{
	struct stepping s = begin(d, limits, now_ms, out);

	d->started_ms = now_ms;
	if (assign_event)
		assign(d, assign_event);
	prepare_or_make(&s, prepared);
}

void dispvm_step(struct dispvm *d, const struct dispvm_event *event,
	const struct dispvm_limits *limits, int64_t now_ms, struct dispvm_step *out)
{
	struct stepping s = begin(d, limits, now_ms, out);

	switch (d->state) {
	case DISPVM_CLEARING:
		in_clearing(&s, event);
		return;
	case DISPVM_PREPARING:
		in_preparing(&s, event);
		return;
	case DISPVM_MAKING:
		in_making(&s, event);
		return;
	case DISPVM_POOLED:
		in_pooled(&s, event);
		return;
	case DISPVM_READY:
		in_ready(&s, event);
		return;
	case DISPVM_OPEN:
		in_open(&s, event);
		return;
	case DISPVM_ANSWERING:
		in_answering(&s, event);
		return;
	case DISPVM_DESTROYING:
		in_destroying(&s, event);
		return;
	case DISPVM_GONE:
		ignore(&s);
		return;
	}
}

void dispvm_resume(struct dispvm *d, const struct dispvm_limits *limits, int64_t now_ms,
	struct dispvm_step *out)
{
	struct stepping s = begin(d, limits, now_ms, out);

	switch (d->state) {
	case DISPVM_CLEARING:
	case DISPVM_PREPARING:
	case DISPVM_MAKING:
		/* Whoever made it died with the former daemon, and may have left half a VM. */
		if (!has_opener(d)) {
			destroy(&s);
			return;
		}
		add(&s, DISPVM_ACT_DESTROY);
		change_state(&s, DISPVM_CLEARING, limits->destroy_ms);
		return;
	case DISPVM_READY:
		/* One of the two may not have been told, or not have run, when the daemon died. */
		add(&s, DISPVM_ACT_TELL_READY);
		return;
	case DISPVM_DESTROYING:
		destroy(&s);
		return;
	case DISPVM_POOLED:
	case DISPVM_OPEN:
	case DISPVM_ANSWERING:
	case DISPVM_GONE:
		return;
	}
}

bool dispvm_should_run(const struct dispvm *d)
{
	switch (d->state) {
	case DISPVM_POOLED:
	case DISPVM_READY:
	case DISPVM_OPEN:
	case DISPVM_ANSWERING:
		return true;
	case DISPVM_CLEARING:
	case DISPVM_PREPARING:
	case DISPVM_MAKING:
	case DISPVM_DESTROYING:
	case DISPVM_GONE:
		return false;
	}
	return false;
}

bool dispvm_may_answer(const struct dispvm *d, const struct request *request)
{
	return d->state == DISPVM_OPEN && !d->view && strcmp(d->opener.name, request->dest) == 0 &&
	       strcmp(d->seq, request->seq) == 0;
}
