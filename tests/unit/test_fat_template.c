/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A copy of a template against what mkfs.vfat itself makes, byte by byte, and what fsck.vfat says
 * of it. */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fat_template.h"

#define MIB (UINT64_C(1) << 20)
#define GUARD 65536u
#define EXIT_SKIP 77

/* ---- a file in the temporary folder ---- */

struct file {
	char *path;
	int fd;
};

static struct file new_file(uint64_t size)
{
	struct file f;
	g_autoptr(GError) error = NULL;

	f.fd = g_file_open_tmp("qfx-fat-XXXXXX", &f.path, &error);
	g_assert_no_error(error);
	g_assert_cmpint(ftruncate(f.fd, (off_t)size), ==, 0);
	return f;
}

static void drop_file(struct file *f)
{
	close(f->fd);
	g_unlink(f->path);
	g_free(f->path);
}

static const char *find_tool(const char *name)
{
	static const char *const places[] = {"/usr/sbin/", "/sbin/"};

	for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
		g_autofree char *path = g_strconcat(places[i], name, NULL);

		if (access(path, X_OK) == 0)
			return g_intern_string(path);
	}
	return NULL;
}

/* Whether the tool found nothing to complain of: fsck.vfat reports some damage with status 0. */
#define run(tool, ...) run_with(tool, (const char *const[]){__VA_ARGS__, NULL})
static gboolean run_with(const char *tool, const char *const *args)
{
	g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GError) error = NULL;
	g_autofree char *out = NULL, *err = NULL;
	int status;

	g_ptr_array_add(argv, g_strdup(find_tool(tool)));
	for (; *args; args++)
		g_ptr_array_add(argv, g_strdup(*args));
	g_ptr_array_add(argv, NULL);
	g_spawn_sync(NULL, (char **)argv->pdata, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out, &err,
		&status, &error);
	g_assert_no_error(error);
	if (status == 0 && !strstr(out, "differ"))
		return TRUE;
	g_test_message("%s: %s%s", tool, out, err);
	return FALSE;
}

/* As images_dir.c calls it, but for serial and label. */
static struct file mkfs(uint64_t size, const char *serial, const char *label)
{
	struct file f = new_file(size);

	/* The label's entry carries the time at which it was made: --invariant makes it the same in
	 * both files, and comes first because it sets the serial as well. */
	g_assert_true(run("mkfs.vfat", "--invariant", "-F", "32", "-S", "4096", "-s", "1", "-i",
		serial, "-n", label, f.path));
	return f;
}

/* How far it is from `at` to the next bytes of f that are not a hole; `n` if there are none before.
 */
static off_t next_data(const struct file *f, off_t at, off_t done, off_t n)
{
	off_t data = lseek(f->fd, at + done, SEEK_DATA);

	return data < 0 || data - at > n ? n : data - at;
}

/* Compares n bytes of two sparse files at those offsets: where both have holes they agree. */
static void assert_same_bytes(
	const struct file *a, off_t at_a, const struct file *b, off_t at_b, off_t n)
{
	g_autofree char *x = g_malloc(GUARD), *y = g_malloc(GUARD);
	off_t done = 0, compared = 0;

	while ((done = MIN(next_data(a, at_a, done, n), next_data(b, at_b, done, n))) < n) {
		size_t want = (size_t)MIN(n - done, (off_t)GUARD);

		g_assert_cmpint(pread(a->fd, x, want, at_a + done), ==, (gssize)want);
		g_assert_cmpint(pread(b->fd, y, want, at_b + done), ==, (gssize)want);
		g_assert_true(memcmp(x, y, want) == 0);
		done += (off_t)want;
		compared += (off_t)want;
	}
	g_assert_cmpint(compared, >, 0);
}

static void assert_zeros(const struct file *f, off_t at, size_t n)
{
	g_autofree char *bytes = g_malloc(n);

	g_assert_cmpint(pread(f->fd, bytes, n, at), ==, (gssize)n);
	for (size_t i = 0; i < n; i++)
		g_assert_cmpint(bytes[i], ==, 0);
}

