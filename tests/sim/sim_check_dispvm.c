/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must hold of DisposableVMs and transactions. */
#include <stdio.h>
#include <string.h>

#include "dispvm_record.h"
#include "sim.h"

/* Beyond every limit that a test sets. */
#define LONGEST_MS 10000000

/* ---- while a step is written down ---- */

/* Whether the answer may still reach the opener. */
static bool is_under_way(const struct transfer *t)
{
	return t && t->kind == TRANSFER_ANSWER &&
	       (t->state == TRANSFER_FREEZING || t->state == TRANSFER_QUEUED ||
		       t->state == TRANSFER_ATTACHING_IN || t->state == TRANSFER_DELIVERED);
}

/* Somebody's work is on its way out of it: it may go only for one of these. */
static bool may_go(const struct sim *sim, const struct dispvm *before, const struct sim_vm *opener)
{
	return sim->discarding || before->deadline_ms <= sim->now_ms || !opener || !opener->running;
}

void sim_check_dispvm_step(struct sim *sim, const struct dispvm *d)
{
	const struct dispvm *before = g_hash_table_lookup(sim->dispvms, &d->number);

	if (!before || before->state == d->state)
		return;
	if (before->state == DISPVM_ANSWERING && d->state == DISPVM_DESTROYING &&
		is_under_way(exchange_find(sim->x, before->answer)) &&
		!may_go(sim, before, sim_find_instance(sim, &before->opener)))
		sim_violate(sim, "%s is destroyed while its answer is on its way", before->id.name);
	if (d->state == DISPVM_GONE && sim_find_uuid(sim, d->id.uuid))
		sim_violate(sim, "%s is forgotten, but still there", d->id.name);
}

/* ---- while a pendrive is attached to its receiver ---- */

static void check_request(struct sim *sim, const struct transfer *t, struct sim_vm *vm)
{
	if (!vm->is_disposable || vm->half)
		sim_violate(sim, "%s gets a file, but is no DisposableVM", vm->id.name);
	else if (strcmp(vm->image, t->image) == 0)
		return; /* the next daemon does it again */
	else if (vm->opener_uuid[0])
		sim_violate(sim, "%s gets a second file", vm->id.name);
	else if (vm->has_run)
		sim_violate(sim, "%s ran before it had its file", vm->id.name);
	strcpy(vm->image, t->image);
	strcpy(vm->opener_uuid, t->sender.uuid);
	strcpy(vm->opener_name, t->sender.name);
	strcpy(vm->seq, t->seq);
	vm->view = t->view;
}

static void check_answer(struct sim *sim, const struct transfer *t)
{
	const struct sim_vm *from = sim_find_instance(sim, &t->sender);

	if (!from || !from->is_disposable || from->view ||
		strcmp(from->opener_uuid, t->receiver.uuid) != 0 || strcmp(from->seq, t->seq) != 0)
		sim_violate(sim, "%s gets an answer of %s that it did not ask for",
			t->receiver.name, t->sender.name);
}

/* By the user, who was asked, or by the policy. */
static bool is_granted(const struct sim *sim, const struct transfer *t)
{
	return g_hash_table_contains(sim->approved, t->image) ||
	       (!t->ask && g_hash_table_contains(sim->allowed, t->image));
}

void sim_check_delivery(struct sim *sim, const struct transfer *t, struct sim_vm *vm)
{
	switch (t->kind) {
	case TRANSFER_FILES:
		if (!is_granted(sim, t))
			sim_violate(sim, "%s gets what the user did not say yes to", vm->id.name);
		return;
	case TRANSFER_REQUEST:
		check_request(sim, t, vm);
		if (!is_granted(sim, t))
			sim_violate(sim, "%s gets a file that nobody allowed", vm->id.name);
		return;
	case TRANSFER_ANSWER:
		check_answer(sim, t);
		return;
	}
}

/* ---- between any two events ---- */

struct checking {
	struct sim *sim;
	unsigned n, n_going;
};

