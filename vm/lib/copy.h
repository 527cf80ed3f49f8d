/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copies a tree that was looked at onto a mounted pendrive, or from one; the first error ends it.
 */
#ifndef QFX_VM_COPY_H
#define QFX_VM_COPY_H

#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "tree.h"

struct copy_progress {
	uint64_t files; /* complete ones */
	uint64_t bytes;
	const char *path; /* what is being copied; raw */
};

struct copy_terms {
	const volatile sig_atomic_t *stop; /* non-zero ends the copying with VM_EXIT_INTERRUPTED */
	/* Called after each MiB or so and after each file; may be NULL. */
	void (*on_progress)(const struct copy_progress *progress, void *data);
	void *data;
};

/*
 * Into the folder `target_fd`, where nothing of these names may be yet: nothing is ever
 * overwritten. Files keep their contents and time of modification; one that changes while it is
 * read is an error, since nobody could say what then arrives. Symbolic links that appeared since
 * the look are not followed. `done` tells how far it came, in case of an error too, and each node
 * of the tree whether it was copied, and as what.
 */
bool copy_tree(struct tree *tree, int target_fd, const struct copy_terms *terms,
	struct copy_progress *done, GError **error);

#endif
