/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "playedbus.h"

#include <sys/socket.h>

#define OBJECT_PATH "/org/qubes/FileExchange1"

/* A program that the daemon watches. */
struct watched {
	guint id;
	char *name;
	GBusNameVanishedCallback vanished;
	gpointer data;
};

static struct playedbus_peer peer;
static GDBusInterfaceSkeleton *exported;
static GList *watches; /* struct watched, owned */
static guint last_id;
/* The calls that are not answered yet; so many at most at any time. */
static GList *pending;

/* -- a call of the daemon's methods, as its handlers know it ----------------------------------- */

struct played_call {
	struct playedbus_answer *answer; /* NULL: nobody waits */
	const GDBusMethodInfo *method;
	const char *sender;
	gboolean answered;
};

static GQuark call_quark(void)
{
	return g_quark_from_static_string("played-call");
}

static struct played_call *call_of(GDBusMethodInvocation *invocation)
{
	return g_object_get_qdata(G_OBJECT(invocation), call_quark());
}

/* GDBus's own would free what it never had. */
static void finalize(GObject *object)
{
	GObjectClass *base = g_type_class_peek(G_TYPE_OBJECT);

	base->finalize(object);
}

static void class_init(gpointer class, gpointer data)
{
	(void)data;
	G_OBJECT_CLASS(class)->finalize = finalize;
}

static GType invocation_type(void)
{
	static GType type;
	GTypeQuery query;
	GTypeInfo info = {.class_init = class_init};

	if (type)
		return type;
	g_type_query(G_TYPE_DBUS_METHOD_INVOCATION, &query);
	info.class_size = (guint16)query.class_size;
	info.instance_size = (guint16)query.instance_size;
	type = g_type_register_static(
		G_TYPE_DBUS_METHOD_INVOCATION, "PlayedInvocation", &info, G_TYPE_FLAG_NONE);
	return type;
}

/* Once for each call, as on a bus; it takes the invocation over. */
static void give_answer(GDBusMethodInvocation *invocation, GVariant *body, char *error, char *text)
{
	struct played_call *call = call_of(invocation);

	g_assert_false(call->answered);
	call->answered = TRUE;
	if (body)
		g_variant_ref_sink(body);
	if (call->answer) {
		*call->answer = (struct playedbus_answer){body, error, text};
	} else {
		g_clear_pointer(&body, g_variant_unref);
		g_free(error);
		g_free(text);
	}
	pending = g_list_remove(pending, call);
	g_object_unref(invocation);
}

void g_dbus_method_invocation_return_value(GDBusMethodInvocation *invocation, GVariant *parameters)
{
	const struct played_call *call = call_of(invocation);
	GVariant *body = parameters ? parameters : g_variant_new("()");
	g_autoptr(GString) wanted = g_string_new("(");

	for (GDBusArgInfo **arg = call->method->out_args; arg && *arg; arg++)
		g_string_append(wanted, (*arg)->signature);
	g_string_append_c(wanted, ')');
	g_assert_cmpstr(g_variant_get_type_string(body), ==, wanted->str);
	give_answer(invocation, body, NULL, NULL);
}

void g_dbus_method_invocation_return_error(
	GDBusMethodInvocation *invocation, GQuark domain, gint code, const gchar *format, ...)
{
	g_autoptr(GError) error = NULL;
	va_list list;

	va_start(list, format);
	error = g_error_new_valist(domain, code, format, list);
	va_end(list);
	give_answer(invocation, NULL, g_dbus_error_encode_gerror(error), g_strdup(error->message));
}

const gchar *g_dbus_method_invocation_get_sender(GDBusMethodInvocation *invocation)
{
	return call_of(invocation)->sender;
}

const GDBusMethodInfo *g_dbus_method_invocation_get_method_info(GDBusMethodInvocation *invocation)
{
	return call_of(invocation)->method;
}

gboolean playedbus_call(const char *sender, const GDBusMethodInfo *method, GVariant *arguments,
	struct playedbus_answer *answer)
{
	GDBusMethodInvocation *invocation = g_object_new(invocation_type(), NULL);
	struct played_call *call = g_new0(struct played_call, 1);
	const GDBusInterfaceVTable *vtable = g_dbus_interface_skeleton_get_vtable(exported);

