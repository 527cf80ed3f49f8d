/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bulk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "fail.h"
#include "scope.h"

/* A whole block is a multiple of every sector size, and blkfront takes it in few requests. */
#define BLOCK_BYTES ((size_t)1 << 20)
/* The largest sector of a block device, which O_DIRECT wants addresses and lengths to be of. */
#define SECTOR_BYTES ((size_t)4096)

G_STATIC_ASSERT(BLOCK_BYTES > QPEN_DVM_HEADER_BYTES && BLOCK_BYTES % SECTOR_BYTES == 0);

static void free_block(unsigned char *const *block)
{
	free(*block);
}
#define autoblock __attribute__((cleanup(free_block))) unsigned char

static unsigned char *make_block(GError **error)
{
	void *block = aligned_alloc(SECTOR_BYTES, BLOCK_BYTES);

	if (!block)
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			"This VM has no memory for a buffer of %zu bytes; close something",
			BLOCK_BYTES);
	return block;
}

static bool fail_errno(GError **error, int err, const char *what)
{
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s: %s", what, g_strerror(err));
	return false;
}

uint64_t bulk_room(uint64_t file_bytes)
{
	const uint64_t more = QPEN_DVM_HEADER_BYTES + SECTOR_BYTES - 1;

	/* No request can say that much; what counts is that it is not suddenly small. */
	if (file_bytes > UINT64_MAX - more)
		return UINT64_MAX;
	return (file_bytes + more) / SECTOR_BYTES * SECTOR_BYTES;
}

/* A block device, or for tests a regular file. */
static bool read_size(int device, uint64_t *out, GError **error)
{
	struct stat st;

	if (fstat(device, &st) < 0)
		return fail_errno(error, errno, "The pendrive cannot be looked at");
	if (S_ISREG(st.st_mode)) {
		*out = (uint64_t)st.st_size;
		return true;
	}
	if (!S_ISBLK(st.st_mode)) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			"What should be a pendrive is no block device");
		return false;
	}
	if (ioctl(device, BLKGETSIZE64, out) < 0)
		return fail_errno(error, errno, "The pendrive's size cannot be read");
	return true;
}

/* Sectors of that size are not for every device and file system: true, to be tried once more. */
static bool give_up_direct(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_DIRECT) && fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0;
}

/* Also the other way: what somebody else opened for us. It need not succeed. */
static void try_direct(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && fcntl(fd, F_SETFL, flags | O_DIRECT) < 0)
		g_debug("no O_DIRECT: %s", g_strerror(errno));
}

/* -- one block in, one block out --------------------------------------------------------------- */

/* How much was read before the end, at most `len`; -1: errno says why not. */
static ssize_t read_fully(int fd, unsigned char *bytes, size_t len, uint64_t at)
{
	size_t done = 0;

	while (done < len) {
		ssize_t r = pread(fd, bytes + done, len - done, (off_t)(at + done));

		if (r == 0)
			break;
		if (r > 0)
			done += (size_t)r;
		else if (errno != EINTR && (errno != EINVAL || !give_up_direct(fd)))
			return -1;
	}
	return (ssize_t)done;
}

