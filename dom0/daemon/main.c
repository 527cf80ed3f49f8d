/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon_main.h"

int main(int argc, char **argv)
{
	return daemon_main(argc, argv, QFX_DOMAINS_PROGRAM);
}
