/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <unistd.h>

#include "operations.h"
#include "qpen_contract.h"
#include "recipe.h"
#include "savefile.h"
#include "tree.h"

/* The 2 of FLAG_STREAM_V2 in savefile.c: no other is accepted there. */
#define STREAM_VERSION 2u

/* What is being made. */
struct making {
	struct host *host;
	const struct request *request;
	libxl_domain_config config;
	int stream; /* of the save file; -1: a fresh start */
	uint32_t domid;
};

static bool read_recipe(struct making *m, GError **error)
{
	const struct request *r = m->request;
	g_autofree char *json = NULL;
	const char *path = r->config ? r->config : r->savefile;

	if (r->config) {
		if (!recipe_read_xl(m->host, &m->config, path, error))
			return false;
	} else {
		m->stream = savefile_open(path, &json, error);
		if (m->stream < 0 || !recipe_read_json(m->host, &m->config, json, path, error))
			return false;
	}
	if (!recipe_is_shareable(&m->config, path, error))
		return false;
	recipe_rename(&m->config, r->name, &r->uuid);
	recipe_set_memory(&m->config, r->memory_mib);
	return true;
}

static bool build(struct making *m, GError **error)
{
	g_autofree char *what = NULL;
	libxl_domain_restore_params params;
	int rc;

	host_forget(m->host);
	if (m->stream < 0) {
		rc = libxl_domain_create_new(host_ctx(m->host), &m->config, &m->domid, NULL, NULL);
	} else {
		libxl_domain_restore_params_init(&params);
		params.stream_version = STREAM_VERSION;
		rc = libxl_domain_create_restore(host_ctx(m->host), &m->config, &m->domid,
			m->stream, -1, &params, NULL, NULL);
		libxl_domain_restore_params_dispose(&params);
	}
	if (rc == 0)
		return true;
	what = g_strdup_printf("Cannot make the VM %s from %s", m->request->name,
		m->request->config ? m->request->config : m->request->savefile);
	return host_fail(m->host, error, what);
}

/*
 * It runs until its tools are there. One that boots says so when it is ready to be a DisposableVM;
 * one that was saved had said that before, and its tools find their version missing.
 */
static bool settle(struct making *m, GError **error)
{
	int64_t deadline_us =
		g_get_monotonic_time() + m->request->settle_s * (int64_t)G_USEC_PER_SEC;
	const char *key = m->stream < 0 ? QPEN_KEY_READY : QPEN_KEY_VERSION;
	const char *value = m->stream < 0 ? "1" : QPEN_VERSION;

	host_forget(m->host);
	if (libxl_domain_unpause(host_ctx(m->host), m->domid, NULL) != 0)
		return host_fail(m->host, error, "Cannot let the new VM run");
	if (!tree_wait(m->host, m->domid, key, value, deadline_us, error) ||
		!tree_wait(m->host, m->domid, QPEN_KEY_SEED, NULL, deadline_us, error)) {
		if (m->stream >= 0)
			g_prefix_error(error, "Was %s made by `qfilexchgctl dvm prepare`? ",
				m->request->savefile);
		return false;
	}
	if (libxl_domain_pause(host_ctx(m->host), m->domid, NULL) == 0)
		return true;
	return host_fail(m->host, error, "Cannot pause the new VM");
}

static bool furnish(struct making *m, GError **error)
{
	return tree_mark(m->domid, m->request->label, error) && tree_give_seed(m->domid, error) &&
	       settle(m, error);
}

/*
 * Somebody else may have taken the memory between our look and the building: then that is what is
 * the matter, whatever libxl says. Looked at when the half of our own VM is gone.
 */
static void blame_memory(struct making *m, GError **error)
{
	GError *shortage = NULL;

	if (host_has_memory(m->host, &m->config, m->request->keep_free_mib, &shortage) ||
		!g_error_matches(shortage, DOMAINS_ERROR, DOMAINS_NO_MEMORY)) {
		g_clear_error(&shortage);
		return;
	}
	g_clear_error(error);
	g_propagate_error(error, shortage);
}

static bool build_and_furnish(struct making *m, GError **error)
{
	bool built = build(m, error);

	if (built && furnish(m, error))
		return true;
	host_destroy_domain(m->host, &m->request->uuid, NULL);
	if (!built)
		blame_memory(m, error);
	return false;
}

static bool make_with(struct making *m, GError **error)
{
	uint32_t other;

	if (host_find(m->host, &m->request->uuid, &other))
		return fail(error, DOMAINS_FAILED,
			"Cannot make the VM %s: domain %u has its uuid already", m->request->name,
			other);
	return read_recipe(m, error) &&
	       host_has_memory(m->host, &m->config, m->request->keep_free_mib, error) &&
	       build_and_furnish(m, error);
}

bool make_vm(struct host *host, const struct request *request, uint32_t *domid, GError **error)
{
	struct making m = {.host = host, .request = request, .stream = -1, .domid = NO_DOMID};
	bool ok;

	libxl_domain_config_init(&m.config);
	ok = make_with(&m, error);
	libxl_domain_config_dispose(&m.config);
	if (m.stream >= 0)
		close(m.stream);
	*domid = m.domid;
	return ok;
}
