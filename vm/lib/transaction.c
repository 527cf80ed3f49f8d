/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transaction.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "argv.h"
#include "asuser.h"
#include "fail.h"
#include "giveback.h"
#include "incoming.h"
#include "journal.h"
#include "qpen_words.h"
#include "scope.h"
#include "words.h"

#define RUN_FOLDER "/run/qubes-pendrive"
/* The request that was opened, and the answer that is being stored. */
#define MARKER_REQUEST "transaction"
#define MARKER_ANSWER "answer"
#define PROGRAMS_FOLDER "/usr/lib/qubes"
#define REQUEST_UNIT "qubes-dvm-transaction.service"
#define ANSWER_UNIT "qubes-dvm-answer.service"
#define SYSTEMD_SIGN "/run/systemd/system"

/* Who reads what other VMs wrote, and nothing else. */
#define READER_USER "qubes-pendrive"
#define READER_PROGRAM "qubes_dvm_read"
/* How long the reader may take to end when nobody listens to it any more. */
#define READER_END_MS (30 * 1000)

/* Reading a pendrive and storing a file are work for a machine: they end, or hang for good. */
#define MACHINE_MS (3600 * 1000)
/* The word of qubes_dvm_open. */
#define WORD_READ "read\n"

/* For tests; whoever starts root's programs may set root's environment. */
static const char *setting(const char *variable, const char *otherwise)
{
	const char *value = getenv(variable);

	return value && *value ? value : otherwise;
}

/* -- what it is ---------------------------------------------------------------------------------
 */

static bool fail_key(GError **error, const char *key, const char *untrusted_value, const char *why)
{
	g_autofree char *shown =
		untrusted_value ? vm_printable(untrusted_value, -1) : g_strdup("missing");

	g_set_error(
		error, VM_ERROR, VM_EXIT_FAILED, "%s in xenstore is %s (\"%s\")", key, why, shown);
	return false;
}

static bool read_words(
	struct mailbox *mailbox, const char *seq, struct transaction *out, GError **error)
{
	g_autofree char *peer = NULL;
	g_autofree char *offset = NULL;

	if (!mailbox_read(mailbox, QPEN_KEY_BLOCKSRC, &peer, error) ||
		!mailbox_read(mailbox, QPEN_KEY_OFFSET, &offset, error))
		return false;
	if (!qpen_is_seq(seq, strlen(seq)))
		return fail_key(error, QPEN_KEY_SEQ, seq, "no SEQ");
	if (!peer || !qpen_is_vm_name(peer, strlen(peer)))
		return fail_key(error, QPEN_KEY_BLOCKSRC, peer, "no VM's name");
	if (!offset || !incoming_parse_offset(offset, &out->offset))
		return fail_key(error, QPEN_KEY_OFFSET, offset, "neither 0 nor 65536");
	g_strlcpy(out->seq, seq, sizeof out->seq);
	g_strlcpy(out->peer, peer, sizeof out->peer);
	return true;
}

bool transaction_read(
	struct mailbox *mailbox, const char *seq, struct transaction *out, GError **error)
{
	g_autofree char *mode = NULL;
	g_autofree char *type = NULL;

	memset(out, 0, sizeof *out);
	if (!mailbox_read(mailbox, QPEN_KEY_MODE, &mode, error) ||
		!mailbox_read(mailbox, QPEN_KEY_VM_TYPE, &type, error) ||
		!read_words(mailbox, seq, out, error))
		return false;
	out->disposable = type && strcmp(type, QPEN_VM_TYPE_DISPOSABLE) == 0;
	out->view = mode && strcmp(mode, QPEN_MODE_VIEW) == 0;
	if (!out->disposable || out->view || (mode && strcmp(mode, QPEN_MODE_EDIT) == 0))
		return true;
	return fail_key(error, QPEN_KEY_MODE, mode, "neither edit nor view");
}

/* -- served before? -----------------------------------------------------------------------------
 */

static bool fail_marker(const char *folder, GError **error)
{
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		"It cannot be remembered in %s which transaction was begun: %s", folder,
		g_strerror(errno));
	return false;
}

