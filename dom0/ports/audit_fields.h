/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An entry of the history as fields of the journal. Nothing here touches the world; both the
 * daemon, which writes them, and qfilexchgctl, which reads them, have their names from here.
 */
#ifndef QFX_AUDIT_FIELDS_H
#define QFX_AUDIT_FIELDS_H

#include <glib.h>

#include "audit.h"

/* Of our entries, and of nobody else's. */
#define AUDIT_MESSAGE_ID "fb30764965a641f1bb6c2b940cb578ff"
/* qfilexchgctl(1) says what each one is. */
#define AUDIT_PREFIX "QFX_"
#define AUDIT_EVENT "QFX_EVENT"
#define AUDIT_KIND "QFX_KIND"
#define AUDIT_TRANSFER "QFX_TRANSFER"
#define AUDIT_PENDRIVE "QFX_PENDRIVE"
#define AUDIT_DISPOSABLE "QFX_DISPOSABLE"
#define AUDIT_SENDER "QFX_SENDER"
#define AUDIT_SENDER_DOMID "QFX_SENDER_DOMID"
#define AUDIT_RECEIVER "QFX_RECEIVER"
#define AUDIT_RECEIVER_DOMID "QFX_RECEIVER_DOMID"
#define AUDIT_SIZE "QFX_SIZE"
#define AUDIT_USED "QFX_USED"
#define AUDIT_DECISION "QFX_DECISION"
#define AUDIT_BY "QFX_BY"
#define AUDIT_RULE "QFX_RULE"
#define AUDIT_UID "QFX_UID"
#define AUDIT_ASKED_MS "QFX_ASKED_MS"
#define AUDIT_RESULT "QFX_RESULT"
#define AUDIT_REASON "QFX_REASON"
#define AUDIT_TOTAL_MS "QFX_TOTAL_MS"

/*
 * "NAME=value" strings, what is not known left out, MESSAGE among them. With `names` FALSE no VM's
 * name is in any of them. What could be a VM's bytes is escaped: every value is one line of ASCII.
 * Free with g_ptr_array_unref.
 */
GPtrArray *audit_fields(const struct audit_entry *entry, gboolean names);

#endif
