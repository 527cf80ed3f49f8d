/* SPDX-License-Identifier: GPL-2.0-or-later */
#define G_LOG_DOMAIN "qfilexchg-agent"
#include "bus.h"

#include <string.h>

#include "bus-generated.h"

#define BUS_NAME "org.qubes.FileExchange1"
#define OBJECT_PATH "/org/qubes/FileExchange1"
#define AGENT_PATH "/org/qubes/FileExchange1/Agent"
/* After losing the system bus, or without one at the start. */
#define RETRY_S 5

struct bus {
	enum bus_role role;
	struct bus_events events;
	GDBusConnection *connection;
	FileExchange1 *daemon;
	FileExchange1Agent *object;
	GCancellable *life; /* of all calls: cancelled when they have nobody to tell any more */
	gulong closed_handler;
	guint retry;
	gboolean told; /* that there is no bus */
};

static void connect_to_bus(struct bus *b);

/* ---- questions ---- */

/* Whoever may send to this connection could put a question there; only the daemon has any. */
static gboolean is_from_daemon(struct bus *b, GDBusMethodInvocation *call)
{
	g_autofree char *owner = g_dbus_proxy_get_name_owner(G_DBUS_PROXY(b->daemon));

	if (g_strcmp0(owner, g_dbus_method_invocation_get_sender(call)) == 0)
		return TRUE;
	g_warning("%s tried to ask the user; only qfilexchgd may",
		g_dbus_method_invocation_get_sender(call));
	g_dbus_method_invocation_return_error(call, G_DBUS_ERROR, G_DBUS_ERROR_ACCESS_DENIED,
		"only the owner of " BUS_NAME " may ask the user");
	return FALSE;
}

static gboolean on_ask(FileExchange1Agent *object, GDBusMethodInvocation *call, guint64 id,
	GVariant *facts, gpointer data)
{
	struct bus *b = data;
	struct question *q;

	(void)object;
	if (!is_from_daemon(b, call))
		return TRUE;
	q = question_new(id, facts, g_get_monotonic_time() / 1000);
	q->call = call; /* ours, until it is answered */
	b->events.ask(b->events.ctx, q);
	return TRUE;
}

static gboolean on_withdraw(
	FileExchange1Agent *object, GDBusMethodInvocation *call, guint64 id, gpointer data)
{
	struct bus *b = data;

	if (!is_from_daemon(b, call))
		return TRUE;
	b->events.withdraw(b->events.ctx, id);
	file_exchange1_agent_complete_withdraw(object, call);
	return TRUE;
}

void bus_answer(struct bus *b, gpointer call, gboolean allow)
{
	(void)b; /* the connection of the call may be an older one, which is closed then */
	g_dbus_method_invocation_return_value(call, g_variant_new("(b)", allow));
}

/* ---- the daemon comes and goes ---- */

static gboolean is_cancelled(const GError *error)
{
	return g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void on_registered(GObject *source, GAsyncResult *result, gpointer data)
{
	struct bus *b = data;
	g_autoptr(GError) error = NULL;
	g_autofree char *message = NULL;

	if (file_exchange1_call_register_agent_finish(FILE_EXCHANGE1(source), result, &error)) {
		g_message("registered with qfilexchgd: its questions come here");
		return;
	}
	if (is_cancelled(error))
		return;
	message = g_strdup_printf(
		"cannot register with qfilexchgd as the one who asks: %s", error->message);
	if (g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_ACCESS_DENIED))
		b->events.turned_away(b->events.ctx, message);
	else
		/* It has gone again, most likely; it is tried anew when it is back. */
		g_warning("%s", message);
}

static void on_owner_changed(GObject *proxy, GParamSpec *spec, gpointer data)
{
	struct bus *b = data;
	g_autofree char *owner = g_dbus_proxy_get_name_owner(G_DBUS_PROXY(proxy));

	(void)spec;
	/* From one owner to the next without a moment between: the old one's questions are gone. */
	b->events.present(b->events.ctx, FALSE);
	if (!owner) {
		g_message("qfilexchgd is not there; waiting for it");
		return;
	}
	b->events.present(b->events.ctx, TRUE);
	if (b->role == BUS_AGENT)
		file_exchange1_call_register_agent(
			b->daemon, AGENT_PATH, b->life, on_registered, b);
}

static void on_notice(FileExchange1 *daemon, const char *what, GVariant *details, gpointer data)
{
	struct bus *b = data;

	(void)daemon;
	b->events.notice(b->events.ctx, what, details);
}

static void on_changed(struct bus *b)
{
	b->events.changed(b->events.ctx);
}

/* ---- the connection ---- */

static gboolean on_retry(gpointer data)
{
	struct bus *b = data;

	b->retry = 0;
	connect_to_bus(b);
	return G_SOURCE_REMOVE;
}

