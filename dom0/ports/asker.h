/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Port: puts a question to the user of dom0. */
#ifndef QFX_ASKER_H
#define QFX_ASKER_H

#include <stdbool.h>
#include <stdint.h>

#include "transfer.h"

struct question {
	uint64_t id; /* the transfer's */
	const struct vm_id *sender;
	const struct vm_id *receiver;
	const char *sender_label, *receiver_label; /* a colour's word, or "" */
	bool disposable;   /* the receiver is a DisposableVM that is made for it */
	bool can_remember; /* the answer, for the next time */
	uint64_t size_bytes;
	uint64_t used_bytes;
	int64_t expires_ms; /* by the clock port */
};

struct answer {
	bool yes;
	bool uid_known; /* whose agent gave it */
	uint32_t uid;
};

struct asker_port {
	void *ctx;
	/*
	 * Asks once somebody is there to be asked, and again whenever that somebody went away
	 * without an answer, until withdrawn. Ends in `answered`. What `q` points to is copied.
	 */
	void (*ask)(void *ctx, const struct question *q);
	void (*withdraw)(void *ctx, uint64_t id);
};

#endif
