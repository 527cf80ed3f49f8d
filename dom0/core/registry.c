/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "registry.h"

#include <assert.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

static const struct verdict granted = {.ok = true};

static struct verdict denied(enum qpen_error error, const char *text)
{
	return (struct verdict){.error = error, .text = text};
}

static struct verdict too_large(enum qpen_error error, const char *text, uint64_t limit_bytes)
{
	struct verdict verdict = denied(error, text);

	verdict.limit_bytes = limit_bytes;
	return verdict;
}

struct verdict registry_may_new(const struct registry *r, const struct vm *vm,
	const struct request *request, uint64_t *size_bytes)
{
	const struct registry_limits *l = &r->limits;
	uint64_t size = request->size_bytes ? request->size_bytes : l->default_bytes;

	if (vm->outgoing) {
		if (vm->outgoing->t.state == TRANSFER_LENT)
			return denied(
				QPEN_ERROR_HAVE_PENDRIVE, "there is a pendrive in xvdg already");
		return denied(QPEN_ERROR_BUSY, "the last pendrive is still being worked on");
	}
	if (size < l->min_bytes)
		size = l->min_bytes;
	if (size > l->max_bytes)
		return too_large(
			QPEN_ERROR_BAD_SIZE, "dom0 lends no pendrive of that size", l->max_bytes);
	/* Cannot wrap: the limits are below 2^63. */
	size = (size + MIB - 1) / MIB * MIB;
	if (vm->n_pendrives >= l->max_pendrives_per_vm)
		return denied(QPEN_ERROR_QUOTA, "this VM has as many pendrives as it may");
	if (size > l->max_bytes_per_vm)
		return too_large(QPEN_ERROR_QUOTA, "this VM may not have so much on pendrives",
			l->max_bytes_per_vm);
	if (vm->pendrive_bytes > l->max_bytes_per_vm - size)
		return denied(QPEN_ERROR_QUOTA, "this VM's pendrives are as large as they may be");
	if (size > l->max_bytes_total || r->pendrive_bytes > l->max_bytes_total - size)
		return denied(QPEN_ERROR_NO_SPACE, "dom0 has lent all that it may");
	*size_bytes = size;
	return granted;
}

struct verdict registry_may_send(const struct vm *vm, const struct request *request)
{
	if (!vm->outgoing)
		return denied(QPEN_ERROR_NO_PENDRIVE, "there is no pendrive in xvdg to send");
	if (vm->outgoing->t.state != TRANSFER_LENT)
		return denied(QPEN_ERROR_BUSY, "the pendrive in xvdg is still being worked on");
	if (strcmp(request->dest, vm->id.name) == 0)
		return denied(QPEN_ERROR_SELF, "a VM cannot send to itself");
	return granted;
}

struct verdict registry_may_umount(const struct vm *vm)
{
	if (!vm->incoming)
		return denied(QPEN_ERROR_NO_PENDRIVE, "there is no pendrive in xvdh to give back");
	if (vm->incoming->t.state != TRANSFER_DELIVERED &&
		vm->incoming->t.state != TRANSFER_ATTACHING_IN)
		return denied(QPEN_ERROR_BUSY, "the pendrive in xvdh is being taken back already");
	return granted;
}

struct verdict registry_may_discard(const struct transfer_entry *e)
{
	if (!e)
		return denied(QPEN_ERROR_NO_PENDRIVE,
			"there is no such pendrive, or it is delivered or gone");
	if (e->t.state == TRANSFER_DISCARDING && e->t.to_sender.pending)
		return denied(QPEN_ERROR_BUSY, "the pendrive is being given up already");
	return granted;
}

void registry_add(
	struct registry *r, struct transfer_entry *e, struct vm *sender, struct vm *receiver)
{
	r->pendrive_bytes += e->t.size_bytes;
	r->n_pendrives++;
	e->sender = sender;
	e->receiver = receiver;
	if (sender) {
		sender->pendrive_bytes += e->t.size_bytes;
		sender->n_pendrives++;
	}
	registry_update(e);
}

/* Out of its receiver's queue, if it is in it. */
static void dequeue(struct transfer_entry *e)
{
	struct transfer_entry **at;

	if (!e->queued)
		return;
	for (at = &e->receiver->queue; *at != e; at = &(*at)->next_queued)
		assert(*at);
	*at = e->next_queued;
	e->next_queued = NULL;
	e->queued = false;
	e->receiver->n_queued--;
}

void registry_update(struct transfer_entry *e)
{
	if (e->sender) {
		if (transfer_holds_outgoing(&e->t))
			e->sender->outgoing = e;
		else if (e->sender->outgoing == e)
			e->sender->outgoing = NULL;
	}
	if (e->receiver) {
		if (transfer_holds_incoming(&e->t))
			e->receiver->incoming = e;
		else if (e->receiver->incoming == e)
			e->receiver->incoming = NULL;
	}
	if (e->t.state != TRANSFER_QUEUED)
		dequeue(e);
}

void registry_forget_vm(struct transfer_entry *e, struct vm *vm)
{
	if (e->sender == vm) {
		if (vm->outgoing == e)
			vm->outgoing = NULL;
		vm->pendrive_bytes -= e->t.size_bytes;
		vm->n_pendrives--;
		e->sender = NULL;
	}
	if (e->receiver == vm) {
		dequeue(e);
		if (vm->incoming == e)
			vm->incoming = NULL;
		e->receiver = NULL;
	}
}

void registry_remove(struct registry *r, struct transfer_entry *e)
{
	if (e->sender)
		registry_forget_vm(e, e->sender);
	if (e->receiver)
		registry_forget_vm(e, e->receiver);
	r->pendrive_bytes -= e->t.size_bytes;
	r->n_pendrives--;
}

void registry_set_receiver(struct transfer_entry *e, struct vm *receiver)
{
	e->receiver = receiver;
}

bool registry_may_ask(const struct registry *r, unsigned n_own, unsigned n_all)
{
	return n_own == 0 || n_all < r->limits.max_waiting;
}

enum transfer_slot registry_slot(const struct registry *r, const struct vm *receiver)
{
	if (!receiver->incoming && !receiver->queue)
		return TRANSFER_SLOT_FREE;
	if (receiver->n_queued >= r->limits.max_queue)
		return TRANSFER_SLOT_QUEUE_FULL;
	return TRANSFER_SLOT_TAKEN;
}

void registry_enqueue(struct transfer_entry *e)
{
	struct transfer_entry **at = &e->receiver->queue;

	while (*at)
		at = &(*at)->next_queued;
	*at = e;
	e->queued = true;
	e->receiver->n_queued++;
}

struct transfer_entry *registry_next(const struct vm *vm)
{
	return vm->incoming ? NULL : vm->queue;
}
