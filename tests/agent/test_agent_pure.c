/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rest of the agent that needs no display: the queue, texts, colours, places, budgets, lines.
 */
#include <glib.h>
#include <string.h>

#include "budget.h"
#include "colour.h"
#include "items.h"
#include "place.h"
#include "questions.h"
#include "words.h"

/* ---- names ---- */

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *label, *name, *shown;
} names[] = {
	{"ordinary", "work", "work"},
	{"all marks", "a_.+-9", "a_.+-9"},
	{"empty", "", "(no name)"},
	{"markup stays text", "<b>work</b>&amp;", "<b>work</b>&amp;"},
	{"a line break", "a\nb", "a\\x0ab"},
	{"an escape", "a\033[31m", "a\\x1b[31m"},
	{"letters of others", "stra\303\237e", "stra\303\237e"},
	{"turns the direction", "a\342\200\256b", "a\\u{202e}b"},
	{"isolates the direction", "a\342\201\246b", "a\\u{2066}b"},
	{"no width", "wo\342\200\213rk", "wo\\u{200b}rk"},
	{"a mark on the letter before", "o\314\210", "o\\u{308}"},
	{"bytes that are no UTF-8", "a\377", "a\357\277\275"},
	{"64 characters", A64, A64},
	{"65 characters", A64 "b", A64 "..."},
};

static void test_names(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *shown = words_name(names[i].name);

		g_test_message("%s", names[i].label);
		g_assert_cmpstr(shown, ==, names[i].shown);
	}
}

static const struct {
	gint64 left_ms;
	const char *text;
} countdowns[] = {
	{60000, "Refused by itself in 60 s"},
	{59001, "Refused by itself in 60 s"},
	{59000, "Refused by itself in 59 s"},
	{1, "Refused by itself in 1 s"},
	{0, "Refused by itself in 0 s"},
	{-5, "Refused by itself in 0 s"},
};

static void test_countdown(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(countdowns); i++) {
		g_autofree char *text = words_countdown(countdowns[i].left_ms);

		g_assert_cmpstr(text, ==, countdowns[i].text);
	}
}

/* ---- colours ---- */

static const struct {
	const char *label;
	gboolean ok;
	guint32 rgb;
} colours[] = {
	{"red", TRUE, 0xcc0000},
	{"black", TRUE, 0x000000},
	{"gray", TRUE, 0x555753},
	{"#12aBef", TRUE, 0x12abef},
	{"0x00ff7f", TRUE, 0x00ff7f},
	{"", FALSE, 0},
	{"Red", FALSE, 0},
	{"#12345", FALSE, 0},
	{"#1234567", FALSE, 0},
	{"#12345g", FALSE, 0},
	{"12ab34", FALSE, 0},
	{"0x", FALSE, 0},
};

static void test_colours(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(colours); i++) {
		guint32 rgb = 0xdeadbeef;

		g_test_message("%s", colours[i].label);
		g_assert_cmpint(colour_of_label(colours[i].label, &rgb), ==, colours[i].ok);
		g_assert_cmphex(rgb, ==, colours[i].ok ? colours[i].rgb : 0xdeadbeef);
	}
}

/* ---- questions ---- */

static GVariant *facts(const char *text)
{
	GError *error = NULL;
	GVariant *v = g_variant_parse(G_VARIANT_TYPE_VARDICT, text, NULL, NULL, &error);

	g_assert_no_error(error);
	return v;
}

static struct question *question(guint64 id, const char *sender, gint64 expires_s)
{
	g_autofree char *text = g_strdup_printf("{'sender': <'%s'>, 'receiver': <'personal'>, "
						"'expires': <uint64 %" G_GINT64_FORMAT ">}",
		sender, expires_s);
	g_autoptr(GVariant) v = facts(text);

	return question_new(id, v, 0);
}

static void add(struct questions *qs, guint64 id, const char *sender)
{
	g_assert_true(questions_add(qs, question(id, sender, 60)));
}

static void take(struct questions *qs, guint64 id)
{
	struct question *q = questions_take(qs, id);

	g_assert_nonnull(q);
	g_assert_cmpuint(q->id, ==, id);
	question_free(q);
}

