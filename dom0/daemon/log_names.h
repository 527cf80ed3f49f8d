/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the log calls a VM: by its name, or where the configuration hides names, by its domain. */
#ifndef QFX_LOG_NAMES_H
#define QFX_LOG_NAMES_H

#include <stdbool.h>

#include "transfer.h"

/* For the whole process, as the log itself is. At first they are shown. */
void log_names_show(bool show);
/* What to call it: good until the same is asked for four more times, or `id` changes. */
const char *log_vm(const struct vm_id *id);
/* Of one of which no more than the name is known. */
const char *log_name(const char *name);

#endif
