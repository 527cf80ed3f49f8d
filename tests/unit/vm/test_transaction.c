/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What root does with a transaction, as far as it goes without xenstore. */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "transaction.h"

struct box {
	char *folder;
	char *run;
	char *record; /* written by the program that plays qubes_dvm_store */
	char *ending; /* shell: how that program ends */
};

static void setup(struct box *box)
{
	g_autofree char *device = NULL;
	g_autofree char *program = NULL;
	g_autofree char *reader = NULL;
	g_autofree char *text = NULL;

	box->folder = g_dir_make_tmp("transaction-XXXXXX", NULL);
	box->run = g_build_filename(box->folder, "run", NULL);
	box->record = g_build_filename(box->folder, "record", NULL);
	box->ending = g_build_filename(box->folder, "ending", NULL);
	device = g_build_filename(box->folder, "device", NULL);
	program = g_build_filename(box->folder, "qubes_dvm_store", NULL);
	reader = g_build_filename(box->folder, "qubes_dvm_read", NULL);
	text = g_strdup_printf("#!/bin/sh\n{ printf '[%%s]' \"$@\"; id -u; cat; } >'%s'\n"
			       ". '%s'\n",
		box->record, box->ending);
	g_assert_true(g_file_set_contents(device, "bytes", -1, NULL));
	g_assert_true(g_file_set_contents(box->ending, "exit 0\n", -1, NULL));
	g_assert_true(g_file_set_contents(program, text, -1, NULL));
	g_assert_cmpint(g_chmod(program, 0755), ==, 0);
	/* The reader: what it has, the program of the user gets. */
	g_assert_true(g_file_set_contents(reader, "#!/bin/sh\nexec cat\n", -1, NULL));
	g_assert_cmpint(g_chmod(reader, 0755), ==, 0);
	g_assert_cmpint(g_chmod(box->folder, 01777), ==, 0);
	g_setenv("QPEN_RUN", box->run, TRUE);
	g_setenv("QPEN_PROGRAMS", box->folder, TRUE);
	g_setenv("QPEN_INCOMING", device, TRUE);
	g_setenv("QPEN_READER", "nobody", TRUE);
	g_setenv("QPEN_ENVIRONMENT", "/nonexistent", TRUE);
}

static void remove_in(const char *folder, const char *name)
{
	g_autofree char *path = g_build_filename(folder, name, NULL);

	g_remove(path);
}

static void teardown(struct box *box)
{
	remove_in(box->run, "transaction");
	remove_in(box->run, "answer");
	remove_in(box->folder, "run");
	remove_in(box->folder, "record");
	remove_in(box->folder, "ending");
	remove_in(box->folder, "device");
	remove_in(box->folder, "qubes_dvm_store");
	remove_in(box->folder, "qubes_dvm_read");
	g_assert_cmpint(g_rmdir(box->folder), ==, 0);
	g_free(box->folder);
	g_free(box->run);
	g_free(box->record);
	g_free(box->ending);
}

static enum transaction_kind classify(
	const char *peer, const char *seq, bool disposable, bool claim)
{
	struct transaction transaction = {.disposable = disposable};
	g_autoptr(GError) error = NULL;
	enum transaction_kind kind = TRANSACTION_REPEATED;

	g_strlcpy(transaction.peer, peer, sizeof transaction.peer);
	g_strlcpy(transaction.seq, seq, sizeof transaction.seq);
	g_assert_true(transaction_classify(&transaction, claim, &kind, &error));
	g_assert_no_error(error);
	return kind;
}

/* In order: each row finds what the rows before it left. */
static void test_classify(void)
{
	static const struct {
		const char *label;
		const char *peer;
		const char *seq;
		bool disposable;
		bool claim;
		enum transaction_kind wanted;
	} rows[] = {
		{"an AppVM gets answers only", "disp1", "A", false, true, TRANSACTION_ANSWER},
		{"a look claims nothing", "work", "A", true, false, TRANSACTION_REQUEST},
		{"so it is still one", "work", "A", true, true, TRANSACTION_REQUEST},
		{"never twice", "work", "A", true, true, TRANSACTION_REPEATED},
		{"nor after a look", "work", "A", true, false, TRANSACTION_REPEATED},
		{"an answer to this VM", "disp2", "A", true, true, TRANSACTION_ANSWER},
		{"another SEQ", "work", "B", true, true, TRANSACTION_ANSWER},
		{"an AppVM, whatever is in /run", "work", "A", false, true, TRANSACTION_ANSWER},
	};
	struct box box;

	setup(&box);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_test_message("%s", rows[i].label);
		g_assert_cmpint(
			classify(rows[i].peer, rows[i].seq, rows[i].disposable, rows[i].claim), ==,
			rows[i].wanted);
	}
	teardown(&box);
}

