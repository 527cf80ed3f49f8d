/* SPDX-License-Identifier: GPL-2.0-or-later */
/* On files in place of devices, which every machine has. */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "fail.h"

struct fixture {
	char *dir;
	char *path;
};

static void set_up(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	fixture->dir = g_dir_make_tmp("qpen-XXXXXX", NULL);
	fixture->path = g_build_filename(fixture->dir, "xvdg", NULL);
	g_assert_true(g_file_set_contents(fixture->path, "data", 4, NULL));
}

static void tear_down(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_unlink(fixture->path);
	g_rmdir(fixture->path);
	g_rmdir(fixture->dir);
	g_free(fixture->path);
	g_free(fixture->dir);
}

static void test_settle(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;
	/* Our own descriptors are not what we look for. */
	int fd = open(fixture->path, O_RDONLY | O_CLOEXEC);

	g_assert_true(device_settle(fixture->path, &error));
	g_assert_no_error(error);
	close(fd);
}

static void test_missing(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;

	g_unlink(fixture->path);
	g_assert_false(device_settle(fixture->path, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_DEVICE);
}

static void test_no_device(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;

	g_unlink(fixture->path);
	g_assert_cmpint(g_mkdir(fixture->path, 0700), ==, 0);
	g_assert_false(device_settle(fixture->path, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_DEVICE);
}

static void test_held(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *number = NULL;
	int fd = open(fixture->path, O_RDONLY);
	pid_t child;

	child = fork();
	if (child == 0)
		for (;;)
			pause();
	close(fd);
	g_assert_false(device_settle(fixture->path, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_DEVICE);
	number = g_strdup_printf("process %d ", (int)child);
	g_assert_nonnull(strstr(error->message, number));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	g_assert_true(device_settle(fixture->path, NULL));
}

static void test_wait_present(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;

	g_assert_true(device_wait_usable(fixture->path, 0, &error));
	g_assert_no_error(error);
}

static void test_wait_never(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;

	g_unlink(fixture->path);
	g_assert_false(device_wait_usable(fixture->path, 1, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
}

/* It appears while we wait, among other names. */
static void test_wait_appears(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *other = g_build_filename(fixture->dir, "other", NULL);
	g_autoptr(GError) error = NULL;
	pid_t child;

	g_unlink(fixture->path);
	child = fork();
	if (child == 0) {
		/* Both orders are right; the delay only makes the one likely that needs the watch.
		 */
		g_usleep(50000);
		g_file_set_contents(other, "x", 1, NULL);
		g_unlink(other);
		_exit(!g_file_set_contents(fixture->path, "data", 4, NULL));
	}
	g_assert_true(device_wait_usable(fixture->path, 30000, &error));
	g_assert_no_error(error);
	waitpid(child, NULL, 0);
}

/* udev gives it the right mode a moment after it is made. Root may open it at once. */
static void test_wait_mode(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;
	pid_t child;

	g_assert_cmpint(g_chmod(fixture->path, 0), ==, 0);
	child = fork();
	if (child == 0) {
		g_usleep(50000);
		_exit(g_chmod(fixture->path, 0600));
	}
	g_assert_true(device_wait_usable(fixture->path, 30000, &error));
	waitpid(child, NULL, 0);
}

static void test_override(struct fixture *fixture G_GNUC_UNUSED, gconstpointer data G_GNUC_UNUSED)
{
	g_unsetenv("QPEN_DEVICE");
	g_assert_cmpstr(device_outgoing(), ==, "/dev/xvdg");
	g_setenv("QPEN_DEVICE", "", TRUE);
	g_assert_cmpstr(device_outgoing(), ==, "/dev/xvdg");
	g_setenv("QPEN_DEVICE", "/x", TRUE);
	g_assert_cmpstr(device_outgoing(), ==, "/x");
}

#define ADD(name, function)                                                                        \
	g_test_add("/vm/device/" name, struct fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("settle", test_settle);
	ADD("missing", test_missing);
	ADD("no-device", test_no_device);
	ADD("held", test_held);
	ADD("wait-present", test_wait_present);
	ADD("wait-never", test_wait_never);
	ADD("wait-appears", test_wait_appears);
	ADD("wait-mode", test_wait_mode);
	ADD("override", test_override);
	return g_test_run();
}
