/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the policy says, and blocked VMs: who is asked, who is not, and what a sender can learn. */
#include "budgets.h"
#include "dispvm_story.h"

/* When and how a refusal was told, for comparison. */
struct refusal {
	int64_t after_ms;
	char text[QPEN_REPLY_MAX + 1];
};

/* `work` sends to `to`, and all the time passes that a question may stand. */
static struct refusal refused_by(struct sim *sim, const char *to)
{
	struct refusal refusal = {0};
	struct sim_request *r;
	g_autofree char *text = g_strconcat("send ", to, NULL);
	int64_t began;

	given_lent(sim, "work");
	began = sim->now_ms;
	r = says(sim, "work", text);
	sim_pass(sim, sim->limits.transfer.ask_ms + 1000);
	then_reply(r, "error refused");
	refusal.after_ms = r->answered_ms - began;
	g_strlcpy(refusal.text, strchr(r->reply, ' '), sizeof refusal.text);
	return refusal;
}

static void then_same(const struct refusal *a, const struct refusal *b)
{
	g_assert_cmpint(a->after_ms, ==, b->after_ms);
	g_assert_cmpstr(a->text, ==, b->text);
}

static void test_allowed(void)
{
	struct sim *sim = given_host("work", "personal");

	sim->for_files = POLICY_ALLOW;
	given_lent(sim, "work");
	then_reply(says(sim, "work", "send personal"), "ok delivered");
	g_assert_cmpuint(sim->questions->len, ==, 0);
	then_reply(says(sim, "personal", "umount"), "ok");
	the_end(sim);
}

/* The user hears how it ended, unless the policy says that there is no need. */
static void test_notices(void)
{
	struct sim *sim = given_host("work", "personal");

	sim->for_files = POLICY_ALLOW;
	given_lent(sim, "work");
	says(sim, "work", "send personal");
	g_assert_cmpstr(sim->last_notice, ==, "delivered");
	says(sim, "personal", "umount");
	refused_by(sim, "nobody");
	g_assert_cmpstr(sim->last_notice, ==, "refused");
	sim->last_notice[0] = '\0';
	sim->quiet = true;
	given_lent(sim, "work");
	then_reply(says(sim, "work", "send personal"), "ok delivered");
	g_assert_cmpstr(sim->last_notice, ==, "");
	the_end(sim);
}

static void test_allowed_waits_for_the_slot(void)
{
	struct sim *sim = given_host("work", "bank", "personal");
	struct sim_request *r;

	given_delivered(sim, "bank", "personal");
	sim->for_files = POLICY_ALLOW;
	given_lent(sim, "work");
	r = says(sim, "work", "send personal");
	then_waits_for(r, "queued");
	says(sim, "personal", "umount");
	then_reply(r, "ok delivered");
	the_end(sim);
}

/* Nobody is asked, and the sender cannot tell it from a VM that does not exist. */
static void test_denied(void)
{
	struct sim *sim = given_host("work", "personal");
	struct refusal missing = refused_by(sim, "nobody"), denied;

	sim->for_files = POLICY_DENY;
	denied = refused_by(sim, "personal");
	then_same(&denied, &missing);
	g_assert_null(sim_disk_in(sim, vm(sim, "personal"), TRANSFER_AT_RECEIVER));
	the_end(sim);
}

/* ... nor where refusals are told at once. */
static void test_denied_and_told_at_once(void)
{
	struct exchange_limits limits = sim_limits;
	struct sim *sim;
	struct refusal missing, denied, blocked;

	limits.transfer.hide_refusals = false;
	sim = given_host_with(&limits, "work", "personal");
	missing = refused_by(sim, "nobody");
	g_assert_cmpint(missing.after_ms, <, limits.transfer.ask_ms);
	sim->for_files = POLICY_DENY;
	denied = refused_by(sim, "personal");
	then_same(&denied, &missing);
	sim->for_files = POLICY_ALLOW;
	sim_block(sim, "work", 0);
	blocked = refused_by(sim, "personal");
	then_same(&blocked, &missing);
	the_end(sim);
}

