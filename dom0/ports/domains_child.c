/* SPDX-License-Identifier: GPL-2.0-or-later */
#define G_LOG_DOMAIN "qfilexchgd"
#include "domains_child.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "savefile_info.h"

/* Exit statuses of the program; its source has them all. */
#define EXIT_NO_MEMORY 10
#define EXIT_TIMEOUT 11

/* A survey of a thousand domains is 60 KiB. What comes after that is read, and lost. */
#define OUT_MAX_BYTES (256u << 10)
#define LOG_MAX_BYTES (2u << 10)
/* How many domains a survey may show. */
#define SEEN_MAX 4096u
/* Between the tries of what must succeed in the end. */
#define RETRY_FIRST_MS 1000u
#define RETRY_MAX_MS 60000u
/* A VM that shall settle gives up before its maker is killed, so that it says why. */
#define SETTLE_LESS_MS 2000

enum op { OP_MAKE, OP_UNPAUSE, OP_DESTROY, OP_SURVEY, OP_PREPARE, OPS };

static const char *const op_words[OPS] = {"make", "unpause", "destroy", "survey", "prepare"};
/* How many of them run at a time. Making is heavy on dom0's disk and memory; two overlap well. */
static const unsigned op_limits[OPS] = {2, 8, 4, 1, 1};

/* One end of a pipe from the child. */
struct stream {
	int fd;
	guint source;
	GString *text;
	size_t max_bytes;
};

/*
 * An operation: waiting for its turn, running (pid is not 0), or pausing before another try
 * (retry is not 0). In domains_child.jobs, in the order of the calls.
 */
struct job {
	struct domains_child *d;
	enum op op;
	struct domain_plan plan; /* of a survey: zeros; of a prepare: uuid alone */
	GPid pid;
	guint child_source, deadline, retry;
	struct stream out, err;
	unsigned retry_ms;
	bool late; /* killed at its deadline */
	/* Of a destroy: what to report in the end. */
	bool report_destroyed, report_failed;
	enum qpen_error error;
	bool again;   /* of a survey: asked for once more meanwhile */
	bool dropped; /* cut off by a destroy: ends without a word */
};

struct options {
	char *program, *template, *savefile;
	bool from_config;
	uint64_t memory_mib, keep_free_mib;
	int64_t deadline_ms[OPS];
};

struct domains_child {
	struct options options;
	const struct port_events *events;
	GQueue jobs;   /* struct job, owned */
	guint pumping; /* source of pump */
};

static void schedule(struct domains_child *d);

/* ---- options ---- */

static void clear_options(struct options *o)
{
	g_free(o->program);
	g_free(o->template);
	g_free(o->savefile);
	*o = (struct options){0};
}

static void copy_options(struct options *to, const struct domains_options *from)
{
	*to = (struct options){
		.program = g_strdup(from->program),
		.template = g_strdup(from->template),
		.savefile = g_strdup(from->savefile),
		.from_config = from->from_config,
		.memory_mib = from->memory_mib,
		.keep_free_mib = from->keep_free_mib,
		.deadline_ms = {[OP_MAKE] = from->make_ms,
			[OP_UNPAUSE] = from->make_ms,
			[OP_DESTROY] = from->destroy_ms,
			[OP_SURVEY] = from->survey_ms,
			[OP_PREPARE] = from->prepare_ms},
	};
}

/*
 * The uuid of the VM that is saved as this file: always the same, so that one that a killed daemon
 * left is found. Version 8 of RFC 9562, out of a hash.
 */
static void uuid_of_savefile(const char *savefile, char out[DOMAIN_UUID_LEN])
{
	g_autofree char *name = g_strconcat("qfilexchgd save file ", savefile, NULL);
	g_autofree char *hex = g_compute_checksum_for_string(G_CHECKSUM_SHA256, name, -1);

	g_snprintf(out, DOMAIN_UUID_LEN, "%.8s-%.4s-8%.3s-8%.3s-%.12s", hex, hex + 8, hex + 12,
		hex + 15, hex + 18);
}

/* ---- jobs ---- */

