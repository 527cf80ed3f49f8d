/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "budgets.h"

#include "clock.h"

/* So many buckets are kept before those that are full again, and so say nothing, are dropped. */
#define SWEEP_AT 64

/* What the user was not told yet. */
struct silence {
	guint n_refused;
	gint64 ends_ms;
};

struct budgets {
	GHashTable *buckets;  /* a name or a uuid -> struct bucket; owned */
	guint sweep_at;       /* so many buckets */
	GHashTable *silences; /* name -> struct silence; owned */
};

struct budgets *budgets_create(void)
{
	struct budgets *b = g_new0(struct budgets, 1);

	b->buckets = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	b->sweep_at = SWEEP_AT;
	b->silences = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	return b;
}

void budgets_destroy(struct budgets *b)
{
	if (!b)
		return;
	g_hash_table_destroy(b->buckets);
	g_hash_table_destroy(b->silences);
	g_free(b);
}

/* ---- buckets ---- */

/* A uuid could be a VM's name. */
static char *name_key(const struct vm_id *vm)
{
	return g_strconcat("name ", vm->name, NULL);
}

static char *uuid_key(const struct vm_id *vm)
{
	return g_strconcat("uuid ", vm->uuid, NULL);
}

static gboolean is_full(gpointer key, gpointer bucket, gpointer now_ms)
{
	(void)key;
	return bucket_is_full(bucket, *(gint64 *)now_ms);
}

static gboolean have(
	struct budgets *b, char *owned_key, const struct bucket_limits *limits, gint64 now_ms)
{
	g_autofree char *key = owned_key;
	struct bucket *bucket = g_hash_table_lookup(b->buckets, key);

	return !bucket || bucket_has(bucket, limits, now_ms);
}

static void take(
	struct budgets *b, char *owned_key, const struct bucket_limits *limits, gint64 now_ms)
{
	struct bucket *bucket = g_hash_table_lookup(b->buckets, owned_key);

	if (!bucket) {
		bucket = g_new0(struct bucket, 1);
		g_hash_table_insert(b->buckets, owned_key, bucket);
	} else {
		g_free(owned_key);
	}
	bucket_take(bucket, limits, now_ms);
}

gboolean budgets_have(struct budgets *b, const struct vm_id *vm, const struct bucket_limits *limits,
	gint64 now_ms)
{
	return have(b, name_key(vm), limits, now_ms) && have(b, uuid_key(vm), limits, now_ms);
}

void budgets_take(struct budgets *b, const struct vm_id *vm, const struct bucket_limits *limits,
	gint64 now_ms)
{
	if (g_hash_table_size(b->buckets) >= b->sweep_at) {
		g_hash_table_foreach_remove(b->buckets, is_full, &now_ms);
		b->sweep_at = MAX(SWEEP_AT, 2 * g_hash_table_size(b->buckets));
	}
	take(b, name_key(vm), limits, now_ms);
	take(b, uuid_key(vm), limits, now_ms);
}

void budgets_set_limits(struct budgets *b, const struct bucket_limits *limits, gint64 now_ms)
{
	GHashTableIter iter;
	gpointer bucket;

	g_hash_table_iter_init(&iter, b->buckets);
	while (g_hash_table_iter_next(&iter, NULL, &bucket))
		bucket_settle(bucket, limits, now_ms);
}

/* ---- what the user hears ---- */

gboolean budgets_refused(struct budgets *b, const char *vm, gint64 now_ms)
{
	struct silence *silence = g_hash_table_lookup(b->silences, vm);

	if (silence) {
		silence->n_refused++;
		return FALSE;
	}
	silence = g_new0(struct silence, 1);
	silence->ends_ms = now_ms + BUDGETS_NOTICE_MS;
	g_hash_table_insert(b->silences, g_strdup(vm), silence);
	return TRUE;
}

gint64 budgets_summary_ms(struct budgets *b)
{
	GHashTableIter iter;
	gpointer value;
	gint64 first_ms = CLOCK_NEVER;

	g_hash_table_iter_init(&iter, b->silences);
	while (g_hash_table_iter_next(&iter, NULL, &value))
		first_ms = MIN(first_ms, ((struct silence *)value)->ends_ms);
	return first_ms;
}

char *budgets_summary(struct budgets *b, gint64 now_ms, guint *n_refused)
{
	GHashTableIter iter;
	gpointer name, value;

	g_hash_table_iter_init(&iter, b->silences);
	while (g_hash_table_iter_next(&iter, &name, &value)) {
		struct silence *silence = value;

		if (silence->ends_ms > now_ms)
			continue;
		if (silence->n_refused == 0) { /* it is quiet again */
			g_hash_table_iter_remove(&iter);
			continue;
		}
		*n_refused = silence->n_refused;
		silence->n_refused = 0;
		silence->ends_ms = now_ms + BUDGETS_NOTICE_MS;
		return g_strdup(name);
	}
	return NULL;
}
