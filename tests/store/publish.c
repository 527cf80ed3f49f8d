/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 *     publish SAVEFILE CONFIG BYTES CHARACTER
 *
 * Puts a save file and its record in place as qfilexchg-domains does, whose code this is; in place
 * of libxl's stream are BYTES times CHARACTER.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "savefile.h"
#include "savefile_info.h"

static bool publish(const char *path, const char *config, size_t size, char what, GError **error)
{
	int fd = savefile_create(path, error);
	g_autofree char *stream = g_malloc(size);
	struct savefile_info *info = savefile_info_create(config, 0);
	bool ok;

	memset(stream, what, size);
	ok = fd >= 0 && savefile_info_add(info, config, error) &&
	     savefile_write_head(fd, "{}", path, error) &&
	     write(fd, stream, size) == (ssize_t)size && savefile_publish(fd, path, error) &&
	     savefile_info_write(info, path, error) && savefile_info_is_current(path, config, 0);
	savefile_info_destroy(info);
	return ok;
}

int main(int argc, char **argv)
{
	g_autoptr(GError) error = NULL;

	if (argc != 5)
		return 64;
	if (publish(argv[1], argv[2], strtoul(argv[3], NULL, 10), *argv[4], &error))
		return 0;
	g_printerr("publish: %s\n", error ? error->message : "it is not current");
	return 1;
}
