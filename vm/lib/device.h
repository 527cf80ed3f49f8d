/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The outgoing pendrive as this VM sees it: is it there, does anyone use it, is everything on it.
 *
 * Linux gives up a mounted disk without a word and what was not written yet is lost without an
 * error, so these questions must be answered before dom0 is asked to take the pendrive.
 */
#ifndef QFX_VM_DEVICE_H
#define QFX_VM_DEVICE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * /dev/xvdg, or what QPEN_DEVICE in the environment names: another block device or, for tests on
 * machines without one, a regular file. Nobody gains a right by that, since no program of ours has
 * more rights than its user.
 */
const char *device_outgoing(void);

/*
 * Whether `path` may be sent: it is there, no mount known to this process shows it, nobody claims
 * it (mounts in other namespaces, device mapper, swap), no loop device stands on it and no process
 * that we may look into has it open; and what was written to it has reached it. False:
 * VM_EXIT_DEVICE where it is not there or in use, VM_EXIT_FAILED where that cannot be known.
 */
bool device_settle(const char *path, GError **error);

/* Waits until udev has made `path` and this process may read and write it. */
bool device_wait_usable(const char *path, unsigned timeout_ms, GError **error);

#endif
