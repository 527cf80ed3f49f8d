/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dom0's words in the words of people. Pure; every function is total. */
#ifndef QFX_VM_WORDS_H
#define QFX_VM_WORDS_H

#include "qpen_reply.h"

/* What is going on, as in "work: waiting for ...". */
const char *words_wait(enum qpen_wait wait);

/* What went wrong and, where there is something, what the user can do. */
const char *words_error(enum qpen_error error);

#endif
