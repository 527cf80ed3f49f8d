/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the history is told: who decided what about a pendrive, and how a pendrive or a DisposableVM
 * ended. It is read from the step that made it so, and from nothing else; so each of these is told
 * once, however often the daemon is restarted. Pure.
 */
#ifndef QFX_AUDIT_H
#define QFX_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "dispvm.h"
#include "transfer.h"

enum audit_decision {
	AUDIT_ALLOWED,
	AUDIT_REFUSED,
	AUDIT_EXPIRED,   /* nobody answered in time */
	AUDIT_CANCELLED, /* taken back in dom0 before anybody answered */
};

enum audit_by {
	AUDIT_BY_POLICY,      /* a rule, or that none matches */
	AUDIT_BY_AGENT,       /* the user, who was asked */
	AUDIT_BY_USER,        /* the user of dom0, unasked: `qfilexchgctl cancel` and the like */
	AUDIT_BY_TIMEOUT,     /* the question's */
	AUDIT_BY_BLOCK,       /* the sender is blocked */
	AUDIT_BY_LIMIT,       /* the sender had the user asked too often */
	AUDIT_BY_NO_RECEIVER, /* no VM of that name runs, or it can receive nothing */
};

struct audit_verdict {
	enum audit_decision decision;
	enum audit_by by;
	bool uid_known; /* AUDIT_BY_AGENT: whose agent it was */
	uint32_t uid;
};

enum audit_result {
	/* of a pendrive */
	AUDIT_END_DELIVERED,   /* the reason tells how the receiver ended with it */
	AUDIT_END_REFUSED,     /* why, says the decision */
	AUDIT_END_EXPIRED,     /* nobody answered in time */
	AUDIT_END_CANCELLED,   /* taken back in dom0 */
	AUDIT_END_GIVEN_UP,    /* by its sender */
	AUDIT_END_UNSENT,      /* its sender kept it too long */
	AUDIT_END_SENDER_GONE, /* its sender stopped, and it was not promised to anybody yet */
	AUDIT_END_FAILED,      /* the reason is a reply's word, or "device" */
	/* of a DisposableVM; cancelled and failed are told of these as well */
	AUDIT_END_SAVED,       /* its opener stored its answer */
	AUDIT_END_UNCHANGED,   /* it asked to go, without an answer */
	AUDIT_END_LOST,        /* it ended before its answer was stored */
	AUDIT_END_OPENER_GONE, /* its opener stopped */
};

struct audit_end {
	enum audit_result result;
	const char *reason; /* a static word; NULL: none */
};

enum audit_event {
	AUDIT_DECIDED,      /* what becomes of a pendrive */
	AUDIT_ENDED,        /* a pendrive is on its way out of the world */
	AUDIT_DISPVM_ENDED, /* likewise a DisposableVM that had an opener */
};

/* One entry. What it points to is the caller's. */
struct audit_entry {
	enum audit_event event;
	const struct transfer *transfer; /* AUDIT_DISPVM_ENDED: NULL */
	const struct dispvm *dispvm;     /* AUDIT_DISPVM_ENDED alone */
	struct audit_verdict verdict;    /* AUDIT_DECIDED */
	struct audit_end end;            /* the other two */
	const char
		*rule; /* AUDIT_DECIDED: the rule that decided, or that said to ask; NULL: none */
	/* -1 where they are not known. */
	int64_t used_bytes; /* allocated in the image at that time */
	int64_t asked_ms;   /* AUDIT_DECIDED: from the question to its end */
	int64_t total_ms;   /* the other two: from the request, or the VM's start, to the end */
};

/*
 * Whether a step decided about a question, or took the decision back that had been made before:
 * from `before`, the transfer as it was, by `event`. What is decided when it is sent is not told
 * here.
 */
bool audit_decided(const struct transfer *before, const struct transfer_event *event,
	struct audit_verdict *out);
/* Whether a step, from `before` to `after` by `event`, began the end of a transfer. */
bool audit_ended(const struct transfer *before, const struct transfer_event *event,
	const struct transfer *after, struct audit_end *out);
/* Likewise of a DisposableVM. False for one that had no opener: nobody's file was in it. */
bool audit_dispvm_ended(const struct dispvm *before, const struct dispvm_event *event,
	const struct dispvm *after, struct audit_end *out);

/* Lower-case words for people and programs: "no-receiver". */
const char *audit_event_name(enum audit_event event);
const char *audit_decision_name(enum audit_decision decision);
const char *audit_by_name(enum audit_by by);
const char *audit_result_name(enum audit_result result);

#endif
