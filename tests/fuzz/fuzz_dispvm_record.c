/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A DisposableVM's record: what is read is what is written, byte by byte; what it names can be
 * destroyed, and the state machine can take it up.
 */
#include <glib.h>
#include <string.h>

#include "dispvm_record.h"
#include "fuzz.h"

static const struct dispvm_limits limits = {.prepare_ms = 1,
	.make_ms = 1,
	.life_ms = 1,
	.destroy_ms = 1,
	.max_per_opener = 1,
	.max_total = 1};

static void take_up(struct dispvm *d)
{
	struct dispvm_step step;

	dispvm_resume(d, &limits, 0, &step);
	g_assert_cmpuint(step.n_actions, <=, DISPVM_ACTIONS_MAX);
	for (unsigned i = 0; i < step.n_actions; i++) {
		/* Nothing runs, is made or is answered by a restart alone. */
		g_assert_true(step.actions[i].kind == DISPVM_ACT_DESTROY ||
			      step.actions[i].kind == DISPVM_ACT_TELL_READY);
		g_assert_cmpuint(strlen(d->id.uuid), ==, 36);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dispvm d;
	char text[RECORD_MAX];

	if (dispvm_record_parse((const char *)data, size, &d) != RECORD_OK)
		return 0;
	dispvm_record_format(&d, text);
	g_assert_cmpuint(strlen(text), ==, size);
	g_assert_true(memcmp(text, data, size) == 0);
	g_assert_true(!dispvm_should_run(&d) || d.id.domid > 0);
	take_up(&d);
	return 0;
}
