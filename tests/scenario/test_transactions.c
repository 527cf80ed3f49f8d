/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The same things that can happen in every stage of a transaction: a VM dies, the user takes
 * something away, the daemon dies.
 */
#include <string.h>

#include "dispvm_story.h"

static struct sim *given_three(void)
{
	return given_host("work", "personal", "bank");
}

static void test_each_stage_goes_on(void)
{
	for (int s = 0; s < N_STAGES; s++) {
		struct sim *sim = given_three();
		struct sim_request *r = given_stage(sim, (enum stage)s);

		bring_to_its_end(sim);
		then_reply(r, s == KILLED ? "ok unchanged" : "ok saved");
		then_none_is_left(sim);
		the_end(sim);
	}
}

static void test_opener_dies(void)
{
	for (int s = 0; s < N_STAGES; s++) {
		for (int cleaned = 0; cleaned < 2; cleaned++) {
			struct sim *sim = given_three();

			given_stage(sim, (enum stage)s);
			sim_kill_vm(sim, vm(sim, "work"), cleaned == 1);
			sim_run(sim);
			/* At once, and not when some time has passed. */
			then_none_is_left(sim);
			given_open(sim, "personal", "1");
			the_end(sim);
		}
	}
}

enum end { DESTROYED, DESTROYED_NODES_STAY, SHUT_DOWN, N_ENDS };

/* What the opener is told; NULL: there is nothing yet that could end. */
static const char *const vm_ends[N_STAGES][N_ENDS] = {
	/* What is down cannot be let run. */
	[HALF] = {"error failed", "error failed", "error failed"},
	[READY] = {"error receiver-gone", "error receiver-gone", "error failed"},
	[ATTACHING] = {"error receiver-gone", "error receiver-gone", "error failed"},
	[OPEN] = {"error lost", "error lost", "error lost"},
	[READ] = {"error lost", "error lost", "error lost"},
	[WRITING] = {"error lost", "error lost", "error lost"},
	/* A VM that is down lets go when it has to. */
	[FREEZING] = {"error lost", "error lost", "ok saved"},
	/* The answer is out of its hands. */
	[QUEUED] = {"ok saved", "ok saved", "ok saved"},
	[ARRIVING] = {"ok saved", "ok saved", "ok saved"},
	[ARRIVED] = {"ok saved", "ok saved", "ok saved"},
	[STORED] = {"ok saved", "ok saved", "ok saved"},
	[KILLED] = {"ok unchanged", "ok unchanged", "ok unchanged"},
};

static void vm_ends_in(enum stage stage, enum end end)
{
	struct sim *sim = given_three();
	struct sim_request *r = given_stage(sim, stage);

	if (end == SHUT_DOWN)
		sim_shut_down(sim, vm(sim, "disp1"));
	else
		sim_kill_vm(sim, vm(sim, "disp1"), end == DESTROYED);
	sim_run(sim);
	/* What an opener waits for that has been lost is told at once. */
	if (stage < FREEZING)
		then_reply(r, vm_ends[stage][end]);
	bring_to_its_end(sim);
	then_reply(r, vm_ends[stage][end]);
	then_none_is_left(sim);
	the_end(sim);
}

static void test_vm_ends(void)
{
	for (int s = 0; s < N_STAGES; s++)
		for (int e = 0; vm_ends[s][0] && e < N_ENDS; e++)
			vm_ends_in((enum stage)s, (enum end)e);
}

/* What was on its way when the VM ended fails as well: the opener need not wait any longer. */
static void test_vm_ends_and_answer_fails(void)
{
	struct sim *sim = given_three();
	struct sim_request *r = given_stage(sim, QUEUED);

	sim_shut_down(sim, vm(sim, "disp1"));
	sim_run(sim);
	then_waits(r);
	g_assert_true(sim_cancel(sim, sim_transfer_of(sim, "disp1")->id));
	sim_run(sim);
	then_reply(r, "error lost");
	then_none_is_left(sim);
	the_end(sim);
}

static void test_both_die(void)
{
	for (int s = OPEN; s < N_STAGES; s++) {
		struct sim *sim = given_three();

		given_stage(sim, (enum stage)s);
		sim_kill_vm(sim, vm(sim, "disp1"), false);
		sim_kill_vm(sim, vm(sim, "work"), true);
		sim_run(sim);
		then_none_is_left(sim);
		the_end(sim);
	}
}

