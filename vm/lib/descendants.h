/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which processes are still busy with a file that was opened for the user, as /proc tells. */
#ifndef QFX_VM_DESCENDANTS_H
#define QFX_VM_DESCENDANTS_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/*
 * Background services that an editor may leave behind for the session, e.g. a D-Bus daemon: glob
 * patterns of what the kernel calls them (/proc/PID/comm, 15 characters). Nobody edits in them.
 */
extern const char *const descendants_services[]; /* NULL-terminated */

/*
 * All descendants of this process, which must be a child subreaper, without zombies and without
 * those whose name is in `services`, and all other processes that have something in `folder` open
 * or its path in their command line: an array of pid_t, in rising order.
 */
GArray *descendants_busy(const char *folder, const char *const *services);

#endif
