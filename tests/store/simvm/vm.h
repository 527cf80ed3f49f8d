/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The simulated VMs, and what a test may ask them about disks. */
#ifndef QFX_SIMVM_VM_H
#define QFX_SIMVM_VM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "xenbus.h"

#define NEVER (-1)

/* States of a device end in xenstore: enum xenbus_state of Xen's io/xenbus.h, plus "no node". */
enum device_state {
	DEVICE_UNKNOWN = 0,
	DEVICE_INITIALISING = 1,
	DEVICE_INIT_WAIT = 2,
	DEVICE_INITIALISED = 3,
	DEVICE_CONNECTED = 4,
	DEVICE_CLOSING = 5,
	DEVICE_CLOSED = 6,
};

struct vm {
	unsigned int domid;
	char *name;
	char *uuid;
	bool has_blk;       /* drivers for its disks are played, in the VM and in dom0 */
	bool is_introduced; /* xenstored knows it; before that it is dormant */
	bool is_paused;
	bool is_dead; /* shut down, crashed or under destruction: its drivers do nothing */

	/* How its block front end behaves: a delay in ms, or NEVER. */
	int connect_delay_ms;
	int close_delay_ms;

	struct xenbus *bus;
	GHashTable *fronts; /* vdev -> struct blkfront; made by the front end driver */
	GHashTable *backs;  /* vdev -> struct blkback; made by the backend driver */
};

/* NULL if there is no such VM. */
struct vm *vm_find(unsigned int domid);
struct vm *vm_find_by_name(const char *name);

/* A domid as Xen hands them out: rising, and none that is in use. */
unsigned int vm_new_domid(void);

/* Makes the VM and its xenbus, not yet started. NULL with errno on failure. The VM owns strings. */
struct vm *vm_create(unsigned int domid, const char *name, const char *uuid);
void vm_destroy(struct vm *vm);

/* Freezes or thaws its xenbus as is_introduced, is_paused and is_dead say. */
void vm_update_frozen(struct vm *vm);

/* Calls visit for every VM, in no order. */
void vm_foreach(void (*visit)(struct vm *vm, void *context), void *context);
unsigned int vm_count(void);

/* The folder of this box; must be set first. */
void vm_set_dir(const char *dir);
const char *vm_dir(void);

/*
 * What udev shows in a VM: the file DIR/dom<N>.dev/xvdg exists while the disk is connected. It is
 * an ordinary empty file; only that it comes and goes is played.
 */
void vm_show_device(const struct vm *vm, unsigned int vdev, bool is_there);

void vm_on_event(unsigned int domid);

/*
 * The front end driver of blk devices, as Linux 6.1's blkfront: speaks AS the VM over its xenbus,
 * so a node with wrong permissions stops it as it would stop the real one.
 */
struct blkfront;
void blkfront_start(struct vm *vm);
void blkfront_free(void *front);
/* The behaviour of the VM has changed: whatever waited may go on. */
void blkfront_reconsider(struct vm *vm);

/* The backend driver, as Linux 6.1's blkback: in dom0, one for all VMs. */
struct blkback;
void blkback_start(void);
/* A watch event for it. False: the event is of some other watch. */
bool blkback_on_watch(const char *path, const char *token);
void blkback_free(void *back);

/* What a backend has in its hands. */
struct disk {
	unsigned int domid;
	unsigned int vdev;
	const char *physical_device;
	const char *params;
	const char *image; /* the file behind the device, or "" if that is not known */
	const char *mode;
	enum device_state state;
	bool is_held;      /* the backend has the device open */
	bool is_connected; /* and the VM can read and write it, as far as mode allows */
};
void blkback_foreach_disk(void (*visit)(const struct disk *disk, void *context), void *context);

/*
 * What happened, for tests. History: connects and disconnects in order. Violations: a disk opened
 * for two VMs at once. Complaints: what a real driver would have logged as an error.
 */
enum record_kind { RECORD_HISTORY, RECORD_VIOLATION, RECORD_COMPLAINT, RECORD_KINDS };
void record_add(enum record_kind kind, const char *format, ...) G_GNUC_PRINTF(2, 3);
const GPtrArray *record_lines(enum record_kind kind);
void record_clear(enum record_kind kind);

#endif
