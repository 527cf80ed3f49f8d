/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For VMs without systemd: waits for the device of a slot, by inotify on its folder, and runs a
 * worker for each pendrive, as supervise.h decides.
 */
#ifndef QFX_VM_SUPERVISOR_H
#define QFX_VM_SUPERVISOR_H

#include <glib.h>
#include <stdbool.h>

struct supervisor_terms {
	const char *device;        /* its path; the folder is there, the device comes and goes */
	const char *lock;          /* a file; two supervisors would give one pendrive back twice */
	const char *const *worker; /* a command, NULL-terminated, with an absolute path */
};

/*
 * Runs until SIGTERM or SIGINT, after which the worker is ended first: true. The worker does not
 * outlive a supervisor that is killed, so that the next one can begin anew; what it mounted stays,
 * and the next worker finds it. False: `error` says why there is nothing to be supervised.
 */
bool supervisor_run(const struct supervisor_terms *terms, GError **error);

#endif
