/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "items.h"

#include <string.h>

#include "text.h"
#include "words.h"

const char *const item_titles[N_ITEM_COLUMNS] = {
	[ITEM_WHAT] = "What",
	[ITEM_FROM] = "From",
	[ITEM_TO] = "To",
	[ITEM_STATE] = "State",
	[ITEM_SIZE] = "Size",
	[ITEM_AGE] = "Age",
};

void item_free(struct item *item)
{
	g_free(item->key);
	g_free(item->name);
	g_free(item->spoken);
	for (int i = 0; i < N_ITEM_COLUMNS; i++)
		g_free(item->text[i]);
	g_free(item);
}

static const char *text_of(GVariant *facts, const char *key)
{
	const char *text = "";

	g_variant_lookup(facts, key, "&s", &text);
	return text;
}

static guint64 number_of(GVariant *facts, const char *key)
{
	guint64 number = 0;

	g_variant_lookup(facts, key, "t", &number);
	return number;
}

static char *name_or_dash(const char *name)
{
	return *name ? words_name(name) : g_strdup("-");
}

/* Before it has a receiver, nothing is lost but what was copied: its sender may go on with it. */
static const char *transfer_action(const char *state, const char *place)
{
	if (strcmp(state, "discarding") == 0 || strcmp(state, "taking-back") == 0 ||
		strcmp(state, "refusing") == 0)
		return NULL;
	return strcmp(place, "receiver") == 0 ? "Take back" : "Cancel";
}

struct item *item_of_transfer(GVariant *facts)
{
	struct item *item = g_new0(struct item, 1);

	item->kind = ITEM_TRANSFER;
	item->id = number_of(facts, "id");
	item->key = g_strdup_printf("transfer %" G_GUINT64_FORMAT, item->id);
	item->text[ITEM_WHAT] = g_strdup_printf("pendrive %" G_GUINT64_FORMAT, item->id);
	item->text[ITEM_FROM] = name_or_dash(text_of(facts, "sender"));
	item->text[ITEM_TO] = name_or_dash(text_of(facts, "receiver"));
	item->text[ITEM_STATE] = words_state(text_of(facts, "state"));
	item->text[ITEM_SIZE] = text_size(number_of(facts, "size"));
	item->text[ITEM_AGE] = text_duration(number_of(facts, "age"));
	item->action = transfer_action(text_of(facts, "state"), text_of(facts, "place"));
	item->spoken = g_strdup_printf(
		"%s %s", item->action ? item->action : "Nothing for", item->text[ITEM_WHAT]);
	return item;
}

struct item *item_of_disposable(GVariant *facts)
{
	struct item *item = g_new0(struct item, 1);
	const char *state = text_of(facts, "state");

	item->kind = ITEM_DISPOSABLE;
	item->name = g_strdup(text_of(facts, "name"));
	item->key = g_strdup_printf("disposable %s", item->name);
	item->text[ITEM_WHAT] = g_strdup("DisposableVM");
	item->text[ITEM_FROM] = name_or_dash(text_of(facts, "opener"));
	item->text[ITEM_TO] = words_name(item->name);
	item->text[ITEM_STATE] = words_state(state);
	item->text[ITEM_SIZE] = g_strdup("");
	item->text[ITEM_AGE] = text_duration(number_of(facts, "age"));
	item->action = strcmp(state, "destroying") == 0 ? NULL : "Destroy";
	item->spoken = g_strdup_printf("Destroy %s", item->text[ITEM_TO]);
	return item;
}

struct item *item_of_blocked(const char *vm, guint seconds_left)
{
	struct item *item = g_new0(struct item, 1);
	g_autofree char *left = text_duration(seconds_left);

	item->kind = ITEM_BLOCKED;
	item->name = g_strdup(vm);
	item->key = g_strdup_printf("blocked %s", vm);
	item->text[ITEM_WHAT] = g_strdup("blocked VM");
	item->text[ITEM_FROM] = words_name(vm);
	item->text[ITEM_TO] = g_strdup("");
	item->text[ITEM_STATE] =
		seconds_left ? g_strdup_printf("for %s more", left) : g_strdup("until unblocked");
	item->text[ITEM_SIZE] = g_strdup("");
	item->text[ITEM_AGE] = g_strdup("");
	item->action = "Unblock";
	item->spoken = g_strdup_printf("Unblock %s", item->text[ITEM_FROM]);
	return item;
}
