/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of dom0 may say to the daemon over D-Bus: methods and arguments of all kinds,
 * wrong ones too, and agents that answer what they like, over the simulated host. Each call is
 * answered once, nobody's answer counts who was not asked, and the host's promises hold.
 *
 * There is no bus (playedbus.h); that types which do not fit are refused is GDBus's part.
 */
#include <gio/gio.h>
#include <string.h>

#include "bus-generated.h"
#include "bus.h"
#include "fuzz.h"
#include "playedbus.h"
#include "qpen_words.h"
#include "sim.h"

/* Some tens of calls. */
#define LONGEST 200
#define AGENT_UID 1000

struct bytes {
	const uint8_t *at, *end;
};

struct host {
	struct bytes bytes;
	struct sim *sim;
	struct agents *agents;
	struct port_events events; /* of the agents */
	struct bus *bus;
	GHashTable *asked; /* &id, owned: what the agents are to answer */
	bool yes_is_said;  /* by an agent, ever: only `(b)` of a true is a yes */
};

enum { AGENT_NO, AGENT_YES, AGENT_NONSENSE, AGENT_FAILS, N_AGENT_REPLIES };
/* What an agent replies to Ask. */
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

static GVariant *some_arguments(struct bytes *b, const GDBusMethodInfo *method)
{
	GVariantBuilder builder;

	g_variant_builder_init(&builder, G_VARIANT_TYPE_TUPLE);
	for (GDBusArgInfo **arg = method->in_args; arg && *arg; arg++)
		g_variant_builder_add_value(&builder, some_value(b, (*arg)->signature[0]));
	return g_variant_builder_end(&builder);
}

static const char *some_program(struct bytes *b)
{
	return below(b, 4) ? ":1.7" : ":1.8";
}

/* ---- the agents ---- */

static GVariant *agent_says(const char *method, void *data)
{
	(void)data;
	if (strcmp(method, "Ask") != 0)
		return g_variant_new("()");
	switch (agent_reply) {
	case AGENT_FAILS:
		return NULL;
	case AGENT_NONSENSE:
		return g_variant_new("(s)", "yes");
	default:
		return g_variant_new("(b)", agent_reply == AGENT_YES);
	}
}

/* What was said reaches the daemon. */
static void deliver(struct host *host)
{
	host->sim->in_event = true;
	while (g_main_context_iteration(NULL, FALSE))
		;
	host->sim->in_event = false;
	sim_check(host->sim);
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

static void check_answer(struct host *host, const GDBusMethodInfo *method, GVariant *arguments,
	const struct playedbus_answer *answer)
{
	if (answer->error) {
		/* None of GLib's own makeshifts for an error that nobody gave a name. */
		g_assert_true(g_str_has_prefix(answer->error, "org.freedesktop.DBus.Error."));
		g_assert_cmpuint(strlen(answer->text), >, 0);
		return;
	}
	note_unblock(host, method->name, arguments);
	if (strcmp(method->name, "ListBlocked") == 0)
		check_blocked(answer->body);
}

static void call_something(struct host *host)
{
	GDBusInterfaceInfo *interface = file_exchange1_interface_info();
	const GDBusMethodInfo *method;
	g_autoptr(GVariant) arguments = NULL;
	struct playedbus_answer answer = {0};
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
	host->sim->in_event = true;
	g_assert_true(playedbus_call(some_program(&host->bytes), method, arguments, &answer));
	host->sim->in_event = false;
	sim_check(host->sim);
	check_answer(host, method, arguments, &answer);
	playedbus_answer_clear(&answer);
}

static void leave(struct host *host)
{
	host->sim->in_event = true;
	playedbus_leave(some_program(&host->bytes));
	host->sim->in_event = false;
	sim_check(host->sim);
}

/* ---- questions to the agents ---- */

static void set_agent_reply(struct host *host, gint how)
{
	agent_reply = how;
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
	switch (below(&host->bytes, 14)) {
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
	case 7:
		deliver(host);
		return;
	case 8:
		leave(host);
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
}

static void host_end(struct host *host)
{
	bus_destroy(host->bus);
	agents_destroy(host->agents);
	while (g_main_context_iteration(NULL, FALSE))
		;
	g_hash_table_destroy(host->asked);
	sim_free(host->sim);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct host host = {.bytes = {.at = data, .end = data + MIN(size, LONGEST)}};

	static const struct playedbus_peer peer = {.reply = agent_says, .uid = AGENT_UID};
	static bool ready;

	if (!ready) {
		sim_quiet_log();
		playedbus_set_peer(&peer);
		ready = true;
	}
	host_start(&host);
	while (host.bytes.at < host.bytes.end && !host.sim->violation)
		step(&host);
	if (host.sim->violation)
		g_error("a promise was broken: %s", host.sim->violation);
	host_end(&host);
	return 0;
}
