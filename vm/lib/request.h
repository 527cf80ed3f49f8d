/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests: checked words -> the line for the mailbox. Pure but for memory. */
#ifndef QFX_VM_REQUEST_H
#define QFX_VM_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum request_verb {
	REQUEST_NEW,
	REQUEST_SEND,
	REQUEST_UMOUNT,
	REQUEST_KILLME,
	REQUEST_DISCARD,
};

/* Strings are borrowed; those that are not of the verb, or not given, are NULL. */
struct request {
	enum request_verb verb;
	const char *size;   /* new: N[KMGT] */
	const char *format; /* new: vfat or none */
	const char *dest;   /* send */
	const char *seq;    /* send */
	const char *of;     /* discard: the ID of the `new` or `send` that it takes back */
	bool view;          /* send, to a DisposableVM: nothing is to come back */
};

/* N[KMGT], decimal, not zero and below 2^63 bytes. `out` may be NULL. */
bool request_parse_size(const char *text, uint64_t *out_bytes);

/* A VM's name, or `disposable`. */
bool request_is_dest(const char *text);

/* Whether every word is one that dom0 can understand; what is not is named in `*out_why` (static).
 */
bool request_is_sound(const struct request *request, const char **out_why);

/* The line without an ID; the caller frees it. The request must be sound. */
char *request_compose(const struct request *request);

#endif
