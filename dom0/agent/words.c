/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "words.h"

#include <string.h>

#include "text.h"

#define NAME_MAX_CHARS 64
#define REASON_MAX_CHARS 300

/* Isprint of GLib lets format characters pass that turn the order of the others. */
static gboolean is_showable(gunichar c)
{
	return g_unichar_isprint(c) && !g_unichar_iszerowidth(c) &&
	       g_unichar_type(c) != G_UNICODE_FORMAT;
}

static char *make_showable(const char *raw, guint max_chars)
{
	g_autofree char *valid = g_utf8_make_valid(raw, -1);
	GString *text = g_string_new(NULL);
	guint n = 0;

	for (char *p = valid; *p; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);

		if (n++ == max_chars) {
			g_string_append(text, "...");
			break;
		}
		if (is_showable(c))
			g_string_append_unichar(text, c);
		else
			g_string_append_printf(text, c < 0x80 ? "\\x%02x" : "\\u{%x}", c);
	}
	return g_string_free(text, FALSE);
}

char *words_name(const char *name)
{
	return *name ? make_showable(name, NAME_MAX_CHARS) : g_strdup("(no name)");
}

char *words_vm(const char *name, const char *label)
{
	g_autofree char *shown = words_name(name);
	g_autofree char *shown_label = NULL;

	if (!*label)
		return g_steal_pointer(&shown);
	shown_label = words_name(label);
	return g_strdup_printf("%s (%s)", shown, shown_label);
}

char *words_kind(const char *kind)
{
	if (strcmp(kind, "files") == 0 || !*kind)
		return g_strdup("files, on a pendrive");
	if (strcmp(kind, "disposable") == 0)
		return g_strdup("one file, to be opened in a DisposableVM");
	return words_name(kind);
}

char *words_size(const struct question *q)
{
	g_autofree char *size = text_size(q->size_bytes);
	g_autofree char *used = text_size(q->used_bytes);

	if (!q->used_known)
		return g_steal_pointer(&size);
	return g_strdup_printf("%s, %s of it used", size, used);
}

char *words_countdown(gint64 left_ms)
{
	gint64 left_s = (MAX(left_ms, 0) + 999) / 1000;

	return g_strdup_printf("Refused by itself in %" G_GINT64_FORMAT " s", left_s);
}

char *words_question(const struct question *q)
{
	g_autofree char *sender = words_vm(q->sender, q->sender_label);
	g_autofree char *receiver = words_vm(q->receiver, q->receiver_label);
	g_autofree char *kind = words_kind(q->kind);
	g_autofree char *size = words_size(q);

	return g_strdup_printf(
		"%s wants to send a pendrive to %s: %s, %s", sender, receiver, kind, size);
}

/* ---- notifications ---- */

enum notice { PREPARING, NO_MEMORY, DELIVERED, REFUSED, FAILED, BLOCKED, TOO_OFTEN, N_NOTICES };

static const char *const notice_words[N_NOTICES] = {
	[PREPARING] = "preparing",
	[NO_MEMORY] = "no-memory",
	[DELIVERED] = "delivered",
	[REFUSED] = "refused",
	[FAILED] = "failed",
	[BLOCKED] = "blocked",
	[TOO_OFTEN] = "too-often",
};

static enum notice find_notice(const char *what)
{
	int i;

	for (i = 0; i < N_NOTICES; i++)
		if (strcmp(what, notice_words[i]) == 0)
			break;
	return (enum notice)i;
}

static char *lookup_showable(GVariant *details, const char *key, guint max_chars)
{
	const char *raw = "";

	g_variant_lookup(details, key, "&s", &raw);
	return *raw ? make_showable(raw, max_chars) : NULL;
}

/* "From work to personal: why." with what is known of it. */
static char *crossing(const char *vm, const char *receiver, const char *reason)
{
	GString *text = g_string_new(NULL);

	if (vm)
		g_string_append_printf(text, "From %s", vm);
	if (receiver)
		g_string_append_printf(text, "%s %s", vm ? " to" : "To", receiver);
	if (reason)
		g_string_append_printf(text, "%s%s", text->len ? ": " : "", reason);
	if (text->len)
		g_string_append_c(text, '.');
	return g_string_free(text, FALSE);
}

