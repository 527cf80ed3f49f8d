/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How qfilexchgctl writes sizes and times. */
#ifndef QFX_TEXT_H
#define QFX_TEXT_H

#include <glib.h>

/* "1.0 GiB", in any locale and on any terminal. To be freed with g_free. */
char *text_size(guint64 bytes);
/* "5 s", "12 min", "3 h", "2 d": the age of a transfer needs no more. To be freed with g_free. */
char *text_duration(guint64 seconds);

#endif
