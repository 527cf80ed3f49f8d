/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes_add_pendrive_script(8): run by systemd, as root, for as long as a pendrive is in the
 * incoming slot. Mounts it, waits until somebody unmounts it, and gives it back to dom0.
 */
#include <locale.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>

#include "fail.h"
#include "incoming.h"
#include "mailbox.h"
#include "qpen_contract.h"
#include "scope.h"
#include "words.h"

/* The daemon may be restarted meanwhile; the unit ends with the device in any case. */
#define GIVE_BACK_MS (3600u * 1000u)
/* When systemd wants us to end. */
#define GIVE_BACK_STOP_MS 5000u

#define PROGRAM "qubes_add_pendrive_script"

struct script {
	char **words;
	char *user;
	gboolean announce;
	gboolean version;
	struct mailbox *mailbox;
	sigset_t signals;
	int signal_fd;
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

/* -- giving it back ---------------------------------------------------------------------------- */

/* The device is pulled as part of the answer, and systemd then ends us: that is no failure. */
static void give_back(struct script *script, unsigned timeout_ms)
{
	const struct mailbox_terms terms = {.take_ms = timeout_ms, .reply_ms = timeout_ms};
	g_autoptr(GError) error = NULL;
	struct reply reply;

	if (mailbox_ask(script->mailbox, "umount", &terms, &reply, &error)) {
		if (reply.kind == REPLY_OK)
			say(LEVEL_INFO, "given back to dom0");
		else if (reply.error == QPEN_ERROR_NO_PENDRIVE)
			say(LEVEL_INFO, "dom0 has taken it back already");
		else
			say(LEVEL_WARNING, "giving the pendrive back: %s (dom0 says: %s: %s)",
				words_error(reply.error), qpen_error_name(reply.error), reply.text);
		return;
	}
	if (incoming_is_there())
		say(LEVEL_ERROR,
			"The pendrive could not be given back: %s; its slot stays taken until you "
			"run "
			"/usr/lib/qubes/qubes_penctl umount",
			error->message);
}

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
		say(LEVEL_WARNING,
			"dom0 has pulled the pendrive while it was mounted; " INCOMING_FOLDER
			" was unmounted");
		return;
	}
	say(LEVEL_INFO, "told to end; " INCOMING_FOLDER " was unmounted");
	give_back(script, GIVE_BACK_STOP_MS);
}

/* -- bringing it in ---------------------------------------------------------------------------- */

/* Who the files shall belong to. */
static void find_user(const struct script *script, uid_t *out_uid, gid_t *out_gid)
{
	const char *name = script->user ? script->user : "user";
	const struct passwd *passwd = getpwnam(name);

	*out_uid = passwd ? passwd->pw_uid : 0;
	*out_gid = passwd ? passwd->pw_gid : 0;
	if (!passwd)
		say(LEVEL_WARNING, "There is no user \"%s\"; the files will be root's (see --user)",
			name);
}

/* Whether what is in the slot is an ordinary pendrive, and ours to mount. */
static bool read_kind(struct script *script, bool *out_ordinary, GError **error)
{
	g_autofree char *seq = NULL;
	g_autofree char *shown = NULL;

	*out_ordinary = false;
	if (!mailbox_read(script->mailbox, QPEN_KEY_SEQ, &seq, error))
		return false;
	if (!seq) {
		say(LEVEL_WARNING, "There is a disk " INCOMING_DEVICE
				   " that qfilexchgd did not bring; left alone");
	} else if (strcmp(seq, QPEN_SEQ_NONE) == 0) {
		*out_ordinary = true;
	} else {
		shown = vm_printable(seq, -1);
		say(LEVEL_WARNING,
			"The pendrive belongs to transaction \"%s\", which these tools cannot "
			"serve; "
			"left alone",
			shown);
	}
	return true;
}

static char *sender_name(struct script *script)
{
	g_autofree char *name = NULL;

	if (!mailbox_read(script->mailbox, QPEN_KEY_BLOCKSRC, &name, NULL) || !name)
		return g_strdup("another VM");
	return vm_printable(name, -1);
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

static bool bring_in(struct script *script, dev_t *out_mounted, GError **error)
{
	uint64_t offset;
	uid_t uid;
	gid_t gid;

	if (incoming_is_mounted(out_mounted)) {
		say(LEVEL_INFO, "it is mounted already");
		return true;
	}
	find_user(script, &uid, &gid);
	return read_offset(script, &offset, error) &&
	       incoming_mount(offset, uid, gid, out_mounted, error);
}

static bool serve(struct script *script, GError **error)
{
	g_autofree char *sender = NULL;
	g_autoptr(GError) mount_error = NULL;
	enum incoming_end end;
	bool ordinary;
	dev_t mounted;

	if (!read_kind(script, &ordinary, error))
		return false;
	if (!ordinary)
		return true;
	sender = sender_name(script);
	if (!bring_in(script, &mounted, &mount_error)) {
		/* One that nobody can read must not keep others out of the slot. */
		say(LEVEL_ERROR,
			"The pendrive from %s could not be mounted and is given back unread: %s. "
			"To use "
			"such a pendrive by hand, run `systemctl mask qubes-pendrive@xvdh.service` "
			"before "
			"it is sent",
			sender, mount_error->message);
		release_signals(script);
		give_back(script, GIVE_BACK_MS);
		return true;
	}
	say(LEVEL_INFO, "the pendrive from %s is mounted at " INCOMING_FOLDER, sender);
	end = incoming_wait(mounted, script->signal_fd, error);
	if (end == INCOMING_FAILED)
		return false;
	if (end == INCOMING_STOPPED) {
		end_stopped(script, mounted);
		return true;
	}
	say(LEVEL_INFO, INCOMING_FOLDER " was unmounted");
	release_signals(script);
	if (incoming_is_there())
		give_back(script, GIVE_BACK_MS);
	return true;
}

/* -- telling dom0 what we can do --------------------------------------------------------------- */

static void on_written(void *data G_GNUC_UNUSED)
{
	say(LEVEL_INFO, "told dom0 that this VM reads the guarded layout");
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
	if (script->announce)
		return count == 0 || vm_fail_usage(error, "--announce takes no device");
	if (count != 1 || strcmp(script->words[0], QPEN_INCOMING_NAME) != 0)
		return vm_fail_usage(error, "the device is " QPEN_INCOMING_NAME);
	return true;
}

static bool run(struct script *script, GError **error)
{
	if (!script->announce && !open_signals(script, error))
		return false;
	script->mailbox = mailbox_open(error);
	if (!script->mailbox)
		return false;
	if (script->announce)
		return mailbox_keep(
			script->mailbox, QPEN_KEY_VERSION, QPEN_VERSION, on_written, NULL, error);
	return serve(script, error);
}

int main(int argc G_GNUC_UNUSED, char **argv)
{
	struct script script = {.signal_fd = -1};
	g_autoptr(GError) error = NULL;

	(void)setlocale(LC_ALL, "");
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
		say(LEVEL_ERROR, "%s", error->message);
	return vm_exit_status(error);
}
