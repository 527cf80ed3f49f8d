/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of qubes_penctl, read strictly: what is not understood is an error, never a
 * guess. */
#ifndef QFX_VM_ARGS_H
#define QFX_VM_ARGS_H

#include <glib.h>
#include <stdbool.h>

#include "request.h"

struct penctl_args {
	char **words; /* backs the strings of `request` */
	struct request request;
	gint timeout_s; /* 0: the default of the verb */
	gboolean no_wait;
	gboolean quiet;
	gboolean version; /* then there is no request */
};

/*
 * False: VM_EXIT_USAGE. `--help` prints and exits, as GOption does it. Finish `out` in both cases.
 * `argv` is NULL-terminated.
 */
bool penctl_args_parse(char **argv, struct penctl_args *out, GError **error);
void penctl_args_finish(struct penctl_args *args);

/* The longest time that may be waited for, in seconds. */
#define TIMEOUT_MAX_S (7 * 24 * 3600)
/* What an option's variable holds before the command line is read. */
#define ARGS_NO_TIMEOUT G_MININT

/* Turns what --timeout left in the variable into seconds, 0 if it was not given. */
bool args_check_timeout(gint *timeout_s, GError **error);

#endif
