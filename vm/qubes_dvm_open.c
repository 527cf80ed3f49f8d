/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes_dvm_open(8): the user's part of a transaction in a DisposableVM. Gets the file from the
 * pendrive's reader at its standard input, has it edited, and sends it back if it changed.
 */
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "editing.h"
#include "fail.h"
#include "incoming.h"
#include "journal.h"
#include "launcher.h"
#include "qpen_contract.h"
#include "qpen_words.h"
#include "scope.h"
#include "sendback.h"
#include "session.h"

#define PROGRAM "qubes_dvm_open"
#define DEFAULT_CONFIG "/etc/qubes-pendrive/dvm.conf"
/* Told to who started us when nothing of the pendrive is needed any more. */
#define WORD_READ "read\n"

struct options {
	char **words;
	char *offset_text;
	char *opener;
	char *mode;
	char *config;
	gboolean version;
	uint64_t offset;
	bool view;
	const char *seq; /* in words */
};

/* -- the command line ---------------------------------------------------------------------------
 */

static bool check(struct options *options, GError **error)
{
	guint count = options->words ? g_strv_length(options->words) : 0;

	if (count != 1 || !qpen_is_seq(options->words[0], strlen(options->words[0])))
		return vm_fail_usage(error, "SEQ is 1 to 32 letters and digits");
	options->seq = options->words[0];
	if (!options->opener || !qpen_is_vm_name(options->opener, strlen(options->opener)))
		return vm_fail_usage(error, "--opener must be the name of a VM");
	if (!options->offset_text || !incoming_parse_offset(options->offset_text, &options->offset))
		return vm_fail_usage(error, "--offset is 0 or 65536");
	if (!options->mode || (strcmp(options->mode, QPEN_MODE_EDIT) != 0 &&
				      strcmp(options->mode, QPEN_MODE_VIEW) != 0))
		return vm_fail_usage(error, "--mode is edit or view");
	options->view = strcmp(options->mode, QPEN_MODE_VIEW) == 0;
	return true;
}

static bool parse(struct options *options, char **argv, GError **error)
{
	const GOptionEntry entries[] = {
		{"offset", 0, 0, G_OPTION_ARG_STRING, &options->offset_text,
			"Where the header starts on the device", "BYTES"},
		{"opener", 0, 0, G_OPTION_ARG_STRING, &options->opener,
			"The VM that the file came from", "NAME"},
		{"mode", 0, 0, G_OPTION_ARG_STRING, &options->mode,
			"Whether a changed file goes back", "edit|view"},
		{"config", 0, 0, G_OPTION_ARG_FILENAME, &options->config,
			"In place of " DEFAULT_CONFIG, "FILE"},
		{"version", 0, 0, G_OPTION_ARG_NONE, &options->version,
			"Print the version and exit", NULL},
		{G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->words, NULL, NULL},
		{0},
	};
	g_autoptr(GOptionContext) context = g_option_context_new("SEQ");
	g_auto(GStrv) copy = g_strdupv(argv);
	g_autoptr(GError) option_error = NULL;

	g_option_context_set_summary(context,
		"Run by qubes_add_pendrive_script in a DisposableVM, with the pendrive as its "
		"standard input.");
	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse_strv(context, &copy, &option_error))
		return vm_fail_usage(error, option_error->message);
	return options->version || check(options, error);
}

static void finish(struct options *options)
{
	g_strfreev(options->words);
	g_free(options->offset_text);
	g_free(options->opener);
	g_free(options->mode);
	g_free(options->config);
}

/* -- in -----------------------------------------------------------------------------------------
 */

static bool read_in(const struct options *options, struct session *session, GError **error)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	const char *const parents[] = {
		runtime && *runtime == '/' ? runtime : "/tmp", "/tmp", "/var/tmp", NULL};

	return session_read(STDIN_FILENO, options->offset, options->view, parents, session, error);
}

/*
 * The device is let go before the word is said, so that dom0 can take it; and the pipe is closed,
 * so that nothing that the editor prints is taken for a word of ours.
 */
static bool let_go(GError **error)
{
	autofd null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
		write(STDOUT_FILENO, WORD_READ, strlen(WORD_READ)) == (ssize_t)strlen(WORD_READ) &&
		dup2(null, STDOUT_FILENO) >= 0)
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		"Who started this program does not hear that the file was read");
	return false;
}

/* -- editing ------------------------------------------------------------------------------------
 */

