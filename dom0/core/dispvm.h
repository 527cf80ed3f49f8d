/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One DisposableVM's life, from the wish for it to its removal, and with it the transaction that it
 * was made for: a pure state machine, as transfer.h is for one pendrive.
 *
 *   [CLEARING] -> [PREPARING] -> MAKING -> [POOLED] -> READY -> OPEN <-> ANSWERING -> DESTROYING ->
 * GONE
 *
 * The file reaches it, and its answer the opener, by a transfer each, which this machine knows by
 * their ids. It is destroyed when its answer is stored, when it asks for that without an answer,
 * when its opener is gone or when it has ended itself; while an answer is on its way, not before
 * that has arrived or failed.
 */
#ifndef QFX_DISPVM_H
#define QFX_DISPVM_H

#include <stdbool.h>
#include <stdint.h>

#include "transfer.h"

enum dispvm_state {
	DISPVM_CLEARING,  /* what a former daemon had begun to make of it is being removed */
	DISPVM_PREPARING, /* the save file is being made */
	DISPVM_MAKING,    /* it is being made */
	DISPVM_POOLED,    /* there and paused, for whoever needs one next */
	DISPVM_READY,     /* there and paused, or just starting: its pendrive is on its way to it */
	DISPVM_OPEN,      /* it has the file */
	DISPVM_ANSWERING, /* its answer is on its way to the opener */
	DISPVM_DESTROYING, /* being destroyed */
	DISPVM_GONE,       /* nothing is left of it; to be forgotten */
};
#define DISPVM_N_STATES 9

struct dispvm {
	uint64_t number; /* the N of dispN; of no other that is known */
	enum dispvm_state state;
	struct vm_id id; /* domid 0 until it is made */
	char label[QPEN_LABEL_MAX + 1];
	struct vm_id opener; /* uuid empty: of the pool, and nobody's yet */
	char seq[QPEN_SEQ_MAX + 1];
	bool view;        /* no answer will be taken */
	uint64_t request; /* the transfer that brings it the file; 0: none */
	bool kill_asked;  /* it wants to go as soon as its answer is safe, or has ended */
	uint64_t answer;  /* the transfer of its answer; 0: none is under way */
	struct pending_reply to_opener; /* the opener's `send disposable`, once it is open */
	int64_t started_ms;
	int64_t deadline_ms;
};

enum dispvm_event_kind {
	DISPVM_EV_PREPARED,
	DISPVM_EV_MADE,   /* `domid` */
	DISPVM_EV_FAILED, /* it, or the save file, could not be made, or it could not run: `error`
			   */
	DISPVM_EV_ASSIGN, /* of the pool: `opener`, `request`, `transfer` are set */
	DISPVM_EV_ATTACHING,    /* the request's device nodes are there */
	DISPVM_EV_OPENED,       /* it has connected to it; `reply` is the opener's request */
	DISPVM_EV_REQUEST_GONE, /* the request's transfer ended */
	DISPVM_EV_ANSWER,       /* it sends the answer: `transfer` */
	DISPVM_EV_STORED,       /* the opener has stored it */
	DISPVM_EV_ANSWER_GONE,  /* the answer's transfer ended without that */
	DISPVM_EV_KILLME,
	DISPVM_EV_OPENER_GONE,
	DISPVM_EV_VM_GONE, /* it has shut down, crashed, or was destroyed by somebody else */
	DISPVM_EV_DISCARD, /* the user of dom0 wants it gone, or the host needs its memory */
	DISPVM_EV_DEADLINE,
	DISPVM_EV_DESTROYED, /* nothing of it is there any more; `prepared` is set */
};
#define DISPVM_N_EVENTS 16

struct dispvm_event {
	enum dispvm_event_kind kind;
	enum qpen_error error;
	uint32_t domid;
	uint64_t transfer;
	bool prepared;
	const struct vm_id *opener;
	const struct request *request;
	const struct pending_reply *reply;
};

enum dispvm_action_kind {
	DISPVM_ACT_PREPARE,       /* have the save file made */
	DISPVM_ACT_MAKE,          /* make the VM */
	DISPVM_ACT_UNPAUSE,       /* let it run */
	DISPVM_ACT_DESTROY,       /* remove it */
	DISPVM_ACT_TELL_STARTING, /* tell the request's transfer that it is being made */
	DISPVM_ACT_TELL_READY,    /* ... that it is there */
	DISPVM_ACT_TELL_FAILED,   /* ... that there will be none: `error` */
	DISPVM_ACT_REPLY,         /* the final answer to the opener: `error`, or ok with `detail` */
};

struct dispvm_action {
	enum dispvm_action_kind kind;
	bool ok;
	enum qpen_error error;
	const char *detail; /* static; with ok: DETAIL, else TEXT */
};

/* The longest list that one step can give, with room to see that it was not outgrown. */
#define DISPVM_ACTIONS_MAX 4

struct dispvm_step {
	bool ignored; /* late or foreign news: nothing was changed */
	unsigned n_actions;
	struct dispvm_action actions[DISPVM_ACTIONS_MAX];
};

/* All above 0. */
struct dispvm_limits {
	int64_t prepare_ms; /* until the save file must be there */
	int64_t make_ms;    /* until the VM must be there */
	int64_t life_ms;    /* how long one may live, in the pool as well */
	int64_t destroy_ms; /* until a removal is asked for again */
	unsigned max_per_opener;
	unsigned max_total; /* the pool's included */
	unsigned pool;      /* how many wait paused; 0: none */
};

/*
 * The start of a life: `d` is zeroed but for number, id (without domid) and label. `assign` gives
 * opener, request and transfer; NULL: for the pool. `prepared`: the save file is there.
 */
void dispvm_start(struct dispvm *d, const struct dispvm_event *assign, bool prepared,
	const struct dispvm_limits *limits, int64_t now_ms, struct dispvm_step *out);

/* The one place where states change. `out` is always filled in. */
void dispvm_step(struct dispvm *d, const struct dispvm_event *event,
	const struct dispvm_limits *limits, int64_t now_ms, struct dispvm_step *out);

/* After a restart of the daemon: what has to be done again, as transfer_resume. */
void dispvm_resume(struct dispvm *d, const struct dispvm_limits *limits, int64_t now_ms,
	struct dispvm_step *out);

/* Whether its VM should be there now, so that a look which does not find it tells of its end. */
bool dispvm_should_run(const struct dispvm *d);

/*
 * Whether `request`, made by d's VM, is the answer that d may give: to that opener, with that SEQ,
 * once, and not if the file was only to be looked at.
 */
bool dispvm_may_answer(const struct dispvm *d, const struct request *request);

/* Lower-case words for people and records. */
const char *dispvm_state_name(enum dispvm_state state);
const char *dispvm_event_name(enum dispvm_event_kind kind);

#endif
