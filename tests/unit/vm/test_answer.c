/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files in place of devices; what a disk and a file system can refuse is provoked for real. */
#include <fcntl.h>
#include <gio/gio.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "answer.h"
#include "dvmheader.h"
#include "fail.h"

#define ACL "system.posix_acl_access"
#define DEFAULT_ACL "system.posix_acl_default"

struct fixture {
	char *home;
	char *folder; /* of the file */
	char *file;
	char *other; /* where answers go that find no place */
	char *device;
	char *store_folder;
	struct seqstore *store;
	GString *notes;
	bool no_exchange;
	bool again;
	char seq[QPEN_SEQ_MAX + 1];
};

static char *join(const char *folder, const char *name)
{
	return g_build_filename(folder, name, NULL);
}

static void set_up(struct fixture *fixture, gconstpointer data)
{
	fixture->no_exchange = data != NULL;
	fixture->home = g_dir_make_tmp("qpen-XXXXXX", NULL);
	fixture->folder = join(fixture->home, "work");
	fixture->file = join(fixture->folder, "report");
	fixture->other = join(fixture->home, "other");
	fixture->device = join(fixture->home, "device");
	fixture->store_folder = join(fixture->home, ".dvm");
	fixture->notes = g_string_new(NULL);
	g_assert_cmpint(g_mkdir(fixture->folder, 0755), ==, 0);
	g_assert_cmpint(g_mkdir(fixture->other, 0755), ==, 0);
	fixture->store = seqstore_open(fixture->store_folder, NULL);
	g_assert_nonnull(fixture->store);
}

static void remove_tree(const char *path)
{
	g_autoptr(GDir) dir =
		g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *inner = join(path, name);

		remove_tree(inner);
	}
	g_remove(path);
}

static void tear_down(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	seqstore_close(fixture->store);
	remove_tree(fixture->home);
	g_assert_false(g_file_test(fixture->home, G_FILE_TEST_EXISTS));
	g_string_free(fixture->notes, TRUE);
	g_free(fixture->home);
	g_free(fixture->folder);
	g_free(fixture->file);
	g_free(fixture->other);
	g_free(fixture->device);
	g_free(fixture->store_folder);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(write(fd, text, strlen(text)), ==, (ssize_t)strlen(text));
	close(fd);
}

static void assert_holds(const char *path, const char *text)
{
	g_autofree char *bytes = NULL;
	gsize len;

	g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
	g_assert_cmpuint(len, ==, strlen(text));
	g_assert_cmpstr(bytes, ==, text);
}

static gint by_name(gconstpointer a, gconstpointer b)
{
	return g_strcmp0(*(const char *const *)a, *(const char *const *)b);
}

/* The names in a folder, sorted, with spaces between them. */
static void assert_names(const char *folder, const char *wanted)
{
	g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
	g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *joined = NULL;
	const char *name;

	g_assert_nonnull(dir);
	while ((name = g_dir_read_name(dir)))
		g_ptr_array_add(names, g_strdup(name));
	g_ptr_array_sort(names, by_name);
	g_ptr_array_add(names, NULL);
	joined = g_strjoinv(" ", (char **)names->pdata);
	g_assert_cmpstr(joined, ==, wanted);
}

/* As the opener does it, when the file is sent. */
static void open_file(struct fixture *fixture, const char *path, bool view)
{
	struct seq_record record = {.path = g_strdup(path), .view = view, .state = SEQ_OPEN};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	g_assert_cmpint(fd, >=, 0);
	g_assert_cmpint(fstat(fd, &st), ==, 0);
	g_assert_true(filehash_sha256(fd, record.sha256));
	record.size_bytes = (uint64_t)st.st_size;
	record.mode = st.st_mode & 07777;
	record.uid = st.st_uid;
	record.gid = st.st_gid;
	g_assert_true(seqstore_add(fixture->store, &record, fixture->seq, NULL));
	close(fd);
	seq_record_finish(&record);
}

