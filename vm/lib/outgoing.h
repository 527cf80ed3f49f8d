/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The outgoing pendrive as a mounted file system. mount(8) and umount(8) do it, which are setuid
 * already and allow it to every user because of the line in fstab.
 */
#ifndef QFX_VM_OUTGOING_H
#define QFX_VM_OUTGOING_H

#include <glib.h>
#include <stdbool.h>

#define OUTGOING_FOLDER "/mnt/outgoing"
/*
 * In the environment, for tests where nothing can be mounted: a folder that stands for the mounted
 * pendrive. Nobody gains a right by that, since no program of ours has more rights than its user.
 */
#define OUTGOING_STAND_IN "QPEN_OUTGOING_FOLDER"

/* Whether it could be mounted: fstab has the line, and nothing is mounted there. */
bool outgoing_check(GError **error);

/* Mounts `device` and returns a descriptor of its root folder; -1: `error` says why. */
int outgoing_mount(const char *device, GError **error);

/* Everything in the file system of `fd` is written, or there is an error. */
bool outgoing_sync(int fd, GError **error);

/* No descriptor in it may be open any more. Nothing mounted is a success. */
bool outgoing_unmount(GError **error);

#endif
