/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host: VMs, jobs and time. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

#include "qpen_words.h"

#define MIB (UINT64_C(1) << 20)
/* Far more than any run of a test needs: what is still busy then will be for ever. */
#define REST_TURNS 20000

const struct exchange_limits sim_limits = {
	.transfer =
		{
			.make_ms = 60000,
			.attach_ms = 50000,
			.lent_ms = 900000,
			.detach_ms = 10000,
			.force_ms = 30000,
			.ask_ms = 120000,
			.start_ms = 500000,
			.queue_ms = 600000,
			.delivered_ms = 800000,
			.remove_ms = 70000,
			.hide_refusals = true,
		},
	.registry =
		{
			.min_bytes = 64 * MIB,
			.default_bytes = 100 * MIB,
			.max_bytes = 200 * MIB,
			.max_pendrives_per_vm = 4,
			.max_bytes_per_vm = 400 * MIB,
			.max_bytes_total = 1000 * MIB,
			.max_queue = 2,
			.max_waiting = 5,
		},
	.dispvm =
		{
			.prepare_ms = 300000,
			.make_ms = 130000,
			.life_ms = 2000000,
			.destroy_ms = 45000,
			.max_per_opener = 3,
			.max_total = 5,
		},
	.pool_keep_free = 1000 * MIB,
	.requests = {.burst = 20, .interval_ms = 500},
	.questions = {.burst = 5, .interval_ms = 25000},
};

/* ---- telling ---- */

void sim_trace(struct sim *sim, const char *format, ...)
{
	g_autofree char *text = NULL;
	va_list args;

	if (!sim->trace)
		return;
	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	printf("# %8.3f %s\n", (double)(sim->now_ms - 1000000) / 1000, text);
	fflush(stdout);
}

void sim_violate(struct sim *sim, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	sim_trace(sim, "VIOLATION: %s", text);
	if (sim->violation)
		g_free(text);
	else
		sim->violation = text;
}

static void drop_message(
	const char *domain, GLogLevelFlags level, const char *message, gpointer unused)
{
	(void)domain, (void)level, (void)message, (void)unused;
}

void sim_quiet_log(void)
{
	g_log_set_handler("qfilexchgd", G_LOG_LEVEL_MASK, drop_message, NULL);
	g_log_set_always_fatal(G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL);
}

/* ---- life ---- */

struct sim *sim_new(const struct exchange_limits *limits)
{
	struct sim *sim = g_new0(struct sim, 1);

	sim->limits = *limits;
	sim->now_ms = 1000000;
	sim->alarm_ms = CLOCK_NEVER;
	sim->next_domid = 1;
	sim->vms = g_ptr_array_new_with_free_func(g_free);
	sim->requests = g_ptr_array_new_with_free_func(g_free);
	sim->disks = g_ptr_array_new_with_free_func(g_free);
	sim->jobs = g_array_new(FALSE, TRUE, sizeof(struct sim_job));
	sim->questions = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	sim->images = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	sim->records = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
	sim->verified = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
	sim->places = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	sim->stale = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	sim->allowed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	sim->blocked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	sim->blocked_records = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	sim->asked = g_hash_table_new_full(
		g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_array_unref);
	sim->counted = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	sim->told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	sim->approved = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	sim->plans = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
	sim->dispvms = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
	sim->seen = g_array_new(FALSE, TRUE, sizeof(struct domain_seen));
	sim->audit = sim_audit_port(sim);
	sim->history = g_ptr_array_new_with_free_func(g_free);
	sim->ended = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	sim->owing = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	sim->decisions = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	sim->arrived = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	sim->prepared = true;
	sim->for_files = POLICY_ASK;
	sim->for_disposables = POLICY_ALLOW;
	return sim;
}

void sim_free(struct sim *sim)
{
	if (!sim)
		return;
	exchange_destroy(sim->x);
	g_ptr_array_free(sim->vms, TRUE);
	g_ptr_array_free(sim->requests, TRUE);
	g_ptr_array_free(sim->disks, TRUE);
	g_array_free(sim->jobs, TRUE);
	g_array_free(sim->questions, TRUE);
	g_hash_table_destroy(sim->images);
	g_hash_table_destroy(sim->records);
	g_hash_table_destroy(sim->verified);
	g_hash_table_destroy(sim->places);
	g_hash_table_destroy(sim->stale);
	g_hash_table_destroy(sim->approved);
	g_hash_table_destroy(sim->allowed);
	g_hash_table_destroy(sim->blocked);
	g_hash_table_destroy(sim->blocked_records);
	g_hash_table_destroy(sim->asked);
	g_hash_table_destroy(sim->counted);
	g_hash_table_destroy(sim->told);
	g_hash_table_destroy(sim->plans);
	g_hash_table_destroy(sim->dispvms);
	g_ptr_array_free(sim->history, TRUE);
	g_hash_table_destroy(sim->ended);
	g_hash_table_destroy(sim->owing);
	g_hash_table_destroy(sim->decisions);
	g_hash_table_destroy(sim->arrived);
	g_array_free(sim->seen, TRUE);
	g_free(sim->violation);
	g_free(sim);
}

