/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words for a DisposableVM's states and events: in records, logs and for people. */
#include "dispvm.h"

const char *dispvm_state_name(enum dispvm_state state)
{
	switch (state) {
	case DISPVM_CLEARING:
		return "clearing";
	case DISPVM_PREPARING:
		return "preparing";
	case DISPVM_MAKING:
		return "making";
	case DISPVM_POOLED:
		return "pooled";
	case DISPVM_READY:
		return "ready";
	case DISPVM_OPEN:
		return "open";
	case DISPVM_ANSWERING:
		return "answering";
	case DISPVM_DESTROYING:
		return "destroying";
	case DISPVM_GONE:
		return "gone";
	}
	return "unknown";
}

const char *dispvm_event_name(enum dispvm_event_kind kind)
{
	switch (kind) {
	case DISPVM_EV_PREPARED:
		return "prepared";
	case DISPVM_EV_MADE:
		return "made";
	case DISPVM_EV_FAILED:
		return "failed";
	case DISPVM_EV_ASSIGN:
		return "assign";
	case DISPVM_EV_ATTACHING:
		return "attaching";
	case DISPVM_EV_OPENED:
		return "opened";
	case DISPVM_EV_REQUEST_GONE:
		return "request-gone";
	case DISPVM_EV_ANSWER:
		return "answer";
	case DISPVM_EV_STORED:
		return "stored";
	case DISPVM_EV_ANSWER_GONE:
		return "answer-gone";
	case DISPVM_EV_KILLME:
		return "killme";
	case DISPVM_EV_OPENER_GONE:
		return "opener-gone";
	case DISPVM_EV_VM_GONE:
		return "vm-gone";
	case DISPVM_EV_DISCARD:
		return "discard";
	case DISPVM_EV_DEADLINE:
		return "deadline";
	case DISPVM_EV_DESTROYED:
		return "destroyed";
	}
	return "unknown";
}
