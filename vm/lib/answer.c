/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "answer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "fail.h"
#include "fileattr.h"
#include "reader.h"
#include "scope.h"

#define SUFFIX_KEPT ".before-dvm"
#define SUFFIX_ELSEWHERE ".from-dvm"
#define SUFFIX_DRAFT ".dvm-draft"
/* So many files of one name with one suffix may be there before we give up. */
#define NAME_TRIES 1000u

/* A file that is not in its place yet. Without a name where that can be had: then nothing stays
 * behind of an answer whose storing is cut off. */
struct draft {
	int folder;
	int fd;
	char *name; /* NULL: it has none */
};

static bool fail_errno(GError **error, const char *path, const char *what)
{
	g_autofree char *shown = vm_printable(path, -1);

	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%s %s: %s", shown, what, g_strerror(errno));
	return false;
}

static void note(const struct answer *answer, const char *words)
{
	if (answer->note)
		answer->note(words, answer->data);
}

/* -- names ------------------------------------------------------------------------------------- */

char *answer_name(const char *name, const char *suffix, unsigned number)
{
	g_autofree char *end = number ? g_strdup_printf("%s.%u", suffix, number) : g_strdup(suffix);
	size_t room = NAME_MAX - strlen(end);
	size_t len = strnlen(name, room);

	/* Bytes that are no UTF-8 are cut anywhere. */
	if (name[len])
		while (len > 1 && ((unsigned char)name[len] & 0xc0) == 0x80)
			len--;
	return g_strdup_printf("%.*s%s", (int)len, name, end);
}

static bool place(struct draft *draft, const char *name)
{
	g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", draft->fd);

	if (!draft->name)
		return linkat(AT_FDCWD, path, draft->folder, name, AT_SYMLINK_FOLLOW) == 0;
	if (renameat2(draft->folder, draft->name, draft->folder, name, RENAME_NOREPLACE) < 0)
		return false;
	g_clear_pointer(&draft->name, g_free);
	return true;
}

/* Under the first name that is free; NULL: errno says why there is none. The caller frees it. */
static char *place_beside(struct draft *draft, const char *name, const char *suffix)
{
	for (unsigned i = 0; i < NAME_TRIES; i++) {
		g_autofree char *chosen = answer_name(name, suffix, i);

		if (place(draft, chosen))
			return g_steal_pointer(&chosen);
		if (errno != EEXIST)
			return NULL;
	}
	return NULL;
}

/* -- drafts ------------------------------------------------------------------------------------ */

/* Where the file system has no nameless files. */
static bool open_named(struct draft *draft)
{
	for (unsigned i = 0; i < NAME_TRIES; i++) {
		g_autofree char *name =
			g_strdup_printf(SUFFIX_DRAFT "-%08x%08x", g_random_int(), g_random_int());

		draft->fd = openat(draft->folder, name,
			O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (draft->fd >= 0)
			draft->name = g_steal_pointer(&name);
		if (draft->fd >= 0 || errno != EEXIST)
			return draft->fd >= 0;
	}
	return false;
}

static bool draft_open(struct draft *draft, const char *folder, GError **error)
{
	*draft = (struct draft){.fd = -1};
	draft->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (draft->folder < 0)
		return fail_errno(error, folder, "cannot be opened");
	draft->fd = openat(draft->folder, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (draft->fd >= 0)
		return true;
	if ((errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL) && open_named(draft))
		return true;
	return fail_errno(error, folder, "takes no new file");
}

static void draft_finish(struct draft *draft)
{
	if (draft->name)
		unlinkat(draft->folder, draft->name, 0);
	g_free(draft->name);
	if (draft->fd >= 0)
		close(draft->fd);
	if (draft->folder >= 0)
		close(draft->folder);
}
#define autodraft __attribute__((cleanup(draft_finish))) struct draft

/* Before the first byte, so that a disk that is too full is not filled for nothing. */
static bool reserve(const struct draft *draft, uint64_t bytes, GError **error)
{
	struct statvfs fs;

	if (fstatvfs(draft->fd, &fs) == 0 && fs.f_frsize &&
		fs.f_bavail < bytes / fs.f_frsize + (bytes % fs.f_frsize != 0)) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			"%" PRIu64 " bytes are needed, and there is room for %" PRIu64 " there",
			bytes, (uint64_t)fs.f_bavail * fs.f_frsize);
		return false;
	}
	if (bytes == 0 || fallocate(draft->fd, 0, 0, (off_t)bytes) == 0)
		return true;
	/* Not every file system can; whether there is room then shows when it is written. */
	if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL)
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED, "%" PRIu64 " bytes find no room there: %s",
		bytes, g_strerror(errno));
	return false;
}

