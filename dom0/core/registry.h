/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who has which slot, who waits for one, and who may have one more: the bookkeeping over all
 * transfers and VMs, and the rules that refuse a request before a transfer hears of it. Pure: it
 * links objects that the caller owns and allocates nothing.
 */
#ifndef QFX_REGISTRY_H
#define QFX_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "transfer.h"

/* A running VM. Owned by the caller; zeroed but for `id` before registry_add_vm. */
struct vm {
	struct vm_id id;
	struct transfer_entry *outgoing; /* whose disk is, or is about to be, in xvdg */
	struct transfer_entry *incoming; /* whose disk is in xvdh */
	struct transfer_entry *queue;    /* waiting for xvdh, the first to come first */
	unsigned n_queued;
	unsigned n_pendrives;    /* as their sender */
	uint64_t pendrive_bytes; /* their sizes together */
};

/* A transfer and its place among the others. Owned by the caller; zeroed before registry_add. */
struct transfer_entry {
	struct transfer t;
	struct vm *sender;                  /* NULL when it has died */
	struct vm *receiver;                /* NULL until `send`, or when it has died */
	struct transfer_entry *next_queued; /* vm.queue of the receiver */
	bool queued;
};

/* All of them above 0. */
struct registry_limits {
	uint64_t min_bytes; /* a smaller `size=` is rounded up */
	uint64_t default_bytes;
	uint64_t max_bytes;
	unsigned max_pendrives_per_vm;
	uint64_t max_bytes_per_vm;
	uint64_t max_bytes_total;
	unsigned max_queue;
	unsigned max_waiting; /* questions at once */
};

struct registry {
	struct registry_limits limits;
	uint64_t pendrive_bytes; /* of all transfers */
	unsigned n_pendrives;
};

/* Whether a request may be served; `error` and `text` when not. */
struct verdict {
	bool ok;
	enum qpen_error error;
	const char *text;     /* static */
	uint64_t limit_bytes; /* how large a pendrive may be at most; 0: that is not it */
};

/*
 * `new` of `vm`. With ok, *size_bytes is how large the pendrive becomes: a multiple of 1 MiB, at
 * least what was asked for.
 */
struct verdict registry_may_new(const struct registry *r, const struct vm *vm,
	const struct request *request, uint64_t *size_bytes);
/* `send` of `vm`: whether its outgoing slot holds something that can be sent, and not to itself. */
struct verdict registry_may_send(const struct vm *vm, const struct request *request);
/* `umount` of `vm`: whether its incoming slot holds something to give back. */
struct verdict registry_may_umount(const struct vm *vm);

/* `discard` of `e`'s sender; NULL: there is nothing that it can mean. */
struct verdict registry_may_discard(const struct transfer_entry *e);

/* Counts a new or recovered transfer, and links it to the VMs that live (NULL: none). */
void registry_add(
	struct registry *r, struct transfer_entry *e, struct vm *sender, struct vm *receiver);
/* Brings the slots into agreement with e->t after a step. */
void registry_update(struct transfer_entry *e);
/* Unlinks it from everything; the caller then frees it. */
void registry_remove(struct registry *r, struct transfer_entry *e);
/* Names the receiver of e: `send` was accepted. */
void registry_set_receiver(struct transfer_entry *e, struct vm *receiver);
/* Unlinks a dead VM from e, and gives its sender's share back. */
void registry_forget_vm(struct transfer_entry *e, struct vm *vm);

/*
 * Whether a VM may have one more question put to the user, when so many of its own and so many of
 * all VMs wait for an answer. One that has none waiting always may: the others cannot keep it out.
 */
bool registry_may_ask(const struct registry *r, unsigned n_own, unsigned n_all);

/* What a yes meets. */
enum transfer_slot registry_slot(const struct registry *r, const struct vm *receiver);
void registry_enqueue(struct transfer_entry *e);
/* The first of the queue, if the slot is free for it; NULL if not. It stays queued until updated.
 */
struct transfer_entry *registry_next(const struct vm *vm);

#endif