/* The name in the header is the DisposableVM's choice, and must not matter. */
static void make_answer(struct fixture *fixture, const char *bytes, size_t len)
{
	g_autofree unsigned char *device = g_malloc0(QPEN_DVM_HEADER_BYTES + len);

	g_assert_true(dvm_header_compose("passwd", len, device));
	memcpy(device + QPEN_DVM_HEADER_BYTES, bytes, len);
	g_assert_true(g_file_set_contents(fixture->device, (const char *)device,
		(gssize)(QPEN_DVM_HEADER_BYTES + len), NULL));
}

static void on_note(const char *words, void *data)
{
	struct fixture *fixture = data;

	g_string_append_printf(fixture->notes, "%s\n", words);
}

static bool store(struct fixture *fixture, struct seq_record *record, GError **error)
{
	const char *const elsewhere[] = {"/nowhere", fixture->other, NULL};
	int device = open(fixture->device, O_RDONLY | O_CLOEXEC);
	const struct answer answer = {
		.store = fixture->store,
		.untrusted_seq = fixture->seq,
		.again = fixture->again,
		.in = device,
		.elsewhere = elsewhere,
		.no_exchange = fixture->no_exchange,
		.note = on_note,
		.data = fixture,
	};
	bool ok = answer_store(&answer, record, error);

	close(device);
	return ok;
}

/* Stores that text, which must end in that state. The caller frees the detail. */
static char *store_text(struct fixture *fixture, const char *text, enum seq_state state)
{
	struct seq_record record = {0};
	struct seq_record put_down = {0};
	g_autoptr(GError) error = NULL;
	char *detail;

	make_answer(fixture, text, strlen(text));
	store(fixture, &record, &error);
	g_assert_no_error(error);
	g_test_message("%s", fixture->notes->str);
	g_assert_cmpint(record.state, ==, state);
	g_assert_true(seqstore_read(fixture->store, fixture->seq, &put_down, NULL));
	g_assert_cmpint(put_down.state, ==, state);
	g_assert_cmpstr(put_down.detail, ==, record.detail);
	detail = g_strdup(record.detail);
	seq_record_finish(&record);
	seq_record_finish(&put_down);
	return detail;
}

static void assert_fails(struct fixture *fixture, int code)
{
	struct seq_record record;
	g_autoptr(GError) error = NULL;

	g_assert_false(store(fixture, &record, &error));
	g_assert_error(error, VM_ERROR, code);
}

static void assert_state(struct fixture *fixture, enum seq_state state)
{
	struct seq_record record;

	g_assert_true(seqstore_read(fixture->store, fixture->seq, &record, NULL));
	g_assert_cmpint(record.state, ==, state);
	if (state == SEQ_REFUSED || state == SEQ_FAILED)
		g_assert_nonnull(record.detail);
	seq_record_finish(&record);
}

/* -- in the file's place ----------------------------------------------------------------------- */

static void test_saved(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *detail = NULL;

	put(fixture->file, "before");
	open_file(fixture, fixture->file, false);
	detail = store_text(fixture, "after, and longer", SEQ_SAVED);
	g_assert_null(detail);
	assert_holds(fixture->file, "after, and longer");
	assert_names(fixture->folder, "report");
	assert_names(fixture->other, "");
	g_assert_cmpstr(fixture->notes->str, ==, "");
}

static void test_emptied(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	put(fixture->file, "before");
	open_file(fixture, fixture->file, false);
	g_free(store_text(fixture, "", SEQ_SAVED));
	assert_holds(fixture->file, "");
	assert_names(fixture->folder, "report");
}

static void test_was_empty(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	put(fixture->file, "");
	open_file(fixture, fixture->file, false);
	g_free(store_text(fixture, "after", SEQ_SAVED));
	assert_holds(fixture->file, "after");
	assert_names(fixture->folder, "report");
}

