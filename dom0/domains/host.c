/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define KIB_PER_MIB 1024u

struct host {
	xentoollog_logger logger; /* first: libxl hands us its address */
	libxl_ctx *ctx;
	char *complaint; /* the first error that libxl logged; what follows are its consequences */
};

/* ---- errors ---- */

G_GNUC_PRINTF(5, 0)
static void on_message(xentoollog_logger *logger, xentoollog_level level, int errnoval,
	const char *context, const char *format, va_list arguments)
{
	struct host *host = (struct host *)logger;
	g_autofree char *text = NULL;

	(void)context;
	if (level < XTL_ERROR || host->complaint)
		return;
	text = g_strdup_vprintf(format, arguments);
	if (errnoval >= 0)
		host->complaint = g_strdup_printf("%s: %s", text, g_strerror(errnoval));
	else
		host->complaint = g_steal_pointer(&text);
}

bool host_fail(struct host *host, GError **error, const char *what)
{
	g_autofree char *complaint = g_steal_pointer(&host->complaint);

	return fail(error, DOMAINS_FAILED, "%s: %s", what,
		complaint ? g_strstrip(complaint) : "libxl did not say why");
}

void host_forget(struct host *host)
{
	g_clear_pointer(&host->complaint, g_free);
}

/* ---- the connection ---- */

struct host *host_open(GError **error)
{
	struct host *host = g_new0(struct host, 1);

	host->logger.vmessage = on_message;
	if (libxl_ctx_alloc(&host->ctx, LIBXL_VERSION, 0, &host->logger) == 0)
		return host;
	host->ctx = NULL;
	host_fail(host, error, "Cannot use libxl (is this dom0, and are you root?)");
	host_close(host);
	return NULL;
}

void host_close(struct host *host)
{
	if (!host)
		return;
	libxl_ctx_free(host->ctx);
	g_free(host->complaint);
	g_free(host);
}

libxl_ctx *host_ctx(struct host *host)
{
	return host->ctx;
}

/* ---- domains ---- */

static bool is_down(const libxl_dominfo *info)
{
	return info->shutdown || info->dying;
}

static const char *state_of(const libxl_dominfo *info)
{
	if (is_down(info))
		return "down";
	return info->paused ? "paused" : "running";
}

bool host_survey(struct host *host, GError **error)
{
	libxl_dominfo *list;
	uint64_t free_kib;
	int n;

	if (libxl_get_free_memory(host->ctx, &free_kib) != 0)
		return host_fail(host, error, "Cannot see how much memory is free");
	list = libxl_list_domain(host->ctx, &n);
	if (!list)
		return host_fail(host, error, "Cannot list the domains");
	printf("free %" PRIu64 "\n", free_kib);
	for (int i = 0; i < n; i++)
		if (list[i].domid != 0)
			printf("domain %" PRIu32 " " LIBXL_UUID_FMT " %s\n", list[i].domid,
				LIBXL_UUID_BYTES(list[i].uuid), state_of(&list[i]));
	libxl_dominfo_list_free(list, n);
	return true;
}

bool host_find(struct host *host, const libxl_uuid *uuid, uint32_t *domid)
{
	bool found = false;
	int n;
	libxl_dominfo *list = libxl_list_domain(host->ctx, &n);

	for (int i = 0; list && i < n; i++) {
		if (list[i].domid == 0 || libxl_uuid_compare(&list[i].uuid, uuid) != 0)
			continue;
		*domid = list[i].domid;
		found = true;
	}
	if (list)
		libxl_dominfo_list_free(list, n);
	return found;
}

bool host_is_alive(struct host *host, uint32_t domid)
{
	libxl_dominfo info;
	bool alive;

	libxl_dominfo_init(&info);
	alive = libxl_domain_info(host->ctx, &info, domid) == 0 && !is_down(&info);
	libxl_dominfo_dispose(&info);
	return alive;
}

/*
 * One domain. That it is dying already counts: what it waits for, pages that a backend has still
 * mapped, it waits for alone, and no second destroy would hasten it.
 */
static bool destroy_one(struct host *host, uint32_t domid, GError **error)
{
	g_autofree char *what = g_strdup_printf("Cannot destroy domain %" PRIu32, domid);

	host_forget(host);
	if (libxl_domain_destroy(host->ctx, domid, NULL) == 0)
		return true;
	if (libxl_domain_info(host->ctx, NULL, domid) == ERROR_DOMAIN_NOTFOUND)
		return true;
	return host_fail(host, error, what);
}

bool host_destroy_domain(struct host *host, const libxl_uuid *uuid, GError **error)
{
	libxl_dominfo *list;
	bool ok = true;
	int n;

	list = libxl_list_domain(host->ctx, &n);
	if (!list)
		return host_fail(host, error, "Cannot list the domains");
	for (int i = 0; i < n && ok; i++)
		if (list[i].domid != 0 && libxl_uuid_compare(&list[i].uuid, uuid) == 0)
			ok = destroy_one(host, list[i].domid, error);
	libxl_dominfo_list_free(list, n);
	return ok;
}

/* ---- memory ---- */

bool host_has_memory(
	struct host *host, libxl_domain_config *config, uint64_t keep_free_mib, GError **error)
{
	uint64_t need_kib, free_kib, keep_kib = keep_free_mib * KIB_PER_MIB;

	host_forget(host);
	if (libxl_domain_need_memory(host->ctx, config, NO_DOMID, &need_kib) != 0)
		return host_fail(host, error, "Cannot compute how much memory the VM needs");
	if (libxl_get_free_memory(host->ctx, &free_kib) != 0)
		return host_fail(host, error, "Cannot see how much memory is free");
	if (keep_kib <= free_kib && need_kib <= free_kib - keep_kib)
		return true;
	return fail(error, DOMAINS_NO_MEMORY,
		"Not enough memory for the VM %s: it needs %" PRIu64 " MiB and %" PRIu64
		" must stay free, but only %" PRIu64 " MiB are. Shut down a VM, or give memory of "
		"dom0 back with xl mem-set",
		config->c_info.name, need_kib / KIB_PER_MIB, keep_free_mib, free_kib / KIB_PER_MIB);
}
