/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "drive.h"

#include <string.h>

static uint32_t below(const struct choices *c, uint32_t n)
{
	return c->below(c->ctx, n);
}

static bool one_in(const struct choices *c, uint32_t n)
{
	return below(c, n) == 0;
}

/* NULL if none runs. */
static struct sim_vm *some_vm(struct sim *sim, const struct choices *c)
{
	uint32_t n = 0, wanted;

	for (guint i = 0; i < sim->vms->len; i++)
		n += ((struct sim_vm *)sim->vms->pdata[i])->running ? 1 : 0;
	if (n == 0)
		return NULL;
	wanted = below(c, n);
	for (guint i = 0; i < sim->vms->len; i++) {
		struct sim_vm *vm = sim->vms->pdata[i];

		if (vm->running && wanted-- == 0)
			return vm;
	}
	g_assert_not_reached();
}

static const char *some_name(const struct choices *c)
{
	static const char *const names[] = {
		"personal", "work", "bank", "personal", "no.such.vm", "disp1", "disp2"};

	return names[below(c, G_N_ELEMENTS(names))];
}

/* ---- what VMs ask ---- */

static void write_rubbish(struct sim *sim, struct sim_vm *vm, const struct choices *c)
{
	char bytes[300];
	size_t len = below(c, sizeof bytes);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)below(c, 256);
	sim_write(sim, vm, bytes, len);
}

/* A SEQ is an opener's own: two may choose the same, and one the same twice. */
static char *open_request(const struct choices *c)
{
	return g_strdup_printf(
		"send disposable %u%s", 1 + below(c, 4), one_in(c, 4) ? " view" : "");
}

/* The answer of a DisposableVM, or one that it should not give. */
static char *answer_request(const struct sim_vm *vm, const struct choices *c)
{
	if (one_in(c, 8))
		return g_strdup_printf("send %s %s", some_name(c), vm->seq);
	if (one_in(c, 8))
		return g_strdup_printf("send %s %u", vm->opener_name, below(c, 6));
	return g_strdup_printf("send %s %s", vm->opener_name, vm->seq);
}

/* What a sensible VM would ask next, so that transfers get far. */
static char *sensible_request(struct sim *sim, const struct sim_vm *vm, const struct choices *c)
{
	if (sim_disk_in(sim, vm, TRANSFER_AT_RECEIVER) && one_in(c, 2))
		return g_strdup("umount");
	if (sim_disk_in(sim, vm, TRANSFER_AT_SENDER)) {
		if (vm->is_disposable && !one_in(c, 8))
			return answer_request(vm, c);
		return one_in(c, 2) ? open_request(c) : g_strdup_printf("send %s", some_name(c));
	}
	if (vm->is_disposable && one_in(c, 10))
		return g_strdup("killme");
	return g_strdup("new");
}

/* Of any request that it made, be it what it may, or of its newest pendrive. */
static char *discard_request(
	const struct sim *sim, const struct sim_vm *vm, const struct choices *c)
{
	const struct sim_request *r;

	if (sim->requests->len == 0 || one_in(c, 2))
		return g_strdup("discard");
	r = sim->requests->pdata[below(c, sim->requests->len)];
	return g_strdup_printf(
		"discard%s%s", r->vm == vm && r->id[0] ? " " : "", r->vm == vm ? r->id : "");
}

static char *any_request(const struct sim *sim, const struct sim_vm *vm, const struct choices *c)
{
	switch (below(c, 6)) {
	case 0:
		return g_strdup("new");
	case 1:
		return g_strdup_printf(
			"new size=%uM format=%s", below(c, 250), one_in(c, 2) ? "none" : "vfat");
	case 2:
		return g_strdup_printf("send %s", some_name(c));
	case 3:
		return g_strdup_printf("send %s 7", one_in(c, 2) ? "disposable" : some_name(c));
	case 4:
		return g_strdup("umount");
	default:
		switch (below(c, 4)) {
		case 0:
			return g_strdup("killme");
		case 1:
			return g_strdup("frobnicate");
		default:
			return discard_request(sim, vm, c);
		}
	}
}

/* The first DisposableVM that runs, so that transactions get far; NULL if there is none. */
static struct sim_vm *some_disposable(struct sim *sim)
{
	for (guint i = 0; i < sim->vms->len; i++) {
		struct sim_vm *vm = sim->vms->pdata[i];

		if (vm->running && vm->has_run && !vm->down)
			return vm;
	}
	return NULL;
}

static void ask_something(struct sim *sim, const struct choices *c)
{
	struct sim_vm *disposable = one_in(c, 3) ? some_disposable(sim) : NULL;
	struct sim_vm *vm = disposable ? disposable : some_vm(sim, c);
	g_autofree char *text = NULL;

	if (!vm)
		return;
	if (one_in(c, 30)) {
		write_rubbish(sim, vm, c);
		return;
	}
	text = one_in(c, 4) ? any_request(sim, vm, c) : sensible_request(sim, vm, c);
	if (one_in(c, 6))
		sim_write(sim, vm, text, strlen(text));
	else
		sim_ask(sim, vm, text);
}

