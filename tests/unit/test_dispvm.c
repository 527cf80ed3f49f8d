/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A DisposableVM's state machine: every state with every event, what the table cannot say, and that
 * no order of events breaks the rules which all others rely on.
 */
#include <glib.h>
#include <string.h>

#include "dispvm.h"
#include "dispvm_record.h"

#define NOW 1000000

/* Each a different number, so that a deadline shows which of them was used. */
static const struct dispvm_limits limits = {
	.prepare_ms = 1000,
	.make_ms = 2000,
	.life_ms = 3000,
	.destroy_ms = 4000,
	.max_per_opener = 1,
	.max_total = 1,
};

static const struct vm_id work = {7, "11111111-1111-1111-1111-111111111111", "work"};
static const struct request open_request = {
	.verb = REQUEST_SEND, .id = "s1", .dest = QPEN_DISPOSABLE, .seq = "42", .view = true};
static const struct pending_reply to_work = {.pending = true, .id = "s1"};

/* ---- a step as text: `state+deadline: actions`, or `-` when it was ignored ---- */

static void describe_action(GString *out, const struct dispvm_action *action)
{
	switch (action->kind) {
	case DISPVM_ACT_PREPARE:
		g_string_append(out, "prepare");
		return;
	case DISPVM_ACT_MAKE:
		g_string_append(out, "make");
		return;
	case DISPVM_ACT_UNPAUSE:
		g_string_append(out, "unpause");
		return;
	case DISPVM_ACT_DESTROY:
		g_string_append(out, "destroy");
		return;
	case DISPVM_ACT_TELL_STARTING:
		g_string_append(out, "starting");
		return;
	case DISPVM_ACT_TELL_READY:
		g_string_append(out, "ready");
		return;
	case DISPVM_ACT_TELL_FAILED:
		g_string_append_printf(out, "failed %s", qpen_error_name(action->error));
		return;
	case DISPVM_ACT_REPLY:
		g_assert_nonnull(action->detail);
		g_string_append_printf(out, "reply %s",
			action->ok ? action->detail : qpen_error_name(action->error));
		return;
	}
	g_assert_not_reached();
}

static char *describe(const struct dispvm *d, const struct dispvm_step *step)
{
	GString *out = g_string_new(NULL);

	if (step->ignored) {
		g_assert_cmpuint(step->n_actions, ==, 0);
		g_string_append(out, "-");
		return g_string_free(out, FALSE);
	}
	g_string_append_printf(
		out, "%s+%d:", dispvm_state_name(d->state), (int)(d->deadline_ms - NOW));
	for (unsigned i = 0; i < step->n_actions; i++) {
		g_string_append(out, i ? ", " : " ");
		describe_action(out, &step->actions[i]);
	}
	return g_string_free(out, FALSE);
}

/* ---- the ordinary one in each state; its deadline is at NOW + 123 ---- */

static struct dispvm in_state(enum dispvm_state state)
{
	struct dispvm d = {
		.number = 3,
		.state = state,
		.id = {0, "33333333-3333-3333-3333-333333333333", "disp3"},
		.label = "red",
		.started_ms = NOW - 1,
		.deadline_ms = NOW + 123,
	};

	if (dispvm_should_run(&d) || state == DISPVM_DESTROYING)
		d.id.domid = 9;
	if (state != DISPVM_POOLED) {
		d.opener = work;
		strcpy(d.seq, "42");
		d.request = 4;
	}
	if (state == DISPVM_OPEN || state == DISPVM_ANSWERING)
		d.to_opener = to_work;
	if (state == DISPVM_ANSWERING)
		d.answer = 5;
	return d;
}

static struct dispvm_event event_of(enum dispvm_event_kind kind)
{
	struct dispvm_event event = {.kind = kind};

