/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the programs that nobody watches have to say: lines with a level, for the journal. */
#ifndef QFX_VM_JOURNAL_H
#define QFX_VM_JOURNAL_H

#include <glib.h>

/* syslog's numbers. */
enum journal_level { JOURNAL_ERROR = 3, JOURNAL_WARNING = 4, JOURNAL_INFO = 6 };

/* The name that lines start with where no journal adds one; not copied. */
void journal_set_program(const char *name);

/*
 * One line to the standard error; systemd takes the level from its prefix. What a VM wrote goes
 * through vm_printable() first.
 */
void journal_say(enum journal_level level, const char *format, ...) G_GNUC_PRINTF(2, 3);

#endif
