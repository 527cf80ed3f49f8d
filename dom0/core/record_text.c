/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "record_text.h"

#include <string.h>

#include "qpen_words.h"

/* The value of the next line, which must be `key`'s. An empty one after a failure. */
void record_next(struct record_reader *r, const char *key, const char **value, size_t *len)
{
	size_t key_len = strlen(key);
	const char *newline;

	*value = "";
	*len = 0;
	if (!r->ok)
		return;
	r->ok = false;
	newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
	if (!newline || (size_t)(newline - r->at) < key_len + 1)
		return;
	if (memcmp(r->at, key, key_len) != 0 || r->at[key_len] != '=')
		return;
	*value = r->at + key_len + 1;
	*len = (size_t)(newline - *value);
	r->at = newline + 1;
	r->ok = true;
}

uint64_t record_read_number(struct record_reader *r, const char *key, uint64_t max)
{
	const char *value;
	size_t len;
	uint64_t n = 0;

	record_next(r, key, &value, &len);
	/* As we write it, without leading zeros: a record has one form only. */
	if (len == 0 || (len > 1 && value[0] == '0'))
		r->ok = false;
	for (size_t i = 0; r->ok && i < len; i++) {
		unsigned digit = (unsigned)(value[i] - '0');

		if (value[i] < '0' || value[i] > '9' || n > (UINT64_MAX - digit) / 10)
			r->ok = false;
		else
			n = n * 10 + digit;
	}
	if (n > max)
		r->ok = false;
	return r->ok ? n : 0;
}

bool record_read_bool(struct record_reader *r, const char *key)
{
	return record_read_number(r, key, 1) == 1;
}

/* `out` has room for max bytes and a NUL. */
void record_read_text(struct record_reader *r, const char *key, char *out, size_t max)
{
	const char *value;
	size_t len;

	record_next(r, key, &value, &len);
	if (len > max || memchr(value, '\0', len)) {
		r->ok = false;
		len = 0;
	}
	memcpy(out, value, len);
	out[len] = '\0';
}

void record_read_pending(struct record_reader *r, const char *key, struct pending_reply *out)
{
	record_read_text(r, key, out->id, QPEN_ID_MAX);
	out->pending = out->id[0] != '\0';
	if (out->pending && strcmp(out->id, QPEN_ID_NONE) != 0 &&
		!qpen_is_request_id(out->id, strlen(out->id)))
		r->ok = false;
}