static bool write_fully(int fd, const unsigned char *bytes, size_t len, uint64_t at)
{
	size_t done = 0;

	while (done < len) {
		ssize_t r = pwrite(fd, bytes + done, len - done, (off_t)(at + done));

		if (r > 0) {
			done += (size_t)r;
			continue;
		}
		if (r == 0)
			errno = ENOSPC;
		if (errno != EINTR && (errno != EINVAL || !give_up_direct(fd)))
			return false;
	}
	return true;
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

static bool open_device(struct outflow *flow)
{
	const int flags = O_WRONLY | O_CLOEXEC | O_NOCTTY;

	flow->device = open(flow->device_path, flags | O_DIRECT);
	if (flow->device < 0 && errno == EINVAL)
		flow->device = open(flow->device_path, flags);
	if (flow->device >= 0)
		return read_size(flow->device, &flow->device_bytes, flow->error);
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
		return fail_errno(flow->error, errno, "The file cannot be looked at");
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
	ssize_t r = read_fully(flow->file, bytes, len, at);

	if (r < 0)
		return fail_errno(flow->error, errno, "The file cannot be read");
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
	size_t padded = (len + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES;

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

		len = (size_t)MIN(BLOCK_BYTES, total - at);
		if (!read_part(flow, block + skip, len - skip, at + skip - QPEN_DVM_HEADER_BYTES))
			return false;
		if (!write_fully(flow->device, block, pad(flow, block, len, at), at)) {
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
		return fail_errno(flow->error, errno, "The file cannot be looked at");
	if (after.st_size == flow->before.st_size &&
		after.st_mtim.tv_sec == flow->before.st_mtim.tv_sec &&
		after.st_mtim.tv_nsec == flow->before.st_mtim.tv_nsec)
		return true;
	return fail_changed(flow);
}

static bool write_all(struct outflow *flow, const char *name)
{
	autoblock *block = make_block(flow->error);

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
	return fail_errno(flow->error, errno, "Not everything reached the pendrive");
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
		return fail_errno(error, errno, "Not everything reached the pendrive");
	return ok;
}

bool bulk_write(const char *device_path, const char *name, int file, GError **error)
{
	return bulk_write_watched(device_path, name, file, NULL, error);
}

/* -- off the pendrive -------------------------------------------------------------------------- */

/* How many bytes are between the guards. */
static bool read_data_size(int device, uint64_t offset, uint64_t *out, GError **error)
{
	uint64_t size;

	if (!read_size(device, &size, error))
		return false;
	if (offset > size / 2) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			"The pendrive is too small for the layout that dom0 says it has");
		return false;
	}
	*out = size - 2 * offset;
	return true;
}

static bool fail_short(GError **error)
{
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		"The pendrive ended before the file did; was it taken back?");
	return false;
}

bool bulk_read_header(int device, uint64_t offset, struct dvm_header *out, GError **error)
{
	autoblock *block = make_block(error);
	enum dvm_result result;
	uint64_t data_bytes;
	ssize_t r;

	if (!block || !read_data_size(device, offset, &data_bytes, error))
		return false;
	r = read_fully(device, block, QPEN_DVM_HEADER_BYTES, offset);
	if (r < 0)
		return fail_errno(error, errno, "The pendrive cannot be read");
	result = dvm_header_parse(block, (size_t)r, data_bytes, out);
	if (result == DVM_OK)
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		"What came on the pendrive breaks the rules and is refused: %s",
		dvm_result_text(result));
	return false;
}

/* The blocks are those of the device, header and all, so that O_DIRECT finds them aligned. */
static bool read_stream(int device, uint64_t offset, uint64_t data_bytes, uint64_t total, int file,
	unsigned char *block, GError **error)
{
	size_t len;

	for (uint64_t at = 0; at < total; at += len) {
		size_t skip = at == 0 ? QPEN_DVM_HEADER_BYTES : 0;
		size_t whole = (size_t)MIN(BLOCK_BYTES, data_bytes - at);
		ssize_t r;

		len = (size_t)MIN(BLOCK_BYTES, total - at);
		whole = MIN(whole, (len + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES);
		r = read_fully(device, block, whole, offset + at);
		if (r < 0)
			return fail_errno(error, errno, "The pendrive cannot be read");
		if ((size_t)r < len)
			return fail_short(error);
		if (!write_fully(file, block + skip, len - skip, at + skip - QPEN_DVM_HEADER_BYTES))
			return fail_errno(error, errno, "The file cannot be written");
	}
	return true;
}

bool bulk_read_body(
	int device, uint64_t offset, const struct dvm_header *header, int file, GError **error)
{
	autoblock *block = make_block(error);
	uint64_t data_bytes;

	if (!block || !read_data_size(device, offset, &data_bytes, error))
		return false;
	if (data_bytes < QPEN_DVM_HEADER_BYTES ||
		header->size_bytes > data_bytes - QPEN_DVM_HEADER_BYTES)
		return fail_short(error);
	try_direct(device);
	if (!read_stream(device, offset, data_bytes, header->size_bytes + QPEN_DVM_HEADER_BYTES,
		    file, block, error))
		return false;
	if (ftruncate(file, (off_t)header->size_bytes) == 0)
		return true;
	return fail_errno(error, errno, "The file's length cannot be set");
}
