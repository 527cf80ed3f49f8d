/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The header that another VM wrote. The first two bytes say how large the device is, as a shift and
 * a few bytes more or less, so that sizes on both sides of the limit are easy to come by; the rest
 * is the header, filled up with zeros, for a shorter one is refused at once.
 */
#include <glib.h>
#include <string.h>

#include "dvmheader.h"
#include "fuzz.h"

static uint64_t choose_device(const uint8_t *data)
{
	return (UINT64_C(1) << (data[0] % 64)) + data[1] - 128;
}

static void check_accepted(
	const unsigned char *bytes, uint64_t device_bytes, const struct dvm_header *header)
{
	unsigned char again[QPEN_DVM_HEADER_BYTES];
	size_t len = strnlen(header->name, sizeof header->name);

	g_assert_cmpuint(len, >, 0);
	g_assert_cmpuint(len, <, sizeof header->name);
	g_assert_null(strchr(header->name, '/'));
	g_assert_cmpstr(header->name, !=, ".");
	g_assert_cmpstr(header->name, !=, "..");
	g_assert_cmpuint(device_bytes, >=, QPEN_DVM_HEADER_BYTES);
	g_assert_cmpuint(header->size_bytes, <=, device_bytes - QPEN_DVM_HEADER_BYTES);
	/* There is one way to write a header down: nothing of it was passed over. */
	g_assert_true(dvm_header_compose(header->name, header->size_bytes, again));
	g_assert_true(memcmp(again, bytes, sizeof again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char bytes[QPEN_DVM_HEADER_BYTES] = {0};
	struct dvm_header header;
	uint64_t device_bytes;

	if (size < 2)
		return 0;
	device_bytes = choose_device(data);
	g_assert_cmpint(dvm_header_parse(data + 2, MIN(size - 2, QPEN_DVM_HEADER_BYTES - 1),
				device_bytes, &header),
		==, DVM_TOO_SHORT);
	memcpy(bytes, data + 2, MIN(size - 2, sizeof bytes));
	if (dvm_header_parse(bytes, sizeof bytes, device_bytes, &header) == DVM_OK)
		check_accepted(bytes, device_bytes, &header);
	return 0;
}
