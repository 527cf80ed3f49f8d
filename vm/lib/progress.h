/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How far a copy is, how fast, and for how long still. Pure: it is told the time. */
#ifndef QFX_VM_PROGRESS_H
#define QFX_VM_PROGRESS_H

#include <glib.h>
#include <stdint.h>

struct progress {
	uint64_t total_bytes, total_files;
	uint64_t bytes, files; /* done */
	gint64 begun_us;
	gint64 counted_us;      /* when the rates were reckoned last */
	uint64_t counted_bytes; /* ... and how much was done then */
	uint64_t counted_work;
	double bytes_per_s; /* smoothed; 0: not known yet */
	double work_per_s;
};

void progress_start(struct progress *p, uint64_t total_bytes, uint64_t total_files, gint64 now_us);
/* `now_us` never goes back. */
void progress_update(struct progress *p, uint64_t bytes, uint64_t files, gint64 now_us);

/* 0 to 100, and 100 only when all is done. */
unsigned progress_percent(const struct progress *p);

/* -1: nobody can say yet. */
gint64 progress_seconds_left(const struct progress *p);

/*
 * A line for a terminal of that many columns, of which it leaves the last one free: percent, a bar,
 * bytes, rate and time left, as far as there is room. The caller frees it.
 */
char *progress_line(const struct progress *p, unsigned columns);

#endif
