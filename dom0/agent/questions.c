/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "questions.h"

#include <string.h>

#include "words.h"

/* VMs that are named when those that wait are counted. */
#define NAMED_MAX 3

static char *lookup_text(GVariant *facts, const char *key)
{
	const char *text = "";

	g_variant_lookup(facts, key, "&s", &text);
	return g_strdup(text);
}

struct question *question_new(guint64 id, GVariant *facts, gint64 now_ms)
{
	struct question *q = g_new0(struct question, 1);
	guint64 expires_s = QUESTION_LIFETIME_S;

	q->id = id;
	q->sender = lookup_text(facts, "sender");
	q->receiver = lookup_text(facts, "receiver");
	q->sender_label = lookup_text(facts, "sender-label");
	q->receiver_label = lookup_text(facts, "receiver-label");
	q->kind = lookup_text(facts, "kind");
	/* Where the daemon does not say: about DisposableVMs none does. */
	if (!g_variant_lookup(facts, "can-remember", "b", &q->can_remember))
		q->can_remember = strcmp(q->kind, "disposable") != 0;
	g_variant_lookup(facts, "size", "t", &q->size_bytes);
	q->used_known = g_variant_lookup(facts, "used", "t", &q->used_bytes);
	g_variant_lookup(facts, "expires", "t", &expires_s);
	q->asked_ms = now_ms;
	/* A day is longer than any question lives. */
	q->expires_ms = now_ms + (gint64)MIN(expires_s, 86400) * 1000;
	return q;
}

void question_free(struct question *q)
{
	if (!q)
		return;
	g_free(q->sender);
	g_free(q->receiver);
	g_free(q->sender_label);
	g_free(q->receiver_label);
	g_free(q->kind);
	g_free(q);
}

void questions_init(struct questions *qs)
{
	qs->current = NULL;
	g_queue_init(&qs->waiting);
}

static void free_waiting(gpointer q)
{
	question_free(q);
}

void questions_clear(struct questions *qs)
{
	g_clear_pointer(&qs->current, question_free);
	g_queue_clear_full(&qs->waiting, free_waiting);
}

gboolean questions_add(struct questions *qs, struct question *q)
{
	if (qs->waiting.length >= QUESTIONS_MAX)
		return FALSE;
	if (qs->current)
		g_queue_push_tail(&qs->waiting, q);
	else
		qs->current = q;
	return TRUE;
}

static gint is_from_another(gconstpointer question, gconstpointer sender)
{
	return strcmp(((const struct question *)question)->sender, sender) == 0;
}

static struct question *take_current(struct questions *qs)
{
	struct question *q = qs->current;
	GList *next = g_queue_find_custom(&qs->waiting, q->sender, is_from_another);

	if (!next)
		next = qs->waiting.head;
	qs->current = next ? next->data : NULL;
	if (next)
		g_queue_delete_link(&qs->waiting, next);
	return q;
}

static struct question *take_link(struct questions *qs, GList *link)
{
	struct question *q = link->data;

	g_queue_delete_link(&qs->waiting, link);
	return q;
}

struct question *questions_take(struct questions *qs, guint64 id)
{
	if (qs->current && qs->current->id == id)
		return take_current(qs);
	for (GList *l = qs->waiting.head; l; l = l->next)
		if (((struct question *)l->data)->id == id)
			return take_link(qs, l);
	return NULL;
}

struct question *questions_take_expired(struct questions *qs, gint64 now_ms)
{
	/* Those that wait first: one of them would become current for no time at all. */
	for (GList *l = qs->waiting.head; l; l = l->next)
		if (((struct question *)l->data)->expires_ms <= now_ms)
			return take_link(qs, l);
	if (qs->current && qs->current->expires_ms <= now_ms)
		return take_current(qs);
	return NULL;
}

struct question *questions_take_any(struct questions *qs)
{
	return qs->current ? take_current(qs) : NULL;
}

static guint count_from(const struct questions *qs, const char *sender)
{
	guint n = 0;

	for (GList *l = qs->waiting.head; l; l = l->next)
		if (strcmp(((struct question *)l->data)->sender, sender) == 0)
			n++;
	return n;
}

char *questions_waiting(const struct questions *qs)
{
	g_autoptr(GPtrArray) named = g_ptr_array_new();
	GString *text = g_string_new(NULL);
	guint n_left = qs->waiting.length;

	for (GList *l = qs->waiting.head; l && named->len < NAMED_MAX; l = l->next) {
		char *sender = ((struct question *)l->data)->sender;
		g_autofree char *shown = NULL;
		guint n;

		if (g_ptr_array_find_with_equal_func(named, sender, g_str_equal, NULL))
			continue;
		n = count_from(qs, sender);
		shown = words_name(sender);
		g_string_append_printf(
			text, named->len ? ", %u from %s" : "%u more from %s", n, shown);
		g_ptr_array_add(named, sender);
		n_left -= n;
	}
	if (n_left > 0)
		g_string_append_printf(text, ", %u from others", n_left);
	return g_string_free(text, text->len == 0);
}