	if (kind == DISPVM_EV_MADE)
		event.domid = 9;
	if (kind == DISPVM_EV_FAILED)
		event.error = QPEN_ERROR_NO_MEMORY;
	if (kind == DISPVM_EV_ASSIGN) {
		event.opener = &work;
		event.request = &open_request;
		event.transfer = 4;
	}
	if (kind == DISPVM_EV_OPENED)
		event.reply = &to_work;
	if (kind == DISPVM_EV_ANSWER)
		event.transfer = 5;
	event.prepared = kind == DISPVM_EV_DESTROYED;
	return event;
}

/* As far as the next daemon would know. */
static void assert_same(const struct dispvm *a, const struct dispvm *b)
{
	char x[RECORD_MAX], y[RECORD_MAX];

	dispvm_record_format(a, x);
	dispvm_record_format(b, y);
	g_assert_cmpstr(x, ==, y);
}

/* ---- the matrix ---- */

#define IN(state) [DISPVM_##state]
#define ON(event) [DISPVM_EV_##event]
#define NOTHING "-"

static const char
	*const matrix[DISPVM_N_STATES][DISPVM_N_EVENTS] =
		{
			IN(CLEARING) =
				{
					ON(PREPARED) = NOTHING,
					ON(MADE) = NOTHING,
					ON(FAILED) = NOTHING,
					ON(ASSIGN) = NOTHING,
					ON(ATTACHING) = NOTHING,
					ON(OPENED) = NOTHING,
					ON(REQUEST_GONE) = "destroying+4000: destroy",
					ON(ANSWER) = NOTHING,
					ON(STORED) = NOTHING,
					ON(ANSWER_GONE) = NOTHING,
					ON(KILLME) = NOTHING,
					ON(OPENER_GONE) = "destroying+4000: destroy",
					ON(VM_GONE) = NOTHING,
					ON(DISCARD) = "destroying+4000: failed cancelled, destroy",
					ON(DEADLINE) = "destroying+4000: failed timeout, destroy",
					ON(DESTROYED) = "making+2000: make",
				},
			IN(PREPARING) =
				{
					ON(PREPARED) = "making+2000: starting, make",
					ON(MADE) = NOTHING,
					ON(FAILED) = "gone+0: failed no-memory",
					ON(ASSIGN) = NOTHING,
					ON(ATTACHING) = NOTHING,
					ON(OPENED) = NOTHING,
					ON(REQUEST_GONE) = "gone+0:",
					ON(ANSWER) = NOTHING,
					ON(STORED) = NOTHING,
					ON(ANSWER_GONE) = NOTHING,
					ON(KILLME) = NOTHING,
					ON(OPENER_GONE) = "gone+0:",
					ON(VM_GONE) = NOTHING,
					ON(DISCARD) = "gone+0: failed cancelled",
					ON(DEADLINE) = "gone+0: failed timeout",
					ON(DESTROYED) = NOTHING,
				},
			IN(MAKING) =
				{
					ON(PREPARED) = NOTHING,
					ON(MADE) = "ready+3000: ready",
					ON(FAILED) = "gone+0: failed no-memory",
					ON(ASSIGN) = NOTHING,
					ON(ATTACHING) = NOTHING,
					ON(OPENED) = NOTHING,
					ON(REQUEST_GONE) = "destroying+4000: destroy",
					ON(ANSWER) = NOTHING,
					ON(STORED) = NOTHING,
					ON(ANSWER_GONE) = NOTHING,
					ON(KILLME) = NOTHING,
					ON(OPENER_GONE) = "destroying+4000: destroy",
					ON(VM_GONE) = NOTHING,
					ON(DISCARD) = "destroying+4000: failed cancelled, destroy",
					ON(DEADLINE) = "destroying+4000: failed timeout, destroy",
					ON(DESTROYED) = NOTHING,
				},
			IN(POOLED) =
				{
					ON(PREPARED) = NOTHING,
					ON(MADE) = NOTHING,
					ON(FAILED) = "destroying+4000: destroy",
					ON(ASSIGN) = "ready+3000: ready",
					ON(ATTACHING) = NOTHING,
					ON(OPENED) = NOTHING,
					ON(REQUEST_GONE) = NOTHING,
					ON(ANSWER) = NOTHING,
					ON(STORED) = NOTHING,
					ON(ANSWER_GONE) = NOTHING,
					ON(KILLME) = NOTHING,
					ON(OPENER_GONE) = NOTHING,
					ON(VM_GONE) = "destroying+4000: destroy",
					ON(DISCARD) = "destroying+4000: destroy",
					ON(DEADLINE) = "destroying+4000: destroy",
					ON(DESTROYED) = NOTHING,
				},
			IN(READY) =
				{
					ON(PREPARED) = NOTHING,
					ON(MADE) = NOTHING,
					ON(FAILED) = "destroying+4000: failed no-memory, destroy",
					ON(ASSIGN) = NOTHING,
					ON(ATTACHING) = "ready+123: unpause",
					ON(OPENED) = "open+3000:",
					ON(REQUEST_GONE) = "destroying+4000: destroy",
					ON(ANSWER) = NOTHING,
					ON(STORED) = NOTHING,
					ON(ANSWER_GONE) = NOTHING,
					ON(KILLME) = NOTHING,
					ON(OPENER_GONE) = "destroying+4000: destroy",
					ON(VM_GONE) = "destroying+4000: failed lost, destroy",
					ON(DISCARD) = "destroying+4000: failed cancelled, destroy",
					ON(DEADLINE) = "destroying+4000: failed timeout, destroy",
					ON(DESTROYED) = NOTHING,
				},
			IN(OPEN) =
				{
					ON(PREPARED) = NOTHING,
					ON(MADE) = NOTHING,
					ON(FAILED) = NOTHING,
					ON(ASSIGN) = NOTHING,
					ON(ATTACHING) = NOTHING,
					ON(OPENED) = NOTHING,
					ON(REQUEST_GONE) = NOTHING,
					ON(ANSWER) = "answering+123:",
					ON(STORED) = NOTHING,
					ON(ANSWER_GONE) = NOTHING,
					ON(KILLME) = "destroying+4000: reply unchanged, destroy",
					ON(OPENER_GONE) = "destroying+4000: destroy",
					ON(VM_GONE) = "destroying+4000: reply lost, destroy",
					ON(DISCARD) = "destroying+4000: reply cancelled, destroy",
					ON(DEADLINE) = "destroying+4000: reply lost, destroy",
					ON(DESTROYED) = NOTHING,
				},
			IN(ANSWERING) =
				{
					ON(PREPARED) = NOTHING,
					ON(MADE) = NOTHING,
					ON(FAILED) = NOTHING,
					ON(ASSIGN) = NOTHING,
					ON(ATTACHING) = NOTHING,
					ON(OPENED) = NOTHING,
					ON(REQUEST_GONE) = NOTHING,
					ON(ANSWER) = NOTHING,
					ON(STORED) = "destroying+4000: reply saved, destroy",
					ON(ANSWER_GONE) = "open+123:",
					ON(KILLME) = "answering+123:",
					ON(OPENER_GONE) = "destroying+4000: destroy",
					ON(VM_GONE) = "answering+123:",
					ON(DISCARD) = "destroying+4000: reply cancelled, destroy",
					ON(DEADLINE) = "destroying+4000: reply lost, destroy",
					ON(DESTROYED) = NOTHING,
				},
			IN(DESTROYING) =
				{
					ON(PREPARED) = NOTHING,
					ON(MADE) = NOTHING,
					ON(FAILED) = NOTHING,
					ON(ASSIGN) = NOTHING,
					ON(ATTACHING) = NOTHING,
					ON(OPENED) = NOTHING,
					ON(REQUEST_GONE) = NOTHING,
					ON(ANSWER) = NOTHING,
					ON(STORED) = NOTHING,
					ON(ANSWER_GONE) = NOTHING,
					ON(KILLME) = NOTHING,
					ON(OPENER_GONE) = NOTHING,
					ON(VM_GONE) = NOTHING,
					ON(DISCARD) = NOTHING,
					ON(DEADLINE) = "destroying+4000: destroy",
					ON(DESTROYED) = "gone+0:",
				},
			IN(GONE) =
				{
					ON(PREPARED) = NOTHING,
					ON(MADE) = NOTHING,
					ON(FAILED) = NOTHING,
					ON(ASSIGN) = NOTHING,
					ON(ATTACHING) = NOTHING,
					ON(OPENED) = NOTHING,
					ON(REQUEST_GONE) = NOTHING,
					ON(ANSWER) = NOTHING,
					ON(STORED) = NOTHING,
					ON(ANSWER_GONE) = NOTHING,
					ON(KILLME) = NOTHING,
					ON(OPENER_GONE) = NOTHING,
					ON(VM_GONE) = NOTHING,
					ON(DISCARD) = NOTHING,
					ON(DEADLINE) = NOTHING,
					ON(DESTROYED) = NOTHING,
				},
};

