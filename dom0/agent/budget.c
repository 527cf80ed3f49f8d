/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "budget.h"

#define MINUTE_MS 60000
/* So many VMs are remembered before those that were quiet for a minute are forgotten. */
#define VMS_MAX 256

/* When the last ones were shown; a ring, the oldest at `next`. */
struct account {
	gint64 shown_ms[BUDGET_PER_MINUTE];
	guint n_shown; /* BUDGET_PER_MINUTE at most */
	guint next;
	guint left_out;
	gint64 last_ms;
};

struct budget {
	GHashTable *accounts; /* name -> struct account, owned */
};

struct budget *budget_create(void)
{
	struct budget *b = g_new0(struct budget, 1);

	b->accounts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	return b;
}

void budget_destroy(struct budget *b)
{
	if (!b)
		return;
	g_hash_table_destroy(b->accounts);
	g_free(b);
}

static gboolean is_quiet(gpointer name, gpointer value, gpointer now_ms)
{
	(void)name;
	return *(gint64 *)now_ms - ((struct account *)value)->last_ms >= MINUTE_MS;
}

static struct account *find_account(struct budget *b, const char *vm, gint64 now_ms)
{
	struct account *a = g_hash_table_lookup(b->accounts, vm);

	if (a)
		return a;
	if (g_hash_table_size(b->accounts) >= VMS_MAX)
		g_hash_table_foreach_remove(b->accounts, is_quiet, &now_ms);
	a = g_new0(struct account, 1);
	g_hash_table_insert(b->accounts, g_strdup(vm), a);
	return a;
}

gboolean budget_take(struct budget *b, const char *vm, gint64 now_ms, guint *left_out)
{
	struct account *a = find_account(b, vm, now_ms);

	a->last_ms = now_ms;
	if (a->n_shown == BUDGET_PER_MINUTE && now_ms - a->shown_ms[a->next] < MINUTE_MS) {
		a->left_out++;
		return FALSE;
	}
	a->shown_ms[a->next] = now_ms;
	a->next = (a->next + 1) % BUDGET_PER_MINUTE;
	a->n_shown = MIN(a->n_shown + 1, BUDGET_PER_MINUTE);
	*left_out = a->left_out;
	a->left_out = 0;
	return TRUE;
}
