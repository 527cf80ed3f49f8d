/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Root hands work to the VM's ordinary user: what another VM sent is read and opened by a process
 * without any of root's rights, or not at all.
 */
#ifndef QFX_VM_ASUSER_H
#define QFX_VM_ASUSER_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct asuser {
	char *name;
	char *home;
	char *shell;
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* all of them, as initgroups(3) would set them */
	size_t group_count;
};

/* Looks the user up. False: there is none of that name, or it is root under another name. */
bool asuser_find(const char *name, struct asuser *out, GError **error);
void asuser_finish(struct asuser *user);

/*
 * The environment of the user's programs, made from nothing, with the lines NAME=VALUE of the
 * administrator's `file` added (no such file: none). Free it with g_strfreev().
 */
char **asuser_environment(const struct asuser *user, const char *file);

struct asuser_job {
	const char *const *argv; /* argv[0] is an absolute path */
	char **environment;
	int in;  /* becomes the standard input; borrowed */
	int out; /* becomes the standard output; borrowed; -1: /dev/null */
};

/*
 * Starts the program in a session of its own with the user's ids and groups, no capabilities and
 * no_new_privs; standard error is ours, and no other descriptor is passed on. Every step is
 * verified before the program starts. -1: nothing runs, and `error` says which step failed.
 */
pid_t asuser_spawn(const struct asuser *user, const struct asuser_job *job, GError **error);

/*
 * Waits until that child has ended; *out_status is waitpid(2)'s. After `timeout_ms` (-1: never; a
 * person works) it is killed, and `error` says so.
 */
bool asuser_wait(pid_t pid, int timeout_ms, int *out_status, GError **error);

#endif