/* Where a transfer was, and is: from one VM to the other it must pass through nowhere. */
static void on_change(void *arg, const struct transfer *t)
{
	struct sim *sim = arg;
	gpointer before = g_hash_table_lookup(sim->places, &t->id);

	sim->visits[t->state]++;
	/* What nobody is asked about goes on as soon as it is out of its sender's reach. */
	if (before && t->place != TRANSFER_NOWHERE && t->ask &&
		(enum transfer_place)GPOINTER_TO_UINT(before) != t->place)
		sim_violate(
			sim, "transfer %" PRIu64 " went from one VM to the other directly", t->id);
	if (t->state == TRANSFER_GONE)
		g_hash_table_remove(sim->places, &t->id);
	else
		g_hash_table_replace(sim->places, g_memdup2(&t->id, sizeof t->id),
			GUINT_TO_POINTER((guint)t->place));
}

static void on_dispvm(void *arg, const struct dispvm *d)
{
	struct sim *sim = arg;

	sim->dispvm_visits[d->state]++;
	sim_trace(sim, "%s is %s", d->id.name, dispvm_state_name(d->state));
}

static void on_notice(void *arg, const struct exchange_notice *notice)
{
	struct sim *sim = arg;

	/* Of transfers there are too many to be counted with these. */
	if (!notice->receiver[0])
		sim->n_notices++;
	g_strlcpy(sim->last_notice, notice->what, sizeof sim->last_notice);
	sim->last_count = notice->count;
	if (strcmp(notice->what, "too-often") == 0)
		sim_check_told(sim, notice->vm);
	sim_trace(sim, "the user is told: %s, of %s to %s: %s", notice->what, notice->vm,
		notice->receiver, notice->reason);
}

static const char *label_of(void *arg, const char *name)
{
	(void)arg;
	return strcmp(name, "bank") == 0 ? "green" : "red";
}

static void on_prepared(void *arg, bool ok, enum qpen_error error)
{
	struct sim *sim = arg;

	(void)error;
	sim->n_prepared += ok ? 1 : 0;
}

/* What follows every event: is all well, or did the daemon die in it? */
static void after_event(struct sim *sim)
{
	sim->in_event = false;
	sim->n_events++;
	if (!sim->crashed)
		sim_check(sim);
	sim->history_may_lack |= sim->crashed;
	for (guint i = 0; i < sim->vms->len; i++) {
		struct sim_vm *vm = sim->vms->pdata[i];

		vm->known_dead |= vm->told_dead;
	}
}

static void restart_crashed(struct sim *sim)
{
	if (!sim->crashed)
		return;
	sim_trace(sim, "the daemon was killed");
	sim_stop(sim);
	sim_start(sim);
}

void sim_start(struct sim *sim)
{
	const struct exchange_observer observer = {.transfer = on_change,
		.dispvm = on_dispvm,
		.notice = on_notice,
		.prepared = on_prepared,
		.arg = sim};
	struct exchange_ports ports = sim_ports(sim);
	int rc;

	g_assert_null(sim->x);
	sim_trace(sim, "a daemon starts");
	sim->crashed = false;
	sim->alarm_ms = CLOCK_NEVER;
	sim->x = exchange_create(&ports, &sim->limits);
	sim->events = exchange_events(sim->x);
	exchange_set_observer(sim->x, &observer);
	exchange_set_labels(sim->x, label_of, NULL);
	for (guint i = 0; i < sim->vms->len; i++) {
		struct sim_vm *vm = sim->vms->pdata[i];

		vm->is_past = !vm->running;
	}
	sim->in_event = true;
	rc = exchange_start(sim->x);
	if (rc < 0 && !sim->crashed)
		sim_violate(sim, "the exchange does not start: %d", rc);
	after_event(sim);
	restart_crashed(sim);
}

/* The next daemon knows of what was written down. */
static void remember_blocked(struct sim *sim)
{
	GHashTableIter iter;
	gpointer name, until_ms;

	g_hash_table_remove_all(sim->blocked);
	g_hash_table_iter_init(&iter, sim->blocked_records);
	while (g_hash_table_iter_next(&iter, &name, &until_ms))
		g_hash_table_insert(
			sim->blocked, g_strdup(name), g_memdup2(until_ms, sizeof(int64_t)));
}