static void close_stream(struct stream *s)
{
	if (s->source)
		g_source_remove(s->source);
	s->source = 0;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

static struct job *add_job(struct domains_child *d, enum op op)
{
	struct job *job = g_new0(struct job, 1);

	job->d = d;
	job->op = op;
	job->out =
		(struct stream){.fd = -1, .text = g_string_new(NULL), .max_bytes = OUT_MAX_BYTES};
	job->err =
		(struct stream){.fd = -1, .text = g_string_new(NULL), .max_bytes = LOG_MAX_BYTES};
	g_queue_push_tail(&d->jobs, job);
	schedule(d);
	return job;
}

static void free_job(struct job *job)
{
	if (job->child_source)
		g_source_remove(job->child_source);
	if (job->deadline)
		g_source_remove(job->deadline);
	if (job->retry)
		g_source_remove(job->retry);
	close_stream(&job->out);
	close_stream(&job->err);
	g_string_free(job->out.text, TRUE);
	g_string_free(job->err.text, TRUE);
	g_free(job);
}

static void remove_job(struct job *job)
{
	g_queue_remove(&job->d->jobs, job);
	schedule(job->d);
	free_job(job);
}

static bool is_active(const struct job *job)
{
	return job->pid != 0 || job->retry != 0;
}

/* The child and what it started: libxl's helper and the hotplug scripts. */
static void kill_child(const struct job *job)
{
	if (job->pid != 0)
		kill(-job->pid, SIGKILL);
}

/* One destroy for a uuid, however many want it. */
static struct job *add_destroy(struct domains_child *d, const struct domain_plan *plan)
{
	struct job *job;

	for (GList *l = d->jobs.head; l; l = l->next) {
		job = l->data;
		if (job->op == OP_DESTROY && strcmp(job->plan.uuid, plan->uuid) == 0)
			return job;
	}
	job = add_job(d, OP_DESTROY);
	job->plan = *plan;
	return job;
}

/* ---- what came out ---- */

/* Whether the text is this word and a decimal number that fits, and no more. */
static bool scan_number(const char *text, const char *word, uint64_t max, uint64_t *out)
{
	size_t len = strlen(word);

	return strncmp(text, word, len) == 0 && text[len] == ' ' &&
	       g_ascii_string_to_unsigned(text + len + 1, 10, 0, max, out, NULL);
}

static bool scan_seen(char **words, struct domain_seen *seen)
{
	uint64_t domid;

	if (g_strv_length(words) != 4 || strcmp(words[0], "domain") != 0 ||
		!g_ascii_string_to_unsigned(words[1], 10, 1, UINT32_MAX, &domid, NULL) ||
		!g_uuid_string_is_valid(words[2]))
		return false;
	*seen = (struct domain_seen){
		.domid = (uint32_t)domid, .down = strcmp(words[3], "down") == 0};
	g_strlcpy(seen->uuid, words[2], sizeof seen->uuid);
	return seen->down || strcmp(words[3], "running") == 0 || strcmp(words[3], "paused") == 0;
}

/* All of it or nothing: who is missing in a survey counts as gone. */
static GArray *scan_survey(const char *text, uint64_t *free_bytes)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", SEEN_MAX + 2);
	guint n = g_strv_length(lines);
	GArray *seen;
	uint64_t free_kib;

	/* The last line ends as the others do: behind it is nothing. */
	if (n < 2 || *lines[n - 1] || !scan_number(lines[0], "free", UINT64_MAX / 1024, &free_kib))
		return NULL;
	seen = g_array_new(FALSE, FALSE, sizeof(struct domain_seen));
	for (guint i = 1; i < n - 1; i++) {
		g_auto(GStrv) words = g_strsplit(lines[i], " ", 0);
		struct domain_seen one;

		if (!scan_seen(words, &one)) {
			g_array_free(seen, TRUE);
			return NULL;
		}
		g_array_append_val(seen, one);
	}
	*free_bytes = free_kib * 1024;
	return seen;
}

/* ---- the ends of the operations ---- */

static enum qpen_error error_of(const struct job *job, int status)
{
	if (job->late)
		return QPEN_ERROR_TIMEOUT;
	if (status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NO_MEMORY)
		return QPEN_ERROR_NO_MEMORY;
	if (status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_TIMEOUT)
		return QPEN_ERROR_TIMEOUT;
	return QPEN_ERROR_FAILED;
}

