/* SPDX-License-Identifier: GPL-2.0-or-later */
#define G_LOG_DOMAIN "qfilexchg-agent"
#include "list.h"

#include <string.h>

#include "bus.h"
#include "items.h"
#include "vmlabel.h"

#define SPACE 12
/* Ages grow without anybody saying so. */
#define REFRESH_S 1

/* A line on the screen. */
struct line {
	struct list *list;
	struct item *item; /* what it shows */
	GtkWidget *row;
	GtkWidget *labels[N_ITEM_COLUMNS];
	GtkWidget *button;
	gboolean seen; /* in the list that is being shown */
};

struct list {
	struct bus *bus;
	GtkWidget *top, *box, *empty, *message;
	GtkSizeGroup *columns[N_ITEM_COLUMNS + 1]; /* the last one is the buttons' */
	GHashTable *lines;                         /* item->key -> struct line, owned */
	guint timer;
	gboolean is_present; /* the daemon */
	gboolean listing;    /* an answer is on its way */
	gboolean stale;      /* and will be old when it comes */
};

static void refresh(struct list *l);

/* ---- a line's button ---- */

static void end_item(struct list *l, const struct item *item)
{
	switch (item->kind) {
	case ITEM_TRANSFER:
		bus_cancel(l->bus, item->id);
		break;
	case ITEM_DISPOSABLE:
		bus_destroy_disposable(l->bus, item->name);
		break;
	case ITEM_BLOCKED:
		bus_unblock(l->bus, item->name);
		break;
	}
	refresh(l);
}

struct confirmed {
	struct list *list;
	char *key;
};

static void on_confirmed(GtkDialog *dialog, int response, gpointer data)
{
	struct confirmed *c = data;
	const struct line *line = g_hash_table_lookup(c->list->lines, c->key);

	if (response == GTK_RESPONSE_ACCEPT && line)
		end_item(c->list, line->item);
	gtk_widget_destroy(GTK_WIDGET(dialog));
}

static void free_confirmed(gpointer data, GClosure *closure)
{
	struct confirmed *c = data;

	(void)closure;
	g_free(c->key);
	g_free(c);
}

/* Only what cannot be had again is asked about: a pendrive holds copies. */
static void confirm(struct list *l, const struct item *item)
{
	struct confirmed *c = g_new0(struct confirmed, 1);
	GtkWidget *dialog = gtk_message_dialog_new(GTK_WINDOW(l->top),
		GTK_DIALOG_MODAL | GTK_DIALOG_DESTROY_WITH_PARENT, GTK_MESSAGE_QUESTION,
		GTK_BUTTONS_NONE, "Destroy %s?", item->text[ITEM_TO]);

	gtk_message_dialog_format_secondary_text(GTK_MESSAGE_DIALOG(dialog),
		"What was changed in it is lost. The file that it was opened for stays as it is.");
	gtk_dialog_add_button(GTK_DIALOG(dialog), "Keep", GTK_RESPONSE_REJECT);
	gtk_dialog_add_button(GTK_DIALOG(dialog), "Destroy", GTK_RESPONSE_ACCEPT);
	gtk_dialog_set_default_response(GTK_DIALOG(dialog), GTK_RESPONSE_REJECT);
	c->list = l;
	c->key = g_strdup(item->key);
	g_signal_connect_data(dialog, "response", G_CALLBACK(on_confirmed), c, free_confirmed, 0);
	gtk_widget_show(dialog);
}

static void on_pressed(GtkButton *button, gpointer data)
{
	struct line *line = data;

	(void)button;
	if (line->item->kind == ITEM_DISPOSABLE)
		confirm(line->list, line->item);
	else
		end_item(line->list, line->item);
}

/* ---- lines ---- */

static GtkWidget *cell_new(struct list *l, int column, GtkWidget *row)
{
	GtkWidget *label = gtk_label_new(NULL);

	gtk_label_set_xalign(GTK_LABEL(label), 0);
	gtk_label_set_ellipsize(GTK_LABEL(label), PANGO_ELLIPSIZE_MIDDLE);
	gtk_label_set_width_chars(GTK_LABEL(label), column >= ITEM_SIZE ? 8 : 14);
	gtk_size_group_add_widget(l->columns[column], label);
	gtk_box_pack_start(GTK_BOX(row), label, column < ITEM_SIZE, TRUE, 0);
	return label;
}

static GtkWidget *cells_new(void)
{
	GtkWidget *cells = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, SPACE);

	g_object_set(cells, "margin", SPACE / 2, NULL);
	return cells;
}

static struct line *line_new(struct list *l)
{
	struct line *line = g_new0(struct line, 1);
	GtkWidget *cells = cells_new();

