/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <string.h>

#include "fat_template.h"
#include "qpen_words.h"

#define MIB (G_GUINT64_CONSTANT(1) << 20)
#define GIB (G_GUINT64_CONSTANT(1) << 30)
#define TIB (G_GUINT64_CONSTANT(1) << 40)
/* FAT32 has 32-bit sector numbers. */
#define FAT_MAX_BYTES (2 * TIB - GIB)
#define YEAR_S (G_GUINT64_CONSTANT(365) * 24 * 3600)

/* What is not worth a key: nobody has a reason to change it. */
#define MAKE_MS 60000
#define REMOVE_MS 60000
#define DESTROY_MS 60000
#define SURVEY_MS 30000
/* By which the core's deadline comes after a port's own. Makes wait for each other, two at a time.
 */
#define SLACK_MS 60000

#define LABELS "labels"

/* Everything that can be said in the file, as it is said there. */
struct raw {
	char *directory, *template, *savefile;
	guint64 default_size, max_size, max_per_vm, max_size_per_vm, max_size_total, reserve;
	guint64 question_s, max_queue, lent_s, delivered_s, queued_s, attach_s, detach_s, release_s;
	guint64 burst, per_minute, question_burst, question_interval_s, max_waiting;
	guint64 memory, keep_free, max_per_opener, max_disposables, pool, life_s, start_s,
		prepare_s;
	gboolean hide_refusals, use_savefile, log_names;
	GHashTable *labels;
};

enum key_type {
	KEY_PATH,
	KEY_SIZE,
	KEY_NUMBER,
	KEY_BOOL,
};

struct key {
	const char *group, *name;
	enum key_type type;
	gsize offset; /* in struct raw */
	guint64 min, max, normal;
	const char *normal_path; /* NULL: no path is a value as well */
};

#define AT(field) .offset = G_STRUCT_OFFSET(struct raw, field)

static const struct key keys[] = {
	{"pendrives", "directory", KEY_PATH, AT(directory), .normal_path = "/var/lib/qfilexchgd"},
	{"pendrives", "default-size", KEY_SIZE, AT(default_size), FAT_MIN_BYTES, FAT_MAX_BYTES,
		GIB},
	{"pendrives", "max-size", KEY_SIZE, AT(max_size), FAT_MIN_BYTES, FAT_MAX_BYTES, 64 * GIB},
	{"pendrives", "max-per-vm", KEY_NUMBER, AT(max_per_vm), 1, 10000, 8},
	{"pendrives", "max-size-per-vm", KEY_SIZE, AT(max_size_per_vm), FAT_MIN_BYTES, 1024 * TIB,
		128 * GIB},
	{"pendrives", "max-size-total", KEY_SIZE, AT(max_size_total), FAT_MIN_BYTES, 1024 * TIB,
		TIB},
	{"pendrives", "reserve", KEY_SIZE, AT(reserve), 0, 1024 * TIB, 512 * MIB},
	{"disposable", "template", KEY_PATH, AT(template)},
	{"disposable", "use-savefile", KEY_BOOL, AT(use_savefile), .normal = TRUE},
	{"disposable", "savefile", KEY_PATH, AT(savefile),
		.normal_path = "/var/lib/qfilexchgd/disposable.save"},
	{"disposable", "memory", KEY_SIZE, AT(memory), 0, TIB, 0},
	{"disposable", "keep-free", KEY_SIZE, AT(keep_free), 0, 1024 * TIB, 256 * MIB},
	{"disposable", "max-per-vm", KEY_NUMBER, AT(max_per_opener), 1, 1000, 4},
	{"disposable", "max", KEY_NUMBER, AT(max_disposables), 1, 1000, 8},
	{"disposable", "pool", KEY_NUMBER, AT(pool), 0, 100, 0},
	{"disposable", "lifetime", KEY_NUMBER, AT(life_s), 60, YEAR_S, 7 * 86400},
	{"questions", "timeout", KEY_NUMBER, AT(question_s), 1, YEAR_S, 120},
	{"questions", "hide-refusals", KEY_BOOL, AT(hide_refusals), .normal = TRUE},
	{"questions", "burst", KEY_NUMBER, AT(question_burst), 1, 10000, 4},
	{"questions", "interval", KEY_NUMBER, AT(question_interval_s), 1, YEAR_S, 30},
	/* The agent's own bound, QUESTIONS_MAX, leaves room for the VMs that have none waiting. */
	{"questions", "max-waiting", KEY_NUMBER, AT(max_waiting), 1, 200, 64},
	{"questions", "max-queue", KEY_NUMBER, AT(max_queue), 1, 10000, 8},
	{"timeouts", "lent", KEY_NUMBER, AT(lent_s), 1, YEAR_S, 86400},
	{"timeouts", "delivered", KEY_NUMBER, AT(delivered_s), 1, YEAR_S, 86400},
	{"timeouts", "queued", KEY_NUMBER, AT(queued_s), 1, YEAR_S, 3600},
	{"timeouts", "start", KEY_NUMBER, AT(start_s), 1, YEAR_S, 300},
	{"timeouts", "prepare", KEY_NUMBER, AT(prepare_s), 1, YEAR_S, 900},
	{"timeouts", "attach", KEY_NUMBER, AT(attach_s), 1, YEAR_S, 60},
	{"timeouts", "detach", KEY_NUMBER, AT(detach_s), 1, YEAR_S, 10},
	{"timeouts", "release", KEY_NUMBER, AT(release_s), 1, YEAR_S, 60},
	{"requests", "burst", KEY_NUMBER, AT(burst), 1, 1000000, 20},
	{"requests", "per-minute", KEY_NUMBER, AT(per_minute), 1, 60000, 120},
	{"log", "names", KEY_BOOL, AT(log_names), .normal = TRUE},
};

