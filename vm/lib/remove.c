/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "remove.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "scope.h"

struct removal {
	const struct remove_terms *terms;
	struct remove_result *result;
	GHashTable *left_out; /* raw paths that were never to be copied */
};

static void keep(struct removal *removal, const char *path, const char *why)
{
	removal->result->kept++;
	removal->terms->on_kept(path, why, removal->terms->data);
}

static bool is_stopped(struct removal *removal)
{
	if (removal->terms->stop && *removal->terms->stop)
		removal->result->stopped = true;
	return removal->result->stopped;
}

static bool is_same_inode(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	       (a->st_mode & S_IFMT) == (b->st_mode & S_IFMT);
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* The time of the last change cannot be set by any program: it tells of every write. */
static bool is_as_copied(const struct tree_node *node, const struct stat *now)
{
	const struct stat *then = &node->copied_as;

	return !node->racy && is_same_inode(then, now) && then->st_size == now->st_size &&
	       is_same_time(&then->st_mtim, &now->st_mtim) &&
	       is_same_time(&then->st_ctim, &now->st_ctim);
}

static void remove_file(
	struct removal *removal, int fd, const struct tree_node *node, const char *path)
{
	struct stat now;

	if (fstatat(fd, node->source, &now, AT_SYMLINK_NOFOLLOW) < 0) {
		/* Somebody else was faster; there is nothing to be deleted. */
		if (errno != ENOENT)
			keep(removal, path, g_strerror(errno));
	} else if (!node->copied || !is_as_copied(node, &now)) {
		keep(removal, path, "changed since it was copied");
	} else if (unlinkat(fd, node->source, 0) < 0) {
		keep(removal, path, g_strerror(errno));
	} else {
		removal->result->removed++;
	}
}

/* What is in a folder that we did not copy, and were not to. */
static void name_strangers(
	struct removal *removal, int fd, const struct tree_node *folder, const char *path)
{
	g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autodir *dir = copy >= 0 ? fdopendir(copy) : NULL;
	const struct dirent *entry;

	for (guint i = 0; i < folder->children->len; i++) {
		const struct tree_node *node = g_ptr_array_index(folder->children, i);

		g_hash_table_add(known, node->source);
	}
	while (dir && (entry = readdir(dir))) {
		g_autofree char *inner = g_build_filename(path, entry->d_name, NULL);

		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
			!g_hash_table_contains(known, entry->d_name) &&
			!g_hash_table_contains(removal->left_out, inner))
			keep(removal, inner, "appeared since, and was not copied");
	}
	if (!dir && copy >= 0)
		close(copy);
}

static void remove_children(
	struct removal *removal, int fd, const struct tree_node *folder, const char *path);

static void remove_folder(
	struct removal *removal, int fd, const struct tree_node *node, const char *path)
{
	autofd inner = openat(fd, node->source, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat now;

	if (inner < 0 && errno == ENOENT)
		return;
	if (inner < 0 || fstat(inner, &now) < 0) {
		keep(removal, path, g_strerror(errno));
		return;
	}
	if (!node->copied || !is_same_inode(&node->copied_as, &now)) {
		keep(removal, path, "is another folder than the one that was copied");
		return;
	}
	remove_children(removal, inner, node, path);
	if (removal->result->stopped)
		return;
	if (unlinkat(fd, node->source, AT_REMOVEDIR) == 0)
		removal->result->removed++;
	else if (errno == ENOTEMPTY || errno == EEXIST)
		name_strangers(removal, inner, node, path);
	else
		keep(removal, path, g_strerror(errno));
}

static void remove_children(
	struct removal *removal, int fd, const struct tree_node *folder, const char *path)
{
	for (guint i = 0; i < folder->children->len && !is_stopped(removal); i++) {
		const struct tree_node *node = g_ptr_array_index(folder->children, i);
		g_autofree char *inner = g_build_filename(path, node->source, NULL);

		if (node->is_folder)
			remove_folder(removal, fd, node, inner);
		else
			remove_file(removal, fd, node, inner);
	}
}

void remove_tree(
	const struct tree *tree, const struct remove_terms *terms, struct remove_result *out)
{
	g_autoptr(GHashTable) left_out = g_hash_table_new(g_str_hash, g_str_equal);
	struct removal removal = {terms, out, left_out};

	*out = (struct remove_result){0};
	for (guint i = 0; i < tree->complaints->len; i++) {
		const struct tree_complaint *complaint = g_ptr_array_index(tree->complaints, i);

		g_hash_table_add(left_out, complaint->path);
	}
	remove_children(&removal, AT_FDCWD, &tree->root, "");
}
