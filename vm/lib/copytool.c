/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "copytool.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "args.h"
#include "client.h"
#include "copy.h"
#include "device.h"
#include "fail.h"
#include "gui.h"
#include "outgoing.h"
#include "progress.h"
#include "qpen_words.h"
#include "remove.h"
#include "reporter.h"
#include "scope.h"
#include "screen.h"
#include "stopping.h"
#include "words.h"

/* Where the pendrive is, as far as we know. */
enum holding {
	HOLDING_NONE,   /* nothing was asked for, or it is gone */
	HOLDING_ASKED,  /* dom0 has our `new` */
	HOLDING_LENT,   /* it is ours */
	HOLDING_SENT,   /* dom0 has our `send` */
	HOLDING_PASSED, /* delivered */
};

struct job {
	const struct copytool *tool;
	char **words; /* VM FILE... */
	char *size;
	gint timeout_s;
	gint report_fd;
	gboolean gui, quiet, dry_run, keep, skip, version;

	struct screen screen;
	struct reporter report;
	struct progress progress;
	struct tree *tree;
	uint64_t size_bytes; /* of the pendrive to ask for; 0: dom0's default */
	struct mailbox *mailbox;
	const char *device;
	struct mailbox_asked lent_by; /* our `new` */
	struct mailbox_asked sent_by; /* our `send` */
	enum holding holding;
	bool mounted;
	struct copy_progress done;
};

#define NO_REPORT (-1)

static bool interrupted(GError **error)
{
	g_set_error(error, VM_ERROR, VM_EXIT_INTERRUPTED, "Interrupted; nothing was sent");
	return false;
}

static void say(struct job *job, const char *words)
{
	screen_say(&job->screen, words);
}

static void complain(struct job *job, const char *words)
{
	screen_wipe(&job->screen);
	vm_print_error("%s: %s\n", job->tool->program, words);
}

/* -- the command line -------------------------------------------------------------------------- */

/* What such a name stands for cannot be deleted under it. */
static bool is_dots(const char *path)
{
	g_autofree char *name = g_path_get_basename(path);

	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool check_words(const struct job *job, GError **error)
{
	if (job->size && !request_parse_size(job->size, NULL))
		return vm_fail_usage(error, "--size is a number followed by nothing, K, M, G or T");
	if (!job->words || g_strv_length(job->words) < 2)
		return vm_fail_usage(error, "say which VM, and which files");
	if (!qpen_is_vm_name(job->words[0], strlen(job->words[0])))
		return vm_fail_usage(error, "the first argument is not a VM's name");
	for (char **path = job->words + 1; job->tool->moves && *path; path++)
		if (is_dots(*path))
			return vm_fail_usage(error, "what is to be moved must be called by a name, "
						    "and not . or ..");
	return true;
}

static bool parse(struct job *job, char **argv, GError **error)
{
	const GOptionEntry entries[] = {
		{"size", 0, 0, G_OPTION_ARG_STRING, &job->size,
			"Ask for a pendrive of N[KMGT] bytes instead of a fitting one", "N"},
		{"dry-run", 'n', 0, G_OPTION_ARG_NONE, &job->dry_run,
			"Only say what would be sent; dom0 is not asked", NULL},
		{"skip-unsupported", 0, 0, G_OPTION_ARG_NONE, &job->skip,
			"Leave out what a pendrive cannot carry", NULL},
		{"keep", 0, 0, G_OPTION_ARG_NONE, &job->keep,
			"After a failure, keep the pendrive instead of giving it up", NULL},
		{"timeout", 't', 0, G_OPTION_ARG_INT, &job->timeout_s,
			"Give up the wait for the delivery after so many seconds (3600)",
			"SECONDS"},
		{"report", 0, 0, G_OPTION_ARG_INT, &job->report_fd,
			"Write to that descriptor what happens, for a program to read", "FD"},
		{"gui", 0, 0, G_OPTION_ARG_NONE, &job->gui,
			"In a window, which asks for the VM; as the first argument", NULL},
		{"quiet", 'q', 0, G_OPTION_ARG_NONE, &job->quiet, "Print errors only", NULL},
		{"version", 0, 0, G_OPTION_ARG_NONE, &job->version, "Print the version and exit",
			NULL},
		{G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &job->words, NULL, NULL},
		{0},
	};
	g_autoptr(GOptionContext) context = g_option_context_new("VM FILE...");
	g_auto(GStrv) copy = g_strdupv(argv);
	g_autoptr(GError) option_error = NULL;

	g_option_context_set_summary(context, job->tool->summary);
	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse_strv(context, &copy, &option_error))
		return vm_fail_usage(error, option_error->message);
	if (job->version)
		return true;
	if (job->gui)
		return vm_fail_usage(error, "--gui must be the first argument");
	if (job->report_fd != NO_REPORT && !report_open(&job->report, job->report_fd, error))
		return false;
	return args_check_timeout(&job->timeout_s, error) && check_words(job, error);
}