void sim_stop(struct sim *sim)
{
	sim_trace(sim, "the daemon is gone");
	exchange_destroy(sim->x);
	sim->x = NULL;
	for (guint i = sim->jobs->len; i-- > 0;)
		if (g_array_index(sim->jobs, struct sim_job, i).kind >= SIM_MAKE)
			g_array_remove_index(sim->jobs, i);
	g_array_set_size(sim->questions, 0);
	remember_blocked(sim);
	g_hash_table_remove_all(sim->asked);
	g_hash_table_remove_all(sim->told);
	/* The next daemon begins before what this one could not write. */
	sim->history_may_repeat |= g_hash_table_size(sim->stale) > 0;
	g_hash_table_remove_all(sim->stale);
	g_hash_table_remove_all(sim->places);
	sim->surveying = sim->survey_again = false;
	for (guint i = 0; i < sim->vms->len; i++) {
		struct sim_vm *vm = sim->vms->pdata[i];

		vm->listening = vm->hushed = vm->mail_read = false;
		vm->told_dead = vm->known_dead = false;
		vm->n_missed = 0;
	}
	for (guint i = 0; i < sim->disks->len; i++) {
		struct sim_disk *disk = sim->disks->pdata[i];

		disk->tracked = disk->reporting = false;
	}
}

/* ---- jobs ---- */

struct sim_job *sim_push(struct sim *sim, enum sim_job_kind kind, uint64_t id)
{
	const struct sim_job job = {.kind = kind, .id = id};

	g_array_append_val(sim->jobs, job);
	return &g_array_index(sim->jobs, struct sim_job, sim->jobs->len - 1);
}

struct sim_job *sim_push_disk(struct sim *sim, enum sim_job_kind kind, const struct sim_disk *disk)
{
	struct sim_job *job = sim_push(sim, kind, disk->id);

	job->place = disk->place;
	job->disk = disk->number;
	return job;
}

static struct sim_disk *disk_of(struct sim *sim, const struct sim_job *job)
{
	for (guint i = 0; i < sim->disks->len; i++) {
		struct sim_disk *disk = sim->disks->pdata[i];

		if (disk->number == job->disk)
			return disk;
	}
	return NULL;
}

bool sim_has_job(const struct sim *sim, enum sim_job_kind kind, uint64_t id)
{
	for (guint i = 0; i < sim->jobs->len; i++) {
		const struct sim_job *job = &g_array_index(sim->jobs, struct sim_job, i);

		if (job->kind == kind && job->id == id)
			return true;
	}
	return false;
}

void sim_drop(struct sim *sim, unsigned index)
{
	enum sim_job_kind kind = g_array_index(sim->jobs, struct sim_job, index).kind;

	if (kind == SIM_SURVEY || kind == SIM_EV_SURVEYED)
		sim->surveying = false;
	g_array_remove_index(sim->jobs, index);
}

static bool can_act(const struct sim_vm *vm)
{
	return vm->running && !vm->paused && !vm->down;
}

bool sim_can_do(struct sim *sim, const struct sim_job *job)
{
	const struct sim_disk *disk = disk_of(sim, job);

	switch (job->kind) {
	case SIM_CONNECT:
		return disk && can_act(disk->vm) && disk->nodes && !disk->vm->never_connects;
	case SIM_RELEASE:
		return disk && can_act(disk->vm) && disk->nodes && !disk->vm->never_releases;
	case SIM_LOOP_FREE:
		return disk && !disk->vm->holds_loop;
	case SIM_MAKE:
	case SIM_EV_DOMAINS:
	case SIM_EV_MAILBOX:
	case SIM_EV_MADE:
	case SIM_EV_MAKE_FAILED:
	case SIM_EV_REMOVED:
	case SIM_EV_ATTACHED:
	case SIM_EV_LOST:
	case SIM_EV_DETACHED:
	case SIM_EV_ANSWERED:
	case SIM_DOM_BUILD:
	case SIM_DOM_FINISH:
	case SIM_DOM_UNPAUSE:
	case SIM_DOM_DESTROY:
	case SIM_PREPARE:
	case SIM_SURVEY:
	case SIM_EV_DOM_MADE:
	case SIM_EV_DOM_FAILED:
	case SIM_EV_DOM_UNPAUSED:
	case SIM_EV_DOM_DESTROYED:
	case SIM_EV_PREPARED:
	case SIM_EV_SURVEYED:
		return sim->x != NULL;
	}
	return false;
}

static void do_connect(struct sim *sim, struct sim_disk *disk)
{
	disk->connected = true;
	if (disk->tracked)
		sim_push_disk(sim, SIM_EV_ATTACHED, disk);
}

