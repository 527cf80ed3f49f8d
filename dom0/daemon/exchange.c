/* SPDX-License-Identifier: GPL-2.0-or-later */
#define G_LOG_DOMAIN "qfilexchgd"
#include "exchange.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "exchange_state.h"
#include "history.h"
#include "log_names.h"
#include "record.h"
#include "request.h"

/* Renamed VMs are looked for when a name is not known, but not more often than that. */
#define NAMES_REFRESH_MS 10000

static void take_mail(struct exchange *x, struct vm_node *node);
static int update_vms(struct exchange *x, gboolean open_mailboxes, gboolean all);

static gint compare_ids(gconstpointer a, gconstpointer b, gpointer unused)
{
	const guint64 *l = a, *r = b;

	(void)unused;
	if (*l == *r)
		return 0;
	return *l < *r ? -1 : 1;
}

gint64 exchange_now_ms(struct exchange *x)
{
	return dues_now_ms(x->dues);
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

static void format_answer(
	struct store_reply *out, const struct vm_id *to, const struct transfer_action *action)
{
	out->domid = to->domid;
	out->id = action->id;
	if (action->kind == TRANSFER_ACT_WAIT)
		reply_wait(&out->reply, action->id, action->wait, action->detail);
	else if (action->ok)
		reply_ok(&out->reply, action->id, action->detail);
	else
		reply_error(&out->reply, action->id, action->error, action->detail);
}

/* The answers among the actions go out in one transaction with the record. */
static size_t gather_replies(const struct transfer *t, const struct transfer_step *step,
	struct store_reply replies[TRANSFER_ACTIONS_MAX])
{
	size_t n = 0;

	for (unsigned i = 0; i < step->n_actions; i++) {
		const struct transfer_action *action = &step->actions[i];

		if (action->kind == TRANSFER_ACT_REPLY_SENDER ||
			action->kind == TRANSFER_ACT_REPLY_DISCARD ||
			action->kind == TRANSFER_ACT_WAIT)
			format_answer(&replies[n++], &t->sender, action);
		else if (action->kind == TRANSFER_ACT_REPLY_RECEIVER)
			format_answer(&replies[n++], &t->receiver, action);
	}
	return n;
}

void exchange_commit(struct exchange *x, struct store_change *change)
{
	int rc;

	change->served = x->serving;
	x->serving = 0;
	rc = x->ports.store.commit(x->ports.store.ctx, change);
	for (size_t i = 0; i < change->n_replies; i++)
		g_info("to domain %u: %s", change->replies[i].domid, change->replies[i].reply.text);
	if (rc < 0)
		g_warning("cannot write a record or a reply to xenstore: %s", g_strerror(-rc));
}

static void ask(struct exchange *x, const struct transfer *t)
{
	const char *(*label)(void *, const char *) = x->label;
	const struct policy_query query = exchange_query(x, t);
	const struct question question = {
		.sender_label = label ? label(x->label_arg, t->sender.name) : "",
		.receiver_label = label ? label(x->label_arg, t->receiver.name) : "",
		.disposable = t->kind == TRANSFER_REQUEST,
		.can_remember = x->ports.rules.can_remember(x->ports.rules.ctx, &query),
		.id = t->id,
		.sender = &t->sender,
		.receiver = &t->receiver,
		.size_bytes = t->size_bytes,
		.used_bytes = x->ports.images.used_bytes(x->ports.images.ctx, t),
		.expires_ms = t->deadline_ms,
	};

	x->ports.asker.ask(x->ports.asker.ctx, &question);
}

void exchange_notify(struct exchange *x, const struct exchange_notice *notice)
{
	struct exchange_notice whole = *notice;

	whole.receiver = notice->receiver ? notice->receiver : "";
	whole.reason = notice->reason ? notice->reason : "";
	if (x->observer.notice)
		x->observer.notice(x->observer.arg, &whole);
}

/* How an ordinary pendrive ended that was sent, as its sender reads it now. */
static void notify_end(
	struct exchange *x, const struct transfer *t, const struct transfer_action *action)
{
	struct exchange_notice notice = {.vm = t->sender.name, .receiver = t->receiver.name};

	if (t->kind != TRANSFER_FILES || t->quiet || !t->receiver.name[0])
		return;
	if (action->ok) {
		notice.what = "delivered";
	} else if (action->error == QPEN_ERROR_REFUSED) {
		notice.what = "refused";
	} else {
		notice.what = "failed";
		notice.reason = qpen_error_name(action->error);
	}
	exchange_notify(x, &notice);
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
	case TRANSFER_ACT_REPLY_SENDER:
		notify_end(x, t, action); /* the reply itself went out with the record */
		return;
	case TRANSFER_ACT_WAIT:
	case TRANSFER_ACT_REPLY_RECEIVER:
	case TRANSFER_ACT_REPLY_DISCARD: /* these went out with the record */
	case TRANSFER_ACT_OPENED:        /* the DisposableVM's own step: disposables_follow */
		return;
	}
}

static gboolean step_attaches(const struct transfer_step *step)
{
	for (unsigned i = 0; i < step->n_actions; i++)
		if (step->actions[i].kind == TRANSFER_ACT_ATTACH)
			return TRUE;
	return FALSE;
}

