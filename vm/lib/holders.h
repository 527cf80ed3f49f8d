/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which processes use something, for messages. Other users' processes do not let us look, so
 * finding none proves nothing.
 */
#ifndef QFX_VM_HOLDERS_H
#define QFX_VM_HOLDERS_H

#include <glib.h>
#include <stdbool.h>
#include <sys/stat.h>

/* One is enough to be told; more are only counted. */
#define HOLDERS_MAX_NAMED 3u

/* e.g. "process 812 (evince)"; NULL: none that we may look into has that device or file open. */
char *holders_of_file(const struct stat *file);

/*
 * Who has a file, a program, a mapping or its working folder on the mounted file system `device`:
 * "process 812 (evince), process 900 (bash) and 2 more"; NULL: nobody that we may look into.
 */
char *holders_of_mount(dev_t device);

#endif
