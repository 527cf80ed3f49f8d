/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How an operation on a domain can fail. The code of each error is the program's exit status. */
#ifndef QFX_DOMAINS_FAIL_H
#define QFX_DOMAINS_FAIL_H

#include <glib.h>
#include <stdbool.h>

enum domains_exit {
	DOMAINS_OK = 0,
	DOMAINS_FAILED = 1,
	DOMAINS_USAGE = 2,
	DOMAINS_NO_MEMORY = 10,
	DOMAINS_TIMEOUT = 11,
};

#define DOMAINS_ERROR (g_quark_from_static_string("qfilexchg-domains"))

/* Sets *error (which may be NULL) and returns false. */
bool fail(GError **error, enum domains_exit code, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* The same, if there is no error yet, of an errno: "WHAT: its text". */
bool fail_errno(GError **error, int code, const char *what, const char *path);

#endif
