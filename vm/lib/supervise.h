/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What systemd does for us where it runs, decided without it: one worker for each pendrive that
 * comes, ended when the pendrive goes, begun again when it failed. Pure; supervisor.c touches the
 * world.
 *
 *            came                        went, stop
 *   IDLE ----------> WORKING -------------------------> ENDING ---> IDLE, WORKING (a new one came)
 *    ^                |  |  ^                              |
 *    |     ended      |  |  | due                          +-------> over (stop)
 *    +----------------+  +--+---- failed: RESTING
 */
#ifndef QFX_VM_SUPERVISE_H
#define QFX_VM_SUPERVISE_H

#include <stdbool.h>

/* As long as systemd gives the worker to end. */
#define SUPERVISE_END_MS 20000
/* Before the first new try after a failure; each further one waits twice as long, at most ... */
#define SUPERVISE_REST_MS 1000
#define SUPERVISE_REST_MAX_MS 60000

enum supervise_state {
	SUPERVISE_IDLE,    /* nothing to do: no pendrive, or its worker has ended well */
	SUPERVISE_WORKING, /* the worker of the pendrive runs */
	SUPERVISE_ENDING,  /* it was told to end, and has a deadline */
	SUPERVISE_RESTING, /* it failed, and the pendrive is still there */
	SUPERVISE_OVER,
};

enum supervise_event {
	SUPERVISE_CAME,   /* the device is there */
	SUPERVISE_WENT,   /* the device is not there any more */
	SUPERVISE_ENDED,  /* the worker ended, and said that all is well */
	SUPERVISE_FAILED, /* the worker ended in another way, or could not be started */
	SUPERVISE_DUE,    /* the time that was asked for is over */
	SUPERVISE_STOP,   /* the supervisor is to end */
};

struct supervise {
	enum supervise_state state;
	bool present;      /* the device is there */
	bool fresh;        /* it came after the worker was told to end */
	bool stop;         /* end when the worker has */
	unsigned failures; /* in a row, of one pendrive */
};

enum supervise_action {
	SUPERVISE_NOTHING,
	SUPERVISE_START,
	SUPERVISE_TERMINATE,
	SUPERVISE_KILL,
	SUPERVISE_QUIT,
};

/* Leaves the timer as it is. */
#define SUPERVISE_KEEP_TIMER (-1)

/* The action comes first, then the timer: 0 stops it, more sets it, in place of the one before. */
struct supervise_step {
	enum supervise_action action;
	int timer_ms;
};

/* A zeroed struct supervise is the beginning. Any event may come in any state. */
struct supervise_step supervise_step(struct supervise *supervise, enum supervise_event event);

#endif
