/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ports of the exchange over the simulated host, and what each call must not do. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dispvm_record.h"
#include "qpen_words.h"
#include "record.h"
#include "sim.h"

bool sim_lives(struct sim *sim)
{
	if (!sim->in_event)
		sim_violate(sim, "a port is called outside of an event");
	if (sim->crashed)
		return false;
	if (sim->crash_in > 0 && --sim->crash_in == 0)
		sim->crashed = true;
	return !sim->crashed;
}

/* ---- records ---- */

static void put_record(struct sim *sim, const struct transfer *t)
{
	char text[RECORD_MAX];

	g_hash_table_remove(sim->stale, &t->id);
	g_hash_table_remove(sim->verified, &t->id);
	if (t->state == TRANSFER_DELIVERED || t->state == TRANSFER_TAKING_BACK)
		g_hash_table_add(sim->arrived, g_strdup(t->image));
	if (t->state == TRANSFER_GONE) {
		sim_check_end_told(sim, t->image);
		g_hash_table_remove(sim->records, &t->id);
		return;
	}
	sim_check_budget(sim, t);
	record_format(t, text);
	g_hash_table_replace(sim->records, g_memdup2(&t->id, sizeof t->id), g_strdup(text));
}

static void put_dispvm(struct sim *sim, const struct dispvm *d)
{
	sim_check_dispvm_step(sim, d);
	if (d->state == DISPVM_GONE && d->opener.uuid[0])
		sim_check_end_told(sim, d->id.uuid);
	if (d->state == DISPVM_GONE)
		g_hash_table_remove(sim->dispvms, &d->number);
	else
		g_hash_table_replace(sim->dispvms, g_memdup2(&d->number, sizeof d->number),
			g_memdup2(d, sizeof *d));
}

/* What is done must be written down before, or nobody would know of it after a kill. */
static void check_written(struct sim *sim, const struct transfer *t, const char *what)
{
	const char *have = g_hash_table_lookup(sim->records, &t->id);
	char text[RECORD_MAX];

	record_format(t, text);
	if (!have || strcmp(have, text) != 0)
		sim_violate(sim, "%s of transfer %" PRIu64 ", %s, before its record is written",
			what, t->id, transfer_state_name(t->state));
}

/* ---- store: VMs and mailboxes ---- */

static int list_domains(void *ctx, uint32_t **domids, size_t *n)
{
	struct sim *sim = ctx;
	uint32_t *list;

	if (sim->crashed)
		return -EIO;
	list = g_new(uint32_t, sim->vms->len + 1);
	*n = 0;
	for (guint i = 0; i < sim->vms->len; i++) {
		struct sim_vm *vm = sim->vms->pdata[i];

		if (vm->running)
			list[(*n)++] = vm->id.domid;
		else if (!sim_find_vm(sim, vm->id.domid))
			vm->told_dead = true;
	}
	*domids = list;
	return 0;
}

static int identify(void *ctx, uint32_t domid, struct vm_id *out)
{
	struct sim *sim = ctx;
	const struct sim_vm *now = sim_find_vm(sim, domid);

	if (sim->crashed || sim->identify_fails)
		return -EIO;
	for (guint i = 0; i < sim->vms->len; i++) {
		struct sim_vm *vm = sim->vms->pdata[i];

		if (!vm->running && vm->id.domid == domid)
			vm->told_dead = true;
	}
	if (!now)
		return -ENOENT;
	if (now->is_unfit)
		return -EINVAL;
	*out = now->id;
	return 0;
}

static int open_mailbox(void *ctx, uint32_t domid)
{
	struct sim *sim = ctx;
	struct sim_vm *vm = sim_find_vm(sim, domid);

	if (!sim_lives(sim))
		return -EIO;
	if (!vm)
		return -ENOENT;
	if (sim->mailboxes_busy)
		return -EAGAIN;
	vm->has_mailbox = true;
	/* A watch that is set fires once, whatever it finds. */
	if (!vm->listening)
		sim_push(sim, SIM_EV_MAILBOX, 0)->domid = domid;
	vm->listening = true;
	return 0;
}

static void close_mailbox(void *ctx, uint32_t domid)
{
	struct sim *sim = ctx;

	if (!sim_lives(sim))
		return;
	for (guint i = 0; i < sim->vms->len; i++) {
		struct sim_vm *vm = sim->vms->pdata[i];

		if (vm->id.domid == domid)
			vm->listening = false;
	}
}

