/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libfakexen.so: preloaded into an unmodified C xenstored, it plays the hypervisor, so that
 * xenstored runs on a machine without Xen, several at once. FAKEXEN_DIR names the private folder
 * of this instance; fakehv.h says what lies in it and who is at the other end.
 *
 * Played are the calls that xenstored makes: "which domains exist" (libxenctrl), grant mapping of
 * a domain's ring page (libxengnttab), event channels (libxenevtchn) and the two files of
 * /proc/xen from which xenstored learns dom0's own ring. Another Xen version may import other
 * calls: at load time every xc_* and xen* import of the program is checked against this library,
 * and a missing one is named. Without this, it would reach the real library and fail obscurely.
 *
 * Built without sanitizers: it is loaded into a program that has none.
 */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#include "fakehv.h"

#define EXPORT __attribute__((visibility("default")))
#define UNUSED __attribute__((unused))

static struct fakehv hv;
static char handle; /* what the opaque handles point to; nobody looks inside */

static _Noreturn void fatal(const char *what, const char *detail)
{
	fprintf(stderr, "fakexen: %s%s\n", what, detail);
	exit(70);
}

/* libxenctrl: which domains exist */

EXPORT xc_interface *xc_interface_open(xentoollog_logger *logger UNUSED,
	xentoollog_logger *dombuild_logger UNUSED, unsigned open_flags UNUSED)
{
	return (xc_interface *)(void *)&handle;
}

EXPORT int xc_interface_close(xc_interface *xch UNUSED)
{
	return 0;
}

EXPORT int xc_domain_getinfo(
	xc_interface *xch UNUSED, uint32_t first_domid, unsigned int max_doms, xc_dominfo_t *info)
{
	unsigned int found = 0;

	for (uint32_t domid = first_domid; domid < FAKEHV_DOMIDS && found < max_doms; domid++) {
		unsigned int flags = atomic_load(&hv.shared->domain_flags[domid]);

		if (domid != 0 && !(flags & FAKEHV_EXISTS))
			continue;
		memset(&info[found], 0, sizeof(info[found]));
		info[found].domid = domid;
		info[found].shutdown = !!(flags & FAKEHV_SHUTDOWN);
		info[found].crashed = !!(flags & FAKEHV_CRASHED);
		info[found].dying = !!(flags & FAKEHV_DYING);
		found++;
	}
	return (int)found;
}

/* libxengnttab: the ring page of a domain */

EXPORT xengnttab_handle *xengnttab_open(
	xentoollog_logger *logger UNUSED, unsigned open_flags UNUSED)
{
	return (xengnttab_handle *)(void *)&handle;
}

EXPORT int xengnttab_close(xengnttab_handle *xgt UNUSED)
{
	return 0;
}

EXPORT int xengnttab_set_max_grants(xengnttab_handle *xgt UNUSED, uint32_t nr_grants UNUSED)
{
	return 0;
}

EXPORT void *xengnttab_map_grant_ref(
	xengnttab_handle *xgt UNUSED, uint32_t domid, uint32_t ref UNUSED, int prot UNUSED)
{
	if (domid >= FAKEHV_DOMIDS ||
		!(atomic_load(&hv.shared->domain_flags[domid]) & FAKEHV_EXISTS)) {
		errno = ESRCH;
		return NULL;
	}
	return fakehv_ring(&hv, domid);
}

/* All rings are one mapping of the whole file, so there is nothing to unmap. */
EXPORT int xengnttab_unmap(
	xengnttab_handle *xgt UNUSED, void *start_address UNUSED, uint32_t count UNUSED)
{
	return 0;
}

/* libxenevtchn: event channels */

EXPORT xenevtchn_handle *xenevtchn_open(
	xentoollog_logger *logger UNUSED, unsigned int open_flags UNUSED)
{
	return (xenevtchn_handle *)(void *)&handle;
}

EXPORT xenevtchn_handle *xenevtchn_fdopen(
	xentoollog_logger *logger UNUSED, int fd UNUSED, unsigned open_flags UNUSED)
{
	fatal("live update of xenstored is not played", "");
}

EXPORT int xenevtchn_close(xenevtchn_handle *xce UNUSED)
{
	return 0;
}

EXPORT int xenevtchn_fd(xenevtchn_handle *xce UNUSED)
{
	return hv.to_store_fd;
}

EXPORT xenevtchn_port_or_error_t xenevtchn_bind_interdomain(
	xenevtchn_handle *xce UNUSED, uint32_t domid, evtchn_port_t remote_port UNUSED)
{
	if (domid >= FAKEHV_DOMIDS) {
		errno = ESRCH;
		return -1;
	}
	return fakehv_port(domid);
}

EXPORT xenevtchn_port_or_error_t xenevtchn_bind_virq(
	xenevtchn_handle *xce UNUSED, unsigned int virq UNUSED)
{
	return FAKEHV_VIRQ_PORT;
}

EXPORT int xenevtchn_unbind(xenevtchn_handle *xce UNUSED, evtchn_port_t port UNUSED)
{
	return 0;
}

EXPORT int xenevtchn_notify(xenevtchn_handle *xce UNUSED, evtchn_port_t port)
{
	if (port == fakehv_port(0)) /* dom0's kernel, which nobody plays */
		return 0;
	if (port > FAKEHV_VIRQ_PORT) {
		errno = EINVAL;
		return -1;
	}
	if (!fakehv_notify(hv.shared->vm_pending, hv.to_vms_fd, (uint16_t)port))
		fatal("cannot raise an event channel: ", strerror(errno));
	return 0;
}

