/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests: whatever is accepted is in its bounds, and can be written and read again. */
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "qpen_words.h"
#include "request.h"

static void check_fields(const struct request *r)
{
	g_assert_true(strcmp(r->id, QPEN_ID_NONE) == 0 || qpen_is_request_id(r->id, strlen(r->id)));
	g_assert_true(qpen_is_seq(r->seq, strlen(r->seq)));
	g_assert_cmpuint(r->size_bytes, <=, INT64_MAX);
	if (r->verb == REQUEST_SEND)
		g_assert_true(strcmp(r->dest, QPEN_DISPOSABLE) == 0 ||
			      qpen_is_vm_name(r->dest, strlen(r->dest)));
	else
		g_assert_cmpstr(r->dest, ==, "");
	g_assert_true(!r->of[0] ||
		      (r->verb == REQUEST_DISCARD && qpen_is_request_id(r->of, strlen(r->of))));
}

static void write_request(const struct request *r, char *out, size_t max)
{
	static const char *const verbs[] = {"new", "send", "umount", "killme", "discard"};
	int n = snprintf(out, max, "%s", verbs[r->verb]);

	if (r->verb == REQUEST_NEW && r->size_bytes)
		n += snprintf(out + n, max - (size_t)n, " size=%" PRIu64, r->size_bytes);
	if (r->verb == REQUEST_NEW)
		n += snprintf(
			out + n, max - (size_t)n, " format=%s", pendrive_format_name(r->format));
	if (r->verb == REQUEST_SEND)
		n += snprintf(out + n, max - (size_t)n, " %s %s%s", r->dest, r->seq,
			r->view ? " view" : "");
	if (r->of[0])
		n += snprintf(out + n, max - (size_t)n, " %s", r->of);
	if (strcmp(r->id, QPEN_ID_NONE) != 0)
		snprintf(out + n, max - (size_t)n, " #%s", r->id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct request r, again;
	enum request_result result = request_parse((const char *)data, size, &r);
	char text[512];

	g_assert_nonnull(memchr(r.id, '\0', sizeof r.id));
	g_assert_true(strcmp(r.id, QPEN_ID_NONE) == 0 || qpen_is_request_id(r.id, strlen(r.id)));
	if (size == 0)
		g_assert_cmpint(result, ==, REQUEST_EMPTY);
	if (size > QPEN_REQUEST_MAX)
		g_assert_cmpint(result, ==, REQUEST_TOO_LONG);
	if (result != REQUEST_OK)
		return 0;
	check_fields(&r);
	write_request(&r, text, sizeof text);
	g_assert_cmpint(request_parse(text, strlen(text), &again), ==, REQUEST_OK);
	g_assert_cmpint(again.verb, ==, r.verb);
	g_assert_cmpint(again.format, ==, r.format);
	g_assert_cmpuint(again.size_bytes, ==, r.size_bytes);
	g_assert_cmpstr(again.id, ==, r.id);
	g_assert_cmpstr(again.dest, ==, r.dest);
	g_assert_cmpstr(again.seq, ==, r.seq);
	g_assert_cmpstr(again.of, ==, r.of);
	g_assert_cmpint(again.view, ==, r.view);
	return 0;
}
