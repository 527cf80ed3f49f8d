/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-open-in-dvm(1): one file goes to a DisposableVM, and what was made of it comes back. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "args.h"
#include "bulk.h"
#include "client.h"
#include "device.h"
#include "fail.h"
#include "gui.h"
#include "scope.h"
#include "seqstore.h"
#include "stopping.h"
#include "words.h"

#define PROGRAM "qvm-open-in-dvm"

struct job {
	char **words; /* FILE */
	gint timeout_s;
	gboolean view;
	gboolean gui; /* too late in the line */
	gboolean no_wait;
	gboolean quiet;
	gboolean version;

	char *path;  /* of the file itself, without symbolic links */
	char *name;  /* its last part */
	char *shown; /* the path, safe to print */
	int file;
	struct seqstore *store;
	struct client client;
	GChecksum *checksum; /* of what was sent */
	uint64_t size_bytes; /* of what was sent */
	char seq[QPEN_SEQ_MAX + 1];
	struct reply reply; /* what dom0 said last about the transaction */
	char *vm;           /* where it is open; NULL: not yet */
	bool waiting;       /* dom0 has begun */
	bool lent;          /* dom0 lent us a pendrive, which must not be forgotten on failure */
	struct mailbox_asked lent_by, sent_by;
};

/* -- what people see --------------------------------------------------------------------------- */

static void say(const char *words, void *data)
{
	const struct job *job = data;

	if (!job->quiet)
		vm_print("%s\n", words);
}

/* What must be known though nothing failed. */
static void warn(const struct job *job, const char *words)
{
	if (job->quiet)
		vm_print_error(PROGRAM ": %s\n", words);
	else
		vm_print("%s\n", words);
}

static bool on_wait(const struct reply *reply, void *data)
{
	struct job *job = data;
	g_autofree char *opened = NULL;

	job->waiting = true;
	if (reply->wait == QPEN_WAIT_STARTING) {
		say("waiting for a DisposableVM", job);
		return true;
	}
	if (reply->wait != QPEN_WAIT_OPEN) {
		say(words_wait(reply->wait), job);
		return true;
	}
	job->vm = g_strdup(*reply->text ? reply->text : "a DisposableVM");
	opened = g_strdup_printf("opened in %s", job->vm);
	say(opened, job);
	return !job->no_wait;
}

/* -- the file ---------------------------------------------------------------------------------- */

static bool fail_file(const struct job *job, const char *why, GError **error)
{
	g_autofree char *shown = vm_printable(job->words[0], -1);

	g_set_error(error, VM_ERROR, VM_EXIT_FILES, "%s %s; nothing was sent", shown, why);
	return false;
}

static bool fail_file_errno(const struct job *job, const char *what, GError **error)
{
	g_autofree char *why = g_strdup_printf("%s: %s", what, g_strerror(errno));

	return fail_file(job, why, error);
}

