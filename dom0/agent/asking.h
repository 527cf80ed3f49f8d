/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From questions to answers: one window at a time, the others in a queue; expiry. */
#ifndef QFX_ASKING_H
#define QFX_ASKING_H

#include "questions.h"
#include "window.h"

/* What a decision brings about, in this order: block or remember, then the answer. */
struct asking_effects {
	void *ctx;
	void (*block)(void *ctx, const char *vm, guint seconds); /* 0: until unblocked */
	void (*remember)(void *ctx, guint64 id, gboolean allow, const char *how);
	/* Once for each question that was added; `call` is its. */
	void (*answer)(void *ctx, gpointer call, gboolean allow);
};

struct asking;

/* `effects` is copied. */
struct asking *asking_create(const struct asking_effects *effects);
/* Closes the window, and leaves the questions without an answer. Accepts NULL. */
void asking_destroy(struct asking *a);
/* Takes over `q`. One with the same number takes the place of the older one. */
void asking_add(struct asking *a, struct question *q);
/* Answers with no, if there is such a question. */
void asking_withdraw(struct asking *a, guint64 id);
/* The same for all of them. */
void asking_withdraw_all(struct asking *a);

#endif