static void free_transfer(gpointer data)
{
	struct transfer_node *node = data;

	g_free(node->rule);
	g_free(node);
}

static void forget(struct exchange *x, struct transfer_node *node)
{
	registry_remove(&x->registry, &node->entry);
	dues_disarm(x->dues, &node->deadline);
	g_tree_remove(x->transfers, &node->entry.t.id);
}

/* A step's record and replies, and those of the DisposableVM that it is of, all at once. */
static void write_down(struct exchange *x, const struct transfer *t,
	const struct transfer_step *step, const struct dispvm_turn *turn)
{
	struct store_reply replies[TRANSFER_ACTIONS_MAX + DISPVM_ACTIONS_MAX];
	struct store_change change = {.replies = replies};

	change.n_replies = gather_replies(t, step, replies);
	change.n_replies += disposables_replies(turn, replies + change.n_replies);
	/* An attach writes the record itself, in one transaction with the device. */
	change.transfer = step_attaches(step) ? NULL : t;
	change.dispvm = turn->node ? &turn->node->d : NULL;
	if (change.transfer || change.dispvm || change.n_replies > 0)
		exchange_commit(x, &change);
}

/* Does what a step asks for. The entry may be gone afterwards. `history` NULL: nothing is told. */
static void carry_out(struct exchange *x, struct transfer_entry *e,
	const struct transfer_step *step, struct dispvm_turn *turn,
	const struct history_turn *history)
{
	struct transfer_node *node = node_of(e);

	registry_update(e);
	write_down(x, &e->t, step, turn);
	dues_arm(x->dues, &node->deadline, e->t.deadline_ms);
	for (unsigned i = 0; i < step->n_actions; i++)
		act(x, &e->t, &step->actions[i]);
	history_write(x, history);
	if (x->observer.transfer)
		x->observer.transfer(x->observer.arg, &e->t);
	if (e->t.state == TRANSFER_GONE)
		forget(x, node);
	disposables_carry_out(x, turn);
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

/* `turn`: the step of a DisposableVM that goes with it; node NULL: whatever the event means for
 * one. `ruling`: of a SEND that has to pass the policy, else NULL. */
static void feed_with(struct exchange *x, struct transfer_entry *e,
	const struct transfer_event *event, struct dispvm_turn *turn, const struct ruling *ruling)
{
	const struct transfer before = e->t;
	struct vm *receiver = e->receiver;
	guint64 id = e->t.id;
	struct transfer_step step;
	struct history_turn history;

	transfer_step(&e->t, event, &x->limits.transfer, exchange_now_ms(x), &step);
	if (step.ignored) {
		g_debug("transfer %" G_GUINT64_FORMAT ": %s in %s: ignored", id,
			transfer_event_name(event->kind), transfer_state_name(before.state));
		return;
	}
	if (e->t.state != before.state)
		g_info("transfer %" G_GUINT64_FORMAT ", %s to %s: %s, so %s -> %s", id,
			log_vm(&e->t.sender),
			e->t.receiver.name[0] ? log_vm(&e->t.receiver) : "nobody yet",
			transfer_event_name(event->kind), transfer_state_name(before.state),
			transfer_state_name(e->t.state));
	if (!turn->node)
		disposables_follow(x, &e->t, event, &step, turn);
	history_follow(x, node_of(e), &before, event, &step, ruling, &history);
	carry_out(x, e, &step, turn, &history);
	if (receiver)
		serve_queue(x, receiver);
}

static void feed(struct exchange *x, struct transfer_entry *e, const struct transfer_event *event)
{
	struct dispvm_turn turn = {0};

	feed_with(x, e, event, &turn, NULL);
}

void exchange_feed(struct exchange *x, guint64 id, const struct transfer_event *event)
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

	exchange_feed(x, id, &event);
}

/* ---- VMs come and go ---- */

static struct vm_node *find_vm(struct exchange *x, guint32 domid)
{
	return g_hash_table_lookup(x->vms, GUINT_TO_POINTER(domid));
}

struct vm_node *exchange_same_vm(struct exchange *x, const struct vm_id *id)
{
	struct vm_node *node = id->uuid[0] ? find_vm(x, id->domid) : NULL;

	return node && strcmp(node->vm.id.uuid, id->uuid) == 0 ? node : NULL;
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
	g_info("VM %s (domain %u) is gone", log_vm(&node->vm.id), domid);
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
	disposables_vm_gone(x, &node->vm.id);
	dues_disarm(x->dues, &node->hold);
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
	g_info("VM %s (domain %u) is there", log_vm(&id), domid);
	return node;
}

/* What is in the mailbox could not be served now: it stays there until the VM may next ask. */
static void look_again(struct exchange *x, struct vm_node *node)
{
	dues_arm(x->dues, &node->hold, exchange_now_ms(x) + x->limits.requests.interval_ms);
}

static void open_mailbox(struct exchange *x, guint32 domid)
{
	int rc = x->ports.store.open_mailbox(x->ports.store.ctx, domid);
	struct vm_node *node = rc == -EAGAIN ? find_vm(x, domid) : NULL;

	if (node)
		look_again(x, node);
	else if (rc < 0 && rc != -ENOENT)
		g_warning("cannot make the mailbox of domain %u: %s", domid, g_strerror(-rc));
}

