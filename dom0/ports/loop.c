/* SPDX-License-Identifier: GPL-2.0-or-later */
#define G_LOG_DOMAIN "qfilexchgd"
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "images.h"

/* Another program can take the device that LOOP_CTL_GET_FREE named before we do. */
#define BIND_TRIES 64
/* What direct I/O is aligned to: the largest sector that disks have. */
#define DIRECT_ALIGN 4096
#define DELETED " (deleted)"

static int open_number(unsigned number, int flags)
{
	char path[32];
	int fd;

	g_snprintf(path, sizeof path, "/dev/loop%u", number);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/*
 * Whether the file can be read past the page cache. The kernel's own check lets some through that
 * cannot, an overlay over a tmpfs among them, and then every read of the disk fails.
 */
static bool has_direct_io(const char *path)
{
	_Alignas(DIRECT_ALIGN) char block[DIRECT_ALIGN];
	int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC | O_NOFOLLOW);
	bool ok = fd >= 0 && pread(fd, block, sizeof block, 0) >= 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static int configure(int fd, int file, const struct loop_view *view)
{
	struct loop_config config = {.fd = (uint32_t)file};

	config.info.lo_offset = view->offset;
	config.info.lo_sizelimit = view->size_limit;
	/*
	 * Direct I/O: the data would else stand twice in dom0's memory, and writeback would stall
	 * dom0.
	 */
	if (has_direct_io(view->path))
		config.info.lo_flags |= LO_FLAGS_DIRECT_IO;
	if (view->read_only)
		config.info.lo_flags |= LO_FLAGS_READ_ONLY;
	/* For people who look at losetup; the kernel truncates nothing that it relies on. */
	strncpy((char *)config.info.lo_file_name, view->path, LO_NAME_SIZE - 1);
	return ioctl(fd, LOOP_CONFIGURE, &config) < 0 ? -errno : 0;
}

/* An open device as a struct loop, which owns fd from then on; on failure it is closed. */
static int describe(int fd, unsigned number, struct loop *out)
{
	struct stat st = {0};

	if (fstat(fd, &st) < 0) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	*out = (struct loop){
		.fd = fd, .number = number, .major = major(st.st_rdev), .minor = minor(st.st_rdev)};
	return 0;
}

static int bind_once(int ctl, int file, const struct loop_view *view, struct loop *out)
{
	int number = ioctl(ctl, LOOP_CTL_GET_FREE);
	int fd, rc;

	if (number < 0)
		return -errno;
	fd = open_number((unsigned)number, view->read_only ? O_RDONLY : O_RDWR);
	if (fd < 0)
		return fd;
	rc = configure(fd, file, view);
	if (rc == 0)
		return describe(fd, (unsigned)number, out);
	close(fd);
	return rc;
}

int loop_bind(const struct loop_view *view, struct loop *out)
{
	int file = open(view->path, (view->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW);
	int ctl, rc = -EBUSY;

	if (file < 0)
		return -errno;
	ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (ctl < 0) {
		rc = -errno;
		close(file);
		return rc;
	}
	for (int i = 0; rc == -EBUSY && i < BIND_TRIES; i++)
		rc = bind_once(ctl, file, view, out);
	close(ctl);
	close(file);
	return rc;
}

/*
 * Whoever clears a device that others have open marks it to be freed by the last of them: so the
 * kernel has done it since 3.7, for `losetup -d`.
 */
void loop_let_go(struct loop *l)
{
	/* ENXIO: somebody else in dom0 has freed it. */
	if (l->fd >= 0 && ioctl(l->fd, LOOP_CLR_FD, 0) < 0 && errno != ENXIO)
		g_warning("cannot free loop%u: %s", l->number, g_strerror(errno));
	loop_leave(l);
}

void loop_leave(struct loop *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

/* The file behind the device, as sysfs tells it, or NULL when it is not bound. */
static char *backing_file(unsigned number)
{
	g_autofree char *path = g_strdup_printf("/sys/block/loop%u/loop/backing_file", number);
	char *text = NULL;

	if (!g_file_get_contents(path, &text, NULL, NULL))
		return NULL;
	g_strchomp(text);
	return text;
}

bool loop_is_over(const char *backing, const char *path)
{
	g_autofree char *name = NULL;

	/* Of one that was unlinked. */
	name = g_str_has_suffix(backing, DELETED)
		       ? g_strndup(backing, strlen(backing) - strlen(DELETED))
		       : g_strdup(backing);
	return g_str_has_prefix(name, "/") && g_str_has_suffix(path, name);
}

bool loop_is_bound(unsigned number, const char *path)
{
	g_autofree char *backing = backing_file(number);

	return backing && loop_is_over(backing, path);
}

int loop_hold(unsigned number, const char *path, struct loop *out)
{
	int fd = open_number(number, O_RDONLY);

	if (fd < 0)
		return fd;
	/* It cannot be freed while it is open: what is true now stays true. */
	if (loop_is_bound(number, path))
		return describe(fd, number, out);
	close(fd);
	return -ENOENT;
}

typedef bool (*visit_fn)(void *arg, unsigned number, const char *backing);

/* Calls visit for every bound device until it returns true; the number it returned true for, or
 * -ENOENT. */
static int visit_bound(visit_fn visit, void *arg)
{
	g_autoptr(GDir) dir = g_dir_open("/sys/block", 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *backing = NULL;
		guint64 number;

		if (!g_str_has_prefix(name, "loop") ||
			!g_ascii_string_to_unsigned(name + 4, 10, 0, G_MAXINT, &number, NULL))
			continue;
		backing = backing_file((unsigned)number);
		if (backing && visit(arg, (unsigned)number, backing))
			return (int)number;
	}
	return -ENOENT;
}

static bool has_path(void *arg, unsigned number, const char *backing)
{
	(void)number;
	return loop_is_over(backing, arg);
}

int loop_find(const char *path)
{
	g_autofree char *copy = g_strdup(path);

	return visit_bound(has_path, copy);
}

struct sweep {
	const char *folder;
	bool (*keep)(void *arg, unsigned number);
	void *arg;
};

/* Whether that is an image which lies, or by the part of its path that is known may lie, there. */
static bool is_image_in(const char *backing, const char *folder)
{
	g_autofree char *name = g_path_get_basename(backing);
	g_autofree char *path = g_build_filename(folder, name, NULL);

	return image_is_name(name) && loop_is_over(backing, path);
}

static bool sweep_one(void *arg, unsigned number, const char *backing)
{
	const struct sweep *sweep = arg;
	int fd;

	if (!is_image_in(backing, sweep->folder) || sweep->keep(sweep->arg, number))
		return false;
	g_message("loop%u over %s belongs to no pendrive: freed", number, backing);
	fd = open_number(number, O_RDONLY);
	if (fd < 0 || ioctl(fd, LOOP_CLR_FD, 0) < 0)
		g_warning("cannot free loop%u: %s", number, g_strerror(fd < 0 ? -fd : errno));
	if (fd >= 0)
		close(fd);
	return false;
}

void loop_sweep(const char *folder, bool (*keep)(void *arg, unsigned number), void *arg)
{
	struct sweep sweep = {.folder = folder, .keep = keep, .arg = arg};

	visit_bound(sweep_one, &sweep);
}