static void disconnect(struct bus *b)
{
	g_cancellable_cancel(b->life);
	g_clear_object(&b->life);
	b->life = g_cancellable_new();
	if (b->daemon)
		g_signal_handlers_disconnect_by_data(b->daemon, b);
	g_clear_object(&b->daemon);
	if (b->object) {
		g_signal_handlers_disconnect_by_data(b->object, b);
		g_dbus_interface_skeleton_unexport(G_DBUS_INTERFACE_SKELETON(b->object));
	}
	g_clear_object(&b->object);
	if (b->closed_handler)
		g_signal_handler_disconnect(b->connection, b->closed_handler);
	b->closed_handler = 0;
	g_clear_object(&b->connection);
}

static void retry_later(struct bus *b, const char *why)
{
	if (!b->told)
		g_warning("cannot use the system bus: %s; trying again every %d s", why, RETRY_S);
	b->told = TRUE;
	disconnect(b);
	if (!b->retry)
		b->retry = g_timeout_add_seconds(RETRY_S, on_retry, b);
}

static void on_closed(
	GDBusConnection *connection, gboolean by_peer, const GError *error, gpointer data)
{
	struct bus *b = data;

	(void)connection;
	(void)by_peer;
	b->events.present(b->events.ctx, FALSE);
	retry_later(b, error ? error->message : "it was closed");
}

/* Not the shared connection of GLib: that one ends the process when the bus goes. */
static GDBusConnection *open_connection(GError **error)
{
	g_autofree char *address = g_dbus_address_get_for_bus_sync(G_BUS_TYPE_SYSTEM, NULL, error);

	if (!address)
		return NULL;
	return g_dbus_connection_new_for_address_sync(address,
		G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
			G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
		NULL, NULL, error);
}

static gboolean export_agent(struct bus *b, GError **error)
{
	b->object = file_exchange1_agent_skeleton_new();
	g_signal_connect(b->object, "handle-ask", G_CALLBACK(on_ask), b);
	g_signal_connect(b->object, "handle-withdraw", G_CALLBACK(on_withdraw), b);
	return g_dbus_interface_skeleton_export(
		G_DBUS_INTERFACE_SKELETON(b->object), b->connection, AGENT_PATH, error);
}

static gboolean make_proxy(struct bus *b, GError **error)
{
	b->daemon = file_exchange1_proxy_new_sync(b->connection,
		G_DBUS_PROXY_FLAGS_DO_NOT_LOAD_PROPERTIES | G_DBUS_PROXY_FLAGS_DO_NOT_AUTO_START,
		BUS_NAME, OBJECT_PATH, NULL, error);
	if (!b->daemon)
		return FALSE;
	g_signal_connect(b->daemon, "notify::g-name-owner", G_CALLBACK(on_owner_changed), b);
	g_signal_connect(b->daemon, "notice", G_CALLBACK(on_notice), b);
	g_signal_connect_swapped(b->daemon, "transfer-changed", G_CALLBACK(on_changed), b);
	g_signal_connect_swapped(b->daemon, "transfer-removed", G_CALLBACK(on_changed), b);
	g_signal_connect_swapped(b->daemon, "disposable-changed", G_CALLBACK(on_changed), b);
	g_signal_connect_swapped(b->daemon, "disposable-removed", G_CALLBACK(on_changed), b);
	return TRUE;
}

static void connect_to_bus(struct bus *b)
{
	g_autoptr(GError) error = NULL;

	b->connection = open_connection(&error);
	if (!b->connection || (b->role == BUS_AGENT && !export_agent(b, &error)) ||
		!make_proxy(b, &error)) {
		retry_later(b, error->message);
		return;
	}
	b->told = FALSE;
	b->closed_handler = g_signal_connect(b->connection, "closed", G_CALLBACK(on_closed), b);
	on_owner_changed(G_OBJECT(b->daemon), NULL, b);
}

static gboolean on_start(gpointer data)
{
	return on_retry(data);
}

struct bus *bus_create(enum bus_role role, const struct bus_events *events)
{
	struct bus *b = g_new0(struct bus, 1);

	b->role = role;
	b->events = *events;
	b->life = g_cancellable_new();
	/* From the loop, so that no event comes before the caller has its `b`. */
	b->retry = g_idle_add(on_start, b);
	return b;
}

void bus_destroy(struct bus *b)
{
	if (!b)
		return;
	if (b->retry)
		g_source_remove(b->retry);
	disconnect(b);
	g_object_unref(b->life);
	g_free(b);
}

/* ---- wishes ---- */

/* What a reply needs. The bus is gone when the call was cancelled. */
struct wish {
	struct bus *bus;
	char *what;
};

