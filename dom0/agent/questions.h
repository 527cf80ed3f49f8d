/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The questions that wait for the user. One is current, on the screen; the others wait and are
 * counted. When it is done, the next is the oldest one from another VM, if there is such: a VM that
 * asks a lot does not keep the others from being asked. Pure.
 */
#ifndef QFX_QUESTIONS_H
#define QFX_QUESTIONS_H

#include <glib.h>

/* More than these are refused at once. The daemon lets a VM have few; this is for one gone wrong.
 */
#define QUESTIONS_MAX 256
/* For a daemon that does not say when the question expires. */
#define QUESTION_LIFETIME_S 120

/* The words are the daemon's. They are shown as they are: as text, made printable, never as markup.
 */
struct question {
	guint64 id; /* the transfer's */
	char *sender, *receiver;
	char *sender_label, *receiver_label; /* a colour or "" */
	char *kind;
	gboolean can_remember;
	guint64 size_bytes;
	guint64 used_bytes;
	gboolean used_known;
	gint64 asked_ms, expires_ms; /* by g_get_monotonic_time */
	gpointer call;               /* whom to answer; the caller's */
};

/* From the `a{sv}` of Ask; what is missing is empty. Free with question_free. */
struct question *question_new(guint64 id, GVariant *facts, gint64 now_ms);
/* Does not touch `call`. Accepts NULL. */
void question_free(struct question *q);

struct questions {
	struct question *current;
	GQueue waiting; /* the oldest first; owned */
};

void questions_init(struct questions *qs);
/* Frees them all. */
void questions_clear(struct questions *qs);
/* Takes over `q`, unless it says FALSE: there are too many. */
gboolean questions_add(struct questions *qs, struct question *q);
/* Removes the one with that number and gives it to the caller; NULL: there is none. */
struct question *questions_take(struct questions *qs, guint64 id);
/* Likewise any one that has expired. */
struct question *questions_take_expired(struct questions *qs, gint64 now_ms);
/* Likewise any one at all. */
struct question *questions_take_any(struct questions *qs);
/* "2 more from work, 1 from personal"; NULL: nothing waits. To be freed with g_free. */
char *questions_waiting(const struct questions *qs);

#endif
