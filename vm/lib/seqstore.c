/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "seqstore.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "fail.h"
#include "scope.h"

#define FOLDER_NAME ".dvm"
#define COUNTER "seq"
#define SUFFIX_TAKEN ".taken"
#define SUFFIX_DONE ".done"
#define SUFFIX_NEW ".new"
/* A number has so many digits at most: it fits 64 bits and, by far, QPEN_SEQ_MAX. */
#define NUMBER_DIGITS 18u
#define NUMBER_MAX UINT64_C(999999999999999999)
#define ENTRY_BYTES (NUMBER_DIGITS + sizeof SUFFIX_TAKEN)
/* A path, a detail that may be another one, each byte of it four in a key file; and the rest. */
#define RECORD_MAX_BYTES (64u * 1024u)
#define COUNTER_MAX_BYTES 64u
/* The lock is held for as long as two small files take. */
#define LOCK_TIMEOUT_US (30 * G_USEC_PER_SEC)

#define GROUP "transaction"

G_STATIC_ASSERT(NUMBER_DIGITS <= QPEN_SEQ_MAX);

struct seqstore {
	int folder;
	char *shown; /* the folder's path, safe to print */
};

const char *seq_state_name(enum seq_state state)
{
#define CASE_(name, word)                                                                          \
	case SEQ_##name:                                                                           \
		return word;
	switch (state) {
		SEQ_STATES(CASE_)
	}
#undef CASE_
	return "failed";
}

static bool parse_state(const char *word, enum seq_state *out)
{
#define ROW_(name, word) SEQ_##name,
	static const enum seq_state states[] = {SEQ_STATES(ROW_)};
#undef ROW_

	for (size_t i = 0; i < G_N_ELEMENTS(states); i++) {
		if (strcmp(word, seq_state_name(states[i])) == 0) {
			*out = states[i];
			return true;
		}
	}
	return false;
}

void seq_record_finish(struct seq_record *record)
{
	g_clear_pointer(&record->path, g_free);
	g_clear_pointer(&record->detail, g_free);
}

static bool fail_errno(struct seqstore *store, const char *name, const char *what, GError **error)
{
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s/%s %s: %s", store->shown, name, what,
		g_strerror(errno));
	return false;
}

/* -- the folder -------------------------------------------------------------------------------- */

char *seqstore_default_folder(GError **error)
{
	const char *override = getenv("QPEN_DVM_FOLDER");
	const struct passwd *passwd;

	if (override && *override)
		return g_strdup(override);
	passwd = getpwuid(geteuid());
	if (passwd && passwd->pw_dir && *passwd->pw_dir == '/')
		return g_build_filename(passwd->pw_dir, FOLDER_NAME, NULL);
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		"The user %ld has no home folder in the user database, where " FOLDER_NAME
		" could be",
		(long)geteuid());
	return NULL;
}

/* Others must neither read which files are open nor put records there. */
static bool check_folder(struct seqstore *store, GError **error)
{
	struct stat st;

	if (fstat(store->folder, &st) < 0)
		return fail_errno(store, "", "cannot be looked at", error);
	if (st.st_uid != geteuid()) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			"The folder %s belongs to another user; move it away", store->shown);
		return false;
	}
	if ((st.st_mode & 07777) != 0700 && fchmod(store->folder, 0700) < 0)
		return fail_errno(store, "", "cannot be made private", error);
	return true;
}

struct seqstore *seqstore_open(const char *folder, GError **error)
{
	struct seqstore *store = g_new0(struct seqstore, 1);

	store->shown = vm_printable(folder, -1);
	store->folder = -1;
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		fail_errno(store, "", "cannot be made", error);
	else if ((store->folder = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) <
		 0)
		fail_errno(store, "", "cannot be opened", error);
	else if (check_folder(store, error))
		return store;
	seqstore_close(store);
	return NULL;
}

void seqstore_close(struct seqstore *store)
{
	if (!store)
		return;
	if (store->folder >= 0)
		close(store->folder);
	g_free(store->shown);
	g_free(store);
}

/* -- one at a time ----------------------------------------------------------------------------- */

static void on_alarm(int signal_number G_GNUC_UNUSED)
{
}