/* The pendrive is larger than the file: what stands behind it is not part of it. */
static void test_room_behind(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	struct seq_record record;
	GString *device = g_string_new(NULL);
	unsigned char header[QPEN_DVM_HEADER_BYTES];

	put(fixture->file, "before");
	open_file(fixture, fixture->file, false);
	g_assert_true(dvm_header_compose("x", 5, header));
	g_string_append_len(device, (const char *)header, sizeof header);
	g_string_append(device, "afterNOT THIS");
	g_assert_true(g_file_set_contents(fixture->device, device->str, (gssize)device->len, NULL));
	g_assert_true(store(fixture, &record, NULL));
	seq_record_finish(&record);
	assert_holds(fixture->file, "after");
	g_string_free(device, TRUE);
}

/* Touched, or written anew with the same bytes: the content is what counts. */
static void test_touched(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

	put(fixture->file, "before");
	open_file(fixture, fixture->file, false);
	g_assert_cmpint(unlink(fixture->file), ==, 0);
	put(fixture->file, "before");
	g_assert_cmpint(utimensat(AT_FDCWD, fixture->file, times, 0), ==, 0);
	g_free(store_text(fixture, "after", SEQ_SAVED));
	assert_names(fixture->folder, "report");
}

static void test_changed(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *kept = join(fixture->folder, "report.before-dvm");
	g_autofree char *detail = NULL;

	put(fixture->file, "before");
	open_file(fixture, fixture->file, false);
	/* As long, and as old. */
	put(fixture->file, "BEFORE");
	detail = store_text(fixture, "after", SEQ_KEPT_BOTH);
	g_assert_cmpstr(detail, ==, kept);
	assert_holds(fixture->file, "after");
	assert_holds(kept, "BEFORE");
	assert_names(fixture->folder, "report report.before-dvm");
}

/* Earlier ones that were kept are not written over. */
static void test_changed_again(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *kept = join(fixture->folder, "report.before-dvm");
	g_autofree char *kept_1 = join(fixture->folder, "report.before-dvm.1");
	g_autofree char *kept_2 = join(fixture->folder, "report.before-dvm.2");
	g_autofree char *detail = NULL;

	put(kept, "first");
	put(kept_1, "second");
	put(fixture->file, "before");
	open_file(fixture, fixture->file, false);
	put(fixture->file, "changed");
	detail = store_text(fixture, "after", SEQ_KEPT_BOTH);
	g_assert_cmpstr(detail, ==, kept_2);
	assert_holds(kept, "first");
	assert_holds(kept_1, "second");
	assert_holds(kept_2, "changed");
	assert_holds(fixture->file, "after");
	assert_names(fixture->folder,
		"report report.before-dvm report.before-dvm.1 report.before-dvm.2");
}

static void test_gone(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	struct stat st;

	put(fixture->file, "before");
	g_assert_cmpint(chmod(fixture->file, 0640), ==, 0);
	open_file(fixture, fixture->file, false);
	g_assert_cmpint(unlink(fixture->file), ==, 0);
	g_free(store_text(fixture, "after", SEQ_SAVED));
	assert_holds(fixture->file, "after");
	g_assert_cmpint(stat(fixture->file, &st), ==, 0);
	g_assert_cmpint(st.st_mode & 07777, ==, 0640);
	assert_names(fixture->folder, "report");
}

/* 255 bytes, of which the last characters take two: a name beside it must be cut between them. */
static void test_long_name(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autoptr(GString) name = g_string_new("a");
	g_autofree char *path = NULL;
	g_autofree char *detail = NULL;
	g_autofree char *kept_name = NULL;

	while (name->len < 255)
		g_string_append(name, "\xc3\xa9");
	path = join(fixture->folder, name->str);
	put(path, "before");
	open_file(fixture, path, false);
	put(path, "changed");
	detail = store_text(fixture, "after", SEQ_KEPT_BOTH);
	assert_holds(path, "after");
	assert_holds(detail, "changed");
	kept_name = g_path_get_basename(detail);
	g_assert_true(g_str_has_suffix(kept_name, ".before-dvm"));
	g_assert_true(g_utf8_validate(kept_name, -1, NULL));
	g_assert_cmpuint(strlen(kept_name), ==, 254);
}

