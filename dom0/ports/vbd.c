/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vbd.h"

#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* libxl runs the back end's script when it destroys a domain; ours has nothing to clean up. */
#define SCRIPT "/bin/true"

/* One node below a folder; a text, or a number where `text` is NULL. */
struct entry {
	const char *key;
	const char *text;
	uint64_t number;
};

static void back_path(char out[XS_PATH_MAX], struct vbd v)
{
	g_snprintf(out, XS_PATH_MAX, "/local/domain/0/backend/vbd/%" PRIu32 "/%" PRIu32, v.domid,
		v.vdev);
}

static void front_path(char out[XS_PATH_MAX], struct vbd v)
{
	g_snprintf(
		out, XS_PATH_MAX, "/local/domain/%" PRIu32 "/device/vbd/%" PRIu32, v.domid, v.vdev);
}

static void libxl_path(char out[XS_PATH_MAX], struct vbd v)
{
	g_snprintf(out, XS_PATH_MAX, "/libxl/%" PRIu32 "/device/vbd/%" PRIu32, v.domid, v.vdev);
}

void vbd_state_path(char out[XS_PATH_MAX], struct vbd v)
{
	char back[XS_PATH_MAX];

	back_path(back, v);
	g_snprintf(out, XS_PATH_MAX, "%.*s/state", (int)XS_PATH_MAX - 7, back);
}

static int put_entries(struct xs_conn *c, xs_transaction_t t, const char *folder,
	const struct entry *entries, size_t n)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		char path[2 * XS_PATH_MAX];

		g_snprintf(path, sizeof path, "%s/%s", folder, entries[i].key);
		rc = entries[i].text ? xs_put(c, t, path, entries[i].text)
				     : xs_put_number(c, t, path, entries[i].number);
	}
	return rc;
}

/* The keys that libxl writes both for the back end and below /libxl. */
static int put_back_entries(struct xs_conn *c, xs_transaction_t t, const char *folder,
	const char *front, struct vbd v, const struct vbd_disk *disk)
{
	char device[32];
	const struct entry entries[] = {
		{.key = "frontend", .text = front},
		{.key = "params", .text = disk->params},
		{.key = "script", .text = SCRIPT},
		{.key = "physical-device", .text = device},
		{.key = "frontend-id", .number = v.domid},
		{.key = "online", .number = 1},
		{.key = "removable", .number = 1},
		{.key = "bootable", .number = 0},
		{.key = "dev", .text = disk->name},
		{.key = "type", .text = "phy"},
		{.key = "mode", .text = disk->read_only ? "r" : "w"},
		{.key = "device-type", .text = "disk"},
		/* A discard frees room in dom0; a read-only disk has none. */
		{.key = "discard-enable", .number = disk->read_only ? 0 : 1},
		/* Otherwise written by the hotplug script, which there is none of. */
		{.key = "hotplug-status", .text = "connected"},
		{.key = "state", .number = VBD_INITIALISING},
	};

	g_snprintf(device, sizeof device, "%x:%x", disk->major, disk->minor);
	return put_entries(c, t, folder, entries, G_N_ELEMENTS(entries));
}

static int put_front(
	struct xs_conn *c, xs_transaction_t t, const char *front, const char *back, struct vbd v)
{
	const struct entry entries[] = {
		{.key = "backend", .text = back},
		{.key = "backend-id", .number = 0},
		{.key = "state", .number = VBD_INITIALISING},
		{.key = "virtual-device", .number = v.vdev},
		{.key = "device-type", .text = "disk"},
	};
	int rc = xs_make_guest_node(c, t, front, v.domid);

	return rc < 0 ? rc : put_entries(c, t, front, entries, G_N_ELEMENTS(entries));
}

static int put_libxl(struct xs_conn *c, xs_transaction_t t, const char *libxl, const char *front,
	const char *back, struct vbd v, const struct vbd_disk *disk)
{
	const struct entry entries[] = {{.key = "backend", .text = back}};
	int rc = xs_make_node(c, t, libxl, 0, XS_PERM_NONE);

	if (rc == 0)
		rc = put_back_entries(c, t, libxl, front, v, disk);
	return rc < 0 ? rc : put_entries(c, t, libxl, entries, G_N_ELEMENTS(entries));
}