static guint64 *number_at(struct raw *raw, const struct key *key)
{
	return (guint64 *)(void *)((char *)raw + key->offset);
}

static gboolean *bool_at(struct raw *raw, const struct key *key)
{
	return (gboolean *)(void *)((char *)raw + key->offset);
}

static char **path_at(struct raw *raw, const struct key *key)
{
	return (char **)(void *)((char *)raw + key->offset);
}

static void set_defaults(struct raw *raw)
{
	for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
		switch (keys[i].type) {
		case KEY_PATH:
			*path_at(raw, &keys[i]) = g_strdup(keys[i].normal_path);
			break;
		case KEY_BOOL:
			*bool_at(raw, &keys[i]) = keys[i].normal != 0;
			break;
		case KEY_SIZE:
		case KEY_NUMBER:
			*number_at(raw, &keys[i]) = keys[i].normal;
			break;
		}
	}
}

/* A size may have its suffix; any other number is digits alone. */
static gboolean parse_number(const char *text, enum key_type type, guint64 *out)
{
	if (type == KEY_SIZE)
		return qpen_parse_size(text, strlen(text), out);
	return g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, out, NULL);
}

static gboolean parse_bool(const char *text, gboolean *out)
{
	*out = strcmp(text, "yes") == 0 || strcmp(text, "true") == 0;
	return *out || strcmp(text, "no") == 0 || strcmp(text, "false") == 0;
}

static gboolean set_error(const char *path, const struct key *key, const char *text,
	const char *wanted, GError **error)
{
	g_set_error(error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_INVALID_VALUE,
		"%s: [%s] %s = %s: must be %s", path, key->group, key->name, text, wanted);
	return FALSE;
}

static gboolean set_number(
	const char *path, const struct key *key, const char *text, struct raw *raw, GError **error)
{
	g_autofree char *wanted = NULL;
	guint64 number;

	if (parse_number(text, key->type, &number) && number >= key->min && number <= key->max) {
		*number_at(raw, key) = number;
		return TRUE;
	}
	wanted = g_strdup_printf("%s from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
		key->type == KEY_SIZE ? "a size in bytes, or with K, M, G or T," : "a number",
		key->min, key->max);
	return set_error(path, key, text, wanted, error);
}

