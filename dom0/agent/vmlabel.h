/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VM as a widget: a tile in its label's colour, its name, the colour's name. */
#ifndef QFX_VMLABEL_H
#define QFX_VMLABEL_H

#include <gtk/gtk.h>

/*
 * `role` ("From") goes before the name for those who hear it. Name and label are made printable and
 * shown as text. Without a known colour the tile is an empty frame.
 */
GtkWidget *vmlabel_new(const char *role, const char *name, const char *label);

/* Says what a widget is to those who hear it. */
void widget_set_spoken(GtkWidget *widget, const char *text);

/* Text that may hold a name: it is broken into lines wherever it must be, and no hyphen is added.
 */
void label_break_anywhere(GtkLabel *label, int max_chars, PangoWeight weight, double scale);

#endif
