/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must hold between any two events, whatever happened before. */
#include <stdio.h>
#include <string.h>

#include "budgets.h"
#include "record.h"
#include "sim.h"

/* Beyond every limit that a test sets. */
#define LONGEST_MS 10000000

struct checking {
	struct sim *sim;
	unsigned n_transfers;
	uint64_t bytes;
};

/* The record is what the exchange knows, so that the next daemon knows it as well. */
static void check_record(struct sim *sim, const struct transfer *t)
{
	const struct transfer *before = g_hash_table_lookup(sim->verified, &t->id);
	const char *have = g_hash_table_lookup(sim->records, &t->id);
	char text[RECORD_MAX];

	if (g_hash_table_contains(sim->stale, &t->id) || sim->commit_fails)
		return;
	/* Writing it out takes most of the time of a run; padding that differs costs no more. */
	/* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
	if (before && memcmp(before, t, sizeof *t) == 0)
		return;
	record_format(t, text);
	if (!have || strcmp(have, text) != 0)
		sim_violate(sim, "transfer %" PRIu64 " is %s, its record is\n%s", t->id,
			transfer_state_name(t->state), have ? have : "none");
	g_hash_table_replace(
		sim->verified, g_memdup2(&t->id, sizeof t->id), g_memdup2(t, sizeof *t));
}

static void check_question(struct sim *sim, const struct transfer *t)
{
	const struct sim_vm *sender = sim_find_instance(sim, &t->sender);
	const struct sim_vm *receiver = sim_find_instance(sim, &t->receiver);

	if (!sim_is_asked(sim, t->id))
		return;
	if (t->state != TRANSFER_ASKING)
		sim_violate(sim, "the user is still asked about transfer %" PRIu64 ", %s", t->id,
			transfer_state_name(t->state));
	/* A DisposableVM may still be to be made. */
	if (!sender || sender->told_dead || (t->kind == TRANSFER_FILES && !receiver) ||
		(receiver && receiver->told_dead))
		sim_violate(sim,
			"the user is still asked about transfer %" PRIu64 ", whose VM is dead",
			t->id);
}

/* What was answered must not be to be answered still. */
static void check_pending(struct sim *sim, const struct pending_reply *pending)
{
	for (guint i = 0; pending->pending && i < sim->requests->len; i++) {
		const struct sim_request *r = sim->requests->pdata[i];

		if (r->n_finals > 0 && strcmp(r->id, pending->id) == 0)
			sim_violate(sim, "request %s was answered, and is to be once more", r->id);
	}
}

static void check_transfer(void *arg, const struct transfer *t)
{
	struct checking *c = arg;
	struct sim *sim = c->sim;
	const struct sim_disk *out = sim_find_disk(sim, t->id, TRANSFER_AT_SENDER);
	const struct sim_disk *in = sim_find_disk(sim, t->id, TRANSFER_AT_RECEIVER);

	c->n_transfers++;
	c->bytes += t->size_bytes;
	if (t->state == TRANSFER_GONE)
		sim_violate(sim, "transfer %" PRIu64 " is gone, but still there", t->id);
	if (sim->alarm_ms > t->deadline_ms || t->deadline_ms > sim->now_ms + LONGEST_MS)
		sim_violate(sim, "transfer %" PRIu64 ", %s, has no deadline that will come", t->id,
			transfer_state_name(t->state));
	if (t->place != TRANSFER_AT_SENDER && out && out->nodes)
		sim_violate(sim, "transfer %" PRIu64 " is still in its sender's reach", t->id);
	if (t->place != TRANSFER_AT_RECEIVER && in && in->nodes)
		sim_violate(sim, "transfer %" PRIu64 " is in its receiver's reach", t->id);
	check_record(sim, t);
	check_question(sim, t);
	check_pending(sim, &t->to_sender);
	check_pending(sim, &t->to_receiver);
}

