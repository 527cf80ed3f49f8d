/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The same things that can happen in every state: a VM dies, the user cancels, the daemon dies. */
#include <string.h>

#include "story.h"

#define N_STATES TRANSFER_GONE /* those that a transfer can be found in */

/* Those of an ordinary pendrive; test_disposables has the others. */
static int next_state(int s)
{
	return s + 1 == TRANSFER_STARTING_VM ? s + 2 : s + 1;
}

/* ---- the sender dies ---- */

static const bool goes_on_without_sender[TRANSFER_N_STATES] = {
	/* The user said yes: from there on it is the receiver's. */
	[TRANSFER_QUEUED] = true,
	[TRANSFER_ATTACHING_IN] = true,
	[TRANSFER_DELIVERED] = true,
};

static void sender_dies(enum transfer_state state, bool cleaned)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r = given_state(sim, state);

	g_test_message("%s, %s", transfer_state_name(state),
		cleaned ? "by xl destroy" : "and its nodes stay");
	sim_kill_vm(sim, vm(sim, "work"), cleaned);
	sim_run(sim);
	if (state == TRANSFER_TAKING_BACK)
		then_reply(r, "ok"); /* the receiver's */
	if (!goes_on_without_sender[state]) {
		then_gone(sim, "work");
	} else {
		if (state == TRANSFER_QUEUED)
			then_reply(says(sim, "personal", "umount"), "ok");
		then_state(sim, "work", TRANSFER_DELIVERED);
		then_reply(says(sim, "personal", "umount"), "ok");
		then_gone(sim, "work");
	}
	/* The others are served. */
	given_lent(sim, "personal");
	the_end(sim);
}

static void test_sender_dies(void)
{
	for (int s = 0; s < N_STATES; s = next_state(s)) {
		sender_dies((enum transfer_state)s, true);
		sender_dies((enum transfer_state)s, false);
	}
}

/* ---- the receiver dies ---- */

static const struct {
	enum transfer_state then; /* GONE: nothing is left at once */
	const char *reply; /* to the sender's last request, when all is over; NULL: it had one */
} receiver_death[TRANSFER_N_STATES] = {
	[TRANSFER_MAKING] = {TRANSFER_LENT, "ok xvdg"},
	[TRANSFER_ATTACHING_OUT] = {TRANSFER_LENT, "ok xvdg"},
	[TRANSFER_LENT] = {TRANSFER_LENT, "ok xvdg"},
	[TRANSFER_FREEZING] = {TRANSFER_REFUSING, "error refused"},
	[TRANSFER_ASKING] = {TRANSFER_REFUSING, "error refused"},
	[TRANSFER_QUEUED] = {TRANSFER_GONE, "error receiver-gone"},
	[TRANSFER_ATTACHING_IN] = {TRANSFER_GONE, "error receiver-gone"},
	[TRANSFER_DELIVERED] = {TRANSFER_GONE, "ok delivered"},
	[TRANSFER_TAKING_BACK] = {TRANSFER_GONE, NULL},
	[TRANSFER_REFUSING] = {TRANSFER_REFUSING, "error refused"},
	[TRANSFER_DISCARDING] = {TRANSFER_GONE, "ok xvdg"},
};

static void receiver_dies(enum transfer_state state, bool cleaned)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r = given_state(sim, state);

	g_test_message("%s, %s", transfer_state_name(state),
		cleaned ? "by xl destroy" : "and its nodes stay");
	sim_kill_vm(sim, vm(sim, "personal"), cleaned);
	sim_run(sim);
	if (receiver_death[state].then == TRANSFER_GONE)
		then_gone(sim, "work");
	else
		then_state(sim, "work", receiver_death[state].then);
	if (receiver_death[state].then == TRANSFER_REFUSING)
		then_waits(r);
	sim_pass(sim, sim_limits.transfer.ask_ms);
	/* xl destroy takes the disk first: then that is what the daemon hears of first. */
	if (cleaned && state == TRANSFER_ATTACHING_IN)
		then_reply(r, "error failed");
	else if (receiver_death[state].reply)
		then_reply(r, receiver_death[state].reply);
	if (!sim_transfer_of(sim, "work"))
		given_lent(sim, "work");
	the_end(sim);
}

static void test_receiver_dies(void)
{
	for (int s = 0; s < N_STATES; s = next_state(s)) {
		receiver_dies((enum transfer_state)s, true);
		receiver_dies((enum transfer_state)s, false);
	}
}

static void test_both_die(void)
{
	for (int s = 0; s < N_STATES; s = next_state(s)) {
		struct sim *sim = given_host("work", "personal");

		given_state(sim, (enum transfer_state)s);
		sim_kill_vm(sim, vm(sim, "work"), false);
		sim_kill_vm(sim, vm(sim, "personal"), true);
		sim_run(sim);
		then_gone(sim, "work");
		the_end(sim);
	}
}

