/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon_main.h"

int main(int argc, char **argv)
{
	const struct daemon_places places = {
		.domains_program = QFX_DOMAINS_PROGRAM, .policy = POLICY_PLACES};

	return daemon_main(argc, argv, &places);
}