	*call = (struct played_call){answer, method, g_intern_string(sender), FALSE};
	g_object_set_qdata_full(G_OBJECT(invocation), call_quark(), call, g_free);
	pending = g_list_prepend(pending, call);
	vtable->method_call(NULL, call->sender, OBJECT_PATH,
		g_dbus_interface_skeleton_get_info(exported)->name, method->name, arguments,
		invocation, exported);
	return answer->body || answer->error;
}

void playedbus_forget(void)
{
	for (GList *l = pending; l; l = l->next)
		((struct played_call *)l->data)->answer = NULL;
}

void playedbus_answer_clear(struct playedbus_answer *answer)
{
	g_clear_pointer(&answer->body, g_variant_unref);
	g_clear_pointer(&answer->error, g_free);
	g_clear_pointer(&answer->text, g_free);
}

/* -- the connection ---------------------------------------------------------------------------- */

/* A real one, made once, over which nothing ever goes: it is what pointers to one point to. */
static GDBusConnection *the_connection(void)
{
	static GDBusConnection *connection;
	g_autoptr(GError) error = NULL;
	g_autoptr(GSocket) socket = NULL;
	g_autoptr(GSocketConnection) stream = NULL;
	int ends[2];

	if (connection)
		return connection;
	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
	socket = g_socket_new_from_fd(ends[0], &error);
	g_assert_no_error(error);
	stream = g_socket_connection_factory_create_connection(socket);
	connection = g_dbus_connection_new_sync(G_IO_STREAM(stream), NULL,
		G_DBUS_CONNECTION_FLAGS_DELAY_MESSAGE_PROCESSING, NULL, NULL, &error);
	g_assert_no_error(error);
	return connection;
}

gchar *g_dbus_address_get_for_bus_sync(GBusType type, GCancellable *cancellable, GError **error)
{
	(void)cancellable;
	(void)error;
	g_assert_cmpint(type, ==, G_BUS_TYPE_SYSTEM);
	return g_strdup("unix:path=/nonexistent");
}

GDBusConnection *g_dbus_connection_new_for_address_sync(const gchar *address,
	GDBusConnectionFlags flags, GDBusAuthObserver *observer, GCancellable *cancellable,
	GError **error)
{
	(void)address;
	(void)flags;
	(void)observer;
	(void)cancellable;
	(void)error;
	return g_object_ref(the_connection());
}

gboolean g_dbus_interface_skeleton_export(GDBusInterfaceSkeleton *skeleton,
	GDBusConnection *connection, const gchar *path, GError **error)
{
	(void)connection;
	(void)error;
	g_assert_cmpstr(path, ==, OBJECT_PATH);
	g_assert_null(exported);
	exported = skeleton;
	return TRUE;
}

void g_dbus_interface_skeleton_unexport(GDBusInterfaceSkeleton *skeleton)
{
	g_assert_true(exported == skeleton);
	exported = NULL;
}

GList *g_dbus_interface_skeleton_get_connections(GDBusInterfaceSkeleton *skeleton)
{
	(void)skeleton;
	return exported ? g_list_prepend(NULL, g_object_ref(the_connection())) : NULL;
}

const gchar *g_dbus_interface_skeleton_get_object_path(GDBusInterfaceSkeleton *skeleton)
{
	(void)skeleton;
	return exported ? OBJECT_PATH : NULL;
}

GDBusInterfaceSkeleton *playedbus_exported(void)
{
	return exported;
}

gboolean g_dbus_connection_emit_signal(GDBusConnection *connection, const gchar *destination,
	const gchar *path, const gchar *interface, const gchar *signal, GVariant *parameters,
	GError **error)
{
	(void)connection;
	(void)destination;
	(void)error;
	g_assert_true(g_variant_is_object_path(path));
	g_assert_true(g_dbus_is_interface_name(interface) && g_dbus_is_member_name(signal));
	g_variant_unref(g_variant_ref_sink(parameters));
	return TRUE;
}

