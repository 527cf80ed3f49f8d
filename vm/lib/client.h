/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs of a VM, for people: asks dom0, says what is going on, and checks what must hold. */
#ifndef QFX_VM_CLIENT_H
#define QFX_VM_CLIENT_H

#include <glib.h>
#include <signal.h>
#include <stdbool.h>

#include "mailbox.h"
#include "request.h"

/* How long dom0 may take until the final answer, unless the user says otherwise. */
#define CLIENT_NEW_TIMEOUT_MS 60000u
#define CLIENT_GIVE_BACK_TIMEOUT_MS 60000u
/* A person is asked, and the receiver may have to finish with another pendrive first. */
#define CLIENT_SEND_TIMEOUT_MS 3600000u
/* dom0 takes a request out of the mailbox in milliseconds. */
#define CLIENT_TAKE_TIMEOUT_MS 30000u
/* Somebody waits for it to be over. */
#define CLIENT_TAKE_DISCARD_TIMEOUT_MS 10000u
#define CLIENT_UDEV_TIMEOUT_MS 20000u

struct client {
	struct mailbox *mailbox; /* borrowed */
	const char *device;      /* the outgoing slot; borrowed */
	unsigned reply_ms;       /* 0: the default of the verb */
	bool no_wait;            /* leave the request in the mailbox and go */
	/* Non-zero when the request is about to be asked: as if a signal came then; may be NULL. */
	const volatile sig_atomic_t *stop;
	bool deaf;                   /* signals do not end the wait */
	struct mailbox_asked *asked; /* as struct mailbox_terms has it; may be NULL */
	/* Told what is going on, in words; may be NULL. */
	void (*say)(const char *words, void *data);
	/*
	 * In place of `say`, for those who have words of their own; may be NULL. False: enough is
	 * known, and client_run succeeds with this reply.
	 */
	bool (*on_wait)(const struct reply *reply, void *data);
	struct reply *reply; /* what dom0 said last, with an error too; may be NULL */
	void *data;
};

/*
 * Carries out one sound request. `send` is refused here, and dom0 not asked, while the pendrive is
 * in use. `new` ends when this process can open the device. An error of dom0 is VM_EXIT_ERROR, or
 * VM_EXIT_LOST where that is what it says. After any other failure of a request, nobody can tell
 * whether dom0 acts on it.
 */
bool client_run(const struct client *client, const struct request *request, GError **error);

/*
 * Gives up the pendrive of the request `of`, or the newest if that is empty, and waits until it is
 * out of this VM's reach; a signal does not end this. False: VM_EXIT_DEVICE if dom0 knows of none,
 * VM_EXIT_ERROR if it serves no such requests, or any failure of client_run.
 */
bool client_discard(struct mailbox *mailbox, const char *of, GError **error);

/*
 * Likewise the one that our `new` brought into this VM's slot, by that request or, if the daemon
 * was restarted since and does not know it any more, by its being there.
 */
bool client_give_back(struct mailbox *mailbox, const struct mailbox_asked *lent_by, GError **error);

#endif