/* Whether it never began, or ended by itself and knew that it failed: then it has cleaned up. */
static bool has_cleaned_up(const struct job *job, int status)
{
	return status < 0 || (!job->late && WIFEXITED(status) && WEXITSTATUS(status) != 0);
}

static void end_make(struct job *job, int status)
{
	const struct port_events *events = job->d->events;
	uint64_t number = job->plan.number, domid;
	enum qpen_error error = error_of(job, status);
	struct job *cleanup;

	if (status == 0 && g_str_has_suffix(job->out.text->str, "\n")) {
		g_string_truncate(job->out.text, job->out.text->len - 1);
		if (scan_number(job->out.text->str, "domid", UINT32_MAX, &domid)) {
			remove_job(job);
			events->domain_made(events->ctx, number, (uint32_t)domid);
			return;
		}
	}
	if (has_cleaned_up(job, status)) {
		remove_job(job);
		events->domain_failed(events->ctx, number, error);
		return;
	}
	if (status == 0)
		g_warning("%s said something else than the number of %s: it is destroyed",
			job->d->options.program, job->plan.name);
	cleanup = add_destroy(job->d, &job->plan);
	cleanup->report_failed = true;
	cleanup->error = error;
	remove_job(job);
}

static void end_unpause(struct job *job, int status)
{
	const struct port_events *events = job->d->events;
	uint64_t number = job->plan.number;
	enum qpen_error error = error_of(job, status);

	remove_job(job);
	if (status == 0)
		events->domain_unpaused(events->ctx, number);
	else
		events->domain_failed(events->ctx, number, error);
}

static void end_destroy(struct job *job)
{
	const struct port_events *events = job->d->events;
	uint64_t number = job->plan.number;
	bool destroyed = job->report_destroyed, failed = job->report_failed;
	enum qpen_error error = job->error;

	remove_job(job);
	if (destroyed)
		events->domain_destroyed(events->ctx, number);
	else if (failed)
		events->domain_failed(events->ctx, number, error);
}

static void end_survey(struct job *job, GArray *seen, uint64_t free_bytes)
{
	struct domains_child *d = job->d;
	const struct port_events *events = d->events;

	if (job->again)
		add_job(d, OP_SURVEY);
	remove_job(job);
	events->surveyed(
		events->ctx, (const struct domain_seen *)(void *)seen->data, seen->len, free_bytes);
	g_array_free(seen, TRUE);
}

static void end_prepare(struct job *job, int status)
{
	const struct port_events *events = job->d->events;
	enum qpen_error error = error_of(job, status);

	if (status != 0 && !has_cleaned_up(job, status))
		add_destroy(job->d, &job->plan);
	remove_job(job);
	events->prepared(events->ctx, status == 0, status == 0 ? QPEN_ERROR_FAILED : error);
}

static gboolean on_retry(gpointer data)
{
	struct job *job = data;

	job->retry = 0;
	schedule(job->d);
	return G_SOURCE_REMOVE;
}

/* It must succeed in the end; the pauses grow, so that what hangs is not hammered. */
static void try_again(struct job *job)
{
	job->retry_ms = job->retry_ms == 0 ? RETRY_FIRST_MS : MIN(2 * job->retry_ms, RETRY_MAX_MS);
	g_warning("%s %s did not succeed; it is tried again in %u s", op_words[job->op],
		job->plan.uuid, job->retry_ms / 1000);
	job->retry = g_timeout_add(job->retry_ms, on_retry, job);
	/* Its place is free for others meanwhile. */
	schedule(job->d);
}

/* `status` is of waitpid(2), or -1 if there was no child. */
static void end_job(struct job *job, int status)
{
	uint64_t free_bytes = 0;
	GArray *seen;

	if (job->dropped) {
		remove_job(job);
		return;
	}
	switch (job->op) {
	case OP_MAKE:
		end_make(job, status);
		return;
	case OP_UNPAUSE:
		end_unpause(job, status);
		return;
	case OP_DESTROY:
		if (status == 0)
			end_destroy(job);
		else
			try_again(job);
		return;
	case OP_SURVEY:
		seen = status == 0 ? scan_survey(job->out.text->str, &free_bytes) : NULL;
		if (seen)
			end_survey(job, seen, free_bytes);
		else
			try_again(job);
		return;
	case OP_PREPARE:
		end_prepare(job, status);
		return;
	case OPS:
		break;
	}
	g_assert_not_reached();
}

