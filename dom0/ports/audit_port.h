/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Port: where the history is kept. */
#ifndef QFX_AUDIT_PORT_H
#define QFX_AUDIT_PORT_H

#include "audit.h"

struct audit_port {
	void *ctx;
	/* Keeps one entry, of something that stands in the records already. What it points to is
	 * copied. */
	void (*write)(void *ctx, const struct audit_entry *entry);
};

#endif
