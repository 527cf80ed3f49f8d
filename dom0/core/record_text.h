/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the lines `key=value` of a record, in their fixed order. Pure. */
#ifndef QFX_RECORD_TEXT_H
#define QFX_RECORD_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transfer.h"

/* A reader that fails once and for all: after the first mismatch every further read fails too. */
struct record_reader {
	const char *at, *end;
	bool ok;
};

/* The value of the next line, which must be `key`'s. An empty one after a failure. */
void record_next(struct record_reader *r, const char *key, const char **value, size_t *len);
/* As we write it, without leading zeros: a record has one form only. 0 after a failure. */
uint64_t record_read_number(struct record_reader *r, const char *key, uint64_t max);
bool record_read_bool(struct record_reader *r, const char *key);
/* `out` has room for max bytes and a NUL. */
void record_read_text(struct record_reader *r, const char *key, char *out, size_t max);
/* An empty value: none is pending. */
void record_read_pending(struct record_reader *r, const char *key, struct pending_reply *out);

#endif
