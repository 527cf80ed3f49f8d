/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "toolstack.h"

#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "../fakehv.h"
#include "hv.h"
#include "loop.h"
#include "vm.h"
#include "xs.h"

struct destroy {
	struct vm *vm;
	char **vdevs; /* of its disks, as libxl knows them */
	struct loop_timer timeout;
	struct loop_task check;
	void (*on_done)(void *owner);
	void *owner;
	GList *link; /* destroys */
};

static GQueue destroys = G_QUEUE_INIT; /* struct destroy under way */

/* Making a domain */

enum mode { READ_ONLY, READ_WRITE, NO_ACCESS, MODES }; /* for the domain itself */

static void make_node(uint32_t tx, const char *path, const char *perms)
{
	xs_queue_write(tx, path, "");
	xs_queue_perms(tx, path, perms);
}

static int write_domain(uint32_t tx, void *context)
{
	static const struct {
		const char *key;
		enum mode mode;
	} nodes[] = {
		{"cpu", READ_ONLY},
		{"memory", READ_ONLY},
		{"device", READ_ONLY},
		{"device/suspend/event-channel", READ_WRITE},
		{"control", READ_ONLY},
		{"control/shutdown", READ_WRITE},
		{"control/feature-poweroff", READ_WRITE},
		{"control/feature-reboot", READ_WRITE},
		{"control/feature-suspend", READ_WRITE},
		{"control/sysrq", READ_WRITE},
		{"data", READ_WRITE},
		{"drivers", READ_WRITE},
		{"feature", READ_WRITE},
		{"attr", READ_WRITE},
		{"error", READ_WRITE},
	};
	const struct vm *vm = context;
	g_autofree char *dom = g_strdup_printf("/local/domain/%u", vm->domid);
	g_autofree char *libxl = g_strdup_printf("/libxl/%u", vm->domid);
	g_autofree char *libxl_device = g_strconcat(libxl, "/device", NULL);
	g_autofree char *libxl_type = g_strconcat(libxl, "/type", NULL);
	g_autofree char *vm_path = g_strconcat("/vm/", vm->uuid, NULL);
	g_autofree char *vm_uuid = g_strconcat(vm_path, "/uuid", NULL);
	g_autofree char *vm_name = g_strconcat(vm_path, "/name", NULL);
	g_autofree char *dom_vm = g_strconcat(dom, "/vm", NULL);
	g_autofree char *dom_name = g_strconcat(dom, "/name", NULL);
	char perms[MODES][32];

	g_snprintf(perms[READ_ONLY], sizeof(perms[0]), "n0 r%u", vm->domid);
	g_snprintf(perms[READ_WRITE], sizeof(perms[0]), "n%u", vm->domid);
	g_strlcpy(perms[NO_ACCESS], "n0", sizeof(perms[0]));

	make_node(tx, dom, perms[READ_ONLY]);
	make_node(tx, vm_path, perms[READ_ONLY]);
	make_node(tx, libxl, perms[NO_ACCESS]);
	make_node(tx, libxl_device, perms[NO_ACCESS]);
	xs_queue_write(tx, dom_vm, vm_path);
	xs_queue_write(tx, dom_name, vm->name);
	for (size_t i = 0; i < G_N_ELEMENTS(nodes); i++) {
		g_autofree char *path = g_strconcat(dom, "/", nodes[i].key, NULL);
		make_node(tx, path, perms[nodes[i].mode]);
	}
	xs_queue_write(tx, vm_uuid, vm->uuid);
	xs_queue_write(tx, vm_name, vm->name);
	xs_queue_write(tx, libxl_type, "pv");
	return xs_flush();
}

