/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "incoming.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "journal.h"
#include "loopdev.h"
#include "mounts.h"
#include "qpen_contract.h"
#include "received.h"
#include "scope.h"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256 /* Linux 5.10; ignored by older ones, and vfat has no links anyway */
#endif

G_STATIC_ASSERT(QPEN_GUARD_BYTES == 65536);

#define UNMOUNT_TRIES 16

bool incoming_parse_offset(const char *text, uint64_t *out)
{
	if (strcmp(text, "0") == 0)
		*out = 0;
	else if (strcmp(text, "65536") == 0)
		*out = QPEN_GUARD_BYTES;
	else
		return false;
	return true;
}

char *incoming_options(uid_t uid, gid_t gid)
{
	return g_strdup_printf("uid=%u,gid=%u,fmask=0177,dmask=0077,utf8=1,shortname=mixed,tz=UTC,"
			       "errors=remount-ro",
		uid, gid);
}

static bool fail_errno(const char *what, GError **error)
{
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s: %s", what, g_strerror(errno));
	return false;
}

/* A descriptor of the loop device that shows the sender's bytes. */
static int open_window(
	int device, uint64_t offset, char out_path[LOOPDEV_PATH_BYTES], GError **error)
{
	uint64_t size;

	if (ioctl(device, BLKGETSIZE64, &size) < 0) {
		fail_errno("The size of " INCOMING_DEVICE " cannot be read", error);
		return -1;
	}
	if (size <= 2 * offset) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			INCOMING_DEVICE " is too small for the layout that dom0 says it has");
		return -1;
	}
	return loopdev_make(device, offset, size - 2 * offset, out_path, error);
}

static bool mount_vfat(const char *path, uid_t uid, gid_t gid, GError **error)
{
	const unsigned long flags =
		MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NOSYMFOLLOW;
	g_autofree char *options = incoming_options(uid, gid);

	if (mkdir(INCOMING_FOLDER, 0755) < 0 && errno != EEXIST)
		return fail_errno(INCOMING_FOLDER " cannot be made", error);
	if (mount(path, INCOMING_FOLDER, "vfat", flags, options) == 0)
		return true;
	if (errno == EINVAL)
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "There is no vfat file system on it");
	else if (errno == ENODEV)
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "This VM's kernel has no vfat");
	else
		return fail_errno("It cannot be mounted at " INCOMING_FOLDER, error);
	return false;
}

static void note(const char *source, dev_t device)
{
	struct received received = {
		.device = device, .since_s = g_get_real_time() / G_USEC_PER_SEC};
	g_autoptr(GError) error = NULL;

	g_strlcpy(received.source, source, sizeof received.source);
	if (!received_note(&received, &error))
		journal_say(JOURNAL_WARNING,
			"The VM's user will not be told whose pendrive it is: %s", error->message);
}

static void announce(const char *source)
{
	g_autoptr(GError) error = NULL;

	if (!received_announce(source, &error))
		journal_say(JOURNAL_WARNING, "File managers will not say whose pendrive it is: %s",
			error->message);
	/* Where no udev makes it; without it the line in fstab is about no device. */
	if (symlink(QPEN_INCOMING_NAME, INCOMING_LINK) < 0 && errno != EEXIST)
		journal_say(JOURNAL_WARNING,
			INCOMING_LINK " cannot be made, so that only root can unmount it: %s",
			g_strerror(errno));
}

void incoming_adopt(const char *source, dev_t mounted)
{
	struct received known;

	if (!received_find(&known, NULL) || known.device != mounted ||
		strcmp(known.source, source) != 0)
		note(source, mounted);
}

static bool mount_from(const char *source, uint64_t offset, uid_t uid, gid_t gid,
	dev_t *out_mounted, GError **error)
{
	autofd device = open(INCOMING_DEVICE, O_RDONLY | O_CLOEXEC);
	char path[LOOPDEV_PATH_BYTES] = INCOMING_DEVICE;
	/* Until the mount holds it, our descriptor is the loop device's only user. */
	autofd window = -1;
	struct stat st;

	if (device < 0)
		return fail_errno(INCOMING_DEVICE " cannot be opened", error);
	/* udev hears of the loop device as soon as it is made. */
	announce(source);
	if (offset) {
		window = open_window(device, offset, path, error);
		if (window < 0)
			return false;
	}
	if (fstat(offset ? window : device, &st) < 0)
		return fail_errno(INCOMING_DEVICE " cannot be looked at", error);
	note(source, st.st_rdev);
	if (!mount_vfat(path, uid, gid, error))
		return false;
	*out_mounted = st.st_rdev;
	return true;
}

bool incoming_mount(const char *source, uint64_t offset, uid_t uid, gid_t gid, dev_t *out_mounted,
	GError **error)
{
	if (mount_from(source, offset, uid, gid, out_mounted, error))
		return true;
	received_forget();
	return false;
}

/* -- afterwards -------------------------------------------------------------------------------- */

static bool is_mounted(dev_t device)
{
	g_autoptr(GArray) mounts = mounts_read(NULL);

	return mounts && mounts_find_device(mounts, device);
}

bool incoming_is_mounted(dev_t *out_mounted)
{
	g_autofree char *loop = NULL;
	struct stat st;

	if (stat(INCOMING_DEVICE, &st) < 0)
		return false;
	if (!is_mounted(st.st_rdev)) {
		loop = loopdev_find(&st);
		if (!loop || stat(loop, &st) < 0 || !is_mounted(st.st_rdev))
			return false;
	}
	*out_mounted = st.st_rdev;
	return true;
}

enum incoming_end incoming_wait(dev_t mounted, int signals, GError **error)
{
	autofd mountinfo = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	struct pollfd fds[] = {
		{.fd = mountinfo, .events = POLLPRI},
		{.fd = signals, .events = POLLIN},
	};

	if (mountinfo < 0) {
		fail_errno("/proc/self/mountinfo cannot be opened", error);
		return INCOMING_FAILED;
	}
	/* The kernel counts changes from the opening on: none between a look and a wait is lost. */
	while (is_mounted(mounted)) {
		if (poll(fds, G_N_ELEMENTS(fds), -1) < 0 && errno != EINTR) {
			fail_errno("The wait for the unmount failed", error);
			return INCOMING_FAILED;
		}
		if (fds[1].revents)
			return INCOMING_STOPPED;
	}
	return INCOMING_UNMOUNTED;
}

/* False: there is no such mount any more, or it cannot be taken away. */
static bool unmount_one(dev_t mounted)
{
	g_autoptr(GArray) mounts = mounts_read(NULL);
	const struct mount *mount = mounts ? mounts_find_device(mounts, mounted) : NULL;

	return mount && (umount2(mount->mount_point, UMOUNT_NOFOLLOW) == 0 ||
				umount2(mount->mount_point, MNT_DETACH | UMOUNT_NOFOLLOW) == 0);
}

void incoming_unmount(dev_t mounted)
{
	for (unsigned i = 0; i < UNMOUNT_TRIES && unmount_one(mounted); i++)
		;
}

bool incoming_is_there(void)
{
	struct stat st;

	return stat(INCOMING_DEVICE, &st) == 0;
}
