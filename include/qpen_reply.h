/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The words of a reply: `ID wait REASON [DETAIL]`, `ID ok [DETAIL]`, `ID error CODE TEXT`.
 * The lists are closed: a client may rely on meeting no other word.
 */
#ifndef QFX_QPEN_REPLY_H
#define QFX_QPEN_REPLY_H

/* X(enumerator, word): why a request ended in an error. */
#define QPEN_ERRORS(X)                                                                             \
	/* The request is not one of the known forms. */                                           \
	X(BAD_REQUEST, "bad-request")                                                              \
	/* `send` or `umount` without a pendrive in that slot. */                                  \
	X(NO_PENDRIVE, "no-pendrive")                                                              \
	/* `new` while a pendrive is in the outgoing slot. */                                      \
	X(HAVE_PENDRIVE, "have-pendrive")                                                          \
	/* The slot is still working on an earlier request. */                                     \
	X(BUSY, "busy")                                                                            \
	/* A VM cannot send to itself. */                                                          \
	X(SELF, "self")                                                                            \
	/* The user said no, nobody answered, or there is no such VM: one answer for all. */       \
	X(REFUSED, "refused")                                                                      \
	/* dom0 has no room for a pendrive of that size. */                                        \
	X(NO_SPACE, "no-space")                                                                    \
	/* The VM has as many pendrives, or bytes in them, as it may. */                           \
	X(QUOTA, "quota")                                                                          \
	/* The size asked for is outside what dom0 allows. */                                      \
	X(BAD_SIZE, "bad-size")                                                                    \
	/* The VM did not connect to, or let go of, the device in time. */                         \
	X(TIMEOUT, "timeout")                                                                      \
	/* Taken back by the user of dom0. */                                                      \
	X(CANCELLED, "cancelled")                                                                  \
	/* The user said yes, but the receiver is gone. */                                         \
	X(RECEIVER_GONE, "receiver-gone")                                                          \
	/* The user said yes, but too many pendrives wait for the receiver. */                     \
	X(QUEUE_FULL, "queue-full")                                                                \
	/* No DisposableVM: the host has no memory for another one. */                             \
	X(NO_MEMORY, "no-memory")                                                                  \
	/* No DisposableVM: this VM, or the host, has as many as it may. */                        \
	X(LIMIT, "limit")                                                                          \
	/* An answer that nobody waits for, or one that was given already. */                      \
	X(NO_TRANSACTION, "no-transaction")                                                        \
	/* The DisposableVM ended before its answer was stored. */                                 \
	X(LOST, "lost")                                                                            \
	/* A request that this daemon does not serve. */                                           \
	X(UNSUPPORTED, "unsupported")                                                              \
	/* Something failed in dom0; its log says what. */                                         \
	X(FAILED, "failed")

/* X(enumerator, word): what a request is waiting for. */
#define QPEN_WAITS(X)                                                                              \
	/* dom0 is taking the device from the sender, or asking its user. */                       \
	X(ASKING, "asking")                                                                        \
	/* The user said yes; the receiver's incoming slot is taken by another pendrive. */        \
	X(QUEUED, "queued")                                                                        \
	/* The device is being attached, or the DisposableVM started that it is for. */            \
	X(STARTING, "starting")                                                                    \
	/* The save file that DisposableVMs are made from is being made. */                        \
	X(PREPARING, "preparing")                                                                  \
	/* The file is open in the DisposableVM that DETAIL names. */                              \
	X(OPEN, "open")

#define QPEN_ENUM_ERROR_(name, word) QPEN_ERROR_##name,
enum qpen_error { QPEN_ERRORS(QPEN_ENUM_ERROR_) };
#undef QPEN_ENUM_ERROR_

#define QPEN_ENUM_WAIT_(name, word) QPEN_WAIT_##name,
enum qpen_wait { QPEN_WAITS(QPEN_ENUM_WAIT_) };
#undef QPEN_ENUM_WAIT_

/* The word for the wire; for people as well. Total: every enumerator has one. */
static inline const char *qpen_error_name(enum qpen_error error)
{
#define QPEN_CASE_(name, word)                                                                     \
	case QPEN_ERROR_##name:                                                                    \
		return word;
	switch (error) {
		QPEN_ERRORS(QPEN_CASE_)
	}
#undef QPEN_CASE_
	return "failed";
}

static inline const char *qpen_wait_name(enum qpen_wait wait)
{
#define QPEN_CASE_(name, word)                                                                     \
	case QPEN_WAIT_##name:                                                                     \
		return word;
	switch (wait) {
		QPEN_WAITS(QPEN_CASE_)
	}
#undef QPEN_CASE_
	return "starting";
}

#endif
