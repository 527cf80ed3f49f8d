/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a VM is made from: libxl's domain configuration, out of an xl config or a save file. */
#ifndef QFX_DOMAINS_RECIPE_H
#define QFX_DOMAINS_RECIPE_H

#include <stddef.h>

#include "host.h"

/*
 * All of them fill a config that the caller has initialised and disposes of. `path` is absolute.
 */

/* From an xl config file, which xl itself reads: nobody else knows all of its words. */
bool recipe_read_xl(
	struct host *host, libxl_domain_config *config, const char *path, GError **error);
bool recipe_read_json(struct host *host, libxl_domain_config *config, const char *json,
	const char *path, GError **error);

/* Another name and uuid, and so many MiB of memory; 0: as it is. */
void recipe_rename(libxl_domain_config *config, const char *name, const libxl_uuid *uuid);
void recipe_set_memory(libxl_domain_config *config, uint64_t memory_mib);

/* Whether all its disks are read-only: else all DisposableVMs would write to the same one. */
bool recipe_is_shareable(const libxl_domain_config *config, const char *path, GError **error);

#endif
