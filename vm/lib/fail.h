/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the programs in a VM fail: one GError domain whose codes are the exit statuses of all of
 * them, so that the place which knows what went wrong also says what a script will see.
 */
#ifndef QFX_VM_FAIL_H
#define QFX_VM_FAIL_H

#include <glib.h>
#include <stdbool.h>

/* Documented in the man pages; scripts rely on them. */
enum vm_exit {
	VM_EXIT_OK = 0,
	VM_EXIT_ERROR = 1,         /* dom0 answered with an error */
	VM_EXIT_USAGE = 2,         /* the command line is wrong; nothing was asked */
	VM_EXIT_NO_ANSWER = 3,     /* no daemon, or no answer in time */
	VM_EXIT_DEVICE = 4,        /* the pendrive is not there, mounted, or held open */
	VM_EXIT_FAILED = 5,        /* something failed in this VM: rights, input or output */
	VM_EXIT_FILES = 6,         /* a file cannot go onto a pendrive; nothing was asked */
	VM_EXIT_UNCHANGED = 7,     /* the file was closed in the DisposableVM without changes */
	VM_EXIT_LOST = 8,          /* the DisposableVM's answer did not come, or was not stored */
	VM_EXIT_KEPT = 9,          /* an answer could not be stored, and is still on the pendrive */
	VM_EXIT_LEFT = 10,         /* moved, but not all of it could be deleted here */
	VM_EXIT_INTERRUPTED = 130, /* by SIGINT or SIGTERM */
};

#define VM_ERROR (vm_error_quark())
GQuark vm_error_quark(void);

/* The exit status that `error` stands for; VM_EXIT_FAILED for errors of other domains. */
int vm_exit_status(const GError *error);

/* Sets a VM_EXIT_USAGE error with that sentence and returns false, for the caller to return. */
bool vm_fail_usage(GError **error, const char *why);

/*
 * Text that may be shown on a terminal or in the journal: valid printable UTF-8 as it is, every
 * other byte and every backslash as \xNN. File names and what others wrote pass through here.
 */
char *vm_printable(const char *untrusted, gssize len);

/*
 * To the standard output, flushed, and to the standard error. A failure to write there is not
 * reported: there would be nowhere left to say so.
 */
void vm_print(const char *format, ...) G_GNUC_PRINTF(1, 2);
void vm_print_error(const char *format, ...) G_GNUC_PRINTF(1, 2);

#endif
