/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The DisposableVMs' half of the exchange: has the core decide about them, has the ports carry it
 * out, and keeps the pool.
 */
#define G_LOG_DOMAIN "qfilexchgd"
#include <string.h>

#include "dispvm_record.h"
#include "exchange_state.h"
#include "history.h"
#include "log_names.h"

/* After a VM for the pool could not be made, or was given back. */
#define POOL_RETRY_MS 60000
/* After a file was opened, whose editor is now starting, before the pool is filled again. */
#define POOL_CALM_MS 5000
/* How often the free memory is looked at while VMs wait in the pool. */
#define POOL_LOOK_MS 30000

static struct dispvm_node *find_number(struct exchange *x, guint64 number)
{
	return g_tree_lookup(x->dispvms, &number);
}

static void fill_pool(struct exchange *x);
static void shrink_pool(struct exchange *x, guint keep);

/* ---- carrying out what the core decided ---- */

static struct domain_plan plan_of(const struct dispvm *d)
{
	struct domain_plan plan = {.number = d->number, .for_pool = d->opener.uuid[0] == '\0'};

	strcpy(plan.name, d->id.name);
	strcpy(plan.uuid, d->id.uuid);
	strcpy(plan.label, d->label);
	return plan;
}

static void forget(struct exchange *x, struct dispvm_node *node)
{
	guint64 number = node->d.number;

	dues_disarm(x->dues, &node->deadline);
	g_tree_remove(x->dispvms, &number);
}

static void tell_failed(struct exchange *x, const struct dispvm *d, enum qpen_error error)
{
	const struct transfer_event event = {.kind = TRANSFER_EV_VM_FAILED, .error = error};

	if (error == QPEN_ERROR_NO_MEMORY)
		exchange_notify(
			x, &(struct exchange_notice){.what = "no-memory", .vm = d->opener.name});
	exchange_feed(x, d->request, &event);
}

static void act(struct exchange *x, const struct dispvm *d, const struct dispvm_action *action)
{
	static const struct transfer_event starting = {.kind = TRANSFER_EV_VM_STARTING};
	const struct domains_port *p = &x->ports.domains;
	struct domain_plan plan = plan_of(d);

	switch (action->kind) {
	case DISPVM_ACT_PREPARE:
		exchange_notify(
			x, &(struct exchange_notice){.what = "preparing", .vm = d->opener.name});
		p->prepare(p->ctx);
		/* They are of the old template, and its VM needs memory to boot. */
		shrink_pool(x, 0);
		return;
	case DISPVM_ACT_MAKE:
		p->make(p->ctx, &plan);
		return;
	case DISPVM_ACT_UNPAUSE:
		p->unpause(p->ctx, &plan);
		return;
	case DISPVM_ACT_DESTROY:
		p->destroy(p->ctx, &plan);
		return;
	case DISPVM_ACT_TELL_STARTING:
		exchange_feed(x, d->request, &starting);
		return;
	case DISPVM_ACT_TELL_READY:
		exchange_tell_ready(x, d->request, &d->id);
		return;
	case DISPVM_ACT_TELL_FAILED:
		tell_failed(x, d, action->error);
		return;
	case DISPVM_ACT_REPLY:
		return; /* went out with the record */
	}
}

size_t disposables_replies(const struct dispvm_turn *turn, struct store_reply *replies)
{
	size_t n = 0;

	for (unsigned i = 0; turn->node && i < turn->step.n_actions; i++) {
		const struct dispvm_action *action = &turn->step.actions[i];
		const struct dispvm *d = &turn->node->d;
		struct store_reply *out;

		if (action->kind != DISPVM_ACT_REPLY)
			continue;
		out = &replies[n++];
		out->domid = d->opener.domid;
		out->id = d->to_opener.id;
		if (action->ok)
			reply_ok(&out->reply, out->id, action->detail);
		else
			reply_error(&out->reply, out->id, action->error, action->detail);
	}
	return n;
}

void disposables_carry_out(struct exchange *x, struct dispvm_turn *turn)
{
	struct dispvm_node *node = turn->node;
	/* What an action leads to may end it: the actions are of what it was when they were
	 * decided. */
	struct dispvm d;

	if (!node)
		return;
	d = node->d;
	if (turn->ended)
		history_dispvm_ended(x, &d, &turn->end);
	if (x->observer.dispvm)
		x->observer.dispvm(x->observer.arg, &d);
	if (d.state == DISPVM_GONE)
		forget(x, node);
	else
		dues_arm(x->dues, &node->deadline, d.deadline_ms);
	for (unsigned i = 0; i < turn->step.n_actions; i++)
		act(x, &d, &turn->step.actions[i]);
	fill_pool(x);
}

