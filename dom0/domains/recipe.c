/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "recipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KIB_PER_MIB 1024u

static const char *find_xl(void)
{
	static const char *const places[] = {"/usr/sbin/xl", "/usr/bin/xl", "/sbin/xl"};

	for (size_t i = 0; i < G_N_ELEMENTS(places); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return NULL;
}

/* What xl would create, as JSON. To be freed. */
static char *ask_xl(const char *path, GError **error)
{
	const char *xl = find_xl();
	g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *json = NULL, *complaint = NULL;
	g_autoptr(GError) problem = NULL;
	int status;

	if (!xl) {
		fail(error, DOMAINS_FAILED, "There is no xl on this machine: install Xen's tools");
		return NULL;
	}
	g_ptr_array_add(argv, g_strdup(xl));
	g_ptr_array_add(argv, g_strdup("create"));
	g_ptr_array_add(argv, g_strdup("--quiet"));
	g_ptr_array_add(argv, g_strdup("--dryrun"));
	/* In one word, since xl takes a word with a '=' in it for a setting. */
	g_ptr_array_add(argv, g_strconcat("--defconfig=", path, NULL));
	g_ptr_array_add(argv, NULL);
	if (!g_spawn_sync(NULL, (char **)argv->pdata, NULL, G_SPAWN_DEFAULT, NULL, NULL, &json,
		    &complaint, &status, &problem)) {
		fail(error, DOMAINS_FAILED, "Cannot run %s: %s", xl, problem->message);
		return NULL;
	}
	if (status != 0) {
		fail(error, DOMAINS_FAILED, "xl cannot read the config %s: %s", path,
			*g_strstrip(complaint) ? complaint : "it did not say why");
		return NULL;
	}
	return g_steal_pointer(&json);
}

bool recipe_read_json(struct host *host, libxl_domain_config *config, const char *json,
	const char *path, GError **error)
{
	g_autofree char *what = NULL;

	host_forget(host);
	if (libxl_domain_config_from_json(host_ctx(host), config, json) == 0)
		return true;
	what = g_strconcat("libxl does not understand the config in ", path, NULL);
	return host_fail(host, error, what);
}

bool recipe_read_xl(
	struct host *host, libxl_domain_config *config, const char *path, GError **error)
{
	g_autofree char *json = NULL;

	if (access(path, R_OK) != 0)
		return fail(error, DOMAINS_FAILED, "Cannot read the config %s: %s", path,
			g_strerror(errno));
	json = ask_xl(path, error);
	return json && recipe_read_json(host, config, json, path, error);
}

/* libxl frees with free(). */
static char *libc_copy(const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		g_error("out of memory");
	return copy;
}

void recipe_rename(libxl_domain_config *config, const char *name, const libxl_uuid *uuid)
{
	free(config->c_info.name);
	config->c_info.name = libc_copy(name);
	config->c_info.uuid = *uuid;
}

void recipe_set_memory(libxl_domain_config *config, uint64_t memory_mib)
{
	if (memory_mib == 0)
		return;
	config->b_info.target_memkb = memory_mib * KIB_PER_MIB;
	config->b_info.max_memkb = memory_mib * KIB_PER_MIB;
}

bool recipe_is_shareable(const libxl_domain_config *config, const char *path, GError **error)
{
	for (int i = 0; i < config->num_disks; i++) {
		const libxl_device_disk *disk = &config->disks[i];

		if (disk->readwrite)
			return fail(error, DOMAINS_FAILED,
				"%s: disk %s (%s) is writable: all DisposableVMs would write to "
				"it. Make it read-only (access=ro) and let the VM keep what it "
				"writes in memory",
				path, disk->vdev, disk->pdev_path ? disk->pdev_path : "empty");
	}
	return true;
}
