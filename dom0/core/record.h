/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A transfer as text, as it is kept in dom0's part of xenstore: it survives the daemon and is gone
 * with the host, as the disks are. One `key=value` a line, all keys in a fixed order, none left
 * out. Pure.
 */
#ifndef QFX_RECORD_H
#define QFX_RECORD_H

#include <stddef.h>

#include "transfer.h"

/* Below what xenstored takes in one value (oxenstored: 2048). */
#define RECORD_MAX 1024u

enum record_result {
	RECORD_OK,
	RECORD_OTHER_VERSION, /* written by another release of the daemon */
	RECORD_BAD,
};

/* Writes t as text with a NUL; every transfer fits. */
void record_format(const struct transfer *t, char out[RECORD_MAX]);

/* The reverse; `out` is written on RECORD_OK only. A record that breaks any rule is refused whole.
 */
MUST_USE enum record_result record_parse(const char *text, size_t len, struct transfer *out);

#endif
