/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asking dom0 and waiting for its answer, as docs/PROTOCOL.md says: by watches and deadlines, with
 * neither sleeps nor polling. One conversation at a time; not for use by several threads.
 *
 * xenstore is reached as libxenstore does it: through /dev/xen/xenbus, or a socket named in the
 * environment (XENSTORED_PATH), which is how the tests speak as a VM.
 */
#ifndef QFX_VM_MAILBOX_H
#define QFX_VM_MAILBOX_H

#include <glib.h>
#include <signal.h>
#include <stdbool.h>

#include "reply.h"

struct mailbox;

/* What is known of a request, however asking it ended. */
struct mailbox_asked {
	char id[QPEN_ID_MAX + 1]; /* its ID; empty: nothing was asked */
	bool taken;               /* dom0 has it; if not, it was withdrawn */
};

/* All times count from the call of mailbox_ask. */
struct mailbox_terms {
	unsigned take_ms; /* until dom0 must have taken the request out of the mailbox */
	/* Until the final answer, or `wait open`, must be there: from then on a person works on the
	   file, for as long as it takes. */
	unsigned reply_ms;
	bool deaf; /* signals are ignored, and do not end the wait */
	/* Looked at when signals are caught here already, so that none is missed; may be NULL. */
	const volatile sig_atomic_t *stop;
	struct mailbox_asked *asked; /* written; may be NULL */
	bool no_wait; /* return once the request lies in the mailbox; there is no reply then */
	/*
	 * Called at each `wait` that says something new; may be NULL. False ends the waiting:
	 * mailbox_ask then succeeds, with this reply.
	 */
	bool (*on_wait)(const struct reply *reply, void *data);
	void *data;
};

/* NULL: `error` says why, with what the user can do. */
struct mailbox *mailbox_open(GError **error);
void mailbox_close(struct mailbox *mailbox);

static inline void mailbox_scope_close(struct mailbox *const *mailbox)
{
	mailbox_close(*mailbox);
}
#define automailbox __attribute__((cleanup(mailbox_scope_close))) struct mailbox

/*
 * Puts `request` (without an ID; at most QPEN_REQUEST_MAX bytes together with one) into the mailbox
 * and waits for the final answer, which may well be an error of dom0: that is a success here.
 *
 * False: VM_EXIT_NO_ANSWER, VM_EXIT_INTERRUPTED (SIGINT, SIGTERM or SIGHUP, which are caught during
 * the call alone) or VM_EXIT_FAILED. A request that dom0 has not
 * taken by then is withdrawn, so that nothing happens later that nobody waits for.
 */
bool mailbox_ask(struct mailbox *mailbox, const char *request, const struct mailbox_terms *terms,
	struct reply *reply, GError **error);

/*
 * Reads a small value of this VM's own tree, e.g. QPEN_KEY_OFFSET. *out is NULL where there is no
 * such key; values with control characters are refused. The caller frees it.
 */
bool mailbox_read(struct mailbox *mailbox, const char *key, char **out, GError **error);

/* Writes a value of this VM's own tree, once. */
bool mailbox_write(struct mailbox *mailbox, const char *key, const char *value, GError **error);

/*
 * Keeps `key` at `value`: writes it wherever it differs, until SIGTERM or SIGINT (true), or a
 * failure (false). A domain that is restored under a new number finds its tree empty; the kernel
 * then registers all watches again, which fires them, and so the value is written again.
 */
bool mailbox_keep(struct mailbox *mailbox, const char *key, const char *value,
	void (*on_written)(void *data), void *data, GError **error);

#endif