/* ---- VMs that look like the dead one ---- */

/* What the user said yes to was the VM of that time, not of that name. */
static void test_receiver_reboots(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r = given_asking(sim, "work", "personal");

	sim_kill_vm(sim, vm(sim, "personal"), true);
	sim_add_vm(sim, "personal");
	sim_run(sim);
	then_state(sim, "work", TRANSFER_REFUSING);
	g_assert_cmpuint(sim->questions->len, ==, 0);
	sim_pass(sim, sim_limits.transfer.ask_ms);
	then_reply(r, "error refused");
	/* And the new one can receive. */
	given_delivered(sim, "work", "personal");
	the_end(sim);
}

static void test_sender_reboots(void)
{
	for (int s = 0; s < N_STATES; s = next_state(s)) {
		struct sim *sim = given_host("work", "personal");

		given_state(sim, (enum transfer_state)s);
		sim_kill_vm(sim, vm(sim, "work"), true);
		sim_add_vm(sim, "work");
		sim_run(sim);
		g_assert_null(sim_disk_in(sim, vm(sim, "work"), TRANSFER_AT_SENDER));
		then_reply(says(sim, "work", "new"), "ok xvdg");
		the_end(sim);
	}
}

/* The number is the same, the uuid is not, and the daemon hears of both at once. */
static void test_number_is_used_again(void)
{
	for (int s = 0; s < N_STATES; s = next_state(s)) {
		struct sim *sim = given_host("work", "personal");
		struct sim_vm *old_work, *old_personal;

		given_state(sim, (enum transfer_state)s);
		old_work = vm(sim, "work");
		old_personal = vm(sim, "personal");
		sim_kill_vm(sim, old_work, true);
		sim_kill_vm(sim, old_personal, true);
		sim_add_vm_at(sim, "other", old_work->id.domid);
		sim_add_vm_at(sim, "another", old_personal->id.domid);
		sim_run(sim);
		then_gone(sim, "work");
		g_assert_null(sim_disk_in(sim, vm(sim, "other"), TRANSFER_AT_SENDER));
		g_assert_null(sim_disk_in(sim, vm(sim, "another"), TRANSFER_AT_RECEIVER));
		then_reply(says(sim, "another", "umount"), "error no-pendrive");
		given_delivered(sim, "other", "another");
		the_end(sim);
	}
}

/* The user says yes to a VM whose number has another one by now, before the daemon has heard of it.
 */
static void test_yes_to_a_number_used_again(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r = given_asking(sim, "work", "personal");
	struct sim_vm *old = vm(sim, "personal");

	sim_kill_vm(sim, old, true);
	sim_add_vm_at(sim, "personal", old->id.domid);
	sim_answer(sim, sim_transfer_of(sim, "work")->id, true);
	when(sim, SIM_EV_ANSWERED);
	then_state(sim, "work", TRANSFER_REFUSING);
	sim_run(sim);
	g_assert_null(sim_disk_in(sim, vm(sim, "personal"), TRANSFER_AT_RECEIVER));
	sim_pass(sim, sim_limits.transfer.ask_ms);
	then_reply(r, "error refused");
	the_end(sim);
}

static void test_rename(void)
{
	struct sim *sim = given_host("work", "personal");

	sim_rename_vm(vm(sim, "personal"), "private");
	given_lent(sim, "work");
	/* Nobody tells the daemon; it finds out when it is asked. */
	then_waits(says(sim, "work", "send private"));
	user_says(sim, "work", true);
	then_reply(says(sim, "private", "umount"), "ok");
	/* The old name is nobody's any more. */
	given_lent(sim, "work");
	says(sim, "work", "send personal");
	then_state(sim, "work", TRANSFER_REFUSING);
	the_end(sim);
}

/* Two VMs change names: whoever is called so now gets it. */
static void test_names_swapped(void)
{
	struct sim *sim = given_host("work", "personal", "bank");
	struct sim_vm *personal = vm(sim, "personal"), *bank = vm(sim, "bank");
	const struct transfer *t;

	sim_rename_vm(personal, "tmp");
	sim_rename_vm(bank, "personal");
	sim_rename_vm(personal, "bank");
	given_lent(sim, "work");
	says(sim, "work", "send personal");
	t = sim_transfer_of(sim, "work");
	g_assert_cmpint(t->state, ==, TRANSFER_ASKING);
	g_assert_cmpuint(t->receiver.domid, ==, bank->id.domid);
	the_end(sim);
}

/* A VM that calls itself what dom0 does not like cannot take part, and disturbs nobody. */
static void test_unfit_name(void)
{
	struct sim *sim = given_host("work", "personal", "a b");

	g_assert_false(vm(sim, "a b")->has_mailbox);
	given_delivered(sim, "work", "personal");
	the_end(sim);
}

