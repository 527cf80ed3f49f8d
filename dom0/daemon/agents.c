/* SPDX-License-Identifier: GPL-2.0-or-later */
#define G_LOG_DOMAIN "qfilexchgd"
#include "agents.h"

#include <string.h>

#include "bus-generated.h"

struct agent {
	struct agents *agents;
	char *owner;
	char *path;
	guint watch; /* of the name's owner */
	gboolean uid_known;
	guint32 uid;            /* as the bus says */
	GCancellable *uid_call; /* while it is being asked for */
};

/* A question without an answer. */
struct asking {
	struct agents *agents;
	guint64 id;
	char *sender, *receiver, *sender_label, *receiver_label;
	gboolean disposable; /* the receiver will be one */
	gboolean can_remember;
	guint64 size_bytes, used_bytes;
	gint64 expires_ms;
	struct agent *asked; /* NULL: nobody is there */
	GCancellable *call;  /* of the Ask that is under way */
};

struct agents {
	struct clock_port clock;
	const struct port_events *events;
	GDBusConnection *connection;
	GQueue list;           /* struct agent, the last registered first; owned */
	GHashTable *questions; /* &id -> struct asking, owned */
};

/* What the reply to an Ask needs; the question may be gone by then. */
struct call {
	struct agents *agents;
	guint64 id;
	char *owner;
};

static void put_questions(struct agents *a);

/* ---- questions ---- */

static void stop_call(struct asking *q)
{
	if (q->call)
		g_cancellable_cancel(q->call);
	g_clear_object(&q->call);
	q->asked = NULL;
}

static void free_question(gpointer data)
{
	struct asking *q = data;

	stop_call(q);
	g_free(q->sender);
	g_free(q->receiver);
	g_free(q->sender_label);
	g_free(q->receiver_label);
	g_free(q);
}

static void free_call(struct call *call)
{
	g_free(call->owner);
	g_free(call);
}

static void drop_agent(struct agents *a, const char *owner);

static void tell_uid(struct agents *a, const char *owner, struct answer *out);

static void on_answer(GObject *source, GAsyncResult *result, gpointer data)
{
	struct call *call = data;
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) reply =
		g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
	struct answer answer = {0};
	gboolean allow = FALSE;

	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
		free_call(call); /* withdrawn; the agents themselves may be gone */
		return;
	}
	if (error) {
		g_warning("the agent %s did not answer: %s", call->owner, error->message);
		drop_agent(call->agents, call->owner);
	} else {
		guint64 id = call->id;
		const struct port_events *events = call->agents->events;

		g_variant_get(reply, "(b)", &allow);
		answer.yes = allow;
		tell_uid(call->agents, call->owner, &answer);
		if (g_hash_table_remove(call->agents->questions, &id))
			events->answered(events->ctx, id, &answer);
	}
	free_call(call);
}

static GVariant *describe(struct agents *a, const struct asking *q)
{
	GVariantBuilder b;
	gint64 left_ms = q->expires_ms - a->clock.now_ms(a->clock.ctx);

	g_variant_builder_init(&b, G_VARIANT_TYPE_VARDICT);
	g_variant_builder_add(&b, "{sv}", "sender", g_variant_new_string(q->sender));
	g_variant_builder_add(&b, "{sv}", "receiver", g_variant_new_string(q->receiver));
	g_variant_builder_add(&b, "{sv}", "sender-label", g_variant_new_string(q->sender_label));
	g_variant_builder_add(
		&b, "{sv}", "receiver-label", g_variant_new_string(q->receiver_label));
	g_variant_builder_add(
		&b, "{sv}", "kind", g_variant_new_string(q->disposable ? "disposable" : "files"));
	g_variant_builder_add(&b, "{sv}", "can-remember", g_variant_new_boolean(q->can_remember));
	g_variant_builder_add(&b, "{sv}", "size", g_variant_new_uint64(q->size_bytes));
	g_variant_builder_add(&b, "{sv}", "used", g_variant_new_uint64(q->used_bytes));
	/* Up to the next second: it is the daemon that ends it, so that nobody is said to have
	 * refused it. */
	g_variant_builder_add(&b, "{sv}", "expires",
		g_variant_new_uint64(((guint64)MAX(left_ms, 0) + 999) / 1000));
	return g_variant_new("(ta{sv})", q->id, &b);
}

static void put_question(struct agents *a, struct asking *q)
{
	struct agent *agent = g_queue_peek_head(&a->list);
	struct call *call;

	if (q->asked || !agent || !a->connection)
		return;
	call = g_new0(struct call, 1);
	call->agents = a;
	call->id = q->id;
	call->owner = g_strdup(agent->owner);
	q->asked = agent;
	q->call = g_cancellable_new();
	/* No timeout of D-Bus: the question has its own. */
	g_dbus_connection_call(a->connection, agent->owner, agent->path,
		"org.qubes.FileExchange1.Agent", "Ask", describe(a, q), G_VARIANT_TYPE("(b)"),
		G_DBUS_CALL_FLAGS_NO_AUTO_START, G_MAXINT, q->call, on_answer, call);
}

static void put_questions(struct agents *a)
{
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, a->questions);
	while (g_hash_table_iter_next(&iter, NULL, &value))
		put_question(a, value);
}

static void tell_withdrawn(struct agents *a, const struct asking *q)
{
	if (q->asked && a->connection)
		g_dbus_connection_call(a->connection, q->asked->owner, q->asked->path,
			"org.qubes.FileExchange1.Agent", "Withdraw", g_variant_new("(t)", q->id),
			NULL, G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, NULL, NULL, NULL);
}

