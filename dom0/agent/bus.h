/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent's end of the bus: it registers with qfilexchgd as the one who asks, again whenever the
 * daemon or the bus comes back, and carries its wishes there. Nothing here waits.
 */
#ifndef QFX_AGENT_BUS_H
#define QFX_AGENT_BUS_H

#include <gio/gio.h>

#include "questions.h"

/* All are called from the main loop; none may be NULL. */
struct bus_events {
	void *ctx;
	/* A question; whoever is called owns `q`, and owes one bus_answer for q->call. */
	void (*ask)(void *ctx, struct question *q);
	/* That one needs no answer any more; its call is still to be answered, whatever with. */
	void (*withdraw)(void *ctx, guint64 id);
	/* The signal Notice. */
	void (*notice)(void *ctx, const char *what, GVariant *details);
	/* Something in what bus_list tells has changed. */
	void (*changed)(void *ctx);
	/* The daemon is there, or has gone and all its questions with it. */
	void (*present)(void *ctx, gboolean is_present);
	/* The daemon, or the bus, lets this user not ask. */
	void (*turned_away)(void *ctx, const char *message);
	/* Something the user wanted did not come about; `message` says what and why. */
	void (*failed)(void *ctx, const char *message);
};

enum bus_role {
	BUS_AGENT, /* registers */
	BUS_LIST,  /* only looks on and steers */
};

struct bus;

/* `events` is copied; what its ctx is must outlive the bus. Without a bus it tries again later. */
struct bus *bus_create(enum bus_role role, const struct bus_events *events);
/* Calls that are still to be answered are left so: the daemon asks another agent. Accepts NULL. */
void bus_destroy(struct bus *b);

/* `call` is a question's; it is used up. */
void bus_answer(struct bus *b, gpointer call, gboolean allow);
/* Before bus_answer; `how` as in the interface. */
void bus_remember(struct bus *b, guint64 id, gboolean allow, const char *how);
/* 0 seconds: until unblocked. */
void bus_block(struct bus *b, const char *vm, guint seconds);
void bus_unblock(struct bus *b, const char *vm);
void bus_cancel(struct bus *b, guint64 id);
void bus_destroy_disposable(struct bus *b, const char *name);

/* What there is: aa{sv}, aa{sv} and a(su); NULL for each that the daemon did not tell. */
typedef void (*bus_listed)(
	void *ctx, GVariant *transfers, GVariant *disposables, GVariant *blocked);
/* Ends in one call of `listed`, or in none when the daemon goes or `b` is destroyed. */
void bus_list(struct bus *b, bus_listed listed, void *ctx);

#endif