/* -- a look at the files ----------------------------------------------------------------------- */

static void name_complaints(struct job *job)
{
	for (guint i = 0; i < job->tree->complaints->len; i++) {
		const struct tree_complaint *complaint =
			g_ptr_array_index(job->tree->complaints, i);
		g_autofree char *shown = vm_printable(complaint->path, -1);
		g_autofree char *words = g_strdup_printf("%s: %s", shown, complaint->why);
		g_autofree char *path = report_escape(complaint->path, false);
		g_autofree char *why = report_escape(complaint->why, true);

		complain(job, words);
		report_line(&job->report, "cannot %s %s", path, why);
	}
}

/* Whether the user, at a terminal, wants to go on without what was named. */
static bool confirm(const struct job *job)
{
	char answer[64];

	if (job->quiet || !job->screen.terminal || !isatty(STDIN_FILENO) || job->report.fd >= 0)
		return false;
	vm_print_error("Leave out these %u and go on? [y/N] ", job->tree->complaints->len);
	if (!stopping_wait_input(STDIN_FILENO) || !fgets(answer, sizeof answer, stdin)) {
		vm_print_error("\n");
		return false;
	}
	return g_ascii_strcasecmp(g_strstrip(answer), "y") == 0 ||
	       g_ascii_strcasecmp(answer, "yes") == 0;
}

static bool skip_complaints(struct job *job, GError **error)
{
	guint count = job->tree->complaints->len;
	g_autofree char *words = NULL;

	if (count == 0)
		return true;
	name_complaints(job);
	if (!job->skip && !confirm(job)) {
		if (stopping)
			return interrupted(error);
		g_set_error(error, VM_ERROR, VM_EXIT_FILES,
			"Nothing was copied, because of %u such things; go on without them with "
			"--skip-unsupported, or pack them with tar",
			count);
		return false;
	}
	report_line(&job->report, "skipped %u", count);
	words = g_strdup_printf("%u left out, with all that is in them", count);
	say(job, words);
	return true;
}

static bool reckon(struct job *job, GError **error)
{
	if (job->tree->files + job->tree->folders == 0) {
		g_set_error(error, VM_ERROR, VM_EXIT_FILES,
			"Nothing was copied: nothing is left that a pendrive could carry");
		return false;
	}
	if (tree_fit(job->tree, &job->size_bytes))
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FILES,
		"Nothing was copied: it is more than a pendrive can hold");
	return false;
}

static bool look(struct job *job, GError **error)
{
	report_line(&job->report, "state scanning");
	job->tree = tree_scan(job->words + 1, &stopping);
	if (job->tree->stopped)
		return interrupted(error);
	report_line(&job->report, "total %" PRIu64 " %" PRIu64, job->tree->bytes, job->tree->files);
	return skip_complaints(job, error) && reckon(job, error);
}

/* -- --dry-run --------------------------------------------------------------------------------- */