static void listen_to(void *ctx, uint32_t domid, bool on)
{
	struct sim *sim = ctx;
	struct sim_vm *vm = sim_find_vm(sim, domid);

	if (!sim_lives(sim) || !vm || !vm->listening || vm->hushed == !on)
		return;
	vm->hushed = !on;
	if (on)
		sim_push(sim, SIM_EV_MAILBOX, 0)->domid = domid;
}

static int take_request(void *ctx, uint32_t domid, char *untrusted_out, size_t max, size_t *len)
{
	struct sim *sim = ctx;
	struct sim_vm *vm = sim_find_vm(sim, domid);

	if (!sim_lives(sim))
		return -EIO;
	if (!vm || !vm->has_mailbox || !vm->listening)
		return -ENOENT;
	*len = vm->mail_len;
	memcpy(untrusted_out, vm->mail, MIN(max, vm->mail_len));
	vm->mail_read = vm->mail_len > 0;
	return 0;
}

/* The request that was read leaves the mailbox in the transaction that records or answers it. */
static void empty_mailbox(struct sim_vm *vm)
{
	if (vm->mail_request)
		vm->mail_request->taken = true;
	else
		vm->anon_taken++;
	vm->mail_request = NULL;
	vm->mail_read = false;
	vm->mail_len = 0;
}

/* ---- store: replies ---- */

/* Whether the exchange may still take the VM of that number for the one that had it before. */
static bool is_mistaken(struct sim *sim, uint32_t domid)
{
	for (guint i = 0; i < sim->vms->len; i++) {
		const struct sim_vm *vm = sim->vms->pdata[i];

		if (!vm->running && !vm->known_dead && !vm->is_past && vm->id.domid == domid)
			return true;
	}
	return false;
}

static struct sim_request *find_request(struct sim *sim, const char *id)
{
	for (guint i = 0; i < sim->requests->len; i++) {
		struct sim_request *r = sim->requests->pdata[i];

		if (strcmp(r->id, id) == 0)
			return r;
	}
	return NULL;
}

static void count_anonymous(struct sim *sim, struct sim_vm *vm, bool final)
{
	if (is_mistaken(sim, vm->id.domid))
		return;
	if (final && ++vm->anon_finals > vm->anon_taken)
		sim_violate(sim, "%s has more answers without an ID than requests", vm->id.name);
}

static void count_reply(struct sim *sim, struct sim_request *r, const char *text, bool final)
{
	if (r->n_finals > 0)
		sim_violate(sim, "request %s was answered already, and now: %s", r->id, text);
	if (!r->taken)
		sim_violate(sim, "request %s is answered, but was not taken", r->id);
	g_strlcpy(r->reply, text, sizeof r->reply);
	if (!final) {
		r->n_waits++;
		return;
	}
	r->n_finals++;
	r->answered_ms = sim->now_ms;
}

static void put_reply(struct sim *sim, const struct store_reply *reply)
{
	const char *text = reply->reply.text;
	struct sim_vm *vm = sim_find_vm(sim, reply->domid);
	struct sim_request *r;
	bool final;

	if (!g_str_has_prefix(text, reply->id) || text[strlen(reply->id)] != ' ')
		sim_violate(sim, "the reply to %s is: %s", reply->id, text);
	final = strncmp(text + strlen(reply->id), " wait ", 6) != 0;
	if (!vm)
		return;
	if (strcmp(reply->id, QPEN_ID_NONE) == 0) {
		count_anonymous(sim, vm, final);
	} else {
		r = find_request(sim, reply->id);
		if (!r || (r->vm != vm && (r->vm->running || r->vm->known_dead))) {
			/* An ID that the test wrote itself is as good as none. */
			if (r || vm->anon_taken == 0)
				sim_violate(sim, "%s is answered what it did not ask: %s",
					vm->id.name, text);
			else
				count_anonymous(sim, vm, final);
		} else if (r->vm == vm) {
			count_reply(sim, r, text, final);
		}
	}
	sim_trace(sim, "to %s: %s", vm->id.name, text);
	g_strlcpy(vm->last_reply, text, sizeof vm->last_reply);
}

