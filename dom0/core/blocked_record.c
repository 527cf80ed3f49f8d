/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "blocked_record.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "qpen_words.h"
#include "record_text.h"

#define BLOCKED_VERSION 1

void blocked_record_format(const struct blocked_vm *b, char out[RECORD_MAX])
{
	int n = snprintf(out, RECORD_MAX, "version=%d\nname=%s\nuntil=%" PRId64 "\n",
		BLOCKED_VERSION, b->name, b->until_ms);

	assert(n > 0 && (size_t)n < RECORD_MAX);
}

enum record_result blocked_record_parse(const char *text, size_t len, struct blocked_vm *out)
{
	struct record_reader r = {.at = text, .end = text + len, .ok = true};
	struct blocked_vm b;

	memset(&b, 0, sizeof b);
	if (record_read_number(&r, "version", UINT64_MAX) != BLOCKED_VERSION)
		return r.ok ? RECORD_OTHER_VERSION : RECORD_BAD;
	record_read_text(&r, "name", b.name, QPEN_NAME_MAX);
	b.until_ms = (int64_t)record_read_number(&r, "until", INT64_MAX);
	if (!r.ok || r.at != r.end || !qpen_is_vm_name(b.name, strlen(b.name)))
		return RECORD_BAD;
	*out = b;
	return RECORD_OK;
}
