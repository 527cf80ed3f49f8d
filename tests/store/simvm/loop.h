/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop of simvm: file descriptors by epoll, timers, and tasks that run before the next
 * wait. One thread; a handler may destroy any source, timer or task, its own included.
 */
#ifndef QFX_SIMVM_LOOP_H
#define QFX_SIMVM_LOOP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop_source {
	int fd; /* -1: not in the loop */
	void (*on_ready)(void *owner, uint32_t events);
	void *owner;
};

struct loop_timer {
	void (*on_time)(void *owner);
	void *owner;
	int64_t due_us; /* g_get_monotonic_time() */
	GList *link;    /* timers; NULL: not armed */
};

/* Work to be done once, soon, however often it was asked for. */
struct loop_task {
	void (*run)(void *owner);
	void *owner;
	GList *link; /* tasks; NULL: not queued */
};

void loop_init(void);

/* The source takes fd; loop_remove closes it. */
void loop_add(struct loop_source *source, int fd, uint32_t events);
void loop_change(struct loop_source *source, uint32_t events);
void loop_remove(struct loop_source *source);

void loop_arm(struct loop_timer *timer, int64_t delay_ms);
void loop_disarm(struct loop_timer *timer);

void loop_queue(struct loop_task *task);
void loop_unqueue(struct loop_task *task);

/* Runs until loop_stop. */
void loop_run(void);
void loop_stop(void);

#endif