/* What is denied is not asked about: no question stands at any moment. */
static void test_denied_is_not_asked(void)
{
	struct sim *sim = given_host("work", "personal");

	sim->for_files = POLICY_DENY;
	given_lent(sim, "work");
	says(sim, "work", "send personal");
	then_state(sim, "work", TRANSFER_REFUSING);
	g_assert_cmpuint(sim->questions->len, ==, 0);
	the_end(sim);
}

static void test_blocked(void)
{
	struct sim *sim = given_host("work", "personal", "bank");
	struct refusal missing = refused_by(sim, "nobody"), blocked;

	sim_block(sim, "work", 0);
	blocked = refused_by(sim, "personal");
	then_same(&blocked, &missing);
	/* The others are asked about as before. */
	given_asking(sim, "bank", "personal");
	user_says(sim, "bank", false);
	sim_pass(sim, sim->limits.transfer.ask_ms);
	g_assert_true(sim_unblock(sim, "work"));
	g_assert_false(sim_unblock(sim, "work"));
	given_asking(sim, "work", "personal");
	the_end(sim);
}

static void test_block_answers_what_is_asked(void)
{
	struct sim *sim = given_host("work", "personal", "bank");
	struct sim_request *r = given_asking(sim, "work", "personal");
	struct sim_request *other = given_asking(sim, "bank", "personal");
	uint64_t id = sim_transfer_of(sim, "work")->id;

	sim_block(sim, "work", 0);
	g_assert_false(sim_is_asked(sim, id));
	then_state(sim, "work", TRANSFER_REFUSING);
	then_state(sim, "bank", TRANSFER_ASKING);
	sim_run(sim);
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_reply(r, "error refused");
	then_reply(other, "error refused");
	the_end(sim);
}

/* It is on its way to the question when the block comes, and must not become one. */
static void test_block_comes_before_the_question(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r;
	int64_t began;

	given_lent(sim, "work");
	r = asks(sim, "work", "send personal");
	began = sim->now_ms;
	when(sim, SIM_EV_MAILBOX);
	then_state(sim, "work", TRANSFER_FREEZING);
	sim_block(sim, "work", 0);
	sim_run(sim);
	g_assert_cmpuint(sim->questions->len, ==, 0);
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_reply(r, "error refused");
	g_assert_cmpint(r->answered_ms - began, ==, sim->limits.transfer.ask_ms);
	the_end(sim);
}

static void test_block_comes_before_the_question_of_a_disposable(void)
{
	struct sim *sim = given_host("work");
	struct sim_request *r;

	sim->for_disposables = POLICY_ASK;
	given_lent(sim, "work");
	r = asks(sim, "work", "send disposable 1");
	when(sim, SIM_EV_MAILBOX);
	then_state(sim, "work", TRANSFER_FREEZING);
	sim_block(sim, "work", 0);
	sim_run(sim);
	g_assert_cmpuint(sim->questions->len, ==, 0);
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_reply(r, "error cancelled");
	then_none_is_left(sim);
	the_end(sim);
}

/* What was allowed before goes on: the block is about what comes. */
static void test_block_leaves_what_was_decided(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r;

	sim->for_files = POLICY_ALLOW;
	given_lent(sim, "work");
	r = asks(sim, "work", "send personal");
	when(sim, SIM_EV_MAILBOX);
	sim_block(sim, "work", 0);
	sim_run(sim);
	then_reply(r, "ok delivered");
	the_end(sim);
}

/* A block is of a name: of whoever has it, now or later. */
static void test_block_is_of_a_name(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r;

	sim_block(sim, "work", 0);
	sim_rename_vm(vm(sim, "work"), "holiday");
	given_asking(sim, "holiday", "personal");
	user_says(sim, "holiday", false);
	sim_pass(sim, sim->limits.transfer.ask_ms);
	sim_add_vm(sim, "work");
	sim_run(sim);
	given_lent(sim, "work");
	r = says(sim, "work", "send personal");
	then_state(sim, "work", TRANSFER_REFUSING);
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_reply(r, "error refused");
	the_end(sim);
}

/* It can still get pendrives, and give them back. */
static void test_blocked_receives(void)
{
	struct sim *sim = given_host("work", "personal");

	sim_block(sim, "personal", 0);
	given_delivered(sim, "work", "personal");
	then_reply(says(sim, "personal", "umount"), "ok");
	the_end(sim);
}