static void test_discarded(void)
{
	for (int s = 0; s < N_STAGES; s++) {
		struct sim *sim = given_three();
		struct sim_request *r = given_stage(sim, (enum stage)s);
		bool goes = s == STORED || s == KILLED;

		g_assert_cmpint(sim_discard_dispvm(sim, "disp1"), ==, !goes);
		sim_run(sim);
		then_none_is_left(sim);
		if (!goes)
			then_reply(r, "error cancelled");
		g_assert_false(sim_discard_dispvm(sim, "disp1"));
		the_end(sim);
	}
}

/* The user of dom0 takes the pendrive back that brings the file. */
static void test_request_cancelled(void)
{
	for (int s = 0; s < READ; s++) {
		struct sim *sim = given_three();
		struct sim_request *r = given_stage(sim, (enum stage)s);

		g_assert_true(sim_cancel(sim, sim_transfer_of(sim, "work")->id));
		sim_run(sim);
		if (s == OPEN) {
			/* It has read it by now, for all that we know. */
			then_waits(r);
			bring_to_its_end(sim);
			then_reply(r, "ok saved");
		} else {
			then_reply(r, "error cancelled");
		}
		then_none_is_left(sim);
		the_end(sim);
	}
}

/* Or the one that brings the answer: that can be given once more. */
static void test_answer_cancelled(void)
{
	for (int s = WRITING; s < STORED; s++) {
		struct sim *sim = given_three();
		struct sim_request *r = given_stage(sim, (enum stage)s);

		g_assert_true(sim_cancel(sim, sim_transfer_of(sim, "disp1")->id));
		sim_run(sim);
		then_waits(r);
		then_dispvm(sim, "work", DISPVM_OPEN);
		bring_to_its_end(sim);
		then_reply(r, "ok saved");
		the_end(sim);
	}
}

/* ---- the daemon is stopped, and another one started ---- */

static void test_restart(void)
{
	for (int s = 0; s < N_STAGES; s++) {
		for (int times = 1; times < 4; times++) {
			struct sim *sim = given_three();
			struct sim_request *r = given_stage(sim, (enum stage)s);

			for (int i = 0; i < times; i++) {
				sim_stop(sim);
				sim_start(sim);
			}
			bring_to_its_end(sim);
			then_reply(r, s == KILLED ? "ok unchanged" : "ok saved");
			then_none_is_left(sim);
			the_end(sim);
		}
	}
}

/* VMs end while no daemon runs. */
static void test_death_unseen(void)
{
	for (int s = 0; s < N_STAGES; s++) {
		for (int who = 0; who < 2; who++) {
			struct sim *sim = given_three();
			const char *name = who == 0 ? "work" : "disp1";

			given_stage(sim, (enum stage)s);
			sim_stop(sim);
			if (sim_find_named(sim, name))
				sim_kill_vm(sim, vm(sim, name), true);
			sim_start(sim);
			sim_run(sim);
			if (who == 0)
				then_none_is_left(sim);
			the_end(sim);
		}
	}
}

/* A transaction, whatever happens to the daemon meanwhile. */
static struct sim_request *told(struct sim *sim)
{
	struct sim_request *r;

	then_reply(says(sim, "work", "new format=none"), "ok xvdg");
	r = says(sim, "work", "send disposable 1");
	bring_to_its_end(sim);
	return r;
}

/* How many things the daemon does for one transaction; it is killed at each of them. */
static unsigned killed_anywhere(unsigned pool, bool prepared)
{
	struct exchange_limits limits = sim_limits;
	bool killed = true;
	unsigned at;

	limits.dispvm.pool = pool;
	for (at = 1; killed; at++) {
		struct sim *sim = given_host_with(&limits, "work");

		sim->prepared = prepared;
		sim->crash_in = at;
		then_reply(told(sim), "ok saved");
		let_pool_fill(sim);
		killed = sim->crash_in == 0;
		sim->crash_in = 0;
		if (!sim->x)
			sim_start(sim);
		let_pool_fill(sim);
		g_assert_cmpuint(sim_n_dispvms(sim), ==, pool);
		g_assert_cmpuint(sim_n_dispvms_in(sim, DISPVM_POOLED), ==, pool);
		the_end(sim);
	}
	return at - 2;
}

