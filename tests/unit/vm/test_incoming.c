/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <glib.h>
#include <string.h>

#include "incoming.h"

static void test_offset(void)
{
	static const char *const wrong[] = {"", " ", "00", "+0", "-0", "0 ", " 0", "0x0", "65535",
		"65537", "065536", "65536 ", "65536\n", "64K", "131072"};
	uint64_t offset = 42;

	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++)
		g_assert_false(incoming_parse_offset(wrong[i], &offset));
	g_assert_cmpuint(offset, ==, 42);
	g_assert_true(incoming_parse_offset("0", &offset));
	g_assert_cmpuint(offset, ==, 0);
	g_assert_true(incoming_parse_offset("65536", &offset));
	g_assert_cmpuint(offset, ==, 65536);
}

static void test_options(void)
{
	g_autofree char *options = incoming_options(1000, 4294967294);

	g_assert_true(g_str_has_prefix(options, "uid=1000,gid=4294967294,"));
	g_assert_nonnull(strstr(options, "fmask=0177,dmask=0077"));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vm/incoming/offset", test_offset);
	g_test_add_func("/vm/incoming/options", test_options);
	return g_test_run();
}
