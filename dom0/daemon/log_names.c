/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "log_names.h"

#include <inttypes.h>
#include <stdio.h>

#define HIDDEN "(hidden)"
/* As many as stand in one line of the log, and more. */
#define N_TEXTS 4

static bool hidden;

void log_names_show(bool show)
{
	hidden = !show;
}

const char *log_vm(const struct vm_id *id)
{
	static char texts[N_TEXTS][sizeof "domain 4294967295"];
	static unsigned next;
	char *text;

	if (!hidden)
		return id->name;
	if (id->domid == 0)
		return HIDDEN;
	text = texts[next++ % N_TEXTS];
	snprintf(text, sizeof texts[0], "domain %" PRIu32, id->domid);
	return text;
}

const char *log_name(const char *name)
{
	return hidden ? HIDDEN : name;
}
