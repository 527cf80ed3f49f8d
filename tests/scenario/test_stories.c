/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How pendrives cross from one VM to another, and what stands in their way. */
#include <string.h>

#include "record.h"
#include "story.h"

#define MIB (UINT64_C(1) << 20)

/* ---- the main path ---- */

static void test_from_new_to_umount(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r;

	then_reply(says(sim, "work", "new"), "ok xvdg");
	then_holds(sim, "work", TRANSFER_AT_SENDER, true);

	r = says(sim, "work", "send personal");
	then_waits(r);
	g_assert_cmpuint(r->n_waits, ==, 1);
	g_assert_true(g_str_has_suffix(r->reply, " wait asking"));
	then_holds(sim, "work", TRANSFER_AT_SENDER, false);
	then_holds(sim, "personal", TRANSFER_AT_RECEIVER, false);

	user_says(sim, "work", true);
	then_reply(r, "ok delivered");
	then_holds(sim, "personal", TRANSFER_AT_RECEIVER, true);

	then_reply(says(sim, "personal", "umount"), "ok");
	then_holds(sim, "personal", TRANSFER_AT_RECEIVER, false);
	then_gone(sim, "work");
	g_assert_cmpuint(g_hash_table_size(sim->images), ==, 0);
	the_end(sim);
}

/* The words of 2010, and nobody reads the replies. */
static void test_as_in_2010(void)
{
	struct sim *sim = given_host("work", "personal");

	writes(sim, "work", "new");
	g_assert_cmpstr(vm(sim, "work")->last_reply, ==, "- ok xvdg");
	writes(sim, "work", "send personal");
	g_assert_cmpstr(vm(sim, "work")->last_reply, ==, "- wait asking");
	user_says(sim, "work", true);
	g_assert_cmpstr(vm(sim, "work")->last_reply, ==, "- ok delivered");
	writes(sim, "personal", "umount");
	g_assert_cmpstr(vm(sim, "personal")->last_reply, ==, "- ok");
	then_gone(sim, "work");
	the_end(sim);
}

static void test_both_ways_at_once(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *a = given_asking(sim, "work", "personal");
	struct sim_request *b = given_asking(sim, "personal", "work");

	user_says(sim, "personal", true);
	user_says(sim, "work", true);
	then_reply(a, "ok delivered");
	then_reply(b, "ok delivered");
	then_reply(says(sim, "work", "umount"), "ok");
	then_reply(says(sim, "personal", "umount"), "ok");
	then_gone(sim, "work");
	then_gone(sim, "personal");
	the_end(sim);
}

static void test_many_times(void)
{
	struct sim *sim = given_host("work", "personal");

	for (int i = 0; i < 20; i++) {
		given_delivered(sim, "work", "personal");
		then_reply(says(sim, "personal", "umount"), "ok");
		sim_pass(sim, sim_limits.questions.interval_ms);
	}
	the_end(sim);
}

/* The sender need not wait until the receiver is done. */
static void test_next_while_asked(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *first = given_asking(sim, "work", "personal");

	given_lent(sim, "work");
	then_waits(first);
	the_end(sim);
}

/* Nor does anybody else wait for the user. */
static void test_unanswered_question_halts_nobody(void)
{
	struct sim *sim = given_host("work", "personal", "bank");
	struct sim_request *unanswered = given_asking(sim, "work", "personal");
	struct sim_request *send = given_delivered(sim, "bank", "personal");

	then_reply(send, "ok delivered");
	then_waits(unanswered);
	then_state(sim, "work", TRANSFER_ASKING);
	the_end(sim);
}

/* The receiver reads faster than the daemon hears that it has connected. */
static void test_umount_before_connected(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *send = given_state(sim, TRANSFER_ATTACHING_IN);
	struct sim_request *r = asks(sim, "personal", "umount");

	when(sim, SIM_EV_MAILBOX);
	then_reply(send, "ok delivered");
	sim_run(sim);
	then_reply(r, "ok");
	the_end(sim);
}

/* ---- refusals: a VM must not learn from them which other VMs there are ---- */

struct refusal {
	char reply[QPEN_REPLY_MAX + 1];
	unsigned n_waits;
	int64_t after_ms; /* since the pendrive left the VM */
};

enum refusal_cause {
	USER_SAYS_NO,
	USER_SAYS_NO_LATE,
	NOBODY_ANSWERS,
	NO_SUCH_VM,
	RECEIVER_DIES,
	RECEIVER_DIES_UNSEEN, /* and the user says yes before the daemon has noticed */
	CANCELLED_WHILE_ASKED,
	CANCELLED_WHILE_FROZEN,
	RECEIVER_DIED_BEFORE,
	DAEMON_RESTARTED,
	N_CAUSES,
};

