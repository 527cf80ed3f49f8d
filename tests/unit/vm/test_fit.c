/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whatever a tree is like, it goes onto the pendrive that is asked for because of it: held against
 * the file systems that the real mkfs.vfat makes, and a reckoning of its own of what vfat needs.
 */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "fatname.h"
#include "fit.h"
#include "qpen_fat.h"
#include "scope.h"
#include "tree.h"

/* What a pendrive of dom0's usual size has at least. */
#define LEAST_BYTES (64 * FIT_MIB)

/* ---- what the real one offers ---- */

struct offer {
	uint64_t cluster_bytes;
	uint64_t clusters;
};

static char *mkfs;       /* NULL: there is none */
static GHashTable *seen; /* size -> struct offer */

static unsigned little(const unsigned char *bytes, unsigned n)
{
	return n == 0 ? 0 : bytes[0] | little(bytes + 1, n - 1) << 8;
}

/* Where the numbers stand is the definition of FAT32. */
static struct offer read_offer(const char *path)
{
	unsigned char sector[512];
	autofd fd = open(path, O_RDONLY | O_CLOEXEC);
	struct offer offer;
	uint64_t tables, reserved, all;

	g_assert_cmpint(read(fd, sector, sizeof sector), ==, (ssize_t)sizeof sector);
	g_assert_cmpuint(little(sector + 11, 2), ==, QPEN_FAT_SECTOR_BYTES);
	reserved = little(sector + 14, 2);
	tables = (uint64_t)sector[16] * little(sector + 36, 4);
	all = little(sector + 32, 4);
	offer.cluster_bytes = (uint64_t)sector[13] * QPEN_FAT_SECTOR_BYTES;
	offer.clusters = (all - reserved - tables) / sector[13];
	return offer;
}

/* Made as dom0 makes them. */
static struct offer offer_of(uint64_t size_bytes)
{
	struct offer *known = g_hash_table_lookup(seen, &size_bytes);
	g_autofree char *path = NULL;
	g_autofree char *sector = g_strdup_printf("%u", QPEN_FAT_SECTOR_BYTES);
	g_autofree char *cluster =
		g_strdup_printf("%u", qpen_fat_cluster_bytes(size_bytes) / QPEN_FAT_SECTOR_BYTES);
	int status;
	int fd;

	if (known)
		return *known;
	fd = g_file_open_tmp("qpen-fit-XXXXXX", &path, NULL);
	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(ftruncate(fd, (off_t)size_bytes), ==, 0);
	close(fd);
	{
		char *argv[] = {mkfs, (char[]){"-F"}, (char[]){"32"}, (char[]){"-S"}, sector,
			(char[]){"-s"}, cluster, (char[]){"-n"}, (char[]){"PENDRIVE"}, path, NULL};

		g_assert_true(g_spawn_sync(NULL, argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL,
			NULL, NULL, &status, NULL));
	}
	g_assert_true(g_spawn_check_wait_status(status, NULL));
	known = g_new(struct offer, 1);
	*known = read_offer(path);
	g_unlink(path);
	g_hash_table_insert(seen, g_memdup2(&size_bytes, sizeof size_bytes), known);
	return *known;
}

/* ---- what a tree needs ---- */

static uint64_t clusters_of(uint64_t bytes, uint64_t cluster_bytes)
{
	return (bytes + cluster_bytes - 1) / cluster_bytes;
}

/* An entry of 32 bytes for the short name, and one for each 13 UTF-16 units of the long one. */
static uint64_t entry_bytes(const char *name)
{
	glong units;
	g_autofree gunichar2 *wide = g_utf8_to_utf16(name, -1, NULL, &units, NULL);

	g_assert_nonnull(wide);
	return 32 * (1 + ((uint64_t)units + 12) / 13);
}