static const uint64_t sizes[] = {64 * MIB, 65 * MIB, 100 * MIB, 511 * MIB, 1024 * MIB, 3000 * MIB};

static void test_copy(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
		struct file plain = mkfs(sizes[i], "00000000", "PENDRIVE");
		struct file wanted = mkfs(sizes[i], "89abcdef", "WORK-1");
		struct file copy = new_file(sizes[i] + 2 * GUARD);
		struct fat_template *tpl = NULL;
		struct stat st;

		g_test_message("%" G_GUINT64_FORMAT " MiB", sizes[i] / MIB);
		g_assert_cmpint(fat_template_read(plain.fd, &tpl), ==, 0);
		g_assert_cmpuint(fat_template_size(tpl), ==, sizes[i]);
		g_assert_cmpint(
			fat_template_write(tpl, copy.fd, GUARD, 0x89abcdef, "WORK-1     "), ==, 0);
		assert_same_bytes(&copy, GUARD, &wanted, 0, (off_t)sizes[i]);
		assert_zeros(&copy, 0, GUARD);
		assert_zeros(&copy, (off_t)(GUARD + sizes[i]), GUARD);
		/* A new pendrive takes next to nothing of the disk. */
		g_assert_cmpint(fstat(copy.fd, &st), ==, 0);
		g_assert_cmpint(st.st_blocks * 512, <, (gint64)(MIB / 2));
		g_assert_cmpint(st.st_size, ==, (gint64)(sizes[i] + 2 * GUARD));
		fat_template_destroy(tpl);
		drop_file(&plain);
		drop_file(&wanted);
		drop_file(&copy);
	}
}

static const char *const names[] = {
	"work", "a", "personal-banking-very-long", "a.b+c_d-e", "lost.found", "0"};

static void test_fsck(void)
{
	const uint64_t size = 64 * MIB;
	struct file plain = mkfs(size, "00000000", "PENDRIVE");
	struct fat_template *tpl = NULL;

	g_assert_cmpint(fat_template_read(plain.fd, &tpl), ==, 0);
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		struct file copy = new_file(size);
		char label[FAT_LABEL_LEN];

		g_test_message("%s", names[i]);
		fat_label(names[i], label);
		g_assert_cmpint(fat_template_write(tpl, copy.fd, 0, 0xffffffff, label), ==, 0);
		g_assert_true(run("fsck.vfat", "-n", copy.path));
		drop_file(&copy);
	}
	fat_template_destroy(tpl);
	drop_file(&plain);
}

/* fsck.vfat must be able to say no, or the test above says nothing. */
static void test_fsck_sees_damage(void)
{
	static const off_t places[] = {
		6 * 4096 + 71, /* the copy of the boot sector no longer agrees with it */
		32 * 4096 + 4, /* the first table no longer agrees with the second */
	};

	for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
		struct file f = mkfs(64 * MIB, "00000000", "PENDRIVE");

		g_assert_true(run("fsck.vfat", "-n", f.path));
		g_assert_cmpint(pwrite(f.fd, "X", 1, places[i]), ==, 1);
		g_assert_false(run("fsck.vfat", "-n", f.path));
		drop_file(&f);
	}
}

/* ---- files that are no such file system: dom0 made them itself, and looks all the same ---- */

static void damage(const struct file *f, off_t at, const char *bytes, size_t n)
{
	g_assert_cmpint(pwrite(f->fd, bytes, n, at), ==, (gssize)n);
}

static const struct {
	const char *label;
	off_t at;
	const char *bytes;
	size_t n;
} damages[] = {
	{"sectors of 512", 11, "\x00\x02", 2},
	{"no signature for the label", 66, "\x28", 1},
	{"FAT16: no 32-bit length of the table", 36, "\0\0\0\0", 4},
	{"a copy of the boot sector that differs", 6 * 4096, "X", 1},
	{"the copy is said to be elsewhere", 50, "\x07", 1},
	{"the root folder is said to be elsewhere", 44, "\x09", 1},
};

