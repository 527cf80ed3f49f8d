/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the agent makes of a question and of a notice that came over the bus: the bytes are their
 * arguments as D-Bus values of the right outer type. What is shown is printable text of a bounded
 * length, and no question lives longer than a day.
 */
#include <glib.h>
#include <string.h>

#include "fuzz.h"
#include "questions.h"
#include "words.h"

#define NOW_MS 1000
/* The longest sentence: four names and numbers. Each character of a name may be shown as
 * \u{10ffff}. */
#define LONGEST 4000

static void check_text(char *text)
{
	if (!text)
		return;
	g_assert_true(g_utf8_validate(text, -1, NULL));
	g_assert_cmpuint(strlen(text), <, LONGEST);
	for (char *p = text; *p; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);

		g_assert_true(c == '\n' || g_unichar_isprint(c));
		g_assert_cmpint(g_unichar_type(c), !=, G_UNICODE_FORMAT);
	}
	g_free(text);
}

static void check_question(GVariant *facts)
{
	struct questions qs;
	struct question *q = question_new(1, facts, NOW_MS);

	g_assert_cmpint(q->expires_ms, >=, NOW_MS);
	g_assert_cmpint(q->expires_ms, <=, NOW_MS + G_GINT64_CONSTANT(86400000));
	check_text(words_vm(q->sender, q->sender_label));
	check_text(words_vm(q->receiver, q->receiver_label));
	check_text(words_kind(q->kind));
	check_text(words_size(q));
	check_text(words_question(q));
	questions_init(&qs);
	g_assert_true(questions_add(&qs, q));
	g_assert_true(questions_add(&qs, question_new(2, facts, NOW_MS)));
	check_text(questions_waiting(&qs));
	questions_clear(&qs);
}

static void check_notice(const char *what, GVariant *details)
{
	char *title = NULL, *body = NULL;

	words_notice(what, details, &title, &body);
	g_assert_cmpstr(title, !=, "");
	check_text(title);
	g_assert_nonnull(body);
	check_text(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GBytes) bytes = g_bytes_new(data, size);
	g_autoptr(GVariant) raw = g_variant_ref_sink(
		g_variant_new_from_bytes(G_VARIANT_TYPE("(sa{sv})"), bytes, FALSE));
	/* As GDBus hands it on: what is not sound is replaced by defaults. */
	g_autoptr(GVariant) call = g_variant_get_normal_form(raw);
	g_autoptr(GVariant) dictionary = g_variant_get_child_value(call, 1);
	const char *what;

	g_variant_get_child(call, 0, "&s", &what);
	check_question(dictionary);
	check_notice(what, dictionary);
	return 0;
}