static struct refusal refused_by(enum refusal_cause cause)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r;
	struct refusal out = {0};
	int64_t start_ms;

	given_lent(sim, "work");
	if (cause == RECEIVER_DIED_BEFORE)
		sim_kill_vm(sim, vm(sim, "personal"), true);
	r = asks(sim, "work", cause == NO_SUCH_VM ? "send no-such-vm" : "send personal");
	when(sim, SIM_EV_MAILBOX);
	if (cause == CANCELLED_WHILE_FROZEN)
		sim_cancel(sim, sim_transfer_of(sim, "work")->id);
	sim_run(sim);
	start_ms = sim->now_ms;
	if (cause == USER_SAYS_NO_LATE)
		sim_pass(sim, 119000);
	if (cause == USER_SAYS_NO || cause == USER_SAYS_NO_LATE)
		user_says(sim, "work", false);
	if (cause == RECEIVER_DIES || cause == RECEIVER_DIES_UNSEEN)
		sim_kill_vm(sim, vm(sim, "personal"), true);
	if (cause == RECEIVER_DIES_UNSEEN) {
		sim_answer(sim, sim_transfer_of(sim, "work")->id, true);
		when(sim, SIM_EV_ANSWERED);
	}
	sim_run(sim);
	if (cause == CANCELLED_WHILE_ASKED)
		sim_cancel(sim, sim_transfer_of(sim, "work")->id);
	if (cause == DAEMON_RESTARTED) {
		sim_pass(sim, 1000);
		sim_stop(sim);
		sim_start(sim);
		user_says(sim, "work", false);
	}
	then_waits(r);
	sim_pass(sim, 300000);
	then_reply(r, "error refused");
	/* Without the ID, which differs anyway. */
	g_strlcpy(out.reply, strchr(r->reply, ' '), sizeof out.reply);
	out.n_waits = r->n_waits;
	out.after_ms = r->answered_ms - start_ms;
	the_end(sim);
	return out;
}

static void test_refusals_are_alike(void)
{
	for (int cause = USER_SAYS_NO; cause < N_CAUSES; cause++) {
		struct refusal r = refused_by((enum refusal_cause)cause);

		g_test_message("cause %d:%s after %" PRIi64 " ms", cause, r.reply, r.after_ms);
		g_assert_cmpint(r.after_ms, ==, sim_limits.transfer.ask_ms);
		g_assert_cmpuint(r.n_waits, ==, 1);
		g_assert_cmpstr(r.reply, ==, " error refused refused, or there is no such VM");
	}
}

/* An administrator who does not mind. */
static void test_refusals_at_once(void)
{
	struct exchange_limits limits = sim_limits;
	struct sim *sim;
	struct sim_request *r;

	limits.transfer.hide_refusals = false;
	sim = given_host_with(&limits, "work", "personal");
	r = given_asking(sim, "work", "personal");
	user_says(sim, "work", false);
	then_reply(r, "error refused");
	given_lent(sim, "work");
	then_reply(says(sim, "work", "send nobody"), "error refused");
	then_gone(sim, "work");
	the_end(sim);
}

static const enum refusal_cause may_be_told_apart[] = {USER_SAYS_NO, NOBODY_ANSWERS, NO_SUCH_VM};

/* To the moment in which the sender, which may have one pendrive, is told. Nothing follows yet. */
static struct sim *refused_just_now(enum refusal_cause cause)
{
	struct exchange_limits limits = sim_limits;
	struct sim *sim;
	struct sim_request *r;

	limits.registry.max_pendrives_per_vm = 1;
	sim = given_host_with(&limits, "work", "personal");
	given_lent(sim, "work");
	r = says(sim, "work", cause == NO_SUCH_VM ? "send no-such-vm" : "send personal");
	if (cause == USER_SAYS_NO)
		user_says(sim, "work", false);
	then_waits(r);
	then_reply(says(sim, "work", "new"), "error quota");
	sim->now_ms += limits.transfer.ask_ms;
	g_assert_true(sim_ring(sim));
	then_reply(r, "error refused");
	return sim;
}

/* One that may have no more pendrives asks for one as soon as it knows: what it hears is alike. */
static void test_refusals_free_the_quota_alike(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(may_be_told_apart); i++) {
		struct sim *sim = refused_just_now(may_be_told_apart[i]);
		struct sim_request *r;

		/* The image is there, whose removal takes the longer the more was written on it. */
		r = asks(sim, "work", "new");
		when(sim, SIM_EV_MAILBOX);
		then_reply(r, "error quota");
		sim_run(sim);
		given_lent(sim, "work");
		the_end(sim);
	}
}

