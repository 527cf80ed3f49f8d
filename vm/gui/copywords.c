/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "copywords.h"

#include <inttypes.h>
#include <string.h>

#include "fail.h"
#include "qpen_words.h"

#define SHOWN_FILES 4u

const char *copywords_verb(gboolean move)
{
	return move ? "Move" : "Copy";
}

char *copywords_files(char **files)
{
	GString *text = g_string_new(NULL);
	guint count = g_strv_length(files);
	guint shown = count > SHOWN_FILES + 1 ? SHOWN_FILES : count;

	for (guint i = 0; i < shown; i++) {
		g_autofree char *name = g_path_get_basename(files[i]);
		g_autofree char *printable = vm_printable(name, -1);

		g_string_append_printf(text, "%s%s", i ? "\n" : "", printable);
	}
	if (shown < count)
		g_string_append_printf(text, "\nand %u more", count - shown);
	return g_string_free(text, FALSE);
}

char *copywords_progress(const struct progress *p)
{
	g_autofree char *done = g_format_size(p->bytes);
	g_autofree char *all = g_format_size(p->total_bytes);

	return g_strdup_printf("%s of %s, %" PRIu64 " of %" PRIu64 " %s", done, all, p->files,
		p->total_files, p->total_files == 1 ? "file" : "files");
}

static char *about(gint64 seconds)
{
	if (seconds < 60)
		return g_strdup_printf("%" G_GINT64_FORMAT " s", seconds);
	if (seconds < 60 * 60)
		return g_strdup_printf("%" G_GINT64_FORMAT " min", (seconds + 30) / 60);
	return g_strdup_printf("%" G_GINT64_FORMAT " h %" G_GINT64_FORMAT " min", seconds / 3600,
		seconds % 3600 / 60);
}

char *copywords_pace(const struct progress *p)
{
	gint64 left_s = progress_seconds_left(p);
	g_autofree char *speed = g_format_size((guint64)p->bytes_per_s);
	g_autofree char *left = left_s < 0 ? NULL : about(left_s);

	if (p->bytes_per_s < 1)
		return g_strdup("");
	if (!left)
		return g_strdup_printf("%s/s", speed);
	return g_strdup_printf("%s/s, about %s left", speed, left);
}

const char *copywords_unsound(const char *name)
{
	if (!*name || qpen_is_vm_name(name, strlen(name)))
		return NULL;
	return "This is no VM's name: that begins with a letter or a digit, has no other "
	       "characters than these and _ . + -, and 63 of them at most.";
}