/* A program that has the file open keeps the version that it has, and other names of it too. */
static void test_inode(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *second = join(fixture->folder, "second");
	char bytes[7] = "";
	struct stat before;
	struct stat after;
	int fd;

	put(fixture->file, "before");
	g_assert_cmpint(link(fixture->file, second), ==, 0);
	fd = open(fixture->file, O_RDONLY | O_CLOEXEC);
	g_assert_cmpint(fstat(fd, &before), ==, 0);
	open_file(fixture, fixture->file, false);
	g_free(store_text(fixture, "after", SEQ_SAVED));
	g_assert_cmpint(read(fd, bytes, 6), ==, 6);
	g_assert_cmpstr(bytes, ==, "before");
	g_assert_cmpint(stat(fixture->file, &after), ==, 0);
	g_assert_cmpuint(after.st_ino, !=, before.st_ino);
	g_assert_cmpuint(after.st_nlink, ==, 1);
	assert_holds(second, "before");
	assert_names(fixture->folder, "report second");
	close(fd);
}

/* -- what belonged to the file ----------------------------------------------------------------- */

static void test_mode(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	static const struct {
		mode_t before;
		mode_t after;
	} modes[] = {
		{0640, 0640},
		{0600, 0600},
		{0644, 0644},
		{0664, 0664},
		{0755, 0755},
		{01644, 01644},
		/* as with every write */
		{04755, 0755},
		{02755, 0755},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(modes); i++) {
		struct stat st;

		put(fixture->file, "before");
		g_assert_cmpint(chmod(fixture->file, modes[i].before), ==, 0);
		open_file(fixture, fixture->file, false);
		g_free(store_text(fixture, "after", SEQ_SAVED));
		g_assert_cmpint(stat(fixture->file, &st), ==, 0);
		g_assert_cmpint(st.st_mode & 07777, ==, modes[i].after);
		g_assert_cmpint(unlink(fixture->file), ==, 0);
	}
}

static void test_owner(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	struct stat st;

	if (geteuid() != 0) {
		g_test_skip("only root can give a file away");
		return;
	}
	put(fixture->file, "before");
	g_assert_cmpint(chown(fixture->file, 1234, 4321), ==, 0);
	open_file(fixture, fixture->file, false);
	g_free(store_text(fixture, "after", SEQ_SAVED));
	g_assert_cmpint(stat(fixture->file, &st), ==, 0);
	g_assert_cmpuint(st.st_uid, ==, 1234);
	g_assert_cmpuint(st.st_gid, ==, 4321);
}

static void test_xattr(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	char value[16] = "";

	put(fixture->file, "before");
	if (setxattr(fixture->file, "user.comment", "a\0b", 3, 0) < 0) {
		g_test_skip("this file system keeps no user attributes");
		return;
	}
	open_file(fixture, fixture->file, false);
	g_free(store_text(fixture, "after", SEQ_SAVED));
	g_assert_cmpint(getxattr(fixture->file, "user.comment", value, sizeof value), ==, 3);
	g_assert_true(memcmp(value, "a\0b", 3) == 0);
}

/* The kernel's form: version 2, then tag, permissions and id of each entry. */
#define ACL_ENTRY(tag, perm, id) tag, 0, perm, 0, id
#define NO_ID 0xff, 0xff, 0xff, 0xff
static const unsigned char acl[] = {2, 0, 0, 0, ACL_ENTRY(0x01, 6, NO_ID), 0x02, 0, 4, 0, 0xd2,
	0x04, 0, 0, /* the user 1234 reads */
	ACL_ENTRY(0x04, 0, NO_ID), ACL_ENTRY(0x10, 4, NO_ID), ACL_ENTRY(0x20, 0, NO_ID)};