static void assert_waiting(struct questions *qs, const char *want)
{
	g_autofree char *text = questions_waiting(qs);

	g_assert_cmpstr(text, ==, want);
}

static void test_question(void)
{
	g_autoptr(GVariant) all =
		facts("{'sender': <'work'>, 'receiver': <'personal'>, 'sender-label': <'red'>, "
		      "'receiver-label': <'blue'>, 'kind': <'files'>, 'size': <uint64 1073741824>, "
		      "'used': <uint64 12582912>, 'expires': <uint64 30>, 'new': <'?'>}");
	struct question *q = question_new(7, all, 1000);
	g_autofree char *spoken = words_question(q);

	g_assert_cmpstr(spoken, ==,
		"work (red) wants to send a pendrive to personal (blue): files, on a pendrive, "
		"1.0 GiB, 12.0 MiB of it used");
	g_assert_cmpint(q->asked_ms, ==, 1000);
	g_assert_cmpint(q->expires_ms, ==, 31000);
	question_free(q);
}

/* Of a daemon that knows less, and of one that sends other types. */
static void test_question_facts_missing(void)
{
	g_autoptr(GVariant) none = g_variant_ref_sink(g_variant_new("a{sv}", NULL));
	g_autoptr(GVariant) wrong = facts("{'sender': <7>, 'size': <'large'>, 'expires': <true>}");
	struct question *q = question_new(1, none, 0);
	g_autofree char *size = words_size(q);
	g_autofree char *spoken = words_question(q);

	g_assert_cmpint(q->expires_ms, ==, QUESTION_LIFETIME_S * 1000);
	g_assert_false(q->used_known);
	g_assert_null(strstr(size, "used"));
	g_assert_nonnull(strstr(spoken, "(no name) wants"));
	question_free(q);
	q = question_new(1, wrong, 0);
	g_assert_cmpstr(q->sender, ==, "");
	g_assert_cmpuint(q->size_bytes, ==, 0);
	g_assert_cmpint(q->expires_ms, ==, QUESTION_LIFETIME_S * 1000);
	question_free(q);
}

static void test_question_far_expiry(void)
{
	g_autoptr(GVariant) v = facts("{'expires': <uint64 18446744073709551615>}");
	struct question *q = question_new(1, v, 5);

	g_assert_cmpint(q->expires_ms, ==, 5 + 86400 * 1000);
	question_free(q);
}

static void test_queue_order(void)
{
	struct questions qs;

	questions_init(&qs);
	assert_waiting(&qs, NULL);
	add(&qs, 1, "work");
	assert_waiting(&qs, NULL);
	g_assert_cmpuint(qs.current->id, ==, 1);
	add(&qs, 2, "work");
	add(&qs, 3, "work");
	assert_waiting(&qs, "2 more from work");
	add(&qs, 4, "banking");
	assert_waiting(&qs, "2 more from work, 1 from banking");
	/* Another VM's turn, then the oldest from any but that. */
	take(&qs, 1);
	g_assert_cmpuint(qs.current->id, ==, 4);
	take(&qs, 4);
	g_assert_cmpuint(qs.current->id, ==, 2);
	/* From the middle of the queue: what is on the screen stays. */
	take(&qs, 3);
	g_assert_cmpuint(qs.current->id, ==, 2);
	g_assert_null(questions_take(&qs, 99));
	take(&qs, 2);
	g_assert_null(qs.current);
	g_assert_null(questions_take_any(&qs));
}

static void test_queue_many_vms(void)
{
	struct questions qs;

	questions_init(&qs);
	add(&qs, 1, "a");
	add(&qs, 2, "b");
	add(&qs, 3, "c");
	add(&qs, 4, "d");
	assert_waiting(&qs, "1 more from b, 1 from c, 1 from d");
	add(&qs, 5, "e");
	add(&qs, 6, "e");
	assert_waiting(&qs, "1 more from b, 1 from c, 1 from d, 2 from others");
	questions_clear(&qs);
}

