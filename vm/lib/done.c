/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "done.h"

#include <string.h>

#include "argv.h"
#include "fail.h"
#include "holders.h"
#include "incoming.h"

#define UMOUNT "/bin/umount"

static bool is_still_there(const struct received *received)
{
	struct received now;

	return received_find(&now, NULL) && now.device == received->device;
}

static bool fail_busy(const char *holders, GError **error)
{
	g_set_error(error, VM_ERROR, VM_EXIT_DEVICE,
		INCOMING_FOLDER " is in use by %s; close that, then try again", holders);
	return false;
}

/* umount's own words are the same in every language then. */
static char **plain_environment(void)
{
	return g_environ_setenv(g_get_environ(), "LC_ALL", "C", TRUE);
}

/* What umount wrote, printable; NULL: it worked. */
static char *run_umount(GError **error)
{
	const char *const words[] = {UMOUNT, INCOMING_FOLDER, NULL};
	g_auto(GStrv) argv = argv_copy(words);
	g_auto(GStrv) environment = plain_environment();
	g_autofree char *said = NULL;
	gint status;

	if (!g_spawn_sync("/", argv, environment, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL,
		    &said, &status, error))
		return NULL;
	if (g_spawn_check_wait_status(status, NULL))
		return NULL;
	return vm_printable(g_strstrip(said), -1);
}

bool done_unmount(const struct received *received, GError **error)
{
	g_autoptr(GError) spawn_error = NULL;
	g_autofree char *said = run_umount(&spawn_error);
	g_autofree char *holders = NULL;

	if (spawn_error) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED, UMOUNT " cannot be run: %s",
			spawn_error->message);
		return false;
	}
	/* dom0 or another program may have been faster. */
	if (!said || !is_still_there(received))
		return true;
	holders = holders_of_mount(received->device);
	if (holders)
		return fail_busy(holders, error);
	if (strstr(said, "busy"))
		return fail_busy("a program of another user", error);
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		UMOUNT " " INCOMING_FOLDER " failed: %s (root can do it: systemctl stop "
		       "qubes-pendrive@xvdh.service)",
		*said ? said : "it does not say why");
	return false;
}
