/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "widgets.h"

#include <string.h>

/* Wide enough for a sentence, and half of a small screen. */
#define WIDTH_CHARS 52

void widget_set_spoken(GtkWidget *widget, const char *text)
{
	atk_object_set_name(gtk_widget_get_accessible(widget), text);
}

static void style(GtkLabel *label, PangoWeight weight, double scale)
{
	PangoAttrList *list = pango_attr_list_new();

	pango_attr_list_insert(list, pango_attr_weight_new(weight));
	pango_attr_list_insert(list, pango_attr_scale_new(scale));
	/* One at the end of a line would be taken for a part of a name. */
	pango_attr_list_insert(list, pango_attr_insert_hyphens_new(FALSE));
	gtk_label_set_attributes(label, list);
	pango_attr_list_unref(list);
	gtk_label_set_xalign(label, 0);
	gtk_label_set_line_wrap(label, TRUE);
	gtk_label_set_line_wrap_mode(label, PANGO_WRAP_WORD_CHAR);
	gtk_label_set_width_chars(label, WIDTH_CHARS);
	gtk_label_set_max_width_chars(label, WIDTH_CHARS);
}

GtkWidget *widget_text_new(const char *text)
{
	GtkWidget *label = gtk_label_new(text);

	style(GTK_LABEL(label), PANGO_WEIGHT_NORMAL, 1);
	return label;
}

void widget_set_text(GtkWidget *label, const char *text)
{
	if (strcmp(gtk_label_get_text(GTK_LABEL(label)), text) != 0)
		gtk_label_set_text(GTK_LABEL(label), text);
}

GtkWidget *widget_heading_new(void)
{
	GtkWidget *box = gtk_event_box_new();
	GtkWidget *label = gtk_label_new("");

	style(GTK_LABEL(label), PANGO_WEIGHT_BOLD, PANGO_SCALE_LARGE);
	/* Larger letters, as many pixels. */
	gtk_label_set_width_chars(GTK_LABEL(label), -1);
	gtk_container_add(GTK_CONTAINER(box), label);
	gtk_widget_set_can_focus(box, TRUE);
	atk_object_set_role(gtk_widget_get_accessible(box), ATK_ROLE_HEADING);
	return box;
}

void widget_set_heading(GtkWidget *heading, const char *text, const char *spoken)
{
	widget_set_text(gtk_bin_get_child(GTK_BIN(heading)), text);
	widget_set_spoken(heading, spoken);
}

GtkWidget *widget_page_new(void)
{
	GtkWidget *page = gtk_box_new(GTK_ORIENTATION_VERTICAL, WIDGET_SPACE);

	g_object_set(page, "margin", WIDGET_SPACE + WIDGET_SPACE / 2, NULL);
	return page;
}

GtkWidget *widget_button_new(const char *text, GCallback pressed, gpointer ctx)
{
	GtkWidget *button = gtk_button_new_with_mnemonic(text);

	gtk_widget_set_can_default(button, TRUE);
	g_signal_connect_swapped(button, "clicked", pressed, ctx);
	return button;
}

void widget_add_buttons(GtkWidget *page, GtkWidget *first, GtkWidget *last)
{
	GtkWidget *row = gtk_button_box_new(GTK_ORIENTATION_HORIZONTAL);

	gtk_button_box_set_layout(GTK_BUTTON_BOX(row), GTK_BUTTONBOX_END);
	gtk_box_set_spacing(GTK_BOX(row), WIDGET_SPACE / 2);
	gtk_container_add(GTK_CONTAINER(row), first);
	if (last)
		gtk_container_add(GTK_CONTAINER(row), last);
	gtk_box_pack_end(GTK_BOX(page), row, FALSE, FALSE, 0);
}

static gboolean on_key(GtkWidget *top, GdkEventKey *event)
{
	if (event->keyval != GDK_KEY_Escape)
		return GDK_EVENT_PROPAGATE;
	gtk_window_close(GTK_WINDOW(top));
	return GDK_EVENT_STOP;
}

GtkWidget *widget_window_new(GtkApplication *application, const char *title, GtkWidget *content)
{
	GtkWidget *top = gtk_application_window_new(application);

	gtk_window_set_title(GTK_WINDOW(top), title);
	gtk_window_set_icon_name(GTK_WINDOW(top), "drive-removable-media");
	gtk_window_set_position(GTK_WINDOW(top), GTK_WIN_POS_CENTER);
	gtk_container_add(GTK_CONTAINER(top), content);
	g_signal_connect(top, "key-press-event", G_CALLBACK(on_key), NULL);
	gtk_widget_show_all(content);
	return top;
}