static void count_blocked(void *arg, const char *name, int64_t left_ms)
{
	g_assert_cmpstr(name, ==, "work");
	g_assert_cmpint(left_ms, >, 0);
	++*(unsigned *)arg;
}

static void test_block_ends_by_itself(void)
{
	struct sim *sim = given_host("work", "personal");
	unsigned n = 0;

	sim_block(sim, "work", 10000000);
	exchange_visit_blocked(sim->x, count_blocked, &n);
	g_assert_cmpuint(n, ==, 1);
	sim_pass(sim, 10000000);
	exchange_visit_blocked(sim->x, count_blocked, &n);
	g_assert_cmpuint(n, ==, 1);
	given_asking(sim, "work", "personal");
	the_end(sim);
}

static void test_disposables_denied(void)
{
	struct sim *sim = given_host("work");

	sim->for_disposables = POLICY_DENY;
	given_lent(sim, "work");
	then_reply(says(sim, "work", "send disposable 1"), "error refused");
	then_none_is_left(sim);
	then_state(sim, "work", TRANSFER_LENT);
	the_end(sim);
}

static void test_blocked_gets_no_disposable(void)
{
	struct sim *sim = given_host("work");

	sim_block(sim, "work", 0);
	given_lent(sim, "work");
	then_reply(says(sim, "work", "send disposable 1"), "error refused");
	then_none_is_left(sim);
	the_end(sim);
}

static struct sim_request *given_asked_disposable(struct sim *sim)
{
	struct sim_request *r;

	sim->for_disposables = POLICY_ASK;
	given_lent(sim, "work");
	r = says(sim, "work", "send disposable 1");
	then_state(sim, "work", TRANSFER_ASKING);
	g_assert_true(sim_is_asked(sim, sim_transfer_of(sim, "work")->id));
	return r;
}

static void test_disposable_asked_yes(void)
{
	struct sim *sim = given_host("work");
	struct sim_request *r = given_asked_disposable(sim);

	user_says(sim, "work", true);
	then_dispvm(sim, "work", DISPVM_OPEN);
	bring_to_its_end(sim);
	then_reply(r, "ok saved");
	the_end(sim);
}

static void test_disposable_asked_no(void)
{
	struct sim *sim = given_host("work");
	struct sim_request *r = given_asked_disposable(sim);

	user_says(sim, "work", false);
	sim_pass(sim, sim->limits.transfer.ask_ms + 1000);
	then_reply(r, "error refused");
	then_none_is_left(sim);
	the_end(sim);
}

static void test_disposable_asked_in_vain(void)
{
	struct sim *sim = given_host("work");
	struct sim_request *r;

	sim->no_memory = true;
	sim->for_disposables = POLICY_ASK;
	given_lent(sim, "work");
	r = says(sim, "work", "send disposable 1");
	then_reply(r, "error no-memory");
	g_assert_cmpuint(sim->questions->len, ==, 0);
	the_end(sim);
}

static void test_disposable_asked_too_long(void)
{
	struct sim *sim = given_host("work");
	struct sim_request *r = given_asked_disposable(sim);

	then_waits(r);
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_reply(r, "error refused");
	g_assert_cmpuint(sim->questions->len, ==, 0);
	then_none_is_left(sim);
	the_end(sim);
}

/* A no and no answer are told at the same time, here too. */
static void test_disposable_no_is_hidden(void)
{
	struct sim *sim = given_host("work");
	struct sim_request *r = given_asked_disposable(sim);
	int64_t expires_ms = sim_transfer_of(sim, "work")->deadline_ms;

	user_says(sim, "work", false);
	then_state(sim, "work", TRANSFER_REFUSING);
	then_waits(r);
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_reply(r, "error refused");
	g_assert_cmpint(r->answered_ms, ==, expires_ms);
	the_end(sim);
}

static void test_disposable_asked_and_cancelled(void)
{
	struct sim *sim = given_host("work");
	struct sim_request *r = given_asked_disposable(sim);

	g_assert_true(sim_cancel(sim, sim_transfer_of(sim, "work")->id));
	g_assert_cmpuint(sim->questions->len, ==, 0);
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_reply(r, "error refused");
	then_none_is_left(sim);
	the_end(sim);
}

