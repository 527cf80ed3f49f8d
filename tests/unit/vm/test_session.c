/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A regular file plays the pendrive. */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dvmheader.h"
#include "fail.h"
#include "session.h"

#define GUARD QPEN_GUARD_BYTES

struct box {
	char *folder; /* the parent of private folders */
	char *device; /* beside it, so that it is not counted */
	int fd;
};

static void setup(struct box *box)
{
	box->folder = g_dir_make_tmp("session-XXXXXX", NULL);
	box->device = g_strconcat(box->folder, ".device", NULL);
	box->fd = -1;
	g_assert_nonnull(box->folder);
}

static guint count_entries(const char *folder)
{
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
	guint count = 0;

	g_assert_nonnull(dir);
	while (g_dir_read_name(dir))
		count++;
	return count;
}

static void teardown(struct box *box)
{
	if (box->fd >= 0)
		close(box->fd);
	g_unlink(box->device);
	/* Fails where a test left something behind. */
	g_assert_cmpint(g_rmdir(box->folder), ==, 0);
	g_free(box->device);
	g_free(box->folder);
}

static void put(int fd, const void *bytes, size_t len, off_t at)
{
	g_assert_cmpint(pwrite(fd, bytes, len, at), ==, (ssize_t)len);
}

/* A pendrive with that file; `claimed` is the size in its header. */
static void make_device(
	struct box *box, const char *name, const char *content, uint64_t claimed, uint64_t offset)
{
	unsigned char header[QPEN_DVM_HEADER_BYTES];
	off_t end = (off_t)(2 * offset + QPEN_DVM_HEADER_BYTES + strlen(content));

	if (box->fd >= 0)
		close(box->fd);
	box->fd = g_open(box->device, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	g_assert_cmpint(box->fd, >=, 0);
	g_assert_true(dvm_header_compose(name, claimed, header));
	put(box->fd, header, sizeof header, (off_t)offset);
	put(box->fd, content, strlen(content), (off_t)offset + QPEN_DVM_HEADER_BYTES);
	/* Up to a whole block of 4096, as devices are. */
	g_assert_cmpint(ftruncate(box->fd, (end + 4095) / 4096 * 4096), ==, 0);
}

static bool read_device(
	const struct box *box, uint64_t offset, bool view, struct session *out, GError **error)
{
	const char *const parents[] = {box->folder, NULL};

	return session_read(box->fd, offset, view, parents, out, error);
}

static void assert_mode(const char *path, mode_t mode)
{
	struct stat st;

	g_assert_cmpint(lstat(path, &st), ==, 0);
	g_assert_cmphex(st.st_mode & 07777, ==, mode);
}

/* -- names --------------------------------------------------------------------------------------
 */

static char *repeat(const char *unit, size_t count, const char *end)
{
	GString *text = g_string_new(NULL);

	for (size_t i = 0; i < count; i++)
		g_string_append(text, unit);
	g_string_append(text, end);
	return g_string_free(text, FALSE);
}

static void test_file_name(void)
{
	const struct {
		const char *label;
		char *name;
		char *wanted;
	} rows[] = {
		{"short", g_strdup("a.txt"), g_strdup("a.txt")},
		{"255 bytes", repeat("x", 251, ".txt"), repeat("x", 251, ".txt")},
		{"256 bytes", repeat("x", 252, ".txt"), repeat("x", 251, ".txt")},
		{"the longest", repeat("x", 1011, ".txt"), repeat("x", 251, ".txt")},
		{"no extension", repeat("x", 300, ""), repeat("x", 255, "")},
		{"a dot too early", repeat("x", 10, "."), repeat("x", 10, ".")},
		/* 126 of them and ".t" are 254 bytes; 255 would cut one through. */
		{"two bytes each", repeat("\xc3\xa9", 300, ".t"), repeat("\xc3\xa9", 126, ".t")},
		{"not UTF-8", repeat("\xe9", 300, ".t"), repeat("\xe9", 253, ".t")},
		{"hidden", repeat("x", 0, ".profile"), g_strdup(".profile")},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *got = session_file_name(rows[i].name);

		g_test_message("%s", rows[i].label);
		g_assert_cmpstr(got, ==, rows[i].wanted);
		g_free(rows[i].name);
		g_free(rows[i].wanted);
	}
}

static void test_awkward_names(void)
{
	g_autofree char *longest = repeat("n", 255, "");
	g_autofree char *too_long = repeat("n", 1010, ".conf");
	const char *const names[] = {"'\"$(touch x)`id`", "-rf", "--help", "a\nb", "\x01\x7f", " ",
		"...", "\xff\xfe", "%f %U.txt", "\\", "~", longest, too_long};
	struct box box;

	setup(&box);
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		struct session session;
		g_autoptr(GError) error = NULL;
		g_autofree char *content = NULL;
		gsize len;

		make_device(&box, names[i], "hello", 5, 0);
		g_assert_true(read_device(&box, 0, false, &session, &error));
		g_assert_no_error(error);
		g_assert_cmpstr(session.header.name, ==, names[i]);
		g_assert_true(g_path_is_absolute(session.path));
		g_assert_true(g_file_get_contents(session.path, &content, &len, NULL));
		g_assert_cmpuint(len, ==, 5);
		g_assert_cmpstr(content, ==, "hello");
		g_assert_cmpuint(count_entries(session.folder), ==, 1);
		session_remove(&session);
		session_finish(&session);
	}
	teardown(&box);
}

