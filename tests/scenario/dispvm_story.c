/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dispvm_story.h"

#include <string.h>

const struct dispvm *dispvm_of(struct sim *sim, const char *opener)
{
	const struct dispvm *d = sim_dispvm_of(sim, opener);

	g_assert_nonnull(d);
	return d;
}

char *name_of(struct sim *sim, const char *opener)
{
	return g_strdup(dispvm_of(sim, opener)->id.name);
}

void then_dispvm(struct sim *sim, const char *opener, enum dispvm_state state)
{
	g_assert_cmpstr(
		dispvm_state_name(dispvm_of(sim, opener)->state), ==, dispvm_state_name(state));
}

void then_none_is_left(struct sim *sim)
{
	g_assert_cmpuint(sim_n_dispvms(sim), ==, 0);
	g_assert_cmpuint(sim_n_disposable_vms(sim), ==, 0);
	g_assert_cmpuint(g_hash_table_size(sim->dispvms), ==, 0);
}

void then_waits_for(const struct sim_request *r, const char *wait)
{
	g_autofree char *wanted = g_strdup_printf("%s wait %s", r->id, wait);

	then_waits(r);
	g_assert_cmpstr(r->reply, ==, wanted);
}

struct sim_request *opens(struct sim *sim, const char *opener, const char *seq)
{
	g_autofree char *text = g_strdup_printf("send disposable %s", seq);

	given_lent(sim, opener);
	return says(sim, opener, text);
}

struct sim_request *given_open(struct sim *sim, const char *opener, const char *seq)
{
	struct sim_request *r = opens(sim, opener, seq);
	g_autofree char *wanted = g_strdup_printf("open %s", dispvm_of(sim, opener)->id.name);

	then_waits_for(r, wanted);
	then_dispvm(sim, opener, DISPVM_OPEN);
	then_holds(sim, dispvm_of(sim, opener)->id.name, TRANSFER_AT_RECEIVER, true);
	return r;
}

struct sim_request *sends_back(
	struct sim *sim, const char *disp, const char *opener, const char *seq)
{
	g_autofree char *text = g_strdup_printf("send %s %s", opener, seq);

	if (sim_disk_in(sim, vm(sim, disp), TRANSFER_AT_RECEIVER))
		then_reply(says(sim, disp, "umount"), "ok");
	then_reply(says(sim, disp, "new format=none"), "ok xvdg");
	return says(sim, disp, text);
}

bool holds(struct sim *sim, const char *name, enum transfer_place place)
{
	const struct sim_vm *found = sim_find_named(sim, name);
	const struct sim_disk *disk = found ? sim_disk_in(sim, found, place) : NULL;

	return disk && disk->connected;
}

/* What a sensible DisposableVM of `work` and `work` itself do next. */
static void go_on(struct sim *sim, const char *disp, enum dispvm_state state)
{
	const struct sim_vm *its = sim_find_named(sim, disp);

	if (its && its->has_run && !its->down && holds(sim, disp, TRANSFER_AT_RECEIVER))
		says(sim, disp, "umount");
	else if (state == DISPVM_OPEN && holds(sim, disp, TRANSFER_AT_SENDER))
		says(sim, disp, "send work 1");
	else if (state == DISPVM_OPEN)
		says(sim, disp, "new format=none");
	else if (holds(sim, "work", TRANSFER_AT_RECEIVER))
		says(sim, "work", "umount");
	else
		sim_pass(sim, 5000);
}

void bring_to_its_end(struct sim *sim)
{
	const struct dispvm *d;

	sim_run(sim);
	for (int i = 0; (d = sim_dispvm_of(sim, "work")); i++) {
		g_autofree char *name = g_strdup(d->id.name);

		g_assert_cmpint(i, <, 30);
		go_on(sim, name, d->state);
	}
}

/* ---- stages ---- */

