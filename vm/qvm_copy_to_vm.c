/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-copy-to-vm(1): a pendrive is lent, filled, and sent, in one command. */
#include <inttypes.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "args.h"
#include "client.h"
#include "copy.h"
#include "device.h"
#include "fail.h"
#include "fit.h"
#include "gui.h"
#include "outgoing.h"
#include "qpen_words.h"
#include "scope.h"

#define PROGRAM "qvm-copy-to-vm"
#define PROGRESS_INTERVAL_US 200000

struct job {
	char **words; /* VM FILE... */
	char *size;
	gint timeout_s;
	gboolean quiet;
	gboolean version;

	bool terminal; /* progress can be drawn */
	bool drawn;    /* there is a line of progress to be wiped */
	gint64 drawn_us;
	const struct tree *tree; /* what is to be copied; lives in run() */
	uint64_t tree_files;     /* how many files it has */
	struct copy_progress done;
	bool lent; /* dom0 lent us the pendrive, which must not be forgotten on failure */
	bool mounted;
};

static volatile sig_atomic_t stop;

static void on_stop(int signal_number G_GNUC_UNUSED)
{
	stop = 1;
}

/* Without SA_RESTART: a wait must end. */
static void catch_signals(void)
{
	const struct sigaction action = {.sa_handler = on_stop};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

/* -- what people see --------------------------------------------------------------------------- */

static void wipe(struct job *job)
{
	if (job->drawn)
		vm_print_error("\r\033[K");
	job->drawn = false;
}

static void say(const char *words, void *data)
{
	struct job *job = data;

	if (job->quiet)
		return;
	wipe(job);
	vm_print_error("%s\n", words);
}

static void on_progress(const struct copy_progress *progress, void *data)
{
	struct job *job = data;
	gint64 now_us = g_get_monotonic_time();
	g_autofree char *done = NULL;
	g_autofree char *all = NULL;
	unsigned percent;

	if (job->quiet || !job->terminal || now_us - job->drawn_us < PROGRESS_INTERVAL_US)
		return;
	job->drawn_us = now_us;
	done = g_format_size(progress->bytes);
	all = g_format_size(job->tree->bytes);
	percent = job->tree->bytes
			  ? (unsigned)((double)progress->bytes * 100 / (double)job->tree->bytes)
			  : 100;
	vm_print_error("\r\033[Kcopying: %3u %%, %s of %s, %" PRIu64 " of %" PRIu64 " files",
		MIN(percent, 100), done, all, progress->files, job->tree->files);
	job->drawn = true;
}

/* -- the steps --------------------------------------------------------------------------------- */

static bool parse(struct job *job, char **argv, GError **error)
{
	const GOptionEntry entries[] = {
		{"size", 0, 0, G_OPTION_ARG_STRING, &job->size,
			"Ask for a pendrive of N[KMGT] bytes instead of a fitting one", "N"},
		{"timeout", 't', 0, G_OPTION_ARG_INT, &job->timeout_s,
			"Give up the wait for the delivery after so many seconds (3600)",
			"SECONDS"},
		{"quiet", 'q', 0, G_OPTION_ARG_NONE, &job->quiet, "Print errors only", NULL},
		{"version", 0, 0, G_OPTION_ARG_NONE, &job->version, "Print the version and exit",
			NULL},
		{G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &job->words, NULL, NULL},
		{0},
	};
	g_autoptr(GOptionContext) context = g_option_context_new("VM FILE...");
	g_auto(GStrv) copy = g_strdupv(argv);
	g_autoptr(GError) option_error = NULL;

	g_option_context_set_summary(context,
		"Copies files and folders to another VM on a virtual pendrive, "
		"if the user in dom0 agrees.");
	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse_strv(context, &copy, &option_error))
		return vm_fail_usage(error, option_error->message);
	if (job->version)
		return true;
	if (!args_check_timeout(&job->timeout_s, error))
		return false;
	if (job->size && !request_parse_size(job->size, NULL))
		return vm_fail_usage(error, "--size is a number followed by nothing, K, M, G or T");
	if (!job->words || g_strv_length(job->words) < 2)
		return vm_fail_usage(error, "say which VM, and which files");
	if (!qpen_is_vm_name(job->words[0], strlen(job->words[0])))
		return vm_fail_usage(error, "the first argument is not a VM's name");
	return true;
}

static bool look(struct job *job, uint64_t *out_size_bytes, GError **error)
{
	const struct tree *tree = job->tree;
	uint64_t data_bytes;

	for (guint i = 0; i < tree->complaints->len; i++)
		vm_print_error(PROGRAM ": %s\n", (char *)g_ptr_array_index(tree->complaints, i));
	if (tree->complaint_count > tree->complaints->len)
		vm_print_error(PROGRAM ": and %" PRIu64 " more\n",
			tree->complaint_count - tree->complaints->len);
	if (tree->complaint_count) {
		g_set_error(error, VM_ERROR, VM_EXIT_FILES,
			"Nothing was copied, because of %" PRIu64
			" such things; what a pendrive cannot "
			"carry, an archive made with tar can",
			tree->complaint_count);
		return false;
	}
	if (!tree_room(tree, fit_cluster_bytes(tree->bytes), &data_bytes) ||
		!fit_size(data_bytes, out_size_bytes)) {
		g_set_error(error, VM_ERROR, VM_EXIT_FILES,
			"Nothing was copied: it is more than a pendrive can hold");
		return false;
	}
	return true;
}