/* What stands in the marker; NULL with a success: there is none. */
static bool read_marker(const char *folder, const char *marker, char **out, GError **error)
{
	g_autofree char *path = g_build_filename(folder, marker, NULL);
	g_autoptr(GError) cause = NULL;

	*out = NULL;
	if (g_file_get_contents(path, out, NULL, &cause) ||
		g_error_matches(cause, G_FILE_ERROR, G_FILE_ERROR_NOENT))
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s", cause->message);
	return false;
}

/* There and complete, or not there: g_file_set_contents writes beside it and renames. */
static bool write_marker(const char *folder, const char *marker, const char *text, GError **error)
{
	g_autofree char *path = g_build_filename(folder, marker, NULL);

	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return fail_marker(folder, error);
	return g_file_set_contents(path, text, -1, error);
}

static char *marker_text(const struct transaction *transaction)
{
	return g_strdup_printf("%s %s\n", transaction->peer, transaction->seq);
}

bool transaction_classify(const struct transaction *transaction, bool claim,
	enum transaction_kind *out, GError **error)
{
	const char *folder = setting("QPEN_RUN", RUN_FOLDER);
	g_autofree char *text = marker_text(transaction);
	g_autofree char *present = NULL;

	*out = TRANSACTION_ANSWER;
	if (!transaction->disposable)
		return true;
	if (!read_marker(folder, MARKER_REQUEST, &present, error))
		return false;
	if (present) {
		if (strcmp(present, text) == 0)
			*out = TRANSACTION_REPEATED;
		return true;
	}
	*out = TRANSACTION_REQUEST;
	return !claim || write_marker(folder, MARKER_REQUEST, text, error);
}

/* -- the user's program -------------------------------------------------------------------------
 */

struct program {
	const char *name;     /* in PROGRAMS_FOLDER */
	const char *words[8]; /* behind the name; NULL-terminated */
	int out;              /* its standard output, or -1; borrowed */
};

static int open_device(GError **error)
{
	const char *path = setting("QPEN_INCOMING", INCOMING_DEVICE);
	int device = open(path, O_RDONLY | O_CLOEXEC);

	if (device < 0)
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s cannot be opened: %s", path,
			g_strerror(errno));
	return device;
}

static char *program_path(const char *name)
{
	return g_build_filename(setting("QPEN_PROGRAMS", PROGRAMS_FOLDER), name, NULL);
}

/* Nothing of the environment is its business but where its complaints go. */
static char **reader_environment(void)
{
	const char *journal = getenv("JOURNAL_STREAM");
	char **environment = g_new0(char *, 1);

	return journal ? g_environ_setenv(environment, "JOURNAL_STREAM", journal, TRUE)
		       : environment;
}

static bool find_reader(struct asuser *out, GError **error)
{
	const char *name = setting("QPEN_READER", READER_USER);

	if (asuser_find(name, out, NULL))
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		"There is no user \"%s\" in this VM to read what others wrote; run "
		"/usr/share/qubes-pendrive/post-install",
		name);
	return false;
}

/* It alone has the device, and its end of the socket; ours of both are closed again. */
static pid_t spawn_reader(uint64_t offset, int socket, GError **error)
{
	g_autofree char *path = program_path(READER_PROGRAM);
	g_autofree char *option = g_strdup_printf("--offset=%" G_GUINT64_FORMAT, offset);
	const char *const argv[] = {path, option, NULL};
	g_auto(GStrv) environment = reader_environment();
	autofd device = open_device(error);
	struct asuser user;
	pid_t pid;

	if (device < 0 || !find_reader(&user, error))
		return -1;
	pid = asuser_spawn(&user,
		&(struct asuser_job){
			.argv = argv, .environment = environment, .in = device, .out = socket},
		error);
	asuser_finish(&user);
	return pid;
}