static void test_matrix(void)
{
	for (int s = 0; s < DISPVM_N_STATES; s++) {
		for (int e = 0; e < DISPVM_N_EVENTS; e++) {
			struct dispvm before = in_state((enum dispvm_state)s), d = before;
			struct dispvm_event event = event_of((enum dispvm_event_kind)e);
			struct dispvm_step step;
			g_autofree char *got = NULL;

			dispvm_step(&d, &event, &limits, NOW, &step);
			got = describe(&d, &step);
			g_test_message("%-10s %-12s %s", dispvm_state_name(before.state),
				dispvm_event_name(event.kind), got);
			/* A cell that nobody thought about is NULL, and equal to nothing. */
			g_assert_cmpstr(got, ==, matrix[s][e]);
			if (step.ignored)
				assert_same(&d, &before);
		}
	}
}

/* ---- what depends on more than the state ---- */

static void of_pool(struct dispvm *d)
{
	d->opener = (struct vm_id){0};
	d->request = 0;
	d->seq[0] = '\0';
}

static void kill_asked(struct dispvm *d)
{
	d->kill_asked = true;
}

/* The opener asked as in 2010 and has died, or the answer was never wanted. */
static void nobody_waits(struct dispvm *d)
{
	d->to_opener.pending = false;
}

static const struct {
	const char *label;
	enum dispvm_state state;
	void (*change)(struct dispvm *d);
	enum dispvm_event_kind event;
	const char *wanted;
} variants[] = {
	{"it asked to go, and its answer was stored", DISPVM_ANSWERING, kill_asked,
		DISPVM_EV_STORED, "destroying+4000: reply saved, destroy"},
	{"it asked to go, and its answer failed", DISPVM_ANSWERING, kill_asked,
		DISPVM_EV_ANSWER_GONE, "destroying+4000: reply lost, destroy"},
	{"its end is heard of twice while it answers", DISPVM_ANSWERING, kill_asked,
		DISPVM_EV_VM_GONE, "-"},
	{"unchanged, and nobody waits", DISPVM_OPEN, nobody_waits, DISPVM_EV_KILLME,
		"destroying+4000: destroy"},
	{"lost, and nobody waits", DISPVM_OPEN, nobody_waits, DISPVM_EV_VM_GONE,
		"destroying+4000: destroy"},
	{"saved, and nobody waits", DISPVM_ANSWERING, nobody_waits, DISPVM_EV_STORED,
		"destroying+4000: destroy"},
	{"prepared for the pool: nobody is told", DISPVM_PREPARING, of_pool, DISPVM_EV_PREPARED,
		"making+2000: make"},
	{"not prepared for the pool", DISPVM_PREPARING, of_pool, DISPVM_EV_FAILED, "gone+0:"},
	{"made for the pool", DISPVM_MAKING, of_pool, DISPVM_EV_MADE, "pooled+3000:"},
	{"not made for the pool", DISPVM_MAKING, of_pool, DISPVM_EV_FAILED, "gone+0:"},
	{"not made for the pool in time", DISPVM_MAKING, of_pool, DISPVM_EV_DEADLINE,
		"destroying+4000: destroy"},
};