static bool lend(struct job *job, const struct client *client, uint64_t size_bytes, GError **error)
{
	g_autofree char *fitting = size_bytes ? g_strdup_printf("%" PRIu64, size_bytes) : NULL;
	struct client patient = *client;
	struct request request = {
		.verb = REQUEST_NEW,
		.size = job->size ? job->size : fitting,
	};

	patient.reply_ms = 0;
	if (!client_run(&patient, &request, error))
		return false;
	job->lent = true;
	return true;
}

/* dom0's default, or the --size given, may be less than we need. */
static bool check_room(const struct job *job, int fd, GError **error)
{
	struct statvfs fs;
	uint64_t room;
	uint64_t needed;

	if (fstatvfs(fd, &fs) < 0 || fs.f_frsize == 0 || fs.f_frsize > UINT32_MAX)
		return true;
	room = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (tree_room(job->tree, (uint32_t)fs.f_frsize, &needed) && needed <= room)
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		"The pendrive has room for %" PRIu64 " MiB only; %" PRIu64
		" MiB are needed (see --size)",
		room >> 20, needed >> 20);
	return false;
}

static bool fill(struct job *job, int fd, GError **error)
{
	const struct copy_terms terms = {&stop, on_progress, job};
	g_autofree char *all = g_format_size(job->tree->bytes);
	g_autofree char *words =
		g_strdup_printf("copying %" PRIu64 " files, %s", job->tree->files, all);

	say(words, job);
	if (!check_room(job, fd, error) || !copy_tree(job->tree, fd, &terms, &job->done, error))
		return false;
	wipe(job);
	return outgoing_sync(fd, error);
}

static bool mount_and_fill(struct job *job, const char *device, GError **error)
{
	autofd fd = outgoing_mount(device, error);

	if (fd < 0)
		return false;
	job->mounted = true;
	return fill(job, fd, error);
}

static bool unmount(struct job *job, GError **error)
{
	if (job->mounted && !outgoing_unmount(error))
		return false;
	job->mounted = false;
	return true;
}

static bool transfer(
	struct job *job, const struct client *client, uint64_t size_bytes, GError **error)
{
	const struct request send = {.verb = REQUEST_SEND, .dest = job->words[0]};

	if (!outgoing_check(error))
		return false;
	say("asking dom0 for a pendrive", job);
	if (!lend(job, client, size_bytes, error) || !mount_and_fill(job, client->device, error) ||
		!unmount(job, error))
		return false;
	if (stop) {
		g_set_error(error, VM_ERROR, VM_EXIT_INTERRUPTED,
			"Interrupted before anything was sent");
		return false;
	}
	say("copied; asking dom0 to deliver it", job);
	return client_run(client, &send, error);
}

/* After a failure: leave nothing mounted, and say what the user is left with. */
static void tidy(struct job *job, const char *device)
{
	g_autoptr(GError) error = NULL;

	if (!unmount(job, &error))
		vm_print_error(PROGRAM ": %s\n", error->message);
	if (job->mounted)
		vm_print_error(PROGRAM
			": the pendrive is still mounted at %s: unmount it when nothing "
			"uses it any more (umount %s)\n",
			OUTGOING_FOLDER, OUTGOING_FOLDER);
	if (job->lent && !g_file_test(device, G_FILE_TEST_EXISTS))
		vm_print_error(PROGRAM ": the pendrive is not in this VM any more\n");
	else if (job->lent)
		vm_print_error(PROGRAM
			": the pendrive is still lent to this VM as %s, with %" PRIu64
			" of %" PRIu64 " files on it; look at it with `mount %s`, send it with "
			"`/usr/lib/qubes/qubes_penctl send VM`, or have it taken back in dom0\n",
			device, job->done.files, job->tree_files, OUTGOING_FOLDER);
}

static bool run(struct job *job, GError **error)
{
	autotree *tree = tree_scan(job->words + 1);
	automailbox *mailbox = NULL;
	uint64_t size_bytes;
	struct client client = {
		.device = device_outgoing(),
		.reply_ms = (unsigned)job->timeout_s * 1000u,
		.say = say,
		.data = job,
	};

	job->tree = tree;
	job->tree_files = tree->files;
	if (!look(job, &size_bytes, error))
		return false;
	mailbox = mailbox_open(error);
	client.mailbox = mailbox;
	if (!mailbox)
		return false;
	catch_signals();
	if (!transfer(job, &client, size_bytes, error))
		return false;
	say("delivered", job);
	return true;
}

int main(int argc G_GNUC_UNUSED, char **argv)
{
	struct job job = {.timeout_s = ARGS_NO_TIMEOUT, .terminal = isatty(STDERR_FILENO)};
	g_autoptr(GError) error = NULL;

	(void)setlocale(LC_ALL, "");
	if (gui_wanted(argv))
		gui_become(argv, false, &error);
	else if (parse(&job, argv, &error)) {
		if (job.version)
			vm_print(PROGRAM " %s\n", QFX_VERSION);
		else
			run(&job, &error);
	}
	wipe(&job);
	if (error) {
		vm_print_error(PROGRAM ": %s%s\n", error->message,
			vm_exit_status(error) == VM_EXIT_USAGE ? " (see qvm-copy-to-vm --help)"
							       : "");
		tidy(&job, device_outgoing());
	}
	g_strfreev(job.words);
	g_free(job.size);
	return vm_exit_status(error);
}
