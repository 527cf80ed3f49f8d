/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What shall be copied: a look at all of it before anything is asked of dom0, so that a file which
 * a pendrive cannot carry is named at once and not after an hour of copying.
 */
#ifndef QFX_VM_TREE_H
#define QFX_VM_TREE_H

#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* Deeper folders are refused: nobody has them but those who want to exhaust a stack. */
#define TREE_MAX_DEPTH 200u
/* More names than that are taken from no pendrive. */
#define TREE_MAX_RECEIVED (1u << 20)
/* So many complaints about a received one are kept; the others are counted. */
#define TREE_MAX_COMPLAINTS 20u

struct tree_node {
	char *name;   /* where it is copied to; on a pendrive, a sound FAT name */
	char *source; /* where to open it: a path for what the user named, else the name */
	bool is_folder;
	bool left_out;       /* while it is looked at: it cannot be copied after all */
	uint64_t size_bytes; /* a file's, as it was seen */
	GPtrArray *children; /* a folder's, struct tree_node, in the order of their names */
	/* Set by copy_tree: what exactly was copied, to be known again. */
	bool copied;
	bool racy; /* written to in the very tick: a later write would show in no time */
	struct stat copied_as;
};

/* Something that cannot be copied. */
struct tree_complaint {
	char *path; /* raw */
	char *why;  /* to be read after the path */
};

struct tree {
	struct tree_node root; /* a folder without a name: what the user named */
	int from_fd;           /* what the sources in `root` are relative to; not owned */
	bool received;         /* it lies on a pendrive, and is not meant for one */
	uint64_t files;
	uint64_t folders;
	uint64_t bytes;
	GPtrArray *complaints; /* struct tree_complaint */
	uint64_t complaint_count;
	bool stopped; /* it was not all looked at */
};

/*
 * Looks at `paths` (NULL-terminated) and everything in them, following no symbolic link but those
 * on the way to a path. What cannot be copied is in the complaints and not in the tree, a folder
 * with all that is in it. `stop`: ends the look when it becomes non-zero; may be NULL.
 */
struct tree *tree_scan(char *const *paths, const volatile sig_atomic_t *stop);

/*
 * Looks at all that is in the folder `fd`, the root of a received pendrive, which must stay open
 * for as long as the tree is used. Another VM made the file system: its folders may contain
 * themselves, and its files may be the same bytes a million times over. `max_bytes` is the device's
 * size: what claims to be more than fits on it is complained of, and not looked at to its end.
 */
struct tree *tree_scan_received(int fd, uint64_t max_bytes);
void tree_free(struct tree *tree);

/* "path: why", safe to print; the caller frees it. */
char *tree_complaint_text(const struct tree_complaint *complaint);

static inline void tree_scope_free(struct tree *const *tree)
{
	tree_free(*tree);
}
#define autotree __attribute__((cleanup(tree_scope_free))) struct tree

/* The room it takes in whole clusters, folders included. False: more than 2^64 bytes. */
bool tree_room(const struct tree *tree, uint32_t cluster_bytes, uint64_t *out_bytes);

/* The size to ask for, as fit_size has it. False: no pendrive can hold it. */
bool tree_fit(const struct tree *tree, uint64_t *out_bytes);

/* The name on the pendrive of a path on the command line: its last part, as cp -r has it. */
char *tree_name_of(const char *path, GError **error);

#endif