static void test_acl(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	unsigned char value[256];
	struct stat st;

	put(fixture->file, "before");
	if (setxattr(fixture->file, ACL, acl, sizeof acl, 0) < 0) {
		g_test_skip("this file system keeps no ACLs");
		return;
	}
	open_file(fixture, fixture->file, false);
	g_free(store_text(fixture, "after", SEQ_SAVED));
	g_assert_cmpint(getxattr(fixture->file, ACL, value, sizeof value), ==, sizeof acl);
	g_assert_true(memcmp(value, acl, sizeof acl) == 0);
	g_assert_cmpint(stat(fixture->file, &st), ==, 0);
	g_assert_cmpint(st.st_mode & 0777, ==, 0640);
}

/* The folder would give the user 1234 a right that the file did not. */
static void test_default_acl(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	unsigned char value[256];
	struct stat st;

	put(fixture->file, "before");
	g_assert_cmpint(chmod(fixture->file, 0640), ==, 0);
	if (setxattr(fixture->folder, DEFAULT_ACL, acl, sizeof acl, 0) < 0) {
		g_test_skip("this file system keeps no ACLs");
		return;
	}
	open_file(fixture, fixture->file, false);
	g_free(store_text(fixture, "after", SEQ_SAVED));
	g_assert_cmpint(getxattr(fixture->file, ACL, value, sizeof value), ==, -1);
	g_assert_cmpint(errno, ==, ENODATA);
	g_assert_cmpint(stat(fixture->file, &st), ==, 0);
	g_assert_cmpint(st.st_mode & 07777, ==, 0640);
}

/* -- where it is refused ----------------------------------------------------------------------- */

static void test_twice(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	put(fixture->file, "before");
	open_file(fixture, fixture->file, false);
	g_free(store_text(fixture, "after", SEQ_SAVED));
	make_answer(fixture, "again", 5);
	assert_fails(fixture, VM_EXIT_ERROR);
	assert_holds(fixture->file, "after");
	assert_state(fixture, SEQ_SAVED);
	assert_names(fixture->folder, "report");
	assert_names(fixture->other, "");
}

static void test_unknown(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	put(fixture->file, "before");
	open_file(fixture, fixture->file, false);
	make_answer(fixture, "after", 5);
	g_strlcpy(fixture->seq, "12", sizeof fixture->seq);
	assert_fails(fixture, VM_EXIT_ERROR);
	g_strlcpy(fixture->seq, "../report", sizeof fixture->seq);
	assert_fails(fixture, VM_EXIT_ERROR);
	assert_holds(fixture->file, "before");
}

static void test_view(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	put(fixture->file, "before");
	open_file(fixture, fixture->file, true);
	make_answer(fixture, "after", 5);
	assert_fails(fixture, VM_EXIT_ERROR);
	assert_holds(fixture->file, "before");
	assert_state(fixture, SEQ_OPEN);
}

static void test_bad_header(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	static const unsigned char sizes[][8] = {
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {6, 0, 0, 0, 0, 0, 0, 0}};

	for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
		int fd;

		put(fixture->file, "before");
		open_file(fixture, fixture->file, false);
		make_answer(fixture, "after", 5);
		fd = open(fixture->device, O_WRONLY | O_CLOEXEC);
		g_assert_cmpint(pwrite(fd, sizes[i], 8, 0), ==, 8);
		close(fd);
		assert_fails(fixture, VM_EXIT_ERROR);
		assert_state(fixture, SEQ_REFUSED);
		assert_holds(fixture->file, "before");
		assert_names(fixture->folder, "report");
		assert_names(fixture->other, "");
	}
}

/* -- elsewhere --------------------------------------------------------------------------------- */

