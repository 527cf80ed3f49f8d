/* SPDX-License-Identifier: GPL-2.0-or-later */
#define G_LOG_DOMAIN "qfilexchg-agent"
#include "window.h"

#include <gtk/gtk.h>
#include <string.h>

#include "guard.h"
#include "keys.h"
#include "place.h"
#include "vmlabel.h"
#include "words.h"

#define SPACE 12
/* Keeps the window in half of a small screen, whatever the names are. */
#define WIDTH_CHARS 44

struct window {
	const struct question *question;
	window_decided decided;
	void *ctx;
	struct guard guard;
	GtkWidget *top;
	GtkWidget *choices; /* all that can be pressed; insensitive while the guard is closed */
	GtkWidget *hint;
	GtkWidget *countdown, *bar;
	GtkWidget *waiting;
	GtkWidget *session, *always; /* of the radio buttons; NULL: no answer can be remembered */
	gboolean done;
};

static gint64 now(void)
{
	return g_get_monotonic_time() / 1000;
}

/* ---- answers ---- */

static const char *remember_how(const struct window *w)
{
	if (!w->question->can_remember)
		return NULL;
	if (gtk_toggle_button_get_active(GTK_TOGGLE_BUTTON(w->session)))
		return "session";
	if (gtk_toggle_button_get_active(GTK_TOGGLE_BUTTON(w->always)))
		return "always";
	return NULL;
}

/* The one way to an answer but closing. A press can come from elsewhere than pointer and keys, and
 * ask for too much. */
static void decide(struct window *w, gboolean allow, enum block block)
{
	struct decision decision = {.allow = allow, .remember = remember_how(w), .block = block};

	if (w->done || !guard_is_open(&w->guard))
		return;
	w->done = TRUE;
	w->decided(w->ctx, &decision);
}

static void on_allow(struct window *w)
{
	decide(w, TRUE, BLOCK_NOT);
}

static void on_refuse(struct window *w)
{
	decide(w, FALSE, BLOCK_NOT);
}

static void on_block_10_minutes(struct window *w)
{
	decide(w, FALSE, BLOCK_10_MINUTES);
}

static void on_block_1_hour(struct window *w)
{
	decide(w, FALSE, BLOCK_1_HOUR);
}

static void on_block_until_unblocked(struct window *w)
{
	decide(w, FALSE, BLOCK_UNTIL_UNBLOCKED);
}

/* ---- the guard ---- */

static void show_guard(struct window *w)
{
	gboolean is_open = guard_is_open(&w->guard);

	if (gtk_widget_get_sensitive(w->choices) == is_open)
		return;
	gtk_widget_set_sensitive(w->choices, is_open);
	gtk_label_set_text(GTK_LABEL(w->hint),
		is_open ? "Nothing is chosen. Escape refuses."
			: "The buttons work when this window has been in use for a second.");
}

static void on_focus(GtkWindow *top, GParamSpec *spec, gpointer data)
{
	struct window *w = data;
	gboolean focused = gtk_window_has_toplevel_focus(top);

	(void)spec;
	guard_focus(&w->guard, focused, now());
	if (focused)
		keys_tell_held(gtk_widget_get_display(GTK_WIDGET(top)), &w->guard);
	show_guard(w);
}

/* Before any widget sees it. */
static gboolean on_key_press(GtkWidget *top, GdkEventKey *event, gpointer data)
{
	struct window *w = data;

	(void)top;
	if (!guard_press(&w->guard, event->hardware_keycode)) {
		g_debug("a key is ignored: %s",
			guard_is_open(&w->guard) ? "it repeats" : "too early");
		return GDK_EVENT_STOP;
	}
	if (event->keyval == GDK_KEY_Escape) {
		on_refuse(w);
		return GDK_EVENT_STOP;
	}
	return GDK_EVENT_PROPAGATE;
}

