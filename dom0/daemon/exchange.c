/* SPDX-License-Identifier: GPL-2.0-or-later */
#define G_LOG_DOMAIN "qfilexchgd"
#include "exchange.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "record.h"
#include "request.h"

/* Renamed VMs are looked for when a name is not known, but not more often than that. */
#define NAMES_REFRESH_MS 10000

/* When something is due: an entry of exchange.dues, ordered by time. */
enum due_kind {
	DUE_TRANSFER, /* a transfer's deadline */
	DUE_MAILBOX,  /* a VM that asked too often may be heard again */
};

struct due {
	gint64 at_ms;
	enum due_kind kind;
	guint64 key; /* the transfer's id or the VM's domid */
};

/* A VM and what the daemon keeps about it beside the registry. */
struct vm_node {
	struct vm vm;
	/* The budget for requests: the time at which the VM would have used up exactly its share.
	 */
	gint64 spent_until_ms;
	struct due hold; /* in dues while `held` */
	gboolean held;
	gboolean dying; /* no pendrive is started for it any more */
};

struct transfer_node {
	struct transfer_entry entry;
	struct due deadline; /* in dues while `armed` */
	gboolean armed;
};

struct exchange {
	struct exchange_ports ports;
	struct exchange_limits limits;
	struct registry registry;
	GHashTable *vms;       /* domid -> struct vm_node, owned */
	GHashTable *unusable;  /* domids of running VMs that cannot take part, told of once each */
	GTree *transfers;      /* id -> struct transfer_node, owned */
	GTree *dues;           /* struct due, in the nodes */
	gint64 alarm_ms;       /* what the clock was asked for last */
	gint64 names_fresh_ms; /* when all names were read last */
	guint64 last_id;
	guint32 serving; /* the VM whose request is neither written down nor answered yet; 0: none
			  */
	exchange_observer_fn observer;
	void *observer_arg;
};

static void take_mail(struct exchange *x, struct vm_node *node);

/* ---- what is due ---- */

static gint compare_dues(gconstpointer a, gconstpointer b, gpointer unused)
{
	const struct due *l = a, *r = b;

	(void)unused;
	if (l->at_ms != r->at_ms)
		return l->at_ms < r->at_ms ? -1 : 1;
	if (l->kind != r->kind)
		return l->kind < r->kind ? -1 : 1;
	if (l->key != r->key)
		return l->key < r->key ? -1 : 1;
	return 0;
}

static gint compare_ids(gconstpointer a, gconstpointer b, gpointer unused)
{
	const guint64 *l = a, *r = b;

	(void)unused;
	if (*l == *r)
		return 0;
	return *l < *r ? -1 : 1;
}

static struct due *first_due(struct exchange *x)
{
	GTreeNode *node = g_tree_node_first(x->dues);

	return node ? g_tree_node_value(node) : NULL;
}

static void set_alarm(struct exchange *x)
{
	const struct due *first = first_due(x);
	gint64 at_ms = first ? first->at_ms : CLOCK_NEVER;

	if (at_ms == x->alarm_ms)
		return;
	x->alarm_ms = at_ms;
	x->ports.clock.set_alarm(x->ports.clock.ctx, at_ms);
}

static void arm(struct exchange *x, struct due *due, gboolean *armed, gint64 at_ms)
{
	if (*armed)
		g_tree_remove(x->dues, due);
	due->at_ms = at_ms;
	g_tree_insert(x->dues, due, due);
	*armed = TRUE;
	set_alarm(x);
}

static void disarm(struct exchange *x, struct due *due, gboolean *armed)
{
	if (!*armed)
		return;
	g_tree_remove(x->dues, due);
	*armed = FALSE;
	set_alarm(x);
}

static gint64 now_ms(struct exchange *x)
{
	return x->ports.clock.now_ms(x->ports.clock.ctx);
}

/* ---- carrying out what the core decided ---- */

static struct transfer_node *node_of(struct transfer_entry *e)
{
	return (struct transfer_node *)((char *)e - G_STRUCT_OFFSET(struct transfer_node, entry));
}

static struct transfer_entry *find_entry(struct exchange *x, guint64 id)
{
	struct transfer_node *node = g_tree_lookup(x->transfers, &id);

	return node ? &node->entry : NULL;
}