static void test_disposable_asked_for_dead_opener(void)
{
	struct sim *sim = given_host("work");

	given_asked_disposable(sim);
	sim_kill_vm(sim, vm(sim, "work"), true);
	sim_run(sim);
	g_assert_cmpuint(sim->questions->len, ==, 0);
	then_none_is_left(sim);
	the_end(sim);
}

/* It was made while the user thought, and ended before the yes. */
static void test_disposable_ends_while_asked(void)
{
	struct sim *sim = given_host("work");
	struct sim_request *r = given_asked_disposable(sim);

	then_dispvm(sim, "work", DISPVM_READY);
	sim_kill_vm(sim, vm(sim, "disp1"), true);
	sim_run(sim);
	g_assert_cmpuint(sim->questions->len, ==, 0);
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_reply(r, "error refused");
	then_none_is_left(sim);
	the_end(sim);
}

/* The user removes it instead of answering, and the daemon dies at that call. False: before it. */
static bool removed_and_killed_at(unsigned at)
{
	struct sim *sim = given_host("work");
	struct sim_request *r = given_asked_disposable(sim);
	bool killed;

	then_dispvm(sim, "work", DISPVM_READY);
	sim->crash_in = at;
	sim_discard_dispvm(sim, "disp1");
	killed = sim->crash_in == 0;
	sim->crash_in = 0;
	sim_run(sim);
	/* Killed before anything was written down: it is asked again, and removed again. */
	if (sim->questions->len > 0)
		g_assert_true(sim_discard_dispvm(sim, "disp1"));
	sim_run(sim);
	g_assert_cmpuint(sim->questions->len, ==, 0);
	then_reply(r, "error");
	then_none_is_left(sim);
	the_end(sim);
	return killed;
}

static void test_disposable_removed_while_asked(void)
{
	unsigned at = 1;

	while (removed_and_killed_at(at))
		at++;
	g_assert_cmpuint(at, >, 2);
}

static void test_block_answers_what_is_asked_of_a_disposable(void)
{
	struct sim *sim = given_host("work");
	struct sim_request *r = given_asked_disposable(sim);

	sim_block(sim, "work", 0);
	g_assert_cmpuint(sim->questions->len, ==, 0);
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_reply(r, "error refused");
	then_none_is_left(sim);
	the_end(sim);
}

/* When it is told is written down as well. */
static void test_restart_while_refusing(void)
{
	struct sim *sim = given_host("work", "personal");
	struct refusal missing = refused_by(sim, "nobody");
	struct sim_request *r;
	int64_t began;

	sim->for_files = POLICY_DENY;
	given_lent(sim, "work");
	began = sim->now_ms;
	r = says(sim, "work", "send personal");
	then_state(sim, "work", TRANSFER_REFUSING);
	sim_stop(sim);
	sim->for_files = POLICY_ALLOW;
	sim_start(sim);
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_reply(r, "error refused");
	g_assert_cmpint(r->answered_ms - began, ==, missing.after_ms);
	g_assert_null(sim_disk_in(sim, vm(sim, "personal"), TRANSFER_AT_RECEIVER));
	the_end(sim);
}

/* Denied, but the pendrive is still with its sender when the daemon goes. */
static void test_restart_before_a_denied_one_is_frozen(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r;

	sim->for_files = POLICY_DENY;
	given_lent(sim, "work");
	r = asks(sim, "work", "send personal");
	when(sim, SIM_EV_MAILBOX);
	then_state(sim, "work", TRANSFER_FREEZING);
	sim_stop(sim);
	sim->for_files = POLICY_ALLOW; /* what was decided stays decided */
	sim_start(sim);
	sim_run(sim);
	then_state(sim, "work", TRANSFER_REFUSING);
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_reply(r, "error refused");
	the_end(sim);
}

static void count_any_blocked(void *arg, const char *name, int64_t left_ms)
{
	(void)name;
	g_assert_cmpint(left_ms, >=, 0);
	(*(unsigned *)arg)++;
}

