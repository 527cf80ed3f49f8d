/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A simulated host for the exchange: VMs, xenstore, block devices, images, the user of dom0 and a
 * virtual clock, as ports that keep their contracts and watch that the exchange keeps the project's
 * promises. Nothing happens by itself: what guests, the kernel and the ports have still to do
 * stands in a list of jobs, and a test does them in the order it likes, late, twice or never.
 *
 * All is open to the tests. The first broken promise is kept in `violation`.
 */
#ifndef QFX_SIM_H
#define QFX_SIM_H

#include <glib.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>

#include "exchange.h"

/* One start of a VM; kept when it has stopped. */
struct sim_vm {
	struct vm_id id;
	bool running;
	bool told_dead;  /* the exchange has been shown that it stopped, in the event under way */
	bool known_dead; /* the exchange had the whole of an event to see that it stopped */
	bool is_past;    /* it had stopped when this daemon started */
	bool is_unfit;   /* has a name that cannot take part */
	bool was_unfit;  /* and nobody tells the daemon when it gets another */

	bool has_mailbox;
	bool listening; /* the store port watches its mailbox */
	bool hushed;    /* though not now */
	char mail[512];
	size_t mail_len;
	struct sim_request *mail_request; /* what stands in the mailbox, if it is tracked */
	bool mail_read; /* the daemon has it, but it is neither written down nor answered */

	/* A DisposableVM, made by the domains port. */
	bool is_disposable;
	uint64_t number;
	char label[QPEN_LABEL_MAX + 1];
	bool half;   /* it is being made, or whoever made it was killed */
	bool paused; /* it does nothing */
	bool down;   /* it has shut down, and is still there */
	bool has_run;
	/* Whose file it was given, ever, and in which image. */
	char image[TRANSFER_IMAGE_NAME_MAX + 1];
	char opener_uuid[37];
	char opener_name[QPEN_NAME_MAX + 1];
	char seq[QPEN_SEQ_MAX + 1];
	bool view;
	bool survey_missed; /* the look that is under way did not find it running */
	unsigned n_missed;  /* how often the exchange was told so */

	bool never_connects, never_releases;
	bool holds_loop; /* the kernel does not give up the loop devices of its disks */
	/* Requests without an ID can only be counted. */
	unsigned anon_taken, anon_finals;
	char last_reply[QPEN_REPLY_MAX + 1];
};

struct sim_request {
	char id[QPEN_ID_MAX + 1]; /* empty: none, as in 2010 */
	char text[96];            /* its beginning */
	struct sim_vm *vm;
	bool taken; /* it is out of the mailbox: recorded, or answered */
	unsigned n_waits, n_finals;
	char reply[QPEN_REPLY_MAX + 1]; /* the last one */
	int64_t answered_ms;
};

struct sim_disk {
	unsigned number;
	uint64_t id; /* the transfer's; a later one may have it again when this was abandoned */
	enum transfer_place place;
	char image[TRANSFER_IMAGE_NAME_MAX + 1];
	struct sim_vm *vm;
	bool nodes; /* in xenstore: the VM can have it */
	bool connected;
	bool closing;   /* the VM was asked to let go */
	bool loop_held; /* the image can be reached through it */
	bool tracked;   /* by the daemon that runs now */
	bool reporting; /* the daemon waits for its detach */
	bool abandoned;
};

enum sim_job_kind {
	/* guests and the kernel: they go on whether a daemon runs or not */
	SIM_CONNECT,
	SIM_RELEASE,
	SIM_LOOP_FREE,
	/* the daemon's own ports: gone with it */
	SIM_MAKE,
	SIM_DOM_BUILD,  /* half of a DisposableVM is there; `id` is its number in all of these */
	SIM_DOM_FINISH, /* all of it is */
	SIM_DOM_UNPAUSE,
	SIM_DOM_DESTROY,
	SIM_PREPARE,
	SIM_SURVEY, /* what it sees now is told later */
	SIM_EV_DOMAINS,
	SIM_EV_MAILBOX,
	SIM_EV_MADE,
	SIM_EV_MAKE_FAILED,
	SIM_EV_REMOVED,
	SIM_EV_ATTACHED,
	SIM_EV_LOST,
	SIM_EV_DETACHED,
	SIM_EV_ANSWERED,
	SIM_EV_DOM_MADE,
	SIM_EV_DOM_FAILED,
	SIM_EV_DOM_UNPAUSED,
	SIM_EV_DOM_DESTROYED,
	SIM_EV_PREPARED,
	SIM_EV_SURVEYED,
};

struct sim_job {
	enum sim_job_kind kind;
	uint64_t id;   /* of the transfer */
	unsigned disk; /* its number: of guests' and the kernel's jobs */
	uint32_t domid;
	enum transfer_place place;
	enum qpen_error error;
	bool yes;
	char image[TRANSFER_IMAGE_NAME_MAX + 1];
};

struct sim {
	struct exchange *x; /* NULL: no daemon runs */
	struct port_events events;
	struct exchange_limits limits;
	int64_t now_ms, alarm_ms;
	bool in_event; /* ports must not raise events from within */

