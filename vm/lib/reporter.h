/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines for a program that shows what we do: words separated by one space, the last of which may
 * hold spaces. qvm-copy-to-vm(1) documents them.
 */
#ifndef QFX_VM_REPORTER_H
#define QFX_VM_REPORTER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct reporter {
	int fd; /* -1: nobody reads */
	gint64 told_us;
	uint64_t told_bytes, told_files;
	bool told; /* of any progress */
};

/* Checks that `fd` can be written to, and keeps it from our children. A reader that goes away is no
 * failure: the lines then go nowhere. */
bool report_open(struct reporter *report, int fd, GError **error);

/* Without a line's end; the arguments are escaped already. */
void report_line(struct reporter *report, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* At most five a second, but always when `last`, unless that was told already. */
void report_progress(
	struct reporter *report, uint64_t bytes, uint64_t files, bool last, gint64 now_us);

/*
 * Bytes below 0x20, 0x7f, % and what is not UTF-8 become %XX, and spaces too where the word is not
 * the last one. The caller frees it.
 */
char *report_escape(const char *raw, bool is_last);

#endif
