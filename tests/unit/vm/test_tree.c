/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking at trees and copying them, from one folder into another. */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "copy.h"
#include "fail.h"
#include "tree.h"

struct fixture {
	char *dir;
	char *from;
	char *to;
	int to_fd;
};

static void set_up(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	f->dir = g_dir_make_tmp("qpen-XXXXXX", NULL);
	f->from = g_build_filename(f->dir, "from", NULL);
	f->to = g_build_filename(f->dir, "to", NULL);
	g_assert_cmpint(g_mkdir(f->from, 0700), ==, 0);
	g_assert_cmpint(g_mkdir(f->to, 0700), ==, 0);
	f->to_fd = open(f->to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	g_assert_cmpint(f->to_fd, >=, 0);
}

static void remove_all(const char *path)
{
	GDir *dir = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *inner = g_build_filename(path, name, NULL);

		remove_all(inner);
	}
	if (dir)
		g_dir_close(dir);
	g_remove(path);
}

static void tear_down(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	close(f->to_fd);
	remove_all(f->dir);
	g_free(f->dir);
	g_free(f->from);
	g_free(f->to);
}

static char *in(const char *folder, const char *name)
{
	return g_build_filename(folder, name, NULL);
}

static void put(const char *folder, const char *name, const char *text)
{
	g_autofree char *path = in(folder, name);

	g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void put_folder(const char *folder, const char *name)
{
	g_autofree char *path = in(folder, name);

	g_assert_cmpint(g_mkdir(path, 0700), ==, 0);
}

static void check(const char *folder, const char *name, const char *text)
{
	g_autofree char *path = in(folder, name);
	g_autofree char *found = NULL;

	g_assert_true(g_file_get_contents(path, &found, NULL, NULL));
	g_assert_cmpstr(found, ==, text);
}

static struct tree *scan(char *path)
{
	char *const paths[] = {path, NULL};

	return tree_scan(paths, NULL);
}

static bool complains_of(const struct tree *tree, const char *words)
{
	for (guint i = 0; i < tree->complaints->len; i++) {
		const struct tree_complaint *complaint = g_ptr_array_index(tree->complaints, i);
		g_autofree char *shown = vm_printable(complaint->path, -1);
		g_autofree char *all = g_strdup_printf("%s: %s", shown, complaint->why);

		if (strstr(all, words))
			return true;
	}
	return false;
}

static bool copy(
	const struct fixture *f, struct tree *tree, struct copy_progress *done, GError **error)
{
	const struct copy_terms terms = {0};

	return copy_tree(tree, f->to_fd, &terms, done, error);
}

static void test_copy(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	static const char *const names[] = {"plain", "with space", "Grüße",
		"\xe6\x96\x87\xe4\xbb\xb6", "-rf", "$(x)'`", ".hidden"};
	g_autofree char *sub = in(f->from, "sub");
	autotree *tree = NULL;
	g_autoptr(GError) error = NULL;
	struct copy_progress done = {0};

	put_folder(f->from, "sub");
	put_folder(sub, "empty");
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
		put(sub, names[i], names[i]);
	put(sub, "nothing", "");
	tree = scan(f->from);
	g_assert_cmpuint(tree->complaints->len, ==, 0);
	g_assert_cmpuint(tree->files, ==, G_N_ELEMENTS(names) + 1);
	g_assert_cmpuint(tree->folders, ==, 3);
	g_assert_true(copy(f, tree, &done, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(done.files, ==, tree->files);
	g_assert_cmpuint(done.bytes, ==, tree->bytes);
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *inner = g_build_filename("from", "sub", names[i], NULL);

		check(f->to, inner, names[i]);
	}
	check(f->to, "from/sub/nothing", "");
	{
		g_autofree char *empty = in(f->to, "from/sub/empty");

		g_assert_true(g_file_test(empty, G_FILE_TEST_IS_DIR));
	}
}

static void test_times(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	const struct timespec old[2] = {{.tv_sec = 1}, {.tv_sec = 1000000000}};
	g_autofree char *copied = in(f->to, "from");
	g_autofree char *copied_file = in(copied, "a");
	g_autofree char *file = in(f->from, "a");
	autotree *tree = NULL;
	struct copy_progress done = {0};
	struct stat st;

	put(f->from, "a", "x");
	g_assert_cmpint(utimensat(AT_FDCWD, file, old, 0), ==, 0);
	g_assert_cmpint(utimensat(AT_FDCWD, f->from, old, 0), ==, 0);
	tree = scan(f->from);
	g_assert_true(copy(f, tree, &done, NULL));
	g_assert_cmpint(stat(copied_file, &st), ==, 0);
	g_assert_cmpint(st.st_mtime, ==, 1000000000);
	g_assert_cmpint(stat(copied, &st), ==, 0);
	g_assert_cmpint(st.st_mtime, ==, 1000000000);
}

static void test_large(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	const size_t size = (3u << 20) + 17;
	g_autofree char *bytes = g_malloc(size);
	g_autofree char *file = in(f->from, "large");
	g_autofree char *copied = in(f->to, "large");
	g_autofree char *found = NULL;
	gsize found_len;
	autotree *tree = NULL;
	struct copy_progress done = {0};

	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)(i * 31 + i / 4099);
	g_assert_true(g_file_set_contents(file, bytes, (gssize)size, NULL));
	tree = scan(file);
	g_assert_true(copy(f, tree, &done, NULL));
	g_assert_true(g_file_get_contents(copied, &found, &found_len, NULL));
	g_assert_cmpuint(found_len, ==, size);
	g_assert_true(memcmp(found, bytes, size) == 0);
}

static void make_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	g_strlcpy(address.sun_path, path, sizeof address.sun_path);
	g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
	close(fd);
}

