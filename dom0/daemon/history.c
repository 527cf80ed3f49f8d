/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "history.h"

#include <string.h>

static gint64 since(struct exchange *x, gint64 ms)
{
	gint64 now_ms = exchange_now_ms(x);

	return now_ms >= ms ? now_ms - ms : -1;
}

/* -1: not known. What is being made has not the size that it will have. */
static gint64 used_bytes(struct exchange *x, const struct transfer *t, enum transfer_state state)
{
	guint64 bytes;

	if (state == TRANSFER_MAKING)
		return -1;
	bytes = x->ports.images.used_bytes(x->ports.images.ctx, t);
	return bytes > 0 && bytes <= G_MAXINT64 ? (gint64)bytes : -1;
}

char *history_rule(struct exchange *x, const struct ruling *ruling)
{
	if (ruling->by != AUDIT_BY_POLICY)
		return NULL;
	return x->ports.rules.where(x->ports.rules.ctx, ruling->decision.rule);
}

static struct audit_verdict verdict_of(const struct ruling *ruling)
{
	return (struct audit_verdict){
		.decision = ruling->decision.action == POLICY_DENY ? AUDIT_REFUSED : AUDIT_ALLOWED,
		.by = ruling->by,
	};
}

static struct audit_entry *add(
	struct history_turn *turn, enum audit_event event, const struct transfer *t, gint64 used)
{
	struct audit_entry *entry = &turn->entries[turn->n++];

	*entry = (struct audit_entry){
		.event = event, .transfer = t, .used_bytes = used, .asked_ms = -1, .total_ms = -1};
	return entry;
}

static void add_decision(struct exchange *x, const struct transfer_node *node,
	const struct audit_verdict *verdict, gint64 used, struct history_turn *out)
{
	struct audit_entry *entry = add(out, AUDIT_DECIDED, &node->entry.t, used);

	entry->verdict = *verdict;
	entry->rule = node->rule;
	if (node->asked)
		entry->asked_ms = since(x, node->asked_ms);
}

static void note_question(
	struct exchange *x, struct transfer_node *node, const struct transfer_step *step)
{
	for (unsigned i = 0; i < step->n_actions; i++) {
		if (step->actions[i].kind != TRANSFER_ACT_ASK)
			continue;
		node->asked = TRUE;
		node->asked_ms = exchange_now_ms(x);
	}
}

void history_follow(struct exchange *x, struct transfer_node *node, const struct transfer *before,
	const struct transfer_event *event, const struct transfer_step *step,
	const struct ruling *ruling, struct history_turn *out)
{
	const struct transfer *t = &node->entry.t;
	struct audit_verdict verdict;
	struct audit_end end;
	struct audit_entry *entry;

	out->n = 0;
	note_question(x, node, step);
	if (ruling) {
		g_free(node->rule);
		node->rule = history_rule(x, ruling);
		if (ruling->decision.action != POLICY_ASK) {
			verdict = verdict_of(ruling);
			add_decision(x, node, &verdict, used_bytes(x, t, before->state), out);
		}
	}
	if (audit_decided(before, event, &verdict))
		add_decision(x, node, &verdict, used_bytes(x, t, before->state), out);
	if (audit_ended(before, event, t, &end)) {
		entry = add(out, AUDIT_ENDED, t, used_bytes(x, t, before->state));
		entry->end = end;
		entry->total_ms = since(x, t->started_ms);
	}
}

void history_write(struct exchange *x, const struct history_turn *turn)
{
	for (unsigned i = 0; turn && i < turn->n; i++)
		x->ports.audit.write(x->ports.audit.ctx, &turn->entries[i]);
}

void history_refused_request(
	struct exchange *x, const struct transfer *t, const struct ruling *ruling)
{
	g_autofree char *rule = history_rule(x, ruling);
	struct transfer wished = *t;
	struct history_turn turn = {0};
	struct audit_entry *entry;

	wished.kind = TRANSFER_REQUEST;
	wished.receiver = (struct vm_id){.name = QPEN_DISPOSABLE};
	entry = add(&turn, AUDIT_DECIDED, &wished, used_bytes(x, t, t->state));
	entry->verdict = verdict_of(ruling);
	entry->rule = rule;
	history_write(x, &turn);
}

void history_dispvm_ended(struct exchange *x, const struct dispvm *d, const struct audit_end *end)
{
	const struct audit_entry entry = {.event = AUDIT_DISPVM_ENDED,
		.dispvm = d,
		.end = *end,
		.used_bytes = -1,
		.asked_ms = -1,
		.total_ms = since(x, d->started_ms)};

	x->ports.audit.write(x->ports.audit.ctx, &entry);
}
