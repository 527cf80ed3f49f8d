/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records: what is read is what is written, byte by byte; and the state machine can take it up. */
#include <glib.h>
#include <string.h>

#include "fuzz.h"
#include "record.h"

static const struct transfer_limits limits = {
	.make_ms = 1,
	.attach_ms = 1,
	.lent_ms = 1,
	.detach_ms = 1,
	.force_ms = 1,
	.ask_ms = 1,
	.start_ms = 1,
	.queue_ms = 1,
	.delivered_ms = 1,
	.remove_ms = 1,
	.hide_refusals = true,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct transfer t;
	struct transfer_step step;
	char text[RECORD_MAX];

	if (record_parse((const char *)data, size, &t) != RECORD_OK)
		return 0;
	record_format(&t, text);
	g_assert_cmpuint(strlen(text), ==, size);
	g_assert_true(memcmp(text, data, size) == 0);

	transfer_resume(&t, &limits, 0, &step);
	g_assert_cmpuint(step.n_actions, <=, TRANSFER_ACTIONS_MAX);
	for (unsigned i = 0; i < step.n_actions; i++) {
		enum transfer_action_kind kind = step.actions[i].kind;

		if (kind == TRANSFER_ACT_DETACH || kind == TRANSFER_ACT_DETACH_FORCE)
			g_assert_cmpint(t.place, !=, TRANSFER_NOWHERE);
		if (kind == TRANSFER_ACT_REMOVE || kind == TRANSFER_ACT_ASK)
			g_assert_cmpint(t.place, ==, TRANSFER_NOWHERE);
	}
	return 0;
}
