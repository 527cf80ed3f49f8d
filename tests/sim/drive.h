/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drives a simulated host at random: VMs that ask, misbehave and die, a user who answers, a daemon
 * that is killed, time that passes, jobs that are done in any order. Where the choices come from, a
 * seeded generator or a fuzzer's bytes, is the caller's.
 */
#ifndef QFX_DRIVE_H
#define QFX_DRIVE_H

#include "sim.h"

struct choices {
	void *ctx;
	/* A number below n, which is above 0. */
	uint32_t (*below)(void *ctx, uint32_t n);
	/* Whether there are no more. */
	bool (*at_end)(void *ctx);
};

/* A host with its limits chosen as well. Free with sim_free. */
struct sim *drive_new(const struct choices *c);
/* One thing happens. */
void drive_step(struct sim *sim, const struct choices *c);
/* A whole life: steps until the choices end or a promise is broken, then rest. */
struct sim *drive_run(const struct choices *c, bool trace);

#endif
