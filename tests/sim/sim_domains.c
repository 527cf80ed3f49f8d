/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulated domains port: DisposableVMs are made in two steps, so that a kill of the daemon
 * leaves nothing, half a VM or a whole one. All of its work dies with the daemon, as its programs
 * do.
 */
#include <stdio.h>
#include <string.h>

#include "dispvm_record.h"
#include "sim.h"

#define PLENTY_BYTES (UINT64_C(1) << 40)

static const struct domain_plan *plan_of(struct sim *sim, uint64_t number)
{
	return g_hash_table_lookup(sim->plans, &number);
}

/* ---- the port ---- */

static void new_uuid(void *ctx, char out[DOMAIN_UUID_LEN])
{
	struct sim *sim = ctx;

	g_snprintf(out, DOMAIN_UUID_LEN, "d1590000-0000-0000-0000-%012u", ++sim->n_uuids);
}

static bool is_configured(void *ctx)
{
	return !((struct sim *)ctx)->no_templates;
}

static bool is_prepared(void *ctx)
{
	return ((struct sim *)ctx)->prepared;
}

static void prepare(void *ctx)
{
	struct sim *sim = ctx;

	if (!sim_lives(sim))
		return;
	if (!sim_has_job(sim, SIM_PREPARE, 0) && !sim_has_job(sim, SIM_EV_PREPARED, 0))
		sim_push(sim, SIM_PREPARE, 0);
}

struct find_number {
	uint64_t number;
	const struct dispvm *found;
};

static void find_one(void *arg, const struct dispvm *d)
{
	struct find_number *find = arg;

	if (d->number == find->number)
		find->found = d;
}

/* What is done to a VM must be written down before, or nobody would know of it after a kill. */
static void check_written(struct sim *sim, const struct domain_plan *plan, const char *what)
{
	const struct dispvm *have = g_hash_table_lookup(sim->dispvms, &plan->number);
	struct find_number find = {.number = plan->number};
	char text[RECORD_MAX], wanted[RECORD_MAX];

	if (sim->commit_fails)
		return;
	exchange_visit_dispvms(sim->x, find_one, &find);
	if (find.found)
		dispvm_record_format(find.found, wanted);
	if (have)
		dispvm_record_format(have, text);
	if (!find.found || !have || strcmp(text, wanted) != 0)
		sim_violate(sim, "%s of %s before its record is written", what, plan->name);
}

static void make(void *ctx, const struct domain_plan *plan)
{
	struct sim *sim = ctx;

	if (!sim_lives(sim))
		return;
	check_written(sim, plan, "the making");
	if (sim_find_uuid(sim, plan->uuid))
		sim_violate(sim, "%s is made while it is there", plan->name);
	if (!sim->prepared)
		sim_trace(sim, "%s is made although the save file is not there", plan->name);
	g_hash_table_replace(sim->plans, g_memdup2(&plan->number, sizeof plan->number),
		g_memdup2(plan, sizeof *plan));
	sim_push(sim, SIM_DOM_BUILD, plan->number);
}

/* Its pendrive must be there before it can run, or have been lost by whoever had to attach it. */
static void check_unpause(struct sim *sim, const struct domain_plan *plan)
{
	const struct dispvm *d = g_hash_table_lookup(sim->dispvms, &plan->number);
	const struct sim_vm *vm = sim_find_uuid(sim, plan->uuid);

	if (!d || d->state != DISPVM_READY)
		sim_violate(sim, "%s is to run, but has no file to wait for", plan->name);
	else if (vm && !sim_disk_in(sim, vm, TRANSFER_AT_RECEIVER) &&
		 !sim_has_job(sim, SIM_EV_LOST, d->request))
		sim_violate(sim, "%s is to run before it has its pendrive", plan->name);
}

static void unpause(void *ctx, const struct domain_plan *plan)
{
	struct sim *sim = ctx;

	if (!sim_lives(sim))
		return;
	check_written(sim, plan, "the start");
	check_unpause(sim, plan);
	g_hash_table_replace(sim->plans, g_memdup2(&plan->number, sizeof plan->number),
		g_memdup2(plan, sizeof *plan));
	sim_push(sim, SIM_DOM_UNPAUSE, plan->number);
}

