/* SPDX-License-Identifier: GPL-2.0-or-later */
#define G_LOG_DOMAIN "qfilexchgd"
#include "bus.h"

#include <gio/gio.h>

#include "bus-generated.h"
#include "config.h"
#include "qpen_words.h"

#define BUS_NAME "org.qubes.FileExchange1"
#define OBJECT_PATH "/org/qubes/FileExchange1"
/* After losing the system bus, or without one at the start. */
#define RETRY_S 5

struct bus {
	struct exchange *exchange;
	struct agents *agents;
	struct rules *rules;
	struct clock_port clock;
	FileExchange1 *object;
	GDBusConnection *connection;
	guint name;
	guint retry;
	gulong closed_handler;
	gboolean told;    /* that there is no bus */
	GQueue preparing; /* calls that wait for the save file; owned */
};

static void connect_to_bus(struct bus *b);

/* ---- transfers as a{sv} ---- */

static const char *place_name(enum transfer_place place)
{
	switch (place) {
	case TRANSFER_NOWHERE:
		return "nowhere";
	case TRANSFER_AT_SENDER:
		return "sender";
	case TRANSFER_AT_RECEIVER:
		return "receiver";
	}
	return "nowhere";
}

static guint64 seconds(gint64 ms)
{
	return (guint64)MAX(ms, 0) / 1000;
}

static GVariant *describe(struct bus *b, const struct transfer *t)
{
	gint64 now_ms = b->clock.now_ms(b->clock.ctx);
	GVariantDict d;

	g_variant_dict_init(&d, NULL);
	g_variant_dict_insert(&d, "id", "t", t->id);
	g_variant_dict_insert(&d, "state", "s", transfer_state_name(t->state));
	g_variant_dict_insert(&d, "place", "s", place_name(t->place));
	g_variant_dict_insert(&d, "sender", "s", t->sender.name);
	g_variant_dict_insert(&d, "sender-domid", "u", t->sender.domid);
	g_variant_dict_insert(&d, "receiver", "s", t->receiver.name);
	g_variant_dict_insert(&d, "receiver-domid", "u", t->receiver.domid);
	g_variant_dict_insert(&d, "size", "t", t->size_bytes);
	g_variant_dict_insert(&d, "format", "s", pendrive_format_name(t->format));
	g_variant_dict_insert(&d, "age", "t", seconds(now_ms - t->started_ms));
	g_variant_dict_insert(&d, "expires", "t", seconds(t->deadline_ms - now_ms));
	return g_variant_dict_end(&d);
}

struct listing {
	struct bus *bus;
	GVariantBuilder builder;
};

static void list_one(void *arg, const struct transfer *t)
{
	struct listing *listing = arg;

	g_variant_builder_add_value(&listing->builder, describe(listing->bus, t));
}

/* ---- methods ---- */

static gboolean on_list(FileExchange1 *object, GDBusMethodInvocation *call, gpointer data)
{
	struct listing listing = {.bus = data};

	g_variant_builder_init(&listing.builder, G_VARIANT_TYPE("aa{sv}"));
	exchange_visit(listing.bus->exchange, list_one, &listing);
	file_exchange1_complete_list_transfers(
		object, call, g_variant_builder_end(&listing.builder));
	return TRUE;
}

static void no_such_transfer(GDBusMethodInvocation *call, guint64 id)
{
	g_dbus_method_invocation_return_error(call, G_DBUS_ERROR, G_DBUS_ERROR_INVALID_ARGS,
		"there is no transfer %" G_GUINT64_FORMAT, id);
}

static gboolean on_get(
	FileExchange1 *object, GDBusMethodInvocation *call, guint64 id, gpointer data)
{
	struct bus *b = data;
	const struct transfer *t = exchange_find(b->exchange, id);

	if (t)
		file_exchange1_complete_get_transfer(object, call, describe(b, t));
	else
		no_such_transfer(call, id);
	return TRUE;
}

static gboolean on_cancel(
	FileExchange1 *object, GDBusMethodInvocation *call, guint64 id, gpointer data)
{
	struct bus *b = data;

	if (exchange_cancel(b->exchange, id))
		file_exchange1_complete_cancel(object, call);
	else if (exchange_find(b->exchange, id))
		g_dbus_method_invocation_return_error(call, G_DBUS_ERROR, G_DBUS_ERROR_FAILED,
			"transfer %" G_GUINT64_FORMAT " is being taken back already", id);
	else
		no_such_transfer(call, id);
	return TRUE;
}