static void do_loop_free(struct sim *sim, struct sim_disk *disk)
{
	disk->loop_held = false;
	if (disk->tracked && disk->reporting)
		sim_push_disk(sim, SIM_EV_DETACHED, disk);
	if (disk->abandoned || (disk->tracked && disk->reporting))
		sim_remove_disk(sim, disk);
}

static void do_make(struct sim *sim, const struct sim_job *job)
{
	if (sim->disk_full) {
		sim_push(sim, SIM_EV_MAKE_FAILED, job->id)->error = QPEN_ERROR_NO_SPACE;
		return;
	}
	g_hash_table_add(sim->images, g_strdup(job->image));
	sim_push(sim, SIM_EV_MADE, job->id);
}

/* What the user says yes to may go to its receiver. */
static void note_answer(struct sim *sim, const struct sim_job *job)
{
	const struct transfer *t = exchange_find(sim->x, job->id);

	if (t && t->state == TRANSFER_ASKING && job->yes)
		g_hash_table_add(sim->approved, g_strdup(t->image));
}

static void deliver(struct sim *sim, const struct sim_job *job)
{
	const struct port_events *e = &sim->events;

	sim->in_event = true;
	switch (job->kind) {
	case SIM_EV_DOMAINS:
		e->domains_changed(e->ctx);
		break;
	case SIM_EV_MAILBOX:
		e->mailbox(e->ctx, job->domid);
		break;
	case SIM_EV_MADE:
		e->image_made(e->ctx, job->id);
		break;
	case SIM_EV_MAKE_FAILED:
		e->image_failed(e->ctx, job->id, job->error);
		break;
	case SIM_EV_REMOVED:
		e->image_removed(e->ctx, job->id);
		break;
	case SIM_EV_ATTACHED:
		e->disk_attached(e->ctx, job->id, job->place);
		break;
	case SIM_EV_LOST:
		e->disk_lost(e->ctx, job->id, job->place);
		break;
	case SIM_EV_DETACHED:
		e->disk_detached(e->ctx, job->id, job->place);
		break;
	case SIM_EV_ANSWERED:
		note_answer(sim, job);
		e->answered(e->ctx, job->id,
			&(struct answer){.yes = job->yes, .uid_known = true, .uid = SIM_UID});
		break;
	case SIM_EV_DOM_MADE:
	case SIM_EV_DOM_FAILED:
	case SIM_EV_DOM_UNPAUSED:
	case SIM_EV_DOM_DESTROYED:
	case SIM_EV_PREPARED:
	case SIM_EV_SURVEYED:
		sim_tell_domain_event(sim, job);
		break;
	case SIM_CONNECT:
	case SIM_RELEASE:
	case SIM_LOOP_FREE:
	case SIM_MAKE:
	case SIM_DOM_BUILD:
	case SIM_DOM_FINISH:
	case SIM_DOM_UNPAUSE:
	case SIM_DOM_DESTROY:
	case SIM_PREPARE:
	case SIM_SURVEY:
		g_assert_not_reached();
	}
	after_event(sim);
	restart_crashed(sim);
}

static const char *job_name(enum sim_job_kind kind)
{
	static const char *const names[] = {
		[SIM_CONNECT] = "the VM connects to",
		[SIM_RELEASE] = "the VM lets go of",
		[SIM_LOOP_FREE] = "the kernel lets go of",
		[SIM_MAKE] = "the image is made for",
		[SIM_EV_DOMAINS] = "event: domains",
		[SIM_EV_MAILBOX] = "event: mailbox",
		[SIM_EV_MADE] = "event: made",
		[SIM_EV_MAKE_FAILED] = "event: make failed",
		[SIM_EV_REMOVED] = "event: removed",
		[SIM_EV_ATTACHED] = "event: attached",
		[SIM_EV_LOST] = "event: lost",
		[SIM_EV_DETACHED] = "event: detached",
		[SIM_EV_ANSWERED] = "event: answered",
		[SIM_DOM_BUILD] = "half a VM is made: disp",
		[SIM_DOM_FINISH] = "the VM is made: disp",
		[SIM_DOM_UNPAUSE] = "the VM is let run: disp",
		[SIM_DOM_DESTROY] = "the VM is destroyed: disp",
		[SIM_PREPARE] = "the save file is made",
		[SIM_SURVEY] = "the domains are looked at",
		[SIM_EV_DOM_MADE] = "event: VM made",
		[SIM_EV_DOM_FAILED] = "event: VM failed",
		[SIM_EV_DOM_UNPAUSED] = "event: VM runs",
		[SIM_EV_DOM_DESTROYED] = "event: VM destroyed",
		[SIM_EV_PREPARED] = "event: prepared",
		[SIM_EV_SURVEYED] = "event: surveyed",
	};

	return names[kind];
}