static void format_answer(struct store_reply *out, const struct vm_id *to,
	const struct pending_reply *request, const struct transfer_action *action)
{
	out->domid = to->domid;
	out->id = request->id;
	if (action->kind == TRANSFER_ACT_WAIT)
		reply_wait(&out->reply, request->id, action->wait, action->detail);
	else if (action->ok)
		reply_ok(&out->reply, request->id, action->detail);
	else
		reply_error(&out->reply, request->id, action->error, action->detail);
}

/* The answers among the actions go out in one transaction with the record. */
static size_t gather_replies(const struct transfer *t, const struct transfer_step *step,
	struct store_reply replies[TRANSFER_ACTIONS_MAX])
{
	size_t n = 0;

	for (unsigned i = 0; i < step->n_actions; i++) {
		const struct transfer_action *action = &step->actions[i];

		if (action->kind == TRANSFER_ACT_REPLY_SENDER || action->kind == TRANSFER_ACT_WAIT)
			format_answer(&replies[n++], &t->sender, &t->to_sender, action);
		else if (action->kind == TRANSFER_ACT_REPLY_RECEIVER)
			format_answer(&replies[n++], &t->receiver, &t->to_receiver, action);
	}
	return n;
}

static void commit(struct exchange *x, const struct transfer *t, const struct store_reply *replies,
	size_t n_replies)
{
	int rc = x->ports.store.commit(x->ports.store.ctx, t, replies, n_replies, x->serving);

	x->serving = 0;
	for (size_t i = 0; i < n_replies; i++)
		g_info("to domain %u: %s", replies[i].domid, replies[i].reply.text);
	if (rc < 0)
		g_warning("cannot write %s%s to xenstore: %s", t ? "a transfer's record" : "",
			n_replies ? (t ? " and its reply" : "a reply") : "", g_strerror(-rc));
}

static void ask(struct exchange *x, const struct transfer *t)
{
	const struct question question = {
		.id = t->id,
		.sender = &t->sender,
		.receiver = &t->receiver,
		.size_bytes = t->size_bytes,
		.used_bytes = x->ports.images.used_bytes(x->ports.images.ctx, t),
		.expires_ms = t->deadline_ms,
	};

	x->ports.asker.ask(x->ports.asker.ctx, &question);
}

static void act(struct exchange *x, const struct transfer *t, const struct transfer_action *action)
{
	const struct exchange_ports *p = &x->ports;

	switch (action->kind) {
	case TRANSFER_ACT_MAKE:
		p->images.make(p->images.ctx, t);
		return;
	case TRANSFER_ACT_ATTACH:
		p->blocks.attach(p->blocks.ctx, t);
		return;
	case TRANSFER_ACT_DETACH:
		p->blocks.detach(p->blocks.ctx, t);
		return;
	case TRANSFER_ACT_DETACH_FORCE:
		p->blocks.detach_force(p->blocks.ctx, t);
		return;
	case TRANSFER_ACT_ABANDON:
		g_warning(
			"transfer %" G_GUINT64_FORMAT
			": a VM or the kernel holds on to its disk; it is removed without waiting",
			t->id);
		p->blocks.abandon(p->blocks.ctx, t);
		return;
	case TRANSFER_ACT_ASK:
		ask(x, t);
		return;
	case TRANSFER_ACT_WITHDRAW:
		p->asker.withdraw(p->asker.ctx, t->id);
		return;
	case TRANSFER_ACT_REMOVE:
		p->images.remove(p->images.ctx, t);
		return;
	case TRANSFER_ACT_WAIT:
	case TRANSFER_ACT_REPLY_SENDER:
	case TRANSFER_ACT_REPLY_RECEIVER:
		return; /* went out with the record */
	}
}

static gboolean step_attaches(const struct transfer_step *step)
{
	for (unsigned i = 0; i < step->n_actions; i++)
		if (step->actions[i].kind == TRANSFER_ACT_ATTACH)
			return TRUE;
	return FALSE;
}

static void forget(struct exchange *x, struct transfer_node *node)
{
	registry_remove(&x->registry, &node->entry);
	disarm(x, &node->deadline, &node->armed);
	g_tree_remove(x->transfers, &node->entry.t.id);
}

/* Does what a step asks for. The entry may be gone afterwards. */
static void carry_out(
	struct exchange *x, struct transfer_entry *e, const struct transfer_step *step)
{
	struct store_reply replies[TRANSFER_ACTIONS_MAX];
	size_t n_replies = gather_replies(&e->t, step, replies);
	struct transfer_node *node = node_of(e);