static pid_t spawn_program(
	const struct program *program, const char *user_name, int socket, GError **error)
{
	g_autofree char *path = program_path(program->name);
	const char *argv[G_N_ELEMENTS(program->words) + 1] = {path};
	g_auto(GStrv) environment = NULL;
	struct asuser user;
	pid_t pid;

	if (!asuser_find(user_name, &user, error))
		return -1;
	environment =
		asuser_environment(&user, setting("QPEN_ENVIRONMENT", TRANSACTION_ENVIRONMENT));
	memcpy(argv + 1, program->words, sizeof program->words);
	pid = asuser_spawn(&user,
		&(struct asuser_job){
			.argv = argv,
			.environment = environment,
			.in = socket,
			.out = program->out,
		},
		error);
	asuser_finish(&user);
	return pid;
}

/* The program of the user, and who reads the pendrive for it. */
struct pair {
	pid_t reader, program;
};

/*
 * The reader ends when its socket is closed, since nobody listens any more. So the pendrive is open
 * nowhere when this returns. Idempotent.
 */
static void end_reader(struct pair *pair)
{
	g_autoptr(GError) error = NULL;
	int status;

	if (pair->reader > 0 && !asuser_wait(pair->reader, READER_END_MS, &status, &error))
		journal_say(JOURNAL_WARNING, READER_PROGRAM ": %s", error->message);
	pair->reader = 0;
}

static bool spawn(const struct program *program, uint64_t offset, const char *user_name,
	struct pair *out, GError **error)
{
	int ends[2] = {-1, -1};
	struct pair pair = {0};

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "No socket: %s", g_strerror(errno));
	else
		pair.reader = spawn_reader(offset, ends[0], error);
	if (pair.reader > 0)
		pair.program = spawn_program(program, user_name, ends[1], error);
	scope_close_fd(&ends[0]);
	scope_close_fd(&ends[1]);
	if (pair.program <= 0)
		end_reader(&pair);
	*out = pair;
	return pair.program > 0;
}

/* -- an answer ----------------------------------------------------------------------------------
 */

/* True: nothing is to be done with it any more. */
static bool tell_answer(const struct transaction *transaction, int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	if (code == VM_EXIT_OK)
		journal_say(JOURNAL_INFO, "transaction %s: the file from %s was stored",
			transaction->seq, transaction->peer);
	else if (code == VM_EXIT_ERROR)
		journal_say(JOURNAL_WARNING,
			"transaction %s: the answer from %s was refused; nothing was changed here",
			transaction->seq, transaction->peer);
	else
		journal_say(JOURNAL_ERROR, "transaction %s: qubes_dvm_store ended with %s %d",
			transaction->seq, code < 0 ? "signal" : "status",
			code < 0 ? WTERMSIG(status) : code);
	return code == VM_EXIT_OK || code == VM_EXIT_ERROR;
}

/* Whether this answer was begun before; from now on it was. */
static bool begin_answer(const struct transaction *transaction, bool *out_again, GError **error)
{
	const char *folder = setting("QPEN_RUN", RUN_FOLDER);
	g_autofree char *text = marker_text(transaction);
	g_autofree char *present = NULL;

	if (!read_marker(folder, MARKER_ANSWER, &present, error))
		return false;
	*out_again = present && strcmp(present, text) == 0;
	return *out_again || write_marker(folder, MARKER_ANSWER, text, error);
}

static void end_answer(void)
{
	g_autofree char *path =
		g_build_filename(setting("QPEN_RUN", RUN_FOLDER), MARKER_ANSWER, NULL);

	unlink(path);
}

static bool store_answer(
	const struct transaction *transaction, const char *user_name, GError **error)
{
	g_autofree char *offset =
		g_strdup_printf("--offset=%" G_GUINT64_FORMAT, transaction->offset);
	g_autofree char *from = g_strconcat("--from=", transaction->peer, NULL);
	struct program program = {
		.name = "qubes_dvm_store", .words = {offset, from, transaction->seq}, .out = -1};
	struct pair pair;
	bool again;
	bool ended;
	int status = 0;

	if (!begin_answer(transaction, &again, error))
		return false;
	if (again)
		program.words[3] = "--again";
	if (!spawn(&program, transaction->offset, user_name, &pair, error))
		return false;
	ended = asuser_wait(pair.program, MACHINE_MS, &status, error);
	end_reader(&pair);
	if (!ended)
		return false;
	if (tell_answer(transaction, status))
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "see what qubes_dvm_store said above");
	return false;
}

