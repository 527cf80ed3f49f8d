/* SPDX-License-Identifier: GPL-2.0-or-later */
#define G_LOG_DOMAIN "qfilexchg-agent"
#include "notices.h"

#include <libnotify/notify.h>
#include <string.h>

#include "budget.h"
#include "words.h"

struct notices {
	struct budget *budget;
	GThread *thread;
	GMainContext *context; /* the thread's */
	GMainLoop *loop;       /* the thread's */
};

struct notice {
	char *title, *body;
};

/* ---- in the thread ---- */

static gboolean server_can(GList *capabilities, const char *what)
{
	return g_list_find_custom(capabilities, what, (GCompareFunc)strcmp) != NULL;
}

/* What the server can do with a body: markup, plain text, or nothing at all. */
static NotifyNotification *compose(const struct notice *notice)
{
	GList *capabilities = notify_get_server_caps();
	g_autofree char *escaped = g_markup_escape_text(notice->body, -1);
	g_autofree char *both = g_strdup_printf("%s: %s", notice->title, notice->body);
	NotifyNotification *n;

	if (!server_can(capabilities, "body") && *notice->body)
		n = notify_notification_new(both, NULL, "qfilexchg-agent");
	else
		n = notify_notification_new(notice->title,
			server_can(capabilities, "body-markup") ? escaped : notice->body,
			"qfilexchg-agent");
	g_list_free_full(capabilities, g_free);
	return n;
}

static gboolean show_in_thread(gpointer data)
{
	const struct notice *notice = data;
	g_autoptr(GError) error = NULL;
	NotifyNotification *n;

	if (!notify_is_initted())
		notify_init("Pendrives");
	n = compose(notice);
	notify_notification_set_category(n, "transfer");
	if (!notify_notification_show(n, &error))
		g_warning("cannot show the notification \"%s\": %s; is a notification server "
			  "running in this session?",
			notice->title, error->message);
	g_object_unref(n);
	return G_SOURCE_REMOVE;
}

static gpointer run_thread(gpointer data)
{
	GMainLoop *loop = data;
	GMainContext *context = g_main_loop_get_context(loop);

	g_main_context_push_thread_default(context);
	g_main_loop_run(loop);
	g_main_context_pop_thread_default(context);
	g_main_loop_unref(loop);
	return NULL;
}

static gboolean quit_in_thread(gpointer loop)
{
	g_main_loop_quit(loop);
	return G_SOURCE_REMOVE;
}

/* ---- outside ---- */

/* `more` may be NULL. */
static struct notice *notice_new(const char *title, const char *body, const char *more)
{
	struct notice *notice = g_new0(struct notice, 1);

	notice->title = g_strdup(title);
	notice->body =
		more && *body ? g_strjoin(" ", body, more, NULL) : g_strdup(more ? more : body);
	return notice;
}

static void free_notice(gpointer data)
{
	struct notice *notice = data;

	g_free(notice->title);
	g_free(notice->body);
	g_free(notice);
}

struct notices *notices_create(void)
{
	struct notices *n = g_new0(struct notices, 1);

	n->budget = budget_create();
	n->context = g_main_context_new();
	n->loop = g_main_loop_new(n->context, FALSE);
	n->thread = g_thread_new("notices", run_thread, g_main_loop_ref(n->loop));
	return n;
}

void notices_destroy(struct notices *n)
{
	if (!n)
		return;
	g_main_context_invoke_full(n->context, G_PRIORITY_HIGH, quit_in_thread,
		g_main_loop_ref(n->loop), (GDestroyNotify)g_main_loop_unref);
	/* Not joined: it may be waiting for a server that hangs. */
	g_thread_unref(n->thread);
	g_main_loop_unref(n->loop);
	g_main_context_unref(n->context);
	budget_destroy(n->budget);
	g_free(n);
}

void notices_show(struct notices *n, const char *vm, const char *title, const char *body)
{
	g_autofree char *left_out_text = NULL;
	guint left_out = 0;

	if (!budget_take(n->budget, vm, g_get_monotonic_time() / 1000, &left_out))
		return;
	left_out_text = words_left_out(left_out, vm);
	g_main_context_invoke_full(n->context, G_PRIORITY_DEFAULT, show_in_thread,
		notice_new(title, body, left_out_text), free_notice);
}
