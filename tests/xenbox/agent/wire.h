/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host, the agent in dom0 and the agent in a VM say to each other. The same in
 * xenboxlib/channel.py.
 *
 * One connection runs one command. It carries frames: a type byte, the payload's length (32 bits,
 * little-endian), the payload.
 *
 *	host to agent				agent to host
 *	HELLO nonce				HELLO the same nonce
 *	START domain, wait seconds, argv	(each NUL-terminated; the agent in a VM gets it too)
 *	STDIN bytes; no bytes = end		TAKEN how many bytes of STDIN the command has got
 *(u32) SIGNAL number (u32)			STDOUT bytes, STDERR bytes EXIT status, 128 + signal
 *if killed (u32); the last frame ERROR text: there was no command to run; the last frame
 *
 * The host has never more than WIRE_WINDOW bytes of STDIN on the way that were not TAKEN. So an
 * agent can always read, and a SIGNAL is never stuck behind input which nobody wants.
 *
 * Between the host and dom0 lies a virtio-serial port, which outlives the clients: what a killed
 *one left behind is still in it. Therefore in both directions WIRE_ESCAPE within frames is followed
 *by a 0, and WIRE_ESCAPE WIRE_SYNC, which can then be found at any place in any rubbish, begins a
 * conversation anew. The nonce tells this client's SYNC from that of an earlier one.
 */
#ifndef XENBOX_WIRE_H
#define XENBOX_WIRE_H

#define WIRE_ESCAPE 0xa5
#define WIRE_SYNC 0x01
#define WIRE_WINDOW (1U << 20)
#define WIRE_MAX_PAYLOAD (1U << 20)
#define WIRE_HEADER 5
#define WIRE_NONCE 16

/* The name by which the host calls dom0. */
#define WIRE_DOM0 "dom0"

/*
 * In a VM's part of xenstore, which only these agents use: below it, a folder for each command
 * being run, with the keys of its vchan, and "go" when the VM may connect.
 */
#define WIRE_XS_FOLDER "data/xenbox"

enum wire_type {
	WIRE_HELLO = 'H',
	WIRE_START = 'S',
	WIRE_STDIN = 'i',
	WIRE_SIGNAL = 'k',
	WIRE_TAKEN = 't',
	WIRE_STDOUT = 'o',
	WIRE_STDERR = 'e',
	WIRE_EXIT = 'x',
	WIRE_ERROR = 'f',
};

#endif