void exchange_tell_ready(struct exchange *x, guint64 id, const struct vm_id *receiver)
{
	struct transfer_event event = {.kind = TRANSFER_EV_VM_READY, .receiver = receiver};
	struct transfer_entry *e = find_entry(x, id);
	struct vm_node *node = exchange_same_vm(x, receiver);

	if (!node) {
		update_vms(x, TRUE, TRUE);
		node = exchange_same_vm(x, receiver);
		e = find_entry(x, id);
	}
	if (!e)
		return;
	if (!node) {
		event = (struct transfer_event){
			.kind = TRANSFER_EV_VM_FAILED, .error = QPEN_ERROR_LOST};
	} else if (e->t.place != TRANSFER_AT_RECEIVER) {
		registry_set_receiver(e, &node->vm);
	}
	feed(x, e, &event);
}

static gboolean is_missing(gpointer domid, gpointer value, gpointer running)
{
	(void)value;
	return !g_hash_table_contains(running, domid);
}

/*
 * Brings the known VMs into agreement with the running ones. `all`: also whether each known one is
 * still who it was, which asks xenstore about every VM there is; else only about new ones.
 */
static int update_vms(struct exchange *x, gboolean open_mailboxes, gboolean all)
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

		if (node && (!all || still_there(x, node)))
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

	if (node || exchange_now_ms(x) < x->names_fresh_ms + NAMES_REFRESH_MS)
		return node;
	x->names_fresh_ms = exchange_now_ms(x);
	update_vms(x, TRUE, TRUE);
	return find_named(x, name);
}

/* ---- requests ---- */

static void answer_error(struct exchange *x, const struct vm_node *node, const char *id,
	enum qpen_error error, const char *text)
{
	struct store_reply reply = {.domid = node->vm.id.domid, .id = id};
	struct store_change change = {.replies = &reply, .n_replies = 1};

	g_info("VM %s: %s: %s", log_vm(&node->vm.id), qpen_error_name(error), text);
	reply_error(&reply.reply, id, error, text);
	exchange_commit(x, &change);
}

