/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VM that the user blocked, as text, as record.h has it for a transfer. Pure. */
#ifndef QFX_BLOCKED_RECORD_H
#define QFX_BLOCKED_RECORD_H

#include <stdint.h>

#include "record.h"

struct blocked_vm {
	char name[QPEN_NAME_MAX + 1];
	int64_t until_ms; /* INT64_MAX: until it is unblocked */
};

/* Writes b as text with a NUL; every one fits. */
void blocked_record_format(const struct blocked_vm *b, char out[RECORD_MAX]);

/* The reverse; `out` is written on RECORD_OK only. */
MUST_USE enum record_result blocked_record_parse(
	const char *text, size_t len, struct blocked_vm *out);

#endif
