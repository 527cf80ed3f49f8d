/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "giveback.h"

#include "incoming.h"
#include "journal.h"
#include "words.h"

/* The device is pulled as part of the answer, and systemd then ends us: that is no failure. */
void giveback(struct mailbox *mailbox, unsigned timeout_ms)
{
	const struct mailbox_terms terms = {.take_ms = timeout_ms, .reply_ms = timeout_ms};
	g_autoptr(GError) error = NULL;
	struct reply reply;

	if (mailbox_ask(mailbox, "umount", &terms, &reply, &error)) {
		if (reply.kind == REPLY_OK)
			journal_say(JOURNAL_INFO, "given back to dom0");
		else if (reply.error == QPEN_ERROR_NO_PENDRIVE)
			journal_say(JOURNAL_INFO, "dom0 has taken it back already");
		else
			journal_say(JOURNAL_WARNING,
				"giving the pendrive back: %s (dom0 says: %s: %s)",
				words_error(reply.error), qpen_error_name(reply.error), reply.text);
		return;
	}
	if (incoming_is_there())
		journal_say(JOURNAL_ERROR,
			"The pendrive could not be given back: %s; its slot stays taken until you "
			"run /usr/lib/qubes/qubes_penctl umount",
			error->message);
}
