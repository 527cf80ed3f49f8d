/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon of the store tests: what makes DisposableVMs, and the policy, are the tests' own. */
#include <stdlib.h>

#include "daemon_main.h"

static const char *setting(const char *name)
{
	const char *value = getenv(name);

	return value ? value : "/nonexistent";
}

int main(int argc, char **argv)
{
	const struct daemon_places places = {
		.domains_program = setting("QFX_DOMAINS_PROGRAM"),
		.policy = {setting("QFX_POLICY_DIR"), setting("QFX_POLICY_SESSION_DIR")},
	};

	return daemon_main(argc, argv, &places);
}
