/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loop devices, by ioctl. One stays bound, whatever becomes of the daemon, until it is let go of:
 * between the nodes and blkback's open nobody but the daemon has it open, and a device that was
 * freed there would be empty for the VM, or another pendrive's by then. From when it is let go of
 * the kernel frees it with its last holder, and "is it still bound?" is the same question as "does
 * anybody have it open?". What no daemon comes back for, the next one's sweep frees.
 */
#ifndef QFX_LOOP_H
#define QFX_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop {
	int fd; /* holds the device until somebody else has it open; -1: not held */
	unsigned number;
	unsigned major, minor;
};

struct loop_view {
	const char *path;
	uint64_t offset;     /* a multiple of 512 */
	uint64_t size_limit; /* 0: to the end of the file */
	bool read_only;
};

/* Binds a free device to that view of the file. 0 or -errno. */
int loop_bind(const struct loop_view *view, struct loop *out);
/* Holds a device that an earlier daemon bound to the image at `path`. 0 or -errno; -ENOENT: it is
 * bound to something else by now, or to nothing. */
int loop_hold(unsigned number, const char *path, struct loop *out);
/* Gives up our hold on it: it is freed when the last who has it open closes it, at once if there is
 * nobody else. */
void loop_let_go(struct loop *l);
/* Gives up our hold, and it stays bound: for the next daemon. */
void loop_leave(struct loop *l);
/*
 * Whether `backing`, which sysfs says of a loop device, is the image at `path`: all of the path, or
 * the end of it. A daemon that systemd gave a mount namespace takes that along when it ends, and of
 * a file that was opened there only the part of its path below the mount is known from then on. The
 * name says which it is: no two images have the same.
 */
bool loop_is_over(const char *backing, const char *path);
/* Whether that device is bound to that file now, by whomever. */
bool loop_is_bound(unsigned number, const char *path);
/* The device bound to that file, or -ENOENT. */
int loop_find(const char *path);
/* Unbinds all devices over images in that folder for which keep(arg, number) is false. */
void loop_sweep(const char *folder, bool (*keep)(void *arg, unsigned number), void *arg);

#endif