static void test_variants(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(variants); i++) {
		struct dispvm d = in_state(variants[i].state);
		struct dispvm_event event = event_of(variants[i].event);
		struct dispvm_step step;
		g_autofree char *got = NULL;

		g_test_message("%s", variants[i].label);
		variants[i].change(&d);
		dispvm_step(&d, &event, &limits, NOW, &step);
		got = describe(&d, &step);
		g_assert_cmpstr(got, ==, variants[i].wanted);
	}
}

/* Half a VM was removed, and the save file has gone meanwhile. */
static void test_cleared_unprepared(void)
{
	struct dispvm d = in_state(DISPVM_CLEARING);
	struct dispvm_event event = event_of(DISPVM_EV_DESTROYED);
	struct dispvm_step step;
	g_autofree char *got = NULL;

	event.prepared = false;
	dispvm_step(&d, &event, &limits, NOW, &step);
	got = describe(&d, &step);
	g_assert_cmpstr(got, ==, "preparing+1000: prepare");
}

/* What events bring with them. */
static void test_fields(void)
{
	struct dispvm d = in_state(DISPVM_POOLED);
	struct dispvm_event event = event_of(DISPVM_EV_ASSIGN);
	struct dispvm_step step;

	dispvm_step(&d, &event, &limits, NOW, &step);
	g_assert_cmpstr(d.opener.uuid, ==, work.uuid);
	g_assert_cmpstr(d.seq, ==, "42");
	g_assert_true(d.view);
	g_assert_cmpuint(d.request, ==, 4);
	event = event_of(DISPVM_EV_OPENED);
	dispvm_step(&d, &event, &limits, NOW, &step);
	g_assert_true(d.to_opener.pending);
	g_assert_cmpstr(d.to_opener.id, ==, "s1");
	event = event_of(DISPVM_EV_ANSWER);
	dispvm_step(&d, &event, &limits, NOW, &step);
	g_assert_cmpuint(d.answer, ==, 5);
	event = event_of(DISPVM_EV_KILLME);
	dispvm_step(&d, &event, &limits, NOW, &step);
	g_assert_true(d.kill_asked);
	event = event_of(DISPVM_EV_STORED);
	dispvm_step(&d, &event, &limits, NOW, &step);
	g_assert_cmpuint(d.answer, ==, 0);
	g_assert_false(d.to_opener.pending);

	d = in_state(DISPVM_MAKING);
	event = event_of(DISPVM_EV_MADE);
	dispvm_step(&d, &event, &limits, NOW, &step);
	g_assert_cmpuint(d.id.domid, ==, 9);
}

