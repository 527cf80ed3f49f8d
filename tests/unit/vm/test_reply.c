/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <glib.h>
#include <string.h>

#include "reply.h"

#define ID "a1"

struct row {
	const char *bytes;
	size_t len; /* 0: of the string */
	enum reply_result result;
	enum reply_kind kind;
	int word; /* enum qpen_wait or qpen_error */
	const char *text;
};

static const struct row rows[] = {
	{"a1 wait asking", 0, REPLY_PARSED, REPLY_WAIT, QPEN_WAIT_ASKING, ""},
	{"a1 wait queued", 0, REPLY_PARSED, REPLY_WAIT, QPEN_WAIT_QUEUED, ""},
	{"a1 wait starting", 0, REPLY_PARSED, REPLY_WAIT, QPEN_WAIT_STARTING, ""},
	{"a1 ok", 0, REPLY_PARSED, REPLY_OK, 0, ""},
	{"a1 ok xvdg", 0, REPLY_PARSED, REPLY_OK, 0, "xvdg"},
	{"a1 ok two words", 0, REPLY_PARSED, REPLY_OK, 0, "two words"},
	{"a1 error refused", 0, REPLY_PARSED, REPLY_ERROR, QPEN_ERROR_REFUSED, ""},
	{"a1 error busy It is busy", 0, REPLY_PARSED, REPLY_ERROR, QPEN_ERROR_BUSY, "It is busy"},
	{"a1 error failed Straße", 0, REPLY_PARSED, REPLY_ERROR, QPEN_ERROR_FAILED, "Straße"},
	/* not to us */
	{"", 0, REPLY_OTHER_ID, 0, 0, NULL},
	{" ", 0, REPLY_OTHER_ID, 0, 0, NULL},
	{"a2 ok", 0, REPLY_OTHER_ID, 0, 0, NULL},
	{"a1", 0, REPLY_BAD_FORM, 0, 0, NULL},
	{"a1 ", 0, REPLY_OTHER_ID, 0, 0, NULL},
	{"- ok", 0, REPLY_OTHER_ID, 0, 0, NULL},
	{"A1 ok", 0, REPLY_OTHER_ID, 0, 0, NULL},
	{"a1x ok", 0, REPLY_OTHER_ID, 0, 0, NULL},
	{"a ok", 0, REPLY_OTHER_ID, 0, 0, NULL},
	{" a1 ok", 0, REPLY_OTHER_ID, 0, 0, NULL},
	/* not in the grammar */
	{"a1  ok", 0, REPLY_BAD_FORM, 0, 0, NULL},
	{"a1 OK", 0, REPLY_BAD_FORM, 0, 0, NULL},
	{"a1 okay", 0, REPLY_BAD_FORM, 0, 0, NULL},
	{"a1 ok ", 0, REPLY_BAD_FORM, 0, 0, NULL},
	{"a1 wait", 0, REPLY_BAD_FORM, 0, 0, NULL},
	{"a1 wait asking ", 0, REPLY_BAD_FORM, 0, 0, NULL},
	{"a1 wait open disp7", 0, REPLY_PARSED, REPLY_WAIT, QPEN_WAIT_OPEN, "disp7"},
	{"a1 wait open disp\n7", 0, REPLY_BAD_TEXT, 0, 0, NULL},
	{"a1 wait tea", 0, REPLY_BAD_WORD, 0, 0, NULL},
	{"a1 error", 0, REPLY_BAD_FORM, 0, 0, NULL},
	{"a1 error tea", 0, REPLY_BAD_WORD, 0, 0, NULL},
	{"a1 error refuse", 0, REPLY_BAD_WORD, 0, 0, NULL},
	/* nothing that a terminal would act on */
	{"a1 ok \033[31m", 0, REPLY_BAD_TEXT, 0, 0, NULL},
	{"a1 ok x\n", 0, REPLY_BAD_TEXT, 0, 0, NULL},
	{"a1 error failed \x7f", 0, REPLY_BAD_TEXT, 0, 0, NULL},
	{"a1 error failed \xff", 0, REPLY_BAD_TEXT, 0, 0, NULL},
	{"a1 error failed \xc3", 0, REPLY_BAD_TEXT, 0, 0, NULL},
	{"a1 ok x\0y", 9, REPLY_BAD_TEXT, 0, 0, NULL},
	{"a1\0ok", 5, REPLY_OTHER_ID, 0, 0, NULL},
};

static void test_table(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		const struct row *row = &rows[i];
		size_t len = row->len ? row->len : strlen(row->bytes);
		/* Exactly as large as said, so that a sanitizer sees a look past the end. */
		g_autofree char *bytes = g_memdup2(row->bytes, len);
		struct reply reply = {.kind = 77};
		enum reply_result result = reply_parse(bytes, len, ID, &reply);

		g_test_message("row %zu: \"%s\"", i, row->bytes);
		g_assert_cmpint(result, ==, row->result);
		if (result != REPLY_PARSED) {
			g_assert_cmpint(reply.kind, ==, 77);
			continue;
		}
		g_assert_cmpint(reply.kind, ==, row->kind);
		g_assert_cmpstr(reply.text, ==, row->text);
		if (reply.kind == REPLY_WAIT)
			g_assert_cmpint(reply.wait, ==, row->word);
		if (reply.kind == REPLY_ERROR)
			g_assert_cmpint(reply.error, ==, row->word);
	}
}

static void check_words(const char *kind, const char *word)
{
	g_autofree char *line = g_strdup_printf("a1 %s %s", kind, word);
	struct reply reply;

	g_assert_cmpint(reply_parse(line, strlen(line), ID, &reply), ==, REPLY_PARSED);
}

static void test_every_word(void)
{
#define CHECK_ERROR_(name, word) check_words("error", word);
	QPEN_ERRORS(CHECK_ERROR_)
#undef CHECK_ERROR_
#define CHECK_WAIT_(name, word) check_words("wait", word);
	QPEN_WAITS(CHECK_WAIT_)
#undef CHECK_WAIT_
}

static void test_length(void)
{
	char line[QPEN_REPLY_MAX + 1];
	struct reply reply;

	memset(line, 'x', sizeof line);
	for (size_t i = 0; i < 6; i++)
		line[i] = "a1 ok "[i];
	g_assert_cmpint(reply_parse(line, QPEN_REPLY_MAX, ID, &reply), ==, REPLY_PARSED);
	g_assert_cmpuint(strlen(reply.text), ==, QPEN_REPLY_MAX - 6);
	g_assert_cmpint(reply_parse(line, QPEN_REPLY_MAX + 1, ID, &reply), ==, REPLY_TOO_LONG);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vm/reply/table", test_table);
	g_test_add_func("/vm/reply/every-word", test_every_word);
	g_test_add_func("/vm/reply/length", test_length);
	return g_test_run();
}