static void make_sparse(const char *path, off_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	g_assert_cmpint(ftruncate(fd, size), ==, 0);
	close(fd);
}

static void test_refused(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *link = in(f->from, "a link");
	g_autofree char *fifo = in(f->from, "a fifo");
	g_autofree char *sock = in(f->from, "a socket");
	g_autofree char *huge = in(f->from, "a huge file");
	g_autofree char *largest = in(f->from, "the largest");
	autotree *tree = NULL;

	g_assert_cmpint(symlink("/etc/passwd", link), ==, 0);
	g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
	make_socket(sock);
	make_sparse(huge, (off_t)1 << 32);
	make_sparse(largest, ((off_t)1 << 32) - 1);
	put(f->from, "a:b", "x");
	put(f->from, "dot.", "x");
	put(f->from, "caf\xe9", "x");
	put(f->from, "esc\033[31m", "x");
	put(f->from, "README", "x");
	put(f->from, "Readme", "x");
	tree = scan(f->from);
	g_assert_cmpuint(tree->complaints->len, ==, 9);
	g_assert_true(complains_of(tree, "a link: a pendrive cannot carry a symbolic link"));
	g_assert_true(complains_of(tree, "a fifo: a pendrive cannot carry a FIFO"));
	g_assert_true(complains_of(tree, "a socket: a pendrive cannot carry a socket"));
	g_assert_true(complains_of(tree, "a huge file: a pendrive cannot carry a file of 4 GiB"));
	g_assert_true(complains_of(tree, "a:b: a pendrive cannot carry :"));
	g_assert_true(complains_of(tree, "dot.: "));
	g_assert_true(complains_of(tree, "caf\\xe9: its name is not UTF-8"));
	g_assert_true(complains_of(tree, "esc\\x1b[31m: its name holds a control character"));
	g_assert_true(complains_of(tree, "cannot tell its name from \"README\""));
}

/* What cannot be carried is out of the tree, a folder with all that is in it. */
static void test_left_out(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	static const volatile sig_atomic_t stop = 1;
	g_autofree char *sub = in(f->from, "a:b");
	char *const paths[] = {f->from, NULL};
	autotree *tree = NULL;
	autotree *stopped = tree_scan(paths, &stop);
	const struct tree_node *top;

	g_assert_true(stopped->stopped);
	put_folder(f->from, "a:b");
	put(sub, "inner", "inner");
	put(f->from, "README", "capital");
	put(f->from, "readme", "small");
	tree = scan(f->from);
	g_assert_false(tree->stopped);
	g_assert_cmpuint(tree->complaints->len, ==, 2);
	g_assert_cmpuint(tree->files, ==, 1);
	g_assert_cmpuint(tree->folders, ==, 1);
	g_assert_cmpuint(tree->bytes, ==, strlen("capital"));
	top = g_ptr_array_index(tree->root.children, 0);
	g_assert_cmpuint(top->children->len, ==, 1);
}

static void test_many_complaints(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	autotree *tree = NULL;

	for (unsigned i = 0; i < 30; i++) {
		g_autofree char *name = g_strdup_printf("%u:", i);

		put(f->from, name, "");
	}
	tree = scan(f->from);
	put(f->from, "good", "x");
	tree_free(tree);
	tree = scan(f->from);
	g_assert_cmpuint(tree->complaints->len, ==, 30);
	/* What can be carried is counted, and nothing else. */
	g_assert_cmpuint(tree->files, ==, 1);
	g_assert_cmpuint(tree->bytes, ==, 1);
	g_assert_cmpuint(tree->folders, ==, 1);
}

static void test_arguments(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *sub = in(f->from, "sub");
	g_autofree char *file = in(f->from, "a");
	g_autofree char *inner = in(sub, "A");
	g_autofree char *link = in(f->from, "link");
	g_autofree char *link_slash = g_strconcat(link, "/", NULL);
	g_autofree char *missing = in(f->from, "missing");
	g_autofree char *through = in(link, "A");
	char *const clash[] = {file, inner, NULL};
	char *const linked[] = {link_slash, missing, (char[]){""}, (char[]){"/"}, NULL};
	autotree *clashing = NULL;
	autotree *wrong = NULL;
	autotree *right = NULL;

	put_folder(f->from, "sub");
	put(f->from, "a", "x");
	put(sub, "A", "x");
	g_assert_cmpint(symlink("sub", link), ==, 0);
	clashing = tree_scan(clash, NULL);
	g_assert_cmpuint(clashing->complaints->len, ==, 1);
	wrong = tree_scan(linked, NULL);
	g_assert_cmpuint(wrong->complaints->len, ==, 4);
	g_assert_true(complains_of(wrong, "link: a pendrive cannot carry a symbolic link"));
	/* On the way to a named file, links are the user's own choice. */
	right = scan(through);
	g_assert_cmpuint(right->complaints->len, ==, 0);
}

