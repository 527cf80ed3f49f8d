/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ctrl-C, SIGTERM and SIGHUP as a flag that the work looks at, so that it can end in good order. */
#ifndef QFX_VM_STOPPING_H
#define QFX_VM_STOPPING_H

#include <signal.h>
#include <stdbool.h>

/* Not zero: one of the signals came, after stopping_catch(). */
extern volatile sig_atomic_t stopping;

/* From now on. A system call that waits is ended by them, with EINTR. */
void stopping_catch(void);

/*
 * Waits until there is something to read, or the end. False: a signal came, before the call or in
 * it. A read alone would miss one that comes just before it, and wait for a user who has gone.
 */
bool stopping_wait_input(int fd);

#endif