static void print_folder(const struct tree_node *folder, const char *path)
{
	for (guint i = 0; i < folder->children->len; i++) {
		const struct tree_node *node = g_ptr_array_index(folder->children, i);
		g_autofree char *inner = g_build_filename(path, node->name, NULL);
		g_autofree char *shown = vm_printable(inner, -1);
		g_autofree char *size = node->is_folder ? NULL : g_format_size(node->size_bytes);

		if (node->is_folder) {
			vm_print("%12s  %s/\n", "", shown);
			print_folder(node, inner);
		} else {
			vm_print("%12s  %s\n", size, shown);
		}
	}
}

static void tell_plan(const struct job *job)
{
	g_autofree char *all = g_format_size(job->tree->bytes);
	g_autofree char *size = g_format_size(job->size_bytes);

	print_folder(&job->tree->root, "");
	vm_print("%" PRIu64 " files and %" PRIu64
		 " folders, %s, would be %s to %s on a pendrive of "
		 "%s%s\n",
		job->tree->files, job->tree->folders, all, job->tool->moves ? "moved" : "copied",
		job->words[0],
		job->size         ? job->size
		: job->size_bytes ? size
				  : "dom0's usual size",
		job->size ? " bytes" : "");
}

/* -- onto the pendrive ------------------------------------------------------------------------- */

static bool lend(struct job *job, GError **error)
{
	g_autofree char *fitting =
		job->size_bytes ? g_strdup_printf("%" PRIu64, job->size_bytes) : NULL;
	const struct request request = {
		.verb = REQUEST_NEW,
		.size = job->size ? job->size : fitting,
	};
	struct reply reply = {0};
	const struct client client = {
		.mailbox = job->mailbox,
		.device = job->device,
		.asked = &job->lent_by,
		.reply = &reply,
		.stop = &stopping,
	};
	bool ok;

	report_line(&job->report, "state new");
	say(job, "asking dom0 for a pendrive");
	ok = client_run(&client, &request, error);
	/* Also if only the device does not come. */
	if (reply.kind == REPLY_OK && job->lent_by.taken)
		job->holding = HOLDING_LENT;
	else if (reply.kind != REPLY_ERROR && job->lent_by.taken)
		job->holding = HOLDING_ASKED;
	return ok;
}

static void on_progress(const struct copy_progress *done, void *data)
{
	struct job *job = data;
	gint64 now_us = g_get_monotonic_time();

	progress_update(&job->progress, done->bytes, done->files, now_us);
	screen_draw(&job->screen, &job->progress, now_us);
	report_progress(&job->report, done->bytes, done->files, false, now_us);
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
	const struct copy_terms terms = {&stopping, on_progress, job};
	g_autofree char *all = g_format_size(job->tree->bytes);
	g_autofree char *words =
		g_strdup_printf("copying %" PRIu64 " files, %s", job->tree->files, all);

	if (!check_room(job, fd, error))
		return false;
	report_line(&job->report, "state copying");
	say(job, words);
	progress_start(&job->progress, job->tree->bytes, job->tree->files, g_get_monotonic_time());
	if (!copy_tree(job->tree, fd, &terms, &job->done, error))
		return false;
	report_progress(
		&job->report, job->done.bytes, job->done.files, true, g_get_monotonic_time());
	screen_wipe(&job->screen);
	if (job->screen.terminal)
		say(job, "writing out what is still in memory");
	return outgoing_sync(fd, error);
}

