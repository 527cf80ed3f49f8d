/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real clock port: the kernel's monotonic clock and a timer of the main loop. */
#ifndef QFX_CLOCK_GLIB_H
#define QFX_CLOCK_GLIB_H

#include "clock.h"
#include "events.h"

struct clock_glib;

/* `events` must outlive it. Free with clock_glib_destroy (accepts NULL). */
struct clock_glib *clock_glib_create(const struct port_events *events);
void clock_glib_destroy(struct clock_glib *c);
struct clock_port clock_glib_port(struct clock_glib *c);

#endif
