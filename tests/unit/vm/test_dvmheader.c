/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bytes are written down here by hand: what one side composes must be what 2010 composed. */
#include <glib.h>
#include <string.h>

#include "dvmheader.h"

#define LEN(text) (sizeof(text) - 1)
#define SIZE(bytes) bytes, 8
#define NAME(text) text, LEN(text)
#define DEVICE(bytes) (UINT64_C(bytes) + 1024)

static const struct {
	const char *label;
	const char *size; /* the first 8 bytes */
	size_t size_len;
	const char *name; /* from byte 8 on; zeros behind */
	size_t name_len;
	uint64_t device_bytes;
	enum dvm_result result;
	uint64_t size_bytes;
} headers[] = {
	{"plain", SIZE("\5\0\0\0\0\0\0\0"), NAME("a.txt"), DEVICE(4096), DVM_OK, 5},
	{"empty file", SIZE("\0\0\0\0\0\0\0\0"), NAME("a"), DEVICE(0), DVM_OK, 0},
	{"every byte of the size", SIZE("\1\2\3\4\5\6\7\x08"), NAME("a"), UINT64_MAX, DVM_OK,
		UINT64_C(0x0807060504030201)},
	{"fits exactly", SIZE("\0\x10\0\0\0\0\0\0"), NAME("a"), DEVICE(4096), DVM_OK, 4096},
	{"one byte beyond", SIZE("\1\x10\0\0\0\0\0\0"), NAME("a"), DEVICE(4096), DVM_BEYOND_DEVICE,
		0},
	{"2^64-1", SIZE("\xff\xff\xff\xff\xff\xff\xff\xff"), NAME("a"), DEVICE(1048576),
		DVM_BEYOND_DEVICE, 0},
	{"2^64-1024 wraps with the header", SIZE("\0\xfc\xff\xff\xff\xff\xff\xff"), NAME("a"),
		DEVICE(1048576), DVM_BEYOND_DEVICE, 0},
	{"2^63", SIZE("\0\0\0\0\0\0\0\x80"), NAME("a"), DEVICE(1048576), DVM_BEYOND_DEVICE, 0},
	{"a device of less than a header", SIZE("\0\0\0\0\0\0\0\0"), NAME("a"), 1023,
		DVM_BEYOND_DEVICE, 0},
	{"no device", SIZE("\0\0\0\0\0\0\0\0"), NAME("a"), 0, DVM_BEYOND_DEVICE, 0},
	{"no name", SIZE("\5\0\0\0\0\0\0\0"), NAME(""), DEVICE(4096), DVM_BAD_NAME, 0},
	{"a slash", SIZE("\5\0\0\0\0\0\0\0"), NAME("a/b"), DEVICE(4096), DVM_BAD_NAME, 0},
	{"a slash in front", SIZE("\5\0\0\0\0\0\0\0"), NAME("/etc"), DEVICE(4096), DVM_BAD_NAME, 0},
	{"a slash at the end", SIZE("\5\0\0\0\0\0\0\0"), NAME("a/"), DEVICE(4096), DVM_BAD_NAME, 0},
	{"up", SIZE("\5\0\0\0\0\0\0\0"), NAME("../x"), DEVICE(4096), DVM_BAD_NAME, 0},
	{"dot", SIZE("\5\0\0\0\0\0\0\0"), NAME("."), DEVICE(4096), DVM_BAD_NAME, 0},
	{"dot dot", SIZE("\5\0\0\0\0\0\0\0"), NAME(".."), DEVICE(4096), DVM_BAD_NAME, 0},
	{"three dots", SIZE("\5\0\0\0\0\0\0\0"), NAME("..."), DEVICE(4096), DVM_OK, 5},
	{"hidden", SIZE("\5\0\0\0\0\0\0\0"), NAME("..a"), DEVICE(4096), DVM_OK, 5},
	{"a byte behind the NUL", SIZE("\5\0\0\0\0\0\0\0"), NAME("a\0b"), DEVICE(4096),
		DVM_DIRTY_NAME, 0},
	{"a slash behind the NUL", SIZE("\5\0\0\0\0\0\0\0"), NAME("a\0/"), DEVICE(4096),
		DVM_DIRTY_NAME, 0},
	{"a NUL in front", SIZE("\5\0\0\0\0\0\0\0"), NAME("\0a"), DEVICE(4096), DVM_DIRTY_NAME, 0},
	{"a leading dash", SIZE("\5\0\0\0\0\0\0\0"), NAME("-rf"), DEVICE(4096), DVM_OK, 5},
	{"what a shell would run", SIZE("\5\0\0\0\0\0\0\0"), NAME("'\"$(touch x)`y`;&|"),
		DEVICE(4096), DVM_OK, 5},
	{"a newline", SIZE("\5\0\0\0\0\0\0\0"), NAME("a\nb\tc\x7f"), DEVICE(4096), DVM_OK, 5},
	{"no UTF-8", SIZE("\5\0\0\0\0\0\0\0"), NAME("\xff\xfe\x80"), DEVICE(4096), DVM_OK, 5},
};

