/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which entries the history gets, and when. That none is missing, none is there twice, and none
 * says what did not happen, the simulated host watches in all other tests as well.
 */
#include "dispvm_story.h"

/* All that the history was told since the last time, one entry a line. */
static void then_history(struct sim *sim, const char *wanted)
{
	g_autofree char *got = NULL;

	g_ptr_array_add(sim->history, NULL);
	got = g_strjoinv("\n", (char **)sim->history->pdata);
	g_assert_cmpstr(got, ==, wanted);
	g_ptr_array_set_size(sim->history, 0);
}

static void sends(struct sim *sim, const char *text)
{
	given_lent(sim, "work");
	then_history(sim, "");
	says(sim, "work", text);
}

static void test_yes(void)
{
	struct sim *sim = given_host("work", "personal");

	given_asking(sim, "work", "personal");
	then_history(sim, "");
	user_says(sim, "work", true);
	then_history(sim, "decision work personal allowed agent");
	says(sim, "personal", "umount");
	then_history(sim, "end work personal delivered returned");
	the_end(sim);
}

static void test_no(void)
{
	struct sim *sim = given_host("work", "personal");

	given_asking(sim, "work", "personal");
	user_says(sim, "work", false);
	then_history(sim, "decision work personal refused agent");
	/* The sender is told when the question would have expired, and it ends then. */
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_history(sim, "end work personal refused");
	the_end(sim);
}

static void test_no_that_is_told_at_once(void)
{
	struct exchange_limits limits = sim_limits;
	struct sim *sim;

	limits.transfer.hide_refusals = false;
	sim = given_host_with(&limits, "work", "personal");
	given_asking(sim, "work", "personal");
	user_says(sim, "work", false);
	then_history(sim, "decision work personal refused agent\nend work personal refused");
	the_end(sim);
}

static void test_expired(void)
{
	struct sim *sim = given_host("work", "personal");

	given_asking(sim, "work", "personal");
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_history(sim, "decision work personal expired timeout\nend work personal expired");
	the_end(sim);
}

static void test_policy(void)
{
	struct sim *sim = given_host("work", "personal");

	sim->for_files = POLICY_ALLOW;
	sends(sim, "send personal");
	then_history(sim, "decision work personal allowed policy");
	says(sim, "personal", "umount");
	then_history(sim, "end work personal delivered returned");
	sim->for_files = POLICY_DENY;
	sends(sim, "send personal");
	then_history(sim, "decision work personal refused policy");
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_history(sim, "end work personal refused");
	the_end(sim);
}

static void test_no_receiver(void)
{
	struct sim *sim = given_host("work", "personal");

	sends(sim, "send nobody");
	then_history(sim, "decision work nobody refused no-receiver");
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_history(sim, "end work nobody refused");
	given_asking(sim, "work", "personal");
	sim_kill_vm(sim, vm(sim, "personal"), true);
	sim_run(sim);
	then_history(sim, "decision work personal refused no-receiver");
	the_end(sim);
}

static void test_blocked(void)
{
	struct sim *sim = given_host("work", "personal");

	given_asking(sim, "work", "personal");
	sim_block(sim, "work", 0);
	sim_run(sim);
	then_history(sim, "decision work personal refused block");
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_history(sim, "end work personal refused");
	sends(sim, "send personal");
	then_history(sim, "decision work personal refused block");
	the_end(sim);
}

static void test_too_often(void)
{
	struct exchange_limits limits = sim_limits;
	struct sim *sim;

	limits.transfer.hide_refusals = false;
	limits.questions = (struct bucket_limits){.burst = 1, .interval_ms = 10000000};
	sim = given_host_with(&limits, "work", "personal");
	given_asking(sim, "work", "personal");
	user_says(sim, "work", false);
	g_ptr_array_set_size(sim->history, 0);
	sends(sim, "send personal");
	then_history(sim, "decision work personal refused limit\nend work personal refused");
	sim->for_disposables = POLICY_ASK;
	sends(sim, "send disposable 1");
	then_history(sim, "decision work disposable refused limit");
	the_end(sim);
}

