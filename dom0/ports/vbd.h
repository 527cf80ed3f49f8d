/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The xenstore nodes of one virtual block device, as libxl 4.17 writes and removes them: the back
 * end's folder, the front end's, and libxl's own, which is what `xl block-list` and `xl destroy` go
 * by.
 */
#ifndef QFX_VBD_H
#define QFX_VBD_H

#include <stdbool.h>
#include <stdint.h>

#include "xs.h"

/* The loop driver's major number (linux/major.h). */
#define VBD_LOOP_MAJOR 7u

/* Which device of which VM. */
struct vbd {
	uint32_t domid;
	uint32_t vdev;
};

/* What stands behind it. */
struct vbd_disk {
	const char *name;   /* in the VM, as xvdg */
	const char *params; /* for people and libxl: the block device's path */
	unsigned major, minor;
	bool read_only;
};

/* Xen's states of one end of a device (xen/io/xenbus.h), the ones we meet. */
enum vbd_state {
	VBD_ABSENT = 0, /* no such node, or nothing that can be read */
	VBD_INITIALISING = 1,
	VBD_CONNECTED = 4,
	VBD_CLOSING = 5,
	VBD_CLOSED = 6,
};

/* Each within a transaction of the caller's; 0 or -errno. */
/*
 * The two halves, which are all that the drivers need: the VM gets its disk by them.
 * -EEXIST when there is such a device already. The caller has seen that the domain is there.
 */
int vbd_add(struct xs_conn *c, xs_transaction_t t, struct vbd vbd, const struct vbd_disk *disk);
/*
 * libxl's own folder, a copy of the back end's. Nothing when it is there. -ENOENT when there is no
 * such device (any more). Apart from vbd_add, since no VM need wait for it.
 */
int vbd_tell_libxl(
	struct xs_conn *c, xs_transaction_t t, struct vbd vbd, const struct vbd_disk *disk);
/*
 * Asks the VM to let go; -ENOENT when there is no such device, -EALREADY when it has let go: the
 * driver is then done with the device and answers nothing any more.
 */
int vbd_ask_to_close(struct xs_conn *c, xs_transaction_t t, struct vbd vbd);
/* Removes all its nodes, and the folders that this leaves empty. */
int vbd_remove(struct xs_conn *c, xs_transaction_t t, struct vbd vbd);
/*
 * Removes the VM's own half alone, at once and in no transaction, so that nothing which the VM
 * writes there can make it fail; of what is left the VM can write nothing.
 */
int vbd_remove_front(struct xs_conn *c, struct vbd vbd);

/* The back end's state: dom0's own node, which the VM cannot write. */
enum vbd_state vbd_state(struct xs_conn *c, xs_transaction_t t, struct vbd vbd);
void vbd_state_path(char out[XS_PATH_MAX], struct vbd vbd);
/* The minor number of the loop device behind it, or -errno. */
int vbd_loop_number(struct xs_conn *c, struct vbd vbd);

#endif