/* ---- the user cancels ---- */

static const struct {
	bool can;
	const char *reply; /* to the last request, when all is over */
} cancels[TRANSFER_N_STATES] = {
	[TRANSFER_MAKING] = {true, "error cancelled"},
	[TRANSFER_ATTACHING_OUT] = {true, "error cancelled"},
	[TRANSFER_LENT] = {true, "ok xvdg"},
	[TRANSFER_FREEZING] = {true, "error refused"},
	[TRANSFER_ASKING] = {true, "error refused"},
	[TRANSFER_QUEUED] = {true, "error cancelled"},
	[TRANSFER_ATTACHING_IN] = {true, "error cancelled"},
	[TRANSFER_DELIVERED] = {true, "ok delivered"},
	[TRANSFER_TAKING_BACK] = {false, "ok"},
	[TRANSFER_REFUSING] = {false, "error refused"},
	[TRANSFER_DISCARDING] = {false, "ok xvdg"},
};

static void test_cancel(void)
{
	for (int s = 0; s < N_STATES; s = next_state(s)) {
		struct sim *sim = given_host("work", "personal");
		struct sim_request *r = given_state(sim, (enum transfer_state)s);
		uint64_t id = sim_transfer_of(sim, "work")->id;

		g_test_message("%s", transfer_state_name((enum transfer_state)s));
		g_assert_cmpint(sim_cancel(sim, id), ==, cancels[s].can);
		sim_run(sim);
		sim_pass(sim, sim_limits.transfer.ask_ms);
		then_reply(r, cancels[s].reply);
		then_gone(sim, "work");
		g_assert_false(sim_cancel(sim, id));
		given_lent(sim, "work");
		the_end(sim);
	}
}

/* ---- the daemon is stopped, and another one started ---- */

static void restart(struct sim *sim)
{
	sim_stop(sim);
	sim_start(sim);
}

static bool is_in(struct sim *sim, enum transfer_state state)
{
	const struct transfer *t = sim_transfer_of(sim, "work");

	return t && t->state == state;
}

/* What the user and the receiver do, whatever state it was taken up in. */
static void bring_to_its_end(struct sim *sim)
{
	sim_run(sim);
	if (is_in(sim, TRANSFER_LENT))
		says(sim, "work", "send personal");
	/* An answer that was swallowed by a kill is asked for again. */
	while (is_in(sim, TRANSFER_ASKING))
		user_says(sim, "work", true);
	if (is_in(sim, TRANSFER_QUEUED))
		then_reply(says(sim, "personal", "umount"), "ok");
	if (is_in(sim, TRANSFER_DELIVERED))
		then_reply(says(sim, "personal", "umount"), "ok");
}

static const char *const replies_after_restart[TRANSFER_N_STATES] = {
	[TRANSFER_MAKING] = "ok xvdg",
	[TRANSFER_ATTACHING_OUT] = "ok xvdg",
	[TRANSFER_LENT] = "ok xvdg",
	[TRANSFER_FREEZING] = "ok delivered",
	[TRANSFER_ASKING] = "ok delivered",
	[TRANSFER_QUEUED] = "ok delivered",
	[TRANSFER_ATTACHING_IN] = "ok delivered",
	[TRANSFER_DELIVERED] = "ok delivered",
	[TRANSFER_TAKING_BACK] = "ok",
	[TRANSFER_REFUSING] = "error refused",
	[TRANSFER_DISCARDING] = "ok xvdg",
};

static void restart_in(enum transfer_state state, int times)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r = given_state(sim, state);

	g_test_message("%s, %d times", transfer_state_name(state), times);
	while (times-- > 0)
		restart(sim);
	/* Nothing is lost, and nothing gets further by itself. */
	then_state(sim, "work", state);
	bring_to_its_end(sim);
	sim_pass(sim, sim_limits.transfer.ask_ms);
	then_gone(sim, "work");
	then_reply(r, replies_after_restart[state]);
	the_end(sim);
}

static void test_restart(void)
{
	for (int s = 0; s < N_STATES; s = next_state(s)) {
		restart_in((enum transfer_state)s, 1);
		restart_in((enum transfer_state)s, 3);
	}
}

/* A question does not get longer by a restart, and neither does any other time but a detach's. */
static void test_restart_keeps_deadlines(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r = given_asking(sim, "work", "personal");

	for (int i = 0; i < 11; i++) {
		sim_pass(sim, 10000);
		restart(sim);
		sim_run(sim);
	}
	sim_pass(sim, 9999);
	then_waits(r);
	sim_pass(sim, 1);
	then_reply(r, "error refused");
	the_end(sim);
}

