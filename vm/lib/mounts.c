/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mounts.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "fail.h"

#define MOUNTINFO "/proc/self/mountinfo"

/* The fields of a line up to the optional ones: ID parent major:minor root mount-point options. */
enum { FIELD_DEVICE = 2, FIELD_POINT = 4, FIELDS_FIXED = 6 };

struct field {
	const char *bytes;
	size_t len;
};

static bool take_field(const char **p, const char *end, struct field *out)
{
	const char *space;

	if (*p == end)
		return false;
	space = memchr(*p, ' ', (size_t)(end - *p));
	*out = (struct field){*p, (size_t)((space ? space : end) - *p)};
	*p = space ? space + 1 : end;
	return out->len > 0;
}

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* The kernel writes space, tab, newline, # and \ as a backslash and three octal digits. */
static char *unescape(struct field field)
{
	GString *out = g_string_sized_new(field.len);
	const char *p = field.bytes;
	const char *end = p + field.len;

	while (p < end) {
		if (*p == '\\' && end - p >= 4 && p[1] <= '3' && is_octal(p[1]) && is_octal(p[2]) &&
			is_octal(p[3])) {
			g_string_append_c(
				out, (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0')));
			p += 4;
		} else {
			g_string_append_c(out, *p++);
		}
	}
	return g_string_free(out, FALSE);
}

static bool parse_number(const char **p, const char *end, unsigned *out)
{
	const char *start = *p;
	unsigned n = 0;

	for (; *p < end && **p >= '0' && **p <= '9'; (*p)++) {
		if (n > 0xfffffff)
			return false;
		n = n * 10 + (unsigned)(**p - '0');
	}
	*out = n;
	return *p > start;
}

static bool parse_device(struct field field, dev_t *out)
{
	const char *p = field.bytes;
	const char *end = p + field.len;
	unsigned major_number;
	unsigned minor_number;

	if (!parse_number(&p, end, &major_number) || p == end || *p++ != ':' ||
		!parse_number(&p, end, &minor_number) || p != end)
		return false;
	*out = makedev(major_number, minor_number);
	return true;
}

bool mount_parse(const char *untrusted, size_t len, struct mount *out)
{
	const char *p = untrusted;
	const char *end = untrusted + len;
	struct field fixed[FIELDS_FIXED];
	struct field field;
	struct field fstype;
	struct field source;
	dev_t device;

	for (size_t i = 0; i < FIELDS_FIXED; i++)
		if (!take_field(&p, end, &fixed[i]))
			return false;
	/* Any number of optional fields, ended by a single hyphen. */
	do {
		if (!take_field(&p, end, &field))
			return false;
	} while (field.len != 1 || field.bytes[0] != '-');
	if (!take_field(&p, end, &fstype) || !parse_device(fixed[FIELD_DEVICE], &device))
		return false;
	/* A source may be empty: mount("", ...) is allowed, and leaves two spaces here. */
	if (!take_field(&p, end, &source))
		source = (struct field){"", 0};
	*out = (struct mount){
		.device = device,
		.mount_point = unescape(fixed[FIELD_POINT]),
		.fstype = unescape(fstype),
		.source = unescape(source),
	};
	return true;
}

void mount_finish(struct mount *mount)
{
	g_clear_pointer(&mount->mount_point, g_free);
	g_clear_pointer(&mount->fstype, g_free);
	g_clear_pointer(&mount->source, g_free);
}

static void clear_mount(gpointer data)
{
	mount_finish(data);
}

GArray *mounts_parse(const char *untrusted, size_t len)
{
	GArray *mounts = g_array_new(FALSE, FALSE, sizeof(struct mount));
	const char *p = untrusted;
	const char *end = untrusted + len;

	g_array_set_clear_func(mounts, clear_mount);
	while (p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		const char *line_end = newline ? newline : end;
		struct mount mount;

		if (mount_parse(p, (size_t)(line_end - p), &mount))
			g_array_append_val(mounts, mount);
		p = newline ? newline + 1 : end;
	}
	return mounts;
}

GArray *mounts_read(GError **error)
{
	g_autofree char *text = NULL;
	gsize len;

	if (!g_file_get_contents(MOUNTINFO, &text, &len, error)) {
		g_prefix_error(error, "What is mounted cannot be read: ");
		return NULL;
	}
	return mounts_parse(text, len);
}

const struct mount *mounts_find_device(const GArray *mounts, dev_t device)
{
	for (guint i = mounts->len; i > 0; i--) {
		const struct mount *mount = &g_array_index(mounts, struct mount, i - 1);

		if (mount->device == device)
			return mount;
	}
	return NULL;
}

const struct mount *mounts_find_point(const GArray *mounts, const char *mount_point)
{
	for (guint i = mounts->len; i > 0; i--) {
		const struct mount *mount = &g_array_index(mounts, struct mount, i - 1);

		if (strcmp(mount->mount_point, mount_point) == 0)
			return mount;
	}
	return NULL;
}
