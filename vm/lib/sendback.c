/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sendback.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bulk.h"
#include "client.h"
#include "device.h"
#include "fail.h"
#include "journal.h"
#include "scope.h"

const unsigned sendback_pauses_s[] = {2, 10, 30, 120, 300};
const size_t sendback_pause_count = G_N_ELEMENTS(sendback_pauses_s);

/* -- one try ------------------------------------------------------------------------------------
 */

static bool ask_new(const struct client *client, uint64_t room_bytes, GError **error)
{
	g_autofree char *size = g_strdup_printf("%" G_GUINT64_FORMAT, room_bytes);
	const struct request request = {.verb = REQUEST_NEW, .size = size, .format = "none"};

	return client_run(client, &request, error);
}

static bool ask_send(const struct client *client, const struct sendback *answer, GError **error)
{
	const struct request request = {
		.verb = REQUEST_SEND, .dest = answer->opener, .seq = answer->seq};

	return client_run(client, &request, error);
}

/* `lent` outlives the tries: a pendrive that an earlier one got is used again while it is there. */
static bool try_once(const struct sendback *answer, bool *lent, GError **error)
{
	automailbox *mailbox = mailbox_open(error);
	const struct client client = {.mailbox = mailbox, .device = device_outgoing()};
	struct stat st;

	if (!mailbox)
		return false;
	if (fstat(answer->file, &st) < 0) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "The edited file cannot be read: %s",
			g_strerror(errno));
		return false;
	}
	if (*lent && access(client.device, R_OK | W_OK) < 0)
		*lent = false;
	if (!*lent && !ask_new(&client, bulk_room((uint64_t)st.st_size), error))
		return false;
	*lent = true;
	return bulk_write(client.device, answer->name, answer->file, error) &&
	       ask_send(&client, answer, error);
}

/* -- again and again ----------------------------------------------------------------------------
 */

/* False: SIGTERM, SIGINT or SIGHUP came, which are blocked. */
static bool pause_for(unsigned seconds)
{
	const struct timespec timeout = {.tv_sec = (time_t)seconds};
	sigset_t ending;

	sigemptyset(&ending);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGHUP);
	sigprocmask(SIG_BLOCK, &ending, NULL);
	return sigtimedwait(&ending, NULL, &timeout) < 0;
}

bool sendback_run(const struct sendback *answer, GError **error)
{
	const unsigned *pauses_s = answer->pauses_s ? answer->pauses_s : sendback_pauses_s;
	size_t count = answer->pauses_s ? answer->pause_count : sendback_pause_count;
	bool lent = false;

	for (size_t i = 0;; i++) {
		g_autoptr(GError) cause = NULL;

		if (try_once(answer, &lent, &cause))
			return true;
		if (i == count || vm_exit_status(cause) == VM_EXIT_INTERRUPTED) {
			g_propagate_error(error, g_steal_pointer(&cause));
			return false;
		}
		journal_say(JOURNAL_ERROR,
			"The edited file could not be sent to %s: %s; next try in %u s",
			answer->opener, cause->message, pauses_s[i]);
		if (!pause_for(pauses_s[i])) {
			g_set_error(error, VM_ERROR, VM_EXIT_INTERRUPTED,
				"Told to end before the edited file was sent");
			return false;
		}
	}
}
