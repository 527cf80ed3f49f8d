/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The few shapes that the windows in a VM are made of. All texts are texts, and never markup. */
#ifndef QFX_VM_GUI_WIDGETS_H
#define QFX_VM_GUI_WIDGETS_H

#include <gtk/gtk.h>

#define WIDGET_SPACE 12

/* What a screen reader says for it. */
void widget_set_spoken(GtkWidget *widget, const char *text);

/* A text that wraps, with names of any length in it. */
GtkWidget *widget_text_new(const char *text);

/* Does nothing if it says that already: screen readers would hear it once more. */
void widget_set_text(GtkWidget *label, const char *text);

/* Large, and can have the focus, in which keys do nothing. */
GtkWidget *widget_heading_new(void);
void widget_set_heading(GtkWidget *heading, const char *text, const char *spoken);

/* A column with a margin. */
GtkWidget *widget_page_new(void);

/* `pressed` gets `ctx` alone. It may become the window's default. */
GtkWidget *widget_button_new(const char *text, GCallback pressed, gpointer ctx);

/* At the end of a page, to the right; `last` may be NULL. */
void widget_add_buttons(GtkWidget *page, GtkWidget *first, GtkWidget *last);

/* With `content` in it, not shown yet. Escape is what the close button of its frame is:
 * delete-event. */
GtkWidget *widget_window_new(GtkApplication *application, const char *title, GtkWidget *content);

#endif
