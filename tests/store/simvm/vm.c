/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../fakehv.h"

#define XVDA (202u << 8)
#define VDEVS_PER_DISK 16u

static struct vm *vms[FAKEHV_DOMIDS];
static unsigned int count;
static unsigned int last_domid;
static char *box_dir;
static GPtrArray *records[RECORD_KINDS];

void vm_set_dir(const char *dir)
{
	box_dir = g_strdup(dir);
}

const char *vm_dir(void)
{
	return box_dir;
}

struct vm *vm_find(unsigned int domid)
{
	return domid < FAKEHV_DOMIDS ? vms[domid] : NULL;
}

struct vm *vm_find_by_name(const char *name)
{
	for (unsigned int domid = 1; domid < FAKEHV_DOMIDS; domid++) {
		if (vms[domid] && strcmp(vms[domid]->name, name) == 0)
			return vms[domid];
	}
	return NULL;
}

unsigned int vm_new_domid(void)
{
	g_assert(count < FAKEHV_DOMIDS - 1);
	do {
		last_domid = last_domid + 1 < FAKEHV_DOMIDS ? last_domid + 1 : 1;
	} while (vms[last_domid]);
	return last_domid;
}

static char *devices_of(unsigned int domid)
{
	return g_strdup_printf("%s/dom%u.dev", box_dir, domid);
}

void vm_show_device(const struct vm *vm, unsigned int vdev, bool is_there)
{
	g_autofree char *devices = devices_of(vm->domid);
	char letter = (char)('a' + (vdev - XVDA) / VDEVS_PER_DISK % 26);
	g_autofree char *path = g_strdup_printf("%s/xvd%c", devices, letter);

	if (!is_there) {
		unlink(path);
		return;
	}
	if (access(path, F_OK) == 0)
		return;
	/* When it can be seen nobody has it open, as with a real one. */
	g_autofree char *hidden = g_strdup_printf("%s/.xvd%c", devices, letter);
	int fd = open(hidden, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	if (fd < 0 || rename(hidden, path) < 0)
		g_warning("cannot make %s: %s", path, g_strerror(errno));
}

struct vm *vm_create(unsigned int domid, const char *name, const char *uuid)
{
	g_autofree char *path = g_strdup_printf("%s/dom%u.sock", box_dir, domid);
	g_autofree char *devices = devices_of(domid);

	g_assert(domid > 0 && domid < FAKEHV_DOMIDS && !vms[domid]);
	struct xenbus *bus = xenbus_create(domid, path);
	if (!bus)
		return NULL;
	if (mkdir(devices, 0700) < 0 && errno != EEXIST)
		g_warning("cannot make %s: %s", devices, g_strerror(errno));
	struct vm *vm = g_new0(struct vm, 1);
	vm->domid = domid;
	vm->name = g_strdup(name);
	vm->uuid = g_strdup(uuid);
	vm->bus = bus;
	vm->fronts = g_hash_table_new_full(NULL, NULL, NULL, blkfront_free);
	vm->backs = g_hash_table_new_full(NULL, NULL, NULL, blkback_free);
	vms[domid] = vm;
	count++;
	return vm;
}

void vm_destroy(struct vm *vm)
{
	g_autofree char *devices = devices_of(vm->domid);

	vms[vm->domid] = NULL;
	count--;
	xenbus_destroy(vm->bus); /* first: from here on no driver of the VM is called back */
	g_hash_table_unref(vm->fronts);
	g_hash_table_unref(vm->backs);
	rmdir(devices);
	g_free(vm->name);
	g_free(vm->uuid);
	g_free(vm);
}

void vm_update_frozen(struct vm *vm)
{
	xenbus_set_frozen(vm->bus, !vm->is_introduced || vm->is_paused || vm->is_dead);
}

void vm_foreach(void (*visit)(struct vm *vm, void *context), void *context)
{
	for (unsigned int domid = 1; domid < FAKEHV_DOMIDS; domid++) {
		if (vms[domid])
			visit(vms[domid], context);
	}
}

unsigned int vm_count(void)
{
	return count;
}

void vm_on_event(unsigned int domid)
{
	struct vm *vm = vm_find(domid);

	if (vm)
		xenbus_on_event(vm->bus);
}

void record_add(enum record_kind kind, const char *format, ...)
{
	va_list args;

	if (!records[kind])
		records[kind] = g_ptr_array_new_with_free_func(g_free);
	va_start(args, format);
	char *line = g_strdup_vprintf(format, args);
	va_end(args);
	g_ptr_array_add(records[kind], line);
}

const GPtrArray *record_lines(enum record_kind kind)
{
	if (!records[kind])
		records[kind] = g_ptr_array_new_with_free_func(g_free);
	return records[kind];
}

void record_clear(enum record_kind kind)
{
	if (records[kind])
		g_ptr_array_set_size(records[kind], 0);
}
