/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of dom0 may say to the daemon over D-Bus: methods and arguments of all kinds,
 * wrong ones too, and agents that answer what they like, over the simulated host. Each call is
 * answered once, nobody's answer counts who was not asked, and the host's promises hold.
 *
 * The bus is played by this program: a socket, and a peer who says what a bus says.
 */
#include <gio/gio.h>
#include <string.h>

#include "bus-generated.h"
#include "bus.h"
#include "fuzz.h"
#include "qpen_words.h"
#include "sim.h"

#define DAEMON_NAME ":1.1"
/* Some tens of calls; each takes a way through four threads. */
#define LONGEST 200
#define AGENT_UID 1000
#define OBJECT_PATH "/org/qubes/FileExchange1"

struct bytes {
	const uint8_t *at, *end;
};

struct host {
	struct bytes bytes;
	struct sim *sim;
	struct agents *agents;
	struct port_events events; /* of the agents */
	struct bus *bus;
	GDBusConnection *peer;
	GHashTable *asked; /* &id, owned: what the agents are to answer */
	bool yes_is_said;  /* by an agent, ever: only `(b)` of a true is a yes */
};

static GAsyncQueue *peers;
enum { AGENT_NO, AGENT_YES, AGENT_NONSENSE, AGENT_FAILS, N_AGENT_REPLIES };
/* What an agent replies to Ask, read by the thread of the bus. */
static gint agent_reply;

/* The policy's files are not what this is about. */
gboolean rules_remember(
	struct rules *r, struct policy_query query, gboolean allow, gboolean always, GError **error)
{
	(void)r;
	(void)allow;
	g_assert_true(qpen_is_vm_name(query.source, strlen(query.source)));
	g_assert_true(qpen_is_vm_name(query.dest, strlen(query.dest)));
	g_assert_cmpint(query.service, ==, POLICY_SERVICE_PENDRIVE);
	if (always)
		return TRUE;
	g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, "the disk is full");
	return FALSE;
}

/* ---- choices ---- */

static uint32_t below(struct bytes *b, uint32_t n)
{
	return b->at < b->end ? *b->at++ % n : 0;
}

static char *some_text(struct bytes *b)
{
	static const char *const known[] = {"work", "personal", "bank", "disp1", "session",
		"always", "", "Domain-0", "disposable", "un fit", "-x", "a/b", "\x1b[2J"};
	uint32_t which = below(b, 2 * G_N_ELEMENTS(known));
	g_autofree char *raw = NULL;
	size_t len;

	if (which < G_N_ELEMENTS(known))
		return g_strdup(known[which]);
	len = below(b, 256);
	len = MIN(len, (size_t)(b->end - b->at));
	raw = g_strndup((const char *)b->at, len);
	b->at += len;
	return g_utf8_make_valid(raw, -1);
}

static guint64 some_number(struct bytes *b)
{
	guint64 n = 0;

	if (below(b, 4) != 0)
		return below(b, 6);
	for (int i = 0; i < 8; i++)
		n = n << 8 | below(b, 256);
	return n;
}

static GVariant *some_value(struct bytes *b, char type)
{
	g_autofree char *text = NULL;

	switch (type) {
	case 't':
		return g_variant_new_uint64(some_number(b));
	case 'u':
		return g_variant_new_uint32((guint32)some_number(b));
	case 'b':
		return g_variant_new_boolean(below(b, 2) == 1);
	case 'o':
		return g_variant_new_object_path(below(b, 2) == 1 ? "/agent" : "/");
	default:
		text = some_text(b);
		return g_variant_new_string(text);
	}
}

/* Mostly what the method takes. */
static GVariant *some_arguments(struct bytes *b, const GDBusMethodInfo *method)
{
	static const char types[] = "tubos";
	GVariantBuilder builder;
	bool right = below(b, 12) != 0;

	g_variant_builder_init(&builder, G_VARIANT_TYPE_TUPLE);
	for (GDBusArgInfo **arg = method->in_args; right && arg && *arg; arg++)
		g_variant_builder_add_value(&builder, some_value(b, (*arg)->signature[0]));
	for (uint32_t n = right ? 0 : below(b, 4); n > 0; n--)
		g_variant_builder_add_value(
			&builder, some_value(b, types[below(b, sizeof types - 1)]));
	return g_variant_builder_end(&builder);
}

