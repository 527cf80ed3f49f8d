/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "copywindow.h"

#include <string.h>

#include "child.h"
#include "copywords.h"
#include "fail.h"
#include "history.h"
#include "job.h"
#include "widgets.h"

#define LIST_HEIGHT_PX 160
#define HEADING_CHARS 40

/* What the window shows; one at a time. */
enum page { PAGE_ASK, PAGE_CANNOT, PAGE_RUN, PAGE_END, N_PAGES };

static const char *const page_names[N_PAGES] = {
	[PAGE_ASK] = "ask",
	[PAGE_CANNOT] = "cannot",
	[PAGE_RUN] = "run",
	[PAGE_END] = "end",
};

struct copywindow {
	struct job job;
	struct child *child; /* NULL: nothing runs */
	char *history;       /* path */
	int status;
	enum page page;
	gboolean stopping; /* the child was interrupted */
	gboolean closing;  /* the window closes when the child has ended as it should */
	gboolean quitting; /* and this program ends then, however the child ended */
	GtkWidget *top, *stack;
	GtkWidget *confirm; /* the question whether to stop; NULL: not asked */
	/* ask */
	GtkWidget *entry, *hint, *start;
	/* cannot */
	GtkWidget *cannot_title, *cannot_list, *cannot_cancel;
	/* run */
	GtkWidget *run_title, *state, *bar, *progress, *pace, *cancel;
	/* end */
	GtkWidget *end_title, *end_text, *again;
};

static void start(struct copywindow *w, gboolean skip);

/* ---- pages ---- */

/*
 * Where the focus is when a page opens. The pages that come by themselves have it where Enter does
 * nothing: the user may still be holding the key of the page before.
 */
static GtkWidget *first_focus(const struct copywindow *w)
{
	switch (w->page) {
	case PAGE_ASK:
		return w->entry;
	case PAGE_CANNOT:
		return w->cannot_cancel;
	case PAGE_RUN:
		return w->run_title;
	case PAGE_END:
	case N_PAGES:
		break;
	}
	return w->end_title;
}

static void turn_to(struct copywindow *w, enum page page)
{
	GtkWidget *defaults[N_PAGES] = {[PAGE_ASK] = w->start, [PAGE_CANNOT] = w->cannot_cancel};

	w->page = page;
	gtk_stack_set_visible_child_name(GTK_STACK(w->stack), page_names[page]);
	gtk_window_set_default(GTK_WINDOW(w->top), defaults[page]);
	gtk_widget_grab_focus(first_focus(w));
}

static void close_window(struct copywindow *w)
{
	if (w->top)
		gtk_widget_destroy(w->top);
}

static void set_status(struct copywindow *w, int status)
{
	w->status = status;
}

/* ---- the end ---- */

static void show_end(struct copywindow *w, const char *title, const char *text, gboolean again)
{
	g_autofree char *spoken = g_strconcat(title, ". ", text, NULL);

	widget_set_heading(w->end_title, title, spoken);
	gtk_label_set_text(GTK_LABEL(w->end_text), text);
	gtk_widget_set_visible(w->end_text, *text != '\0');
	gtk_widget_set_visible(w->again, again);
	turn_to(w, PAGE_END);
	/* It may have been closed while the pendrive was given back. */
	gtk_widget_show(w->top);
	if (w->quitting) {
		g_printerr("%s. %s\n", title, text);
		close_window(w);
	}
}

/* What was delivered is no failure because a name could not be remembered. */
static void remember(const struct copywindow *w)
{
	g_autoptr(GError) error = NULL;

	if (!history_add(w->history, w->job.vm, &error))
		g_warning("%s is not offered the next time: %s", w->job.vm, error->message);
}

static void show_delivered(struct copywindow *w)
{
	g_autofree char *title = g_strdup_printf("Delivered to %s", w->job.vm);
	g_autofree char *skipped = w->job.skipped
					   ? g_strdup_printf("%" G_GUINT64_FORMAT
							     " were left out, and are still here.",
						     w->job.skipped)
					   : g_strdup("");

	remember(w);
	set_status(w, VM_EXIT_OK);
	show_end(w, title, skipped, FALSE);
}