int vbd_add(struct xs_conn *c, xs_transaction_t t, struct vbd v, const struct vbd_disk *disk)
{
	char back[XS_PATH_MAX], front[XS_PATH_MAX], libxl[XS_PATH_MAX];
	int rc;

	back_path(back, v);
	front_path(front, v);
	libxl_path(libxl, v);
	if (xs_exists(c, t, back) || xs_exists(c, t, libxl))
		return -EEXIST;
	/* What a VM left of its end of an earlier device is no reason to fail. */
	rc = xs_remove(c, t, front);
	if (rc == 0)
		rc = put_front(c, t, front, back, v);
	if (rc == 0)
		rc = xs_make_node(c, t, back, v.domid, XS_PERM_READ);
	if (rc == 0)
		rc = put_back_entries(c, t, back, front, v, disk);
	return rc;
}

int vbd_tell_libxl(struct xs_conn *c, xs_transaction_t t, struct vbd v, const struct vbd_disk *disk)
{
	char back[XS_PATH_MAX], front[XS_PATH_MAX], libxl[XS_PATH_MAX];

	back_path(back, v);
	front_path(front, v);
	libxl_path(libxl, v);
	if (vbd_state(c, t, v) == VBD_ABSENT)
		return -ENOENT;
	return xs_exists(c, t, libxl) ? 0 : put_libxl(c, t, libxl, front, back, v, disk);
}

enum vbd_state vbd_state(struct xs_conn *c, xs_transaction_t t, struct vbd v)
{
	char path[XS_PATH_MAX], text[8];
	size_t len;

	vbd_state_path(path, v);
	if (xs_read_into(c, t, path, text, sizeof text, &len) < 0 || len != 1)
		return VBD_ABSENT;
	return (enum vbd_state)g_ascii_digit_value(text[0]);
}

int vbd_ask_to_close(struct xs_conn *c, xs_transaction_t t, struct vbd v)
{
	char back[XS_PATH_MAX];
	const struct entry entries[] = {
		{.key = "online", .number = 0},
		{.key = "state", .number = VBD_CLOSING},
	};

	back_path(back, v);
	switch (vbd_state(c, t, v)) {
	case VBD_ABSENT:
		return -ENOENT;
	case VBD_CLOSED:
		return -EALREADY;
	case VBD_INITIALISING:
	case VBD_CONNECTED:
	case VBD_CLOSING:
		break;
	}
	return put_entries(c, t, back, entries, G_N_ELEMENTS(entries));
}

/* Removes a folder and then as many of its parents as that leaves empty, at most `parents`. */
static int prune(struct xs_conn *c, xs_transaction_t t, const char *folder, int parents)
{
	g_autofree char *path = g_strdup(folder);
	int rc = xs_remove(c, t, path);

	while (rc == 0 && parents-- > 0) {
		char **names;
		unsigned n;

		*strrchr(path, '/') = '\0';
		rc = xs_list(c, t, path, &names, &n);
		if (rc < 0 || !names)
			return rc; /* gone already */
		free(names);
		if (n > 0)
			return 0;
		rc = xs_remove(c, t, path);
	}
	return rc;
}

int vbd_remove(struct xs_conn *c, xs_transaction_t t, struct vbd v)
{
	char path[XS_PATH_MAX];
	int rc;

	front_path(path, v);
	rc = prune(c, t, path, 1); /* device/vbd */
	if (rc < 0)
		return rc;
	back_path(path, v);
	rc = prune(c, t, path, 1); /* backend/vbd/<domid> */
	if (rc < 0)
		return rc;
	libxl_path(path, v);
	return prune(c, t, path, 2); /* device/vbd, device */
}

int vbd_remove_front(struct xs_conn *c, struct vbd v)
{
	char path[XS_PATH_MAX];

	front_path(path, v);
	return xs_remove(c, XBT_NULL, path);
}

int vbd_loop_number(struct xs_conn *c, struct vbd v)
{
	char back[XS_PATH_MAX], path[2 * XS_PATH_MAX], text[32];
	g_auto(GStrv) parts = NULL;
	guint64 major, minor;
	size_t len;
	int rc;

	back_path(back, v);
	g_snprintf(path, sizeof path, "%s/physical-device", back);
	rc = xs_read_into(c, XBT_NULL, path, text, sizeof text, &len);
	if (rc < 0)
		return rc;
	parts = g_strsplit(text, ":", 0);
	if (g_strv_length(parts) != 2 ||
		!g_ascii_string_to_unsigned(parts[0], 16, 0, G_MAXINT, &major, NULL) ||
		!g_ascii_string_to_unsigned(parts[1], 16, 0, G_MAXINT, &minor, NULL) ||
		major != VBD_LOOP_MAJOR)
		return -EINVAL;
	return (int)minor;
}