static gboolean set_value(
	const char *path, const struct key *key, const char *text, struct raw *raw, GError **error)
{
	switch (key->type) {
	case KEY_PATH:
		if (!key->normal_path && strcmp(text, "none") == 0) {
			g_clear_pointer(path_at(raw, key), g_free);
			return TRUE;
		}
		if (!g_path_is_absolute(text))
			return set_error(path, key, text,
				key->normal_path ? "an absolute path" : "an absolute path or none",
				error);
		g_free(*path_at(raw, key));
		*path_at(raw, key) = g_canonicalize_filename(text, "/");
		return TRUE;
	case KEY_BOOL:
		if (!parse_bool(text, bool_at(raw, key)))
			return set_error(path, key, text, "yes or no", error);
		return TRUE;
	case KEY_SIZE:
	case KEY_NUMBER:
		return set_number(path, key, text, raw, error);
	}
	return FALSE;
}

/* Qubes' eight: what a window manager or a dialog can show. */
static const char *const colours[] = {
	"red", "orange", "yellow", "green", "gray", "blue", "purple", "black", NULL};

static gboolean set_label(
	const char *path, const char *vm, const char *colour, struct raw *raw, GError **error)
{
	if (!qpen_is_vm_name(vm, strlen(vm))) {
		g_set_error(error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_KEY_NOT_FOUND,
			"%s: [" LABELS "] %s: that cannot be the name of a VM", path, vm);
		return FALSE;
	}
	if (!g_strv_contains(colours, colour)) {
		g_set_error(error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_INVALID_VALUE,
			"%s: [" LABELS "] %s = %s: must be red, orange, yellow, green, gray, blue, "
			"purple or black",
			path, vm, colour);
		return FALSE;
	}
	g_hash_table_insert(raw->labels, g_strdup(vm), g_strdup(colour));
	return TRUE;
}

static const struct key *find_key(const char *group, const char *name)
{
	for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
		if (strcmp(keys[i].group, group) == 0 && (!name || strcmp(keys[i].name, name) == 0))
			return &keys[i];
	return NULL;
}

static gboolean read_group(
	const char *path, GKeyFile *file, const char *group, struct raw *raw, GError **error)
{
	g_auto(GStrv) names = g_key_file_get_keys(file, group, NULL, error);

	if (!names)
		return FALSE;
	for (char **name = names; *name; name++) {
		const struct key *key = find_key(group, *name);
		g_autofree char *text = g_key_file_get_value(file, group, *name, NULL);

		if (strcmp(group, LABELS) == 0) {
			if (!set_label(path, *name, text, raw, error))
				return FALSE;
			continue;
		}
		if (!key) {
			g_set_error(error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_KEY_NOT_FOUND,
				"%s: [%s] %s: there is no such key", path, group, *name);
			return FALSE;
		}
		if (!set_value(path, key, text, raw, error))
			return FALSE;
	}
	return TRUE;
}

static gboolean read_file(const char *path, GKeyFile *file, struct raw *raw, GError **error)
{
	g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);

	for (char **group = groups; *group; group++) {
		if (strcmp(*group, LABELS) != 0 && !find_key(*group, NULL)) {
			g_set_error(error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_GROUP_NOT_FOUND,
				"%s: [%s]: there is no such group", path, *group);
			return FALSE;
		}
		if (!read_group(path, file, *group, raw, error))
			return FALSE;
	}
	if (raw->default_size > raw->max_size) {
		g_set_error(error, G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_INVALID_VALUE,
			"%s: [pendrives] default-size must not be above max-size", path);
		return FALSE;
	}
	return TRUE;
}

static gint64 ms(guint64 seconds)
{
	return (gint64)seconds * 1000;
}

