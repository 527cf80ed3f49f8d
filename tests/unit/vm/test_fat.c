/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What vfat carries: names and sizes. */
#include <glib.h>
#include <string.h>

#include "fatname.h"
#include "fit.h"

static const struct {
	const char *name;
	enum fatname_result result;
	uint32_t slots;
} names[] = {
	{"a", FATNAME_OK, 2},
	{"README.txt", FATNAME_OK, 2},
	{"thirteen char", FATNAME_OK, 2},
	{"fourteen chars", FATNAME_OK, 3},
	{"with space", FATNAME_OK, 2},
	{" leading", FATNAME_OK, 2},
	{".hidden", FATNAME_OK, 2},
	{"..a", FATNAME_OK, 2},
	{"a'b&c;d$(e)`f`!", FATNAME_OK, 3},
	{"Grüße", FATNAME_OK, 2},
	{"\xe6\x96\x87\xe4\xbb\xb6", FATNAME_OK, 2},
	{"\xf0\x9f\x98\x80", FATNAME_OK, 2},
	{"\x7f", FATNAME_OK, 2},
	{"", FATNAME_EMPTY, 0},
	{"a:b", FATNAME_CHARACTER, 0},
	{"why?", FATNAME_CHARACTER, 0},
	{"\"", FATNAME_CHARACTER, 0},
	{"*", FATNAME_CHARACTER, 0},
	{"<", FATNAME_CHARACTER, 0},
	{">", FATNAME_CHARACTER, 0},
	{"|", FATNAME_CHARACTER, 0},
	{"a\\b", FATNAME_CHARACTER, 0},
	{"a/b", FATNAME_CHARACTER, 0},
	{"a\nb", FATNAME_CONTROL, 0},
	{"\x01", FATNAME_CONTROL, 0},
	{"a.", FATNAME_END, 0},
	{"...", FATNAME_END, 0},
	{"a ", FATNAME_END, 0},
	{" ", FATNAME_END, 0},
	{"caf\xe9", FATNAME_NOT_UTF8, 0},
	{"\xc3", FATNAME_NOT_UTF8, 0},
	{"\xed\xa0\x80", FATNAME_NOT_UTF8, 0},
};

static void test_names(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		size_t len = strlen(names[i].name);

		g_test_message("%s", names[i].name);
		g_assert_cmpint(fatname_check(names[i].name, len), ==, names[i].result);
		if (names[i].result == FATNAME_OK)
			g_assert_cmpuint(fatname_slots(names[i].name, len), ==, names[i].slots);
		else
			g_assert_cmpstr(fatname_text(names[i].result), !=, "");
	}
	/* A NUL among counted bytes is a control character, too. */
	g_assert_cmpint(fatname_check("a\0b", 3), ==, FATNAME_CONTROL);
}

static void test_length(void)
{
	char name[257];

	memset(name, 'x', sizeof name);
	g_assert_cmpint(fatname_check(name, 255), ==, FATNAME_OK);
	g_assert_cmpuint(fatname_slots(name, 255), ==, 21);
	g_assert_cmpint(fatname_check(name, 256), ==, FATNAME_TOO_LONG);
}

/* Whoever reads two of them can tell what was wrong. */
static void test_texts(void)
{
	for (int i = FATNAME_EMPTY; i <= FATNAME_TOO_LONG; i++) {
		g_assert_cmpstr(fatname_text((enum fatname_result)i), !=, "");
		for (int j = FATNAME_EMPTY; j < i; j++)
			g_assert_cmpstr(fatname_text((enum fatname_result)i), !=,
				fatname_text((enum fatname_result)j));
	}
	g_assert_cmpstr(fatname_text(FATNAME_OK), ==, "");
}

static void test_keys(void)
{
	g_autofree char *a = fatname_key("README.\xc3\x84");
	g_autofree char *b = fatname_key("ReadMe.\xc3\x84");
	g_autofree char *c = fatname_key("readme.\xc3\xa4");

	g_assert_cmpstr(a, ==, b);
	g_assert_cmpstr(a, !=, c);
}

static void test_add(void)
{
	uint64_t sum = 0;

	g_assert_true(fit_add(&sum, 0, 4096));
	g_assert_cmpuint(sum, ==, 0);
	g_assert_true(fit_add(&sum, 1, 4096));
	g_assert_cmpuint(sum, ==, 4096);
	g_assert_true(fit_add(&sum, 4096, 4096));
	g_assert_cmpuint(sum, ==, 8192);
	g_assert_false(fit_add(&sum, UINT64_MAX, 4096));
	g_assert_false(fit_add(&sum, UINT64_MAX - 8191, 4096));
	g_assert_cmpuint(sum, ==, 8192);
}

static void test_size(void)
{
	uint64_t size = 42;

	g_assert_true(fit_size(0, &size));
	g_assert_cmpuint(size, ==, 0);
	g_assert_true(fit_size(60 * FIT_MIB, &size));
	g_assert_cmpuint(size, ==, 0);
	g_assert_true(fit_size(64 * FIT_MIB, &size));
	g_assert_cmpuint(size, ==, 128 * FIT_MIB);
	g_assert_true(fit_size(300 * FIT_MIB, &size));
	g_assert_cmpuint(size, ==, 320 * FIT_MIB);
	g_assert_true(fit_size(1023 * FIT_MIB, &size));
	g_assert_cmpuint(size, ==, FIT_GIB + 256 * FIT_MIB);
	/* Whatever is asked for holds the data and its tables, in round steps. */
	for (uint64_t data = FIT_GIB; data < 1900 * FIT_GIB; data += data / 7) {
		g_assert_true(fit_size(data, &size));
		g_assert_cmpuint(size, >=, data + data / 64 + FIT_MIB);
		g_assert_cmpuint(size, <, data + data / 32 + FIT_STEP_BYTES + 2 * FIT_MIB);
		g_assert_cmpuint(size % FIT_STEP_BYTES, ==, 0);
	}
	size = 42;
	g_assert_false(fit_size(2047 * FIT_GIB, &size));
	g_assert_false(fit_size(UINT64_MAX, &size));
	g_assert_cmpuint(size, ==, 42);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vm/fat/names", test_names);
	g_test_add_func("/vm/fat/length", test_length);
	g_test_add_func("/vm/fat/texts", test_texts);
	g_test_add_func("/vm/fat/keys", test_keys);
	g_test_add_func("/vm/fat/add", test_add);
	g_test_add_func("/vm/fat/size", test_size);
	return g_test_run();
}