void disposables_step(struct exchange *x, struct dispvm_node *node,
	const struct dispvm_event *event, struct dispvm_turn *turn)
{
	const struct dispvm before = node->d;

	turn->node = NULL;
	dispvm_step(&node->d, event, &x->limits.dispvm, exchange_now_ms(x), &turn->step);
	if (turn->step.ignored) {
		g_debug("%s: %s in %s: ignored", node->d.id.name, dispvm_event_name(event->kind),
			dispvm_state_name(before.state));
		return;
	}
	if (node->d.state != before.state)
		g_info("DisposableVM %s of %s: %s, so %s -> %s", node->d.id.name,
			node->d.opener.name[0] ? log_vm(&node->d.opener) : "the pool",
			dispvm_event_name(event->kind), dispvm_state_name(before.state),
			dispvm_state_name(node->d.state));
	turn->ended = audit_dispvm_ended(&before, event, &node->d, &turn->end);
	if (node->d.state == DISPVM_OPEN && before.state == DISPVM_READY)
		x->pool_retry_ms = MAX(x->pool_retry_ms, exchange_now_ms(x) + POOL_CALM_MS);
	turn->node = node;
}

static void commit_and_carry_out(struct exchange *x, struct dispvm_turn *turn)
{
	struct store_reply replies[DISPVM_ACTIONS_MAX];
	struct store_change change = {.replies = replies};

	if (!turn->node)
		return;
	change.dispvm = &turn->node->d;
	change.n_replies = disposables_replies(turn, replies);
	exchange_commit(x, &change);
	disposables_carry_out(x, turn);
}

void disposables_feed(
	struct exchange *x, struct dispvm_node *node, const struct dispvm_event *event)
{
	struct dispvm_turn turn;

	disposables_step(x, node, event, &turn);
	commit_and_carry_out(x, &turn);
}

static void feed_number(struct exchange *x, guint64 number, const struct dispvm_event *event)
{
	struct dispvm_node *node = find_number(x, number);

	if (node)
		disposables_feed(x, node, event);
	else
		g_debug("disp%" G_GUINT64_FORMAT ": %s, but it is gone", number,
			dispvm_event_name(event->kind));
}

/* ---- which there are ---- */

typedef gboolean (*choose_fn)(const struct dispvm *d, gconstpointer arg);

struct choice {
	choose_fn fn;
	gconstpointer arg;
	GArray *numbers;
};

static gboolean choose_one(gpointer key, gpointer value, gpointer data)
{
	const struct dispvm_node *node = value;
	struct choice *choice = data;

	if (choice->fn(&node->d, choice->arg))
		g_array_append_val(choice->numbers, *(guint64 *)key);
	return FALSE;
}

/* Their numbers, since what is done to one may end others. Free with g_array_unref. */
static GArray *choose(struct exchange *x, choose_fn fn, gconstpointer arg)
{
	struct choice choice = {
		.fn = fn, .arg = arg, .numbers = g_array_new(FALSE, FALSE, sizeof(guint64))};

	g_tree_foreach(x->dispvms, choose_one, &choice);
	return choice.numbers;
}

static guint count(struct exchange *x, choose_fn fn, gconstpointer arg)
{
	g_autoptr(GArray) numbers = choose(x, fn, arg);

	return numbers->len;
}

static struct dispvm_node *choose_first(struct exchange *x, choose_fn fn, gconstpointer arg)
{
	g_autoptr(GArray) numbers = choose(x, fn, arg);

	return numbers->len ? find_number(x, g_array_index(numbers, guint64, 0)) : NULL;
}

static void feed_chosen(
	struct exchange *x, choose_fn fn, gconstpointer arg, const struct dispvm_event *event)
{
	g_autoptr(GArray) numbers = choose(x, fn, arg);

	for (guint i = 0; i < numbers->len; i++)
		feed_number(x, g_array_index(numbers, guint64, i), event);
}

static gboolean is_same(const struct vm_id *a, const struct vm_id *b)
{
	return a->domid == b->domid && strcmp(a->uuid, b->uuid) == 0;
}

