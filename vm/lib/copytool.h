/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-copy-to-vm(1) and qvm-move-to-vm(1), which differ in what is done after the delivery. */
#ifndef QFX_VM_COPYTOOL_H
#define QFX_VM_COPYTOOL_H

#include <stdbool.h>

struct copytool {
	const char *program; /* its name */
	const char *summary; /* for --help */
	bool moves;          /* what was delivered is deleted here */
};

/* The whole program; its exit status. `argv` is NULL-terminated. */
int copytool_main(const struct copytool *tool, char **argv);

#endif
