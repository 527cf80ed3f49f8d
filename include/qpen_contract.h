/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The contract between dom0 and a VM: xenstore keys, device numbers and limits.
 * Shared by the daemon and the programs in the VMs; docs/PROTOCOL.md says it in prose.
 */
#ifndef QFX_QPEN_CONTRACT_H
#define QFX_QPEN_CONTRACT_H

/* Keys, relative to /local/domain/<domid>. Who may write which is in docs/PROTOCOL.md. */
#define QPEN_KEY_REQUEST "device/qpen"
#define QPEN_KEY_REPLY "device/qpen-reply"
#define QPEN_KEY_BLOCKSRC "qubes_blocksrc"
#define QPEN_KEY_SEQ "qubes_transaction_seq"
/* Where the sender's bytes start on the incoming slot, in bytes, decimal: "0" or "65536". */
#define QPEN_KEY_OFFSET "qubes_pendrive_offset"
/* Written by the VM's tools at boot: they read replies and the guarded layout. */
#define QPEN_KEY_VERSION "data/qpen-version"
#define QPEN_VERSION "2"
/*
 * A transaction: one file on its way to a DisposableVM, or back. Its SEQ is in QPEN_KEY_SEQ; the
 * mode tells a DisposableVM whether an answer is wanted.
 */
#define QPEN_KEY_MODE "qubes_transaction_mode"
#define QPEN_MODE_EDIT "edit"
#define QPEN_MODE_VIEW "view"
/* Written by dom0 for VMs that it made for one transaction, and for the one they are copies of. */
#define QPEN_KEY_VM_TYPE "qubes_vm_type"
#define QPEN_VM_TYPE_DISPOSABLE "DisposableVM"
/* Likewise: the colour of its opener's label, if dom0 has one for that. */
#define QPEN_KEY_LABEL "qubes_label"
/* The longest word for a colour. */
#define QPEN_LABEL_MAX 31u
/* Written by the tools of such a VM when it has booted and may be saved: "1". */
#define QPEN_KEY_READY "data/qpen-ready"
/*
 * Written by dom0 into a DisposableVM that it made, which owns it: QPEN_SEED_BYTES hex digits, for
 * the kernel's random number generator, whose state all copies of one saved VM share. The VM
 * removes it when it has used it.
 */
#define QPEN_KEY_SEED "data/qpen-seed"
#define QPEN_SEED_BYTES 64u

/* The longest request, in bytes; a 2010 client writes far less. */
#define QPEN_REQUEST_MAX 255u
/* The longest reply, in bytes, the ID included. */
#define QPEN_REPLY_MAX 255u
/* A request's ID: 1 to QPEN_ID_MAX characters of [0-9A-Za-z]. */
#define QPEN_ID_MAX 32u
/* What stands in place of the ID in answers to requests that carry none. */
#define QPEN_ID_NONE "-"
/* An opener's number for a transaction: 1 to QPEN_SEQ_MAX characters of [0-9A-Za-z]. */
#define QPEN_SEQ_MAX 32u
#define QPEN_SEQ_NONE "0"
/* The longest VM name that can take part. */
#define QPEN_NAME_MAX 63u
/* The word that stands for a VM made for the occasion; no VM of that name can be reached.
   DisposableVMs are called disp1, disp2 ... */
#define QPEN_DISPOSABLE "disposable"

/* The slots: Xen's vdev numbers, (202 << 8) | (letter << 4), and what Linux calls them. */
#define QPEN_OUTGOING_VDEV 51808u
#define QPEN_OUTGOING_NAME "xvdg"
#define QPEN_INCOMING_VDEV 51824u
#define QPEN_INCOMING_NAME "xvdh"

/*
 * A guarded pendrive is QPEN_GUARD_BYTES zeros, the data, QPEN_GUARD_BYTES zeros. The sender
 * reaches the data alone, so the receiver's kernel finds dom0's zeros wherever partition tables
 * stand.
 */
#define QPEN_GUARD_BYTES 65536u

/*
 * The header of a transaction, at the start of the bare device: the file's size, 64 bits, the
 * lowest byte first; its name, with a NUL behind it and NULs up to the end. The file's bytes
 * follow.
 */
#define QPEN_DVM_HEADER_BYTES 1024u
#define QPEN_DVM_SIZE_BYTES 8u
#define QPEN_DVM_NAME_BYTES (QPEN_DVM_HEADER_BYTES - QPEN_DVM_SIZE_BYTES)

#endif
