/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "gui.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"

#define PROGRAMS_FOLDER "/usr/lib/qubes"

bool gui_wanted(char *const *argv)
{
	return argv[0] && argv[1] && strcmp(argv[1], "--gui") == 0;
}

/* `option` may be NULL. */
static bool become(char *const *argv, const char *name, char *option, GError **error)
{
	const char *folder = getenv("QPEN_PROGRAMS");
	g_autofree char *program = g_build_filename(folder ? folder : PROGRAMS_FOLDER, name, NULL);
	GPtrArray *words = g_ptr_array_new();

	g_ptr_array_add(words, program);
	if (option)
		g_ptr_array_add(words, option);
	for (char *const *word = argv + 2; *word; word++)
		g_ptr_array_add(words, *word);
	g_ptr_array_add(words, NULL);
	execv(program, (char **)words->pdata);
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		"The window cannot be opened: %s: %s; without --gui the same is done here", program,
		g_strerror(errno));
	g_ptr_array_free(words, TRUE);
	return false;
}

bool gui_become(char *const *argv, bool move, GError **error)
{
	char option[] = "--move";

	return become(argv, "qvm-copy-gui", move ? option : NULL, error);
}

bool gui_become_opener(char *const *argv, GError **error)
{
	return become(argv, "qvm-open-in-dvm-gui", NULL, error);
}
