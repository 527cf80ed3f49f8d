/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The second half of a move: nothing goes but what was copied, as it was copied. */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "copy.h"
#include "remove.h"
#include "scope.h"

struct fixture {
	char *dir, *from, *to;
	struct tree *tree;
	GString *kept; /* the paths below `from` that were named, each with a space behind it */
};

static char *in(const char *folder, const char *name)
{
	return g_build_filename(folder, name, NULL);
}

static void put(const struct fixture *f, const char *name, const char *text)
{
	g_autofree char *path = in(f->from, name);
	autofd fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(write(fd, text, strlen(text)), ==, (ssize_t)strlen(text));
}

static void put_folder(const struct fixture *f, const char *name)
{
	g_autofree char *path = in(f->from, name);

	g_assert_cmpint(g_mkdir(path, 0700), ==, 0);
}

static bool is_there(const struct fixture *f, const char *name)
{
	g_autofree char *path = in(f->from, name);
	struct stat st;

	return lstat(path, &st) == 0;
}

/* Until a further change shows in a file's times, and none that was is in the present tick. */
static void let_the_clock_tick(void)
{
	struct timespec began, now;

	clock_gettime(CLOCK_REALTIME, &began);
	do {
		g_usleep(1000);
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (now.tv_sec < began.tv_sec ||
		 (now.tv_sec == began.tv_sec && now.tv_nsec <= began.tv_nsec));
}

/* from/a, from/sub/b, from/sub/deep/c, from/sub/empty; all of it copied by set_up_copied. */
static void set_up(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	f->dir = g_dir_make_tmp("qpen-XXXXXX", NULL);
	f->from = in(f->dir, "from");
	f->to = in(f->dir, "to");
	f->kept = g_string_new(NULL);
	g_assert_cmpint(g_mkdir(f->from, 0700), ==, 0);
	g_assert_cmpint(g_mkdir(f->to, 0700), ==, 0);
	put_folder(f, "sub");
	put_folder(f, "sub/deep");
	put_folder(f, "sub/empty");
	put(f, "a", "a");
	put(f, "sub/b", "b");
	put(f, "sub/deep/c", "c");
}

static void copy_all(struct fixture *f)
{
	autofd to = open(f->to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct copy_terms terms = {0};
	struct copy_progress done;
	char *const paths[] = {f->from, NULL};

	let_the_clock_tick();
	f->tree = tree_scan(paths, NULL);
	g_assert_true(copy_tree(f->tree, to, &terms, &done, NULL));
}

static void remove_all(const char *path)
{
	GDir *dir = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *inner = in(path, name);

		remove_all(inner);
	}
	if (dir)
		g_dir_close(dir);
	g_remove(path);
}

static void tear_down(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	tree_free(f->tree);
	remove_all(f->dir);
	g_string_free(f->kept, TRUE);
	g_free(f->dir);
	g_free(f->from);
	g_free(f->to);
}

static void on_kept(const char *path, const char *why, void *data)
{
	struct fixture *f = data;

	g_assert_cmpstr(why, !=, "");
	g_assert_true(g_str_has_prefix(path, f->from));
	g_string_append_printf(f->kept, "%s ", path + strlen(f->from));
}

static struct remove_result removes(struct fixture *f)
{
	const struct remove_terms terms = {NULL, on_kept, f};
	struct remove_result result = {0};

	remove_tree(f->tree, &terms, &result);
	g_assert_false(result.stopped);
	return result;
}

static void test_all(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	struct remove_result result = {0};

	copy_all(f);
	result = removes(f);
	g_assert_cmpstr(f->kept->str, ==, "");
	g_assert_cmpuint(result.removed, ==, 7);
	g_assert_cmpuint(result.kept, ==, 0);
	g_assert_false(g_file_test(f->from, G_FILE_TEST_EXISTS));
}

/* Nothing was copied: as if somebody had called it too early. */
static void test_not_copied(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	char *const paths[] = {f->from, NULL};

	f->tree = tree_scan(paths, NULL);
	g_assert_cmpuint(removes(f).removed, ==, 0);
	g_assert_true(is_there(f, "a"));
	g_assert_true(is_there(f, "sub/deep/c"));
}

static void write_same_length(const struct fixture *f)
{
	put(f, "sub/b", "B");
}

/* Even if it then sets the time of modification back. */
static void write_in_secret(const struct fixture *f)
{
	g_autofree char *path = in(f->from, "sub/b");
	struct stat st;
	struct timespec times[2];

	g_assert_cmpint(stat(path, &st), ==, 0);
	put(f, "sub/b", "B");
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	g_assert_cmpint(utimensat(AT_FDCWD, path, times, 0), ==, 0);
}

static void replace(const struct fixture *f)
{
	g_autofree char *path = in(f->from, "sub/b");
	g_autofree char *other = in(f->from, "sub/new");

	put(f, "sub/new", "b");
	g_assert_cmpint(g_rename(other, path), ==, 0);
}

static void replace_by_link(const struct fixture *f)
{
	g_autofree char *path = in(f->from, "sub/b");

	g_assert_cmpint(g_remove(path), ==, 0);
	g_assert_cmpint(symlink("../a", path), ==, 0);
}

static void replace_by_folder(const struct fixture *f)
{
	g_autofree char *path = in(f->from, "sub/b");

	g_assert_cmpint(g_remove(path), ==, 0);
	put_folder(f, "sub/b");
}

static void (*const changes[])(const struct fixture *f) = {
	write_same_length, write_in_secret, replace, replace_by_link, replace_by_folder};

static void test_changed(struct fixture *f, gconstpointer data)
{
	copy_all(f);
	let_the_clock_tick();
	changes[GPOINTER_TO_UINT(data)](f);
	g_assert_cmpuint(removes(f).kept, ==, 1);
	g_assert_cmpstr(f->kept->str, ==, "/sub/b ");
	g_assert_true(is_there(f, "sub/b"));
	g_assert_false(is_there(f, "a"));
	g_assert_false(is_there(f, "sub/deep"));
}

/* What was written in the tick in which it was copied might have changed unseen. */
static void test_racy(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	struct tree_node *top;
	struct tree_node *file;

	copy_all(f);
	top = g_ptr_array_index(f->tree->root.children, 0);
	file = g_ptr_array_index(top->children, 0);
	g_assert_cmpstr(file->name, ==, "a");
	g_assert_false(file->racy);
	file->racy = true;
	g_assert_cmpuint(removes(f).kept, ==, 1);
	g_assert_cmpstr(f->kept->str, ==, "/a ");
	g_assert_true(is_there(f, "a"));
}

static void test_appeared(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	copy_all(f);
	put(f, "sub/deep/new", "n");
	put_folder(f, "sub/empty/newer");
	g_assert_cmpuint(removes(f).kept, ==, 2);
	g_assert_cmpstr(f->kept->str, ==, "/sub/deep/new /sub/empty/newer ");
	g_assert_true(is_there(f, "sub/deep/new"));
	g_assert_false(is_there(f, "sub/deep/c"));
	g_assert_false(is_there(f, "sub/b"));
}

/* What was never to go is not spoken of again. */
static void test_left_out(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	put(f, "sub/a:b", "x");
	copy_all(f);
	g_assert_cmpuint(f->tree->complaints->len, ==, 1);
	g_assert_cmpuint(removes(f).kept, ==, 0);
	g_assert_true(is_there(f, "sub/a:b"));
	g_assert_false(is_there(f, "sub/b"));
}

static void test_gone_already(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *file = in(f->from, "sub/b");
	g_autofree char *folder = in(f->from, "sub/empty");

	copy_all(f);
	g_assert_cmpint(g_remove(file), ==, 0);
	g_assert_cmpint(g_remove(folder), ==, 0);
	g_assert_cmpuint(removes(f).kept, ==, 0);
	g_assert_false(g_file_test(f->from, G_FILE_TEST_EXISTS));
}

/* A folder in whose place stands a link to it, or another one. */
static void test_folder_swapped(struct fixture *f, gconstpointer data)
{
	bool by_link = GPOINTER_TO_INT(data);
	g_autofree char *sub = in(f->from, "sub");
	g_autofree char *away = in(f->from, "away");

	copy_all(f);
	g_assert_cmpint(g_rename(sub, away), ==, 0);
	if (by_link)
		g_assert_cmpint(symlink("away", sub), ==, 0);
	else
		put_folder(f, "sub");
	put(f, "sub/other", "o");
	removes(f);
	g_assert_true(is_there(f, "sub"));
	g_assert_true(is_there(f, "away/b"));
	g_assert_true(is_there(f, "away/deep/c"));
	g_assert_true(is_there(f, by_link ? "away/other" : "sub/other"));
	g_assert_true(g_str_has_prefix(f->kept->str, "/sub "));
}

static void test_may_not(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *deep = in(f->from, "sub/deep");

	if (geteuid() == 0) {
		g_test_skip("root may delete everything");
		return;
	}
	copy_all(f);
	g_assert_cmpint(g_chmod(deep, 0500), ==, 0);
	g_assert_cmpuint(removes(f).kept, ==, 1);
	g_assert_cmpstr(f->kept->str, ==, "/sub/deep/c ");
	g_assert_cmpint(g_chmod(deep, 0700), ==, 0);
	g_assert_true(is_there(f, "sub/deep/c"));
}

static void test_stopped(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	static const volatile sig_atomic_t stop = 1;
	const struct remove_terms terms = {&stop, on_kept, f};
	struct remove_result result = {0};

	copy_all(f);
	remove_tree(f->tree, &terms, &result);
	g_assert_true(result.stopped);
	g_assert_cmpuint(result.removed, ==, 0);
	g_assert_true(is_there(f, "a"));
}

#define ADD(name, fn, data)                                                                        \
	g_test_add("/vm/remove/" name, struct fixture, data, set_up, fn, tear_down)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("all", test_all, NULL);
	ADD("not-copied", test_not_copied, NULL);
	ADD("changed/same-length", test_changed, GUINT_TO_POINTER(0));
	ADD("changed/in-secret", test_changed, GUINT_TO_POINTER(1));
	ADD("changed/replaced", test_changed, GUINT_TO_POINTER(2));
	ADD("changed/link", test_changed, GUINT_TO_POINTER(3));
	ADD("changed/folder", test_changed, GUINT_TO_POINTER(4));
	ADD("racy", test_racy, NULL);
	ADD("appeared", test_appeared, NULL);
	ADD("left-out", test_left_out, NULL);
	ADD("gone-already", test_gone_already, NULL);
	ADD("folder-swapped/link", test_folder_swapped, GINT_TO_POINTER(1));
	ADD("folder-swapped/other", test_folder_swapped, GINT_TO_POINTER(0));
	ADD("may-not", test_may_not, NULL);
	ADD("stopped", test_stopped, NULL);
	return g_test_run();
}
