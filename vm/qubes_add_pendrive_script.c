/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes_add_pendrive_script(8): run by systemd or by its own supervisor, as root, for as long as a
 * pendrive is in the incoming slot. Mounts it, waits until somebody unmounts it, and gives it back
 * to dom0. One that belongs to a transaction is not mounted: programs of the ordinary user read it.
 */
#include <locale.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>

#include "fail.h"
#include "giveback.h"
#include "incoming.h"
#include "journal.h"
#include "mailbox.h"
#include "qpen_contract.h"
#include "qpen_words.h"
#include "ready.h"
#include "received.h"
#include "scope.h"
#include "supervisor.h"
#include "transaction.h"

#define DEFAULT_USER "user"

#define PROGRAM "qubes_add_pendrive_script"

struct script {
	char **words;
	char *user;
	gboolean announce;
	gboolean ready;
	gboolean supervise;
	gboolean transaction;
	gboolean version;
	struct mailbox *mailbox;
	sigset_t signals;
	int signal_fd;
};

/* -- giving it back ---------------------------------------------------------------------------- */

/* Nobody reads signals from the descriptor after this. */
static void release_signals(struct script *script)
{
	sigprocmask(SIG_UNBLOCK, &script->signals, NULL);
}

static void end_stopped(struct script *script, dev_t mounted)
{
	struct signalfd_siginfo info;

	incoming_unmount(mounted);
	/* The signal that ended the wait is taken; left pending, it would kill us now. */
	while (read(script->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
		;
	release_signals(script);
	if (!incoming_is_there()) {
		journal_say(JOURNAL_WARNING,
			"dom0 has pulled the pendrive while it was mounted; " INCOMING_FOLDER
			" was unmounted");
		return;
	}
	journal_say(JOURNAL_INFO, "told to end; " INCOMING_FOLDER " was unmounted");
	giveback(script->mailbox, GIVEBACK_STOP_MS);
}

/* -- bringing it in ---------------------------------------------------------------------------- */

static const char *user_name(const struct script *script)
{
	return script->user ? script->user : DEFAULT_USER;
}

/* Who the files shall belong to. */
static void find_user(const struct script *script, uid_t *out_uid, gid_t *out_gid)
{
	const char *name = user_name(script);
	const struct passwd *passwd = getpwnam(name);

	*out_uid = passwd ? passwd->pw_uid : 0;
	*out_gid = passwd ? passwd->pw_gid : 0;
	if (!passwd)
		journal_say(JOURNAL_WARNING,
			"There is no user \"%s\"; the files will be root's (see --user)", name);
}

/* "" where dom0 does not say, or says what is no VM's name. */
static char *sender_name(struct script *script)
{
	g_autofree char *name = NULL;

	if (!mailbox_read(script->mailbox, QPEN_KEY_BLOCKSRC, &name, NULL) || !name ||
		!qpen_is_vm_name(name, strlen(name)))
		return g_strdup("");
	return g_steal_pointer(&name);
}

static bool read_offset(struct script *script, uint64_t *out, GError **error)
{
	g_autofree char *text = NULL;

	if (!mailbox_read(script->mailbox, QPEN_KEY_OFFSET, &text, error))
		return false;
	if (text && incoming_parse_offset(text, out))
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		"dom0 does not say where the data starts (%s is neither 0 nor 65536)",
		QPEN_KEY_OFFSET);
	return false;
}

static bool bring_in(struct script *script, const char *sender, dev_t *out_mounted, GError **error)
{
	uint64_t offset;
	uid_t uid;
	gid_t gid;

	if (incoming_is_mounted(out_mounted)) {
		journal_say(JOURNAL_INFO, "it is mounted already");
		incoming_adopt(sender, *out_mounted);
		return true;
	}
	find_user(script, &uid, &gid);
	return read_offset(script, &offset, error) &&
	       incoming_mount(sender, offset, uid, gid, out_mounted, error);
}

/* Mounts it, and stays until it is unmounted. */
static bool serve_ordinary(struct script *script, GError **error)
{
	g_autofree char *sender = sender_name(script);
	const char *shown = *sender ? sender : "another VM";
	g_autoptr(GError) mount_error = NULL;
	enum incoming_end end;
	dev_t mounted;

	if (!bring_in(script, sender, &mounted, &mount_error)) {
		/* One that nobody can read must not keep others out of the slot. */
		journal_say(JOURNAL_ERROR,
			"The pendrive from %s could not be mounted and is given back unread: %s. "
			"To use "
			"such a pendrive by hand, run `systemctl mask qubes-pendrive@xvdh.service` "
			"before "
			"it is sent",
			shown, mount_error->message);
		release_signals(script);
		giveback(script->mailbox, GIVEBACK_MS);
		return true;
	}
	journal_say(JOURNAL_INFO, "the pendrive from %s is mounted at " INCOMING_FOLDER, shown);
	end = incoming_wait(mounted, script->signal_fd, error);
	if (end == INCOMING_FAILED)
		return false;
	received_forget();
	if (end == INCOMING_STOPPED) {
		end_stopped(script, mounted);
		return true;
	}
	journal_say(JOURNAL_INFO, INCOMING_FOLDER " was unmounted");
	release_signals(script);
	if (incoming_is_there())
		giveback(script->mailbox, GIVEBACK_MS);
	return true;
}

/* -- one that belongs to a transaction ----------------------------------------------------------
 */

/* The job itself, where nothing ends with the device. */
static bool carry_out(struct script *script, const struct transaction *transaction, GError **error)
{
	enum transaction_kind kind;

	if (!transaction_classify(transaction, true, &kind, error))
		return false;
	switch (kind) {
	case TRANSACTION_REQUEST:
		transaction_request(script->mailbox, transaction, user_name(script));
		return true;
	case TRANSACTION_ANSWER:
		if (!transaction_answer(transaction, user_name(script), error))
			return false;
		break;
	case TRANSACTION_REPEATED:
		journal_say(JOURNAL_WARNING,
			"transaction %s: the file from %s was opened before and is not opened "
			"again; what is open goes on, but this VM must be shut down by hand",
			transaction->seq, transaction->peer);
		break;
	}
	giveback(script->mailbox, GIVEBACK_MS);
	return true;
}

/*
 * The unit of the device may mount, and nothing else; and it is bound to the device, which is given
 * back long before editing is over. So another one carries it out.
 */
static bool dispatch(struct script *script, const struct transaction *transaction, GError **error)
{
	enum transaction_kind kind;
	bool here;

	if (!transaction_classify(transaction, false, &kind, error))
		return false;
	if (script->transaction)
		return carry_out(script, transaction, error);
	return transaction_detach(kind, &here, error) &&
	       (!here || carry_out(script, transaction, error));
}

static bool serve_transaction(struct script *script, const char *seq, GError **error)
{
	g_autoptr(GError) cause = NULL;
	struct transaction transaction;

	/* No mount is to be undone before we end. */
	release_signals(script);
	if (transaction_read(script->mailbox, seq, &transaction, &cause) &&
		dispatch(script, &transaction, &cause))
		return true;
	if (g_error_matches(cause, VM_ERROR, VM_EXIT_KEPT)) {
		g_propagate_error(error, g_steal_pointer(&cause));
		return false;
	}
	journal_say(JOURNAL_ERROR,
		"A pendrive that belongs to a transaction is given back unread: %s",
		cause->message);
	giveback(script->mailbox, GIVEBACK_MS);
	return true;
}

/* -- what is in the slot ------------------------------------------------------------------------
 */

static bool serve(struct script *script, GError **error)
{
	g_autofree char *seq = NULL;

	if (!mailbox_read(script->mailbox, QPEN_KEY_SEQ, &seq, error))
		return false;
	if (!seq) {
		journal_say(JOURNAL_WARNING, "There is a disk " INCOMING_DEVICE
					     " that qfilexchgd did not bring; left alone");
		return true;
	}
	if (strcmp(seq, QPEN_SEQ_NONE) != 0)
		return serve_transaction(script, seq, error);
	return serve_ordinary(script, error);
}

/* -- telling dom0 what we can do --------------------------------------------------------------- */

static void on_written(void *data G_GNUC_UNUSED)
{
	journal_say(JOURNAL_INFO, "told dom0 that this VM reads the guarded layout");
}

static bool tell_ready(struct script *script, GError **error)
{
	bool told;

	if (!ready_tell(script->mailbox, &told, error))
		return false;
	if (told)
		journal_say(JOURNAL_INFO, "told dom0 that this VM has booted");
	return true;
}

/* -- the frame --------------------------------------------------------------------------------- */

static bool open_signals(struct script *script, GError **error)
{
	sigemptyset(&script->signals);
	sigaddset(&script->signals, SIGINT);
	sigaddset(&script->signals, SIGTERM);
	sigaddset(&script->signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &script->signals, NULL);
	script->signal_fd = signalfd(-1, &script->signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (script->signal_fd >= 0)
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "No signalfd from the kernel");
	return false;
}

static bool parse(struct script *script, char **argv, GError **error)
{
	const GOptionEntry entries[] = {
		{"user", 0, 0, G_OPTION_ARG_STRING, &script->user,
			"Whose the files shall be (\"user\")", "NAME"},
		{"announce", 0, 0, G_OPTION_ARG_NONE, &script->announce,
			"Tell dom0 that this VM reads the guarded layout, and stay to tell it "
			"again",
			NULL},
		{"ready", 0, 0, G_OPTION_ARG_NONE, &script->ready,
			"In the template of DisposableVMs: tell dom0 when it has booted", NULL},
		{"supervise", 0, 0, G_OPTION_ARG_NONE, &script->supervise,
			"Without systemd: wait for pendrives, and do this for each that comes",
			NULL},
		{"transaction", 0, 0, G_OPTION_ARG_NONE, &script->transaction,
			"Carry out a transaction here, in a unit made for that", NULL},
		{"version", 0, 0, G_OPTION_ARG_NONE, &script->version, "Print the version and exit",
			NULL},
		{G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &script->words, NULL, NULL},
		{0},
	};
	g_autoptr(GOptionContext) context = g_option_context_new(QPEN_INCOMING_NAME);
	g_auto(GStrv) copy = g_strdupv(argv);
	g_autoptr(GError) option_error = NULL;
	guint count;

	g_option_context_set_summary(context, "Run by systemd: mounts a received pendrive and "
					      "gives it back when it was unmounted.");
	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse_strv(context, &copy, &option_error))
		return vm_fail_usage(error, option_error->message);
	count = script->words ? g_strv_length(script->words) : 0;
	if (script->version)
		return true;
	if (script->announce + script->ready + script->supervise > 1)
		return vm_fail_usage(error, "one of --announce, --ready and --supervise");
	if (script->announce || script->ready || script->supervise)
		return count == 0 ||
		       vm_fail_usage(error, "--announce, --ready and --supervise take no device");
	if (count != 1 || strcmp(script->words[0], QPEN_INCOMING_NAME) != 0)
		return vm_fail_usage(error, "the device is " QPEN_INCOMING_NAME);
	return true;
}