/* Nor does the room on the disk tell: until it is told of, a refused pendrive keeps its own. */
static void test_refusals_free_the_disk_alike(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(may_be_told_apart); i++) {
		struct sim *sim = given_host("work", "personal");

		given_lent(sim, "work");
		says(sim, "work",
			may_be_told_apart[i] == NO_SUCH_VM ? "send no-such-vm" : "send personal");
		if (may_be_told_apart[i] == USER_SAYS_NO)
			user_says(sim, "work", false);
		g_assert_cmpuint(g_hash_table_size(sim->images), ==, 1);
		sim_pass(sim, sim_limits.transfer.ask_ms);
		g_assert_cmpuint(g_hash_table_size(sim->images), ==, 0);
		the_end(sim);
	}
}

/* After a refusal the VM can go on. */
static void test_refused_goes_on(void)
{
	struct sim *sim = given_host("work", "personal");

	given_asking(sim, "work", "personal");
	user_says(sim, "work", false);
	given_lent(sim, "work");
	the_end(sim);
}

/* An agent that was slow, or two of them. */
static void test_second_answer(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r = given_asking(sim, "work", "personal");
	uint64_t id = sim_transfer_of(sim, "work")->id;

	user_says(sim, "work", false);
	sim_answer(sim, id, true);
	sim_run(sim);
	then_state(sim, "work", TRANSFER_REFUSING);
	sim_pass(sim, 120000);
	then_reply(r, "error refused");
	sim_answer(sim, id, true);
	sim_run(sim);
	the_end(sim);
}

/* ---- queues ---- */

static void test_queue_in_order(void)
{
	static const char *const senders[] = {"a", "b", "c"};
	struct exchange_limits limits = sim_limits;
	struct sim_request *r[G_N_ELEMENTS(senders)];
	struct sim *sim;

	limits.registry.max_queue = 3;
	sim = given_host_with(&limits, "first", "a", "b", "c", "personal");
	given_delivered(sim, "first", "personal");
	for (size_t i = 0; i < G_N_ELEMENTS(senders); i++)
		r[i] = given_asking(sim, senders[i], "personal");
	/* In the order of the answers, not of the questions. */
	user_says(sim, "b", true);
	user_says(sim, "c", true);
	user_says(sim, "a", true);
	for (size_t i = 0; i < G_N_ELEMENTS(senders); i++) {
		then_state(sim, senders[i], TRANSFER_QUEUED);
		g_assert_true(g_str_has_suffix(r[i]->reply, " wait queued"));
	}
	then_reply(says(sim, "personal", "umount"), "ok");
	then_reply(r[1], "ok delivered");
	then_waits(r[2]);
	then_waits(r[0]);
	then_reply(says(sim, "personal", "umount"), "ok");
	then_reply(r[2], "ok delivered");
	then_waits(r[0]);
	then_reply(says(sim, "personal", "umount"), "ok");
	then_reply(r[0], "ok delivered");
	the_end(sim);
}

/* The same, with a daemon that is restarted while they wait: all three came in one millisecond. */
static void test_queue_survives_restart(void)
{
	struct exchange_limits limits = sim_limits;
	struct sim_request *r[3];
	struct sim *sim;

	limits.registry.max_queue = 3;
	sim = given_host_with(&limits, "first", "a", "b", "c", "personal");
	given_delivered(sim, "first", "personal");
	r[0] = given_asking(sim, "a", "personal");
	r[1] = given_asking(sim, "b", "personal");
	r[2] = given_asking(sim, "c", "personal");
	user_says(sim, "c", true);
	sim_pass(sim, 1);
	user_says(sim, "b", true);
	sim_pass(sim, 1);
	user_says(sim, "a", true);
	sim_stop(sim);
	sim_start(sim);
	sim_run(sim);
	for (int i = 2; i >= 0; i--) {
		then_waits(r[i]);
		then_reply(says(sim, "personal", "umount"), "ok");
		then_reply(r[i], "ok delivered");
	}
	the_end(sim);
}

/* The daemon is killed when the slot is free and the next one has not got it yet. */
static void test_queue_is_served_after_kill(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r = given_state(sim, TRANSFER_QUEUED);
	struct sim_request *umount = asks(sim, "personal", "umount");

	when(sim, SIM_EV_MAILBOX);
	when(sim, SIM_RELEASE);
	when(sim, SIM_LOOP_FREE);
	/* The record and the reply, and then no more: not the removal, not the next attach. */
	sim->crash_in = 2;
	sim_run(sim);
	then_reply(umount, "ok");
	then_reply(r, "ok delivered");
	then_state(sim, "work", TRANSFER_DELIVERED);
	the_end(sim);
}

