/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bulk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "blockio.h"
#include "dvmheader.h"
#include "fail.h"

G_STATIC_ASSERT(BLOCKIO_BYTES > QPEN_DVM_HEADER_BYTES);

uint64_t bulk_room(uint64_t file_bytes)
{
	const uint64_t more = QPEN_DVM_HEADER_BYTES + BLOCKIO_SECTOR - 1;

	/* No request can say that much; what counts is that it is not suddenly small. */
	if (file_bytes > UINT64_MAX - more)
		return UINT64_MAX;
	return (file_bytes + more) / BLOCKIO_SECTOR * BLOCKIO_SECTOR;
}

/* -- onto the pendrive ------------------------------------------------------------------------- */

struct outflow {
	int device;
	const char *device_path;
	uint64_t device_bytes;
	int file;
	struct stat before;
	const struct bulk_watcher *watcher;
	GError **error;
};

static bool fail_changed(struct outflow *flow)
{
	g_set_error(flow->error, VM_ERROR, VM_EXIT_FAILED,
		"The file changed while it was being read; try again when it is at rest");
	return false;
}

static bool read_size(struct outflow *flow)
{
	int rc = blockio_size(flow->device, &flow->device_bytes);

	return rc == 0 || blockio_fail(flow->error, -rc, "The pendrive's size cannot be read");
}

static bool open_device(struct outflow *flow)
{
	const int flags = O_WRONLY | O_CLOEXEC | O_NOCTTY;

	flow->device = open(flow->device_path, flags | O_DIRECT);
	if (flow->device < 0 && errno == EINVAL)
		flow->device = open(flow->device_path, flags);
	if (flow->device >= 0)
		return read_size(flow);
	g_set_error(flow->error, VM_ERROR,
		errno == ENOENT || errno == ENXIO ? VM_EXIT_DEVICE : VM_EXIT_FAILED,
		"The pendrive %s cannot be opened for writing: %s%s", flow->device_path,
		g_strerror(errno), errno == EACCES ? "; are you in the group `qubes`?" : "");
	return false;
}

static bool look_at_file(struct outflow *flow)
{
	uint64_t needed;

	if (fstat(flow->file, &flow->before) < 0)
		return blockio_fail(flow->error, errno, "The file cannot be looked at");
	if (!S_ISREG(flow->before.st_mode)) {
		g_set_error(flow->error, VM_ERROR, VM_EXIT_FAILED, "It is not a regular file");
		return false;
	}
	needed = (uint64_t)flow->before.st_size + QPEN_DVM_HEADER_BYTES;
	if (needed <= flow->device_bytes)
		return true;
	g_set_error(flow->error, VM_ERROR, VM_EXIT_FAILED,
		"The file and its header need %" PRIu64 " bytes, and the pendrive %s has %" PRIu64
		"; if the file grew just now, try again",
		needed, flow->device_path, flow->device_bytes);
	return false;
}

/* The file's next `len` bytes, which must be there, to `bytes`. */
static bool read_part(struct outflow *flow, unsigned char *bytes, size_t len, uint64_t at)
{
	ssize_t r = blockio_read(flow->file, bytes, len, at);

	if (r < 0)
		return blockio_fail(flow->error, errno, "The file cannot be read");
	if ((size_t)r < len)
		return fail_changed(flow);
	if (!flow->watcher || flow->watcher->on_block(bytes, len, flow->watcher->data))
		return true;
	g_set_error(flow->error, VM_ERROR, VM_EXIT_INTERRUPTED,
		"Interrupted while the file was written to the pendrive; nothing was sent");
	return false;
}

/* Zeros up to whole sectors, so that nothing of this process's memory goes along. */
static size_t pad(const struct outflow *flow, unsigned char *block, size_t len, uint64_t at)
{
	size_t padded = (len + BLOCKIO_SECTOR - 1) / BLOCKIO_SECTOR * BLOCKIO_SECTOR;

	if (padded > flow->device_bytes - at)
		padded = (size_t)(flow->device_bytes - at);
	memset(block + len, 0, padded - len);
	return padded;
}

/* `block` begins with the header. */
static bool stream(struct outflow *flow, unsigned char *block)
{
	const uint64_t total = (uint64_t)flow->before.st_size + QPEN_DVM_HEADER_BYTES;
	size_t len;

	for (uint64_t at = 0; at < total; at += len) {
		size_t skip = at == 0 ? QPEN_DVM_HEADER_BYTES : 0;

		len = (size_t)MIN(BLOCKIO_BYTES, total - at);
		if (!read_part(flow, block + skip, len - skip, at + skip - QPEN_DVM_HEADER_BYTES))
			return false;
		if (!blockio_write(flow->device, block, pad(flow, block, len, at), at)) {
			g_set_error(flow->error, VM_ERROR, VM_EXIT_FAILED,
				"Writing to the pendrive %s failed: %s; was it taken back?",
				flow->device_path, g_strerror(errno));
			return false;
		}
	}
	return true;
}

static bool check_unchanged(struct outflow *flow)
{
	struct stat after;

	if (fstat(flow->file, &after) < 0)
		return blockio_fail(flow->error, errno, "The file cannot be looked at");
	if (after.st_size == flow->before.st_size &&
		after.st_mtim.tv_sec == flow->before.st_mtim.tv_sec &&
		after.st_mtim.tv_nsec == flow->before.st_mtim.tv_nsec)
		return true;
	return fail_changed(flow);
}

static bool write_all(struct outflow *flow, const char *name)
{
	autoblock *block = blockio_make(flow->error);

	if (!block || !look_at_file(flow))
		return false;
	if (!dvm_header_compose(name, (uint64_t)flow->before.st_size, block)) {
		g_set_error(flow->error, VM_ERROR, VM_EXIT_FILES,
			"A name on a pendrive has 1 to %u bytes and no slash",
			QPEN_DVM_NAME_BYTES - 1);
		return false;
	}
	if (!stream(flow, block) || !check_unchanged(flow))
		return false;
	if (fsync(flow->device) == 0)
		return true;
	return blockio_fail(flow->error, errno, "Not everything reached the pendrive");
}

bool bulk_write_watched(const char *device_path, const char *name, int file,
	const struct bulk_watcher *watcher, GError **error)
{
	struct outflow flow = {
		.device = -1,
		.device_path = device_path,
		.file = file,
		.watcher = watcher,
		.error = error,
	};
	bool ok = open_device(&flow) && write_all(&flow, name);

	if (flow.device >= 0 && close(flow.device) < 0 && ok)
		return blockio_fail(error, errno, "Not everything reached the pendrive");
	return ok;
}

bool bulk_write(const char *device_path, const char *name, int file, GError **error)
{
	return bulk_write_watched(device_path, name, file, NULL, error);
}
