/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <glib.h>
#include <string.h>

#include "qpen_contract.h"
#include "request.h"

static const struct {
	const char *text;
	bool ok;
	uint64_t bytes;
} sizes[] = {
	{"1", true, 1},
	{"512", true, 512},
	{"1K", true, 1024},
	{"64M", true, UINT64_C(64) << 20},
	{"2G", true, UINT64_C(2) << 30},
	{"3T", true, UINT64_C(3) << 40},
	{"007", true, 7},
	{"9223372036854775807", true, INT64_MAX},
	{"8388607T", true, UINT64_C(8388607) << 40},
	{"", false, 0},
	{"0", false, 0},
	{"0K", false, 0},
	{"K", false, 0},
	{"-1", false, 0},
	{"+1", false, 0},
	{" 1", false, 0},
	{"1 ", false, 0},
	{"1k", false, 0},
	{"1KB", false, 0},
	{"1KK", false, 0},
	{"1.5G", false, 0},
	{"0x10", false, 0},
	{"1P", false, 0},
	{"9223372036854775808", false, 0},
	{"8388608T", false, 0},
	{"99999999999999999999999", false, 0},
};

static void test_sizes(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
		uint64_t bytes = 42;

		g_test_message("%s", sizes[i].text);
		g_assert_cmpint(request_parse_size(sizes[i].text, &bytes), ==, sizes[i].ok);
		g_assert_cmpuint(bytes, ==, sizes[i].ok ? sizes[i].bytes : 42);
	}
}

static const struct {
	struct request request;
	const char *line; /* NULL: not sound */
} requests[] = {
	{{.verb = REQUEST_NEW}, "new"},
	{{.verb = REQUEST_NEW, .size = "2G"}, "new size=2G"},
	{{.verb = REQUEST_NEW, .format = "none"}, "new format=none"},
	{{.verb = REQUEST_NEW, .size = "1", .format = "vfat"}, "new size=1 format=vfat"},
	{{.verb = REQUEST_SEND, .dest = "personal"}, "send personal"},
	{{.verb = REQUEST_SEND, .dest = "a-b.c_d+e", .seq = "17"}, "send a-b.c_d+e 17"},
	{{.verb = REQUEST_SEND, .dest = "disposable", .seq = "17"}, "send disposable 17"},
	{{.verb = REQUEST_SEND, .dest = "disposable", .seq = "17", .view = true},
		"send disposable 17 view"},
	{{.verb = REQUEST_KILLME}, "killme"},
	{{.verb = REQUEST_UMOUNT}, "umount"},
	{{.verb = REQUEST_DISCARD}, "discard"},
	{{.verb = REQUEST_DISCARD, .of = "0aZ"}, "discard 0aZ"},
	{{.verb = REQUEST_DISCARD, .of = ""}, NULL},
	{{.verb = REQUEST_DISCARD, .of = "a b"}, NULL},
	{{.verb = REQUEST_DISCARD, .of = "-"}, NULL},
	{{.verb = REQUEST_NEW, .size = "2GB"}, NULL},
	{{.verb = REQUEST_NEW, .format = "ext4"}, NULL},
	{{.verb = REQUEST_SEND}, NULL},
	{{.verb = REQUEST_SEND, .dest = ""}, NULL},
	{{.verb = REQUEST_SEND, .dest = "a b"}, NULL},
	{{.verb = REQUEST_SEND, .dest = "-a"}, NULL},
	{{.verb = REQUEST_SEND, .dest = "a\nb"}, NULL},
	{{.verb = REQUEST_SEND, .dest = "stra\xc3\x9f"}, NULL},
	{{.verb = REQUEST_SEND, .dest = "Domain-0"}, NULL},
	{{.verb = REQUEST_SEND, .dest = "a", .seq = ""}, NULL},
	{{.verb = REQUEST_SEND, .dest = "a", .seq = "#1"}, NULL},
	{{.verb = REQUEST_SEND, .dest = "a", .seq = "1 2"}, NULL},
	{{.verb = REQUEST_SEND, .dest = "disposable"}, NULL},
	{{.verb = REQUEST_SEND, .dest = "disposable", .seq = "0"}, NULL},
	{{.verb = REQUEST_SEND, .dest = "a", .seq = "1", .view = true}, NULL},
};

static void test_compose(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(requests); i++) {
		const char *why = NULL;
		g_autofree char *line = NULL;

		g_test_message("row %zu", i);
		g_assert_cmpint(
			request_is_sound(&requests[i].request, &why), ==, requests[i].line != NULL);
		g_assert_cmpint(why == NULL, ==, requests[i].line != NULL);
		if (!requests[i].line)
			continue;
		line = request_compose(&requests[i].request);
		g_assert_cmpstr(line, ==, requests[i].line);
	}
}

/* The longest request that is sound still fits, with the longest ID. */
static void test_longest(void)
{
	char dest[QPEN_NAME_MAX + 1];
	char seq[QPEN_SEQ_MAX + 1];
	const struct request request = {.verb = REQUEST_SEND, .dest = dest, .seq = seq};
	g_autofree char *line = NULL;

	memset(dest, 'a', sizeof dest - 1);
	dest[sizeof dest - 1] = '\0';
	memset(seq, '9', sizeof seq - 1);
	seq[sizeof seq - 1] = '\0';
	g_assert_true(request_is_sound(&request, NULL));
	line = request_compose(&request);
	g_assert_cmpuint(strlen(line) + 2 + QPEN_ID_MAX, <=, QPEN_REQUEST_MAX);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vm/request/sizes", test_sizes);
	g_test_add_func("/vm/request/compose", test_compose);
	g_test_add_func("/vm/request/longest", test_longest);
	return g_test_run();
}