/*
 * The domains port tells of two things once only: of a look, which would be an old one the second
 * time, and of an end, which could pass for that of the next VM with the same number.
 */
static bool may_be_repeated(enum sim_job_kind kind)
{
	return kind >= SIM_EV_DOMAINS && kind != SIM_EV_SURVEYED && kind != SIM_EV_DOM_DESTROYED;
}

void sim_do(struct sim *sim, unsigned index, bool keep)
{
	const struct sim_job job = g_array_index(sim->jobs, struct sim_job, index);
	struct sim_disk *disk = disk_of(sim, &job);

	sim_trace(sim, "%s %" PRIu64 " (place %d, domain %u)", job_name(job.kind), job.id,
		(int)job.place, job.domid);
	if (!keep || !may_be_repeated(job.kind))
		sim_drop(sim, index);
	switch (job.kind) {
	case SIM_CONNECT:
		do_connect(sim, disk);
		return;
	case SIM_RELEASE:
		sim_remove_nodes(sim, disk);
		return;
	case SIM_LOOP_FREE:
		do_loop_free(sim, disk);
		return;
	case SIM_MAKE:
		do_make(sim, &job);
		return;
	case SIM_DOM_BUILD:
	case SIM_DOM_FINISH:
	case SIM_DOM_UNPAUSE:
	case SIM_DOM_DESTROY:
	case SIM_PREPARE:
	case SIM_SURVEY:
		sim_do_domain_job(sim, &job);
		return;
	case SIM_EV_DOM_MADE:
	case SIM_EV_DOM_FAILED:
	case SIM_EV_DOM_UNPAUSED:
	case SIM_EV_DOM_DESTROYED:
	case SIM_EV_PREPARED:
	case SIM_EV_SURVEYED:
	case SIM_EV_DOMAINS:
	case SIM_EV_MAILBOX:
	case SIM_EV_MADE:
	case SIM_EV_MAKE_FAILED:
	case SIM_EV_REMOVED:
	case SIM_EV_ATTACHED:
	case SIM_EV_LOST:
	case SIM_EV_DETACHED:
	case SIM_EV_ANSWERED:
		deliver(sim, &job);
		return;
	}
}

static bool do_first(struct sim *sim)
{
	for (guint i = 0; i < sim->jobs->len; i++) {
		if (sim_can_do(sim, &g_array_index(sim->jobs, struct sim_job, i))) {
			sim_do(sim, i, false);
			return true;
		}
	}
	return false;
}

void sim_run(struct sim *sim)
{
	unsigned turns = 0;

	while (do_first(sim)) {
		if (++turns > REST_TURNS) {
			sim_violate(sim, "events without end");
			return;
		}
	}
}

/* ---- time ---- */

bool sim_ring(struct sim *sim)
{
	if (!sim->x || sim->alarm_ms > sim->now_ms)
		return false;
	sim->alarm_ms = CLOCK_NEVER;
	sim->in_event = true;
	sim->events.alarm(sim->events.ctx);
	after_event(sim);
	restart_crashed(sim);
	return true;
}

void sim_pass(struct sim *sim, int64_t ms)
{
	int64_t until_ms = sim->now_ms + ms;
	unsigned turns = 0;

	sim_run(sim);
	while (sim->x && sim->alarm_ms <= until_ms) {
		sim->now_ms = MAX(sim->now_ms, sim->alarm_ms);
		sim_ring(sim);
		sim_run(sim);
		if (++turns > REST_TURNS) {
			sim_violate(sim, "alarms without end");
			return;
		}
	}
	sim->now_ms = until_ms;
}

static void check_requests_at_rest(struct sim *sim)
{
	for (guint i = 0; i < sim->requests->len; i++) {
		const struct sim_request *r = sim->requests->pdata[i];

		if (r->id[0] && r->taken && r->vm->running && r->n_finals != 1)
			sim_violate(sim, "request %s of %s has %u answers", r->id, r->vm->id.name,
				r->n_finals);
	}
	for (guint i = 0; i < sim->vms->len; i++) {
		const struct sim_vm *vm = sim->vms->pdata[i];

		if (vm->running && vm->mail_len > 0)
			sim_violate(sim, "the mailbox of %s was not emptied", vm->id.name);
		if (vm->running && !vm->was_unfit && !vm->has_mailbox)
			sim_violate(sim, "%s has no mailbox", vm->id.name);
		if (vm->running && vm->anon_finals != vm->anon_taken)
			sim_violate(sim, "%u requests of %s without an ID, %u answers",
				vm->anon_taken, vm->id.name, vm->anon_finals);
	}
}

