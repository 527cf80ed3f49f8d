/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-incoming(1): what the user of a VM can do with a received pendrive. */
#include <inttypes.h>
#include <locale.h>
#include <sys/statvfs.h>

#include "done.h"
#include "fail.h"
#include "incoming.h"
#include "progress.h"
#include "received.h"
#include "screen.h"
#include "stopping.h"
#include "take.h"

#define PROGRAM "qvm-incoming"

struct job {
	char **words; /* none */
	char *take;   /* the folder */
	gboolean done;
	gboolean quiet;
	gboolean version;

	struct screen screen;
	struct progress progress; /* of --take */
};

/* -- what people see --------------------------------------------------------------------------- */

static void on_complaint(const char *complaint, void *data)
{
	struct job *job = data;

	screen_wipe(&job->screen);
	vm_print_error(PROGRAM ": %s\n", complaint);
}

static void on_progress(
	const struct copy_progress *done, const struct copy_progress *all, void *data)
{
	struct job *job = data;
	gint64 now_us = g_get_monotonic_time();

	if (job->progress.begun_us == 0)
		progress_start(&job->progress, all->bytes, all->files, now_us);
	progress_update(&job->progress, done->bytes, done->files, now_us);
	screen_draw(&job->screen, &job->progress, now_us);
}

static char *since_text(const struct received *received)
{
	g_autoptr(GDateTime) time = NULL;
	g_autofree char *text = NULL;

	if (received->since_s)
		time = g_date_time_new_from_unix_local(received->since_s);
	text = time ? g_date_time_format(time, "%Y-%m-%d %H:%M:%S") : NULL;
	return text ? g_strdup_printf(" since %s", text) : g_strdup("");
}

static char *size_text(void)
{
	struct statvfs fs;
	g_autofree char *used = NULL;
	g_autofree char *total = NULL;

	/* Its numbers are the sender's; only their difference could surprise. */
	if (statvfs(INCOMING_FOLDER, &fs) < 0 || fs.f_bfree > fs.f_blocks)
		return g_strdup("its size cannot be told");
	used = g_format_size((uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize);
	total = g_format_size((uint64_t)fs.f_blocks * fs.f_frsize);
	return g_strdup_printf("%s of %s are used", used, total);
}

static void show(const struct received *received)
{
	g_autofree char *since = since_text(received);
	g_autofree char *size = size_text();

	vm_print("A pendrive from %s is at " INCOMING_FOLDER "%s; %s.\n", received_from(received),
		since, size);
}

/* -- the steps --------------------------------------------------------------------------------- */

/* What the user is left with after a failure. */
static void tell_rest(
	struct job *job, const struct received *received, const struct take_result *result)
{
	g_autofree char *shown = vm_printable(job->take, -1);
	struct received now;

	screen_wipe(&job->screen);
	if (result->begun)
		vm_print_error(PROGRAM ": %" PRIu64 " of %" PRIu64
				       " files were copied to %s; one more may be there in part\n",
			result->done.files, result->all.files, shown);
	if (received_find(&now, NULL) && now.device == received->device)
		vm_print_error(PROGRAM ": the pendrive is still at " INCOMING_FOLDER "\n");
	else
		vm_print_error(PROGRAM ": the pendrive is not in this VM any more\n");
}

static bool take(struct job *job, const struct received *received, GError **error)
{
	const struct take_terms terms = {&stopping, on_progress, on_complaint, job};
	struct take_result result;
	g_autofree char *bytes = NULL;
	g_autofree char *shown = vm_printable(job->take, -1);
	g_autofree char *words = NULL;

	stopping_catch();
	if (!take_all(received, job->take, &terms, &result, error)) {
		tell_rest(job, received, &result);
		return false;
	}
	bytes = g_format_size(result.done.bytes);
	words = g_strdup_printf("%" PRIu64 " files from %s, %s, are in %s", result.done.files,
		received_from(received), bytes, shown);
	screen_say(&job->screen, words);
	return true;
}

static bool run(struct job *job, GError **error)
{
	struct received received;

	screen_open(&job->screen, job->quiet);
	if (!received_find(&received, error))
		return false;
	if (job->take && !take(job, &received, error))
		return false;
	if (!job->take && !job->done) {
		show(&received);
		return true;
	}
	if (!done_unmount(&received, error))
		return false;
	screen_say(&job->screen, "unmounted; the pendrive goes back to dom0");
	return true;
}

static bool parse(struct job *job, char **argv, GError **error)
{
	const GOptionEntry entries[] = {
		{"take", 0, 0, G_OPTION_ARG_FILENAME, &job->take,
			"Copy everything into DIR, then unmount it", "DIR"},
		{"done", 0, 0, G_OPTION_ARG_NONE, &job->done, "Unmount it", NULL},
		{"quiet", 'q', 0, G_OPTION_ARG_NONE, &job->quiet, "Print errors only", NULL},
		{"version", 0, 0, G_OPTION_ARG_NONE, &job->version, "Print the version and exit",
			NULL},
		{G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &job->words, NULL, NULL},
		{0},
	};
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);
	g_auto(GStrv) copy = g_strdupv(argv);
	g_autoptr(GError) option_error = NULL;

	g_option_context_set_summary(context,
		"Tells of the pendrive that was received from "
		"another VM and stands at " INCOMING_FOLDER ",\nand ends its stay.");
	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse_strv(context, &copy, &option_error))
		return vm_fail_usage(error, option_error->message);
	if (job->version)
		return true;
	if (job->words)
		return vm_fail_usage(error, "it takes no words, options alone");
	if (job->take && job->done)
		return vm_fail_usage(error, "--take or --done, not both");
	return !job->take || *job->take || vm_fail_usage(error, "the folder has no name");
}

int main(int argc G_GNUC_UNUSED, char **argv)
{
	struct job job = {0};
	g_autoptr(GError) error = NULL;

	(void)setlocale(LC_ALL, "");
	if (parse(&job, argv, &error)) {
		if (job.version)
			vm_print(PROGRAM " %s\n", QFX_VERSION);
		else
			run(&job, &error);
	}
	if (error)
		vm_print_error(PROGRAM ": %s%s\n", error->message,
			vm_exit_status(error) == VM_EXIT_USAGE ? " (see qvm-incoming --help)" : "");
	g_strfreev(job.words);
	g_free(job.take);
	return vm_exit_status(error);
}
