/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "audit_fields.h"

#include <syslog.h>

#define AS_TEXT_(x) #x
#define AS_TEXT(x) AS_TEXT_(x)

static void add(GPtrArray *fields, const char *name, const char *value)
{
	g_autofree char *escaped = NULL;

	if (!value || !value[0])
		return;
	escaped = g_strescape(value, NULL);
	g_ptr_array_add(fields, g_strconcat(name, "=", escaped, NULL));
}

static void add_number(GPtrArray *fields, const char *name, guint64 number)
{
	g_ptr_array_add(fields, g_strdup_printf("%s=%" G_GUINT64_FORMAT, name, number));
}

/* -1: not known. */
static void add_known(GPtrArray *fields, const char *name, gint64 number)
{
	if (number >= 0)
		add_number(fields, name, (guint64)number);
}

static void add_vm(GPtrArray *fields, const char *name_field, const char *domid_field,
	const struct vm_id *id, gboolean names)
{
	if (names)
		add(fields, name_field, id->name);
	if (id->domid > 0)
		add_number(fields, domid_field, id->domid);
}

static const char *kind_name(enum transfer_kind kind)
{
	switch (kind) {
	case TRANSFER_FILES:
		return "files";
	case TRANSFER_REQUEST:
		return "request";
	case TRANSFER_ANSWER:
		return "answer";
	}
	return "?";
}

/* ---- the sentence for those who read the journal by eye ---- */

static char *call_vm(const struct vm_id *id, gboolean names)
{
	if (names && id->name[0])
		return g_strdup(id->name);
	if (id->domid > 0)
		return g_strdup_printf("domain %u", id->domid);
	return g_strdup(id->name[0] ? "another VM" : "nobody yet");
}

static char *decided_by(const struct audit_entry *entry)
{
	const struct audit_verdict *v = &entry->verdict;

	if (v->uid_known)
		return g_strdup_printf("%s of uid %u", audit_by_name(v->by), v->uid);
	if (v->by == AUDIT_BY_POLICY && entry->rule)
		return g_strdup_printf("policy, %s", entry->rule);
	return g_strdup(audit_by_name(v->by));
}

static char *what_happened(const struct audit_entry *entry)
{
	g_autofree char *by = NULL;

	if (entry->event == AUDIT_DECIDED) {
		by = decided_by(entry);
		return g_strdup_printf(
			"%s by %s", audit_decision_name(entry->verdict.decision), by);
	}
	return g_strdup_printf("%s%s%s", audit_result_name(entry->end.result),
		entry->end.reason ? ", " : "", entry->end.reason ? entry->end.reason : "");
}

static void add_message(GPtrArray *fields, const struct audit_entry *entry, gboolean names)
{
	const struct transfer *t = entry->transfer;
	g_autofree char *what = what_happened(entry);
	g_autofree char *from = NULL, *to = NULL, *message = NULL;

	if (entry->event == AUDIT_DISPVM_ENDED) {
		from = call_vm(&entry->dispvm->opener, names);
		message = g_strdup_printf("DisposableVM %" G_GUINT64_FORMAT " of %s: %s",
			entry->dispvm->number, from, what);
	} else {
		from = call_vm(&t->sender, names);
		to = call_vm(&t->receiver, names);
		message = g_strdup_printf(
			"transfer %" G_GUINT64_FORMAT ", %s to %s: %s", t->id, from, to, what);
	}
	add(fields, "MESSAGE", message);
}

/* ---- the fields ---- */

static void add_transfer(GPtrArray *fields, const struct audit_entry *entry, gboolean names)
{
	const struct transfer *t = entry->transfer;

	add(fields, AUDIT_KIND, kind_name(t->kind));
	add_number(fields, AUDIT_TRANSFER, t->id);
	add(fields, AUDIT_PENDRIVE, t->image);
	add_vm(fields, AUDIT_SENDER, AUDIT_SENDER_DOMID, &t->sender, names);
	add_vm(fields, AUDIT_RECEIVER, AUDIT_RECEIVER_DOMID, &t->receiver, names);
	add_number(fields, AUDIT_SIZE, t->size_bytes);
	add_known(fields, AUDIT_USED, entry->used_bytes);
}

static void add_dispvm(GPtrArray *fields, const struct dispvm *d, gboolean names)
{
	add_number(fields, AUDIT_DISPOSABLE, d->number);
	if (d->request)
		add_number(fields, AUDIT_TRANSFER, d->request);
	add_vm(fields, AUDIT_SENDER, AUDIT_SENDER_DOMID, &d->opener, names);
	add_vm(fields, AUDIT_RECEIVER, AUDIT_RECEIVER_DOMID, &d->id, names);
}

static void add_decision(GPtrArray *fields, const struct audit_entry *entry)
{
	add(fields, AUDIT_DECISION, audit_decision_name(entry->verdict.decision));
	add(fields, AUDIT_BY, audit_by_name(entry->verdict.by));
	add(fields, AUDIT_RULE, entry->rule);
	if (entry->verdict.uid_known)
		add_number(fields, AUDIT_UID, entry->verdict.uid);
	add_known(fields, AUDIT_ASKED_MS, entry->asked_ms);
}

GPtrArray *audit_fields(const struct audit_entry *entry, gboolean names)
{
	GPtrArray *fields = g_ptr_array_new_with_free_func(g_free);

	add(fields, "MESSAGE_ID", AUDIT_MESSAGE_ID);
	add(fields, "PRIORITY", AS_TEXT(LOG_NOTICE));
	add(fields, "SYSLOG_IDENTIFIER", "qfilexchgd");
	add_message(fields, entry, names);
	add(fields, AUDIT_EVENT, audit_event_name(entry->event));
	if (entry->event == AUDIT_DISPVM_ENDED)
		add_dispvm(fields, entry->dispvm, names);
	else
		add_transfer(fields, entry, names);
	if (entry->event == AUDIT_DECIDED) {
		add_decision(fields, entry);
		return fields;
	}
	add(fields, AUDIT_RESULT, audit_result_name(entry->end.result));
	add(fields, AUDIT_REASON, entry->end.reason);
	add_known(fields, AUDIT_TOTAL_MS, entry->total_ms);
	return fields;
}
