/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What GLib's g_auto* does not cover: descriptors and directories that close with their scope. */
#ifndef QFX_VM_SCOPE_H
#define QFX_VM_SCOPE_H

#include <dirent.h>
#include <unistd.h>

static inline void scope_close_fd(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void scope_close_dir(DIR *const *dir)
{
	if (*dir)
		closedir(*dir);
}

/* The descriptor, which the scope does not close any more. */
static inline int steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define autofd __attribute__((cleanup(scope_close_fd))) int
#define autodir __attribute__((cleanup(scope_close_dir))) DIR

#endif