static bool edit(const struct options *options, const struct session *session, GError **error)
{
	const char *config = options->config ? options->config : DEFAULT_CONFIG;
	g_auto(GStrv) argv = launcher_choose(config, session->path, error);
	g_auto(GStrv) services = launcher_services(config);
	g_autofree char *shown = NULL;
	struct editing editing = {
		.argv = (const char *const *)argv,
		.folder = session->folder,
		.name = session->name,
		.services = (const char *const *)services,
		.handover_ms = EDITING_HANDOVER_MS,
	};
	int status;

	if (!argv)
		return false;
	shown = vm_printable(argv[0], -1);
	journal_say(JOURNAL_INFO, "opening the file from %s with %s", options->opener, shown);
	if (!editing_run(&editing, &status, error))
		return false;
	if (status == 0)
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "The program %s ended with %s %d", shown,
		WIFEXITED(status) ? "status" : "signal",
		WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return false;
}

/* -- out ----------------------------------------------------------------------------------------
 */

/* From here on a failure means that an edit is in danger: VM_EXIT_LOST keeps the VM alive. */
static bool fail_unsent(const struct session *session, const GError *cause, GError **error)
{
	g_autofree char *shown = vm_printable(session->path, -1);

	g_set_error(error, VM_ERROR, VM_EXIT_LOST,
		"The edited file was NOT sent back: %s. It lies in this VM as %s: copy it from "
		"there "
		"(qvm-copy-to-vm VM FILE), then shut this VM down",
		cause->message, shown);
	return false;
}

static bool send_back(const struct options *options, const struct session *session, GError **error)
{
	g_autoptr(GError) cause = NULL;
	autofd file = session_open_file(session, &cause);
	const struct sendback answer = {
		.opener = options->opener,
		.seq = options->seq,
		.name = session->header.name,
		.file = file,
	};

	if (file < 0 || !sendback_run(&answer, &cause))
		return fail_unsent(session, cause, error);
	journal_say(JOURNAL_INFO, "the edited file was sent to %s", options->opener);
	return true;
}

/* The statuses 0 and 7, and what an error of editing means when it came to nothing. */
static bool conclude(const struct options *options, const struct session *session,
	GError *edit_error, GError **error)
{
	g_autoptr(GError) cause = NULL;
	enum session_change change;

	if (options->view)
		change = SESSION_SAME;
	else if (!session_compare(session, &change, &cause))
		return fail_unsent(session, cause, error);
	switch (change) {
	case SESSION_CHANGED:
		/* Somebody who is still at it would go on with a file that was sent. */
		if (edit_error && vm_exit_status(edit_error) == VM_EXIT_INTERRUPTED)
			return fail_unsent(session, edit_error, error);
		if (edit_error)
			journal_say(JOURNAL_WARNING, "%s; the file has changed and is sent back",
				edit_error->message);
		return send_back(options, session, error);
	case SESSION_DELETED:
		journal_say(JOURNAL_WARNING,
			"The file was deleted here; its opener keeps it unchanged");
		break;
	case SESSION_SAME:
		break;
	}
	if (edit_error)
		g_propagate_error(error, g_error_copy(edit_error));
	else
		g_set_error(error, VM_ERROR, VM_EXIT_UNCHANGED, "closed without changes");
	return false;
}

static bool run(const struct options *options, GError **error)
{
	struct session session;
	g_autoptr(GError) edit_error = NULL;
	g_autoptr(GError) end = NULL;
	int status;
	bool ok;

	if (!read_in(options, &session, error))
		return false;
	ok = let_go(&end);
	if (ok) {
		edit(options, &session, &edit_error);
		ok = conclude(options, &session, edit_error, &end);
	}
	status = vm_exit_status(end);
	/* Not under the eyes of somebody who still works on it. */
	if (status != VM_EXIT_LOST && status != VM_EXIT_INTERRUPTED)
		session_remove(&session);
	if (!ok)
		g_propagate_error(error, g_steal_pointer(&end));
	session_finish(&session);
	return ok;
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
				"This program opens what another VM sent, and never does so as "
				"root");
		else
			run(&options, &error);
	}
	finish(&options);
	if (error)
		journal_say(
			vm_exit_status(error) == VM_EXIT_UNCHANGED ? JOURNAL_INFO : JOURNAL_ERROR,
			"%s", error->message);
	return vm_exit_status(error);
}