static unsigned n_blocked(struct sim *sim)
{
	unsigned n = 0;

	exchange_visit_blocked(sim->x, count_any_blocked, &n);
	return n;
}

/* The next daemon knows of blocks, until when they are, and of those that were ended. */
static void test_restart_keeps_blocks(void)
{
	struct sim *sim = given_host("work", "bank", "personal");
	struct sim_request *r = given_asking(sim, "work", "personal");

	sim_block(sim, "work", 0);
	sim_block(sim, "bank", 10000000);
	sim_stop(sim);
	sim_start(sim);
	sim_run(sim);
	g_assert_cmpuint(n_blocked(sim), ==, 2);
	then_state(sim, "work", TRANSFER_REFUSING);
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_reply(r, "error refused");
	given_lent(sim, "work");
	says(sim, "work", "send personal");
	g_assert_cmpuint(sim->questions->len, ==, 0);
	g_assert_true(sim_unblock(sim, "work"));
	sim_stop(sim);
	sim_start(sim);
	g_assert_cmpuint(n_blocked(sim), ==, 1);
	sim_pass(sim, sim->limits.transfer.ask_ms);
	given_asking(sim, "work", "personal");
	the_end(sim);
}

/* The record says that the question stands: what came of it had not been written down yet. */
static void test_restart_with_an_old_record_of_a_blocked(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r = given_asking(sim, "work", "personal");

	sim->attach_fails = true;
	sim_answer(sim, sim_transfer_of(sim, "work")->id, true);
	when(sim, SIM_EV_ANSWERED);
	then_state(sim, "work", TRANSFER_ATTACHING_IN);
	sim_block(sim, "work", 0);
	sim_stop(sim);
	sim->attach_fails = false;
	sim_start(sim);
	g_assert_cmpuint(sim->questions->len, ==, 0);
	sim_pass(sim, sim->limits.transfer.ask_ms);
	then_reply(r, "error refused");
	then_gone(sim, "work");
	the_end(sim);
}

/* It ends when it would have, while no daemon runs and right after the start. */
static void test_block_ends_after_a_restart(void)
{
	struct sim *sim = given_host("work", "bank", "personal");

	sim_block(sim, "work", 1000000);
	sim_block(sim, "bank", 1000001);
	sim_stop(sim);
	sim->now_ms += 1000000;
	sim_start(sim);
	g_assert_cmpuint(n_blocked(sim), ==, 1);
	g_assert_cmpuint(g_hash_table_size(sim->blocked_records), ==, 1);
	given_asking(sim, "work", "personal");
	given_lent(sim, "bank");
	sim_pass(sim, 1);
	g_assert_cmpuint(n_blocked(sim), ==, 0);
	says(sim, "bank", "send personal");
	then_state(sim, "bank", TRANSFER_ASKING);
	g_assert_cmpuint(g_hash_table_size(sim->blocked_records), ==, 0);
	the_end(sim);
}

/* Where xenstore takes nothing it holds as long as the daemon. */
static void test_block_that_cannot_be_written(void)
{
	struct sim *sim = given_host("work", "personal");

	sim->commit_fails = true;
	sim_block(sim, "work", 0);
	sim->commit_fails = false;
	g_assert_cmpuint(n_blocked(sim), ==, 1);
	sim_stop(sim);
	sim_start(sim);
	g_assert_cmpuint(n_blocked(sim), ==, 0);
	the_end(sim);
}

static void test_restart_while_allowed_one_is_queued(void)
{
	struct sim *sim = given_host("work", "bank", "personal");
	struct sim_request *r;

	given_delivered(sim, "bank", "personal");
	sim->for_files = POLICY_ALLOW;
	given_lent(sim, "work");
	r = says(sim, "work", "send personal");
	then_waits_for(r, "queued");
	sim_stop(sim);
	sim->for_files = POLICY_DENY;
	sim_start(sim);
	sim_run(sim);
	then_waits(r);
	says(sim, "personal", "umount");
	then_reply(r, "ok delivered");
	the_end(sim);
}