static void test_cancelled(void)
{
	struct sim *sim = given_host("work", "personal");

	given_asking(sim, "work", "personal");
	sim_cancel(sim, sim_transfer_of(sim, "work")->id);
	sim_run(sim);
	then_history(sim, "decision work personal cancelled user");
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_history(sim, "end work personal refused");
	given_lent(sim, "work");
	sim_cancel(sim, sim_transfer_of(sim, "work")->id);
	sim_run(sim);
	then_history(sim, "end work - cancelled");
	given_delivered(sim, "work", "personal");
	then_history(sim, "decision work personal allowed agent");
	sim_cancel(sim, sim_transfer_of(sim, "work")->id);
	sim_run(sim);
	then_history(sim, "end work personal delivered taken-back");
	the_end(sim);
}

/* Twice before the question: one decision. */
static void test_cancelled_twice(void)
{
	struct sim *sim = given_host("work", "personal");
	uint64_t id;

	given_lent(sim, "work");
	asks(sim, "work", "send personal");
	when(sim, SIM_EV_MAILBOX);
	then_state(sim, "work", TRANSFER_FREEZING);
	id = sim_transfer_of(sim, "work")->id;
	sim_cancel(sim, id);
	sim_cancel(sim, id);
	then_history(sim, "decision work personal cancelled user");
	sim_run(sim);
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_history(sim, "end work personal refused");
	the_end(sim);
}

static void test_failed(void)
{
	struct sim *sim = given_host("work", "personal");

	sim->disk_full = true;
	says(sim, "work", "new");
	then_history(sim, "end work - failed no-space");
	sim->disk_full = false;
	vm(sim, "personal")->never_connects = true;
	given_asking(sim, "work", "personal");
	user_says(sim, "work", true);
	then_history(sim, "decision work personal allowed agent");
	sim_pass(sim, sim->limits.transfer.attach_ms);
	then_history(sim, "end work personal failed timeout");
	the_end(sim);
}

static void test_never_sent(void)
{
	struct sim *sim = given_host("work", "personal");

	given_lent(sim, "work");
	sim_pass(sim, sim->limits.transfer.lent_ms);
	then_history(sim, "end work - unsent");
	given_asking(sim, "work", "personal");
	sim_kill_vm(sim, vm(sim, "work"), true);
	sim_run(sim);
	then_history(sim, "end work personal sender-gone");
	the_end(sim);
}

static void test_given_up(void)
{
	struct sim *sim = given_host("work", "personal");

	given_asking(sim, "work", "personal");
	says(sim, "work", "discard");
	then_history(sim, "end work personal given-up");
	the_end(sim);
}

static void test_receiver_stops(void)
{
	struct sim *sim = given_host("work", "personal");

	given_delivered(sim, "work", "personal");
	then_history(sim, "decision work personal allowed agent");
	sim_kill_vm(sim, vm(sim, "personal"), true);
	sim_run(sim);
	then_history(sim, "end work personal delivered receiver-gone");
	the_end(sim);
}

/* ---- DisposableVMs ---- */

static void test_disposable(void)
{
	struct sim *sim = given_host("work");

	sends(sim, "send disposable 1");
	then_history(sim, "decision work disposable allowed policy");
	then_reply(says(sim, "disp1", "umount"), "ok");
	then_history(sim, "end work disp1 delivered returned");
	says(sim, "disp1", "killme");
	then_history(sim, "disposable-end work disp1 unchanged");
	the_end(sim);
}

static void test_disposable_saved(void)
{
	struct sim *sim = given_host("work");

	sends(sim, "send disposable 1");
	says(sim, "disp1", "umount");
	then_history(
		sim, "decision work disposable allowed policy\nend work disp1 delivered returned");
	says(sim, "disp1", "new");
	says(sim, "disp1", "send work 1");
	then_history(sim, ""); /* an answer is nobody's decision */
	says(sim, "work", "umount");
	then_history(sim, "disposable-end work disp1 saved\nend disp1 work delivered returned");
	the_end(sim);
}