/* A second try would send it once more. */
static void show_left(struct copywindow *w, const struct child_end *end)
{
	g_autofree char *title =
		g_strdup_printf("Delivered to %s, but not all is deleted here", w->job.vm);
	g_autofree char *why = job_why(&w->job, end);

	remember(w);
	set_status(w, w->job.failed ? w->job.failed : end->status ? end->status : VM_EXIT_FAILED);
	show_end(w, title, why, FALSE);
}

static void fill_cannot(struct copywindow *w)
{
	gtk_container_foreach(
		GTK_CONTAINER(w->cannot_list), (GtkCallback)(void *)gtk_widget_destroy, NULL);
	for (guint i = 0; i < w->job.cannot->len; i++) {
		const struct report *what = g_ptr_array_index(w->job.cannot, i);
		g_autofree char *path = vm_printable(what->path, -1);
		g_autofree char *why = vm_printable(what->text, -1);
		g_autofree char *line = g_strdup_printf("%s: %s", path, why);
		GtkWidget *row = gtk_list_box_row_new();

		gtk_container_add(GTK_CONTAINER(row), widget_text_new(line));
		widget_set_spoken(row, line);
		gtk_list_box_row_set_activatable(GTK_LIST_BOX_ROW(row), FALSE);
		gtk_container_add(GTK_CONTAINER(w->cannot_list), row);
	}
	gtk_widget_show_all(w->cannot_list);
}

static void show_cannot(struct copywindow *w)
{
	g_autofree char *title =
		w->job.cannot->len == 1
			? g_strdup("A pendrive cannot carry this one")
			: g_strdup_printf("A pendrive cannot carry these %u", w->job.cannot->len);

	fill_cannot(w);
	widget_set_heading(w->cannot_title, title, title);
	set_status(w, VM_EXIT_FILES);
	turn_to(w, PAGE_CANNOT);
	gtk_widget_show(w->top);
	if (w->quitting)
		close_window(w);
}

static void show_failed(struct copywindow *w, const struct child_end *end)
{
	g_autofree char *why = job_why(&w->job, end);

	set_status(w, w->job.failed ? w->job.failed : end->status ? end->status : VM_EXIT_FAILED);
	show_end(w, w->job.move ? "It was not moved" : "It was not copied", why, TRUE);
}

static void show_cancelled(struct copywindow *w, const struct child_end *end)
{
	g_autofree char *why = job_why(&w->job, end);

	set_status(w, VM_EXIT_INTERRUPTED);
	if (w->closing)
		close_window(w);
	else
		show_end(w, "Cancelled", why, TRUE);
}

/* ---- what the child says ---- */

static void show_run(struct copywindow *w)
{
	const struct job *job = &w->job;
	const struct progress *p = &job->progress;
	g_autofree char *progress = job->is_counted ? copywords_progress(p) : g_strdup("");
	gboolean copying = job->is_told && job->state == REPORT_STATE_COPYING;
	g_autofree char *pace = copying ? copywords_pace(p) : g_strdup("");
	const char *state = !job->is_told ? "Starting"
			    : w->stopping ? report_state_words(REPORT_STATE_CANCELLED)
					  : report_state_words(job->state);

	widget_set_text(w->state, state);
	widget_set_text(w->progress, progress);
	widget_set_text(w->pace, pace);
	gtk_progress_bar_set_fraction(GTK_PROGRESS_BAR(w->bar), job_fraction(job));
	gtk_widget_set_sensitive(w->cancel, !w->stopping);
}

static void on_line(void *ctx, const char *untrusted_line)
{
	struct copywindow *w = ctx;

	job_take(&w->job, untrusted_line, g_get_monotonic_time());
	show_run(w);
}

static void on_ended(void *ctx, const struct child_end *end)
{
	struct copywindow *w = ctx;

	g_clear_pointer(&w->child, child_destroy);
	g_clear_pointer(&w->confirm, gtk_widget_destroy);
	switch (job_outcome(&w->job, end)) {
	case JOB_DELIVERED:
		show_delivered(w);
		break;
	case JOB_LEFT:
		show_left(w, end);
		break;
	case JOB_UNSUPPORTED:
		show_cannot(w);
		break;
	case JOB_CANCELLED:
		show_cancelled(w, end);
		break;
	case JOB_FAILED:
		show_failed(w, end);
		break;
	}
}