static bool is_of_vm(enum sim_job_kind kind)
{
	return kind == SIM_DOM_BUILD || kind == SIM_DOM_FINISH || kind == SIM_DOM_UNPAUSE;
}

static void destroy(void *ctx, const struct domain_plan *plan)
{
	struct sim *sim = ctx;

	if (!sim_lives(sim))
		return;
	check_written(sim, plan, "the end");
	for (guint i = sim->jobs->len; i-- > 0;) {
		const struct sim_job *job = &g_array_index(sim->jobs, struct sim_job, i);

		if (is_of_vm(job->kind) && job->id == plan->number)
			g_array_remove_index(sim->jobs, i);
	}
	g_hash_table_replace(sim->plans, g_memdup2(&plan->number, sizeof plan->number),
		g_memdup2(plan, sizeof *plan));
	if (!sim_has_job(sim, SIM_DOM_DESTROY, plan->number))
		sim_push(sim, SIM_DOM_DESTROY, plan->number);
}

static void survey(void *ctx)
{
	struct sim *sim = ctx;

	if (!sim_lives(sim))
		return;
	if (sim->surveying) {
		sim->survey_again = true;
		return;
	}
	sim->surveying = true;
	sim_push(sim, SIM_SURVEY, 0);
}

struct domains_port sim_domains_port(struct sim *sim)
{
	return (struct domains_port){
		.ctx = sim,
		.new_uuid = new_uuid,
		.is_configured = is_configured,
		.is_prepared = is_prepared,
		.prepare = prepare,
		.make = make,
		.unpause = unpause,
		.destroy = destroy,
		.survey = survey,
	};
}

/* ---- its work ---- */

static void fail(struct sim *sim, uint64_t number, enum qpen_error error)
{
	sim_push(sim, SIM_EV_DOM_FAILED, number)->error = error;
}

static void build(struct sim *sim, const struct domain_plan *plan)
{
	struct sim_vm *vm;

	if (sim->no_memory || (plan->for_pool && sim->memory_low)) {
		fail(sim, plan->number, QPEN_ERROR_NO_MEMORY);
		return;
	}
	/* The configuration may have changed since it was begun. */
	if (sim->no_templates || sim_find_named(sim, plan->name)) {
		fail(sim, plan->number, QPEN_ERROR_FAILED);
		return;
	}
	vm = sim_add_vm(sim, plan->name);
	strcpy(vm->id.uuid, plan->uuid);
	vm->is_disposable = vm->half = vm->paused = true;
	vm->number = plan->number;
	sim_push(sim, SIM_DOM_FINISH, plan->number);
}

static void finish(struct sim *sim, const struct domain_plan *plan)
{
	struct sim_vm *vm = sim_find_uuid(sim, plan->uuid);

	if (vm && sim->make_fails)
		sim_kill_vm(sim, vm, true);
	if (!vm || sim->make_fails) {
		fail(sim, plan->number, sim->make_fails ? QPEN_ERROR_TIMEOUT : QPEN_ERROR_FAILED);
		return;
	}
	vm->half = false;
	sim_push(sim, SIM_EV_DOM_MADE, plan->number)->domid = vm->id.domid;
}

static void let_run(struct sim *sim, const struct domain_plan *plan)
{
	struct sim_vm *vm = sim_find_uuid(sim, plan->uuid);

	if (!vm || vm->down || sim->unpause_fails) {
		fail(sim, plan->number, QPEN_ERROR_FAILED);
		return;
	}
	vm->paused = false;
	vm->has_run = true;
	strcpy(vm->label, plan->label);
	sim_push(sim, SIM_EV_DOM_UNPAUSED, plan->number);
}

static void remove_vm(struct sim *sim, const struct domain_plan *plan)
{
	struct sim_vm *vm = sim_find_uuid(sim, plan->uuid);

	if (vm)
		sim_kill_vm(sim, vm, true);
	sim_push(sim, SIM_EV_DOM_DESTROYED, plan->number);
}

