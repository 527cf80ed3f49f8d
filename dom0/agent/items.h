/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lines of the list, from what the daemon tells. Pure. */
#ifndef QFX_ITEMS_H
#define QFX_ITEMS_H

#include <glib.h>

enum item_kind { ITEM_TRANSFER, ITEM_DISPOSABLE, ITEM_BLOCKED };

enum item_column {
	ITEM_WHAT,
	ITEM_FROM,
	ITEM_TO,
	ITEM_STATE,
	ITEM_SIZE,
	ITEM_AGE,
	N_ITEM_COLUMNS,
};

extern const char *const item_titles[N_ITEM_COLUMNS];

struct item {
	enum item_kind kind;
	char *key;  /* the same for the same thing in every list */
	guint64 id; /* of a transfer */
	char *name; /* of a DisposableVM or a blocked VM, as the daemon knows it */
	char *text[N_ITEM_COLUMNS];
	const char *action; /* of its button; NULL: it is on its way out already */
	char *spoken;       /* the button's, for those who hear it */
};

void item_free(struct item *item);
/* The results are to be freed with item_free. `facts` as in the interface. */
struct item *item_of_transfer(GVariant *facts);
struct item *item_of_disposable(GVariant *facts);
struct item *item_of_blocked(const char *vm, guint seconds_left);

#endif
