/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loop devices for the store tests, where there is no blkback to use real ones: a device is a
 * number, and counts as let go as soon as its nodes are gone from xenstore, which is when the port
 * asks.
 *
 * A test that wants a device to be held on makes the file `held` beside the images, and `no-loops`
 * when there are to be none.
 */
#include <errno.h>
#include <glib.h>
#include <unistd.h>

#include "loop.h"

#define LOOP_MAJOR 7

/*
 * simvm reads here what is behind a device, and notes when two VMs reach the same image. False if
 * another device had that number before: one daemon's pid may have been a former one's.
 */
static bool tell_simvm(unsigned minor, const char *image)
{
	const char *dir = g_getenv("QFX_SIM_LOOPS");
	g_autofree char *link = dir ? g_strdup_printf("%s/%x:%x", dir, LOOP_MAJOR, minor) : NULL;

	if (!link || symlink(image, link) == 0)
		return true;
	if (errno != EEXIST)
		g_error("cannot make %s: %s", link, g_strerror(errno));
	return false;
}

/* And a test reads what of the image a VM would see: DEVICE.view, "r|w OFFSET LIMIT". */
static void tell_view(unsigned minor, const struct loop_view *view)
{
	const char *dir = g_getenv("QFX_SIM_LOOPS");
	g_autofree char *path =
		dir ? g_strdup_printf("%s/%x:%x.view", dir, LOOP_MAJOR, minor) : NULL;
	g_autofree char *text = g_strdup_printf("%s %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT,
		view->read_only ? "r" : "w", view->offset, view->size_limit);
	g_autoptr(GError) error = NULL;

	if (path && !g_file_set_contents(path, text, -1, &error))
		g_error("%s", error->message);
}

int loop_bind(const struct loop_view *view, struct loop *out)
{
	static unsigned last;
	unsigned minor;
	g_autofree char *dir = g_path_get_dirname(view->path);
	g_autofree char *none = g_build_filename(dir, "no-loops", NULL);

	if (access(none, F_OK) == 0)
		return -ENOSPC;
	if (access(view->path, view->read_only ? R_OK : R_OK | W_OK) < 0)
		return -errno;
	/* The daemon's pid makes numbers differ between one daemon and the next. */
	do
		minor = (unsigned)getpid() * 1000 + ++last;
	while (!tell_simvm(minor, view->path));
	tell_view(minor, view);
	*out = (struct loop){.fd = -1, .number = minor, .major = LOOP_MAJOR, .minor = minor};
	return 0;
}

int loop_hold(unsigned number, const char *path, struct loop *out)
{
	const char *dir = g_getenv("QFX_SIM_LOOPS");
	g_autofree char *link = dir ? g_strdup_printf("%s/%x:%x", dir, LOOP_MAJOR, number) : NULL;
	g_autofree char *image = link ? g_file_read_link(link, NULL) : NULL;

	if (link && g_strcmp0(image, path) != 0)
		return -ENOENT;
	*out = (struct loop){.fd = -1, .number = number, .major = LOOP_MAJOR, .minor = number};
	return 0;
}

void loop_let_go(struct loop *l)
{
	(void)l;
}

void loop_leave(struct loop *l)
{
	(void)l;
}

bool loop_is_bound(unsigned number, const char *path)
{
	g_autofree char *dir = g_path_get_dirname(path);
	g_autofree char *held = g_build_filename(dir, "held", NULL);

	(void)number;
	return access(held, F_OK) == 0;
}

int loop_find(const char *path)
{
	(void)path;
	return -ENOENT;
}

void loop_sweep(const char *folder, bool (*keep)(void *arg, unsigned number), void *arg)
{
	(void)folder;
	(void)keep;
	(void)arg;
}
