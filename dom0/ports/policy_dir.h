/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy that is in force, and what tells when its files change. A new one takes effect as a
 * whole or not at all.
 */
#ifndef QFX_POLICY_DIR_H
#define QFX_POLICY_DIR_H

#include "policy_set.h"

struct policy_dir;

/*
 * Watches both folders and, after a load, all that is included from elsewhere. `changed` is called
 * from the main loop of the thread's default context, once for changes that come close together; it
 * is to call policy_dir_load. It is not called out of any function here.
 * Until the first load everything is denied. Never NULL; a folder that cannot be watched is logged.
 * Free with policy_dir_destroy, which accepts NULL and is not called by `changed`.
 */
struct policy_dir *policy_dir_create(
	const struct policy_places *places, void (*changed)(void *ctx), void *ctx);
void policy_dir_destroy(struct policy_dir *d);

/*
 * Reads the policy, at the start, after `changed`, and when dom0's user says so. FALSE with error
 * set: the message names file and line, and the policy stays as it was. Sets that were got before
 * are gone when it returns TRUE.
 */
gboolean policy_dir_load(struct policy_dir *d, GError **error);

/* What is in force; never NULL, and good until the next policy_dir_load. */
const struct policy_set *policy_dir_get(const struct policy_dir *d);
/* What it was made with; its strings live as long as `d`. */
const struct policy_places *policy_dir_places(const struct policy_dir *d);

#endif
