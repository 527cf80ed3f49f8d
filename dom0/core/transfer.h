/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One pendrive's life, from `new` to its removal, as a pure state machine: a state and an event
 * give the next state and what is to be done. It touches nothing and knows no clock but the `now`
 * it is told.
 *
 *   MAKING -> ATTACHING_OUT -> LENT -> FREEZING -> ASKING -> [QUEUED] -> ATTACHING_IN -> DELIVERED
 *                                                    |                                       |
 *                                                 REFUSING                              TAKING_BACK
 *                                                    |                                       |
 *   any failure  ------------------------------> DISCARDING  <-------------------------------+
 *                                                    |
 *                                                  GONE
 *
 * A transaction's request waits in STARTING_VM for its DisposableVM instead of being asked about;
 * its answer goes from FREEZING straight on.
 *
 * FREEZING stands before ASKING so that what the user says yes to can no longer change.
 * REFUSING keeps a no back until the question would have expired, and the image with it: see
 * `hide_refusals`.
 * A sender may give its pendrive up at every moment before it is delivered. Its `discard` is
 * answered when the pendrive is out of every VM's reach, and no later: a removal takes the longer
 * the more is on it.
 * A sender's death ends the transfer until the user said yes, and no longer from then on.
 */
#ifndef QFX_TRANSFER_H
#define QFX_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include "qpen_contract.h"
#include "qpen_reply.h"
#include "request.h"

enum transfer_state {
	TRANSFER_MAKING,        /* the image is being made */
	TRANSFER_ATTACHING_OUT, /* waiting for the sender's front end */
	TRANSFER_LENT,          /* the sender fills it */
	TRANSFER_FREEZING,      /* being taken from the sender */
	TRANSFER_ASKING,        /* out of every VM's reach, the user decides */
	TRANSFER_STARTING_VM,   /* likewise, the DisposableVM that it is for is being made */
	TRANSFER_QUEUED,        /* the user said yes; the receiver's slot is taken */
	TRANSFER_ATTACHING_IN,  /* waiting for the receiver's front end */
	TRANSFER_DELIVERED,     /* the receiver reads it */
	TRANSFER_TAKING_BACK,   /* being taken from the receiver */
	TRANSFER_REFUSING,      /* refused, but the sender is not told yet */
	TRANSFER_DISCARDING,    /* being taken from whoever has it, and removed */
	TRANSFER_GONE,          /* nothing is left of it; to be forgotten */
};
#define TRANSFER_N_STATES 13

/* What is on it; decides what `send` has to pass. */
enum transfer_kind {
	TRANSFER_FILES,   /* an ordinary pendrive: the user is asked */
	TRANSFER_REQUEST, /* one file for a DisposableVM */
	TRANSFER_ANSWER,  /* the file back to its opener */
};

/* Which VM can reach the image. A single value, so that it can never be two. */
enum transfer_place {
	TRANSFER_NOWHERE,
	TRANSFER_AT_SENDER,
	TRANSFER_AT_RECEIVER,
};

/* A VM's identity, as Xen and libxl have it: nothing of this comes from the VM. */
struct vm_id {
	uint32_t domid;
	char uuid[37];
	char name[QPEN_NAME_MAX + 1];
};

/* A request that still has to be answered. */
struct pending_reply {
	bool pending;
	char id[QPEN_ID_MAX + 1];
};

/* 32 hex digits. */
#define TRANSFER_IMAGE_NAME_MAX 32u

struct transfer {
	uint64_t id; /* unique among the living; what qfilexchgctl shows */
	enum transfer_state state;
	enum transfer_place place;
	char image[TRANSFER_IMAGE_NAME_MAX + 1]; /* the image's file name in the store */
	uint64_t size_bytes;                     /* what the sender sees; without the guards */
	enum pendrive_format format;
	struct vm_id sender;
	bool sender_alive;
	struct vm_id receiver;   /* domid and uuid are set when `receiver_known` */
	bool receiver_known;     /* false: no VM of that name runs, and the user is not asked */
	enum transfer_kind kind; /* TRANSFER_FILES until `send` says otherwise */
	bool ask;                /* the user of dom0 decides; else it goes on without a question */
	bool quiet;              /* nor is the user told how it ended */
	char seq[QPEN_SEQ_MAX + 1];
	bool view;                        /* TRANSFER_REQUEST: no answer is wanted */
	struct pending_reply to_sender;   /* `new`, then `send`; of what was given up, `discard` */
	struct pending_reply to_receiver; /* `umount` */
	bool making;                      /* the image store still works on the image */
	bool removed;                     /* the image store has removed it */
	bool forced;                      /* the polite detach was given up */
	int64_t started_ms;
	int64_t deadline_ms; /* when DEADLINE comes; every state has one but GONE */
};

enum transfer_event_kind {
	TRANSFER_EV_MADE,
	TRANSFER_EV_MAKE_FAILED, /* `error` says how */
	TRANSFER_EV_ATTACHED,
	TRANSFER_EV_LOST, /* it could not be attached, or was detached by somebody else */
	/* The sender asked; `request`, `as`, `receiver`, `receiver_known`, `ask`, `quiet`,
	 * `preparing` are set.
	 */
	TRANSFER_EV_SEND,
	/* The nodes are gone and nobody holds the loop device; where nobody is asked, `slot` tells
	 * of the receiver's slot. */
	TRANSFER_EV_DETACHED,
	TRANSFER_EV_YES, /* the user said yes; `slot` tells of the receiver's slot */
	TRANSFER_EV_NO,
	TRANSFER_EV_VM_STARTING, /* the save file is there, the DisposableVM is being made */
	TRANSFER_EV_VM_READY,    /* it is there, paused: `receiver` */
	TRANSFER_EV_VM_FAILED,   /* it could not be made; `error` says how */
	TRANSFER_EV_SLOT_FREE,   /* the queued one is next */
	TRANSFER_EV_UMOUNT,      /* the receiver asked; `request` is set */
	TRANSFER_EV_SENDER_GONE,
	TRANSFER_EV_RECEIVER_GONE,
	TRANSFER_EV_DEADLINE,
	TRANSFER_EV_CANCEL,  /* the user of dom0 takes it back */
	TRANSFER_EV_DISCARD, /* the sender gives it up; `request` is set */
	TRANSFER_EV_REMOVED,
};
#define TRANSFER_N_EVENTS 19

