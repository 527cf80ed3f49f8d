/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "audit.h"

#include <stddef.h>

#include "qpen_reply.h"

/* ---- decisions ---- */

static bool decide(struct audit_verdict *out, enum audit_decision decision, enum audit_by by)
{
	*out = (struct audit_verdict){.decision = decision, .by = by};
	return true;
}

static bool decided_by_user(const struct transfer_event *event, enum audit_decision decision,
	enum audit_by by, struct audit_verdict *out)
{
	if (event->by_block)
		return decide(out, AUDIT_REFUSED, AUDIT_BY_BLOCK);
	*out = (struct audit_verdict){
		.decision = decision, .by = by, .uid_known = event->uid_known, .uid = event->uid};
	return true;
}

static bool decided_while_asked(const struct transfer_event *event, struct audit_verdict *out)
{
	switch (event->kind) {
	case TRANSFER_EV_YES:
		return decided_by_user(event, AUDIT_ALLOWED, AUDIT_BY_AGENT, out);
	case TRANSFER_EV_NO:
		return decided_by_user(event, AUDIT_REFUSED, AUDIT_BY_AGENT, out);
	case TRANSFER_EV_CANCEL:
		return decided_by_user(event, AUDIT_CANCELLED, AUDIT_BY_USER, out);
	case TRANSFER_EV_DEADLINE:
		return decide(out, AUDIT_EXPIRED, AUDIT_BY_TIMEOUT);
	case TRANSFER_EV_RECEIVER_GONE:
		return decide(out, AUDIT_REFUSED, AUDIT_BY_NO_RECEIVER);
	case TRANSFER_EV_MADE:
	case TRANSFER_EV_MAKE_FAILED:
	case TRANSFER_EV_ATTACHED:
	case TRANSFER_EV_LOST:
	case TRANSFER_EV_SEND:
	case TRANSFER_EV_DETACHED:
	case TRANSFER_EV_VM_STARTING:
	case TRANSFER_EV_VM_READY:
	case TRANSFER_EV_VM_FAILED:
	case TRANSFER_EV_SLOT_FREE:
	case TRANSFER_EV_UMOUNT:
	case TRANSFER_EV_SENDER_GONE:
	case TRANSFER_EV_DISCARD:
	case TRANSFER_EV_REMOVED:
		return false; /* it ends undecided, or the question stands */
	}
	return false;
}

/*
 * On its way to the question, or past it by a rule. Files are then refused as if there were no such
 * VM; a second time changes nothing.
 */
static bool decided_while_frozen(const struct transfer *before, const struct transfer_event *event,
	struct audit_verdict *out)
{
	bool files = before->kind == TRANSFER_FILES && before->receiver_known;
	bool to_be_asked = before->kind == TRANSFER_REQUEST && before->ask;

	if (event->kind == TRANSFER_EV_CANCEL && (files || to_be_asked))
		return decided_by_user(event, AUDIT_CANCELLED, AUDIT_BY_USER, out);
	if (event->kind == TRANSFER_EV_RECEIVER_GONE && files)
		return decide(out, AUDIT_REFUSED, AUDIT_BY_NO_RECEIVER);
	return false;
}

bool audit_decided(const struct transfer *before, const struct transfer_event *event,
	struct audit_verdict *out)
{
	if (before->state == TRANSFER_ASKING)
		return decided_while_asked(event, out);
	if (before->state == TRANSFER_FREEZING)
		return decided_while_frozen(before, event, out);
	return false;
}

/* ---- the end of a transfer ---- */

static bool is_over(const struct transfer *t)
{
	return t->state == TRANSFER_DISCARDING || t->state == TRANSFER_GONE;
}

static struct audit_end end(enum audit_result result)
{
	return (struct audit_end){.result = result};
}

static struct audit_end failed(const char *reason)
{
	return (struct audit_end){.result = AUDIT_END_FAILED, .reason = reason};
}

static struct audit_end failed_error(enum qpen_error error)
{
	if (error == QPEN_ERROR_CANCELLED)
		return end(AUDIT_END_CANCELLED);
	return failed(qpen_error_name(error));
}

