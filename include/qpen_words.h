/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What makes a VM name, a request ID, a SEQ and a size: the one validator of each, for dom0 and the
 * VMs.
 * Pure; every function takes counted bytes, looks at all of them and never past them.
 */
#ifndef QFX_QPEN_WORDS_H
#define QFX_QPEN_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "qpen_contract.h"

/* ASCII only, whatever the locale. */
static inline bool qpen_is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static inline bool qpen_is_alnum_word(const char *bytes, size_t len, size_t max)
{
	if (len == 0 || len > max)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!qpen_is_alnum(bytes[i]))
			return false;
	return true;
}

static inline bool qpen_is_request_id(const char *bytes, size_t len)
{
	return qpen_is_alnum_word(bytes, len, QPEN_ID_MAX);
}

static inline bool qpen_is_seq(const char *bytes, size_t len)
{
	return qpen_is_alnum_word(bytes, len, QPEN_SEQ_MAX);
}

static inline bool qpen_is_word(const char *bytes, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(bytes, word, len) == 0;
}

/* How many bits a size's suffix stands for; 0 for anything else. */
static inline unsigned qpen_size_shift(char suffix)
{
	switch (suffix) {
	case 'K':
		return 10;
	case 'M':
		return 20;
	case 'G':
		return 30;
	case 'T':
		return 40;
	default:
		return 0;
	}
}

/* N[KMGT], decimal, without a sign; below 2^63, so that it fits an off_t as well. 0 is a number. */
static inline bool qpen_parse_size(const char *bytes, size_t len, uint64_t *out)
{
	unsigned shift = len > 1 ? qpen_size_shift(bytes[len - 1]) : 0;
	size_t digits = shift ? len - 1 : len;
	uint64_t n = 0;

	if (digits == 0)
		return false;
	for (size_t i = 0; i < digits; i++) {
		uint64_t digit = (uint64_t)(bytes[i] - '0');

		if (bytes[i] < '0' || bytes[i] > '9' || n > ((uint64_t)INT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	if (n > (uint64_t)INT64_MAX >> shift)
		return false;
	*out = n << shift;
	return true;
}

/*
 * A name that a VM can have and be reached by: 1 to QPEN_NAME_MAX characters of
 * [0-9A-Za-z_.+-], the first a letter or digit. Wider than Qubes' rule (31, a letter first),
 * narrower than libxl's (anything), since a name is shown to the user and stands in a request.
 * dom0's own name and the word `disposable` are no VM's name.
 */
static inline bool qpen_is_vm_name(const char *bytes, size_t len)
{
	if (len == 0 || len > QPEN_NAME_MAX || !qpen_is_alnum(bytes[0]))
		return false;
	for (size_t i = 1; i < len; i++)
		if (!qpen_is_alnum(bytes[i]) && (bytes[i] == '\0' || !strchr("_.+-", bytes[i])))
			return false;
	return !qpen_is_word(bytes, len, "Domain-0") && !qpen_is_word(bytes, len, QPEN_DISPOSABLE);
}

#endif