static uint64_t needed(const struct tree_node *node, uint64_t cluster_bytes)
{
	/* "." and "..", or in the root the label. */
	uint64_t folder_bytes = 64;
	uint64_t sum = 0;

	if (!node->is_folder)
		return clusters_of(node->size_bytes, cluster_bytes);
	for (guint i = 0; i < node->children->len; i++) {
		const struct tree_node *child = g_ptr_array_index(node->children, i);

		folder_bytes += entry_bytes(child->name);
		sum += needed(child, cluster_bytes);
	}
	return sum + clusters_of(folder_bytes, cluster_bytes);
}

/* ---- trees ---- */

static void free_node(gpointer data)
{
	struct tree_node *node = data;

	g_free(node->name);
	g_clear_pointer(&node->children, g_ptr_array_unref);
	g_free(node);
}

static struct tree_node *add_node(struct tree_node *folder, char *name, bool is_folder)
{
	struct tree_node *node = g_new0(struct tree_node, 1);

	node->name = name;
	node->is_folder = is_folder;
	if (is_folder)
		node->children = g_ptr_array_new_with_free_func(free_node);
	g_ptr_array_add(folder->children, node);
	return node;
}

static char *make_name(GRand *rand, unsigned number, unsigned longest)
{
	g_autofree char *filler =
		g_strnfill((gsize)g_rand_int_range(rand, 0, (gint32)longest - 8), 'x');

	return g_strdup_printf(
		"%u%s%s", number, filler, g_rand_int_range(rand, 0, 4) ? "" : "\xf0\x9f\x98\x80");
}

/* How many files, how large at most, how long their names, how deep: everything differs a lot. */
static struct tree *make_tree(GRand *rand)
{
	struct tree *tree = g_new0(struct tree, 1);
	struct tree_node *folder = &tree->root;
	unsigned n = 1u << g_rand_int_range(rand, 0, 17);
	unsigned longest = (unsigned)g_rand_int_range(rand, 9, 240);
	unsigned in_a_folder = (unsigned)g_rand_int_range(rand, 1, 2000);
	bool deep = g_rand_boolean(rand);
	double largest = 40e9 / n * g_rand_double(rand);

	tree->complaints = g_ptr_array_new();
	tree->root.is_folder = true;
	tree->root.children = g_ptr_array_new_with_free_func(free_node);
	if (g_rand_boolean(rand))
		largest = MIN(largest, 600);
	for (unsigned i = 0; i < n; i++) {
		struct tree_node *file;

		if (i % in_a_folder == 0)
			folder = add_node(deep && i % (50 * in_a_folder) ? folder : &tree->root,
				make_name(rand, i, longest), true);
		file = add_node(folder, make_name(rand, i, longest), false);
		file->size_bytes =
			(uint64_t)MIN(largest * g_rand_double(rand), (double)FAT_FILE_MAX_BYTES);
	}
	return tree;
}

/* ---- the tests ---- */

static bool have_mkfs(void)
{
	if (!mkfs)
		g_test_skip("there is no mkfs.vfat: install dosfstools");
	return mkfs != NULL;
}

static void test_trees(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(2010);
	uint64_t least = UINT64_MAX, most = 0;

	for (int i = 0; have_mkfs() && i < 30; i++) {
		autotree *tree = make_tree(rand);
		struct offer offer;
		uint64_t size, need, cluster;

		g_assert_true(tree_fit(tree, &size));
		size = size ? size : LEAST_BYTES;
		offer = offer_of(size);
		need = needed(&tree->root, offer.cluster_bytes);
		g_test_message("%" PRIu64 " MiB in clusters of %" PRIu64 ": %" PRIu64
			       " of %" PRIu64,
			size >> 20, offer.cluster_bytes, need, offer.clusters);
		g_assert_cmpuint(need, <=, offer.clusters);
		/* Nor is it wasted: its tables, and a step. */
		cluster = qpen_fat_cluster_bytes(size);
		need = needed(&tree->root, cluster) * cluster;
		g_assert_cmpuint(size, <=, need + need / 32 + FIT_STEP_BYTES + 2 * FIT_MIB);
		least = MIN(least, size);
		most = MAX(most, size);
	}
	if (mkfs) {
		g_assert_cmpuint(least, ==, LEAST_BYTES);
		g_assert_cmpuint(most, >, 8 * FIT_GIB);
	}
}

