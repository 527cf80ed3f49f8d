/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What goes into the history, and when: told from the steps of transfers and DisposableVMs, and
 * written after they stand in the records. A daemon that is killed between the two leaves an entry
 * out; none is ever there twice. For the two halves of the exchange.
 */
#ifndef QFX_HISTORY_H
#define QFX_HISTORY_H

#include "exchange_state.h"

/* What the policy, or something in its place, said when a pendrive was sent. */
struct ruling {
	struct policy_decision decision;
	enum audit_by by;
};

/* The entries of one step; at most a decision and an end. */
struct history_turn {
	struct audit_entry entries[2];
	unsigned n;
};

/* Where the rule stands that ruled, or NULL if none did. To be freed with g_free. */
char *history_rule(struct exchange *x, const struct ruling *ruling);

/*
 * Before a step is carried out: what the history will be told of it. `before` is the transfer as it
 * was. `ruling` comes with a SEND of what has to pass the policy, else NULL.
 */
void history_follow(struct exchange *x, struct transfer_node *node, const struct transfer *before,
	const struct transfer_event *event, const struct transfer_step *step,
	const struct ruling *ruling, struct history_turn *out);
/* After it, while the transfer is still there. NULL: nothing. */
void history_write(struct exchange *x, const struct history_turn *turn);

/* A wish for a DisposableVM that was refused; the transfer goes on as it was. */
void history_refused_request(
	struct exchange *x, const struct transfer *t, const struct ruling *ruling);
/* A DisposableVM's end. */
void history_dispvm_ended(struct exchange *x, const struct dispvm *d, const struct audit_end *end);

#endif