static bool fill(const struct reader *reader, const struct draft *draft, GError **error)
{
	struct stat st;

	if (!reserve(draft, reader->header.size_bytes, error) ||
		!reader_copy(reader, draft->fd, error))
		return false;
	if (fstat(draft->fd, &st) == 0 && (uint64_t)st.st_size == reader->header.size_bytes)
		return true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		"What was written is not as long as what was received");
	return false;
}

/* -- into the file's place --------------------------------------------------------------------- */

struct target {
	const struct answer *answer;
	struct seq_record *record;
	char *folder;
	char *name;
	int original; /* as it is now; -1: it is gone */
	struct draft *draft;
};

/* It may be gone. What stands there and is no file that we may write is not ours to replace. */
static bool open_original(struct target *target, GError **error)
{
	const char *path = target->record->path;
	struct stat st;

	target->original = openat(target->draft->folder, target->name,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (target->original < 0)
		return errno == ENOENT || fail_errno(error, path, "cannot be opened any more");
	if (fstat(target->original, &st) < 0)
		return fail_errno(error, path, "cannot be looked at");
	errno = EINVAL;
	if (!S_ISREG(st.st_mode))
		return fail_errno(error, path, "is not a regular file any more");
	if (faccessat(target->draft->folder, target->name, W_OK, AT_EACCESS) < 0)
		return fail_errno(error, path, "may not be written");
	return true;
}

static bool apply_attributes(struct target *target, GError **error)
{
	const struct seq_record *record = target->record;
	struct fileattr attr = {record->mode, record->uid, record->gid};
	g_autoptr(GString) lost = g_string_new(NULL);
	g_autofree char *words = NULL;
	struct stat st;

	if (target->original >= 0 && fstat(target->original, &st) == 0)
		attr = (struct fileattr){st.st_mode & 07777, st.st_uid, st.st_gid};
	if (!fileattr_apply(target->draft->fd, &attr, target->original, lost, error))
		return false;
	words = g_strdup_printf("these could not be kept: %s", lost->str);
	if (lost->len)
		note(target->answer, words);
	return true;
}

/* Whether `name` holds just what was sent. What cannot be read counts as changed. */
static bool is_as_sent(const struct target *target, const char *name)
{
	autofd fd =
		openat(target->draft->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char sha256[FILEHASH_CHARS + 1];
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_size == target->record->size_bytes && filehash_sha256(fd, sha256) &&
	       strcmp(sha256, target->record->sha256) == 0;
}

/* The file under one more name; NULL: errno says why not. The caller frees it. */
static char *link_beside(const struct target *target)
{
	int folder = target->draft->folder;

	for (unsigned i = 0; i < NAME_TRIES; i++) {
		g_autofree char *name = answer_name(target->name, SUFFIX_KEPT, i);

		if (linkat(folder, target->name, folder, name, 0) == 0)
			return g_steal_pointer(&name);
		if (errno != EEXIST)
			return NULL;
	}
	return NULL;
}

/*
 * Where two names cannot be exchanged: the file gets a second name first, or must be what was sent.
 * On success `*kept` is where it is now, or NULL.
 */
static bool swap_by_link(struct target *target, char **kept, GError **error)
{
	int folder = target->draft->folder;
	g_autofree char *draft_name = g_steal_pointer(kept);
	g_autofree char *linked = link_beside(target);
	int err = errno;

	if (!linked && !is_as_sent(target, target->name)) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			"The file has changed meanwhile and cannot be kept beside the answer: %s",
			g_strerror(err));
		unlinkat(folder, draft_name, 0);
		return false;
	}
	if (renameat(folder, draft_name, folder, target->name) < 0) {
		fail_errno(error, target->record->path, "cannot be replaced");
		unlinkat(folder, draft_name, 0);
		if (linked)
			unlinkat(folder, linked, 0);
		return false;
	}
	/* The name that the draft had is free again, and is the better one. */
	if (linked && renameat2(folder, linked, folder, draft_name, RENAME_NOREPLACE) == 0)
		*kept = g_steal_pointer(&draft_name);
	else
		*kept = g_steal_pointer(&linked);
	return true;
}

