/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file is edited in a DisposableVM and comes back, and what stands in its way. */
#include <string.h>

#include "dispvm_story.h"

/* ---- how it goes ---- */

static void test_edit_and_save(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r = opens(sim, "work", "1");
	g_autofree char *disp = name_of(sim, "work");

	then_waits_for(r, "open disp1");
	g_assert_cmpuint(r->n_waits, ==, 2);
	then_holds(sim, "work", TRANSFER_AT_SENDER, false);
	then_reply(sends_back(sim, disp, "work", "1"), "ok delivered");
	/* No question was asked, and nothing is destroyed before it is stored. */
	g_assert_cmpuint(sim->questions->len, ==, 0);
	then_waits(r);
	then_dispvm(sim, "work", DISPVM_ANSWERING);
	then_holds(sim, "work", TRANSFER_AT_RECEIVER, true);
	then_reply(says(sim, "work", "umount"), "ok");
	then_reply(r, "ok saved");
	then_none_is_left(sim);
	the_end(sim);
}

static void test_unchanged(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r = given_open(sim, "work", "1");
	g_autofree char *disp = name_of(sim, "work");

	then_reply(says(sim, disp, "umount"), "ok");
	sim_pass(sim, 600000);
	then_waits(r);
	then_reply(says(sim, "work", "killme"), "error unsupported");
	/* Nobody is there any more to read the answer to this. */
	says(sim, disp, "killme");
	then_reply(r, "ok unchanged");
	then_none_is_left(sim);
	the_end(sim);
}

/* By its colour one sees whose file it has. */
static void test_label(void)
{
	struct exchange_limits limits = sim_limits;
	struct sim *sim;

	limits.dispvm.pool = 1;
	sim = given_host_with(&limits, "work", "bank");
	given_open(sim, "bank", "1");
	given_open(sim, "work", "1");
	g_assert_cmpstr(vm(sim, "disp1")->label, ==, "green");
	g_assert_cmpstr(vm(sim, "disp2")->label, ==, "red");
	sim_set_pool(sim, 0);
	given_open(sim, "bank", "2");
	g_assert_cmpstr(vm(sim, dispvm_of(sim, "bank")->id.name)->label, ==, "green");
	the_end(sim);
}

/* Somebody has called a VM so. */
static void test_name_is_taken(void)
{
	struct sim *sim = given_host("work", "disp1", "disp3");

	given_open(sim, "work", "1");
	g_assert_cmpstr(dispvm_of(sim, "work")->id.name, ==, "disp2");
	given_open(sim, "work", "2");
	g_assert_cmpstr(dispvm_of(sim, "work")->id.name, ==, "disp4");
	the_end(sim);
}

/* Neither an ID nor anybody who reads the replies. */
static void test_without_id(void)
{
	struct sim *sim = given_host("work");

	writes(sim, "work", "new format=none");
	writes(sim, "work", "send disposable 1");
	g_assert_cmpstr(vm(sim, "work")->last_reply, ==, "- wait open disp1");
	writes(sim, "disp1", "umount");
	g_assert_cmpstr(vm(sim, "disp1")->last_reply, ==, "- ok");
	writes(sim, "disp1", "killme");
	g_assert_cmpstr(vm(sim, "work")->last_reply, ==, "- ok unchanged");
	then_none_is_left(sim);
	the_end(sim);
}

static void test_view_only(void)
{
	struct sim *sim = given_host("work");
	struct sim_request *r = opens(sim, "work", "1 view");

	then_waits_for(r, "open disp1");
	then_reply(sends_back(sim, "disp1", "work", "1"), "error no-transaction");
	then_holds(sim, "work", TRANSFER_AT_RECEIVER, false);
	then_dispvm(sim, "work", DISPVM_OPEN);
	says(sim, "disp1", "killme");
	then_reply(r, "ok unchanged");
	then_none_is_left(sim);
	the_end(sim);
}

