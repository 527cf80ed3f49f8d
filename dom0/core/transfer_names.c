/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words for states and events: in records, logs and for people. */
#include "transfer.h"

const char *transfer_state_name(enum transfer_state state)
{
	switch (state) {
	case TRANSFER_MAKING:
		return "making";
	case TRANSFER_ATTACHING_OUT:
		return "attaching-out";
	case TRANSFER_LENT:
		return "lent";
	case TRANSFER_FREEZING:
		return "freezing";
	case TRANSFER_ASKING:
		return "asking";
	case TRANSFER_STARTING_VM:
		return "starting-vm";
	case TRANSFER_QUEUED:
		return "queued";
	case TRANSFER_ATTACHING_IN:
		return "attaching-in";
	case TRANSFER_DELIVERED:
		return "delivered";
	case TRANSFER_TAKING_BACK:
		return "taking-back";
	case TRANSFER_REFUSING:
		return "refusing";
	case TRANSFER_DISCARDING:
		return "discarding";
	case TRANSFER_GONE:
		return "gone";
	}
	return "unknown";
}

const char *transfer_event_name(enum transfer_event_kind kind)
{
	switch (kind) {
	case TRANSFER_EV_MADE:
		return "made";
	case TRANSFER_EV_MAKE_FAILED:
		return "make-failed";
	case TRANSFER_EV_ATTACHED:
		return "attached";
	case TRANSFER_EV_LOST:
		return "lost";
	case TRANSFER_EV_SEND:
		return "send";
	case TRANSFER_EV_DETACHED:
		return "detached";
	case TRANSFER_EV_YES:
		return "yes";
	case TRANSFER_EV_NO:
		return "no";
	case TRANSFER_EV_VM_STARTING:
		return "vm-starting";
	case TRANSFER_EV_VM_READY:
		return "vm-ready";
	case TRANSFER_EV_VM_FAILED:
		return "vm-failed";
	case TRANSFER_EV_SLOT_FREE:
		return "slot-free";
	case TRANSFER_EV_DISCARD:
		return "discard";
	case TRANSFER_EV_UMOUNT:
		return "umount";
	case TRANSFER_EV_SENDER_GONE:
		return "sender-gone";
	case TRANSFER_EV_RECEIVER_GONE:
		return "receiver-gone";
	case TRANSFER_EV_DEADLINE:
		return "deadline";
	case TRANSFER_EV_CANCEL:
		return "cancel";
	case TRANSFER_EV_REMOVED:
		return "removed";
	}
	return "unknown";
}