void sim_rest(struct sim *sim)
{
	unsigned turns = 0;

	sim->crash_in = 0;
	if (!sim->x)
		sim_start(sim);
	/* A pool would be filled anew for ever. */
	sim_set_pool(sim, 0);
	sim_run(sim);
	while (sim->alarm_ms != CLOCK_NEVER && !sim->violation) {
		sim->now_ms = MAX(sim->now_ms, sim->alarm_ms);
		sim_ring(sim);
		sim_run(sim);
		if (++turns > REST_TURNS)
			sim_violate(sim, "no rest");
	}
	if (sim->violation)
		return;
	if (sim_n_transfers(sim) > 0)
		sim_violate(sim, "%u transfers are left", sim_n_transfers(sim));
	if (g_hash_table_size(sim->records) > 0)
		sim_violate(sim, "%u records are left", g_hash_table_size(sim->records));
	if (g_hash_table_size(sim->images) > 0)
		sim_violate(sim, "%u images are left", g_hash_table_size(sim->images));
	if (sim_n_disks(sim) > 0)
		sim_violate(sim, "%u disks are left", sim_n_disks(sim));
	if (sim->questions->len > 0)
		sim_violate(sim, "%u questions are left", sim->questions->len);
	if (sim_n_dispvms(sim) > 0)
		sim_violate(sim, "%u DisposableVMs are left", sim_n_dispvms(sim));
	if (g_hash_table_size(sim->dispvms) > 0)
		sim_violate(sim, "%u records of DisposableVMs are left",
			g_hash_table_size(sim->dispvms));
	if (sim_n_disposable_vms(sim) > 0)
		sim_violate(sim, "%u VMs are left that were made for a file",
			sim_n_disposable_vms(sim));
	check_requests_at_rest(sim);
}

/* ---- VMs ---- */

struct sim_vm *sim_find_vm(struct sim *sim, uint32_t domid)
{
	for (guint i = 0; i < sim->vms->len; i++) {
		struct sim_vm *vm = sim->vms->pdata[i];

		if (vm->running && vm->id.domid == domid)
			return vm;
	}
	return NULL;
}

struct sim_vm *sim_find_named(struct sim *sim, const char *name)
{
	for (guint i = 0; i < sim->vms->len; i++) {
		struct sim_vm *vm = sim->vms->pdata[i];

		if (vm->running && strcmp(vm->id.name, name) == 0)
			return vm;
	}
	return NULL;
}

struct sim_vm *sim_find_instance(struct sim *sim, const struct vm_id *id)
{
	for (guint i = 0; i < sim->vms->len; i++) {
		struct sim_vm *vm = sim->vms->pdata[i];

		if (vm->id.domid == id->domid && strcmp(vm->id.uuid, id->uuid) == 0)
			return vm;
	}
	return NULL;
}

struct sim_vm *sim_find_uuid(struct sim *sim, const char *uuid)
{
	for (guint i = 0; i < sim->vms->len; i++) {
		struct sim_vm *vm = sim->vms->pdata[i];

		if (vm->running && strcmp(vm->id.uuid, uuid) == 0)
			return vm;
	}
	return NULL;
}

struct sim_vm *sim_add_vm_at(struct sim *sim, const char *name, uint32_t domid)
{
	struct sim_vm *vm = g_new0(struct sim_vm, 1);

	g_assert_null(sim_find_vm(sim, domid));
	vm->id.domid = domid;
	vm->running = true;
	g_snprintf(
		vm->id.uuid, sizeof vm->id.uuid, "00000000-0000-0000-0000-%012u", ++sim->n_uuids);
	sim_rename_vm(vm, name);
	g_ptr_array_add(sim->vms, vm);
	sim_push(sim, SIM_EV_DOMAINS, 0);
	sim_trace(sim, "VM %s starts as domain %u", name, domid);
	return vm;
}

struct sim_vm *sim_add_vm(struct sim *sim, const char *name)
{
	return sim_add_vm_at(sim, name, sim->next_domid++);
}

void sim_rename_vm(struct sim_vm *vm, const char *name)
{
	g_strlcpy(vm->id.name, name, sizeof vm->id.name);
	vm->is_unfit = !qpen_is_vm_name(name, strlen(name));
	vm->was_unfit |= vm->is_unfit;
}

/* Something happened to it. */
static void touch_mailbox(struct sim *sim, const struct sim_vm *vm)
{
	if (vm->listening && !vm->hushed)
		sim_push(sim, SIM_EV_MAILBOX, 0)->domid = vm->id.domid;
}