static gboolean is_vm(const struct dispvm *d, gconstpointer arg)
{
	return dispvm_should_run(d) && is_same(&d->id, arg);
}

static gboolean is_of_opener(const struct dispvm *d, gconstpointer arg)
{
	return d->state != DISPVM_DESTROYING && is_same(&d->opener, arg);
}

static gboolean is_pooled(const struct dispvm *d, gconstpointer unused)
{
	(void)unused;
	return d->state == DISPVM_POOLED;
}

/* Waiting in the pool, or on its way into it. */
static gboolean is_of_pool(const struct dispvm *d, gconstpointer unused)
{
	(void)unused;
	return d->opener.uuid[0] == '\0' && d->state != DISPVM_DESTROYING;
}

/* Somebody waits for it. */
static gboolean is_awaited(const struct dispvm *d, gconstpointer unused)
{
	(void)unused;
	return d->opener.uuid[0] != '\0' &&
	       (d->state == DISPVM_CLEARING || d->state == DISPVM_PREPARING ||
		       d->state == DISPVM_MAKING || d->state == DISPVM_READY);
}

static gboolean is_preparing(const struct dispvm *d, gconstpointer unused)
{
	(void)unused;
	return d->state == DISPVM_PREPARING;
}

static gboolean is_of_request(const struct dispvm *d, gconstpointer id)
{
	return d->request == *(const guint64 *)id;
}

static gboolean is_of_answer(const struct dispvm *d, gconstpointer id)
{
	return d->answer == *(const guint64 *)id;
}

struct dispvm_node *disposables_find_vm(struct exchange *x, const struct vm_id *id)
{
	return choose_first(x, is_vm, id);
}

/* By its uuid alone: it can be seen before we are told its domain's number. */
static gboolean is_closed(const struct dispvm *d, gconstpointer uuid)
{
	return d->state != DISPVM_OPEN && d->state != DISPVM_ANSWERING &&
	       strcmp(d->id.uuid, uuid) == 0;
}

bool disposables_is_closed(struct exchange *x, const struct vm_id *id)
{
	return choose_first(x, is_closed, id->uuid) != NULL;
}

/* ---- new ones ---- */

static gboolean name_is_taken(struct exchange *x, const char *name)
{
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, x->vms);
	while (g_hash_table_iter_next(&iter, NULL, &value))
		if (strcmp(((struct vm_node *)value)->vm.id.name, name) == 0)
			return TRUE;
	return FALSE;
}

/* Among those that are known; it belongs to x from now on. */
static void keep(struct exchange *x, struct dispvm_node *node)
{
	node->deadline = (struct due){.kind = DUE_DISPVM, .key = node->d.number};
	g_tree_insert(x->dispvms, &node->d.number, node);
}

/* With the next number whose name is free. Not linked to anything yet. */
static struct dispvm_node *new_node(struct exchange *x, const char *label)
{
	struct dispvm_node *node = g_new0(struct dispvm_node, 1);

	do {
		node->d.number = ++x->last_number;
		g_snprintf(node->d.id.name, sizeof node->d.id.name, "disp%" G_GUINT64_FORMAT,
			node->d.number);
	} while (name_is_taken(x, node->d.id.name));
	x->ports.domains.new_uuid(x->ports.domains.ctx, node->d.id.uuid);
	g_strlcpy(node->d.label, label, sizeof node->d.label);
	return node;
}

static void start(struct exchange *x, struct dispvm_node *node, const struct dispvm_event *assign,
	struct dispvm_turn *turn)
{
	bool prepared = x->ports.domains.is_prepared(x->ports.domains.ctx);

	dispvm_start(
		&node->d, assign, prepared, &x->limits.dispvm, exchange_now_ms(x), &turn->step);
	keep(x, node);
	turn->node = node;
	turn->ended = false;
	g_info("DisposableVM %s for %s: %s", node->d.id.name,
		assign ? log_vm(&node->d.opener) : "the pool", dispvm_state_name(node->d.state));
}

static struct verdict refused(enum qpen_error error, const char *text)
{
	return (struct verdict){.error = error, .text = text};
}