static gboolean on_key_release(GtkWidget *top, GdkEventKey *event, gpointer data)
{
	struct window *w = data;

	(void)top;
	guard_release(&w->guard, event->hardware_keycode);
	return GDK_EVENT_PROPAGATE;
}

/* Closing it is a no, for this once. */
static gboolean on_delete(GtkWidget *top, GdkEvent *event, gpointer data)
{
	struct window *w = data;
	const struct decision no = {.allow = FALSE, .remember = NULL, .block = BLOCK_NOT};

	(void)top;
	(void)event;
	if (!w->done && guard_was_open(&w->guard, now())) {
		w->done = TRUE;
		w->decided(w->ctx, &no);
	}
	return GDK_EVENT_STOP;
}

/* ---- what is in it ---- */

static GtkWidget *text_new(const char *text, float xalign)
{
	GtkWidget *label = gtk_label_new(text);

	gtk_label_set_xalign(GTK_LABEL(label), xalign);
	label_break_anywhere(GTK_LABEL(label), WIDTH_CHARS, PANGO_WEIGHT_NORMAL, 1);
	return label;
}

static void add_fact(GtkWidget *grid, int row, const char *name, GtkWidget *fact)
{
	GtkWidget *label = text_new(name, 1);

	gtk_style_context_add_class(gtk_widget_get_style_context(label), "dim-label");
	gtk_grid_attach(GTK_GRID(grid), label, 0, row, 1, 1);
	gtk_widget_set_hexpand(fact, TRUE);
	gtk_grid_attach(GTK_GRID(grid), fact, 1, row, 1, 1);
}

static GtkWidget *facts_new(const struct question *q)
{
	GtkWidget *grid = gtk_grid_new();
	g_autofree char *kind = words_kind(q->kind);
	g_autofree char *size = words_size(q);

	gtk_grid_set_row_spacing(GTK_GRID(grid), SPACE / 2);
	gtk_grid_set_column_spacing(GTK_GRID(grid), SPACE);
	add_fact(grid, 0, "From", vmlabel_new("From", q->sender, q->sender_label));
	add_fact(grid, 1, "To", vmlabel_new("To", q->receiver, q->receiver_label));
	add_fact(grid, 2, "What", text_new(kind, 0));
	add_fact(grid, 3, "Size", text_new(size, 0));
	return grid;
}

/*
 * GTK gives the focus to the first widget that takes it when a window appears: this one, which does
 * nothing, and which says the whole question to those who hear it.
 */
static GtkWidget *heading_new(const struct question *q)
{
	GtkWidget *box = gtk_event_box_new();
	GtkWidget *label = text_new("Hand this pendrive over?", 0);
	g_autofree char *spoken = words_question(q);

	label_break_anywhere(GTK_LABEL(label), WIDTH_CHARS, PANGO_WEIGHT_BOLD, PANGO_SCALE_LARGE);
	gtk_container_add(GTK_CONTAINER(box), label);
	gtk_widget_set_can_focus(box, TRUE);
	widget_set_spoken(box, spoken);
	atk_object_set_role(gtk_widget_get_accessible(box), ATK_ROLE_HEADING);
	return box;
}

static GtkWidget *button_new(
	struct window *w, const char *text, const char *spoken, void (*pressed)(struct window *))
{
	GtkWidget *button = gtk_button_new_with_label(text);

	widget_set_spoken(button, spoken);
	g_signal_connect_swapped(button, "clicked", G_CALLBACK(pressed), w);
	return button;
}

static GtkWidget *row_new(void)
{
	GtkWidget *row = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, SPACE / 2);

	return row;
}

static GtkWidget *remember_new(struct window *w)
{
	GtkWidget *row = row_new();
	GtkWidget *once = gtk_radio_button_new_with_label(NULL, "this once");

	w->session = gtk_radio_button_new_with_label_from_widget(
		GTK_RADIO_BUTTON(once), "for this session");
	w->always = gtk_radio_button_new_with_label_from_widget(GTK_RADIO_BUTTON(once), "always");
	widget_set_spoken(once, "The answer is for this once");
	widget_set_spoken(w->session, "The answer is for this session");
	widget_set_spoken(w->always, "The answer is for always");
	gtk_container_add(GTK_CONTAINER(row), text_new("Answer", 0));
	gtk_container_add(GTK_CONTAINER(row), once);
	gtk_container_add(GTK_CONTAINER(row), w->session);
	gtk_container_add(GTK_CONTAINER(row), w->always);
	return row;
}

