/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A received pendrive in its slot: what it is, how it is mounted, and when somebody unmounts it.
 * All bytes on it were chosen by another VM. Nothing here reads them; the kernel's vfat does.
 */
#ifndef QFX_VM_INCOMING_H
#define QFX_VM_INCOMING_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define INCOMING_DEVICE "/dev/xvdh"
#define INCOMING_FOLDER "/mnt/incoming"
/* What the line in fstab names: the device, or the loop device over it. By udev, or by us. */
#define INCOMING_LINK "/dev/qubes-incoming"

/* Exactly "0" or "65536": where the sender's bytes start. */
bool incoming_parse_offset(const char *text, uint64_t *out);

/*
 * mount(2)'s last argument: the files are `uid`'s alone and none is executable. Times are UTC on
 * both sides, since vfat itself knows no time zone. The caller frees it.
 */
char *incoming_options(uid_t uid, gid_t gid);

/*
 * Mounts the pendrive read-only as vfat and as nothing else: no type is guessed. With an offset, a
 * loop device shows the sender's bytes alone. *out_mounted is the device that mountinfo will show.
 * Before that it is noted (received.h) whose it is: `source` is a sound VM name, or "".
 */
bool incoming_mount(const char *source, uint64_t offset, uid_t uid, gid_t gid, dev_t *out_mounted,
	GError **error);

/* Notes the same of one that is mounted already, where that is not known. */
void incoming_adopt(const char *source, dev_t mounted);

/* Whether it is mounted already, by an earlier run of ours or by hand. */
bool incoming_is_mounted(dev_t *out_mounted);

enum incoming_end {
	INCOMING_UNMOUNTED, /* by anyone */
	INCOMING_STOPPED,   /* SIGTERM, SIGINT or SIGHUP came; it is still mounted */
	INCOMING_FAILED,
};

/*
 * Waits until `mounted` is mounted nowhere in this namespace. `signals` is a signalfd of the
 * signals that end the wait.
 */
enum incoming_end incoming_wait(dev_t mounted, int signals, GError **error);

/* Takes every mount of that device away, lazily where it is in use. */
void incoming_unmount(dev_t mounted);

/* Whether the device is still in its slot. */
bool incoming_is_there(void);

#endif
