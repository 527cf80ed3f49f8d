/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy_answers.h"
#include "policy_file.h"

#define SUFFIX ".policy"
/* As policy_rule.file: one of policy_defaults. */
#define BUILT_IN G_MAXUINT32

struct policy_set {
	GArray *rules;    /* struct policy_rule */
	GPtrArray *files; /* their paths, by policy_rule.file */
	guint answers_at; /* how many rules stand before the place of the remembered answers */
};

/* A file that is being read, and by which one it is included. */
struct frame {
	const struct frame *outer;
	dev_t dev;
	ino_t ino;
};

struct loader {
	const struct policy_places *places;
	struct policy_set *set;
	GHashTable *tried; /* or NULL */
	const struct frame *innermost;
	guint depth;
	guint n_files;
};

/* A file of one of the folders. */
struct entry {
	char *name, *path;
	gboolean of_session;
};

/* ---- the value ---- */

struct policy_set *policy_set_empty(void)
{
	struct policy_set *set = g_new0(struct policy_set, 1);

	set->rules = g_array_new(FALSE, FALSE, sizeof(struct policy_rule));
	set->files = g_ptr_array_new_with_free_func(g_free);
	return set;
}

void policy_set_free(struct policy_set *set)
{
	if (!set)
		return;
	g_array_unref(set->rules);
	g_ptr_array_unref(set->files);
	g_free(set);
}

const struct policy_rule *policy_set_rules(const struct policy_set *set, size_t *n)
{
	*n = set->rules->len;
	return (const struct policy_rule *)(const void *)set->rules->data;
}

struct policy_decision policy_set_decide(
	const struct policy_set *set, const struct policy_query *query)
{
	size_t n;
	const struct policy_rule *rules = policy_set_rules(set, &n);

	return policy_decide(rules, n, query);
}

char *policy_set_where(const struct policy_set *set, const struct policy_rule *rule)
{
	if (!rule)
		return g_strdup("no rule matches");
	if (rule->file == BUILT_IN)
		return g_strdup("built in, since no file of the policy has a rule");
	return g_strdup_printf("%s:%u", (const char *)set->files->pdata[rule->file], rule->line);
}

gboolean policy_set_can_remember(const struct policy_set *set, const struct policy_query *query,
	const struct policy_decision *decision)
{
	size_t n;
	const struct policy_rule *rules = policy_set_rules(set, &n);

	return decision->action == POLICY_ASK &&
	       policy_answers_may_hold(query->service, query->source, query->dest) &&
	       !query->source_is_disposable && !query->dest_is_disposable &&
	       (guint)(decision->rule - rules) >= set->answers_at;
}

/* ---- reading ---- */

/* The two folders are watched as a whole. */
static void note_path(const struct loader *l, const char *path)
{
	g_autofree char *folder = g_path_get_dirname(path);

	if (strcmp(folder, l->places->dir) != 0 && g_strcmp0(folder, l->places->session) != 0)
		g_hash_table_add(l->tried, g_strdup(path));
}

/* Where a link leads as well: the link stays the same when that changes. */
static void note_tried(const struct loader *l, const char *path)
{
	char *real;

	if (!l->tried)
		return;
	note_path(l, path);
	real = realpath(path, NULL);
	if (real)
		note_path(l, real);
	free(real);
}

static gboolean is_being_read(const struct loader *l, const struct stat *st)
{
	for (const struct frame *f = l->innermost; f; f = f->outer)
		if (f->dev == st->st_dev && f->ino == st->st_ino)
			return TRUE;
	return FALSE;
}

static gboolean check_limits(
	const struct loader *l, const char *path, const struct stat *st, GError **error)
{
	if (is_being_read(l, st))
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_LIMIT,
			"%s includes itself, perhaps by way of others", path);
	else if (l->depth >= POLICY_DEPTH_MAX)
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_LIMIT,
			"%s is included by more than %u files, one through the other", path,
			POLICY_DEPTH_MAX);
	else if (l->n_files >= POLICY_FILES_MAX)
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_LIMIT,
			"%s: the policy has more than %u files, those included more than once "
			"counted as often",
			path, POLICY_FILES_MAX);
	else
		return TRUE;
	return FALSE;
}