/* It asks to go at once, while its answer is still on its way. */
static void test_killme_while_answering(void)
{
	struct sim *sim = given_host("work");
	struct sim_request *r = given_open(sim, "work", "1");

	then_reply(sends_back(sim, "disp1", "work", "1"), "ok delivered");
	then_reply(says(sim, "disp1", "killme"), "ok");
	then_waits(r);
	then_dispvm(sim, "work", DISPVM_ANSWERING);
	g_assert_cmpuint(sim_n_disposable_vms(sim), ==, 1);
	then_reply(says(sim, "work", "umount"), "ok");
	then_reply(r, "ok saved");
	then_none_is_left(sim);
	the_end(sim);
}

/* Nobody gave it back, and nobody ever will. */
static void test_life_passes(void)
{
	struct sim *sim = given_host("work");
	struct sim_request *r = given_open(sim, "work", "1");

	sim_pass(sim, sim_limits.dispvm.life_ms - 1);
	then_waits(r);
	sim_pass(sim, 1);
	then_reply(r, "error lost");
	then_none_is_left(sim);
	the_end(sim);
}

/* ---- several at a time ---- */

static void test_two_openers_three_files(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *a, *b, *c;
	g_autofree char *disp_a = NULL, *disp_b = NULL, *disp_c = NULL;

	a = given_open(sim, "work", "1");
	disp_a = name_of(sim, "work");
	b = given_open(sim, "work", "2");
	disp_b = name_of(sim, "work");
	/* A SEQ is its opener's own. */
	c = given_open(sim, "personal", "1");
	disp_c = name_of(sim, "personal");
	g_assert_cmpuint(sim_n_disposable_vms(sim), ==, 3);

	/* Nobody can answer for another one. */
	then_reply(sends_back(sim, disp_a, "work", "2"), "error no-transaction");
	then_reply(says(sim, disp_a, "send personal 1"), "error no-transaction");
	/* Neither in the order of their beginning. */
	then_reply(sends_back(sim, disp_c, "personal", "1"), "ok delivered");
	then_reply(sends_back(sim, disp_b, "work", "2"), "ok delivered");
	then_waits_for(says(sim, disp_a, "send work 1"), "queued");
	then_reply(says(sim, "work", "umount"), "ok");
	then_reply(b, "ok saved");
	then_waits(a);
	then_waits(c);
	then_reply(says(sim, "work", "umount"), "ok");
	then_reply(a, "ok saved");
	then_reply(says(sim, "personal", "umount"), "ok");
	then_reply(c, "ok saved");
	then_none_is_left(sim);
	the_end(sim);
}

/* What comes from a VM that was itself made for a file is opened as well, and goes with it. */
static void test_opens_one_itself(void)
{
	struct sim *sim = given_host("work");
	struct sim_request *outer = given_open(sim, "work", "1"), *inner;

	inner = given_open(sim, "disp1", "9");
	then_waits(inner);
	g_assert_cmpuint(sim_n_disposable_vms(sim), ==, 2);
	says(sim, "disp1", "killme");
	then_reply(outer, "ok unchanged");
	then_none_is_left(sim);
	the_end(sim);
}

/* The opener has other pendrives to read, and more wait for it than may. */
static void test_answer_waits_in_full_queue(void)
{
	struct exchange_limits limits = sim_limits;
	struct sim_request *r, *second, *sent;
	struct sim *sim;

	limits.registry.max_queue = 1;
	sim = given_host_with(&limits, "work", "personal", "bank");
	r = given_open(sim, "work", "1");
	given_delivered(sim, "bank", "work");
	second = given_asking(sim, "personal", "work");
	user_says(sim, "personal", true);
	then_waits_for(second, "queued");
	sent = sends_back(sim, "disp1", "work", "1");
	then_waits_for(sent, "queued");
	/* Anybody else finds the queue full. */
	second = given_asking(sim, "bank", "work");
	user_says(sim, "bank", true);
	then_reply(second, "error queue-full");
	/* The first to come is the first to be lent. */
	then_reply(says(sim, "work", "umount"), "ok");
	then_waits(sent);
	then_reply(says(sim, "work", "umount"), "ok");
	then_reply(sent, "ok delivered");
	then_reply(says(sim, "work", "umount"), "ok");
	then_reply(r, "ok saved");
	then_none_is_left(sim);
	the_end(sim);
}

/* ---- answers that nobody waits for ---- */