static char *too_often(GVariant *details)
{
	guint32 n = 0;

	g_variant_lookup(details, "count", "u", &n);
	return n == 0 ? g_strdup("What it sends is refused for now, unasked.")
		      : g_strdup_printf("%u more of its pendrives %s refused, unasked.", n,
				n == 1 ? "was" : "were");
}

void words_notice(const char *what, GVariant *details, char **title, char **body)
{
	g_autofree char *vm = lookup_showable(details, "vm", NAME_MAX_CHARS);
	g_autofree char *receiver = lookup_showable(details, "receiver", NAME_MAX_CHARS);
	g_autofree char *reason = lookup_showable(details, "reason", REASON_MAX_CHARS);
	g_autofree char *facts = crossing(vm, receiver, reason);
	g_autofree char *word = NULL;

	switch (find_notice(what)) {
	case PREPARING:
		*title = g_strdup("DisposableVMs are being prepared");
		*body = vm ? g_strdup_printf("The file from %s opens when that is done.", vm)
			   : g_strdup("Files open in them when that is done.");
		return;
	case NO_MEMORY:
		*title = g_strdup("Not enough memory for a DisposableVM");
		*body = g_strdup_printf(
			"%s wanted to open a file in one. Shut a VM down, and try again.",
			vm ? vm : "A VM");
		return;
	case DELIVERED:
		*title = g_strdup("Pendrive delivered");
		*body = g_steal_pointer(&facts);
		return;
	case REFUSED:
		*title = g_strdup("Pendrive refused");
		*body = g_steal_pointer(&facts);
		return;
	case FAILED:
		*title = g_strdup("A pendrive was not delivered");
		*body = g_strdup_printf(
			"%s%sThe log of qfilexchgd says more.", facts, *facts ? " " : "");
		return;
	case BLOCKED:
		*title = g_strdup_printf("%s is blocked", vm ? vm : "A VM");
		*body = g_strdup(
			"What it sends is refused, unasked. The list of pendrives lets you "
			"unblock it.");
		return;
	case TOO_OFTEN:
		*title = g_strdup_printf("%s asks too often", vm ? vm : "A VM");
		*body = too_often(details);
		return;
	case N_NOTICES:
		break;
	}
	/* Of a later daemon. */
	word = words_name(what);
	*title = g_strdup_printf("Pendrives: %s", word);
	*body = g_steal_pointer(&facts);
}

char *words_left_out(guint n, const char *vm)
{
	g_autofree char *shown = words_name(vm);

	if (n == 0)
		return NULL;
	if (!*vm)
		return g_strdup_printf("%u more were left out.", n);
	return g_strdup_printf("%u more about %s were left out.", n, shown);
}

/* ---- states ---- */

static const struct {
	const char *state, *text;
} states[] = {
	{"making", "being made"},
	{"attaching-out", "being lent"},
	{"lent", "with its sender"},
	{"freezing", "being taken from its sender"},
	{"asking", "you are asked"},
	{"starting-vm", "a DisposableVM is started"},
	{"queued", "waits for its receiver"},
	{"attaching-in", "being handed over"},
	{"delivered", "with its receiver"},
	{"taking-back", "being taken back"},
	{"discarding", "being removed"},
	{"refusing", "refused"},
	{"clearing", "left over, being removed"},
	{"preparing", "being prepared"},
	{"pooled", "kept ready"},
	{"ready", "waits for its file"},
	{"open", "open"},
	{"answering", "sends its answer"},
	{"destroying", "being destroyed"},
};

char *words_state(const char *state)
{
	for (size_t i = 0; i < G_N_ELEMENTS(states); i++)
		if (strcmp(state, states[i].state) == 0)
			return g_strdup(states[i].text);
	return words_name(state);
}
