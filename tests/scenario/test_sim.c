/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulated host must see a broken promise, or all that the other tests say is worth nothing.
 * Here everything that must not happen is done to it on purpose.
 */
#include <string.h>

#include "story.h"

struct bad {
	struct sim *sim;
	struct exchange_ports ports;
	struct transfer t; /* of `work`, in the state that was asked for */
};

static struct bad given_bad(enum transfer_state state)
{
	struct bad b = {.sim = given_host("work", "personal")};

	given_state(b.sim, state);
	b.t = *sim_transfer_of(b.sim, "work");
	b.ports = sim_ports(b.sim);
	b.sim->in_event = true; /* as if the exchange did what follows */
	return b;
}

static void then_seen(struct bad *b, const char *violation)
{
	g_assert_nonnull(b->sim->violation);
	if (!strstr(b->sim->violation, violation))
		g_assert_cmpstr(b->sim->violation, ==, violation);
	sim_free(b->sim);
}

static void put_served(struct bad *b)
{
	const struct store_change change = {.transfer = &b->t, .served = b->t.sender.domid};

	b->ports.store.commit(b->sim, &change);
}

static void put(struct bad *b)
{
	const struct store_change change = {.transfer = &b->t};

	b->ports.store.commit(b->sim, &change);
}

/* ---- blocks ---- */

static void test_attach_at_both(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	b.t.place = TRANSFER_AT_RECEIVER;
	b.t.receiver = vm(b.sim, "personal")->id;
	b.ports.blocks.attach(b.sim, &b.t);
	then_seen(&b, "in reach of two VMs");
}

static void test_attach_before_released(void)
{
	struct bad b = given_bad(TRANSFER_FREEZING);

	/* The nodes are gone, but the loop device is still held. */
	when(b.sim, SIM_RELEASE);
	b.t.place = TRANSFER_AT_RECEIVER;
	b.ports.blocks.attach(b.sim, &b.t);
	then_seen(&b, "in reach of two VMs");
}

static void test_attach_to_taken_slot(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	b.t.id = 77;
	strcpy(b.t.image, "other");
	g_hash_table_add(b.sim->images, g_strdup("other"));
	put(&b);
	b.ports.blocks.attach(b.sim, &b.t);
	then_seen(&b, "two disks in a slot of work");
}

static void test_attach_to_dead(void)
{
	struct bad b = given_bad(TRANSFER_MAKING);

	when(b.sim, SIM_MAKE);
	sim_kill_vm(b.sim, vm(b.sim, "work"), true);
	when(b.sim, SIM_EV_DOMAINS);
	b.sim->in_event = true;
	b.t.place = TRANSFER_AT_SENDER;
	b.ports.blocks.attach(b.sim, &b.t);
	then_seen(&b, "which is dead");
}

static void test_attach_to_nobody(void)
{
	struct bad b = given_bad(TRANSFER_MAKING);

	when(b.sim, SIM_MAKE);
	b.sim->in_event = true;
	b.t.place = TRANSFER_AT_SENDER;
	strcpy(b.t.sender.uuid, "another");
	b.ports.blocks.attach(b.sim, &b.t);
	then_seen(&b, "a VM that never was");
}

static void test_attach_to_nowhere(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	b.t.place = TRANSFER_NOWHERE;
	b.ports.blocks.attach(b.sim, &b.t);
	then_seen(&b, "attached to nowhere");
}

static void test_attach_without_image(void)
{
	struct bad b = given_bad(TRANSFER_MAKING);

	b.t.place = TRANSFER_AT_SENDER;
	b.ports.blocks.attach(b.sim, &b.t);
	then_seen(&b, "without its image");
}

static void test_attach_without_record(void)
{
	struct bad b = given_bad(TRANSFER_ASKING);

	g_hash_table_remove_all(b.sim->records);
	b.t.place = TRANSFER_AT_RECEIVER;
	b.ports.blocks.attach(b.sim, &b.t);
	then_seen(&b, "without a record");
}

static void test_detach_unwritten(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	b.t.state = TRANSFER_FREEZING;
	b.ports.blocks.detach(b.sim, &b.t);
	then_seen(&b, "before its record is written");
}

static void test_detach_from_nowhere(void)
{
	struct bad b = given_bad(TRANSFER_ASKING);

	b.ports.blocks.detach(b.sim, &b.t);
	then_seen(&b, "detached from nowhere");
}

