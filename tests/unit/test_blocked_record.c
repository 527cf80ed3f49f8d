/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The records of blocked VMs: their text, written out, and what is none. */
#include <glib.h>
#include <string.h>

#include "blocked_record.h"

#define NAME63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz01234567890"

static const struct {
	struct blocked_vm b;
	const char *text;
} rows[] = {
	{{"work", 123456}, "version=1\nname=work\nuntil=123456\n"},
	{{"a.b+c_d-e", INT64_MAX}, "version=1\nname=a.b+c_d-e\nuntil=9223372036854775807\n"},
	{{NAME63, 0}, "version=1\nname=" NAME63 "\nuntil=0\n"},
};

static void test_both_ways(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		char text[RECORD_MAX];
		struct blocked_vm b;

		blocked_record_format(&rows[i].b, text);
		g_assert_cmpstr(text, ==, rows[i].text);
		g_assert_cmpint(blocked_record_parse(text, strlen(text), &b), ==, RECORD_OK);
		g_assert_cmpstr(b.name, ==, rows[i].b.name);
		g_assert_cmpint(b.until_ms, ==, rows[i].b.until_ms);
	}
}

static const struct {
	const char *label, *text;
	enum record_result result;
} wrong[] = {
	{"nothing", "", RECORD_BAD},
	{"another release's", "version=2\nname=work\nuntil=1\n", RECORD_OTHER_VERSION},
	{"no name", "version=1\nname=\nuntil=1\n", RECORD_BAD},
	{"no VM's name", "version=1\nname=a/b\nuntil=1\n", RECORD_BAD},
	{"a name that is too long", "version=1\nname=" NAME63 "x\nuntil=1\n", RECORD_BAD},
	{"no time", "version=1\nname=work\n", RECORD_BAD},
	{"a time before all times", "version=1\nname=work\nuntil=-1\n", RECORD_BAD},
	{"a time after all times", "version=1\nname=work\nuntil=9223372036854775808\n", RECORD_BAD},
	{"another order", "version=1\nuntil=1\nname=work\n", RECORD_BAD},
	{"more behind it", "version=1\nname=work\nuntil=1\nx=1\n", RECORD_BAD},
	{"an unfinished line", "version=1\nname=work\nuntil=1", RECORD_BAD},
};

static void test_wrong(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
		struct blocked_vm b = {.name = "untouched"};

		g_test_message("%s", wrong[i].label);
		g_assert_cmpint(blocked_record_parse(wrong[i].text, strlen(wrong[i].text), &b), ==,
			wrong[i].result);
		g_assert_cmpstr(b.name, ==, "untouched");
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/blocked-record/both-ways", test_both_ways);
	g_test_add_func("/blocked-record/wrong", test_wrong);
	return g_test_run();
}
