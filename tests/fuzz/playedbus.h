/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GDBus as far as the daemon uses it, without a bus: what is called is answered here, in the same
 * thread. A program that links this has these functions of libgio in place of the real ones. So a
 * call costs microseconds; through sockets and GDBus's threads it costs a millisecond.
 */
#ifndef QFX_PLAYEDBUS_H
#define QFX_PLAYEDBUS_H

#include <gio/gio.h>

/* How the programs on the bus reply when the daemon calls them. */
struct playedbus_peer {
	/* The reply to a method of an agent, floating; NULL: an error of its own. */
	GVariant *(*reply)(const char *method, void *data);
	void *data;
	guint32 uid; /* whose they are */
};

void playedbus_set_peer(const struct playedbus_peer *peer);

/* What the daemon exported, since it connected; NULL: it is not connected. */
GDBusInterfaceSkeleton *playedbus_exported(void);

/* An answer of the daemon's: a body, or the name of an error and what it says. */
struct playedbus_answer {
	GVariant *body;
	char *error, *text;
};
void playedbus_answer_clear(struct playedbus_answer *answer);

/*
 * Calls the method with arguments of its types. True: the answer is there; false: it will be given
 * later, into `answer`, which must stay until then or until playedbus_forget.
 */
gboolean playedbus_call(const char *sender, const GDBusMethodInfo *method, GVariant *arguments,
	struct playedbus_answer *answer);
/* Nobody waits for later answers any more. */
void playedbus_forget(void);

/* A program leaves the bus; false: nobody watches for that. */
gboolean playedbus_leave(const char *name);

#endif