/* flock(2) knows no deadline: a timer interrupts it, again and again should it come too early. */
static int flock_until(int fd, gint64 end_us)
{
	const struct sigaction action = {.sa_handler = on_alarm};
	const struct itimerval each_second = {{.tv_sec = 1}, {.tv_sec = 1}};
	const struct itimerval none = {0};
	struct sigaction earlier;
	int r;

	sigaction(SIGALRM, &action, &earlier);
	setitimer(ITIMER_REAL, &each_second, NULL);
	while ((r = flock(fd, LOCK_EX)) < 0 && errno == EINTR && g_get_monotonic_time() < end_us)
		;
	setitimer(ITIMER_REAL, &none, NULL);
	sigaction(SIGALRM, &earlier, NULL);
	return r;
}

/*
 * The lock is on the folder itself, which nobody replaces as they may replace a file in it. It is
 * of the open file description: a process that opens the folder twice would wait for itself.
 */
static bool lock(struct seqstore *store, GError **error)
{
	if (flock(store->folder, LOCK_EX | LOCK_NB) == 0)
		return true;
	if (flock_until(store->folder, g_get_monotonic_time() + LOCK_TIMEOUT_US) == 0)
		return true;
	if (errno != EINTR)
		return fail_errno(store, "", "cannot be locked", error);
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		"Another process has held the lock of %s for %d s; is one stopped? "
		"(fuser -v %s tells which)",
		store->shown, (int)(LOCK_TIMEOUT_US / G_USEC_PER_SEC), store->shown);
	return false;
}

static void unlock(struct seqstore *store)
{
	flock(store->folder, LOCK_UN);
}

/* -- small files, read and written whole ------------------------------------------------------- */

/* Not followed, not waited for, ours, and no longer than it may be. *out_len may be NULL. */
static char *read_small(struct seqstore *store, const char *name, size_t max, size_t *out_len)
{
	autofd fd = openat(store->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	g_autofree char *bytes = NULL;
	struct stat st;
	ssize_t len;

	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	errno = EPERM;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return NULL;
	bytes = g_malloc(max + 1);
	len = pread(fd, bytes, max + 1, 0);
	if (len > (ssize_t)max)
		errno = EFBIG;
	if (len < 0 || len > (ssize_t)max)
		return NULL;
	bytes[len] = '\0';
	if (out_len)
		*out_len = (size_t)len;
	return g_steal_pointer(&bytes);
}

static bool write_and_sync(int fd, const char *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t r = pwrite(fd, bytes + done, len - done, (off_t)done);

		if (r < 0 && errno != EINTR)
			return false;
		done += r > 0 ? (size_t)r : 0;
	}
	return ftruncate(fd, (off_t)len) == 0 && fsync(fd) == 0;
}

/* As a whole or not at all. The lock is held, so the name of the draft is ours; what a crash left
 * there goes. */
