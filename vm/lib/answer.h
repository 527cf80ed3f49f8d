/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stores what a DisposableVM made of a file. All bytes on the device were chosen by that VM; the
 * place where they go was chosen by this user when the file was opened, and is in the record.
 */
#ifndef QFX_VM_ANSWER_H
#define QFX_VM_ANSWER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "seqstore.h"

struct answer {
	struct seqstore *store;
	const char *untrusted_seq;
	bool again;      /* an earlier try to store this very answer was cut off, or failed */
	int in;          /* where the reader of the received pendrive is (reader.h) */
	uint64_t offset; /* where its data starts */
	/* Folders, NULL-terminated: where an answer goes that finds no place beside the file. */
	const char *const *elsewhere;
	bool no_exchange; /* do as on a file system that cannot exchange two names; for tests */
	/* Told what the user should know though it is no failure, in words; may be NULL. */
	void (*note)(const char *words, void *data);
	void *data;
};

/*
 * Takes the record of that SEQ and puts the answer into the place of its file: as a whole, by one
 * step, with the owner, permissions and attributes of the file. A file whose content has changed
 * since it was opened is kept beside it as NAME.before-dvm. If the answer cannot be stored there,
 * it is stored in the first folder of `elsewhere` where it can, as NAME.from-dvm, and the file
 * stays as it is. How it ended is put into the record. One whose storing was cut off after it was
 * put into place is put there again; its first copy is then kept as a version of its own.
 *
 * True: stored; `out` is the record, to be finished, with SEQ_SAVED, SEQ_KEPT_BOTH or
 * SEQ_ELSEWHERE. False: VM_EXIT_ERROR, no answer is taken for that SEQ or this one breaks the
 * rules; or VM_EXIT_FAILED, it could not be stored anywhere. Nothing has changed then, and the
 * answer may be stored `again` when there is room.
 */
bool answer_store(const struct answer *answer, struct seq_record *out, GError **error);

/* NAME, cut at the end of a character where it would be too long for a file system, with that
 * suffix and, if it is not 0, ".NUMBER". The caller frees it. */
char *answer_name(const char *name, const char *suffix, unsigned number);

#endif
