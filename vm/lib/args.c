/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "args.h"

#include <string.h>

#include "fail.h"
#include "qpen_contract.h"

#define SUMMARY                                                                                    \
	"Asks dom0 for a virtual pendrive, sends it to another VM, or gives a received one "       \
	"back.\n"                                                                                  \
	"\n"                                                                                       \
	"  new [size=N[KMGT]] [format=vfat|none]   lend this VM a pendrive, as /dev/xvdg\n"        \
	"  send VM [SEQ]                           send it to VM, if the user in dom0 agrees\n"    \
	"  send disposable SEQ [view]              send it to a new DisposableVM\n"                \
	"  discard                                 give up the newest that is not delivered\n"     \
	"  umount                                  give back the one at /dev/xvdh\n"               \
	"  killme                                  destroy this VM, if it is a DisposableVM"

bool args_check_timeout(gint *timeout_s, GError **error)
{
	if (*timeout_s == ARGS_NO_TIMEOUT)
		*timeout_s = 0;
	else if (*timeout_s < 1 || *timeout_s > TIMEOUT_MAX_S)
		return vm_fail_usage(error, "--timeout is 1 to 604800 seconds");
	return true;
}

static const char *take_value(const char *word, const char *name)
{
	return g_str_has_prefix(word, name) ? word + strlen(name) : NULL;
}

static bool parse_new(char **words, struct request *out, GError **error)
{
	for (; *words; words++) {
		const char *size = take_value(*words, "size=");
		const char *format = take_value(*words, "format=");

		if (!size && !format)
			return vm_fail_usage(
				error, "new takes size=N[KMGT] and format=vfat|none only");
		if ((size && out->size) || (format && out->format))
			return vm_fail_usage(error, "size= and format= may be given once each");
		if (size)
			out->size = size;
		else
			out->format = format;
	}
	return true;
}

static bool parse_send(char **words, struct request *out, GError **error)
{
	guint count = g_strv_length(words);

	if (count < 1 || count > 3)
		return vm_fail_usage(error, "send takes the VM's name and at most one SEQ");
	out->dest = words[0];
	out->seq = words[1];
	out->view = count == 3;
	return !out->view || strcmp(words[2], QPEN_MODE_VIEW) == 0 ||
	       vm_fail_usage(error, "behind SEQ there may be nothing but view");
}

static bool parse_request(char **words, struct request *out, GError **error)
{
	const char *why;
	bool ok;

	if (!words || !*words)
		return vm_fail_usage(error, "say what to do: new, send, discard, umount or killme");
	if (strcmp(*words, "new") == 0) {
		out->verb = REQUEST_NEW;
		ok = parse_new(words + 1, out, error);
	} else if (strcmp(*words, "send") == 0) {
		out->verb = REQUEST_SEND;
		ok = parse_send(words + 1, out, error);
	} else if (strcmp(*words, "discard") == 0) {
		out->verb = REQUEST_DISCARD;
		ok = !words[1] || vm_fail_usage(error, "discard takes nothing more");
	} else if (strcmp(*words, "umount") == 0) {
		out->verb = REQUEST_UMOUNT;
		ok = !words[1] || vm_fail_usage(error, "umount takes nothing more");
	} else if (strcmp(*words, "killme") == 0) {
		out->verb = REQUEST_KILLME;
		ok = !words[1] || vm_fail_usage(error, "killme takes nothing more");
	} else {
		g_autofree char *shown = vm_printable(*words, -1);

		g_set_error(error, VM_ERROR, VM_EXIT_USAGE,
			"\"%s\" is none of new, send, discard, umount and killme", shown);
		ok = false;
	}
	if (ok && !request_is_sound(out, &why))
		return vm_fail_usage(error, why);
	return ok;
}

bool penctl_args_parse(char **argv, struct penctl_args *out, GError **error)
{
	const GOptionEntry entries[] = {
		{"no-wait", 0, 0, G_OPTION_ARG_NONE, &out->no_wait,
			"Leave the request in the mailbox and do not wait for the answer", NULL},
		{"timeout", 't', 0, G_OPTION_ARG_INT, &out->timeout_s,
			"Give up after so many seconds (60; for send 3600)", "SECONDS"},
		{"quiet", 'q', 0, G_OPTION_ARG_NONE, &out->quiet, "Print errors only", NULL},
		{"version", 0, 0, G_OPTION_ARG_NONE, &out->version, "Print the version and exit",
			NULL},
		{G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &out->words, NULL, NULL},
		{0},
	};
	g_autoptr(GOptionContext) context =
		g_option_context_new("new|send|discard|umount|killme [...]");
	g_auto(GStrv) copy = g_strdupv(argv);
	g_autoptr(GError) option_error = NULL;

	*out = (struct penctl_args){.timeout_s = ARGS_NO_TIMEOUT};
	g_option_context_set_summary(context, SUMMARY);
	g_option_context_add_main_entries(context, entries, NULL);
	if (!g_option_context_parse_strv(context, &copy, &option_error))
		return vm_fail_usage(error, option_error->message);
	if (out->version)
		return true;
	if (!args_check_timeout(&out->timeout_s, error))
		return false;
	return parse_request(out->words, &out->request, error);
}

void penctl_args_finish(struct penctl_args *args)
{
	g_clear_pointer(&args->words, g_strfreev);
}
