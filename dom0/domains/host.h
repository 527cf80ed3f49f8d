/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Xen, as libxl shows it: which domains there are, how much memory is free, and what ends a domain.
 * All calls wait until it is done.
 */
#ifndef QFX_DOMAINS_HOST_H
#define QFX_DOMAINS_HOST_H

#include <libxl.h>
#include <libxl_utils.h>

#include "fail.h"

/* libxl's INVALID_DOMID, with the type of a domid. */
#define NO_DOMID ((uint32_t)INVALID_DOMID)

struct host;

/* NULL with error set when libxl cannot be used: not root, or no Xen. Closed with host_close. */
struct host *host_open(GError **error);
void host_close(struct host *host);

libxl_ctx *host_ctx(struct host *host);

/*
 * Sets *error to "WHAT: " and what libxl first complained of since the last call of this or of
 * host_forget. Returns false.
 */
bool host_fail(struct host *host, GError **error, const char *what);
void host_forget(struct host *host);

/* Prints the memory that is free, and a line for each domain but dom0. */
bool host_survey(struct host *host, GError **error);

/* Whether a domain of that uuid is there, dying ones as well; *domid is then the last of them. */
bool host_find(struct host *host, const libxl_uuid *uuid, uint32_t *domid);
/* Whether it is there and has neither shut down nor crashed. */
bool host_is_alive(struct host *host, uint32_t domid);
/* Destroys all domains of that uuid, never dom0; true if there are none in the end. */
bool host_destroy_domain(struct host *host, const libxl_uuid *uuid, GError **error);

/*
 * Whether a domain of that config can be built and keep_free_mib are left; else false with
 * DOMAINS_NO_MEMORY. dom0's own memory is never made smaller for it.
 */
bool host_has_memory(
	struct host *host, libxl_domain_config *config, uint64_t keep_free_mib, GError **error);

#endif
