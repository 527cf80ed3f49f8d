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
#include "history.h"
#include "policy_commands.h"
#include "text.h"

static const char usage[] =
	"list               the transfers under way, and the DisposableVMs\n"
	"  show ID            all that is known of one\n"
	"  cancel ID          take its pendrive back, from whoever has it\n"
	"  dvm prepare        make the save file for DisposableVMs anew\n"
	"  dvm destroy NAME   destroy a DisposableVM, and what is open in it\n"
	"  block VM [MINUTES] refuse all that it sends, unasked, so long or until unblocked\n"
	"  unblock VM\n"
	"  blocked            which VMs are\n"
	"  agent              answer the questions here, in this terminal\n"
	"  agent --yes|--no   answer them all alike, for scripts and tests\n"
	"  history            what was sent, who decided about it, and how it ended\n"
	"  " POLICY_COMMANDS_USAGE;

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

static void print_transfers(GVariant *transfers)
{
	GVariantIter iter;
	GVariant *t;

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
}

static void print_disposables(GVariant *disposables)
{
	GVariantIter iter;
	GVariant *d;

	g_print("\n%-16s  %-13s  %-16s  %8s  %8s\n", "DISPOSABLEVM", "STATE", "OPENER", "SEQ",
		"AGE");
	g_variant_iter_init(&iter, disposables);
	while ((d = g_variant_iter_next_value(&iter))) {
		g_autofree char *age = text_duration(number_of(d, "age"));
		const char *opener = text_of(d, "opener");

		g_print("%-16s  %-13s  %-16s  %8s  %8s\n", text_of(d, "name"), text_of(d, "state"),
			*opener ? opener : "-", *opener ? text_of(d, "seq") : "-", age);
		g_variant_unref(d);
	}
}

static int list(FileExchange1 *daemon)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) transfers = NULL;
	g_autoptr(GVariant) disposables = NULL;

	if (!file_exchange1_call_list_transfers_sync(daemon, &transfers, NULL, &error))
		return fail("cannot list the transfers", error);
	if (!file_exchange1_call_list_disposables_sync(daemon, &disposables, NULL, &error))
		return fail("cannot list the DisposableVMs", error);
	if (g_variant_n_children(transfers) == 0)
		g_print("No pendrive is under way.\n");
	else
		print_transfers(transfers);
	if (g_variant_n_children(disposables) > 0)
		print_disposables(disposables);
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

static gboolean parse_minutes(const char *text, guint64 *minutes)
{
	if (g_ascii_string_to_unsigned(text, 10, 1, 365 * 24 * 60, minutes, NULL))
		return TRUE;
	g_printerr("qfilexchgctl: %s is no number of minutes, from one to a year of them\n", text);
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

/* Booting and saving a VM takes as long as it takes; the daemon has a deadline for it. */
static int dvm_prepare(FileExchange1 *daemon)
{
	g_autoptr(GError) error = NULL;

	g_print("The template is booted and saved; this takes a while.\n");
	g_dbus_proxy_set_default_timeout(G_DBUS_PROXY(daemon), G_MAXINT);
	if (!file_exchange1_call_prepare_disposables_sync(daemon, NULL, &error))
		return fail("cannot prepare DisposableVMs", error);
	g_print("The save file for DisposableVMs is made.\n");
	return EXIT_SUCCESS;
}

static int dvm_destroy(FileExchange1 *daemon, const char *name)
{
	g_autoptr(GError) error = NULL;

	if (!file_exchange1_call_destroy_disposable_sync(daemon, name, NULL, &error))
		return fail("cannot destroy it", error);
	return EXIT_SUCCESS;
}

static int block(FileExchange1 *daemon, const char *vm, guint64 minutes)
{
	g_autoptr(GError) error = NULL;

	if (!file_exchange1_call_block_sync(daemon, vm, (guint)minutes * 60, NULL, &error))
		return fail("cannot block it", error);
	return EXIT_SUCCESS;
}

static int unblock(FileExchange1 *daemon, const char *vm)
{
	g_autoptr(GError) error = NULL;

	if (!file_exchange1_call_unblock_sync(daemon, vm, NULL, &error))
		return fail("cannot unblock it", error);
	return EXIT_SUCCESS;
}

static int blocked(FileExchange1 *daemon)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GVariant) list_of_them = NULL;
	GVariantIter iter;
	const char *vm;
	guint seconds;

	if (!file_exchange1_call_list_blocked_sync(daemon, &list_of_them, NULL, &error))
		return fail("cannot list the blocked VMs", error);
	if (g_variant_n_children(list_of_them) == 0)
		g_print("No VM is blocked.\n");
	g_variant_iter_init(&iter, list_of_them);
	while (g_variant_iter_next(&iter, "(&su)", &vm, &seconds)) {
		g_autofree char *left = seconds ? text_duration(seconds) : NULL;

		g_print("%-16s  %s%s\n", vm, left ? "for " : "until it is unblocked",
			left ? left : "");
	}
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