static void assert_elsewhere(struct fixture *fixture, const char *name)
{
	g_autofree char *wanted = join(fixture->other, name);
	g_autofree char *detail = store_text(fixture, "after", SEQ_ELSEWHERE);
	struct stat st;

	g_assert_cmpstr(detail, ==, wanted);
	assert_holds(detail, "after");
	g_assert_cmpint(stat(detail, &st), ==, 0);
	g_assert_cmpint(st.st_mode & 07777, ==, 0600);
	g_assert_cmpstr(fixture->notes->str, !=, "");
}

static void test_folder_gone(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *taken = join(fixture->other, "report.from-dvm");

	put(fixture->file, "before");
	open_file(fixture, fixture->file, false);
	g_assert_cmpint(unlink(fixture->file), ==, 0);
	g_assert_cmpint(rmdir(fixture->folder), ==, 0);
	put(taken, "an earlier one");
	assert_elsewhere(fixture, "report.from-dvm.1");
	assert_holds(taken, "an earlier one");
}

static void test_link_instead(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *victim = join(fixture->home, "victim");

	put(victim, "mine");
	put(fixture->file, "before");
	open_file(fixture, fixture->file, false);
	g_assert_cmpint(unlink(fixture->file), ==, 0);
	g_assert_cmpint(symlink(victim, fixture->file), ==, 0);
	assert_elsewhere(fixture, "report.from-dvm");
	assert_holds(victim, "mine");
	g_assert_true(g_file_test(fixture->file, G_FILE_TEST_IS_SYMLINK));
}

static void test_fifo_instead(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	put(fixture->file, "before");
	open_file(fixture, fixture->file, false);
	g_assert_cmpint(unlink(fixture->file), ==, 0);
	g_assert_cmpint(mkfifo(fixture->file, 0600), ==, 0);
	assert_elsewhere(fixture, "report.from-dvm");
	assert_names(fixture->folder, "report");
}

/* As an ordinary user, in a child: root may write everywhere. */
static void store_as_user(struct fixture *fixture)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct seq_record record;

		/* The store's folder is open already, and made the user's. */
		if (setgid(1234) < 0 || setuid(1234) < 0)
			_exit(1);
		if (!store(fixture, &record, NULL))
			_exit(2);
		_exit(record.state == SEQ_ELSEWHERE ? 0 : 3);
	}
	g_assert_cmpint(waitpid(child, &status, 0), ==, child);
	g_assert_cmpint(status, ==, 0);
}

static void give_to_user(struct fixture *fixture)
{
	g_autofree char *record = join(fixture->store_folder, fixture->seq);

	g_assert_cmpint(chmod(fixture->home, 0755), ==, 0);
	g_assert_cmpint(chown(fixture->store_folder, 1234, 1234), ==, 0);
	g_assert_cmpint(chown(record, 1234, 1234), ==, 0);
	g_assert_cmpint(chown(fixture->other, 1234, 1234), ==, 0);
	g_assert_cmpint(chmod(fixture->device, 0644), ==, 0);
}

static void test_not_writable(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *stored = join(fixture->other, "report.from-dvm");

	if (geteuid() != 0) {
		g_test_skip("only root can become the user who must not write there");
		return;
	}
	put(fixture->file, "before");
	open_file(fixture, fixture->file, false);
	make_answer(fixture, "after", 5);
	give_to_user(fixture);
	store_as_user(fixture);
	assert_holds(fixture->file, "before");
	assert_names(fixture->folder, "report");
	assert_holds(stored, "after");
}

/* The folder is the user's, and the file is not his to write: a rename would get around that. */
static void test_read_only_file(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *stored = join(fixture->other, "report.from-dvm");

	if (geteuid() != 0) {
		g_test_skip("only root can become the user who must not write there");
		return;
	}
	put(fixture->file, "before");
	open_file(fixture, fixture->file, false);
	make_answer(fixture, "after", 5);
	give_to_user(fixture);
	g_assert_cmpint(chown(fixture->folder, 1234, 1234), ==, 0);
	store_as_user(fixture);
	assert_holds(fixture->file, "before");
	assert_names(fixture->folder, "report");
	assert_holds(stored, "after");
}

