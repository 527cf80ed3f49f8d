/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "filehash.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_BYTES (1u << 18)

bool filehash_sha256(int fd, char out[FILEHASH_CHARS + 1])
{
	g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
	g_autofree guchar *buffer = g_malloc(BUFFER_BYTES);
	off_t at = 0;
	ssize_t r;

	while ((r = pread(fd, buffer, BUFFER_BYTES, at)) != 0) {
		if (r < 0 && errno != EINTR)
			return false;
		if (r < 0)
			continue;
		g_checksum_update(checksum, buffer, r);
		at += r;
	}
	filehash_finish(checksum, out);
	return true;
}

void filehash_finish(GChecksum *checksum, char out[FILEHASH_CHARS + 1])
{
	g_strlcpy(out, g_checksum_get_string(checksum), FILEHASH_CHARS + 1);
}

bool filehash_is_sound(const char *text)
{
	return strlen(text) == FILEHASH_CHARS && strspn(text, "0123456789abcdef") == FILEHASH_CHARS;
}