static void check_disks(struct sim *sim)
{
	for (guint i = 0; i < sim->disks->len; i++) {
		const struct sim_disk *a = sim->disks->pdata[i];

		if (!a->abandoned && !exchange_find(sim->x, a->id))
			sim_violate(sim, "%s has a disk that nobody knows of", a->vm->id.name);
		for (guint k = 0; k < i; k++) {
			const struct sim_disk *b = sim->disks->pdata[k];

			if (a->vm == b->vm && a->place == b->place && a->nodes && b->nodes)
				sim_violate(sim, "two disks in a slot of %s", a->vm->id.name);
			if (strcmp(a->image, b->image) == 0 && a->loop_held && b->loop_held)
				sim_violate(sim, "%s and %s have the same image", a->vm->id.name,
					b->vm->id.name);
		}
	}
}

static bool is_pending(const struct pending_reply *pending, const char *id)
{
	return pending->pending && strcmp(pending->id, id) == 0;
}

struct owed {
	const char *id;
	const struct vm_id *to;
	unsigned n;
};

static void count_owed(void *arg, const struct transfer *t)
{
	struct owed *owed = arg;

	if (is_pending(&t->to_sender, owed->id) && strcmp(t->sender.uuid, owed->to->uuid) == 0)
		owed->n++;
	if (is_pending(&t->to_receiver, owed->id) && strcmp(t->receiver.uuid, owed->to->uuid) == 0)
		owed->n++;
}

static void count_owed_by_dispvm(void *arg, const struct dispvm *d)
{
	struct owed *owed = arg;

	if (is_pending(&d->to_opener, owed->id) && strcmp(d->opener.uuid, owed->to->uuid) == 0)
		owed->n++;
}

static unsigned n_owed(struct sim *sim, const char *id, const struct vm_id *to)
{
	struct owed owed = {.id = id, .to = to};

	exchange_visit(sim->x, count_owed, &owed);
	exchange_visit_dispvms(sim->x, count_owed_by_dispvm, &owed);
	return owed.n;
}

/* A request that was taken is answered, or will be: there is no third. */
static void check_requests(struct sim *sim)
{
	if (sim->commit_fails)
		return;
	for (guint i = 0; i < sim->requests->len; i++) {
		const struct sim_request *r = sim->requests->pdata[i];
		unsigned owed;

		/* One that was answered, and is once more, is found then. */
		if (!r->id[0] || !r->taken || !r->vm->running || r->n_finals > 0)
			continue;
		owed = n_owed(sim, r->id, &r->vm->id);
		if (owed + r->n_finals != 1)
			sim_violate(sim, "request %s of %s has %u answers and %u to come", r->id,
				r->vm->id.name, r->n_finals, owed);
	}
	for (guint i = 0; i < sim->vms->len; i++) {
		const struct sim_vm *vm = sim->vms->pdata[i];
		unsigned owed;

		if (vm->running && vm->mail_read && !sim->identify_fails)
			sim_violate(sim, "the request of %s was read and let lie", vm->id.name);

		if (!vm->running || vm->anon_finals == vm->anon_taken)
			continue;
		owed = n_owed(sim, QPEN_ID_NONE, &vm->id);
		if (owed + vm->anon_finals < vm->anon_taken)
			sim_violate(sim, "%s asked %u times without an ID: %u answers, %u to come",
				vm->id.name, vm->anon_taken, vm->anon_finals, owed);
	}
}

struct share {
	const char *uuid;
	unsigned n, n_queued, n_waiting;
	uint64_t bytes;
	bool slot_taken; /* the incoming one */
};

static void count_share(void *arg, const struct transfer *t)
{
	struct share *share = arg;

	if (t->sender_alive && strcmp(t->sender.uuid, share->uuid) == 0) {
		share->n++;
		share->bytes += t->size_bytes;
	}
	if (t->state == TRANSFER_QUEUED && strcmp(t->receiver.uuid, share->uuid) == 0) {
		share->n_waiting++;
		/* Answers are let in however many wait. */
		share->n_queued += t->kind == TRANSFER_ANSWER ? 0 : 1;
	}
	if (t->place == TRANSFER_AT_RECEIVER && strcmp(t->receiver.uuid, share->uuid) == 0)
		share->slot_taken = true;
}

