/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which image is behind a loop device, by what sysfs says of it. */
#include <glib.h>

#include "images.h"
#include "loop.h"

#define NAME "0123456789abcdef0123456789abcdef" IMAGE_SUFFIX
#define OTHER "0123456789abcdef0123456789abcde0" IMAGE_SUFFIX

struct over_row {
	const char *label;
	const char *backing;
	const char *path;
	bool over;
};

static const struct over_row over_rows[] = {
	{"its path", "/var/lib/q/" NAME, "/var/lib/q/" NAME, true},
	{"it was unlinked", "/var/lib/q/" NAME " (deleted)", "/var/lib/q/" NAME, true},
	{"the folder was a mount that has gone", "/" NAME, "/var/lib/q/" NAME, true},
	{"a folder above it was one", "/q/" NAME, "/var/lib/q/" NAME, true},
	{"gone, and unlinked", "/" NAME " (deleted)", "/var/lib/q/" NAME, true},
	{"another image", "/var/lib/q/" OTHER, "/var/lib/q/" NAME, false},
	{"another one, of a mount that has gone", "/" OTHER, "/var/lib/q/" NAME, false},
	{"the end of its name", "/cdef" IMAGE_SUFFIX, "/var/lib/q/" NAME, false},
	{"no path", NAME, "/var/lib/q/" NAME, false},
	{"nothing", "", "/var/lib/q/" NAME, false},
	{"its folder has another name", "/mnt/" NAME, "/var/lib/q/" NAME, false},
	{"a copy in a longer path", "/mnt/var/lib/q/" NAME, "/var/lib/q/" NAME, false},
	{"more behind its name", "/" NAME ".old", "/var/lib/q/" NAME, false},
};

static void test_over(gconstpointer data)
{
	const struct over_row *row = data;

	g_assert_cmpint(loop_is_over(row->backing, row->path), ==, row->over);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(over_rows); i++) {
		g_autofree char *path = g_strconcat("/loop/over/", over_rows[i].label, NULL);

		g_test_add_data_func(path, &over_rows[i], test_over);
	}
	return g_test_run();
}
