/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The whole exchange: the bytes are choices for the simulated host of tests/sim, which ends the
 * program when a promise is broken. QFX_TRACE=1 tells what happens.
 */
#include <glib.h>
#include <stdio.h>

#include "drive.h"
#include "fuzz.h"

/* Longer lives find nothing that two shorter ones do not, and are slower to make smaller. */
#define LONGEST 4000

struct bytes {
	const uint8_t *at, *end;
};

static uint32_t below(void *ctx, uint32_t n)
{
	struct bytes *b = ctx;

	return b->at < b->end ? *b->at++ % n : 0;
}

static bool at_end(void *ctx)
{
	const struct bytes *b = ctx;

	return b->at == b->end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool is_quiet;
	struct bytes b = {.at = data, .end = data + MIN(size, LONGEST)};
	const struct choices c = {.ctx = &b, .below = below, .at_end = at_end};
	struct sim *sim;

	if (!is_quiet)
		sim_quiet_log();
	is_quiet = true;
	sim = drive_run(&c, g_getenv("QFX_TRACE") != NULL);
	if (sim->violation)
		g_error("a promise was broken: %s", sim->violation);
	sim_free(sim);
	return 0;
}
