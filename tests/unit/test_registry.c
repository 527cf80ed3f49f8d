/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Slots, queues and quotas. */
#include <glib.h>
#include <string.h>

#include "registry.h"

#define MIB (UINT64_C(1) << 20)

/* A small host: three pendrives or 300 MiB for each VM, 500 MiB for all. */
static struct registry new_registry(void)
{
	return (struct registry){
		.limits =
			{
				.min_bytes = 64 * MIB,
				.default_bytes = 100 * MIB,
				.max_bytes = 200 * MIB,
				.max_pendrives_per_vm = 3,
				.max_bytes_per_vm = 300 * MIB,
				.max_bytes_total = 500 * MIB,
				.max_queue = 2,
				.max_waiting = 4,
			},
	};
}

static struct transfer_entry entry_in(enum transfer_state state, enum transfer_place place)
{
	return (struct transfer_entry){
		.t = {.state = state, .place = place, .size_bytes = 100 * MIB}};
}

static struct vm vm_named(const char *name)
{
	struct vm vm = {0};

	g_strlcpy(vm.id.name, name, sizeof vm.id.name);
	return vm;
}

/* ---- new ---- */

static const struct {
	const char *label;
	uint64_t asked, of_vm, of_all;
	unsigned n;
	uint64_t given; /* 0: denied */
	enum qpen_error error;
} sizes[] = {
	{"none named", 0, 0, 0, 0, 100 * MIB, 0},
	{"less than the least", 1, 0, 0, 0, 64 * MIB, 0},
	{"the least", 64 * MIB, 0, 0, 0, 64 * MIB, 0},
	{"a byte more is a MiB more", 64 * MIB + 1, 0, 0, 0, 65 * MIB, 0},
	{"a byte less than a MiB more", 65 * MIB - 1, 0, 0, 0, 65 * MIB, 0},
	{"the most", 200 * MIB, 0, 0, 0, 200 * MIB, 0},
	{"beyond the most", 200 * MIB + 1, 0, 0, 0, 0, QPEN_ERROR_BAD_SIZE},
	{"the largest that can be said", INT64_MAX, 0, 0, 0, 0, QPEN_ERROR_BAD_SIZE},
	{"the third", 0, 128 * MIB, 128 * MIB, 2, 100 * MIB, 0},
	{"the fourth", 0, 3 * MIB, 3 * MIB, 3, 0, QPEN_ERROR_QUOTA},
	{"exactly the VM's share", 200 * MIB, 100 * MIB, 100 * MIB, 1, 200 * MIB, 0},
	{"a MiB beyond the VM's share", 200 * MIB, 101 * MIB, 101 * MIB, 1, 0, QPEN_ERROR_QUOTA},
	{"rounding takes it beyond the share", 199 * MIB + 1, 101 * MIB, 101 * MIB, 1, 0,
		QPEN_ERROR_QUOTA},
	{"the VM's share is used up", 0, 300 * MIB, 300 * MIB, 2, 0, QPEN_ERROR_QUOTA},
	{"exactly what all may have", 0, 0, 400 * MIB, 0, 100 * MIB, 0},
	{"a MiB beyond what all may have", 0, 0, 401 * MIB, 0, 0, QPEN_ERROR_NO_SPACE},
	{"others have it all", 1, 0, 500 * MIB, 0, 0, QPEN_ERROR_NO_SPACE},
};

static void test_new(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
		struct registry r = new_registry();
		struct vm vm = vm_named("work");
		const struct request request = {.size_bytes = sizes[i].asked};
		uint64_t size = 12345;
		struct verdict v;

		g_test_message("%s", sizes[i].label);
		vm.n_pendrives = sizes[i].n;
		vm.pendrive_bytes = sizes[i].of_vm;
		r.pendrive_bytes = sizes[i].of_all;
		v = registry_may_new(&r, &vm, &request, &size);
		g_assert_cmpint(v.ok, ==, sizes[i].given > 0);
		if (v.ok) {
			g_assert_cmpuint(size, ==, sizes[i].given);
		} else {
			g_assert_cmpint(v.error, ==, sizes[i].error);
			g_assert_nonnull(v.text);
		}
	}
}

