/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Replies, as a VM's tools read them: what is shown to a person is text. */
#include <glib.h>
#include <string.h>

#include "fuzz.h"
#include "reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reply reply;
	enum reply_result result = reply_parse((const char *)data, size, "a1", &reply);

	if (size > QPEN_REPLY_MAX)
		g_assert_cmpint(result, ==, REPLY_TOO_LONG);
	if (result != REPLY_PARSED)
		return 0;
	g_assert_true(size >= 5 && memcmp(data, "a1 ", 3) == 0);
	g_assert_nonnull(memchr(reply.text, '\0', sizeof reply.text));
	g_assert_true(g_utf8_validate(reply.text, -1, NULL));
	for (const char *c = reply.text; *c; c++)
		g_assert_false(g_ascii_iscntrl(*c));
	if (reply.kind == REPLY_WAIT)
		g_assert_nonnull(memmem(data, size, qpen_wait_name(reply.wait),
			strlen(qpen_wait_name(reply.wait))));
	if (reply.kind == REPLY_ERROR)
		g_assert_nonnull(memmem(data, size, qpen_error_name(reply.error),
			strlen(qpen_error_name(reply.error))));
	return 0;
}
