/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of VMs, request IDs and SEQs: the validators that dom0 and the VMs share. */
#include <glib.h>
#include <string.h>

#include "qpen_words.h"

#define NAME63 "n23456789012345678901234567890123456789012345678901234567890123"

static const struct {
	const char *label, *name;
	gboolean ok;
} names[] = {
	{"a letter", "a", TRUE},
	{"a digit", "7", TRUE},
	{"ordinary", "personal", TRUE},
	{"dom0's name with other capitals", "domain-0", TRUE},
	{"longer than dom0's", "Domain-01", TRUE},
	{"shorter than dom0's", "Domain-", TRUE},
	{"the word, capital", "Disposable", TRUE},
	{"the word and more", "disposable1", TRUE},
	{"Qubes' own kind", "disp1234", TRUE},
	{"all marks", "a_.+-", TRUE},
	{"63 bytes", NAME63, TRUE},
	{"64 bytes", NAME63 "4", FALSE},
	{"empty", "", FALSE},
	{"dom0", "Domain-0", FALSE},
	{"the word", "disposable", FALSE},
	{"a dash first", "-a", FALSE},
	{"a dot first", ".a", FALSE},
	{"an underscore first", "_a", FALSE},
	{"a plus first", "+a", FALSE},
	{"only dots", "..", FALSE},
	{"a space within", "a b", FALSE},
	{"a space at the end", "a ", FALSE},
	{"a slash", "a/b", FALSE},
	{"a colon", "a:b", FALSE},
	{"a hash", "a#b", FALSE},
	{"a newline", "a\n", FALSE},
	{"UTF-8",
		"stra\xc3\x9f"
		"e",
		FALSE},
	{"Latin-1",
		"stra\xdf"
		"e",
		FALSE},
};

static void test_names(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		g_test_message("%s", names[i].label);
		g_assert_cmpint(
			qpen_is_vm_name(names[i].name, strlen(names[i].name)), ==, names[i].ok);
	}
}

static gboolean is_alnum(int byte)
{
	return byte < 0x80 && g_ascii_isalnum((char)byte);
}

/* The whole alphabet, first and within. */
static void test_alphabet(void)
{
	for (int byte = 0; byte < 256; byte++) {
		const char first[] = {(char)byte, 'a'}, second[] = {'a', (char)byte, 'a'};
		gboolean mark = byte == '_' || byte == '.' || byte == '+' || byte == '-';

		g_test_message("byte 0x%02x", (unsigned)byte);
		g_assert_cmpint(qpen_is_vm_name(first, sizeof first), ==, is_alnum(byte));
		g_assert_cmpint(qpen_is_vm_name(second, sizeof second), ==, is_alnum(byte) || mark);
		g_assert_cmpint(qpen_is_request_id(second, sizeof second), ==, is_alnum(byte));
		g_assert_cmpint(qpen_is_seq(second, sizeof second), ==, is_alnum(byte));
	}
}

static void test_lengths(void)
{
	char word[64];

	memset(word, 'x', sizeof word);
	for (size_t len = 0; len <= sizeof word; len++) {
		g_assert_cmpint(qpen_is_request_id(word, len), ==, len >= 1 && len <= 32);
		g_assert_cmpint(qpen_is_seq(word, len), ==, len >= 1 && len <= 32);
		g_assert_cmpint(qpen_is_vm_name(word, len), ==, len >= 1 && len <= 63);
	}
	/* What stands for `none` is no ID, or an answer to nobody would be one to somebody. */
	g_assert_false(qpen_is_request_id(QPEN_ID_NONE, strlen(QPEN_ID_NONE)));
	g_assert_true(qpen_is_seq(QPEN_SEQ_NONE, strlen(QPEN_SEQ_NONE)));
}

static void test_word(void)
{
	g_assert_true(qpen_is_word("new", 3, "new"));
	g_assert_false(qpen_is_word("new", 2, "new"));
	g_assert_false(qpen_is_word("newer", 5, "new"));
	g_assert_false(qpen_is_word("ne\0", 3, "ne"));
	g_assert_true(qpen_is_word("newer", 3, "new"));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/words/names", test_names);
	g_test_add_func("/words/alphabet", test_alphabet);
	g_test_add_func("/words/lengths", test_lengths);
	g_test_add_func("/words/word", test_word);
	return g_test_run();
}