/* Who asks for too much is told how much there may be; who has used it up is not. */
static void test_limit_is_named(void)
{
	struct registry r = new_registry();
	struct vm vm = vm_named("work");
	const struct request request = {.size_bytes = 150 * MIB}, huge = {.size_bytes = 201 * MIB};
	uint64_t size;

	g_assert_cmpuint(
		registry_may_new(&r, &vm, &huge, &size).limit_bytes, ==, r.limits.max_bytes);
	r.limits.max_bytes_per_vm = 120 * MIB;
	g_assert_cmpint(registry_may_new(&r, &vm, &request, &size).error, ==, QPEN_ERROR_QUOTA);
	g_assert_cmpuint(registry_may_new(&r, &vm, &request, &size).limit_bytes, ==, 120 * MIB);
	r.limits.max_bytes_per_vm = 300 * MIB;
	vm.pendrive_bytes = 200 * MIB;
	g_assert_cmpint(registry_may_new(&r, &vm, &request, &size).error, ==, QPEN_ERROR_QUOTA);
	g_assert_cmpuint(registry_may_new(&r, &vm, &request, &size).limit_bytes, ==, 0);
}

/* Limits that were made smaller while pendrives were out. */
static void test_new_beyond_lowered_limits(void)
{
	struct registry r = new_registry();
	struct vm vm = vm_named("work");
	const struct request request = {.size_bytes = 0};
	uint64_t size;

	vm.n_pendrives = 1;
	vm.pendrive_bytes = 250 * MIB;
	r.pendrive_bytes = 250 * MIB;
	r.limits.max_bytes_per_vm = 80 * MIB;
	g_assert_cmpint(registry_may_new(&r, &vm, &request, &size).error, ==, QPEN_ERROR_QUOTA);
	r.limits.max_bytes_per_vm = 300 * MIB;
	r.limits.max_bytes_total = 70 * MIB;
	vm.pendrive_bytes = 0;
	g_assert_cmpint(registry_may_new(&r, &vm, &request, &size).error, ==, QPEN_ERROR_NO_SPACE);
}

/* ---- the three requests against the slots: what each state of the disk in it answers ---- */

#define GRANTED (-1)

static const struct {
	enum transfer_state state;
	enum transfer_place place;
	int may_new, may_send, may_umount;
} slots[] = {
	{TRANSFER_MAKING, TRANSFER_NOWHERE, QPEN_ERROR_BUSY, QPEN_ERROR_BUSY,
		QPEN_ERROR_NO_PENDRIVE},
	{TRANSFER_ATTACHING_OUT, TRANSFER_AT_SENDER, QPEN_ERROR_BUSY, QPEN_ERROR_BUSY,
		QPEN_ERROR_NO_PENDRIVE},
	{TRANSFER_LENT, TRANSFER_AT_SENDER, QPEN_ERROR_HAVE_PENDRIVE, GRANTED,
		QPEN_ERROR_NO_PENDRIVE},
	{TRANSFER_FREEZING, TRANSFER_AT_SENDER, QPEN_ERROR_BUSY, QPEN_ERROR_BUSY,
		QPEN_ERROR_NO_PENDRIVE},
	{TRANSFER_ASKING, TRANSFER_NOWHERE, GRANTED, QPEN_ERROR_NO_PENDRIVE,
		QPEN_ERROR_NO_PENDRIVE},
	{TRANSFER_QUEUED, TRANSFER_NOWHERE, GRANTED, QPEN_ERROR_NO_PENDRIVE,
		QPEN_ERROR_NO_PENDRIVE},
	{TRANSFER_ATTACHING_IN, TRANSFER_AT_RECEIVER, GRANTED, QPEN_ERROR_NO_PENDRIVE, GRANTED},
	{TRANSFER_DELIVERED, TRANSFER_AT_RECEIVER, GRANTED, QPEN_ERROR_NO_PENDRIVE, GRANTED},
	{TRANSFER_TAKING_BACK, TRANSFER_AT_RECEIVER, GRANTED, QPEN_ERROR_NO_PENDRIVE,
		QPEN_ERROR_BUSY},
	{TRANSFER_REFUSING, TRANSFER_NOWHERE, GRANTED, QPEN_ERROR_NO_PENDRIVE,
		QPEN_ERROR_NO_PENDRIVE},
	{TRANSFER_DISCARDING, TRANSFER_AT_SENDER, QPEN_ERROR_BUSY, QPEN_ERROR_BUSY,
		QPEN_ERROR_NO_PENDRIVE},
	{TRANSFER_DISCARDING, TRANSFER_AT_RECEIVER, GRANTED, QPEN_ERROR_NO_PENDRIVE,
		QPEN_ERROR_BUSY},
	{TRANSFER_DISCARDING, TRANSFER_NOWHERE, GRANTED, QPEN_ERROR_NO_PENDRIVE,
		QPEN_ERROR_NO_PENDRIVE},
};