bool transaction_answer(
	const struct transaction *transaction, const char *user_name, GError **error)
{
	g_autoptr(GError) cause = NULL;

	if (store_answer(transaction, user_name, &cause)) {
		end_answer();
		return true;
	}
	g_set_error(error, VM_ERROR, VM_EXIT_KEPT,
		"transaction %s: the answer from %s could NOT be stored (%s). It STAYS on the "
		"pendrive " INCOMING_DEVICE " until dom0 takes that back: make room, then run "
		"`systemctl restart qubes-pendrive@" QPEN_INCOMING_NAME ".service`",
		transaction->seq, transaction->peer, cause->message);
	return false;
}

/* -- a request ----------------------------------------------------------------------------------
 */

/* Whether the program says that the file is read. It is silent where it fails, and then it ends. */
static bool hear_read(int from)
{
	char buffer[sizeof WORD_READ] = {0};
	struct pollfd pollfd = {.fd = from, .events = POLLIN};
	gint64 end_us = g_get_monotonic_time() + (gint64)MACHINE_MS * 1000;
	size_t len = 0;

	while (len < strlen(WORD_READ)) {
		gint64 left_ms = (end_us - g_get_monotonic_time()) / 1000;
		int r = left_ms > 0 ? poll(&pollfd, 1, (int)left_ms) : 0;
		ssize_t got;

		if (r < 0 && errno == EINTR)
			continue;
		got = r > 0 ? read(from, buffer + len, strlen(WORD_READ) - len) : 0;
		if (got <= 0)
			return false;
		len += (size_t)got;
	}
	return strcmp(buffer, WORD_READ) == 0;
}

static bool start_open(const struct transaction *transaction, const char *user_name, int out,
	struct pair *pair, GError **error)
{
	g_autofree char *offset =
		g_strdup_printf("--offset=%" G_GUINT64_FORMAT, transaction->offset);
	g_autofree char *opener = g_strconcat("--opener=", transaction->peer, NULL);
	g_autofree char *mode =
		g_strconcat("--mode=", transaction->view ? QPEN_MODE_VIEW : QPEN_MODE_EDIT, NULL);
	const struct program program = {.name = "qubes_dvm_open",
		.words = {offset, opener, mode, transaction->seq},
		.out = out};

	return spawn(&program, transaction->offset, user_name, pair, error);
}

static void ask_killme(struct mailbox *mailbox)
{
	const struct mailbox_terms terms = {.take_ms = GIVEBACK_MS, .reply_ms = GIVEBACK_MS};
	g_autoptr(GError) error = NULL;
	struct reply reply;

	if (!mailbox_ask(mailbox, "killme", &terms, &reply, &error))
		journal_say(JOURNAL_ERROR,
			"dom0 could not be asked to end this VM: %s; shut it down yourself",
			error->message);
	else if (reply.kind == REPLY_ERROR)
		journal_say(JOURNAL_ERROR,
			"dom0 does not end this VM: %s (dom0 says: %s: %s); shut it down yourself",
			words_error(reply.error), qpen_error_name(reply.error), reply.text);
	else
		journal_say(JOURNAL_INFO, "dom0 ends this VM");
}

/*
 * Nobody has seen the file, so nothing is lost with this VM; but `killme` would have the opener
 * read that the file was closed unchanged. A VM that goes by itself is told as `lost`.
 */
static void power_off(struct mailbox *mailbox)
{
	const char *const words[] = {"systemctl", "poweroff", NULL};
	g_auto(GStrv) argv = argv_copy(words);
	g_autoptr(GError) error = NULL;
	int status = 0;

	if (access(setting("QPEN_SYSTEMD", SYSTEMD_SIGN), F_OK) == 0 &&
		g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status,
			&error) &&
		status == 0) {
		journal_say(JOURNAL_INFO, "this VM shuts down");
		return;
	}
	if (error)
		journal_say(JOURNAL_WARNING, "systemctl poweroff: %s", error->message);
	ask_killme(mailbox);
}

