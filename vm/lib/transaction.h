/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Root's part of a transaction: what is in the slot, and which of the user's programs gets it.
 * Nothing here reads a byte of the pendrive.
 */
#ifndef QFX_VM_TRANSACTION_H
#define QFX_VM_TRANSACTION_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "mailbox.h"
#include "qpen_contract.h"

/* The administrator's lines for the environment of the user's programs. */
#define TRANSACTION_ENVIRONMENT "/etc/qubes-pendrive/environment"

struct transaction {
	char seq[QPEN_SEQ_MAX + 1];
	char peer[QPEN_NAME_MAX + 1]; /* who sent it: the opener, or a DisposableVM */
	uint64_t offset;              /* where the header starts on the device */
	bool view;                    /* of a request: no answer is wanted */
	bool disposable;              /* whether dom0 made this VM for a transaction */
};

enum transaction_kind {
	TRANSACTION_REQUEST,  /* open this file */
	TRANSACTION_ANSWER,   /* the file comes back */
	TRANSACTION_REPEATED, /* this request was served before, by an earlier run of ours */
};

/* Reads the transaction of the pendrive in the slot, whose SEQ is `seq`. */
bool transaction_read(
	struct mailbox *mailbox, const char *seq, struct transaction *out, GError **error);

/*
 * What it is. A DisposableVM's first transaction is the one it was made for, a request, and is
 * remembered in a file of /run, so that no restart opens the file twice; with `claim` it is
 * remembered from now on. Whatever comes later is an answer to something it asked for itself.
 */
bool transaction_classify(const struct transaction *transaction, bool claim,
	enum transaction_kind *out, GError **error);

/*
 * The answer to one of this VM's requests goes to qubes_dvm_store, run as the user `user_name`.
 * A success is written to the journal. False, VM_EXIT_KEPT: it could not be stored, and the
 * pendrive must not be given back, since the edit is nowhere else; a second call tries it again.
 */
bool transaction_answer(
	const struct transaction *transaction, const char *user_name, GError **error);

/*
 * A request, from the claim to the end of this VM: qubes_dvm_open, run as the user, reads the
 * file; the pendrive is given back; and when editing is over dom0 is told that the VM may go. It
 * stays as long as it may hold an edit that was not sent.
 *
 * Takes as long as somebody edits. Must not run in a unit that ends with the device.
 */
void transaction_request(
	struct mailbox *mailbox, const struct transaction *transaction, const char *user_name);

/*
 * Starts the unit that carries it out. A request's must outlive the device; the other's may do what
 * the device's unit, which mounts, may not. Without systemd the caller itself goes on, with
 * *out_here true: with a request in a new session, in the background, and the process that was
 * called ends.
 */
bool transaction_detach(enum transaction_kind kind, bool *out_here, GError **error);

#endif
