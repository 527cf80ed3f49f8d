/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "reporter.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"

#define PROGRESS_INTERVAL_US 200000

bool report_open(struct reporter *report, int fd, GError **error)
{
	int flags = fcntl(fd, F_GETFL);

	*report = (struct reporter){.fd = -1};
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return vm_fail_usage(error,
			"--report needs the number of a descriptor that is open for writing");
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return vm_fail_usage(error, "the descriptor of --report cannot be used");
	(void)signal(SIGPIPE, SIG_IGN);
	report->fd = fd;
	return true;
}

/* Who does not read keeps us waiting, as any pipe does. */
static bool wait_writable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

	return poll(&poll_fd, 1, -1) > 0 || errno == EINTR;
}

static bool write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t r = write(fd, bytes, len);

		if (r >= 0) {
			bytes += r;
			len -= (size_t)r;
		} else if (errno != EINTR && !(errno == EAGAIN && wait_writable(fd))) {
			return false;
		}
	}
	return true;
}

void report_line(struct reporter *report, const char *format, ...)
{
	g_autofree char *text = NULL;
	g_autofree char *line = NULL;
	va_list list;

	if (report->fd < 0)
		return;
	va_start(list, format);
	text = g_strdup_vprintf(format, list);
	va_end(list);
	line = g_strconcat(text, "\n", NULL);
	if (!write_all(report->fd, line, strlen(line)))
		report->fd = -1;
}

void report_progress(
	struct reporter *report, uint64_t bytes, uint64_t files, bool last, gint64 now_us)
{
	bool same = report->told && report->told_bytes == bytes && report->told_files == files;

	if (last ? same : report->told && now_us - report->told_us < PROGRESS_INTERVAL_US)
		return;
	report->told = true;
	report->told_us = now_us;
	report->told_bytes = bytes;
	report->told_files = files;
	report_line(report, "progress %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT, (guint64)bytes,
		(guint64)files);
}

char *report_escape(const char *raw, bool is_last)
{
	const char *end = raw + strlen(raw);
	GString *out = g_string_new(NULL);

	while (raw < end) {
		gunichar c = g_utf8_get_char_validated(raw, end - raw);
		bool plain = c != (gunichar)-1 && c != (gunichar)-2 && c >= 0x20 && c != 0x7f &&
			     c != '%' && (c != ' ' || is_last);
		gssize len = plain ? g_utf8_skip[(unsigned char)*raw] : 1;

		if (plain)
			g_string_append_len(out, raw, len);
		else
			g_string_append_printf(out, "%%%02X", (unsigned char)*raw);
		raw += len;
	}
	return g_string_free(out, FALSE);
}
