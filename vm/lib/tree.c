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
#include "qpen_fat.h"
#include "scope.h"

/* A look at a tree that is going on. */
struct look {
	struct tree *tree;
	uint64_t max_bytes;   /* of all files */
	uint64_t max_entries; /* files and folders */
	bool over;            /* one of these was passed, or it is stopped; enough was seen */
	const volatile sig_atomic_t *stop; /* may be NULL */
};

static void complain(struct tree *tree, const char *path, const char *why)
{
	struct tree_complaint *complaint;

	tree->complaint_count++;
	/* What another VM made may hold any number. */
	if (tree->received && tree->complaints->len >= TREE_MAX_COMPLAINTS)
		return;
	complaint = g_new(struct tree_complaint, 1);
	*complaint = (struct tree_complaint){g_strdup(path), g_strdup(why)};
	g_ptr_array_add(tree->complaints, complaint);
}

static void complaint_free(gpointer data)
{
	struct tree_complaint *complaint = data;

	g_free(complaint->path);
	g_free(complaint->why);
	g_free(complaint);
}

char *tree_complaint_text(const struct tree_complaint *complaint)
{
	g_autofree char *shown = vm_printable(complaint->path, -1);

	return g_strdup_printf("%s: %s", shown, complaint->why);
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

/* A sound file system has none of them twice; for the names in their order. */
static void find_doubles(struct tree *tree, const struct tree_node *folder, const char *path)
{
	for (guint i = 1; i < folder->children->len; i++) {
		const struct tree_node *before = g_ptr_array_index(folder->children, i - 1);
		const struct tree_node *node = g_ptr_array_index(folder->children, i);
		g_autofree char *inner = g_build_filename(path, node->name, NULL);

		if (strcmp(before->name, node->name) == 0)
			complain(tree, inner, "there are two of that name in the same folder");
	}
}

/* Names that vfat does not tell apart; `folder` is for the message. */
static void find_clashes(struct tree *tree, struct tree_node *folder, const char *path)
{
	g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	uint32_t slots = 2;

	for (guint i = 0; i < folder->children->len; i++) {
		struct tree_node *node = g_ptr_array_index(folder->children, i);
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
			node->left_out = true;
		}
		g_hash_table_replace(seen, key, node->name);
	}
	if (slots > FAT_FOLDER_MAX_SLOTS) {
		complain(tree, *path ? path : ".",
			"it holds more names than a folder on a pendrive can");
		folder->left_out = true;
	}
}

/* All of its names are known. */
static void end_folder(struct tree *tree, struct tree_node *folder, const char *path)
{
	g_ptr_array_sort(folder->children, compare_nodes);
	if (tree->received)
		find_doubles(tree, folder, path);
	else
		find_clashes(tree, folder, path);
}

/* Where a look is going on. */
struct place {
	struct look *look;
	struct tree *tree; /* the look's */
	int fd;            /* of the folder that is looked into */
	const char *path;  /* of it, for messages */
	unsigned depth;
};

static void scan_entry(const struct place *place, struct tree_node *folder, const char *source,
	const char *name, const char *path);

static bool is_over(struct look *look)
{
	if (look->stop && *look->stop)
		look->over = look->tree->stopped = true;
	return look->over;
}

static void scan_names(const struct place *place, DIR *dir, struct tree_node *folder)
{
	const struct dirent *entry;

	while (!is_over(place->look) && (errno = 0, entry = readdir(dir))) {
		g_autofree char *path = NULL;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		path = g_build_filename(place->path, entry->d_name, NULL);
		scan_entry(place, folder, entry->d_name, entry->d_name, path);
	}
	if (!place->look->over && errno) {
		complain(place->tree, place->path, g_strerror(errno));
		folder->left_out = true;
	}
}