static const struct {
	bool assigned, prepared;
	const char *wanted;
} starts[] = {
	{true, true, "making+2000: make"},
	{true, false, "preparing+1000: prepare"},
	{false, true, "making+2000: make"},
	{false, false, "preparing+1000: prepare"},
};

static void test_start(void)
{
	const struct dispvm_event assign = event_of(DISPVM_EV_ASSIGN);

	for (size_t i = 0; i < G_N_ELEMENTS(starts); i++) {
		struct dispvm d = {.number = 3};
		struct dispvm_step step;
		g_autofree char *got = NULL;

		dispvm_start(&d, starts[i].assigned ? &assign : NULL, starts[i].prepared, &limits,
			NOW, &step);
		got = describe(&d, &step);
		g_assert_cmpstr(got, ==, starts[i].wanted);
		g_assert_cmpint(d.started_ms, ==, NOW);
		g_assert_cmpstr(d.opener.name, ==, starts[i].assigned ? "work" : "");
		g_assert_cmpuint(d.request, ==, starts[i].assigned ? 4 : 0);
	}
}

/* ---- after a restart ---- */

static const struct {
	const char *label;
	enum dispvm_state state;
	void (*change)(struct dispvm *d);
	const char *wanted;
} resumes[] = {
	{"cleared again", DISPVM_CLEARING, NULL, "clearing+4000: destroy"},
	{"nobody prepares any more", DISPVM_PREPARING, NULL, "clearing+4000: destroy"},
	{"half a VM may be there", DISPVM_MAKING, NULL, "clearing+4000: destroy"},
	{"likewise, and nobody waits for it", DISPVM_MAKING, of_pool, "destroying+4000: destroy"},
	{"and nobody waits for the save file", DISPVM_PREPARING, of_pool,
		"destroying+4000: destroy"},
	{"stays in the pool", DISPVM_POOLED, NULL, "pooled+123:"},
	{"its request is told again", DISPVM_READY, NULL, "ready+123: ready"},
	{"stays open", DISPVM_OPEN, NULL, "open+123:"},
	{"its answer goes on", DISPVM_ANSWERING, NULL, "answering+123:"},
	{"destroyed again", DISPVM_DESTROYING, NULL, "destroying+4000: destroy"},
};