static void test_killed_anywhere(void)
{
	unsigned n = killed_anywhere(0, true);

	g_test_message("the daemon does %u things for one transaction", n);
	g_assert_cmpuint(n, >, 40);
}

static void test_killed_anywhere_with_pool(void)
{
	g_assert_cmpuint(killed_anywhere(1, true), >, 40);
}

static void test_killed_anywhere_while_preparing(void)
{
	g_assert_cmpuint(killed_anywhere(0, false), >, 40);
}

static void test_killed_anywhere_with_old_pool(void)
{
	g_assert_cmpuint(killed_anywhere(1, false), >, 40);
}

/* And killed again while it takes up what the first one left. */
static void test_killed_while_recovering(void)
{
	for (int s = 0; s < N_STAGES; s++) {
		for (unsigned at = 1; at < 25; at++) {
			struct sim *sim = given_three();
			struct sim_request *r = given_stage(sim, (enum stage)s);

			sim_stop(sim);
			sim->crash_in = at;
			sim_start(sim);
			bring_to_its_end(sim);
			then_reply(r, s == KILLED ? "ok unchanged" : "ok saved");
			the_end(sim);
		}
	}
}

/* While it ends what the user removes: the request must not be forgotten with the VM. */
static void test_killed_while_discarding(void)
{
	for (int s = 0; s < STORED; s++) {
		for (unsigned at = 1; at < 12; at++) {
			struct sim *sim = given_three();
			struct sim_request *r = given_stage(sim, (enum stage)s);

			sim->crash_in = at;
			sim_discard_dispvm(sim, "disp1");
			sim->crash_in = 0;
			bring_to_its_end(sim);
			/* The kill may have come before anything of it was written. */
			g_assert_cmpuint(r->n_finals, ==, 1);
			then_none_is_left(sim);
			the_end(sim);
		}
	}
}

/* All pendrives are gone, and the next one's id must not be that which an open VM remembers. */
static void test_ids_after_restart(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *a = given_open(sim, "personal", "1"), *b;

	then_reply(says(sim, "disp1", "umount"), "ok");
	g_assert_cmpuint(sim_n_transfers(sim), ==, 0);
	sim_stop(sim);
	sim_start(sim);
	sim_run(sim);
	b = given_open(sim, "work", "1");
	bring_to_its_end(sim);
	then_reply(b, "ok saved");
	then_waits(a);
	then_dispvm(sim, "personal", DISPVM_OPEN);
	the_end(sim);
}

/* A request that is refused must not change what is written down. */
static void test_refused_after_rename(void)
{
	struct sim *sim = given_host("work");

	sim->no_templates = true;
	given_lent(sim, "work");
	sim_rename_vm(vm(sim, "work"), "office");
	sim_push(sim, SIM_EV_DOMAINS, 0);
	sim_run(sim);
	then_reply(says(sim, "office", "send disposable 1"), "error unsupported");
	g_assert_cmpstr(sim->violation, ==, NULL);
	the_end(sim);
}

#define STORY(path, fn) g_test_add_func("/transactions/" path, fn)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	sim_quiet_log();
	STORY("each-stage-goes-on", test_each_stage_goes_on);
	STORY("opener-dies", test_opener_dies);
	STORY("vm-ends", test_vm_ends);
	STORY("vm-ends-and-answer-fails", test_vm_ends_and_answer_fails);
	STORY("both-die", test_both_die);
	STORY("discarded", test_discarded);
	STORY("request-cancelled", test_request_cancelled);
	STORY("answer-cancelled", test_answer_cancelled);
	STORY("restart", test_restart);
	STORY("death-unseen", test_death_unseen);
	STORY("killed-anywhere", test_killed_anywhere);
	STORY("killed-anywhere-with-pool", test_killed_anywhere_with_pool);
	STORY("killed-anywhere-while-preparing", test_killed_anywhere_while_preparing);
	STORY("killed-anywhere-with-old-pool", test_killed_anywhere_with_old_pool);
	STORY("killed-while-recovering", test_killed_while_recovering);
	STORY("killed-while-discarding", test_killed_while_discarding);
	STORY("ids-after-restart", test_ids_after_restart);
	STORY("refused-after-rename", test_refused_after_rename);
	return g_test_run();
}
