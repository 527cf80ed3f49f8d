/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Words to tell stories with: given_..., when..., then_... over the simulated host. Every story
 * ends with the_end(), which lets all the time pass that anything waits for and finds nothing left.
 */
#ifndef QFX_STORY_H
#define QFX_STORY_H

#include "sim.h"

/* A host with VMs of these names running, and a daemon. */
#define given_host(...) given_host_with(&sim_limits, __VA_ARGS__)
#define given_host_with(limits, ...) given_host_of(limits, (const char *const[]){__VA_ARGS__, NULL})
struct sim *given_host_of(const struct exchange_limits *limits, const char *const *names);
void the_end(struct sim *sim);

struct sim_vm *vm(struct sim *sim, const char *name);
/* Only the VM's part: nothing has happened yet. */
struct sim_request *asks(struct sim *sim, const char *name, const char *text);
/* And all that follows from it at once. */
struct sim_request *says(struct sim *sim, const char *name, const char *text);
/* As a client of 2010 writes it, with all that follows. */
void writes(struct sim *sim, const char *name, const char *text);
/* Does the next job of that kind, which must be there. */
void when(struct sim *sim, enum sim_job_kind kind);
void user_says(struct sim *sim, const char *sender, bool yes);

/* `name` has a pendrive, sent it to `to`, and so on. The request of the `send` is returned. */
void given_lent(struct sim *sim, const char *name);
struct sim_request *given_asking(struct sim *sim, const char *name, const char *to);
struct sim_request *given_delivered(struct sim *sim, const char *name, const char *to);
/*
 * Brings a pendrive of `work` into that state, on its way to `personal`, and no further: the jobs
 * which would lead on are left undone. Returns its last request.
 */
struct sim_request *given_state(struct sim *sim, enum transfer_state state);

/* The reply without its ID: "ok xvdg", or its beginning: "error refused". */
void then_reply(const struct sim_request *r, const char *beginning);
void then_waits(const struct sim_request *r);
void then_state(struct sim *sim, const char *sender, enum transfer_state state);
void then_gone(struct sim *sim, const char *sender);
void then_holds(struct sim *sim, const char *name, enum transfer_place place, bool wanted);

#endif