/* ---- the child ---- */

/* False when there is no more now: at the end, or until the next event. */
static bool read_some(struct stream *s)
{
	char buffer[4096];
	ssize_t n = read(s->fd, buffer, sizeof buffer);

	if (n > 0)
		g_string_append_len(
			s->text, buffer, (gssize)MIN((size_t)n, s->max_bytes - s->text->len));
	return n > 0 || (n < 0 && errno == EINTR);
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer data)
{
	struct stream *s = data;

	(void)fd;
	/* One read per turn: a child that babbles shall not keep the others waiting. */
	if (read_some(s) || condition == G_IO_IN)
		return G_SOURCE_CONTINUE;
	s->source = 0;
	return G_SOURCE_REMOVE;
}

/* What is still in the pipe; no more than it can hold, whoever goes on writing. */
static void drain(struct stream *s)
{
	for (int i = 0; i < 32 && read_some(s); i++)
		;
	close_stream(s);
}

static void log_errors(const struct job *job)
{
	g_auto(GStrv) lines = g_strsplit(job->err.text->str, "\n", 0);

	for (char **line = lines; *line; line++) {
		g_autofree char *printable = g_strescape(*line, NULL);

		if (**line)
			g_warning("%s %s: %s", op_words[job->op], job->plan.name, printable);
	}
}

static void on_ended(GPid pid, gint status, gpointer data)
{
	struct job *job = data;

	/* What it started may still run: libxl's helper, a hotplug script. While any of it does,
	   the group's number is nobody else's. */
	kill(-pid, SIGKILL);
	job->pid = 0;
	job->child_source = 0;
	if (job->deadline)
		g_source_remove(job->deadline);
	job->deadline = 0;
	drain(&job->out);
	drain(&job->err);
	log_errors(job);
	end_job(job, status);
}

static gboolean on_deadline(gpointer data)
{
	struct job *job = data;

	job->deadline = 0;
	job->late = true;
	g_warning("%s %s took more than %" PRId64 " ms and is killed", op_words[job->op],
		job->plan.name, job->d->options.deadline_ms[job->op]);
	kill_child(job);
	return G_SOURCE_REMOVE;
}

static void add_word(GPtrArray *argv, const char *option, const char *value)
{
	g_ptr_array_add(argv, g_strconcat("--", option, "=", value, NULL));
}

static void add_number(GPtrArray *argv, const char *option, uint64_t value)
{
	if (value > 0)
		g_ptr_array_add(argv, g_strdup_printf("--%s=%" PRIu64, option, value));
}

static void add_make_words(GPtrArray *argv, const struct options *o, const struct domain_plan *plan)
{
	int64_t settle_ms = o->deadline_ms[OP_MAKE] - SETTLE_LESS_MS;

	add_word(argv, "name", plan->name);
	if (*plan->label)
		add_word(argv, "label", plan->label);
	if (o->from_config) {
		add_word(argv, "config", o->template);
		add_number(argv, "memory", o->memory_mib);
	} else {
		add_word(argv, "savefile", o->savefile);
	}
	if (plan->for_pool)
		add_number(argv, "keep-free", o->keep_free_mib);
	/*
	 * A restored Linux looks for new devices only when it hears of one: a disk whose nodes are
	 * there before it runs again is never found. And a VM that has run until its tools were
	 * there says itself which layout they read.
	 */
	add_number(argv, "settle", (uint64_t)MAX(settle_ms / 1000, 1));
}

static void add_prepare_words(GPtrArray *argv, const struct options *o)
{
	int64_t ready_ms = o->deadline_ms[OP_PREPARE] / 4 * 3; /* the rest is for saving */

	add_word(argv, "config", o->template);
	add_word(argv, "savefile", o->savefile);
	add_number(argv, "memory", o->memory_mib);
	add_number(argv, "timeout", (uint64_t)MAX(ready_ms / 1000, 1));
}

