/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fatname.h"

#include <glib.h>
#include <string.h>

#define UNITS_MAX 255u
#define UNITS_PER_SLOT 13u

/* `name` is valid UTF-8. */
static uint32_t utf16_units(const char *name, size_t len)
{
	uint32_t units = 0;

	for (const char *p = name; p < name + len; p += g_utf8_skip[(unsigned char)*p])
		units += g_utf8_get_char(p) > 0xffff ? 2 : 1;
	return units;
}

enum fatname_result fatname_check(const char *name, size_t len)
{
	if (len == 0)
		return FATNAME_EMPTY;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)name[i] < 0x20)
			return FATNAME_CONTROL;
		if (strchr(":?\"*<>|\\/", name[i]))
			return FATNAME_CHARACTER;
	}
	if (!g_utf8_validate_len(name, len, NULL))
		return FATNAME_NOT_UTF8;
	if (name[len - 1] == '.' || name[len - 1] == ' ')
		return FATNAME_END;
	return utf16_units(name, len) > UNITS_MAX ? FATNAME_TOO_LONG : FATNAME_OK;
}

const char *fatname_text(enum fatname_result result)
{
	switch (result) {
	case FATNAME_OK:
		return "";
	case FATNAME_EMPTY:
		return "it has no name";
	case FATNAME_NOT_UTF8:
		return "its name is not UTF-8";
	case FATNAME_CONTROL:
		return "its name holds a control character";
	case FATNAME_CHARACTER:
		return "a pendrive cannot carry : ? \" * < > | or \\ in a name";
	case FATNAME_END:
		return "a pendrive cannot carry a name that ends in a dot or a space";
	case FATNAME_TOO_LONG:
		return "its name is too long";
	}
	return "";
}

uint32_t fatname_slots(const char *name, size_t len)
{
	return 1 + (utf16_units(name, len) + UNITS_PER_SLOT - 1) / UNITS_PER_SLOT;
}

char *fatname_key(const char *name)
{
	return g_ascii_strdown(name, -1);
}