/* What cannot be remembered is not begun: a restart would open the file a second time. */
static void test_no_marker(void)
{
	struct transaction transaction = {.disposable = true, .peer = "work", .seq = "A"};
	enum transaction_kind kind;
	g_autoptr(GError) error = NULL;

	g_setenv("QPEN_RUN", "/nonexistent/run", TRUE);
	g_assert_false(transaction_classify(&transaction, true, &kind, &error));
	g_assert_nonnull(error);
}

/* What qubes_dvm_store was called with and read, when it ended like that. */
static void assert_answer(
	const struct box *box, const char *seq, const char *ending, bool stored, const char *wanted)
{
	struct transaction transaction = {.peer = "disp1", .offset = 65536};
	g_autofree char *text = NULL;
	g_autoptr(GError) error = NULL;

	g_strlcpy(transaction.seq, seq, sizeof transaction.seq);
	g_assert_true(g_file_set_contents(box->ending, ending, -1, NULL));
	g_assert_cmpint(transaction_answer(&transaction, "nobody", &error), ==, stored);
	if (!stored)
		g_assert_error(error, VM_ERROR, VM_EXIT_KEPT);
	g_assert_true(g_file_get_contents(box->record, &text, NULL, NULL));
	g_assert_cmpstr(text, ==, wanted);
}

static void test_answer(void)
{
	struct box box;

	if (geteuid() != 0) {
		g_test_skip("needs root");
		return;
	}
	setup(&box);
	assert_answer(
		&box, "A1", "exit 0\n", true, "[--offset=65536][--from=disp1][A1]65534\nbytes");
	/* Refused: it is over as well. */
	assert_answer(
		&box, "A2", "exit 1\n", true, "[--offset=65536][--from=disp1][A2]65534\nbytes");
	/* Not stored: it is tried again, and the program is told so. */
	assert_answer(
		&box, "A3", "exit 5\n", false, "[--offset=65536][--from=disp1][A3]65534\nbytes");
	assert_answer(&box, "A3", "exit 5\n", false,
		"[--offset=65536][--from=disp1][A3][--again]65534\nbytes");
	assert_answer(&box, "A3", "exit 0\n", true,
		"[--offset=65536][--from=disp1][A3][--again]65534\nbytes");
	/* Over: who comes with it now is another. */
	assert_answer(
		&box, "A3", "exit 1\n", true, "[--offset=65536][--from=disp1][A3]65534\nbytes");
	teardown(&box);
}

/* It was killed: as if it could not store. */
static void test_answer_cut_off(void)
{
	struct box box;

	if (geteuid() != 0) {
		g_test_skip("needs root");
		return;
	}
	setup(&box);
	assert_answer(&box, "A4", "kill -KILL $$\n", false,
		"[--offset=65536][--from=disp1][A4]65534\nbytes");
	assert_answer(&box, "A4", "exit 0\n", true,
		"[--offset=65536][--from=disp1][A4][--again]65534\nbytes");
	teardown(&box);
}

/* No such user, or root: the program does not run at all. */
static void test_fails_closed(void)
{
	const struct transaction transaction = {.peer = "disp1", .seq = "A1"};
	struct box box;

	setup(&box);
	g_assert_false(transaction_answer(&transaction, "no-such-user", NULL));
	g_assert_false(transaction_answer(&transaction, "root", NULL));
	g_assert_false(g_file_test(box.record, G_FILE_TEST_EXISTS));
	teardown(&box);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vm/transaction/classify", test_classify);
	g_test_add_func("/vm/transaction/no-marker", test_no_marker);
	g_test_add_func("/vm/transaction/answer", test_answer);
	g_test_add_func("/vm/transaction/answer-cut-off", test_answer_cut_off);
	g_test_add_func("/vm/transaction/fails-closed", test_fails_closed);
	return g_test_run();
}
