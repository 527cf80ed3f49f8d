/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-move-to-vm(1): as qvm-copy-to-vm, and what was delivered is deleted here. */
#include <stddef.h>

#include "copytool.h"

int main(int argc, char **argv)
{
	static const struct copytool tool = {
		.program = "qvm-move-to-vm",
		.summary = "Moves files and folders to another VM on a virtual pendrive, if the "
			   "user in dom0 agrees.\n"
			   "There they stand in /mnt/incoming until that VM's user unmounts it. "
			   "Here they are deleted\n"
			   "when dom0 has said that they were delivered, and not before.",
		.moves = true,
	};

	(void)argc;
	return copytool_main(&tool, argv);
}
