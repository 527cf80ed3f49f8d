/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "outgoing.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fail.h"
#include "mounts.h"
#include "scope.h"

#define ADVICE_INSTALL "root must run /usr/share/qubes-pendrive/post-install once"

static bool fstab_has_line(void)
{
	FILE *fstab = setmntent("/etc/fstab", "re");
	const struct mntent *entry;
	bool found = false;

	while (fstab && !found && (entry = getmntent(fstab)))
		found = strcmp(entry->mnt_dir, OUTGOING_FOLDER) == 0;
	if (fstab)
		endmntent(fstab);
	return found;
}

bool outgoing_check(GError **error)
{
	g_autoptr(GArray) mounts = NULL;

	if (g_getenv(OUTGOING_STAND_IN))
		return true;
	mounts = mounts_read(error);
	if (!mounts)
		return false;
	if (mounts_find_point(mounts, OUTGOING_FOLDER)) {
		g_set_error(error, VM_ERROR, VM_EXIT_DEVICE,
			"Something is mounted at " OUTGOING_FOLDER
			" already; unmount it first: umount " OUTGOING_FOLDER);
		return false;
	}
	if (!fstab_has_line() || !g_file_test(OUTGOING_FOLDER, G_FILE_TEST_IS_DIR)) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			"%s, or the line for it in /etc/fstab, is missing: " ADVICE_INSTALL,
			OUTGOING_FOLDER);
		return false;
	}
	return true;
}

/* Ctrl-C is told to all of the terminal's foreground, but a mount is not to be ended half way. */
static void ignore_interrupt(gpointer data G_GNUC_UNUSED)
{
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
}

/* Runs /bin/PROGRAM on the folder; what it says goes into the error. */
static bool run(const char *program, GError **error)
{
	g_autofree char *path = g_build_filename("/bin", program, NULL);
	char *argv[] = {path, (char[]){OUTGOING_FOLDER}, NULL};
	g_autofree char *said = NULL;
	g_autofree char *shown = NULL;
	g_autoptr(GError) spawn_error = NULL;
	gint status;

	if (!g_spawn_sync("/", argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, ignore_interrupt, NULL, NULL,
		    &said, &status, &spawn_error)) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s cannot be run: %s", path,
			spawn_error->message);
		return false;
	}
	if (g_spawn_check_wait_status(status, NULL))
		return true;
	shown = vm_printable(g_strstrip(said), -1);
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s %s failed: %s", path, OUTGOING_FOLDER,
		*shown ? shown : "it does not say why");
	return false;
}

/* That what is mounted there now is our device, and not what somebody else put in its place. */
static int open_root(const char *device, GError **error)
{
	autofd fd = open(OUTGOING_FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat root;
	struct stat st;

	if (fd < 0 || fstat(fd, &root) < 0) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s cannot be opened: %s",
			OUTGOING_FOLDER, g_strerror(errno));
		return -1;
	}
	if (stat(device, &st) < 0 || !S_ISBLK(st.st_mode) || st.st_rdev != root.st_dev) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			"What is mounted at %s is not %s: is the line in /etc/fstab as installed?",
			OUTGOING_FOLDER, device);
		return -1;
	}
	return steal_fd(&fd);
}

static int open_stand_in(const char *folder, GError **error)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s cannot be opened: %s", folder,
			g_strerror(errno));
	return fd;
}

int outgoing_mount(const char *device, GError **error)
{
	const char *stand_in = g_getenv(OUTGOING_STAND_IN);
	int fd;

	if (stand_in)
		return open_stand_in(stand_in, error);
	if (!run("mount", error))
		return -1;
	fd = open_root(device, error);
	if (fd < 0)
		run("umount", NULL);
	return fd;
}

bool outgoing_sync(int fd, GError **error)
{
	if (syncfs(fd) == 0)
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		"What was copied did not all reach the pendrive: %s", g_strerror(errno));
	return false;
}

static bool is_mounted(void)
{
	g_autoptr(GArray) mounts = mounts_read(NULL);

	return !mounts || mounts_find_point(mounts, OUTGOING_FOLDER);
}

bool outgoing_unmount(GError **error)
{
	g_autoptr(GError) run_error = NULL;

	/* When dom0 takes the device away, systemd unmounts it: before us, or under our hands. */
	if (g_getenv(OUTGOING_STAND_IN) || !is_mounted() || run("umount", &run_error) ||
		!is_mounted())
		return true;
	g_propagate_error(error, g_steal_pointer(&run_error));
	return false;
}