static void test_disposable_denied(void)
{
	struct sim *sim = given_host("work");

	sim->for_disposables = POLICY_DENY;
	sends(sim, "send disposable 1");
	then_history(sim, "decision work disposable refused policy");
	sim_block(sim, "work", 0);
	says(sim, "work", "send disposable 1");
	then_history(sim, "decision work disposable refused block");
	the_end(sim);
}

static void test_disposable_asked(void)
{
	struct sim *sim = given_host("work");

	sim->for_disposables = POLICY_ASK;
	sends(sim, "send disposable 1");
	then_history(sim, "");
	user_says(sim, "work", true);
	then_history(sim, "decision work disp1 allowed agent");
	sim_discard_dispvm(sim, "disp1");
	sim_run(sim);
	/* Its disk goes with it. */
	then_history(
		sim, "disposable-end work disp1 cancelled\nend work disp1 delivered receiver-gone");
	the_end(sim);
}

static void test_disposable_without_memory(void)
{
	struct sim *sim = given_host("work");

	sim->no_memory = true;
	sends(sim, "send disposable 1");
	then_history(sim, "decision work disposable allowed policy\n"
			  "disposable-end work disp1 failed no-memory\n"
			  "end work disposable failed no-memory");
	the_end(sim);
}

/* ---- restarts ---- */

static void restart(struct sim *sim)
{
	sim_stop(sim);
	sim_start(sim);
	sim_run(sim);
}

/* It lives under three daemons, and ends once. */
static void test_restarts(void)
{
	struct sim *sim = given_host("work", "personal");

	given_asking(sim, "work", "personal");
	restart(sim);
	then_history(sim, "");
	user_says(sim, "work", true);
	then_history(sim, "decision work personal allowed agent");
	restart(sim);
	then_history(sim, "");
	says(sim, "personal", "umount");
	then_history(sim, "end work personal delivered returned");
	restart(sim);
	then_history(sim, "");
	the_end(sim);
}

static void test_restart_while_refusing(void)
{
	struct sim *sim = given_host("work", "personal");

	given_asking(sim, "work", "personal");
	user_says(sim, "work", false);
	then_history(sim, "decision work personal refused agent");
	restart(sim);
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_history(sim, "end work personal refused");
	the_end(sim);
}

/* The daemon dies at that call of what the umount leads to. False: before it. */
static bool killed_while_it_ends(unsigned at)
{
	struct sim *sim = given_host("work", "personal");
	bool killed;

	given_delivered(sim, "work", "personal");
	then_history(sim, "decision work personal allowed agent");
	sim->crash_in = at;
	says(sim, "personal", "umount");
	killed = sim->crash_in == 0;
	sim->crash_in = 0;
	sim_pass(sim, sim->limits.transfer.delivered_ms);
	/* It may be missing, when the kill came between the record and the entry. */
	g_assert_cmpuint(sim->history->len, <=, 1);
	if (sim->history->len == 1 || !killed)
		then_history(sim, "end work personal delivered returned");
	the_end(sim);
	return killed;
}

static void test_killed_while_it_ends(void)
{
	unsigned at = 1;

	while (killed_while_it_ends(at))
		at++;
	g_assert_cmpuint(at, >, 3);
}

/* ---- durations ---- */

struct last {
	int64_t asked_ms, total_ms, used_bytes;
	bool has_rule;
	struct audit_port port;
};

static void keep_last(void *ctx, const struct audit_entry *entry)
{
	struct last *last = ctx;

	last->asked_ms = entry->asked_ms;
	last->total_ms = entry->total_ms;
	last->used_bytes = entry->used_bytes;
	last->has_rule = entry->rule != NULL;
	last->port.write(last->port.ctx, entry);
}

