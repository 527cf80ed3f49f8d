/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "reply.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "qpen_words.h"

/* What is left to read. */
struct cursor {
	const char *p;
	size_t left;
};

struct word {
	const char *bytes;
	size_t len;
};

/* Takes the bytes up to the next space, which must not be the first, and the space itself. */
static bool take_word(struct cursor *at, struct word *out)
{
	const char *space = at->left ? memchr(at->p, ' ', at->left) : NULL;
	size_t len = space ? (size_t)(space - at->p) : at->left;
	size_t taken = space ? len + 1 : len;

	/* A space must be followed by something. */
	if (len == 0 || (space && taken == at->left))
		return false;
	*out = (struct word){at->p, len};
	at->p += taken;
	at->left -= taken;
	return true;
}

static bool find_wait(struct word word, enum qpen_wait *out)
{
#define COMPARE_(name, text)                                                                       \
	if (qpen_is_word(word.bytes, word.len, text)) {                                            \
		*out = QPEN_WAIT_##name;                                                           \
		return true;                                                                       \
	}
	QPEN_WAITS(COMPARE_)
#undef COMPARE_
	return false;
}

static bool find_error(struct word word, enum qpen_error *out)
{
#define COMPARE_(name, text)                                                                       \
	if (qpen_is_word(word.bytes, word.len, text)) {                                            \
		*out = QPEN_ERROR_##name;                                                          \
		return true;                                                                       \
	}
	QPEN_ERRORS(COMPARE_)
#undef COMPARE_
	return false;
}

static bool take_text(struct cursor *at, struct reply *reply)
{
	for (size_t i = 0; i < at->left; i++)
		if ((unsigned char)at->p[i] < 0x20 || at->p[i] == 0x7f)
			return false;
	if (at->left && !g_utf8_validate_len(at->p, at->left, NULL))
		return false;
	memcpy(reply->text, at->p, at->left);
	reply->text[at->left] = '\0';
	return true;
}

static enum reply_result parse_wait(struct cursor *at, struct reply *reply)
{
	struct word reason;

	if (!take_word(at, &reason))
		return REPLY_BAD_FORM;
	reply->kind = REPLY_WAIT;
	if (!find_wait(reason, &reply->wait))
		return REPLY_BAD_WORD;
	return take_text(at, reply) ? REPLY_PARSED : REPLY_BAD_TEXT;
}

static enum reply_result parse_ok(struct cursor *at, struct reply *reply)
{
	reply->kind = REPLY_OK;
	return take_text(at, reply) ? REPLY_PARSED : REPLY_BAD_TEXT;
}

static enum reply_result parse_error(struct cursor *at, struct reply *reply)
{
	struct word code;

	if (!take_word(at, &code))
		return REPLY_BAD_FORM;
	reply->kind = REPLY_ERROR;
	if (!find_error(code, &reply->error))
		return REPLY_BAD_WORD;
	return take_text(at, reply) ? REPLY_PARSED : REPLY_BAD_TEXT;
}

enum reply_result reply_parse(const char *untrusted, size_t len, const char *id, struct reply *out)
{
	struct cursor at = {untrusted, len};
	struct reply reply = {0};
	struct word word;
	enum reply_result result;

	if (len > QPEN_REPLY_MAX)
		return REPLY_TOO_LONG;
	if (!take_word(&at, &word) || !qpen_is_word(word.bytes, word.len, id))
		return REPLY_OTHER_ID;
	if (!take_word(&at, &word))
		return REPLY_BAD_FORM;
	if (qpen_is_word(word.bytes, word.len, "wait"))
		result = parse_wait(&at, &reply);
	else if (qpen_is_word(word.bytes, word.len, "ok"))
		result = parse_ok(&at, &reply);
	else if (qpen_is_word(word.bytes, word.len, "error"))
		result = parse_error(&at, &reply);
	else
		result = REPLY_BAD_FORM;
	if (result == REPLY_PARSED)
		*out = reply;
	return result;
}