/* -- in -----------------------------------------------------------------------------------------
 */

static void test_private(void)
{
	static const uint64_t offsets[] = {0, GUARD};
	struct box box;

	setup(&box);
	for (size_t i = 0; i < G_N_ELEMENTS(offsets); i++) {
		struct session edit;
		struct session view;

		make_device(&box, "a", "hello", 5, offsets[i]);
		g_assert_true(read_device(&box, offsets[i], false, &edit, NULL));
		g_assert_true(read_device(&box, offsets[i], true, &view, NULL));
		g_assert_cmpstr(edit.folder, !=, view.folder);
		assert_mode(edit.folder, 0700);
		assert_mode(edit.path, 0600);
		assert_mode(view.folder, 0700);
		assert_mode(view.path, 0400);
		/* echo -n hello | sha256sum */
		g_assert_cmpstr(edit.digest, ==,
			"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
		session_remove(&edit);
		session_remove(&view);
		session_finish(&edit);
		session_finish(&view);
	}
	teardown(&box);
}

static void test_refused(void)
{
	struct box box;
	struct session session;

	setup(&box);
	for (int i = 0; i < 3; i++) {
		g_autoptr(GError) error = NULL;

		/* Beyond the device; no header at all; one that is cut off. */
		make_device(&box, "a", "hello", i == 0 ? UINT64_MAX : 5, 0);
		if (i == 1)
			put(box.fd, (char[QPEN_DVM_HEADER_BYTES]){0}, QPEN_DVM_HEADER_BYTES, 0);
		if (i == 2)
			g_assert_cmpint(ftruncate(box.fd, QPEN_DVM_HEADER_BYTES - 1), ==, 0);
		g_assert_false(read_device(&box, 0, false, &session, &error));
		g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
		g_assert_cmpuint(count_entries(box.folder), ==, 0);
	}
	teardown(&box);
}

static void test_room(void)
{
	const char *const folders[] = {"/nonexistent", "/proc", "/tmp", NULL};
	const char *const none[] = {"/nonexistent", "/proc", NULL};
	g_autoptr(GError) error = NULL;
	g_autofree char *chosen = session_choose_parent(folders, 1, &error);

	g_assert_cmpstr(chosen, ==, "/tmp");
	g_assert_null(session_choose_parent(folders, UINT64_MAX, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
	g_clear_error(&error);
	g_assert_null(session_choose_parent(none, 1, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
}

/* -- afterwards ---------------------------------------------------------------------------------
 */

static void write_same(const struct session *session)
{
	g_assert_true(g_file_set_contents(session->path, "hello", -1, NULL)); /* another inode */
}

static void write_other(const struct session *session)
{
	g_assert_true(g_file_set_contents(session->path, "hellO", -1, NULL));
}

static void write_nothing(const struct session *session)
{
	g_assert_cmpint(truncate(session->path, 0), ==, 0);
}

static void touch(const struct session *session)
{
	g_assert_cmpint(utimensat(AT_FDCWD, session->path, NULL, 0), ==, 0);
}

static void delete (const struct session *session)
{
	g_assert_cmpint(g_unlink(session->path), ==, 0);
}

static void make_pipe(const struct session *session)
{
	delete (session);
	g_assert_cmpint(mkfifo(session->path, 0600), ==, 0);
}

static void make_link(const struct session *session)
{
	delete (session);
	g_assert_cmpint(symlink("/etc/passwd", session->path), ==, 0);
}

static void leave(const struct session *session G_GNUC_UNUSED)
{
}

static void test_compare(void)
{
	static const struct {
		const char *label;
		void (*edit)(const struct session *session);
		bool ok;
		enum session_change wanted;
	} rows[] = {
		{"left alone", leave, true, SESSION_SAME},
		{"touched", touch, true, SESSION_SAME},
		{"saved by rename, same bytes", write_same, true, SESSION_SAME},
		{"one byte", write_other, true, SESSION_CHANGED},
		{"emptied", write_nothing, true, SESSION_CHANGED},
		{"deleted", delete, true, SESSION_DELETED},
		{"a pipe", make_pipe, false, SESSION_SAME},
		{"a link", make_link, false, SESSION_SAME},
	};
	struct box box;

	setup(&box);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct session session;
		g_autoptr(GError) error = NULL;
		enum session_change change;

		g_test_message("%s", rows[i].label);
		make_device(&box, "a", "hello", 5, 0);
		g_assert_true(read_device(&box, 0, false, &session, NULL));
		rows[i].edit(&session);
		g_assert_true(session_compare(&session, &change, &error) == rows[i].ok);
		if (rows[i].ok)
			g_assert_cmpint(change, ==, rows[i].wanted);
		else
			g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
		session_remove(&session);
		session_finish(&session);
	}
	teardown(&box);
}

static void test_empty_stays_empty(void)
{
	struct box box;
	struct session session;
	enum session_change change;

	setup(&box);
	make_device(&box, "a", "", 0, 0);
	g_assert_true(read_device(&box, 0, false, &session, NULL));
	g_assert_true(session_compare(&session, &change, NULL));
	g_assert_cmpint(change, ==, SESSION_SAME);
	session_remove(&session);
	session_finish(&session);
	teardown(&box);
}

/* What was saved beside the file under another name is nobody's to delete. */
static void test_remove(void)
{
	struct box box;
	struct session session;
	g_autofree char *beside = NULL;

	setup(&box);
	make_device(&box, "a", "hello", 5, 0);
	g_assert_true(read_device(&box, 0, false, &session, NULL));
	beside = g_build_filename(session.folder, "b", NULL);
	g_assert_true(g_file_set_contents(beside, "x", -1, NULL));
	session_remove(&session);
	g_assert_false(g_file_test(session.path, G_FILE_TEST_EXISTS));
	g_assert_true(g_file_test(beside, G_FILE_TEST_EXISTS));
	g_unlink(beside);
	session_remove(&session);
	session_finish(&session);
	teardown(&box);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vm/session/file-name", test_file_name);
	g_test_add_func("/vm/session/awkward-names", test_awkward_names);
	g_test_add_func("/vm/session/private", test_private);
	g_test_add_func("/vm/session/refused", test_refused);
	g_test_add_func("/vm/session/room", test_room);
	g_test_add_func("/vm/session/compare", test_compare);
	g_test_add_func("/vm/session/empty", test_empty_stays_empty);
	g_test_add_func("/vm/session/remove", test_remove);
	return g_test_run();
}
