/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fail.h"
#include "seqstore.h"

#define HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct fixture {
	char *home;
	char *folder;
	struct seqstore *store;
};

static void set_up(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;

	fixture->home = g_dir_make_tmp("qpen-XXXXXX", NULL);
	fixture->folder = g_build_filename(fixture->home, ".dvm", NULL);
	fixture->store = seqstore_open(fixture->folder, &error);
	g_assert_no_error(error);
}

static void empty(const char *folder)
{
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *path = g_build_filename(folder, name, NULL);

		g_assert_cmpint(g_remove(path), ==, 0);
	}
}

static void tear_down(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	seqstore_close(fixture->store);
	empty(fixture->folder);
	g_assert_cmpint(g_remove(fixture->folder), ==, 0);
	g_assert_cmpint(g_remove(fixture->home), ==, 0);
	g_free(fixture->folder);
	g_free(fixture->home);
}

static struct seq_record make_record(const char *path, bool view)
{
	struct seq_record record = {
		.path = g_strdup(path),
		.view = view,
		.state = SEQ_OPEN,
		.size_bytes = 5,
		.mode = 0640,
		.uid = 1000,
		.gid = 4294967295u,
		.sha256 = HASH,
	};

	return record;
}

/* Returns the SEQ; the caller frees it. */
static char *add(struct fixture *fixture, const char *path, bool view)
{
	struct seq_record record = make_record(path, view);
	char seq[QPEN_SEQ_MAX + 1];
	g_autoptr(GError) error = NULL;

	seqstore_add(fixture->store, &record, seq, &error);
	g_assert_no_error(error);
	seq_record_finish(&record);
	return g_strdup(seq);
}

static char *path_in(struct fixture *fixture, const char *seq, const char *suffix)
{
	g_autofree char *name = g_strconcat(seq, suffix, NULL);

	return g_build_filename(fixture->folder, name, NULL);
}

static bool is_there(struct fixture *fixture, const char *seq, const char *suffix)
{
	g_autofree char *path = path_in(fixture, seq, suffix);

	return g_file_test(path, G_FILE_TEST_EXISTS);
}

static void put(struct fixture *fixture, const char *name, const char *bytes, gssize len)
{
	g_autofree char *path = path_in(fixture, name, "");

	g_assert_true(g_file_set_contents(path, bytes, len, NULL));
}

static guint64 number_of(const char *seq)
{
	guint64 number;

	g_assert_true(g_ascii_string_to_unsigned(seq, 10, 1, G_MAXUINT64, &number, NULL));
	return number;
}

static void assert_not_taken(struct fixture *fixture, const char *seq, int code)
{
	struct seq_record record;
	g_autoptr(GError) error = NULL;

	g_test_message("SEQ \"%s\"", seq);
	g_assert_false(seqstore_take(fixture->store, seq, false, &record, &error));
	g_assert_error(error, VM_ERROR, code);
}

/* -- records ----------------------------------------------------------------------------------- */

static void test_private(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *seq = add(fixture, "/home/user/a", false);
	g_autofree char *path = path_in(fixture, seq, "");
	struct seqstore *again;
	struct stat st;

	g_assert_cmpint(stat(path, &st), ==, 0);
	g_assert_cmpint(st.st_mode & 0777, ==, 0600);
	/* One that was made by hand, or in 2010, is made private. */
	g_assert_cmpint(chmod(fixture->folder, 0755), ==, 0);
	again = seqstore_open(fixture->folder, NULL);
	g_assert_nonnull(again);
	seqstore_close(again);
	g_assert_cmpint(stat(fixture->folder, &st), ==, 0);
	g_assert_cmpint(st.st_mode & 07777, ==, 0700);
}