static bool mount_and_fill(struct job *job, GError **error)
{
	autofd fd = outgoing_mount(job->device, error);

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

/* -- to the other VM --------------------------------------------------------------------------- */

static bool on_wait(const struct reply *reply, void *data)
{
	struct job *job = data;

	report_line(&job->report, "state %s", qpen_wait_name(reply->wait));
	say(job, words_wait(reply->wait));
	return true;
}

/*
 * Only a `send` that was not even begun leaves the pendrive ours. That there is a device in the
 * slot says nothing: while ours is asked about, another program may have got one of its own there.
 */
static bool is_still_lent(enum qpen_error error)
{
	return error == QPEN_ERROR_SELF || error == QPEN_ERROR_BUSY ||
	       error == QPEN_ERROR_BAD_REQUEST;
}

static bool deliver(struct job *job, GError **error)
{
	const struct request request = {.verb = REQUEST_SEND, .dest = job->words[0]};
	struct reply reply = {0};
	const struct client client = {
		.mailbox = job->mailbox,
		.device = job->device,
		.reply_ms = (unsigned)job->timeout_s * 1000u,
		.on_wait = on_wait,
		.asked = &job->sent_by,
		.reply = &reply,
		.stop = &stopping,
		.data = job,
	};

	say(job, "copied; asking dom0 to deliver it");
	if (client_run(&client, &request, error)) {
		job->holding = HOLDING_PASSED;
		return true;
	}
	if (reply.kind == REPLY_ERROR)
		job->holding = is_still_lent(reply.error) ? HOLDING_LENT : HOLDING_NONE;
	else if (job->sent_by.taken)
		job->holding = HOLDING_SENT;
	return false;
}

/* -- a move: what was delivered goes ----------------------------------------------------------- */

static void on_kept(const char *path, const char *why, void *data)
{
	struct job *job = data;
	g_autofree char *shown = vm_printable(path, -1);
	g_autofree char *words = g_strdup_printf("%s stays here: %s", shown, why);
	g_autofree char *escaped = report_escape(path, false);
	g_autofree char *reason = report_escape(why, true);

	complain(job, words);
	report_line(&job->report, "kept %s %s", escaped, reason);
}

static bool delete_sources(struct job *job, GError **error)
{
	const struct remove_terms terms = {&stopping, on_kept, job};
	struct remove_result result = {0};

	report_line(&job->report, "state deleting");
	remove_tree(job->tree, &terms, &result);
	if (result.stopped) {
		g_set_error(error, VM_ERROR, VM_EXIT_INTERRUPTED,
			"Interrupted: all was delivered, but only %" PRIu64
			" files and folders were deleted here",
			result.removed);
		return false;
	}
	if (result.kept) {
		g_set_error(error, VM_ERROR, VM_EXIT_LEFT,
			"All was delivered, but %" PRIu64 " of it could not be deleted here",
			result.kept);
		return false;
	}
	say(job, "deleted here");
	return true;
}

/* -- after a failure --------------------------------------------------------------------------- */

/* What became of our `send`, should its answer have crossed our giving up. */
static bool was_delivered(struct job *job)
{
	g_autofree char *key = g_strconcat(QPEN_KEY_REPLY "/", job->sent_by.id, NULL);
	g_autofree char *text = NULL;
	struct reply reply;

	return mailbox_read(job->mailbox, key, &text, NULL) && text &&
	       reply_parse(text, strlen(text), job->sent_by.id, &reply) == REPLY_PARSED &&
	       reply.kind == REPLY_OK;
}

static bool discard(struct job *job, GError **error)
{
	if (job->holding == HOLDING_LENT)
		return client_give_back(job->mailbox, &job->lent_by, error);
	return client_discard(job->mailbox,
		job->holding == HOLDING_SENT ? job->sent_by.id : job->lent_by.id, error);
}

static void tell_how_to_go_on(struct job *job, const char *what)
{
	g_autofree char *words =
		g_strdup_printf("%s as %s, with %" PRIu64 " of %" PRIu64
				" files on it; look at it with `mount " OUTGOING_FOLDER
				"`, send it with `/usr/lib/qubes/qubes_penctl send VM`, or give it "
				"up with `/usr/lib/qubes/qubes_penctl discard`",
			what, job->device, job->done.files, job->tree->files);

	complain(job, words);
}

static void give_up(struct job *job)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *words = NULL;

	if (discard(job, &error)) {
		say(job, "the pendrive was given back");
		return;
	}
	if (error->code == VM_EXIT_DEVICE) {
		if (job->holding == HOLDING_SENT && was_delivered(job))
			complain(job, "it could not be stopped: the pendrive was delivered");
		else
			say(job, "the pendrive is gone already");
		return;
	}
	words = g_strdup_printf("the pendrive could not be given back: %s", error->message);
	complain(job, words);
	if (job->holding == HOLDING_LENT)
		tell_how_to_go_on(job, "it is still lent to this VM");
}