/* ---- what the user does ---- */

static void fail_to_start(struct copywindow *w, const char *program, const char *why)
{
	g_autofree char *text =
		g_strdup_printf("The program %s cannot be run: %s. Is it installed?", program, why);

	set_status(w, VM_EXIT_FAILED);
	show_end(w, "It was not copied", text, TRUE);
}

static void start(struct copywindow *w, gboolean skip)
{
	const struct child_events events = {w, on_line, on_ended};
	g_autofree char *vm = g_strdup(gtk_entry_get_text(GTK_ENTRY(w->entry)));
	g_autofree char *title = NULL;
	g_auto(GStrv) argv = NULL;
	g_autoptr(GError) error = NULL;

	job_begin(&w->job, vm, skip);
	argv = job_argv(&w->job);
	w->stopping = FALSE;
	w->child = child_start((const char *const *)argv, TRUE, &events, &error);
	if (!w->child) {
		fail_to_start(w, argv[0], error->message);
		return;
	}
	title = g_strdup_printf("%s to %s", w->job.move ? "Moving" : "Copying", vm);
	widget_set_heading(w->run_title, title, title);
	show_run(w);
	turn_to(w, PAGE_RUN);
}

/* The button is sensitive with a sound name alone; so this is not reached without one. */
static void on_start(struct copywindow *w)
{
	start(w, FALSE);
}

static void on_skip(struct copywindow *w)
{
	start(w, TRUE);
}

static void on_again(struct copywindow *w)
{
	turn_to(w, PAGE_ASK);
}

static void on_name(struct copywindow *w)
{
	const char *name = gtk_entry_get_text(GTK_ENTRY(w->entry));
	const char *unsound = copywords_unsound(name);

	widget_set_text(w->hint, unsound ? unsound : "");
	gtk_widget_set_sensitive(w->start, *name && !unsound);
}

static void on_stop(struct copywindow *w)
{
	if (!w->child || w->stopping)
		return;
	w->stopping = TRUE;
	child_interrupt(w->child);
	show_run(w);
}

static void on_confirmed(GtkDialog *dialog, int response, gpointer data)
{
	struct copywindow *w = data;

	w->confirm = NULL;
	gtk_widget_destroy(GTK_WIDGET(dialog));
	if (response != GTK_RESPONSE_ACCEPT)
		return;
	w->closing = TRUE;
	on_stop(w);
}

/* Only when the window is closed in the middle of it: Cancel is clear enough. */
static void confirm_stop(struct copywindow *w)
{
	GtkWidget *dialog;

	if (w->confirm) {
		gtk_window_present(GTK_WINDOW(w->confirm));
		return;
	}
	dialog = gtk_message_dialog_new(GTK_WINDOW(w->top),
		GTK_DIALOG_MODAL | GTK_DIALOG_DESTROY_WITH_PARENT, GTK_MESSAGE_QUESTION,
		GTK_BUTTONS_NONE, "Stop it?");
	gtk_message_dialog_format_secondary_text(GTK_MESSAGE_DIALOG(dialog),
		"What was not delivered yet is given up, and the files stay here.");
	gtk_dialog_add_button(GTK_DIALOG(dialog), "Go on", GTK_RESPONSE_REJECT);
	gtk_dialog_add_button(GTK_DIALOG(dialog), "Stop", GTK_RESPONSE_ACCEPT);
	gtk_dialog_set_default_response(GTK_DIALOG(dialog), GTK_RESPONSE_REJECT);
	g_signal_connect(dialog, "response", G_CALLBACK(on_confirmed), w);
	w->confirm = dialog;
	gtk_widget_show(dialog);
}

/* Escape, and the button of the window's frame. */
static void on_close(struct copywindow *w)
{
	if (!w->child) {
		close_window(w);
	} else if (w->stopping) {
		/* It goes on giving the pendrive back, and the window comes again if that fails. */
		w->closing = TRUE;
		gtk_widget_hide(w->top);
	} else {
		confirm_stop(w);
	}
}