static void test_form(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	const char *path = "/home/user/a\n\xff$(x)";
	g_autofree char *seq = add(fixture, path, false);
	g_autofree char *file = path_in(fixture, seq, "");
	g_autofree char *bytes = NULL;
	g_autofree char *counter_file = path_in(fixture, "seq", "");
	g_autofree char *counter = NULL;
	gsize len;

	g_assert_true(g_file_get_contents(file, &bytes, &len, NULL));
	/* As since 2010: a C program that reads the file finds the path. */
	g_assert_cmpstr(bytes, ==, path);
	g_assert_cmpuint(len, >, strlen(path) + 1);
	g_assert_true(g_file_get_contents(counter_file, &counter, NULL, NULL));
	g_assert_cmpstr(g_strchomp(counter), ==, seq);
}

static void test_round_trip(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *seq = add(fixture, "/a/\x01\xff\"\n", false);
	g_autoptr(GError) error = NULL;
	struct seq_record record;
	struct seq_record again;

	g_assert_true(seqstore_take(fixture->store, seq, false, &record, NULL));
	g_assert_cmpstr(record.path, ==, "/a/\x01\xff\"\n");
	g_assert_false(record.view);
	g_assert_cmpint(record.state, ==, SEQ_OPEN);
	g_assert_null(record.detail);
	g_assert_cmpuint(record.size_bytes, ==, 5);
	g_assert_cmpuint(record.mode, ==, 0640);
	g_assert_cmpuint(record.uid, ==, 1000);
	g_assert_cmpuint(record.gid, ==, 4294967295u);
	g_assert_cmpstr(record.sha256, ==, HASH);
	g_assert_true(seqstore_read(fixture->store, seq, &again, NULL));
	g_assert_cmpint(again.state, ==, SEQ_TAKEN);
	seq_record_finish(&again);
	record.state = SEQ_ELSEWHERE;
	record.detail = g_strdup("/x\xfe\n;= \\");
	seqstore_finish(fixture->store, seq, &record, &error);
	g_assert_no_error(error);
	g_assert_true(seqstore_read(fixture->store, seq, &again, NULL));
	g_assert_cmpint(again.state, ==, SEQ_ELSEWHERE);
	g_assert_cmpstr(again.detail, ==, "/x\xfe\n;= \\");
	g_assert_cmpstr(again.path, ==, record.path);
	g_assert_false(is_there(fixture, seq, ""));
	g_assert_false(is_there(fixture, seq, ".taken"));
	seq_record_finish(&again);
	seq_record_finish(&record);
}

/* -- who may take what ------------------------------------------------------------------------- */

