/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What another VM wrote on a pendrive is read by a process that can do nothing else: its header is
 * parsed, and its bytes go through, where there is no file system, no network and no way to start
 * anything. Two ends of a socket: the reader has the pendrive; the other, a program of the user,
 * has a place for the file, and gets a header that was checked and so many bytes as it says.
 */
#ifndef QFX_VM_READER_H
#define QFX_VM_READER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "dvmheader.h"

/* -- the reader's end -- */

/*
 * From here on this process can read, write and seek in what it has open, and end. Everything else
 * kills it. False: errno says why the kernel does not do it.
 */
bool reader_shut_in(void);

/*
 * Shuts itself in, reads the header that stands at `offset` of the pendrive, whose data ends
 * `offset` bytes before its end as well (the guards), and then the file as often as it is asked
 * for. Ends the process when the other end is closed or the pendrive cannot be read.
 */
__attribute__((noreturn)) void reader_serve(int device, int socket, uint64_t offset);

/* -- the other one -- */

struct reader {
	int socket;
	pid_t pid; /* of the reader, if it is our child; or 0 */
	struct dvm_header header;
	bool refused; /* it did not start, since what is on the pendrive cannot be taken */
};

/*
 * `in` is a socket at whose other end a reader is, or an open pendrive, for which one is started
 * that has this process's user and nothing else of it. Takes the header from it, and checks it
 * again: the reader may be in the hands of whom it reads from. False: VM_EXIT_FAILED, with what
 * the header breaks (`refused`) or this VM lacks. Finish it on success. `in` stays open, and its
 * position does not matter.
 */
bool reader_start(struct reader *reader, int in, uint64_t offset, GError **error);

/*
 * Copies the header's file into `file`, from its start, and sets its length. It is not synced. Can
 * be done any number of times.
 */
bool reader_copy(const struct reader *reader, int file, GError **error);

/* Idempotent. */
void reader_finish(struct reader *reader);

#endif