static void assert_verdict(struct verdict v, int wanted)
{
	g_assert_cmpint(v.ok, ==, wanted == GRANTED);
	if (!v.ok)
		g_assert_cmpint((int)v.error, ==, wanted);
}

/* Which of its pendrives a VM can give up is the transfer's to say: test_transfer. */
static void test_discard(void)
{
	struct transfer_entry lent = entry_in(TRANSFER_LENT, TRANSFER_AT_SENDER);
	struct transfer_entry going = entry_in(TRANSFER_DISCARDING, TRANSFER_AT_SENDER);

	assert_verdict(registry_may_discard(NULL), QPEN_ERROR_NO_PENDRIVE);
	assert_verdict(registry_may_discard(&lent), GRANTED);
	assert_verdict(registry_may_discard(&going), GRANTED);
	going.t.to_sender.pending = true;
	assert_verdict(registry_may_discard(&going), QPEN_ERROR_BUSY);
}

static void test_slots(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(slots); i++) {
		struct registry r = new_registry();
		struct vm work = vm_named("work"), personal = vm_named("personal");
		struct transfer_entry e = entry_in(slots[i].state, slots[i].place);
		const struct request request = {.dest = "personal"};
		uint64_t size;

		g_test_message(
			"%s, place %d", transfer_state_name(slots[i].state), (int)slots[i].place);
		registry_add(&r, &e, &work, &personal);
		assert_verdict(registry_may_new(&r, &work, &request, &size), slots[i].may_new);
		assert_verdict(registry_may_send(&work, &request), slots[i].may_send);
		assert_verdict(registry_may_umount(&personal), slots[i].may_umount);
		/* The other end's slots are not touched. */
		assert_verdict(registry_may_umount(&work), QPEN_ERROR_NO_PENDRIVE);
		assert_verdict(registry_may_send(&personal, &request), QPEN_ERROR_NO_PENDRIVE);
	}
}

static void test_send_to_itself(void)
{
	struct registry r = new_registry();
	struct vm work = vm_named("work");
	struct transfer_entry e = entry_in(TRANSFER_LENT, TRANSFER_AT_SENDER);
	const struct request self = {.dest = "work"}, alike = {.dest = "Work"};

	registry_add(&r, &e, &work, NULL);
	assert_verdict(registry_may_send(&work, &self), QPEN_ERROR_SELF);
	assert_verdict(registry_may_send(&work, &alike), GRANTED);
}

/* ---- counting ---- */

static void test_counts(void)
{
	struct registry r = new_registry();
	struct vm work = vm_named("work"), personal = vm_named("personal");
	struct transfer_entry a = entry_in(TRANSFER_ASKING, TRANSFER_NOWHERE);
	struct transfer_entry b = entry_in(TRANSFER_LENT, TRANSFER_AT_SENDER);

	registry_add(&r, &a, &work, &personal);
	registry_add(&r, &b, &work, NULL);
	g_assert_cmpuint(work.n_pendrives, ==, 2);
	g_assert_cmpuint(work.pendrive_bytes, ==, 200 * MIB);
	g_assert_cmpuint(personal.n_pendrives, ==, 0);
	g_assert_cmpuint(r.n_pendrives, ==, 2);
	g_assert_cmpuint(r.pendrive_bytes, ==, 200 * MIB);

	/* A dead VM's share is given back, but the disk's room is not free yet. */
	registry_forget_vm(&a, &work);
	g_assert_null(a.sender);
	g_assert_cmpuint(work.n_pendrives, ==, 1);
	g_assert_cmpuint(work.pendrive_bytes, ==, 100 * MIB);
	g_assert_cmpuint(r.pendrive_bytes, ==, 200 * MIB);

	registry_remove(&r, &a);
	registry_remove(&r, &b);
	g_assert_cmpuint(work.n_pendrives, ==, 0);
	g_assert_cmpuint(work.pendrive_bytes, ==, 0);
	g_assert_cmpuint(r.n_pendrives, ==, 0);
	g_assert_cmpuint(r.pendrive_bytes, ==, 0);
	g_assert_null(work.outgoing);
}

