/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VM gives up what it was lent, in every state of it, and is disturbed while it does. */
#include <string.h>

#include "dispvm_story.h"

#define N_STATES TRANSFER_GONE /* those that a transfer can be found in */

/* Those of an ordinary pendrive. */
static int next_state(int s)
{
	return s + 1 == TRANSFER_STARTING_VM ? s + 2 : s + 1;
}

/* The daemon has read it; the jobs that were left undone before still are. */
static struct sim_request *discards(struct sim *sim, const char *name, const char *text)
{
	struct sim_request *r = asks(sim, name, text);

	while (!r->taken)
		when(sim, SIM_EV_MAILBOX);
	return r;
}

/* ---- in every state ---- */

static const struct {
	const char *earlier;   /* what the last request before it ends in */
	const char *discarded; /* ... and it itself */
	bool at_once;          /* since the pendrive is out of every VM's reach already */
} given_up[TRANSFER_N_STATES] = {
	[TRANSFER_MAKING] = {"error cancelled", "ok", true},
	[TRANSFER_ATTACHING_OUT] = {"error cancelled", "ok", false},
	[TRANSFER_LENT] = {"ok xvdg", "ok", false},
	[TRANSFER_FREEZING] = {"error cancelled", "ok", false},
	[TRANSFER_ASKING] = {"error cancelled", "ok", true},
	[TRANSFER_QUEUED] = {"error cancelled", "ok", true},
	[TRANSFER_ATTACHING_IN] = {"error cancelled", "ok", false},
	[TRANSFER_DELIVERED] = {"ok delivered", "error no-pendrive", true},
	[TRANSFER_TAKING_BACK] = {"ok", "error no-pendrive", true},
	[TRANSFER_REFUSING] = {"error cancelled", "ok", true},
	[TRANSFER_DISCARDING] = {"ok xvdg", "ok", false},
};

static void test_every_state(void)
{
	for (int s = 0; s < N_STATES; s = next_state(s)) {
		struct sim *sim = given_host("work", "personal");
		struct sim_request *earlier = given_state(sim, (enum transfer_state)s);
		bool asked = s == TRANSFER_ASKING;
		struct sim_request *r;

		g_test_message("%s", transfer_state_name((enum transfer_state)s));
		g_assert_cmpuint(sim->questions->len, ==, asked ? 1 : 0);
		r = discards(sim, "work", "discard");
		g_assert_cmpuint(sim->questions->len, ==, 0);
		if (given_up[s].at_once)
			then_reply(r, given_up[s].discarded);
		else
			g_assert_cmpuint(r->n_finals, ==, 0);
		sim_run(sim);
		then_reply(r, given_up[s].discarded);
		then_reply(earlier, given_up[s].earlier);
		if (strcmp(given_up[s].discarded, "ok") == 0) {
			then_gone(sim, "work");
			given_lent(sim, "work");
		}
		the_end(sim);
	}
}

/* A VM must not learn by it whether there is such a VM, nor what the user has said. */
static void test_refusals_stay_hidden(void)
{
	static const enum transfer_state alike[] = {TRANSFER_ASKING, TRANSFER_REFUSING};
	char *seen[G_N_ELEMENTS(alike)];

	for (size_t i = 0; i < G_N_ELEMENTS(alike); i++) {
		struct sim *sim = given_host("work", "personal");
		struct sim_request *sent = given_state(sim, alike[i]);
		struct sim_request *r = discards(sim, "work", "discard");

		/* Both are told before anything else happens, a removal above all. */
		g_assert_cmpuint(sent->n_finals, ==, 1);
		g_assert_cmpuint(r->n_finals, ==, 1);
		seen[i] = g_strdup_printf("%s|%s", strchr(sent->reply, ' '), strchr(r->reply, ' '));
		then_reply(discards(sim, "work", "discard"), "error no-pendrive");
		the_end(sim);
	}
	g_assert_cmpstr(seen[0], ==, seen[1]);
	g_free(seen[0]);
	g_free(seen[1]);
}

/* ---- which one ---- */

static struct sim_request *discards_that_of(
	struct sim *sim, const char *name, const struct sim_request *r)
{
	g_autofree char *text = g_strdup_printf("discard %s", r->id);

	return discards(sim, name, text);
}

/* Two programs in one VM: each gives up its own. */
static void test_of_a_request(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *sent = given_asking(sim, "work", "personal"), *lent;

	lent = says(sim, "work", "new");
	then_reply(lent, "ok xvdg");
	then_reply(discards_that_of(sim, "work", sent), "ok");
	then_reply(sent, "error cancelled");
	then_holds(sim, "work", TRANSFER_AT_SENDER, true);
	then_reply(discards_that_of(sim, "work", sent), "error no-pendrive");
	discards_that_of(sim, "work", lent);
	sim_run(sim);
	then_holds(sim, "work", TRANSFER_AT_SENDER, false);
	then_gone(sim, "work");
	the_end(sim);
}

static void test_newest_first(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *first = given_asking(sim, "work", "personal");
	struct sim_request *second = given_asking(sim, "work", "personal");

	then_reply(discards(sim, "work", "discard"), "ok");
	then_reply(second, "error cancelled");
	then_waits(first);
	then_reply(discards(sim, "work", "discard"), "ok");
	then_reply(first, "error cancelled");
	then_reply(discards(sim, "work", "discard"), "error no-pendrive");
	the_end(sim);
}

static void test_of_another_vm(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *sent = given_asking(sim, "work", "personal");

	then_reply(discards_that_of(sim, "personal", sent), "error no-pendrive");
	then_reply(discards(sim, "personal", "discard"), "error no-pendrive");
	then_waits(sent);
	then_state(sim, "work", TRANSFER_ASKING);
	the_end(sim);
}

