/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mailbox.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xenstore.h>

#include "fail.h"
#include "qpen_contract.h"

/* How often a transaction may collide before we give up; each collision means somebody else moved.
 */
#define TRANSACTION_TRIES 100
#define ID_LENGTH 16

/* Shown where /dev/xen/xenbus cannot be used. */
#define ADVICE_XENBUS                                                                              \
	"is this a Xen VM, and are you in the group `qubes`? "                                     \
	"(/dev/xen/xenbus must be readable and writable for you; log in again after joining)"
#define ADVICE_DAEMON "does qfilexchgd run in dom0?"

/* For what libxenstore allocates with malloc. */
static void free_value(char *const *value)
{
	free(*value);
}
#define autofree_xs __attribute__((cleanup(free_value))) char

static const int ending_signals[] = {SIGINT, SIGTERM, SIGHUP};

struct mailbox {
	struct xs_handle *xs;
	/*
	 * The watches of a conversation are set up once and stay: xs_unwatch of libxenstore 4.17
	 * loses the memory of events that it filters out.
	 */
	bool watching;
};

enum stage {
	STAGE_POST,  /* the mailbox is full, or not there yet */
	STAGE_TAKE,  /* our request lies in it */
	STAGE_REPLY, /* dom0 has it */
	STAGE_DONE,
};

struct ask {
	struct mailbox *mailbox;
	const struct mailbox_terms *terms;
	enum stage stage;
	char id[ID_LENGTH + 1];
	char reply_key[sizeof QPEN_KEY_REPLY + 1 + ID_LENGTH];
	char *line;  /* the request with its ID */
	char *seen;  /* what stood in the mailbox last, for messages; NULL: there was none */
	bool posted; /* it was in the mailbox, and may have been taken */
	bool waited; /* on_wait was called, with last_wait */
	enum qpen_wait last_wait;
	struct reply reply; /* STAGE_DONE without an error */
	GError *error;      /* STAGE_DONE with one */
};

/* -- small helpers over libxenstore ------------------------------------------------------------ */

static void fail_xenstore(GError **error, const char *what, const char *key, int err)
{
	if (err == EACCES)
		g_set_error(error, VM_ERROR, VM_EXIT_NO_ANSWER,
			"%s of %s in xenstore is not allowed: " ADVICE_DAEMON, what, key);
	else
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s of %s in xenstore failed: %s",
			what, key, g_strerror(err));
}

/* *out is NULL where there is no such key. */
static bool read_key(struct xs_handle *xs, xs_transaction_t transaction, const char *key,
	char **out, unsigned *out_len, GError **error)
{
	*out = xs_read(xs, transaction, key, out_len);
	if (*out || errno == ENOENT)
		return true;
	fail_xenstore(error, "Reading", key, errno);
	return false;
}

/* A path of small letters and digits: 16 of 36 are more than 80 bits, so no two requests meet. */
static bool choose_id(char out[ID_LENGTH + 1], GError **error)
{
	static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	unsigned char bytes[ID_LENGTH];

	if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			"No random numbers from the kernel: %s", g_strerror(errno));
		return false;
	}
	for (size_t i = 0; i < ID_LENGTH; i++)
		out[i] = alphabet[bytes[i] % (sizeof alphabet - 1)];
	out[ID_LENGTH] = '\0';
	return true;
}

/* -- one compare-and-write in a transaction ---------------------------------------------------- */

/*
 * Writes `value` where the mailbox holds exactly `wanted`. *out_done tells whether it did,
 * *out_seen (to be freed, NULL: no such key) what stood there.
 */
