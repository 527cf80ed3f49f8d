/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A new version of a file gets what belonged to the old one: owner, permissions, ACL, attributes.
 */
#ifndef QFX_VM_FILEATTR_H
#define QFX_VM_FILEATTR_H

#include <glib.h>
#include <stdbool.h>

struct fileattr {
	unsigned mode; /* as chmod(2) has it */
	unsigned uid;
	unsigned gid;
};

/*
 * To the open file `to`, which is ours; the extended attributes and the ACL are those of the open
 * file `from`, if that is not -1. Nobody gets more rights than `attr` gives: where owner or group
 * cannot be kept, what they would give to others goes. Set-user-ID, set-group-ID and capabilities
 * go too, as with every write to a file.
 *
 * What could not be kept is added to `lost` in words, separated by ", ". False: VM_EXIT_FAILED, the
 * permissions cannot be set.
 */
bool fileattr_apply(int to, const struct fileattr *attr, int from, GString *lost, GError **error);

#endif