static void test_take_once(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *seq = add(fixture, "/a", false);
	g_autoptr(GError) error = NULL;
	struct seq_record record;
	struct seq_record again;

	g_assert_true(seqstore_take(fixture->store, seq, false, &record, NULL));
	g_assert_false(seqstore_take(fixture->store, seq, false, &again, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_ERROR);
	/* But to one who takes up what was cut off. */
	g_assert_true(seqstore_take(fixture->store, seq, true, &again, NULL));
	g_assert_cmpstr(again.path, ==, record.path);
	seq_record_finish(&again);
	/* Not as if it had never been. */
	g_assert_nonnull(strstr(error->message, "taken already"));
	record.state = SEQ_SAVED;
	g_assert_true(seqstore_finish(fixture->store, seq, &record, NULL));
	seq_record_finish(&record);
	assert_not_taken(fixture, seq, VM_EXIT_ERROR);
	g_assert_false(seqstore_take(fixture->store, seq, true, &again, NULL));
	/* The opener cannot end what is over, nor does it change how it ended. */
	g_assert_false(seqstore_end(fixture->store, seq, SEQ_LOST, NULL, NULL));
	g_assert_true(seqstore_read(fixture->store, seq, &record, NULL));
	g_assert_cmpint(record.state, ==, SEQ_SAVED);
	seq_record_finish(&record);
}

static void test_take_foreign(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	static const char *const seqs[] = {"", "0", "1", "seq", "seq.new", "../dvm", ".", "..",
		"7.done", "999999999999999999", "9999999999999999999", "18446744073709551617",
		"99999999999999999999999999999999", "/etc/passwd", "1\n", " 1", "-1", "+1", "abc"};
	g_autofree char *seq = add(fixture, "/a", false);
	g_autofree char *zero = g_strconcat("0", seq, NULL);

	for (size_t i = 0; i < G_N_ELEMENTS(seqs); i++)
		assert_not_taken(fixture, seqs[i], VM_EXIT_ERROR);
	assert_not_taken(fixture, zero, VM_EXIT_ERROR);
	g_assert_true(is_there(fixture, seq, ""));
}

static void test_take_view(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *seq = add(fixture, "/a", true);

	assert_not_taken(fixture, seq, VM_EXIT_ERROR);
	g_assert_true(is_there(fixture, seq, ""));
}

static void test_take_ended(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *seq = add(fixture, "/a", false);
	struct seq_record record;

	g_assert_true(seqstore_end(fixture->store, seq, SEQ_FAILED, "no memory", NULL));
	assert_not_taken(fixture, seq, VM_EXIT_ERROR);
	g_assert_true(seqstore_read(fixture->store, seq, &record, NULL));
	g_assert_cmpint(record.state, ==, SEQ_FAILED);
	g_assert_cmpstr(record.detail, ==, "no memory");
	seq_record_finish(&record);
}

static const struct {
	const char *label;
	const char *bytes;
	gssize len;
} broken[] = {
	{"empty", "", 0},
	{"the path alone, as in 2010", "/home/user/a\n", 13},
	{"no path", "\0[transaction]\nstate=open\n", 26},
	{"a path that is not absolute",
		"a\0[transaction]\nstate=open\nmode=edit\nsize=1\npermissions=1\nuid=1\ngid=1\n"
		"sha256=" HASH "\n",
		141},
	{"no hash",
		"/a\0[transaction]\nstate=open\nmode=edit\nsize=1\npermissions=1\nuid=1\ngid=1\n",
		71},
	{"no key file", "/a\0state=open\n", 14},
};

static void test_take_broken(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	for (size_t i = 0; i < G_N_ELEMENTS(broken); i++) {
		g_test_message("%s", broken[i].label);
		put(fixture, "12", broken[i].bytes, broken[i].len);
		assert_not_taken(fixture, "12", VM_EXIT_FAILED);
		g_assert_true(is_there(fixture, "12", ""));
	}
}

/* A record is a file of ours; what a link points at never is one. */
static void test_take_link(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *seq = add(fixture, "/a", false);
	g_autofree char *link = path_in(fixture, "12", "");

	g_assert_cmpint(symlink(seq, link), ==, 0);
	assert_not_taken(fixture, "12", VM_EXIT_FAILED);
	g_assert_cmpint(unlink(link), ==, 0);
	g_assert_cmpint(mkfifo(link, 0600), ==, 0);
	assert_not_taken(fixture, "12", VM_EXIT_FAILED);
}

/* -- numbers ----------------------------------------------------------------------------------- */

static void test_counts(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	guint64 before = (guint64)(g_get_real_time() / G_USEC_PER_SEC);
	g_autofree char *first = add(fixture, "/a", false);
	g_autofree char *second = add(fixture, "/a", false);

	g_assert_cmpuint(number_of(first), >=, before);
	g_assert_cmpuint(number_of(second), ==, number_of(first) + 1);
}

static void test_counter_lost(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	static const char *const counters[] = {"", "x", "-1", "0", "007", "18446744073709551616",
		"99999999999999999999999999999999999999999999999999999999999999999999", "5 6",
		"1\n2"};
	g_autofree char *first = add(fixture, "/a", false);
	g_autofree char *counter = path_in(fixture, "seq", "");
	guint64 last = number_of(first);

	for (size_t i = 0; i < G_N_ELEMENTS(counters); i++) {
		g_autofree char *next = NULL;

		g_test_message("\"%s\"", counters[i]);
		put(fixture, "seq", counters[i], -1);
		next = add(fixture, "/a", false);
		g_assert_cmpuint(number_of(next), >, last);
		last = number_of(next);
	}
	g_assert_cmpint(unlink(counter), ==, 0);
	g_assert_cmpint(symlink("/nowhere", counter), ==, 0);
	g_free(add(fixture, "/a", false));
	g_assert_true(g_file_test(counter, G_FILE_TEST_IS_REGULAR));
}

/* Both behind: the records are ahead of a counter that somebody put back. */
static void test_counter_behind(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *next = NULL;

	put(fixture, "seq", "5\n", -1);
	put(fixture, "4000000000000.done", "", 0);
	next = add(fixture, "/a", false);
	g_assert_cmpstr(next, ==, "4000000000001");
}

static void test_counter_as_it_was(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *next = NULL;

	put(fixture, "seq", "5\n", -1);
	next = add(fixture, "/a", false);
	g_assert_cmpstr(next, ==, "6");
}

static void test_counter_end(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	struct seq_record record = make_record("/a", false);
	char seq[QPEN_SEQ_MAX + 1];
	g_autoptr(GError) error = NULL;

	put(fixture, "seq", "999999999999999999\n", -1);
	g_assert_false(seqstore_add(fixture->store, &record, seq, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
	seq_record_finish(&record);
}

#define PROCESSES 8
#define EACH 40

static void allocate(const char *folder, int start, int out)
{
	struct seqstore *store = seqstore_open(folder, NULL);
	struct seq_record record = make_record("/a", false);
	char go;

	/* All wait for the end of one pipe, so that they begin together. */
	if (!store || read(start, &go, 1) != 0)
		_exit(1);
	for (unsigned i = 0; i < EACH; i++) {
		char seq[QPEN_SEQ_MAX + 2];

		if (!seqstore_add(store, &record, seq, NULL))
			_exit(2);
		g_strlcat(seq, "\n", sizeof seq);
		if (write(out, seq, strlen(seq)) != (ssize_t)strlen(seq))
			_exit(3);
	}
	_exit(0);
}

static char *read_all(int fd)
{
	GString *text = g_string_new(NULL);
	char bytes[4096];
	ssize_t r;

	while ((r = read(fd, bytes, sizeof bytes)) > 0)
		g_string_append_len(text, bytes, r);
	return g_string_free(text, FALSE);
}

static void test_processes(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;
	int start[2];
	int out[2];

	g_assert_cmpint(pipe(start), ==, 0);
	g_assert_cmpint(pipe(out), ==, 0);
	for (unsigned i = 0; i < PROCESSES; i++) {
		if (fork() == 0) {
			close(start[1]);
			allocate(fixture->folder, start[0], out[1]);
		}
	}
	close(out[1]);
	close(start[1]);
	text = read_all(out[0]);
	for (unsigned i = 0; i < PROCESSES; i++) {
		int status;

		g_assert_cmpint(wait(&status), >, 0);
		g_assert_cmpint(status, ==, 0);
	}
	lines = g_strsplit(g_strchomp(text), "\n", -1);
	g_assert_cmpuint(g_strv_length(lines), ==, PROCESSES * EACH);
	for (unsigned i = 0; lines[i]; i++) {
		g_assert_true(g_hash_table_add(seen, lines[i]));
		g_assert_true(is_there(fixture, lines[i], ""));
	}
	close(start[0]);
	close(out[0]);
}

/* One of eight gets it, the others hear why not. */
static void test_take_race(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *seq = add(fixture, "/a", false);
	unsigned won = 0;
	int start[2];

	g_assert_cmpint(pipe(start), ==, 0);
	for (unsigned i = 0; i < PROCESSES; i++) {
		if (fork() == 0) {
			struct seqstore *store = seqstore_open(fixture->folder, NULL);
			struct seq_record record;
			g_autoptr(GError) error = NULL;
			char go;

			close(start[1]);
			if (!store || read(start[0], &go, 1) != 0)
				_exit(9);
			if (seqstore_take(store, seq, false, &record, &error))
				_exit(0);
			_exit(error->code);
		}
	}
	close(start[1]);
	for (unsigned i = 0; i < PROCESSES; i++) {
		int status;

		g_assert_cmpint(wait(&status), >, 0);
		g_assert_true(WIFEXITED(status));
		won += WEXITSTATUS(status) == 0;
		g_assert_cmpint(WEXITSTATUS(status), <=, VM_EXIT_ERROR);
	}
	g_assert_cmpuint(won, ==, 1);
	close(start[0]);
}

/* -- the rest ---------------------------------------------------------------------------------- */

static void test_clean(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *open_one = NULL;

	put(fixture, "seq", "1000\n", -1);
	open_one = add(fixture, "/a", false);
	for (unsigned i = 0; i < SEQSTORE_KEEP_DONE + 20; i++) {
		g_autofree char *seq = add(fixture, "/a", false);

		g_assert_true(seqstore_end(fixture->store, seq, SEQ_UNCHANGED, NULL, NULL));
	}
	g_free(add(fixture, "/a", false));
	/* 1002 to 1121 ended; the newest hundred stay, and the one that is open. */
	g_assert_true(is_there(fixture, open_one, ""));
	g_assert_false(is_there(fixture, "1002", ".done"));
	g_assert_false(is_there(fixture, "1021", ".done"));
	g_assert_true(is_there(fixture, "1022", ".done"));
	g_assert_true(is_there(fixture, "1121", ".done"));
	assert_not_taken(fixture, "1002", VM_EXIT_ERROR);
}

/* What a crash left where the next draft goes: a link there must not be written through. */
static void test_stale_draft(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *victim = g_build_filename(fixture->home, "victim", NULL);
	g_autofree char *draft = path_in(fixture, "seq", ".new");
	g_autofree char *bytes = NULL;

	g_assert_true(g_file_set_contents(victim, "mine", -1, NULL));
	g_assert_cmpint(symlink(victim, draft), ==, 0);
	g_free(add(fixture, "/a", false));
	g_assert_true(g_file_get_contents(victim, &bytes, NULL, NULL));
	g_assert_cmpstr(bytes, ==, "mine");
	g_assert_cmpint(unlink(victim), ==, 0);
}

static void test_folder_is_link(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *link = g_build_filename(fixture->home, "link", NULL);
	g_autoptr(GError) error = NULL;

	g_assert_cmpint(symlink(".dvm", link), ==, 0);
	g_assert_null(seqstore_open(link, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
	g_assert_cmpint(unlink(link), ==, 0);
}

static void test_folder_of_another(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autoptr(GError) error = NULL;

	if (geteuid() != 0) {
		g_test_skip("only root can give a folder away");
		return;
	}
	g_assert_cmpint(chown(fixture->folder, 12345, 12345), ==, 0);
	g_assert_null(seqstore_open(fixture->folder, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
}

static void test_default_folder(
	struct fixture *fixture G_GNUC_UNUSED, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *overridden = NULL;
	g_autofree char *plain = NULL;

	g_setenv("QPEN_DVM_FOLDER", "/x/y", TRUE);
	overridden = seqstore_default_folder(NULL);
	g_assert_cmpstr(overridden, ==, "/x/y");
	g_unsetenv("QPEN_DVM_FOLDER");
	g_setenv("HOME", "/elsewhere", TRUE);
	plain = seqstore_default_folder(NULL);
	g_assert_true(g_str_has_suffix(plain, "/.dvm"));
	g_assert_false(g_str_has_prefix(plain, "/elsewhere"));
}

#define ADD(name, function)                                                                        \
	g_test_add("/vm/seqstore/" name, struct fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("private", test_private);
	ADD("form", test_form);
	ADD("round-trip", test_round_trip);
	ADD("take-once", test_take_once);
	ADD("take-foreign", test_take_foreign);
	ADD("take-view", test_take_view);
	ADD("take-ended", test_take_ended);
	ADD("take-broken", test_take_broken);
	ADD("take-link", test_take_link);
	ADD("take-race", test_take_race);
	ADD("counts", test_counts);
	ADD("counter-lost", test_counter_lost);
	ADD("counter-behind", test_counter_behind);
	ADD("counter-as-it-was", test_counter_as_it_was);
	ADD("counter-end", test_counter_end);
	ADD("processes", test_processes);
	ADD("clean", test_clean);
	ADD("stale-draft", test_stale_draft);
	ADD("folder-is-link", test_folder_is_link);
	ADD("folder-of-another", test_folder_of_another);
	ADD("default-folder", test_default_folder);
	return g_test_run();
}