/* The next daemon asks again about what was asked, and lets go on what was allowed. */
static void test_restart(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r = given_asked_disposable(sim);

	sim_stop(sim);
	sim_start(sim);
	sim_run(sim);
	then_state(sim, "work", TRANSFER_ASKING);
	user_says(sim, "work", true);
	then_dispvm(sim, "work", DISPVM_OPEN);
	bring_to_its_end(sim);
	then_reply(r, "ok saved");
	sim->for_files = POLICY_ALLOW;
	given_lent(sim, "work");
	r = asks(sim, "work", "send personal");
	when(sim, SIM_EV_MAILBOX);
	then_state(sim, "work", TRANSFER_FREEZING);
	sim_stop(sim);
	sim->for_files = POLICY_ASK; /* what was decided stays decided */
	sim_start(sim);
	sim_run(sim);
	then_reply(r, "ok delivered");
	the_end(sim);
}

#define RULE(path, fn) g_test_add_func("/rules/" path, fn)

/* ---- how often a VM may have the user asked ---- */

/* `name` sends to `to`, and the user says yes or no to whatever is asked. */
static struct sim_request *sends_and_is_answered(
	struct sim *sim, const char *name, const char *to, bool yes)
{
	g_autofree char *text = g_strconcat("send ", to, NULL);
	struct sim_request *r;

	given_lent(sim, name);
	r = says(sim, name, text);
	if (sim->questions->len > 0)
		user_says(sim, name, yes);
	sim_run(sim);
	return r;
}

/* As many questions as it may cause at once, each answered with no at once. */
static void given_spent(struct sim *sim, const char *name)
{
	for (unsigned i = 0; i < sim->limits.questions.burst; i++) {
		given_lent(sim, name);
		says(sim, name, "send personal");
		g_assert_cmpuint(sim->questions->len, ==, 1);
		user_says(sim, name, false);
		sim_run(sim);
	}
}

/* Refusals at once, so that many pendrives can be sent at one time. */
static struct sim *given_frank_host(void)
{
	struct exchange_limits limits = sim_limits;

	limits.transfer.hide_refusals = false;
	limits.requests.burst = 1000;
	return given_host_with(&limits, "work", "personal", "bank");
}

static void then_asked(struct sim *sim, const char *name, bool wanted)
{
	given_lent(sim, name);
	says(sim, name, "send personal");
	g_assert_cmpuint(sim->questions->len, ==, wanted ? 1 : 0);
	if (wanted)
		user_says(sim, name, false);
	sim_run(sim);
}

static void test_too_often(void)
{
	struct sim *sim = given_frank_host();

	given_spent(sim, "work");
	then_asked(sim, "work", false);
	g_assert_cmpstr(sim->last_notice, ==, "too-often");
	g_assert_cmpuint(sim->last_count, ==, 1);
	/* Others are asked about. */
	then_asked(sim, "bank", true);
	sim_pass(sim, sim->limits.questions.interval_ms - 1);
	then_asked(sim, "work", false);
	sim_pass(sim, 1);
	then_asked(sim, "work", true);
	then_asked(sim, "work", false);
	the_end(sim);
}

/* The user hears of it once, and later how many more there were; then no more. */
static void test_too_often_is_told_once(void)
{
	struct sim *sim = given_frank_host();
	unsigned n_before;

	given_spent(sim, "work");
	n_before = sim->n_notices;
	for (int i = 0; i < 7; i++)
		then_asked(sim, "work", false);
	g_assert_cmpuint(sim->n_notices, ==, n_before + 1);
	g_assert_cmpuint(sim->last_count, ==, 1);
	sim_pass(sim, BUDGETS_NOTICE_MS - 1);
	g_assert_cmpuint(sim->n_notices, ==, n_before + 1);
	sim_pass(sim, 1);
	g_assert_cmpuint(sim->n_notices, ==, n_before + 2);
	g_assert_cmpuint(sim->last_count, ==, 6);
	sim_pass(sim, 10 * BUDGETS_NOTICE_MS);
	g_assert_cmpuint(sim->n_notices, ==, n_before + 2);
	the_end(sim);
}

