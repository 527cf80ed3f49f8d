/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copying all of a received pendrive into a folder. What lies there already stays as it is, no
 * link is followed, and what could not be copied whole is never called copied.
 */
#ifndef QFX_VM_TAKE_H
#define QFX_VM_TAKE_H

#include <glib.h>
#include <stdbool.h>

#include "copy.h"
#include "received.h"

struct take_terms {
	const volatile sig_atomic_t *stop; /* non-zero ends it with VM_EXIT_INTERRUPTED */
	/* Called before the first byte with what there is, then now and then; not NULL. */
	void (*on_progress)(
		const struct copy_progress *done, const struct copy_progress *all, void *data);
	/* Each thing that stands in the way, printable, before nothing is copied; not NULL. */
	void (*on_complaint)(const char *complaint, void *data);
	void *data;
};

struct take_result {
	struct copy_progress done; /* complete files, and bytes */
	struct copy_progress all;  /* what there is; zero where that was not looked at */
	bool begun;                /* something may have been put into the folder */
};

/*
 * The pendrive at INCOMING_FOLDER into `folder`, which is made if it is not there, and to the disk.
 * False: VM_EXIT_FILES where something stands in the way, with nothing copied; VM_EXIT_FAILED in
 * the middle, with what `result` says copied. Leaves it mounted in any case.
 */
bool take_all(const struct received *received, const char *folder, const struct take_terms *terms,
	struct take_result *result, GError **error);

#endif
