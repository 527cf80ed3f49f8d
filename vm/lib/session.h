/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file of a transaction inside its DisposableVM: off the pendrive into a folder that is the
 * user's alone, and whether it is still the same when editing is over. Runs as the user.
 */
#ifndef QFX_VM_SESSION_H
#define QFX_VM_SESSION_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "dvmheader.h"
#include "filehash.h"

struct session {
	struct dvm_header header;        /* what the opener wrote; its name goes back unchanged */
	char *folder;                    /* 0700, made for this session alone */
	char *name;                      /* of the file in it */
	char *path;                      /* both; absolute, so a leading dash means nothing */
	char digest[FILEHASH_CHARS + 1]; /* of what came */
	int folder_fd;
};

/*
 * What the file is called in the folder: the header's name, and one longer than file systems take
 * (255 bytes) without the end of its stem; the extension stays, since programs are chosen by it.
 */
char *session_file_name(const char *name);

/*
 * Where the folder is made: the first of `parents` (NULL-terminated; NULLs in environment
 * variables are left out by the caller) with room for the file and a copy of it, since many
 * editors write a new file beside the old one; else the one with the most room. NULL: none has
 * even room for the file. The caller frees it.
 */
char *session_choose_parent(const char *const *parents, uint64_t file_bytes, GError **error);

/*
 * Reads header and body at `offset` of the pendrive, by the reader that `in` leads to (reader.h),
 * into a new folder in one of `parents`.
 * With `view` the file is not writable. False: nothing is left behind. Finish `out` on success.
 */
bool session_read(int in, uint64_t offset, bool view, const char *const *parents,
	struct session *out, GError **error);
void session_finish(struct session *session);

enum session_change {
	SESSION_SAME,
	SESSION_CHANGED,
	SESSION_DELETED,
};

/*
 * Compares by name and content, whatever inode has the name now. False: that cannot be told, e.g.
 * because something else than a file has the name.
 */
bool session_compare(const struct session *session, enum session_change *out, GError **error);

/* The file that has the name now, opened for reading; -1: `error` says why. */
int session_open_file(const struct session *session, GError **error);

/*
 * Removes the file, and the folder if nothing else is in it: what somebody saved there under
 * another name is not ours to delete.
 */
void session_remove(const struct session *session);

#endif
