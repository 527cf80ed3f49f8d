/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What qvm-open-in-dvm says, as its manual page has it, in a window's words. Pure. */
#ifndef QFX_VM_GUI_OPENWORDS_H
#define QFX_VM_GUI_OPENWORDS_H

#include <glib.h>

#include "child.h"

/* "opened in disp7": from now on the file is edited, and the slot for the next one is free. */
gboolean openwords_is_open(const char *line);

/* What is told when it has ended; NULL: nothing that the user does not see. The caller frees it. */
char *openwords_end(const struct child_end *end, const char *last_line, gboolean view);

#endif
