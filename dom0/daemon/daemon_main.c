/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qfilexchgd: puts the exchange and its real ports together and runs the main loop. */
#define G_LOG_DOMAIN "qfilexchgd"
#include <errno.h>
#include <glib-unix.h>
#include <glib.h>
#include <stdlib.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "agents.h"
#include "audit_journal.h"
#include "blocks_xs.h"
#include "bus.h"
#include "clock_glib.h"
#include "config.h"
#include "daemon_main.h"
#include "domains_child.h"
#include "exchange.h"
#include "images_dir.h"
#include "log_names.h"
#include "rules_dir.h"
#include "store_xs.h"
#include "xs.h"

struct daemon {
	const char *config_path;
	const struct daemon_places *places;
	gboolean config_may_be_missing;
	struct config config;
	GMainLoop *loop;
	gboolean starts_anew; /* it ends, to be started again */
	struct port_events events;
	struct xs_conn *xs;
	struct store_xs *store;
	struct blocks_xs *blocks;
	struct images_dir *images;
	struct agents *agents;
	struct clock_glib *clock;
	struct domains_child *domains;
	struct rules *rules;
	struct audit_journal *audit;
	struct exchange *exchange;
	struct bus *bus;
};

static gboolean on_terminate(gpointer data)
{
	struct daemon *d = data;

	g_main_loop_quit(d->loop);
	return G_SOURCE_CONTINUE;
}

/* What it knows is of an xenstored that is gone, and nothing of it stands in the new one. */
static void on_store_returned(void *ctx)
{
	struct daemon *d = ctx;

	g_message("xenstored is there again: qfilexchgd ends, to be started anew");
	d->starts_anew = TRUE;
	g_main_loop_quit(d->loop);
}

static struct domains_options domains_options(const struct daemon *d)
{
	return (struct domains_options){
		.program = d->places->domains_program,
		.template = d->config.disposable.template,
		.savefile = d->config.disposable.savefile,
		.from_config = d->config.disposable.from_config,
		.memory_mib = d->config.disposable.memory_mib,
		.keep_free_mib = d->config.disposable.keep_free_mib,
		.make_ms = d->config.disposable.make_ms,
		.prepare_ms = d->config.disposable.prepare_ms,
		.destroy_ms = d->config.disposable.destroy_ms,
		.survey_ms = d->config.disposable.survey_ms,
	};
}

static void set_domains_options(struct daemon *d)
{
	const struct domains_options options = domains_options(d);

	domains_child_set_options(d->domains, &options);
}

static void set_names(struct daemon *d)
{
	log_names_show(d->config.log_names);
	audit_journal_set_names(d->audit, d->config.log_names);
}

/* "" where the configuration names no colour. */
static const char *find_label(void *arg, const char *vm)
{
	const struct daemon *d = arg;
	const char *colour = g_hash_table_lookup(d->config.labels, vm);

	return colour ? colour : "";
}

static gboolean on_reload(gpointer data)
{
	struct daemon *d = data;
	g_autoptr(GError) error = NULL;
	struct config fresh;

	rules_reload(d->rules);
	if (!config_load(d->config_path, d->config_may_be_missing, &fresh, &error)) {
		g_critical(
			"%s; the configuration that was in force stays in force", error->message);
		return G_SOURCE_CONTINUE;
	}
	images_dir_set_reserve(d->images, fresh.reserve_bytes);
	config_clear(&d->config);
	d->config = fresh;
	set_domains_options(d);
	set_names(d);
	exchange_set_limits(d->exchange, &d->config.limits);
	g_message("%s was read again", d->config_path);
	return G_SOURCE_CONTINUE;
}

/* Everything that reaches into the world. False after a logged error. */
static gboolean open_ports(struct daemon *d)
{
	const struct domains_options options = domains_options(d);

	d->xs = xs_conn_open();
	if (!d->xs) {
		g_critical("cannot reach xenstored: %s (is this dom0, and xenstored running?)",
			g_strerror(errno));
		return FALSE;
	}
	xs_conn_on_return(d->xs, on_store_returned, d);
	d->store = store_xs_create(d->xs, &d->events);
	d->images = images_dir_create(d->config.image_dir, d->config.reserve_bytes, &d->events);
	if (!d->store || !d->images)
		return FALSE;
	d->blocks = blocks_xs_create(d->xs, d->config.image_dir, &d->events);
	d->clock = clock_glib_create(&d->events);
	d->domains = domains_child_create(&options, &d->events);
	return TRUE;
}