static void check_record(struct sim *sim, const struct dispvm *d)
{
	const struct dispvm *have = g_hash_table_lookup(sim->dispvms, &d->number);
	char wanted[RECORD_MAX], text[RECORD_MAX];

	/* Writing it out takes long; padding that differs costs no more than that. */
	/* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
	if (sim->commit_fails || (have && memcmp(have, d, sizeof *d) == 0))
		return;
	dispvm_record_format(d, wanted);
	if (have)
		dispvm_record_format(have, text);
	if (!have || strcmp(text, wanted) != 0)
		sim_violate(sim, "%s is %s, its record is\n%s", d->id.name,
			dispvm_state_name(d->state), have ? text : "none");
}

static bool is_on_its_way(const struct transfer *t)
{
	return t && t->state != TRANSFER_DISCARDING && t->state != TRANSFER_GONE;
}

/* Nobody waits for what nothing brings. */
static void check_transfers(struct sim *sim, const struct dispvm *d)
{
	const struct transfer *request = exchange_find(sim->x, d->request);
	const struct transfer *answer = exchange_find(sim->x, d->answer);
	bool waits = d->state < DISPVM_OPEN && d->opener.uuid[0];

	if (waits && (!is_on_its_way(request) || request->kind != TRANSFER_REQUEST))
		sim_violate(sim, "%s, %s, waits for a file that nothing brings", d->id.name,
			dispvm_state_name(d->state));
	if (d->state == DISPVM_ANSWERING &&
		(!is_on_its_way(answer) || answer->kind != TRANSFER_ANSWER))
		sim_violate(sim, "%s has an answer that nothing brings", d->id.name);
}

static bool is_going(const struct dispvm *d)
{
	return d->state == DISPVM_DESTROYING || d->state == DISPVM_GONE;
}

static void check_vms(struct sim *sim, const struct dispvm *d)
{
	const struct sim_vm *vm = sim_find_instance(sim, &d->id);
	const struct sim_vm *opener = d->opener.uuid[0] ? sim_find_instance(sim, &d->opener) : NULL;

	if (!is_going(d) && opener && opener->known_dead)
		sim_violate(sim, "%s is kept for %s, which is dead", d->id.name, d->opener.name);
	if (!dispvm_should_run(d))
		return;
	if (!vm || vm->half)
		sim_violate(sim, "%s, %s, is not there", d->id.name, dispvm_state_name(d->state));
	/* The first look may have begun before it was made. */
	else if (d->state != DISPVM_ANSWERING && vm->n_missed > 1)
		sim_violate(
			sim, "%s, %s, is taken for alive", d->id.name, dispvm_state_name(d->state));
	else if (d->state == DISPVM_POOLED && vm->has_run)
		sim_violate(sim, "%s runs in the pool", d->id.name);
}

static void check_pending(struct sim *sim, const struct dispvm *d)
{
	if (d->to_opener.pending && d->state != DISPVM_OPEN && d->state != DISPVM_ANSWERING)
		sim_violate(sim, "%s is %s, and its opener still waits", d->id.name,
			dispvm_state_name(d->state));
	for (guint i = 0; d->to_opener.pending && i < sim->requests->len; i++) {
		const struct sim_request *r = sim->requests->pdata[i];

		if (r->n_finals > 0 && strcmp(r->id, d->to_opener.id) == 0)
			sim_violate(sim, "request %s was answered, and is to be once more", r->id);
	}
}

static void check_dispvm(void *arg, const struct dispvm *d)
{
	struct checking *c = arg;
	struct sim *sim = c->sim;

	c->n++;
	c->n_going += is_going(d) ? 1 : 0;
	if (d->state == DISPVM_GONE)
		sim_violate(sim, "%s is gone, but still there", d->id.name);
	if (sim->alarm_ms > d->deadline_ms || d->deadline_ms > sim->now_ms + LONGEST_MS)
		sim_violate(sim, "%s, %s, has no deadline that will come", d->id.name,
			dispvm_state_name(d->state));
	check_record(sim, d);
	check_transfers(sim, d);
	check_vms(sim, d);
	check_pending(sim, d);
}

struct find_request {
	uint64_t id;
	bool found;
};

static void find_request(void *arg, const struct dispvm *d)
{
	struct find_request *find = arg;

	find->found |= d->request == find->id && d->state <= DISPVM_READY;
}

static void check_waiting(void *arg, const struct transfer *t)
{
	struct sim *sim = arg;
	struct find_request find = {.id = t->id};

	if (t->kind != TRANSFER_REQUEST || !t->to_sender.pending ||
		(t->state != TRANSFER_FREEZING && t->state != TRANSFER_ASKING &&
			t->state != TRANSFER_STARTING_VM && t->state != TRANSFER_ATTACHING_IN))
		return;
	exchange_visit_dispvms(sim->x, find_request, &find);
	if (!find.found)
		sim_violate(sim, "transfer %" PRIu64 " waits for a VM that nobody makes", t->id);
}

struct dispvm_share {
	const char *uuid;
	unsigned n;
	bool found; /* the VM of that uuid itself is known */
};

static void count_share(void *arg, const struct dispvm *d)
{
	struct dispvm_share *share = arg;

	if (strcmp(d->opener.uuid, share->uuid) == 0 && !is_going(d))
		share->n++;
	share->found |= strcmp(d->id.uuid, share->uuid) == 0;
}

void sim_check_dispvms(struct sim *sim)
{
	struct checking c = {.sim = sim};

	exchange_visit_dispvms(sim->x, check_dispvm, &c);
	exchange_visit(sim->x, check_waiting, sim);
	/* Those of an old template make room for one of the new. */
	if (c.n - c.n_going > sim->limits.dispvm.max_total)
		sim_violate(sim, "there are %u DisposableVMs", c.n - c.n_going);
	if (g_hash_table_size(sim->dispvms) != c.n && !sim->commit_fails)
		sim_violate(sim, "there are %u records of %u DisposableVMs",
			g_hash_table_size(sim->dispvms), c.n);
	for (guint i = 0; i < sim->vms->len; i++) {
		const struct sim_vm *vm = sim->vms->pdata[i];
		struct dispvm_share share = {.uuid = vm->id.uuid};

		if (!vm->running)
			continue;
		exchange_visit_dispvms(sim->x, count_share, &share);
		if (share.n > sim->limits.dispvm.max_per_opener)
			sim_violate(sim, "%s has %u DisposableVMs", vm->id.name, share.n);
		if (vm->is_disposable && !share.found)
			sim_violate(sim, "%s is there, and nobody knows of it", vm->id.name);
	}
}
