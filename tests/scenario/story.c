/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "story.h"

#include <string.h>

/* ---- given ---- */

struct sim *given_host_of(const struct exchange_limits *limits, const char *const *names)
{
	struct sim *sim = sim_new(limits);

	sim->trace = g_getenv("QFX_TRACE") != NULL;
	for (; *names; names++)
		sim_add_vm(sim, *names);
	sim_start(sim);
	sim_run(sim);
	g_assert_cmpstr(sim->violation, ==, NULL);
	return sim;
}

void the_end(struct sim *sim)
{
	sim_rest(sim);
	g_assert_cmpstr(sim->violation, ==, NULL);
	sim_free(sim);
}

struct sim_vm *vm(struct sim *sim, const char *name)
{
	struct sim_vm *found = sim_find_named(sim, name);

	g_assert_nonnull(found);
	return found;
}

/* ---- when ---- */

struct sim_request *asks(struct sim *sim, const char *name, const char *text)
{
	struct sim_request *r = sim_ask(sim, vm(sim, name), text);

	g_assert_nonnull(r);
	return r;
}

static void all_follows(struct sim *sim)
{
	sim_run(sim);
	g_assert_cmpstr(sim->violation, ==, NULL);
}

struct sim_request *says(struct sim *sim, const char *name, const char *text)
{
	struct sim_request *r = asks(sim, name, text);

	all_follows(sim);
	return r;
}

void writes(struct sim *sim, const char *name, const char *text)
{
	g_assert_true(sim_write(sim, vm(sim, name), text, strlen(text)));
	all_follows(sim);
}

void when(struct sim *sim, enum sim_job_kind kind)
{
	for (guint i = 0; i < sim->jobs->len; i++) {
		if (g_array_index(sim->jobs, struct sim_job, i).kind == kind) {
			sim_do(sim, i, false);
			g_assert_cmpstr(sim->violation, ==, NULL);
			return;
		}
	}
	g_error("there is no job of kind %d to do", (int)kind);
}

static void answer(struct sim *sim, const char *sender, bool yes)
{
	const struct transfer *t = sim_transfer_of(sim, sender);

	g_assert_nonnull(t);
	g_assert_true(sim_is_asked(sim, t->id));
	sim_answer(sim, t->id, yes);
}

void user_says(struct sim *sim, const char *sender, bool yes)
{
	answer(sim, sender, yes);
	all_follows(sim);
}

/* ---- then ---- */

void then_reply(const struct sim_request *r, const char *beginning)
{
	g_autofree char *wanted = g_strdup_printf("%s %s", r->id, beginning);

	g_assert_cmpuint(r->n_finals, ==, 1);
	if (!g_str_has_prefix(r->reply, wanted))
		g_assert_cmpstr(r->reply, ==, wanted);
}

void then_waits(const struct sim_request *r)
{
	g_assert_true(r->taken);
	g_assert_cmpuint(r->n_finals, ==, 0);
}

void then_state(struct sim *sim, const char *sender, enum transfer_state state)
{
	const struct transfer *t = sim_transfer_of(sim, sender);

	g_assert_nonnull(t);
	g_assert_cmpstr(transfer_state_name(t->state), ==, transfer_state_name(state));
}

void then_gone(struct sim *sim, const char *sender)
{
	const struct transfer *t = sim_transfer_of(sim, sender);

	g_assert_cmpstr(t ? transfer_state_name(t->state) : NULL, ==, NULL);
}

void then_holds(struct sim *sim, const char *name, enum transfer_place place, bool wanted)
{
	const struct sim_disk *disk = sim_disk_in(sim, vm(sim, name), place);

	g_assert_cmpint(disk && disk->connected, ==, wanted);
}

/* ---- given, once more ---- */

void given_lent(struct sim *sim, const char *name)
{
	then_reply(says(sim, name, "new"), "ok xvdg");
	then_state(sim, name, TRANSFER_LENT);
	then_holds(sim, name, TRANSFER_AT_SENDER, true);
}

static struct sim_request *asks_to_send(struct sim *sim, const char *name, const char *to)
{
	g_autofree char *text = g_strdup_printf("send %s", to);

	return asks(sim, name, text);
}

struct sim_request *given_asking(struct sim *sim, const char *name, const char *to)
{
	struct sim_request *r;

	given_lent(sim, name);
	r = asks_to_send(sim, name, to);
	all_follows(sim);
	then_waits(r);
	then_state(sim, name, TRANSFER_ASKING);
	return r;
}

struct sim_request *given_delivered(struct sim *sim, const char *name, const char *to)
{
	struct sim_request *r = given_asking(sim, name, to);

	user_says(sim, name, true);
	then_reply(r, "ok delivered");
	then_state(sim, name, TRANSFER_DELIVERED);
	then_holds(sim, to, TRANSFER_AT_RECEIVER, true);
	return r;
}

static struct sim_request *given_early_state(struct sim *sim, enum transfer_state state)
{
	struct sim_request *r = asks(sim, "work", "new");

	when(sim, SIM_EV_MAILBOX);
	if (state == TRANSFER_MAKING)
		return r;
	when(sim, SIM_MAKE);
	when(sim, SIM_EV_MADE);
	return r;
}

static struct sim_request *given_queued(struct sim *sim)
{
	struct sim_request *r;

	if (!sim_find_named(sim, "bank")) {
		sim_add_vm(sim, "bank");
		sim_run(sim);
	}
	given_delivered(sim, "bank", "personal");
	r = given_asking(sim, "work", "personal");
	user_says(sim, "work", true);
	return r;
}

struct sim_request *given_state(struct sim *sim, enum transfer_state state)
{
	struct sim_request *r = NULL;

	switch (state) {
	case TRANSFER_MAKING:
	case TRANSFER_ATTACHING_OUT:
		r = given_early_state(sim, state);
		break;
	case TRANSFER_LENT:
		r = says(sim, "work", "new");
		break;
	case TRANSFER_FREEZING:
		given_lent(sim, "work");
		r = asks_to_send(sim, "work", "personal");
		when(sim, SIM_EV_MAILBOX);
		break;
	case TRANSFER_ASKING:
		r = given_asking(sim, "work", "personal");
		break;
	case TRANSFER_QUEUED:
		r = given_queued(sim);
		break;
	case TRANSFER_ATTACHING_IN:
		r = given_asking(sim, "work", "personal");
		answer(sim, "work", true);
		when(sim, SIM_EV_ANSWERED);
		break;
	case TRANSFER_DELIVERED:
		r = given_delivered(sim, "work", "personal");
		break;
	case TRANSFER_TAKING_BACK:
		given_delivered(sim, "work", "personal");
		r = asks(sim, "personal", "umount");
		when(sim, SIM_EV_MAILBOX);
		break;
	case TRANSFER_REFUSING:
		r = given_asking(sim, "work", "personal");
		user_says(sim, "work", false);
		break;
	case TRANSFER_DISCARDING:
		r = says(sim, "work", "new");
		g_assert_true(sim_cancel(sim, sim_transfer_of(sim, "work")->id));
		break;
	case TRANSFER_STARTING_VM:
		given_lent(sim, "work");
		r = asks(sim, "work", "send disposable 1");
		when(sim, SIM_EV_MAILBOX);
		when(sim, SIM_RELEASE);
		when(sim, SIM_LOOP_FREE);
		when(sim, SIM_EV_DETACHED);
		break;
	case TRANSFER_GONE:
		g_assert_not_reached();
	}
	then_state(sim, "work", state);
	return r;
}