static void fill(size_t row, unsigned char bytes[QPEN_DVM_HEADER_BYTES])
{
	memset(bytes, 0, QPEN_DVM_HEADER_BYTES);
	memcpy(bytes, headers[row].size, headers[row].size_len);
	memcpy(bytes + 8, headers[row].name, headers[row].name_len);
}

static void test_parse(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(headers); i++) {
		unsigned char bytes[QPEN_DVM_HEADER_BYTES];
		struct dvm_header header = {.size_bytes = 42};

		g_test_message("%s", headers[i].label);
		fill(i, bytes);
		g_assert_cmpint(
			dvm_header_parse(bytes, sizeof bytes, headers[i].device_bytes, &header), ==,
			headers[i].result);
		if (headers[i].result == DVM_OK) {
			g_assert_cmpuint(header.size_bytes, ==, headers[i].size_bytes);
			g_assert_cmpuint(strlen(header.name), ==, headers[i].name_len);
			g_assert_cmpstr(header.name, ==, headers[i].name);
		} else {
			g_assert_cmpuint(header.size_bytes, ==, 42);
			g_assert_cmpstr(header.name, ==, "");
		}
	}
}

static void test_compose(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(headers); i++) {
		unsigned char wanted[QPEN_DVM_HEADER_BYTES];
		unsigned char bytes[QPEN_DVM_HEADER_BYTES];

		if (headers[i].result != DVM_OK)
			continue;
		g_test_message("%s", headers[i].label);
		fill(i, wanted);
		memset(bytes, 0x55, sizeof bytes);
		g_assert_true(dvm_header_compose(headers[i].name, headers[i].size_bytes, bytes));
		g_assert_true(memcmp(bytes, wanted, sizeof wanted) == 0);
	}
}

static void test_compose_refuses(void)
{
	static const char *const names[] = {"", ".", "..", "/", "a/b", "/a", "a/"};
	unsigned char bytes[QPEN_DVM_HEADER_BYTES];

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		g_test_message("%s", names[i]);
		g_assert_false(dvm_header_compose(names[i], 1, bytes));
	}
}

static void test_longest(void)
{
	unsigned char bytes[QPEN_DVM_HEADER_BYTES];
	struct dvm_header header;
	char name[QPEN_DVM_NAME_BYTES + 1];

	memset(name, 'n', sizeof name);
	name[QPEN_DVM_NAME_BYTES] = '\0';
	g_assert_false(dvm_header_compose(name, 7, bytes));
	name[QPEN_DVM_NAME_BYTES - 1] = '\0';
	g_assert_cmpuint(strlen(name), ==, 1015);
	g_assert_true(dvm_header_compose(name, 7, bytes));
	g_assert_cmpint(dvm_header_parse(bytes, sizeof bytes, 2048, &header), ==, DVM_OK);
	g_assert_cmpstr(header.name, ==, name);
	bytes[QPEN_DVM_HEADER_BYTES - 1] = 'n';
	g_assert_cmpint(dvm_header_parse(bytes, sizeof bytes, 2048, &header), ==, DVM_NO_NUL);
}

/* On the heap and of exactly that length, so that the sanitizer sees a look beyond it. */
static void test_short(void)
{
	for (size_t len = 0; len < QPEN_DVM_HEADER_BYTES; len++) {
		g_autofree unsigned char *bytes = g_malloc0(len);
		struct dvm_header header;

		g_assert_cmpint(dvm_header_parse(bytes, len, 1048576, &header), ==, DVM_TOO_SHORT);
	}
}

/* The sender's program says how it is refused, so each reason has a sentence of its own. */
static void test_texts(void)
{
	for (int i = DVM_OK; i <= DVM_BEYOND_DEVICE; i++)
		for (int j = DVM_OK; j < i; j++)
			g_assert_cmpstr(dvm_result_text((enum dvm_result)i), !=,
				dvm_result_text((enum dvm_result)j));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vm/dvmheader/parse", test_parse);
	g_test_add_func("/vm/dvmheader/compose", test_compose);
	g_test_add_func("/vm/dvmheader/compose-refuses", test_compose_refuses);
	g_test_add_func("/vm/dvmheader/longest", test_longest);
	g_test_add_func("/vm/dvmheader/short", test_short);
	g_test_add_func("/vm/dvmheader/texts", test_texts);
	return g_test_run();
}