static void do_prepare(struct sim *sim)
{
	struct sim_job *told;

	sim->prepared = !sim->prepare_fails && !sim->no_memory && !sim->no_templates;
	told = sim_push(sim, SIM_EV_PREPARED, 0);
	told->yes = sim->prepared;
	told->error = sim->no_memory ? QPEN_ERROR_NO_MEMORY : QPEN_ERROR_TIMEOUT;
}

static void look(struct sim *sim)
{
	g_array_set_size(sim->seen, 0);
	for (guint i = 0; i < sim->vms->len; i++) {
		struct sim_vm *vm = sim->vms->pdata[i];
		struct domain_seen seen = {.domid = vm->id.domid, .down = vm->down};

		vm->survey_missed = !vm->running || vm->down;
		if (!vm->running)
			continue;
		strcpy(seen.uuid, vm->id.uuid);
		g_array_append_val(sim->seen, seen);
	}
	sim->seen_memory_low = sim->memory_low;
	sim_push(sim, SIM_EV_SURVEYED, 0);
}

void sim_do_domain_job(struct sim *sim, const struct sim_job *job)
{
	if (job->kind == SIM_DOM_BUILD)
		build(sim, plan_of(sim, job->id));
	else if (job->kind == SIM_DOM_FINISH)
		finish(sim, plan_of(sim, job->id));
	else if (job->kind == SIM_DOM_UNPAUSE)
		let_run(sim, plan_of(sim, job->id));
	else if (job->kind == SIM_DOM_DESTROY)
		remove_vm(sim, plan_of(sim, job->id));
	else if (job->kind == SIM_PREPARE)
		do_prepare(sim);
	else
		look(sim);
}

/* ---- its events ---- */

static void tell_surveyed(struct sim *sim)
{
	bool again = sim->survey_again;
	uint64_t free_bytes = sim->seen_memory_low ? sim->limits.pool_keep_free - 1 : PLENTY_BYTES;
	/* A look may be asked for while this one is told. */
	g_autofree struct domain_seen *seen =
		g_memdup2(sim->seen->data, sim->seen->len * sizeof(struct domain_seen));

	for (guint i = 0; i < sim->vms->len; i++) {
		struct sim_vm *vm = sim->vms->pdata[i];

		vm->n_missed += vm->survey_missed ? 1 : 0;
	}
	sim->surveying = sim->survey_again = false;
	sim->events.surveyed(sim->events.ctx, seen, sim->seen->len, free_bytes);
	if (again && !sim->surveying && !sim->crashed) {
		sim->surveying = true;
		sim_push(sim, SIM_SURVEY, 0);
	}
}

/* It is only from now on that the exchange looks for it. */
static void tell_made(struct sim *sim, const struct sim_job *job)
{
	const struct domain_plan *plan = plan_of(sim, job->id);
	struct vm_id id = {.domid = job->domid};
	struct sim_vm *vm;

	strcpy(id.uuid, plan->uuid);
	vm = sim_find_instance(sim, &id);
	if (vm)
		vm->n_missed = 0;
	sim->events.domain_made(sim->events.ctx, job->id, job->domid);
}

void sim_tell_domain_event(struct sim *sim, const struct sim_job *job)
{
	const struct port_events *e = &sim->events;

	if (job->kind == SIM_EV_DOM_MADE)
		tell_made(sim, job);
	else if (job->kind == SIM_EV_DOM_FAILED)
		e->domain_failed(e->ctx, job->id, job->error);
	else if (job->kind == SIM_EV_DOM_UNPAUSED)
		e->domain_unpaused(e->ctx, job->id);
	else if (job->kind == SIM_EV_DOM_DESTROYED)
		e->domain_destroyed(e->ctx, job->id);
	else if (job->kind == SIM_EV_PREPARED)
		e->prepared(e->ctx, job->yes, job->error);
	else
		tell_surveyed(sim);
}