/*
 * The draft stands at `*kept`, and changes places with the file: at no moment is there none, and
 * whatever version stood there last is the one that is at `*kept` afterwards.
 */
static bool swap(struct target *target, char **kept, GError **error)
{
	int folder = target->draft->folder;
	bool exchanged = !target->answer->no_exchange &&
			 renameat2(folder, *kept, folder, target->name, RENAME_EXCHANGE) == 0;

	if (exchanged)
		return true;
	if (target->answer->no_exchange || errno == EINVAL || errno == ENOSYS ||
		errno == EOPNOTSUPP)
		return swap_by_link(target, kept, error);
	fail_errno(error, target->record->path, "cannot be replaced");
	unlinkat(folder, *kept, 0);
	return false;
}

static void set_outcome(struct target *target, const char *kept)
{
	struct seq_record *record = target->record;

	record->state = SEQ_SAVED;
	if (!kept)
		return;
	if (is_as_sent(target, kept) && unlinkat(target->draft->folder, kept, 0) == 0)
		return;
	record->state = SEQ_KEPT_BOTH;
	record->detail = g_build_filename(target->folder, kept, NULL);
}

static bool put_in_place(struct target *target, GError **error)
{
	g_autofree char *kept = NULL;

	if (target->original < 0) {
		if (!place(target->draft, target->name))
			return fail_errno(error, target->record->path, "cannot be made anew");
		note(target->answer, "the file was gone; it was made anew");
	} else {
		kept = place_beside(target->draft, target->name, SUFFIX_KEPT);
		if (!kept)
			return fail_errno(
				error, target->record->path, "cannot get a file beside it");
		if (!swap(target, &kept, error))
			return false;
	}
	set_outcome(target, kept);
	return true;
}

static void sync_folder(const struct answer *answer, int folder)
{
	if (fsync(folder) < 0)
		note(answer, "the folder could not be synced: a crash now may undo the change");
}

static bool store_beside(struct target *target, const struct reader *reader, GError **error)
{
	struct draft *draft = target->draft;

	if (!draft_open(draft, target->folder, error) || !open_original(target, error) ||
		!fill(reader, draft, error) || !apply_attributes(target, error))
		return false;
	if (fsync(draft->fd) < 0)
		return fail_errno(error, target->folder, "does not take the file to the disk");
	if (!put_in_place(target, error))
		return false;
	sync_folder(target->answer, draft->folder);
	return true;
}

static bool store_over(const struct answer *answer, const struct reader *reader,
	struct seq_record *record, GError **error)
{
	autodraft draft = {.folder = -1, .fd = -1};
	g_autofree char *folder = g_path_get_dirname(record->path);
	g_autofree char *name = g_path_get_basename(record->path);
	struct target target = {
		.answer = answer,
		.record = record,
		.folder = folder,
		.name = name,
		.original = -1,
		.draft = &draft,
	};
	bool ok = store_beside(&target, reader, error);

	if (target.original >= 0)
		close(target.original);
	return ok;
}

/* -- elsewhere --------------------------------------------------------------------------------- */

