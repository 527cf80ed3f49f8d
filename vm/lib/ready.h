/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Telling dom0 that the template of DisposableVMs has booted and may be saved. */
#ifndef QFX_VM_READY_H
#define QFX_VM_READY_H

#include <glib.h>
#include <stdbool.h>

#include "mailbox.h"

/*
 * Only where dom0 says that this is a DisposableVM or the template of some: waits until systemd
 * has finished booting (dom0 has the deadline) and writes QPEN_KEY_READY. *out_told is false in
 * every other VM, at once. Without systemd the caller has chosen the moment.
 */
bool ready_tell(struct mailbox *mailbox, bool *out_told, GError **error);

#endif
