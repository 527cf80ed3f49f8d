/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qvm-incoming-notify(1): runs in the session of the VM's user and tells of pendrives that come
 * from other VMs, with buttons to open and to unmount them. It has no rights of its own, and
 * nothing depends on it: without a notification server, or without a session bus, it waits in vain.
 */
#include <gio/gio.h>
#include <gio/gunixmounts.h>
#include <glib-unix.h>
#include <libnotify/notify.h>
#include <locale.h>
#include <string.h>
#include <sys/statvfs.h>

#include "done.h"
#include "fail.h"
#include "incoming.h"
#include "received.h"

#define PROGRAM "qvm-incoming-notify"
#define APPLICATION "org.qubes.Incoming1"
#define SERVER "org.freedesktop.Notifications"

struct notifier {
	GApplication *application;
	GUnixMountMonitor *monitor;
	guint server_watch;
	struct received shown;         /* what `notice` tells of */
	NotifyNotification *notice;    /* NULL: nothing is shown */
	NotifyNotification *complaint; /* the last that went wrong; NULL: nothing did */
};

/* -- notifications ----------------------------------------------------------------------------- */

static bool server_can(const GList *capabilities, const char *what)
{
	for (; capabilities; capabilities = capabilities->next)
		if (strcmp(capabilities->data, what) == 0)
			return true;
	return false;
}

/* `body` is plain text; what the server would take for markup in it is escaped. */
static NotifyNotification *compose(const char *title, const char *body, const GList *capabilities)
{
	g_autofree char *escaped = g_markup_escape_text(body, -1);
	NotifyNotification *notice = notify_notification_new(title,
		server_can(capabilities, "body-markup") ? escaped : body, "drive-removable-media");

	notify_notification_set_category(notice, "device");
	return notice;
}

/* False: there is no server, which is no failure. It may come later. */
static bool show(NotifyNotification *notice)
{
	g_autoptr(GError) error = NULL;

	if (notify_notification_show(notice, &error))
		return true;
	g_info("no notification could be shown: %s", error->message);
	return false;
}

static void forget(NotifyNotification **notice)
{
	if (*notice)
		notify_notification_close(*notice, NULL);
	g_clear_object(notice);
}

static void complain(struct notifier *notifier, const char *title, const char *body)
{
	GList *capabilities = notify_get_server_caps();

	forget(&notifier->complaint);
	notifier->complaint = compose(title, body, capabilities);
	show(notifier->complaint);
	g_list_free_full(capabilities, g_free);
}

/* -- what the buttons do ----------------------------------------------------------------------- */

static void on_open(
	NotifyNotification *notice G_GNUC_UNUSED, char *action G_GNUC_UNUSED, gpointer data)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *body = NULL;

	if (g_app_info_launch_default_for_uri("file://" INCOMING_FOLDER, NULL, &error))
		return;
	body = g_strdup_printf("The files are in %s: %s", INCOMING_FOLDER, error->message);
	complain(data, "No file manager could be started", body);
}

static void on_done(
	NotifyNotification *notice G_GNUC_UNUSED, char *action G_GNUC_UNUSED, gpointer data)
{
	struct notifier *notifier = data;
	g_autoptr(GError) error = NULL;

	/* The notification goes when the mount does. */
	if (!done_unmount(&notifier->shown, &error))
		complain(notifier, "The pendrive is still there", error->message);
}

