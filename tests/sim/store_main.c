/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon of the store tests: the program that makes DisposableVMs is the tests' own. */
#include <stdlib.h>

#include "daemon_main.h"

int main(int argc, char **argv)
{
	const char *program = getenv("QFX_DOMAINS_PROGRAM");

	return daemon_main(argc, argv, program ? program : "/nonexistent");
}
