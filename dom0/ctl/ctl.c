/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qfilexchgctl: shows and steers the transfers of qfilexchgd, and asks its questions in a terminal.
 */
#include <gio/gio.h>
#include <glib-unix.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "agent.h"
#include "bus-generated.h"
#include "text.h"

static const char usage[] = "list               the transfers under way\n"
			    "  show ID            all that is known of one\n"
			    "  cancel ID          take its pendrive back, from whoever has it\n"
			    "  agent              answer the questions here, in this terminal\n"
			    "  agent --yes|--no   answer them all alike, for scripts and tests";

static gboolean opt_yes, opt_no, opt_version;

static const GOptionEntry entries[] = {
	{"yes", 0, 0, G_OPTION_ARG_NONE, &opt_yes, "agent: allow everything", NULL},
	{"no", 0, 0, G_OPTION_ARG_NONE, &opt_no, "agent: refuse everything", NULL},
	{"version", 0, 0, G_OPTION_ARG_NONE, &opt_version, "Print the version", NULL},
	{0},
};

static int fail(const char *what, GError *error)
{
	g_dbus_error_strip_remote_error(error);
	g_printerr("qfilexchgctl: %s: %s\n", what, error->message);
	return EXIT_FAILURE;
}

static const char *text_of(GVariant *transfer, const char *key)
{
	const char *text = "";

	g_variant_lookup(transfer, key, "&s", &text);
	return text;
}

static guint64 number_of(GVariant *transfer, const char *key)
{
	guint64 number = 0;

	g_variant_lookup(transfer, key, "t", &number);
	return number;
}

static int list(FileExchange1 *daemon)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) transfers = NULL;
	GVariantIter iter;
	GVariant *t;

	if (!file_exchange1_call_list_transfers_sync(daemon, &transfers, NULL, &error))
		return fail("cannot list the transfers", error);
	if (g_variant_n_children(transfers) == 0) {
		g_print("No pendrive is under way.\n");
		return EXIT_SUCCESS;
	}
	g_print("%4s  %-13s  %-16s  %-16s  %10s  %8s\n", "ID", "STATE", "SENDER", "RECEIVER",
		"SIZE", "AGE");
	g_variant_iter_init(&iter, transfers);
	while ((t = g_variant_iter_next_value(&iter))) {
		g_autofree char *size = text_size(number_of(t, "size"));
		g_autofree char *age = text_duration(number_of(t, "age"));
		const char *receiver = text_of(t, "receiver");

		g_print("%4" G_GUINT64_FORMAT "  %-13s  %-16s  %-16s  %10s  %8s\n",
			number_of(t, "id"), text_of(t, "state"), text_of(t, "sender"),
			*receiver ? receiver : "-", size, age);
		g_variant_unref(t);
	}
	return EXIT_SUCCESS;
}

static gboolean parse_id(const char *text, guint64 *id)
{
	if (g_ascii_string_to_unsigned(text, 10, 1, G_MAXUINT64, id, NULL))
		return TRUE;
	g_printerr(
		"qfilexchgctl: %s is no transfer's number; `qfilexchgctl list` shows them\n", text);
	return FALSE;
}

static int show(FileExchange1 *daemon, guint64 id)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) t = NULL;
	GVariantIter iter;
	const char *key;
	GVariant *value;

	if (!file_exchange1_call_get_transfer_sync(daemon, id, &t, NULL, &error))
		return fail("cannot show it", error);
	g_variant_iter_init(&iter, t);
	while (g_variant_iter_next(&iter, "{&sv}", &key, &value)) {
		g_autofree char *text = g_variant_is_of_type(value, G_VARIANT_TYPE_STRING)
						? g_variant_dup_string(value, NULL)
						: g_variant_print(value, FALSE);

		g_print("%s: %s\n", key, text);
		g_variant_unref(value);
	}
	return EXIT_SUCCESS;
}

static int cancel(FileExchange1 *daemon, guint64 id)
{
	g_autoptr(GError) error = NULL;

	if (!file_exchange1_call_cancel_sync(daemon, id, NULL, &error))
		return fail("cannot take it back", error);
	return EXIT_SUCCESS;
}

static int agent(FileExchange1 *daemon)
{
	if (opt_yes && opt_no) {
		g_printerr("qfilexchgctl: either --yes or --no\n");
		return EX_USAGE;
	}
	return agent_run(daemon, opt_yes ? AGENT_YES : opt_no ? AGENT_NO : AGENT_ASK);
}

static FileExchange1 *connect_to_daemon(void)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *owner = NULL;
	FileExchange1 *daemon = file_exchange1_proxy_new_for_bus_sync(G_BUS_TYPE_SYSTEM,
		G_DBUS_PROXY_FLAGS_DO_NOT_LOAD_PROPERTIES | G_DBUS_PROXY_FLAGS_DO_NOT_AUTO_START,
		"org.qubes.FileExchange1", "/org/qubes/FileExchange1", NULL, &error);

	if (!daemon) {
		fail("cannot use the system bus", error);
		return NULL;
	}
	/* Questions and lists have no reason to time out; a daemon that is not there answers at
	 * once. */
	owner = g_dbus_proxy_get_name_owner(G_DBUS_PROXY(daemon));
	if (!owner) {
		g_printerr("qfilexchgctl: qfilexchgd is not running, or not on this bus; see "
			   "`systemctl status qfilexchgd`\n");
		g_clear_object(&daemon);
	}
	return daemon;
}

static int dispatch(int argc, char **argv)
{
	g_autoptr(FileExchange1) daemon = NULL;
	const char *command = argc > 1 ? argv[1] : "";
	gboolean takes_id = strcmp(command, "show") == 0 || strcmp(command, "cancel") == 0;
	gboolean known = takes_id || strcmp(command, "list") == 0 || strcmp(command, "agent") == 0;
	guint64 id = 0;

	if (!known || argc != (takes_id ? 3 : 2) ||
		((opt_yes || opt_no) && strcmp(command, "agent") != 0)) {
		g_printerr("usage: qfilexchgctl COMMAND\n  %s\n", usage);
		return EX_USAGE;
	}
	if (takes_id && !parse_id(argv[2], &id))
		return EX_USAGE;
	daemon = connect_to_daemon();
	if (!daemon)
		return EX_UNAVAILABLE;
	if (strcmp(command, "list") == 0)
		return list(daemon);
	if (strcmp(command, "show") == 0)
		return show(daemon, id);
	if (strcmp(command, "cancel") == 0)
		return cancel(daemon, id);
	return agent(daemon);
}

int main(int argc, char **argv)
{
	g_autoptr(GOptionContext) options = g_option_context_new("COMMAND");
	g_autofree char *summary = g_strdup_printf("Commands:\n  %s", usage);
	g_autoptr(GError) error = NULL;

	g_option_context_add_main_entries(options, entries, NULL);
	g_option_context_set_summary(options, summary);
	if (!g_option_context_parse(options, &argc, &argv, &error)) {
		g_printerr("qfilexchgctl: %s\n", error->message);
		return EX_USAGE;
	}
	if (opt_version) {
		g_print("qfilexchgctl " QFX_VERSION "\n");
		return EXIT_SUCCESS;
	}
	return dispatch(argc, argv);
}