static GtkWidget *block_new(struct window *w)
{
	static const struct {
		const char *text;
		void (*pressed)(struct window *);
	} blocks[] = {
		{"for 10 minutes", on_block_10_minutes},
		{"for 1 hour", on_block_1_hour},
		{"until unblocked", on_block_until_unblocked},
	};
	GtkWidget *column = gtk_box_new(GTK_ORIENTATION_VERTICAL, SPACE / 2);
	GtkWidget *row = row_new();
	g_autofree char *name = words_name(w->question->sender);
	g_autofree char *text = g_strdup_printf("Refuse, and block %s", name);

	gtk_container_add(GTK_CONTAINER(column), text_new(text, 0));
	gtk_box_set_homogeneous(GTK_BOX(row), TRUE);
	for (size_t i = 0; i < G_N_ELEMENTS(blocks); i++) {
		g_autofree char *spoken = g_strdup_printf("%s %s", text, blocks[i].text);

		gtk_box_pack_start(GTK_BOX(row),
			button_new(w, blocks[i].text, spoken, blocks[i].pressed), TRUE, TRUE, 0);
	}
	gtk_container_add(GTK_CONTAINER(column), row);
	return column;
}

static GtkWidget *answers_new(struct window *w)
{
	GtkWidget *row = row_new();

	gtk_box_set_homogeneous(GTK_BOX(row), TRUE);
	gtk_box_pack_start(
		GTK_BOX(row), button_new(w, "Refuse", "Refuse", on_refuse), TRUE, TRUE, 0);
	gtk_box_pack_start(GTK_BOX(row), button_new(w, "Allow", "Allow", on_allow), TRUE, TRUE, 0);
	return row;
}

static GtkWidget *choices_new(struct window *w)
{
	GtkWidget *column = gtk_box_new(GTK_ORIENTATION_VERTICAL, SPACE);

	if (w->question->can_remember)
		gtk_container_add(GTK_CONTAINER(column), remember_new(w));
	gtk_container_add(GTK_CONTAINER(column), answers_new(w));
	gtk_container_add(GTK_CONTAINER(column), block_new(w));
	gtk_widget_set_sensitive(column, FALSE);
	return column;
}

static GtkWidget *content_new(struct window *w)
{
	GtkWidget *column = gtk_box_new(GTK_ORIENTATION_VERTICAL, SPACE);

	g_object_set(column, "margin", SPACE + SPACE / 2, NULL);
	w->countdown = text_new("", 0);
	w->bar = gtk_progress_bar_new();
	/* The text above it says the same. */
	atk_object_set_role(gtk_widget_get_accessible(w->bar), ATK_ROLE_REDUNDANT_OBJECT);
	w->hint = text_new("The buttons work when this window has been in use for a second.", 0);
	gtk_style_context_add_class(gtk_widget_get_style_context(w->hint), "dim-label");
	w->waiting = text_new("", 0);
	gtk_widget_set_no_show_all(w->waiting, TRUE);
	w->choices = choices_new(w);
	gtk_container_add(GTK_CONTAINER(column), heading_new(w->question));
	gtk_container_add(GTK_CONTAINER(column), facts_new(w->question));
	gtk_container_add(GTK_CONTAINER(column), w->countdown);
	gtk_container_add(GTK_CONTAINER(column), w->bar);
	gtk_container_add(GTK_CONTAINER(column), w->choices);
	gtk_container_add(GTK_CONTAINER(column), w->hint);
	gtk_container_add(GTK_CONTAINER(column), w->waiting);
	return column;
}

