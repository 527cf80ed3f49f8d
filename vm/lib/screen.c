/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "screen.h"

#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fail.h"

#define DRAW_INTERVAL_US 200000
/* Where the terminal does not say how wide it is. */
#define COLUMNS_DEFAULT 80u

static volatile sig_atomic_t window_changed;

static void on_window_changed(int signal_number G_GNUC_UNUSED)
{
	window_changed = 1;
}

void screen_open(struct screen *screen, bool quiet)
{
	const struct sigaction action = {
		.sa_handler = on_window_changed,
		.sa_flags = SA_RESTART,
	};

	*screen = (struct screen){.quiet = quiet, .terminal = isatty(STDERR_FILENO)};
	if (screen->terminal)
		sigaction(SIGWINCH, &action, NULL);
}

void screen_wipe(struct screen *screen)
{
	if (screen->drawn)
		vm_print_error("\r\033[K");
	screen->drawn = false;
}

void screen_say(struct screen *screen, const char *words)
{
	if (screen->quiet)
		return;
	screen_wipe(screen);
	vm_print_error("%s\n", words);
}

static unsigned columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return COLUMNS_DEFAULT;
	return size.ws_col;
}

void screen_draw(struct screen *screen, const struct progress *progress, gint64 now_us)
{
	g_autofree char *line = NULL;

	if (screen->quiet || !screen->terminal)
		return;
	if (screen->drawn && !window_changed && now_us - screen->drawn_us < DRAW_INTERVAL_US)
		return;
	window_changed = 0;
	line = progress_line(progress, columns());
	vm_print_error("\r\033[K%s", line);
	screen->drawn = true;
	screen->drawn_us = now_us;
}