static void ask(void *ctx, const struct question *question)
{
	struct agents *a = ctx;
	struct asking *q = g_new0(struct asking, 1);

	q->agents = a;
	q->id = question->id;
	q->sender = g_strdup(question->sender->name);
	q->receiver = g_strdup(question->receiver->name);
	q->sender_label = g_strdup(question->sender_label);
	q->receiver_label = g_strdup(question->receiver_label);
	q->disposable = question->disposable;
	q->can_remember = question->can_remember;
	q->size_bytes = question->size_bytes;
	q->used_bytes = question->used_bytes;
	q->expires_ms = question->expires_ms;
	g_hash_table_replace(a->questions, &q->id, q);
	put_question(a, q);
	if (!q->asked)
		g_message("transfer %" G_GUINT64_FORMAT
			  ": nobody is there to be asked; start an agent (qfilexchgctl agent)",
			q->id);
}

static void withdraw(void *ctx, uint64_t id)
{
	struct agents *a = ctx;
	struct asking *q = g_hash_table_lookup(a->questions, &id);

	if (!q)
		return;
	tell_withdrawn(a, q);
	g_hash_table_remove(a->questions, &id);
}

/* ---- agents ---- */

static void free_agent(gpointer data)
{
	struct agent *agent = data;

	if (agent->watch)
		g_bus_unwatch_name(agent->watch);
	if (agent->uid_call)
		g_cancellable_cancel(agent->uid_call);
	g_clear_object(&agent->uid_call);
	g_free(agent->owner);
	g_free(agent->path);
	g_free(agent);
}

static GList *find_agent(struct agents *a, const char *owner)
{
	for (GList *l = a->list.head; l; l = l->next)
		if (strcmp(((struct agent *)l->data)->owner, owner) == 0)
			return l;
	return NULL;
}

static void tell_uid(struct agents *a, const char *owner, struct answer *out)
{
	const GList *link = find_agent(a, owner);
	const struct agent *agent = link ? link->data : NULL;

	if (!agent || !agent->uid_known)
		return;
	out->uid_known = true;
	out->uid = agent->uid;
}

static void on_uid(GObject *source, GAsyncResult *result, gpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) reply =
		g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
	struct agent *agent = data;

	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
		return; /* and the agent is gone */
	g_clear_object(&agent->uid_call);
	if (!reply)
		return; /* it has left the bus, which we hear of in another way */
	g_variant_get(reply, "(u)", &agent->uid);
	agent->uid_known = TRUE;
}

/* The bus reads this before any question to the agent, so that it is known at the first answer. */
static void ask_uid(struct agent *agent)
{
	agent->uid_call = g_cancellable_new();
	g_dbus_connection_call(agent->agents->connection, "org.freedesktop.DBus",
		"/org/freedesktop/DBus", "org.freedesktop.DBus", "GetConnectionUnixUser",
		g_variant_new("(s)", agent->owner), G_VARIANT_TYPE("(u)"),
		G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, agent->uid_call, on_uid, agent);
}

static void drop_agent(struct agents *a, const char *owner)
{
	GList *link = find_agent(a, owner);
	GHashTableIter iter;
	gpointer value;

	if (!link)
		return;
	g_hash_table_iter_init(&iter, a->questions);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct asking *q = value;

		if (q->asked == link->data)
			stop_call(q);
	}
	g_message("the agent %s has left", owner);
	free_agent(link->data);
	g_queue_delete_link(&a->list, link);
	put_questions(a);
}

static void on_owner_vanished(GDBusConnection *connection, const char *name, gpointer data)
{
	struct agent *agent = data;

	(void)connection;
	drop_agent(agent->agents, name);
}

void agents_register(struct agents *a, const char *owner, const char *path)
{
	struct agent *agent;

	agents_unregister(a, owner);
	agent = g_new0(struct agent, 1);
	agent->agents = a;
	agent->owner = g_strdup(owner);
	agent->path = g_strdup(path);
	g_queue_push_head(&a->list, agent);
	agent->watch = g_bus_watch_name_on_connection(a->connection, owner,
		G_BUS_NAME_WATCHER_FLAGS_NONE, NULL, on_owner_vanished, agent, NULL);
	ask_uid(agent);
	g_message("the agent %s is there to be asked", owner);
	put_questions(a);
}

gboolean agents_unregister(struct agents *a, const char *owner)
{
	if (!find_agent(a, owner))
		return FALSE;
	drop_agent(a, owner);
	return TRUE;
}

void agents_set_connection(struct agents *a, GDBusConnection *connection)
{
	while (a->list.head)
		drop_agent(a, ((struct agent *)a->list.head->data)->owner);
	g_clear_object(&a->connection);
	if (connection)
		a->connection = g_object_ref(connection);
}

/* ---- life ---- */

struct agents *agents_create(const struct clock_port *clock, const struct port_events *events)
{
	struct agents *a = g_new0(struct agents, 1);

	a->clock = *clock;
	a->events = events;
	g_queue_init(&a->list);
	a->questions = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, free_question);
	return a;
}

void agents_destroy(struct agents *a)
{
	if (!a)
		return;
	g_hash_table_destroy(a->questions);
	g_queue_clear_full(&a->list, free_agent);
	g_clear_object(&a->connection);
	g_free(a);
}

struct asker_port agents_port(struct agents *a)
{
	return (struct asker_port){.ctx = a, .ask = ask, .withdraw = withdraw};
}