/* Behind an include the outer file stands in the list once more. */
static guint file_index(struct policy_set *set, const char *path)
{
	guint n = set->files->len;

	if (n > 0 && strcmp(set->files->pdata[n - 1], path) == 0)
		return n - 1;
	g_ptr_array_add(set->files, g_strdup(path));
	return n;
}

static gboolean add_rule(struct loader *l, const struct policy_rule *rule, const char *path,
	guint line, GError **error)
{
	struct policy_rule copy = *rule;

	if (l->set->rules->len >= POLICY_RULES_MAX) {
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_LIMIT,
			"%s:%u: the policy has more than %u rules", path, line, POLICY_RULES_MAX);
		return FALSE;
	}
	copy.file = file_index(l->set, path);
	copy.line = line;
	g_array_append_val(l->set->rules, copy);
	return TRUE;
}

static gboolean load_file(struct loader *l, const char *path, GError **error);
static gboolean load_folder(struct loader *l, const char *path, GError **error);

static gboolean include(struct loader *l, const struct policy_line *line, const char *from,
	guint line_no, GError **error)
{
	g_autofree char *text = g_strndup(line->path, line->path_len);
	g_autofree char *path = g_canonicalize_filename(text, l->places->dir);
	gboolean is_dir = line->kind == POLICY_LINE_INCLUDE_DIR;
	g_autofree char *folder = is_dir ? g_strdup(path) : g_path_get_dirname(path);
	GError *inner = NULL;

	note_tried(l, path);
	if (policy_folder_is_safe(folder, !is_dir, &inner) &&
		(is_dir ? load_folder(l, path, &inner) : load_file(l, path, &inner)))
		return TRUE;
	/* An error in a line says where that is; any other is about what this line wants. */
	if (inner->domain != POLICY_ERROR || inner->code != POLICY_ERROR_LINE)
		g_prefix_error(&inner, "%s:%u: ", from, line_no);
	g_propagate_error(error, inner);
	return FALSE;
}

static gboolean load_line(struct loader *l, const char *bytes, gsize len, const char *path,
	guint line_no, GError **error)
{
	struct policy_line line;
	size_t column;
	enum policy_result result = policy_parse_line(bytes, len, &line, &column);

	if (result != POLICY_OK) {
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_LINE, "%s:%u:%zu: %s", path, line_no,
			column, policy_result_text(result));
		return FALSE;
	}
	switch (line.kind) {
	case POLICY_LINE_NOTHING:
		return TRUE;
	case POLICY_LINE_RULE:
		return add_rule(l, &line.rule, path, line_no, error);
	case POLICY_LINE_INCLUDE:
	case POLICY_LINE_INCLUDE_DIR:
		return include(l, &line, path, line_no, error);
	}
	return FALSE;
}

static gboolean load_lines(
	struct loader *l, const char *bytes, gsize len, const char *path, GError **error)
{
	const char *end = bytes + len;

	for (guint line_no = 1; bytes < end; line_no++) {
		const char *newline = memchr(bytes, '\n', (gsize)(end - bytes));
		const char *stop = newline ? newline : end;

		if (!load_line(l, bytes, (gsize)(stop - bytes), path, line_no, error))
			return FALSE;
		bytes = newline ? newline + 1 : end;
	}
	return TRUE;
}

static gboolean load_file(struct loader *l, const char *path, GError **error)
{
	struct stat st;
	gsize len;
	g_autofree char *bytes = policy_file_read(path, &len, &st, error);
	struct frame frame = {.outer = l->innermost};
	gboolean ok;

	note_tried(l, path);
	if (!bytes || !check_limits(l, path, &st, error))
		return FALSE;
	frame.dev = st.st_dev;
	frame.ino = st.st_ino;
	l->innermost = &frame;
	l->depth++;
	l->n_files++;
	ok = load_lines(l, bytes, len, path, error);
	l->depth--;
	l->innermost = frame.outer;
	return ok;
}

/* ---- folders ---- */

static void free_entry(gpointer data)
{
	struct entry *e = data;

	g_free(e->name);
	g_free(e->path);
	g_free(e);
}

static gint by_name(gconstpointer a, gconstpointer b)
{
	const struct entry *x = *(const struct entry *const *)a;
	const struct entry *y = *(const struct entry *const *)b;
	int order = strcmp(x->name, y->name);

	return order ? order : y->of_session - x->of_session;
}