/* VMs die while no daemon runs. */
static void test_death_unseen(void)
{
	for (int s = 0; s < N_STATES; s = next_state(s)) {
		for (int who = 0; who < 4; who++) {
			struct sim *sim = given_host("work", "personal");
			struct sim_request *r = given_state(sim, (enum transfer_state)s);
			bool sender = who == 0 || who == 2;

			sim_stop(sim);
			sim_kill_vm(sim, vm(sim, sender ? "work" : "personal"), who < 2);
			sim_start(sim);
			sim_run(sim);
			sim_pass(sim, sim_limits.transfer.ask_ms);
			if (sender && !goes_on_without_sender[s])
				then_gone(sim, "work");
			if (!sender && receiver_death[s].reply)
				then_reply(r, receiver_death[s].reply);
			the_end(sim);
		}
	}
}

/* A VM's request waits for the daemon, however long that takes. */
static void test_asked_unseen(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r;

	sim_stop(sim);
	r = asks(sim, "work", "new");
	sim_run(sim);
	g_assert_false(r->taken);
	sim_start(sim);
	sim_run(sim);
	then_reply(r, "ok xvdg");
	the_end(sim);
}

/* A deadline that passed meanwhile comes at once. */
static void test_deadline_unseen(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r = given_asking(sim, "work", "personal");

	sim_stop(sim);
	sim->now_ms += 3600000;
	sim_start(sim);
	sim_pass(sim, 0);
	then_reply(r, "error refused");
	then_gone(sim, "work");
	the_end(sim);
}

/* ---- the daemon is killed, at every single thing that it does ---- */

static void cross(struct sim *sim)
{
	then_reply(says(sim, "work", "new"), "ok xvdg");
	bring_to_its_end(sim);
	then_gone(sim, "work");
}

static void test_killed_anywhere(void)
{
	unsigned at = 1;

	for (;; at++) {
		struct sim *sim = given_host("work", "personal");
		bool killed;

		sim->crash_in = at;
		cross(sim);
		killed = sim->crash_in == 0;
		the_end(sim);
		if (!killed)
			break;
	}
	g_test_message("the daemon does %u things for one pendrive", at - 1);
	g_assert_cmpuint(at, >, 15);
}

/* And killed again while it takes up what the first one left. */
static void test_killed_while_recovering(void)
{
	for (int s = 0; s < N_STATES; s = next_state(s)) {
		for (unsigned at = 1; at < 30; at++) {
			struct sim *sim = given_host("work", "personal");

			given_state(sim, (enum transfer_state)s);
			sim_stop(sim);
			sim->crash_in = at;
			sim_start(sim);
			bring_to_its_end(sim);
			the_end(sim);
		}
	}
}

/*
 * Serving a request shows that another VM has stopped, and that is written down first: about the
 * same VM's other pendrive, but it is not the request.
 */
static void test_killed_while_resolving(void)
{
	bool killed = true;

	for (unsigned at = 1; killed; at++) {
		struct sim *sim = given_host("work", "personal");
		struct sim_request *first = given_asking(sim, "work", "personal");
		struct sim_request *second;

		given_lent(sim, "work");
		/* In this order: the daemon hears of the request first. */
		second = asks(sim, "work", "send personal");
		sim_kill_vm(sim, vm(sim, "personal"), true);
		/* After the request is read, after the first new state is written, ... */
		sim->crash_in = at;
		when(sim, SIM_EV_MAILBOX);
		killed = sim->crash_in == 0;
		sim->crash_in = 0;
		sim_pass(sim, 2 * sim_limits.transfer.ask_ms);
		then_reply(first, "error refused");
		then_reply(second, "error refused");
		the_end(sim);
	}
}

#define STORY(path, fn) g_test_add_func("/disturbed/" path, fn)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	sim_quiet_log();
	STORY("sender-dies", test_sender_dies);
	STORY("receiver-dies", test_receiver_dies);
	STORY("both-die", test_both_die);
	STORY("receiver-reboots", test_receiver_reboots);
	STORY("sender-reboots", test_sender_reboots);
	STORY("number-is-used-again", test_number_is_used_again);
	STORY("yes-to-a-number-used-again", test_yes_to_a_number_used_again);
	STORY("rename", test_rename);
	STORY("names-swapped", test_names_swapped);
	STORY("unfit-name", test_unfit_name);
	STORY("cancel", test_cancel);
	STORY("restart", test_restart);
	STORY("restart-keeps-deadlines", test_restart_keeps_deadlines);
	STORY("death-unseen", test_death_unseen);
	STORY("asked-unseen", test_asked_unseen);
	STORY("deadline-unseen", test_deadline_unseen);
	STORY("killed-anywhere", test_killed_anywhere);
	STORY("killed-while-resolving", test_killed_while_resolving);
	STORY("killed-while-recovering", test_killed_while_recovering);
	return g_test_run();
}