/* The most that asks for a size has room in it, at each size where mkfs.vfat changes its ways. */
static void test_edges(void)
{
	static const uint64_t sizes[] = {128 * FIT_MIB, 192 * FIT_MIB, 256 * FIT_MIB, 320 * FIT_MIB,
		512 * FIT_MIB, FIT_GIB, FIT_GIB + FIT_STEP_BYTES, 4 * FIT_GIB, 8 * FIT_GIB,
		8 * FIT_GIB + FIT_STEP_BYTES, 16 * FIT_GIB, 16 * FIT_GIB + FIT_STEP_BYTES,
		32 * FIT_GIB, 32 * FIT_GIB + FIT_STEP_BYTES, 64 * FIT_GIB};

	for (size_t i = 0; have_mkfs() && i < G_N_ELEMENTS(sizes); i++) {
		struct offer offer = offer_of(sizes[i]);
		uint64_t low = 0, high = sizes[i], size;

		while (low + 1 < high) {
			uint64_t middle = low + (high - low) / 2;

			g_assert_true(fit_size(middle, &size));
			if (size <= sizes[i])
				low = middle;
			else
				high = middle;
		}
		g_assert_true(fit_size(low, &size));
		g_assert_cmpuint(size, ==, sizes[i]);
		g_assert_cmpuint(low, <=, offer.clusters * offer.cluster_bytes);
		g_assert_cmpuint(offer.cluster_bytes, <=, qpen_fat_cluster_bytes(sizes[i]));
	}
}

/* Many tiny files: with the clusters that their bytes suggest they would not fit. */
static void test_tiny_files(void)
{
	static char name[] = "a";
	struct tree_node files[3000];
	struct tree tree = {.root = {.is_folder = true}};
	struct tree_node folder = {.name = name, .is_folder = true};
	uint64_t size;
	struct offer offer;

	if (!have_mkfs())
		return;
	/* 3000 files in each of 1000 folders: 3 GB of bytes, and 12 GB of clusters. */
	folder.children = g_ptr_array_new();
	tree.root.children = g_ptr_array_new();
	for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
		files[i] = (struct tree_node){.name = name, .size_bytes = 1000};
		g_ptr_array_add(folder.children, &files[i]);
	}
	for (int i = 0; i < 1000; i++)
		g_ptr_array_add(tree.root.children, &folder);
	g_assert_true(tree_fit(&tree, &size));
	offer = offer_of(size);
	g_assert_cmpuint(offer.cluster_bytes, >, 4096);
	g_assert_cmpuint(needed(&tree.root, offer.cluster_bytes), <=, offer.clusters);
	g_ptr_array_unref(folder.children);
	g_ptr_array_unref(tree.root.children);
}

static void find_mkfs(void)
{
	static const char *const places[] = {"/usr/sbin/mkfs.vfat", "/sbin/mkfs.vfat"};

	for (size_t i = 0; !mkfs && i < G_N_ELEMENTS(places); i++)
		if (g_file_test(places[i], G_FILE_TEST_IS_EXECUTABLE))
			mkfs = g_strdup(places[i]);
}

int main(int argc, char **argv)
{
	int status;

	g_test_init(&argc, &argv, NULL);
	find_mkfs();
	seen = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
	g_test_add_func("/vm/fit/trees", test_trees);
	g_test_add_func("/vm/fit/edges", test_edges);
	g_test_add_func("/vm/fit/tiny-files", test_tiny_files);
	status = g_test_run();
	g_hash_table_unref(seen);
	g_free(mkfs);
	return status;
}