struct verdict disposables_take(struct exchange *x, const struct vm_id *sender, const char *label,
	const struct request *request, guint64 id, struct dispvm_turn *turn)
{
	const struct dispvm_event assign = {
		.kind = DISPVM_EV_ASSIGN, .opener = sender, .request = request, .transfer = id};
	const struct dispvm_limits *l = &x->limits.dispvm;
	bool prepared = x->ports.domains.is_prepared(x->ports.domains.ctx);
	guint n_useless = prepared ? 0 : count(x, is_pooled, NULL); /* they go: act */
	struct dispvm_node *pooled;

	turn->node = NULL;
	if (!x->ports.domains.is_configured(x->ports.domains.ctx))
		return refused(QPEN_ERROR_UNSUPPORTED, "this dom0 makes no DisposableVMs");
	if (count(x, is_of_opener, sender) >= l->max_per_opener)
		return refused(QPEN_ERROR_LIMIT, "this VM has as many DisposableVMs as it may");
	pooled = prepared ? choose_first(x, is_pooled, NULL) : NULL;
	if (pooled) {
		g_strlcpy(pooled->d.label, label, sizeof pooled->d.label);
		disposables_step(x, pooled, &assign, turn);
		return (struct verdict){.ok = true};
	}
	if ((unsigned)g_tree_nnodes(x->dispvms) - n_useless >= l->max_total)
		return refused(QPEN_ERROR_LIMIT, "there are as many DisposableVMs as there may be");
	start(x, new_node(x, label), &assign, turn);
	return (struct verdict){.ok = true};
}

/* ---- the pool ---- */

static void look_at_pool_at(struct exchange *x, gint64 at_ms)
{
	if (!x->pool.armed || x->pool.at_ms > at_ms)
		dues_arm(x->dues, &x->pool, at_ms);
}

static void fill_pool(struct exchange *x)
{
	const struct dispvm_limits *l = &x->limits.dispvm;
	gint64 now = exchange_now_ms(x);

	if (l->pool == 0 || !x->ports.domains.is_configured(x->ports.domains.ctx))
		return;
	if (now < x->pool_retry_ms) {
		look_at_pool_at(x, x->pool_retry_ms);
		return;
	}
	/* Restoring one takes the host's time from whoever waits for theirs. */
	if (count(x, is_awaited, NULL) > 0)
		return; /* looked at again with its next step */
	/* One after the other: an opener who comes meanwhile does not wait behind the whole pool.
	 */
	while (count(x, is_of_pool, NULL) < l->pool &&
		count(x, is_of_pool, NULL) == count(x, is_pooled, NULL) &&
		(unsigned)g_tree_nnodes(x->dispvms) < l->max_total && now >= x->pool_retry_ms) {
		struct dispvm_turn turn;

		start(x, new_node(x, ""), NULL, &turn);
		commit_and_carry_out(x, &turn);
	}
	if (count(x, is_pooled, NULL) > 0)
		look_at_pool_at(x, now + POOL_LOOK_MS);
}

/* Gives VMs back until as many are left as should be. */
static void shrink_pool(struct exchange *x, guint keep)
{
	static const struct dispvm_event discard = {.kind = DISPVM_EV_DISCARD};
	struct dispvm_node *node;

	while (count(x, is_pooled, NULL) > keep && (node = choose_first(x, is_pooled, NULL)))
		disposables_feed(x, node, &discard);
}

static void rest_pool(struct exchange *x)
{
	x->pool_retry_ms = exchange_now_ms(x) + POOL_RETRY_MS;
}

void disposables_limits_changed(struct exchange *x)
{
	shrink_pool(x, x->limits.dispvm.pool);
	fill_pool(x);
}

/* ---- what transfers and VMs mean for them ---- */

static gboolean has_action(const struct transfer_step *step, enum transfer_action_kind kind)
{
	for (unsigned i = 0; i < step->n_actions; i++)
		if (step->actions[i].kind == kind)
			return TRUE;
	return FALSE;
}

static gboolean is_ending(const struct transfer *t)
{
	return t->state == TRANSFER_DISCARDING || t->state == TRANSFER_GONE;
}

static void follow_request(struct exchange *x, struct dispvm_node *node, const struct transfer *t,
	const struct transfer_step *step, struct dispvm_turn *turn)
{
	struct dispvm_event event = {.reply = &t->to_sender};
	struct pending_reply reply = t->to_sender;

	if (has_action(step, TRANSFER_ACT_OPENED)) {
		/* Its answer is now the DisposableVM's to give; there is none when the opener asked
		 * without one... or has died. */
		reply.pending = t->sender_alive && reply.id[0] != '\0';
		event.kind = DISPVM_EV_OPENED;
		event.reply = &reply;
	} else if (has_action(step, TRANSFER_ACT_ATTACH)) {
		event.kind = DISPVM_EV_ATTACHING;
	} else if (is_ending(t)) {
		event.kind = DISPVM_EV_REQUEST_GONE;
	} else {
		return;
	}
	disposables_step(x, node, &event, turn);
}

