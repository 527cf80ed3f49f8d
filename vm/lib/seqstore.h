/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this user has open in DisposableVMs: a folder, ~/.dvm, with one record for each transaction.
 *
 *     seq        the number that was given out last
 *     SEQ        the record of a transaction that is open
 *     SEQ.taken  an answer came, and is being stored
 *     SEQ.done   it is over; the record says how
 *
 * A record is in one of these places at a time, and moves by a rename, so an answer finds it once;
 * an answer that could not be stored, or whose storing was cut off, may be tried again.
 * It begins with the file's path and a NUL, as since 2010; a key file stands behind.
 */
#ifndef QFX_VM_SEQSTORE_H
#define QFX_VM_SEQSTORE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "filehash.h"
#include "qpen_contract.h"

/* X(enumerator, word): how a transaction stands. */
#define SEQ_STATES(X)                                                                              \
	X(OPEN, "open")                                                                            \
	/* An answer is being stored, or whoever did so was killed. */                             \
	X(TAKEN, "taken")                                                                          \
	X(SAVED, "saved")                                                                          \
	/* Saved; the file had changed meanwhile, and that version is at `detail`. */              \
	X(KEPT_BOTH, "kept-both")                                                                  \
	/* The answer is at `detail`; the file is as it was. */                                    \
	X(ELSEWHERE, "stored-elsewhere")                                                           \
	/* The answer broke the rules; `detail` says which. */                                     \
	X(REFUSED, "refused")                                                                      \
	/* Nothing was stored, or nothing was sent; `detail` says why. */                          \
	X(FAILED, "failed")                                                                        \
	X(UNCHANGED, "unchanged")                                                                  \
	X(LOST, "lost")

#define SEQ_ENUM_STATE_(name, word) SEQ_##name,
enum seq_state { SEQ_STATES(SEQ_ENUM_STATE_) };
#undef SEQ_ENUM_STATE_

const char *seq_state_name(enum seq_state state);

/* Finish it with seq_record_finish. */
struct seq_record {
	char *path; /* absolute, without symbolic links; any bytes */
	bool view;  /* no answer is wanted */
	enum seq_state state;
	char *detail; /* of the state, any bytes; may be NULL */
	/* The file as it was sent. */
	uint64_t size_bytes;
	unsigned mode; /* as chmod(2) has it */
	unsigned uid;
	unsigned gid;
	char sha256[FILEHASH_CHARS + 1];
};

void seq_record_finish(struct seq_record *record);

/* Of finished records so many are kept, the newest; of all together so many. */
#define SEQSTORE_KEEP_DONE 100u
#define SEQSTORE_KEEP_ALL 1000u

/*
 * Where the records are: .dvm in the home folder that the user database names for the effective
 * user. Not in $HOME: the program that stores an answer is started by the system, and must come to
 * the same place as the one that the user started. QPEN_DVM_FOLDER in the environment names another
 * folder, for tests. NULL: `error` says why; the caller frees it.
 */
char *seqstore_default_folder(GError **error);

struct seqstore;

/* Makes the folder where it is missing. NULL: `error` says why. */
struct seqstore *seqstore_open(const char *folder, GError **error);
void seqstore_close(struct seqstore *store);

static inline void seqstore_scope_close(struct seqstore *const *store)
{
	seqstore_close(*store);
}
#define autoseqstore __attribute__((cleanup(seqstore_scope_close))) struct seqstore

/*
 * Gives the record a new number, which none had before, and puts it down as open. On success it is
 * on the disk.
 */
bool seqstore_add(struct seqstore *store, const struct seq_record *record,
	char out_seq[QPEN_SEQ_MAX + 1], GError **error);

/*
 * The record for an answer: nobody gets it a second time, but `again` to one who knows that it is
 * the same answer, and that whoever took it before has ended without seqstore_finish. False:
 * VM_EXIT_ERROR if no answer is to be taken for that SEQ (unknown, used, only viewed),
 * VM_EXIT_FAILED if that cannot be known. `out` is set, to be finished, on success alone.
 */
bool seqstore_take(struct seqstore *store, const char *untrusted_seq, bool again,
	struct seq_record *out, GError **error);

/* Puts down how it ended, for a record that was taken: its state and detail. */
bool seqstore_finish(
	struct seqstore *store, const char *seq, const struct seq_record *record, GError **error);

/*
 * Ends an open transaction from the side that opened it, so that no answer is taken any more. False
 * and no error: an answer was taken already.
 */
bool seqstore_end(struct seqstore *store, const char *seq, enum seq_state state, const char *detail,
	GError **error);

/* The record as it is now, wherever it is; to be finished on success. */
bool seqstore_read(struct seqstore *store, const char *seq, struct seq_record *out, GError **error);

#endif
