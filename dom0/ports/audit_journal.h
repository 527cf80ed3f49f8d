/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real audit port: the journal. Where no journald runs, nothing is kept. */
#ifndef QFX_AUDIT_JOURNAL_H
#define QFX_AUDIT_JOURNAL_H

#include <glib.h>

#include "audit_port.h"

struct audit_journal;

/* `names`: whether entries have the names of VMs. Free with audit_journal_destroy (accepts NULL).
 */
struct audit_journal *audit_journal_create(gboolean names);
void audit_journal_destroy(struct audit_journal *j);
void audit_journal_set_names(struct audit_journal *j, gboolean names);
struct audit_port audit_journal_port(struct audit_journal *j);

#endif