	registry_update(e);
	/* An attach writes the record itself, in one transaction with the device. */
	if (!step_attaches(step) || n_replies > 0)
		commit(x, step_attaches(step) ? NULL : &e->t, replies, n_replies);
	arm(x, &node->deadline, &node->armed, e->t.deadline_ms);
	for (unsigned i = 0; i < step->n_actions; i++)
		act(x, &e->t, &step->actions[i]);
	if (x->observer)
		x->observer(x->observer_arg, &e->t);
	if (e->t.state == TRANSFER_GONE)
		forget(x, node);
}

static void feed(struct exchange *x, struct transfer_entry *e, const struct transfer_event *event);

/* Lends the next pendrive in the queue, if the VM's incoming slot became free. */
static void serve_queue(struct exchange *x, struct vm *vm)
{
	static const struct transfer_event slot_free = {.kind = TRANSFER_EV_SLOT_FREE};
	const struct vm_node *node = g_hash_table_lookup(x->vms, GUINT_TO_POINTER(vm->id.domid));
	struct transfer_entry *next = registry_next(vm);

	if (next && node && !node->dying)
		feed(x, next, &slot_free);
}

static void feed(struct exchange *x, struct transfer_entry *e, const struct transfer_event *event)
{
	enum transfer_state before = e->t.state;
	struct vm *receiver = e->receiver;
	guint64 id = e->t.id;
	struct transfer_step step;

	transfer_step(&e->t, event, &x->limits.transfer, now_ms(x), &step);
	if (step.ignored) {
		g_debug("transfer %" G_GUINT64_FORMAT ": %s in %s: ignored", id,
			transfer_event_name(event->kind), transfer_state_name(before));
		return;
	}
	if (e->t.state != before)
		g_info("transfer %" G_GUINT64_FORMAT ", %s to %s: %s, so %s -> %s", id,
			e->t.sender.name, e->t.receiver.name[0] ? e->t.receiver.name : "nobody yet",
			transfer_event_name(event->kind), transfer_state_name(before),
			transfer_state_name(e->t.state));
	carry_out(x, e, &step);
	if (receiver)
		serve_queue(x, receiver);
}

static void feed_id(struct exchange *x, guint64 id, const struct transfer_event *event)
{
	struct transfer_entry *e = find_entry(x, id);

	if (e)
		feed(x, e, event);
	else
		g_debug("transfer %" G_GUINT64_FORMAT ": %s, but it is gone", id,
			transfer_event_name(event->kind));
}

static void feed_kind(struct exchange *x, guint64 id, enum transfer_event_kind kind)
{
	const struct transfer_event event = {.kind = kind};

	feed_id(x, id, &event);
}

/* ---- VMs come and go ---- */

static struct vm_node *find_vm(struct exchange *x, guint32 domid)
{
	return g_hash_table_lookup(x->vms, GUINT_TO_POINTER(domid));
}

struct id_list {
	const struct vm *vm;
	GArray *ids;
};

static gboolean collect_of_vm(gpointer key, gpointer value, gpointer data)
{
	const struct transfer_node *node = value;
	struct id_list *list = data;

	if (node->entry.sender == list->vm || node->entry.receiver == list->vm)
		g_array_append_val(list->ids, *(guint64 *)key);
	return FALSE;
}

static void vm_gone(struct exchange *x, struct vm_node *node)
{
	struct id_list list = {.vm = &node->vm, .ids = g_array_new(FALSE, FALSE, sizeof(guint64))};
	guint32 domid = node->vm.id.domid;
	guint32 serving = x->serving;

	/* What follows may be written down in the middle of a request, but is not that request. */
	x->serving = 0;
	g_info("VM %s (domain %u) is gone", node->vm.id.name, domid);
	node->dying = TRUE;
	g_tree_foreach(x->transfers, collect_of_vm, &list);
	for (guint i = 0; i < list.ids->len; i++) {
		guint64 id = g_array_index(list.ids, guint64, i);
		struct transfer_entry *e = find_entry(x, id);

		if (e && e->receiver == &node->vm)
			feed_kind(x, id, TRANSFER_EV_RECEIVER_GONE);
		e = find_entry(x, id);
		if (e && e->sender == &node->vm)
			feed_kind(x, id, TRANSFER_EV_SENDER_GONE);
		e = find_entry(x, id);
		if (e)
			registry_forget_vm(e, &node->vm);
	}
	g_array_free(list.ids, TRUE);
	disarm(x, &node->hold, &node->held);
	x->ports.store.close_mailbox(x->ports.store.ctx, domid);
	g_hash_table_remove(x->vms, GUINT_TO_POINTER(domid));
	x->serving = serving;
}

