/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text of replies, as docs/PROTOCOL.md has it. Pure. */
#ifndef QFX_REPLY_H
#define QFX_REPLY_H

#include "qpen_contract.h"
#include "qpen_reply.h"

struct reply {
	char text[QPEN_REPLY_MAX + 1];
};

/* `id` is a request's checked ID or QPEN_ID_NONE; `detail` and `text` are our own words. */
void reply_wait(struct reply *out, const char *id, enum qpen_wait wait, const char *detail);
void reply_ok(struct reply *out, const char *id, const char *detail);
void reply_error(struct reply *out, const char *id, enum qpen_error error, const char *text);

#endif
