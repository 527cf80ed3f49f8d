/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parser of replies: bytes that dom0 wrote -> one value. Pure. docs/PROTOCOL.md has the
 * grammar. */
#ifndef QFX_VM_REPLY_H
#define QFX_VM_REPLY_H

#include <stddef.h>

#include "qpen_contract.h"
#include "qpen_reply.h"

enum reply_kind {
	REPLY_WAIT,
	REPLY_OK,
	REPLY_ERROR,
};

struct reply {
	enum reply_kind kind;
	enum qpen_wait wait;   /* REPLY_WAIT */
	enum qpen_error error; /* REPLY_ERROR */
	/* REPLY_WAIT, REPLY_OK: DETAIL; REPLY_ERROR: TEXT. Valid UTF-8 without control characters;
	 * may be empty. */
	char text[QPEN_REPLY_MAX + 1];
};

enum reply_result {
	REPLY_PARSED,
	REPLY_TOO_LONG,
	REPLY_OTHER_ID, /* an answer to somebody else's request, or no ID at all */
	REPLY_BAD_FORM,
	REPLY_BAD_WORD, /* a REASON or CODE outside the closed lists */
	REPLY_BAD_TEXT, /* control characters, or not UTF-8 */
};

/*
 * Reads `len` bytes at `untrusted`, which need no terminator, as the reply to the request `id`.
 * `out` is written on REPLY_PARSED alone.
 */
__attribute__((warn_unused_result)) enum reply_result reply_parse(
	const char *untrusted, size_t len, const char *id, struct reply *out);

#endif