/* Who a known VM is now. False, and the VM is gone, when its domain is another or none. */
static gboolean still_there(struct exchange *x, struct vm_node *node)
{
	struct vm_id now;
	int rc = x->ports.store.identify(x->ports.store.ctx, node->vm.id.domid, &now);

	if (rc == 0 && strcmp(now.uuid, node->vm.id.uuid) == 0) {
		strcpy(node->vm.id.name, now.name);
		return TRUE;
	}
	if (rc < 0 && rc != -ENOENT && rc != -EINVAL) {
		g_warning("cannot read who domain %u is: %s", node->vm.id.domid, g_strerror(-rc));
		return FALSE;
	}
	vm_gone(x, node);
	return FALSE;
}

static struct vm_node *vm_appeared(struct exchange *x, guint32 domid)
{
	struct vm_id id = {0};
	struct vm_node *node;
	int rc = x->ports.store.identify(x->ports.store.ctx, domid, &id);

	if (rc == -EINVAL && g_hash_table_add(x->unusable, GUINT_TO_POINTER(domid)))
		g_message("domain %u cannot take part: its name or uuid is not one that we can use",
			domid);
	else if (rc < 0 && rc != -ENOENT && rc != -EINVAL)
		g_warning("cannot read who domain %u is: %s", domid, g_strerror(-rc));
	if (rc < 0)
		return NULL;
	node = g_new0(struct vm_node, 1);
	node->vm.id = id;
	node->hold = (struct due){.kind = DUE_MAILBOX, .key = domid};
	g_hash_table_insert(x->vms, GUINT_TO_POINTER(domid), node);
	g_info("VM %s (domain %u) is there", id.name, domid);
	return node;
}

static void open_mailbox(struct exchange *x, guint32 domid)
{
	int rc = x->ports.store.open_mailbox(x->ports.store.ctx, domid);

	if (rc < 0 && rc != -ENOENT)
		g_warning("cannot make the mailbox of domain %u: %s", domid, g_strerror(-rc));
}

static gboolean is_missing(gpointer domid, gpointer value, gpointer running)
{
	(void)value;
	return !g_hash_table_contains(running, domid);
}

/* Brings the known VMs into agreement with the running ones. */
static int update_vms(struct exchange *x, gboolean open_mailboxes)
{
	g_autofree guint32 *domids = NULL;
	g_autoptr(GHashTable) running = g_hash_table_new(NULL, NULL);
	g_autoptr(GList) known = NULL;
	size_t n = 0;
	int rc = x->ports.store.list_domains(x->ports.store.ctx, &domids, &n);

	if (rc < 0) {
		g_warning("cannot list the domains: %s", g_strerror(-rc));
		return rc;
	}
	for (size_t i = 0; i < n; i++)
		g_hash_table_add(running, GUINT_TO_POINTER(domids[i]));
	g_hash_table_foreach_remove(x->unusable, is_missing, running);
	known = g_hash_table_get_keys(x->vms);
	for (GList *l = known; l; l = l->next)
		if (!g_hash_table_contains(running, l->data))
			vm_gone(x, g_hash_table_lookup(x->vms, l->data));
	for (size_t i = 0; i < n; i++) {
		struct vm_node *node = find_vm(x, domids[i]);

		if (node && still_there(x, node))
			continue;
		if (!find_vm(x, domids[i]) && vm_appeared(x, domids[i]) && open_mailboxes)
			open_mailbox(x, domids[i]);
	}
	return 0;
}

static struct vm_node *find_named(struct exchange *x, const char *name)
{
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, x->vms);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct vm_node *node = value;

		if (strcmp(node->vm.id.name, name) == 0)
			return still_there(x, node) && strcmp(node->vm.id.name, name) == 0 ? node
											   : NULL;
	}
	return NULL;
}

/* The running VM of that name, or NULL. Finds renamed ones too, within NAMES_REFRESH_MS. */
static struct vm_node *resolve(struct exchange *x, const char *name)
{
	struct vm_node *node = find_named(x, name);

	if (node || now_ms(x) < x->names_fresh_ms + NAMES_REFRESH_MS)
		return node;
	x->names_fresh_ms = now_ms(x);
	update_vms(x, TRUE);
	return find_named(x, name);
}

/* ---- requests ---- */

