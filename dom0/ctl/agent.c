/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "agent.h"

#include <glib-unix.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "text.h"

#define AGENT_PATH "/org/qubes/FileExchange1/Agent"

/* A question that waits for its answer. */
struct question {
	guint64 id;
	char *text;
	GDBusMethodInvocation *call;
};

struct agent {
	enum agent_mode mode;
	GMainLoop *loop;
	FileExchange1Agent *object;
	GQueue questions; /* struct question; the first is the one on the screen */
	GString *line;    /* what was typed so far */
	int status;
};

static void free_question(gpointer data)
{
	struct question *q = data;

	g_clear_object(&q->call);
	g_free(q->text);
	g_free(q);
}

static void show_first(struct agent *a)
{
	const struct question *q = g_queue_peek_head(&a->questions);

	if (!q || a->mode != AGENT_ASK)
		return;
	if (a->questions.length > 1)
		g_print("%s\n%u more wait. Allow it? [y/N] ", q->text, a->questions.length - 1);
	else
		g_print("%s\nAllow it? [y/N] ", q->text);
}

static void answer(struct agent *a, gboolean allow)
{
	struct question *q = g_queue_pop_head(&a->questions);

	file_exchange1_agent_complete_ask(a->object, g_steal_pointer(&q->call), allow);
	g_print("%s%s\n", a->mode == AGENT_ASK ? "" : q->text, allow ? " Allowed." : " Refused.");
	free_question(q);
	show_first(a);
}

/* "work (blue)"; "work" where dom0 has no label for it. */
static char *named(GVariant *facts, const char *name_key, const char *label_key)
{
	const char *name = "?", *label = "";

	g_variant_lookup(facts, name_key, "&s", &name);
	g_variant_lookup(facts, label_key, "&s", &label);
	return label[0] ? g_strdup_printf("%s (%s)", name, label) : g_strdup(name);
}

/* The daemon's word on the question. VM names are letters, digits and `_.+-`: it checked them. */
static char *describe(guint64 id, GVariant *facts)
{
	g_autofree char *sender = named(facts, "sender", "sender-label");
	g_autofree char *receiver = named(facts, "receiver", "receiver-label");
	const char *kind = "files";
	guint64 size = 0, used = 0, expires = 0;
	g_autofree char *size_text = NULL, *used_text = NULL;

	g_variant_lookup(facts, "kind", "&s", &kind);
	g_variant_lookup(facts, "size", "t", &size);
	g_variant_lookup(facts, "used", "t", &used);
	g_variant_lookup(facts, "expires", "t", &expires);
	size_text = text_size(size);
	used_text = text_size(used);
	if (strcmp(kind, "disposable") == 0)
		return g_strdup_printf("Transfer %" G_GUINT64_FORMAT
				       ": %s wants to open a file in a DisposableVM, on a pendrive "
				       "of %s, %s used. (%" G_GUINT64_FORMAT " s left)",
			id, sender, size_text, used_text, expires);
	return g_strdup_printf("Transfer %" G_GUINT64_FORMAT ": %s wants to send a pendrive of %s, "
			       "%s used, to %s. (%" G_GUINT64_FORMAT " s left)",
		id, sender, size_text, used_text, receiver, expires);
}

static gboolean on_ask(FileExchange1Agent *object, GDBusMethodInvocation *call, guint64 id,
	GVariant *facts, gpointer data)
{
	struct agent *a = data;
	struct question *q = g_new0(struct question, 1);

	(void)object;
	q->id = id;
	q->text = describe(id, facts);
	q->call = g_object_ref(call);
	g_queue_push_tail(&a->questions, q);
	if (a->mode != AGENT_ASK)
		answer(a, a->mode == AGENT_YES);
	else if (a->questions.length == 1)
		show_first(a);
	return TRUE;
}

static gint has_id(gconstpointer question, gconstpointer id)
{
	return ((const struct question *)question)->id == *(const guint64 *)id ? 0 : 1;
}