/* A symbolic link is followed now, once: its target is what is edited. */
static bool open_file(struct job *job, GError **error)
{
	char *resolved = realpath(job->words[0], NULL);
	struct stat st;

	if (!resolved)
		return fail_file_errno(job, "cannot be found", error);
	job->path = g_strdup(resolved);
	free(resolved);
	job->name = g_path_get_basename(job->path);
	job->shown = vm_printable(job->path, -1);
	job->file = open(job->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (job->file < 0)
		return fail_file_errno(job, "cannot be read", error);
	if (fstat(job->file, &st) < 0)
		return fail_file_errno(job, "cannot be looked at", error);
	if (!S_ISREG(st.st_mode))
		return fail_file(job, "is not a regular file", error);
	if (strlen(job->name) >= QPEN_DVM_NAME_BYTES)
		return fail_file(job, "has a name too long for a pendrive", error);
	if (bulk_room((uint64_t)st.st_size) > INT64_MAX)
		return fail_file(job, "is larger than any pendrive", error);
	return true;
}

/* -- onto the pendrive ------------------------------------------------------------------------- */

static bool lend(struct job *job, GError **error)
{
	struct client patient = job->client;
	g_autofree char *size = NULL;
	struct request request = {.verb = REQUEST_NEW, .format = "none"};
	struct stat st;

	if (fstat(job->file, &st) < 0)
		return fail_file_errno(job, "cannot be looked at", error);
	size = g_strdup_printf("%" PRIu64, bulk_room((uint64_t)st.st_size));
	request.size = size;
	/* --timeout is about the DisposableVM. */
	patient.reply_ms = 0;
	patient.on_wait = NULL;
	patient.reply = NULL;
	patient.asked = &job->lent_by;
	if (!client_run(&patient, &request, error))
		return false;
	job->lent = true;
	return true;
}

static bool on_block(const void *bytes, size_t len, void *data)
{
	struct job *job = data;

	g_checksum_update(job->checksum, bytes, (gssize)len);
	job->size_bytes += len;
	return !stopping;
}

static bool fill(struct job *job, GError **error)
{
	const struct bulk_watcher watcher = {on_block, job};

	return bulk_write_watched(job->client.device, job->name, job->file, &watcher, error) &&
	       device_settle(job->client.device, error);
}

/* -- the transaction --------------------------------------------------------------------------- */

static bool record(struct job *job, GError **error)
{
	struct seq_record record = {
		.path = job->path,
		.view = job->view,
		.state = SEQ_OPEN,
		.size_bytes = job->size_bytes,
	};
	struct stat st;

	if (fstat(job->file, &st) < 0)
		return fail_file_errno(job, "cannot be looked at", error);
	record.mode = st.st_mode & 07777;
	record.uid = st.st_uid;
	record.gid = st.st_gid;
	filehash_finish(job->checksum, record.sha256);
	return seqstore_add(job->store, &record, job->seq, error);
}

/* Should that fail, the record stays open: dom0 lets no answer through any more. */
static void end(struct job *job, enum seq_state state, const char *why)
{
	g_autoptr(GError) error = NULL;

	if (!seqstore_end(job->store, job->seq, state, why, &error) && error)
		warn(job, error->message);
}

/*
 * Only what dom0 itself says ends the record. After anything else the request may still be carried
 * out, and an answer that then comes must find its place.
 */
static bool ask(struct job *job, GError **error)
{
	const struct request request = {
		.verb = REQUEST_SEND,
		.dest = QPEN_DISPOSABLE,
		.seq = job->seq,
		.view = job->view,
	};
	g_autoptr(GError) cause = NULL;

	if (client_run(&job->client, &request, &cause))
		return true;
	if (job->reply.kind == REPLY_ERROR)
		end(job, job->reply.error == QPEN_ERROR_LOST ? SEQ_LOST : SEQ_FAILED,
			cause->message);
	if (cause->code == VM_EXIT_INTERRUPTED && job->waiting)
		g_set_error(error, VM_ERROR, VM_EXIT_INTERRUPTED,
			"Interrupted, but dom0 goes on: %s%s%s%s", job->shown,
			job->vm ? " stays open in " : " will be opened in a DisposableVM",
			job->vm ? job->vm : "",
			job->view ? "" : ", and is saved back when it is closed there");
	else
		g_propagate_error(error, g_steal_pointer(&cause));
	return false;
}

/* -- how it ended ------------------------------------------------------------------------------ */

static bool fail_lost(const struct job *job, const struct seq_record *seq_record, GError **error)
{
	g_autofree char *detail = seq_record->detail ? vm_printable(seq_record->detail, -1) : NULL;

	g_set_error(error, VM_ERROR, VM_EXIT_LOST,
		"dom0 says that %s was saved back, but here the transaction is \"%s\"%s%s; the "
		"journal of this VM tells more (journalctl -u 'qubes-pendrive@*' -u "
		"qubes-dvm-answer)",
		job->shown, seq_state_name(seq_record->state), detail ? ": " : "",
		detail ? detail : "");
	return false;
}

/* The answer was taken, and how that ended could not be put down: it may be stored, or not. */
static bool fail_unknown(const struct job *job, GError **error)
{
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		"dom0 says that %s was saved back, but it could not be put down here how that "
		"ended (is the disk full?): look at the file and at what stands beside it; the "
		"journal of this VM tells more (journalctl -u qubes-dvm-answer)",
		job->shown);
	return false;
}