static void scan_folder(const struct place *outer, struct tree_node *folder, const char *path)
{
	autofd fd =
		openat(outer->fd, folder->source, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct place place = {outer->look, outer->tree, fd, path, outer->depth + 1};
	autodir *dir = NULL;

	if (place.depth > TREE_MAX_DEPTH) {
		complain(place.tree, path, "it lies too deep");
		folder->left_out = true;
		return;
	}
	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		complain(place.tree, path, g_strerror(errno));
		folder->left_out = true;
		return;
	}
	/* The directory owns it now. */
	steal_fd(&fd);
	scan_names(&place, dir, folder);
	end_folder(place.tree, folder, path);
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
	const bool received = place->tree->received;
	enum fatname_result result = received ? FATNAME_OK : fatname_check(name, strlen(name));

	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
		return why_not_kind(st->st_mode);
	if (result != FATNAME_OK)
		return fatname_text(result);
	if (S_ISDIR(st->st_mode))
		return NULL;
	if (!received && (uint64_t)st->st_size > FAT_FILE_MAX_BYTES)
		return "a pendrive cannot carry a file of 4 GiB or more";
	if (faccessat(place->fd, source, R_OK, AT_EACCESS) < 0)
		return g_strerror(errno);
	return NULL;
}

/* Before anything of that size is counted. */
static bool is_too_much(const struct place *place, const struct stat *st, const char *path)
{
	struct look *look = place->look;
	const uint64_t bytes = S_ISDIR(st->st_mode) ? 0 : (uint64_t)st->st_size;

	look->over = place->tree->files + place->tree->folders >= look->max_entries ||
		     bytes > look->max_bytes - place->tree->bytes;
	if (look->over)
		complain(place->tree, path,
			"with it, it would be more than the pendrive has room for: its file system "
			"is damaged, or made to deceive");
	return look->over;
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
	if (is_too_much(place, &st, path))
		return;
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

static void scan_argument(struct look *look, const char *argument)
{
	struct tree *tree = look->tree;
	const struct place place = {look, tree, AT_FDCWD, "", 0};
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

static struct tree *tree_create(int from_fd, bool received)
{
	struct tree *tree = g_new0(struct tree, 1);

	tree->from_fd = from_fd;
	tree->received = received;
	tree->complaints = g_ptr_array_new_with_free_func(complaint_free);
	tree->root.is_folder = true;
	tree->root.children = g_ptr_array_new_with_free_func(node_free);
	return tree;
}

/* Only now is it known what will be copied. */
static void count_again(struct tree *tree, const struct tree_node *folder)
{
	for (guint i = folder->children->len; i-- > 0;) {
		const struct tree_node *node = g_ptr_array_index(folder->children, i);

		if (node->left_out) {
			g_ptr_array_remove_index(folder->children, i);
		} else if (node->is_folder) {
			tree->folders++;
			count_again(tree, node);
		} else {
			tree->files++;
			tree->bytes += node->size_bytes;
		}
	}
}

static void leave_out(struct tree *tree)
{
	tree->files = tree->folders = tree->bytes = 0;
	if (tree->root.left_out)
		g_ptr_array_set_size(tree->root.children, 0);
	count_again(tree, &tree->root);
}

struct tree *tree_scan(char *const *paths, const volatile sig_atomic_t *stop)
{
	struct tree *tree = tree_create(AT_FDCWD, false);
	struct look look = {tree, UINT64_MAX, UINT64_MAX, false, stop};

	for (; *paths && !is_over(&look); paths++)
		scan_argument(&look, *paths);
	find_clashes(tree, &tree->root, "");
	leave_out(tree);
	return tree;
}

struct tree *tree_scan_received(int fd, uint64_t max_bytes)
{
	struct tree *tree = tree_create(fd, true);
	struct look look = {
		tree, max_bytes, MIN(max_bytes / FAT_SLOT_BYTES, TREE_MAX_RECEIVED), false, NULL};
	const struct place place = {&look, tree, fd, "", 0};
	/* Reading names moves a descriptor's place, and the caller's shall stay where it is. */
	autofd copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autodir *dir = copy < 0 ? NULL : fdopendir(copy);

	if (!dir) {
		complain(tree, ".", g_strerror(errno));
		return tree;
	}
	steal_fd(&copy);
	scan_names(&place, dir, &tree->root);
	end_folder(tree, &tree->root, "");
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

bool tree_fit(const struct tree *tree, uint64_t *out_bytes)
{
	uint32_t cluster_bytes = qpen_fat_cluster_bytes(0);
	uint64_t data_bytes;

	/* Larger clusters need a larger pendrive, which may have larger clusters still. */
	for (;;) {
		uint32_t needed;

		if (!tree_room(tree, cluster_bytes, &data_bytes) ||
			!fit_size(data_bytes, out_bytes))
			return false;
		needed = qpen_fat_cluster_bytes(*out_bytes);
		if (needed <= cluster_bytes)
			return true;
		cluster_bytes = needed;
	}
}