static void test_resume(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(resumes); i++) {
		struct dispvm d = in_state(resumes[i].state);
		bool pending = d.to_opener.pending;
		struct dispvm_step step;
		g_autofree char *got = NULL;

		g_test_message("%s", resumes[i].label);
		if (resumes[i].change)
			resumes[i].change(&d);
		dispvm_resume(&d, &limits, NOW, &step);
		got = describe(&d, &step);
		g_assert_cmpstr(got, ==, resumes[i].wanted);
		g_assert_cmpint(d.to_opener.pending, ==, pending);
	}
}

/* ---- answers ---- */

static const struct {
	const char *label, *dest, *seq;
	enum dispvm_state state;
	bool view, wanted;
} answers[] = {
	{"the answer", "work", "42", DISPVM_OPEN, false, true},
	{"only to be looked at", "work", "42", DISPVM_OPEN, true, false},
	{"another SEQ", "work", "43", DISPVM_OPEN, false, false},
	{"a SEQ that goes on", "work", "421", DISPVM_OPEN, false, false},
	{"another VM", "personal", "42", DISPVM_OPEN, false, false},
	{"itself", "disp3", "42", DISPVM_OPEN, false, false},
	{"a second one", "work", "42", DISPVM_ANSWERING, false, false},
	{"one too early", "work", "42", DISPVM_READY, false, false},
	{"one too late", "work", "42", DISPVM_DESTROYING, false, false},
};

static void test_answers(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(answers); i++) {
		struct dispvm d = in_state(answers[i].state);
		struct request r = {.verb = REQUEST_SEND};

		g_test_message("%s", answers[i].label);
		d.view = answers[i].view;
		strcpy(r.dest, answers[i].dest);
		strcpy(r.seq, answers[i].seq);
		g_assert_cmpint(dispvm_may_answer(&d, &r), ==, answers[i].wanted);
	}
}

static void test_should_run(void)
{
	static const bool wanted[DISPVM_N_STATES] = {
		IN(POOLED) = true, IN(READY) = true, IN(OPEN) = true, IN(ANSWERING) = true};

	for (int s = 0; s < DISPVM_N_STATES; s++) {
		struct dispvm d = in_state((enum dispvm_state)s);

		g_assert_cmpint(dispvm_should_run(&d), ==, wanted[s]);
	}
}

/* ---- any order of events ---- */

struct walk {
	struct dispvm d;
	int64_t now_ms;
	unsigned n_opened, n_replies, n_told, n_released;
	bool running; /* it was let run */
};

