/* SPDX-License-Identifier: GPL-2.0-or-later */
#define G_LOG_DOMAIN "qfilexchgd"
#include "audit_journal.h"

#include "audit_fields.h"
#include "journal.h"

struct audit_journal {
	gboolean names;
};

static void write_entry(void *ctx, const struct audit_entry *entry)
{
	const struct audit_journal *j = ctx;
	g_autoptr(GPtrArray) fields = audit_fields(entry, j->names);
	int rc = journal_send(fields);

	if (rc < 0)
		g_warning("cannot write the history into the journal: %s; this is missing there: "
			  "%s",
			g_strerror(-rc), audit_event_name(entry->event));
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