static void test_not_fat32(void)
{
	struct fat_template *tpl = NULL;
	struct file empty = new_file(0), zeros = new_file(64 * MIB), text = new_file(0);

	g_assert_cmpint(fat_template_read(empty.fd, &tpl), ==, -EINVAL);
	g_assert_cmpint(fat_template_read(zeros.fd, &tpl), ==, -EINVAL);
	damage(&text, 0, "not a file system", 17);
	g_assert_cmpint(fat_template_read(text.fd, &tpl), ==, -EINVAL);
	g_assert_cmpint(fat_template_read(-1, &tpl), ==, -EBADF);
	g_assert_null(tpl);
	drop_file(&empty);
	drop_file(&zeros);
	drop_file(&text);
	for (size_t i = 0; i < G_N_ELEMENTS(damages); i++) {
		struct file f = mkfs(64 * MIB, "00000000", "PENDRIVE");

		g_test_message("%s", damages[i].label);
		damage(&f, damages[i].at, damages[i].bytes, damages[i].n);
		g_assert_cmpint(fat_template_read(f.fd, &tpl), ==, -EINVAL);
		g_assert_null(tpl);
		drop_file(&f);
	}
}

/* Without a label mkfs.vfat writes no entry that could be patched. */
static void test_without_label(void)
{
	struct file f = new_file(64 * MIB);
	struct fat_template *tpl = NULL;

	g_assert_true(run("mkfs.vfat", "-F", "32", "-S", "4096", "-s", "1", f.path));
	g_assert_cmpint(fat_template_read(f.fd, &tpl), ==, -EINVAL);
	drop_file(&f);
}

static void test_write_fails(void)
{
	struct file plain = mkfs(64 * MIB, "00000000", "PENDRIVE");
	struct fat_template *tpl = NULL;
	int read_only = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	g_assert_cmpint(fat_template_read(plain.fd, &tpl), ==, 0);
	g_assert_cmpint(fat_template_write(tpl, read_only, 0, 0, "WORK       "), ==, -EBADF);
	g_assert_cmpint(fat_template_write(tpl, full, 0, 0, "WORK       "), ==, -ENOSPC);
	close(read_only);
	close(full);
	fat_template_destroy(tpl);
	fat_template_destroy(NULL);
	drop_file(&plain);
}

static const struct {
	const char *name, *label;
} labels[] = {
	{"work", "WORK       "},
	{"", "           "},
	{"elevenbytes", "ELEVENBYTES"},
	{"twelve-bytes", "TWELVE-BYTE"},
	{"a.b+c d", "A_B_C_D    "},
	{"Mixed_Case-9", "MIXED_CASE-"},
	{"stra\xc3\x9f"
	 "e",
		"STRA__E    "},
	{"\xe5", "_          "}, /* 0xE5 first would mark the entry as deleted */
	{"\x01\x7f/\\", "____       "},
};

static void test_labels(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(labels); i++) {
		char label[FAT_LABEL_LEN + 1] = {0};

		fat_label(labels[i].name, label);
		g_assert_cmpstr(label, ==, labels[i].label);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/fat-template/labels", test_labels);
	if (!find_tool("mkfs.vfat") || !find_tool("fsck.vfat")) {
		g_test_message("dosfstools is not installed");
		return g_test_run() == 0 ? EXIT_SKIP : 1;
	}
	g_test_add_func("/fat-template/copy", test_copy);
	g_test_add_func("/fat-template/fsck", test_fsck);
	g_test_add_func("/fat-template/fsck-sees-damage", test_fsck_sees_damage);
	g_test_add_func("/fat-template/not-fat32", test_not_fat32);
	g_test_add_func("/fat-template/without-label", test_without_label);
	g_test_add_func("/fat-template/write-fails", test_write_fails);
	return g_test_run();
}