static gboolean on_delete(struct copywindow *w)
{
	on_close(w);
	return GDK_EVENT_STOP;
}

/* ---- what is in it ---- */

/* The names used before: in the list below the entry, and as it is typed into. */
static GtkWidget *entry_new(struct copywindow *w)
{
	GtkWidget *combo = gtk_combo_box_text_new_with_entry();
	GtkEntryCompletion *completion = gtk_entry_completion_new();
	g_auto(GStrv) names = history_load(w->history);

	for (char **name = names; *name; name++)
		gtk_combo_box_text_append_text(GTK_COMBO_BOX_TEXT(combo), *name);
	w->entry = gtk_bin_get_child(GTK_BIN(combo));
	gtk_entry_completion_set_model(completion, gtk_combo_box_get_model(GTK_COMBO_BOX(combo)));
	gtk_entry_completion_set_text_column(completion, 0);
	gtk_entry_set_completion(GTK_ENTRY(w->entry), completion);
	g_object_unref(completion);
	gtk_entry_set_activates_default(GTK_ENTRY(w->entry), TRUE);
	gtk_entry_set_input_purpose(GTK_ENTRY(w->entry), GTK_INPUT_PURPOSE_NAME);
	widget_set_spoken(w->entry, "Name of the VM");
	g_signal_connect_swapped(w->entry, "changed", G_CALLBACK(on_name), w);
	return combo;
}

static GtkWidget *destination_new(struct copywindow *w)
{
	GtkWidget *row = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, WIDGET_SPACE);
	GtkWidget *label = gtk_label_new_with_mnemonic("To the _VM");
	GtkWidget *combo = entry_new(w);

	gtk_label_set_mnemonic_widget(GTK_LABEL(label), w->entry);
	gtk_container_add(GTK_CONTAINER(row), label);
	gtk_box_pack_start(GTK_BOX(row), combo, TRUE, TRUE, 0);
	return row;
}

static char *heading_of(const struct copywindow *w)
{
	guint count = g_strv_length(w->job.files);

	return count == 1
		       ? g_strdup_printf("%s to another VM", copywords_verb(w->job.move))
		       : g_strdup_printf("%s %u to another VM", copywords_verb(w->job.move), count);
}

static GtkWidget *ask_new(struct copywindow *w)
{
	GtkWidget *page = widget_page_new();
	g_autofree char *title = heading_of(w);
	g_autofree char *files = copywords_files(w->job.files);
	GtkWidget *heading = widget_heading_new();

	widget_set_heading(heading, title, title);
	w->hint = widget_text_new("");
	w->start = widget_button_new(w->job.move ? "_Move" : "_Copy", G_CALLBACK(on_start), w);
	gtk_widget_set_sensitive(w->start, FALSE);
	gtk_style_context_add_class(gtk_widget_get_style_context(w->start), "suggested-action");
	gtk_container_add(GTK_CONTAINER(page), heading);
	gtk_container_add(GTK_CONTAINER(page), widget_text_new(files));
	gtk_container_add(GTK_CONTAINER(page), destination_new(w));
	gtk_container_add(GTK_CONTAINER(page), w->hint);
	widget_add_buttons(page, widget_button_new("Cancel", G_CALLBACK(on_close), w), w->start);
	return page;
}

static GtkWidget *cannot_new(struct copywindow *w)
{
	GtkWidget *page = widget_page_new();
	GtkWidget *scrolled = gtk_scrolled_window_new(NULL, NULL);

	w->cannot_title = widget_heading_new();
	w->cannot_list = gtk_list_box_new();
	gtk_list_box_set_selection_mode(GTK_LIST_BOX(w->cannot_list), GTK_SELECTION_NONE);
	widget_set_spoken(w->cannot_list, "What a pendrive cannot carry, and why");
	gtk_scrolled_window_set_policy(
		GTK_SCROLLED_WINDOW(scrolled), GTK_POLICY_NEVER, GTK_POLICY_AUTOMATIC);
	gtk_scrolled_window_set_min_content_height(GTK_SCROLLED_WINDOW(scrolled), LIST_HEIGHT_PX);
	gtk_container_add(GTK_CONTAINER(scrolled), w->cannot_list);
	w->cannot_cancel = widget_button_new("Cancel", G_CALLBACK(on_close), w);
	gtk_container_add(GTK_CONTAINER(page), w->cannot_title);
	gtk_box_pack_start(GTK_BOX(page), scrolled, TRUE, TRUE, 0);
	gtk_container_add(GTK_CONTAINER(page),
		widget_text_new(
			"Nothing was copied yet. An archive made with tar can carry them."));
	widget_add_buttons(page, w->cannot_cancel,
		widget_button_new("_Skip these and copy the rest", G_CALLBACK(on_skip), w));
	return page;
}