static char *size_text(void)
{
	struct statvfs fs;
	g_autofree char *used = NULL;

	/* The numbers are the sender's. */
	if (statvfs(INCOMING_FOLDER, &fs) < 0 || fs.f_bfree > fs.f_blocks)
		return g_strdup("");
	used = g_format_size((uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize);
	return g_strdup_printf(" (%s)", used);
}

static NotifyNotification *compose_arrival(struct notifier *notifier)
{
	GList *capabilities = notify_get_server_caps();
	const bool buttons = server_can(capabilities, "actions");
	g_autofree char *size = size_text();
	g_autofree char *title =
		g_strdup_printf("A pendrive from %s", received_from(&notifier->shown));
	g_autofree char *body = g_strdup_printf("Its files%s are in %s. %s", size, INCOMING_FOLDER,
		buttons ? "It stays until you are done with it."
			: "When you are done with it: qvm-incoming --done");
	NotifyNotification *notice = compose(title, body, capabilities);

	if (buttons) {
		notify_notification_add_action(notice, "default", "Open", on_open, notifier, NULL);
		notify_notification_add_action(notice, "open", "Open", on_open, notifier, NULL);
		notify_notification_add_action(notice, "done", "Done", on_done, notifier, NULL);
	}
	/* Opening it must not take the other button away. */
	notify_notification_set_hint(notice, "resident", g_variant_new_boolean(TRUE));
	notify_notification_set_timeout(notice, NOTIFY_EXPIRES_NEVER);
	g_list_free_full(capabilities, g_free);
	return notice;
}

/* -- what is there ----------------------------------------------------------------------------- */

static bool is_same(const struct received *a, const struct received *b)
{
	return a->device == b->device && a->since_s == b->since_s &&
	       strcmp(a->source, b->source) == 0;
}

/* What is shown becomes what is mounted. */
static void refresh(struct notifier *notifier)
{
	struct received now;
	const bool there = received_find(&now, NULL);

	if (notifier->notice && (!there || !is_same(&now, &notifier->shown))) {
		forget(&notifier->notice);
		forget(&notifier->complaint);
	}
	if (!there || notifier->notice)
		return;
	notifier->shown = now;
	notifier->notice = compose_arrival(notifier);
	if (!show(notifier->notice))
		g_clear_object(&notifier->notice);
}

static void on_mounts_changed(GUnixMountMonitor *monitor G_GNUC_UNUSED, gpointer data)
{
	refresh(data);
}

static void on_server_appeared(GDBusConnection *connection G_GNUC_UNUSED,
	const char *name G_GNUC_UNUSED, const char *owner G_GNUC_UNUSED, gpointer data)
{
	refresh(data);
}

/* What it showed went with it. */
static void on_server_vanished(
	GDBusConnection *connection G_GNUC_UNUSED, const char *name G_GNUC_UNUSED, gpointer data)
{
	struct notifier *notifier = data;

	g_clear_object(&notifier->notice);
	g_clear_object(&notifier->complaint);
}

/* -- the frame --------------------------------------------------------------------------------- */

static gboolean on_signal(gpointer data)
{
	struct notifier *notifier = data;

	g_application_release(notifier->application);
	return G_SOURCE_REMOVE;
}

/* In the first instance of a session alone; later ones end by themselves. */
static void on_startup(GApplication *application, gpointer data)
{
	struct notifier *notifier = data;

	g_application_hold(application);
	notify_init("Pendrives");
	g_unix_signal_add(SIGTERM, on_signal, notifier);
	g_unix_signal_add(SIGINT, on_signal, notifier);
	notifier->monitor = g_unix_mount_monitor_get();
	g_signal_connect(
		notifier->monitor, "mounts-changed", G_CALLBACK(on_mounts_changed), notifier);
	notifier->server_watch =
		g_bus_watch_name(G_BUS_TYPE_SESSION, SERVER, G_BUS_NAME_WATCHER_FLAGS_NONE,
			on_server_appeared, on_server_vanished, notifier, NULL);
	refresh(notifier);
}

static void on_activate(GApplication *application G_GNUC_UNUSED, gpointer data G_GNUC_UNUSED)
{
}

static void end(struct notifier *notifier)
{
	if (notifier->server_watch)
		g_bus_unwatch_name(notifier->server_watch);
	g_clear_object(&notifier->monitor);
	forget(&notifier->notice);
	forget(&notifier->complaint);
	if (notify_is_initted())
		notify_uninit();
	g_clear_object(&notifier->application);
}

static int run(void)
{
	struct notifier notifier = {0};
	int status;

	notifier.application = g_application_new(APPLICATION, (GApplicationFlags)0);
	g_signal_connect(notifier.application, "startup", G_CALLBACK(on_startup), &notifier);
	g_signal_connect(notifier.application, "activate", G_CALLBACK(on_activate), &notifier);
	status = g_application_run(notifier.application, 0, NULL);
	end(&notifier);
	return status;
}

static bool parse(char **argv, gboolean *version, GError **error)
{
	const GOptionEntry entries[] = {
		{"version", 0, 0, G_OPTION_ARG_NONE, version, "Print the version and exit", NULL},
		{0},
	};
	g_autoptr(GOptionContext) context = g_option_context_new(NULL);
	g_auto(GStrv) copy = g_strdupv(argv);
	g_autoptr(GError) option_error = NULL;

	g_option_context_set_summary(context, "Run by the session: tells of pendrives that come "
					      "from other VMs.");
	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse_strv(context, &copy, &option_error))
		return vm_fail_usage(error, option_error->message);
	return !copy[0] || !copy[1] || vm_fail_usage(error, "it takes no words");
}

int main(int argc G_GNUC_UNUSED, char **argv)
{
	g_autoptr(GError) error = NULL;
	gboolean version = FALSE;

	(void)setlocale(LC_ALL, "");
	if (!parse(argv, &version, &error)) {
		vm_print_error(PROGRAM ": %s (see " PROGRAM " --help)\n", error->message);
		return vm_exit_status(error);
	}
	if (version) {
		vm_print(PROGRAM " %s\n", QFX_VERSION);
		return VM_EXIT_OK;
	}
	return run();
}