static GPtrArray *command_of(const struct job *job)
{
	const struct options *o = &job->d->options;
	GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);

	g_ptr_array_add(argv, g_strdup(o->program));
	g_ptr_array_add(argv, g_strdup(op_words[job->op]));
	add_number(argv, "parent", (uint64_t)getpid());
	if (*job->plan.uuid)
		add_word(argv, "uuid", job->plan.uuid);
	if (job->op == OP_MAKE)
		add_make_words(argv, o, &job->plan);
	if (job->op == OP_PREPARE)
		add_prepare_words(argv, o);
	g_ptr_array_add(argv, NULL);
	return argv;
}

/* Between fork and exec: a group of its own, to be killed with all that it starts. */
static void in_child(gpointer data)
{
	(void)data;
	setpgid(0, 0);
}

static int open_stream(struct stream *s, GError **error)
{
	int fds[2];

	if (!g_unix_open_pipe(fds, FD_CLOEXEC, error))
		return -1;
	s->fd = fds[0];
	g_unix_set_fd_nonblocking(s->fd, TRUE, NULL);
	g_string_truncate(s->text, 0);
	s->source = g_unix_fd_add(s->fd, G_IO_IN | G_IO_HUP | G_IO_ERR, on_readable, s);
	return fds[1];
}

static bool spawn(struct job *job, GError **error)
{
	g_autoptr(GPtrArray) argv = command_of(job);
	int out = open_stream(&job->out, error);
	int err = out >= 0 ? open_stream(&job->err, error) : -1;
	bool ok = err >= 0 && g_spawn_async_with_fds(NULL, (char **)argv->pdata, NULL,
				      G_SPAWN_DO_NOT_REAP_CHILD, in_child, NULL, &job->pid, -1, out,
				      err, error);

	if (out >= 0)
		close(out);
	if (err >= 0)
		close(err);
	return ok;
}

static void start(struct job *job)
{
	g_autoptr(GError) error = NULL;

	job->late = false;
	if (spawn(job, &error)) {
		job->child_source = g_child_watch_add(job->pid, on_ended, job);
		job->deadline = g_timeout_add(
			(guint)CLAMP(job->d->options.deadline_ms[job->op], 1, G_MAXINT),
			on_deadline, job);
		return;
	}
	job->pid = 0;
	g_warning(
		"cannot start %s (is it installed?): %s", job->d->options.program, error->message);
	close_stream(&job->out);
	close_stream(&job->err);
	end_job(job, -1);
}

/* ---- whose turn it is ---- */

/*
 * Two operations on one VM would meet each other half done. But a prepare does not wait for the
 * next try to destroy what an earlier one left, since it begins with that itself.
 */
static bool excludes(const struct job *other, const struct job *job)
{
	if (job->op == OP_PREPARE && other->pid == 0)
		return false;
	return *job->plan.uuid && strcmp(other->plan.uuid, job->plan.uuid) == 0;
}

static bool is_free(const struct domains_child *d, const struct job *job)
{
	unsigned running = 0;

	for (GList *l = d->jobs.head; l; l = l->next) {
		const struct job *other = l->data;

		if (other == job || !is_active(other))
			continue;
		running += other->op == job->op && other->pid != 0;
		if (excludes(other, job))
			return false;
	}
	return running < op_limits[job->op];
}

static struct job *next_job(const struct domains_child *d)
{
	for (GList *l = d->jobs.head; l; l = l->next) {
		struct job *job = l->data;

		if (!is_active(job) && is_free(d, job))
			return job;
	}
	return NULL;
}

static gboolean pump(gpointer data)
{
	struct domains_child *d = data;
	struct job *job = next_job(d);

	/* Only one a turn: a start that fails may free jobs and tell others. */
	if (!job) {
		d->pumping = 0;
		return G_SOURCE_REMOVE;
	}
	start(job);
	return G_SOURCE_CONTINUE;
}

static void schedule(struct domains_child *d)
{
	if (!d->pumping)
		d->pumping = g_idle_add_full(G_PRIORITY_DEFAULT, pump, d, NULL);
}

