/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parser of requests: bytes that a VM wrote into its mailbox -> one trusted value.
 * Pure: no I/O, no memory of its own, no state.
 */
#ifndef QFX_REQUEST_H
#define QFX_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "qpen_contract.h"

#define MUST_USE __attribute__((warn_unused_result))

enum request_verb {
	REQUEST_NEW,
	REQUEST_SEND,
	REQUEST_UMOUNT,
	REQUEST_KILLME,
	REQUEST_DISCARD,
};

enum pendrive_format {
	PENDRIVE_VFAT, /* a fresh vfat, as in 2010 */
	PENDRIVE_NONE, /* zeros */
};

struct request {
	enum request_verb verb;
	/* What the reply is addressed with: the client's ID, or QPEN_ID_NONE. */
	char id[QPEN_ID_MAX + 1];
	uint64_t size_bytes; /* `new`: at least that much; 0: dom0's default */
	enum pendrive_format format;
	char dest[QPEN_NAME_MAX + 1]; /* `send`: a VM's name, or QPEN_DISPOSABLE */
	char seq[QPEN_SEQ_MAX + 1];   /* `send`: QPEN_SEQ_NONE where none was given */
	bool view;                    /* `send`: the file is only to be looked at */
	/* `discard`: whose pendrive, by the ID of its `new` or `send`; empty: the newest. */
	char of[QPEN_ID_MAX + 1];
};

enum request_result {
	REQUEST_OK,
	REQUEST_EMPTY,        /* no bytes: not a request at all, and not answered */
	REQUEST_TOO_LONG,     /* more than QPEN_REQUEST_MAX bytes */
	REQUEST_UNKNOWN_VERB, /* the first word is none of ours */
	REQUEST_BAD_FORM,     /* words missing, too many, or not separated by single spaces */
	REQUEST_BAD_DEST,     /* DEST cannot be a VM's name */
	REQUEST_BAD_SEQ,
	REQUEST_BAD_SIZE, /* not N[KMGT], zero, or beyond 2^63 */
	REQUEST_BAD_FORMAT,
	REQUEST_NO_SEQ, /* a DisposableVM answers to a SEQ */
};

/*
 * Reads `len` bytes at `untrusted`, which need no terminator and may hold anything.
 * `out` is a whole request only when REQUEST_OK is returned; but `out->id` is set in every case, so
 * that a request which is refused is answered to the one who asked, where the ID could be read.
 */
MUST_USE enum request_result request_parse(const char *untrusted, size_t len, struct request *out);

/* Why a request was refused, for the TEXT of the reply: a fixed sentence without a VM's bytes. */
const char *request_result_text(enum request_result result);

const char *pendrive_format_name(enum pendrive_format format);

#endif