static void answer_error(struct exchange *x, const struct vm_node *node, const char *id,
	enum qpen_error error, const char *text)
{
	struct store_reply reply = {.domid = node->vm.id.domid, .id = id};

	g_info("VM %s: %s: %s", node->vm.id.name, qpen_error_name(error), text);
	reply_error(&reply.reply, id, error, text);
	commit(x, NULL, &reply, 1);
}

static void set_pending(struct pending_reply *pending, const char *id)
{
	pending->pending = true;
	strcpy(pending->id, id);
}

static void request_new(struct exchange *x, struct vm_node *vm, const struct request *request)
{
	struct transfer_node *node;
	struct transfer_step step;
	struct transfer t = {.format = request->format, .sender = vm->vm.id};
	struct verdict verdict = registry_may_new(&x->registry, &vm->vm, request, &t.size_bytes);
	int rc;

	if (!verdict.ok) {
		answer_error(x, vm, request->id, verdict.error, verdict.text);
		return;
	}
	rc = x->ports.images.new_name(x->ports.images.ctx, t.image);
	if (rc < 0) {
		g_warning("cannot choose a name for an image: %s", g_strerror(-rc));
		answer_error(
			x, vm, request->id, QPEN_ERROR_FAILED, "the pendrive could not be made");
		return;
	}
	t.id = ++x->last_id;
	set_pending(&t.to_sender, request->id);
	transfer_start(&t, &x->limits.transfer, now_ms(x), &step);

	node = g_new0(struct transfer_node, 1);
	node->entry.t = t;
	node->deadline = (struct due){.kind = DUE_TRANSFER, .key = t.id};
	g_tree_insert(x->transfers, &node->entry.t.id, node);
	registry_add(&x->registry, &node->entry, &vm->vm, NULL);
	g_info("transfer %" G_GUINT64_FORMAT ": a new pendrive of %" G_GUINT64_FORMAT
	       " bytes for %s",
		t.id, t.size_bytes, t.sender.name);
	carry_out(x, &node->entry, &step);
}

static void request_send(struct exchange *x, struct vm_node *vm, const struct request *request)
{
	struct verdict verdict = registry_may_send(&vm->vm, request);
	struct transfer_event event = {.kind = TRANSFER_EV_SEND, .request = request};
	struct vm_id receiver = {0};
	struct transfer_entry *e;
	struct vm_node *to;

	if (!verdict.ok) {
		answer_error(x, vm, request->id, verdict.error, verdict.text);
		return;
	}
	if (strcmp(request->dest, QPEN_DISPOSABLE) == 0 ||
		strcmp(request->seq, QPEN_SEQ_NONE) != 0) {
		answer_error(x, vm, request->id, QPEN_ERROR_UNSUPPORTED,
			"this dom0 makes no DisposableVMs");
		return;
	}
	e = vm->vm.outgoing;
	to = resolve(x, request->dest);
	/* Looking for a renamed VM can show that the sender itself has gone. */
	if (e->sender != &vm->vm)
		return;
	if (to)
		receiver = to->vm.id;
	else
		strcpy(receiver.name, request->dest);
	event.receiver = &receiver;
	event.receiver_known = to != NULL;
	/* It may have been renamed since `new`; the user is asked about the VM of this name. */
	strcpy(e->t.sender.name, vm->vm.id.name);
	registry_set_receiver(e, to ? &to->vm : NULL);
	feed(x, e, &event);
}

static void request_umount(struct exchange *x, struct vm_node *vm, const struct request *request)
{
	const struct transfer_event event = {.kind = TRANSFER_EV_UMOUNT, .request = request};
	struct verdict verdict = registry_may_umount(&vm->vm);

	if (verdict.ok)
		feed(x, vm->vm.incoming, &event);
	else
		answer_error(x, vm, request->id, verdict.error, verdict.text);
}

static void serve(struct exchange *x, struct vm_node *vm, const struct request *request)
{
	switch (request->verb) {
	case REQUEST_NEW:
		request_new(x, vm, request);
		return;
	case REQUEST_SEND:
		request_send(x, vm, request);
		return;
	case REQUEST_UMOUNT:
		request_umount(x, vm, request);
		return;
	case REQUEST_KILLME:
		answer_error(x, vm, request->id, QPEN_ERROR_UNSUPPORTED,
			"only a DisposableVM may ask to be destroyed");
		return;
	}
}

/*
 * Takes one request's worth out of the VM's budget. When there is none left, the VM is put on hold,
 * and its mailbox is looked at again when there is. Nothing is lost: the request stays where it is.
 */