	line->list = l;
	line->row = g_object_ref_sink(gtk_list_box_row_new());
	gtk_list_box_row_set_activatable(GTK_LIST_BOX_ROW(line->row), FALSE);
	for (int i = 0; i < N_ITEM_COLUMNS; i++)
		line->labels[i] = cell_new(l, i, cells);
	line->button = gtk_button_new_with_label("");
	g_signal_connect(line->button, "clicked", G_CALLBACK(on_pressed), line);
	gtk_size_group_add_widget(l->columns[N_ITEM_COLUMNS], line->button);
	gtk_container_add(GTK_CONTAINER(cells), line->button);
	gtk_container_add(GTK_CONTAINER(line->row), cells);
	gtk_container_add(GTK_CONTAINER(l->box), line->row);
	gtk_widget_show_all(line->row);
	return line;
}

static void free_line(gpointer data)
{
	struct line *line = data;

	gtk_widget_destroy(line->row);
	g_object_unref(line->row);
	item_free(line->item);
	g_free(line);
}

static void set_text(GtkWidget *label, const char *text)
{
	/* Setting what is there already would be told to screen readers once more. */
	if (strcmp(gtk_label_get_text(GTK_LABEL(label)), text) != 0)
		gtk_label_set_text(GTK_LABEL(label), text);
}

static void show_line(struct line *line)
{
	const struct item *item = line->item;
	g_autofree char *spoken = g_strjoin(", ", item->text[ITEM_WHAT], item->text[ITEM_FROM],
		item->text[ITEM_TO], item->text[ITEM_STATE], NULL);

	for (int i = 0; i < N_ITEM_COLUMNS; i++)
		set_text(line->labels[i], item->text[i]);
	widget_set_spoken(line->row, spoken);
	gtk_widget_set_sensitive(line->button, item->action != NULL);
	if (item->action &&
		strcmp(gtk_button_get_label(GTK_BUTTON(line->button)), item->action) != 0)
		gtk_button_set_label(GTK_BUTTON(line->button), item->action);
	widget_set_spoken(line->button, item->spoken);
}

/* Takes over `item`. A line that is there stays, with the focus that may be in it. */
static void put_item(struct list *l, struct item *item)
{
	struct line *line = g_hash_table_lookup(l->lines, item->key);

	if (line) {
		struct item *old = line->item;

		line->item = item;
		/* The key in the table is that of the item. */
		g_hash_table_steal(l->lines, item->key);
		item_free(old);
	} else {
		line = line_new(l);
		line->item = item;
	}
	g_hash_table_insert(l->lines, line->item->key, line);
	line->seen = TRUE;
	show_line(line);
}

static gboolean was_not_seen(gpointer key, gpointer value, gpointer data)
{
	struct line *line = value;
	gboolean seen = line->seen;

	(void)key;
	(void)data;
	line->seen = FALSE;
	return !seen;
}

static void put_facts(struct list *l, GVariant *all, struct item *(*item_of)(GVariant *))
{
	GVariantIter iter;
	GVariant *facts;

	if (!all)
		return;
	g_variant_iter_init(&iter, all);
	while ((facts = g_variant_iter_next_value(&iter))) {
		put_item(l, item_of(facts));
		g_variant_unref(facts);
	}
}

static void put_blocked(struct list *l, GVariant *all)
{
	GVariantIter iter;
	const char *vm;
	guint seconds;

	if (!all)
		return;
	g_variant_iter_init(&iter, all);
	while (g_variant_iter_next(&iter, "(&su)", &vm, &seconds))
		put_item(l, item_of_blocked(vm, seconds));
}

/* ---- from the daemon ---- */

static void show_message(struct list *l, const char *text)
{
	set_text(l->message, text);
	gtk_widget_set_visible(l->message, *text != '\0');
}

static void on_listed(void *ctx, GVariant *transfers, GVariant *disposables, GVariant *blocked)
{
	struct list *l = ctx;

	l->listing = FALSE;
	if (!l->top)
		return; /* closed */
	put_facts(l, transfers, item_of_transfer);
	put_facts(l, disposables, item_of_disposable);
	put_blocked(l, blocked);
	g_hash_table_foreach_remove(l->lines, was_not_seen, NULL);
	gtk_widget_set_visible(l->empty, g_hash_table_size(l->lines) == 0);
	if (l->stale)
		refresh(l);
}

static void refresh(struct list *l)
{
	l->stale = l->listing;
	if (l->listing || !l->is_present)
		return;
	l->listing = TRUE;
	bus_list(l->bus, on_listed, l);
}

static gboolean on_timer(gpointer data)
{
	struct list *l = data;

	if (!l->listing)
		refresh(l);
	return G_SOURCE_CONTINUE;
}

static void on_changed(void *ctx)
{
	refresh(ctx);
}