/* How a transaction ended must be how it ended. */
static void check_end(struct sim *sim, const struct store_change *change, size_t i)
{
	const char *text = change->replies[i].reply.text;
	const struct sim_vm *opener = sim_find_vm(sim, change->replies[i].domid);
	const struct sim_vm *served = sim_find_vm(sim, change->served);
	const struct transfer *t = change->transfer;

	if (!opener || is_mistaken(sim, opener->id.domid))
		return;
	if (g_str_has_suffix(text, " ok saved")) {
		sim->n_saved++;
		if (!t || t->kind != TRANSFER_ANSWER || t->state != TRANSFER_TAKING_BACK ||
			!t->to_receiver.pending || served != opener)
			sim_violate(sim, "%s has stored nothing, and is told: %s", opener->id.name,
				text);
	} else if (g_str_has_suffix(text, " ok unchanged")) {
		sim->n_unchanged++;
		if (!served || !served->is_disposable ||
			strcmp(served->opener_uuid, opener->id.uuid) != 0)
			sim_violate(sim, "no DisposableVM of %s asked to go, but it is told: %s",
				opener->id.name, text);
	} else if (strstr(text, " error lost ")) {
		sim->n_lost++;
	}
}

static int commit(void *ctx, const struct store_change *change)
{
	struct sim *sim = ctx;
	struct sim_vm *vm;

	if (!sim_lives(sim))
		return -EIO;
	if (sim->commit_fails) {
		sim->history_may_lack = sim->history_may_repeat = true;
		return -ENOSPC;
	}
	vm = change->served ? sim_find_vm(sim, change->served) : NULL;
	if (vm && vm->mail_read)
		empty_mailbox(vm);
	if (change->transfer)
		put_record(sim, change->transfer);
	if (change->dispvm)
		put_dispvm(sim, change->dispvm);
	for (size_t i = 0; i < change->n_replies; i++) {
		check_end(sim, change, i);
		put_reply(sim, &change->replies[i]);
	}
	return 0;
}

static int put_blocked(void *ctx, const struct blocked_vm *b)
{
	struct sim *sim = ctx;

	if (!sim_lives(sim))
		return -EIO;
	if (sim->commit_fails)
		return -ENOSPC;
	g_hash_table_replace(sim->blocked_records, g_strdup(b->name),
		g_memdup2(&b->until_ms, sizeof b->until_ms));
	return 0;
}

static int drop_blocked(void *ctx, const char *name)
{
	struct sim *sim = ctx;

	if (!sim_lives(sim))
		return -EIO;
	if (sim->commit_fails)
		return -ENOSPC;
	g_hash_table_remove(sim->blocked_records, name);
	return 0;
}

static int load_blocked(void *ctx, store_record_fn fn, void *arg)
{
	struct sim *sim = ctx;
	g_autofree char **names = NULL;
	guint n;

	if (sim->crashed)
		return -EIO;
	/* Some may be dropped meanwhile. */
	names = (char **)g_hash_table_get_keys_as_array(sim->blocked_records, &n);
	for (guint i = 0; i < n; i++) {
		const int64_t *until_ms = g_hash_table_lookup(sim->blocked_records, names[i]);
		struct blocked_vm b = {.until_ms = *until_ms};
		char text[RECORD_MAX];

		g_strlcpy(b.name, names[i], sizeof b.name);
		blocked_record_format(&b, text);
		fn(arg, text, strlen(text));
	}
	return 0;
}

static int load_dispvms(void *ctx, store_record_fn fn, void *arg)
{
	struct sim *sim = ctx;
	GHashTableIter iter;
	gpointer d;
	char text[RECORD_MAX];

	if (sim->crashed)
		return -EIO;
	g_hash_table_iter_init(&iter, sim->dispvms);
	while (g_hash_table_iter_next(&iter, NULL, &d)) {
		dispvm_record_format(d, text);
		fn(arg, text, strlen(text));
	}
	return 0;
}

static int load_records(void *ctx, store_record_fn fn, void *arg)
{
	struct sim *sim = ctx;
	GHashTableIter iter;
	gpointer text;

	if (sim->crashed)
		return -EIO;
	g_hash_table_iter_init(&iter, sim->records);
	while (g_hash_table_iter_next(&iter, NULL, &text))
		fn(arg, text, strlen(text));
	return 0;
}

/* ---- blocks ---- */

/* Whether somebody could still write to the image, or read it, through that disk. */
static bool is_reachable(const struct sim_disk *disk)
{
	return disk->loop_held && !disk->abandoned && (disk->nodes || disk->tracked);
}