enum command {
	LIST,
	SHOW,
	CANCEL,
	DVM_PREPARE,
	DVM_DESTROY,
	BLOCK,
	BLOCK_FOR,
	UNBLOCK,
	BLOCKED,
	AGENT,
	N_COMMANDS,
};

/* The words that it is called by, and how many more follow. */
static const struct {
	const char *word, *second;
	int n_arguments;
} commands[N_COMMANDS] = {
	[LIST] = {"list", NULL, 0},
	[SHOW] = {"show", NULL, 1},
	[CANCEL] = {"cancel", NULL, 1},
	[DVM_PREPARE] = {"dvm", "prepare", 0},
	[DVM_DESTROY] = {"dvm", "destroy", 1},
	[BLOCK] = {"block", NULL, 1},
	[BLOCK_FOR] = {"block", NULL, 2},
	[UNBLOCK] = {"unblock", NULL, 1},
	[BLOCKED] = {"blocked", NULL, 0},
	[AGENT] = {"agent", NULL, 0},
};

/* N_COMMANDS: none of them. *argument is the one that follows, or NULL. */
static enum command find_command(char **words, const char **argument)
{
	guint n = g_strv_length(words);

	for (int c = 0; c < N_COMMANDS; c++) {
		guint n_words = commands[c].second ? 2 : 1;

		if (n != n_words + (guint)commands[c].n_arguments ||
			strcmp(words[0], commands[c].word) != 0 ||
			(commands[c].second && strcmp(words[1], commands[c].second) != 0))
			continue;
		*argument = words[n_words];
		return (enum command)c;
	}
	return N_COMMANDS;
}

/* `number` is the transfer's, or the minutes. */
static int run(FileExchange1 *daemon, enum command command, const char *argument, guint64 number)
{
	switch (command) {
	case LIST:
		return list(daemon);
	case SHOW:
		return show(daemon, number);
	case CANCEL:
		return cancel(daemon, number);
	case DVM_PREPARE:
		return dvm_prepare(daemon);
	case DVM_DESTROY:
		return dvm_destroy(daemon, argument);
	case BLOCK:
	case BLOCK_FOR:
		return block(daemon, argument, number);
	case UNBLOCK:
		return unblock(daemon, argument);
	case BLOCKED:
		return blocked(daemon);
	case AGENT:
		return agent(daemon);
	case N_COMMANDS:
		break;
	}
	return EX_USAGE;
}

static int dispatch(char **words)
{
	g_autoptr(FileExchange1) daemon = NULL;
	const char *argument = NULL;
	enum command command = find_command(words, &argument);
	guint64 number = 0;

	if (words[0] && strcmp(words[0], "policy") == 0)
		return policy_commands_run(&POLICY_PLACES, words + 1);
	if (command == N_COMMANDS || ((opt_yes || opt_no) && command != AGENT)) {
		g_printerr("usage: qfilexchgctl COMMAND\n  %s\n", usage);
		return EX_USAGE;
	}
	if ((command == SHOW || command == CANCEL) && !parse_id(argument, &number))
		return EX_USAGE;
	if (command == BLOCK_FOR && !parse_minutes(words[2], &number))
		return EX_USAGE;
	daemon = connect_to_daemon();
	if (!daemon)
		return EX_UNAVAILABLE;
	return run(daemon, command, argument, number);
}

int main(int argc, char **argv)
{
	g_autoptr(GOptionContext) options = g_option_context_new("COMMAND");
	g_autofree char *summary = g_strdup_printf("Commands:\n  %s", usage);
	g_autoptr(GError) error = NULL;

	/* It has options of its own, and needs no daemon. */
	if (argc > 1 && strcmp(argv[1], "history") == 0)
		return history_run(argc - 1, argv + 1);
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
	return dispatch(argv + 1);
}
