/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole daemon; apart from main() so that the store tests link it with simulated loop devices
 * and have it look elsewhere.
 */
#ifndef QFX_DAEMON_MAIN_H
#define QFX_DAEMON_MAIN_H

#include "policy_set.h"

/* What is not in the configuration. Absolute paths. */
struct daemon_places {
	const char *domains_program; /* makes DisposableVMs */
	struct policy_places policy;
};

/* Returns the exit status. */
int daemon_main(int argc, char **argv, const struct daemon_places *places);

#endif
