/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "history.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "qpen_words.h"
#include "since.h"

static int wrong(const char *format, ...) G_GNUC_PRINTF(1, 2);

static int wrong(const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	g_printerr("qfilexchgctl: %s\n", text);
	return EX_USAGE;
}

static int show(const struct history_query *query, gboolean json)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GPtrArray) entries = history_read(query, &error);
	g_autofree char *table = NULL;

	if (!entries) {
		g_printerr("qfilexchgctl: %s\n", error->message);
		return EXIT_FAILURE;
	}
	if (!json) {
		table = history_table(entries);
		g_print("%s", table);
		return EXIT_SUCCESS;
	}
	for (guint i = 0; i < entries->len; i++) {
		g_autofree char *line = history_json(entries->pdata[i]);

		g_print("%s\n", line);
	}
	return EXIT_SUCCESS;
}

int history_run(int argc, char **argv)
{
	g_autofree char *since = NULL, *vm = NULL, *file = NULL, *lines = NULL;
	gboolean json = FALSE;
	guint64 max = 0;
	const GOptionEntry entries[] = {
		{"json", 0, 0, G_OPTION_ARG_NONE, &json, "One JSON object a line", NULL},
		{"since", 0, 0, G_OPTION_ARG_STRING, &since, SINCE_FORMS, "WHEN"},
		{"vm", 0, 0, G_OPTION_ARG_STRING, &vm, "What that VM sent or was sent", "NAME"},
		{"lines", 'n', 0, G_OPTION_ARG_STRING, &lines, "The last N entries alone", "N"},
		{"file", 0, 0, G_OPTION_ARG_FILENAME, &file,
			"Read this file of a journal, not this system's journal", "FILE"},
		{0},
	};
	g_autoptr(GOptionContext) options =
		g_option_context_new("- what was sent, who decided about it, and how it ended");
	g_autoptr(GDateTime) now = g_date_time_new_now_local();
	g_autoptr(GError) error = NULL;
	struct history_query query = {0};

	g_set_prgname("qfilexchgctl history");
	g_option_context_add_main_entries(options, entries, NULL);
	if (!g_option_context_parse(options, &argc, &argv, &error))
		return wrong("%s", error->message);
	if (argc > 1)
		return wrong(
			"history takes no word as %s; see `qfilexchgctl history --help`", argv[1]);
	if (since && !since_parse(since, now, &query.since_us))
		return wrong("%s is no time; it can be " SINCE_FORMS, since);
	if (vm && !qpen_is_vm_name(vm, strlen(vm)))
		return wrong("%s cannot be the name of a VM", vm);
	if (lines && !g_ascii_string_to_unsigned(lines, 10, 1, G_MAXUINT, &max, NULL))
		return wrong("-n takes a number from 1 on, and %s is none", lines);
	query.vm = vm;
	query.file = file;
	query.max = (guint)max;
	return show(&query, json);
}