/* -- what the daemon calls --------------------------------------------------------------------- */

void playedbus_set_peer(const struct playedbus_peer *new_peer)
{
	peer = *new_peer;
}

static void give_reply(GTask *task, GVariant *reply, const GVariantType *wanted)
{
	if (!reply)
		g_task_return_new_error(
			task, G_DBUS_ERROR, G_DBUS_ERROR_FAILED, "it does not like it");
	else if (wanted && !g_variant_is_of_type(reply, wanted))
		g_task_return_new_error(
			task, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "another type");
	else
		g_task_return_pointer(task, g_variant_ref(reply), (GDestroyNotify)g_variant_unref);
}

void g_dbus_connection_call(GDBusConnection *connection, const gchar *name, const gchar *path,
	const gchar *interface, const gchar *method, GVariant *parameters,
	const GVariantType *reply_type, GDBusCallFlags flags, gint timeout_ms,
	GCancellable *cancellable, GAsyncReadyCallback callback, gpointer data)
{
	g_autoptr(GVariant) reply = NULL;
	g_autoptr(GTask) task = NULL;

	(void)flags;
	(void)timeout_ms;
	g_assert_true(g_dbus_is_name(name) && g_variant_is_object_path(path));
	g_assert_true(g_dbus_is_interface_name(interface) && g_dbus_is_member_name(method));
	if (parameters)
		g_variant_unref(g_variant_ref_sink(parameters));
	if (!callback)
		return;
	if (g_str_equal(method, "GetConnectionUnixUser"))
		reply = g_variant_new("(u)", peer.uid);
	else
		reply = peer.reply(method, peer.data);
	if (reply)
		g_variant_ref_sink(reply);
	task = g_task_new(connection, cancellable, callback, data);
	give_reply(task, reply, reply_type);
}

GVariant *g_dbus_connection_call_finish(
	GDBusConnection *connection, GAsyncResult *result, GError **error)
{
	g_assert_true(g_task_is_valid(result, connection));
	return g_task_propagate_pointer(G_TASK(result), error);
}

/* -- names ------------------------------------------------------------------------------------- */

guint g_bus_own_name_on_connection(GDBusConnection *connection, const gchar *name,
	GBusNameOwnerFlags flags, GBusNameAcquiredCallback acquired, GBusNameLostCallback lost,
	gpointer data, GDestroyNotify free_data)
{
	(void)connection;
	(void)flags;
	(void)acquired;
	(void)lost;
	(void)data;
	g_assert_null(free_data);
	g_assert_true(g_dbus_is_name(name));
	return ++last_id;
}

void g_bus_unown_name(guint id)
{
	g_assert_cmpuint(id, !=, 0);
}

guint g_bus_watch_name_on_connection(GDBusConnection *connection, const gchar *name,
	GBusNameWatcherFlags flags, GBusNameAppearedCallback appeared,
	GBusNameVanishedCallback vanished, gpointer data, GDestroyNotify free_data)
{
	struct watched *watched = g_new0(struct watched, 1);

	(void)connection;
	(void)flags;
	(void)appeared;
	g_assert_null(free_data);
	*watched = (struct watched){++last_id, g_strdup(name), vanished, data};
	watches = g_list_prepend(watches, watched);
	return watched->id;
}

static void free_watched(struct watched *watched)
{
	watches = g_list_remove(watches, watched);
	g_free(watched->name);
	g_free(watched);
}

void g_bus_unwatch_name(guint id)
{
	for (GList *l = watches; l; l = l->next) {
		struct watched *watched = l->data;

		if (watched->id == id) {
			free_watched(watched);
			return;
		}
	}
	g_assert_not_reached();
}

gboolean playedbus_leave(const char *name)
{
	for (GList *l = watches; l; l = l->next) {
		const struct watched *watched = l->data;

		if (g_str_equal(watched->name, name)) {
			/* It may end the watch from in there. */
			g_autofree char *copy = g_strdup(name);

			watched->vanished(the_connection(), copy, watched->data);
			return TRUE;
		}
	}
	return FALSE;
}
