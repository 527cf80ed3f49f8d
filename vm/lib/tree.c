/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fail.h"
#include "fatname.h"
#include "fit.h"
#include "scope.h"

static void complain(struct tree *tree, const char *path, const char *why)
{
	tree->complaint_count++;
	if (tree->complaints->len < TREE_MAX_COMPLAINTS) {
		g_autofree char *shown = vm_printable(path, -1);

		g_ptr_array_add(tree->complaints, g_strdup_printf("%s: %s", shown, why));
	}
}

static void node_free(gpointer data)
{
	struct tree_node *node = data;

	g_free(node->name);
	g_free(node->source);
	g_clear_pointer(&node->children, g_ptr_array_unref);
	g_free(node);
}

static int compare_nodes(gconstpointer a, gconstpointer b)
{
	const struct tree_node *const *left = a;
	const struct tree_node *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

/* Names that vfat does not tell apart; `folder` is for the message. */
static void find_clashes(struct tree *tree, const struct tree_node *folder, const char *path)
{
	g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	uint32_t slots = 2;

	for (guint i = 0; i < folder->children->len; i++) {
		const struct tree_node *node = g_ptr_array_index(folder->children, i);
		g_autofree char *inner = g_build_filename(path, node->name, NULL);
		const char *other;
		char *key = fatname_key(node->name);

		slots += fatname_slots(node->name, strlen(node->name));
		other = g_hash_table_lookup(seen, key);
		if (other) {
			g_autofree char *shown = vm_printable(other, -1);
			g_autofree char *why = g_strdup_printf(
				"a pendrive cannot tell its name from \"%s\" in the same folder",
				shown);

			complain(tree, inner, why);
		}
		g_hash_table_replace(seen, key, node->name);
	}
	if (slots > FAT_FOLDER_MAX_SLOTS)
		complain(tree, *path ? path : ".",
			"it holds more names than a folder on a pendrive can");
}

/* Where a look is going on. */
struct place {
	struct tree *tree;
	int fd;           /* of the folder that is looked into */
	const char *path; /* of it, for messages */
	unsigned depth;
};

static void scan_entry(const struct place *place, struct tree_node *folder, const char *source,
	const char *name, const char *path);

static void scan_names(const struct place *place, DIR *dir, struct tree_node *folder)
{
	const struct dirent *entry;

	while ((errno = 0, entry = readdir(dir))) {
		g_autofree char *path = NULL;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		path = g_build_filename(place->path, entry->d_name, NULL);
		scan_entry(place, folder, entry->d_name, entry->d_name, path);
	}
	if (errno)
		complain(place->tree, place->path, g_strerror(errno));
}

static void scan_folder(const struct place *outer, struct tree_node *folder, const char *path)
{
	autofd fd =
		openat(outer->fd, folder->source, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct place place = {outer->tree, fd, path, outer->depth + 1};
	autodir *dir = NULL;

	if (place.depth > TREE_MAX_DEPTH) {
		complain(place.tree, path, "it lies too deep");
		return;
	}
	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		complain(place.tree, path, g_strerror(errno));
		return;
	}
	/* The directory owns it now. */
	steal_fd(&fd);
	scan_names(&place, dir, folder);
	g_ptr_array_sort(folder->children, compare_nodes);
	find_clashes(place.tree, folder, path);
}

static const char *why_not_kind(mode_t mode)
{
	if (S_ISLNK(mode))
		return "a pendrive cannot carry a symbolic link";
	if (S_ISFIFO(mode))
		return "a pendrive cannot carry a FIFO";
	if (S_ISSOCK(mode))
		return "a pendrive cannot carry a socket";
	return "a pendrive cannot carry a device";
}

/* NULL: it can be carried. */
static const char *why_not(
	const struct place *place, const char *source, const char *name, const struct stat *st)
{
	enum fatname_result result = fatname_check(name, strlen(name));

	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
		return why_not_kind(st->st_mode);
	if (result != FATNAME_OK)
		return fatname_text(result);
	if (S_ISDIR(st->st_mode))
		return NULL;
	if ((uint64_t)st->st_size > FAT_FILE_MAX_BYTES)
		return "a pendrive cannot carry a file of 4 GiB or more";
	if (faccessat(place->fd, source, R_OK, AT_EACCESS) < 0)
		return g_strerror(errno);
	return NULL;
}

static void scan_entry(const struct place *place, struct tree_node *folder, const char *source,
	const char *name, const char *path)
{
	struct tree *tree = place->tree;
	struct tree_node *node;
	struct stat st;
	const char *why;

	if (fstatat(place->fd, source, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		complain(tree, path, g_strerror(errno));
		return;
	}
	why = why_not(place, source, name, &st);
	if (why) {
		complain(tree, path, why);
		return;
	}
	node = g_new0(struct tree_node, 1);
	node->name = g_strdup(name);
	node->source = g_strdup(source);
	node->is_folder = S_ISDIR(st.st_mode);
	g_ptr_array_add(folder->children, node);
	if (node->is_folder) {
		tree->folders++;
		node->children = g_ptr_array_new_with_free_func(node_free);
		scan_folder(place, node, path);
	} else {
		tree->files++;
		node->size_bytes = (uint64_t)st.st_size;
		tree->bytes += node->size_bytes;
	}
}

char *tree_name_of(const char *path, GError **error)
{
	g_autofree char *name = g_path_get_basename(path);
	char *resolved;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		resolved = realpath(path, NULL);
		if (!resolved) {
			g_set_error(error, VM_ERROR, VM_EXIT_FILES, "%s", g_strerror(errno));
			return NULL;
		}
		g_free(name);
		name = g_path_get_basename(resolved);
		free(resolved);
	}
	if (strcmp(name, "/") == 0) {
		g_set_error(error, VM_ERROR, VM_EXIT_FILES, "it has no name that could be copied");
		return NULL;
	}
	return g_steal_pointer(&name);
}

/* "folder/" would follow a link of that name, and is shown without its slash. */
static char *without_slashes(const char *path)
{
	char *copy = g_strdup(path);
	size_t len = strlen(copy);

	while (len > 1 && copy[len - 1] == '/')
		copy[--len] = '\0';
	return copy;
}

static void scan_argument(struct tree *tree, const char *argument)
{
	const struct place place = {tree, AT_FDCWD, "", 0};
	g_autofree char *path = without_slashes(argument);
	g_autoptr(GError) error = NULL;
	g_autofree char *name = NULL;

	if (!*path) {
		complain(tree, "\"\"", "it is no name");
		return;
	}
	name = tree_name_of(path, &error);
	if (!name)
		complain(tree, path, error->message);
	else
		scan_entry(&place, &tree->root, path, name, path);
}

struct tree *tree_scan(char *const *paths)
{
	struct tree *tree = g_new0(struct tree, 1);

	tree->complaints = g_ptr_array_new_with_free_func(g_free);
	tree->root.is_folder = true;
	tree->root.children = g_ptr_array_new_with_free_func(node_free);
	for (; *paths; paths++)
		scan_argument(tree, *paths);
	find_clashes(tree, &tree->root, "");
	return tree;
}

void tree_free(struct tree *tree)
{
	if (!tree)
		return;
	g_ptr_array_unref(tree->root.children);
	g_ptr_array_unref(tree->complaints);
	g_free(tree);
}

static bool add_room(const struct tree_node *node, uint32_t cluster_bytes, uint64_t *sum)
{
	uint64_t slots = 2;

	if (!node->is_folder)
		return fit_add(sum, node->size_bytes, cluster_bytes);
	for (guint i = 0; i < node->children->len; i++) {
		const struct tree_node *child = g_ptr_array_index(node->children, i);

		slots += fatname_slots(child->name, strlen(child->name));
		if (!add_room(child, cluster_bytes, sum))
			return false;
	}
	return fit_add(sum, slots * FAT_SLOT_BYTES, cluster_bytes);
}

bool tree_room(const struct tree *tree, uint32_t cluster_bytes, uint64_t *out_bytes)
{
	uint64_t sum = 0;

	if (!add_room(&tree->root, cluster_bytes, &sum))
		return false;
	*out_bytes = sum;
	return true;
}
