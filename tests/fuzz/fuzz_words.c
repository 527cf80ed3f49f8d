/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names: what is accepted can stand in a path, a request, a label and on a screen. */
#include <glib.h>
#include <string.h>

#include "fuzz.h"
#include "qpen_words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = (const char *)data;
	bool name = qpen_is_vm_name(bytes, size);
	bool id = qpen_is_request_id(bytes, size);

	g_assert_cmpint(id, ==, qpen_is_seq(bytes, size));
	if (!name && !id)
		return 0;
	g_assert_cmpuint(size, >, 0);
	g_assert_cmpuint(size, <=, name ? QPEN_NAME_MAX : QPEN_ID_MAX);
	for (size_t i = 0; i < size; i++) {
		g_assert_true(g_ascii_isgraph(bytes[i]));
		g_assert_null(strchr("/\\\"'<>&#%$`;|*?~=,: ", bytes[i]));
	}
	/* Neither a path's dots nor a program's option. */
	g_assert_true(g_ascii_isalnum(bytes[0]));
	/* An ID is a name as well, but for the two that nobody may have. */
	if (id && !name)
		g_assert_true(size > QPEN_NAME_MAX || qpen_is_word(bytes, size, QPEN_DISPOSABLE));
	return 0;
}