static struct audit_end delivered(const struct transfer *before, const struct transfer_event *event)
{
	struct audit_end out = {.result = AUDIT_END_DELIVERED, .reason = "taken-back"};

	if (event->kind == TRANSFER_EV_RECEIVER_GONE)
		out.reason = "receiver-gone";
	else if (before->to_receiver.pending)
		out.reason = "returned";
	return out;
}

static struct audit_end at_deadline(const struct transfer *before)
{
	if (before->state == TRANSFER_ASKING)
		return end(AUDIT_END_EXPIRED);
	if (before->state == TRANSFER_LENT)
		return end(AUDIT_END_UNSENT);
	return failed(qpen_error_name(QPEN_ERROR_TIMEOUT));
}

/* It ended before anybody had it, and was not refused before. */
static struct audit_end undelivered(
	const struct transfer *before, const struct transfer_event *event)
{
	bool asking = before->state == TRANSFER_ASKING;

	switch (event->kind) {
	case TRANSFER_EV_SENDER_GONE:
		return end(AUDIT_END_SENDER_GONE);
	case TRANSFER_EV_DISCARD:
		return end(AUDIT_END_GIVEN_UP);
	case TRANSFER_EV_NO:
		return end(AUDIT_END_REFUSED);
	case TRANSFER_EV_CANCEL:
		return end(asking ? AUDIT_END_REFUSED : AUDIT_END_CANCELLED);
	case TRANSFER_EV_RECEIVER_GONE:
		return asking ? end(AUDIT_END_REFUSED)
			      : failed(qpen_error_name(QPEN_ERROR_RECEIVER_GONE));
	case TRANSFER_EV_DEADLINE:
		return at_deadline(before);
	case TRANSFER_EV_MAKE_FAILED:
	case TRANSFER_EV_VM_FAILED:
		return failed_error(event->error);
	case TRANSFER_EV_LOST:
		return failed("device");
	case TRANSFER_EV_DETACHED:
		if (before->kind == TRANSFER_FILES && !before->receiver_known)
			return end(AUDIT_END_REFUSED);
		return failed(qpen_error_name(QPEN_ERROR_QUEUE_FULL));
	case TRANSFER_EV_YES:
		return failed(qpen_error_name(QPEN_ERROR_QUEUE_FULL));
	case TRANSFER_EV_MADE:
	case TRANSFER_EV_ATTACHED:
	case TRANSFER_EV_SEND:
	case TRANSFER_EV_VM_STARTING:
	case TRANSFER_EV_VM_READY:
	case TRANSFER_EV_SLOT_FREE:
	case TRANSFER_EV_UMOUNT:
	case TRANSFER_EV_REMOVED:
		break; /* these end nothing */
	}
	return failed(qpen_error_name(QPEN_ERROR_FAILED));
}

bool audit_ended(const struct transfer *before, const struct transfer_event *event,
	const struct transfer *after, struct audit_end *out)
{
	if (is_over(before) || !is_over(after))
		return false;
	if (before->state == TRANSFER_DELIVERED || before->state == TRANSFER_TAKING_BACK)
		*out = delivered(before, event);
	else if (before->state == TRANSFER_REFUSING)
		*out = end(AUDIT_END_REFUSED);
	else
		*out = undelivered(before, event);
	return true;
}

/* ---- the end of a DisposableVM ---- */

static bool dispvm_is_over(const struct dispvm *d)
{
	return d->state == DISPVM_DESTROYING || d->state == DISPVM_GONE;
}

static struct audit_end dispvm_opened(const struct dispvm_event *event)
{
	switch (event->kind) {
	case DISPVM_EV_STORED:
		return end(AUDIT_END_SAVED);
	case DISPVM_EV_KILLME:
		return end(AUDIT_END_UNCHANGED);
	case DISPVM_EV_DISCARD:
		return end(AUDIT_END_CANCELLED);
	case DISPVM_EV_OPENER_GONE:
		return end(AUDIT_END_OPENER_GONE);
	case DISPVM_EV_PREPARED:
	case DISPVM_EV_MADE:
	case DISPVM_EV_FAILED:
	case DISPVM_EV_ASSIGN:
	case DISPVM_EV_ATTACHING:
	case DISPVM_EV_OPENED:
	case DISPVM_EV_REQUEST_GONE:
	case DISPVM_EV_ANSWER:
	case DISPVM_EV_ANSWER_GONE:
	case DISPVM_EV_VM_GONE:
	case DISPVM_EV_DEADLINE:
	case DISPVM_EV_DESTROYED:
		break;
	}
	return end(AUDIT_END_LOST);
}