static bool swap_once(struct xs_handle *xs, const char *wanted, const char *value, bool *out_done,
	char **out_seen, bool *out_again, GError **error)
{
	xs_transaction_t transaction = xs_transaction_start(xs);
	unsigned len = 0;
	bool match;
	bool ok;

	*out_done = false;
	*out_again = false;
	*out_seen = NULL;
	if (transaction == XBT_NULL) {
		fail_xenstore(error, "Opening a transaction for a write", QPEN_KEY_REQUEST, errno);
		return false;
	}
	ok = read_key(xs, transaction, QPEN_KEY_REQUEST, out_seen, &len, error);
	match = ok && *out_seen && len == strlen(wanted) && memcmp(*out_seen, wanted, len) == 0;
	if (match && !xs_write(xs, transaction, QPEN_KEY_REQUEST, value, (unsigned)strlen(value))) {
		fail_xenstore(error, "Writing", QPEN_KEY_REQUEST, errno);
		ok = false;
	}
	if (!ok || !match) {
		xs_transaction_end(xs, transaction, true);
		return ok;
	}
	*out_done = xs_transaction_end(xs, transaction, false);
	if (*out_done)
		return true;
	if (errno == EAGAIN) {
		*out_again = true;
		return true;
	}
	fail_xenstore(error, "Writing", QPEN_KEY_REQUEST, errno);
	return false;
}

static bool swap(struct xs_handle *xs, const char *wanted, const char *value, bool *out_done,
	char **out_seen, GError **error)
{
	for (unsigned i = 0; i < TRANSACTION_TRIES; i++) {
		autofree_xs *seen = NULL;
		bool again;

		if (!swap_once(xs, wanted, value, out_done, &seen, &again, error))
			return false;
		if (again)
			continue;
		if (out_seen)
			*out_seen = g_strdup(seen);
		return true;
	}
	fail_xenstore(error, "Writing", QPEN_KEY_REQUEST, EAGAIN);
	return false;
}

/* -- the conversation -------------------------------------------------------------------------- */

static void finish(struct ask *ask)
{
	ask->stage = STAGE_DONE;
}

static bool advance_post(struct ask *ask)
{
	bool posted;

	g_clear_pointer(&ask->seen, g_free);
	if (!swap(ask->mailbox->xs, "", ask->line, &posted, &ask->seen, &ask->error)) {
		finish(ask);
		return false;
	}
	if (!posted)
		return false;
	ask->posted = true;
	ask->stage = STAGE_TAKE;
	if (ask->terms->no_wait)
		finish(ask);
	return ask->stage != STAGE_DONE;
}

static bool advance_take(struct ask *ask)
{
	autofree_xs *value = NULL;
	unsigned len;

	if (!read_key(ask->mailbox->xs, XBT_NULL, QPEN_KEY_REQUEST, &value, &len, &ask->error)) {
		finish(ask);
		return false;
	}
	/* Empty, gone or somebody else's: ours is not there any more. */
	if (value && strcmp(value, ask->line) == 0)
		return false;
	ask->stage = STAGE_REPLY;
	return true;
}

static void take_reply(struct ask *ask, const struct reply *reply)
{
	switch (reply->kind) {
	case REPLY_WAIT:
		if (ask->waited && ask->last_wait == reply->wait)
			return;
		ask->waited = true;
		ask->last_wait = reply->wait;
		if (ask->terms->on_wait && !ask->terms->on_wait(reply, ask->terms->data)) {
			ask->reply = *reply;
			finish(ask);
		}
		return;
	case REPLY_OK:
	case REPLY_ERROR:
		ask->reply = *reply;
		finish(ask);
		return;
	}
}

static void advance_reply(struct ask *ask)
{
	autofree_xs *value = NULL;
	g_autofree char *shown = NULL;
	struct reply reply;
	unsigned len;

	if (!read_key(ask->mailbox->xs, XBT_NULL, ask->reply_key, &value, &len, &ask->error)) {
		finish(ask);
		return;
	}
	/* The node is made empty, or with the first reply; both are no answer yet. */
	if (!value || len == 0)
		return;
	if (reply_parse(value, len, ask->id, &reply) == REPLY_PARSED) {
		take_reply(ask, &reply);
		return;
	}
	shown = vm_printable(value, (gssize)len);
	g_set_error(&ask->error, VM_ERROR, VM_EXIT_NO_ANSWER,
		"dom0's answer is not one that this program knows: \"%s\"; "
		"are the two sides of different versions?",
		shown);
	finish(ask);
}

