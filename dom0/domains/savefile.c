/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "savefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- xl's format ---- */

/* 32 bytes, the NUL in the middle and those at the end included. */
static const char magic[32] = "Xen saved domain, xl format\n \0 \r";

/* Numbers are in the byte order of the machine; this one tells whether it is ours. */
#define BYTE_ORDER_MARK UINT32_C(0x01020304)
#define FLAG_JSON UINT32_C(1)      /* the configuration is JSON */
#define FLAG_STREAM_V2 UINT32_C(2) /* libxl's stream is version 2 */
/* A configuration of libxl's is some KiB. */
#define JSON_MAX_BYTES (UINT32_C(1) << 20)

struct head {
	char magic[sizeof magic];
	uint32_t byte_order;
	uint32_t mandatory_flags;
	uint32_t optional_flags;
	uint32_t
		optional_bytes; /* of what follows: the configuration's size, 32 bits, and itself */
};

/* ---- reading ---- */

static bool read_exactly(int fd, void *out, size_t size, const char *path, GError **error)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, (char *)out + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(error, errno, "Cannot read the save file", path);
		if (n == 0)
			return fail(error, DOMAINS_FAILED,
				"The save file %s ends too soon: remove it, and it is made anew",
				path);
		done += (size_t)n;
	}
	return true;
}

static bool is_ours(const struct head *head)
{
	return memcmp(head->magic, magic, sizeof magic) == 0 &&
	       head->byte_order == BYTE_ORDER_MARK &&
	       head->mandatory_flags == (FLAG_JSON | FLAG_STREAM_V2) &&
	       head->optional_bytes > sizeof(uint32_t) && head->optional_bytes <= JSON_MAX_BYTES;
}

/* The rest of the optional data is for others, who came after us. */
static bool read_json(
	int fd, uint32_t optional_bytes, char **json, const char *path, GError **error)
{
	g_autofree char *text = g_malloc0(optional_bytes + 1u);
	uint32_t size;

	if (!read_exactly(fd, text, optional_bytes, path, error))
		return false;
	memcpy(&size, text, sizeof size);
	if (size == 0 || size > optional_bytes - sizeof size)
		return fail(error, DOMAINS_FAILED,
			"%s is not a save file of xl's: its configuration is longer than its head",
			path);
	*json = g_strndup(text + sizeof size, size);
	return true;
}

static bool read_head(int fd, char **json, const char *path, GError **error)
{
	struct head head;

	if (!read_exactly(fd, &head, sizeof head, path, error))
		return false;
	if (!is_ours(&head))
		return fail(error, DOMAINS_FAILED,
			"%s is not a save file of xl's, or of another version of Xen: remove it, "
			"and it is made anew",
			path);
	return read_json(fd, head.optional_bytes, json, path, error);
}

int savefile_open(const char *path, char **json, GError **error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0) {
		fail_errno(error, errno, "Cannot open the save file", path);
		return -1;
	}
	if (read_head(fd, json, path, error))
		return fd;
	close(fd);
	return -1;
}

/* ---- writing ---- */

static bool write_exactly(int fd, const void *data, size_t size, const char *path, GError **error)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = write(fd, (const char *)data + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(error, errno, "Cannot write the save file", path);
		done += (size_t)n;
	}
	return true;
}

bool savefile_write_head(int fd, const char *json, const char *path, GError **error)
{
	uint32_t size = (uint32_t)strlen(json) + 1; /* xl's has its NUL */
	struct head head = {
		.byte_order = BYTE_ORDER_MARK,
		.mandatory_flags = FLAG_JSON | FLAG_STREAM_V2,
		.optional_bytes = size + (uint32_t)sizeof size,
	};

	memcpy(head.magic, magic, sizeof magic);
	return write_exactly(fd, &head, sizeof head, path, error) &&
	       write_exactly(fd, &size, sizeof size, path, error) &&
	       write_exactly(fd, json, size, path, error);
}

int savefile_create(const char *path, GError **error)
{
	g_autofree char *folder = g_path_get_dirname(path);
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		fail_errno(error, errno, "Cannot make a save file in", folder);
	return fd;
}

bool savefile_publish(int fd, const char *path, GError **error)
{
	g_autofree char *fresh = g_strconcat(path, ".new", NULL);
	char unnamed[64];

	if (fsync(fd) < 0)
		return fail_errno(error, errno, "Cannot write the save file", path);
	/* linkat replaces nothing. A name that is there is of one who was killed right here. */
	unlink(fresh);
	(void)snprintf(unnamed, sizeof unnamed, "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, unnamed, AT_FDCWD, fresh, AT_SYMLINK_FOLLOW) < 0)
		return fail_errno(error, errno, "Cannot give a name to the save file", fresh);
	if (rename(fresh, path) < 0)
		return fail_errno(error, errno, "Cannot put the new save file in place as", path);
	return true;
}