static void test_queue_full(void)
{
	struct sim *sim = given_host("first", "a", "b", "c", "personal");
	struct sim_request *r;

	given_delivered(sim, "first", "personal");
	given_asking(sim, "a", "personal");
	user_says(sim, "a", true);
	given_asking(sim, "b", "personal");
	user_says(sim, "b", true);
	r = given_asking(sim, "c", "personal");
	user_says(sim, "c", true);
	then_reply(r, "error queue-full");
	then_gone(sim, "c");
	/* The others do not notice. */
	then_reply(says(sim, "personal", "umount"), "ok");
	then_state(sim, "a", TRANSFER_DELIVERED);
	the_end(sim);
}

static void test_queue_takes_too_long(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r = given_state(sim, TRANSFER_QUEUED);

	sim_pass(sim, sim_limits.transfer.queue_ms);
	then_reply(r, "error timeout");
	then_gone(sim, "work");
	then_state(sim, "bank", TRANSFER_DELIVERED);
	the_end(sim);
}

/* ---- what a VM gets for asking the wrong thing ---- */

static const struct {
	const char *label;
	enum transfer_state state;
	const char *who, *text, *reply;
} wrong[] = {
	{"new twice", TRANSFER_LENT, "work", "new", "error have-pendrive"},
	{"new while it is made", TRANSFER_MAKING, "work", "new", "error busy"},
	{"new while it is attached", TRANSFER_ATTACHING_OUT, "work", "new", "error busy"},
	{"new while it is taken", TRANSFER_FREEZING, "work", "new", "error busy"},
	{"send while it is made", TRANSFER_MAKING, "work", "send personal", "error busy"},
	{"send while it is attached", TRANSFER_ATTACHING_OUT, "work", "send personal",
		"error busy"},
	{"send twice", TRANSFER_FREEZING, "work", "send personal", "error busy"},
	{"send while asked", TRANSFER_ASKING, "work", "send personal", "error no-pendrive"},
	{"send to itself", TRANSFER_LENT, "work", "send work", "error self"},
	{"send to dom0", TRANSFER_LENT, "work", "send Domain-0", "error bad-request"},
	{"send with control characters", TRANSFER_LENT, "work", "send a\x1b[2J",
		"error bad-request"},
	{"send to a DisposableVM without a SEQ", TRANSFER_LENT, "work", "send disposable",
		"error bad-request"},
	{"send in a transaction that is none", TRANSFER_LENT, "work", "send personal 1",
		"error no-transaction"},
	{"umount without a pendrive", TRANSFER_LENT, "personal", "umount", "error no-pendrive"},
	{"umount by the sender", TRANSFER_DELIVERED, "work", "umount", "error no-pendrive"},
	{"umount before the yes", TRANSFER_ASKING, "personal", "umount", "error no-pendrive"},
	{"umount twice", TRANSFER_TAKING_BACK, "personal", "umount", "error busy"},
	{"somebody else's pendrive", TRANSFER_LENT, "personal", "send bank", "error no-pendrive"},
	{"killme by an AppVM", TRANSFER_LENT, "work", "killme", "error unsupported"},
	{"a verb that is none", TRANSFER_LENT, "work", "format", "error bad-request"},
	{"a size that is none", TRANSFER_DELIVERED, "work", "new size=-1", "error bad-request"},
	{"a size that is too large", TRANSFER_DELIVERED, "work", "new size=1T", "error bad-size"},
	{"a format that is none", TRANSFER_DELIVERED, "work", "new format=ntfs",
		"error bad-request"},
};

static void test_wrong_requests(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
		struct sim *sim = given_host("work", "personal");
		struct sim_request *r;
		char before[RECORD_MAX], after[RECORD_MAX];
		uint64_t id;

		g_test_message("%s", wrong[i].label);
		given_state(sim, wrong[i].state);
		id = sim_transfer_of(sim, "work")->id;
		record_format(sim_transfer_of(sim, "work"), before);
		r = asks(sim, wrong[i].who, wrong[i].text);
		/* The jobs that were left undone come later. */
		while (!r->taken)
			when(sim, SIM_EV_MAILBOX);
		then_reply(r, wrong[i].reply);
		/* Nothing was touched. */
		g_assert_nonnull(exchange_find(sim->x, id));
		record_format(exchange_find(sim->x, id), after);
		g_assert_cmpstr(after, ==, before);
		g_assert_cmpuint(sim_n_transfers(sim), ==, 1);
		the_end(sim);
	}
}

