/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "blockio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"

G_STATIC_ASSERT(BLOCKIO_BYTES % BLOCKIO_SECTOR == 0);

void blockio_free(unsigned char *const *block)
{
	free(*block);
}

unsigned char *blockio_make(GError **error)
{
	void *block = aligned_alloc(BLOCKIO_SECTOR, BLOCKIO_BYTES);

	if (!block)
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			"This VM has no memory for a buffer of %zu bytes; close something",
			BLOCKIO_BYTES);
	return block;
}

bool blockio_fail(GError **error, int err, const char *what)
{
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s: %s", what, g_strerror(err));
	return false;
}

int blockio_size(int fd, uint64_t *out)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode)) {
		*out = (uint64_t)st.st_size;
		return 0;
	}
	if (!S_ISBLK(st.st_mode))
		return -ENOTBLK;
	return ioctl(fd, BLKGETSIZE64, out) < 0 ? -errno : 0;
}

/* Sectors of that size are not for every device and file system: true, to be tried once more. */
static bool give_up_direct(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_DIRECT) && fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0;
}

void blockio_try_direct(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	/* Without a word, which would go to the standard output of whoever calls. */
	if (flags >= 0)
		(void)fcntl(fd, F_SETFL, flags | O_DIRECT);
}

ssize_t blockio_read(int fd, unsigned char *bytes, size_t len, uint64_t at)
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

bool blockio_write(int fd, const unsigned char *bytes, size_t len, uint64_t at)
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

bool blockio_put(int socket, const void *bytes, size_t len)
{
	const unsigned char *next = bytes;

	while (len > 0) {
		ssize_t r = write(socket, next, len);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return false;
		next += r;
		len -= (size_t)r;
	}
	return true;
}

ssize_t blockio_get(int socket, void *bytes, size_t len)
{
	unsigned char *next = bytes;
	size_t done = 0;

	while (done < len) {
		ssize_t r = read(socket, next + done, len - done);

		if (r == 0)
			break;
		if (r > 0)
			done += (size_t)r;
		else if (errno != EINTR)
			return -1;
	}
	return (ssize_t)done;
}
