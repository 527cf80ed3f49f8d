/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block backend in dom0's kernel, for all VMs. Like blkfront.c it looks at a device afresh
 * whenever a watch fires, but by calls on dom0's own connection, one after the other.
 *
 * It opens nothing: physical-device is a number in a test. It keeps account of which device is in
 * whose hands, and that is what this layer is for: the same device, or the same params, held for
 * two domains at the same time is noted as a violation.
 */
#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "loop.h"
#include "vm.h"
#include "xs.h"

#define BACKENDS "/local/domain/0/backend/vbd"
#define BACKENDS_TOKEN "blkback"
#define FRONT_TOKEN "blkback-front "

struct blkback {
	struct vm *vm;
	unsigned int vdev;
	char *path;
	enum device_state state;          /* what the driver last wrote; UNKNOWN: not probed */
	char *frontend;                   /* its path, while its state is watched */
	enum device_state frontend_state; /* as last acted on */
	char *physical_device;            /* set while held */
	char *params;
	char *image; /* the file behind physical_device; "" if not known */
	char *mode;
	bool is_connected;
	GList *held_link; /* held; NULL: not held */
	struct loop_task refresh_task;
};

static GQueue held = G_QUEUE_INIT; /* struct blkback whose device is open */

static char *node(const struct blkback *back, const char *key)
{
	return g_strdup_printf("%s/%s", back->path, key);
}

static char *read_node(const struct blkback *back, const char *key)
{
	g_autofree char *path = node(back, key);

	return xs_read(XS_NO_TX, path);
}

/* As xenbus_switch_state: a node that was removed meanwhile is not made again. */
static int write_state(uint32_t tx, void *context)
{
	struct blkback *back = context;
	g_autofree char *path = node(back, "state");
	g_autofree char *before = xs_read(tx, path);
	char text[2] = {(char)('0' + back->state), '\0'};

	return before ? xs_write(tx, path, text) : -ENOENT;
}

static void switch_state(struct blkback *back, enum device_state state)
{
	if (back->state == state)
		return;
	back->state = state;
	xs_transact(write_state, back);
}

/* Holding a device */

/*
 * Two loop devices can stand on one image. A simulated loop layer says what is behind a device by
 * a symbolic link: DIR/loops/<physical-device> points to the image.
 */
static char *image_behind(const char *physical_device)
{
	g_autofree char *name = g_path_get_basename(physical_device);
	g_autofree char *path = g_strdup_printf("%s/loops/%s", vm_dir(), name);
	g_autofree char *image = g_file_read_link(path, NULL);

	return g_strdup(image ? image : "");
}

static bool is_same(const char *a, const char *b)
{
	return *a && strcmp(a, b) == 0;
}

static void check_alone(const struct blkback *back)
{
	for (GList *link = held.head; link; link = link->next) {
		const struct blkback *other = link->data;

		if (other->vm == back->vm ||
			!(is_same(back->physical_device, other->physical_device) ||
				is_same(back->params, other->params) ||
				is_same(back->image, other->image)))
			continue;
		record_add(RECORD_VIOLATION,
			"physical-device=%s params=%s image=%s is given to dom%u (%s) disk %u "
			"while "
			"dom%u (%s) disk %u has physical-device=%s params=%s image=%s",
			back->physical_device, back->params, back->image, back->vm->domid,
			back->vm->name, back->vdev, other->vm->domid, other->vm->name, other->vdev,
			other->physical_device, other->params, other->image);
	}
}

static void hold(struct blkback *back)
{
	g_autofree char *physical_device = read_node(back, "physical-device");
	g_autofree char *mode = read_node(back, "mode");

	if (back->held_link || !physical_device)
		return;
	if (!mode) {
		record_add(RECORD_COMPLAINT, "dom%u disk %u backend: cannot read its mode",
			back->vm->domid, back->vdev);
		return;
	}
	back->physical_device = g_steal_pointer(&physical_device);
	back->mode = g_steal_pointer(&mode);
	back->params = read_node(back, "params");
	if (!back->params)
		back->params = g_strdup("");
	back->image = image_behind(back->physical_device);
	check_alone(back);
	g_queue_push_tail(&held, back);
	back->held_link = held.tail;
}

static void disconnect(struct blkback *back)
{
	if (!back->is_connected)
		return;
	back->is_connected = false;
	record_add(RECORD_HISTORY,
		"disconnect domid=%u vdev=%u physical-device=%s mode=%s params=%s", back->vm->domid,
		back->vdev, back->physical_device, back->mode, back->params);
}

