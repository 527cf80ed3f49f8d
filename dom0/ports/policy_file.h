/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One file of the policy, read whole, and only if nobody but root can have written it. */
#ifndef QFX_POLICY_FILE_H
#define QFX_POLICY_FILE_H

#include <glib.h>
#include <sys/stat.h>

/* Nobody writes that much by hand: it is another file, or a mistake. */
#define POLICY_FILE_MAX (1024u * 1024u)

enum policy_error {
	POLICY_ERROR_FAILED,  /* a file or folder cannot be read, written or locked */
	POLICY_ERROR_UNSAFE,  /* others than root may write it */
	POLICY_ERROR_LINE,    /* a line is wrong */
	POLICY_ERROR_LIMIT,   /* too large, too many, too deep, or a circle */
	POLICY_ERROR_REFUSED, /* nothing that can be remembered */
};
#define POLICY_ERROR (g_quark_from_static_string("qfilexchgd-policy"))

/*
 * The bytes of the file, to be freed with g_free, and its length and inode; NULL with error set.
 * It must be a regular file (a link to one is followed), of root or of whoever runs this, that
 * neither its group nor others may write.
 */
char *policy_file_read(const char *path, gsize *len, struct stat *st, GError **error);

/*
 * Whether others can put files into a folder. `sticky_will_do`: in one like /tmp they can, but not
 * in place of ours; that is enough for a file which is named, but not where every file counts.
 * False with error set; a folder that does not exist is G_FILE_ERROR_NOENT.
 */
gboolean policy_folder_is_safe(const char *path, gboolean sticky_will_do, GError **error);

/* Sets *error: "WHAT PATH: the errno's text". Returns FALSE. */
gboolean policy_fail_errno(GError **error, int code, const char *what, const char *path);

#endif