static void test_rubbish(void)
{
	struct sim *sim = given_host("work", "personal");
	char rubbish[400];

	given_lent(sim, "work");
	memset(rubbish, 0xff, sizeof rubbish);
	g_assert_true(sim_write(sim, vm(sim, "work"), rubbish, 255));
	sim_run(sim);
	g_assert_true(g_str_has_prefix(vm(sim, "work")->last_reply, "- error bad-request "));
	g_assert_true(sim_write(sim, vm(sim, "work"), rubbish, sizeof rubbish));
	sim_run(sim);
	g_assert_cmpstr(vm(sim, "work")->last_reply, ==,
		"- error bad-request a request has at most 255 bytes");
	memset(rubbish, 0, sizeof rubbish);
	g_assert_true(sim_write(sim, vm(sim, "work"), rubbish, 10));
	sim_run(sim);
	g_assert_cmpuint(vm(sim, "work")->anon_finals, ==, 3);
	then_state(sim, "work", TRANSFER_LENT);
	then_reply(says(sim, "personal", "new"), "ok xvdg");
	the_end(sim);
}

/* An empty value is no request, and costs nothing. */
static void test_empty(void)
{
	struct sim *sim = given_host("work");

	for (int i = 0; i < 1000; i++)
		writes(sim, "work", "");
	g_assert_cmpuint(vm(sim, "work")->anon_taken, ==, 0);
	g_assert_cmpstr(vm(sim, "work")->last_reply, ==, "");
	then_reply(says(sim, "work", "new"), "ok xvdg");
	the_end(sim);
}

static void test_deleted_mailbox(void)
{
	struct sim *sim = given_host("work", "personal");

	sim_delete_mailbox(sim, vm(sim, "work"));
	sim_run(sim);
	g_assert_true(vm(sim, "work")->has_mailbox);
	then_reply(says(sim, "work", "new"), "ok xvdg");
	/* Over and over: made anew now and then only, and the others are served. */
	for (int i = 0; i < 100; i++) {
		sim_delete_mailbox(sim, vm(sim, "work"));
		sim_run(sim);
	}
	g_assert_false(vm(sim, "work")->has_mailbox);
	then_reply(says(sim, "personal", "new"), "ok xvdg");
	sim_pass(sim, sim_limits.requests.interval_ms);
	g_assert_true(vm(sim, "work")->has_mailbox);
	the_end(sim);
}

/* A VM that writes into it without pause when the daemon starts is heard later. */
static void test_mailbox_cannot_be_made(void)
{
	struct sim *sim = given_host("work", "personal");

	sim_stop(sim);
	sim_delete_mailbox(sim, vm(sim, "work"));
	sim->mailboxes_busy = true;
	sim_start(sim);
	sim_run(sim);
	g_assert_false(vm(sim, "work")->has_mailbox);
	sim->mailboxes_busy = false;
	sim_pass(sim, sim_limits.requests.interval_ms);
	then_reply(says(sim, "work", "new"), "ok xvdg");
	then_reply(says(sim, "personal", "new"), "ok xvdg");
	the_end(sim);
}

/* ---- how often a VM may ask ---- */

static void test_flood(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *last;

	for (unsigned i = 0; i < sim_limits.requests.burst; i++)
		then_reply(says(sim, "work", "umount"), "error no-pendrive");
	/* That was its burst; now it is held, and its request stays in its mailbox. */
	last = says(sim, "work", "umount");
	g_assert_false(last->taken);
	/* Nor does anybody wake up for what else it writes there. */
	g_assert_true(vm(sim, "work")->hushed);
	/* Others are served at once. */
	then_reply(says(sim, "personal", "umount"), "error no-pendrive");
	g_assert_false(last->taken);
	sim_pass(sim, sim_limits.requests.interval_ms);
	then_reply(last, "error no-pendrive");
	/* From then on one in each interval. */
	for (int i = 0; i < 5; i++) {
		struct sim_request *r = says(sim, "work", "umount");

		g_assert_false(r->taken);
		sim_pass(sim, sim_limits.requests.interval_ms);
		then_reply(r, "error no-pendrive");
	}
	/* And a burst again when it has been quiet for long enough. */
	sim_pass(sim, sim_limits.requests.interval_ms * sim_limits.requests.burst);
	for (unsigned i = 0; i < sim_limits.requests.burst; i++)
		then_reply(says(sim, "work", "umount"), "error no-pendrive");
	g_assert_false(vm(sim, "work")->hushed);
	the_end(sim);
}