static bool mount_small(const char *folder, const char *options)
{
	if (geteuid() == 0 && mount("none", folder, "tmpfs", 0, options) == 0)
		return true;
	g_test_skip("no tmpfs may be mounted here");
	return false;
}

static void test_full(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *big = g_strnfill(128 * 1024, 'x');
	g_autofree char *stored = join(fixture->other, "report.from-dvm");
	g_autofree char *detail = NULL;

	if (!mount_small(fixture->folder, "size=64k"))
		return;
	put(fixture->file, "before");
	open_file(fixture, fixture->file, false);
	detail = store_text(fixture, big, SEQ_ELSEWHERE);
	g_assert_cmpstr(detail, ==, stored);
	assert_holds(stored, big);
	assert_holds(fixture->file, "before");
	assert_names(fixture->folder, "report");
	g_assert_cmpint(umount(fixture->folder), ==, 0);
}

static void test_read_only_disk(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	if (!mount_small(fixture->folder, "size=64k"))
		return;
	put(fixture->file, "before");
	open_file(fixture, fixture->file, false);
	g_assert_cmpint(mount("none", fixture->folder, NULL, MS_REMOUNT | MS_RDONLY, NULL), ==, 0);
	assert_elsewhere(fixture, "report.from-dvm");
	assert_holds(fixture->file, "before");
	g_assert_cmpint(umount(fixture->folder), ==, 0);
}

static void test_full_everywhere(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *big = g_strnfill(128 * 1024, 'x');

	if (!mount_small(fixture->folder, "size=64k"))
		return;
	g_assert_cmpint(rmdir(fixture->other), ==, 0);
	put(fixture->file, "before");
	open_file(fixture, fixture->file, false);
	make_answer(fixture, big, strlen(big));
	assert_fails(fixture, VM_EXIT_FAILED);
	assert_state(fixture, SEQ_TAKEN);
	assert_holds(fixture->file, "before");
	assert_names(fixture->folder, "report");
	/* For nobody but who tries the same one again. */
	assert_fails(fixture, VM_EXIT_ERROR);
	fixture->again = true;
	assert_fails(fixture, VM_EXIT_FAILED);
	g_assert_cmpint(mount("none", fixture->folder, NULL, MS_REMOUNT, "size=1m"), ==, 0);
	g_free(store_text(fixture, big, SEQ_SAVED));
	assert_holds(fixture->file, big);
	assert_names(fixture->folder, "report");
	assert_fails(fixture, VM_EXIT_ERROR);
	g_assert_cmpint(umount(fixture->folder), ==, 0);
}

/* The home is full too, where the outcome is to be put down: the record has its block. */
static void test_full_store(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *inner = join(fixture->store_folder, "inner");
	g_autofree char *filler = NULL;
	g_autofree char *store_path = join(inner, ".dvm");
	ssize_t r;
	int fd;

	g_assert_cmpint(g_mkdir(inner, 0755), ==, 0);
	if (!mount_small(inner, "size=64k")) {
		g_assert_cmpint(rmdir(inner), ==, 0);
		return;
	}
	seqstore_close(fixture->store);
	fixture->store = seqstore_open(store_path, NULL);
	g_assert_nonnull(fixture->store);
	put(fixture->file, "before");
	open_file(fixture, fixture->file, false);
	filler = join(inner, "filler");
	fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	do
		r = write(fd, fixture, sizeof *fixture);
	while (r > 0);
	close(fd);
	g_free(store_text(fixture, "after", SEQ_SAVED));
	assert_holds(fixture->file, "after");
	g_assert_cmpstr(fixture->notes->str, ==, "");
	g_clear_pointer(&fixture->store, seqstore_close);
	g_assert_cmpint(umount(inner), ==, 0);
}

