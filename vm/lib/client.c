/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client.h"

#include <string.h>

#include "device.h"
#include "fail.h"
#include "words.h"

static bool on_wait(const struct reply *reply, void *data)
{
	const struct client *const *client = data;
	g_autofree char *words = NULL;

	if ((*client)->reply)
		*(*client)->reply = *reply;
	if ((*client)->on_wait)
		return (*client)->on_wait(reply, (*client)->data);
	if (!(*client)->say)
		return true;
	words = g_strconcat(words_wait(reply->wait), *reply->text ? " in " : "", reply->text, NULL);
	(*client)->say(words, (*client)->data);
	return true;
}

static unsigned default_timeout_ms(enum request_verb verb)
{
	switch (verb) {
	case REQUEST_NEW:
		return CLIENT_NEW_TIMEOUT_MS;
	case REQUEST_SEND:
		return CLIENT_SEND_TIMEOUT_MS;
	case REQUEST_UMOUNT:
	case REQUEST_KILLME:
	case REQUEST_DISCARD:
		return CLIENT_GIVE_BACK_TIMEOUT_MS;
	}
	return CLIENT_NEW_TIMEOUT_MS;
}

/* The daemons before `discard` take it for a mistake. */
static const char *words_error_of(const struct request *request, enum qpen_error code)
{
	bool unknown = code == QPEN_ERROR_BAD_REQUEST || code == QPEN_ERROR_UNSUPPORTED;

	if (request->verb == REQUEST_DISCARD && unknown)
		return "this dom0 is too old to take a pendrive back from a VM that gives it up; "
		       "its user can (qfilexchgctl cancel)";
	return words_error(code);
}

static bool ask(const struct client *client, const struct request *request, struct reply *reply,
	GError **error)
{
	g_autofree char *line = request_compose(request);
	struct mailbox_terms terms = {
		.take_ms = request->verb == REQUEST_DISCARD ? CLIENT_TAKE_DISCARD_TIMEOUT_MS
							    : CLIENT_TAKE_TIMEOUT_MS,
		.reply_ms = client->reply_ms ? client->reply_ms : default_timeout_ms(request->verb),
		.no_wait = client->no_wait,
		.deaf = client->deaf,
		.asked = client->asked,
		.stop = client->stop,
		.on_wait = on_wait,
		.data = &client,
	};

	terms.take_ms = MIN(terms.take_ms, terms.reply_ms);
	if (!mailbox_ask(client->mailbox, line, &terms, reply, error))
		return false;
	if (client->no_wait)
		return true;
	if (client->reply)
		*client->reply = *reply;
	if (reply->kind != REPLY_ERROR)
		return true;
	g_set_error(error, VM_ERROR, reply->error == QPEN_ERROR_LOST ? VM_EXIT_LOST : VM_EXIT_ERROR,
		"%s (dom0 says: %s%s%s)", words_error_of(request, reply->error),
		qpen_error_name(reply->error), *reply->text ? ": " : "", reply->text);
	return false;
}

/* `new` ends in `ok xvdg`: any other word would mean a device that we do not look for. */
static bool finish_new(const struct client *client, const struct reply *reply, GError **error)
{
	if (strcmp(reply->text, QPEN_OUTGOING_NAME) != 0) {
		g_set_error(error, VM_ERROR, VM_EXIT_NO_ANSWER,
			"dom0 lent a pendrive as \"%s\", where this program "
			"expects " QPEN_OUTGOING_NAME "; are the two sides of different versions?",
			reply->text);
		return false;
	}
	return device_wait_usable(client->device, CLIENT_UDEV_TIMEOUT_MS, error);
}

bool client_run(const struct client *client, const struct request *request, GError **error)
{
	struct reply reply = {0};

	if (request->verb == REQUEST_SEND && !device_settle(client->device, error))
		return false;
	if (!ask(client, request, &reply, error))
		return false;
	return client->no_wait || request->verb != REQUEST_NEW || reply.kind == REPLY_WAIT ||
	       finish_new(client, &reply, error);
}

bool client_discard(struct mailbox *mailbox, const char *of, GError **error)
{
	struct reply reply = {0};
	const struct client client = {.mailbox = mailbox, .deaf = true, .reply = &reply};
	const struct request request = {.verb = REQUEST_DISCARD, .of = *of ? of : NULL};
	g_autoptr(GError) cause = NULL;

	if (client_run(&client, &request, &cause))
		return true;
	if (reply.kind == REPLY_ERROR && reply.error == QPEN_ERROR_NO_PENDRIVE)
		cause->code = VM_EXIT_DEVICE;
	g_propagate_error(error, g_steal_pointer(&cause));
	return false;
}

bool client_give_back(struct mailbox *mailbox, const struct mailbox_asked *lent_by, GError **error)
{
	g_autoptr(GError) cause = NULL;

	if (client_discard(mailbox, lent_by->id, &cause))
		return true;
	if (cause->code == VM_EXIT_DEVICE)
		return client_discard(mailbox, "", error);
	g_propagate_error(error, g_steal_pointer(&cause));
	return false;
}
