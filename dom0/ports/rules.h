/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Port: the policy that is in force. */
#ifndef QFX_RULES_H
#define QFX_RULES_H

#include "policy.h"

struct rules_port {
	void *ctx;
	/* What it says of one wish; `rule` is good until the policy is read again. */
	struct policy_decision (*decide)(void *ctx, const struct policy_query *query);
	/* Whether an answer to that question can be remembered. */
	bool (*can_remember)(void *ctx, const struct policy_query *query);
	/* Where a rule stands that `decide` gave just now, for people. NULL: none matched. To be
	 * freed with g_free. */
	char *(*where)(void *ctx, const struct policy_rule *rule);
};

#endif
