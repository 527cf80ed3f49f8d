/* SPDX-License-Identifier: GPL-2.0-or-later */
/* On regular files in place of devices. What changes a file meanwhile does so from the watcher. */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bulk.h"
#include "fail.h"
#include "reader.h"

#define MIB ((size_t)1 << 20)
#define GUARD ((size_t)QPEN_GUARD_BYTES)

struct fixture {
	char *dir;
	char *file;
	char *device;
	char *copy;
};

static void set_up(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	fixture->dir = g_dir_make_tmp("qpen-XXXXXX", NULL);
	fixture->file = g_build_filename(fixture->dir, "file", NULL);
	fixture->device = g_build_filename(fixture->dir, "device", NULL);
	fixture->copy = g_build_filename(fixture->dir, "copy", NULL);
}

static void tear_down(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_unlink(fixture->file);
	g_unlink(fixture->device);
	g_unlink(fixture->copy);
	g_assert_cmpint(g_rmdir(fixture->dir), ==, 0);
	g_free(fixture->file);
	g_free(fixture->device);
	g_free(fixture->copy);
	g_free(fixture->dir);
}

/* Without a period that a block could hide: position in 64 bits, mixed. */
static unsigned char byte_at(size_t position)
{
	return (unsigned char)((position * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

static void write_file(const char *path, size_t len)
{
	g_autofree char *bytes = g_malloc(len + 1);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)byte_at(i);
	g_assert_true(g_file_set_contents(path, bytes, (gssize)len, NULL));
}

/* Full of what must not be taken for the file's zeros. */
static void write_device(const char *path, size_t len)
{
	g_autofree char *bytes = g_malloc(len + 1);

	memset(bytes, 0xee, len);
	g_assert_true(g_file_set_contents(path, bytes, (gssize)len, NULL));
}

static bool send(struct fixture *fixture, const struct bulk_watcher *watcher, GError **error)
{
	int file = open(fixture->file, O_RDONLY | O_CLOEXEC);
	bool ok;

	g_assert_cmpint(file, >=, 0);
	ok = bulk_write_watched(fixture->device, "a name", file, watcher, error);
	close(file);
	return ok;
}

static bool receive(
	struct fixture *fixture, uint64_t offset, struct dvm_header *header, GError **error)
{
	int device = open(fixture->device, O_RDONLY | O_CLOEXEC);
	int copy = open(fixture->copy, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct reader reader;
	bool ok = reader_start(&reader, device, offset, error);

	*header = (struct dvm_header){0};
	if (ok) {
		*header = reader.header;
		ok = reader_copy(&reader, copy, error);
		reader_finish(&reader);
	}
	close(device);
	close(copy);
	return ok;
}

static void assert_same(const char *a, const char *b)
{
	g_autofree char *a_bytes = NULL;
	g_autofree char *b_bytes = NULL;
	gsize a_len;
	gsize b_len;

	g_assert_true(g_file_get_contents(a, &a_bytes, &a_len, NULL));
	g_assert_true(g_file_get_contents(b, &b_bytes, &b_len, NULL));
	g_assert_cmpuint(a_len, ==, b_len);
	g_assert_true(memcmp(a_bytes, b_bytes, a_len) == 0);
}

/* What the contract says, on the device's bytes themselves. */
static void assert_layout(const char *device, size_t len)
{
	g_autofree char *bytes = NULL;
	size_t padded = (size_t)bulk_room(len);
	gsize device_len;

	g_assert_true(g_file_get_contents(device, &bytes, &device_len, NULL));
	for (size_t i = 0; i < 8; i++)
		g_assert_cmpint(
			(unsigned char)bytes[i], ==, (int)((uint64_t)len >> (8 * i) & 0xff));
	g_assert_cmpstr(bytes + 8, ==, "a name");
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)bytes[1024 + i] != byte_at(i))
			g_error("byte %zu of the file is wrong", i);
	for (size_t i = 1024 + len; i < MIN(padded, device_len); i++)
		g_assert_cmpint(bytes[i], ==, 0);
	for (size_t i = padded; i < device_len; i++)
		g_assert_cmpint((unsigned char)bytes[i], ==, 0xee);
}

static const size_t sizes[] = {0, 1, 511, 512, 513, 3071, 3072, 3073, MIB - 1025, MIB - 1024,
	MIB - 1023, MIB - 1, MIB, MIB + 1, 2 * MIB - 1024, 40 * MIB};
/* Without the last, which is for how many blocks it takes. */
#define SMALL_SIZES (G_N_ELEMENTS(sizes) - 1)

static void test_sizes(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
		struct dvm_header header;
		g_autoptr(GError) error = NULL;

		g_test_message("%zu bytes", sizes[i]);
		write_file(fixture->file, sizes[i]);
		write_device(fixture->device, (size_t)bulk_room(sizes[i]) + 8192);
		send(fixture, NULL, &error);
		g_assert_no_error(error);
		assert_layout(fixture->device, sizes[i]);
		/* What was in the copy before must not stay behind it. */
		write_device(fixture->copy, 4096);
		receive(fixture, 0, &header, &error);
		g_assert_no_error(error);
		g_assert_cmpuint(header.size_bytes, ==, sizes[i]);
		g_assert_cmpstr(header.name, ==, "a name");
		assert_same(fixture->file, fixture->copy);
	}
}