static const struct {
	const char *label, *who, *text, *reply;
} wrong_answers[] = {
	{"another SEQ", "disp1", "send work 2", "error no-transaction"},
	{"the beginning of the SEQ", "disp1", "send work 4", "error no-transaction"},
	{"to another VM", "disp1", "send personal 42", "error no-transaction"},
	{"to a VM that is none", "disp1", "send nobody 42", "error no-transaction"},
	{"by another VM", "personal", "send work 42", "error no-transaction"},
	{"by the opener to itself", "work", "send work 42", "error self"},
	{"by the opener to the DisposableVM", "work", "send disp1 42", "error no-transaction"},
	{"killme by the opener", "work", "killme", "error unsupported"},
	{"killme by another VM", "personal", "killme", "error unsupported"},
};

static void test_wrong_answers(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(wrong_answers); i++) {
		struct sim *sim = given_host("work", "personal");
		struct sim_request *r = given_open(sim, "work", "42");

		g_test_message("%s", wrong_answers[i].label);
		given_lent(sim, wrong_answers[i].who);
		then_reply(says(sim, wrong_answers[i].who, wrong_answers[i].text),
			wrong_answers[i].reply);
		/* The pendrive stays, and the right answer is taken still. */
		then_holds(sim, wrong_answers[i].who, TRANSFER_AT_SENDER, true);
		then_waits(r);
		if (!holds(sim, "disp1", TRANSFER_AT_SENDER))
			given_lent(sim, "disp1");
		then_reply(says(sim, "disp1", "send work 42"), "ok delivered");
		then_reply(says(sim, "work", "umount"), "ok");
		then_reply(r, "ok saved");
		the_end(sim);
	}
}

static void test_answer_twice(void)
{
	struct sim *sim = given_host("work");
	struct sim_request *r = given_open(sim, "work", "1");

	then_reply(sends_back(sim, "disp1", "work", "1"), "ok delivered");
	then_reply(sends_back(sim, "disp1", "work", "1"), "error no-transaction");
	then_reply(says(sim, "work", "umount"), "ok");
	then_reply(r, "ok saved");
	then_holds(sim, "work", TRANSFER_AT_RECEIVER, false);
	the_end(sim);
}

/* A SEQ that the opener used before is a new transaction, and an old answer is none. */
static void test_used_seq(void)
{
	struct sim *sim = given_host("work");
	struct sim_request *r = given_open(sim, "work", "1");

	bring_to_its_end(sim);
	then_reply(r, "ok saved");
	r = given_open(sim, "work", "2");
	then_reply(sends_back(sim, dispvm_of(sim, "work")->id.name, "work", "1"),
		"error no-transaction");
	then_waits(r);
	the_end(sim);
}

static unsigned n_warnings;

static void count_warning(
	const char *domain, GLogLevelFlags level, const char *message, gpointer unused)
{
	(void)domain, (void)level, (void)unused;
	n_warnings += strstr(message, "an answer that nobody waits for") ? 1 : 0;
}

static void test_many_wrong_answers(void)
{
	struct exchange_limits limits = sim_limits;
	struct sim_request *r;
	struct sim *sim;
	guint handler = g_log_set_handler("qfilexchgd", G_LOG_LEVEL_WARNING, count_warning, NULL);

	n_warnings = 0;
	limits.requests.burst = 5000;
	sim = given_host_with(&limits, "work");
	r = given_open(sim, "work", "1");
	given_lent(sim, "disp1");
	for (int i = 0; i < 1000; i++)
		then_reply(says(sim, "disp1", "send work 7"), "error no-transaction");
	g_assert_cmpuint(n_warnings, ==, 1);
	g_log_remove_handler("qfilexchgd", handler);
	then_reply(says(sim, "disp1", "send work 1"), "ok delivered");
	then_reply(says(sim, "work", "umount"), "ok");
	then_reply(r, "ok saved");
	the_end(sim);
}

/* An ordinary pendrive from a DisposableVM is a matter of the user's. */
static void test_ordinary_send(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r = given_open(sim, "work", "1"), *sent;

	given_lent(sim, "disp1");
	sent = says(sim, "disp1", "send work");
	then_waits_for(sent, "asking");
	g_assert_cmpuint(sim->questions->len, ==, 1);
	user_says(sim, "disp1", true);
	then_reply(sent, "ok delivered");
	then_reply(says(sim, "work", "umount"), "ok");
	/* And is no answer. */
	then_waits(r);
	then_dispvm(sim, "work", DISPVM_OPEN);
	the_end(sim);
}

