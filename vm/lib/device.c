/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "fail.h"
#include "holders.h"
#include "loopdev.h"
#include "mounts.h"
#include "qpen_contract.h"
#include "scope.h"

#define OUTGOING_DEVICE "/dev/" QPEN_OUTGOING_NAME

const char *device_outgoing(void)
{
	const char *override = getenv("QPEN_DEVICE");

	return override && *override ? override : OUTGOING_DEVICE;
}

/* -- who uses it ------------------------------------------------------------------------------- */

/* A reason as a sentence without its end, e.g. "it is mounted at /mnt/outgoing"; NULL: none. */
static char *find_mount(const struct stat *device)
{
	g_autoptr(GArray) mounts = mounts_read(NULL);
	const struct mount *mount;
	g_autofree char *shown = NULL;

	mount = mounts && S_ISBLK(device->st_mode) ? mounts_find_device(mounts, device->st_rdev)
						   : NULL;
	if (!mount)
		return NULL;
	shown = vm_printable(mount->mount_point, -1);
	return g_strdup_printf("it is mounted at %s (unmount it first: umount %s)", shown, shown);
}

/* A loop device holds its file from inside the kernel: no process shows it and nothing is claimed.
 */
static char *find_loop(const struct stat *device)
{
	g_autofree char *loop = loopdev_find(device);

	if (!loop)
		return NULL;
	return g_strdup_printf(
		"the loop device %s stands on it (release it first: losetup -d %s)", loop, loop);
}

static char *find_process(const struct stat *device)
{
	/* The daemon in dom0 does not depend on what other users' processes do not show. */
	g_autofree char *process = holders_of_file(device);

	return process ? g_strdup_printf("%s holds it open (end that first)", process) : NULL;
}

static char *find_use(const struct stat *device)
{
	char *use = find_mount(device);

	if (!use)
		use = find_loop(device);
	if (!use)
		use = find_process(device);
	return use;
}

/* -- before it is sent ------------------------------------------------------------------------- */

static bool fail_open(const char *path, int err, GError **error)
{
	if (err == ENOENT || err == ENXIO || err == ENODEV || err == ENOMEDIUM)
		g_set_error(error, VM_ERROR, VM_EXIT_DEVICE,
			"There is no pendrive at %s: ask for one first "
			"(/usr/lib/qubes/qubes_penctl new)",
			path);
	else if (err == EBUSY)
		g_set_error(error, VM_ERROR, VM_EXIT_DEVICE,
			"%s is in use: something in this VM has claimed it (a mount in another "
			"namespace, the device mapper, swap)",
			path);
	else
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s cannot be opened: %s%s", path,
			g_strerror(err), err == EACCES ? "; are you in the group `qubes`?" : "");
	return false;
}

static bool sync_device(int fd, const char *path, GError **error)
{
	if (fsync(fd) == 0)
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		"What was written to %s did not all reach it: %s; copy the files anew", path,
		g_strerror(errno));
	return false;
}

bool device_settle(const char *path, GError **error)
{
	g_autofree char *use = NULL;
	struct stat st;
	autofd fd = -1;

	if (stat(path, &st) < 0)
		return fail_open(path, errno, error);
	if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode)) {
		g_set_error(error, VM_ERROR, VM_EXIT_DEVICE, "%s is not a block device", path);
		return false;
	}
	/* First what can be named; then the kernel's own word, which no namespace deceives. */
	use = find_use(&st);
	if (use) {
		g_set_error(error, VM_ERROR, VM_EXIT_DEVICE, "%s is in use: %s", path, use);
		return false;
	}
	fd = open(path, O_RDWR | O_EXCL | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return fail_open(path, errno, error);
	return sync_device(fd, path, error);
}

/* -- after it was lent ------------------------------------------------------------------------- */

/* 0: this process can read and write it; else the errno. */
static int try_open(const char *path)
{
	autofd fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? errno : 0;
}

enum wait_result {
	WAIT_EVENT,
	WAIT_OVER,
	WAIT_INTERRUPTED,
};

/* Waits for any event of `fd` until `end_us`, and takes it. */
static enum wait_result wait_event(int fd, gint64 end_us)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	gint64 left_ms = (end_us - g_get_monotonic_time() + 999) / 1000;
	int r;

	if (left_ms <= 0)
		return WAIT_OVER;
	r = poll(&pollfd, 1, (int)MIN(left_ms, G_MAXINT));
	if (r < 0)
		return errno == EINTR ? WAIT_INTERRUPTED : WAIT_OVER;
	if (r > 0 && read(fd, buffer, sizeof buffer) < 0 && errno != EAGAIN)
		return WAIT_OVER;
	return WAIT_EVENT;
}

static int watch_folder(const char *dir, GError **error)
{
	autofd inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (inotify >= 0 && inotify_add_watch(inotify, dir,
				    IN_CREATE | IN_ATTRIB | IN_MOVED_TO | IN_ONLYDIR) >= 0)
		return steal_fd(&inotify);
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s cannot be watched: %s", dir,
		g_strerror(errno));
	return -1;
}

bool device_wait_usable(const char *path, unsigned timeout_ms, GError **error)
{
	gint64 end_us = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
	g_autofree char *dir = g_path_get_dirname(path);
	autofd inotify = watch_folder(dir, error);
	enum wait_result waited = WAIT_EVENT;
	int err = 0;

	if (inotify < 0)
		return false;
	/* The watch stands before the first look, so nothing can happen between the two. */
	while (waited == WAIT_EVENT && (err = try_open(path)) != 0)
		waited = wait_event(inotify, end_us);
	if (err == 0)
		return true;
	if (waited == WAIT_INTERRUPTED)
		g_set_error(error, VM_ERROR, VM_EXIT_INTERRUPTED,
			"Interrupted; dom0 has lent a pendrive, %s", path);
	else
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			"dom0 has lent a pendrive, but %s did not become usable within %u s: %s%s",
			path, timeout_ms / 1000, g_strerror(err),
			err == EACCES ? "; are you in the group `qubes`?" : "");
	return false;
}