static const char *const stage_names[N_STAGES] = {
	[PREPARING] = "preparing",
	[MAKING] = "making",
	[HALF] = "half made",
	[CLEARING] = "clearing",
	[WAITING] = "waiting for the VM",
	[READY] = "ready",
	[ATTACHING] = "attaching",
	[OPEN] = "open",
	[READ] = "read",
	[WRITING] = "writing",
	[FREEZING] = "answering: freezing",
	[QUEUED] = "answering: queued",
	[ARRIVING] = "answering: arriving",
	[ARRIVED] = "answering: arrived",
	[STORED] = "stored",
	[KILLED] = "killed",
};

static void take_the_pendrive(struct sim *sim)
{
	when(sim, SIM_RELEASE);
	when(sim, SIM_LOOP_FREE);
	when(sim, SIM_EV_DETACHED);
}

static void make_the_vm(struct sim *sim)
{
	when(sim, SIM_DOM_BUILD);
	when(sim, SIM_DOM_FINISH);
	when(sim, SIM_EV_DOM_MADE);
}

static struct sim_request *given_unopened(struct sim *sim, enum stage stage)
{
	struct sim_request *r;

	sim->prepared = stage != PREPARING;
	given_lent(sim, "work");
	r = asks(sim, "work", "send disposable 1");
	when(sim, SIM_EV_MAILBOX);
	if (stage == HALF || stage == CLEARING)
		when(sim, SIM_DOM_BUILD);
	if (stage == CLEARING) {
		sim_stop(sim);
		sim_start(sim);
	}
	if (stage == WAITING || stage == ATTACHING)
		take_the_pendrive(sim);
	if (stage == READY || stage == ATTACHING)
		make_the_vm(sim);
	return r;
}

static void give_answer(struct sim *sim, enum stage stage)
{
	if (stage == QUEUED)
		given_delivered(sim, "bank", "work");
	then_reply(says(sim, "disp1", "umount"), "ok");
	if (stage == READ)
		return;
	given_lent(sim, "disp1");
	if (stage == WRITING)
		return;
	asks(sim, "disp1", "send work 1");
	when(sim, SIM_EV_MAILBOX);
	if (stage == FREEZING)
		return;
	take_the_pendrive(sim);
	if (stage == ARRIVING)
		return;
	sim_run(sim);
	if (stage == STORED) {
		asks(sim, "work", "umount");
		when(sim, SIM_EV_MAILBOX);
	}
}

struct sim_request *given_stage(struct sim *sim, enum stage stage)
{
	static const enum dispvm_state states[N_STAGES] = {
		[PREPARING] = DISPVM_PREPARING,
		[MAKING] = DISPVM_MAKING,
		[HALF] = DISPVM_MAKING,
		[CLEARING] = DISPVM_CLEARING,
		[WAITING] = DISPVM_MAKING,
		[READY] = DISPVM_READY,
		[ATTACHING] = DISPVM_READY,
		[OPEN] = DISPVM_OPEN,
		[READ] = DISPVM_OPEN,
		[WRITING] = DISPVM_OPEN,
		[FREEZING] = DISPVM_ANSWERING,
		[QUEUED] = DISPVM_ANSWERING,
		[ARRIVING] = DISPVM_ANSWERING,
		[ARRIVED] = DISPVM_ANSWERING,
		[STORED] = DISPVM_DESTROYING,
		[KILLED] = DISPVM_DESTROYING,
	};
	struct sim_request *r;

	g_test_message("%s", stage_names[stage]);
	if (stage < OPEN) {
		r = given_unopened(sim, stage);
	} else {
		r = given_open(sim, "work", "1");
		if (stage == KILLED) {
			asks(sim, "disp1", "killme");
			when(sim, SIM_EV_MAILBOX);
		} else if (stage != OPEN) {
			give_answer(sim, stage);
		}
	}
	then_dispvm(sim, "work", states[stage]);
	return r;
}

/* Longer than POOL_CALM_MS of the exchange. */
void let_pool_fill(struct sim *sim)
{
	sim_run(sim);
	sim_pass(sim, 6000);
}