/* ---- there is none ---- */

static void test_not_configured(void)
{
	struct sim *sim = given_host("work");

	sim->no_templates = true;
	then_reply(opens(sim, "work", "1"), "error unsupported");
	then_holds(sim, "work", TRANSFER_AT_SENDER, true);
	g_assert_false(sim_ask_to_prepare(sim));
	the_end(sim);
}

static void test_no_memory(void)
{
	struct sim *sim = given_host("work");

	sim->no_memory = true;
	then_reply(opens(sim, "work", "1"), "error no-memory");
	g_assert_cmpuint(sim->n_notices, ==, 1);
	then_none_is_left(sim);
	sim->no_memory = false;
	given_open(sim, "work", "1");
	the_end(sim);
}

static void test_not_made(void)
{
	struct sim *sim = given_host("work");

	sim->make_fails = true;
	then_reply(opens(sim, "work", "1"), "error timeout");
	then_none_is_left(sim);
	sim->make_fails = false;
	sim->unpause_fails = true;
	then_reply(opens(sim, "work", "1"), "error failed");
	then_none_is_left(sim);
	the_end(sim);
}

/* It neither comes nor fails. */
static void test_never_made(void)
{
	struct sim *sim = given_host("work");
	struct sim_request *r;

	given_lent(sim, "work");
	r = asks(sim, "work", "send disposable 1");
	when(sim, SIM_EV_MAILBOX);
	for (guint i = 0; i < sim->jobs->len; i++)
		if (g_array_index(sim->jobs, struct sim_job, i).kind == SIM_DOM_BUILD)
			sim_drop(sim, i--);
	sim_pass(sim, sim_limits.dispvm.make_ms - 1);
	then_waits_for(r, "starting");
	sim_pass(sim, 1);
	then_reply(r, "error timeout");
	then_none_is_left(sim);
	the_end(sim);
}

static void test_limit_per_opener(void)
{
	struct exchange_limits limits = sim_limits;
	struct sim_request *r;
	struct sim *sim;

	limits.dispvm.max_per_opener = 1;
	sim = given_host_with(&limits, "work", "personal");
	given_open(sim, "work", "1");
	then_reply(opens(sim, "work", "2"), "error limit");
	/* It can be sent as soon as there is room. */
	then_holds(sim, "work", TRANSFER_AT_SENDER, true);
	given_open(sim, "personal", "1");
	says(sim, "disp1", "killme");
	r = says(sim, "work", "send disposable 2");
	then_waits(r);
	then_dispvm(sim, "work", DISPVM_OPEN);
	the_end(sim);
}

static void test_limit_in_all(void)
{
	struct exchange_limits limits = sim_limits;
	struct sim *sim;

	limits.dispvm.max_total = 2;
	sim = given_host_with(&limits, "work", "personal", "bank");
	given_open(sim, "work", "1");
	given_open(sim, "personal", "1");
	then_reply(opens(sim, "bank", "1"), "error limit");
	then_holds(sim, "bank", TRANSFER_AT_SENDER, true);
	the_end(sim);
}

/* ---- the save file ---- */

static void test_preparing_first(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *a, *b;

	sim->prepared = false;
	given_lent(sim, "work");
	given_lent(sim, "personal");
	a = asks(sim, "work", "send disposable 1");
	b = asks(sim, "personal", "send disposable 1");
	when(sim, SIM_EV_MAILBOX);
	when(sim, SIM_EV_MAILBOX);
	then_waits_for(a, "preparing");
	then_waits_for(b, "preparing");
	then_dispvm(sim, "work", DISPVM_PREPARING);
	g_assert_cmpuint(sim->n_notices, ==, 2);
	/* It is made once, for both. */
	when(sim, SIM_PREPARE);
	g_assert_false(sim_has_job(sim, SIM_PREPARE, 0));
	when(sim, SIM_EV_PREPARED);
	then_waits_for(a, "starting");
	then_waits_for(b, "starting");
	sim_run(sim);
	then_dispvm(sim, "work", DISPVM_OPEN);
	then_dispvm(sim, "personal", DISPVM_OPEN);
	g_assert_cmpuint(sim->n_prepared, ==, 1);
	the_end(sim);
}