/* dom0's guards around it, which hold something here: none of it may be read. */
static void test_guarded(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	for (size_t i = 0; i < SMALL_SIZES; i++) {
		g_autofree char *bytes = NULL;
		g_autofree char *whole = NULL;
		g_autoptr(GError) error = NULL;
		struct dvm_header header;
		gsize len;

		write_file(fixture->file, sizes[i]);
		write_device(fixture->device, (size_t)bulk_room(sizes[i]));
		g_assert_true(send(fixture, NULL, NULL));
		g_assert_true(g_file_get_contents(fixture->device, &bytes, &len, NULL));
		whole = g_malloc(len + 2 * GUARD);
		memset(whole, 0xdd, len + 2 * GUARD);
		memcpy(whole + GUARD, bytes, len);
		g_assert_true(g_file_set_contents(
			fixture->device, whole, (gssize)(len + 2 * GUARD), NULL));
		receive(fixture, GUARD, &header, &error);
		g_assert_no_error(error);
		assert_same(fixture->file, fixture->copy);
	}
}

/* A header that speaks of the guard behind the data as well. */
static void test_into_guard(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	static const uint64_t inside = 8192 - QPEN_DVM_HEADER_BYTES;

	for (uint64_t size = inside; size <= inside + GUARD; size += GUARD / 2) {
		g_autofree unsigned char *bytes = g_malloc0(8192 + 2 * GUARD);
		struct dvm_header header;
		bool ok;

		g_assert_true(dvm_header_compose("x", size, bytes + GUARD));
		g_assert_true(g_file_set_contents(
			fixture->device, (const char *)bytes, (gssize)(8192 + 2 * GUARD), NULL));
		ok = receive(fixture, GUARD, &header, NULL);
		g_assert_cmpint(ok, ==, size == inside);
	}
}

/* Exactly what is needed is enough, whatever the device's sectors are; a byte less is not. */
static void test_short_device(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	for (size_t i = 0; i < SMALL_SIZES; i++) {
		g_autoptr(GError) error = NULL;
		struct dvm_header header;

		write_file(fixture->file, sizes[i]);
		write_device(fixture->device, sizes[i] + 1023);
		g_assert_false(send(fixture, NULL, &error));
		g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
		g_clear_error(&error);
		write_device(fixture->device, sizes[i] + 1024);
		send(fixture, NULL, &error);
		g_assert_no_error(error);
		receive(fixture, 0, &header, &error);
		g_assert_no_error(error);
		assert_same(fixture->file, fixture->copy);
		/* The header speaks of more than there is. */
		g_assert_cmpint(truncate(fixture->device, (off_t)sizes[i] + 1023), ==, 0);
		g_assert_false(receive(fixture, 0, &header, &error));
		g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
		/* The same where the guards leave less. */
		g_clear_error(&error);
		g_assert_false(receive(fixture, GUARD, &header, &error));
		g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
	}
}

enum change {
	CHANGE_SHRINK,
	CHANGE_GROW,
	CHANGE_TOUCH,
	CHANGE_STOP,
};

struct changer {
	const char *path;
	enum change change;
	unsigned blocks;
};

