/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `qfilexchgctl policy ...`: works on the policy's files alone, whether a daemon runs or not. */
#ifndef QFX_POLICY_COMMANDS_H
#define QFX_POLICY_COMMANDS_H

#include "policy_set.h"

/* Lines for the usage text of qfilexchgctl, in its columns, each but the first with its indent. */
#define POLICY_COMMANDS_USAGE                                                                      \
	"policy check [PATH]           whether the policy, or that file or folder, is right\n"     \
	"  policy explain SOURCE DEST   which rule decides; DEST may be `disposable`\n"            \
	"  policy list                  the answers that are remembered\n"                         \
	"  policy forget SOURCE DEST    ask again from now on"

/*
 * Runs the command that the words behind `policy` name (a NULL-terminated list), prints what it
 * has to say, errors on stderr. Returns the exit status: EX_USAGE if there is no such command or a
 * name can be no VM's, EXIT_FAILURE if the policy is wrong or the answers cannot be changed.
 */
int policy_commands_run(const struct policy_places *places, char **words);

#endif