static void test_preparing_fails(void)
{
	struct sim *sim = given_host("work");

	sim->prepared = false;
	sim->prepare_fails = true;
	then_reply(opens(sim, "work", "1"), "error timeout");
	then_none_is_left(sim);
	the_end(sim);
}

/* ---- the pool ---- */

static struct sim *given_pool(unsigned n)
{
	struct exchange_limits limits = sim_limits;
	struct sim *sim;

	limits.dispvm.pool = n;
	sim = given_host_with(&limits, "work", "personal");
	g_assert_cmpuint(sim_n_dispvms_in(sim, DISPVM_POOLED), ==, n);
	g_assert_cmpuint(sim_n_disposable_vms(sim), ==, n);
	return sim;
}

static void test_taken_from_pool(void)
{
	struct sim *sim = given_pool(2);
	struct sim_request *r;

	/* It is there although none could be made now. */
	sim->no_memory = true;
	r = given_open(sim, "work", "1");
	g_assert_cmpstr(dispvm_of(sim, "work")->id.name, ==, "disp1");
	g_assert_cmpstr(dispvm_of(sim, "work")->seq, ==, "1");
	g_assert_cmpuint(sim_n_dispvms_in(sim, DISPVM_POOLED), ==, 1);
	/* And filled up again when that is possible. */
	sim->no_memory = false;
	sim_pass(sim, 60000);
	g_assert_cmpuint(sim_n_dispvms_in(sim, DISPVM_POOLED), ==, 2);
	bring_to_its_end(sim);
	then_reply(r, "ok saved");
	g_assert_cmpuint(sim_n_dispvms(sim), ==, 2);
	the_end(sim);
}

static void test_pool_survives_restart(void)
{
	struct sim *sim = given_pool(2);

	sim_stop(sim);
	sim_start(sim);
	sim_run(sim);
	g_assert_cmpuint(sim_n_dispvms_in(sim, DISPVM_POOLED), ==, 2);
	given_open(sim, "work", "1");
	g_assert_cmpstr(dispvm_of(sim, "work")->id.name, ==, "disp1");
	the_end(sim);
}

static void test_pool_gives_back(void)
{
	struct sim *sim = given_pool(2);

	sim->memory_low = true;
	for (int i = 0; i < 20; i++)
		sim_pass(sim, 30000);
	g_assert_cmpuint(sim_n_disposable_vms(sim), ==, 0);
	sim->memory_low = false;
	sim_pass(sim, 120000);
	g_assert_cmpuint(sim_n_dispvms_in(sim, DISPVM_POOLED), ==, 2);
	the_end(sim);
}

/* What waits is of the old template: it is not used, and replaced. */
static void test_pool_of_old_template(void)
{
	struct sim *sim = given_pool(1);
	struct sim_request *r;

	g_assert_cmpstr(dispvm_of(sim, "")->id.name, ==, "disp1");
	sim->prepared = false;
	given_lent(sim, "work");
	r = asks(sim, "work", "send disposable 1");
	when(sim, SIM_EV_MAILBOX);
	then_waits_for(r, "preparing");
	sim_run(sim);
	then_dispvm(sim, "work", DISPVM_OPEN);
	g_assert_cmpstr(dispvm_of(sim, "work")->id.name, ==, "disp2");
	let_pool_fill(sim);
	then_dispvm(sim, "", DISPVM_POOLED);
	g_assert_cmpstr(dispvm_of(sim, "")->id.name, ==, "disp3");
	g_assert_null(sim_find_named(sim, "disp1"));
	the_end(sim);
}

