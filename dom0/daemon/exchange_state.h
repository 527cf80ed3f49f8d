/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the two halves of the exchange share: exchange.c has the VMs, their requests and the
 * transfers, disposables.c the DisposableVMs. For no other file.
 */
#ifndef QFX_EXCHANGE_STATE_H
#define QFX_EXCHANGE_STATE_H

#include <glib.h>

#include "audit.h"
#include "budgets.h"
#include "dispvm.h"
#include "dues.h"
#include "exchange.h"

/* A VM and what the daemon keeps about it beside the registry. */
struct vm_node {
	struct vm vm;
	struct bucket requests;
	struct due hold;
	gboolean dying;           /* no pendrive is started for it any more */
	gboolean told_of_answers; /* the log has said that it sends answers nobody waits for */
};

struct transfer_node {
	struct transfer_entry entry;
	struct due deadline;
	/* For the history; a daemon knows what it has seen itself, and nothing of former ones. */
	char *rule; /* what the policy said when it was sent; NULL: not known, or nothing */
	gboolean asked;
	gint64 asked_ms;
};

struct dispvm_node {
	struct dispvm d;
	struct due deadline;
	/* Made since the last look at the domains began, which therefore need not have seen it. */
	gboolean fresh;
};

struct exchange {
	struct exchange_ports ports;
	struct exchange_limits limits;
	struct registry registry;
	GHashTable *vms;      /* domid -> struct vm_node, owned */
	GHashTable *unusable; /* domids of running VMs that cannot take part, told of once each */
	GTree *transfers;     /* id -> struct transfer_node, owned */
	GTree *dispvms;       /* number -> struct dispvm_node, owned */
	GHashTable *blocked;  /* name -> gint64, when it ends; CLOCK_NEVER: not by itself; owned */
	struct dues *dues;
	struct budgets *budgets; /* for questions */
	struct due notices;      /* the next look at what the user is to be told of them */
	gint64 names_fresh_ms;   /* when all names were read last */
	guint64 last_id, last_number;
	struct due pool;      /* the next look at the pool */
	gint64 pool_retry_ms; /* no VM is made for the pool before */
	guint32 serving; /* the VM whose request is neither written down nor answered yet; 0: none
			  */
	struct exchange_observer observer;
	exchange_label_fn label;
	void *label_arg;
};

/* One step of a DisposableVM that goes with what else is being done; node NULL: none. */
struct dispvm_turn {
	struct dispvm_node *node;
	struct dispvm_step step;
	bool ended; /* with that step: for the history */
	struct audit_end end;
};

/* ---- of exchange.c ---- */

gint64 exchange_now_ms(struct exchange *x);
/* Feeds a transfer, if it is still there. */
void exchange_feed(struct exchange *x, guint64 id, const struct transfer_event *event);
/* Tells a transfer of the DisposableVM that it is for, and links the two. */
void exchange_tell_ready(struct exchange *x, guint64 id, const struct vm_id *receiver);
/* The known VM of exactly that identity, or NULL. */
struct vm_node *exchange_same_vm(struct exchange *x, const struct vm_id *id);
/* Tells the user's programs; receiver and reason may be NULL. */
void exchange_notify(struct exchange *x, const struct exchange_notice *notice);
/* Writes it all, for the request that is being served if there is one, and logs what fails. */
void exchange_commit(struct exchange *x, struct store_change *change);

/* ---- of disposables.c ---- */

/* The one that has that VM, or NULL. */
struct dispvm_node *disposables_find_vm(struct exchange *x, const struct vm_id *id);
/* Whether that is a DisposableVM which has no file yet, or goes already. */
bool disposables_is_closed(struct exchange *x, const struct vm_id *id);

/*
 * A DisposableVM for `sender`'s `request`, which transfer `id` will bring: one of the pool or a new
 * one. The first step of it is in `turn` and not carried out yet. Refused: the verdict says why.
 */
struct verdict disposables_take(struct exchange *x, const struct vm_id *sender, const char *label,
	const struct request *request, guint64 id, struct dispvm_turn *turn);
/* A step of `node` for `event`; turn->node stays NULL if that is nothing to it. */
void disposables_step(struct exchange *x, struct dispvm_node *node,
	const struct dispvm_event *event, struct dispvm_turn *turn);
/* What a transfer's step means for the DisposableVM that it is of, if it is of one. */
void disposables_follow(struct exchange *x, const struct transfer *t,
	const struct transfer_event *event, const struct transfer_step *step,
	struct dispvm_turn *turn);
/* The replies among a turn's actions, at most DISPVM_ACTIONS_MAX. */
size_t disposables_replies(const struct dispvm_turn *turn, struct store_reply *replies);
/* Does what a turn that was committed asks for. The node may be gone afterwards. */
void disposables_carry_out(struct exchange *x, struct dispvm_turn *turn);
/* Step, commit and carry out. */
void disposables_feed(
	struct exchange *x, struct dispvm_node *node, const struct dispvm_event *event);

void disposables_vm_gone(struct exchange *x, const struct vm_id *id);
/* Domains came or went. */
void disposables_look(struct exchange *x);
void disposables_limits_changed(struct exchange *x);
void disposables_due(struct exchange *x, const struct due *due);
void disposables_set_events(struct port_events *events);
/* 0 or -errno. */
int disposables_load(struct exchange *x);
/* After the transfers' records are read and their disks taken up. */
void disposables_resume(struct exchange *x);

#endif