static void test_names(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *cwd = g_get_current_dir();
	g_autofree char *dot = NULL;
	g_autofree char *file = tree_name_of("/a/b.txt", NULL);

	g_assert_cmpint(g_chdir(f->from), ==, 0);
	dot = tree_name_of(".", NULL);
	g_assert_cmpint(g_chdir(cwd), ==, 0);
	g_assert_cmpstr(dot, ==, "from");
	g_assert_cmpstr(file, ==, "b.txt");
	g_assert_null(tree_name_of("/", NULL));
	g_assert_null(tree_name_of("/..", NULL));
}

static void test_deep(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	int fd = open(f->from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autotree *tree = NULL;

	for (unsigned i = 0; i < TREE_MAX_DEPTH + 5; i++) {
		int inner;

		g_assert_cmpint(mkdirat(fd, "d", 0700), ==, 0);
		inner = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = inner;
	}
	close(fd);
	tree = scan(f->from);
	g_assert_cmpuint(tree->complaints->len, ==, 1);
	g_assert_true(complains_of(tree, "it lies too deep"));
}

static void test_room(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	autotree *tree = NULL;
	uint64_t room;

	put(f->from, "a", "x");
	put(f->from, "b", "");
	tree = scan(f->from);
	g_assert_true(tree_room(tree, 4096, &room));
	/* The root, the folder and one cluster of a file. */
	g_assert_cmpuint(room, ==, UINT64_C(3) * 4096);
}

/* What changes between the look and the copying is noticed, and nothing is followed. */
static void test_swapped(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *file = in(f->from, "a");
	g_autofree char *copied = in(f->to, "from/a");
	g_autoptr(GError) error = NULL;
	autotree *tree = NULL;
	struct copy_progress done = {0};

	put(f->from, "a", "x");
	tree = scan(f->from);
	g_unlink(file);
	g_assert_cmpint(symlink("/etc/passwd", file), ==, 0);
	g_assert_false(copy(f, tree, &done, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
	g_assert_nonnull(strstr(error->message, file));
	g_assert_false(g_file_test(copied, G_FILE_TEST_EXISTS));
}

static void test_vanished_fifo(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *file = in(f->from, "a");
	g_autoptr(GError) error = NULL;
	autotree *tree = NULL;
	struct copy_progress done = {0};

	put(f->from, "a", "x");
	tree = scan(file);
	g_unlink(file);
	g_assert_cmpint(mkfifo(file, 0600), ==, 0);
	g_assert_false(copy(f, tree, &done, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
}

static void grow(const struct copy_progress *progress, void *data)
{
	int fd = open(data, O_WRONLY | O_APPEND | O_CLOEXEC);

	if (progress->files == 0)
		g_assert_cmpint(write(fd, "more", 4), ==, 4);
	close(fd);
}

static void test_growing(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *file = in(f->from, "log");
	const struct copy_terms terms = {.on_progress = grow, .data = file};
	g_autoptr(GError) error = NULL;
	autotree *tree = NULL;
	struct copy_progress done = {0};

	put(f->from, "log", "line");
	tree = scan(file);
	g_assert_false(copy_tree(tree, f->to_fd, &terms, &done, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
	g_assert_nonnull(strstr(error->message, "changed"));
}

static void test_present(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *file = in(f->from, "a");
	g_autoptr(GError) error = NULL;
	autotree *tree = NULL;
	struct copy_progress done = {0};

	put(f->from, "a", "new");
	put(f->to, "a", "old");
	tree = scan(file);
	g_assert_false(copy(f, tree, &done, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
	check(f->to, "a", "old");
}

static void test_stop(struct fixture *f, gconstpointer data G_GNUC_UNUSED)
{
	static const volatile sig_atomic_t stop = 1;
	const struct copy_terms terms = {.stop = &stop};
	g_autoptr(GError) error = NULL;
	autotree *tree = NULL;
	struct copy_progress done = {0};

	put(f->from, "a", "x");
	tree = scan(f->from);
	g_assert_false(copy_tree(tree, f->to_fd, &terms, &done, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_INTERRUPTED);
	g_assert_cmpuint(done.files, ==, 0);
}

#define ADD(name, function)                                                                        \
	g_test_add("/vm/tree/" name, struct fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("copy", test_copy);
	ADD("times", test_times);
	ADD("large", test_large);
	ADD("refused", test_refused);
	ADD("left-out", test_left_out);
	ADD("many-complaints", test_many_complaints);
	ADD("arguments", test_arguments);
	ADD("names", test_names);
	ADD("deep", test_deep);
	ADD("room", test_room);
	ADD("swapped", test_swapped);
	ADD("vanished-fifo", test_vanished_fifo);
	ADD("growing", test_growing);
	ADD("present", test_present);
	ADD("stop", test_stop);
	return g_test_run();
}
