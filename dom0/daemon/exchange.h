/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The exchange: takes the ports' events, lets the core decide, and has the ports carry it out. The
 * only caller of the core. It touches the world through the ports alone, so that the scenario tests
 * run it over simulated ones.
 */
#ifndef QFX_EXCHANGE_H
#define QFX_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "asker.h"
#include "audit_port.h"
#include "blocks.h"
#include "bucket.h"
#include "clock.h"
#include "dispvm.h"
#include "domains.h"
#include "events.h"
#include "images.h"
#include "registry.h"
#include "rules.h"
#include "store.h"

struct exchange;

struct exchange_ports {
	struct store_port store;
	struct blocks_port blocks;
	struct images_port images;
	struct asker_port asker;
	struct domains_port domains;
	struct rules_port rules;
	struct clock_port clock;
	struct audit_port audit;
};

struct exchange_limits {
	struct transfer_limits transfer;
	struct registry_limits registry;
	struct dispvm_limits dispvm;
	uint64_t pool_keep_free;        /* bytes of memory; with less the pool gives VMs back */
	struct bucket_limits requests;  /* of one VM; what is above is heard later */
	struct bucket_limits questions; /* of one VM to the user; what is above is refused */
};

/* Told of every transfer that changed, or with state TRANSFER_GONE that it is about to be
 * forgotten. */
typedef void (*exchange_observer_fn)(void *arg, const struct transfer *t);
/* Likewise of every DisposableVM. */
typedef void (*exchange_dispvm_fn)(void *arg, const struct dispvm *d);
/* Something that the user should know; the XML of the bus says which `what` there are. */
struct exchange_notice {
	const char *what;
	const char *vm;       /* that it is about; "": none */
	const char *receiver; /* "": none */
	const char *reason;   /* a reply's word; "": none */
	unsigned count;       /* "too-often": how many were refused */
};
typedef void (*exchange_notice_fn)(void *arg, const struct exchange_notice *notice);
/* The save file for DisposableVMs was made, or could not be. */
typedef void (*exchange_prepared_fn)(void *arg, bool ok, enum qpen_error error);
typedef void (*exchange_visit_fn)(void *arg, const struct transfer *t);

/* `ports` are copied; what their ctx point to must outlive the exchange. Free with
 * exchange_destroy. */
struct exchange *exchange_create(
	const struct exchange_ports *ports, const struct exchange_limits *limits);
/* Leaves all disks, images and records as they are, for the next daemon. Accepts NULL. */
void exchange_destroy(struct exchange *x);

/* The events that the ports are to raise; ctx is the exchange. */
struct port_events exchange_events(struct exchange *x);

/* Takes up what a former daemon left and opens the mailboxes. 0 or -errno; called once. */
int exchange_start(struct exchange *x);

/* New limits, for requests from now on and states entered from now on. */
void exchange_set_limits(struct exchange *x, const struct exchange_limits *limits);

struct exchange_observer {
	exchange_observer_fn transfer;
	exchange_dispvm_fn dispvm;
	exchange_notice_fn notice;
	exchange_prepared_fn prepared;
	void *arg;
};
/* Copied; any of its functions may be NULL. `observer` NULL: nobody. */
void exchange_set_observer(struct exchange *x, const struct exchange_observer *observer);

/* The colour of that VM's label, "" for none; for DisposableVMs, which get their opener's. */
typedef const char *(*exchange_label_fn)(void *arg, const char *vm);
void exchange_set_labels(struct exchange *x, exchange_label_fn fn, void *arg);

/* In the order of their ids. The visitor must not change the exchange. */
void exchange_visit(struct exchange *x, exchange_visit_fn fn, void *arg);
/* NULL if there is none. Valid until the next event. */
const struct transfer *exchange_find(struct exchange *x, uint64_t id);
/* What the policy is asked of that transfer, which was sent. Its strings are the transfer's. */
struct policy_query exchange_query(struct exchange *x, const struct transfer *t);
/* The user of dom0 takes it back. False: no such transfer, or it is on its way out already. */
bool exchange_cancel(struct exchange *x, uint64_t id);

/* In the order of their numbers. */
void exchange_visit_dispvms(struct exchange *x, exchange_dispvm_fn fn, void *arg);
/* The user of dom0 wants it gone, and what is open in it. False: there is none, or it goes already.
 */
bool exchange_discard_dispvm(struct exchange *x, const char *name);
/* Makes the save file for DisposableVMs anew; the observer is told. False: none is configured. */
bool exchange_prepare(struct exchange *x);

/*
 * Everything that the VM of that name sends is refused, unasked, for so many milliseconds; 0: until
 * it is unblocked. It reads what it would for a VM that does not exist. A question about something
 * of it that is open now is answered with no. It holds for the next daemon as well, and ends with
 * the host. `name` is a VM's name (qpen_is_vm_name).
 */
void exchange_block(struct exchange *x, const char *name, int64_t ms);
/* False: it was not blocked. */
bool exchange_unblock(struct exchange *x, const char *name);
/* `left_ms` is 0 where it is blocked until unblocked. */
typedef void (*exchange_blocked_fn)(void *arg, const char *name, int64_t left_ms);
void exchange_visit_blocked(struct exchange *x, exchange_blocked_fn fn, void *arg);

#endif
