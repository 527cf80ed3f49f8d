/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Port: makes DisposableVMs and removes them. Everything is asynchronous and ends in one of the
 * events of events.h; each operation has a deadline of its own, at which it fails.
 */
#ifndef QFX_DOMAINS_H
#define QFX_DOMAINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "qpen_contract.h"

/* libxl's uuid as text, and its NUL. */
#define DOMAIN_UUID_LEN 37u

/* Which VM is to be made. */
struct domain_plan {
	uint64_t number; /* the N of dispN; what the events carry */
	char name[QPEN_NAME_MAX + 1];
	char uuid[DOMAIN_UUID_LEN];
	char label[QPEN_LABEL_MAX + 1];
	/* For the pool: it is not made if less than the configured memory would stay free. */
	bool for_pool;
};

/* A domain that is there now. */
struct domain_seen {
	uint32_t domid;
	char uuid[DOMAIN_UUID_LEN];
	bool down; /* it has shut down or crashed, and only waits to be destroyed */
};

struct domains_port {
	void *ctx;
	/* A uuid that no VM has. */
	void (*new_uuid)(void *ctx, char out[DOMAIN_UUID_LEN]);
	/* Whether DisposableVMs can be made at all: false with no template configured. */
	bool (*is_configured)(void *ctx);
	/* Whether `make` can start at once: no save file has to be made first. Cheap: stat(2)
	 * alone. */
	bool (*is_prepared)(void *ctx);
	/* Makes the save file. Ends in `prepared`. One at a time; more calls join the first. */
	void (*prepare)(void *ctx);
	/* Makes the VM, lets it run until its tools are there, and pauses it. Ends in domain_made
	 * or domain_failed; then nothing is left of it.
	 */
	void (*make)(void *ctx, const struct domain_plan *plan);
	/* Lets it run. Ends in domain_unpaused or, if it could not, domain_failed. */
	void (*unpause)(void *ctx, const struct domain_plan *plan);
	/* Destroys the VM of that uuid, whatever else is under way for it; none there is a success.
	   Ends in domain_destroyed; tried again until it is so. */
	void (*destroy)(void *ctx, const struct domain_plan *plan);
	/* Looks which domains are there and how much memory is free. Ends in `surveyed`; calls
	   while one is under way make one more. */
	void (*survey)(void *ctx);
};

#endif