	GPtrArray *vms;       /* struct sim_vm */
	GPtrArray *requests;  /* struct sim_request */
	GPtrArray *disks;     /* struct sim_disk */
	GArray *jobs;         /* struct sim_job, the oldest first */
	GHashTable *images;   /* name -> itself */
	GHashTable *records;  /* id -> text */
	GHashTable *verified; /* id -> the transfer as it was when its record was found right */
	GHashTable *places;   /* id -> where the transfer was last seen */
	GHashTable *stale; /* ids whose attach failed, so that the record is older than the state */
	GArray *questions; /* ids */
	GHashTable *approved;        /* images that the user said yes to */
	GHashTable *allowed;         /* images that the policy allowed to be sent */
	GHashTable *blocked;         /* name -> when that ends: as the daemon that runs was told */
	GHashTable *blocked_records; /* name -> likewise, as it stands in xenstore */
	GHashTable *asked; /* "name ...", "uuid ..." -> when it caused questions; of this daemon */
	GHashTable *counted; /* images whose question is among those */
	GHashTable *told;    /* name -> when the user was told that it asks too often, last */
	GHashTable *plans;   /* number -> struct domain_plan: what the domains port was asked for */
	GHashTable *dispvms; /* number -> struct dispvm, as it was written down last */
	GArray *seen;        /* struct domain_seen: what the last look at the domains saw */
	bool seen_memory_low;
	bool surveying, survey_again;
	uint32_t next_domid;
	unsigned n_names, n_ids, n_uuids, n_numbers;

	/* what goes wrong */
	bool disk_full;    /* images cannot be made */
	bool attach_fails; /* nor disks attached */
	bool commit_fails;
	bool identify_fails; /* xenstore does not say who a domain is */
	bool mailboxes_busy; /* VMs write into theirs so that none can be made */
	/* What the policy says; sim_new sets what it does where nobody wrote one: ask, and allow.
	 */
	enum policy_action for_files, for_disposables;
	bool no_templates; /* no DisposableVMs are configured */
	bool no_memory;    /* none can be made */
	bool memory_low;   /* nor any for the pool, and it should give some back */
	bool make_fails;   /* nor made to the end */
	bool unpause_fails, prepare_fails;
	bool prepared;     /* the save file is there */
	bool discarding;   /* the user removes a DisposableVM, in the event under way */
	unsigned crash_in; /* the daemon dies at that many calls into the ports; 0: it does not */
	bool crashed;

	struct audit_port audit; /* sim_audit_port, or a test's own in front of it */
	/* What the history was told: lines as "end work personal delivered returned". */
	GPtrArray *history;
	GHashTable *ended;     /* images and uuids whose end it was told */
	GHashTable *owing;     /* those that are gone, and were not in `ended` then */
	GHashTable *decisions; /* "IMAGE DECISION BY" that it was told */
	GHashTable *arrived;   /* images that a receiver had */
	/* The daemon was killed in an event, or could not write down what it did: then an entry may
	 * be missing, or be there once more. */
	bool history_may_lack, history_may_repeat;

	unsigned n_events; /* delivered to the exchange */
	unsigned visits[TRANSFER_N_STATES];
	unsigned dispvm_visits[DISPVM_N_STATES];
	unsigned n_saved, n_unchanged, n_lost; /* how transactions ended */
	unsigned n_notices, n_prepared;
	char last_notice[32]; /* what the user was told last; empty: nothing */
	unsigned last_count;  /* and how many of them */
	bool quiet;           /* the policy says notify=no */
	bool trace;
	char *violation;
};

/* The user of dom0. */
#define SIM_UID 1000

/* Limits that are small enough to be reached, times that are all different. */
extern const struct exchange_limits sim_limits;

/* The exchange's log goes nowhere, and a warning in it does not end the program. */
void sim_quiet_log(void);

struct sim *sim_new(const struct exchange_limits *limits);
void sim_free(struct sim *sim);

/* A daemon starts, finishes what it can, and is killed, or stopped, with no time for anything. */
void sim_start(struct sim *sim);
void sim_stop(struct sim *sim);

/* ---- what happens on the host ---- */

struct sim_vm *sim_add_vm(struct sim *sim, const char *name);
/* With the number of one that has stopped. */
struct sim_vm *sim_add_vm_at(struct sim *sim, const char *name, uint32_t domid);
/* The running one of that number, or NULL. */
struct sim_vm *sim_find_vm(struct sim *sim, uint32_t domid);
struct sim_vm *sim_find_named(struct sim *sim, const char *name);
/* `cleaned`: the toolstack has taken its disks' nodes away, as `xl destroy` does. */
void sim_kill_vm(struct sim *sim, struct sim_vm *vm, bool cleaned);
void sim_rename_vm(struct sim_vm *vm, const char *name);
/* It ends, and stays there until it is destroyed. */
void sim_shut_down(struct sim *sim, struct sim_vm *vm);
/* Somebody else takes the disk away, as `xl block-detach` does. */
void sim_take_disk(struct sim *sim, struct sim_disk *disk);

