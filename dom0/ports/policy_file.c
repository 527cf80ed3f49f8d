/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

gboolean policy_fail_errno(GError **error, int code, const char *what, const char *path)
{
	if (code == ENOENT)
		g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "%s %s: there is no such file",
			what, path);
	else
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_FAILED, "%s %s: %s", what, path,
			g_strerror(code));
	return FALSE;
}

/* The daemon runs as root, so that "ours" is root's; it lets anybody check a policy of their own.
 */
static gboolean is_trusted_owner(uid_t owner)
{
	return owner == 0 || owner == geteuid();
}

static gboolean check_file(const char *path, const struct stat *st, GError **error)
{
	if (!S_ISREG(st->st_mode)) {
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_FAILED,
			"%s is not a file: a policy is", path);
	} else if (!is_trusted_owner(st->st_uid)) {
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_UNSAFE,
			"%s belongs to user %u: the policy must be root's, `chown root %s`", path,
			(unsigned)st->st_uid, path);
	} else if (st->st_mode & (S_IWGRP | S_IWOTH)) {
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_UNSAFE,
			"%s may be written by others than root: `chmod go-w %s`", path, path);
	} else if (st->st_size > (off_t)POLICY_FILE_MAX) {
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_LIMIT,
			"%s has more than %u bytes: that is no policy", path, POLICY_FILE_MAX);
	} else {
		return TRUE;
	}
	return FALSE;
}

/* It may grow or shrink meanwhile: what counts is what was read. */
static char *read_all(int fd, const char *path, gsize *len, GError **error)
{
	g_autofree char *bytes = g_malloc(POLICY_FILE_MAX + 1);
	gsize done = 0;

	for (;;) {
		ssize_t n = read(fd, bytes + done, POLICY_FILE_MAX + 1 - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			policy_fail_errno(error, errno, "Cannot read the policy", path);
			return NULL;
		}
		if (n == 0)
			break;
		done += (gsize)n;
		if (done > POLICY_FILE_MAX) {
			g_set_error(error, POLICY_ERROR, POLICY_ERROR_LIMIT,
				"%s has more than %u bytes: that is no policy", path,
				POLICY_FILE_MAX);
			return NULL;
		}
	}
	*len = done;
	return g_realloc(g_steal_pointer(&bytes), done + 1);
}

char *policy_file_read(const char *path, gsize *len, struct stat *st, GError **error)
{
	/* Without O_NONBLOCK a FIFO of that name would stop the daemon. */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char *bytes = NULL;

	if (fd < 0) {
		policy_fail_errno(error, errno, "Cannot read the policy", path);
		return NULL;
	}
	/* Of the descriptor: what is checked is what is read. */
	if (fstat(fd, st) < 0)
		policy_fail_errno(error, errno, "Cannot read the policy", path);
	else if (check_file(path, st, error))
		bytes = read_all(fd, path, len, error);
	close(fd);
	return bytes;
}

gboolean policy_folder_is_safe(const char *path, gboolean sticky_will_do, GError **error)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return policy_fail_errno(error, errno, "Cannot read the policy's folder", path);
	if (!S_ISDIR(st.st_mode))
		return policy_fail_errno(error, ENOTDIR, "Cannot read the policy's folder", path);
	if (!is_trusted_owner(st.st_uid)) {
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_UNSAFE,
			"The policy's folder %s belongs to user %u: it must be root's, "
			"`chown root %s`",
			path, (unsigned)st.st_uid, path);
		return FALSE;
	}
	if (st.st_mode & (S_IWGRP | S_IWOTH) && !(sticky_will_do && st.st_mode & S_ISVTX)) {
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_UNSAFE,
			"Others than root may put files into the policy's folder %s: "
			"`chmod go-w %s`",
			path, path);
		return FALSE;
	}
	return TRUE;
}