static GVariant *describe_dispvm(struct bus *b, const struct dispvm *vm)
{
	gint64 now_ms = b->clock.now_ms(b->clock.ctx);
	GVariantDict d;

	g_variant_dict_init(&d, NULL);
	g_variant_dict_insert(&d, "name", "s", vm->id.name);
	g_variant_dict_insert(&d, "state", "s", dispvm_state_name(vm->state));
	g_variant_dict_insert(&d, "domid", "u", vm->id.domid);
	g_variant_dict_insert(&d, "opener", "s", vm->opener.name);
	g_variant_dict_insert(&d, "opener-domid", "u", vm->opener.domid);
	g_variant_dict_insert(&d, "label", "s", vm->label);
	g_variant_dict_insert(&d, "seq", "s", vm->seq);
	g_variant_dict_insert(&d, "view", "b", (gboolean)vm->view);
	g_variant_dict_insert(&d, "age", "t", seconds(now_ms - vm->started_ms));
	g_variant_dict_insert(&d, "expires", "t", seconds(vm->deadline_ms - now_ms));
	return g_variant_dict_end(&d);
}

static void list_dispvm(void *arg, const struct dispvm *vm)
{
	struct listing *listing = arg;

	g_variant_builder_add_value(&listing->builder, describe_dispvm(listing->bus, vm));
}

static gboolean on_list_disposables(
	FileExchange1 *object, GDBusMethodInvocation *call, gpointer data)
{
	struct listing listing = {.bus = data};

	g_variant_builder_init(&listing.builder, G_VARIANT_TYPE("aa{sv}"));
	exchange_visit_dispvms(listing.bus->exchange, list_dispvm, &listing);
	file_exchange1_complete_list_disposables(
		object, call, g_variant_builder_end(&listing.builder));
	return TRUE;
}

static gboolean on_destroy(
	FileExchange1 *object, GDBusMethodInvocation *call, const char *name, gpointer data)
{
	struct bus *b = data;

	if (exchange_discard_dispvm(b->exchange, name))
		file_exchange1_complete_destroy_disposable(object, call);
	else
		g_dbus_method_invocation_return_error(call, G_DBUS_ERROR, G_DBUS_ERROR_INVALID_ARGS,
			"there is no such DisposableVM, or it is being destroyed already");
	return TRUE;
}

static gboolean on_prepare(FileExchange1 *object, GDBusMethodInvocation *call, gpointer data)
{
	struct bus *b = data;

	(void)object;
	g_queue_push_tail(&b->preparing, call);
	if (!exchange_prepare(b->exchange)) {
		g_queue_remove(&b->preparing, call);
		g_dbus_method_invocation_return_error(call, G_DBUS_ERROR, G_DBUS_ERROR_FAILED,
			"this dom0 makes no DisposableVMs from a save file: see [disposable] "
			"template in " CONFIG_PATH);
	}
	return TRUE;
}

static void on_prepared(void *arg, bool ok, enum qpen_error error)
{
	struct bus *b = arg;
	GDBusMethodInvocation *call;

	while ((call = g_queue_pop_head(&b->preparing))) {
		if (ok)
			file_exchange1_complete_prepare_disposables(b->object, call);
		else
			g_dbus_method_invocation_return_error(call, G_DBUS_ERROR,
				G_DBUS_ERROR_FAILED,
				"the save file could not be made (%s); `journalctl -u qfilexchgd` "
				"says why",
				qpen_error_name(error));
	}
}

static gboolean on_block(FileExchange1 *object, GDBusMethodInvocation *call, const char *vm,
	guint seconds_of_it, gpointer data)
{
	struct bus *b = data;

	if (!qpen_is_vm_name(vm, strlen(vm))) {
		g_dbus_method_invocation_return_error(call, G_DBUS_ERROR, G_DBUS_ERROR_INVALID_ARGS,
			"that cannot be the name of a VM");
		return TRUE;
	}
	exchange_block(b->exchange, vm, (gint64)seconds_of_it * 1000);
	file_exchange1_complete_block(object, call);
	return TRUE;
}

static gboolean on_unblock(
	FileExchange1 *object, GDBusMethodInvocation *call, const char *vm, gpointer data)
{
	struct bus *b = data;

	if (exchange_unblock(b->exchange, vm))
		file_exchange1_complete_unblock(object, call);
	else
		g_dbus_method_invocation_return_error(
			call, G_DBUS_ERROR, G_DBUS_ERROR_INVALID_ARGS, "that VM is not blocked");
	return TRUE;
}

