/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <json-glib/json-glib.h>
#include <string.h>

#include "audit_fields.h"
#include "history.h"
#include "text.h"

static gboolean number_of(const struct history_entry *e, const char *name, guint64 *out)
{
	const char *text = history_get(e, name);

	return text && g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, out, NULL);
}

static GDateTime *time_of(const struct history_entry *e)
{
	g_autoptr(GDateTime) second = g_date_time_new_from_unix_utc(e->time_us / G_USEC_PER_SEC);

	return g_date_time_add(second, e->time_us % G_USEC_PER_SEC);
}

/* ---- the table ---- */

static char *when(const struct history_entry *e)
{
	g_autoptr(GDateTime) utc = time_of(e);
	g_autoptr(GDateTime) local = g_date_time_to_local(utc);

	return g_date_time_format(local, "%Y-%m-%d %H:%M:%S");
}

static char *vm_of(const struct history_entry *e, const char *name, const char *domid)
{
	if (history_get(e, name))
		return g_strdup(history_get(e, name));
	if (history_get(e, domid))
		return g_strdup_printf("domain %s", history_get(e, domid));
	return g_strdup("-");
}

static char *size_of(const struct history_entry *e, const char *name)
{
	guint64 bytes;

	return number_of(e, name, &bytes) ? text_size(bytes) : g_strdup("-");
}

/* How long it took, from the question to the answer, or from the request to the end. */
static char *took(const struct history_entry *e)
{
	guint64 ms;

	if (!number_of(e, AUDIT_ASKED_MS, &ms) && !number_of(e, AUDIT_TOTAL_MS, &ms))
		return g_strdup("-");
	return text_duration(ms / 1000);
}

static void append_word(GString *out, const char *before, const char *word)
{
	if (word)
		g_string_append_printf(out, "%s%s", before, word);
}

/* "allowed by agent, uid 1000", "delivered, returned" */
static char *what(const struct history_entry *e)
{
	GString *out = g_string_new(NULL);

	append_word(out, "", history_get(e, AUDIT_DECISION));
	append_word(out, " by ", history_get(e, AUDIT_BY));
	append_word(out, ", uid ", history_get(e, AUDIT_UID));
	if (g_strcmp0(history_get(e, AUDIT_BY), "policy") == 0)
		append_word(out, ", ", history_get(e, AUDIT_RULE));
	if (history_get(e, AUDIT_DISPOSABLE))
		g_string_append(out, "DisposableVM: ");
	append_word(out, "", history_get(e, AUDIT_RESULT));
	append_word(out, ", ", history_get(e, AUDIT_REASON));
	return g_string_free(out, FALSE);
}

static void append_row(GString *out, const struct history_entry *e)
{
	const char *id = history_get(e, AUDIT_TRANSFER);
	g_autofree char *time = when(e);
	g_autofree char *sender = vm_of(e, AUDIT_SENDER, AUDIT_SENDER_DOMID);
	g_autofree char *receiver = vm_of(e, AUDIT_RECEIVER, AUDIT_RECEIVER_DOMID);
	g_autofree char *size = size_of(e, AUDIT_SIZE);
	g_autofree char *used = size_of(e, AUDIT_USED);
	g_autofree char *duration = took(e);
	g_autofree char *happened = what(e);

	g_string_append_printf(out, "%-19s  %4s  %-16s  %-16s  %10s  %10s  %8s  %s\n", time,
		id ? id : "-", sender, receiver, size, used, duration, happened);
}

char *history_table(const GPtrArray *entries)
{
	GString *out = g_string_new(NULL);

	if (entries->len == 0)
		return g_string_free(
			g_string_append(out, "No such entry is in the history.\n"), FALSE);
	g_string_append_printf(out, "%-19s  %4s  %-16s  %-16s  %10s  %10s  %8s  %s\n", "TIME", "ID",
		"SENDER", "RECEIVER", "SIZE", "USED", "TOOK", "WHAT");
	for (guint i = 0; i < entries->len; i++)
		append_row(out, entries->pdata[i]);
	return g_string_free(out, FALSE);
}

/* ---- JSON ---- */

static const char *const numbers[] = {AUDIT_TRANSFER, AUDIT_DISPOSABLE, AUDIT_SENDER_DOMID,
	AUDIT_RECEIVER_DOMID, AUDIT_SIZE, AUDIT_USED, AUDIT_UID, AUDIT_ASKED_MS, AUDIT_TOTAL_MS,
	NULL};

/* As in the journal, but for the prefix and in lower case. */
static char *key_of(const char *name)
{
	return g_ascii_strdown(name + strlen(AUDIT_PREFIX), -1);
}

static void add_field(JsonBuilder *builder, const struct history_entry *e, const char *name)
{
	g_autofree char *key = key_of(name);
	guint64 number;

	json_builder_set_member_name(builder, key);
	if (g_strv_contains(numbers, name) && number_of(e, name, &number))
		json_builder_add_int_value(builder, (gint64)number);
	else
		json_builder_add_string_value(builder, history_get(e, name));
}

static char *iso_time(const struct history_entry *e)
{
	g_autoptr(GDateTime) utc = time_of(e);

	return g_date_time_format(utc, "%Y-%m-%dT%H:%M:%S.%fZ");
}

char *history_json(const struct history_entry *entry)
{
	g_autoptr(JsonBuilder) builder = json_builder_new();
	g_autoptr(JsonNode) root = NULL;
	g_autoptr(GList) names =
		g_list_sort(g_hash_table_get_keys(entry->fields), (GCompareFunc)strcmp);
	g_autofree char *time = iso_time(entry);

	json_builder_begin_object(builder);
	json_builder_set_member_name(builder, "time");
	json_builder_add_string_value(builder, time);
	for (GList *l = names; l; l = l->next)
		add_field(builder, entry, l->data);
	json_builder_end_object(builder);
	root = json_builder_get_root(builder);
	return json_to_string(root, FALSE);
}