/* A daemon whose last entry stands in `last`. */
static void start_watched(struct sim *sim, struct last *last)
{
	*last = (struct last){.port = sim_audit_port(sim)};
	sim->audit = (struct audit_port){.ctx = last, .write = keep_last};
	sim_stop(sim);
	sim_start(sim);
	sim_run(sim);
}

static void test_durations(void)
{
	struct sim *sim = given_host("work", "personal");
	struct last last;
	uint64_t size;

	start_watched(sim, &last);
	given_lent(sim, "work");
	sim_pass(sim, 7000);
	says(sim, "work", "send personal");
	size = sim_transfer_of(sim, "work")->size_bytes;
	sim_pass(sim, 5000);
	user_says(sim, "work", true);
	g_assert_cmpint(last.asked_ms, ==, 5000);
	g_assert_cmpint(last.total_ms, ==, -1);
	g_assert_cmpint(last.used_bytes, ==, (int64_t)size / 2); /* as the simulation has it */
	g_assert_true(last.has_rule);
	sim_pass(sim, 3000);
	says(sim, "personal", "umount");
	g_assert_cmpint(last.asked_ms, ==, -1);
	g_assert_cmpint(last.total_ms, ==, 15000);
	the_end(sim);
}

/* What began under a former daemon is right, or left out. */
static void test_durations_over_a_restart(void)
{
	struct sim *sim = given_host("work", "personal");
	struct last last;

	given_lent(sim, "work");
	sim_pass(sim, 7000);
	says(sim, "work", "send personal");
	sim_pass(sim, 5000);
	start_watched(sim, &last);
	sim_pass(sim, 1000);
	user_says(sim, "work", true);
	g_assert_cmpint(last.asked_ms, ==, -1);
	g_assert_false(last.has_rule);
	sim_pass(sim, 3000);
	says(sim, "personal", "umount");
	g_assert_cmpint(last.total_ms, ==, 16000);
	the_end(sim);
}

/* The image is there until a refusal is told. */
static void test_size_of_what_was_refused(void)
{
	struct sim *sim = given_host("work", "personal");
	struct last last;

	start_watched(sim, &last);
	given_asking(sim, "work", "personal");
	user_says(sim, "work", false);
	g_assert_cmpint(last.used_bytes, >, 0);
	last.used_bytes = -1;
	sim_pass(sim, sim->limits.transfer.ask_ms);
	g_assert_cmpint(last.total_ms, ==, sim->limits.transfer.ask_ms);
	g_assert_cmpint(last.used_bytes, >, 0);
	the_end(sim);
}

#define HISTORY(path, fn) g_test_add_func("/history/" path, fn)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	sim_quiet_log();
	HISTORY("yes", test_yes);
	HISTORY("no", test_no);
	HISTORY("no-that-is-told-at-once", test_no_that_is_told_at_once);
	HISTORY("expired", test_expired);
	HISTORY("policy", test_policy);
	HISTORY("no-receiver", test_no_receiver);
	HISTORY("blocked", test_blocked);
	HISTORY("too-often", test_too_often);
	HISTORY("cancelled", test_cancelled);
	HISTORY("cancelled-twice", test_cancelled_twice);
	HISTORY("failed", test_failed);
	HISTORY("never-sent", test_never_sent);
	HISTORY("given-up", test_given_up);
	HISTORY("receiver-stops", test_receiver_stops);
	HISTORY("disposable", test_disposable);
	HISTORY("disposable-saved", test_disposable_saved);
	HISTORY("disposable-denied", test_disposable_denied);
	HISTORY("disposable-asked", test_disposable_asked);
	HISTORY("disposable-without-memory", test_disposable_without_memory);
	HISTORY("restarts", test_restarts);
	HISTORY("restart-while-refusing", test_restart_while_refusing);
	HISTORY("killed-while-it-ends", test_killed_while_it_ends);
	HISTORY("durations", test_durations);
	HISTORY("durations-over-a-restart", test_durations_over_a_restart);
	HISTORY("size-of-what-was-refused", test_size_of_what_was_refused);
	return g_test_run();
}