/*
 * Qubes' rule: a name that `ls` sorts otherwise than we do would let people believe in another
 * order than the one that holds.
 */
static gboolean check_name(const char *dir, const char *name, GError **error)
{
	if (strspn(name, "0123456789abcdefghijklmnopqrstuvwxyz_.-") == strlen(name))
		return TRUE;
	g_set_error(error, POLICY_ERROR, POLICY_ERROR_FAILED,
		"The policy's folder %s has a file whose name has other characters than a-z, 0-9, "
		"_, . and -: rename it",
		dir);
	return FALSE;
}

static gboolean list_folder(
	const char *dir, gboolean of_session, GPtrArray *entries, GError **error)
{
	g_autoptr(GDir) folder = g_dir_open(dir, 0, error);
	const char *name;

	if (!folder)
		return FALSE;
	while ((name = g_dir_read_name(folder))) {
		struct entry *e;

		if (name[0] == '.' || !g_str_has_suffix(name, SUFFIX))
			continue;
		if (!check_name(dir, name, error))
			return FALSE;
		e = g_new0(struct entry, 1);
		e->name = g_strdup(name);
		e->path = g_build_filename(dir, name, NULL);
		e->of_session = of_session;
		g_ptr_array_add(entries, e);
	}
	return TRUE;
}

static gboolean load_folder(struct loader *l, const char *path, GError **error)
{
	g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func(free_entry);

	if (!list_folder(path, FALSE, entries, error))
		return FALSE;
	g_ptr_array_sort(entries, by_name);
	for (guint i = 0; i < entries->len; i++) {
		const struct entry *e = entries->pdata[i];

		if (!load_file(l, e->path, error))
			return FALSE;
	}
	return TRUE;
}

/* One of the two main folders, which need not exist. */
static gboolean list_place(const char *dir, gboolean of_session, GPtrArray *entries, GError **error)
{
	GError *inner = NULL;

	if (!dir)
		return TRUE;
	if (policy_folder_is_safe(dir, FALSE, &inner) &&
		list_folder(dir, of_session, entries, &inner))
		return TRUE;
	if (g_error_matches(inner, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
		g_clear_error(&inner);
		return TRUE;
	}
	g_propagate_error(error, inner);
	return FALSE;
}

/* *said: whether any file but the remembered answers has a rule. */
static gboolean load_entries(
	struct loader *l, const GPtrArray *entries, gboolean *said, GError **error)
{
	GArray *rules = l->set->rules;

	*said = FALSE;
	for (guint i = 0; i < entries->len; i++) {
		const struct entry *e = entries->pdata[i];
		guint before = rules->len;

		if (!load_file(l, e->path, error))
			return FALSE;
		if (rules->len > before && strcmp(e->name, POLICY_ANSWERS) != 0)
			*said = TRUE;
		if (strcmp(e->name, POLICY_ANSWERS) < 0)
			l->set->answers_at = rules->len;
	}
	return TRUE;
}

static void add_defaults(struct policy_set *set)
{
	for (guint i = 0; i < POLICY_N_DEFAULTS; i++) {
		struct policy_rule rule = policy_defaults[i];

		rule.file = BUILT_IN;
		g_array_append_val(set->rules, rule);
	}
}

struct policy_set *policy_set_load(
	const struct policy_places *places, GHashTable *tried, GError **error)
{
	g_autoptr(GPtrArray) entries = g_ptr_array_new_with_free_func(free_entry);
	struct loader l = {.places = places, .tried = tried};
	gboolean said;

	if (!list_place(places->dir, FALSE, entries, error) ||
		!list_place(places->session, TRUE, entries, error))
		return NULL;
	g_ptr_array_sort(entries, by_name);
	l.set = policy_set_empty();
	if (!load_entries(&l, entries, &said, error)) {
		policy_set_free(l.set);
		return NULL;
	}
	if (!said)
		add_defaults(l.set);
	return l.set;
}

struct policy_set *policy_set_load_file(
	const struct policy_places *places, const char *path, GError **error)
{
	struct loader l = {.places = places, .set = policy_set_empty()};

	if (load_file(&l, path, error))
		return l.set;
	policy_set_free(l.set);
	return NULL;
}
