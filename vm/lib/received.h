/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of the VM's user know of the pendrive at INCOMING_FOLDER. The unit that mounts
 * it writes down whose it is, before it mounts it, so that whoever notices the mount finds the note
 * there. A note is believed for the very device that it speaks of and for as long as that is
 * mounted.
 */
#ifndef QFX_VM_RECEIVED_H
#define QFX_VM_RECEIVED_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "qpen_contract.h"

struct received {
	dev_t device;                   /* as mountinfo shows it */
	char source[QPEN_NAME_MAX + 1]; /* a sound VM name, or "" where nobody said */
	gint64 since_s;                 /* Unix time; 0 where nobody said */
};

/*
 * Before there is a device: what file managers shall call it, for udev (55-qubes-pendrive.rules).
 * Root alone can. False: they will have no name for it, and nothing else is wrong.
 */
bool received_announce(const char *source, GError **error);

/* Its text, which nobody need escape: `source` is a sound VM name, or "". */
char *received_format_announcement(const char *source);

/* Writes the note; root alone can. False: nobody will know, and nothing else is wrong. */
bool received_note(const struct received *received, GError **error);

/* All of that. */
void received_forget(void);

/*
 * The note as text: pure, and total over any bytes. False where it is none; *out is then not
 * written.
 */
char *received_format(const struct received *received);
bool received_parse(const char *untrusted, gsize len, struct received *out);

/*
 * The pendrive that is mounted now. False with VM_EXIT_DEVICE where there is none, and with
 * VM_EXIT_FAILED where that cannot be known.
 */
bool received_find(struct received *out, GError **error);

/* For people: "work", or "a VM that is not known" in place of a name. Borrowed. */
const char *received_from(const struct received *received);

/* The bytes that the device has, which the sender cannot lie about; 0: not known. */
uint64_t received_device_bytes(dev_t device);

#endif