static void test_forget_wrong_vm(void)
{
	struct registry r = new_registry();
	struct vm work = vm_named("work"), other = vm_named("other");
	struct transfer_entry e = entry_in(TRANSFER_LENT, TRANSFER_AT_SENDER);

	registry_add(&r, &e, &work, NULL);
	registry_forget_vm(&e, &other);
	g_assert_true(e.sender == &work);
	g_assert_true(work.outgoing == &e);
	g_assert_cmpuint(other.n_pendrives, ==, 0);
}

/* The slot follows the disk through its life. */
static void test_update(void)
{
	struct registry r = new_registry();
	struct vm work = vm_named("work"), personal = vm_named("personal");
	struct transfer_entry e = entry_in(TRANSFER_MAKING, TRANSFER_NOWHERE);

	registry_add(&r, &e, &work, NULL);
	g_assert_true(work.outgoing == &e);
	e.t.state = TRANSFER_LENT;
	e.t.place = TRANSFER_AT_SENDER;
	registry_update(&e);
	g_assert_true(work.outgoing == &e);
	registry_set_receiver(&e, &personal);
	e.t.state = TRANSFER_ASKING;
	e.t.place = TRANSFER_NOWHERE;
	registry_update(&e);
	g_assert_null(work.outgoing);
	g_assert_null(personal.incoming);
	e.t.state = TRANSFER_ATTACHING_IN;
	e.t.place = TRANSFER_AT_RECEIVER;
	registry_update(&e);
	g_assert_true(personal.incoming == &e);
	e.t.state = TRANSFER_DISCARDING;
	registry_update(&e);
	g_assert_true(personal.incoming == &e);
	e.t.place = TRANSFER_NOWHERE;
	registry_update(&e);
	g_assert_null(personal.incoming);
}

/* An old disk that changes must not free the slot of a new one. */
static void test_update_of_another(void)
{
	struct registry r = new_registry();
	struct vm work = vm_named("work"), personal = vm_named("personal");
	struct transfer_entry old = entry_in(TRANSFER_ASKING, TRANSFER_NOWHERE);
	struct transfer_entry now = entry_in(TRANSFER_LENT, TRANSFER_AT_SENDER);

	registry_add(&r, &old, &work, &personal);
	registry_add(&r, &now, &work, NULL);
	registry_update(&old);
	g_assert_true(work.outgoing == &now);
	registry_remove(&r, &old);
	g_assert_true(work.outgoing == &now);
}

/* ---- queues ---- */