static void advance(struct ask *ask)
{
	if (ask->stage == STAGE_POST && !advance_post(ask))
		return;
	if (ask->stage == STAGE_TAKE && !advance_take(ask))
		return;
	if (ask->stage == STAGE_REPLY)
		advance_reply(ask);
}

/* -- events ------------------------------------------------------------------------------------ */

/* Takes all pending events; what they say does not matter, since everything is read afresh. */
static bool drain_watches(struct xs_handle *xs, GError **error)
{
	char **event;

	while ((event = xs_check_watch(xs)))
		free(event);
	if (errno == EAGAIN)
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "The connection to xenstore broke: %s",
		g_strerror(errno));
	return false;
}

static gboolean on_readable(
	gint fd G_GNUC_UNUSED, GIOCondition condition G_GNUC_UNUSED, gpointer data)
{
	struct ask *ask = data;

	/* Another source of the same round may have ended the wait. */
	if (ask->stage == STAGE_DONE)
		return G_SOURCE_CONTINUE;
	if (!drain_watches(ask->mailbox->xs, &ask->error))
		finish(ask);
	else
		advance(ask);
	return G_SOURCE_CONTINUE;
}

static gboolean on_take_deadline(gpointer data)
{
	struct ask *ask = data;
	g_autofree char *shown = ask->seen ? vm_printable(ask->seen, -1) : NULL;

	if (ask->stage == STAGE_POST && !ask->seen)
		g_set_error(&ask->error, VM_ERROR, VM_EXIT_NO_ANSWER,
			"This VM has no mailbox (%s in xenstore): " ADVICE_DAEMON,
			QPEN_KEY_REQUEST);
	else if (ask->stage == STAGE_POST)
		g_set_error(&ask->error, VM_ERROR, VM_EXIT_NO_ANSWER,
			"An earlier request (\"%s\") still lies in the mailbox "
			"untouched: " ADVICE_DAEMON,
			shown);
	else if (ask->stage == STAGE_TAKE)
		g_set_error(&ask->error, VM_ERROR, VM_EXIT_NO_ANSWER,
			"dom0 did not take the request, which was withdrawn: " ADVICE_DAEMON);
	else
		return G_SOURCE_REMOVE;
	finish(ask);
	return G_SOURCE_REMOVE;
}

static gboolean on_reply_deadline(gpointer data)
{
	struct ask *ask = data;

	if (ask->stage != STAGE_REPLY)
		return on_take_deadline(data);
	if (ask->waited && ask->last_wait == QPEN_WAIT_OPEN)
		return G_SOURCE_REMOVE;
	g_set_error(&ask->error, VM_ERROR, VM_EXIT_NO_ANSWER,
		"dom0 took the request, but gave no final answer within %u s; it may still act on "
		"it",
		ask->terms->reply_ms / 1000);
	finish(ask);
	return G_SOURCE_REMOVE;
}

static gboolean on_signal(gpointer data)
{
	struct ask *ask = data;

	if (ask->stage == STAGE_DONE)
		return G_SOURCE_CONTINUE;
	g_set_error(&ask->error, VM_ERROR, VM_EXIT_INTERRUPTED, "Interrupted; %s",
		ask->stage == STAGE_REPLY ? "dom0 has the request and goes on with it"
					  : "the request was withdrawn");
	finish(ask);
	return G_SOURCE_CONTINUE;
}

static void attach(GMainContext *context, GSource *source, GSourceFunc callback, gpointer data)
{
	g_source_set_callback(source, callback, data, NULL);
	g_source_attach(source, context);
	g_source_unref(source);
}