/* xenstore fails right after the request was read: it is served when xenstore answers again. */
static void test_asker_cannot_be_identified(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r;

	sim->identify_fails = true;
	r = says(sim, "work", "new");
	g_assert_false(r->taken);
	sim->identify_fails = false;
	sim_pass(sim, sim_limits.requests.interval_ms);
	then_reply(r, "ok xvdg");
	the_end(sim);
}

static void test_held_vm_dies(void)
{
	struct sim *sim = given_host("work", "personal");

	for (unsigned i = 0; i <= sim_limits.requests.burst; i++)
		says(sim, "work", "umount");
	sim_kill_vm(sim, vm(sim, "work"), true);
	sim_run(sim);
	sim_pass(sim, 100000);
	the_end(sim);
}

/* ---- quotas and a full disk ---- */

static void test_quota_of_pendrives(void)
{
	struct sim *sim = given_host("work", "personal");

	/* Small ones, so that it is their number that is refused, and not their bytes. */
	for (unsigned i = 0; i < sim_limits.registry.max_pendrives_per_vm; i++) {
		then_reply(says(sim, "work", "new size=40M"), "ok");
		says(sim, "work", "send personal");
	}
	then_reply(says(sim, "work", "new size=40M"), "error quota");
	/* The other VM has its own. */
	given_lent(sim, "personal");
	the_end(sim);
}

static void test_quota_of_bytes(void)
{
	struct sim *sim = given_host("work", "personal");

	then_reply(says(sim, "work", "new size=200M"), "ok");
	says(sim, "work", "send personal");
	then_reply(says(sim, "work", "new size=200M"), "ok");
	says(sim, "work", "send personal");
	then_reply(says(sim, "work", "new"), "error quota");
	/* It is given back with the pendrive. */
	sim_pass(sim, sim_limits.transfer.ask_ms);
	then_gone(sim, "work");
	then_reply(says(sim, "work", "new size=200M"), "ok");
	the_end(sim);
}

static void test_quota_of_all(void)
{
	struct exchange_limits limits = sim_limits;
	struct sim *sim;

	limits.registry.max_bytes_total = 150 * MIB;
	sim = given_host_with(&limits, "work", "personal");
	given_lent(sim, "work");
	then_reply(says(sim, "personal", "new"), "error no-space");
	the_end(sim);
}

static void test_disk_full(void)
{
	struct sim *sim = given_host("work");

	sim->disk_full = true;
	then_reply(says(sim, "work", "new"), "error no-space");
	then_gone(sim, "work");
	sim->disk_full = false;
	given_lent(sim, "work");
	the_end(sim);
}

static void test_never_made(void)
{
	struct sim *sim = given_host("work");
	struct sim_request *r = asks(sim, "work", "new");

	when(sim, SIM_EV_MAILBOX);
	sim_drop(sim, 0);
	sim_pass(sim, sim_limits.transfer.make_ms);
	then_reply(r, "error failed");
	the_end(sim);
}

/* ---- devices that do not do what they should ---- */

static void test_attach_fails(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r;

	sim->attach_fails = true;
	then_reply(says(sim, "work", "new"), "error failed");
	then_gone(sim, "work");
	sim->attach_fails = false;
	r = given_asking(sim, "work", "personal");
	sim->attach_fails = true;
	user_says(sim, "work", true);
	then_reply(r, "error failed");
	then_gone(sim, "work");
	the_end(sim);
}

static void test_sender_never_connects(void)
{
	struct sim *sim = given_host("work");
	struct sim_request *r;

	vm(sim, "work")->never_connects = true;
	r = says(sim, "work", "new");
	then_waits(r);
	sim_pass(sim, sim_limits.transfer.attach_ms);
	then_reply(r, "error timeout");
	then_gone(sim, "work");
	the_end(sim);
}

static void test_receiver_never_connects(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r = given_asking(sim, "work", "personal");

	vm(sim, "personal")->never_connects = true;
	user_says(sim, "work", true);
	then_waits(r);
	sim_pass(sim, sim_limits.transfer.attach_ms);
	then_reply(r, "error timeout");
	then_gone(sim, "work");
	the_end(sim);
}

