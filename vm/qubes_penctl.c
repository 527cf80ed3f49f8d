/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qubes_penctl(1): the requests of docs/PROTOCOL.md by hand and from scripts. */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "client.h"
#include "device.h"
#include "fail.h"
#include "qpen_contract.h"

static void say(const char *words, void *data)
{
	const struct penctl_args *args = data;

	if (!args->quiet) {
		vm_print("%s\n", words);
	}
}

static const char *done_words(const struct penctl_args *args)
{
	if (args->no_wait)
		return "the request lies in the mailbox";
	switch (args->request.verb) {
	case REQUEST_NEW:
		return "a pendrive was lent to this VM: /dev/" QPEN_OUTGOING_NAME;
	case REQUEST_SEND:
		return strcmp(args->request.dest, QPEN_DISPOSABLE) == 0 ? "the transaction is over"
									: "delivered";
	case REQUEST_UMOUNT:
		return "given back";
	case REQUEST_DISCARD:
		return "given up";
	case REQUEST_KILLME:
		return "dom0 destroys this VM";
	}
	return "done";
}

static bool run(struct penctl_args *args, GError **error)
{
	automailbox *mailbox = mailbox_open(error);
	struct client client = {
		.mailbox = mailbox,
		.device = device_outgoing(),
		.reply_ms = (unsigned)args->timeout_s * 1000u,
		.no_wait = args->no_wait,
		.say = say,
		.data = args,
	};

	if (!mailbox || !client_run(&client, &args->request, error))
		return false;
	say(done_words(args), args);
	return true;
}

int main(int argc G_GNUC_UNUSED, char **argv)
{
	struct penctl_args args;
	g_autoptr(GError) error = NULL;

	(void)setlocale(LC_ALL, "");
	if (penctl_args_parse(argv, &args, &error)) {
		if (args.version)
			vm_print("qubes_penctl %s\n", QFX_VERSION);
		else
			run(&args, &error);
	}
	penctl_args_finish(&args);
	if (error)
		vm_print_error("qubes_penctl: %s%s\n", error->message,
			vm_exit_status(error) == VM_EXIT_USAGE ? " (see qubes_penctl --help)" : "");
	return vm_exit_status(error);
}