/* To the sender it is a refusal like any other. */
static void test_too_often_looks_like_missing(void)
{
	struct exchange_limits limits = sim_limits;
	struct sim *sim;
	struct refusal missing, too_often;

	limits.questions = (struct bucket_limits){.burst = 1, .interval_ms = 10000000};
	sim = given_host_with(&limits, "work", "personal");
	missing = refused_by(sim, "nobody");
	g_assert_cmpint(missing.after_ms, ==, limits.transfer.ask_ms);
	too_often = refused_by(sim, "personal");
	then_same(&too_often, &missing);
	g_assert_cmpstr(sim->last_notice, ==, "too-often");
	the_end(sim);
}

/* What is left after so many sends to `to`: whether the next is asked. */
static bool is_asked_after_sending_to(const char *to, enum policy_action action)
{
	struct sim *sim = given_frank_host();
	bool asked;

	sim->for_files = action;
	for (unsigned i = 0; i < sim->limits.questions.burst; i++)
		sends_and_is_answered(sim, "work", to, false);
	sim->for_files = POLICY_ASK;
	given_lent(sim, "work");
	says(sim, "work", "send bank");
	asked = sim->questions->len > 0;
	the_end(sim);
	return asked;
}

/* A VM cannot learn from what it has left whether a VM is there, denied, or was asked about. */
static void test_what_is_left_tells_nothing(void)
{
	g_assert_false(is_asked_after_sending_to("nobody", POLICY_ASK));
	g_assert_false(is_asked_after_sending_to("personal", POLICY_DENY));
	g_assert_false(is_asked_after_sending_to("personal", POLICY_ASK));
}

static void test_allowed_costs_nothing(void)
{
	struct sim *sim = given_frank_host();

	sim->for_files = POLICY_ALLOW;
	for (unsigned i = 0; i < 2 * sim->limits.questions.burst; i++) {
		then_reply(sends_and_is_answered(sim, "work", "personal", true), "ok delivered");
		says(sim, "personal", "umount");
	}
	sim->for_files = POLICY_ASK;
	then_asked(sim, "work", true);
	the_end(sim);
}

/* A new domid, and a new uuid as `xl create` gives it. */
static void test_reboot_gives_no_questions(void)
{
	struct sim *sim = given_frank_host();

	given_spent(sim, "work");
	sim_kill_vm(sim, vm(sim, "work"), true);
	sim_run(sim);
	sim_add_vm(sim, "work");
	sim_run(sim);
	then_asked(sim, "work", false);
	the_end(sim);
}

static void test_another_name_gives_no_questions(void)
{
	struct sim *sim = given_frank_host();

	given_spent(sim, "work");
	sim_rename_vm(vm(sim, "work"), "play");
	sim_run(sim);
	given_lent(sim, "play");
	says(sim, "play", "send personal");
	g_assert_cmpuint(sim->questions->len, ==, 0);
	/* Nor has whoever gets the old name more. */
	sim_add_vm(sim, "work");
	sim_run(sim);
	then_asked(sim, "work", false);
	the_end(sim);
}

static void test_too_often_for_a_disposable(void)
{
	struct sim *sim = given_frank_host();

	given_spent(sim, "work");
	sim->for_disposables = POLICY_ASK;
	given_lent(sim, "work");
	then_reply(says(sim, "work", "send disposable 1"), "error refused");
	g_assert_cmpuint(sim->questions->len, ==, 0);
	g_assert_cmpuint(sim_n_dispvms(sim), ==, 0);
	then_state(sim, "work", TRANSFER_LENT);
	sim_pass(sim, sim->limits.questions.interval_ms);
	says(sim, "work", "send disposable 2");
	g_assert_cmpuint(sim->questions->len, ==, 1);
	user_says(sim, "work", false);
	sim_run(sim);
	then_asked(sim, "work", false);
	the_end(sim);
}

/* With as many waiting as may, one that has none waiting is asked about, the others not. */
static void test_too_many_wait(void)
{
	struct exchange_limits limits = sim_limits;
	struct sim *sim;

	limits.registry.max_waiting = 2;
	limits.transfer.hide_refusals = false;
	sim = given_host_with(&limits, "work", "bank", "mail", "personal");
	given_asking(sim, "work", "personal");
	given_asking(sim, "bank", "personal");
	given_lent(sim, "work");
	then_reply(says(sim, "work", "send personal"), "error refused");
	g_assert_cmpuint(sim->questions->len, ==, 2);
	given_asking(sim, "mail", "personal");
	g_assert_cmpuint(sim->questions->len, ==, 3);
	user_says(sim, "work", false);
	user_says(sim, "bank", false);
	sim_run(sim);
	given_asking(sim, "bank", "personal");
	the_end(sim);
}