enum transfer_slot {
	TRANSFER_SLOT_FREE,
	TRANSFER_SLOT_TAKEN,
	TRANSFER_SLOT_QUEUE_FULL,
};

struct transfer_event {
	enum transfer_event_kind kind;
	enum transfer_place place; /* ATTACHED, LOST, DETACHED: whose disk it was */
	enum qpen_error error;
	enum transfer_slot slot;
	const struct request *request;
	enum transfer_kind as;
	const struct vm_id *receiver;
	bool receiver_known;
	bool ask, quiet;
	bool preparing; /* the save file has to be made first */
	/* Who said so, for the history alone. YES, NO: whose agent; NO, CANCEL: or a block. */
	bool by_block, uid_known;
	uint32_t uid;
};

enum transfer_action_kind {
	TRANSFER_ACT_MAKE,         /* make the image */
	TRANSFER_ACT_ATTACH,       /* attach it to the VM that `place` names */
	TRANSFER_ACT_DETACH,       /* ask the VM to let go */
	TRANSFER_ACT_DETACH_FORCE, /* take it without asking */
	TRANSFER_ACT_ABANDON, /* stop waiting for the detach; the kernel frees it when it can */
	TRANSFER_ACT_ASK,
	TRANSFER_ACT_WITHDRAW,       /* the question needs no answer any more */
	TRANSFER_ACT_WAIT,           /* tell the sender what it waits for: `wait` */
	TRANSFER_ACT_REPLY_SENDER,   /* the final answer: `error`, or ok with `detail` */
	TRANSFER_ACT_REPLY_RECEIVER, /* likewise */
	TRANSFER_ACT_REPLY_DISCARD,  /* to the sender: the ok of its `discard` */
	/* The DisposableVM has the file. The sender's request is not answered yet: that is now up
	 * to the transaction (dispvm.h), to which to_sender's ID goes over. */
	TRANSFER_ACT_OPENED,
	TRANSFER_ACT_REMOVE, /* remove the image */
};

struct transfer_action {
	enum transfer_action_kind kind;
	bool ok;
	enum qpen_error error;
	enum qpen_wait wait;
	const char *detail; /* static or of the transfer; with ok and wait: DETAIL, else TEXT */
	char id[QPEN_ID_MAX + 1]; /* of a reply: the request that it is for */
};

/* The longest list that one step can give, with room to see that it was not outgrown. */
#define TRANSFER_ACTIONS_MAX 6

struct transfer_step {
	bool ignored; /* a late or foreign completion: nothing was changed */
	unsigned n_actions;
	struct transfer_action actions[TRANSFER_ACTIONS_MAX];
};

/* How long each state may last, and what the user chose about refusals. All above 0. */
struct transfer_limits {
	int64_t make_ms;
	int64_t attach_ms;    /* until the VM's front end is connected */
	int64_t lent_ms;      /* how long a VM may keep a pendrive before it sends it */
	int64_t detach_ms;    /* until a VM lets go when asked */
	int64_t force_ms;     /* until the kernel lets go after that */
	int64_t ask_ms;       /* until a question expires */
	int64_t start_ms;     /* until a DisposableVM is there, and until it has its pendrive */
	int64_t queue_ms;     /* how long a pendrive waits for its receiver's slot */
	int64_t delivered_ms; /* how long a receiver may keep one */
	int64_t remove_ms;    /* until a removal is asked for again */
	bool hide_refusals;   /* tell of every refusal when the question expires, so that a no, no
				 answer and no such VM cannot be told apart */
};

/* The start of a life: `t` is zeroed but for id, image, sender, size, format and to_sender. */
void transfer_start(struct transfer *t, const struct transfer_limits *limits, int64_t now_ms,
	struct transfer_step *out);

/* The one place where states change. `out` is always filled in. */
void transfer_step(struct transfer *t, const struct transfer_event *event,
	const struct transfer_limits *limits, int64_t now_ms, struct transfer_step *out);

/*
 * After a restart of the daemon: what has to be done again to go on from t's state, as its record
 * has it. Every action is idempotent in its port, so nothing depends on where the daemon died.
 */
void transfer_resume(struct transfer *t, const struct transfer_limits *limits, int64_t now_ms,
	struct transfer_step *out);

/* Lower-case words for people and records: "attaching-out". */
const char *transfer_state_name(enum transfer_state state);
const char *transfer_event_name(enum transfer_event_kind kind);

/*
 * Whether a `discard` of t's sender can mean t: what was delivered is its no more, and what is out
 * of its reach and on its way off the disk is gone already. `of`: the ID of t's `new` or `send`, or
 * empty for any; an answered request is known by its ID until the daemon ends.
 */
bool transfer_can_be_given_up(const struct transfer *t, const char *of);

/* The slots that t occupies, by its state: the sender's outgoing, the receiver's incoming. */
bool transfer_holds_outgoing(const struct transfer *t);
bool transfer_holds_incoming(const struct transfer *t);

#endif
