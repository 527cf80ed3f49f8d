/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What shall be copied: a look at all of it before anything is asked of dom0, so that a file which
 * a pendrive cannot carry is named at once and not after an hour of copying.
 */
#ifndef QFX_VM_TREE_H
#define QFX_VM_TREE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Deeper folders are refused: nobody has them but those who want to exhaust a stack. */
#define TREE_MAX_DEPTH 200u
/* More names than that are taken from no pendrive. */
#define TREE_MAX_RECEIVED (1u << 20)
/* So many complaints are kept; the others are counted. */
#define TREE_MAX_COMPLAINTS 20u

struct tree_node {
	char *name;   /* where it is copied to; on a pendrive, a sound FAT name */
	char *source; /* where to open it: a path for what the user named, else the name */
	bool is_folder;
	uint64_t size_bytes; /* a file's, as it was seen */
	GPtrArray *children; /* a folder's, struct tree_node, in the order of their names */
};

struct tree {
	struct tree_node root; /* a folder without a name: what the user named */
	int from_fd;           /* what the sources in `root` are relative to; not owned */
	bool received;         /* it lies on a pendrive, and is not meant for one */
	uint64_t files;
	uint64_t folders;
	uint64_t bytes;
	GPtrArray *complaints; /* char *, safe to print: "path: why it cannot be copied" */
	uint64_t complaint_count;
};

/*
 * Looks at `paths` (NULL-terminated) and everything in them, following no symbolic link but those
 * on the way to a path. What cannot be copied is in the complaints.
 */
struct tree *tree_scan(char *const *paths);

/*
 * Looks at all that is in the folder `fd`, the root of a received pendrive, which must stay open
 * for as long as the tree is used. Another VM made the file system: its folders may contain
 * themselves, and its files may be the same bytes a million times over. `max_bytes` is the device's
 * size: what claims to be more than fits on it is complained of, and not looked at to its end.
 */
struct tree *tree_scan_received(int fd, uint64_t max_bytes);
void tree_free(struct tree *tree);

static inline void tree_scope_free(struct tree *const *tree)
{
	tree_free(*tree);
}
#define autotree __attribute__((cleanup(tree_scope_free))) struct tree

/* The room it takes in whole clusters, folders included. False: more than 2^64 bytes. */
bool tree_room(const struct tree *tree, uint32_t cluster_bytes, uint64_t *out_bytes);

/* The name on the pendrive of a path on the command line: its last part, as cp -r has it. */
char *tree_name_of(const char *path, GError **error);

#endif