static void on_wish_done(GObject *source, GAsyncResult *result, gpointer data)
{
	struct wish *wish = data;
	g_autoptr(GError) error = NULL;
	GVariant *reply = g_dbus_proxy_call_finish(G_DBUS_PROXY(source), result, &error);

	g_clear_pointer(&reply, g_variant_unref); /* none of the methods says anything */
	if (error && !is_cancelled(error)) {
		g_autofree char *message = NULL;

		g_dbus_error_strip_remote_error(error);
		message = g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_METHOD)
				  ? g_strdup_printf("Cannot %s: the qfilexchgd that runs cannot do "
						    "that; it is older than this program.",
					    wish->what)
				  : g_strdup_printf("Cannot %s: %s.", wish->what, error->message);
		g_warning("%s", message);
		wish->bus->events.failed(wish->bus->events.ctx, message);
	}
	g_free(wish->what);
	g_free(wish);
}

/* Takes over `what`, which goes on after "Cannot". */
static void call_daemon(struct bus *b, const char *method, GVariant *arguments, char *what)
{
	struct wish *wish;

	if (!b->daemon) {
		g_autofree char *message =
			g_strdup_printf("Cannot %s: the system bus is gone.", what);

		g_variant_unref(g_variant_ref_sink(arguments));
		g_free(what);
		b->events.failed(b->events.ctx, message);
		return;
	}
	wish = g_new0(struct wish, 1);
	wish->bus = b;
	wish->what = what;
	g_dbus_proxy_call(G_DBUS_PROXY(b->daemon), method, arguments, G_DBUS_CALL_FLAGS_NONE, -1,
		b->life, on_wish_done, wish);
}

void bus_remember(struct bus *b, guint64 id, gboolean allow, const char *how)
{
	call_daemon(b, "Remember", g_variant_new("(tbs)", id, allow, how),
		g_strdup_printf("remember the answer to transfer %" G_GUINT64_FORMAT, id));
}

void bus_block(struct bus *b, const char *vm, guint seconds)
{
	call_daemon(
		b, "Block", g_variant_new("(su)", vm, seconds), g_strdup_printf("block %s", vm));
}

void bus_unblock(struct bus *b, const char *vm)
{
	call_daemon(b, "Unblock", g_variant_new("(s)", vm), g_strdup_printf("unblock %s", vm));
}

void bus_cancel(struct bus *b, guint64 id)
{
	call_daemon(b, "Cancel", g_variant_new("(t)", id),
		g_strdup_printf("take the pendrive of transfer %" G_GUINT64_FORMAT " back", id));
}

void bus_destroy_disposable(struct bus *b, const char *name)
{
	call_daemon(b, "DestroyDisposable", g_variant_new("(s)", name),
		g_strdup_printf("destroy the DisposableVM %s", name));
}

/* ---- lists ---- */

struct listing {
	bus_listed listed;
	void *ctx;
	GVariant *transfers, *disposables;
	GCancellable *life;
};

static void free_listing(struct listing *l)
{
	g_clear_pointer(&l->transfers, g_variant_unref);
	g_clear_pointer(&l->disposables, g_variant_unref);
	g_object_unref(l->life);
	g_free(l);
}

static void on_blocked(GObject *source, GAsyncResult *result, gpointer data)
{
	struct listing *l = data;
	g_autoptr(GVariant) blocked = NULL;
	g_autoptr(GError) error = NULL;

	file_exchange1_call_list_blocked_finish(FILE_EXCHANGE1(source), &blocked, result, &error);
	if (!is_cancelled(error))
		l->listed(l->ctx, l->transfers, l->disposables, blocked);
	free_listing(l);
}

static void on_disposables(GObject *source, GAsyncResult *result, gpointer data)
{
	struct listing *l = data;
	g_autoptr(GError) error = NULL;

	file_exchange1_call_list_disposables_finish(
		FILE_EXCHANGE1(source), &l->disposables, result, &error);
	file_exchange1_call_list_blocked(FILE_EXCHANGE1(source), l->life, on_blocked, l);
}

static void on_transfers(GObject *source, GAsyncResult *result, gpointer data)
{
	struct listing *l = data;
	g_autoptr(GError) error = NULL;

	if (!file_exchange1_call_list_transfers_finish(
		    FILE_EXCHANGE1(source), &l->transfers, result, &error) &&
		!is_cancelled(error))
		g_warning("cannot list the transfers: %s", error->message);
	file_exchange1_call_list_disposables(FILE_EXCHANGE1(source), l->life, on_disposables, l);
}

void bus_list(struct bus *b, bus_listed listed, void *ctx)
{
	struct listing *l;

	if (!b->daemon)
		return;
	l = g_new0(struct listing, 1);
	l->listed = listed;
	l->ctx = ctx;
	l->life = g_object_ref(b->life);
	file_exchange1_call_list_transfers(b->daemon, b->life, on_transfers, l);
}