static void follow_answer(struct exchange *x, struct dispvm_node *node, const struct transfer *t,
	const struct transfer_event *event, struct dispvm_turn *turn)
{
	static const struct dispvm_event stored = {.kind = DISPVM_EV_STORED};
	static const struct dispvm_event gone = {.kind = DISPVM_EV_ANSWER_GONE};

	if (event && event->kind == TRANSFER_EV_UMOUNT)
		disposables_step(x, node, &stored, turn);
	else if (is_ending(t))
		disposables_step(x, node, &gone, turn);
}

void disposables_follow(struct exchange *x, const struct transfer *t,
	const struct transfer_event *event, const struct transfer_step *step,
	struct dispvm_turn *turn)
{
	struct dispvm_node *node;

	turn->node = NULL;
	if (t->kind == TRANSFER_FILES)
		return;
	node = choose_first(x, t->kind == TRANSFER_REQUEST ? is_of_request : is_of_answer, &t->id);
	if (!node)
		return;
	if (t->kind == TRANSFER_REQUEST)
		follow_request(x, node, t, step, turn);
	else
		follow_answer(x, node, t, event, turn);
}

void disposables_vm_gone(struct exchange *x, const struct vm_id *id)
{
	static const struct dispvm_event vm_gone = {.kind = DISPVM_EV_VM_GONE};
	static const struct dispvm_event opener_gone = {.kind = DISPVM_EV_OPENER_GONE};

	feed_chosen(x, is_vm, id, &vm_gone);
	feed_chosen(x, is_of_opener, id, &opener_gone);
}

static gboolean should_run(const struct dispvm *d, gconstpointer unused)
{
	(void)unused;
	return dispvm_should_run(d);
}

void disposables_look(struct exchange *x)
{
	if (count(x, should_run, NULL) > 0)
		x->ports.domains.survey(x->ports.domains.ctx);
}

void disposables_due(struct exchange *x, const struct due *due)
{
	static const struct dispvm_event deadline = {.kind = DISPVM_EV_DEADLINE};

	if (due->kind == DUE_DISPVM) {
		feed_number(x, due->key, &deadline);
		return;
	}
	if (count(x, is_pooled, NULL) > 0)
		x->ports.domains.survey(x->ports.domains.ctx);
	fill_pool(x);
}

/* ---- the port's events ---- */

static void on_made(void *ctx, uint64_t number, uint32_t domid)
{
	struct exchange *x = ctx;
	struct dispvm_node *node = find_number(x, number);
	const struct dispvm_event event = {.kind = DISPVM_EV_MADE, .domid = domid};

	if (!node)
		return;
	node->fresh = TRUE;
	disposables_feed(x, node, &event);
}

static void on_failed(void *ctx, uint64_t number, enum qpen_error error)
{
	struct exchange *x = ctx;
	struct dispvm_node *node = find_number(x, number);
	const struct dispvm_event event = {.kind = DISPVM_EV_FAILED, .error = error};

	if (!node)
		return;
	if (is_of_pool(&node->d, NULL))
		rest_pool(x);
	disposables_feed(x, node, &event);
}

static void on_unpaused(void *ctx, uint64_t number)
{
	(void)ctx;
	g_debug("disp%" G_GUINT64_FORMAT " runs", number);
}

static void on_destroyed(void *ctx, uint64_t number)
{
	struct exchange *x = ctx;
	const struct dispvm_event event = {.kind = DISPVM_EV_DESTROYED,
		.prepared = x->ports.domains.is_prepared(x->ports.domains.ctx)};

	feed_number(x, number, &event);
}

static void on_prepared(void *ctx, bool ok, enum qpen_error error)
{
	struct exchange *x = ctx;
	const struct dispvm_event event = {
		.kind = ok ? DISPVM_EV_PREPARED : DISPVM_EV_FAILED, .error = error};

	if (ok) {
		g_message("the save file for DisposableVMs is made");
		shrink_pool(x, 0); /* they were made from the old one */
	} else {
		rest_pool(x);
	}
	feed_chosen(x, is_preparing, NULL, &event);
	if (x->observer.prepared)
		x->observer.prepared(x->observer.arg, ok, error);
	fill_pool(x);
}

