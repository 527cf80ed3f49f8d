/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qfilexchg-agent: asks the user of dom0 what qfilexchgd wants to know, and shows what is under
 * way. It runs in the user's session, with the user's rights; what it decides, the daemon carries
 * out.
 */
#define G_LOG_DOMAIN "qfilexchg-agent"
#include <glib-unix.h>
#include <gtk/gtk.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "asking.h"
#include "bus.h"
#include "list.h"
#include "notices.h"
#include "words.h"

#define AGENT_ID "org.qubes.FileExchange1.Agent"
#define LIST_ID "org.qubes.FileExchange1.List"

struct agent {
	GtkApplication *application;
	struct bus *bus;
	struct asking *asking;
	struct notices *notices;
	struct list *list; /* with --list, and then none of the others */
	int status;
};

static gboolean opt_list, opt_version;

static const GOptionEntry entries[] = {
	{"list", 0, 0, G_OPTION_ARG_NONE, &opt_list, "Show what is under way, instead of asking",
		NULL},
	{"version", 0, 0, G_OPTION_ARG_NONE, &opt_version, "Print the version", NULL},
	{0},
};

/* ---- from the user to the daemon ---- */

static void do_block(void *ctx, const char *vm, guint seconds)
{
	bus_block(((struct agent *)ctx)->bus, vm, seconds);
}

static void do_remember(void *ctx, guint64 id, gboolean allow, const char *how)
{
	bus_remember(((struct agent *)ctx)->bus, id, allow, how);
}

static void do_answer(void *ctx, gpointer call, gboolean allow)
{
	bus_answer(((struct agent *)ctx)->bus, call, allow);
}

/* ---- from the daemon to the user ---- */

static void on_ask(void *ctx, struct question *q)
{
	asking_add(((struct agent *)ctx)->asking, q);
}

static void on_withdraw(void *ctx, guint64 id)
{
	asking_withdraw(((struct agent *)ctx)->asking, id);
}

static void on_notice(void *ctx, const char *what, GVariant *details)
{
	struct agent *a = ctx;
	g_autofree char *title = NULL, *body = NULL, *account = NULL;
	const char *vm = "";

	g_variant_lookup(details, "vm", "&s", &vm);
	words_notice(what, details, &title, &body);
	/* The daemon says that once in minutes: what else the VM caused must not keep it back. */
	account = strcmp(what, "too-often") == 0 ? g_strconcat(vm, ", asking", NULL) : g_strdup(vm);
	notices_show(a->notices, account, title, body);
}

static void on_changed(void *ctx)
{
	(void)ctx;
}

/* The daemon's questions go with it; one that comes back asks again. */
static void on_present(void *ctx, gboolean is_present)
{
	if (!is_present)
		asking_withdraw_all(((struct agent *)ctx)->asking);
}

static void on_turned_away(void *ctx, const char *message)
{
	struct agent *a = ctx;

	g_printerr("qfilexchg-agent: %s\nOnly root and the members of the group `qubes` may: "
		   "`usermod -aG qubes %s` as root, and a new login.\n",
		message, g_get_user_name());
	a->status = EX_NOPERM;
	g_application_quit(G_APPLICATION(a->application));
}

static void on_failed(void *ctx, const char *message)
{
	struct agent *a = ctx;
	g_autofree char *shown = g_utf8_make_valid(message, -1);

	notices_show(a->notices, "", "qfilexchgd did not do it", shown);
}

/* ---- life ---- */

static void start_asking(struct agent *a)
{
	const struct asking_effects effects = {
		.ctx = a, .block = do_block, .remember = do_remember, .answer = do_answer};
	const struct bus_events events = {.ctx = a,
		.ask = on_ask,
		.withdraw = on_withdraw,
		.notice = on_notice,
		.changed = on_changed,
		.present = on_present,
		.turned_away = on_turned_away,
		.failed = on_failed};

	/* Most of the time it has no window. */
	g_application_hold(G_APPLICATION(a->application));
	a->notices = notices_create();
	a->asking = asking_create(&effects);
	a->bus = bus_create(BUS_AGENT, &events);
}

/* Also when it is started a second time: that one tells this one, and ends. */
static void on_activate(GApplication *application, gpointer data)
{
	struct agent *a = data;

	(void)application;
	if (opt_list && a->list)
		list_present(a->list);
	else if (opt_list)
		a->list = list_create(a->application);
	else if (!a->bus)
		start_asking(a);
}

/* What is being asked stays without an answer: the daemon turns to the next agent. */
static gboolean on_signal(gpointer data)
{
	g_application_quit(G_APPLICATION(((struct agent *)data)->application));
	return G_SOURCE_CONTINUE;
}

static int run(struct agent *a, char *program)
{
	char *arguments[] = {program, NULL};
	g_autoptr(GError) error = NULL;
	int status;

	if (!g_application_register(G_APPLICATION(a->application), NULL, &error)) {
		g_printerr("qfilexchg-agent: cannot use the session's bus: %s\n", error->message);
		return EX_UNAVAILABLE;
	}
	if (!opt_list && g_application_get_is_remote(G_APPLICATION(a->application))) {
		g_printerr("qfilexchg-agent: it runs in this session already\n");
		return EXIT_SUCCESS;
	}
	g_signal_connect(a->application, "activate", G_CALLBACK(on_activate), a);
	g_unix_signal_add(SIGINT, on_signal, a);
	g_unix_signal_add(SIGTERM, on_signal, a);
	status = g_application_run(G_APPLICATION(a->application), 1, arguments);
	return a->status ? a->status : status;
}

static gboolean parse_options(int *argc, char ***argv)
{
	g_autoptr(GOptionContext) options = g_option_context_new(NULL);
	g_autoptr(GError) error = NULL;

	g_option_context_set_summary(
		options, "Asks the user of dom0 before a pendrive goes to another VM.");
	g_option_context_add_main_entries(options, entries, NULL);
	g_option_context_add_group(options, gtk_get_option_group(FALSE));
	if (g_option_context_parse(options, argc, argv, &error) && *argc == 1)
		return TRUE;
	g_printerr("qfilexchg-agent: %s\n",
		error ? error->message : "it takes options only; see --help");
	return FALSE;
}

int main(int argc, char **argv)
{
	struct agent a = {0};
	int status;

	g_set_prgname("qfilexchg-agent");
	g_set_application_name("Pendrives");
	if (!parse_options(&argc, &argv))
		return EX_USAGE;
	if (opt_version) {
		g_print("qfilexchg-agent " QFX_VERSION "\n");
		return EXIT_SUCCESS;
	}
	if (!gtk_init_check(&argc, &argv)) {
		g_printerr("qfilexchg-agent: there is no display; start it in a graphical session, "
			   "or ask in a terminal: qfilexchgctl agent\n");
		return EX_UNAVAILABLE;
	}
	a.application = gtk_application_new(opt_list ? LIST_ID : AGENT_ID, (GApplicationFlags)0);
	status = run(&a, argv[0]);
	bus_destroy(a.bus);
	asking_destroy(a.asking);
	notices_destroy(a.notices);
	list_destroy(a.list);
	g_object_unref(a.application);
	return status;
}