static gboolean may_ask_now(struct exchange *x, struct vm_node *node)
{
	const struct exchange_limits *l = &x->limits;
	gint64 now = now_ms(x);
	gint64 spent = MAX(node->spent_until_ms, now);

	if (spent - now > l->request_interval_ms * (gint64)(l->request_burst - 1)) {
		if (!node->held)
			arm(x, &node->hold, &node->held,
				spent - l->request_interval_ms * (gint64)(l->request_burst - 1));
		return FALSE;
	}
	node->spent_until_ms = spent + l->request_interval_ms;
	return TRUE;
}

/* What is in the mailbox could not be served now: it stays there until the VM may next ask. */
static void look_again(struct exchange *x, struct vm_node *node)
{
	arm(x, &node->hold, &node->held, now_ms(x) + x->limits.request_interval_ms);
}

/* The VM's mailbox was touched: take out what is in it, or make it anew if the VM deleted it. */
static void take_mail(struct exchange *x, struct vm_node *node)
{
	char untrusted[QPEN_REQUEST_MAX + 1];
	struct request request;
	enum request_result result;
	guint32 domid = node->vm.id.domid;
	size_t len = 0;
	int rc;

	if (node->held || !may_ask_now(x, node))
		return;
	rc = x->ports.store.take_request(
		x->ports.store.ctx, domid, untrusted, sizeof untrusted, &len);
	if (rc == -ENOENT) {
		if (still_there(x, node))
			open_mailbox(x, domid);
		return;
	}
	if (rc < 0) {
		g_warning("cannot read the mailbox of domain %u: %s", domid, g_strerror(-rc));
		look_again(x, node);
		return;
	}
	if (len == 0) {
		node->spent_until_ms -= x->limits.request_interval_ms;
		return;
	}
	if (!still_there(x, node)) {
		/* Gone with its mailbox; or xenstore did not say, and the request waits there. */
		node = find_vm(x, domid);
		if (node)
			look_again(x, node);
		return;
	}
	/* checked: request_parse, tests/unit/test_request.c */
	result = request_parse(untrusted, len, &request);
	x->serving = domid;
	if (result == REQUEST_OK)
		serve(x, node, &request);
	else
		answer_error(
			x, node, request.id, QPEN_ERROR_BAD_REQUEST, request_result_text(result));
	x->serving = 0;
}

/* ---- the ports' events ---- */

static void on_domains_changed(void *ctx)
{
	update_vms(ctx, TRUE);
}

static void on_mailbox(void *ctx, uint32_t domid)
{
	struct exchange *x = ctx;
	struct vm_node *node = find_vm(x, domid);

	if (node)
		take_mail(x, node);
}

static void on_image_made(void *ctx, uint64_t id)
{
	feed_kind(ctx, id, TRANSFER_EV_MADE);
}

static void on_image_failed(void *ctx, uint64_t id, enum qpen_error error)
{
	const struct transfer_event event = {.kind = TRANSFER_EV_MAKE_FAILED, .error = error};

	feed_id(ctx, id, &event);
}

static void on_image_removed(void *ctx, uint64_t id)
{
	feed_kind(ctx, id, TRANSFER_EV_REMOVED);
}

static void feed_disk(
	struct exchange *x, guint64 id, enum transfer_event_kind kind, enum transfer_place place)
{
	const struct transfer_event event = {.kind = kind, .place = place};

	feed_id(x, id, &event);
}

static void on_disk_attached(void *ctx, uint64_t id, enum transfer_place place)
{
	feed_disk(ctx, id, TRANSFER_EV_ATTACHED, place);
}

static void on_disk_lost(void *ctx, uint64_t id, enum transfer_place place)
{
	feed_disk(ctx, id, TRANSFER_EV_LOST, place);
}

static void on_disk_detached(void *ctx, uint64_t id, enum transfer_place place)
{
	feed_disk(ctx, id, TRANSFER_EV_DETACHED, place);
}

/* The receiver may have stopped while the user thought about it. */
static gboolean receiver_is_there(struct exchange *x, struct transfer_entry *e)
{
	struct vm_node *node = e->receiver ? find_vm(x, e->receiver->id.domid) : NULL;

	return node && still_there(x, node);
}

