/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "request.h"

#include <glib.h>
#include <string.h>

#include "qpen_words.h"

bool request_parse_size(const char *text, uint64_t *out_bytes)
{
	uint64_t bytes;

	if (!qpen_parse_size(text, strlen(text), &bytes) || bytes == 0)
		return false;
	if (out_bytes)
		*out_bytes = bytes;
	return true;
}

bool request_is_dest(const char *text)
{
	return qpen_is_vm_name(text, strlen(text)) || strcmp(text, QPEN_DISPOSABLE) == 0;
}

static bool to_disposable(const struct request *request)
{
	return request->verb == REQUEST_SEND && strcmp(request->dest, QPEN_DISPOSABLE) == 0;
}

bool request_is_sound(const struct request *request, const char **out_why)
{
	const char *why = NULL;

	if (request->size && !request_parse_size(request->size, NULL))
		why = "a size is a number followed by nothing, K, M, G or T";
	else if (request->format && strcmp(request->format, "vfat") != 0 &&
		 strcmp(request->format, "none") != 0)
		why = "the format is vfat or none";
	else if (request->verb == REQUEST_SEND &&
		 (!request->dest || !request_is_dest(request->dest)))
		why = "a VM's name is 1 to 63 characters of A-Z a-z 0-9 _ . + - "
		      "and begins with a letter or a digit";
	else if (request->seq && !qpen_is_seq(request->seq, strlen(request->seq)))
		why = "SEQ is 1 to 32 letters and digits";
	else if (to_disposable(request) &&
		 (!request->seq || strcmp(request->seq, QPEN_SEQ_NONE) == 0))
		why = "what is sent to a DisposableVM needs a SEQ other than 0";
	else if (request->of && !qpen_is_request_id(request->of, strlen(request->of)))
		why = "a request's ID is 1 to 32 letters and digits";
	else if (request->view && !to_disposable(request))
		why = "only a DisposableVM can be told to view a file";
	if (why && out_why)
		*out_why = why;
	return !why;
}

char *request_compose(const struct request *request)
{
	GString *line = g_string_new(NULL);

	switch (request->verb) {
	case REQUEST_NEW:
		g_string_append(line, "new");
		if (request->size)
			g_string_append_printf(line, " size=%s", request->size);
		if (request->format)
			g_string_append_printf(line, " format=%s", request->format);
		break;
	case REQUEST_SEND:
		g_string_append_printf(line, "send %s", request->dest);
		if (request->seq)
			g_string_append_printf(line, " %s", request->seq);
		if (request->view)
			g_string_append(line, " " QPEN_MODE_VIEW);
		break;
	case REQUEST_UMOUNT:
		g_string_append(line, "umount");
		break;
	case REQUEST_KILLME:
		g_string_append(line, "killme");
		break;
	case REQUEST_DISCARD:
		g_string_append_printf(line, "discard%s%s", request->of ? " " : "",
			request->of ? request->of : "");
		break;
	}
	return g_string_free(line, FALSE);
}