static gboolean on_withdraw(
	FileExchange1Agent *object, GDBusMethodInvocation *call, guint64 id, gpointer data)
{
	struct agent *a = data;
	GList *link = g_queue_find_custom(&a->questions, &id, has_id);
	gboolean on_screen = link && link == a->questions.head;

	file_exchange1_agent_complete_withdraw(object, call);
	if (!link)
		return TRUE;
	file_exchange1_agent_complete_ask(
		object, g_steal_pointer(&((struct question *)link->data)->call), FALSE);
	free_question(link->data);
	g_queue_delete_link(&a->questions, link);
	if (on_screen) {
		/* What was typed for it must not answer the next one. */
		g_string_truncate(a->line, 0);
		if (a->mode == AGENT_ASK && isatty(STDIN_FILENO))
			tcflush(STDIN_FILENO, TCIFLUSH);
		g_print("\nTransfer %" G_GUINT64_FORMAT " needs no answer any more.\n", id);
		show_first(a);
	}
	return TRUE;
}

/* Everything but y and yes is a no. A line that came before the question is not an answer to it. */
static void take_line(struct agent *a)
{
	g_autofree char *word = g_ascii_strdown(g_strstrip(a->line->str), -1);

	if (g_queue_is_empty(&a->questions))
		return;
	answer(a, strcmp(word, "y") == 0 || strcmp(word, "yes") == 0);
}

static gboolean on_input(gint fd, GIOCondition condition, gpointer data)
{
	struct agent *a = data;
	char bytes[256];
	ssize_t n = read(fd, bytes, sizeof bytes);

	(void)condition;
	if (n <= 0) {
		g_main_loop_quit(a->loop);
		return G_SOURCE_REMOVE;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (bytes[i] != '\n') {
			g_string_append_c(a->line, bytes[i]);
			continue;
		}
		take_line(a);
		g_string_truncate(a->line, 0);
	}
	return G_SOURCE_CONTINUE;
}

static gboolean on_signal(gpointer data)
{
	g_main_loop_quit(((struct agent *)data)->loop);
	return G_SOURCE_CONTINUE;
}

/* The daemon was restarted or stopped: whoever runs us may start us again. */
static void on_daemon_gone(GDBusConnection *connection, const char *name, gpointer data)
{
	struct agent *a = data;

	(void)connection;
	(void)name;
	g_printerr("qfilexchgctl: the daemon has stopped\n");
	a->status = EXIT_FAILURE;
	g_main_loop_quit(a->loop);
}

static gboolean register_agent(struct agent *a, FileExchange1 *daemon, GDBusConnection *connection)
{
	g_autoptr(GError) error = NULL;

	a->object = file_exchange1_agent_skeleton_new();
	g_signal_connect(a->object, "handle-ask", G_CALLBACK(on_ask), a);
	g_signal_connect(a->object, "handle-withdraw", G_CALLBACK(on_withdraw), a);
	if (!g_dbus_interface_skeleton_export(
		    G_DBUS_INTERFACE_SKELETON(a->object), connection, AGENT_PATH, &error) ||
		!file_exchange1_call_register_agent_sync(daemon, AGENT_PATH, NULL, &error)) {
		g_dbus_error_strip_remote_error(error);
		g_printerr("qfilexchgctl: cannot register as the one who is asked: %s\n",
			error->message);
		return FALSE;
	}
	return TRUE;
}

int agent_run(FileExchange1 *daemon, enum agent_mode mode)
{
	GDBusConnection *connection = g_dbus_proxy_get_connection(G_DBUS_PROXY(daemon));
	struct agent a = {.mode = mode, .loop = g_main_loop_new(NULL, FALSE)};
	guint watch;

	a.line = g_string_new(NULL);
	g_queue_init(&a.questions);
	if (register_agent(&a, daemon, connection)) {
		g_unix_signal_add(SIGINT, on_signal, &a);
		g_unix_signal_add(SIGTERM, on_signal, &a);
		if (mode == AGENT_ASK)
			g_unix_fd_add(STDIN_FILENO, G_IO_IN | G_IO_HUP, on_input, &a);
		watch = g_bus_watch_name_on_connection(connection, "org.qubes.FileExchange1",
			G_BUS_NAME_WATCHER_FLAGS_NONE, NULL, on_daemon_gone, &a, NULL);
		g_print("Waiting for questions.\n");
		g_main_loop_run(a.loop);
		g_bus_unwatch_name(watch);
	} else {
		a.status = EXIT_FAILURE;
	}
	g_queue_clear_full(&a.questions, free_question);
	g_clear_object(&a.object);
	g_string_free(a.line, TRUE);
	g_main_loop_unref(a.loop);
	return a.status;
}