static void check_action(
	struct walk *w, const struct dispvm *before, const struct dispvm_action *action)
{
	switch (action->kind) {
	case DISPVM_ACT_MAKE:
		g_assert_cmpint(w->d.state, ==, DISPVM_MAKING);
		return;
	case DISPVM_ACT_PREPARE:
		g_assert_cmpint(w->d.state, ==, DISPVM_PREPARING);
		return;
	case DISPVM_ACT_UNPAUSE:
		/* Not before it is there, and is somebody's. */
		g_assert_cmpint(before->state, ==, DISPVM_READY);
		g_assert_cmpuint(w->d.id.domid, !=, 0);
		g_assert_true(w->d.opener.uuid[0] != '\0');
		w->running = true;
		return;
	case DISPVM_ACT_DESTROY:
		g_assert_cmpint(w->d.state, ==, DISPVM_DESTROYING);
		return;
	case DISPVM_ACT_TELL_STARTING:
	case DISPVM_ACT_TELL_READY:
		g_assert_cmpuint(w->d.request, !=, 0);
		return;
	case DISPVM_ACT_TELL_FAILED:
		/* Once it is open, its opener is answered instead. */
		g_assert_cmpuint(w->n_opened, ==, 0);
		w->n_told++;
		return;
	case DISPVM_ACT_REPLY:
		g_assert_true(before->to_opener.pending);
		g_assert_cmpuint(w->n_opened, ==, 1);
		w->n_replies++;
		return;
	}
}

static void check_record(const struct dispvm *d)
{
	char text[RECORD_MAX];
	struct dispvm back;

	if (d->state == DISPVM_GONE)
		return;
	dispvm_record_format(d, text);
	g_assert_cmpint(dispvm_record_parse(text, strlen(text), &back), ==, RECORD_OK);
	assert_same(d, &back);
}

static void take_step(struct walk *w, const struct dispvm_event *event)
{
	struct dispvm before = w->d;
	struct dispvm_step step;

	if (event->kind == DISPVM_EV_DEADLINE)
		w->now_ms = MAX(w->now_ms, w->d.deadline_ms);
	dispvm_step(&w->d, event, &limits, w->now_ms, &step);
	if (step.ignored) {
		assert_same(&w->d, &before);
		g_assert_cmpint(event->kind, !=, DISPVM_EV_DEADLINE);
		return;
	}
	w->n_opened += event->kind == DISPVM_EV_OPENED ? 1 : 0;
	w->n_released += event->kind == DISPVM_EV_OPENER_GONE ? 1 : 0;
	for (unsigned i = 0; i < step.n_actions; i++)
		check_action(w, &before, &step.actions[i]);
	if (w->d.state != before.state && w->d.state != DISPVM_GONE)
		g_assert_cmpint(w->d.deadline_ms, >, w->now_ms - limits.life_ms);
	g_assert_true(!w->d.to_opener.pending || w->d.state == DISPVM_OPEN ||
		      w->d.state == DISPVM_ANSWERING);
	g_assert_true((w->d.answer != 0) == (w->d.state == DISPVM_ANSWERING) ||
		      w->d.state == DISPVM_DESTROYING || w->d.state == DISPVM_GONE);
	check_record(&w->d);
}

static const enum dispvm_event_kind forward[DISPVM_N_STATES] = {
	IN(CLEARING) = DISPVM_EV_DESTROYED,
	IN(PREPARING) = DISPVM_EV_PREPARED,
	IN(MAKING) = DISPVM_EV_MADE,
	IN(POOLED) = DISPVM_EV_ASSIGN,
	IN(READY) = DISPVM_EV_OPENED,
	IN(OPEN) = DISPVM_EV_ANSWER,
	IN(ANSWERING) = DISPVM_EV_STORED,
	IN(DESTROYING) = DISPVM_EV_DESTROYED,
	IN(GONE) = DISPVM_EV_DEADLINE,
};

