/* SPDX-License-Identifier: GPL-2.0-or-later */
/* replay FOLDER...: gives every file in the folders to the target. Without a fuzzer, as a unit
 * test. */
#include <glib.h>
#include <stdio.h>

#include "fuzz.h"

static unsigned replay(const char *folder)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GDir) dir = g_dir_open(folder, 0, &error);
	const char *name;
	unsigned n = 0;

	g_assert_no_error(error);
	while ((name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(folder, name, NULL);
		g_autofree char *bytes = NULL;
		gsize len;

		g_file_get_contents(path, &bytes, &len, &error);
		g_assert_no_error(error);
		LLVMFuzzerTestOneInput((const uint8_t *)bytes, len);
		n++;
	}
	return n;
}

int main(int argc, char **argv)
{
	unsigned n = 0;

	for (int i = 1; i < argc; i++)
		n += replay(argv[i]);
	printf("1..1\nok 1 %u files\n", n);
	/* An empty corpus would test nothing. */
	return n > 0 ? 0 : 1;
}
