/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The journal, as far as it is written to by more than lines. */
#ifndef QFX_JOURNAL_H
#define QFX_JOURNAL_H

#include <glib.h>

/* One entry of "NAME=value" strings, MESSAGE among them. 0, or a negative errno. */
int journal_send(const GPtrArray *fields);

#endif