static void check_attach(struct sim *sim, const struct transfer *t, const struct sim_vm *vm)
{
	if (!vm)
		sim_violate(sim, "transfer %" PRIu64 " is attached to a VM that never was", t->id);
	else if (vm->known_dead)
		sim_violate(sim, "transfer %" PRIu64 " is attached to %s, which is dead", t->id,
			vm->id.name);
	if (!g_hash_table_contains(sim->images, t->image))
		sim_violate(sim, "transfer %" PRIu64 " is attached without its image", t->id);
	if (!g_hash_table_contains(sim->records, &t->id))
		sim_violate(sim, "transfer %" PRIu64 " is attached without a record", t->id);
	for (guint i = 0; i < sim->disks->len; i++) {
		const struct sim_disk *disk = sim->disks->pdata[i];

		if (disk->loop_held && strcmp(disk->image, t->image) == 0)
			sim_violate(sim, "the image of transfer %" PRIu64 " is in reach of two VMs",
				t->id);
		if (disk->vm == vm && disk->place == t->place && is_reachable(disk))
			sim_violate(sim, "two disks in a slot of %s", vm->id.name);
	}
}

static void attach(void *ctx, const struct transfer *t)
{
	struct sim *sim = ctx;
	const struct vm_id *id = t->place == TRANSFER_AT_SENDER ? &t->sender : &t->receiver;
	struct sim_vm *vm = sim_find_instance(sim, id);
	struct sim_disk *disk;

	if (!sim_lives(sim))
		return;
	if (t->place == TRANSFER_NOWHERE) {
		sim_violate(sim, "transfer %" PRIu64 " is attached to nowhere", t->id);
		return;
	}
	check_attach(sim, t, vm);
	if (vm && t->place == TRANSFER_AT_RECEIVER)
		sim_check_delivery(sim, t, vm);
	if (!vm || !vm->running || sim->attach_fails) {
		sim_push(sim, SIM_EV_LOST, t->id)->place = t->place;
		g_hash_table_add(sim->stale, g_memdup2(&t->id, sizeof t->id));
		return;
	}
	disk = g_new0(struct sim_disk, 1);
	*disk = (struct sim_disk){
		.number = ++sim->n_numbers,
		.id = t->id,
		.place = t->place,
		.vm = vm,
		.nodes = true,
		.loop_held = true,
		.tracked = true,
	};
	strcpy(disk->image, t->image);
	g_ptr_array_add(sim->disks, disk);
	put_record(sim, t);
	sim_push_disk(sim, SIM_CONNECT, disk);
	sim_trace(sim, "transfer %" PRIu64 " is attached to %s", t->id, vm->id.name);
}

static void finish_detach(struct sim *sim, const struct transfer *t, struct sim_disk *disk)
{
	if (disk && disk->loop_held)
		return;
	if (disk)
		sim_remove_disk(sim, disk);
	if (!sim_has_job(sim, SIM_EV_DETACHED, t->id))
		sim_push(sim, SIM_EV_DETACHED, t->id)->place = t->place;
}

static struct sim_disk *begin_detach(struct sim *sim, const struct transfer *t)
{
	struct sim_disk *disk = sim_find_disk(sim, t->id, t->place);

	if (t->place == TRANSFER_NOWHERE)
		sim_violate(sim, "transfer %" PRIu64 " is detached from nowhere", t->id);
	check_written(sim, t, "the detach");
	if (disk)
		disk->tracked = disk->reporting = true;
	return disk;
}

static void detach(void *ctx, const struct transfer *t)
{
	struct sim *sim = ctx;
	struct sim_disk *disk;

	if (!sim_lives(sim))
		return;
	disk = begin_detach(sim, t);
	if (disk && disk->nodes && !disk->closing) {
		disk->closing = true;
		sim_push_disk(sim, SIM_RELEASE, disk);
	}
	finish_detach(sim, t, disk);
}

static void detach_force(void *ctx, const struct transfer *t)
{
	struct sim *sim = ctx;
	struct sim_disk *disk;

	if (!sim_lives(sim))
		return;
	disk = begin_detach(sim, t);
	if (disk)
		sim_remove_nodes(sim, disk);
	finish_detach(sim, t, disk);
}

static void abandon(void *ctx, const struct transfer *t)
{
	struct sim *sim = ctx;

	if (!sim_lives(sim))
		return;
	for (guint i = 0; i < sim->disks->len; i++) {
		struct sim_disk *disk = sim->disks->pdata[i];

		if (disk->id != t->id || disk->abandoned)
			continue;
		if (disk->nodes)
			sim_violate(
				sim, "a disk is abandoned that %s still has", disk->vm->id.name);
		disk->abandoned = true;
		disk->tracked = disk->reporting = false;
	}
}