/* Leaves nothing mounted, and no pendrive behind that nobody thinks of. */
static void tidy(struct job *job, const GError *cause)
{
	const struct mailbox_asked *last = *job->sent_by.id ? &job->sent_by : &job->lent_by;
	g_autoptr(GError) error = NULL;

	if (!unmount(job, &error)) {
		complain(job, error->message);
		complain(job,
			"the pendrive is still mounted at " OUTGOING_FOLDER
			": unmount it when nothing uses it any more (umount " OUTGOING_FOLDER ")");
	}
	if (job->holding == HOLDING_NONE || job->holding == HOLDING_PASSED)
		return;
	if (job->holding == HOLDING_LENT && job->keep)
		tell_how_to_go_on(job, "the pendrive is kept");
	else if (vm_exit_status(cause) == VM_EXIT_NO_ANSWER && !last->taken)
		tell_how_to_go_on(job, "nobody takes it back: it is still lent to this VM");
	else
		give_up(job);
}

/* -- the whole --------------------------------------------------------------------------------- */

static bool carry_out(struct job *job, GError **error)
{
	if (!outgoing_check(error) || !lend(job, error) || !mount_and_fill(job, error) ||
		!unmount(job, error))
		return false;
	if (stopping)
		return interrupted(error);
	if (!deliver(job, error))
		return false;
	report_line(&job->report, "state delivered");
	say(job, "delivered");
	return !job->tool->moves || delete_sources(job, error);
}

static bool run(struct job *job, GError **error)
{
	stopping_catch();
	if (!look(job, error))
		return false;
	if (job->dry_run) {
		tell_plan(job);
		return true;
	}
	job->mailbox = mailbox_open(error);
	return job->mailbox && carry_out(job, error);
}

static void tell_failure(struct job *job, const GError *error)
{
	const char *hint = vm_exit_status(error) == VM_EXIT_USAGE ? " (see --help)" : "";
	g_autofree char *words = g_strconcat(error->message, hint, NULL);
	g_autofree char *escaped = report_escape(error->message, true);

	complain(job, words);
	if (vm_exit_status(error) == VM_EXIT_INTERRUPTED)
		report_line(&job->report, "state cancelled");
	if (job->mailbox)
		tidy(job, error);
	report_line(&job->report, "failed %d %s", vm_exit_status(error), escaped);
}

static void job_finish(struct job *job)
{
	mailbox_close(job->mailbox);
	tree_free(job->tree);
	g_strfreev(job->words);
	g_free(job->size);
}

int copytool_main(const struct copytool *tool, char **argv)
{
	struct job job = {
		.tool = tool,
		.timeout_s = ARGS_NO_TIMEOUT,
		.report_fd = NO_REPORT,
		.report = {.fd = -1},
		.device = device_outgoing(),
	};
	g_autoptr(GError) error = NULL;
	int status;

	(void)setlocale(LC_ALL, "");
	if (gui_wanted(argv)) {
		gui_become(argv, tool->moves, &error);
	} else if (parse(&job, argv, &error)) {
		screen_open(&job.screen, job.quiet);
		if (job.version)
			vm_print("%s %s\n", tool->program, QFX_VERSION);
		else if (run(&job, &error))
			report_line(&job.report, "done");
	}
	if (error)
		tell_failure(&job, error);
	status = vm_exit_status(error);
	job_finish(&job);
	return status;
}