static void test_abandon_without_force(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	b.ports.blocks.abandon(b.sim, &b.t);
	then_seen(&b, "abandoned that work still has");
}

static void test_forgotten_disk(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	sim_stop(b.sim);
	g_hash_table_remove_all(b.sim->records);
	sim_start(b.sim);
	then_seen(&b, "a disk that the daemon forgot");
}

/* ---- images ---- */

static void test_remove_under_vm(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	b.ports.images.remove(b.sim, &b.t);
	then_seen(&b, "is removed under work");
}

static void test_remove_unwritten(void)
{
	struct bad b = given_bad(TRANSFER_ASKING);

	b.t.state = TRANSFER_DISCARDING;
	b.ports.images.remove(b.sim, &b.t);
	then_seen(&b, "before its record is written");
}

static void test_make_unwritten(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	b.t.id = 77;
	b.ports.images.make(b.sim, &b.t);
	then_seen(&b, "before its record is written");
}

/* ---- the user ---- */

static struct question question_of(const struct transfer *t)
{
	return (struct question){.id = t->id, .sender = &t->sender, .receiver = &t->receiver};
}

static void test_ask_while_lent(void)
{
	struct bad b = given_bad(TRANSFER_FREEZING);
	struct question q = question_of(&b.t);

	b.ports.asker.ask(b.sim, &q);
	then_seen(&b, "about what work can still change");
}

static void test_ask_twice(void)
{
	struct bad b = given_bad(TRANSFER_ASKING);
	struct question q = question_of(&b.t);

	b.ports.asker.ask(b.sim, &q);
	then_seen(&b, "asked twice");
}

static void test_ask_about_dead(void)
{
	struct bad b = given_bad(TRANSFER_ASKING);
	struct question q = question_of(&b.t);

	b.ports.asker.withdraw(b.sim, b.t.id);
	vm(b.sim, "personal")->known_dead = true;
	b.ports.asker.ask(b.sim, &q);
	then_seen(&b, "the receiver personal, which is dead");
}

static void test_ask_what_is_decided(void)
{
	struct bad b = {.sim = given_host("work", "personal")};
	struct question q;

	b.sim->for_files = POLICY_ALLOW;
	given_state(b.sim, TRANSFER_FREEZING);
	b.t = *sim_transfer_of(b.sim, "work");
	b.ports = sim_ports(b.sim);
	b.sim->in_event = true;
	q = question_of(&b.t);
	b.ports.asker.ask(b.sim, &q);
	then_seen(&b, "which the policy decided");
}

static void test_ask_about_blocked(void)
{
	struct bad b = given_bad(TRANSFER_ASKING);
	struct question q = question_of(&b.t);
	int64_t never = CLOCK_NEVER;

	b.ports.asker.withdraw(b.sim, b.t.id);
	g_hash_table_replace(b.sim->blocked, g_strdup("work"), g_memdup2(&never, sizeof never));
	b.ports.asker.ask(b.sim, &q);
	then_seen(&b, "which is blocked");
}

static void test_ask_about_nothing(void)
{
	struct bad b = given_bad(TRANSFER_ASKING);
	struct question q = question_of(&b.t);

	q.id = 77;
	b.ports.asker.ask(b.sim, &q);
	then_seen(&b, "which is none");
}

static void test_question_not_withdrawn(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	g_array_append_val(b.sim->questions, b.t.id);
	sim_check(b.sim);
	then_seen(&b, "is still asked about");
}

static void test_question_about_dead_not_withdrawn(void)
{
	struct bad b = given_bad(TRANSFER_ASKING);

	vm(b.sim, "personal")->told_dead = true;
	sim_check(b.sim);
	then_seen(&b, "whose VM is dead");
}

static void test_question_about_gone(void)
{
	struct bad b = given_bad(TRANSFER_LENT);
	uint64_t id = 77;

	g_array_append_val(b.sim->questions, id);
	sim_check(b.sim);
	then_seen(&b, "which is gone");
}

/* ---- answers ---- */

static void reply(struct bad *b, const char *name, const char *id, const char *text)
{
	struct store_reply r = {.domid = vm(b->sim, name)->id.domid, .id = id};
	const struct store_change change = {.replies = &r, .n_replies = 1};

	g_strlcpy(r.reply.text, text, sizeof r.reply.text);
	b->ports.store.commit(b->sim, &change);
}

