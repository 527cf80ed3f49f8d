/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How fast the copying goes, and how long it will take, over the last seconds of it. Pure. */
#ifndef QFX_VM_GUI_PACE_H
#define QFX_VM_GUI_PACE_H

#include <glib.h>

/* Older samples say nothing about how fast it is now; reports come five times a second. */
#define PACE_WINDOW_US (5 * G_USEC_PER_SEC)
#define PACE_SAMPLES 32u

struct pace {
	struct {
		gint64 at_us;
		guint64 bytes;
	} samples[PACE_SAMPLES]; /* a ring */
	guint count;             /* that were ever added */
};

/* `pace` starts as zeros. Times are of a monotonic clock and do not go back; nor do bytes. */
void pace_add(struct pace *pace, gint64 now_us, guint64 bytes);

/* Bytes in a second; 0: not known yet, or nothing moves. */
guint64 pace_rate(const struct pace *pace);

/* Seconds, rounded up, until `left` more bytes are copied; -1: not known. */
gint64 pace_left_s(const struct pace *pace, guint64 left);

#endif
