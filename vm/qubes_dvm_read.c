/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes_dvm_read(8): run as a user of its own, with a received pendrive as its standard input and a
 * socket as its standard output. Reads the header and the file that another VM wrote there, for a
 * program of the VM's user that never has the pendrive itself.
 */
#include <locale.h>
#include <unistd.h>

#include "fail.h"
#include "incoming.h"
#include "journal.h"
#include "reader.h"

#define PROGRAM "qubes_dvm_read"

struct options {
	char **words;
	char *offset;
	gboolean version;
	uint64_t offset_bytes;
};

static bool check(struct options *options, GError **error)
{
	if (options->words)
		return vm_fail_usage(error, "it takes options only");
	if (!options->offset || !incoming_parse_offset(options->offset, &options->offset_bytes))
		return vm_fail_usage(error, "--offset is 0 or 65536");
	return true;
}

static bool parse(struct options *options, char **argv, GError **error)
{
	const GOptionEntry entries[] = {
		{"offset", 0, 0, G_OPTION_ARG_STRING, &options->offset,
			"Where the data on the pendrive starts: 0 or 65536", "BYTES"},
		{"version", 0, 0, G_OPTION_ARG_NONE, &options->version,
			"Print the version and exit", NULL},
		{G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->words, NULL, NULL},
		{0},
	};
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);
	g_auto(GStrv) copy = g_strdupv(argv);
	g_autoptr(GError) option_error = NULL;

	g_option_context_set_summary(context,
		"Run by qubes_add_pendrive_script, with the pendrive as its standard input and a "
		"socket as its standard output.");
	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse_strv(context, &copy, &option_error))
		return vm_fail_usage(error, option_error->message);
	return options->version || check(options, error);
}

int main(int argc G_GNUC_UNUSED, char **argv)
{
	struct options options = {0};
	g_autoptr(GError) error = NULL;

	(void)setlocale(LC_ALL, "");
	journal_set_program(PROGRAM);
	if (parse(&options, argv, &error)) {
		if (options.version)
			vm_print(PROGRAM " %s\n", QFX_VERSION);
		else if (geteuid() == 0)
			g_set_error(&error, VM_ERROR, VM_EXIT_FAILED,
				"This program reads what another VM sent, and never does so as "
				"root");
		else
			reader_serve(STDIN_FILENO, STDOUT_FILENO, options.offset_bytes);
	}
	g_strfreev(options.words);
	g_free(options.offset);
	if (error)
		journal_say(JOURNAL_ERROR, "%s", error->message);
	return vm_exit_status(error);
}
