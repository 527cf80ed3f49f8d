/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "openwindow.h"

#include "child.h"
#include "fail.h"
#include "lines.h"
#include "openwords.h"
#include "widgets.h"

#define PROGRAM "qvm-open-in-dvm"

struct openwindow {
	struct openwindow_events events;
	char *name; /* of the file, safe to show */
	gboolean view;
	struct child *child; /* NULL: nothing runs */
	char *last_line;     /* that it has said, any bytes */
	gboolean passed;     /* was told */
	int status;
	GtkWidget *top, *title, *text, *cancel, *close;
};

/* ---- what is told ---- */

static void pass(struct openwindow *w)
{
	if (w->passed)
		return;
	w->passed = TRUE;
	w->events.passed(w->events.ctx);
}

static void show(struct openwindow *w, const char *title, const char *text)
{
	g_autofree char *shown_title = g_strdup_printf("%s: %s", w->name, title);
	g_autofree char *spoken = g_strdup_printf("%s. %s", shown_title, text);

	widget_set_heading(w->title, shown_title, spoken);
	widget_set_text(w->text, text);
	gtk_widget_set_visible(w->cancel, w->child != NULL);
	gtk_button_set_label(GTK_BUTTON(w->close), w->child ? "_Hide" : "_Close");
	gtk_widget_show(w->top);
}

static void finish(struct openwindow *w)
{
	gtk_widget_hide(w->top);
	w->events.finished(w->events.ctx, w, w->status);
}

/* ---- what the child says ---- */

static void on_line(void *ctx, const char *untrusted_line)
{
	struct openwindow *w = ctx;
	g_autofree char *text = lines_printable(untrusted_line);

	g_free(w->last_line);
	w->last_line = g_strdup(untrusted_line);
	widget_set_text(w->text, text);
	if (!openwords_is_open(untrusted_line))
		return;
	/* The file itself is in front of the user now. */
	gtk_widget_hide(w->top);
	pass(w);
}

static const char *title_of(const struct openwindow *w)
{
	if (w->status == VM_EXIT_OK)
		return "back from its DisposableVM";
	return w->passed ? "not back from its DisposableVM" : "not opened in a DisposableVM";
}

static void on_ended(void *ctx, const struct child_end *end)
{
	struct openwindow *w = ctx;
	g_autofree char *text = openwords_end(end, w->last_line, w->view);

	g_clear_pointer(&w->child, child_destroy);
	w->status = end->status;
	if (text)
		show(w, title_of(w), text);
	pass(w);
	if (!text)
		finish(w);
}

/* ---- what the user does ---- */

static void on_close(struct openwindow *w)
{
	if (w->child)
		gtk_widget_hide(w->top);
	else
		finish(w);
}

static void on_cancel(struct openwindow *w)
{
	gtk_widget_set_sensitive(w->cancel, FALSE);
	child_interrupt(w->child);
}

static gboolean on_delete(struct openwindow *w)
{
	on_close(w);
	return GDK_EVENT_STOP;
}

/* ---- life ---- */

static GtkWidget *content_new(struct openwindow *w)
{
	GtkWidget *page = widget_page_new();

	w->title = widget_heading_new();
	w->text = widget_text_new("");
	gtk_label_set_selectable(GTK_LABEL(w->text), TRUE);
	w->cancel = widget_button_new("Cancel", G_CALLBACK(on_cancel), w);
	w->close = widget_button_new("_Hide", G_CALLBACK(on_close), w);
	gtk_container_add(GTK_CONTAINER(page), w->title);
	gtk_container_add(GTK_CONTAINER(page), w->text);
	widget_add_buttons(page, w->cancel, w->close);
	return page;
}

static void start(struct openwindow *w, const char *file)
{
	const struct child_events events = {w, on_line, on_ended};
	const char *argv[5] = {PROGRAM};
	size_t n = 1;
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;

	if (w->view)
		argv[n++] = "--view-only";
	argv[n++] = "--";
	argv[n] = file;
	w->child = child_start(argv, FALSE, &events, &error);
	if (w->child) {
		show(w, "to be opened in a DisposableVM", "Starting");
		return;
	}
	w->status = VM_EXIT_FAILED;
	text = g_strdup_printf(
		"The program " PROGRAM " cannot be run: %s. Is it installed?", error->message);
	show(w, title_of(w), text);
}

struct openwindow *openwindow_create(GtkApplication *application, const char *file, gboolean view,
	const struct openwindow_events *events)
{
	struct openwindow *w = g_new0(struct openwindow, 1);
	g_autofree char *name = g_path_get_basename(file);

	w->events = *events;
	w->name = vm_printable(name, -1);
	w->view = view;
	w->last_line = g_strdup("");
	w->top = widget_window_new(application, "DisposableVM", content_new(w));
	g_signal_connect_swapped(w->top, "delete-event", G_CALLBACK(on_delete), w);
	gtk_widget_grab_focus(w->title);
	start(w, file);
	if (!w->child)
		pass(w);
	return w;
}

void openwindow_destroy(struct openwindow *w)
{
	if (!w)
		return;
	child_destroy(w->child);
	gtk_widget_destroy(w->top);
	g_free(w->name);
	g_free(w->last_line);
	g_free(w);
}
