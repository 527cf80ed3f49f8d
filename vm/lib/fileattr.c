/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fileattr.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fail.h"

/* The kernel's own limits, XATTR_LIST_MAX and XATTR_SIZE_MAX. */
#define LIST_BYTES 65536u
#define VALUE_BYTES 65536u

#define ACL "system.posix_acl_access"

static void add_lost(GString *lost, const char *what)
{
	if (lost->len)
		g_string_append(lost, ", ");
	g_string_append(lost, what);
}

/* The group bits are for a group that is not the file's any more: it gets what everybody has. */
static unsigned without_group(unsigned mode)
{
	return (mode & ~070u) | (mode & 070u & (mode & 07u) << 3);
}

static unsigned without_privileges(unsigned mode)
{
	mode &= ~(unsigned)S_ISUID;
	/* Without the group's right to execute it means something else, which is harmless. */
	return mode & S_IXGRP ? mode & ~(unsigned)S_ISGID : mode;
}

/* These speak of the contents, which are others now. */
static bool is_of_contents(const char *name)
{
	return strcmp(name, "security.capability") == 0 || strcmp(name, "security.ima") == 0 ||
	       strcmp(name, "security.evm") == 0;
}

/* What the system keeps for itself is not the user's to set, nor missed by him. */
static bool is_users(const char *name)
{
	return g_str_has_prefix(name, "user.") || strcmp(name, ACL) == 0;
}

static void copy_one(int to, int from, const char *name, void *value, GString *lost)
{
	ssize_t len = fgetxattr(from, name, value, VALUE_BYTES);
	g_autofree char *shown = NULL;

	if ((len >= 0 && fsetxattr(to, name, value, (size_t)len, 0) == 0) || !is_users(name))
		return;
	shown = vm_printable(name, -1);
	add_lost(lost, shown);
}

static void copy_attributes(int to, int from, bool group_kept, GString *lost)
{
	g_autofree char *list = g_malloc(LIST_BYTES);
	g_autofree char *value = g_malloc(VALUE_BYTES);
	ssize_t len = flistxattr(from, list, LIST_BYTES);

	for (const char *name = list; len > 0 && name < list + len; name += strlen(name) + 1) {
		if (is_of_contents(name))
			continue;
		if (strcmp(name, ACL) == 0 && !group_kept)
			add_lost(lost, "the ACL");
		else
			copy_one(to, from, name, value, lost);
	}
}

bool fileattr_apply(int to, const struct fileattr *attr, int from, GString *lost, GError **error)
{
	unsigned mode = without_privileges(attr->mode);
	bool owner_kept = fchown(to, attr->uid, (gid_t)-1) == 0;
	bool group_kept = fchown(to, (uid_t)-1, attr->gid) == 0;

	if (!owner_kept)
		add_lost(lost, "the owner");
	if (!group_kept) {
		add_lost(lost, "the group");
		mode = without_group(mode);
	}
	/* One that came from the folder's default would mix with the permissions. */
	if (fremovexattr(to, ACL) < 0)
		g_debug("no ACL to remove: %s", g_strerror(errno));
	if (fchmod(to, mode) < 0) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			"The permissions of the file cannot be set: %s", g_strerror(errno));
		return false;
	}
	if (from >= 0)
		copy_attributes(to, from, group_kept, lost);
	return true;
}