static void answer_verdict(struct exchange *x, const struct vm_node *node, const char *id,
	const struct verdict *verdict)
{
	g_autofree char *text = NULL;

	if (verdict->limit_bytes)
		text = g_strdup_printf("%s (at most %" G_GUINT64_FORMAT " MiB)", verdict->text,
			verdict->limit_bytes >> 20);
	answer_error(x, node, id, verdict->error, text ? text : verdict->text);
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
	struct dispvm_turn turn = {0};
	struct transfer t = {.format = request->format, .sender = vm->vm.id};
	struct verdict verdict = registry_may_new(&x->registry, &vm->vm, request, &t.size_bytes);
	int rc;

	if (!verdict.ok) {
		answer_verdict(x, vm, request->id, &verdict);
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
	transfer_start(&t, &x->limits.transfer, exchange_now_ms(x), &step);

	node = g_new0(struct transfer_node, 1);
	node->entry.t = t;
	node->deadline = (struct due){.kind = DUE_TRANSFER, .key = t.id};
	g_tree_insert(x->transfers, &node->entry.t.id, node);
	registry_add(&x->registry, &node->entry, &vm->vm, NULL);
	g_info("transfer %" G_GUINT64_FORMAT ": a new pendrive of %" G_GUINT64_FORMAT
	       " bytes for %s",
		t.id, t.size_bytes, log_vm(&t.sender));
	carry_out(x, &node->entry, &step, &turn, NULL);
}

/* It may have been renamed since `new`: the receiver and the user see its name of now. */
static void feed_send(struct exchange *x, const struct vm_node *vm, struct transfer_entry *e,
	const struct transfer_event *event, struct dispvm_turn *turn, const struct ruling *ruling)
{
	strcpy(e->t.sender.name, vm->vm.id.name);
	feed_with(x, e, event, turn, ruling);
}

/* ---- blocked VMs ---- */

static void write_blocked(struct exchange *x, const char *name, gint64 until_ms)
{
	struct blocked_vm b = {.until_ms = until_ms};
	int rc;

	strcpy(b.name, name);
	rc = x->ports.store.put_blocked(x->ports.store.ctx, &b);
	if (rc < 0)
		g_warning("cannot write into xenstore that VM %s is blocked: %s; it is until "
			  "qfilexchgd stops",
			log_name(name), g_strerror(-rc));
}

static void drop_blocked(struct exchange *x, const char *name)
{
	int rc = x->ports.store.drop_blocked(x->ports.store.ctx, name);

	if (rc < 0)
		g_warning("cannot remove from xenstore that VM %s is blocked: %s; it will be again "
			  "when qfilexchgd was restarted, unless its time is over by then",
			log_name(name), g_strerror(-rc));
}

static void load_one_blocked(void *arg, const char *untrusted_text, size_t len)
{
	struct exchange *x = arg;
	struct blocked_vm b;
	enum record_result result = blocked_record_parse(untrusted_text, len, &b);

	if (result != RECORD_OK) {
		g_warning("a record of a blocked VM in xenstore is %s; that VM is not blocked",
			result == RECORD_OTHER_VERSION ? "of another release" : "damaged");
	} else if (b.until_ms <= exchange_now_ms(x)) {
		drop_blocked(x, b.name);
	} else {
		g_message("VM %s is blocked", log_name(b.name));
		g_hash_table_replace(
			x->blocked, g_strdup(b.name), g_memdup2(&b.until_ms, sizeof b.until_ms));
	}
}

static gboolean is_blocked(struct exchange *x, const char *name)
{
	const gint64 *until_ms = g_hash_table_lookup(x->blocked, name);

	if (until_ms && *until_ms <= exchange_now_ms(x)) {
		g_hash_table_remove(x->blocked, name);
		drop_blocked(x, name);
		return FALSE;
	}
	return until_ms != NULL;
}

/* ---- how often a VM may have the user asked ---- */

static void tell_too_often(struct exchange *x, const char *vm, guint n)
{
	g_message("VM %s asks too often: %u refused, unasked", log_name(vm), n);
	exchange_notify(x, &(struct exchange_notice){.what = "too-often", .vm = vm, .count = n});
}

static void arm_notices(struct exchange *x)
{
	gint64 at_ms = budgets_summary_ms(x->budgets);

	if (at_ms == CLOCK_NEVER)
		dues_disarm(x->dues, &x->notices);
	else
		dues_arm(x->dues, &x->notices, at_ms);
}

/* One that is asked, or will be as soon as the pendrive is out of its sender's reach. */
static gboolean is_question(const struct transfer *t)
{
	return t->state == TRANSFER_ASKING || (t->state == TRANSFER_FREEZING && t->ask);
}

struct waiting {
	const struct vm *vm;
	unsigned n_own, n_all;
};

static gboolean count_waiting(gpointer key, gpointer value, gpointer data)
{
	const struct transfer_node *node = value;
	struct waiting *waiting = data;

	(void)key;
	if (is_question(&node->entry.t)) {
		waiting->n_all++;
		waiting->n_own += node->entry.sender == waiting->vm ? 1 : 0;
	}
	return FALSE;
}

/* Whether the VM has not had the user asked too often. If it has, the user hears of that. */
static gboolean may_have_asked(struct exchange *x, const struct vm_node *vm)
{
	const char *name = vm->vm.id.name;
	gint64 now_ms = exchange_now_ms(x);
	struct waiting waiting = {.vm = &vm->vm};

	g_tree_foreach(x->transfers, count_waiting, &waiting);
	if (registry_may_ask(&x->registry, waiting.n_own, waiting.n_all) &&
		budgets_have(x->budgets, &vm->vm.id, &x->limits.questions, now_ms))
		return TRUE;
	g_info("VM %s asks too often: refused, unasked", log_vm(&vm->vm.id));
	if (budgets_refused(x->budgets, name, now_ms))
		tell_too_often(x, name, 1);
	arm_notices(x);
	return FALSE;
}

static void spend_question(struct exchange *x, const struct vm_node *vm)
{
	budgets_take(x->budgets, &vm->vm.id, &x->limits.questions, exchange_now_ms(x));
}

/* `to` NULL: a DisposableVM that will be made. */
static struct policy_query query_of(
	struct exchange *x, const struct vm_id *from, const struct vm_id *to)
{
	return (struct policy_query){
		.service = to ? POLICY_SERVICE_PENDRIVE : POLICY_SERVICE_DISPOSABLE,
		.source = from->name,
		.dest = to ? to->name : NULL,
		.source_is_disposable = disposables_find_vm(x, from) != NULL,
		.dest_is_disposable = to && disposables_find_vm(x, to) != NULL,
	};
}

/* What is to become of a wish to send; `to` as above. */
static struct ruling decide(struct exchange *x, struct vm_node *from, struct vm_node *to)
{
	const struct policy_query query = query_of(x, &from->vm.id, to ? &to->vm.id : NULL);
	struct ruling ruling = {.by = AUDIT_BY_POLICY};

	if (is_blocked(x, from->vm.id.name)) {
		g_info("VM %s is blocked: refused, unasked", log_vm(&from->vm.id));
		ruling.decision = (struct policy_decision){.action = POLICY_DENY, .quiet = true};
		ruling.by = AUDIT_BY_BLOCK;
		return ruling;
	}
	ruling.decision = x->ports.rules.decide(x->ports.rules.ctx, &query);
	g_info("VM %s to %s: the policy says %s", log_vm(&from->vm.id),
		to ? log_vm(&to->vm.id) : "a DisposableVM",
		policy_action_name(ruling.decision.action));
	/* cppcheck-suppress returnDanglingLifetime ; it points into the policy, not into the query
	 */
	return ruling;
}

/* The user hears of it in another way. */
static const struct ruling too_often = {{.action = POLICY_DENY, .quiet = true}, AUDIT_BY_LIMIT};

/*
 * What is to become of a pendrive for `to`; NULL: there is no such VM. What is not allowed costs as
 * much as a question, whether there is such a VM or not: otherwise the VM could see from what is
 * left to it which of the two it was.
 */
static struct ruling decide_files(struct exchange *x, struct vm_node *from, struct vm_node *to)
{
	struct ruling ruling = {{.action = POLICY_DENY}, AUDIT_BY_NO_RECEIVER};
	gboolean blocked = is_blocked(x, from->vm.id.name);

	if (to || blocked)
		ruling = decide(x, from, to);
	if (ruling.decision.action == POLICY_ALLOW || blocked)
		return ruling;
	if (!may_have_asked(x, from))
		return too_often;
	spend_question(x, from);
	return ruling;
}

/* An ordinary pendrive. */
static void send_files(struct exchange *x, struct vm_node *vm, const struct request *request)
{
	struct transfer_event event = {.kind = TRANSFER_EV_SEND, .request = request};
	struct transfer_entry *e = vm->vm.outgoing;
	struct vm_node *to = resolve(x, request->dest);
	struct vm_id receiver = {0};
	struct ruling ruling;
	struct dispvm_turn turn = {0};

	/* Looking for a renamed VM can show that the sender itself has gone. */
	if (e->sender != &vm->vm)
		return;
	/* A DisposableVM's slot is its file's until that is open. */
	if (to && disposables_is_closed(x, &to->vm.id))
		to = NULL;
	ruling = decide_files(x, vm, to);
	if (ruling.decision.action == POLICY_DENY)
		to = NULL; /* to the sender it is as if there were none */
	if (to)
		receiver = to->vm.id;
	else
		strcpy(receiver.name, request->dest);
	event.receiver = &receiver;
	event.receiver_known = to != NULL;
	event.ask = ruling.decision.action == POLICY_ASK;
	event.quiet = ruling.decision.quiet;
	registry_set_receiver(e, to ? &to->vm : NULL);
	feed_send(x, vm, e, &event, &turn, &ruling);
}

/* One file for a DisposableVM, which may have to be made first. */
static void send_request(struct exchange *x, struct vm_node *vm, const struct request *request)
{
	static const struct vm_id to_be_made = {.name = QPEN_DISPOSABLE};
	struct transfer_event event = {
		.kind = TRANSFER_EV_SEND, .as = TRANSFER_REQUEST, .request = request};
	struct transfer_entry *e = vm->vm.outgoing;
	const char *label = x->label ? x->label(x->label_arg, vm->vm.id.name) : "";
	struct ruling ruling = decide(x, vm, NULL);
	struct dispvm_turn turn;
	struct verdict verdict;

	if (ruling.decision.action == POLICY_ASK && !may_have_asked(x, vm))
		ruling = too_often;
	if (ruling.decision.action == POLICY_DENY) {
		answer_error(x, vm, request->id, QPEN_ERROR_REFUSED,
			"dom0 makes no DisposableVMs for this VM");
		history_refused_request(x, &e->t, &ruling);
		return;
	}
	verdict = disposables_take(x, &vm->vm.id, label, request, e->t.id, &turn);
	if (!verdict.ok) {
		answer_error(x, vm, request->id, verdict.error, verdict.text);
		return;
	}
	event.receiver = &to_be_made;
	event.ask = ruling.decision.action == POLICY_ASK;
	if (event.ask)
		spend_question(x, vm);
	event.preparing = turn.node->d.state == DISPVM_PREPARING;
	feed_send(x, vm, e, &event, &turn, &ruling);
}

/* The file back from the DisposableVM that was made for it. */
static void send_answer(struct exchange *x, struct vm_node *vm, const struct request *request)
{
	struct transfer_event event = {.kind = TRANSFER_EV_SEND,
		.as = TRANSFER_ANSWER,
		.request = request,
		.receiver_known = true};
	struct dispvm_event answer = {.kind = DISPVM_EV_ANSWER};
	struct dispvm_node *node = disposables_find_vm(x, &vm->vm.id);
	struct transfer_entry *e = vm->vm.outgoing;
	struct dispvm_turn turn;
	struct vm_node *to;

	if (!node || !dispvm_may_answer(&node->d, request) ||
		!(to = exchange_same_vm(x, &node->d.opener))) {
		if (!vm->told_of_answers)
			g_warning(
				"VM %s sends an answer that nobody waits for; refused, as will be "
				"any more, without a word here",
				log_vm(&vm->vm.id));
		vm->told_of_answers = TRUE;
		answer_error(x, vm, request->id, QPEN_ERROR_NO_TRANSACTION,
			"no transaction waits for this answer");
		return;
	}
	answer.transfer = e->t.id;
	disposables_step(x, node, &answer, &turn);
	event.receiver = &to->vm.id;
	registry_set_receiver(e, &to->vm);
	feed_send(x, vm, e, &event, &turn, NULL);
}

static void request_send(struct exchange *x, struct vm_node *vm, const struct request *request)
{
	struct verdict verdict = registry_may_send(&vm->vm, request);

	if (!verdict.ok) {
		answer_error(x, vm, request->id, verdict.error, verdict.text);
		return;
	}
	if (strcmp(request->dest, QPEN_DISPOSABLE) == 0)
		send_request(x, vm, request);
	else if (strcmp(request->seq, QPEN_SEQ_NONE) != 0)
		send_answer(x, vm, request);
	else
		send_files(x, vm, request);
}

/* Its own answer and, for the opener, the end of the transaction go out together. */
static void request_killme(struct exchange *x, struct vm_node *vm, const struct request *request)
{
	static const struct dispvm_event killme = {.kind = DISPVM_EV_KILLME};
	struct dispvm_node *node = disposables_find_vm(x, &vm->vm.id);
	struct dispvm_turn turn = {0};
	struct store_reply replies[DISPVM_ACTIONS_MAX + 1];
	struct store_change change = {.replies = replies, .n_replies = 1};

	if (node)
		disposables_step(x, node, &killme, &turn);
	if (!turn.node) {
		answer_error(x, vm, request->id, QPEN_ERROR_UNSUPPORTED,
			"only a DisposableVM that has a file may ask to be destroyed");
		return;
	}
	replies[0] = (struct store_reply){.domid = vm->vm.id.domid, .id = request->id};
	reply_ok(&replies[0].reply, request->id, NULL);
	change.n_replies += disposables_replies(&turn, replies + 1);
	change.dispvm = &turn.node->d;
	exchange_commit(x, &change);
	disposables_carry_out(x, &turn);
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

struct to_give_up {
	const struct vm *sender;
	const char *of;
	struct transfer_entry *newest;
};

static gboolean find_to_give_up(gpointer key, gpointer value, gpointer data)
{
	struct transfer_node *node = value;
	struct to_give_up *wanted = data;

	(void)key;
	/* In the order of their ids: the last one that fits is the newest. */
	if (node->entry.sender == wanted->sender &&
		transfer_can_be_given_up(&node->entry.t, wanted->of))
		wanted->newest = &node->entry;
	return FALSE;
}

static void request_discard(struct exchange *x, struct vm_node *vm, const struct request *request)
{
	const struct transfer_event event = {.kind = TRANSFER_EV_DISCARD, .request = request};
	struct to_give_up wanted = {.sender = &vm->vm, .of = request->of};
	struct verdict verdict;

	g_tree_foreach(x->transfers, find_to_give_up, &wanted);
	verdict = registry_may_discard(wanted.newest);
	if (verdict.ok)
		feed(x, wanted.newest, &event);
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
		request_killme(x, vm, request);
		return;
	case REQUEST_DISCARD:
		request_discard(x, vm, request);
		return;
	}
}

/*
 * Takes one request's worth out of the VM's budget. When there is none left, the VM is put on hold,
 * and its mailbox is looked at again when there is. Nothing is lost: the request stays where it is.
 * Until then it is not listened to: thousands of events a second are what others would wait behind.
 */
static gboolean may_ask_now(struct exchange *x, struct vm_node *node)
{
	const struct bucket_limits *limits = &x->limits.requests;
	gint64 now_ms = exchange_now_ms(x);

	if (!bucket_has(&node->requests, limits, now_ms)) {
		dues_arm(x->dues, &node->hold, bucket_next_ms(&node->requests, limits, now_ms));
		x->ports.store.listen(x->ports.store.ctx, node->vm.id.domid, FALSE);
		return FALSE;
	}
	bucket_take(&node->requests, limits, now_ms);
	return TRUE;
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

	if (node->hold.armed || !may_ask_now(x, node))
		return;
	rc = x->ports.store.take_request(
		x->ports.store.ctx, domid, untrusted, sizeof untrusted, &len);
	if (rc == -ENOENT) {
		if (still_there(x, node))
			open_mailbox(x, domid);
		else
			update_vms(x, TRUE, FALSE); /* its number may be another's */
		return;
	}
	if (rc < 0) {
		g_warning("cannot read the mailbox of domain %u: %s", domid, g_strerror(-rc));
		look_again(x, node);
		return;
	}
	if (len == 0) {
		bucket_give_back(&node->requests, &x->limits.requests);
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

/*
 * With many VMs one comes or goes often, and the others are none of its business: who they are is
 * looked at when they ask, and in the transaction that gives them a disk. One that goes takes its
 * mailbox with it, which shows even when another one has its number by now.
 */
static void on_domains_changed(void *ctx)
{
	update_vms(ctx, TRUE, FALSE);
	disposables_look(ctx);
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

	exchange_feed(ctx, id, &event);
}

static void on_image_removed(void *ctx, uint64_t id)
{
	feed_kind(ctx, id, TRANSFER_EV_REMOVED);
}

static void feed_disk(
	struct exchange *x, guint64 id, enum transfer_event_kind kind, enum transfer_place place)
{
	const struct transfer_event event = {.kind = kind, .place = place};

	exchange_feed(x, id, &event);
}

static void on_disk_attached(void *ctx, uint64_t id, enum transfer_place place)
{
	feed_disk(ctx, id, TRANSFER_EV_ATTACHED, place);
}

static void on_disk_lost(void *ctx, uint64_t id, enum transfer_place place)
{
	feed_disk(ctx, id, TRANSFER_EV_LOST, place);
}

/* The receiver may have stopped while the user thought about it. */
static gboolean receiver_is_there(struct exchange *x, struct transfer_entry *e)
{
	struct vm_node *node = e->receiver ? find_vm(x, e->receiver->id.domid) : NULL;

	return node && still_there(x, node);
}

/* What goes on to its receiver without a question, or after a yes, meets its slot. */
static enum transfer_slot take_slot(struct exchange *x, struct transfer_entry *e)
{
	enum transfer_slot slot = registry_slot(&x->registry, e->receiver);

	/* There are only so many DisposableVMs: an answer always finds room in the queue. */
	if (slot == TRANSFER_SLOT_QUEUE_FULL && e->t.kind == TRANSFER_ANSWER)
		slot = TRANSFER_SLOT_TAKEN;
	if (slot == TRANSFER_SLOT_TAKEN)
		registry_enqueue(e);
	return slot;
}

/* What a detach sends on to a VM that is there, and not to the user first. */
static gboolean goes_on_unasked(const struct transfer *t)
{
	return t->state == TRANSFER_FREEZING && !t->ask && t->receiver_known &&
	       t->kind != TRANSFER_REQUEST;
}

static void on_disk_detached(void *ctx, uint64_t id, enum transfer_place place)
{
	struct exchange *x = ctx;
	struct transfer_event event = {.kind = TRANSFER_EV_DETACHED, .place = place};
	struct transfer_entry *e = find_entry(x, id);

	if (e && goes_on_unasked(&e->t) && e->t.place == place) {
		if (!receiver_is_there(x, e)) {
			/* Finding it dead may have ended the transfer already. */
			feed_kind(x, id, TRANSFER_EV_RECEIVER_GONE);
			feed_disk(x, id, TRANSFER_EV_DETACHED, place);
			return;
		}
		event.slot = take_slot(x, e);
	}
	exchange_feed(x, id, &event);
}

static void on_answered(void *ctx, uint64_t id, const struct answer *answer)
{
	struct exchange *x = ctx;
	struct transfer_entry *e = find_entry(x, id);
	bool yes = answer->yes;
	struct transfer_event event = {.kind = yes ? TRANSFER_EV_YES : TRANSFER_EV_NO,
		.uid_known = answer->uid_known,
		.uid = answer->uid};

	if (!e || e->t.state != TRANSFER_ASKING)
		return;
	g_message("transfer %" G_GUINT64_FORMAT ": the user %s %s to %s", id,
		yes ? "allowed" : "refused", log_vm(&e->t.sender), log_vm(&e->t.receiver));
	if (yes && e->t.kind != TRANSFER_REQUEST && !receiver_is_there(x, e)) {
		/* Finding it dead may have refused the transfer already. */
		if (find_entry(x, id))
			feed_kind(x, id, TRANSFER_EV_RECEIVER_GONE);
		return;
	}
	if (yes && e->t.kind != TRANSFER_REQUEST)
		event.slot = take_slot(x, e);
	feed(x, e, &event);
}

static void mailbox_due(struct exchange *x, guint32 domid)
{
	struct vm_node *node = find_vm(x, domid);

	if (!node)
		return;
	x->ports.store.listen(x->ports.store.ctx, domid, TRUE);
	take_mail(x, node);
}

static void notices_due(struct exchange *x)
{
	guint n;
	char *vm;

	while ((vm = budgets_summary(x->budgets, exchange_now_ms(x), &n))) {
		tell_too_often(x, vm, n);
		g_free(vm);
	}
	arm_notices(x);
}

static void on_alarm(void *ctx)
{
	struct exchange *x = ctx;
	struct due *next;

	while ((next = dues_next(x->dues))) {
		/* What it belongs to may be gone when it is served. */
		struct due due = *next;

		switch (due.kind) {
		case DUE_MAILBOX:
			mailbox_due(x, (guint32)due.key);
			break;
		case DUE_TRANSFER:
			feed_kind(x, due.key, TRANSFER_EV_DEADLINE);
			break;
		case DUE_DISPVM:
		case DUE_POOL:
			disposables_due(x, &due);
			break;
		case DUE_NOTICES:
			notices_due(x);
			break;
		}
	}
}

struct port_events exchange_events(struct exchange *x)
{
	struct port_events events = {
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

	disposables_set_events(&events);
	return events;
}

/* ---- recovery ---- */

static struct vm *same_vm(struct exchange *x, const struct vm_id *id)
{
	struct vm_node *node = exchange_same_vm(x, id);

	return node ? &node->vm : NULL;
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
	/* Nobody but root of dom0 can have made a second one. */
	if (find_entry(x, t.id)) {
		g_warning("a record in xenstore is of transfer %" G_GUINT64_FORMAT
			  ", as another one is; left alone",
			t.id);
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

/* What a block says to a question of that VM, or to what would become one. */
static void answer_no(struct exchange *x, guint64 id)
{
	static const struct transfer_event no = {.kind = TRANSFER_EV_NO, .by_block = true};
	/* before there is a question */
	static const struct transfer_event cancel = {.kind = TRANSFER_EV_CANCEL, .by_block = true};
	const struct transfer *t = exchange_find(x, id);

	if (t && t->state == TRANSFER_ASKING) {
		x->ports.asker.withdraw(x->ports.asker.ctx, id);
		exchange_feed(x, id, &no);
	} else {
		exchange_feed(x, id, &cancel);
	}
}

static void resume(struct exchange *x, struct transfer_entry *e)
{
	guint64 id = e->t.id;
	bool sender_died = e->t.sender_alive && !e->sender;
	bool receiver_died = e->t.receiver_known && !e->receiver;
	struct transfer_step step;
	struct dispvm_turn turn = {0};

	g_message("transfer %" G_GUINT64_FORMAT ", %s: taken up again, %s", id,
		log_vm(&e->t.sender), transfer_state_name(e->t.state));
	if (e->t.place != TRANSFER_NOWHERE)
		x->ports.blocks.resume(x->ports.blocks.ctx, &e->t);
	if (e->t.state == TRANSFER_QUEUED && e->receiver)
		registry_enqueue(e);
	/* A record may be older than what was decided: then its sender was blocked meanwhile. */
	if (is_question(&e->t) && is_blocked(x, e->t.sender.name)) {
		answer_no(x, id);
	} else {
		transfer_resume(&e->t, &x->limits.transfer, exchange_now_ms(x), &step);
		carry_out(x, e, &step, &turn, NULL);
	}
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
	int rc = update_vms(x, FALSE, FALSE);

	if (rc < 0)
		return rc;
	rc = x->ports.store.load_records(x->ports.store.ctx, recover_record, x);
	if (rc == 0)
		rc = disposables_load(x);
	if (rc == 0)
		rc = x->ports.store.load_blocked(x->ports.store.ctx, load_one_blocked, x);
	if (rc < 0)
		return rc;
	recover(x);
	disposables_resume(x);
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
	x->transfers = g_tree_new_full(compare_ids, NULL, NULL, free_transfer);
	x->blocked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	x->dispvms = g_tree_new_full(compare_ids, NULL, NULL, g_free);
	x->dues = dues_create(&ports->clock);
	x->budgets = budgets_create();
	x->notices = (struct due){.kind = DUE_NOTICES};
	x->pool = (struct due){.kind = DUE_POOL};
	x->names_fresh_ms = -NAMES_REFRESH_MS;
	x->limits = *limits;
	x->registry.limits = limits->registry;
	return x;
}

void exchange_destroy(struct exchange *x)
{
	if (!x)
		return;
	dues_destroy(x->dues);
	budgets_destroy(x->budgets);
	g_tree_destroy(x->dispvms);
	g_hash_table_destroy(x->blocked);
	g_tree_destroy(x->transfers);
	g_hash_table_destroy(x->vms);
	g_hash_table_destroy(x->unusable);
	g_free(x);
}

void exchange_set_limits(struct exchange *x, const struct exchange_limits *limits)
{
	x->limits = *limits;
	x->registry.limits = limits->registry;
	budgets_set_limits(x->budgets, &limits->questions, exchange_now_ms(x));
	disposables_limits_changed(x);
}

void exchange_set_observer(struct exchange *x, const struct exchange_observer *observer)
{
	x->observer = observer ? *observer : (struct exchange_observer){0};
}

void exchange_set_labels(struct exchange *x, exchange_label_fn fn, void *arg)
{
	x->label = fn;
	x->label_arg = arg;
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

struct policy_query exchange_query(struct exchange *x, const struct transfer *t)
{
	return query_of(x, &t->sender, t->kind == TRANSFER_REQUEST ? NULL : &t->receiver);
}

/* Questions about what that VM sends; their ids. */
struct of_sender {
	const char *name;
	GArray *ids;
};

static gboolean collect_asked(gpointer key, gpointer value, gpointer data)
{
	const struct transfer_node *node = value;
	struct of_sender *of = data;

	if (is_question(&node->entry.t) && strcmp(node->entry.t.sender.name, of->name) == 0)
		g_array_append_val(of->ids, *(guint64 *)key);
	return FALSE;
}

void exchange_block(struct exchange *x, const char *name, int64_t ms)
{
	g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(guint64));
	struct of_sender of = {.name = name, .ids = ids};
	gint64 at_ms = ms > 0 ? exchange_now_ms(x) + ms : CLOCK_NEVER;

	g_hash_table_replace(x->blocked, g_strdup(name), g_memdup2(&at_ms, sizeof at_ms));
	g_message("VM %s is blocked", log_name(name));
	g_tree_foreach(x->transfers, collect_asked, &of);
	for (guint i = 0; i < ids->len; i++) {
		guint64 id = g_array_index(ids, guint64, i);

		answer_no(x, id);
	}
	/* Only now: a daemon that reads it has no question of that VM to take up. */
	write_blocked(x, name, at_ms);
	exchange_notify(x, &(struct exchange_notice){.what = "blocked", .vm = name});
}

bool exchange_unblock(struct exchange *x, const char *name)
{
	bool was = g_hash_table_remove(x->blocked, name);

	if (was) {
		g_message("VM %s is not blocked any more", log_name(name));
		drop_blocked(x, name);
	}
	return was;
}

void exchange_visit_blocked(struct exchange *x, exchange_blocked_fn fn, void *arg)
{
	GHashTableIter iter;
	gpointer name, until_ms;

	g_hash_table_iter_init(&iter, x->blocked);
	while (g_hash_table_iter_next(&iter, &name, &until_ms)) {
		gint64 at_ms = *(gint64 *)until_ms;

		if (at_ms == CLOCK_NEVER)
			fn(arg, name, 0);
		else if (at_ms > exchange_now_ms(x))
			fn(arg, name, at_ms - exchange_now_ms(x));
	}
}