/* ---- where it stands ---- */

static void place(GtkWindow *top)
{
	GdkDisplay *display = gtk_widget_get_display(GTK_WIDGET(top));
	GdkSeat *seat = gdk_display_get_default_seat(display);
	GdkDevice *pointer = gdk_seat_get_pointer(seat);
	struct place screen, window = {0};
	GdkRectangle area;
	int x = 0, y = 0;

	if (!pointer)
		return;
	gdk_device_get_position(pointer, NULL, &x, &y);
	gdk_monitor_get_workarea(gdk_display_get_monitor_at_point(display, x, y), &area);
	screen = (struct place){area.x, area.y, area.width, area.height};
	gtk_window_get_size(top, &window.width, &window.height);
	place_window(&screen, x, y, &window);
	gtk_window_move(top, window.x, window.y);
}

static GtkWindow *top_new(void)
{
	GtkWindow *top = GTK_WINDOW(gtk_window_new(GTK_WINDOW_TOPLEVEL));

	gtk_window_set_title(top, "Pendrive: allow or refuse?");
	gtk_window_set_icon_name(top, "qfilexchg-agent");
	gtk_window_set_type_hint(top, GDK_WINDOW_TYPE_HINT_DIALOG);
	gtk_window_set_resizable(top, FALSE);
	gtk_window_set_keep_above(top, TRUE);
	gtk_window_stick(top);
	gtk_window_set_focus_on_map(top, FALSE);
	gtk_window_set_urgency_hint(top, TRUE);
	atk_object_set_role(gtk_widget_get_accessible(GTK_WIDGET(top)), ATK_ROLE_ALERT);
	return top;
}

/* ---- life ---- */

struct window *window_create(const struct question *q, window_decided decided, void *ctx)
{
	struct window *w = g_new0(struct window, 1);
	GtkWindow *top = top_new();
	GtkWidget *content;

	w->question = q;
	w->decided = decided;
	w->ctx = ctx;
	w->top = GTK_WIDGET(top);
	guard_init(&w->guard);
	content = content_new(w);
	gtk_container_add(GTK_CONTAINER(top), content);
	g_signal_connect(top, "notify::has-toplevel-focus", G_CALLBACK(on_focus), w);
	g_signal_connect(top, "key-press-event", G_CALLBACK(on_key_press), w);
	g_signal_connect(top, "key-release-event", G_CALLBACK(on_key_release), w);
	g_signal_connect(top, "delete-event", G_CALLBACK(on_delete), w);
	window_tick(w, now());
	gtk_widget_show_all(content);
	place(top);
	gtk_widget_show(w->top);
	return w;
}

void window_destroy(struct window *w)
{
	if (!w)
		return;
	g_signal_handlers_disconnect_by_data(w->top, w);
	gtk_widget_destroy(w->top);
	g_free(w);
}

void window_set_waiting(struct window *w, const char *text)
{
	gtk_label_set_text(GTK_LABEL(w->waiting), text ? text : "");
	gtk_widget_set_visible(w->waiting, text != NULL);
}

static void show_time(struct window *w, gint64 now_ms)
{
	const struct question *q = w->question;
	gint64 left_ms = MAX(q->expires_ms - now_ms, 0);
	gint64 whole_ms = MAX(q->expires_ms - q->asked_ms, 1);
	g_autofree char *text = words_countdown(left_ms);

	/* A label that is set to what it says already is drawn, and told to screen readers, anew.
	 */
	if (strcmp(gtk_label_get_text(GTK_LABEL(w->countdown)), text) == 0)
		return;
	gtk_label_set_text(GTK_LABEL(w->countdown), text);
	gtk_progress_bar_set_fraction(
		GTK_PROGRESS_BAR(w->bar), MIN((double)left_ms / (double)whole_ms, 1.0));
}

void window_tick(struct window *w, gint64 now_ms)
{
	guard_tick(&w->guard, now_ms);
	show_guard(w);
	show_time(w, now_ms);
}
