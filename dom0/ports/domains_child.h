/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real port to the VMs that dom0 makes: one run of qfilexchg-domains for each operation, killed
 * with all that it started when its time is over.
 *
 * What a destroy cuts off, a make or an unpause of the same uuid, has no event of its own:
 * domain_destroyed is its end as well. A make that failed is reported when nothing is left of it.
 */
#ifndef QFX_DOMAINS_CHILD_H
#define QFX_DOMAINS_CHILD_H

#include "domains.h"
#include "events.h"

struct domains_child;

/* Copied by the calls below. */
struct domains_options {
	const char *program;    /* absolute path of qfilexchg-domains */
	const char *template;   /* absolute path of an xl config; NULL: not configured */
	const char *savefile;   /* absolute path; may be NULL with from_config */
	bool from_config;       /* boot each VM instead of restoring it: no save file is used */
	uint64_t memory_mib;    /* of a VM; 0: what the template says */
	uint64_t keep_free_mib; /* for the pool: so much must stay free */
	/* How long each operation may take. */
	int64_t make_ms, prepare_ms, destroy_ms, survey_ms;
};

/*
 * `events` must outlive it. If a save file is configured, the VM that a killed daemon may have left
 * in the middle of making one is destroyed. Free with domains_child_destroy, which kills what is
 * under way; no event comes from then on.
 */
struct domains_child *domains_child_create(
	const struct domains_options *options, const struct port_events *events);
void domains_child_destroy(struct domains_child *d);
/* For all that starts from now on. */
void domains_child_set_options(struct domains_child *d, const struct domains_options *options);
struct domains_port domains_child_port(struct domains_child *d);

#endif