/* For the user alone, since others may look into that folder. */
static bool store_in(const struct answer *answer, const struct reader *reader,
	struct seq_record *record, const char *folder, GError **error)
{
	autodraft draft = {.folder = -1, .fd = -1};
	g_autofree char *name = g_path_get_basename(record->path);
	g_autofree char *placed = NULL;

	if (!draft_open(&draft, folder, error) || !fill(reader, &draft, error))
		return false;
	if (fchmod(draft.fd, 0600) < 0 || fsync(draft.fd) < 0)
		return fail_errno(error, folder, "does not take the file to the disk");
	placed = place_beside(&draft, name, SUFFIX_ELSEWHERE);
	if (!placed)
		return fail_errno(error, folder, "takes no new file");
	sync_folder(answer, draft.folder);
	record->state = SEQ_ELSEWHERE;
	record->detail = g_build_filename(folder, placed, NULL);
	return true;
}

static void note_failure(
	const struct answer *answer, const char *what, const char *path, const GError *error)
{
	g_autofree char *shown = vm_printable(path, -1);
	g_autofree char *words = g_strdup_printf("%s %s: %s", what, shown, error->message);

	note(answer, words);
}

/*
 * Whatever went wrong at one place, the next is tried: a device that cannot be read fails at all of
 * them alike, and nothing but time is lost.
 */
static bool store(const struct answer *answer, const struct reader *reader,
	struct seq_record *record, GError **error)
{
	g_autoptr(GError) first = NULL;

	if (store_over(answer, reader, record, &first))
		return true;
	note_failure(answer, "the answer could not be stored in the place of", record->path, first);
	for (const char *const *folder = answer->elsewhere; *folder; folder++) {
		g_autoptr(GError) next = NULL;

		if (store_in(answer, reader, record, *folder, &next))
			return true;
		note_failure(answer, "nor in", *folder, next);
	}
	g_propagate_prefixed_error(error, g_steal_pointer(&first),
		"The answer could not be stored anywhere, and the file is as it was: ");
	return false;
}

/* -- the whole --------------------------------------------------------------------------------- */

/* What a VM wrote that breaks the rules is refused; there is no telling it from a bad device. */
static bool read_header(const struct answer *answer, struct reader *reader,
	struct seq_record *record, GError **error)
{
	g_autoptr(GError) cause = NULL;

	if (reader_start(reader, answer->in, answer->offset, &cause))
		return true;
	if (!reader->refused) {
		g_propagate_error(error, g_steal_pointer(&cause));
		return false;
	}
	record->state = SEQ_REFUSED;
	g_set_error(error, VM_ERROR, VM_EXIT_ERROR, "%s", cause->message);
	return false;
}

static bool receive(const struct answer *answer, struct seq_record *record, GError **error)
{
	struct reader reader;
	bool ok;

	record->state = SEQ_FAILED;
	if (!read_header(answer, &reader, record, error))
		return false;
	ok = store(answer, &reader, record, error);
	reader_finish(&reader);
	return ok;
}

bool answer_store(const struct answer *answer, struct seq_record *out, GError **error)
{
	struct seq_record record;
	g_autoptr(GError) cause = NULL;
	g_autoptr(GError) finish_error = NULL;
	bool ok;

	if (!seqstore_take(answer->store, answer->untrusted_seq, answer->again, &record, error))
		return false;
	ok = receive(answer, &record, &cause);
	if (!ok)
		record.detail = g_strdup(cause->message);
	/* It is stored, or not, whether that can be put down or not. One that found no room is not
	 * over: its record stays taken, for another try. */
	if (record.state != SEQ_FAILED &&
		!seqstore_finish(answer->store, answer->untrusted_seq, &record, &finish_error))
		note(answer, finish_error->message);
	if (ok)
		*out = record;
	else
		seq_record_finish(&record);
	if (!ok)
		g_propagate_error(error, g_steal_pointer(&cause));
	return ok;
}
