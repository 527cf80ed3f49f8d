/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The header of a transaction, which a VM writes and another one reads: bytes <-> one value. Pure.
 * What breaks a rule is refused whole; nothing is repaired.
 */
#ifndef QFX_VM_DVMHEADER_H
#define QFX_VM_DVMHEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "qpen_contract.h"

struct dvm_header {
	uint64_t size_bytes; /* of the file, which stands behind the header */
	/* One component of a path: not empty, without '/', neither "." nor ".."; any other bytes.
	 */
	char name[QPEN_DVM_NAME_BYTES];
};

enum dvm_result {
	DVM_OK,
	DVM_TOO_SHORT,     /* fewer bytes than a header has */
	DVM_NO_NUL,        /* the name has no end */
	DVM_DIRTY_NAME,    /* something stands behind the name's NUL */
	DVM_BAD_NAME,      /* empty, with a '/', "." or ".." */
	DVM_BEYOND_DEVICE, /* the file would not fit between the header and the device's end */
};

/*
 * Reads the header at `untrusted`, `len` bytes of it. `device_bytes` is how much the device holds
 * from the header's first byte on. `out` is written on DVM_OK alone.
 */
__attribute__((warn_unused_result)) enum dvm_result dvm_header_parse(
	const unsigned char *untrusted, size_t len, uint64_t device_bytes, struct dvm_header *out);

/* The reverse. False: the name breaks the rules, or is longer than QPEN_DVM_NAME_BYTES - 1. */
bool dvm_header_compose(
	const char *name, uint64_t size_bytes, unsigned char out[QPEN_DVM_HEADER_BYTES]);

/* A fixed sentence without a VM's bytes. */
const char *dvm_result_text(enum dvm_result result);

#endif
