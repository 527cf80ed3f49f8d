/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <glib.h>
#include <stdbool.h>

#include "fail.h"
#include "words.h"

static const struct {
	const char *bytes;
	gssize len;
	const char *shown;
} rows[] = {
	{"", -1, ""},
	{"plain name.txt", -1, "plain name.txt"},
	{"Gr\xc3\xbc\xc3\x9f", -1, "Gr\xc3\xbc\xc3\x9f"},
	{"\xe6\x96\x87", -1, "\xe6\x96\x87"},
	{"\033[31mred", -1, "\\x1b[31mred"},
	{"a\nb\tc", -1, "a\\x0ab\\x09c"},
	{"a\\b", -1, "a\\x5cb"},
	{"\xff\xc3", -1, "\\xff\\xc3"},
	{"a\0b", 3, "a\\x00b"},
	/* U+202E turns the direction of writing around; U+0085 is a control character */
	{"a\xe2\x80\xae"
	 "b",
		-1, "a\\xe2\\x80\\xaeb"},
	{"\xc2\x85", -1, "\\xc2\\x85"},
};

static void test_printable(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *shown = vm_printable(rows[i].bytes, rows[i].len);

		g_assert_cmpstr(shown, ==, rows[i].shown);
	}
}

static void test_status(void)
{
	g_autoptr(GError) ours = g_error_new(VM_ERROR, VM_EXIT_DEVICE, "x");
	g_autoptr(GError) other = g_error_new(G_FILE_ERROR, G_FILE_ERROR_IO, "x");

	g_assert_cmpint(vm_exit_status(NULL), ==, 0);
	g_assert_cmpint(vm_exit_status(ours), ==, 4);
	g_assert_cmpint(vm_exit_status(other), ==, 5);
}

static bool add_words(GHashTable *seen, const char *words)
{
	return g_hash_table_add(seen, g_strdup(words));
}

/* Each of dom0's words has words of its own for people. */
static void test_words(void)
{
	g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

#define CHECK_(name, word) g_assert_true(add_words(seen, words_error(QPEN_ERROR_##name)));
	QPEN_ERRORS(CHECK_)
#undef CHECK_
#define CHECK_(name, word) g_assert_true(add_words(seen, words_wait(QPEN_WAIT_##name)));
	QPEN_WAITS(CHECK_)
#undef CHECK_
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vm/fail/printable", test_printable);
	g_test_add_func("/vm/fail/status", test_status);
	g_test_add_func("/vm/words/distinct", test_words);
	return g_test_run();
}