/* New limits are in force at once; what was spent under the old ones does not lock anybody out. */
static void test_other_limits_for_questions(void)
{
	struct sim *sim = given_frank_host();

	given_spent(sim, "work");
	sim->limits.questions.interval_ms = 1000;
	exchange_set_limits(sim->x, &sim->limits);
	sim_pass(sim, 1000);
	g_hash_table_remove_all(sim->asked); /* what it counts is by one limit */
	then_asked(sim, "work", true);
	the_end(sim);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	sim_quiet_log();
	RULE("allowed", test_allowed);
	RULE("notices", test_notices);
	RULE("allowed-waits-for-the-slot", test_allowed_waits_for_the_slot);
	RULE("denied", test_denied);
	RULE("denied-and-told-at-once", test_denied_and_told_at_once);
	RULE("denied-is-not-asked", test_denied_is_not_asked);
	RULE("blocked", test_blocked);
	RULE("block-answers-what-is-asked", test_block_answers_what_is_asked);
	RULE("block-comes-before-the-question", test_block_comes_before_the_question);
	RULE("block-comes-before-the-question-of-a-disposable",
		test_block_comes_before_the_question_of_a_disposable);
	RULE("block-leaves-what-was-decided", test_block_leaves_what_was_decided);
	RULE("block-is-of-a-name", test_block_is_of_a_name);
	RULE("blocked-receives", test_blocked_receives);
	RULE("block-ends-by-itself", test_block_ends_by_itself);
	RULE("disposables-denied", test_disposables_denied);
	RULE("blocked-gets-no-disposable", test_blocked_gets_no_disposable);
	RULE("disposable-asked-yes", test_disposable_asked_yes);
	RULE("disposable-asked-no", test_disposable_asked_no);
	RULE("disposable-asked-in-vain", test_disposable_asked_in_vain);
	RULE("disposable-asked-too-long", test_disposable_asked_too_long);
	RULE("disposable-no-is-hidden", test_disposable_no_is_hidden);
	RULE("disposable-asked-and-cancelled", test_disposable_asked_and_cancelled);
	RULE("disposable-asked-for-dead-opener", test_disposable_asked_for_dead_opener);
	RULE("disposable-ends-while-asked", test_disposable_ends_while_asked);
	RULE("disposable-removed-while-asked", test_disposable_removed_while_asked);
	RULE("block-answers-what-is-asked-of-a-disposable",
		test_block_answers_what_is_asked_of_a_disposable);
	RULE("restart-while-refusing", test_restart_while_refusing);
	RULE("restart-before-a-denied-one-is-frozen", test_restart_before_a_denied_one_is_frozen);
	RULE("too-often", test_too_often);
	RULE("too-often-is-told-once", test_too_often_is_told_once);
	RULE("too-often-looks-like-missing", test_too_often_looks_like_missing);
	RULE("what-is-left-tells-nothing", test_what_is_left_tells_nothing);
	RULE("allowed-costs-nothing", test_allowed_costs_nothing);
	RULE("reboot-gives-no-questions", test_reboot_gives_no_questions);
	RULE("another-name-gives-no-questions", test_another_name_gives_no_questions);
	RULE("too-often-for-a-disposable", test_too_often_for_a_disposable);
	RULE("too-many-wait", test_too_many_wait);
	RULE("other-limits-for-questions", test_other_limits_for_questions);
	RULE("restart-keeps-blocks", test_restart_keeps_blocks);
	RULE("restart-with-an-old-record-of-a-blocked",
		test_restart_with_an_old_record_of_a_blocked);
	RULE("block-ends-after-a-restart", test_block_ends_after_a_restart);
	RULE("block-that-cannot-be-written", test_block_that_cannot_be_written);
	RULE("restart-while-allowed-one-is-queued", test_restart_while_allowed_one_is_queued);
	RULE("restart", test_restart);
	return g_test_run();
}
