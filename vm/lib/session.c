/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "fail.h"
#include "filehash.h"
#include "reader.h"
#include "scope.h"

/* A longer one is no extension but a sentence with a dot in it. */
#define EXTENSION_MAX 32
#define FOLDER_TEMPLATE "qubes-dvm-XXXXXX"

/* -- names and places ---------------------------------------------------------------------------
 */

/* From the dot on; the empty end of the name where there is none. */
static const char *find_extension(const char *name)
{
	const char *end = name + strlen(name);
	const char *dot = strrchr(name, '.');

	return dot && dot != name && end - dot <= EXTENSION_MAX ? dot : end;
}

char *session_file_name(const char *name)
{
	const char *extension = find_extension(name);
	size_t stem = (size_t)(extension - name);
	bool utf8 = g_utf8_validate(name, -1, NULL);

	if (strlen(name) > NAME_MAX)
		stem = NAME_MAX - strlen(extension);
	/* Not through the middle of a character. */
	while (utf8 && stem > 1 && ((unsigned char)name[stem] & 0xc0) == 0x80)
		stem--;
	return g_strdup_printf("%.*s%s", (int)stem, name, extension);
}

static uint64_t room_of(const char *folder)
{
	struct statvfs fs;

	if (statvfs(folder, &fs) < 0 || fs.f_frsize == 0)
		return 0;
	if (fs.f_bavail > UINT64_MAX / fs.f_frsize)
		return UINT64_MAX;
	return (uint64_t)fs.f_bavail * fs.f_frsize;
}

char *session_choose_parent(const char *const *parents, uint64_t file_bytes, GError **error)
{
	const char *best = NULL;
	uint64_t best_room = 0;

	for (const char *const *parent = parents; *parent; parent++) {
		uint64_t room = room_of(*parent);

		if (room / 2 >= file_bytes && room > 0)
			return g_strdup(*parent);
		if (room > best_room) {
			best = *parent;
			best_room = room;
		}
	}
	if (best && best_room >= file_bytes)
		return g_strdup(best);
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		"The file has %" G_GUINT64_FORMAT
		" bytes, and this VM has room for %" G_GUINT64_FORMAT
		" at most (in %s); give DisposableVMs a larger disk or more memory",
		file_bytes, best_room, best ? best : "no folder at all");
	return NULL;
}

/* -- in -----------------------------------------------------------------------------------------
 */

static bool fail_file(const struct session *session, const char *what, GError **error)
{
	int err = errno;
	g_autofree char *shown = vm_printable(session->path, -1);

	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s %s: %s", shown, what, g_strerror(err));
	return false;
}

static bool make_folder(struct session *session, const char *parent, GError **error)
{
	session->folder = g_build_filename(parent, FOLDER_TEMPLATE, NULL);
	if (!g_mkdtemp_full(session->folder, 0700)) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "No folder can be made in %s: %s",
			parent, g_strerror(errno));
		g_clear_pointer(&session->folder, g_free);
		return false;
	}
	session->name = session_file_name(session->header.name);
	session->path = g_build_filename(session->folder, session->name, NULL);
	session->folder_fd = open(session->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return session->folder_fd >= 0 || fail_file(session, "has no folder", error);
}

static bool read_body(
	struct session *session, const struct reader *reader, bool view, GError **error)
{
	autofd file = openat(session->folder_fd, session->name,
		O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, view ? 0400 : 0600);

	if (file < 0)
		return fail_file(session, "cannot be made", error);
	if (!reader_copy(reader, file, error))
		return false;
	return filehash_sha256(file, session->digest) ||
	       fail_file(session, "cannot be read", error);
}

static bool read_in(struct session *session, const struct reader *reader, bool view,
	const char *const *parents, GError **error)
{
	g_autofree char *parent = session_choose_parent(parents, reader->header.size_bytes, error);

	session->header = reader->header;
	return parent && make_folder(session, parent, error) &&
	       read_body(session, reader, view, error);
}

bool session_read(int in, uint64_t offset, bool view, const char *const *parents,
	struct session *out, GError **error)
{
	struct session session = {.folder_fd = -1};
	struct reader reader;
	bool ok;

	if (!reader_start(&reader, in, offset, error))
		return false;
	ok = read_in(&session, &reader, view, parents, error);
	reader_finish(&reader);
	if (ok) {
		*out = session;
		return true;
	}
	session_remove(&session);
	session_finish(&session);
	return false;
}

void session_finish(struct session *session)
{
	g_free(session->folder);
	g_free(session->name);
	g_free(session->path);
	if (session->folder_fd >= 0)
		close(session->folder_fd);
	*session = (struct session){.folder_fd = -1};
}

/* -- afterwards ---------------------------------------------------------------------------------
 */

int session_open_file(const struct session *session, GError **error)
{
	/* What has the name may be a pipe by now: opening one must not wait for a writer. */
	autofd file = openat(session->folder_fd, session->name,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (file < 0 || fstat(file, &st) < 0) {
		fail_file(session, "cannot be opened", error);
		return -1;
	}
	if (S_ISREG(st.st_mode))
		return steal_fd(&file);
	errno = EINVAL;
	fail_file(session, "is no file any more", error);
	return -1;
}

static bool is_deleted(const struct session *session)
{
	struct stat st;

	return fstatat(session->folder_fd, session->name, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
	       errno == ENOENT;
}

bool session_compare(const struct session *session, enum session_change *out, GError **error)
{
	autofd file = -1;
	char digest[FILEHASH_CHARS + 1];

	if (is_deleted(session)) {
		*out = SESSION_DELETED;
		return true;
	}
	file = session_open_file(session, error);
	if (file < 0)
		return false;
	if (!filehash_sha256(file, digest))
		return fail_file(session, "cannot be read", error);
	*out = strcmp(digest, session->digest) == 0 ? SESSION_SAME : SESSION_CHANGED;
	return true;
}

void session_remove(const struct session *session)
{
	if (session->folder_fd >= 0 && session->name)
		unlinkat(session->folder_fd, session->name, 0);
	if (session->folder)
		rmdir(session->folder);
}
