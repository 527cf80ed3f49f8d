// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libxl's hotplug script for the disks the VMs boot from: a block device of dom0, handed on as it
 * is. Xen's own script, in bash, does the same in 3 s under emulation.
 *
 * usage (by libxl): XENBUS_PATH=... block-phy add|remove
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <xenstore.h>

static char *read_key(struct xs_handle *xs, const char *folder, const char *key)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, key);
	return xs_read(xs, XBT_NULL, path, NULL);
}

static bool write_key(struct xs_handle *xs, const char *folder, const char *key, const char *value)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, key);
	return xs_write(xs, XBT_NULL, path, value, (unsigned int)strlen(value));
}

int main(int argc, char **argv)
{
	const char *folder = getenv("XENBUS_PATH");
	struct xs_handle *xs;
	struct stat st;
	char *device, number[32];

	if (argc != 2 || !folder)
		return 2;
	if (strcmp(argv[1], "add") != 0)
		return 0;
	xs = xs_open(0);
	if (!xs)
		return 1;
	device = read_key(xs, folder, "params");
	if (!device || stat(device, &st) || !S_ISBLK(st.st_mode)) {
		write_key(xs, folder, "hotplug-error", "params is not a block device");
		return 1;
	}
	snprintf(number, sizeof(number), "%x:%x", major(st.st_rdev), minor(st.st_rdev));
	return write_key(xs, folder, "physical-device", number) &&
			       write_key(xs, folder, "hotplug-status", "connected")
		       ? 0
		       : 1;
}