static bool replace(struct seqstore *store, const char *name, const char *bytes, size_t len)
{
	g_autofree char *draft = g_strconcat(name, SUFFIX_NEW, NULL);
	autofd fd = -1;

	if (unlinkat(store->folder, draft, 0) < 0 && errno != ENOENT)
		return false;
	fd = openat(
		store->folder, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	if (write_and_sync(fd, bytes, len) &&
		renameat(store->folder, draft, store->folder, name) == 0)
		return fsync(store->folder) == 0;
	unlinkat(store->folder, draft, 0);
	return false;
}

/*
 * On a full disk: the bytes over those that are there, which takes no new block, and then the new
 * name. It is for telling how it ended; a crash in between costs that alone.
 */
static bool overwrite(
	struct seqstore *store, const char *from, const char *to, const char *bytes, size_t len)
{
	autofd fd = openat(store->folder, from, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && write_and_sync(fd, bytes, len) &&
	       renameat(store->folder, from, store->folder, to) == 0 && fsync(store->folder) == 0;
}

/* -- the record as bytes ----------------------------------------------------------------------- */

static GString *format_record(const struct seq_record *record)
{
	g_autoptr(GKeyFile) keys = g_key_file_new();
	g_autofree char *text = NULL;
	GString *bytes = g_string_new(record->path);

	g_key_file_set_string(keys, GROUP, "state", seq_state_name(record->state));
	g_key_file_set_string(keys, GROUP, "mode", record->view ? QPEN_MODE_VIEW : QPEN_MODE_EDIT);
	g_key_file_set_uint64(keys, GROUP, "size", record->size_bytes);
	g_key_file_set_uint64(keys, GROUP, "permissions", record->mode);
	g_key_file_set_uint64(keys, GROUP, "uid", record->uid);
	g_key_file_set_uint64(keys, GROUP, "gid", record->gid);
	g_key_file_set_string(keys, GROUP, "sha256", record->sha256);
	if (record->detail) {
		/* Key files are UTF-8, and paths any bytes. */
		g_autofree char *escaped = g_strescape(record->detail, NULL);

		g_key_file_set_string(keys, GROUP, "detail", escaped);
	}
	text = g_key_file_to_data(keys, NULL, NULL);
	g_string_append_c(bytes, '\0');
	g_string_append(bytes, text);
	return bytes;
}

static bool get_number(GKeyFile *keys, const char *key, guint64 max, guint64 *out)
{
	g_autoptr(GError) error = NULL;

	*out = g_key_file_get_uint64(keys, GROUP, key, &error);
	return !error && *out <= max;
}

static bool parse_keys(GKeyFile *keys, struct seq_record *record)
{
	g_autofree char *state = g_key_file_get_string(keys, GROUP, "state", NULL);
	g_autofree char *mode = g_key_file_get_string(keys, GROUP, "mode", NULL);
	g_autofree char *sha256 = g_key_file_get_string(keys, GROUP, "sha256", NULL);
	g_autofree char *detail = g_key_file_get_string(keys, GROUP, "detail", NULL);
	guint64 permissions;
	guint64 uid;
	guint64 gid;

	if (!state || !mode || !sha256 || !parse_state(state, &record->state) ||
		!filehash_is_sound(sha256))
		return false;
	if (strcmp(mode, QPEN_MODE_VIEW) != 0 && strcmp(mode, QPEN_MODE_EDIT) != 0)
		return false;
	if (!get_number(keys, "size", G_MAXINT64, &record->size_bytes) ||
		!get_number(keys, "permissions", 07777, &permissions) ||
		!get_number(keys, "uid", G_MAXUINT32, &uid) ||
		!get_number(keys, "gid", G_MAXUINT32, &gid))
		return false;
	record->view = strcmp(mode, QPEN_MODE_VIEW) == 0;
	record->mode = (unsigned)permissions;
	record->uid = (unsigned)uid;
	record->gid = (unsigned)gid;
	g_strlcpy(record->sha256, sha256, sizeof record->sha256);
	record->detail = detail ? g_strcompress(detail) : NULL;
	return true;
}

/* `bytes` has a NUL behind its `len` bytes. */
static bool parse_record(const char *bytes, size_t len, struct seq_record *out)
{
	g_autoptr(GKeyFile) keys = g_key_file_new();
	struct seq_record record = {0};
	size_t path_len = strlen(bytes);

	if (path_len == 0 || path_len >= len || bytes[0] != '/')
		return false;
	if (!g_key_file_load_from_data(
		    keys, bytes + path_len + 1, len - path_len - 1, G_KEY_FILE_NONE, NULL) ||
		!parse_keys(keys, &record))
		return false;
	record.path = g_strndup(bytes, path_len);
	*out = record;
	return true;
}

static bool read_record(
	struct seqstore *store, const char *name, struct seq_record *out, GError **error)
{
	size_t len;
	g_autofree char *bytes = read_small(store, name, RECORD_MAX_BYTES, &len);

	if (!bytes)
		return fail_errno(store, name, "cannot be read", error);
	if (parse_record(bytes, len, out))
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s/%s is no record of a transaction",
		store->shown, name);
	return false;
}

/* -- numbers ----------------------------------------------------------------------------------- */

/* Only what we would have written: of `7` and `07` one names a record, and `seq` is not one. */
static bool parse_number(const char *text, size_t len, uint64_t *out)
{
	uint64_t number = 0;

	if (len == 0 || len > NUMBER_DIGITS || text[0] == '0')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!g_ascii_isdigit(text[i]))
			return false;
		number = number * 10 + (uint64_t)(text[i] - '0');
	}
	*out = number;
	return true;
}

struct entry {
	uint64_t number;
	bool done;
};

static gint newest_first(gconstpointer a, gconstpointer b)
{
	const struct entry *left = a;
	const struct entry *right = b;

	return left->number < right->number ? 1 : left->number > right->number ? -1 : 0;
}