static void end_of_editing(struct mailbox *mailbox, bool was_read, int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	if (code == VM_EXIT_OK || code == VM_EXIT_UNCHANGED) {
		journal_say(JOURNAL_INFO, "editing is over: %s",
			code == VM_EXIT_OK ? "the changed file was sent" : "no change");
		ask_killme(mailbox);
	} else if (!was_read || code == VM_EXIT_USAGE || code == VM_EXIT_FAILED) {
		journal_say(JOURNAL_ERROR,
			"The file could not be opened (qubes_dvm_open: %s %d); this VM is of no "
			"use any more",
			code < 0 ? "signal" : "status", code < 0 ? WTERMSIG(status) : code);
		power_off(mailbox);
	} else {
		journal_say(JOURNAL_ERROR,
			"This VM STAYS, since it may hold an edit that was not sent "
			"(qubes_dvm_open: %s %d): its files are in qubes-dvm-* under "
			"/run/user/UID, /tmp or /var/tmp; copy what you need with qvm-copy-to-vm, "
			"then shut this VM down",
			code < 0 ? "signal" : "status", code < 0 ? WTERMSIG(status) : code);
	}
}

/* The pendrive is given back as soon as nothing of it is needed: the slot is free for others. */
static void supervise(struct mailbox *mailbox, struct pair *pair, int from)
{
	bool was_read = hear_read(from);
	g_autoptr(GError) error = NULL;
	int status = 0;

	/* Alive or not, it did not get the file; and it must not begin later. */
	if (!was_read)
		kill(pair->program, SIGKILL);
	end_reader(pair);
	if (was_read)
		giveback(mailbox, GIVEBACK_MS);
	if (!asuser_wait(pair->program, -1, &status, &error)) {
		journal_say(JOURNAL_ERROR, "This VM STAYS: qubes_dvm_open: %s", error->message);
		return;
	}
	if (!was_read)
		giveback(mailbox, GIVEBACK_MS);
	end_of_editing(mailbox, was_read, status);
}

static void fail_request(
	struct mailbox *mailbox, const struct transaction *transaction, const char *why)
{
	journal_say(JOURNAL_ERROR,
		"transaction %s: the file from %s could not be opened: %s; this VM is of no use "
		"any more",
		transaction->seq, transaction->peer, why);
	giveback(mailbox, GIVEBACK_MS);
	power_off(mailbox);
}

void transaction_request(
	struct mailbox *mailbox, const struct transaction *transaction, const char *user_name)
{
	g_autoptr(GError) error = NULL;
	int pipe_fds[2] = {-1, -1};
	struct pair pair = {0};

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		g_set_error(&error, VM_ERROR, VM_EXIT_FAILED, "No pipe: %s", g_strerror(errno));
	else
		start_open(transaction, user_name, pipe_fds[1], &pair, &error);
	scope_close_fd(&pipe_fds[1]);
	if (pair.program > 0)
		supervise(mailbox, &pair, pipe_fds[0]);
	else
		fail_request(mailbox, transaction, error->message);
	scope_close_fd(&pipe_fds[0]);
}

/* -- into another unit --------------------------------------------------------------------------
 */

static bool start_unit(const char *unit, GError **error)
{
	const char *const words[] = {"systemctl", "--no-block", "start", unit, NULL};
	g_auto(GStrv) argv = argv_copy(words);
	g_autoptr(GError) cause = NULL;
	int status = 0;

	if (g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status,
		    &cause) &&
		status == 0)
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "systemctl start %s: %s", unit,
		cause ? cause->message : "it failed");
	return false;
}

bool transaction_detach(enum transaction_kind kind, bool *out_here, GError **error)
{
	pid_t pid;

	*out_here = false;
	if (access(setting("QPEN_SYSTEMD", SYSTEMD_SIGN), F_OK) == 0)
		return start_unit(kind == TRANSACTION_REQUEST ? REQUEST_UNIT : ANSWER_UNIT, error);
	if (kind != TRANSACTION_REQUEST) {
		*out_here = true;
		return true;
	}
	pid = fork();
	if (pid < 0) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "No process in the background: %s",
			g_strerror(errno));
		return false;
	}
	*out_here = pid == 0;
	if (pid == 0)
		setsid();
	return true;
}