static void release(struct blkback *back)
{
	disconnect(back);
	if (!back->held_link)
		return;
	g_queue_delete_link(&held, back->held_link);
	back->held_link = NULL;
	g_clear_pointer(&back->physical_device, g_free);
	g_clear_pointer(&back->mode, g_free);
	g_clear_pointer(&back->params, g_free);
	g_clear_pointer(&back->image, g_free);
}

/* Without a physical-device it waits: the toolstack may still add one. */
static void connect_ring(struct blkback *back)
{
	static const char *const facts[][2] = {
		{"feature-flush-cache", "1"},
		{"feature-discard", "0"},
		{"sectors", "2097152"},
		{"info", "0"},
		{"sector-size", "512"},
		{"physical-sector-size", "512"},
	};

	if (!back->held_link)
		return;
	for (size_t i = 0; i < G_N_ELEMENTS(facts); i++) {
		g_autofree char *path = node(back, facts[i][0]);
		xs_queue_write(XS_NO_TX, path, facts[i][1]);
	}
	xs_flush();
	back->is_connected = true;
	record_add(RECORD_HISTORY, "connect domid=%u vdev=%u physical-device=%s mode=%s params=%s",
		back->vm->domid, back->vdev, back->physical_device, back->mode, back->params);
	switch_state(back, DEVICE_CONNECTED);
}

/* Life of a device */

static void watch_frontend(struct blkback *back)
{
	g_autofree char *token = g_strdup_printf(FRONT_TOKEN "%u %u", back->vm->domid, back->vdev);

	back->frontend = read_node(back, "frontend");
	if (!back->frontend) {
		record_add(RECORD_COMPLAINT, "dom%u disk %u backend: cannot read its frontend",
			back->vm->domid, back->vdev);
		return;
	}
	g_autofree char *path = g_strdup_printf("%s/state", back->frontend);
	xs_watch(path, token);
}

static void unwatch_frontend(struct blkback *back)
{
	g_autofree char *token = g_strdup_printf(FRONT_TOKEN "%u %u", back->vm->domid, back->vdev);

	if (!back->frontend)
		return;
	g_autofree char *path = g_strdup_printf("%s/state", back->frontend);
	xs_unwatch(path, token);
	g_clear_pointer(&back->frontend, g_free);
}

/* The kernel unregisters the device: it is let go, and closed if the toolstack wants it closed. */
static void unregister(struct blkback *back)
{
	g_autofree char *path = node(back, "state");

	unwatch_frontend(back);
	release(back);
	if (back->state != DEVICE_UNKNOWN &&
		xs_read_number(XS_NO_TX, path, DEVICE_UNKNOWN) == DEVICE_CLOSING)
		switch_state(back, DEVICE_CLOSED);
	g_hash_table_remove(back->vm->backs, GUINT_TO_POINTER(back->vdev)); /* frees it */
}

static bool is_online(const struct blkback *back)
{
	g_autofree char *path = node(back, "online");

	return xs_read_number(XS_NO_TX, path, 0) == 1;
}

static void on_frontend_closed(struct blkback *back)
{
	bool must_stay = is_online(back);

	disconnect(back);
	if (!must_stay)
		release(back); /* before anyone can read that it is closed */
	switch_state(back, DEVICE_CLOSED);
	if (!must_stay)
		unregister(back);
}

static void on_frontend_state(struct blkback *back, enum device_state frontend_state)
{
	switch (frontend_state) {
	case DEVICE_INITIALISING:
		if (back->state == DEVICE_CLOSED)
			switch_state(back, DEVICE_INIT_WAIT);
		break;
	case DEVICE_INITIALISED:
	case DEVICE_CONNECTED:
		if (back->state == DEVICE_INIT_WAIT)
			connect_ring(back);
		break;
	case DEVICE_CLOSING:
		switch_state(back, DEVICE_CLOSING);
		break;
	case DEVICE_CLOSED:
		on_frontend_closed(back);
		break;
	case DEVICE_UNKNOWN:
		unregister(back);
		break;
	case DEVICE_INIT_WAIT:
		break;
	}
}

static void probe(struct blkback *back)
{
	watch_frontend(back);
	switch_state(back, DEVICE_INIT_WAIT);
}

/*
 * The driver is told of its front end's state and of physical-device, not of its own state: what
 * the toolstack writes there is for the front end to see.
 */
static void look_at_frontend(struct blkback *back)
{
	g_autofree char *path = g_strdup_printf("%s/state", back->frontend);
	bool was_held = back->held_link;

	hold(back);
	enum device_state state = (enum device_state)xs_read_number(XS_NO_TX, path, DEVICE_UNKNOWN);
	if (state == back->frontend_state && state != DEVICE_UNKNOWN && was_held)
		return;
	back->frontend_state = state;
	on_frontend_state(back, state);
}

