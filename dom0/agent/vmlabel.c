/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmlabel.h"

#include <math.h>

#include "colour.h"
#include "words.h"

#define TILE_PX 26
#define CORNER_PX 5.0
#define LINE_PX 2.0
/* A name that is longer is broken into lines. */
#define NAME_WIDTH_CHARS 32

struct tile {
	gboolean has_colour;
	uint32_t rgb;
};

void widget_set_spoken(GtkWidget *widget, const char *text)
{
	atk_object_set_name(gtk_widget_get_accessible(widget), text);
}

static void trace_tile(cairo_t *cr, double size)
{
	double low = LINE_PX / 2 + CORNER_PX, high = size - low;

	cairo_new_path(cr);
	cairo_arc(cr, high, low, CORNER_PX, -G_PI_2, 0);
	cairo_arc(cr, high, high, CORNER_PX, 0, G_PI_2);
	cairo_arc(cr, low, high, CORNER_PX, G_PI_2, G_PI);
	cairo_arc(cr, low, low, CORNER_PX, G_PI, 3 * G_PI_2);
	cairo_close_path(cr);
}

/* The line round it is in the theme's colour of text, so that black is seen on a dark theme. */
static gboolean on_draw(GtkWidget *widget, cairo_t *cr, gpointer data)
{
	const struct tile *tile = data;
	GtkStyleContext *style = gtk_widget_get_style_context(widget);
	GdkRGBA line;

	gtk_style_context_get_color(style, gtk_style_context_get_state(style), &line);
	trace_tile(cr, TILE_PX);
	if (tile->has_colour) {
		cairo_set_source_rgb(cr, (tile->rgb >> 16 & 0xff) / 255.0,
			(tile->rgb >> 8 & 0xff) / 255.0, (tile->rgb & 0xff) / 255.0);
		cairo_fill_preserve(cr);
	}
	gdk_cairo_set_source_rgba(cr, &line);
	cairo_set_line_width(cr, LINE_PX);
	cairo_stroke(cr);
	return TRUE;
}

static void free_tile(gpointer tile, GClosure *closure)
{
	(void)closure;
	g_free(tile);
}

static GtkWidget *tile_new(const char *label)
{
	GtkWidget *area = gtk_drawing_area_new();
	struct tile *tile = g_new0(struct tile, 1);

	tile->has_colour = colour_of_label(label, &tile->rgb);
	gtk_widget_set_size_request(area, TILE_PX, TILE_PX);
	gtk_widget_set_valign(area, GTK_ALIGN_CENTER);
	g_signal_connect_data(area, "draw", G_CALLBACK(on_draw), tile, free_tile, 0);
	/* The name beside it says the colour as well. */
	atk_object_set_role(gtk_widget_get_accessible(area), ATK_ROLE_REDUNDANT_OBJECT);
	return area;
}

void label_break_anywhere(GtkLabel *label, int max_chars, PangoWeight weight, double scale)
{
	PangoAttrList *style = pango_attr_list_new();

	pango_attr_list_insert(style, pango_attr_weight_new(weight));
	pango_attr_list_insert(style, pango_attr_scale_new(scale));
	/* One at the end of a line would be taken for a part of the name. */
	pango_attr_list_insert(style, pango_attr_insert_hyphens_new(FALSE));
	gtk_label_set_attributes(label, style);
	pango_attr_list_unref(style);
	gtk_label_set_line_wrap(label, TRUE);
	gtk_label_set_line_wrap_mode(label, PANGO_WRAP_WORD_CHAR);
	gtk_label_set_max_width_chars(label, max_chars);
}

GtkWidget *vmlabel_new(const char *role, const char *name, const char *label)
{
	GtkWidget *box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 8);
	g_autofree char *shown = words_name(name);
	g_autofree char *described = words_vm(name, label);
	g_autofree char *spoken = g_strdup_printf("%s: %s", role, described);
	GtkWidget *text = gtk_label_new(shown);

	gtk_label_set_xalign(GTK_LABEL(text), 0);
	label_break_anywhere(GTK_LABEL(text), NAME_WIDTH_CHARS, PANGO_WEIGHT_BOLD, 1);
	widget_set_spoken(text, spoken);
	gtk_container_add(GTK_CONTAINER(box), tile_new(label));
	gtk_container_add(GTK_CONTAINER(box), text);
	if (*label) {
		g_autofree char *shown_label = words_name(label);
		GtkWidget *colour = gtk_label_new(shown_label);

		gtk_style_context_add_class(gtk_widget_get_style_context(colour), "dim-label");
		gtk_container_add(GTK_CONTAINER(box), colour);
	}
	return box;
}