static void test_queue_expiry(void)
{
	struct questions qs;
	struct question *q;

	questions_init(&qs);
	g_assert_true(questions_add(&qs, question(1, "work", 10)));
	g_assert_true(questions_add(&qs, question(2, "work", 10)));
	g_assert_true(questions_add(&qs, question(3, "work", 20)));
	g_assert_null(questions_take_expired(&qs, 9999));
	/* Number 2 never comes to the screen. */
	q = questions_take_expired(&qs, 10000);
	g_assert_cmpuint(q->id, ==, 2);
	question_free(q);
	q = questions_take_expired(&qs, 10000);
	g_assert_cmpuint(q->id, ==, 1);
	question_free(q);
	g_assert_null(questions_take_expired(&qs, 10000));
	g_assert_cmpuint(qs.current->id, ==, 3);
	questions_clear(&qs);
	g_assert_null(qs.current);
}

static void test_queue_is_bounded(void)
{
	struct questions qs;
	struct question *beyond = question(9999, "work", 60);

	questions_init(&qs);
	for (guint64 i = 0; i <= QUESTIONS_MAX; i++)
		add(&qs, i, "work");
	g_assert_false(questions_add(&qs, beyond));
	question_free(beyond);
	questions_clear(&qs);
}

/* ---- notifications ---- */

static const struct {
	const char *what, *details, *title, *body;
} notices[] = {
	{"delivered", "{'vm': <'work'>, 'receiver': <'personal'>}", "Pendrive delivered",
		"From work to personal."},
	{"refused", "{'vm': <'work'>, 'receiver': <'personal'>, 'reason': <'nobody answered'>}",
		"Pendrive refused", "From work to personal: nobody answered."},
	{"failed", "{'vm': <'work'>, 'reason': <'timeout'>}", "A pendrive was not delivered",
		"From work: timeout. The log of qfilexchgd says more."},
	{"failed", "{'vm': <''>}", "A pendrive was not delivered",
		"The log of qfilexchgd says more."},
	{"preparing", "{'vm': <'work'>}", "DisposableVMs are being prepared",
		"The file from work opens when that is done."},
	{"preparing", "{'vm': <''>}", "DisposableVMs are being prepared",
		"Files open in them when that is done."},
	{"no-memory", "{'vm': <'work'>}", "Not enough memory for a DisposableVM",
		"work wanted to open a file in one. Shut a VM down, and try again."},
	{"blocked", "{'vm': <'work'>}", "work is blocked",
		"What it sends is refused, unasked. The list of pendrives lets you unblock it."},
	{"too-often", "{'vm': <'work'>, 'count': <uint32 1>}", "work asks too often",
		"1 more of its pendrives was refused, unasked."},
	{"too-often", "{'vm': <'work'>, 'count': <uint32 7>}", "work asks too often",
		"7 more of its pendrives were refused, unasked."},
	{"too-often", "{'vm': <'work'>}", "work asks too often",
		"What it sends is refused for now, unasked."},
	{"delivered", "{'vm': <'<b>x</b>'>}", "Pendrive delivered", "From <b>x</b>."},
	{"some\nday", "{'receiver': <'personal'>}", "Pendrives: some\\x0aday", "To personal."},
};

static void test_notices(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(notices); i++) {
		g_autoptr(GVariant) details = facts(notices[i].details);
		g_autofree char *title = NULL, *body = NULL;

		g_test_message("%s %s", notices[i].what, notices[i].details);
		words_notice(notices[i].what, details, &title, &body);
		g_assert_cmpstr(title, ==, notices[i].title);
		g_assert_cmpstr(body, ==, notices[i].body);
	}
}