static void on_answered(void *ctx, uint64_t id, bool yes)
{
	struct exchange *x = ctx;
	struct transfer_entry *e = find_entry(x, id);
	struct transfer_event event = {.kind = yes ? TRANSFER_EV_YES : TRANSFER_EV_NO};

	if (!e || e->t.state != TRANSFER_ASKING)
		return;
	g_message("transfer %" G_GUINT64_FORMAT ": the user %s %s to %s", id,
		yes ? "allowed" : "refused", e->t.sender.name, e->t.receiver.name);
	if (yes && !receiver_is_there(x, e)) {
		/* Finding it dead may have refused the transfer already. */
		if (find_entry(x, id))
			feed_kind(x, id, TRANSFER_EV_RECEIVER_GONE);
		return;
	}
	if (yes)
		event.slot = registry_slot(&x->registry, e->receiver);
	if (yes && event.slot == TRANSFER_SLOT_TAKEN)
		registry_enqueue(e);
	feed(x, e, &event);
}

static void on_alarm(void *ctx)
{
	struct exchange *x = ctx;
	struct due *due;

	x->alarm_ms = CLOCK_NEVER; /* it rang; the next one has to be asked for */
	while ((due = first_due(x)) && due->at_ms <= now_ms(x)) {
		guint64 key = due->key;

		if (due->kind == DUE_MAILBOX) {
			struct vm_node *node = find_vm(x, (guint32)key);

			disarm(x, &node->hold, &node->held);
			take_mail(x, node);
		} else {
			struct transfer_node *node = node_of(find_entry(x, key));

			disarm(x, &node->deadline, &node->armed);
			feed_kind(x, key, TRANSFER_EV_DEADLINE);
		}
	}
	set_alarm(x);
}

struct port_events exchange_events(struct exchange *x)
{
	return (struct port_events){
		.ctx = x,
		.domains_changed = on_domains_changed,
		.mailbox = on_mailbox,
		.image_made = on_image_made,
		.image_failed = on_image_failed,
		.image_removed = on_image_removed,
		.disk_attached = on_disk_attached,
		.disk_lost = on_disk_lost,
		.disk_detached = on_disk_detached,
		.answered = on_answered,
		.alarm = on_alarm,
	};
}

/* ---- recovery ---- */

static struct vm *same_vm(struct exchange *x, const struct vm_id *id)
{
	struct vm_node *node = id->uuid[0] ? find_vm(x, id->domid) : NULL;

	return node && strcmp(node->vm.id.uuid, id->uuid) == 0 ? &node->vm : NULL;
}

static void recover_record(void *arg, const char *untrusted_text, size_t len)
{
	struct exchange *x = arg;
	struct transfer_node *node;
	struct transfer t;
	enum record_result result = record_parse(untrusted_text, len, &t);

	if (result != RECORD_OK) {
		g_warning("a record in xenstore is %s; left alone",
			result == RECORD_OTHER_VERSION ? "of another release" : "damaged");
		return;
	}
	node = g_new0(struct transfer_node, 1);
	node->entry.t = t;
	node->deadline = (struct due){.kind = DUE_TRANSFER, .key = t.id};
	g_tree_insert(x->transfers, &node->entry.t.id, node);
	registry_add(&x->registry, &node->entry, same_vm(x, &t.sender), same_vm(x, &t.receiver));
	x->last_id = MAX(x->last_id, t.id);
}

static gint compare_deadlines(gconstpointer a, gconstpointer b)
{
	const struct transfer_entry *const *l = a, *const *r = b;

	return (*l)->t.deadline_ms < (*r)->t.deadline_ms ? -1 : 1;
}

static gboolean collect_entry(gpointer key, gpointer value, gpointer data)
{
	struct transfer_node *node = value;

	(void)key;
	g_ptr_array_add(data, &node->entry);
	return FALSE;
}

static void resume(struct exchange *x, struct transfer_entry *e)
{
	guint64 id = e->t.id;
	bool sender_died = e->t.sender_alive && !e->sender;
	bool receiver_died = e->t.receiver_known && !e->receiver;
	struct transfer_step step;

	g_message("transfer %" G_GUINT64_FORMAT ", %s: taken up again, %s", id, e->t.sender.name,
		transfer_state_name(e->t.state));
	if (e->t.place != TRANSFER_NOWHERE)
		x->ports.blocks.resume(x->ports.blocks.ctx, &e->t);
	if (e->t.state == TRANSFER_QUEUED && e->receiver)
		registry_enqueue(e);
	transfer_resume(&e->t, &x->limits.transfer, now_ms(x), &step);
	carry_out(x, e, &step);
	if (receiver_died && find_entry(x, id))
		feed_kind(x, id, TRANSFER_EV_RECEIVER_GONE);
	if (sender_died && find_entry(x, id))
		feed_kind(x, id, TRANSFER_EV_SENDER_GONE);
}

