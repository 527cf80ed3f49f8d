/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "launcher.h"

#include <fcntl.h>
#include <gio/gdesktopappinfo.h>
#include <gio/gio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "descendants.h"
#include "fail.h"
#include "scope.h"

/* As much of a file as its type is guessed from. */
#define SNIFF_BYTES 4096

static void add_words(GPtrArray *words, const char *const *more)
{
	for (; *more; more++)
		g_ptr_array_add(words, g_strdup(*more));
}

/* The words as a vector of their own; the array is left empty. */
static char **end_words(GPtrArray *words)
{
	g_ptr_array_add(words, NULL);
	return (char **)g_ptr_array_steal(words, NULL);
}

/* -- a command line -----------------------------------------------------------------------------
 */

/* One word; `used` tells whether the file stands in it. Words that were a mere code may vanish. */
static char *expand_word(const char *word, const char *path, const char *uri, bool *used)
{
	GString *out = g_string_new(NULL);

	for (const char *p = word; *p; p++) {
		if (*p != '%' || !p[1]) {
			g_string_append_c(out, *p);
			continue;
		}
		p++;
		if (*p == '%')
			g_string_append_c(out, '%');
		else if (*p == 'f' || *p == 'F')
			g_string_append(out, path);
		else if (*p == 'u' || *p == 'U')
			g_string_append(out, uri);
		if (strchr("fFuU", *p))
			*used = true;
	}
	return g_string_free(out, FALSE);
}

char **launcher_expand(const char *command, const char *path, GError **error)
{
	g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *uri = g_filename_to_uri(path, NULL, error);
	g_auto(GStrv) templates = NULL;
	bool used = false;

	if (!uri || !g_shell_parse_argv(command, NULL, &templates, error))
		return NULL;
	for (char **template = templates; *template; template ++) {
		g_autofree char *word = expand_word(*template, path, uri, &used);

		/* What an empty word was meant as stays; a code without a value is no word. */
		if (*word || !**template)
			g_ptr_array_add(words, g_strdup(word));
	}
	if (!used)
		g_ptr_array_add(words, g_strdup(path));
	return end_words(words);
}

/* -- where it comes from ------------------------------------------------------------------------
 */

static char **expand_setting(
	const char *command, const char *where, const char *path, GError **error)
{
	g_autoptr(GError) cause = NULL;
	char **words = launcher_expand(command, path, &cause);

	if (!words)
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "The program in %s cannot be read: %s",
			where, cause->message);
	return words;
}

/* A missing file is an empty one. */
static GKeyFile *load(const char *config, GError **error)
{
	g_autoptr(GKeyFile) file = g_key_file_new();
	g_autoptr(GError) cause = NULL;

	if (g_key_file_load_from_file(file, config, G_KEY_FILE_NONE, &cause) ||
		g_error_matches(cause, G_FILE_ERROR, G_FILE_ERROR_NOENT))
		return g_steal_pointer(&file);
	g_set_error(
		error, VM_ERROR, VM_EXIT_FAILED, "%s cannot be read: %s", config, cause->message);
	return NULL;
}

static char *guess_type(const char *path)
{
	autofd file = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	g_autofree unsigned char *bytes = g_malloc(SNIFF_BYTES);
	ssize_t len = file < 0 ? 0 : pread(file, bytes, SNIFF_BYTES, 0);

	return g_content_type_guess(path, bytes, (gsize)MAX(len, 0), NULL);
}

static char **add_terminal(char **words)
{
	g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *terminal = g_find_program_in_path("x-terminal-emulator");
	g_auto(GStrv) taken = words;

	if (!terminal)
		terminal = g_find_program_in_path("xterm");
	if (!terminal)
		return NULL;
	g_ptr_array_add(all, g_strdup(terminal));
	g_ptr_array_add(all, g_strdup("-e"));
	add_words(all, (const char *const *)taken);
	return end_words(all);
}

/*
 * The program is started by us and not by GIO, which would have some be started over D-Bus: those
 * could not be waited for.
 */
static char **choose_desktop(const char *type, const char *path)
{
	g_autoptr(GAppInfo) info = g_app_info_get_default_for_type(type, FALSE);
	const char *command = info ? g_app_info_get_commandline(info) : NULL;
	char **words = command ? launcher_expand(command, path, NULL) : NULL;

	if (words && G_IS_DESKTOP_APP_INFO(info) &&
		g_desktop_app_info_get_boolean(G_DESKTOP_APP_INFO(info), "Terminal"))
		return add_terminal(words);
	return words;
}

static char **choose_opener(const char *path)
{
	g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *program = g_find_program_in_path("mimeopen");

	if (program) {
		g_ptr_array_add(words, g_strdup(program));
		/* Do not ask: nobody is at a terminal. */
		g_ptr_array_add(words, g_strdup("--no-ask"));
	} else {
		program = g_find_program_in_path("xdg-open");
		if (!program)
			return NULL;
		g_ptr_array_add(words, g_strdup(program));
	}
	g_ptr_array_add(words, g_strdup(path));
	return end_words(words);
}

char **launcher_choose(const char *config, const char *path, GError **error)
{
	const char *opener = getenv("QPEN_OPENER");
	g_autoptr(GKeyFile) file = NULL;
	g_autofree char *program = NULL;
	g_autofree char *type = NULL;
	g_autofree char *shown = NULL;
	char **words;

	if (opener && *opener)
		return expand_setting(opener, "QPEN_OPENER", path, error);
	file = load(config, error);
	if (!file)
		return NULL;
	program = g_key_file_get_string(file, LAUNCHER_GROUP, LAUNCHER_KEY_PROGRAM, NULL);
	if (program && *program)
		return expand_setting(program, config, path, error);
	type = guess_type(path);
	words = choose_desktop(type, path);
	if (!words)
		words = choose_opener(path);
	if (words)
		return words;
	shown = vm_printable(type, -1);
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		"No program opens files of the type %s in this VM: install one in the template of "
		"DisposableVMs, or name one in %s",
		shown, config);
	return NULL;
}

char **launcher_services(const char *config)
{
	g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GKeyFile) file = load(config, NULL);
	g_auto(GStrv) more = NULL;

	add_words(all, descendants_services);
	if (file)
		more = g_key_file_get_string_list(
			file, LAUNCHER_GROUP, LAUNCHER_KEY_SERVICES, NULL, NULL);
	if (more)
		add_words(all, (const char *const *)more);
	return end_words(all);
}
