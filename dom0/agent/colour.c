/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "colour.h"

#include <glib.h>
#include <string.h>

static const struct {
	const char *label;
	uint32_t rgb;
} colours[] = {
	{"red", 0xcc0000},
	{"orange", 0xf57900},
	{"yellow", 0xedd400},
	{"green", 0x73d216},
	{"gray", 0x555753},
	{"grey", 0x555753},
	{"blue", 0x3465a4},
	{"purple", 0x75507b},
	{"black", 0x000000},
};

bool colour_of_label(const char *label, uint32_t *rgb)
{
	const char *digits = NULL;
	uint32_t value = 0;

	for (size_t i = 0; i < G_N_ELEMENTS(colours); i++)
		if (strcmp(label, colours[i].label) == 0) {
			*rgb = colours[i].rgb;
			return true;
		}
	if (label[0] == '#')
		digits = label + 1;
	else if (g_str_has_prefix(label, "0x"))
		digits = label + 2;
	if (!digits || strlen(digits) != 6)
		return false;
	for (int i = 0; i < 6; i++) {
		if (!g_ascii_isxdigit(digits[i]))
			return false;
		value = value << 4 | (uint32_t)g_ascii_xdigit_value(digits[i]);
	}
	*rgb = value;
	return true;
}