/* The sources live as long as the context; each conversation has one of its own. */
static GMainContext *make_context(struct ask *ask)
{
	GMainContext *context = g_main_context_new();

	attach(context, g_unix_fd_source_new(xs_fileno(ask->mailbox->xs), G_IO_IN),
		G_SOURCE_FUNC(on_readable), ask);
	attach(context, g_timeout_source_new(ask->terms->take_ms), on_take_deadline, ask);
	attach(context, g_timeout_source_new(ask->terms->reply_ms), on_reply_deadline, ask);
	for (size_t i = 0; !ask->terms->deaf && i < G_N_ELEMENTS(ending_signals); i++)
		attach(context, g_unix_signal_source_new(ending_signals[i]), on_signal, ask);
	return context;
}

/* Unreferencing a context destroys its sources, and with the signal sources their handlers. */
static void run(struct ask *ask)
{
	const struct sigaction ignored = {.sa_handler = SIG_IGN};
	struct sigaction earlier[G_N_ELEMENTS(ending_signals)];
	GMainContext *context;

	for (size_t i = 0; i < G_N_ELEMENTS(ending_signals); i++)
		sigaction(ending_signals[i], ask->terms->deaf ? &ignored : NULL, &earlier[i]);
	context = make_context(ask);
	/*
	 * The watches stand, so whatever changes after this first look is told. It may post the
	 * request: from before that on, a signal must not end us without withdrawing it.
	 */
	if (ask->terms->stop && *ask->terms->stop)
		on_signal(ask);
	else
		advance(ask);
	while (ask->stage != STAGE_DONE)
		g_main_context_iteration(context, TRUE);
	g_main_context_unref(context);
	/* GLib leaves the default action behind, whatever stood there before. */
	for (size_t i = 0; i < G_N_ELEMENTS(ending_signals); i++)
		sigaction(ending_signals[i], &earlier[i], NULL);
}

static bool watch(struct xs_handle *xs, const char *key, GError **error)
{
	if (xs_watch(xs, key, key))
		return true;
	fail_xenstore(error, "Watching", key, errno);
	return false;
}

static bool watch_mailbox(struct mailbox *mailbox, GError **error)
{
	if (!mailbox->watching)
		mailbox->watching = watch(mailbox->xs, QPEN_KEY_REQUEST, error) &&
				    watch(mailbox->xs, QPEN_KEY_REPLY, error);
	return mailbox->watching;
}

/* Whatever ends the wait, a request that still lies there must not be carried out later. */
static bool withdraw(struct ask *ask)
{
	bool done = false;

	if (!swap(ask->mailbox->xs, ask->line, "", &done, NULL, NULL))
		g_debug("the request could not be withdrawn");
	return done;
}

static bool converse(struct ask *ask, struct reply *reply, GError **error)
{
	struct mailbox_asked *asked = ask->terms->asked;
	bool withdrawn;

	run(ask);
	if (asked)
		asked->taken = ask->posted;
	if (!ask->error) {
		*reply = ask->reply;
		return true;
	}
	withdrawn = withdraw(ask);
	if (asked && withdrawn)
		asked->taken = false;
	g_propagate_error(error, ask->error);
	return false;
}

bool mailbox_ask(struct mailbox *mailbox, const char *request, const struct mailbox_terms *terms,
	struct reply *reply, GError **error)
{
	struct ask ask = {.mailbox = mailbox, .terms = terms};
	bool ok = false;

	if (terms->asked)
		*terms->asked = (struct mailbox_asked){0};
	if (!choose_id(ask.id, error))
		return false;
	if (terms->asked)
		g_strlcpy(terms->asked->id, ask.id, sizeof terms->asked->id);
	g_snprintf(ask.reply_key, sizeof ask.reply_key, "%s/%s", QPEN_KEY_REPLY, ask.id);
	ask.line = g_strdup_printf("%s #%s", request, ask.id);
	if (strlen(ask.line) > QPEN_REQUEST_MAX)
		g_set_error(error, VM_ERROR, VM_EXIT_USAGE, "The request is too long");
	else if (watch_mailbox(mailbox, error))
		ok = converse(&ask, reply, error);
	g_free(ask.line);
	g_free(ask.seen);
	return ok;
}