/* dom0 knows that the pendrive was given back; what became of the answer is in the record. */
static bool tell_saved(struct job *job, GError **error)
{
	struct seq_record seq_record;
	g_autofree char *detail = NULL;
	g_autofree char *words = NULL;
	bool ok = true;

	if (!seqstore_read(job->store, job->seq, &seq_record, error))
		return false;
	detail = seq_record.detail ? vm_printable(seq_record.detail, -1) : g_strdup("");
	switch (seq_record.state) {
	case SEQ_SAVED:
		words = g_strdup_printf("saved back: %s", job->shown);
		say(words, job);
		break;
	case SEQ_KEPT_BOTH:
		words = g_strdup_printf("saved back: %s; the file had changed meanwhile, and that "
					"version is kept as %s",
			job->shown, detail);
		warn(job, words);
		break;
	case SEQ_ELSEWHERE:
		words = g_strdup_printf("%s could not be replaced and is as it was; what came back "
					"is stored as %s",
			job->shown, detail);
		warn(job, words);
		break;
	case SEQ_TAKEN:
		ok = fail_unknown(job, error);
		break;
	case SEQ_OPEN:
	case SEQ_REFUSED:
	case SEQ_FAILED:
	case SEQ_UNCHANGED:
	case SEQ_LOST:
		ok = fail_lost(job, &seq_record, error);
		break;
	}
	seq_record_finish(&seq_record);
	return ok;
}

static bool tell_end(struct job *job, int *out_status, GError **error)
{
	if (job->reply.kind == REPLY_WAIT)
		return true;
	if (strcmp(job->reply.text, "saved") == 0)
		return tell_saved(job, error);
	if (strcmp(job->reply.text, "unchanged") == 0) {
		end(job, SEQ_UNCHANGED, NULL);
		say(job->view ? "closed" : "closed without changes", job);
		*out_status = job->view ? VM_EXIT_OK : VM_EXIT_UNCHANGED;
		return true;
	}
	g_set_error(error, VM_ERROR, VM_EXIT_NO_ANSWER,
		"dom0 says that it ended with \"%s\", which this program does not know; are the "
		"two sides of different versions?",
		job->reply.text);
	return false;
}

/* -- the whole --------------------------------------------------------------------------------- */

/* Only then: every other word of dom0 about it means that it was taken. */
static bool is_still_lent(const struct job *job)
{
	if (!job->lent || !g_file_test(job->client.device, G_FILE_TEST_EXISTS))
		return false;
	return job->reply.kind == REPLY_ERROR ? job->reply.error == QPEN_ERROR_LIMIT
					      : !job->sent_by.taken;
}

/* After a failure: no pendrive is left behind that nobody thinks of. */
static void tidy(const struct job *job)
{
	g_autoptr(GError) error = NULL;

	if (!is_still_lent(job) || client_give_back(job->client.mailbox, &job->lent_by, &error) ||
		error->code == VM_EXIT_DEVICE)
		return;
	vm_print_error(PROGRAM ": the pendrive could not be given back: %s\n", error->message);
	vm_print_error(PROGRAM
		": it is still lent to this VM as %s; before the next try give it up "
		"(/usr/lib/qubes/qubes_penctl discard)\n",
		job->client.device);
}

static bool carry_out(struct job *job, int *out_status, GError **error)
{
	say("asking dom0 for a pendrive", job);
	if (!lend(job, error) || !fill(job, error) || !record(job, error))
		return false;
	if (stopping) {
		end(job, SEQ_FAILED, "interrupted before it was sent");
		g_set_error(error, VM_ERROR, VM_EXIT_INTERRUPTED,
			"Interrupted before anything was sent");
		return false;
	}
	return ask(job, error) && tell_end(job, out_status, error);
}

