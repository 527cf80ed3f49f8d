/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Deletes what was copied and nothing else: the second half of a move. */
#ifndef QFX_VM_REMOVE_H
#define QFX_VM_REMOVE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "tree.h"

struct remove_terms {
	const volatile sig_atomic_t *stop; /* non-zero: nothing more is deleted; may be NULL */
	/* Told of each thing that stays though it should have gone, or of which that is not known.
	 */
	void (*on_kept)(const char *path, const char *why, void *data);
	void *data;
};

struct remove_result {
	uint64_t removed; /* files and folders */
	uint64_t kept;    /* those that on_kept was told of */
	bool stopped;
};

/*
 * Deletes the files and folders of `tree`, which copy_tree has copied. A file that is not the one
 * that was copied, unchanged in every way that the file system tells of, stays, and so does a
 * folder with something in it. Follows no symbolic link but those on the way to what the user
 * named. What was left out of the tree stays without a word.
 */
void remove_tree(
	const struct tree *tree, const struct remove_terms *terms, struct remove_result *out);

#endif
