/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The history of the simulated host: what it is told must have happened, and be told once. */
#include <string.h>

#include "sim.h"

/* ---- what an entry claims ---- */

static void check_decision(struct sim *sim, const struct audit_entry *entry)
{
	const struct transfer *t = entry->transfer;
	const struct audit_verdict *v = &entry->verdict;
	g_autofree char *key = g_strdup_printf(
		"%s %s %s", t->image, audit_decision_name(v->decision), audit_by_name(v->by));
	bool allowed = v->decision == AUDIT_ALLOWED;

	/* A DisposableVM can be refused again and again: the pendrive stays where it is. */
	if (t->kind == TRANSFER_FILES && !g_hash_table_add(sim->decisions, g_strdup(key)) &&
		!sim->history_may_repeat)
		sim_violate(sim, "the history is told twice: %s", key);
	if (allowed && v->by == AUDIT_BY_AGENT && !g_hash_table_contains(sim->approved, t->image))
		sim_violate(sim, "the history has a yes that the user did not say");
	if (allowed && v->by == AUDIT_BY_POLICY && !g_hash_table_contains(sim->allowed, t->image))
		sim_violate(sim, "the history has a rule that allowed nothing");
	if (v->by == AUDIT_BY_AGENT && (!v->uid_known || v->uid != SIM_UID))
		sim_violate(sim, "the history does not say who answered");
}

static void check_end(struct sim *sim, const struct audit_entry *entry)
{
	const struct transfer *t = entry->transfer;
	bool delivered = entry->end.result == AUDIT_END_DELIVERED;

	if (t->state != TRANSFER_DISCARDING && t->state != TRANSFER_GONE)
		sim_violate(sim, "the history ends transfer %" PRIu64 ", which is %s", t->id,
			transfer_state_name(t->state));
	if (delivered != g_hash_table_contains(sim->arrived, t->image) && !sim->history_may_lack)
		sim_violate(sim, "the history says of transfer %" PRIu64 ": %s", t->id,
			audit_result_name(entry->end.result));
	if (entry->total_ms != sim->now_ms - t->started_ms)
		sim_violate(sim, "the history has transfer %" PRIu64 " take %" PRId64 " ms", t->id,
			entry->total_ms);
}

/* It must stand in the records, or the next daemon would say it once more. */
static void check_written(struct sim *sim, const struct transfer *t)
{
	const char *have = g_hash_table_lookup(sim->records, &t->id);

	if (!have == (t->state == TRANSFER_GONE) || g_hash_table_contains(sim->stale, &t->id) ||
		sim->commit_fails)
		return;
	sim_violate(sim, "the history is told of transfer %" PRIu64 " before it is written down",
		t->id);
}

static void note_end(struct sim *sim, const char *image_or_uuid)
{
	if (!g_hash_table_add(sim->ended, g_strdup(image_or_uuid)) && !sim->history_may_repeat)
		sim_violate(sim, "the history has two ends of %s", image_or_uuid);
	g_hash_table_remove(sim->owing, image_or_uuid);
}

/* ---- the port ---- */

static char *line_of(const struct audit_entry *entry)
{
	const struct transfer *t = entry->transfer;
	const struct dispvm *d = entry->dispvm;
	const char *reason = entry->end.reason;

	if (entry->event == AUDIT_DECIDED)
		return g_strdup_printf("decision %s %s %s %s", t->sender.name, t->receiver.name,
			audit_decision_name(entry->verdict.decision),
			audit_by_name(entry->verdict.by));
	return g_strdup_printf("%s %s %s %s%s%s", audit_event_name(entry->event),
		t ? t->sender.name : d->opener.name,
		t ? t->receiver.name[0] ? t->receiver.name : "-" : d->id.name,
		audit_result_name(entry->end.result), reason ? " " : "", reason ? reason : "");
}

static void write_entry(void *ctx, const struct audit_entry *entry)
{
	struct sim *sim = ctx;
	char *line;

	if (!sim_lives(sim))
		return;
	line = line_of(entry);
	g_ptr_array_add(sim->history, line);
	sim_trace(sim, "history: %s", line);
	switch (entry->event) {
	case AUDIT_DECIDED:
		check_written(sim, entry->transfer);
		check_decision(sim, entry);
		return;
	case AUDIT_ENDED:
		check_written(sim, entry->transfer);
		check_end(sim, entry);
		note_end(sim, entry->transfer->image);
		return;
	case AUDIT_DISPVM_ENDED:
		note_end(sim, entry->dispvm->id.uuid);
		return;
	}
}

struct audit_port sim_audit_port(struct sim *sim)
{
	return (struct audit_port){.ctx = sim, .write = write_entry};
}

void sim_check_end_told(struct sim *sim, const char *image_or_uuid)
{
	if (!g_hash_table_contains(sim->ended, image_or_uuid))
		g_hash_table_add(sim->owing, g_strdup(image_or_uuid));
}

void sim_check_history(struct sim *sim)
{
	if (g_hash_table_size(sim->owing) > 0 && !sim->history_may_lack)
		sim_violate(
			sim, "%u ends are missing in the history", g_hash_table_size(sim->owing));
}
