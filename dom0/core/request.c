/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "request.h"

#include <stdbool.h>
#include <string.h>

#include "qpen_words.h"

/* A piece of the request: a view, nothing is copied until it was checked. */
struct slice {
	const char *at;
	size_t len;
};

static bool slice_is(struct slice s, const char *word)
{
	return qpen_is_word(s.at, s.len, word);
}

/* `out` holds at least s.len + 1 bytes: the caller's check of s bounded it. */
static void slice_copy(struct slice s, char *out)
{
	memcpy(out, s.at, s.len);
	out[s.len] = '\0';
}

/* Takes the next word off the front of *rest. False at the end. Two spaces make an empty word. */
static bool next_word(struct slice *rest, struct slice *word)
{
	const char *space;

	if (!rest->at)
		return false;
	space = memchr(rest->at, ' ', rest->len);
	word->at = rest->at;
	if (!space) {
		word->len = rest->len;
		rest->at = NULL;
		rest->len = 0;
		return true;
	}
	word->len = (size_t)(space - rest->at);
	rest->len -= word->len + 1;
	rest->at = space + 1;
	return true;
}

static bool at_end(const struct slice *rest)
{
	return !rest->at;
}

/* Cuts " #ID" off the end of *all, where there is one, and keeps the ID. */
static void take_id(struct slice *all, char *id)
{
	const char *hash = all->len > 0 ? memrchr(all->at, '#', all->len) : NULL;
	struct slice word;

	strcpy(id, QPEN_ID_NONE);
	if (!hash || hash == all->at || hash[-1] != ' ')
		return;
	word.at = hash + 1;
	word.len = all->len - (size_t)(word.at - all->at);
	if (!qpen_is_request_id(word.at, word.len))
		return;
	slice_copy(word, id);
	all->len = (size_t)(hash - all->at) - 1;
}

static bool starts_with(struct slice *s, const char *prefix)
{
	size_t n = strlen(prefix);

	if (s->len < n || memcmp(s->at, prefix, n) != 0)
		return false;
	s->at += n;
	s->len -= n;
	return true;
}

static enum request_result parse_new(struct slice *rest, struct request *out)
{
	bool have_size = false, have_format = false;
	struct slice word;

	while (next_word(rest, &word)) {
		if (!have_size && starts_with(&word, "size=")) {
			if (!qpen_parse_size(word.at, word.len, &out->size_bytes) ||
				out->size_bytes == 0)
				return REQUEST_BAD_SIZE;
			have_size = true;
		} else if (!have_format && starts_with(&word, "format=")) {
			if (slice_is(word, "vfat"))
				out->format = PENDRIVE_VFAT;
			else if (slice_is(word, "none"))
				out->format = PENDRIVE_NONE;
			else
				return REQUEST_BAD_FORMAT;
			have_format = true;
		} else {
			return REQUEST_BAD_FORM;
		}
	}
	return REQUEST_OK;
}

static enum request_result parse_send(struct slice *rest, struct request *out)
{
	struct slice dest, seq, mode;

	if (!next_word(rest, &dest))
		return REQUEST_BAD_FORM;
	if (!slice_is(dest, QPEN_DISPOSABLE) && !qpen_is_vm_name(dest.at, dest.len))
		return REQUEST_BAD_DEST;
	slice_copy(dest, out->dest);
	if (next_word(rest, &seq)) {
		if (!qpen_is_seq(seq.at, seq.len))
			return REQUEST_BAD_SEQ;
		slice_copy(seq, out->seq);
	}
	if (!slice_is(dest, QPEN_DISPOSABLE))
		return at_end(rest) ? REQUEST_OK : REQUEST_BAD_FORM;
	if (strcmp(out->seq, QPEN_SEQ_NONE) == 0)
		return REQUEST_NO_SEQ;
	if (!next_word(rest, &mode))
		return REQUEST_OK;
	out->view = slice_is(mode, QPEN_MODE_VIEW);
	return out->view && at_end(rest) ? REQUEST_OK : REQUEST_BAD_FORM;
}

static enum request_result parse_discard(struct slice *rest, struct request *out)
{
	struct slice of;

	if (!next_word(rest, &of))
		return REQUEST_OK;
	if (!qpen_is_request_id(of.at, of.len) || !at_end(rest))
		return REQUEST_BAD_FORM;
	slice_copy(of, out->of);
	return REQUEST_OK;
}

enum request_result request_parse(const char *untrusted, size_t len, struct request *out)
{
	struct slice rest = {.at = untrusted, .len = len};
	struct slice verb;

	memset(out, 0, sizeof *out);
	strcpy(out->id, QPEN_ID_NONE);
	strcpy(out->seq, QPEN_SEQ_NONE);
	if (len == 0)
		return REQUEST_EMPTY;
	if (len > QPEN_REQUEST_MAX)
		return REQUEST_TOO_LONG;

	take_id(&rest, out->id);
	if (!next_word(&rest, &verb))
		return REQUEST_BAD_FORM;
	if (slice_is(verb, "new")) {
		out->verb = REQUEST_NEW;
		return parse_new(&rest, out);
	}
	if (slice_is(verb, "send")) {
		out->verb = REQUEST_SEND;
		return parse_send(&rest, out);
	}
	if (slice_is(verb, "umount")) {
		out->verb = REQUEST_UMOUNT;
		return at_end(&rest) ? REQUEST_OK : REQUEST_BAD_FORM;
	}
	if (slice_is(verb, "killme")) {
		out->verb = REQUEST_KILLME;
		return at_end(&rest) ? REQUEST_OK : REQUEST_BAD_FORM;
	}
	if (slice_is(verb, "discard")) {
		out->verb = REQUEST_DISCARD;
		return parse_discard(&rest, out);
	}
	return REQUEST_UNKNOWN_VERB;
}

const char *request_result_text(enum request_result result)
{
	switch (result) {
	case REQUEST_OK:
		return "understood";
	case REQUEST_EMPTY:
		return "an empty request";
	case REQUEST_TOO_LONG:
		return "a request has at most 255 bytes";
	case REQUEST_UNKNOWN_VERB:
		return "the requests are new, send, discard, umount and killme";
	case REQUEST_BAD_FORM:
		return "words are missing, too many, or not separated by single spaces";
	case REQUEST_BAD_DEST:
		return "that cannot be the name of a VM";
	case REQUEST_BAD_SEQ:
		return "a SEQ is 1 to 32 letters and digits";
	case REQUEST_BAD_SIZE:
		return "a size is a number above 0, with K, M, G or T behind it or nothing";
	case REQUEST_BAD_FORMAT:
		return "the formats are vfat and none";
	case REQUEST_NO_SEQ:
		return "what is sent to a DisposableVM needs a SEQ other than 0";
	}
	return "not understood";
}

const char *pendrive_format_name(enum pendrive_format format)
{
	switch (format) {
	case PENDRIVE_VFAT:
		return "vfat";
	case PENDRIVE_NONE:
		return "none";
	}
	return "none";
}
