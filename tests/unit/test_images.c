/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The folder of images: what a removal leaves to the others, and to the next image. */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images_dir.h"
#include "qpen_contract.h"

#define MIB (INT64_C(1) << 20)
/* dom0/ports/images_dir.c: FREE_STEP_BYTES */
#define STEP_BYTES (64 * MIB)
#define N_IMAGES 100u
#define IMAGE_BYTES (200 * MIB)

struct fixture {
	char *dir;
	struct images_dir *store;
	struct images_port port;
	struct port_events events;
	GArray *removed; /* ids, in their order */
	unsigned n_made;
	enum qpen_error error; /* of the last that failed */
	unsigned n_failed;
};

static void on_made(void *ctx, uint64_t id)
{
	struct fixture *f = ctx;

	(void)id;
	f->n_made++;
}

static void on_failed(void *ctx, uint64_t id, enum qpen_error error)
{
	struct fixture *f = ctx;

	(void)id;
	f->n_failed++;
	f->error = error;
}

static void on_removed(void *ctx, uint64_t id)
{
	struct fixture *f = ctx;

	g_array_append_val(f->removed, id);
}

static void set_up(struct fixture *f, gconstpointer reserve)
{
	g_autoptr(GError) error = NULL;

	f->dir = g_dir_make_tmp("qfx-images-XXXXXX", &error);
	g_assert_no_error(error);
	f->removed = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	f->events = (struct port_events){.ctx = f,
		.image_made = on_made,
		.image_failed = on_failed,
		.image_removed = on_removed};
	f->store = images_dir_create(f->dir, reserve ? UINT64_C(1) << 60 : 0, &f->events);
	g_assert_nonnull(f->store);
	f->port = images_dir_port(f->store);
}

static unsigned count_files(const struct fixture *f)
{
	g_autoptr(GDir) dir = g_dir_open(f->dir, 0, NULL);
	unsigned n = 0;

	while (g_dir_read_name(dir))
		n++;
	return n;
}

static void tear_down(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	images_dir_destroy(f->store);
	g_assert_cmpuint(count_files(f), ==, 0);
	g_assert_cmpint(g_rmdir(f->dir), ==, 0);
	g_array_free(f->removed, TRUE);
	g_free(f->dir);
}

static struct transfer transfer_of(uint64_t id)
{
	struct transfer t = {.id = id,
		.size_bytes = 4 * MIB,
		.format = PENDRIVE_NONE,
		.sender = {.name = "work"}};

	g_snprintf(t.image, sizeof t.image, "%032x", (unsigned)id);
	return t;
}

static char *path_of(const struct fixture *f, const struct transfer *t)
{
	return g_strconcat(f->dir, "/", t->image, IMAGE_SUFFIX, NULL);
}

/* What is still on the disk of files that have no name any more: this process has them open. */
static int64_t nameless_bytes(const struct fixture *f)
{
	g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
	int64_t bytes = 0;
	const char *name;

	while ((name = g_dir_read_name(dir))) {
		g_autofree char *link = g_strconcat("/proc/self/fd/", name, NULL);
		g_autofree char *target = g_file_read_link(link, NULL);
		struct stat st;

		if (target && g_str_has_prefix(target, f->dir) &&
			g_str_has_suffix(target, " (deleted)") && stat(link, &st) == 0)
			bytes += st.st_size;
	}
	return bytes;
}

/* A hundred large images at once: between any two steps of it the others are served. */
static void test_a_hundred_removals(struct fixture *f, gconstpointer unused)
{
	int64_t left;

	(void)unused;
	for (unsigned i = 1; i <= N_IMAGES; i++) {
		struct transfer t = transfer_of(i);
		g_autofree char *path = path_of(f, &t);
		int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

		g_assert_cmpint(fd, >=, 0);
		g_assert_cmpint(ftruncate(fd, IMAGE_BYTES), ==, 0);
		close(fd);
		f->port.remove(f->port.ctx, &t);
	}
	/* The names go at once. */
	g_assert_cmpuint(count_files(f), ==, 0);
	left = nameless_bytes(f);
	g_assert_cmpint(left, ==, (int64_t)N_IMAGES * IMAGE_BYTES);
	while (f->removed->len < N_IMAGES) {
		int64_t before = left;

		g_assert_true(g_main_context_iteration(NULL, TRUE));
		left = nameless_bytes(f);
		g_assert_cmpint(before - left, <=, STEP_BYTES);
	}
	for (unsigned i = 0; i < N_IMAGES; i++)
		g_assert_cmpuint(g_array_index(f->removed, uint64_t, i), ==, i + 1);
	g_assert_cmpint(left, ==, 0);
}

static void make(struct fixture *f, const struct transfer *t)
{
	unsigned before = f->n_made + f->n_failed;

	f->port.make(f->port.ctx, t);
	while (f->n_made + f->n_failed == before)
		g_main_context_iteration(NULL, TRUE);
}

static void remove_and_wait(struct fixture *f, const struct transfer *t)
{
	f->port.remove(f->port.ctx, t);
	while (f->removed->len == 0)
		g_main_context_iteration(NULL, TRUE);
	g_array_set_size(f->removed, 0);
}

static void assert_all(const char *bytes, gsize n, char wanted)
{
	for (gsize i = 0; i < n; i++)
		if (bytes[i] != wanted)
			g_error("byte %" G_GSIZE_FORMAT " is %#x", i, (guchar)bytes[i]);
}

/* Of the same name even, as a daemon might that chose one twice. */
static void test_the_next_one_is_empty(struct fixture *f, gconstpointer unused)
{
	struct transfer t = transfer_of(1);
	g_autofree char *path = path_of(f, &t), *bytes = NULL, *pattern = NULL;
	gsize len;

	(void)unused;
	make(f, &t);
	g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
	assert_all(bytes, len, 0);
	pattern = g_malloc(len);
	memset(pattern, 'x', len);
	g_assert_true(g_file_set_contents_full(
		path, pattern, (gssize)len, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
	remove_and_wait(f, &t);
	make(f, &t);
	g_clear_pointer(&bytes, g_free);
	g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
	g_assert_cmpuint(len, ==, 4 * MIB + 2 * QPEN_GUARD_BYTES);
	assert_all(bytes, len, 0);
	/* One that is there already is never taken over: it is made anew. */
	g_assert_true(g_file_set_contents_full(
		path, pattern, (gssize)len, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
	make(f, &t);
	g_clear_pointer(&bytes, g_free);
	g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
	assert_all(bytes, len, 0);
	remove_and_wait(f, &t);
}

static void test_no_room(struct fixture *f, gconstpointer unused)
{
	struct transfer t = transfer_of(1);

	(void)unused;
	make(f, &t);
	g_assert_cmpuint(f->n_failed, ==, 1);
	g_assert_cmpint(f->error, ==, QPEN_ERROR_NO_SPACE);
	g_assert_cmpuint(count_files(f), ==, 0);
}

#define IMAGES(path, reserve, fn)                                                                  \
	g_test_add("/images/" path, struct fixture, reserve, set_up, fn, tear_down)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_log_set_always_fatal(G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL);
	IMAGES("a-hundred-removals", NULL, test_a_hundred_removals);
	IMAGES("the-next-one-is-empty", NULL, test_the_next_one_is_empty);
	IMAGES("no-room", "all", test_no_room);
	return g_test_run();
}