static void test_sender_never_lets_go(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r;

	given_lent(sim, "work");
	vm(sim, "work")->never_releases = true;
	r = says(sim, "work", "send personal");
	then_state(sim, "work", TRANSFER_FREEZING);
	then_holds(sim, "work", TRANSFER_AT_SENDER, true);
	/* Taken by force; then it goes on as if nothing had been. */
	sim_pass(sim, sim_limits.transfer.detach_ms);
	then_holds(sim, "work", TRANSFER_AT_SENDER, false);
	then_state(sim, "work", TRANSFER_ASKING);
	user_says(sim, "work", true);
	then_reply(r, "ok delivered");
	the_end(sim);
}

static void test_receiver_never_lets_go(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r;

	given_delivered(sim, "work", "personal");
	vm(sim, "personal")->never_releases = true;
	r = says(sim, "personal", "umount");
	then_waits(r);
	sim_pass(sim, sim_limits.transfer.detach_ms);
	then_reply(r, "ok");
	then_gone(sim, "work");
	the_end(sim);
}

/* Nobody is asked about a disk which somebody can still write to. */
static void test_sender_loop_held_for_ever(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r;

	given_lent(sim, "work");
	vm(sim, "work")->holds_loop = true;
	r = says(sim, "work", "send personal");
	sim_pass(sim, sim_limits.transfer.detach_ms + sim_limits.transfer.force_ms);
	then_reply(r, "error timeout");
	then_gone(sim, "work");
	g_assert_cmpuint(sim->disks->len, ==, 1);
	g_assert_cmpuint(sim_n_disks(sim), ==, 0);
	/* The VM has its slot again, and the other disk goes its way. */
	vm(sim, "work")->holds_loop = false;
	given_delivered(sim, "work", "personal");
	the_end(sim);
}

static void test_receiver_loop_held_for_ever(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r;

	given_delivered(sim, "work", "personal");
	vm(sim, "personal")->holds_loop = true;
	r = says(sim, "personal", "umount");
	sim_pass(sim, sim_limits.transfer.detach_ms + sim_limits.transfer.force_ms);
	then_reply(r, "ok");
	then_gone(sim, "work");
	the_end(sim);
}

/* `xl block-detach` of our disk. */
static void test_disk_taken_away(void)
{
	struct sim *sim = given_host("work", "personal");

	given_lent(sim, "work");
	sim_take_disk(sim, sim_disk_in(sim, vm(sim, "work"), TRANSFER_AT_SENDER));
	sim_run(sim);
	then_gone(sim, "work");
	given_delivered(sim, "work", "personal");
	sim_take_disk(sim, sim_disk_in(sim, vm(sim, "personal"), TRANSFER_AT_RECEIVER));
	sim_run(sim);
	then_gone(sim, "work");
	the_end(sim);
}

static void test_kept_too_long(void)
{
	struct sim *sim = given_host("work", "personal");

	given_lent(sim, "work");
	sim_pass(sim, sim_limits.transfer.lent_ms);
	then_gone(sim, "work");
	given_delivered(sim, "work", "personal");
	sim_pass(sim, sim_limits.transfer.delivered_ms);
	then_gone(sim, "work");
	the_end(sim);
}

/* ---- completions that come twice ---- */

static void twice(struct sim *sim, enum sim_job_kind kind)
{
	for (guint i = 0; i < sim->jobs->len; i++) {
		if (g_array_index(sim->jobs, struct sim_job, i).kind == kind) {
			sim_do(sim, i, true);
			g_assert_cmpstr(sim->violation, ==, NULL);
			return;
		}
	}
	g_error("there is no job of kind %d to do twice", (int)kind);
}

/* Kept back until the receiver has the disk: not its detach, so not to be taken for it. */
static void test_sender_detached_twice(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_job again;

	given_state(sim, TRANSFER_FREEZING);
	when(sim, SIM_RELEASE);
	when(sim, SIM_LOOP_FREE);
	again = g_array_index(sim->jobs, struct sim_job, sim->jobs->len - 1);
	g_assert_cmpint(again.kind, ==, SIM_EV_DETACHED);
	sim_run(sim);
	user_says(sim, "work", true);
	asks(sim, "personal", "umount");
	when(sim, SIM_EV_MAILBOX);
	then_state(sim, "work", TRANSFER_TAKING_BACK);
	g_array_append_val(sim->jobs, again);
	when(sim, SIM_EV_DETACHED);
	then_state(sim, "work", TRANSFER_TAKING_BACK);
	then_holds(sim, "personal", TRANSFER_AT_RECEIVER, true);
	the_end(sim);
}

