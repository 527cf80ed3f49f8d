/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Port: what the daemon keeps in xenstore apart from the devices: the VMs, their mailboxes and
 * replies, and the daemon's own records.
 */
#ifndef QFX_STORE_H
#define QFX_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "blocked_record.h"
#include "dispvm.h"
#include "reply.h"
#include "transfer.h"

/* One answer on its way to a VM. */
struct store_reply {
	uint32_t domid;
	const char *id; /* the request's ID, or QPEN_ID_NONE */
	struct reply reply;
};

/* What is to be written at once: all of it or nothing. */
struct store_change {
	const struct transfer *transfer; /* its record, dropped when it is gone; NULL: none */
	const struct dispvm *dispvm;     /* likewise */
	const struct store_reply *replies;
	size_t n_replies;
	/* The VM whose request this records or answers, or 0: its mailbox is emptied as well, so
	 * that a request is answered once, wherever the daemon dies. */
	uint32_t served;
};

/* Called for each record found. `untrusted_text` may be anything: record_parse judges it. */
typedef void (*store_record_fn)(void *arg, const char *untrusted_text, size_t len);

struct store_port {
	void *ctx;
	/* The running domains but dom0, into an array that the caller frees with g_free. 0 or
	 * -errno. */
	int (*list_domains)(void *ctx, uint32_t **domids, size_t *n);
	/*
	 * Who `domid` is now, as libxl wrote it. 0; -ENOENT when there is no such domain (any
	 * more); -EINVAL when it has a name that cannot take part, or no uuid.
	 */
	int (*identify)(void *ctx, uint32_t domid, struct vm_id *out);
	/*
	 * Makes the VM's mailbox if it is not there and listens to it. 0 or -errno; -EAGAIN when
	 * the VM writes into it without pause.
	 */
	int (*open_mailbox)(void *ctx, uint32_t domid);
	void (*close_mailbox)(void *ctx, uint32_t domid);
	/*
	 * Whether it is told what happens to an open mailbox. When it is told again, then once
	 * at the beginning, whatever there is.
	 */
	void (*listen)(void *ctx, uint32_t domid, bool on);
	/*
	 * Reads the request in the mailbox; the commit that serves it empties it. So a request
	 * is lost nowhere, and handled once. 0 with the bytes (*len may exceed `max`: then only so
	 * many were stored) or an empty mailbox (*len 0); -ENOENT when the mailbox is gone; other
	 * -errno.
	 */
	int (*take_request)(
		void *ctx, uint32_t domid, char *untrusted_out, size_t max, size_t *len);
	/* In one transaction. A reply to a VM that has gone is dropped. 0 or -errno. */
	int (*commit)(void *ctx, const struct store_change *change);
	/* 0 or -errno. */
	int (*load_records)(void *ctx, store_record_fn fn, void *arg);
	int (*load_dispvms)(void *ctx, store_record_fn fn, void *arg);
	/* The record of a blocked VM, written or removed. Each 0 or -errno. */
	int (*put_blocked)(void *ctx, const struct blocked_vm *b);
	int (*drop_blocked)(void *ctx, const char *name);
	int (*load_blocked)(void *ctx, store_record_fn fn, void *arg);
};

#endif