static bool parse_entry(const char *name, struct entry *out)
{
	size_t digits = strspn(name, "0123456789");
	const char *suffix = name + digits;

	*out = (struct entry){.done = strcmp(suffix, SUFFIX_DONE) == 0};
	return (out->done || *suffix == '\0' || strcmp(suffix, SUFFIX_TAKEN) == 0) &&
	       parse_number(name, digits, &out->number);
}

/* All records, the newest first. */
static GArray *list_entries(struct seqstore *store)
{
	GArray *entries = g_array_new(FALSE, FALSE, sizeof(struct entry));
	int fd = openat(store->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autodir *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *dirent;
	struct entry entry;

	while (dir && (dirent = readdir(dir)))
		if (parse_entry(dirent->d_name, &entry))
			g_array_append_val(entries, entry);
	g_array_sort(entries, newest_first);
	return entries;
}

/*
 * Above all that were given out. When the counter is lost the records tell how far it was; where
 * they are lost too, the clock: nobody opens a file every second, so it is ahead.
 */
static uint64_t next_number(struct seqstore *store, const GArray *entries)
{
	g_autofree char *text = read_small(store, COUNTER, COUNTER_MAX_BYTES, NULL);
	uint64_t highest = entries->len ? g_array_index(entries, struct entry, 0).number : 0;
	uint64_t counter = 0;
	gint64 now_s = g_get_real_time() / G_USEC_PER_SEC;

	if (text)
		g_strchomp(text);
	if (text && parse_number(text, strlen(text), &counter))
		return MAX(counter, highest) + 1;
	return MAX(highest + 1, (uint64_t)MAX(now_s, 1));
}

static void remove_entry(struct seqstore *store, const struct entry *entry)
{
	static const char *const suffixes[] = {"", SUFFIX_TAKEN, SUFFIX_DONE};

	for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
		g_autofree char *name =
			g_strdup_printf("%" G_GUINT64_FORMAT "%s", entry->number, suffixes[i]);

		unlinkat(store->folder, name, 0);
	}
}

/* What cannot be removed costs a little room, which is no reason not to open a file. */
static void clean(struct seqstore *store, const GArray *entries)
{
	unsigned done = 0;

	for (guint i = 0; i < entries->len; i++) {
		const struct entry *entry = &g_array_index(entries, struct entry, i);

		done += entry->done;
		if (i >= SEQSTORE_KEEP_ALL || (entry->done && done > SEQSTORE_KEEP_DONE))
			remove_entry(store, entry);
	}
}

static bool add_locked(struct seqstore *store, const struct seq_record *record,
	char out_seq[QPEN_SEQ_MAX + 1], GError **error)
{
	g_autoptr(GArray) entries = list_entries(store);
	uint64_t number = next_number(store, entries);
	g_autoptr(GString) bytes = format_record(record);
	g_autofree char *line = g_strdup_printf("%" G_GUINT64_FORMAT "\n", number);

	if (number > NUMBER_MAX) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			"%s has a record, or a counter `seq`, of a number so high that none can "
			"follow; remove it",
			store->shown);
		return false;
	}
	g_strlcpy(out_seq, line, QPEN_SEQ_MAX + 1);
	g_strchomp(out_seq);
	/* The number first: a crash now wastes it, and the other way round it could come again. */
	if (!replace(store, COUNTER, line, strlen(line)))
		return fail_errno(store, COUNTER, "cannot be written", error);
	if (!replace(store, out_seq, bytes->str, bytes->len))
		return fail_errno(store, out_seq, "cannot be written", error);
	clean(store, entries);
	return true;
}

bool seqstore_add(struct seqstore *store, const struct seq_record *record,
	char out_seq[QPEN_SEQ_MAX + 1], GError **error)
{
	bool ok;

	if (!lock(store, error))
		return false;
	ok = add_locked(store, record, out_seq, error);
	unlock(store);
	return ok;
}

/* -- taking ------------------------------------------------------------------------------------ */

static bool refuse(GError **error, const char *untrusted_seq, const char *why)
{
	g_autofree char *shown = vm_printable(untrusted_seq, -1);

	g_set_error(error, VM_ERROR, VM_EXIT_ERROR, "No answer is taken for SEQ \"%s\": %s", shown,
		why);
	return false;
}