static void test_answer_twice(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	reply(&b, "work", "r1", "r1 ok xvdg");
	then_seen(&b, "was answered already");
}

static void test_answered_and_pending(void)
{
	struct bad b = given_bad(TRANSFER_ASKING);
	struct sim_request *r = b.sim->requests->pdata[1];

	r->n_finals = 1;
	sim_check(b.sim);
	then_seen(&b, "request r2 was answered, and is to be once more");
}

static void test_wait_after_answer(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	reply(&b, "work", "r1", "r1 wait asking");
	then_seen(&b, "was answered already");
}

static void test_answer_to_wrong_vm(void)
{
	struct bad b = given_bad(TRANSFER_ASKING);

	reply(&b, "personal", "r2", "r2 ok delivered");
	then_seen(&b, "is answered what it did not ask");
}

static void test_answer_untaken(void)
{
	struct bad b = given_bad(TRANSFER_LENT);
	const struct sim_request *r = asks(b.sim, "work", "send personal");

	reply(&b, "work", r->id, "r2 ok delivered");
	then_seen(&b, "was not taken");
}

static void test_answer_with_other_id(void)
{
	struct bad b = given_bad(TRANSFER_ASKING);

	reply(&b, "work", "r2", "r22 ok delivered");
	then_seen(&b, "the reply to r2 is");
}

static void test_answer_without_request(void)
{
	struct bad b = given_bad(TRANSFER_ASKING);

	reply(&b, "work", "-", "- ok delivered");
	then_seen(&b, "more answers without an ID than requests");
}

static void test_request_let_lie(void)
{
	struct bad b = given_bad(TRANSFER_LENT);
	char bytes[256];
	size_t len;

	asks(b.sim, "work", "send personal");
	b.ports.store.take_request(b.sim, vm(b.sim, "work")->id.domid, bytes, sizeof bytes, &len);
	sim_check(b.sim);
	then_seen(&b, "was read and let lie");
}

static void test_request_forgotten(void)
{
	struct bad b = given_bad(TRANSFER_LENT);
	char bytes[256];
	size_t len;

	asks(b.sim, "work", "send personal");
	b.ports.store.take_request(b.sim, vm(b.sim, "work")->id.domid, bytes, sizeof bytes, &len);
	/* Emptied, as if it had been dealt with. */
	put_served(&b);
	sim_check(b.sim);
	then_seen(&b, "has 0 answers and 0 to come");
}

static void test_anonymous_request_forgotten(void)
{
	struct bad b = given_bad(TRANSFER_LENT);
	char bytes[256];
	size_t len;

	sim_write(b.sim, vm(b.sim, "work"), "umount", 6);
	b.ports.store.take_request(b.sim, vm(b.sim, "work")->id.domid, bytes, sizeof bytes, &len);
	put_served(&b);
	sim_check(b.sim);
	then_seen(&b, "asked 1 times without an ID: 0 answers, 0 to come");
}

/* ---- between events ---- */

static void test_no_alarm(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	b.ports.clock.set_alarm(b.sim, CLOCK_NEVER);
	sim_check(b.sim);
	then_seen(&b, "has no deadline that will come");
}

static void test_record_differs(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	b.t.size_bytes++;
	put(&b);
	sim_check(b.sim);
	then_seen(&b, "its record is");
}

static void test_record_of_nothing(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	b.t.id = 77;
	put(&b);
	sim_check(b.sim);
	then_seen(&b, "2 records of 1 transfers");
}

static void test_image_of_nothing(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	g_hash_table_add(b.sim->images, g_strdup("forgotten"));
	sim_check(b.sim);
	then_seen(&b, "2 images of 1 transfers");
}

static void test_disk_of_nothing(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	sim_disk_in(b.sim, vm(b.sim, "work"), TRANSFER_AT_SENDER)->id = 77;
	sim_check(b.sim);
	then_seen(&b, "a disk that nobody knows of");
}

static void test_still_in_reach(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	sim_disk_in(b.sim, vm(b.sim, "work"), TRANSFER_AT_SENDER)->place = TRANSFER_AT_RECEIVER;
	sim_check(b.sim);
	then_seen(&b, "is in its receiver's reach");
}

