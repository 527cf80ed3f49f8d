/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qfilexchgctl history: what the daemon wrote into the journal, for people and programs. */
#ifndef QFX_CTL_HISTORY_H
#define QFX_CTL_HISTORY_H

#include <glib.h>

/* One entry as it was read. */
struct history_entry {
	gint64 time_us;     /* since 1970, when the journal took it */
	GHashTable *fields; /* a name (audit_fields.h) -> its value: one line of printable ASCII */
};
void history_entry_free(gpointer entry);
/* NULL: it has none of that name. */
const char *history_get(const struct history_entry *entry, const char *name);

struct history_query {
	const char *file; /* a file of a journal; NULL: this host's journal */
	const char *vm;   /* entries that have it as sender or receiver; NULL: all */
	gint64 since_us;  /* 0: from the beginning */
	guint max;        /* the last ones, at most so many; 0: all */
};

/*
 * The entries, in their order: struct history_entry, freed with the array (g_ptr_array_unref).
 * Those alone count that a process of root sent, as journald saw it: nobody else can put any in.
 * NULL with error set, where there is no journal that may be read, or it is damaged.
 */
GPtrArray *history_read(const struct history_query *query, GError **error);

/* A table, as one text for standard output. To be freed with g_free. */
char *history_table(const GPtrArray *entries);
/* One entry as one line of JSON, without a newline. To be freed with g_free. */
char *history_json(const struct history_entry *entry);

/* The command with its words, its own name the first. An exit status. */
int history_run(int argc, char **argv);

#endif