static struct audit_end dispvm_unopened(const struct dispvm_event *event)
{
	switch (event->kind) {
	case DISPVM_EV_OPENER_GONE:
		return end(AUDIT_END_OPENER_GONE);
	case DISPVM_EV_DISCARD:
		return end(AUDIT_END_CANCELLED);
	case DISPVM_EV_DEADLINE:
		return failed(qpen_error_name(QPEN_ERROR_TIMEOUT));
	case DISPVM_EV_FAILED:
		return failed_error(event->error);
	case DISPVM_EV_VM_GONE:
		return failed(qpen_error_name(QPEN_ERROR_LOST));
	case DISPVM_EV_REQUEST_GONE:
		return failed("request-gone"); /* how, says the end of the pendrive */
	case DISPVM_EV_PREPARED:
	case DISPVM_EV_MADE:
	case DISPVM_EV_ASSIGN:
	case DISPVM_EV_ATTACHING:
	case DISPVM_EV_OPENED:
	case DISPVM_EV_ANSWER:
	case DISPVM_EV_STORED:
	case DISPVM_EV_ANSWER_GONE:
	case DISPVM_EV_KILLME:
	case DISPVM_EV_DESTROYED:
		break;
	}
	return failed(qpen_error_name(QPEN_ERROR_FAILED));
}

bool audit_dispvm_ended(const struct dispvm *before, const struct dispvm_event *event,
	const struct dispvm *after, struct audit_end *out)
{
	if (!before->opener.uuid[0] || dispvm_is_over(before) || !dispvm_is_over(after))
		return false;
	if (before->state == DISPVM_OPEN || before->state == DISPVM_ANSWERING)
		*out = dispvm_opened(event);
	else
		*out = dispvm_unopened(event);
	return true;
}

/* ---- words ---- */

const char *audit_event_name(enum audit_event event)
{
	switch (event) {
	case AUDIT_DECIDED:
		return "decision";
	case AUDIT_ENDED:
		return "end";
	case AUDIT_DISPVM_ENDED:
		return "disposable-end";
	}
	return "?";
}

const char *audit_decision_name(enum audit_decision decision)
{
	switch (decision) {
	case AUDIT_ALLOWED:
		return "allowed";
	case AUDIT_REFUSED:
		return "refused";
	case AUDIT_EXPIRED:
		return "expired";
	case AUDIT_CANCELLED:
		return "cancelled";
	}
	return "?";
}

const char *audit_by_name(enum audit_by by)
{
	switch (by) {
	case AUDIT_BY_POLICY:
		return "policy";
	case AUDIT_BY_AGENT:
		return "agent";
	case AUDIT_BY_USER:
		return "user";
	case AUDIT_BY_TIMEOUT:
		return "timeout";
	case AUDIT_BY_BLOCK:
		return "block";
	case AUDIT_BY_LIMIT:
		return "limit";
	case AUDIT_BY_NO_RECEIVER:
		return "no-receiver";
	}
	return "?";
}

const char *audit_result_name(enum audit_result result)
{
	switch (result) {
	case AUDIT_END_DELIVERED:
		return "delivered";
	case AUDIT_END_REFUSED:
		return "refused";
	case AUDIT_END_EXPIRED:
		return "expired";
	case AUDIT_END_CANCELLED:
		return "cancelled";
	case AUDIT_END_GIVEN_UP:
		return "given-up";
	case AUDIT_END_UNSENT:
		return "unsent";
	case AUDIT_END_SENDER_GONE:
		return "sender-gone";
	case AUDIT_END_FAILED:
		return "failed";
	case AUDIT_END_SAVED:
		return "saved";
	case AUDIT_END_UNCHANGED:
		return "unchanged";
	case AUDIT_END_LOST:
		return "lost";
	case AUDIT_END_OPENER_GONE:
		return "opener-gone";
	}
	return "?";
}
