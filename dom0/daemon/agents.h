/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real asker port: the programs in the user's session, or a terminal, that registered over
 * D-Bus to be asked. A question goes to the one that registered last; if it leaves, to the one
 * before.
 */
#ifndef QFX_AGENTS_H
#define QFX_AGENTS_H

#include <gio/gio.h>

#include "asker.h"
#include "clock.h"
#include "events.h"

struct agents;

/* `events` must outlive it. Free with agents_destroy (accepts NULL). */
struct agents *agents_create(const struct clock_port *clock, const struct port_events *events);
void agents_destroy(struct agents *a);
struct asker_port agents_port(struct agents *a);

/* Asks over that connection from now on; NULL: the bus is gone, and all agents with it. */
void agents_set_connection(struct agents *a, GDBusConnection *connection);
/* `owner` is the unique bus name of the caller, `path` its object. */
void agents_register(struct agents *a, const char *owner, const char *path);
/* False: it was not registered. */
gboolean agents_unregister(struct agents *a, const char *owner);

#endif