static int write_built(uint32_t tx, void *context)
{
	const struct vm *vm = context;
	g_autofree char *domid = g_strdup_printf("%u", vm->domid);
	g_autofree char *port = g_strdup_printf("%u", fakehv_port(vm->domid));
	const char *const facts[][2] = {
		{"memory/static-max", "409600"},
		{"memory/target", "409600"},
		{"memory/videoram", "0"},
		{"domid", domid},
		{"store/port", port},
		{"store/ring-ref", "1"},
		{"cpu/0/availability", "online"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(facts); i++) {
		g_autofree char *path =
			g_strdup_printf("/local/domain/%u/%s", vm->domid, facts[i][0]);
		xs_queue_write(tx, path, facts[i][1]);
	}
	return xs_flush();
}

const char *toolstack_introduce(struct vm *vm)
{
	if (vm->is_introduced)
		return "it is introduced already";
	if (xs_introduce(vm->domid, fakehv_port(vm->domid)) < 0)
		return "xenstored refused to introduce the domain";
	vm->is_introduced = true;
	vm_update_frozen(vm);
	if (vm->has_blk)
		blkfront_start(vm);
	return NULL;
}

static const char *build(struct vm *vm, bool is_dormant)
{
	if (xs_transact(write_domain, vm) < 0 || xs_transact(write_built, vm) < 0)
		return "xenstored refused the domain's nodes";
	return is_dormant ? NULL : toolstack_introduce(vm);
}

struct vm *toolstack_create(const struct toolstack_new *wanted, const char **error)
{
	g_autofree char *uuid = wanted->uuid ? g_strdup(wanted->uuid) : g_uuid_string_random();

	if (vm_find_by_name(wanted->name)) {
		*error = "a VM of that name exists";
		return NULL;
	}
	if (wanted->domid >= FAKEHV_DOMIDS || vm_find(wanted->domid)) {
		*error = "that domid is taken or impossible";
		return NULL;
	}
	unsigned int domid = wanted->domid ? wanted->domid : vm_new_domid();
	hv_create_domain(domid);
	struct vm *vm = vm_create(domid, wanted->name, uuid);
	if (!vm) {
		*error = g_strerror(errno);
		hv_set_flags(domid, 0);
		return NULL;
	}
	vm->has_blk = wanted->has_blk;
	vm->is_paused = wanted->is_paused;
	vm_update_frozen(vm);
	*error = build(vm, wanted->is_dormant);
	if (*error) {
		vm_destroy(vm);
		hv_set_flags(domid, 0);
		return NULL;
	}
	return vm;
}

/* Renaming */

struct rename {
	const struct vm *vm;
	const char *name;
};

static int write_name(uint32_t tx, void *context)
{
	const struct rename *rename = context;
	g_autofree char *dom_name = g_strdup_printf("/local/domain/%u/name", rename->vm->domid);
	g_autofree char *vm_name = g_strdup_printf("/vm/%s/name", rename->vm->uuid);

	xs_queue_write(tx, dom_name, rename->name);
	xs_queue_write(tx, vm_name, rename->name);
	return xs_flush();
}

const char *toolstack_rename(struct vm *vm, const char *name)
{
	struct rename rename = {.vm = vm, .name = name};
	const struct vm *other = vm_find_by_name(name);

	if (other && other != vm)
		return "a VM of that name exists";
	if (xs_transact(write_name, &rename) < 0)
		return "xenstored refused the new name";
	g_free(vm->name);
	vm->name = g_strdup(name);
	return NULL;
}

/* Destroying */

struct one_disk {
	unsigned int domid;
	const char *vdev;
};

static char *backend_of(const struct one_disk *disk, const char *key)
{
	return g_strdup_printf("/local/domain/0/backend/vbd/%u/%s%s%s", disk->domid, disk->vdev,
		*key ? "/" : "", key);
}

static char *frontend_of(const struct one_disk *disk)
{
	return g_strdup_printf("/local/domain/%u/device/vbd/%s", disk->domid, disk->vdev);
}

/* libxl__initiate_device_generic_remove with force */
static int ask_to_close(uint32_t tx, void *context)
{
	const struct one_disk *disk = context;
	g_autofree char *frontend = frontend_of(disk);
	g_autofree char *state = backend_of(disk, "state");
	g_autofree char *online = backend_of(disk, "online");

	xs_cleanup(tx, frontend);
	unsigned int before = xs_read_number(tx, state, DEVICE_UNKNOWN);
	if (before == DEVICE_UNKNOWN)
		return 0;
	xs_queue_write(tx, online, "0");
	if (before != DEVICE_CLOSED)
		xs_queue_write(tx, state, "5");
	return xs_flush();
}

/* libxl__device_destroy */
static int remove_device(uint32_t tx, void *context)
{
	const struct one_disk *disk = context;
	g_autofree char *frontend = frontend_of(disk);
	g_autofree char *backend = backend_of(disk, "");
	g_autofree char *libxl =
		g_strdup_printf("/libxl/%u/device/vbd/%s", disk->domid, disk->vdev);

	xs_cleanup(tx, frontend);
	xs_cleanup(tx, libxl);
	xs_cleanup(tx, backend);
	return 0;
}

static void remove_trees(const struct vm *vm)
{
	g_autofree char *vm_path = g_strconcat("/vm/", vm->uuid, NULL);
	g_autofree char *dom = g_strdup_printf("/local/domain/%u", vm->domid);
	g_autofree char *libxl = g_strdup_printf("/libxl/%u", vm->domid);

	xs_rm(XS_NO_TX, vm_path);
	xs_rm(XS_NO_TX, dom);
	xs_rm(XS_NO_TX, libxl);
}

static bool is_closed(const struct destroy *destroy)
{
	for (size_t i = 0; destroy->vdevs && destroy->vdevs[i]; i++) {
		struct one_disk disk = {destroy->vm->domid, destroy->vdevs[i]};
		g_autofree char *state = backend_of(&disk, "state");
		unsigned int now = xs_read_number(XS_NO_TX, state, DEVICE_UNKNOWN);

		if (now != DEVICE_UNKNOWN && now != DEVICE_CLOSED)
			return false;
	}
	return true;
}

static void finish_destroy(struct destroy *destroy)
{
	struct vm *vm = destroy->vm;
	unsigned int domid = vm->domid;

	for (size_t i = 0; destroy->vdevs && destroy->vdevs[i]; i++) {
		struct one_disk disk = {domid, destroy->vdevs[i]};
		xs_transact(remove_device, &disk);
	}
	remove_trees(vm);
	hv_set_flags(domid, 0);
	while (xs_is_introduced(domid)) { /* until xenstored has served the interrupt */
	}
	vm_destroy(vm);

	loop_disarm(&destroy->timeout);
	loop_unqueue(&destroy->check);
	g_queue_delete_link(&destroys, destroy->link);
	destroy->on_done(destroy->owner);
	g_strfreev(destroy->vdevs);
	g_free(destroy);
}

static void on_timeout(void *owner)
{
	finish_destroy(owner);
}

static void on_check(void *owner)
{
	struct destroy *destroy = owner;

	if (is_closed(destroy))
		finish_destroy(destroy);
}

void toolstack_on_backend_watch(void)
{
	for (GList *link = destroys.head; link; link = link->next) {
		struct destroy *destroy = link->data;
		loop_queue(&destroy->check);
	}
}

bool toolstack_destroy(struct vm *vm, int timeout_ms, void (*on_done)(void *owner), void *owner)
{
	g_autofree char *disks = g_strdup_printf("/libxl/%u/device/vbd", vm->domid);

	for (GList *link = destroys.head; link; link = link->next) {
		if (((struct destroy *)link->data)->vm == vm)
			return false;
	}
	struct destroy *destroy = g_new0(struct destroy, 1);
	destroy->vm = vm;
	destroy->vdevs = xs_list(XS_NO_TX, disks);
	destroy->timeout.on_time = on_timeout;
	destroy->timeout.owner = destroy;
	destroy->check.run = on_check;
	destroy->check.owner = destroy;
	destroy->on_done = on_done;
	destroy->owner = owner;
	g_queue_push_tail(&destroys, destroy);
	destroy->link = destroys.tail;

	vm->is_dead = true; /* libxl pauses it first */
	vm_update_frozen(vm);
	for (size_t i = 0; destroy->vdevs && destroy->vdevs[i]; i++) {
		struct one_disk disk = {vm->domid, destroy->vdevs[i]};
		xs_transact(ask_to_close, &disk);
	}
	loop_arm(&destroy->timeout, timeout_ms);
	loop_queue(&destroy->check);
	return true;
}

void toolstack_shutdown(struct vm *vm, bool is_crash)
{
	vm->is_dead = true;
	vm_update_frozen(vm);
	hv_set_flags(vm->domid, FAKEHV_EXISTS | FAKEHV_SHUTDOWN | (is_crash ? FAKEHV_CRASHED : 0));
}