struct survey {
	const struct domain_seen *seen;
	size_t n;
};

static gboolean is_up(const struct survey *survey, const char *uuid)
{
	for (size_t i = 0; i < survey->n; i++)
		if (strcmp(survey->seen[i].uuid, uuid) == 0)
			return !survey->seen[i].down;
	return FALSE;
}

static void on_surveyed(void *ctx, const struct domain_seen *seen, size_t n, uint64_t free_bytes)
{
	static const struct dispvm_event vm_gone = {.kind = DISPVM_EV_VM_GONE};
	struct exchange *x = ctx;
	const struct survey survey = {.seen = seen, .n = n};
	g_autoptr(GArray) numbers = choose(x, should_run, NULL);
	gboolean again = FALSE;

	for (guint i = 0; i < numbers->len; i++) {
		struct dispvm_node *node = find_number(x, g_array_index(numbers, guint64, i));

		if (!node || is_up(&survey, node->d.id.uuid))
			continue;
		if (node->fresh)
			again = TRUE;
		else
			disposables_feed(x, node, &vm_gone);
		if (find_number(x, g_array_index(numbers, guint64, i)) == node)
			node->fresh = FALSE;
	}
	if (again)
		x->ports.domains.survey(x->ports.domains.ctx);
	if (free_bytes < x->limits.pool_keep_free && count(x, is_pooled, NULL) > 0) {
		g_message("little memory is free: a DisposableVM of the pool is given back");
		rest_pool(x);
		shrink_pool(x, count(x, is_pooled, NULL) - 1);
	}
}

void disposables_set_events(struct port_events *events)
{
	events->domain_made = on_made;
	events->domain_failed = on_failed;
	events->domain_unpaused = on_unpaused;
	events->domain_destroyed = on_destroyed;
	events->prepared = on_prepared;
	events->surveyed = on_surveyed;
}

/* ---- recovery ---- */

static void load_one(void *arg, const char *untrusted_text, size_t len)
{
	struct exchange *x = arg;
	struct dispvm_node *node;
	struct dispvm d;
	enum record_result result = dispvm_record_parse(untrusted_text, len, &d);

	if (result != RECORD_OK) {
		g_warning("a DisposableVM's record in xenstore is %s; left alone",
			result == RECORD_OTHER_VERSION ? "of another release" : "damaged");
		return;
	}
	if (find_number(x, d.number)) {
		g_warning("a DisposableVM's record in xenstore is of %s, as another one is; left "
			  "alone",
			d.id.name);
		return;
	}
	node = g_new0(struct dispvm_node, 1);
	node->d = d;
	keep(x, node);
	x->last_number = MAX(x->last_number, d.number);
	/* Its file's transfer may be gone by now, but its id must not become another one's. */
	x->last_id = MAX(x->last_id, MAX(d.request, d.answer));
}

int disposables_load(struct exchange *x)
{
	return x->ports.store.load_dispvms(x->ports.store.ctx, load_one, x);
}

static gboolean is_any(const struct dispvm *d, gconstpointer unused)
{
	(void)d;
	(void)unused;
	return TRUE;
}

/* Whether nothing brings, or has brought, it a file although it waits for one. */
static gboolean has_lost_request(struct exchange *x, const struct dispvm *d)
{
	return d->request && !exchange_find(x, d->request) && d->state != DISPVM_OPEN &&
	       d->state != DISPVM_ANSWERING && d->state != DISPVM_DESTROYING;
}

static gboolean has_disk(struct exchange *x, guint64 request)
{
	const struct transfer *t = exchange_find(x, request);

	return t && t->place == TRANSFER_AT_RECEIVER;
}

