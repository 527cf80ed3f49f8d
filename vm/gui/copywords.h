/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the window says, in words that may be shown. Pure; the caller frees what it gets. */
#ifndef QFX_VM_GUI_COPYWORDS_H
#define QFX_VM_GUI_COPYWORDS_H

#include <glib.h>

#include "progress.h"

/* "Copy" or "Move". */
const char *copywords_verb(gboolean move);

/* The names of the first of `files`, one a line, and how many there are besides. */
char *copywords_files(char **files);

/* "1.2 MB of 3.4 MB, 1 of 2 files" */
char *copywords_progress(const struct progress *progress);

/* "1.2 MB/s, about 3 min left", as far as it is known; "" if nothing is. */
char *copywords_pace(const struct progress *progress);

/* What a VM's name must be like, for one that is not; NULL: `name` is one, or empty. Static. */
const char *copywords_unsound(const char *name);

#endif
