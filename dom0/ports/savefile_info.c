/* SPDX-License-Identifier: GPL-2.0-or-later */
#define G_LOG_DOMAIN "qfilexchgd"
#include "savefile_info.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define SUFFIX ".info"
/* Another layout is no record of ours. */
#define LAYOUT 1
#define LAYOUT_GROUP "savefile"
#define SOURCE_GROUP "file "

struct savefile_info {
	GKeyFile *keys;
	unsigned sources;
};

struct savefile_info *savefile_info_create(const char *config, uint64_t memory_mib)
{
	struct savefile_info *info = g_new0(struct savefile_info, 1);

	info->keys = g_key_file_new();
	g_key_file_set_integer(info->keys, LAYOUT_GROUP, "layout", LAYOUT);
	g_key_file_set_string(info->keys, LAYOUT_GROUP, "config", config);
	g_key_file_set_uint64(info->keys, LAYOUT_GROUP, "memory", memory_mib);
	return info;
}

void savefile_info_destroy(struct savefile_info *info)
{
	if (!info)
		return;
	g_key_file_free(info->keys);
	g_free(info);
}

/* All that is compared, in one line. A device has no size; its number says which it is. */
static char *look_of(const struct stat *st)
{
	return g_strdup_printf("%" G_GINT64_FORMAT " %" G_GINT64_FORMAT ".%09ld %" G_GUINT64_FORMAT
			       " %u:%u",
		(gint64)st->st_size, (gint64)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
		(guint64)st->st_ino, major(st->st_rdev), minor(st->st_rdev));
}

static char *look_at(const char *path, GError **error)
{
	struct stat st;
	int code;

	if (stat(path, &st) == 0)
		return look_of(&st);
	code = errno;
	g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(code), "Cannot look at %s: %s",
		path, g_strerror(code));
	return NULL;
}

bool savefile_info_add(struct savefile_info *info, const char *path, GError **error)
{
	g_autofree char *look = look_at(path, error);
	g_autofree char *group = NULL;

	if (!look)
		return false;
	group = g_strdup_printf(SOURCE_GROUP "%u", ++info->sources);
	g_key_file_set_string(info->keys, group, "path", path);
	g_key_file_set_string(info->keys, group, "look", look);
	return true;
}

bool savefile_info_write(struct savefile_info *info, const char *savefile, GError **error)
{
	g_autofree char *path = g_strconcat(savefile, SUFFIX, NULL);
	g_autofree char *look = look_at(savefile, error);

	if (!look)
		return false;
	g_key_file_set_string(info->keys, LAYOUT_GROUP, "look", look);
	return g_key_file_save_to_file(info->keys, path, error);
}

static bool is_unchanged(GKeyFile *keys, const char *group, const char *path)
{
	g_autofree char *recorded = g_key_file_get_string(keys, group, "look", NULL);
	g_autofree char *look = look_at(path, NULL);

	return recorded && look && strcmp(recorded, look) == 0;
}

/* The record, if there is one and it is of this very save file. */
static GKeyFile *read_record(const char *savefile)
{
	g_autofree char *path = g_strconcat(savefile, SUFFIX, NULL);
	g_autoptr(GKeyFile) keys = g_key_file_new();

	if (!g_key_file_load_from_file(keys, path, G_KEY_FILE_NONE, NULL) ||
		g_key_file_get_integer(keys, LAYOUT_GROUP, "layout", NULL) != LAYOUT ||
		!is_unchanged(keys, LAYOUT_GROUP, savefile))
		return NULL;
	return g_steal_pointer(&keys);
}

static bool are_sources_unchanged(GKeyFile *keys)
{
	g_auto(GStrv) groups = g_key_file_get_groups(keys, NULL);

	for (char **group = groups; *group; group++) {
		g_autofree char *path = NULL;

		if (!g_str_has_prefix(*group, SOURCE_GROUP))
			continue;
		path = g_key_file_get_string(keys, *group, "path", NULL);
		if (!path || !is_unchanged(keys, *group, path))
			return false;
	}
	return true;
}

bool savefile_info_is_current(const char *savefile, const char *config, uint64_t memory_mib)
{
	g_autoptr(GKeyFile) keys = read_record(savefile);
	g_autofree char *recorded = NULL;

	if (!keys)
		return false;
	recorded = g_key_file_get_string(keys, LAYOUT_GROUP, "config", NULL);
	return recorded && strcmp(recorded, config) == 0 &&
	       g_key_file_get_uint64(keys, LAYOUT_GROUP, "memory", NULL) == memory_mib &&
	       are_sources_unchanged(keys);
}