/* ---- VMs come and go ---- */

static void start_some_vm(struct sim *sim, const struct choices *c)
{
	const char *name = one_in(c, 20) ? "un fit" : some_name(c);

	if (sim_find_named(sim, name) || strcmp(name, "no.such.vm") == 0)
		return;
	/* Xen counts domains on, but comes round one day. */
	for (guint i = 0; i < sim->vms->len && one_in(c, 4); i++) {
		const struct sim_vm *old = sim->vms->pdata[i];

		if (!sim_find_vm(sim, old->id.domid)) {
			sim_add_vm_at(sim, name, old->id.domid);
			return;
		}
	}
	sim_add_vm(sim, name);
}

static void change_some_vm(struct sim *sim, const struct choices *c)
{
	struct sim_vm *vm = some_vm(sim, c);

	if (!vm)
		return;
	switch (below(c, 7)) {
	case 0:
		vm->never_connects = one_in(c, 2);
		return;
	case 1:
		vm->never_releases = one_in(c, 2);
		return;
	case 2:
		vm->holds_loop = one_in(c, 2);
		return;
	case 3:
		sim_delete_mailbox(sim, vm);
		return;
	case 4: {
		const char *name = some_name(c);

		if (!sim_find_named(sim, name))
			sim_rename_vm(vm, name);
		return;
	}
	case 5:
		/* Others are gone when they shut down, as far as anybody can see. */
		if (vm->is_disposable)
			sim_shut_down(sim, vm);
		return;
	default:
		sim_kill_vm(sim, vm, one_in(c, 2));
		return;
	}
}

/* ---- the user ---- */

struct pick {
	uint32_t n, wanted;
	uint64_t id;
};

static void pick_one(void *arg, const struct transfer *t)
{
	struct pick *pick = arg;

	if (pick->n++ == pick->wanted)
		pick->id = t->id;
}

/* Any transfer's id, or one that is none. */
static uint64_t some_id(struct sim *sim, const struct choices *c)
{
	struct pick pick = {.wanted = below(c, sim_n_transfers(sim) + 1), .id = 999};

	exchange_visit(sim->x, pick_one, &pick);
	return pick.id;
}

static void answer_something(struct sim *sim, const struct choices *c)
{
	bool yes = !one_in(c, 4);

	/* The asker lets nobody answer what was not asked, but an answer may come too late. */
	if (sim->questions->len == 0)
		return;
	sim_answer(
		sim, g_array_index(sim->questions, uint64_t, below(c, sim->questions->len)), yes);
}

/* ---- the host ---- */

/* Jobs that may be lost: the port forgot to tell, and the exchange must not wait for ever. */
static bool may_be_lost(enum sim_job_kind kind)
{
	return (kind >= SIM_DOM_BUILD && kind <= SIM_SURVEY) || kind >= SIM_EV_DOM_MADE ||
	       kind == SIM_MAKE || kind == SIM_EV_MADE || kind == SIM_EV_MAKE_FAILED ||
	       kind == SIM_EV_REMOVED || kind == SIM_EV_ATTACHED || kind == SIM_EV_LOST ||
	       kind == SIM_EV_DETACHED || kind == SIM_EV_ANSWERED;
}

static void do_some_job(struct sim *sim, const struct choices *c)
{
	const struct sim_job *job;
	uint32_t index;

	if (sim->jobs->len == 0)
		return;
	index = one_in(c, 2) ? 0 : below(c, sim->jobs->len);
	job = &g_array_index(sim->jobs, struct sim_job, index);
	if (one_in(c, 60) && may_be_lost(job->kind)) {
		sim_trace(sim, "what job %u was to do is never done", index);
		sim_drop(sim, index);
	} else if (sim_can_do(sim, job)) {
		sim_do(sim, index, one_in(c, 12));
	}
}

static void let_time_pass(struct sim *sim, const struct choices *c)
{
	static const int64_t spans[] = {1, 100, 1000, 1000, 10000, 100000};
	int64_t span = spans[below(c, G_N_ELEMENTS(spans))];

	if (one_in(c, 6) && sim->alarm_ms != CLOCK_NEVER)
		sim->now_ms = MAX(sim->now_ms, sim->alarm_ms);
	else
		sim->now_ms += span;
	sim_ring(sim);
}

/* While no daemon runs. */
static void happen_unseen(struct sim *sim, const struct choices *c)
{
	if (one_in(c, 2))
		do_some_job(sim, c);
	else if (one_in(c, 2))
		change_some_vm(sim, c);
	else if (one_in(c, 2))
		start_some_vm(sim, c);
	else
		sim->now_ms += below(c, 250) * 1000;
}