static void resume(void *ctx, const struct transfer *t)
{
	struct sim *sim = ctx;
	struct sim_disk *disk = sim_find_disk(sim, t->id, t->place);

	if (!sim_lives(sim))
		return;
	if (disk)
		disk->tracked = true;
	if (!disk || !disk->nodes)
		sim_push(sim, SIM_EV_LOST, t->id)->place = t->place;
	else if (disk->connected)
		sim_push(sim, SIM_EV_ATTACHED, t->id)->place = t->place;
}

static void sweep_disks(void *ctx)
{
	struct sim *sim = ctx;

	if (!sim_lives(sim))
		return;
	for (guint i = 0; i < sim->disks->len; i++) {
		struct sim_disk *disk = sim->disks->pdata[i];

		if (disk->tracked || disk->abandoned)
			continue;
		if (disk->nodes)
			sim_violate(sim, "%s has a disk that the daemon forgot", disk->vm->id.name);
		disk->abandoned = true;
	}
}

/* ---- images ---- */

static int new_name(void *ctx, char out[TRANSFER_IMAGE_NAME_MAX + 1])
{
	struct sim *sim = ctx;

	g_snprintf(out, TRANSFER_IMAGE_NAME_MAX + 1, "%032x", ++sim->n_names);
	return sim->crashed ? -EIO : 0;
}

static void make(void *ctx, const struct transfer *t)
{
	struct sim *sim = ctx;

	if (!sim_lives(sim))
		return;
	check_written(sim, t, "the making");
	g_hash_table_remove(sim->images, t->image);
	strcpy(sim_push(sim, SIM_MAKE, t->id)->image, t->image);
}

static void check_remove(struct sim *sim, const struct transfer *t)
{
	check_written(sim, t, "the removal");
	for (guint i = 0; i < sim->disks->len; i++) {
		const struct sim_disk *disk = sim->disks->pdata[i];

		if (strcmp(disk->image, t->image) == 0 && is_reachable(disk))
			sim_violate(sim, "the image of transfer %" PRIu64 " is removed under %s",
				t->id, disk->vm->id.name);
	}
}

static void remove_image(void *ctx, const struct transfer *t)
{
	struct sim *sim = ctx;

	if (!sim_lives(sim))
		return;
	check_remove(sim, t);
	for (guint i = sim->jobs->len; i-- > 0;) {
		const struct sim_job *job = &g_array_index(sim->jobs, struct sim_job, i);

		if (job->kind == SIM_MAKE && job->id == t->id)
			g_array_remove_index(sim->jobs, i);
	}
	g_hash_table_remove(sim->images, t->image);
	sim_push(sim, SIM_EV_REMOVED, t->id);
}

static uint64_t used_bytes(void *ctx, const struct transfer *t)
{
	(void)ctx;
	return t->size_bytes / 2;
}

static void sweep_images(void *ctx, const char *const *keep, size_t n_keep)
{
	struct sim *sim = ctx;
	GHashTableIter iter;
	gpointer name;

	if (!sim_lives(sim))
		return;
	g_hash_table_iter_init(&iter, sim->images);
	while (g_hash_table_iter_next(&iter, &name, NULL)) {
		bool kept = false;

		for (size_t i = 0; i < n_keep; i++)
			kept |= strcmp(keep[i], name) == 0;
		if (!kept)
			g_hash_table_iter_remove(&iter);
	}
}

/* ---- asker ---- */

static void check_alive(struct sim *sim, const struct vm_id *id, const char *role)
{
	const struct sim_vm *vm = sim_find_instance(sim, id);

	if (!vm || vm->known_dead)
		sim_violate(
			sim, "the user is asked about the %s %s, which is dead", role, id->name);
}

/* What the policy decided, or a block, is no question. */
static void check_to_be_asked(struct sim *sim, const struct transfer *t)
{
	const int64_t *until_ms = g_hash_table_lookup(sim->blocked, t->sender.name);

	if (!t->ask)
		sim_violate(sim,
			"the user is asked about transfer %" PRIu64 ", which the policy decided",
			t->id);
	if (until_ms && *until_ms > sim->now_ms)
		sim_violate(sim, "the user is asked about what %s sends, which is blocked",
			t->sender.name);
}

