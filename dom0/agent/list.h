/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The window of --list: the pendrives and DisposableVMs under way and the VMs that are blocked,
 * each with a button that ends it.
 */
#ifndef QFX_LIST_H
#define QFX_LIST_H

#include <gtk/gtk.h>

struct list;

/* Shows the window, which belongs to `application`; it looks after itself from then on. */
struct list *list_create(GtkApplication *application);
/* To the front. */
void list_present(struct list *l);
/* Accepts NULL. */
void list_destroy(struct list *l);

#endif