/* What may happen to what DisposableVMs are made of. */
static void disturb_making(struct sim *sim, const struct choices *c)
{
	switch (below(c, 9)) {
	case 0:
		sim->no_memory = one_in(c, 3);
		return;
	case 1:
		sim->make_fails = one_in(c, 3);
		return;
	case 2:
		sim->unpause_fails = one_in(c, 3);
		return;
	case 3:
		sim->prepare_fails = one_in(c, 3);
		return;
	case 4:
		sim->prepared = false; /* the template is newer */
		return;
	case 5:
		sim->memory_low = one_in(c, 2);
		return;
	case 6:
		sim->no_templates = one_in(c, 4);
		return;
	case 7:
		sim_set_pool(sim, below(c, 4));
		return;
	default:
		sim_ask_to_prepare(sim);
		return;
	}
}

struct pick_dispvm {
	uint32_t n, wanted;
	char name[QPEN_NAME_MAX + 1];
};

static void pick_dispvm(void *arg, const struct dispvm *d)
{
	struct pick_dispvm *pick = arg;

	if (pick->n++ == pick->wanted)
		strcpy(pick->name, d->id.name);
}

/* The user of dom0 removes one. */
static void discard_some_dispvm(struct sim *sim, const struct choices *c)
{
	struct pick_dispvm pick = {.wanted = below(c, sim_n_dispvms(sim) + 1), .name = "disp999"};

	exchange_visit_dispvms(sim->x, pick_dispvm, &pick);
	sim_discard_dispvm(sim, pick.name);
}

/* Mostly what it is where nobody wrote one. */
static void change_policy(struct sim *sim, const struct choices *c)
{
	static const enum policy_action files[] = {
		POLICY_ASK, POLICY_ASK, POLICY_ALLOW, POLICY_DENY};
	static const enum policy_action disposables[] = {
		POLICY_ALLOW, POLICY_ALLOW, POLICY_ASK, POLICY_DENY};

	sim->for_files = files[below(c, G_N_ELEMENTS(files))];
	sim->for_disposables = disposables[below(c, G_N_ELEMENTS(disposables))];
}

static void disturb(struct sim *sim, const struct choices *c)
{
	switch (below(c, 11)) {
	case 8:
	case 9:
		disturb_making(sim, c);
		return;
	case 10:
		discard_some_dispvm(sim, c);
		return;
	case 0:
		sim->disk_full = one_in(c, 3);
		return;
	case 1:
		sim->attach_fails = one_in(c, 3);
		return;
	case 2:
		if (sim->disks->len > 0)
			sim_take_disk(sim, sim->disks->pdata[below(c, sim->disks->len)]);
		return;
	case 3:
		sim->crash_in = 1 + below(c, 30);
		return;
	case 4:
		sim_stop(sim);
		for (uint32_t n = below(c, 4); n > 0; n--)
			happen_unseen(sim, c);
		sim_start(sim);
		return;
	case 5:
		if (one_in(c, 4))
			sim_block(sim, one_in(c, 2) ? "work" : "bank", 1 + below(c, 100000));
		else
			sim_cancel(sim, some_id(sim, c));
		return;
	case 6:
		change_policy(sim, c);
		sim->limits.transfer.hide_refusals = !sim->limits.transfer.hide_refusals;
		sim_set_pool(sim, sim->limits.dispvm.pool);
		return;
	default:
		sim_push(sim, SIM_EV_DOMAINS, 0);
		return;
	}
}

void drive_step(struct sim *sim, const struct choices *c)
{
	uint32_t what = below(c, 200);

	if (what < 130)
		do_some_job(sim, c);
	else if (what < 160)
		ask_something(sim, c);
	else if (what < 178)
		answer_something(sim, c);
	else if (what < 190)
		let_time_pass(sim, c);
	else if (what < 193)
		change_some_vm(sim, c);
	else if (what < 197)
		start_some_vm(sim, c);
	else
		disturb(sim, c);
}

struct sim *drive_new(const struct choices *c)
{
	struct exchange_limits limits = sim_limits;
	struct sim *sim;

	limits.transfer.hide_refusals = !one_in(c, 3);
	limits.registry.max_queue = 1 + below(c, 3);
	limits.registry.max_pendrives_per_vm = 1 + below(c, 4);
	limits.requests.burst = 1 + below(c, 10);
	limits.questions.burst = 1 + below(c, 6);
	limits.registry.max_waiting = 1 + below(c, 5);
	limits.dispvm.max_per_opener = 1 + below(c, 3);
	limits.dispvm.max_total = 1 + below(c, 5);
	limits.dispvm.pool = one_in(c, 2) ? below(c, 3) : 0;
	sim = sim_new(&limits);
	sim->prepared = !one_in(c, 4);
	sim->no_templates = one_in(c, 16);
	change_policy(sim, c);
	sim_add_vm(sim, "work");
	sim_add_vm(sim, "personal");
	if (one_in(c, 2))
		sim_add_vm(sim, "bank");
	sim_start(sim);
	return sim;
}

struct sim *drive_run(const struct choices *c, bool trace)
{
	struct sim *sim = drive_new(c);

	sim->trace = trace;
	while (!c->at_end(c->ctx) && !sim->violation)
		drive_step(sim, c);
	if (!sim->violation)
		sim_rest(sim);
	return sim;
}