void sim_kill_vm(struct sim *sim, struct sim_vm *vm, bool cleaned)
{
	sim_trace(sim, "VM %s, domain %u, stops", vm->id.name, vm->id.domid);
	vm->running = false;
	vm->mail_len = 0;
	vm->mail_read = false;
	for (guint i = 0; cleaned && i < sim->disks->len; i++) {
		struct sim_disk *disk = sim->disks->pdata[i];

		if (disk->vm == vm)
			sim_take_disk(sim, disk);
	}
	/* Its part of xenstore goes, and whoever watches something in it sees that. */
	if (vm->has_mailbox)
		touch_mailbox(sim, vm);
	vm->has_mailbox = false;
	sim_push(sim, SIM_EV_DOMAINS, 0);
}

void sim_shut_down(struct sim *sim, struct sim_vm *vm)
{
	sim_trace(sim, "VM %s, domain %u, shuts down", vm->id.name, vm->id.domid);
	vm->down = true;
	sim_push(sim, SIM_EV_DOMAINS, 0);
}

struct sim_request *sim_ask(struct sim *sim, struct sim_vm *vm, const char *text)
{
	struct sim_request *r;

	if (!can_act(vm) || !vm->has_mailbox || vm->mail_len > 0)
		return NULL;
	r = g_new0(struct sim_request, 1);
	r->vm = vm;
	g_snprintf(r->id, sizeof r->id, "r%u", ++sim->n_ids);
	g_strlcpy(r->text, text, sizeof r->text);
	vm->mail_len = (size_t)g_snprintf(vm->mail, sizeof vm->mail, "%s #%s", text, r->id);
	vm->mail_request = r;
	g_ptr_array_add(sim->requests, r);
	sim_trace(sim, "%s asks: %s", vm->id.name, vm->mail);
	touch_mailbox(sim, vm);
	return r;
}

bool sim_write(struct sim *sim, struct sim_vm *vm, const void *bytes, size_t len)
{
	if (!can_act(vm) || !vm->has_mailbox)
		return false;
	g_assert_cmpuint(len, <=, sizeof vm->mail);
	memcpy(vm->mail, bytes, len);
	vm->mail_len = len;
	vm->mail_request = NULL;
	vm->mail_read = false;
	sim_trace(sim, "%s writes %zu bytes", vm->id.name, len);
	touch_mailbox(sim, vm);
	return true;
}

void sim_delete_mailbox(struct sim *sim, struct sim_vm *vm)
{
	if (!can_act(vm) || !vm->has_mailbox)
		return;
	sim_trace(sim, "%s deletes its mailbox", vm->id.name);
	vm->has_mailbox = false;
	vm->mail_len = 0;
	vm->mail_read = false;
	touch_mailbox(sim, vm);
}

/* ---- disks ---- */

struct sim_disk *sim_find_disk(struct sim *sim, uint64_t id, enum transfer_place place)
{
	for (guint i = 0; i < sim->disks->len; i++) {
		struct sim_disk *disk = sim->disks->pdata[i];

		if (disk->id == id && disk->place == place && !disk->abandoned)
			return disk;
	}
	return NULL;
}

void sim_remove_disk(struct sim *sim, struct sim_disk *disk)
{
	for (guint i = sim->jobs->len; i-- > 0;) {
		const struct sim_job *job = &g_array_index(sim->jobs, struct sim_job, i);

		if (job->kind < SIM_MAKE && job->disk == disk->number)
			g_array_remove_index(sim->jobs, i);
	}
	g_ptr_array_remove(sim->disks, disk);
}

void sim_remove_nodes(struct sim *sim, struct sim_disk *disk)
{
	if (!disk->nodes)
		return;
	disk->nodes = false;
	disk->connected = false;
	sim_push_disk(sim, SIM_LOOP_FREE, disk);
}

void sim_take_disk(struct sim *sim, struct sim_disk *disk)
{
	if (!disk->nodes)
		return;
	sim_trace(sim, "somebody takes disk %" PRIu64 " from %s", disk->id, disk->vm->id.name);
	sim_remove_nodes(sim, disk);
	if (disk->tracked && !disk->reporting)
		sim_push_disk(sim, SIM_EV_LOST, disk);
}

struct sim_disk *sim_disk_in(struct sim *sim, const struct sim_vm *vm, enum transfer_place place)
{
	for (guint i = 0; i < sim->disks->len; i++) {
		struct sim_disk *disk = sim->disks->pdata[i];

		if (disk->vm == vm && disk->place == place && disk->nodes)
			return disk;
	}
	return NULL;
}

unsigned sim_n_disks(const struct sim *sim)
{
	unsigned n = 0;

	for (guint i = 0; i < sim->disks->len; i++)
		n += ((const struct sim_disk *)sim->disks->pdata[i])->abandoned ? 0 : 1;
	return n;
}

/* ---- the user ---- */

bool sim_is_asked(const struct sim *sim, uint64_t id)
{
	for (guint i = 0; i < sim->questions->len; i++)
		if (g_array_index(sim->questions, uint64_t, i) == id)
			return true;
	return false;
}

