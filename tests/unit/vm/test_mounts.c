/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "mounts.h"

static const struct {
	const char *line;
	bool ok;
	unsigned major_number;
	unsigned minor_number;
	const char *mount_point;
	const char *fstype;
	const char *source;
} rows[] = {
	{"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue", true, 98,
		0, "/mnt2", "ext3", "/dev/root"},
	{"36 35 202:96 / /mnt/outgoing rw - vfat /dev/xvdg rw", true, 202, 96, "/mnt/outgoing",
		"vfat", "/dev/xvdg"},
	{"36 35 202:96 / /a rw shared:1 master:2 propagate_from:3 - vfat /dev/xvdg rw", true, 202,
		96, "/a", "vfat", "/dev/xvdg"},
	/* spaces, tabs, newlines, backslashes and # in names */
	{"36 35 7:0 / /a\\040b\\011c\\012d\\134e\\043 rw - vfat /dev/loop0 rw", true, 7, 0,
		"/a b\tc\nd\\e#", "vfat", "/dev/loop0"},
	{"36 35 7:0 / /\\303\\244 rw - vfat x\\040y rw", true, 7, 0, "/\xc3\xa4", "vfat", "x y"},
	/* a folder called like the separator cannot deceive: it is escaped, or not alone */
	{"36 35 7:0 / /a\\040-\\040vfat rw - ext4 /dev/x rw", true, 7, 0, "/a - vfat", "ext4",
		"/dev/x"},
	/* escapes that are none */
	{"36 35 7:0 / /a\\4x0 rw - vfat s rw", true, 7, 0, "/a\\4x0", "vfat", "s"},
	{"36 35 7:0 / /a\\400 rw - vfat s rw", true, 7, 0, "/a\\400", "vfat", "s"},
	{"36 35 7:0 / /a\\04 rw - vfat s rw", true, 7, 0, "/a\\04", "vfat", "s"},
	{"36 35 7:0 / /a\\ rw - vfat s rw", true, 7, 0, "/a\\", "vfat", "s"},
	/* no source: mount("", ...) */
	{"36 35 0:40 / /t rw - tmpfs  rw", true, 0, 40, "/t", "tmpfs", ""},
	{"36 35 0:40 / /t rw - tmpfs", true, 0, 40, "/t", "tmpfs", ""},
	/* refused */
	{"", false, 0, 0, NULL, NULL, NULL},
	{" ", false, 0, 0, NULL, NULL, NULL},
	{"36 35 98:0 /mnt1 /mnt2", false, 0, 0, NULL, NULL, NULL},
	{"36 35 98:0 /mnt1 /mnt2 rw", false, 0, 0, NULL, NULL, NULL},
	{"36 35 98:0 /mnt1 /mnt2 rw shared:1 ext3 /dev/root rw", false, 0, 0, NULL, NULL, NULL},
	{"36 35 98:0 /mnt1 /mnt2 rw -", false, 0, 0, NULL, NULL, NULL},
	{"36 35 98 /mnt1 /mnt2 rw - ext3 x rw", false, 0, 0, NULL, NULL, NULL},
	{"36 35 98: /mnt1 /mnt2 rw - ext3 x rw", false, 0, 0, NULL, NULL, NULL},
	{"36 35 :1 /mnt1 /mnt2 rw - ext3 x rw", false, 0, 0, NULL, NULL, NULL},
	{"36 35 98:0x /mnt1 /mnt2 rw - ext3 x rw", false, 0, 0, NULL, NULL, NULL},
	{"36 35 98:-1 /mnt1 /mnt2 rw - ext3 x rw", false, 0, 0, NULL, NULL, NULL},
	{"36 35 9999999999999:0 / /m rw - ext3 x rw", false, 0, 0, NULL, NULL, NULL},
};

static void test_lines(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		size_t len = strlen(rows[i].line);
		/* Without its terminator, so that a sanitizer sees a look past the end. */
		g_autofree char *bytes = memcpy(g_malloc(len + !len), rows[i].line, len);
		struct mount mount;

		g_test_message("row %zu: %s", i, rows[i].line);
		g_assert_cmpint(mount_parse(bytes, len, &mount), ==, rows[i].ok);
		if (!rows[i].ok)
			continue;
		g_assert_cmpuint(major(mount.device), ==, rows[i].major_number);
		g_assert_cmpuint(minor(mount.device), ==, rows[i].minor_number);
		g_assert_cmpstr(mount.mount_point, ==, rows[i].mount_point);
		g_assert_cmpstr(mount.fstype, ==, rows[i].fstype);
		g_assert_cmpstr(mount.source, ==, rows[i].source);
		mount_finish(&mount);
	}
}

static void test_find(void)
{
	static const char text[] = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
				   "rubbish\n"
				   "21 20 202:96 / /mnt/outgoing rw - vfat /dev/xvdg rw\n"
				   "\n"
				   "22 20 202:96 / /mnt/bound rw - vfat /dev/xvdg rw\n"
				   "23 20 0:5 / /mnt/outgoing rw - tmpfs none rw";
	g_autoptr(GArray) mounts = mounts_parse(text, sizeof text - 1);

	g_assert_cmpuint(mounts->len, ==, 4);
	g_assert_cmpstr(
		mounts_find_device(mounts, makedev(202, 96))->mount_point, ==, "/mnt/bound");
	g_assert_null(mounts_find_device(mounts, makedev(202, 112)));
	g_assert_cmpstr(mounts_find_point(mounts, "/mnt/outgoing")->fstype, ==, "tmpfs");
	g_assert_null(mounts_find_point(mounts, "/mnt/outgoing/"));
}

static void test_own(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GArray) mounts = mounts_read(&error);
	struct stat st;

	g_assert_no_error(error);
	g_assert_cmpint(stat("/proc", &st), ==, 0);
	g_assert_nonnull(mounts_find_device(mounts, st.st_dev));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vm/mounts/lines", test_lines);
	g_test_add_func("/vm/mounts/find", test_find);
	g_test_add_func("/vm/mounts/own", test_own);
	return g_test_run();
}