static gboolean start(struct daemon *d)
{
	struct clock_port clock;
	struct exchange_ports ports;
	int rc;

	if (!open_ports(d))
		return FALSE;
	clock = clock_glib_port(d->clock);
	d->agents = agents_create(&clock, &d->events);
	d->rules = rules_create(&d->places->policy);
	d->audit = audit_journal_create(d->config.log_names);
	set_names(d);
	ports = (struct exchange_ports){
		.store = store_xs_port(d->store),
		.blocks = blocks_xs_port(d->blocks),
		.images = images_dir_port(d->images),
		.asker = agents_port(d->agents),
		.domains = domains_child_port(d->domains),
		.rules = rules_port(d->rules),
		.clock = clock,
		.audit = audit_journal_port(d->audit),
	};
	d->exchange = exchange_create(&ports, &d->config.limits);
	d->events = exchange_events(d->exchange);
	exchange_set_labels(d->exchange, find_label, d);
	rc = exchange_start(d->exchange);
	if (rc < 0) {
		g_critical("cannot take up what stands in xenstore: %s", g_strerror(-rc));
		return FALSE;
	}
	d->bus = bus_create(d->exchange, d->agents, d->rules, &clock);
	return TRUE;
}

static void stop(struct daemon *d)
{
	bus_destroy(d->bus);
	exchange_destroy(d->exchange);
	agents_destroy(d->agents);
	rules_destroy(d->rules);
	audit_journal_destroy(d->audit);
	domains_child_destroy(d->domains);
	clock_glib_destroy(d->clock);
	blocks_xs_destroy(d->blocks);
	images_dir_destroy(d->images);
	store_xs_destroy(d->store);
	xs_conn_close(d->xs);
	config_clear(&d->config);
	g_main_loop_unref(d->loop);
}

static int run(struct daemon *d)
{
	gboolean ok;

	d->loop = g_main_loop_new(NULL, FALSE);
	/* Served when the loop runs: from the first mailbox on, a stop is one in order. */
	g_unix_signal_add(SIGTERM, on_terminate, d);
	g_unix_signal_add(SIGINT, on_terminate, d);
	g_unix_signal_add(SIGHUP, on_reload, d);
	ok = start(d);
	if (ok) {
		g_message("qfilexchgd " QFX_VERSION " serves the VMs");
		sd_notify(0, "READY=1");
		g_main_loop_run(d->loop);
		sd_notify(0, "STOPPING=1");
		g_message("qfilexchgd stops; pendrives that are lent stay where they are");
	}
	stop(d);
	return ok && !d->starts_anew ? EXIT_SUCCESS : EX_UNAVAILABLE;
}

/* Under systemd to the journal with its fields; by hand to the terminal, verbose when asked. */
static GLogWriterOutput write_log(
	GLogLevelFlags level, const GLogField *fields, gsize n, gpointer unused)
{
	(void)unused;
	if (g_log_writer_is_journald(STDERR_FILENO) || g_getenv("JOURNAL_STREAM"))
		return g_log_writer_journald(level, fields, n, NULL);
	return g_log_writer_standard_streams(level, fields, n, NULL);
}

int daemon_main(int argc, char **argv, const struct daemon_places *places)
{
	g_autofree char *config_path = NULL;
	gboolean check = FALSE, version = FALSE;
	const GOptionEntry entries[] = {
		{"config", 'c', 0, G_OPTION_ARG_FILENAME, &config_path,
			"The configuration (default: " CONFIG_PATH ")", "FILE"},
		{"check-config", 0, 0, G_OPTION_ARG_NONE, &check,
			"Only say whether the configuration is right", NULL},
		{"version", 0, 0, G_OPTION_ARG_NONE, &version, "Print the version", NULL},
		{0},
	};
	g_autoptr(GOptionContext) options =
		g_option_context_new("- lends virtual pendrives to Xen VMs");
	g_autoptr(GError) error = NULL;
	struct daemon d = {.places = places};

	g_option_context_add_main_entries(options, entries, NULL);
	if (!g_option_context_parse(options, &argc, &argv, &error) || argc > 1) {
		g_printerr("qfilexchgd: %s\n", error ? error->message : "takes no arguments");
		return EX_USAGE;
	}
	if (version) {
		g_print("qfilexchgd " QFX_VERSION "\n");
		return EXIT_SUCCESS;
	}
	d.config_path = config_path ? config_path : CONFIG_PATH;
	d.config_may_be_missing = config_path == NULL;
	if (!config_load(d.config_path, d.config_may_be_missing, &d.config, &error)) {
		g_printerr("qfilexchgd: %s\n", error->message);
		return EX_CONFIG;
	}
	if (check) {
		g_print("%s: all right\n", d.config_path);
		config_clear(&d.config);
		return EXIT_SUCCESS;
	}
	g_log_set_writer_func(write_log, NULL, NULL);
	return run(&d);
}