void sim_answer(struct sim *sim, uint64_t id, bool yes)
{
	for (guint i = 0; i < sim->questions->len; i++) {
		if (g_array_index(sim->questions, uint64_t, i) == id) {
			g_array_remove_index(sim->questions, i);
			break;
		}
	}
	sim_push(sim, SIM_EV_ANSWERED, id)->yes = yes;
}

bool sim_cancel(struct sim *sim, uint64_t id)
{
	bool ok;

	sim_trace(sim, "the user cancels %" PRIu64, id);
	sim->in_event = true;
	ok = exchange_cancel(sim->x, id);
	after_event(sim);
	restart_crashed(sim);
	return ok;
}

void sim_block(struct sim *sim, const char *name, int64_t ms)
{
	int64_t until_ms = ms > 0 ? sim->now_ms + ms : CLOCK_NEVER;

	sim_trace(sim, "the user blocks %s", name);
	g_hash_table_replace(sim->blocked, g_strdup(name), g_memdup2(&until_ms, sizeof until_ms));
	sim->in_event = true;
	exchange_block(sim->x, name, ms);
	after_event(sim);
	restart_crashed(sim);
}

bool sim_unblock(struct sim *sim, const char *name)
{
	bool was;

	sim_trace(sim, "the user unblocks %s", name);
	g_hash_table_remove(sim->blocked, name);
	sim->in_event = true;
	was = exchange_unblock(sim->x, name);
	after_event(sim);
	restart_crashed(sim);
	return was;
}

bool sim_discard_dispvm(struct sim *sim, const char *name)
{
	bool ok;

	sim_trace(sim, "the user removes %s", name);
	sim->in_event = sim->discarding = true;
	ok = exchange_discard_dispvm(sim->x, name);
	sim->discarding = false;
	after_event(sim);
	restart_crashed(sim);
	return ok;
}

void sim_set_pool(struct sim *sim, unsigned n)
{
	sim->limits.dispvm.pool = n;
	sim_trace(sim, "the pool is to have %u", n);
	sim->in_event = true;
	exchange_set_limits(sim->x, &sim->limits);
	after_event(sim);
	restart_crashed(sim);
}

bool sim_ask_to_prepare(struct sim *sim)
{
	bool ok;

	sim->in_event = true;
	ok = exchange_prepare(sim->x);
	after_event(sim);
	restart_crashed(sim);
	return ok;
}

/* ---- transfers and DisposableVMs ---- */

static void count_one(void *arg, const struct transfer *t)
{
	(void)t;
	++*(unsigned *)arg;
}

unsigned sim_n_transfers(struct sim *sim)
{
	unsigned n = 0;

	exchange_visit(sim->x, count_one, &n);
	return n;
}

struct search {
	const char *sender;
	const struct transfer *found;
};

static void find_one(void *arg, const struct transfer *t)
{
	struct search *search = arg;

	if (strcmp(t->sender.name, search->sender) == 0)
		search->found = t;
}

const struct transfer *sim_transfer_of(struct sim *sim, const char *sender)
{
	struct search search = {.sender = sender};

	exchange_visit(sim->x, find_one, &search);
	return search.found;
}

struct dispvm_search {
	const char *opener; /* NULL: any */
	enum dispvm_state state;
	unsigned n, n_in_state;
	const struct dispvm *found;
};

static void look_at_dispvm(void *arg, const struct dispvm *d)
{
	struct dispvm_search *search = arg;

	search->n++;
	search->n_in_state += d->state == search->state ? 1 : 0;
	if (search->opener && strcmp(d->opener.name, search->opener) == 0)
		search->found = d;
}

unsigned sim_n_dispvms(struct sim *sim)
{
	struct dispvm_search search = {0};

	exchange_visit_dispvms(sim->x, look_at_dispvm, &search);
	return search.n;
}

unsigned sim_n_dispvms_in(struct sim *sim, enum dispvm_state state)
{
	struct dispvm_search search = {.state = state};

	exchange_visit_dispvms(sim->x, look_at_dispvm, &search);
	return search.n_in_state;
}

const struct dispvm *sim_dispvm_of(struct sim *sim, const char *opener)
{
	struct dispvm_search search = {.opener = opener};

	exchange_visit_dispvms(sim->x, look_at_dispvm, &search);
	return search.found;
}

unsigned sim_n_disposable_vms(const struct sim *sim)
{
	unsigned n = 0;

	for (guint i = 0; i < sim->vms->len; i++) {
		const struct sim_vm *vm = sim->vms->pdata[i];

		n += vm->running && vm->is_disposable ? 1 : 0;
	}
	return n;
}