static void test_budget(void)
{
	struct budget *b = budget_create();
	guint left_out = 99;

	for (int i = 0; i < BUDGET_PER_MINUTE; i++)
		g_assert_true(budget_take(b, "work", i * 1000, &left_out));
	g_assert_cmpuint(left_out, ==, 0);
	g_assert_false(budget_take(b, "work", 10000, &left_out));
	g_assert_false(budget_take(b, "work", 59999, &left_out));
	/* Another VM has its own. */
	g_assert_true(budget_take(b, "personal", 59999, &left_out));
	g_assert_cmpuint(left_out, ==, 0);
	/* A minute after the first one there is room for one, which tells of the two. */
	g_assert_true(budget_take(b, "work", 60000, &left_out));
	g_assert_cmpuint(left_out, ==, 2);
	g_assert_false(budget_take(b, "work", 60001, &left_out));
	g_assert_true(budget_take(b, "work", 61000, &left_out));
	g_assert_cmpuint(left_out, ==, 1);
	budget_destroy(b);
}

/* VMs come and go; those that are not quiet are never forgotten. */
static void test_budget_many_vms(void)
{
	struct budget *b = budget_create();
	guint left_out;

	for (int i = 0; i < BUDGET_PER_MINUTE; i++)
		budget_take(b, "work", 0, &left_out);
	for (int i = 0; i < 1000; i++) {
		g_autofree char *name = g_strdup_printf("vm%d", i);

		g_assert_true(budget_take(b, name, i, &left_out));
	}
	g_assert_false(budget_take(b, "work", 1000, &left_out));
	budget_destroy(b);
}

static void test_left_out(void)
{
	g_autofree char *some = words_left_out(3, "work");
	g_autofree char *nobody = words_left_out(1, "");

	g_assert_null(words_left_out(0, "work"));
	g_assert_cmpstr(some, ==, "3 more about work were left out.");
	g_assert_cmpstr(nobody, ==, "1 more were left out.");
}

/* ---- places ---- */

static const struct {
	const char *label;
	int pointer_x, pointer_y, width, height;
	gboolean clear;
	int x, y;
} places[] = {
	{"pointer far off: the middle", 10, 10, 400, 300, TRUE, 800, 450},
	{"pointer in the middle: the nearest side, above", 1000, 600, 400, 300, TRUE, 800, 251},
	{"pointer at the left of the middle", 810, 600, 400, 300, TRUE, 859, 450},
	{"pointer at the right of the middle", 1190, 600, 400, 300, TRUE, 741, 450},
	{"pointer low in the middle", 1000, 740, 400, 300, TRUE, 800, 391},
	{"pointer just beyond the margin", 800 - PLACE_MARGIN - 1, 600, 400, 300, TRUE, 800, 450},
	{"pointer just within the margin", 800 - PLACE_MARGIN, 600, 400, 300, TRUE, 801, 450},
	{"too large for any side: the farthest corner", 900, 500, 1800, 1100, FALSE, 200, 100},
	{"larger than the screen", 1900, 1100, 3000, 2000, FALSE, 0, 0},
};

/* A screen of 2000 by 1200. */
static void test_places(void)
{
	const struct place screen = {0, 0, 2000, 1200};

	for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
		struct place window = {0, 0, places[i].width, places[i].height};

		g_test_message("%s", places[i].label);
		g_assert_cmpint(
			place_window(&screen, places[i].pointer_x, places[i].pointer_y, &window),
			==, places[i].clear);
		g_assert_cmpint(window.x, ==, places[i].x);
		g_assert_cmpint(window.y, ==, places[i].y);
	}
}

/* Whatever it says it does; also on a screen that does not begin at 0. */
static void test_places_everywhere(void)
{
	const struct place screen = {1920, 24, 1280, 800};
	int n_clear = 0;

	for (int x = 1920; x < 3200; x += 7)
		for (int y = 24; y < 824; y += 7) {
			struct place w = {0, 0, 420, 380};

			if (!place_window(&screen, x, y, &w))
				continue;
			n_clear++;
			g_assert_true(
				x < w.x || x >= w.x + w.width || y < w.y || y >= w.y + w.height);
			g_assert_true(w.x >= 1920 && w.x + w.width <= 3200);
			g_assert_true(w.y >= 24 && w.y + w.height <= 824);
		}
	/* A window of that size fits beside the pointer wherever it is. */
	g_assert_cmpint(n_clear, ==, 183 * 115);
}

/* ---- the list ---- */