/* -- the program ------------------------------------------------------------------------------- */

static int run_program(struct fixture *fixture, const char *seq, const char *offset)
{
	const char *program = g_getenv("QFX_DVM_STORE");
	g_autoptr(GSubprocessLauncher) launcher =
		g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDERR_SILENCE);
	g_autoptr(GSubprocess) process = NULL;
	g_autoptr(GError) error = NULL;

	g_subprocess_launcher_setenv(launcher, "QPEN_DVM_FOLDER", fixture->store_folder, TRUE);
	g_subprocess_launcher_take_stdin_fd(launcher, open(fixture->device, O_RDONLY | O_CLOEXEC));
	process = g_subprocess_launcher_spawn(
		launcher, &error, program, offset, "--from=disp7", seq, NULL);
	g_assert_no_error(error);
	g_assert_true(g_subprocess_wait(process, NULL, NULL));
	g_assert_true(g_subprocess_get_if_exited(process));
	return g_subprocess_get_exit_status(process);
}

static void test_program(struct fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
	g_autofree char *stored = join(fixture->home, "report.from-dvm");

	put(fixture->file, "before");
	open_file(fixture, fixture->file, false);
	make_answer(fixture, "after", 5);
	g_assert_cmpint(run_program(fixture, "--", "--offset=0"), ==, VM_EXIT_USAGE);
	g_assert_cmpint(run_program(fixture, fixture->seq, "--offset=512"), ==, VM_EXIT_USAGE);
	g_assert_cmpint(run_program(fixture, fixture->seq, "--offset=0"), ==, VM_EXIT_OK);
	assert_holds(fixture->file, "after");
	g_assert_cmpint(run_program(fixture, fixture->seq, "--offset=0"), ==, VM_EXIT_ERROR);
	/* The home is the folder above the records. */
	open_file(fixture, fixture->file, false);
	remove_tree(fixture->folder);
	g_assert_cmpint(run_program(fixture, fixture->seq, "--offset=0"), ==, VM_EXIT_OK);
	assert_holds(stored, "after");
}

#define ADD_DATA(name, data, function)                                                             \
	g_test_add("/vm/answer/" name, struct fixture, data, set_up, function, tear_down)
#define ADD(name, function) ADD_DATA(name, NULL, function)
/* Once more, as on a file system that cannot exchange two names. */
#define ADD_BOTH(name, function)                                                                   \
	do {                                                                                       \
		ADD(name, function);                                                               \
		ADD_DATA("no-exchange/" name, "", function);                                       \
	} while (0)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD_BOTH("saved", test_saved);
	ADD_BOTH("emptied", test_emptied);
	ADD("was-empty", test_was_empty);
	ADD("room-behind", test_room_behind);
	ADD_BOTH("touched", test_touched);
	ADD_BOTH("changed", test_changed);
	ADD_BOTH("changed-again", test_changed_again);
	ADD_BOTH("gone", test_gone);
	ADD_BOTH("long-name", test_long_name);
	ADD_BOTH("inode", test_inode);
	ADD("mode", test_mode);
	ADD("owner", test_owner);
	ADD("xattr", test_xattr);
	ADD("acl", test_acl);
	ADD("default-acl", test_default_acl);
	ADD("twice", test_twice);
	ADD("unknown", test_unknown);
	ADD("view", test_view);
	ADD("bad-header", test_bad_header);
	ADD("folder-gone", test_folder_gone);
	ADD("link-instead", test_link_instead);
	ADD("fifo-instead", test_fifo_instead);
	ADD("not-writable", test_not_writable);
	ADD("read-only-file", test_read_only_file);
	ADD("full", test_full);
	ADD("read-only-disk", test_read_only_disk);
	ADD("full-everywhere", test_full_everywhere);
	ADD("full-store", test_full_store);
	ADD("program", test_program);
	return g_test_run();
}
