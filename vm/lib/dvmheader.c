/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dvmheader.h"

#include <string.h>

/* Byte by byte, so that neither the alignment nor the machine's own order matters. */
static uint64_t read_le64(const unsigned char bytes[QPEN_DVM_SIZE_BYTES])
{
	uint64_t value = 0;

	for (unsigned i = QPEN_DVM_SIZE_BYTES; i > 0; i--)
		value = value << 8 | bytes[i - 1];
	return value;
}

static void write_le64(unsigned char bytes[QPEN_DVM_SIZE_BYTES], uint64_t value)
{
	for (unsigned i = 0; i < QPEN_DVM_SIZE_BYTES; i++)
		bytes[i] = (unsigned char)(value >> (8 * i));
}

static bool is_component(const char *name, size_t len)
{
	return len > 0 && !memchr(name, '/', len) && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

static bool is_zero(const unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i])
			return false;
	return true;
}

enum dvm_result dvm_header_parse(
	const unsigned char *untrusted, size_t len, uint64_t device_bytes, struct dvm_header *out)
{
	const unsigned char *untrusted_name;
	const unsigned char *nul;
	uint64_t untrusted_size;

	if (len < QPEN_DVM_HEADER_BYTES)
		return DVM_TOO_SHORT;
	untrusted_name = untrusted + QPEN_DVM_SIZE_BYTES;
	nul = memchr(untrusted_name, '\0', QPEN_DVM_NAME_BYTES);
	if (!nul)
		return DVM_NO_NUL;
	if (!is_zero(nul, (size_t)(untrusted_name + QPEN_DVM_NAME_BYTES - nul)))
		return DVM_DIRTY_NAME;
	if (!is_component((const char *)untrusted_name, (size_t)(nul - untrusted_name)))
		return DVM_BAD_NAME;
	untrusted_size = read_le64(untrusted);
	/* The subtraction is made on our side, where it cannot wrap. */
	if (device_bytes < QPEN_DVM_HEADER_BYTES ||
		untrusted_size > device_bytes - QPEN_DVM_HEADER_BYTES)
		return DVM_BEYOND_DEVICE;
	out->size_bytes = untrusted_size;
	memcpy(out->name, untrusted_name, QPEN_DVM_NAME_BYTES);
	return DVM_OK;
}

bool dvm_header_compose(
	const char *name, uint64_t size_bytes, unsigned char out[QPEN_DVM_HEADER_BYTES])
{
	size_t len = strnlen(name, QPEN_DVM_NAME_BYTES);

	if (len == QPEN_DVM_NAME_BYTES || !is_component(name, len))
		return false;
	memset(out, 0, QPEN_DVM_HEADER_BYTES);
	write_le64(out, size_bytes);
	memcpy(out + QPEN_DVM_SIZE_BYTES, name, len);
	return true;
}

const char *dvm_result_text(enum dvm_result result)
{
	switch (result) {
	case DVM_OK:
		return "the header is sound";
	case DVM_TOO_SHORT:
		return "there are fewer bytes than a header has";
	case DVM_NO_NUL:
		return "the file's name has no end";
	case DVM_DIRTY_NAME:
		return "something stands behind the end of the file's name";
	case DVM_BAD_NAME:
		return "the file's name is empty, \".\", \"..\" or has a slash";
	case DVM_BEYOND_DEVICE:
		return "the file would end beyond the pendrive's end";
	}
	return "the header is not sound";
}