static void assert_item(struct item *item, const char *key, const char *line, const char *action)
{
	g_autofree char *text =
		g_strjoin("|", item->text[ITEM_WHAT], item->text[ITEM_FROM], item->text[ITEM_TO],
			item->text[ITEM_STATE], item->text[ITEM_SIZE], item->text[ITEM_AGE], NULL);

	g_assert_cmpstr(item->key, ==, key);
	g_assert_cmpstr(text, ==, line);
	g_assert_cmpstr(item->action, ==, action);
	item_free(item);
}

static const struct {
	const char *facts, *key, *line, *action;
} transfers[] = {
	{"{'id': <uint64 3>, 'state': <'lent'>, 'place': <'sender'>, 'sender': <'work'>, "
	 "'receiver': <''>, 'size': <uint64 1048576>, 'age': <uint64 12>}",
		"transfer 3", "pendrive 3|work|-|with its sender|1.0 MiB|12 s", "Cancel"},
	{"{'id': <uint64 4>, 'state': <'delivered'>, 'place': <'receiver'>, 'sender': <'work'>, "
	 "'receiver': <'personal'>, 'size': <uint64 1073741824>, 'age': <uint64 300>}",
		"transfer 4", "pendrive 4|work|personal|with its receiver|1.0 GiB|5 min",
		"Take back"},
	{"{'id': <uint64 5>, 'state': <'discarding'>, 'place': <'nowhere'>, 'sender': <'work'>}",
		"transfer 5", "pendrive 5|work|-|being removed|0 bytes|0 s", NULL},
	{"{'id': <uint64 6>, 'state': <'new-one'>, 'sender': <'<i>'>}", "transfer 6",
		"pendrive 6|<i>|-|new-one|0 bytes|0 s", "Cancel"},
};

static void test_items(void)
{
	g_autoptr(GVariant) open = facts("{'name': <'disp1'>, 'state': <'open'>, "
					 "'opener': <'work'>, 'age': <uint64 7200>}");
	g_autoptr(GVariant) pooled =
		facts("{'name': <'disp2'>, 'state': <'pooled'>, 'opener': <''>}");
	g_autoptr(GVariant) ending = facts("{'name': <'disp3'>, 'state': <'destroying'>}");

	for (size_t i = 0; i < G_N_ELEMENTS(transfers); i++) {
		g_autoptr(GVariant) v = facts(transfers[i].facts);

		assert_item(item_of_transfer(v), transfers[i].key, transfers[i].line,
			transfers[i].action);
	}
	assert_item(item_of_disposable(open), "disposable disp1",
		"DisposableVM|work|disp1|open||2 h", "Destroy");
	assert_item(item_of_disposable(pooled), "disposable disp2",
		"DisposableVM|-|disp2|kept ready||0 s", "Destroy");
	assert_item(item_of_disposable(ending), "disposable disp3",
		"DisposableVM|-|disp3|being destroyed||0 s", NULL);
	assert_item(item_of_blocked("work", 0), "blocked work",
		"blocked VM|work||until unblocked||", "Unblock");
	assert_item(item_of_blocked("work", 600), "blocked work",
		"blocked VM|work||for 10 min more||", "Unblock");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/words/names", test_names);
	g_test_add_func("/words/countdown", test_countdown);
	g_test_add_func("/words/notices", test_notices);
	g_test_add_func("/words/left-out", test_left_out);
	g_test_add_func("/colours", test_colours);
	g_test_add_func("/question", test_question);
	g_test_add_func("/question/facts-missing", test_question_facts_missing);
	g_test_add_func("/question/far-expiry", test_question_far_expiry);
	g_test_add_func("/queue/order", test_queue_order);
	g_test_add_func("/queue/many-vms", test_queue_many_vms);
	g_test_add_func("/queue/expiry", test_queue_expiry);
	g_test_add_func("/queue/bounded", test_queue_is_bounded);
	g_test_add_func("/budget", test_budget);
	g_test_add_func("/budget/many-vms", test_budget_many_vms);
	g_test_add_func("/places", test_places);
	g_test_add_func("/places/everywhere", test_places_everywhere);
	g_test_add_func("/items", test_items);
	return g_test_run();
}