/* With nothing but deadlines and a port that destroys, every one comes to its end. */
static void run_out(struct walk *w)
{
	for (int i = 0; w->d.state != DISPVM_GONE; i++) {
		struct dispvm_event event = event_of(
			w->d.state == DISPVM_DESTROYING ? DISPVM_EV_DESTROYED : DISPVM_EV_DEADLINE);

		g_assert_cmpint(i, <, 20);
		take_step(w, &event);
	}
	/* Whoever had it opened has one answer, unless he is dead. */
	g_assert_cmpuint(w->n_replies + w->n_released, >=, w->n_opened);
	g_assert_cmpuint(w->n_replies, <=, w->n_opened);
	g_assert_cmpuint(w->n_told, <=, 1);
}

static struct walk begin_walk(GRand *rand)
{
	const struct dispvm_event assign = event_of(DISPVM_EV_ASSIGN);
	struct walk w = {.d = in_state(DISPVM_PREPARING), .now_ms = NOW};
	struct dispvm_step step;

	w.d.opener = (struct vm_id){0};
	w.d.request = 0;
	dispvm_start(&w.d, g_rand_boolean(rand) ? &assign : NULL, g_rand_boolean(rand), &limits,
		NOW, &step);
	/* Half of them are taken up by another daemon at once. */
	if (g_rand_boolean(rand))
		dispvm_resume(&w.d, &limits, NOW, &step);
	return w;
}

static void test_walks(void)
{
	unsigned visits[DISPVM_N_STATES] = {0};
	g_autoptr(GRand) rand = g_rand_new_with_seed(2010);

	for (int i = 0; i < 20000; i++) {
		struct walk w = begin_walk(rand);
		int n = g_rand_int_range(rand, 1, 40);

		while (n-- > 0 && w.d.state != DISPVM_GONE) {
			enum dispvm_event_kind kind = forward[w.d.state];
			struct dispvm_event event;

			visits[w.d.state]++;
			w.now_ms += g_rand_int_range(rand, 0, 100);
			if (g_rand_boolean(rand))
				kind = (enum dispvm_event_kind)g_rand_int_range(
					rand, 0, DISPVM_N_EVENTS);
			event = event_of(kind);
			event.prepared = g_rand_boolean(rand);
			take_step(&w, &event);
		}
		visits[w.d.state]++;
		run_out(&w);
	}
	for (int s = 0; s < DISPVM_N_STATES; s++) {
		g_test_message("%s: %u times", dispvm_state_name((enum dispvm_state)s), visits[s]);
		g_assert_cmpuint(visits[s], >, 100);
	}
}

static void test_names(void)
{
	for (int s = 0; s < DISPVM_N_STATES; s++)
		for (int other = 0; other < s; other++)
			g_assert_cmpstr(dispvm_state_name((enum dispvm_state)s), !=,
				dispvm_state_name((enum dispvm_state)other));
	for (int e = 0; e < DISPVM_N_EVENTS; e++)
		for (int other = 0; other < e; other++)
			g_assert_cmpstr(dispvm_event_name((enum dispvm_event_kind)e), !=,
				dispvm_event_name((enum dispvm_event_kind)other));
	g_assert_cmpint(DISPVM_GONE + 1, ==, DISPVM_N_STATES);
	g_assert_cmpint(DISPVM_EV_DESTROYED + 1, ==, DISPVM_N_EVENTS);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/dispvm/matrix", test_matrix);
	g_test_add_func("/dispvm/variants", test_variants);
	g_test_add_func("/dispvm/cleared-unprepared", test_cleared_unprepared);
	g_test_add_func("/dispvm/fields", test_fields);
	g_test_add_func("/dispvm/start", test_start);
	g_test_add_func("/dispvm/resume", test_resume);
	g_test_add_func("/dispvm/answers", test_answers);
	g_test_add_func("/dispvm/should-run", test_should_run);
	g_test_add_func("/dispvm/walks", test_walks);
	g_test_add_func("/dispvm/names", test_names);
	return g_test_run();
}
