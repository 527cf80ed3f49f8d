/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The user is done with the received pendrive. */
#ifndef QFX_VM_DONE_H
#define QFX_VM_DONE_H

#include <glib.h>
#include <stdbool.h>

#include "received.h"

/*
 * Unmounts it by umount(8), which is setuid already and allows it to every user because of the line
 * in fstab; the unit that mounted it then gives it back. A success as well where somebody else was
 * faster. False: VM_EXIT_DEVICE where it is in use, by whom if that may be known; VM_EXIT_FAILED
 * with what umount said.
 */
bool done_unmount(const struct received *received, GError **error);

#endif
