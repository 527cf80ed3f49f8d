/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "reply.h"

#include <stdio.h>

void reply_wait(struct reply *out, const char *id, enum qpen_wait wait, const char *detail)
{
	snprintf(out->text, sizeof out->text, "%s wait %s%s%s", id, qpen_wait_name(wait),
		detail ? " " : "", detail ? detail : "");
}

void reply_ok(struct reply *out, const char *id, const char *detail)
{
	if (detail)
		snprintf(out->text, sizeof out->text, "%s ok %s", id, detail);
	else
		snprintf(out->text, sizeof out->text, "%s ok", id);
}

void reply_error(struct reply *out, const char *id, enum qpen_error error, const char *text)
{
	snprintf(out->text, sizeof out->text, "%s error %s %s", id, qpen_error_name(error), text);
}