static void test_queue(void)
{
	struct registry r = new_registry();
	struct vm from[4], personal = vm_named("personal");
	struct transfer_entry first = entry_in(TRANSFER_DELIVERED, TRANSFER_AT_RECEIVER);
	struct transfer_entry waiting[2];

	for (size_t i = 0; i < G_N_ELEMENTS(from); i++)
		from[i] = vm_named("from");
	g_assert_cmpint(registry_slot(&r, &personal), ==, TRANSFER_SLOT_FREE);
	g_assert_null(registry_next(&personal));
	registry_add(&r, &first, &from[0], &personal);
	for (size_t i = 0; i < G_N_ELEMENTS(waiting); i++) {
		g_assert_cmpint(registry_slot(&r, &personal), ==, TRANSFER_SLOT_TAKEN);
		waiting[i] = entry_in(TRANSFER_QUEUED, TRANSFER_NOWHERE);
		registry_add(&r, &waiting[i], &from[i + 1], &personal);
		registry_enqueue(&waiting[i]);
	}
	g_assert_cmpint(registry_slot(&r, &personal), ==, TRANSFER_SLOT_QUEUE_FULL);
	g_assert_null(registry_next(&personal));

	/* The slot becomes free: the first of the queue, and it stays so until it has the slot. */
	first.t.place = TRANSFER_NOWHERE;
	first.t.state = TRANSFER_DISCARDING;
	registry_update(&first);
	g_assert_true(registry_next(&personal) == &waiting[0]);
	g_assert_true(registry_next(&personal) == &waiting[0]);
	/* Nobody pushes in. */
	g_assert_cmpint(registry_slot(&r, &personal), !=, TRANSFER_SLOT_FREE);

	waiting[0].t.state = TRANSFER_ATTACHING_IN;
	waiting[0].t.place = TRANSFER_AT_RECEIVER;
	registry_update(&waiting[0]);
	g_assert_null(registry_next(&personal));
	g_assert_cmpuint(personal.n_queued, ==, 1);

	registry_remove(&r, &waiting[0]);
	g_assert_true(registry_next(&personal) == &waiting[1]);
	registry_remove(&r, &waiting[1]);
	g_assert_null(registry_next(&personal));
	g_assert_cmpuint(personal.n_queued, ==, 0);
	g_assert_cmpint(registry_slot(&r, &personal), ==, TRANSFER_SLOT_FREE);
}

static void test_leave_queue(void)
{
	struct registry r = new_registry();
	struct vm work = vm_named("work"), personal = vm_named("personal");
	struct transfer_entry e[3];

	r.limits.max_queue = 3;
	for (size_t i = 0; i < G_N_ELEMENTS(e); i++) {
		e[i] = entry_in(TRANSFER_QUEUED, TRANSFER_NOWHERE);
		registry_add(&r, &e[i], &work, &personal);
		registry_enqueue(&e[i]);
	}
	/* From the middle, as by a cancel. */
	e[1].t.state = TRANSFER_DISCARDING;
	registry_update(&e[1]);
	g_assert_cmpuint(personal.n_queued, ==, 2);
	g_assert_true(personal.queue == &e[0]);
	g_assert_true(e[0].next_queued == &e[2]);
	g_assert_false(e[1].queued);
	/* All of them, as by the receiver's death. */
	registry_forget_vm(&e[0], &personal);
	registry_forget_vm(&e[2], &personal);
	g_assert_null(personal.queue);
	g_assert_cmpuint(personal.n_queued, ==, 0);
	g_assert_false(e[0].queued || e[2].queued);
	g_assert_null(e[0].receiver);
	registry_update(&e[0]);
}

/* Questions of its own and of all that wait; whether it may have one more. */
static const struct {
	unsigned n_own, n_all;
	bool may;
} questions[] = {
	{0, 0, true},
	{0, 4, true},
	{0, 100, true},
	{1, 3, true},
	{3, 3, true},
	{1, 4, false},
	{4, 4, false},
	{2, 100, false},
};

static void test_may_ask(void)
{
	struct registry r = new_registry();

	for (size_t i = 0; i < G_N_ELEMENTS(questions); i++) {
		g_test_message("%u of %u", questions[i].n_own, questions[i].n_all);
		g_assert_cmpint(registry_may_ask(&r, questions[i].n_own, questions[i].n_all), ==,
			questions[i].may);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/registry/new", test_new);
	g_test_add_func("/registry/limit-is-named", test_limit_is_named);
	g_test_add_func("/registry/new-beyond-lowered-limits", test_new_beyond_lowered_limits);
	g_test_add_func("/registry/slots", test_slots);
	g_test_add_func("/registry/discard", test_discard);
	g_test_add_func("/registry/send-to-itself", test_send_to_itself);
	g_test_add_func("/registry/counts", test_counts);
	g_test_add_func("/registry/forget-wrong-vm", test_forget_wrong_vm);
	g_test_add_func("/registry/update", test_update);
	g_test_add_func("/registry/update-of-another", test_update_of_another);
	g_test_add_func("/registry/queue", test_queue);
	g_test_add_func("/registry/leave-queue", test_leave_queue);
	g_test_add_func("/registry/may-ask", test_may_ask);
	return g_test_run();
}