static void test_beyond_share(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	b.sim->limits.registry.max_bytes_per_vm = b.t.size_bytes - 1;
	sim_check(b.sim);
	then_seen(&b, "more than its share");
}

static void test_beyond_total(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	b.sim->limits.registry.max_bytes_total = b.t.size_bytes - 1;
	sim_check(b.sim);
	then_seen(&b, "all pendrives together are too large");
}

static void test_port_outside_event(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	b.sim->in_event = false;
	put(&b);
	then_seen(&b, "outside of an event");
}

/* ---- at the end ---- */

static void test_unanswered_at_the_end(void)
{
	struct bad b = given_bad(TRANSFER_LENT);
	struct sim_request *r = b.sim->requests->pdata[0];

	r->n_finals = 0;
	b.sim->commit_fails = true; /* or it is seen before the end */
	b.sim->limits.transfer.lent_ms = 1;
	sim_stop(b.sim);
	g_hash_table_remove_all(b.sim->records);
	g_hash_table_remove_all(b.sim->images);
	g_ptr_array_set_size(b.sim->disks, 0);
	g_array_set_size(b.sim->jobs, 0);
	sim_rest(b.sim);
	then_seen(&b, "request r1 of work has 0 answers");
}

static void test_mail_at_the_end(void)
{
	struct bad b = given_bad(TRANSFER_LENT);

	sim_cancel(b.sim, b.t.id);
	sim_run(b.sim);
	vm(b.sim, "work")->mail_len = 3;
	sim_rest(b.sim);
	then_seen(&b, "the mailbox of work was not emptied");
}

/* ---- DisposableVMs ---- */

/* A file of `work` is open in disp1. */
static struct bad given_bad_open(void)
{
	struct bad b = given_bad(TRANSFER_STARTING_VM);

	sim_run(b.sim);
	g_assert_cmpuint(sim_n_dispvms_in(b.sim, DISPVM_OPEN), ==, 1);
	b.sim->in_event = true;
	return b;
}

static void put_dispvm(struct bad *b, const struct dispvm *d)
{
	const struct store_change change = {.dispvm = d};

	b->ports.store.commit(b->sim, &change);
}

static struct domain_plan plan_of(struct bad *b)
{
	const struct domain_plan *plan =
		g_hash_table_lookup(b->sim->plans, &sim_dispvm_of(b->sim, "work")->number);

	g_assert_nonnull(plan);
	return *plan;
}

static void test_vm_made_unwritten(void)
{
	struct bad b = given_bad(TRANSFER_STARTING_VM);
	struct domain_plan plan = plan_of(&b);

	g_hash_table_remove_all(b.sim->dispvms);
	b.ports.domains.make(b.sim, &plan);
	then_seen(&b, "before its record is written");
}

static void test_vm_destroyed_unwritten(void)
{
	struct bad b = given_bad(TRANSFER_STARTING_VM);
	struct domain_plan plan = plan_of(&b);

	g_hash_table_remove_all(b.sim->dispvms);
	b.ports.domains.destroy(b.sim, &plan);
	then_seen(&b, "before its record is written");
}

static void test_vm_made_twice(void)
{
	struct bad b = given_bad(TRANSFER_STARTING_VM);
	struct domain_plan plan = plan_of(&b);

	when(b.sim, SIM_DOM_BUILD);
	b.ports.domains.make(b.sim, &plan);
	then_seen(&b, "is made while it is there");
}

static void test_vm_runs_without_file(void)
{
	struct bad b = given_bad(TRANSFER_STARTING_VM);
	struct domain_plan plan = plan_of(&b);

	when(b.sim, SIM_DOM_BUILD);
	when(b.sim, SIM_DOM_FINISH);
	when(b.sim, SIM_EV_DOM_MADE);
	sim_remove_nodes(b.sim, sim_disk_in(b.sim, vm(b.sim, "disp1"), TRANSFER_AT_RECEIVER));
	b.sim->in_event = true;
	b.ports.domains.unpause(b.sim, &plan);
	then_seen(&b, "before it has its pendrive");
}

static void test_vm_runs_in_pool(void)
{
	struct bad b = given_bad(TRANSFER_STARTING_VM);
	struct domain_plan plan = plan_of(&b);

	b.ports.domains.unpause(b.sim, &plan);
	then_seen(&b, "has no file to wait for");
}

