/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The colours of VMs' labels. Pure. */
#ifndef QFX_COLOUR_H
#define QFX_COLOUR_H

#include <stdbool.h>
#include <stdint.h>

/*
 * 0xRRGGBB of a label: Qubes' names (red, orange, yellow, green, gray, purple, blue, black), or
 * #rrggbb, or 0xrrggbb. False: none that is known; *rgb stays as it is.
 */
bool colour_of_label(const char *label, uint32_t *rgb);

#endif
