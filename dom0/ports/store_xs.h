/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real store port, over xenstored. */
#ifndef QFX_STORE_XS_H
#define QFX_STORE_XS_H

#include "events.h"
#include "store.h"
#include "xs.h"

/* Where the records stand: dom0's alone. */
#define STORE_RECORDS "/qfilexchgd/transfers"
#define STORE_DISPVMS "/qfilexchgd/disposables"
#define STORE_BLOCKED "/qfilexchgd/blocked"

struct store_xs;

/* `c` and `events` must outlive it. NULL after a logged error. Free with store_xs_destroy. */
struct store_xs *store_xs_create(struct xs_conn *c, const struct port_events *events);
void store_xs_destroy(struct store_xs *s);
struct store_port store_xs_port(struct store_xs *s);

/* Writes t's record within somebody else's transaction: the blocks port's. 0 or -errno. */
int store_xs_put_record(struct xs_conn *c, xs_transaction_t x, const struct transfer *t);

#endif