/* Once, when the first block has been read. */
static bool change_now(const void *bytes G_GNUC_UNUSED, size_t len G_GNUC_UNUSED, void *data)
{
	const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	struct changer *changer = data;

	if (changer->blocks++)
		return true;
	switch (changer->change) {
	case CHANGE_SHRINK:
		g_assert_cmpint(truncate(changer->path, (off_t)(2 * MIB - 1)), ==, 0);
		return true;
	case CHANGE_GROW:
		g_assert_cmpint(truncate(changer->path, (off_t)(2 * MIB + 1)), ==, 0);
		return true;
	case CHANGE_TOUCH:
		g_assert_cmpint(utimensat(AT_FDCWD, changer->path, times, 0), ==, 0);
		return true;
	case CHANGE_STOP:
		return false;
	}
	return true;
}

static void test_changes(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	for (int i = CHANGE_SHRINK; i <= CHANGE_STOP; i++) {
		struct changer changer = {fixture->file, (enum change)i, 0};
		const struct bulk_watcher watcher = {change_now, &changer};
		g_autoptr(GError) error = NULL;

		g_test_message("change %d", i);
		write_file(fixture->file, 2 * MIB);
		write_device(fixture->device, 4 * MIB);
		g_assert_false(send(fixture, &watcher, &error));
		g_assert_error(
			error, VM_ERROR, (i == CHANGE_STOP ? VM_EXIT_INTERRUPTED : VM_EXIT_FAILED));
		g_assert_cmpint(strstr(error->message, "changed") != NULL, ==, i != CHANGE_STOP);
	}
}

struct seen {
	GByteArray *bytes;
};

static bool collect(const void *bytes, size_t len, void *data)
{
	struct seen *seen = data;

	g_byte_array_append(seen->bytes, bytes, (guint)len);
	return true;
}

static void test_watcher(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	struct seen seen = {g_byte_array_new()};
	const struct bulk_watcher watcher = {collect, &seen};

	write_file(fixture->file, 3 * MIB + 5);
	write_device(fixture->device, 4 * MIB);
	g_assert_true(send(fixture, &watcher, NULL));
	g_assert_cmpuint(seen.bytes->len, ==, 3 * MIB + 5);
	for (size_t i = 0; i < seen.bytes->len; i++)
		if (seen.bytes->data[i] != byte_at(i))
			g_error("byte %zu was not shown as it is", i);
	g_byte_array_unref(seen.bytes);
}

static void test_not_regular(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;
	int fds[2];

	write_device(fixture->device, 4096);
	g_assert_cmpint(pipe(fds), ==, 0);
	g_assert_false(bulk_write(fixture->device, "x", fds[0], &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
	close(fds[0]);
	close(fds[1]);
}

static void test_bad_name(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;
	int file;

	write_file(fixture->file, 1);
	write_device(fixture->device, 4096);
	file = open(fixture->file, O_RDONLY | O_CLOEXEC);
	g_assert_false(bulk_write(fixture->device, "a/b", file, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_FILES);
	close(file);
}

static void test_no_device(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;

	write_file(fixture->file, 1);
	g_assert_false(send(fixture, NULL, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_DEVICE);
	/* It is not made. */
	g_assert_false(g_file_test(fixture->device, G_FILE_TEST_EXISTS));
}

static void test_room(struct fixture *fixture G_GNUC_UNUSED, gconstpointer data G_GNUC_UNUSED)
{
	g_assert_cmpuint(bulk_room(0), ==, 4096);
	g_assert_cmpuint(bulk_room(3072), ==, 4096);
	g_assert_cmpuint(bulk_room(3073), ==, 8192);
	g_assert_cmpuint(bulk_room(INT64_MAX), >=, (uint64_t)INT64_MAX + 1024);
	g_assert_cmpuint(bulk_room(UINT64_MAX), ==, UINT64_MAX);
	g_assert_cmpuint(bulk_room(UINT64_MAX - 1024), >=, UINT64_MAX - 4096);
}

#define ADD(name, function)                                                                        \
	g_test_add("/vm/bulk/" name, struct fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("sizes", test_sizes);
	ADD("guarded", test_guarded);
	ADD("into-guard", test_into_guard);
	ADD("short-device", test_short_device);
	ADD("changes", test_changes);
	ADD("watcher", test_watcher);
	ADD("not-regular", test_not_regular);
	ADD("bad-name", test_bad_name);
	ADD("no-device", test_no_device);
	ADD("room", test_room);
	return g_test_run();
}
