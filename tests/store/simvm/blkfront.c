/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block front end of the VMs. Everything it knows it reads over the VM's own xenbus, and
 * everything it does it writes there; each step waits for the reply of the one before.
 *
 * A device is looked at afresh ("refresh": read backend, own state, backend's state, then decide)
 * whenever a watch fires. That makes it independent of how many events were folded into one.
 */
#include <errno.h>
#include <glib.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/xs_wire.h>

#include "loop.h"
#include "vm.h"

#define DEVICES "device/vbd"

struct blkfront {
	struct vm *vm;
	unsigned int vdev;
	enum device_state state;         /* what the driver last wrote; UNKNOWN: not probed yet */
	enum device_state backend_state; /* as last read */
	char *backend;                   /* its path in xenstore, once known */
	uint32_t tx;                     /* of the connect transaction under way */
	bool is_busy;                    /* a refresh or a step is under way */
	bool is_stale;                   /* a watch fired meanwhile: refresh again */
	bool is_late;                    /* its connect or close delay is over */
	const char *trouble;             /* what went wrong last, if the device is still there */
	int trouble_error;
	bool has_complained;
	struct loop_timer delay;
};

static void refresh(struct blkfront *front);
static void decide(struct blkfront *front);

/* Small helpers around requests */

static char *node(const struct blkfront *front, const char *key)
{
	return g_strdup_printf(DEVICES "/%u%s%s", front->vdev, *key ? "/" : "", key);
}

static void read_path(struct blkfront *front, const char *path, xenbus_reply_fn on_reply)
{
	xenbus_request(front->vm->bus, XS_READ, 0, path, strlen(path) + 1, on_reply, front);
}

static void read_backend(struct blkfront *front, const char *key, xenbus_reply_fn on_reply)
{
	g_autofree char *path = g_strdup_printf("%s/%s", front->backend, key);

	read_path(front, path, on_reply);
}

static void write_node(
	struct blkfront *front, const char *key, const char *value, xenbus_reply_fn on_reply)
{
	g_autofree char *path = node(front, key);
	g_autoptr(GByteArray) body = g_byte_array_new();

	g_byte_array_append(body, (const guint8 *)path, (guint)strlen(path) + 1);
	g_byte_array_append(body, (const guint8 *)value, (guint)strlen(value));
	xenbus_request(front->vm->bus, XS_WRITE, front->tx, body->data, body->len, on_reply, front);
}

/*
 * An error is worth a complaint only if the device still exists: one that was removed meanwhile
 * fails in the same way (a VM may not make nodes there), and that is in order. So look again.
 */
static void note_trouble(struct blkfront *front, const char *what, int error)
{
	front->trouble = what;
	front->trouble_error = error;
	front->is_stale = true;
}

static void complain_of_trouble(struct blkfront *front)
{
	if (front->trouble && !front->has_complained) {
		record_add(RECORD_COMPLAINT, "dom%u disk %u front end: %s: %s", front->vm->domid,
			front->vdev, front->trouble, g_strerror(front->trouble_error));
		front->has_complained = true;
	}
	front->trouble = NULL;
}

static void finish_step(struct blkfront *front)
{
	front->is_busy = false;
	if (front->is_stale)
		refresh(front);
}

static void on_state_written(void *owner, int error, const char *body, size_t length)
{
	struct blkfront *front = owner;

	(void)body;
	(void)length;
	if (error != 0)
		note_trouble(front, "cannot write its state", error);
	vm_show_device(front->vm, front->vdev, !error && front->state == DEVICE_CONNECTED);
	finish_step(front);
}

static void switch_state(struct blkfront *front, enum device_state state)
{
	char text[2] = {(char)('0' + state), '\0'};

	front->state = state;
	front->is_late = false;
	write_node(front, "state", text, on_state_written);
}

/* Connecting: the ring's nodes in a transaction, then state 3. */

static void start_connecting(struct blkfront *front);

static void on_connect_end(void *owner, int error, const char *body, size_t length)
{
	struct blkfront *front = owner;

	(void)body;
	(void)length;
	front->tx = 0;
	if (error == EAGAIN) {
		start_connecting(front);
		return;
	}
	if (error != 0) {
		note_trouble(front, "cannot publish its ring", error);
		finish_step(front);
		return;
	}
	switch_state(front, DEVICE_INITIALISED);
}

static void on_connect_begin(void *owner, int error, const char *body, size_t length)
{
	struct blkfront *front = owner;

	(void)length;
	if (error != 0) {
		note_trouble(front, "cannot start a transaction", error);
		finish_step(front);
		return;
	}
	front->tx = (uint32_t)strtoul(body, NULL, 10);
	write_node(front, "ring-ref", "8", NULL);
	write_node(front, "event-channel", "9", NULL);
	write_node(front, "protocol", "x86_64-abi", NULL);
	xenbus_request(
		front->vm->bus, XS_TRANSACTION_END, front->tx, "T", 2, on_connect_end, front);
}

static void start_connecting(struct blkfront *front)
{
	xenbus_request(front->vm->bus, XS_TRANSACTION_START, 0, "", 1, on_connect_begin, front);
}

/* Going to state 4 needs what the backend said of the disk. */
static void on_sectors(void *owner, int error, const char *body, size_t length)
{
	struct blkfront *front = owner;

	(void)body;
	(void)length;
	if (error != 0) {
		note_trouble(front, "cannot read the backend's sectors", error);
		finish_step(front);
		return;
	}
	switch_state(front, DEVICE_CONNECTED);
}

/* Deciding what to do */

static void on_delay_over(void *owner)
{
	struct blkfront *front = owner;

	front->is_late = true;
	refresh(front);
}

/* True: the step may be taken now. Otherwise it will be refreshed when its time has come. */
static bool is_time(struct blkfront *front, int delay_ms)
{
	if (delay_ms == 0 || front->is_late)
		return true;
	if (delay_ms != NEVER && !front->delay.link)
		loop_arm(&front->delay, delay_ms);
	return false;
}

static void decide(struct blkfront *front)
{
	switch (front->backend_state) {
	case DEVICE_INIT_WAIT:
		if (front->state != DEVICE_INITIALISING ||
			!is_time(front, front->vm->connect_delay_ms))
			break;
		start_connecting(front);
		return;
	case DEVICE_CONNECTED:
		if (front->state != DEVICE_INITIALISED)
			break;
		read_backend(front, "sectors", on_sectors);
		return;
	case DEVICE_CLOSING:
	case DEVICE_CLOSED:
		if (front->state == DEVICE_CLOSED || !is_time(front, front->vm->close_delay_ms))
			break;
		switch_state(front, DEVICE_CLOSED);
		return;
	case DEVICE_UNKNOWN:
	case DEVICE_INITIALISING:
	case DEVICE_INITIALISED:
		break;
	}
	finish_step(front);
}

/* Refreshing: backend's path, own state, backend's state */

static void on_backend_state(void *owner, int error, const char *body, size_t length)
{
	struct blkfront *front = owner;

	(void)length;
	if (error != 0 && !front->has_complained)
		note_trouble(front, "cannot read the backend's state", error);
	front->backend_state = error ? DEVICE_UNKNOWN : (enum device_state)strtoul(body, NULL, 10);
	decide(front);
}

static void on_backend_watch(void *owner, const char *path)
{
	(void)path;
	refresh(owner);
}

static void forget(struct blkfront *front)
{
	if (front->backend) {
		g_autofree char *path = g_strdup_printf("%s/state", front->backend);
		xenbus_unwatch(front->vm->bus, path, front);
	}
	g_hash_table_remove(front->vm->fronts, GUINT_TO_POINTER(front->vdev)); /* frees it */
}

/* As xenbus_probe_node: a device is taken up in state 1 only. */
static void on_own_state(void *owner, int error, const char *body, size_t length)
{
	struct blkfront *front = owner;
	enum device_state state =
		error ? DEVICE_UNKNOWN : (enum device_state)strtoul(body, NULL, 10);

	(void)length;
	if (state == DEVICE_UNKNOWN && !front->is_stale) {
		forget(front);
		return;
	}
	if (state == DEVICE_UNKNOWN) {
		finish_step(front);
		return;
	}
	complain_of_trouble(front);
	if (state == DEVICE_INITIALISING)
		front->state = DEVICE_INITIALISING; /* new, or removed and made again */
	if (front->state == DEVICE_UNKNOWN || !front->backend) {
		finish_step(front);
		return;
	}
	read_backend(front, "state", on_backend_state);
}

static void on_backend_path(void *owner, int error, const char *body, size_t length)
{
	struct blkfront *front = owner;
	g_autofree char *own_state = node(front, "state");

	(void)length;
	if (error == 0 && g_strcmp0(body, front->backend) != 0) {
		if (front->backend) {
			g_autofree char *old = g_strdup_printf("%s/state", front->backend);
			xenbus_unwatch(front->vm->bus, old, front);
		}
		g_free(front->backend);
		front->backend = g_strdup(body);
		g_autofree char *path = g_strdup_printf("%s/state", front->backend);
		xenbus_watch(front->vm->bus, path, on_backend_watch, front);
	}
	read_path(front, own_state, on_own_state);
}

static void refresh(struct blkfront *front)
{
	g_autofree char *path = node(front, "backend");

	if (front->is_busy) {
		front->is_stale = true;
		return;
	}
	front->is_busy = true;
	front->is_stale = false;
	read_path(front, path, on_backend_path);
}

/* Finding devices */

static void look_at(struct vm *vm, unsigned int vdev)
{
	struct blkfront *front = g_hash_table_lookup(vm->fronts, GUINT_TO_POINTER(vdev));

	if (!front) {
		front = g_new0(struct blkfront, 1);
		front->vm = vm;
		front->vdev = vdev;
		front->delay.on_time = on_delay_over;
		front->delay.owner = front;
		g_hash_table_insert(vm->fronts, GUINT_TO_POINTER(vdev), front);
	}
	refresh(front);
}

/* Of an event for device/vbd/51808/state only the disk's number matters. */
static void on_devices_watch(void *owner, const char *path)
{
	struct vm *vm = owner;
	GHashTableIter iter;
	void *front;

	if (g_str_has_prefix(path, DEVICES "/")) {
		unsigned long vdev = strtoul(path + strlen(DEVICES "/"), NULL, 10);
		if (vdev > 0 && vdev <= INT_MAX)
			look_at(vm, (unsigned int)vdev);
		return;
	}
	g_hash_table_iter_init(&iter, vm->fronts);
	while (g_hash_table_iter_next(&iter, NULL, &front))
		refresh(front);
}

static void on_first_list(void *owner, int error, const char *body, size_t length)
{
	struct vm *vm = owner;

	if (error != 0)
		return;
	for (const char *name = body; name < body + length; name += strlen(name) + 1) {
		unsigned long vdev = strtoul(name, NULL, 10);
		if (vdev > 0 && vdev <= INT_MAX)
			look_at(vm, (unsigned int)vdev);
	}
}

/* Public functions */

void blkfront_start(struct vm *vm)
{
	xenbus_watch(vm->bus, DEVICES, on_devices_watch, vm);
	xenbus_request(vm->bus, XS_DIRECTORY, 0, DEVICES, sizeof(DEVICES), on_first_list, vm);
}

void blkfront_free(void *data)
{
	struct blkfront *front = data;

	loop_disarm(&front->delay);
	vm_show_device(front->vm, front->vdev, false);
	g_free(front->backend);
	g_free(front);
}

void blkfront_reconsider(struct vm *vm)
{
	GHashTableIter iter;
	void *data;

	g_hash_table_iter_init(&iter, vm->fronts);
	while (g_hash_table_iter_next(&iter, NULL, &data)) {
		struct blkfront *front = data;
		loop_disarm(&front->delay);
		refresh(front);
	}
}