static void resume(struct exchange *x, guint64 number)
{
	static const struct dispvm_event request_gone = {.kind = DISPVM_EV_REQUEST_GONE};
	static const struct dispvm_event answer_gone = {.kind = DISPVM_EV_ANSWER_GONE};
	static const struct dispvm_event opener_gone = {.kind = DISPVM_EV_OPENER_GONE};
	static const struct dispvm_event attaching = {.kind = DISPVM_EV_ATTACHING};
	static const struct dispvm_event vm_gone = {.kind = DISPVM_EV_VM_GONE};
	struct dispvm_node *node = find_number(x, number);
	struct dispvm_turn turn = {.node = node};
	gboolean was_ready = node->d.state == DISPVM_READY;

	g_message("DisposableVM %s: taken up again, %s", node->d.id.name,
		dispvm_state_name(node->d.state));
	dispvm_resume(&node->d, &x->limits.dispvm, exchange_now_ms(x), &turn.step);
	commit_and_carry_out(x, &turn);
	if ((node = find_number(x, number)) && has_lost_request(x, &node->d))
		disposables_feed(x, node, &request_gone);
	if ((node = find_number(x, number)) && node->d.answer && !exchange_find(x, node->d.answer))
		disposables_feed(x, node, &answer_gone);
	if ((node = find_number(x, number)) && dispvm_should_run(&node->d) &&
		!exchange_same_vm(x, &node->d.id))
		disposables_feed(x, node, &vm_gone);
	if ((node = find_number(x, number)) && node->d.opener.uuid[0] &&
		!exchange_same_vm(x, &node->d.opener))
		disposables_feed(x, node, &opener_gone);
	/* Its disk may have been attached, and the VM not yet been let run. */
	if (was_ready && (node = find_number(x, number)) && has_disk(x, node->d.request))
		disposables_feed(x, node, &attaching);
}

struct unserved {
	struct exchange *x;
	GArray *ids;
};

static gboolean is_for_request(const struct dispvm *d, gconstpointer id)
{
	return d->state <= DISPVM_READY && is_of_request(d, id);
}

static void collect_unserved(void *arg, const struct transfer *t)
{
	struct unserved *unserved = arg;
	bool waits = t->kind == TRANSFER_REQUEST &&
		     (t->state == TRANSFER_FREEZING || t->state == TRANSFER_ASKING ||
			     t->state == TRANSFER_STARTING_VM || t->state == TRANSFER_ATTACHING_IN);

	if (waits && !choose_first(unserved->x, is_for_request, &t->id))
		g_array_append_val(unserved->ids, t->id);
}

/* The former daemon died when a VM's end was written down, but its request not told yet. */
static void fail_unserved(struct exchange *x)
{
	static const struct transfer_event failed = {
		.kind = TRANSFER_EV_VM_FAILED, .error = QPEN_ERROR_FAILED};
	g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint64));
	struct unserved unserved = {.x = x, .ids = ids};

	exchange_visit(x, collect_unserved, &unserved);
	for (guint i = 0; i < ids->len; i++)
		exchange_feed(x, g_array_index(ids, guint64, i), &failed);
}

void disposables_resume(struct exchange *x)
{
	g_autoptr(GArray) numbers = choose(x, is_any, NULL);

	for (guint i = 0; i < numbers->len; i++)
		if (find_number(x, g_array_index(numbers, guint64, i)))
			resume(x, g_array_index(numbers, guint64, i));
	fail_unserved(x);
	/* The former daemon may have died on the way to it. */
	if (!x->ports.domains.is_prepared(x->ports.domains.ctx))
		shrink_pool(x, 0);
	disposables_look(x);
	fill_pool(x);
}

/* ---- what the daemon asks of the exchange ---- */

struct visit {
	exchange_dispvm_fn fn;
	void *arg;
};

static gboolean visit_one(gpointer key, gpointer value, gpointer data)
{
	const struct dispvm_node *node = value;
	struct visit *visit = data;

	(void)key;
	visit->fn(visit->arg, &node->d);
	return FALSE;
}

void exchange_visit_dispvms(struct exchange *x, exchange_dispvm_fn fn, void *arg)
{
	struct visit visit = {.fn = fn, .arg = arg};

	g_tree_foreach(x->dispvms, visit_one, &visit);
}

static gboolean is_named(const struct dispvm *d, gconstpointer name)
{
	return strcmp(d->id.name, name) == 0;
}

bool exchange_discard_dispvm(struct exchange *x, const char *name)
{
	static const struct dispvm_event discard = {.kind = DISPVM_EV_DISCARD};
	struct dispvm_node *node = choose_first(x, is_named, name);

	if (!node || node->d.state == DISPVM_DESTROYING)
		return false;
	g_message("DisposableVM %s: removed by the user", name);
	disposables_feed(x, node, &discard);
	return true;
}

bool exchange_prepare(struct exchange *x)
{
	if (!x->ports.domains.is_configured(x->ports.domains.ctx))
		return false;
	x->ports.domains.prepare(x->ports.domains.ctx);
	return true;
}
