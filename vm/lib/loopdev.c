/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "loopdev.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>

#include "fail.h"
#include "scope.h"

/* How often another program may snatch the free loop device that the kernel named. */
#define TRIES 64

static int fail_errno(const char *what, GError **error)
{
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s: %s", what, g_strerror(errno));
	return -1;
}

/* -1 with EBUSY: somebody was faster. */
static int try_make(
	int control, const struct loop_config *config, char out_path[LOOPDEV_PATH_BYTES])
{
	int number = ioctl(control, LOOP_CTL_GET_FREE);
	autofd fd = -1;

	if (number < 0)
		return -1;
	g_snprintf(out_path, LOOPDEV_PATH_BYTES, "/dev/loop%d", number);
	fd = open(out_path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, LOOP_CONFIGURE, config) < 0)
		return -1;
	return steal_fd(&fd);
}

int loopdev_make(int device_fd, uint64_t offset, uint64_t size, char out_path[LOOPDEV_PATH_BYTES],
	GError **error)
{
	autofd control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	const struct loop_config config = {
		.fd = (uint32_t)device_fd,
		.info =
			{
				.lo_offset = offset,
				.lo_sizelimit = size,
				.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
			},
	};

	if (control < 0)
		return fail_errno("/dev/loop-control cannot be opened", error);
	for (unsigned i = 0; i < TRIES; i++) {
		int fd = try_make(control, &config, out_path);

		if (fd >= 0)
			return fd;
		if (errno != EBUSY)
			break;
	}
	return fail_errno("No loop device could be set up", error);
}

bool loopdev_is_same(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode) || S_ISBLK(b->st_mode))
		return S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode) && a->st_rdev == b->st_rdev;
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool stands_on(const char *name, const struct stat *backing)
{
	g_autofree char *attribute = g_strdup_printf("/sys/block/%s/loop/backing_file", name);
	g_autofree char *path = NULL;
	struct stat st;

	return g_file_get_contents(attribute, &path, NULL, NULL) &&
	       stat(g_strchomp(path), &st) == 0 && loopdev_is_same(&st, backing);
}

char *loopdev_find(const struct stat *backing)
{
	autodir *dir = opendir("/sys/block");
	const struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (g_str_has_prefix(entry->d_name, "loop") && stands_on(entry->d_name, backing))
			return g_build_filename("/dev", entry->d_name, NULL);
	return NULL;
}
