/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stand-in for the hypervisor of the store test layer.
 *
 * Two processes share it: xenstored, with libfakexen.so preloaded, and simvm, which plays the
 * domains. In a private folder DIR lie
 *
 *   DIR/hv        one sparse file, mapped by both: which domains exist, which event channels are
 *                 pending, and the xenstore ring page of every possible domain
 *   DIR/to-store  FIFO of event channel ports for xenstored
 *   DIR/to-vms    FIFO of event channel ports for simvm
 *
 * A port is put into a FIFO only when its pending flag was clear, as the hypervisor does it. So a
 * FIFO never holds more than one entry a port, fits in a pipe's 64 KiB, and writing never blocks.
 *
 * The file starts as zeros, and zeros are a valid state, so it does not matter who comes first.
 */
#ifndef QFX_TESTS_STORE_FAKEHV_H
#define QFX_TESTS_STORE_FAKEHV_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAKEHV_DOMIDS 32752u /* domids 0 to 32751, as in Xen (DOMID_FIRST_RESERVED) */
#define FAKEHV_RING_BYTES 4096u
#define FAKEHV_VIRQ_PORT (FAKEHV_DOMIDS + 1) /* xenstored's "a domain died" interrupt */

/* What xc_domain_getinfo says of a domain. */
enum fakehv_flags {
	FAKEHV_EXISTS = 1,
	FAKEHV_SHUTDOWN = 2,
	FAKEHV_CRASHED = 4,
	FAKEHV_DYING = 8,
};

struct fakehv_shared {
	_Atomic uint8_t domain_flags[FAKEHV_DOMIDS];         /* enum fakehv_flags, by domid */
	_Atomic uint8_t store_pending[FAKEHV_VIRQ_PORT + 1]; /* by port; the entry is in to-store */
	_Atomic uint8_t vm_pending[FAKEHV_VIRQ_PORT + 1];    /* by port; the entry is in to-vms */
};

#define FAKEHV_SHARED_BYTES ((sizeof(struct fakehv_shared) + 4095u) / 4096u * 4096u)
#define FAKEHV_FILE_BYTES (FAKEHV_SHARED_BYTES + (size_t)FAKEHV_DOMIDS * FAKEHV_RING_BYTES)

_Static_assert(FAKEHV_VIRQ_PORT <= UINT16_MAX, "a port must fit in a FIFO entry");
_Static_assert((FAKEHV_VIRQ_PORT + 1) * sizeof(uint16_t) <= 65536, "all ports must fit in a pipe");

struct fakehv {
	struct fakehv_shared *shared;
	char *rings;     /* ring page of domid at rings + domid * FAKEHV_RING_BYTES */
	int to_store_fd; /* O_RDWR: neither end ever sees end of file */
	int to_vms_fd;
};

/* xenstored's local event channel port for a domain; port 0 means "none" to xenstored. */
static inline uint16_t fakehv_port(unsigned int domid)
{
	return (uint16_t)(domid + 1);
}

static inline unsigned int fakehv_domid_of_port(unsigned int port)
{
	return port - 1;
}

static inline char *fakehv_ring(const struct fakehv *hv, unsigned int domid)
{
	return hv->rings + (size_t)domid * FAKEHV_RING_BYTES;
}

static inline int fakehv_open_fifo(const char *dir, const char *name)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	if (mkfifo(path, 0600) < 0 && errno != EEXIST)
		return -errno;
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Opens, or makes, the stand-in in dir. Returns 0 or -errno. It stays open until the process ends.
 */
static inline int fakehv_open(struct fakehv *hv, const char *dir)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/hv", dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)FAKEHV_FILE_BYTES) < 0) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	char *map = mmap(NULL, FAKEHV_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int rc = map == MAP_FAILED ? -errno : 0;
	close(fd);
	if (rc < 0)
		return rc;

	hv->shared = (struct fakehv_shared *)(void *)map;
	hv->rings = map + FAKEHV_SHARED_BYTES;
	hv->to_store_fd = fakehv_open_fifo(dir, "to-store");
	hv->to_vms_fd = fakehv_open_fifo(dir, "to-vms");
	if (hv->to_store_fd < 0)
		return hv->to_store_fd;
	return hv->to_vms_fd < 0 ? hv->to_vms_fd : 0;
}

/* Raises port at one end. False only if the FIFO broke, which the caller must treat as fatal. */
static inline bool fakehv_notify(_Atomic uint8_t *pending, int fifo_fd, uint16_t port)
{
	if (atomic_exchange(&pending[port], 1))
		return true;
	return write(fifo_fd, &port, sizeof(port)) == (ssize_t)sizeof(port);
}

/* Takes one raised port and clears its pending flag; -1 if there is none. */
static inline int fakehv_take(_Atomic uint8_t *pending, int fifo_fd)
{
	uint16_t port;

	if (read(fifo_fd, &port, sizeof(port)) != (ssize_t)sizeof(port))
		return -1;
	if (port > FAKEHV_VIRQ_PORT) {
		errno = EPROTO;
		return -1;
	}
	atomic_store(&pending[port], 0);
	return port;
}

#endif