static void test_twice(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *first, *second;

	given_lent(sim, "work");
	first = discards(sim, "work", "discard");
	second = discards(sim, "work", "discard");
	then_reply(second, "error busy");
	sim_run(sim);
	then_reply(first, "ok");
	the_end(sim);
}

/* As a client of 2010 might write it, with `send` unanswered as well: two answers without an ID. */
static void test_without_an_id(void)
{
	struct sim *sim = given_host("work", "personal");

	writes(sim, "work", "new");
	writes(sim, "work", "send personal");
	writes(sim, "work", "discard");
	g_assert_cmpstr(vm(sim, "work")->last_reply, ==, "- ok");
	g_assert_cmpuint(vm(sim, "work")->anon_finals, ==, 3);
	then_gone(sim, "work");
	the_end(sim);
}

/* ---- what else happens meanwhile ---- */

static void test_never_lets_go(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r;

	given_lent(sim, "work");
	vm(sim, "work")->never_releases = true;
	r = says(sim, "work", "discard");
	g_assert_cmpuint(r->n_finals, ==, 0);
	sim_pass(sim, sim_limits.transfer.detach_ms);
	then_reply(r, "ok");
	then_holds(sim, "work", TRANSFER_AT_SENDER, false);
	the_end(sim);
}

static void test_vms_die(void)
{
	for (int s = 0; s < N_STATES; s = next_state(s)) {
		for (int who = 0; who < 4; who++) {
			struct sim *sim = given_host("work", "personal");

			given_state(sim, (enum transfer_state)s);
			discards(sim, "work", "discard");
			sim_kill_vm(sim, vm(sim, who < 2 ? "work" : "personal"), who % 2 == 1);
			sim_run(sim);
			the_end(sim);
		}
	}
}

static void test_restart(void)
{
	for (int s = 0; s < N_STATES; s = next_state(s)) {
		struct sim *sim = given_host("work", "personal");
		struct sim_request *earlier = given_state(sim, (enum transfer_state)s);
		struct sim_request *r = discards(sim, "work", "discard");

		g_test_message("%s", transfer_state_name((enum transfer_state)s));
		sim_stop(sim);
		sim_start(sim);
		sim_run(sim);
		then_reply(r, given_up[s].discarded);
		then_reply(earlier, given_up[s].earlier);
		the_end(sim);
	}
}

/* At every single thing that the daemon does for it. What is given up is never delivered. */
static void killed_at_each_thing(enum transfer_state state)
{
	bool killed = true;

	for (unsigned at = 1; killed; at++) {
		struct sim *sim = given_host("work", "personal");
		struct sim_request *earlier = given_state(sim, state);
		struct sim_request *r = asks(sim, "work", "discard");

		sim->crash_in = at;
		while (sim->crash_in > 0 && !r->taken)
			when(sim, SIM_EV_MAILBOX);
		killed = sim->crash_in == 0;
		sim->crash_in = 0;
		if (!sim->x)
			sim_start(sim);
		/* If the kill came before it was read, it is read now. */
		while (!r->taken)
			when(sim, SIM_EV_MAILBOX);
		sim_run(sim);
		then_reply(r, given_up[state].discarded);
		then_reply(earlier, given_up[state].earlier);
		the_end(sim);
	}
}

static void test_killed_anywhere(void)
{
	for (int s = 0; s < N_STATES; s = next_state(s))
		killed_at_each_thing((enum transfer_state)s);
}

/* ---- transactions ---- */

static void test_opener_gives_up(void)
{
	for (int s = 0; s < N_STAGES; s++) {
		struct sim *sim = given_host("work", "personal", "bank");
		struct sim_request *sent = given_stage(sim, (enum stage)s);
		struct sim_request *r = discards(sim, "work", "discard");

		g_test_message("stage %d", s);
		/* From OPEN on the file is not on its way any more. */
		if (s < OPEN) {
			sim_run(sim);
			then_reply(r, "ok");
			then_reply(sent, "error cancelled");
			then_none_is_left(sim);
		} else {
			then_reply(r, "error no-pendrive");
			bring_to_its_end(sim);
			then_reply(sent, s == KILLED ? "ok unchanged" : "ok saved");
		}
		the_end(sim);
	}
}

/* The answer on its way, by the DisposableVM: it can be given once more. */
static void test_answer_given_up(void)
{
	for (int s = WRITING; s < ARRIVED; s++) {
		struct sim *sim = given_host("work", "personal", "bank");
		struct sim_request *sent = given_stage(sim, (enum stage)s);
		struct sim_request *r = discards(sim, "disp1", "discard");

		g_test_message("stage %d", s);
		sim_run(sim);
		then_reply(r, "ok");
		then_waits(sent);
		then_dispvm(sim, "work", DISPVM_OPEN);
		bring_to_its_end(sim);
		then_reply(sent, "ok saved");
		the_end(sim);
	}
}

#define STORY(path, fn) g_test_add_func("/discards/" path, fn)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	sim_quiet_log();
	STORY("every-state", test_every_state);
	STORY("refusals-stay-hidden", test_refusals_stay_hidden);
	STORY("of-a-request", test_of_a_request);
	STORY("newest-first", test_newest_first);
	STORY("of-another-vm", test_of_another_vm);
	STORY("twice", test_twice);
	STORY("without-an-id", test_without_an_id);
	STORY("never-lets-go", test_never_lets_go);
	STORY("vms-die", test_vms_die);
	STORY("restart", test_restart);
	STORY("killed-anywhere", test_killed_anywhere);
	STORY("opener-gives-up", test_opener_gives_up);
	STORY("answer-given-up", test_answer_given_up);
	return g_test_run();
}
