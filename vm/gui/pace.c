/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pace.h"

/* With less time between the first and the last, the rate is chance. */
#define LEAST_US G_USEC_PER_SEC

void pace_add(struct pace *pace, gint64 now_us, guint64 bytes)
{
	guint i = pace->count++ % PACE_SAMPLES;

	pace->samples[i].at_us = now_us;
	pace->samples[i].bytes = bytes;
}

guint64 pace_rate(const struct pace *pace)
{
	guint kept = MIN(pace->count, PACE_SAMPLES);
	guint last = (pace->count - 1) % PACE_SAMPLES;
	guint first = last;

	if (kept < 2)
		return 0;
	for (guint back = 1; back < kept; back++) {
		guint i = (pace->count - 1 - back) % PACE_SAMPLES;

		if (pace->samples[last].at_us - pace->samples[i].at_us > PACE_WINDOW_US)
			break;
		first = i;
	}
	if (pace->samples[last].at_us - pace->samples[first].at_us < LEAST_US ||
		pace->samples[last].bytes < pace->samples[first].bytes)
		return 0;
	return (guint64)((double)(pace->samples[last].bytes - pace->samples[first].bytes) *
			 G_USEC_PER_SEC /
			 (double)(pace->samples[last].at_us - pace->samples[first].at_us));
}

gint64 pace_left_s(const struct pace *pace, guint64 left)
{
	guint64 rate = pace_rate(pace);
	guint64 seconds;

	if (rate == 0)
		return -1;
	seconds = left / rate + (left % rate != 0);
	return seconds > G_MAXINT64 ? -1 : (gint64)seconds;
}