static void use(struct raw *raw, struct config *out)
{
	*out = (struct config){
		.image_dir = g_steal_pointer(&raw->directory),
		.reserve_bytes = raw->reserve,
		.labels = g_steal_pointer(&raw->labels),
		.log_names = raw->log_names,
		.disposable =
			{
				.template = g_steal_pointer(&raw->template),
				.savefile = g_steal_pointer(&raw->savefile),
				.from_config = !raw->use_savefile,
				/* Rounded up: a VM never gets less than was said. */
				.memory_mib = (raw->memory + MIB - 1) / MIB,
				.keep_free_mib = (raw->keep_free + MIB - 1) / MIB,
				.make_ms = ms(raw->start_s),
				.prepare_ms = ms(raw->prepare_s),
				.destroy_ms = DESTROY_MS,
				.survey_ms = SURVEY_MS,
			},
		.limits =
			{
				.transfer =
					{
						.make_ms = MAKE_MS,
						.attach_ms = ms(raw->attach_s),
						.lent_ms = ms(raw->lent_s),
						.detach_ms = ms(raw->detach_s),
						.force_ms = ms(raw->release_s),
						.ask_ms = ms(raw->question_s),
						/* The save file may have to be made first. */
						.start_ms = ms(raw->start_s + raw->prepare_s),
						.queue_ms = ms(raw->queued_s),
						.delivered_ms = ms(raw->delivered_s),
						.remove_ms = REMOVE_MS,
						.hide_refusals = raw->hide_refusals,
					},
				.registry =
					{
						.min_bytes = FAT_MIN_BYTES,
						.default_bytes = raw->default_size,
						.max_bytes = raw->max_size,
						.max_pendrives_per_vm = (unsigned)raw->max_per_vm,
						.max_bytes_per_vm = raw->max_size_per_vm,
						.max_bytes_total = raw->max_size_total,
						.max_queue = (unsigned)raw->max_queue,
						.max_waiting = (unsigned)raw->max_waiting,
					},
				.dispvm =
					{
						/* The port has the same ones: it is the first to
						   know. */
						.prepare_ms = ms(raw->prepare_s) + SLACK_MS,
						.make_ms = ms(raw->start_s) + SLACK_MS,
						.life_ms = ms(raw->life_s),
						.destroy_ms = 2 * DESTROY_MS,
						.max_per_opener = (unsigned)raw->max_per_opener,
						.max_total = (unsigned)raw->max_disposables,
						.pool = (unsigned)raw->pool,
					},
				.pool_keep_free = raw->keep_free,
				.requests =
					{
						.burst = (unsigned)raw->burst,
						.interval_ms = ms(60) / (gint64)raw->per_minute,
					},
				.questions =
					{
						.burst = (unsigned)raw->question_burst,
						.interval_ms = ms(raw->question_interval_s),
					},
			},
	};
}

gboolean config_load(const char *path, gboolean may_be_missing, struct config *out, GError **error)
{
	g_autoptr(GKeyFile) file = g_key_file_new();
	g_autoptr(GError) load_error = NULL;
	struct raw raw = {0};
	gboolean ok = TRUE;

	set_defaults(&raw);
	raw.labels = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	if (!g_key_file_load_from_file(file, path, G_KEY_FILE_KEEP_TRANSLATIONS, &load_error)) {
		ok = may_be_missing &&
		     g_error_matches(load_error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
		if (!ok)
			g_set_error(error, load_error->domain, load_error->code, "%s: %s", path,
				load_error->message);
	}
	ok = ok && read_file(path, file, &raw, error);
	if (ok)
		use(&raw, out);
	g_free(raw.directory);
	g_free(raw.template);
	g_free(raw.savefile);
	g_clear_pointer(&raw.labels, g_hash_table_unref);
	return ok;
}

void config_clear(struct config *config)
{
	g_clear_pointer(&config->image_dir, g_free);
	g_clear_pointer(&config->disposable.template, g_free);
	g_clear_pointer(&config->disposable.savefile, g_free);
	g_clear_pointer(&config->labels, g_hash_table_unref);
}
