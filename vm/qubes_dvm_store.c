/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes_dvm_store(8): run with the rights of the user whose file it is, the reader of the received
 * pendrive at its standard input. Stores the answer of a DisposableVM.
 */
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "answer.h"
#include "fail.h"
#include "incoming.h"
#include "qpen_words.h"
#include "seqstore.h"

#define PROGRAM "qubes_dvm_store"

struct job {
	char **words; /* SEQ */
	char *offset;
	char *from;
	gboolean again;
	gboolean version;
	uint64_t offset_bytes;
};

/* The journal's levels; systemd reads the prefix from what we write to stderr. */
enum level { LEVEL_ERROR = 3, LEVEL_WARNING = 4, LEVEL_INFO = 6 };

static void say(enum level level, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void say(enum level level, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list list;

	va_start(list, format);
	text = g_strdup_vprintf(format, list);
	va_end(list);
	if (getenv("JOURNAL_STREAM"))
		vm_print_error("<%d>%s\n", (int)level, text);
	else
		vm_print_error(PROGRAM ": %s\n", text);
}

static void on_note(const char *words, void *data G_GNUC_UNUSED)
{
	say(LEVEL_WARNING, "%s", words);
}

static bool check(struct job *job, GError **error)
{
	if (!job->words || g_strv_length(job->words) != 1)
		return vm_fail_usage(error, "say which SEQ, and nothing more");
	if (!job->offset || !incoming_parse_offset(job->offset, &job->offset_bytes))
		return vm_fail_usage(error, "--offset is 0 or 65536");
	if (job->from && !qpen_is_vm_name(job->from, strlen(job->from)))
		return vm_fail_usage(error, "--from is a VM's name");
	return true;
}

static bool parse(struct job *job, char **argv, GError **error)
{
	const GOptionEntry entries[] = {
		{"offset", 0, 0, G_OPTION_ARG_STRING, &job->offset,
			"Where the data on the pendrive starts: 0 or 65536", "BYTES"},
		{"from", 0, 0, G_OPTION_ARG_STRING, &job->from,
			"The DisposableVM that sent it, for messages", "VM"},
		{"again", 0, 0, G_OPTION_ARG_NONE, &job->again,
			"An earlier try to store this very answer was cut off, or failed", NULL},
		{"version", 0, 0, G_OPTION_ARG_NONE, &job->version, "Print the version and exit",
			NULL},
		{G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &job->words, NULL, NULL},
		{0},
	};
	g_autoptr(GOptionContext) context = g_option_context_new("SEQ");
	g_auto(GStrv) copy = g_strdupv(argv);
	g_autoptr(GError) option_error = NULL;

	g_option_context_set_summary(context, "Run when a DisposableVM's answer came: stores what "
					      "is on the pendrive at the standard input.");
	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse_strv(context, &copy, &option_error))
		return vm_fail_usage(error, option_error->message);
	return job->version || check(job, error);
}

static void report(const struct job *job, const struct seq_record *record)
{
	const char *from = job->from ? job->from : "a DisposableVM";
	g_autofree char *path = vm_printable(record->path, -1);
	g_autofree char *detail = record->detail ? vm_printable(record->detail, -1) : NULL;

	if (record->state == SEQ_KEPT_BOTH)
		say(LEVEL_WARNING,
			"the answer of %s is stored as %s; that file had changed meanwhile and is "
			"kept as %s",
			from, path, detail);
	else if (record->state == SEQ_ELSEWHERE)
		say(LEVEL_WARNING, "the answer of %s for %s is stored as %s", from, path, detail);
	else
		say(LEVEL_INFO, "the answer of %s is stored as %s", from, path);
}

static bool run(const struct job *job, GError **error)
{
	g_autofree char *folder = seqstore_default_folder(error);
	g_autofree char *home = folder ? g_path_get_dirname(folder) : NULL;
	const char *const elsewhere[] = {home, "/var/tmp", "/tmp", NULL};
	autoseqstore *store = folder ? seqstore_open(folder, error) : NULL;
	const struct answer answer = {
		.store = store,
		.untrusted_seq = job->words[0],
		.again = job->again,
		.in = STDIN_FILENO,
		.offset = job->offset_bytes,
		.elsewhere = elsewhere,
		.note = on_note,
	};
	struct seq_record record;

	if (!store || !answer_store(&answer, &record, error))
		return false;
	report(job, &record);
	seq_record_finish(&record);
	return true;
}

int main(int argc G_GNUC_UNUSED, char **argv)
{
	struct job job = {0};
	g_autoptr(GError) error = NULL;

	(void)setlocale(LC_ALL, "");
	umask(077);
	if (parse(&job, argv, &error)) {
		if (job.version)
			vm_print(PROGRAM " %s\n", QFX_VERSION);
		else
			run(&job, &error);
	}
	if (error)
		say(LEVEL_ERROR, "%s%s%s", error->message, job.from ? "; it came from " : "",
			job.from ? job.from : "");
	g_strfreev(job.words);
	g_free(job.offset);
	g_free(job.from);
	return vm_exit_status(error);
}
