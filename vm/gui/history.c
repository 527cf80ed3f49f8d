/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "history.h"

#include <errno.h>
#include <string.h>

#include "qpen_words.h"

char *history_default_path(void)
{
	return g_build_filename(g_get_user_data_dir(), "qubes-pendrive", "destinations", NULL);
}

static void keep(GPtrArray *names, const char *name)
{
	if (names->len < HISTORY_MAX && qpen_is_vm_name(name, strlen(name)) &&
		!g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL))
		g_ptr_array_add(names, g_strdup(name));
}

/* `first` may be NULL. */
static char **load(const char *path, const char *first)
{
	GPtrArray *names = g_ptr_array_new();
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;

	if (first)
		keep(names, first);
	if (g_file_get_contents(path, &text, NULL, NULL)) {
		lines = g_strsplit(text, "\n", -1);
		for (char **line = lines; *line; line++)
			keep(names, *line);
	}
	g_ptr_array_add(names, NULL);
	return (char **)g_ptr_array_free(names, FALSE);
}

char **history_load(const char *path)
{
	return load(path, NULL);
}

gboolean history_add(const char *path, const char *name, GError **error)
{
	g_autofree char *folder = g_path_get_dirname(path);
	g_auto(GStrv) names = load(path, name);
	g_autofree char *joined = g_strjoinv("\n", names);
	g_autofree char *text = g_strconcat(joined, "\n", NULL);

	if (g_mkdir_with_parents(folder, 0700) < 0) {
		g_set_error(error, G_FILE_ERROR, (int)g_file_error_from_errno(errno),
			"Cannot make the folder %s: %s", folder, g_strerror(errno));
		return FALSE;
	}
	return g_file_set_contents_full(
		path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, error);
}
