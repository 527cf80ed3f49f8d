/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The history of the store tests' daemon goes into its log, an entry a line, where the tests read
 * it; and not into the journal of the machine that they run on.
 */
#define G_LOG_DOMAIN "qfilexchgd"
#include "audit_fields.h"
#include "audit_journal.h"

struct audit_journal {
	gboolean names;
};

static void write_entry(void *ctx, const struct audit_entry *entry)
{
	const struct audit_journal *j = ctx;
	g_autoptr(GPtrArray) fields = audit_fields(entry, j->names);
	g_autofree char *line = NULL;

	g_ptr_array_add(fields, NULL);
	line = g_strjoinv("|", (char **)fields->pdata);
	g_message("history: %s", line);
}

struct audit_journal *audit_journal_create(gboolean names)
{
	struct audit_journal *j = g_new0(struct audit_journal, 1);

	j->names = names;
	return j;
}

void audit_journal_destroy(struct audit_journal *j)
{
	g_free(j);
}

void audit_journal_set_names(struct audit_journal *j, gboolean names)
{
	j->names = names;
}

struct audit_port audit_journal_port(struct audit_journal *j)
{
	return (struct audit_port){.ctx = j, .write = write_entry};
}