static GtkWidget *run_new(struct copywindow *w)
{
	GtkWidget *page = widget_page_new();

	w->run_title = widget_heading_new();
	w->state = widget_text_new("");
	w->bar = gtk_progress_bar_new();
	widget_set_spoken(w->bar, "Copied");
	w->progress = widget_text_new("");
	w->pace = widget_text_new("");
	gtk_style_context_add_class(gtk_widget_get_style_context(w->pace), "dim-label");
	w->cancel = widget_button_new("Cancel", G_CALLBACK(on_stop), w);
	gtk_container_add(GTK_CONTAINER(page), w->run_title);
	gtk_container_add(GTK_CONTAINER(page), w->state);
	gtk_container_add(GTK_CONTAINER(page), w->bar);
	gtk_container_add(GTK_CONTAINER(page), w->progress);
	gtk_container_add(GTK_CONTAINER(page), w->pace);
	widget_add_buttons(page, w->cancel, NULL);
	return page;
}

static GtkWidget *end_new(struct copywindow *w)
{
	GtkWidget *page = widget_page_new();

	w->end_title = widget_heading_new();
	w->end_text = widget_text_new("");
	gtk_label_set_selectable(GTK_LABEL(w->end_text), TRUE);
	gtk_widget_set_no_show_all(w->end_text, TRUE);
	w->again = widget_button_new("_Try again", G_CALLBACK(on_again), w);
	gtk_widget_set_no_show_all(w->again, TRUE);
	gtk_container_add(GTK_CONTAINER(page), w->end_title);
	gtk_container_add(GTK_CONTAINER(page), w->end_text);
	widget_add_buttons(page, w->again, widget_button_new("_Close", G_CALLBACK(on_close), w));
	return page;
}

static GtkWidget *stack_new(struct copywindow *w)
{
	GtkWidget *pages[N_PAGES] = {
		[PAGE_ASK] = ask_new(w),
		[PAGE_CANNOT] = cannot_new(w),
		[PAGE_RUN] = run_new(w),
		[PAGE_END] = end_new(w),
	};
	GtkWidget *stack = gtk_stack_new();

	gtk_stack_set_vhomogeneous(GTK_STACK(stack), FALSE);
	for (int i = 0; i < N_PAGES; i++)
		gtk_stack_add_named(GTK_STACK(stack), pages[i], page_names[i]);
	return stack;
}

/* ---- life ---- */

struct copywindow *copywindow_create(GtkApplication *application, gboolean move, char **files)
{
	struct copywindow *w = g_new0(struct copywindow, 1);

	job_init(&w->job, move, files);
	w->history = history_default_path();
	w->status = VM_EXIT_INTERRUPTED; /* closed before anything was done */
	w->stack = stack_new(w);
	w->top = widget_window_new(
		application, move ? "Move to another VM" : "Copy to another VM", w->stack);
	g_signal_connect_swapped(w->top, "delete-event", G_CALLBACK(on_delete), w);
	g_signal_connect(w->top, "destroy", G_CALLBACK(gtk_widget_destroyed), &w->top);
	turn_to(w, PAGE_ASK);
	gtk_widget_show(w->top);
	return w;
}

void copywindow_stop(struct copywindow *w)
{
	w->closing = TRUE;
	w->quitting = TRUE;
	if (w->child)
		on_stop(w);
	else
		close_window(w);
}

int copywindow_status(const struct copywindow *w)
{
	return w->status;
}

void copywindow_destroy(struct copywindow *w)
{
	if (!w)
		return;
	child_destroy(w->child);
	close_window(w);
	job_finish(&w->job);
	g_free(w->history);
	g_free(w);
}
