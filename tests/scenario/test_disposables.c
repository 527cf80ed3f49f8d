/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file is edited in a DisposableVM and comes back, and what stands in its way. */
#include <string.h>

#include "story.h"

/* ---- words ---- */

/* The newest DisposableVM of that opener, which must be there; valid until the next event. */
static const struct dispvm *of(struct sim *sim, const char *opener)
{
	const struct dispvm *d = sim_dispvm_of(sim, opener);

	g_assert_nonnull(d);
	return d;
}

/* Its name, to be freed. */
static char *name_of(struct sim *sim, const char *opener)
{
	return g_strdup(of(sim, opener)->id.name);
}

static void then_dispvm(struct sim *sim, const char *opener, enum dispvm_state state)
{
	g_assert_cmpstr(dispvm_state_name(of(sim, opener)->state), ==, dispvm_state_name(state));
}

static void then_none_is_left(struct sim *sim)
{
	g_assert_cmpuint(sim_n_dispvms(sim), ==, 0);
	g_assert_cmpuint(sim_n_disposable_vms(sim), ==, 0);
	g_assert_cmpuint(g_hash_table_size(sim->dispvms), ==, 0);
}

/* A wait whose words are these, and no answer yet. */
static void then_waits_for(const struct sim_request *r, const char *wait)
{
	g_autofree char *wanted = g_strdup_printf("%s wait %s", r->id, wait);

	then_waits(r);
	g_assert_cmpstr(r->reply, ==, wanted);
}

static struct sim_request *opens(struct sim *sim, const char *opener, const char *seq)
{
	g_autofree char *text = g_strdup_printf("send disposable %s", seq);

	given_lent(sim, opener);
	return says(sim, opener, text);
}

static struct sim_request *given_open(struct sim *sim, const char *opener, const char *seq)
{
	struct sim_request *r = opens(sim, opener, seq);
	g_autofree char *wanted = g_strdup_printf("open %s", of(sim, opener)->id.name);

	then_waits_for(r, wanted);
	then_dispvm(sim, opener, DISPVM_OPEN);
	then_holds(sim, of(sim, opener)->id.name, TRANSFER_AT_RECEIVER, true);
	return r;
}

/* It has read the file and sends it back. */
static struct sim_request *sends_back(
	struct sim *sim, const char *disp, const char *opener, const char *seq)
{
	g_autofree char *text = g_strdup_printf("send %s %s", opener, seq);

	if (sim_disk_in(sim, vm(sim, disp), TRANSFER_AT_RECEIVER))
		then_reply(says(sim, disp, "umount"), "ok");
	then_reply(says(sim, disp, "new format=none"), "ok xvdg");
	return says(sim, disp, text);
}

static bool holds(struct sim *sim, const char *name, enum transfer_place place)
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

static void bring_to_its_end(struct sim *sim)
{
	const struct dispvm *d;

	sim_run(sim);
	for (int i = 0; (d = sim_dispvm_of(sim, "work")); i++) {
		g_autofree char *name = g_strdup(d->id.name);

		g_assert_cmpint(i, <, 30);
		go_on(sim, name, d->state);
	}
}

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
	g_assert_cmpstr(vm(sim, of(sim, "bank")->id.name)->label, ==, "green");
	the_end(sim);
}

/* Somebody has called a VM so. */
static void test_name_is_taken(void)
{
	struct sim *sim = given_host("work", "disp1", "disp3");

	given_open(sim, "work", "1");
	g_assert_cmpstr(of(sim, "work")->id.name, ==, "disp2");
	given_open(sim, "work", "2");
	g_assert_cmpstr(of(sim, "work")->id.name, ==, "disp4");
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
	then_reply(sends_back(sim, of(sim, "work")->id.name, "work", "1"), "error no-transaction");
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
	limits.request_burst = 5000;
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
	g_assert_cmpstr(of(sim, "work")->id.name, ==, "disp1");
	g_assert_cmpstr(of(sim, "work")->seq, ==, "1");
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
	g_assert_cmpstr(of(sim, "work")->id.name, ==, "disp1");
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

	g_assert_cmpstr(of(sim, "")->id.name, ==, "disp1");
	sim->prepared = false;
	given_lent(sim, "work");
	r = asks(sim, "work", "send disposable 1");
	when(sim, SIM_EV_MAILBOX);
	then_waits_for(r, "preparing");
	sim_run(sim);
	then_dispvm(sim, "work", DISPVM_OPEN);
	g_assert_cmpstr(of(sim, "work")->id.name, ==, "disp2");
	then_dispvm(sim, "", DISPVM_POOLED);
	g_assert_cmpstr(of(sim, "")->id.name, ==, "disp3");
	g_assert_null(sim_find_named(sim, "disp1"));
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

/* ---- in every stage ---- */

enum stage {
	PREPARING,
	MAKING,
	HALF,     /* a part of the VM is there */
	CLEARING, /* and the daemon was restarted */
	WAITING,  /* the pendrive waits for the VM */
	READY,    /* the VM waits for the pendrive */
	ATTACHING,
	OPEN,
	READ,     /* the pendrive was given back */
	WRITING,  /* the DisposableVM has one for its answer */
	FREEZING, /* it has sent that */
	QUEUED,
	ARRIVING,
	ARRIVED,
	STORED, /* the opener has asked for its umount */
	KILLED, /* it has asked to go */
	N_STAGES,
};

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

/* `work` has sent a file with SEQ 1, and it has come so far and no further. */
static struct sim_request *given_stage(struct sim *sim, enum stage stage)
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
		killed = sim->crash_in == 0;
		sim->crash_in = 0;
		sim_run(sim);
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
	STORY("pool-size-changes", test_pool_size_changes);
	STORY("pooled-one-dies", test_pooled_one_dies);
	STORY("nothing-is-sent-to-closed-one", test_nothing_is_sent_to_closed_one);
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
