/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "received.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fail.h"
#include "incoming.h"
#include "mounts.h"
#include "qpen_words.h"

#define NOTE "/run/qubes-incoming"
/* Beside it. */
#define ANNOUNCEMENT_SUFFIX ".udev"
#define GROUP "pendrive"
/* Longer ones are not ours. */
#define NOTE_MAX_BYTES 4096
#define SECTOR_BYTES 512

static const char *note_path(void)
{
	const char *override = getenv("QPEN_NOTE");

	return override && *override ? override : NOTE;
}

static char *announcement_path(void)
{
	return g_strconcat(note_path(), ANNOUNCEMENT_SUFFIX, NULL);
}

char *received_format_announcement(const char *source)
{
	return g_strdup_printf("UDISKS_NAME=Pendrive from %s\n", *source ? source : "another VM");
}

char *received_format(const struct received *received)
{
	return g_strdup_printf("[" GROUP "]\ndevice=%u:%u\nsource=%s\nsince=%" G_GINT64_FORMAT "\n",
		major(received->device), minor(received->device), received->source,
		received->since_s);
}

static bool parse_device(const char *text, dev_t *out)
{
	g_auto(GStrv) parts = g_strsplit(text, ":", 3);
	guint64 numbers[2];

	if (g_strv_length(parts) != G_N_ELEMENTS(numbers))
		return false;
	for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++)
		if (!g_ascii_string_to_unsigned(parts[i], 10, 0, G_MAXUINT32, &numbers[i], NULL))
			return false;
	*out = makedev((unsigned)numbers[0], (unsigned)numbers[1]);
	return true;
}

bool received_parse(const char *untrusted, gsize len, struct received *out)
{
	g_autoptr(GKeyFile) file = g_key_file_new();
	g_autofree char *device = NULL;
	g_autofree char *source = NULL;
	struct received received = {0};
	g_autoptr(GError) error = NULL;

	if (len > NOTE_MAX_BYTES ||
		!g_key_file_load_from_data(file, untrusted, len, G_KEY_FILE_NONE, NULL))
		return false;
	device = g_key_file_get_string(file, GROUP, "device", NULL);
	source = g_key_file_get_string(file, GROUP, "source", NULL);
	received.since_s = g_key_file_get_int64(file, GROUP, "since", &error);
	if (error || !device || !source || received.since_s < 0 ||
		!parse_device(device, &received.device))
		return false;
	if (*source && !qpen_is_vm_name(source, strlen(source)))
		return false;
	g_strlcpy(received.source, source, sizeof received.source);
	*out = received;
	return true;
}

/* Nobody reads it before there is a mount, so its mode may come after it. */
static bool write_whole(const char *path, const char *text, GError **error)
{
	if (!g_file_set_contents(path, text, -1, error))
		return false;
	if (chmod(path, 0644) == 0)
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s cannot be made readable: %s", path,
		g_strerror(errno));
	return false;
}

bool received_announce(const char *source, GError **error)
{
	g_autofree char *path = announcement_path();
	g_autofree char *text = received_format_announcement(source);

	return write_whole(path, text, error);
}

bool received_note(const struct received *received, GError **error)
{
	g_autofree char *text = received_format(received);

	return write_whole(note_path(), text, error);
}

void received_forget(void)
{
	g_autofree char *announcement = announcement_path();

	unlink(announcement);
	unlink(note_path());
}

bool received_find(struct received *out, GError **error)
{
	g_autoptr(GArray) mounts = mounts_read(error);
	const struct mount *mount;
	g_autofree char *text = NULL;
	struct received noted;
	gsize len;

	if (!mounts)
		return false;
	mount = mounts_find_point(mounts, INCOMING_FOLDER);
	if (!mount) {
		g_set_error(error, VM_ERROR, VM_EXIT_DEVICE,
			"No pendrive is at " INCOMING_FOLDER " now");
		return false;
	}
	*out = (struct received){.device = mount->device};
	if (g_file_get_contents(note_path(), &text, &len, NULL) &&
		received_parse(text, len, &noted) && noted.device == mount->device)
		*out = noted;
	return true;
}

const char *received_from(const struct received *received)
{
	return *received->source ? received->source : "a VM that is not known";
}

uint64_t received_device_bytes(dev_t device)
{
	g_autofree char *path =
		g_strdup_printf("/sys/dev/block/%u:%u/size", major(device), minor(device));
	g_autofree char *text = NULL;
	guint64 sectors;

	if (!g_file_get_contents(path, &text, NULL, NULL) ||
		!g_ascii_string_to_unsigned(
			g_strchomp(text), 10, 0, G_MAXUINT64 / SECTOR_BYTES, &sectors, NULL))
		return 0;
	return sectors * SECTOR_BYTES;
}