/* -- single values ----------------------------------------------------------------------------- */

bool mailbox_read(struct mailbox *mailbox, const char *key, char **out, GError **error)
{
	autofree_xs *value = NULL;
	unsigned len;

	*out = NULL;
	if (!read_key(mailbox->xs, XBT_NULL, key, &value, &len, error))
		return false;
	if (!value)
		return true;
	for (unsigned i = 0; i < len; i++) {
		if ((unsigned char)value[i] >= 0x20 && value[i] != 0x7f)
			continue;
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			"The value of %s in xenstore holds a control character", key);
		return false;
	}
	*out = g_strndup(value, len);
	return true;
}

bool mailbox_write(struct mailbox *mailbox, const char *key, const char *value, GError **error)
{
	if (xs_write(mailbox->xs, XBT_NULL, key, value, (unsigned)strlen(value)))
		return true;
	fail_xenstore(error, "Writing", key, errno);
	return false;
}

struct keep {
	struct mailbox *mailbox;
	const char *key;
	const char *value;
	void (*on_written)(void *data);
	void *data;
	bool done;
	GError *error;
};

static bool write_where_different(struct keep *keep)
{
	autofree_xs *present = NULL;
	unsigned len;

	if (!read_key(keep->mailbox->xs, XBT_NULL, keep->key, &present, &len, &keep->error))
		return false;
	if (present && strcmp(present, keep->value) == 0)
		return true;
	if (!mailbox_write(keep->mailbox, keep->key, keep->value, &keep->error))
		return false;
	if (keep->on_written)
		keep->on_written(keep->data);
	return true;
}

static gboolean on_kept_readable(
	gint fd G_GNUC_UNUSED, GIOCondition condition G_GNUC_UNUSED, gpointer data)
{
	struct keep *keep = data;

	if (!drain_watches(keep->mailbox->xs, &keep->error) || !write_where_different(keep))
		keep->done = true;
	return G_SOURCE_CONTINUE;
}

static gboolean on_keep_signal(gpointer data)
{
	struct keep *keep = data;

	keep->done = true;
	return G_SOURCE_CONTINUE;
}

bool mailbox_keep(struct mailbox *mailbox, const char *key, const char *value,
	void (*on_written)(void *data), void *data, GError **error)
{
	struct keep keep = {mailbox, key, value, on_written, data, false, NULL};
	GMainContext *context;

	if (!watch(mailbox->xs, key, error))
		return false;
	context = g_main_context_new();
	attach(context, g_unix_fd_source_new(xs_fileno(mailbox->xs), G_IO_IN),
		G_SOURCE_FUNC(on_kept_readable), &keep);
	attach(context, g_unix_signal_source_new(SIGINT), on_keep_signal, &keep);
	attach(context, g_unix_signal_source_new(SIGTERM), on_keep_signal, &keep);
	while (!keep.done)
		g_main_context_iteration(context, TRUE);
	g_main_context_unref(context);
	if (keep.error)
		g_propagate_error(error, keep.error);
	return !keep.error;
}

/* -- opening ----------------------------------------------------------------------------------- */

struct mailbox *mailbox_open(GError **error)
{
	struct xs_handle *xs = xs_open(XS_UNWATCH_FILTER);
	struct mailbox *mailbox;

	if (!xs) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "xenstore cannot be reached: %s; %s",
			g_strerror(errno), ADVICE_XENBUS);
		return NULL;
	}
	mailbox = g_new0(struct mailbox, 1);
	mailbox->xs = xs;
	return mailbox;
}

void mailbox_close(struct mailbox *mailbox)
{
	if (!mailbox)
		return;
	xs_close(mailbox->xs);
	g_free(mailbox);
}
