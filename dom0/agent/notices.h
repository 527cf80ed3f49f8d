/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Notifications. libnotify waits for the notification server, which may take its time or hang; so
 * it is used in a thread of its own, and a question on the screen never stands still for it.
 */
#ifndef QFX_NOTICES_H
#define QFX_NOTICES_H

#include <glib.h>

struct notices;

struct notices *notices_create(void);
/* What has not been shown yet is lost. Does not wait for the server. Accepts NULL. */
void notices_destroy(struct notices *n);
/*
 * Shows plain text, on behalf of `vm` ("": of none): unless that VM has caused too many within the
 * last minute (budget.h); those are counted in the next one. Names in the texts are printable
 * already; markup in them is shown as it is.
 */
void notices_show(struct notices *n, const char *vm, const char *title, const char *body);

#endif
