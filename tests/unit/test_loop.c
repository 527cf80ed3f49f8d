/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which image is behind a loop device, by what sysfs says of it; and the kernel's loop devices
 * themselves, for root. */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "images.h"
#include "loop.h"

#define NAME "0123456789abcdef0123456789abcdef" IMAGE_SUFFIX
#define OTHER "0123456789abcdef0123456789abcde0" IMAGE_SUFFIX

struct over_row {
	const char *label;
	const char *backing;
	const char *path;
	bool over;
};

static const struct over_row over_rows[] = {
	{"its path", "/var/lib/q/" NAME, "/var/lib/q/" NAME, true},
	{"it was unlinked", "/var/lib/q/" NAME " (deleted)", "/var/lib/q/" NAME, true},
	{"the folder was a mount that has gone", "/" NAME, "/var/lib/q/" NAME, true},
	{"a folder above it was one", "/q/" NAME, "/var/lib/q/" NAME, true},
	{"gone, and unlinked", "/" NAME " (deleted)", "/var/lib/q/" NAME, true},
	{"another image", "/var/lib/q/" OTHER, "/var/lib/q/" NAME, false},
	{"another one, of a mount that has gone", "/" OTHER, "/var/lib/q/" NAME, false},
	{"the end of its name", "/cdef" IMAGE_SUFFIX, "/var/lib/q/" NAME, false},
	{"no path", NAME, "/var/lib/q/" NAME, false},
	{"nothing", "", "/var/lib/q/" NAME, false},
	{"its folder has another name", "/mnt/" NAME, "/var/lib/q/" NAME, false},
	{"a copy in a longer path", "/mnt/var/lib/q/" NAME, "/var/lib/q/" NAME, false},
	{"more behind its name", "/" NAME ".old", "/var/lib/q/" NAME, false},
};

static void test_over(gconstpointer data)
{
	const struct over_row *row = data;

	g_assert_cmpint(loop_is_over(row->backing, row->path), ==, row->over);
}

/* ---- the kernel's ---- */

#define FILE_BYTES (1 << 20)
/* Whoever looks at new devices may have one open for a moment. */
#define DEADLINE_US (60 * G_USEC_PER_SEC)

struct fixture {
	char *path;
	bool usable;
};

static void set_up(struct fixture *f, gconstpointer unused)
{
	g_autoptr(GError) error = NULL;
	int fd = g_file_open_tmp("qfx-loop-XXXXXX", &f->path, &error);

	(void)unused;
	g_assert_no_error(error);
	g_assert_cmpint(ftruncate(fd, FILE_BYTES), ==, 0);
	close(fd);
	f->usable = access("/dev/loop-control", R_OK | W_OK) == 0;
	if (!f->usable)
		g_test_skip("needs root, and loop devices");
}

static void tear_down(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	g_assert_cmpint(unlink(f->path), ==, 0);
	g_free(f->path);
}

static void bind_it(const struct fixture *f, struct loop *out)
{
	const struct loop_view view = {.path = f->path};

	g_assert_cmpint(loop_bind(&view, out), ==, 0);
	g_assert_true(loop_is_bound(out->number, f->path));
}

static void assert_freed(const struct fixture *f, unsigned number)
{
	const gint64 deadline = g_get_monotonic_time() + DEADLINE_US;

	while (loop_is_bound(number, f->path)) {
		g_assert_cmpint(g_get_monotonic_time(), <, deadline);
		g_usleep(1000);
	}
}

/* The daemon is killed before blkback has opened it: it is there for the next daemon. */
static void test_killed(struct fixture *f, gconstpointer unused)
{
	struct loop loop = {.fd = -1};
	unsigned number = 0;
	int fds[2], status;
	pid_t child;

	(void)unused;
	if (!f->usable)
		return;
	g_assert_cmpint(pipe(fds), ==, 0);
	child = fork();
	g_assert_cmpint(child, >=, 0);
	if (child == 0) {
		bind_it(f, &loop);
		g_assert_cmpint(
			write(fds[1], &loop.number, sizeof loop.number), ==, sizeof loop.number);
		raise(SIGKILL);
	}
	close(fds[1]);
	g_assert_cmpint(read(fds[0], &number, sizeof number), ==, sizeof number);
	close(fds[0]);
	g_assert_cmpint(waitpid(child, &status, 0), ==, child);
	g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

	g_assert_true(loop_is_bound(number, f->path));
	g_assert_cmpint(loop_hold(number, "/another", &loop), ==, -ENOENT);
	g_assert_cmpint(loop_hold(number, f->path, &loop), ==, 0);
	g_assert_cmpuint(loop.number, ==, number);
	loop_let_go(&loop);
	assert_freed(f, number);
	g_assert_cmpint(loop_hold(number, f->path, &loop), ==, -ENOENT);
}

/* Left by a daemon that stops, it stays as well. */
static void test_left(struct fixture *f, gconstpointer unused)
{
	struct loop loop;
	unsigned number;

	(void)unused;
	if (!f->usable)
		return;
	bind_it(f, &loop);
	number = loop.number;
	loop_leave(&loop);
	g_assert_cmpint(loop.fd, ==, -1);
	g_assert_true(loop_is_bound(number, f->path));
	g_assert_cmpint(loop_find(f->path), ==, (int)number);
	g_assert_cmpint(loop_hold(number, f->path, &loop), ==, 0);
	loop_let_go(&loop);
	assert_freed(f, number);
}

/* blkback has it open when we let go: it goes with blkback. */
static void test_last_holder(struct fixture *f, gconstpointer unused)
{
	g_autofree char *device = NULL;
	struct loop loop;
	unsigned number;
	int other;

	(void)unused;
	if (!f->usable)
		return;
	bind_it(f, &loop);
	number = loop.number;
	device = g_strdup_printf("/dev/loop%u", number);
	other = open(device, O_RDONLY | O_CLOEXEC);
	g_assert_cmpint(other, >=, 0);
	loop_let_go(&loop);
	g_assert_true(loop_is_bound(number, f->path));
	close(other);
	assert_freed(f, number);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(over_rows); i++) {
		g_autofree char *path = g_strconcat("/loop/over/", over_rows[i].label, NULL);

		g_test_add_data_func(path, &over_rows[i], test_over);
	}
#define KERNEL(path, fn)                                                                           \
	g_test_add("/loop/kernel/" path, struct fixture, NULL, set_up, fn, tear_down)
	KERNEL("killed", test_killed);
	KERNEL("left", test_left);
	KERNEL("last-holder", test_last_holder);
	return g_test_run();
}
