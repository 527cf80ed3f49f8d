/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is mounted, from /proc/self/mountinfo. The names in it are whatever somebody called a folder
 * or a device, so the parser takes nothing for granted but the line's end.
 */
#ifndef QFX_VM_MOUNTS_H
#define QFX_VM_MOUNTS_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct mount {
	dev_t device;      /* of the file system; its major:minor */
	char *mount_point; /* unescaped */
	char *fstype;
	char *source; /* unescaped; what mount(2) was told */
};

/* One line without its newline. `out` is written on success alone; finish it with mount_finish. */
bool mount_parse(const char *untrusted, size_t len, struct mount *out);
void mount_finish(struct mount *mount);

/* All mounts of this process's namespace: an array of struct mount. NULL: `error` says why. */
GArray *mounts_read(GError **error);
/* The same from text; lines that are not understood are left out. */
GArray *mounts_parse(const char *untrusted, size_t len);

/* The last, hence topmost, mount of that device, or at that folder; NULL: none. Borrowed. */
const struct mount *mounts_find_device(const GArray *mounts, dev_t device);
const struct mount *mounts_find_point(const GArray *mounts, const char *mount_point);

#endif
