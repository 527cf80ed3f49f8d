/* SPDX-License-Identifier: GPL-2.0-or-later */
#define G_LOG_DOMAIN "qfilexchgd"
#include "policy_dir.h"

#include <gio/gio.h>

/* From the first change on, so that whoever keeps on writing cannot put it off. An editor's rename
 * and a package's files are there by then. */
#define SETTLE_MS 100

struct policy_dir {
	struct policy_places places;
	char *dir, *session; /* its strings */
	void (*changed)(void *ctx);
	void *ctx;
	struct policy_set *set;
	GFileMonitor *folders[2];
	GHashTable *elsewhere; /* a path -> GFileMonitor */
	guint settling;        /* source */
};

static gboolean on_settled(gpointer data)
{
	struct policy_dir *d = data;

	d->settling = 0;
	d->changed(d->ctx);
	return G_SOURCE_REMOVE;
}

static void on_event(
	GFileMonitor *monitor, GFile *file, GFile *other, GFileMonitorEvent event, gpointer data)
{
	struct policy_dir *d = data;

	(void)monitor;
	(void)file;
	(void)other;
	(void)event;
	if (!d->settling)
		d->settling = g_timeout_add(SETTLE_MS, on_settled, d);
}

/* NULL after a logged error: the policy is then read again on SIGHUP only. */
static GFileMonitor *watch(struct policy_dir *d, const char *path)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GFile) file = g_file_new_for_path(path);
	GFileMonitor *monitor = g_file_monitor(file, G_FILE_MONITOR_NONE, NULL, &error);

	if (!monitor) {
		g_warning("cannot watch %s: %s; tell the daemon of changes by SIGHUP", path,
			error->message);
		return NULL;
	}
	g_file_monitor_set_rate_limit(monitor, SETTLE_MS);
	g_signal_connect(monitor, "changed", G_CALLBACK(on_event), d);
	return monitor;
}

static void unwatch(gpointer monitor)
{
	if (!monitor)
		return;
	g_file_monitor_cancel(monitor);
	g_object_unref(monitor);
}

struct policy_dir *policy_dir_create(
	const struct policy_places *places, void (*changed)(void *ctx), void *ctx)
{
	struct policy_dir *d = g_new0(struct policy_dir, 1);

	d->dir = g_strdup(places->dir);
	d->session = g_strdup(places->session);
	d->places = (struct policy_places){d->dir, d->session};
	d->changed = changed;
	d->ctx = ctx;
	d->set = policy_set_empty();
	d->elsewhere = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, unwatch);
	d->folders[0] = watch(d, d->dir);
	d->folders[1] = d->session ? watch(d, d->session) : NULL;
	return d;
}

void policy_dir_destroy(struct policy_dir *d)
{
	if (!d)
		return;
	unwatch(d->folders[0]);
	unwatch(d->folders[1]);
	g_hash_table_destroy(d->elsewhere);
	if (d->settling)
		g_source_remove(d->settling);
	policy_set_free(d->set);
	g_free(d->dir);
	g_free(d->session);
	g_free(d);
}

static gboolean is_not_in(gpointer path, gpointer monitor, gpointer tried)
{
	(void)monitor;
	return !g_hash_table_contains(tried, path);
}

/* Watches exactly what is in `tried`. TRUE: something is watched that was not before. */
static gboolean watch_elsewhere(struct policy_dir *d, GHashTable *tried)
{
	gboolean anew = FALSE;
	GHashTableIter iter;
	gpointer path;

	g_hash_table_foreach_remove(d->elsewhere, is_not_in, tried);
	g_hash_table_iter_init(&iter, tried);
	while (g_hash_table_iter_next(&iter, &path, NULL)) {
		if (g_hash_table_contains(d->elsewhere, path))
			continue;
		g_hash_table_insert(d->elsewhere, g_strdup(path), watch(d, path));
		anew = TRUE;
	}
	return anew;
}

gboolean policy_dir_load(struct policy_dir *d, GError **error)
{
	/* What is watched from now on may have changed since it was read: once more, then. */
	for (int turn = 0;; turn++) {
		g_autoptr(GHashTable) tried =
			g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
		GError *inner = NULL;
		struct policy_set *set = policy_set_load(&d->places, tried, &inner);

		if (watch_elsewhere(d, tried) && turn == 0) {
			g_clear_error(&inner);
			policy_set_free(set);
			continue;
		}
		if (!set) {
			g_propagate_error(error, inner);
			return FALSE;
		}
		policy_set_free(d->set);
		d->set = set;
		return TRUE;
	}
}

const struct policy_set *policy_dir_get(const struct policy_dir *d)
{
	return d->set;
}

const struct policy_places *policy_dir_places(const struct policy_dir *d)
{
	return &d->places;
}