EXPORT xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce UNUSED)
{
	return fakehv_take(hv.shared->store_pending, hv.to_store_fd);
}

/* xenstored looks at all domains after each event; a port is never masked. */
EXPORT int xenevtchn_unmask(xenevtchn_handle *xce UNUSED, evtchn_port_t port UNUSED)
{
	return 0;
}

/* /proc/xen: the port and the ring page of dom0's own kernel */

static int open_in_memory(const char *name, const char *content, size_t size_bytes)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)size_bytes) < 0 ||
		pwrite(fd, content, strlen(content), 0) != (ssize_t)strlen(content))
		fatal("cannot make a file in memory: ", strerror(errno));
	return fd;
}

static int open_any(const char *path, int flags, mode_t mode)
{
	if (strcmp(path, "/proc/xen/xsd_port") == 0)
		return open_in_memory("xsd_port", "1", 1);
	if (strcmp(path, "/proc/xen/xsd_kva") == 0)
		return open_in_memory("xsd_kva", "", FAKEHV_RING_BYTES);
	return openat(AT_FDCWD, path, flags, mode);
}

static mode_t mode_argument(int flags, va_list args)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

/* Named by label, because fcntl.h may already map open to open64 or to a checking inline. */
EXPORT int fake_open(const char *path, int flags, ...) __asm__("open");
EXPORT int fake_open64(const char *path, int flags, ...) __asm__("open64");

int fake_open(const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = mode_argument(flags, args);
	va_end(args);
	return open_any(path, flags, mode);
}

int fake_open64(const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = mode_argument(flags, args);
	va_end(args);
	return open_any(path, flags, mode);
}

/* The check of the program's imports */

static bool is_xen_call(const char *name)
{
	return strncmp(name, "xc_", 3) == 0 || strncmp(name, "xen", 3) == 0;
}

static bool is_played_here(const char *name)
{
	Dl_info found, here;
	void *address = dlsym(RTLD_DEFAULT, name);

	return address && dladdr(address, &found) && dladdr(&handle, &here) &&
	       found.dli_fbase == here.dli_fbase;
}

struct imports {
	const ElfW(Sym) * symbols;
	const char *strings;
	const ElfW(Rela) * relocations[2]; /* of calls, of data */
	size_t sizes[2];                   /* in bytes */
};

/* The dynamic loader may or may not have made the addresses absolute already. */
static const void *address_of(const struct dl_phdr_info *program, ElfW(Addr) value)
{
	uintptr_t absolute = value < program->dlpi_addr ? value + program->dlpi_addr : value;

	return (const void *)absolute; // NOLINT(performance-no-int-to-ptr)
}

static void find_imports(
	const struct dl_phdr_info *program, const ElfW(Dyn) * entry, struct imports *out)
{
	for (; entry->d_tag != DT_NULL; entry++) {
		switch (entry->d_tag) {
		case DT_SYMTAB:
			out->symbols = address_of(program, entry->d_un.d_ptr);
			break;
		case DT_STRTAB:
			out->strings = address_of(program, entry->d_un.d_ptr);
			break;
		case DT_JMPREL:
			out->relocations[0] = address_of(program, entry->d_un.d_ptr);
			break;
		case DT_PLTRELSZ:
			out->sizes[0] = entry->d_un.d_val;
			break;
		case DT_RELA:
			out->relocations[1] = address_of(program, entry->d_un.d_ptr);
			break;
		case DT_RELASZ:
			out->sizes[1] = entry->d_un.d_val;
			break;
		default: /* many more tags, of no interest here */
			break;
		}
	}
}

static void check_imports(const struct imports *imports)
{
	for (size_t table = 0; table < 2; table++) {
		size_t count = imports->sizes[table] / sizeof(ElfW(Rela));

		for (size_t i = 0; imports->relocations[table] && i < count; i++) {
			size_t index = ELF64_R_SYM(imports->relocations[table][i].r_info);
			const ElfW(Sym) *symbol = &imports->symbols[index];
			const char *name = imports->strings + symbol->st_name;

			if (symbol->st_shndx == SHN_UNDEF && is_xen_call(name) &&
				!is_played_here(name))
				fatal("this xenstored needs a call that is not played here, "
				      "another Xen version? It is ",
					name);
		}
	}
}

static int on_program(struct dl_phdr_info *program, size_t size UNUSED, void *context UNUSED)
{
	struct imports imports = {0};

	for (size_t i = 0; i < program->dlpi_phnum; i++) {
		if (program->dlpi_phdr[i].p_type != PT_DYNAMIC)
			continue;
		uintptr_t dynamic = program->dlpi_addr + program->dlpi_phdr[i].p_vaddr;
		find_imports(program,
			(const ElfW(Dyn) *)dynamic, // NOLINT(performance-no-int-to-ptr)
			&imports);
	}
	if (imports.symbols && imports.strings)
		check_imports(&imports);
	return 1; /* the first one is the program itself; look no further */
}

__attribute__((constructor)) static void on_load(void)
{
	const char *dir = getenv("FAKEXEN_DIR");

	if (!dir)
		fatal("FAKEXEN_DIR must name the folder of this instance", "");
	dl_iterate_phdr(on_program, NULL);
	int rc = fakehv_open(&hv, dir);
	if (rc < 0)
		fatal("cannot open the shared files in FAKEXEN_DIR: ", strerror(-rc));
}
