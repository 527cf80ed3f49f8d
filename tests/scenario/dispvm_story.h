/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Words for stories about files in DisposableVMs, beside those of story.h. */
#ifndef QFX_DISPVM_STORY_H
#define QFX_DISPVM_STORY_H

#include "story.h"

/* The newest DisposableVM of that opener, which must be there; valid until the next event. */
const struct dispvm *dispvm_of(struct sim *sim, const char *opener);
/* Its name, to be freed. */
char *name_of(struct sim *sim, const char *opener);
/* Whether `name` runs and has connected to a pendrive there. */
bool holds(struct sim *sim, const char *name, enum transfer_place place);

/* `opener` asks `send disposable SEQ`, with all that follows. */
struct sim_request *opens(struct sim *sim, const char *opener, const char *seq);
struct sim_request *given_open(struct sim *sim, const char *opener, const char *seq);
/* `disp` has read the file and sends it back; the request of the `send` is returned. */
struct sim_request *sends_back(
	struct sim *sim, const char *disp, const char *opener, const char *seq);
/* What `work` and its DisposableVM, with SEQ 1, would do, until that is gone. */
void bring_to_its_end(struct sim *sim);

void then_dispvm(struct sim *sim, const char *opener, enum dispvm_state state);
void then_none_is_left(struct sim *sim);
/* A wait whose words are these, and no answer yet. */
void then_waits_for(const struct sim_request *r, const char *wait);

enum stage {
	PREPARING,
	MAKING,
	HALF,     /* a part of the VM is there */
	CLEARING, /* and the daemon was restarted */
	WAITING,  /* the pendrive waits for the VM */
	READY,    /* the VM waits for the pendrive */
	ATTACHING,
	OPEN,
	READ,     /* the pendrive was given back */
	WRITING,  /* the DisposableVM has one for its answer */
	FREEZING, /* it has sent that */
	QUEUED,
	ARRIVING,
	ARRIVED,
	STORED, /* the opener has asked for its umount */
	KILLED, /* it has asked to go */
	N_STAGES,
};

/*
 * `work` has sent a file with SEQ 1, and it has come so far and no further: the jobs which would
 * lead on are left undone. Needs `bank` for QUEUED. Returns the opener's request.
 */
struct sim_request *given_stage(struct sim *sim, enum stage stage);

/* The pool is left alone for a while when a file was opened. */
void let_pool_fill(struct sim *sim);

#endif
