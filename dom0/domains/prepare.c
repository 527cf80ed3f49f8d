/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "operations.h"
#include "qpen_contract.h"
#include "recipe.h"
#include "savefile.h"
#include "savefile_info.h"
#include "tree.h"

struct preparing {
	struct host *host;
	const struct request *request;
	libxl_domain_config config;
	struct savefile_info *info;
	int fd; /* the new save file, nameless yet */
	uint32_t domid;
};

/* ---- what it is made from ---- */

static bool add_source(struct preparing *p, const char *path, GError **error)
{
	g_autoptr(GError) problem = NULL;

	if (!path || savefile_info_add(p->info, path, &problem))
		return true;
	return fail(error, DOMAINS_FAILED, "%s, which the config %s names", problem->message,
		p->request->config);
}

static bool add_sources(struct preparing *p, GError **error)
{
	p->info = savefile_info_create(p->request->config, p->request->memory_mib);
	if (!add_source(p, p->request->config, error) ||
		!add_source(p, p->config.b_info.kernel, error) ||
		!add_source(p, p->config.b_info.ramdisk, error))
		return false;
	for (int i = 0; i < p->config.num_disks; i++)
		if (!add_source(p, p->config.disks[i].pdev_path, error))
			return false;
	return true;
}

static bool read_recipe(struct preparing *p, GError **error)
{
	const struct request *r = p->request;
	g_autofree char *name = g_strdup_printf("disp-template-%04x", g_random_int() & 0xffffu);

	if (!recipe_read_xl(p->host, &p->config, r->config, error) ||
		!recipe_is_shareable(&p->config, r->config, error))
		return false;
	recipe_rename(&p->config, name, &r->uuid);
	recipe_set_memory(&p->config, r->memory_mib);
	return add_sources(p, error);
}

/* ---- the VM ---- */

static bool boot(struct preparing *p, GError **error)
{
	int64_t deadline_us =
		g_get_monotonic_time() + p->request->timeout_s * (int64_t)G_USEC_PER_SEC;
	g_autofree char *what = g_strconcat("Cannot start a VM from ", p->request->config, NULL);

	host_forget(p->host);
	if (libxl_domain_create_new(host_ctx(p->host), &p->config, &p->domid, NULL, NULL) != 0)
		return host_fail(p->host, error, what);
	if (!tree_mark(p->domid, NULL, error))
		return false;
	host_forget(p->host);
	if (libxl_domain_unpause(host_ctx(p->host), p->domid, NULL) != 0)
		return host_fail(p->host, error, what);
	return tree_wait(p->host, p->domid, QPEN_KEY_READY, "1", deadline_us, error);
}

/* The config as it is now, with all that libxl filled in: what `xl save` takes as well. */
static bool write_head(struct preparing *p, GError **error)
{
	libxl_domain_config now;
	char *json = NULL;
	bool ok;

	libxl_domain_config_init(&now);
	if (libxl_retrieve_domain_configuration(host_ctx(p->host), p->domid, &now, NULL) == 0)
		json = libxl_domain_config_to_json(host_ctx(p->host), &now);
	libxl_domain_config_dispose(&now);
	ok = json ? savefile_write_head(p->fd, json, p->request->savefile, error)
		  : host_fail(p->host, error, "Cannot read the configuration of the new VM");
	free(json);
	return ok;
}

static bool save(struct preparing *p, GError **error)
{
	g_autofree char *what = g_strconcat("Cannot save the VM to ", p->request->savefile, NULL);

	host_forget(p->host);
	if (!write_head(p, error))
		return false;
	host_forget(p->host);
	if (libxl_domain_suspend(host_ctx(p->host), p->domid, p->fd, 0, NULL) != 0)
		return host_fail(p->host, error, what);
	return true;
}

static bool boot_and_save(struct preparing *p, GError **error)
{
	bool ok = boot(p, error);

	ok = ok && save(p, error);
	/* An error of ours is the more interesting one. */
	return host_destroy_domain(p->host, &p->request->uuid, ok ? error : NULL) && ok;
}

static bool publish(struct preparing *p, GError **error)
{
	g_autoptr(GError) problem = NULL;

	if (!savefile_publish(p->fd, p->request->savefile, error))
		return false;
	if (savefile_info_write(p->info, p->request->savefile, &problem))
		return true;
	return fail(error, DOMAINS_FAILED, "Cannot write the record of the save file %s: %s",
		p->request->savefile, problem->message);
}

static bool prepare_with(struct preparing *p, GError **error)
{
	/* Of one that was killed and had this uuid. */
	if (!read_recipe(p, error) || !host_destroy_domain(p->host, &p->request->uuid, error))
		return false;
	p->fd = savefile_create(p->request->savefile, error);
	return p->fd >= 0 &&
	       host_has_memory(p->host, &p->config, p->request->keep_free_mib, error) &&
	       boot_and_save(p, error) && publish(p, error);
}

bool prepare_savefile(struct host *host, const struct request *request, GError **error)
{
	struct preparing p = {.host = host, .request = request, .fd = -1, .domid = NO_DOMID};
	bool ok;

	libxl_domain_config_init(&p.config);
	ok = prepare_with(&p, error);
	libxl_domain_config_dispose(&p.config);
	savefile_info_destroy(p.info);
	if (p.fd >= 0)
		close(p.fd);
	return ok;
}