static bool exists(struct seqstore *store, const char *seq, const char *suffix)
{
	g_autofree char *name = g_strconcat(seq, suffix, NULL);
	struct stat st;

	return fstatat(store->folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_seq(const char *untrusted_seq)
{
	uint64_t number;

	return parse_number(untrusted_seq, strlen(untrusted_seq), &number);
}

static bool move(struct seqstore *store, const char *from, const char *to)
{
	return renameat2(store->folder, from, store->folder, to, RENAME_NOREPLACE) == 0 &&
	       fsync(store->folder) == 0;
}

static bool take_locked(
	struct seqstore *store, const char *seq, bool again, struct seq_record *out, GError **error)
{
	g_autofree char *taken = g_strconcat(seq, SUFFIX_TAKEN, NULL);
	bool was_taken = exists(store, seq, SUFFIX_TAKEN);
	struct seq_record record;

	if ((was_taken && !again) || exists(store, seq, SUFFIX_DONE))
		return refuse(
			error, seq, "that transaction is over, or its answer was taken already");
	if (was_taken)
		return read_record(store, taken, out, error);
	if (!exists(store, seq, ""))
		return refuse(error, seq, "this user opened no such transaction");
	if (!read_record(store, seq, &record, error))
		return false;
	if (record.view) {
		seq_record_finish(&record);
		return refuse(error, seq, "the file was sent to be viewed only");
	}
	if (!move(store, seq, taken)) {
		seq_record_finish(&record);
		return fail_errno(store, seq, "cannot be taken", error);
	}
	*out = record;
	return true;
}

bool seqstore_take(struct seqstore *store, const char *untrusted_seq, bool again,
	struct seq_record *out, GError **error)
{
	bool ok;

	if (!is_seq(untrusted_seq))
		return refuse(error, untrusted_seq, "this user opened no such transaction");
	if (!lock(store, error))
		return false;
	ok = take_locked(store, untrusted_seq, again, out, error);
	unlock(store);
	return ok;
}

/* -- ending ------------------------------------------------------------------------------------ */

/* `from` is where the record is now. */
static bool finish_locked(struct seqstore *store, const char *from, const char *seq,
	const struct seq_record *record, GError **error)
{
	g_autofree char *done = g_strconcat(seq, SUFFIX_DONE, NULL);
	g_autoptr(GString) bytes = format_record(record);

	if (replace(store, done, bytes->str, bytes->len)) {
		unlinkat(store->folder, from, 0);
		return true;
	}
	return overwrite(store, from, done, bytes->str, bytes->len) ||
	       fail_errno(store, done, "cannot be written", error);
}

bool seqstore_finish(
	struct seqstore *store, const char *seq, const struct seq_record *record, GError **error)
{
	g_autofree char *taken = g_strconcat(seq, SUFFIX_TAKEN, NULL);
	bool ok;

	if (!lock(store, error))
		return false;
	ok = finish_locked(store, taken, seq, record, error);
	unlock(store);
	return ok;
}

static bool end_locked(struct seqstore *store, const char *seq, enum seq_state state,
	const char *detail, GError **error)
{
	struct seq_record record;
	bool ok;

	if (!exists(store, seq, ""))
		return false;
	if (!read_record(store, seq, &record, error))
		return false;
	record.state = state;
	g_free(record.detail);
	record.detail = g_strdup(detail);
	ok = finish_locked(store, seq, seq, &record, error);
	seq_record_finish(&record);
	return ok;
}

bool seqstore_end(struct seqstore *store, const char *seq, enum seq_state state, const char *detail,
	GError **error)
{
	bool ok;

	if (!lock(store, error))
		return false;
	ok = end_locked(store, seq, state, detail, error);
	unlock(store);
	return ok;
}

static bool read_locked(
	struct seqstore *store, const char *seq, struct seq_record *out, GError **error)
{
	static const char *const suffixes[] = {SUFFIX_DONE, SUFFIX_TAKEN, ""};

	for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
		g_autofree char *name = g_strconcat(seq, suffixes[i], NULL);

		if (!exists(store, seq, suffixes[i]))
			continue;
		if (!read_record(store, name, out, error))
			return false;
		if (strcmp(suffixes[i], SUFFIX_TAKEN) == 0)
			out->state = SEQ_TAKEN;
		return true;
	}
	errno = ENOENT;
	return fail_errno(store, seq, "cannot be read", error);
}

bool seqstore_read(struct seqstore *store, const char *seq, struct seq_record *out, GError **error)
{
	bool ok;

	if (!lock(store, error))
		return false;
	ok = read_locked(store, seq, out, error);
	unlock(store);
	return ok;
}