static void ask(void *ctx, const struct question *q)
{
	struct sim *sim = ctx;
	const struct transfer *t;

	if (!sim_lives(sim))
		return;
	t = exchange_find(sim->x, q->id);
	if (!t) {
		sim_violate(
			sim, "the user is asked about transfer %" PRIu64 ", which is none", q->id);
		return;
	}
	check_written(sim, t, "the question");
	check_alive(sim, q->sender, "sender");
	if (!q->disposable) /* one is still to be made */
		check_alive(sim, q->receiver, "receiver");
	check_to_be_asked(sim, t);
	if (sim_is_asked(sim, q->id))
		sim_violate(sim, "the user is asked twice about transfer %" PRIu64, q->id);
	for (guint i = 0; i < sim->disks->len; i++) {
		const struct sim_disk *disk = sim->disks->pdata[i];

		if (strcmp(disk->image, t->image) == 0 && disk->loop_held)
			sim_violate(sim, "the user is asked about what %s can still change",
				disk->vm->id.name);
	}
	sim_trace(sim, "the user is asked: %s to %s?", q->sender->name, q->receiver->name);
	g_array_append_val(sim->questions, q->id);
}

static void withdraw(void *ctx, uint64_t id)
{
	struct sim *sim = ctx;

	if (!sim_lives(sim))
		return;
	for (guint i = sim->questions->len; i-- > 0;)
		if (g_array_index(sim->questions, uint64_t, i) == id)
			g_array_remove_index(sim->questions, i);
}

/* ---- clock ---- */

static int64_t now_ms(void *ctx)
{
	return ((struct sim *)ctx)->now_ms;
}

static void set_alarm(void *ctx, int64_t at_ms)
{
	((struct sim *)ctx)->alarm_ms = at_ms;
}

/* The pendrive that a VM has; it is what the VM wishes to send. */
struct lent_by {
	const struct sim_vm *vm;
	const char *image;
};

static void find_lent(void *arg, const struct transfer *t)
{
	struct lent_by *lent = arg;

	if (t->state == TRANSFER_LENT && lent->vm && strcmp(t->sender.uuid, lent->vm->id.uuid) == 0)
		lent->image = t->image;
}

static struct policy_decision decide(void *ctx, const struct policy_query *query)
{
	struct sim *sim = ctx;
	struct lent_by lent = {.vm = sim_find_named(sim, query->source)};
	enum policy_action action =
		query->service == POLICY_SERVICE_DISPOSABLE ? sim->for_disposables : sim->for_files;

	exchange_visit(sim->x, find_lent, &lent);
	if (!lent.image)
		sim_violate(sim, "the policy is asked about %s, which has nothing to send",
			query->source);
	else if (action == POLICY_ALLOW)
		g_hash_table_add(sim->allowed, g_strdup(lent.image));
	else
		g_hash_table_remove(sim->allowed, lent.image);
	return (struct policy_decision){.action = action, .quiet = sim->quiet};
}

static bool can_remember(void *ctx, const struct policy_query *query)
{
	const struct sim *sim = ctx;

	return sim->for_files == POLICY_ASK && query->dest && !query->source_is_disposable &&
	       !query->dest_is_disposable;
}

static char *where(void *ctx, const struct policy_rule *rule)
{
	(void)ctx;
	return g_strdup(rule ? "?" : "no rule");
}

struct exchange_ports sim_ports(struct sim *sim)
{
	return (struct exchange_ports){
		.store =
			{
				.ctx = sim,
				.list_domains = list_domains,
				.identify = identify,
				.open_mailbox = open_mailbox,
				.close_mailbox = close_mailbox,
				.listen = listen_to,
				.take_request = take_request,
				.commit = commit,
				.load_records = load_records,
				.load_dispvms = load_dispvms,
				.put_blocked = put_blocked,
				.drop_blocked = drop_blocked,
				.load_blocked = load_blocked,
			},
		.blocks =
			{
				.ctx = sim,
				.attach = attach,
				.detach = detach,
				.detach_force = detach_force,
				.abandon = abandon,
				.resume = resume,
				.sweep = sweep_disks,
			},
		.images =
			{
				.ctx = sim,
				.new_name = new_name,
				.make = make,
				.remove = remove_image,
				.used_bytes = used_bytes,
				.sweep = sweep_images,
			},
		.asker = {.ctx = sim, .ask = ask, .withdraw = withdraw},
		.audit = sim->audit,
		.domains = sim_domains_port(sim),
		.rules = {.ctx = sim,
			.decide = decide,
			.can_remember = can_remember,
			.where = where},
		.clock = {.ctx = sim, .now_ms = now_ms, .set_alarm = set_alarm},
	};
}