static void refresh(void *owner)
{
	struct blkback *back = owner;
	g_autofree char *path = node(back, "state");
	enum device_state state = (enum device_state)xs_read_number(XS_NO_TX, path, DEVICE_UNKNOWN);

	if (state == DEVICE_INITIALISING && back->state != DEVICE_UNKNOWN) {
		/* Removed and made again between two looks: the old one is gone. */
		unwatch_frontend(back);
		release(back);
		back->state = DEVICE_UNKNOWN;
		back->frontend_state = DEVICE_UNKNOWN;
	}
	if (state == DEVICE_INITIALISING)
		probe(back);
	if (state == DEVICE_UNKNOWN || back->state == DEVICE_UNKNOWN)
		unregister(back);
	else if (back->frontend)
		look_at_frontend(back);
}

static void look_at(unsigned int domid, unsigned int vdev)
{
	struct vm *vm = vm_find(domid);

	if (!vm || !vm->has_blk)
		return;
	struct blkback *back = g_hash_table_lookup(vm->backs, GUINT_TO_POINTER(vdev));
	if (!back) {
		back = g_new0(struct blkback, 1);
		back->vm = vm;
		back->vdev = vdev;
		back->path = g_strdup_printf(BACKENDS "/%u/%u", domid, vdev);
		back->refresh_task.run = refresh;
		back->refresh_task.owner = back;
		g_hash_table_insert(vm->backs, GUINT_TO_POINTER(vdev), back);
	}
	loop_queue(&back->refresh_task);
}

/* A whole branch was removed: look at all devices in it. */
static void look_at_all_of(struct vm *vm, void *context)
{
	GHashTableIter iter;
	void *data;

	(void)context;
	g_hash_table_iter_init(&iter, vm->backs);
	while (g_hash_table_iter_next(&iter, NULL, &data)) {
		struct blkback *back = data;
		loop_queue(&back->refresh_task);
	}
}

/* Reads a number and moves on behind it. False: there is none. */
static bool take_number(const char **text, unsigned int *out)
{
	char *end;
	guint64 number = g_ascii_strtoull(*text, &end, 10);

	if (!g_ascii_isdigit(**text) || number > G_MAXINT)
		return false;
	*text = end;
	*out = (unsigned int)number;
	return true;
}

/* path is BACKENDS or below: /DOMID/VDEV/KEY */
static void on_backend_watch(const char *path)
{
	const char *rest = path + strlen(BACKENDS);
	unsigned int domid, vdev;

	if (*rest++ != '/' || !take_number(&rest, &domid)) {
		vm_foreach(look_at_all_of, NULL);
		return;
	}
	if (*rest++ != '/' || !take_number(&rest, &vdev)) {
		struct vm *vm = vm_find(domid);
		if (vm)
			look_at_all_of(vm, NULL);
		return;
	}
	if (*rest == '\0' || strcmp(rest, "/state") == 0 || strcmp(rest, "/physical-device") == 0)
		look_at(domid, vdev);
}

/* Public functions */

bool blkback_on_watch(const char *path, const char *token)
{
	unsigned int domid, vdev;

	if (strcmp(token, BACKENDS_TOKEN) == 0) {
		if (g_str_has_prefix(path, BACKENDS))
			on_backend_watch(path);
		else /* a folder above it was removed */
			vm_foreach(look_at_all_of, NULL);
		return true;
	}
	if (!g_str_has_prefix(token, FRONT_TOKEN))
		return false;
	token += strlen(FRONT_TOKEN);
	if (!take_number(&token, &domid) || *token++ != ' ' || !take_number(&token, &vdev))
		return false;
	struct vm *vm = vm_find(domid);
	if (vm && g_hash_table_contains(vm->backs, GUINT_TO_POINTER(vdev)))
		look_at(domid, vdev);
	return true;
}

void blkback_start(void)
{
	if (xs_watch(BACKENDS, BACKENDS_TOKEN) < 0)
		g_error("cannot watch " BACKENDS);
}

void blkback_free(void *data)
{
	struct blkback *back = data;

	loop_unqueue(&back->refresh_task);
	unwatch_frontend(back);
	release(back);
	g_free(back->path);
	g_free(back);
}

void blkback_foreach_disk(void (*visit)(const struct disk *disk, void *context), void *context)
{
	for (GList *link = held.head; link; link = link->next) {
		const struct blkback *back = link->data;
		struct disk disk = {
			.domid = back->vm->domid,
			.vdev = back->vdev,
			.physical_device = back->physical_device,
			.params = back->params,
			.image = back->image,
			.mode = back->mode,
			.state = back->state,
			.is_held = true,
			.is_connected = back->is_connected,
		};
		visit(&disk, context);
	}
}