/* ---- the bus and the agents: the peer's thread ---- */

static GVariant *bus_says(const char *method)
{
	if (strcmp(method, "Hello") == 0)
		return g_variant_new("(s)", DAEMON_NAME);
	if (strcmp(method, "GetNameOwner") == 0)
		return g_variant_new("(s)", ":1.7");
	if (strcmp(method, "GetConnectionUnixUser") == 0)
		return g_variant_new("(u)", AGENT_UID);
	if (strcmp(method, "RequestName") == 0 || strcmp(method, "ReleaseName") == 0)
		return g_variant_new("(u)", 1);
	return NULL;
}

static GDBusMessage *reply_to(GDBusMessage *call)
{
	const char *method = g_dbus_message_get_member(call);
	GDBusMessage *reply = g_dbus_message_new_method_reply(call);
	GVariant *body = bus_says(method);

	if (strcmp(method, "Ask") == 0) {
		gint how = g_atomic_int_get(&agent_reply);

		if (how == AGENT_FAILS) {
			g_object_unref(reply);
			return g_dbus_message_new_method_error_literal(
				call, "org.example.No", "it does not like it");
		}
		body = how == AGENT_NONSENSE ? g_variant_new("(s)", "yes")
					     : g_variant_new("(b)", how == AGENT_YES);
	}
	if (body)
		g_dbus_message_set_body(reply, body);
	return reply;
}

static GDBusMessage *on_message(
	GDBusConnection *connection, GDBusMessage *message, gboolean incoming, gpointer data)
{
	GDBusMessageType type = g_dbus_message_get_message_type(message);
	g_autoptr(GDBusMessage) reply = NULL;

	(void)data;
	if (!incoming || type == G_DBUS_MESSAGE_TYPE_METHOD_RETURN ||
		type == G_DBUS_MESSAGE_TYPE_ERROR)
		return message;
	if (type == G_DBUS_MESSAGE_TYPE_METHOD_CALL) {
		reply = reply_to(message);
		g_dbus_connection_send_message(
			connection, reply, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL, NULL);
	}
	g_object_unref(message);
	return NULL;
}

static gboolean on_connection(GDBusServer *server, GDBusConnection *connection, gpointer data)
{
	(void)server;
	(void)data;
	g_dbus_connection_add_filter(connection, on_message, NULL, NULL);
	g_async_queue_push(peers, g_object_ref(connection));
	return TRUE;
}

/* At an address that nothing is left of when the program is killed; to be freed. */
static char *listen_for_peers(void)
{
	g_autofree char *guid = g_dbus_generate_guid();
	g_autofree char *address = g_strdup_printf("unix:abstract=qfilexchgd-fuzz-%s", guid);
	g_autoptr(GError) error = NULL;
	GDBusServer *server =
		g_dbus_server_new_sync(address, G_DBUS_SERVER_FLAGS_NONE, guid, NULL, NULL, &error);

	g_assert_no_error(error);
	g_signal_connect(server, "new-connection", G_CALLBACK(on_connection), NULL);
	g_dbus_server_start(server);
	return g_strdup(g_dbus_server_get_client_address(server));
}

/* A thread of its own, since the daemon connects with a call that waits. */
static gpointer serve(gpointer ready)
{
	GMainContext *context = g_main_context_new();

	g_main_context_push_thread_default(context);
	g_async_queue_push(ready, listen_for_peers());
	g_async_queue_unref(ready);
	for (;;)
		g_main_context_iteration(context, TRUE);
	return NULL;
}

static void start_server(void)
{
	GAsyncQueue *ready = g_async_queue_new();
	g_autofree char *address = NULL;

	peers = g_async_queue_new();
	g_thread_unref(g_thread_new("bus", serve, g_async_queue_ref(ready)));
	address = g_async_queue_pop(ready);
	g_async_queue_unref(ready);
	g_setenv("DBUS_SYSTEM_BUS_ADDRESS", address, TRUE);
}

/* ---- calls ---- */

