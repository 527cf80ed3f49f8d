/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stopping.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

#define N_SIGNALS (sizeof signals / sizeof signals[0])

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

	for (size_t i = 0; i < N_SIGNALS; i++)
		sigaction(signals[i], &action, NULL);
}

bool stopping_wait_input(int fd)
{
	struct pollfd input = {.fd = fd, .events = POLLIN};
	sigset_t blocked;
	sigset_t before;
	int rc = 0;

	sigemptyset(&blocked);
	for (size_t i = 0; i < N_SIGNALS; i++)
		sigaddset(&blocked, signals[i]);
	/* They come within ppoll() or not at all. */
	sigprocmask(SIG_BLOCK, &blocked, &before);
	while (!stopping && rc == 0) {
		rc = ppoll(&input, 1, NULL, &before);
		if (rc < 0 && errno == EINTR)
			rc = 0;
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return !stopping;
}