static void list_one_blocked(void *arg, const char *name, int64_t left_ms)
{
	/* What is left of the last second is a second: 0 means for ever. */
	g_variant_builder_add(arg, "(su)", name, (guint)MIN((left_ms + 999) / 1000, G_MAXUINT));
}

static gboolean on_list_blocked(FileExchange1 *object, GDBusMethodInvocation *call, gpointer data)
{
	struct bus *b = data;
	GVariantBuilder builder;

	g_variant_builder_init(&builder, G_VARIANT_TYPE("a(su)"));
	exchange_visit_blocked(b->exchange, list_one_blocked, &builder);
	file_exchange1_complete_list_blocked(object, call, g_variant_builder_end(&builder));
	return TRUE;
}

/* Why an answer to that question cannot be remembered, or NULL. */
static const char *why_not_remembered(const struct transfer *t, const char *how)
{
	if (!t || t->state != TRANSFER_ASKING)
		return "there is no such question";
	if (t->kind != TRANSFER_FILES)
		return "answers about DisposableVMs are not remembered";
	if (strcmp(how, "session") != 0 && strcmp(how, "always") != 0)
		return "an answer is remembered for this session or always";
	return NULL;
}

static gboolean on_remember(FileExchange1 *object, GDBusMethodInvocation *call, guint64 id,
	gboolean allow, const char *how, gpointer data)
{
	struct bus *b = data;
	const struct transfer *t = exchange_find(b->exchange, id);
	const char *why = why_not_remembered(t, how);
	g_autoptr(GError) error = NULL;

	if (why)
		g_dbus_method_invocation_return_error(
			call, G_DBUS_ERROR, G_DBUS_ERROR_INVALID_ARGS, "%s", why);
	else if (!rules_remember(b->rules, exchange_query(b->exchange, t), allow,
			 strcmp(how, "always") == 0, &error))
		g_dbus_method_invocation_return_error(call, G_DBUS_ERROR, G_DBUS_ERROR_FAILED,
			"the answer cannot be remembered: %s", error->message);
	else
		file_exchange1_complete_remember(object, call);
	return TRUE;
}

static gboolean on_register(
	FileExchange1 *object, GDBusMethodInvocation *call, const char *path, gpointer data)
{
	struct bus *b = data;

	file_exchange1_complete_register_agent(object, call);
	agents_register(b->agents, g_dbus_method_invocation_get_sender(call), path);
	return TRUE;
}

static gboolean on_unregister(FileExchange1 *object, GDBusMethodInvocation *call, gpointer data)
{
	struct bus *b = data;

	agents_unregister(b->agents, g_dbus_method_invocation_get_sender(call));
	file_exchange1_complete_unregister_agent(object, call);
	return TRUE;
}

static void on_transfer(void *arg, const struct transfer *t)
{
	struct bus *b = arg;

	if (t->state == TRANSFER_GONE)
		file_exchange1_emit_transfer_removed(b->object, t->id);
	else
		file_exchange1_emit_transfer_changed(b->object, t->id, describe(b, t));
}

static void on_dispvm(void *arg, const struct dispvm *vm)
{
	struct bus *b = arg;

	if (vm->state == DISPVM_GONE)
		file_exchange1_emit_disposable_removed(b->object, vm->id.name);
	else
		file_exchange1_emit_disposable_changed(
			b->object, vm->id.name, describe_dispvm(b, vm));
}

static void on_notice(void *arg, const struct exchange_notice *notice)
{
	struct bus *b = arg;
	GVariantDict details;

	g_variant_dict_init(&details, NULL);
	g_variant_dict_insert(&details, "vm", "s", notice->vm);
	g_variant_dict_insert(&details, "receiver", "s", notice->receiver);
	g_variant_dict_insert(&details, "reason", "s", notice->reason);
	if (notice->count > 0)
		g_variant_dict_insert(&details, "count", "u", (guint32)notice->count);
	file_exchange1_emit_notice(b->object, notice->what, g_variant_dict_end(&details));
}

/* ---- the connection ---- */

static gboolean on_retry(gpointer data)
{
	struct bus *b = data;

	b->retry = 0;
	connect_to_bus(b);
	return G_SOURCE_REMOVE;
}

static void retry_later(struct bus *b)
{
	if (!b->retry)
		b->retry = g_timeout_add_seconds(RETRY_S, on_retry, b);
}

