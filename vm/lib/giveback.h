/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Giving the incoming pendrive back to dom0, and saying how that went. */
#ifndef QFX_VM_GIVEBACK_H
#define QFX_VM_GIVEBACK_H

#include "mailbox.h"

/* The daemon may be restarted meanwhile; the unit ends with the device in any case. */
#define GIVEBACK_MS (3600u * 1000u)
/* When systemd wants us to end. */
#define GIVEBACK_STOP_MS 5000u

/* Asks `umount`. Whatever dom0 says is written to the journal; there is nothing left to do then. */
void giveback(struct mailbox *mailbox, unsigned timeout_ms);

#endif