static void on_present(void *ctx, gboolean is_present)
{
	struct list *l = ctx;

	l->is_present = is_present;
	l->listing = FALSE;
	if (!is_present) {
		g_hash_table_remove_all(l->lines);
		gtk_widget_hide(l->empty);
	}
	show_message(l, is_present ? ""
				   : "qfilexchgd is not running, or this user may not reach it. "
				     "`systemctl status qfilexchgd` says which.");
	refresh(l);
}

static void on_failed(void *ctx, const char *message)
{
	show_message(ctx, message);
}

static void ignore_ask(void *ctx, struct question *q)
{
	(void)ctx;
	question_free(q); /* cannot be: this end does not register */
}

static void ignore_withdraw(void *ctx, guint64 id)
{
	(void)ctx;
	(void)id;
}

static void ignore_notice(void *ctx, const char *what, GVariant *details)
{
	(void)ctx;
	(void)what;
	(void)details;
}

/* ---- life ---- */

static GtkWidget *titles_new(struct list *l)
{
	GtkWidget *titles = cells_new();
	GtkWidget *end = gtk_label_new("");

	for (int i = 0; i < N_ITEM_COLUMNS; i++) {
		GtkWidget *title = cell_new(l, i, titles);

		gtk_label_set_text(GTK_LABEL(title), item_titles[i]);
		gtk_style_context_add_class(gtk_widget_get_style_context(title), "dim-label");
	}
	gtk_size_group_add_widget(l->columns[N_ITEM_COLUMNS], end);
	gtk_container_add(GTK_CONTAINER(titles), end);
	return titles;
}

static GtkWidget *content_new(struct list *l)
{
	GtkWidget *column = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);
	GtkWidget *scrolled = gtk_scrolled_window_new(NULL, NULL);

	l->box = gtk_list_box_new();
	gtk_list_box_set_selection_mode(GTK_LIST_BOX(l->box), GTK_SELECTION_NONE);
	widget_set_spoken(l->box, "Pendrives, DisposableVMs and blocked VMs");
	/* Not the list's own placeholder, which screen readers are not told of. */
	l->empty = gtk_label_new("No pendrive is under way.");
	gtk_widget_set_no_show_all(l->empty, TRUE);
	g_object_set(l->empty, "margin", SPACE, NULL);
	l->message = gtk_label_new("");
	gtk_label_set_line_wrap(GTK_LABEL(l->message), TRUE);
	gtk_widget_set_no_show_all(l->message, TRUE);
	g_object_set(l->message, "margin", SPACE, NULL);
	gtk_container_add(GTK_CONTAINER(scrolled), l->box);
	gtk_container_add(GTK_CONTAINER(column), titles_new(l));
	gtk_box_pack_start(GTK_BOX(column), scrolled, TRUE, TRUE, 0);
	gtk_container_add(GTK_CONTAINER(column), l->empty);
	gtk_container_add(GTK_CONTAINER(column), l->message);
	return column;
}

struct list *list_create(GtkApplication *application)
{
	struct list *l = g_new0(struct list, 1);
	const struct bus_events events = {.ctx = l,
		.ask = ignore_ask,
		.withdraw = ignore_withdraw,
		.notice = ignore_notice,
		.changed = on_changed,
		.present = on_present,
		.turned_away = on_failed,
		.failed = on_failed};

	for (int i = 0; i <= N_ITEM_COLUMNS; i++)
		l->columns[i] = gtk_size_group_new(GTK_SIZE_GROUP_HORIZONTAL);
	l->lines = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_line);
	l->top = gtk_application_window_new(application);
	gtk_window_set_title(GTK_WINDOW(l->top), "Pendrives");
	gtk_window_set_icon_name(GTK_WINDOW(l->top), "qfilexchg-agent");
	gtk_window_set_default_size(GTK_WINDOW(l->top), 860, 320);
	gtk_container_add(GTK_CONTAINER(l->top), content_new(l));
	g_signal_connect(l->top, "destroy", G_CALLBACK(gtk_widget_destroyed), &l->top);
	gtk_widget_show_all(l->top);
	l->bus = bus_create(BUS_LIST, &events);
	l->timer = g_timeout_add_seconds(REFRESH_S, on_timer, l);
	return l;
}

void list_present(struct list *l)
{
	if (l->top)
		gtk_window_present(GTK_WINDOW(l->top));
}

void list_destroy(struct list *l)
{
	if (!l)
		return;
	g_source_remove(l->timer);
	bus_destroy(l->bus);
	g_hash_table_destroy(l->lines);
	for (int i = 0; i <= N_ITEM_COLUMNS; i++)
		g_object_unref(l->columns[i]);
	if (l->top)
		gtk_widget_destroy(l->top);
	g_free(l);
}