static void on_reply(GObject *source, GAsyncResult *result, gpointer data)
{
	GDBusMessage **reply = data;
	g_autoptr(GError) error = NULL;

	*reply = g_dbus_connection_send_message_with_reply_finish(
		G_DBUS_CONNECTION(source), result, &error);
	/* Neither no answer nor a connection that the daemon closed. */
	g_assert_no_error(error);
}

/* The exchange may call its ports meanwhile. NULL: the answer comes later. */
static GDBusMessage *call(struct host *host, const char *method, GVariant *arguments)
{
	g_autoptr(GDBusMessage) message = g_dbus_message_new_method_call(
		DAEMON_NAME, OBJECT_PATH, "org.qubes.FileExchange1", method);
	GDBusMessage *reply = NULL;

	g_dbus_message_set_sender(message, below(&host->bytes, 4) ? ":1.7" : ":1.8");
	g_dbus_message_set_body(message, arguments);
	host->sim->in_event = true;
	g_dbus_connection_send_message_with_reply(host->peer, message,
		G_DBUS_SEND_MESSAGE_FLAGS_NONE, G_MAXINT, NULL, NULL, on_reply, &reply);
	while (!reply)
		g_main_context_iteration(NULL, TRUE);
	host->sim->in_event = false;
	sim_check(host->sim);
	return reply;
}

/* What the exchange will be told, for the host to know it. */
static void note_block(struct host *host, const char *method, GVariant *arguments)
{
	const char *vm;
	guint32 seconds;
	int64_t until_ms;

	if (!g_variant_is_of_type(arguments, G_VARIANT_TYPE("(su)")) ||
		strcmp(method, "Block") != 0)
		return;
	g_variant_get(arguments, "(&su)", &vm, &seconds);
	if (!qpen_is_vm_name(vm, strlen(vm)))
		return;
	until_ms = seconds ? host->sim->now_ms + (int64_t)seconds * 1000 : CLOCK_NEVER;
	g_hash_table_replace(
		host->sim->blocked, g_strdup(vm), g_memdup2(&until_ms, sizeof until_ms));
}

static void note_unblock(struct host *host, const char *method, GVariant *arguments)
{
	const char *vm;

	if (strcmp(method, "Unblock") != 0)
		return;
	g_variant_get(arguments, "(&s)", &vm);
	/* It was blocked by somebody, and under a name that a VM can have. */
	g_assert_true(g_hash_table_remove(host->sim->blocked, vm));
}

static void check_blocked(GVariant *body)
{
	GVariantIter *iter;
	const char *vm;
	guint32 seconds;

	g_variant_get(body, "(a(su))", &iter);
	while (g_variant_iter_next(iter, "(&su)", &vm, &seconds))
		g_assert_true(qpen_is_vm_name(vm, strlen(vm)));
	g_variant_iter_free(iter);
}

static void check_reply(
	struct host *host, const GDBusMethodInfo *method, GVariant *arguments, GDBusMessage *reply)
{
	g_autoptr(GError) error = NULL;

	if (g_dbus_message_to_gerror(reply, &error)) {
		g_autofree char *remote = g_dbus_error_get_remote_error(error);

		/* None of GLib's own makeshifts for an error that nobody gave a name. */
		g_assert_nonnull(remote);
		g_assert_true(g_str_has_prefix(remote, "org.freedesktop.DBus.Error."));
		g_assert_cmpuint(strlen(error->message), >, 0);
		return;
	}
	note_unblock(host, method->name, arguments);
	if (strcmp(method->name, "ListBlocked") == 0)
		check_blocked(g_dbus_message_get_body(reply));
}

static void call_something(struct host *host)
{
	GDBusInterfaceInfo *interface = file_exchange1_interface_info();
	const GDBusMethodInfo *method;
	g_autoptr(GVariant) arguments = NULL;
	g_autoptr(GDBusMessage) reply = NULL;
	uint32_t n = 0;

	do
		n++;
	while (interface->methods[n]);
	method = interface->methods[below(&host->bytes, n)];
	/* Its answer waits for the host, which stands still meanwhile. */
	if (strcmp(method->name, "PrepareDisposables") == 0)
		return;
	arguments = g_variant_ref_sink(some_arguments(&host->bytes, method));
	note_block(host, method->name, arguments);
	reply = call(host, method->name, arguments);
	check_reply(host, method, arguments, reply);
}

