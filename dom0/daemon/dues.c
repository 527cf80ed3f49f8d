/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dues.h"

struct dues {
	struct clock_port clock;
	GTree *tree;     /* struct due, in what they belong to */
	gint64 alarm_ms; /* what the clock was asked for last */
};

static gint compare(gconstpointer a, gconstpointer b, gpointer unused)
{
	const struct due *l = a, *r = b;

	(void)unused;
	if (l->at_ms != r->at_ms)
		return l->at_ms < r->at_ms ? -1 : 1;
	if (l->kind != r->kind)
		return l->kind < r->kind ? -1 : 1;
	if (l->key != r->key)
		return l->key < r->key ? -1 : 1;
	return 0;
}

static struct due *first(struct dues *d)
{
	GTreeNode *node = g_tree_node_first(d->tree);

	return node ? g_tree_node_value(node) : NULL;
}

static void set_alarm(struct dues *d)
{
	const struct due *due = first(d);
	gint64 at_ms = due ? due->at_ms : CLOCK_NEVER;

	if (at_ms == d->alarm_ms)
		return;
	d->alarm_ms = at_ms;
	d->clock.set_alarm(d->clock.ctx, at_ms);
}

struct dues *dues_create(const struct clock_port *clock)
{
	struct dues *d = g_new0(struct dues, 1);

	d->clock = *clock;
	d->tree = g_tree_new_full(compare, NULL, NULL, NULL);
	d->alarm_ms = CLOCK_NEVER;
	return d;
}

void dues_destroy(struct dues *d)
{
	g_tree_destroy(d->tree);
	g_free(d);
}

gint64 dues_now_ms(struct dues *d)
{
	return d->clock.now_ms(d->clock.ctx);
}

void dues_arm(struct dues *d, struct due *due, gint64 at_ms)
{
	if (due->armed)
		g_tree_remove(d->tree, due);
	due->at_ms = at_ms;
	g_tree_insert(d->tree, due, due);
	due->armed = TRUE;
	set_alarm(d);
}

void dues_disarm(struct dues *d, struct due *due)
{
	if (!due->armed)
		return;
	g_tree_remove(d->tree, due);
	due->armed = FALSE;
	set_alarm(d);
}

struct due *dues_next(struct dues *d)
{
	struct due *due = first(d);

	if (!due || due->at_ms > dues_now_ms(d)) {
		d->alarm_ms = CLOCK_NEVER; /* it rang; the next one has to be asked for */
		set_alarm(d);
		return NULL;
	}
	g_tree_remove(d->tree, due);
	due->armed = FALSE;
	return due;
}