static void check_quotas(struct sim *sim, const struct checking *c)
{
	const struct registry_limits *l = &sim->limits.registry;

	if (c->bytes > l->max_bytes_total)
		sim_violate(sim, "all pendrives together are too large");
	for (guint i = 0; i < sim->vms->len; i++) {
		const struct sim_vm *vm = sim->vms->pdata[i];
		struct share share = {.uuid = vm->id.uuid};

		if (!vm->running)
			continue;
		exchange_visit(sim->x, count_share, &share);
		if (share.n > l->max_pendrives_per_vm || share.bytes > l->max_bytes_per_vm)
			sim_violate(sim, "%s has more than its share", vm->id.name);
		if (share.n_queued > l->max_queue)
			sim_violate(sim, "too many wait for %s", vm->id.name);
		/* Nobody waits for a slot that is free. */
		if (share.n_waiting > 0 && !share.slot_taken)
			sim_violate(sim, "%u wait for the free slot of %s", share.n_waiting,
				vm->id.name);
	}
}

/* ---- how often the user is asked ---- */

/* One more at this time, of whom the key names. In no span of time may there be too many. */
static void count_asked(struct sim *sim, const char *key)
{
	const struct bucket_limits *l = &sim->limits.questions;
	GArray *times = g_hash_table_lookup(sim->asked, key);

	if (!times) {
		times = g_array_new(FALSE, FALSE, sizeof(int64_t));
		g_hash_table_insert(sim->asked, g_strdup(key), times);
	}
	g_array_append_val(times, sim->now_ms);
	for (guint i = 0; i < times->len; i++) {
		int64_t span_ms = sim->now_ms - g_array_index(times, int64_t, i);

		if (times->len - i > l->burst + span_ms / l->interval_ms)
			sim_violate(sim, "%s caused %u questions within %" PRIi64 " ms", key,
				times->len - i, span_ms);
	}
}

struct asked_now {
	const char *uuid;
	unsigned n_own, n_all;
};

static void count_waiting(void *arg, const struct transfer *t)
{
	struct asked_now *now = arg;

	if (t->state != TRANSFER_ASKING && (t->state != TRANSFER_FREEZING || !t->ask))
		return;
	now->n_all++;
	if (strcmp(t->sender.uuid, now->uuid) == 0)
		now->n_own++;
}

void sim_check_budget(struct sim *sim, const struct transfer *t)
{
	g_autofree char *name = g_strconcat("name ", t->sender.name, NULL);
	g_autofree char *uuid = g_strconcat("uuid ", t->sender.uuid, NULL);
	struct asked_now now = {.uuid = t->sender.uuid};

	if (t->state != TRANSFER_FREEZING || !t->ask ||
		!g_hash_table_add(sim->counted, g_strdup(t->image)))
		return;
	count_asked(sim, name);
	count_asked(sim, uuid);
	exchange_visit(sim->x, count_waiting, &now);
	if (now.n_own > 1 && now.n_all > sim->limits.registry.max_waiting)
		sim_violate(sim, "%u questions wait, and %s has %u of them", now.n_all,
			t->sender.name, now.n_own);
}

void sim_check_told(struct sim *sim, const char *vm)
{
	const int64_t *last_ms = g_hash_table_lookup(sim->told, vm);

	if (last_ms && sim->now_ms - *last_ms < BUDGETS_NOTICE_MS)
		sim_violate(sim, "the user is told twice that %s asks too often", vm);
	g_hash_table_replace(sim->told, g_strdup(vm), g_memdup2(&sim->now_ms, sizeof sim->now_ms));
}

void sim_check(struct sim *sim)
{
	struct checking c = {.sim = sim};

	exchange_visit(sim->x, check_transfer, &c);
	check_disks(sim);
	check_requests(sim);
	check_quotas(sim, &c);
	sim_check_dispvms(sim);
	sim_check_history(sim);
	if (g_hash_table_size(sim->records) > c.n_transfers && !sim->commit_fails)
		sim_violate(sim, "there are %u records of %u transfers",
			g_hash_table_size(sim->records), c.n_transfers);
	if (g_hash_table_size(sim->images) > c.n_transfers)
		sim_violate(sim, "there are %u images of %u transfers",
			g_hash_table_size(sim->images), c.n_transfers);
	for (guint i = 0; i < sim->questions->len; i++) {
		uint64_t id = g_array_index(sim->questions, uint64_t, i);

		if (!exchange_find(sim->x, id))
			sim_violate(sim,
				"the user is asked about transfer %" PRIu64 ", which is gone", id);
	}
}
