/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the policy says, and blocked VMs: who is asked, who is not, and what a sender can learn. */
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
	g_assert_cmpint(denied.after_ms, ==, missing.after_ms);
	g_assert_cmpstr(denied.text, ==, missing.text);
	g_assert_null(sim_disk_in(sim, vm(sim, "personal"), TRANSFER_AT_RECEIVER));
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
	g_assert_cmpint(blocked.after_ms, ==, missing.after_ms);
	g_assert_cmpstr(blocked.text, ==, missing.text);
	/* The others are asked about as before. */
	given_asking(sim, "bank", "personal");
	user_says(sim, "bank", false);
	sim_pass(sim, sim->limits.transfer.ask_ms);
	g_assert_true(exchange_unblock(sim->x, "work"));
	g_assert_false(exchange_unblock(sim->x, "work"));
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

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	sim_quiet_log();
	g_test_add_func("/rules/allowed", test_allowed);
	g_test_add_func("/rules/allowed-waits-for-the-slot", test_allowed_waits_for_the_slot);
	g_test_add_func("/rules/notices", test_notices);
	g_test_add_func("/rules/denied", test_denied);
	g_test_add_func("/rules/denied-is-not-asked", test_denied_is_not_asked);
	g_test_add_func("/rules/blocked", test_blocked);
	g_test_add_func("/rules/block-answers-what-is-asked", test_block_answers_what_is_asked);
	g_test_add_func("/rules/block-ends-by-itself", test_block_ends_by_itself);
	g_test_add_func("/rules/disposables-denied", test_disposables_denied);
	g_test_add_func("/rules/blocked-gets-no-disposable", test_blocked_gets_no_disposable);
	g_test_add_func("/rules/disposable-asked-yes", test_disposable_asked_yes);
	g_test_add_func("/rules/disposable-asked-no", test_disposable_asked_no);
	g_test_add_func("/rules/disposable-asked-in-vain", test_disposable_asked_in_vain);
	g_test_add_func("/rules/restart", test_restart);
	return g_test_run();
}
