/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "holders.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "fail.h"
#include "loopdev.h"
#include "scope.h"

/* A process's folder in /proc is open as `proc_fd`. */
typedef bool (*uses_func)(int proc_fd, const void *what);

static char *describe(int proc_fd, const char *pid)
{
	autofd fd = openat(proc_fd, "comm", O_RDONLY | O_CLOEXEC);
	char comm[64];
	ssize_t len = fd < 0 ? 0 : read(fd, comm, sizeof comm);
	g_autofree char *shown = NULL;

	while (len > 0 && comm[len - 1] == '\n')
		len--;
	shown = len > 0 ? vm_printable(comm, len) : g_strdup("?");
	return g_strdup_printf("process %s (%s)", pid, shown);
}

/* The first `max` of them; *count is how many there are. */
static GPtrArray *find(uses_func uses, const void *what, unsigned max, unsigned *count)
{
	GPtrArray *found = g_ptr_array_new_with_free_func(g_free);
	autodir *dir = opendir("/proc");
	g_autofree char *self = g_strdup_printf("%ld", (long)getpid());
	const struct dirent *entry;

	*count = 0;
	while (dir && (entry = readdir(dir))) {
		autofd proc = -1;

		if (!g_ascii_isdigit(entry->d_name[0]) || strcmp(entry->d_name, self) == 0)
			continue;
		proc = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (proc < 0 || !uses(proc, what))
			continue;
		if ((*count)++ < max)
			g_ptr_array_add(found, describe(proc, entry->d_name));
	}
	return found;
}

/* Whether any open descriptor of the process is `match`ed. */
static bool any_descriptor(
	int proc_fd, bool (*match)(const struct stat *st, const void *what), const void *what)
{
	autofd fd = openat(proc_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autodir *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	struct stat st;

	if (!dir)
		return false;
	steal_fd(&fd);
	while ((entry = readdir(dir)))
		if (g_ascii_isdigit(entry->d_name[0]) &&
			fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 && match(&st, what))
			return true;
	return false;
}

/* -- a device or a file ------------------------------------------------------------------------ */

static bool is_file(const struct stat *st, const void *what)
{
	return loopdev_is_same(st, what);
}

static bool has_file(int proc_fd, const void *what)
{
	return any_descriptor(proc_fd, is_file, what);
}

char *holders_of_file(const struct stat *file)
{
	unsigned count;
	g_autoptr(GPtrArray) found = find(has_file, file, 1, &count);

	return found->len ? g_strdup(g_ptr_array_index(found, 0)) : NULL;
}

/* -- a mounted file system --------------------------------------------------------------------- */

static bool is_on_mount(const struct stat *st, const void *what)
{
	return st->st_dev == *(const dev_t *)what;
}

/* Lines "from-to rights offset major:minor inode path", the numbers in hexadecimal. */
static bool has_mapping(int proc_fd, dev_t device)
{
	autofd fd = openat(proc_fd, "maps", O_RDONLY | O_CLOEXEC);
	FILE *maps = fd < 0 ? NULL : fdopen(fd, "re");
	g_autofree char *wanted = g_strdup_printf(" %02x:%02x ", major(device), minor(device));
	char *line = NULL;
	size_t room = 0;
	bool found = false;

	if (!maps)
		return false;
	steal_fd(&fd);
	while (!found && getline(&line, &room, maps) > 0) {
		const char *path = strchr(line, '/');
		const char *place = strstr(line, wanted);

		found = place && (!path || place < path);
	}
	free(line);
	fclose(maps);
	return found;
}

static bool uses_mount(int proc_fd, const void *what)
{
	static const char *const links[] = {"cwd", "root", "exe"};
	struct stat st;

	for (size_t i = 0; i < G_N_ELEMENTS(links); i++)
		if (fstatat(proc_fd, links[i], &st, 0) == 0 && is_on_mount(&st, what))
			return true;
	return any_descriptor(proc_fd, is_on_mount, what) ||
	       has_mapping(proc_fd, *(const dev_t *)what);
}

char *holders_of_mount(dev_t device)
{
	unsigned count;
	g_autoptr(GPtrArray) found = find(uses_mount, &device, HOLDERS_MAX_NAMED, &count);
	g_autofree char *names = NULL;

	if (!found->len)
		return NULL;
	g_ptr_array_add(found, NULL);
	names = g_strjoinv(", ", (char **)found->pdata);
	if (count <= HOLDERS_MAX_NAMED)
		return g_steal_pointer(&names);
	return g_strdup_printf("%s and %u more", names, count - HOLDERS_MAX_NAMED);
}