/* What is attached to the receiver of a pendrive that the user is asked about. */
static void attach_to_receiver(enum transfer_kind kind, const char *violation)
{
	struct bad b = given_bad(TRANSFER_ASKING);

	b.t.kind = kind;
	b.t.place = TRANSFER_AT_RECEIVER;
	b.ports.blocks.attach(b.sim, &b.t);
	then_seen(&b, violation);
}

static void test_attach_unapproved(void)
{
	attach_to_receiver(TRANSFER_FILES, "did not say yes");
}

static void test_file_for_appvm(void)
{
	attach_to_receiver(TRANSFER_REQUEST, "is no DisposableVM");
}

static void test_answer_unasked(void)
{
	attach_to_receiver(TRANSFER_ANSWER, "that it did not ask for");
}

static void test_second_file(void)
{
	struct bad b = given_bad_open();

	says(b.sim, "disp1", "umount");
	b.sim->in_event = true;
	b.t.id = 77;
	strcpy(b.t.image, "other");
	g_hash_table_add(b.sim->images, g_strdup("other"));
	put(&b);
	b.t.place = TRANSFER_AT_RECEIVER;
	b.t.receiver = vm(b.sim, "disp1")->id;
	b.ports.blocks.attach(b.sim, &b.t);
	then_seen(&b, "gets a second file");
}

static void test_destroyed_while_answering(void)
{
	struct bad b = given_bad_open();
	struct dispvm d;

	says(b.sim, "disp1", "umount");
	says(b.sim, "disp1", "new");
	says(b.sim, "disp1", "send work 1");
	d = *sim_dispvm_of(b.sim, "work");
	g_assert_cmpint(d.state, ==, DISPVM_ANSWERING);
	b.sim->in_event = true;
	d.state = DISPVM_DESTROYING;
	put_dispvm(&b, &d);
	then_seen(&b, "destroyed while its answer is on its way");
}

static void test_dispvm_forgotten(void)
{
	struct bad b = given_bad_open();
	struct dispvm d = *sim_dispvm_of(b.sim, "work");

	d.state = DISPVM_GONE;
	put_dispvm(&b, &d);
	then_seen(&b, "is forgotten, but still there");
}

static void test_dispvm_record_differs(void)
{
	struct bad b = given_bad_open();
	struct dispvm d = *sim_dispvm_of(b.sim, "work");

	d.view = !d.view;
	put_dispvm(&b, &d);
	sim_check(b.sim);
	then_seen(&b, "disp1 is open, its record is");
}

static void test_vm_of_nobody(void)
{
	struct bad b = given_bad_open();

	sim_add_vm(b.sim, "disp9")->is_disposable = true;
	sim_check(b.sim);
	then_seen(&b, "disp9 is there, and nobody knows of it");
}

static void test_dead_vm_kept(void)
{
	struct bad b = given_bad_open();

	vm(b.sim, "disp1")->n_missed = 2;
	sim_check(b.sim);
	then_seen(&b, "disp1, open, is taken for alive");
}

static void test_kept_for_dead(void)
{
	struct bad b = given_bad_open();

	vm(b.sim, "work")->known_dead = true;
	sim_check(b.sim);
	then_seen(&b, "disp1 is kept for work, which is dead");
}

static void test_beyond_share_of_dispvms(void)
{
	struct bad b = given_bad_open();

	b.sim->limits.dispvm.max_per_opener = 0;
	sim_check(b.sim);
	then_seen(&b, "work has 1 DisposableVMs");
}

static void test_beyond_all_dispvms(void)
{
	struct bad b = given_bad_open();

	b.sim->limits.dispvm.max_total = 0;
	sim_check(b.sim);
	then_seen(&b, "there are 1 DisposableVMs");
}

/* The opener of an open file is told that it is over. */
static void tell_end(const char *end, const char *violation)
{
	struct bad b = given_bad_open();
	const struct sim_request *r = b.sim->requests->pdata[b.sim->requests->len - 1];
	g_autofree char *text = g_strdup_printf("%s %s", r->id, end);

	reply(&b, "work", r->id, text);
	then_seen(&b, violation);
}

static void test_saved_nothing(void)
{
	tell_end("ok saved", "work has stored nothing");
}

