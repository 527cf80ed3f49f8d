/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <gio/gio.h>
#include <string.h>
#include <systemd/sd-journal.h>

#include "audit_fields.h"
#include "history.h"

static void close_journal(sd_journal *j)
{
	sd_journal_close(j);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(sd_journal, close_journal)

void history_entry_free(gpointer entry)
{
	struct history_entry *e = entry;

	g_hash_table_unref(e->fields);
	g_free(e);
}

const char *history_get(const struct history_entry *entry, const char *name)
{
	return g_hash_table_lookup(entry->fields, name);
}

static gboolean fail(int rc, const char *what, const char *where, GError **error)
{
	g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(-rc), "cannot %s %s: %s", what,
		where, g_strerror(-rc));
	return FALSE;
}

static const char *where(const struct history_query *query)
{
	return query->file ? query->file : "the journal";
}

/* ---- opening ---- */

static gboolean open_journal(const struct history_query *query, sd_journal **j, GError **error)
{
	const char *files[] = {query->file, NULL};
	int rc = query->file ? sd_journal_open_files(j, files, 0)
			     : sd_journal_open(j, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM);

	if (rc < 0)
		return fail(rc, "open", where(query), error);
	/* Files that may not be read are passed over, without a word. */
	if (!query->file && sd_journal_has_persistent_files(*j) == 0 &&
		sd_journal_has_runtime_files(*j) == 0) {
		g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
			"there is no journal of this system that may be read: the history is kept "
			"where systemd-journald runs, and root and the members of the groups adm "
			"and systemd-journal may read it");
		return FALSE;
	}
	return TRUE;
}

static int match(sd_journal *j, const char *name, const char *value)
{
	g_autofree char *text = g_strconcat(name, "=", value, NULL);

	return sd_journal_add_match(j, text, strlen(text));
}

/*
 * _UID is journald's, from the credentials that the kernel gives it with each message. Any process
 * can send the rest; only one of root can send it as root.
 */
static int match_ours(sd_journal *j)
{
	int rc = match(j, "MESSAGE_ID", AUDIT_MESSAGE_ID);

	return rc < 0 ? rc : match(j, "_UID", "0");
}

static int match_vm(sd_journal *j, const char *role, const char *vm)
{
	int rc = match_ours(j);

	return rc < 0 ? rc : match(j, role, vm);
}

static int match_query(sd_journal *j, const struct history_query *query)
{
	int rc;

	if (!query->vm)
		return match_ours(j);
	rc = match_vm(j, AUDIT_SENDER, query->vm);
	if (rc >= 0)
		rc = sd_journal_add_disjunction(j);
	if (rc >= 0)
		rc = match_vm(j, AUDIT_RECEIVER, query->vm);
	return rc;
}

/* ---- reading ---- */

/* Whoever wrote it: it is to go to a terminal. */
static void take_field(GHashTable *fields, const char *untrusted_data, size_t len)
{
	const char *equals = memchr(untrusted_data, '=', len);
	g_autofree char *name = NULL, *value = NULL;
	size_t name_len;

	if (!equals || len < strlen(AUDIT_PREFIX) ||
		memcmp(untrusted_data, AUDIT_PREFIX, strlen(AUDIT_PREFIX)) != 0)
		return;
	name_len = (size_t)(equals - untrusted_data);
	name = g_strndup(untrusted_data, name_len);
	if (g_hash_table_contains(fields, name))
		return;
	value = g_strndup(equals + 1, len - name_len - 1);
	/* Backslashes and quotes are harmless, and our own escapes have backslashes. */
	g_hash_table_insert(fields, g_steal_pointer(&name), g_strescape(value, "\\\""));
}

/* < 0 or 0. */
static int read_entry(sd_journal *j, struct history_entry *e)
{
	const void *untrusted_data;
	uint64_t time_us;
	size_t len;
	int rc = sd_journal_get_realtime_usec(j, &time_us);

	if (rc < 0)
		return rc;
	e->time_us = (gint64)time_us;
	sd_journal_restart_data(j);
	while ((rc = sd_journal_enumerate_available_data(j, &untrusted_data, &len)) > 0)
		take_field(e->fields, untrusted_data, len);
	return rc;
}

/* < 0 or 0. */
static int read_entries(sd_journal *j, const struct history_query *query, GPtrArray *out)
{
	int rc;

	while ((rc = sd_journal_next(j)) > 0) {
		struct history_entry *e = g_new0(struct history_entry, 1);

		e->fields = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
		g_ptr_array_add(out, e);
		rc = read_entry(j, e);
		if (rc < 0)
			return rc;
		if (e->time_us < query->since_us)
			g_ptr_array_remove_index(out, out->len - 1);
		else if (query->max > 0 && out->len > query->max)
			g_ptr_array_remove_index(out, 0);
	}
	return rc;
}

GPtrArray *history_read(const struct history_query *query, GError **error)
{
	g_autoptr(sd_journal) j = NULL;
	g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func(history_entry_free);
	int rc;

	if (!open_journal(query, &j, error))
		return NULL;
	rc = match_query(j, query);
	if (rc >= 0)
		rc = query->since_us > 0
			     ? sd_journal_seek_realtime_usec(j, (uint64_t)query->since_us)
			     : sd_journal_seek_head(j);
	if (rc >= 0)
		rc = read_entries(j, query, entries);
	if (rc < 0) {
		fail(rc, "read", where(query), error);
		return NULL;
	}
	return g_steal_pointer(&entries);
}
