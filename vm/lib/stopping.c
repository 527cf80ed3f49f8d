/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stopping.h"

#include <stddef.h>

volatile sig_atomic_t stopping;

static void on_signal(int number)
{
	(void)number;
	stopping = 1;
}

void stopping_catch(void)
{
	/* Without SA_RESTART: a wait must end. */
	const struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}
