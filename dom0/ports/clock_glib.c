/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "clock_glib.h"

#include <glib.h>

struct clock_glib {
	const struct port_events *events;
	guint source;
};

static int64_t now_ms(void *ctx)
{
	(void)ctx;
	return g_get_monotonic_time() / 1000;
}

static gboolean ring(gpointer data)
{
	struct clock_glib *c = data;

	c->source = 0;
	c->events->alarm(c->events->ctx);
	return G_SOURCE_REMOVE;
}

static void set_alarm(void *ctx, int64_t at_ms)
{
	struct clock_glib *c = ctx;
	int64_t wait_ms;

	if (c->source)
		g_source_remove(c->source);
	c->source = 0;
	if (at_ms == CLOCK_NEVER)
		return;
	/* An alarm that rings early, after 49 days, is asked for again. */
	wait_ms = CLAMP(at_ms - now_ms(c), 0, (int64_t)G_MAXUINT);
	c->source = g_timeout_add((guint)wait_ms, ring, c);
}

struct clock_glib *clock_glib_create(const struct port_events *events)
{
	struct clock_glib *c = g_new0(struct clock_glib, 1);

	c->events = events;
	return c;
}

void clock_glib_destroy(struct clock_glib *c)
{
	if (!c)
		return;
	if (c->source)
		g_source_remove(c->source);
	g_free(c);
}

struct clock_port clock_glib_port(struct clock_glib *c)
{
	return (struct clock_port){.ctx = c, .now_ms = now_ms, .set_alarm = set_alarm};
}