/* The VM writes `text` and an ID; NULL if it has no mailbox, or that is full. */
struct sim_request *sim_ask(struct sim *sim, struct sim_vm *vm, const char *text);
/* As in 2010: no ID, no look at whether the mailbox is free. False if there is none. */
bool sim_write(struct sim *sim, struct sim_vm *vm, const void *bytes, size_t len);
void sim_delete_mailbox(struct sim *sim, struct sim_vm *vm);

void sim_answer(struct sim *sim, uint64_t id, bool yes);
bool sim_is_asked(const struct sim *sim, uint64_t id);
/* Until it is unblocked, with ms 0. */
void sim_block(struct sim *sim, const char *name, int64_t ms);
bool sim_unblock(struct sim *sim, const char *name);
bool sim_cancel(struct sim *sim, uint64_t id);
bool sim_discard_dispvm(struct sim *sim, const char *name);
void sim_set_pool(struct sim *sim, unsigned n);
bool sim_ask_to_prepare(struct sim *sim);

/* ---- time and jobs ---- */

bool sim_can_do(struct sim *sim, const struct sim_job *job);
/* Does the job at that place in the list. `keep`: an event that will come once more. */
void sim_do(struct sim *sim, unsigned index, bool keep);
void sim_drop(struct sim *sim, unsigned index);
/* All that can be done, the oldest first, until nothing is left. */
void sim_run(struct sim *sim);
/* Rings the alarm if it is time. False if it is not. */
bool sim_ring(struct sim *sim);
/* Lets that much time pass, with all that happens in it. */
void sim_pass(struct sim *sim, int64_t ms);
/* Lets all the time pass that anything waits for, and checks that nothing is left. */
void sim_rest(struct sim *sim);

/* ---- what the tests look at ---- */

struct sim_disk *sim_disk_in(struct sim *sim, const struct sim_vm *vm, enum transfer_place place);
unsigned sim_n_disks(const struct sim *sim); /* but those abandoned */
unsigned sim_n_transfers(struct sim *sim);
/* The newest transfer of that sender, or NULL. */
const struct transfer *sim_transfer_of(struct sim *sim, const char *sender);
unsigned sim_n_dispvms(struct sim *sim);
unsigned sim_n_dispvms_in(struct sim *sim, enum dispvm_state state);
/* The newest of that opener, "" for the pool; NULL: none. Valid until the next event. */
const struct dispvm *sim_dispvm_of(struct sim *sim, const char *opener);
/* DisposableVMs that are there, halves included. */
unsigned sim_n_disposable_vms(const struct sim *sim);

/* ---- for the simulation's own files ---- */

void sim_violate(struct sim *sim, const char *format, ...) G_GNUC_PRINTF(2, 3);
void sim_trace(struct sim *sim, const char *format, ...) G_GNUC_PRINTF(2, 3);
struct sim_job *sim_push(struct sim *sim, enum sim_job_kind kind, uint64_t id);
bool sim_has_job(const struct sim *sim, enum sim_job_kind kind, uint64_t id);
/* Not one that was abandoned. */
struct sim_disk *sim_find_disk(struct sim *sim, uint64_t id, enum transfer_place place);
struct sim_job *sim_push_disk(struct sim *sim, enum sim_job_kind kind, const struct sim_disk *disk);
/* Frees it, and forgets the guest's and the kernel's jobs about it. */
void sim_remove_disk(struct sim *sim, struct sim_disk *disk);
/* The nodes are gone: the kernel will let go of the loop device. */
void sim_remove_nodes(struct sim *sim, struct sim_disk *disk);
struct exchange_ports sim_ports(struct sim *sim);
struct audit_port sim_audit_port(struct sim *sim);
/* It is gone, and the history was told, or is before this event is over. */
void sim_check_end_told(struct sim *sim, const char *image_or_uuid);
/* What must hold of the history when an event is over. */
void sim_check_history(struct sim *sim);
struct domains_port sim_domains_port(struct sim *sim);
/* Every call that changes something passes here: false when the daemon has been killed, so that
 * nothing which it would still have done takes effect. */
bool sim_lives(struct sim *sim);
/* The VM of exactly that identity, as it was; NULL if there never was one. */
struct sim_vm *sim_find_instance(struct sim *sim, const struct vm_id *id);
struct sim_vm *sim_find_uuid(struct sim *sim, const char *uuid);
/* Does a job of the domains port that is no event. */
void sim_do_domain_job(struct sim *sim, const struct sim_job *job);
/* Raises an event of the domains port. */
void sim_tell_domain_event(struct sim *sim, const struct sim_job *job);
/* A step of a DisposableVM is being written down. */
void sim_check_dispvm_step(struct sim *sim, const struct dispvm *d);
/* A step of a transfer is being written down: if it leads to a question, there may be one more. */
void sim_check_budget(struct sim *sim, const struct transfer *t);
/* The user is told that a VM asks too often. */
void sim_check_told(struct sim *sim, const char *vm);
/* A pendrive is being attached to its receiver. */
void sim_check_delivery(struct sim *sim, const struct transfer *t, struct sim_vm *vm);
void sim_check_dispvms(struct sim *sim);
/* What must hold between any two events. */
void sim_check(struct sim *sim);

#endif