/* ---- questions to the agents ---- */

static void set_agent_reply(struct host *host, gint how)
{
	g_atomic_int_set(&agent_reply, how);
	host->yes_is_said |= how == AGENT_YES;
}

static void on_answered(void *ctx, uint64_t id, const struct answer *answer)
{
	struct host *host = ctx;

	g_assert_true(!answer->yes || host->yes_is_said);
	g_assert_true(!answer->uid_known || answer->uid == AGENT_UID);
	g_assert_true(g_hash_table_remove(host->asked, &id));
}

static void ask_or_withdraw(struct host *host)
{
	const struct vm_id sender = {.domid = 1, .name = "work"};
	const struct vm_id receiver = {.domid = 2, .name = "personal"};
	struct question q = {.id = below(&host->bytes, 8),
		.sender = &sender,
		.receiver = &receiver,
		.sender_label = "",
		.receiver_label = "red",
		.size_bytes = some_number(&host->bytes),
		.used_bytes = some_number(&host->bytes),
		.expires_ms = (int64_t)(some_number(&host->bytes) >> 1)};
	const struct asker_port port = agents_port(host->agents);

	if (g_hash_table_remove(host->asked, &q.id)) {
		port.withdraw(port.ctx, q.id);
		return;
	}
	g_hash_table_add(host->asked, g_memdup2(&q.id, sizeof q.id));
	port.ask(port.ctx, &q);
}

/* ---- what happens on the host ---- */

static void request_something(struct host *host)
{
	static const char *const texts[] = {
		"new", "send personal", "umount", "new format=none", "send disposable 1"};
	static const char *const names[] = {"work", "personal"};
	struct sim_vm *vm = sim_find_named(host->sim, names[below(&host->bytes, 2)]);

	sim_ask(host->sim, vm, texts[below(&host->bytes, G_N_ELEMENTS(texts))]);
	if (below(&host->bytes, 4))
		sim_run(host->sim);
}

static void step(struct host *host)
{
	switch (below(&host->bytes, 12)) {
	case 0:
	case 1:
		request_something(host);
		return;
	case 2:
		sim_run(host->sim);
		return;
	case 3:
		if (host->sim->questions->len > 0)
			sim_answer(host->sim, g_array_index(host->sim->questions, uint64_t, 0),
				below(&host->bytes, 2) == 1);
		return;
	case 4:
		sim_pass(host->sim, (int64_t)below(&host->bytes, 60) * 1000);
		return;
	case 5:
		set_agent_reply(host, (gint)below(&host->bytes, N_AGENT_REPLIES));
		return;
	case 6:
		ask_or_withdraw(host);
		return;
	default:
		call_something(host);
		return;
	}
}

/* ---- life ---- */

static void host_start(struct host *host)
{
	host->sim = sim_new(&sim_limits);
	host->sim->prepared = true;
	sim_add_vm(host->sim, "work");
	sim_add_vm(host->sim, "personal");
	sim_start(host->sim);
	sim_run(host->sim);
	host->asked = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	host->events = (struct port_events){.ctx = host, .answered = on_answered};
	set_agent_reply(host, AGENT_NO);
	const struct clock_port clock = sim_ports(host->sim).clock;

	host->agents = agents_create(&clock, &host->events);
	host->bus = bus_create(host->sim->x, host->agents, NULL, &clock);
	host->peer = g_async_queue_pop(peers);
}

static void host_end(struct host *host)
{
	bus_destroy(host->bus);
	agents_destroy(host->agents);
	g_dbus_connection_close_sync(host->peer, NULL, NULL);
	g_object_unref(host->peer);
	while (g_main_context_iteration(NULL, FALSE))
		;
	g_hash_table_destroy(host->asked);
	sim_free(host->sim);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct host host = {.bytes = {.at = data, .end = data + MIN(size, LONGEST)}};

	if (!peers) {
		sim_quiet_log();
		start_server();
	}
	host_start(&host);
	while (host.bytes.at < host.bytes.end && !host.sim->violation)
		step(&host);
	if (host.sim->violation)
		g_error("a promise was broken: %s", host.sim->violation);
	host_end(&host);
	return 0;
}
