/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A DisposableVM as text, as record.h has it for a transfer. Pure. */
#ifndef QFX_DISPVM_RECORD_H
#define QFX_DISPVM_RECORD_H

#include "dispvm.h"
#include "record.h"

/* Writes d as text with a NUL; every one fits. */
void dispvm_record_format(const struct dispvm *d, char out[RECORD_MAX]);

/* The reverse; `out` is written on RECORD_OK only. */
MUST_USE enum record_result dispvm_record_parse(const char *text, size_t len, struct dispvm *out);

#endif
