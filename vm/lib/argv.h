/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Words for a program, as execve(2) and GLib want them: not const, though nobody changes them. */
#ifndef QFX_VM_ARGV_H
#define QFX_VM_ARGV_H

#include <glib.h>

/* A copy of a NULL-terminated list; free it with g_strfreev(). */
static inline char **argv_copy(const char *const *words)
{
	GPtrArray *copy = g_ptr_array_new();

	for (; *words; words++)
		g_ptr_array_add(copy, g_strdup(*words));
	g_ptr_array_add(copy, NULL);
	return (char **)g_ptr_array_free(copy, FALSE);
}

#endif