static void test_sender_attached_twice(void)
{
	struct sim *sim = given_host("work", "personal");
	struct sim_request *r;
	struct sim_job again;

	given_state(sim, TRANSFER_ATTACHING_OUT);
	when(sim, SIM_CONNECT);
	again = g_array_index(sim->jobs, struct sim_job, sim->jobs->len - 1);
	g_assert_cmpint(again.kind, ==, SIM_EV_ATTACHED);
	sim_run(sim);
	r = says(sim, "work", "send personal");
	vm(sim, "personal")->never_connects = true;
	user_says(sim, "work", true);
	g_array_append_val(sim->jobs, again);
	sim_run(sim);
	then_waits(r);
	then_state(sim, "work", TRANSFER_ATTACHING_IN);
	the_end(sim);
}

static void test_everything_twice(void)
{
	struct sim *sim = given_host("work", "personal");

	asks(sim, "work", "new");
	twice(sim, SIM_EV_MAILBOX);
	when(sim, SIM_MAKE);
	twice(sim, SIM_EV_MADE);
	when(sim, SIM_CONNECT);
	twice(sim, SIM_EV_ATTACHED);
	asks(sim, "work", "send personal");
	twice(sim, SIM_EV_MAILBOX);
	when(sim, SIM_RELEASE);
	when(sim, SIM_LOOP_FREE);
	twice(sim, SIM_EV_DETACHED);
	sim_answer(sim, sim_transfer_of(sim, "work")->id, true);
	twice(sim, SIM_EV_ANSWERED);
	when(sim, SIM_CONNECT);
	sim_run(sim);
	then_state(sim, "work", TRANSFER_DELIVERED);
	asks(sim, "personal", "umount");
	twice(sim, SIM_EV_MAILBOX);
	when(sim, SIM_RELEASE);
	when(sim, SIM_LOOP_FREE);
	twice(sim, SIM_EV_DETACHED);
	twice(sim, SIM_EV_REMOVED);
	sim_run(sim);
	then_gone(sim, "work");
	the_end(sim);
}

#define STORY(path, fn) g_test_add_func("/stories/" path, fn)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	sim_quiet_log();
	STORY("from-new-to-umount", test_from_new_to_umount);
	STORY("as-in-2010", test_as_in_2010);
	STORY("both-ways-at-once", test_both_ways_at_once);
	STORY("many-times", test_many_times);
	STORY("next-while-asked", test_next_while_asked);
	STORY("unanswered-question-halts-nobody", test_unanswered_question_halts_nobody);
	STORY("umount-before-connected", test_umount_before_connected);
	STORY("refusals-are-alike", test_refusals_are_alike);
	STORY("refusals-at-once", test_refusals_at_once);
	STORY("refusals-free-the-quota-alike", test_refusals_free_the_quota_alike);
	STORY("refusals-free-the-disk-alike", test_refusals_free_the_disk_alike);
	STORY("refused-goes-on", test_refused_goes_on);
	STORY("second-answer", test_second_answer);
	STORY("queue-in-order", test_queue_in_order);
	STORY("queue-survives-restart", test_queue_survives_restart);
	STORY("queue-is-served-after-kill", test_queue_is_served_after_kill);
	STORY("queue-full", test_queue_full);
	STORY("queue-takes-too-long", test_queue_takes_too_long);
	STORY("wrong-requests", test_wrong_requests);
	STORY("rubbish", test_rubbish);
	STORY("empty", test_empty);
	STORY("deleted-mailbox", test_deleted_mailbox);
	STORY("mailbox-cannot-be-made", test_mailbox_cannot_be_made);
	STORY("flood", test_flood);
	STORY("asker-cannot-be-identified", test_asker_cannot_be_identified);
	STORY("held-vm-dies", test_held_vm_dies);
	STORY("quota-of-pendrives", test_quota_of_pendrives);
	STORY("quota-of-bytes", test_quota_of_bytes);
	STORY("quota-of-all", test_quota_of_all);
	STORY("disk-full", test_disk_full);
	STORY("never-made", test_never_made);
	STORY("attach-fails", test_attach_fails);
	STORY("sender-never-connects", test_sender_never_connects);
	STORY("receiver-never-connects", test_receiver_never_connects);
	STORY("sender-never-lets-go", test_sender_never_lets_go);
	STORY("receiver-never-lets-go", test_receiver_never_lets_go);
	STORY("sender-loop-held-for-ever", test_sender_loop_held_for_ever);
	STORY("receiver-loop-held-for-ever", test_receiver_loop_held_for_ever);
	STORY("disk-taken-away", test_disk_taken_away);
	STORY("kept-too-long", test_kept_too_long);
	STORY("sender-detached-twice", test_sender_detached_twice);
	STORY("sender-attached-twice", test_sender_attached_twice);
	STORY("everything-twice", test_everything_twice);
	return g_test_run();
}