/* What waits of the old template must not take the place of what is made of the new one. */
static void test_old_pool_fills_limit(void)
{
	struct exchange_limits limits = sim_limits;
	struct sim_request *r;
	struct sim *sim;

	limits.dispvm.pool = limits.dispvm.max_total = 2;
	sim = given_host_with(&limits, "work");
	g_assert_cmpuint(sim_n_dispvms_in(sim, DISPVM_POOLED), ==, 2);
	sim->prepared = false;
	r = opens(sim, "work", "1");
	then_waits(r);
	then_dispvm(sim, "work", DISPVM_OPEN);
	let_pool_fill(sim);
	g_assert_cmpuint(sim_n_disposable_vms(sim), ==, 2);
	then_dispvm(sim, "", DISPVM_POOLED);
	the_end(sim);
}

static void test_pool_size_changes(void)
{
	struct sim *sim = given_pool(1);

	sim_set_pool(sim, 3);
	sim_run(sim);
	g_assert_cmpuint(sim_n_dispvms_in(sim, DISPVM_POOLED), ==, 3);
	sim_set_pool(sim, 1);
	sim_run(sim);
	g_assert_cmpuint(sim_n_disposable_vms(sim), ==, 1);
	sim_set_pool(sim, 0);
	sim_run(sim);
	then_none_is_left(sim);
	the_end(sim);
}

static void test_pooled_one_dies(void)
{
	struct sim *sim = given_pool(1);

	sim_shut_down(sim, vm(sim, "disp1"));
	sim_run(sim);
	g_assert_null(sim_find_named(sim, "disp1"));
	g_assert_cmpuint(sim_n_dispvms_in(sim, DISPVM_POOLED), ==, 1);
	the_end(sim);
}

/*
 * Its slot is its file's: what another VM sends to it before that is open is sent to nobody, or two
 * disks would meet there.
 */
static void test_nothing_is_sent_to_closed_one(void)
{
	struct sim *sim = given_pool(1);
	struct sim_request *sent;

	given_lent(sim, "personal");
	sent = says(sim, "personal", "send disp1");
	then_waits_for(sent, "asking");
	g_assert_cmpuint(sim->questions->len, ==, 0);
	then_state(sim, "personal", TRANSFER_REFUSING);
	given_open(sim, "work", "1");
	/* Later on it is a VM like any other. */
	sent = given_asking(sim, "personal", "disp1");
	user_says(sim, "personal", true);
	then_waits_for(sent, "queued");
	then_reply(says(sim, "disp1", "umount"), "ok");
	then_reply(sent, "ok delivered");
	the_end(sim);
}

#define STORY(path, fn) g_test_add_func("/disposables/" path, fn)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	sim_quiet_log();
	STORY("edit-and-save", test_edit_and_save);
	STORY("unchanged", test_unchanged);
	STORY("label", test_label);
	STORY("name-is-taken", test_name_is_taken);
	STORY("without-id", test_without_id);
	STORY("view-only", test_view_only);
	STORY("killme-while-answering", test_killme_while_answering);
	STORY("life-passes", test_life_passes);
	STORY("two-openers-three-files", test_two_openers_three_files);
	STORY("opens-one-itself", test_opens_one_itself);
	STORY("answer-waits-in-full-queue", test_answer_waits_in_full_queue);
	STORY("wrong-answers", test_wrong_answers);
	STORY("answer-twice", test_answer_twice);
	STORY("used-seq", test_used_seq);
	STORY("many-wrong-answers", test_many_wrong_answers);
	STORY("ordinary-send", test_ordinary_send);
	STORY("not-configured", test_not_configured);
	STORY("no-memory", test_no_memory);
	STORY("not-made", test_not_made);
	STORY("never-made", test_never_made);
	STORY("limit-per-opener", test_limit_per_opener);
	STORY("limit-in-all", test_limit_in_all);
	STORY("preparing-first", test_preparing_first);
	STORY("preparing-fails", test_preparing_fails);
	STORY("taken-from-pool", test_taken_from_pool);
	STORY("pool-survives-restart", test_pool_survives_restart);
	STORY("pool-gives-back", test_pool_gives_back);
	STORY("pool-of-old-template", test_pool_of_old_template);
	STORY("old-pool-fills-limit", test_old_pool_fills_limit);
	STORY("pool-size-changes", test_pool_size_changes);
	STORY("pooled-one-dies", test_pooled_one_dies);
	STORY("nothing-is-sent-to-closed-one", test_nothing_is_sent_to_closed_one);
	return g_test_run();
}