/* ---- the port ---- */

static void new_uuid(void *ctx, char out[DOMAIN_UUID_LEN])
{
	g_autofree char *uuid = g_uuid_string_random();

	(void)ctx;
	g_strlcpy(out, uuid, DOMAIN_UUID_LEN);
}

static bool is_configured(void *ctx)
{
	const struct options *o = &((const struct domains_child *)ctx)->options;

	return o->template && (o->from_config || o->savefile);
}

static bool is_prepared(void *ctx)
{
	const struct options *o = &((const struct domains_child *)ctx)->options;

	if (!is_configured(ctx))
		return false;
	return o->from_config || savefile_info_is_current(o->savefile, o->template, o->memory_mib);
}

static struct job *find_op(const struct domains_child *d, enum op op)
{
	for (GList *l = d->jobs.head; l; l = l->next)
		if (((struct job *)l->data)->op == op)
			return l->data;
	return NULL;
}

static void prepare(void *ctx)
{
	struct domains_child *d = ctx;
	struct job *job = find_op(d, OP_PREPARE);

	if (job)
		return;
	job = add_job(d, OP_PREPARE);
	g_strlcpy(job->plan.name, "the save file", sizeof job->plan.name);
	if (d->options.savefile)
		uuid_of_savefile(d->options.savefile, job->plan.uuid);
}

static void make(void *ctx, const struct domain_plan *plan)
{
	add_job(ctx, OP_MAKE)->plan = *plan;
}

static void unpause(void *ctx, const struct domain_plan *plan)
{
	add_job(ctx, OP_UNPAUSE)->plan = *plan;
}

/* What is under way for a VM that shall be destroyed: killed if it runs, forgotten if it waits. */
static void cut_off(struct domains_child *d, const char *uuid)
{
	GList *next;

	for (GList *l = d->jobs.head; l; l = next) {
		struct job *job = l->data;

		next = l->next;
		if ((job->op != OP_MAKE && job->op != OP_UNPAUSE) ||
			strcmp(job->plan.uuid, uuid) != 0)
			continue;
		job->dropped = true;
		if (job->pid != 0)
			kill_child(job);
		else
			remove_job(job);
	}
}

static void destroy(void *ctx, const struct domain_plan *plan)
{
	struct domains_child *d = ctx;
	struct job *job;

	cut_off(d, plan->uuid);
	job = add_destroy(d, plan);
	job->report_destroyed = true;
	job->plan = *plan;
}

static void survey(void *ctx)
{
	struct domains_child *d = ctx;
	struct job *job = find_op(d, OP_SURVEY);

	if (!job)
		add_job(d, OP_SURVEY);
	else if (job->pid != 0)
		job->again = true;
}

struct domains_port domains_child_port(struct domains_child *d)
{
	return (struct domains_port){
		.ctx = d,
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

/* ---- life ---- */

static void destroy_leftover(struct domains_child *d)
{
	struct domain_plan plan = {.name = "the VM of a save file"};

	if (!is_configured(d) || d->options.from_config)
		return;
	uuid_of_savefile(d->options.savefile, plan.uuid);
	add_destroy(d, &plan);
}

struct domains_child *domains_child_create(
	const struct domains_options *options, const struct port_events *events)
{
	struct domains_child *d = g_new0(struct domains_child, 1);

	d->events = events;
	g_queue_init(&d->jobs);
	copy_options(&d->options, options);
	destroy_leftover(d);
	return d;
}

static void reap(GPid pid, gint status, gpointer data)
{
	(void)pid;
	(void)status;
	(void)data;
}

void domains_child_destroy(struct domains_child *d)
{
	struct job *job;

	if (!d)
		return;
	while ((job = g_queue_pop_head(&d->jobs))) {
		GPid pid = job->pid;

		kill_child(job);
		free_job(job);
		if (pid != 0)
			g_child_watch_add(pid, reap, NULL);
	}
	if (d->pumping)
		g_source_remove(d->pumping);
	clear_options(&d->options);
	g_free(d);
}

void domains_child_set_options(struct domains_child *d, const struct domains_options *options)
{
	clear_options(&d->options);
	copy_options(&d->options, options);
}