static const char *setting(const char *name, const char *usual)
{
	const char *value = getenv(name);

	return value && *value ? value : usual;
}

/* Each pendrive gets a process of its own, this program again, as in systemd's unit. */
static bool supervise(const struct script *script, GError **error)
{
	g_autofree char *self = g_file_read_link("/proc/self/exe", error);
	g_autofree char *user = g_strconcat("--user=", user_name(script), NULL);
	g_autofree char *lock =
		g_build_filename(setting("QPEN_RUN", "/run/qubes-pendrive"), "supervisor", NULL);
	const char *const worker[] = {self, user, QPEN_INCOMING_NAME, NULL};
	const struct supervisor_terms terms = {
		.device = setting("QPEN_INCOMING", INCOMING_DEVICE),
		.lock = lock,
		.worker = worker,
	};

	return self && supervisor_run(&terms, error);
}

static bool run(struct script *script, GError **error)
{
	if (script->supervise)
		return supervise(script, error);
	if (!script->announce && !script->ready && !open_signals(script, error))
		return false;
	script->mailbox = mailbox_open(error);
	if (!script->mailbox)
		return false;
	if (script->announce)
		return mailbox_keep(
			script->mailbox, QPEN_KEY_VERSION, QPEN_VERSION, on_written, NULL, error);
	return script->ready ? tell_ready(script, error) : serve(script, error);
}

int main(int argc G_GNUC_UNUSED, char **argv)
{
	struct script script = {.signal_fd = -1};
	g_autoptr(GError) error = NULL;

	(void)setlocale(LC_ALL, "");
	journal_set_program(PROGRAM);
	if (parse(&script, argv, &error)) {
		if (script.version)
			vm_print(PROGRAM " %s\n", QFX_VERSION);
		else
			run(&script, &error);
	}
	mailbox_close(script.mailbox);
	g_strfreev(script.words);
	g_free(script.user);
	if (script.signal_fd >= 0)
		close(script.signal_fd);
	if (error)
		journal_say(JOURNAL_ERROR, "%s", error->message);
	return vm_exit_status(error);
}