static void disconnect(struct bus *b)
{
	if (!b->connection)
		return;
	agents_set_connection(b->agents, NULL);
	g_signal_handler_disconnect(b->connection, b->closed_handler);
	g_bus_unown_name(b->name);
	g_dbus_interface_skeleton_unexport(G_DBUS_INTERFACE_SKELETON(b->object));
	g_clear_object(&b->connection);
}

static void on_closed(
	GDBusConnection *connection, gboolean by_peer, const GError *error, gpointer data)
{
	struct bus *b = data;

	(void)connection;
	(void)by_peer;
	g_warning("the system bus is gone%s%s: nobody can be asked until it is back",
		error ? ": " : "", error ? error->message : "");
	disconnect(b);
	retry_later(b);
}

static void on_name_lost(GDBusConnection *connection, const char *name, gpointer data)
{
	(void)data;
	if (connection)
		g_critical("another program has the bus name %s: nobody can be asked through this "
			   "daemon; is a second one running?",
			name);
}

static void connect_to_bus(struct bus *b)
{
	g_autofree char *address = NULL;
	g_autoptr(GError) error = NULL;

	/* Not the shared connection of GLib: that one ends the process when the bus goes. */
	address = g_dbus_address_get_for_bus_sync(G_BUS_TYPE_SYSTEM, NULL, &error);
	if (address)
		b->connection = g_dbus_connection_new_for_address_sync(address,
			G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
				G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
			NULL, NULL, &error);
	if (!b->connection ||
		!g_dbus_interface_skeleton_export(
			G_DBUS_INTERFACE_SKELETON(b->object), b->connection, OBJECT_PATH, &error)) {
		if (!b->told)
			g_warning("cannot use the system bus: %s; nobody can be asked without it",
				error->message);
		b->told = TRUE;
		g_clear_object(&b->connection);
		retry_later(b);
		return;
	}
	b->told = FALSE;
	b->closed_handler = g_signal_connect(b->connection, "closed", G_CALLBACK(on_closed), b);
	agents_set_connection(b->agents, b->connection);
	b->name = g_bus_own_name_on_connection(b->connection, BUS_NAME,
		G_BUS_NAME_OWNER_FLAGS_DO_NOT_QUEUE, NULL, on_name_lost, b, NULL);
}

struct bus *bus_create(struct exchange *x, struct agents *agents, struct rules *rules,
	const struct clock_port *clock)
{
	struct bus *b = g_new0(struct bus, 1);
	const struct exchange_observer observer = {.transfer = on_transfer,
		.dispvm = on_dispvm,
		.notice = on_notice,
		.prepared = on_prepared,
		.arg = b};

	g_queue_init(&b->preparing);
	b->exchange = x;
	b->agents = agents;
	b->rules = rules;
	b->clock = *clock;
	b->object = file_exchange1_skeleton_new();
	file_exchange1_set_version(b->object, QFX_VERSION);
	g_signal_connect(b->object, "handle-list-transfers", G_CALLBACK(on_list), b);
	g_signal_connect(b->object, "handle-get-transfer", G_CALLBACK(on_get), b);
	g_signal_connect(b->object, "handle-cancel", G_CALLBACK(on_cancel), b);
	g_signal_connect(b->object, "handle-list-disposables", G_CALLBACK(on_list_disposables), b);
	g_signal_connect(b->object, "handle-destroy-disposable", G_CALLBACK(on_destroy), b);
	g_signal_connect(b->object, "handle-prepare-disposables", G_CALLBACK(on_prepare), b);
	g_signal_connect(b->object, "handle-block", G_CALLBACK(on_block), b);
	g_signal_connect(b->object, "handle-unblock", G_CALLBACK(on_unblock), b);
	g_signal_connect(b->object, "handle-list-blocked", G_CALLBACK(on_list_blocked), b);
	g_signal_connect(b->object, "handle-remember", G_CALLBACK(on_remember), b);
	g_signal_connect(b->object, "handle-register-agent", G_CALLBACK(on_register), b);
	g_signal_connect(b->object, "handle-unregister-agent", G_CALLBACK(on_unregister), b);
	exchange_set_observer(x, &observer);
	connect_to_bus(b);
	return b;
}

void bus_destroy(struct bus *b)
{
	if (!b)
		return;
	exchange_set_observer(b->exchange, NULL);
	on_prepared(b, false, QPEN_ERROR_CANCELLED);
	if (b->retry)
		g_source_remove(b->retry);
	disconnect(b);
	g_object_unref(b->object);
	g_free(b);
}