static void test_unchanged_unasked(void)
{
	tell_end("ok unchanged", "no DisposableVM of work asked to go");
}

#define BITES(path, fn) g_test_add_func("/sim/" path, fn)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	sim_quiet_log();
	BITES("attach-at-both", test_attach_at_both);
	BITES("attach-before-released", test_attach_before_released);
	BITES("attach-to-taken-slot", test_attach_to_taken_slot);
	BITES("attach-to-dead", test_attach_to_dead);
	BITES("attach-to-nobody", test_attach_to_nobody);
	BITES("attach-to-nowhere", test_attach_to_nowhere);
	BITES("attach-without-image", test_attach_without_image);
	BITES("attach-without-record", test_attach_without_record);
	BITES("detach-unwritten", test_detach_unwritten);
	BITES("detach-from-nowhere", test_detach_from_nowhere);
	BITES("abandon-without-force", test_abandon_without_force);
	BITES("forgotten-disk", test_forgotten_disk);
	BITES("remove-under-vm", test_remove_under_vm);
	BITES("remove-unwritten", test_remove_unwritten);
	BITES("make-unwritten", test_make_unwritten);
	BITES("ask-while-lent", test_ask_while_lent);
	BITES("ask-twice", test_ask_twice);
	BITES("ask-about-dead", test_ask_about_dead);
	BITES("ask-what-is-decided", test_ask_what_is_decided);
	BITES("ask-about-blocked", test_ask_about_blocked);
	BITES("ask-about-nothing", test_ask_about_nothing);
	BITES("question-not-withdrawn", test_question_not_withdrawn);
	BITES("question-about-dead-not-withdrawn", test_question_about_dead_not_withdrawn);
	BITES("question-about-gone", test_question_about_gone);
	BITES("answer-twice", test_answer_twice);
	BITES("answered-and-pending", test_answered_and_pending);
	BITES("wait-after-answer", test_wait_after_answer);
	BITES("answer-to-wrong-vm", test_answer_to_wrong_vm);
	BITES("answer-untaken", test_answer_untaken);
	BITES("answer-with-other-id", test_answer_with_other_id);
	BITES("answer-without-request", test_answer_without_request);
	BITES("request-let-lie", test_request_let_lie);
	BITES("request-forgotten", test_request_forgotten);
	BITES("anonymous-request-forgotten", test_anonymous_request_forgotten);
	BITES("no-alarm", test_no_alarm);
	BITES("record-differs", test_record_differs);
	BITES("record-of-nothing", test_record_of_nothing);
	BITES("image-of-nothing", test_image_of_nothing);
	BITES("disk-of-nothing", test_disk_of_nothing);
	BITES("still-in-reach", test_still_in_reach);
	BITES("beyond-share", test_beyond_share);
	BITES("beyond-total", test_beyond_total);
	BITES("port-outside-event", test_port_outside_event);
	BITES("unanswered-at-the-end", test_unanswered_at_the_end);
	BITES("mail-at-the-end", test_mail_at_the_end);
	BITES("vm-made-unwritten", test_vm_made_unwritten);
	BITES("vm-destroyed-unwritten", test_vm_destroyed_unwritten);
	BITES("vm-made-twice", test_vm_made_twice);
	BITES("vm-runs-without-file", test_vm_runs_without_file);
	BITES("vm-runs-in-pool", test_vm_runs_in_pool);
	BITES("attach-unapproved", test_attach_unapproved);
	BITES("file-for-appvm", test_file_for_appvm);
	BITES("answer-unasked", test_answer_unasked);
	BITES("second-file", test_second_file);
	BITES("destroyed-while-answering", test_destroyed_while_answering);
	BITES("dispvm-forgotten", test_dispvm_forgotten);
	BITES("dispvm-record-differs", test_dispvm_record_differs);
	BITES("vm-of-nobody", test_vm_of_nobody);
	BITES("dead-vm-kept", test_dead_vm_kept);
	BITES("kept-for-dead", test_kept_for_dead);
	BITES("beyond-share-of-dispvms", test_beyond_share_of_dispvms);
	BITES("beyond-all-dispvms", test_beyond_all_dispvms);
	BITES("saved-nothing", test_saved_nothing);
	BITES("unchanged-unasked", test_unchanged_unasked);
	return g_test_run();
}