static bool run(struct job *job, int *out_status, GError **error)
{
	g_autofree char *folder = NULL;
	automailbox *mailbox = NULL;
	bool ok;

	if (!open_file(job, error))
		return false;
	folder = seqstore_default_folder(error);
	job->store = folder ? seqstore_open(folder, error) : NULL;
	mailbox = job->store ? mailbox_open(error) : NULL;
	if (!mailbox)
		return false;
	job->client = (struct client){
		.mailbox = mailbox,
		.device = device_outgoing(),
		.reply_ms = (unsigned)job->timeout_s * 1000u,
		.on_wait = on_wait,
		.asked = &job->sent_by,
		.reply = &job->reply,
		.data = job,
	};
	stopping_catch();
	ok = carry_out(job, out_status, error);
	if (!ok)
		tidy(job);
	return ok;
}

static bool parse(struct job *job, char **argv, GError **error)
{
	const GOptionEntry entries[] = {
		{"view-only", 0, 0, G_OPTION_ARG_NONE, &job->view,
			"Look at the file; nothing comes back", NULL},
		{"no-wait", 0, 0, G_OPTION_ARG_NONE, &job->no_wait,
			"End once the file is open; it is saved back all the same", NULL},
		{"timeout", 't', 0, G_OPTION_ARG_INT, &job->timeout_s,
			"Give up the wait for a DisposableVM after so many seconds (3600)",
			"SECONDS"},
		{"gui", 0, 0, G_OPTION_ARG_NONE, &job->gui, "In a window; as the first argument",
			NULL},
		{"quiet", 'q', 0, G_OPTION_ARG_NONE, &job->quiet, "Print errors only", NULL},
		{"version", 0, 0, G_OPTION_ARG_NONE, &job->version, "Print the version and exit",
			NULL},
		{G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &job->words, NULL, NULL},
		{0},
	};
	g_autoptr(GOptionContext) context = g_option_context_new("FILE");
	g_auto(GStrv) copy = g_strdupv(argv);
	g_autoptr(GError) option_error = NULL;

	g_option_context_set_summary(context,
		"Opens a file in a DisposableVM, and saves it back when it was changed there.");
	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse_strv(context, &copy, &option_error))
		return vm_fail_usage(error, option_error->message);
	if (job->version)
		return true;
	if (job->gui)
		return vm_fail_usage(error, "--gui must be the first argument");
	if (!args_check_timeout(&job->timeout_s, error))
		return false;
	if (!job->words || g_strv_length(job->words) != 1)
		return vm_fail_usage(error, "say which file; one at a time");
	return true;
}

static void job_finish(struct job *job)
{
	seqstore_close(job->store);
	g_checksum_free(job->checksum);
	if (job->file >= 0)
		close(job->file);
	g_strfreev(job->words);
	g_free(job->path);
	g_free(job->name);
	g_free(job->shown);
	g_free(job->vm);
}

int main(int argc G_GNUC_UNUSED, char **argv)
{
	struct job job = {
		.timeout_s = ARGS_NO_TIMEOUT,
		.file = -1,
		.checksum = g_checksum_new(G_CHECKSUM_SHA256),
	};
	g_autoptr(GError) error = NULL;
	int status = VM_EXIT_OK;

	(void)setlocale(LC_ALL, "");
	if (gui_wanted(argv)) {
		gui_become_opener(argv, &error);
	} else if (parse(&job, argv, &error)) {
		if (job.version)
			vm_print(PROGRAM " %s\n", QFX_VERSION);
		else
			run(&job, &status, &error);
	}
	if (error) {
		vm_print_error(PROGRAM ": %s%s\n", error->message,
			vm_exit_status(error) == VM_EXIT_USAGE ? " (see qvm-open-in-dvm --help)"
							       : "");
		status = vm_exit_status(error);
	}
	job_finish(&job);
	return status;
}
