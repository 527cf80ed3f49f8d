/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "progress.h"

#include <string.h>

/* A file costs about as much as so many bytes, however small it is. */
#define FILE_WORK_BYTES 32768u
/* Rates are reckoned no more often than that, and forget what was before in about so long. */
#define RATE_STEP_US 500000
#define RATE_MEMORY_US 8000000
/* Before that a guess about the time left says nothing. */
#define GUESS_AFTER_US 2000000
#define GUESS_MAX_S 359999 /* 99:59:59 */
#define BAR_MIN 8u
#define BAR_MAX 40u

static uint64_t work_of(uint64_t bytes, uint64_t files)
{
	return bytes + files * FILE_WORK_BYTES;
}

void progress_start(struct progress *p, uint64_t total_bytes, uint64_t total_files, gint64 now_us)
{
	*p = (struct progress){
		.total_bytes = total_bytes,
		.total_files = total_files,
		.begun_us = now_us,
		.counted_us = now_us,
	};
}

static double smooth(double old, double amount, double seconds, double weight)
{
	double present = amount / seconds;

	return old > 0 ? old + (present - old) * weight : present;
}

void progress_update(struct progress *p, uint64_t bytes, uint64_t files, gint64 now_us)
{
	gint64 passed_us = now_us - p->counted_us;
	uint64_t work = work_of(bytes, files);
	double seconds = (double)passed_us / G_USEC_PER_SEC;
	double weight = (double)passed_us / (double)(passed_us + RATE_MEMORY_US);

	p->bytes = bytes;
	p->files = files;
	if (passed_us < RATE_STEP_US)
		return;
	p->bytes_per_s =
		smooth(p->bytes_per_s, (double)bytes - (double)p->counted_bytes, seconds, weight);
	p->work_per_s =
		smooth(p->work_per_s, (double)work - (double)p->counted_work, seconds, weight);
	p->counted_us = now_us;
	p->counted_bytes = bytes;
	p->counted_work = work;
}

/* Files may have grown since they were counted. */
static uint64_t work_left(const struct progress *p)
{
	uint64_t all = work_of(p->total_bytes, p->total_files);
	uint64_t done = work_of(p->bytes, p->files);

	return done < all ? all - done : 0;
}

unsigned progress_percent(const struct progress *p)
{
	uint64_t all = work_of(p->total_bytes, p->total_files);
	uint64_t left = work_left(p);

	if (left == 0)
		return 100;
	return MIN(99, (unsigned)((double)(all - left) * 100 / (double)all));
}

gint64 progress_seconds_left(const struct progress *p)
{
	double seconds;

	if (work_left(p) == 0)
		return 0;
	if (p->work_per_s <= 0 || p->counted_us - p->begun_us < GUESS_AFTER_US)
		return -1;
	seconds = (double)work_left(p) / p->work_per_s;
	return seconds > GUESS_MAX_S ? -1 : (gint64)seconds + 1;
}

static char *time_text(gint64 seconds)
{
	if (seconds < 0)
		return NULL;
	if (seconds < 3600)
		return g_strdup_printf("%" G_GINT64_FORMAT ":%02" G_GINT64_FORMAT " left",
			seconds / 60, seconds % 60);
	return g_strdup_printf("%" G_GINT64_FORMAT ":%02" G_GINT64_FORMAT ":%02" G_GINT64_FORMAT
			       " left",
		seconds / 3600, seconds / 60 % 60, seconds % 60);
}

static char *rate_text(double bytes_per_s)
{
	g_autofree char *size = NULL;

	if (bytes_per_s < 1)
		return NULL;
	size = g_format_size((guint64)bytes_per_s);
	return g_strconcat(size, "/s", NULL);
}

/* Adds a piece if there is room for it. */
static void add(GString *line, const char *piece, unsigned room)
{
	if (piece && g_utf8_strlen(line->str, -1) + 2 + g_utf8_strlen(piece, -1) <= (glong)room)
		g_string_append_printf(line, "  %s", piece);
}

static char *bar_text(unsigned percent, unsigned width)
{
	g_autofree char *done = g_strnfill(width * percent / 100, '#');
	g_autofree char *left = g_strnfill(width - width * percent / 100, '.');

	return g_strdup_printf("[%s%s] ", done, left);
}

char *progress_line(const struct progress *p, unsigned columns)
{
	unsigned room = columns > 1 ? columns - 1 : 0;
	GString *line = g_string_new(NULL);
	g_autofree char *done = g_format_size(p->bytes);
	g_autofree char *all = g_format_size(MAX(p->total_bytes, p->bytes));
	g_autofree char *bytes = g_strdup_printf("%s of %s", done, all);
	g_autofree char *rate = rate_text(p->bytes_per_s);
	g_autofree char *left = time_text(progress_seconds_left(p));
	glong length;

	g_string_printf(line, "%3u %%", progress_percent(p));
	if (line->len > room)
		g_string_truncate(line, room);
	add(line, bytes, room);
	add(line, rate, room);
	add(line, left, room);
	length = g_utf8_strlen(line->str, -1);
	if ((glong)room - length >= (glong)BAR_MIN + 3) {
		g_autofree char *bar =
			bar_text(progress_percent(p), MIN(BAR_MAX, room - (unsigned)length - 3));

		g_string_prepend(line, bar);
	}
	return g_string_free(line, FALSE);
}
