/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making a DisposableVM, and making the save file from which they are made. */
#ifndef QFX_DOMAINS_OPERATIONS_H
#define QFX_DOMAINS_OPERATIONS_H

#include <stdint.h>

#include "host.h"

/* All that a run was told; domains.c checked it. Strings are its own. NULL, 0: not given. */
struct request {
	char *name;
	libxl_uuid uuid;
	char *label;
	char *config;   /* absolute paths */
	char *savefile; /* to make from, or to be written */
	uint64_t memory_mib;
	uint64_t keep_free_mib;
	int64_t settle_s; /* at most so long until its tools are there */
	int64_t timeout_s;
};

/*
 * The VM is there, paused, and *domid its number; or nothing is left of it. It ran before, until
 * its tools were there: a restored Linux never finds a disk that was attached before it ran.
 */
bool make_vm(struct host *host, const struct request *request, uint32_t *domid, GError **error);
/* Writes request->savefile and the record beside it. No VM is left in any case. */
bool prepare_savefile(struct host *host, const struct request *request, GError **error);

#endif