/* Takes up the transfers of the records, in the order in which their queues stood. */
static void recover(struct exchange *x)
{
	g_autoptr(GPtrArray) entries = g_ptr_array_new();
	g_autoptr(GPtrArray) images = g_ptr_array_new();
	GHashTableIter iter;
	gpointer value;

	g_tree_foreach(x->transfers, collect_entry, entries);
	g_ptr_array_sort(entries, compare_deadlines);
	for (guint i = 0; i < entries->len; i++) {
		struct transfer_entry *e = entries->pdata[i];

		g_ptr_array_add(images, e->t.image);
	}
	x->ports.images.sweep(x->ports.images.ctx, (const char *const *)images->pdata, images->len);
	for (guint i = 0; i < entries->len; i++)
		resume(x, entries->pdata[i]);
	/* The former daemon may have died when a slot was free and the next had not got it yet. */
	g_hash_table_iter_init(&iter, x->vms);
	while (g_hash_table_iter_next(&iter, NULL, &value))
		serve_queue(x, &((struct vm_node *)value)->vm);
	x->ports.blocks.sweep(x->ports.blocks.ctx);
}

int exchange_start(struct exchange *x)
{
	g_autoptr(GList) domids = NULL;
	int rc = update_vms(x, FALSE);

	if (rc < 0)
		return rc;
	rc = x->ports.store.load_records(x->ports.store.ctx, recover_record, x);
	if (rc < 0)
		return rc;
	recover(x);
	domids = g_hash_table_get_keys(x->vms);
	for (GList *l = domids; l; l = l->next)
		open_mailbox(x, GPOINTER_TO_UINT(l->data));
	return 0;
}

/* ---- life, and what the daemon asks of the exchange ---- */

struct exchange *exchange_create(
	const struct exchange_ports *ports, const struct exchange_limits *limits)
{
	struct exchange *x = g_new0(struct exchange, 1);

	x->ports = *ports;
	x->vms = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	x->unusable = g_hash_table_new(NULL, NULL);
	x->transfers = g_tree_new_full(compare_ids, NULL, NULL, g_free);
	x->dues = g_tree_new_full(compare_dues, NULL, NULL, NULL);
	x->alarm_ms = CLOCK_NEVER;
	x->names_fresh_ms = -NAMES_REFRESH_MS;
	exchange_set_limits(x, limits);
	return x;
}

void exchange_destroy(struct exchange *x)
{
	if (!x)
		return;
	g_tree_destroy(x->dues);
	g_tree_destroy(x->transfers);
	g_hash_table_destroy(x->vms);
	g_hash_table_destroy(x->unusable);
	g_free(x);
}

void exchange_set_limits(struct exchange *x, const struct exchange_limits *limits)
{
	x->limits = *limits;
	x->registry.limits = limits->registry;
}

void exchange_set_observer(struct exchange *x, exchange_observer_fn fn, void *arg)
{
	x->observer = fn;
	x->observer_arg = arg;
}

struct visit {
	exchange_visit_fn fn;
	void *arg;
};

static gboolean visit_one(gpointer key, gpointer value, gpointer data)
{
	const struct transfer_node *node = value;
	struct visit *visit = data;

	(void)key;
	visit->fn(visit->arg, &node->entry.t);
	return FALSE;
}

void exchange_visit(struct exchange *x, exchange_visit_fn fn, void *arg)
{
	struct visit visit = {.fn = fn, .arg = arg};

	g_tree_foreach(x->transfers, visit_one, &visit);
}

const struct transfer *exchange_find(struct exchange *x, uint64_t id)
{
	struct transfer_entry *e = find_entry(x, id);

	return e ? &e->t : NULL;
}

bool exchange_cancel(struct exchange *x, uint64_t id)
{
	struct transfer_entry *e = find_entry(x, id);

	if (!e || e->t.state == TRANSFER_TAKING_BACK || e->t.state == TRANSFER_REFUSING ||
		e->t.state == TRANSFER_DISCARDING || e->t.state == TRANSFER_GONE)
		return false;
	g_message("transfer %" G_GUINT64_FORMAT ": taken back by the user", id);
	feed_kind(x, id, TRANSFER_EV_CANCEL);
	return true;
}
