/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report.h"

#include <string.h>

const char *report_state_words(enum report_state state)
{
	static const char *const words[] = {
#define X(name, word, people) [REPORT_STATE_##name] = people,
		REPORT_STATES(X)
#undef X
	};

	return words[state];
}

/* The next field, up to a space; *line is behind the space. NULL: there is no space. */
static char *take_field(const char **line)
{
	const char *space = strchr(*line, ' ');
	char *field;

	if (!space)
		return NULL;
	field = g_strndup(*line, (gsize)(space - *line));
	*line = space + 1;
	return field;
}

/* NULL: a percent sign without two digits behind it, or one that stands for a NUL. */
static char *unescape(const char *field)
{
	GString *out = g_string_new(NULL);

	for (const char *p = field; *p; p++) {
		int high, low;

		if (*p != '%') {
			g_string_append_c(out, *p);
			continue;
		}
		high = g_ascii_xdigit_value(p[1]);
		low = high < 0 ? -1 : g_ascii_xdigit_value(p[2]);
		if (low < 0 || (high == 0 && low == 0)) {
			g_string_free(out, TRUE);
			return NULL;
		}
		g_string_append_c(out, (char)(high << 4 | low));
		p += 2;
	}
	return g_string_free(out, FALSE);
}

static gboolean parse_number(const char *text, guint64 *out)
{
	return text && g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, out, NULL);
}

static enum report_result parse_counts(const char *rest, struct report *out)
{
	g_autofree char *bytes = take_field(&rest);

	return parse_number(bytes, &out->bytes) && parse_number(rest, &out->files) ? REPORT_OK
										   : REPORT_BROKEN;
}

static enum report_result parse_cannot(const char *rest, struct report *out)
{
	g_autofree char *field = take_field(&rest);

	if (!field || !*field || !*rest)
		return REPORT_BROKEN;
	out->path = unescape(field);
	out->text = unescape(rest);
	return out->path && out->text ? REPORT_OK : REPORT_BROKEN;
}

static enum report_result parse_state(const char *rest, struct report *out)
{
	static const char *const words[] = {
#define X(name, word, people) [REPORT_STATE_##name] = word,
		REPORT_STATES(X)
#undef X
	};

	for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
		if (strcmp(rest, words[i]) == 0) {
			out->state = (enum report_state)i;
			return REPORT_OK;
		}
	return REPORT_UNKNOWN;
}

static enum report_result parse_failed(const char *rest, struct report *out)
{
	g_autofree char *status = take_field(&rest);
	guint64 number;

	if (!parse_number(status, &number) || number == 0 || number > 255 || !*rest)
		return REPORT_BROKEN;
	out->status = (int)number;
	out->text = unescape(rest);
	return out->text ? REPORT_OK : REPORT_BROKEN;
}

static enum report_result parse_skipped(const char *rest, struct report *out)
{
	return parse_number(rest, &out->files) ? REPORT_OK : REPORT_BROKEN;
}

static enum report_result parse_done(const char *rest, struct report *out)
{
	(void)out;
	return *rest ? REPORT_BROKEN : REPORT_OK;
}

static const struct {
	const char *word;
	enum report_result (*parse)(const char *rest, struct report *out);
	enum report_kind kind;
} lines[] = {
	{"total", parse_counts, REPORT_TOTAL},
	{"cannot", parse_cannot, REPORT_CANNOT},
	{"state", parse_state, REPORT_STATE},
	{"progress", parse_counts, REPORT_PROGRESS},
	{"skipped", parse_skipped, REPORT_SKIPPED},
	{"failed", parse_failed, REPORT_FAILED},
	{"done", parse_done, REPORT_DONE},
};

enum report_result report_parse(const char *line, struct report *out)
{
	gsize len = strcspn(line, " ");
	const char *rest = line[len] ? line + len + 1 : line + len;

	for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
		struct report report = {.kind = lines[i].kind};
		enum report_result result;

		if (strlen(lines[i].word) != len || strncmp(line, lines[i].word, len) != 0)
			continue;
		result = lines[i].parse(rest, &report);
		if (result == REPORT_OK)
			*out = report;
		else
			report_finish(&report);
		return result;
	}
	return len ? REPORT_UNKNOWN : REPORT_BROKEN;
}

void report_finish(struct report *report)
{
	g_clear_pointer(&report->path, g_free);
	g_clear_pointer(&report->text, g_free);
}
