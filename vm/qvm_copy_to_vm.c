/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-copy-to-vm(1): a pendrive is lent, filled, and sent, in one command. */
#include <stddef.h>

#include "copytool.h"

int main(int argc, char **argv)
{
	static const struct copytool tool = {
		.program = "qvm-copy-to-vm",
		.summary = "Copies files and folders to another VM on a virtual pendrive, if the "
			   "user in dom0 agrees.\n"
			   "There they stand in /mnt/incoming until that VM's user unmounts it.",
	};

	(void)argc;
	return copytool_main(&tool, argv);
}
