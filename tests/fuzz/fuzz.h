/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What libFuzzer calls; each target is one file with one of these. replay.c calls it for a corpus.
 */
#ifndef QFX_FUZZ_H
#define QFX_FUZZ_H

#include <stddef.h>
#include <stdint.h>

__attribute__((visibility("default"))) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
