/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What xenstore says of a DisposableVM, and waiting for what its tools say there. */
#ifndef QFX_DOMAINS_TREE_H
#define QFX_DOMAINS_TREE_H

#include <stdint.h>

#include "host.h"

/* Tells the VM, for it to read alone, that it is a DisposableVM, and its label (NULL: none). */
bool tree_mark(uint32_t domid, const char *label, GError **error);
/*
 * Gives the VM a seed for its random numbers: all copies of one saved VM would draw the same ones.
 * Its tools remove the key when they have used it.
 */
bool tree_give_seed(uint32_t domid, GError **error);

/*
 * Waits until the key has this value; NULL: until it is gone. `deadline_us` is of
 * g_get_monotonic_time. DOMAINS_TIMEOUT when it is reached, DOMAINS_FAILED when the VM ends first.
 */
bool tree_wait(struct host *host, uint32_t domid, const char *key, const char *value,
	int64_t deadline_us, GError **error);

#endif
