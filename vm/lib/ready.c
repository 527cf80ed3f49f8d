/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ready.h"

#include <string.h>
#include <unistd.h>

#include "argv.h"
#include "fail.h"
#include "qpen_contract.h"

#define SYSTEMD_SIGN "/run/systemd/system"

/*
 * systemctl waits for systemd's own signal that the boot is over. "degraded" is a boot in which
 * some unit failed; whether that unit mattered is not ours to judge.
 */
static bool wait_for_boot(GError **error)
{
	const char *const words[] = {"systemctl", "is-system-running", "--wait", NULL};
	g_auto(GStrv) argv = argv_copy(words);
	g_autofree char *state = NULL;
	g_autofree char *shown = NULL;
	g_autoptr(GError) cause = NULL;

	if (!g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &state, NULL, NULL,
		    &cause)) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			"systemd cannot be asked whether it has booted: %s", cause->message);
		return false;
	}
	g_strchomp(state);
	if (strcmp(state, "running") == 0 || strcmp(state, "degraded") == 0)
		return true;
	shown = vm_printable(state, -1);
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		"This VM has not finished booting (systemctl is-system-running says \"%s\"); dom0 "
		"is not told that it is ready",
		shown);
	return false;
}

bool ready_tell(struct mailbox *mailbox, bool *out_told, GError **error)
{
	g_autofree char *type = NULL;

	*out_told = false;
	if (!mailbox_read(mailbox, QPEN_KEY_VM_TYPE, &type, error))
		return false;
	if (!type || strcmp(type, QPEN_VM_TYPE_DISPOSABLE) != 0)
		return true;
	if (access(SYSTEMD_SIGN, F_OK) == 0 && !wait_for_boot(error))
		return false;
	*out_told = mailbox_write(mailbox, QPEN_KEY_READY, "1", error);
	return *out_told;
}
