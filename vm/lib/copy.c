/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "fail.h"
#include "fatname.h"
#include "scope.h"

/* copy_file_range(2) does not cross from one kind of file system to another, so we read and write.
 */
#define BUFFER_BYTES (1u << 20)
/* So much of a file may be on its way onto the pendrive: enough for the disk never to wait for us.
 */
#define UNDER_WAY_BYTES (8u << 20)

struct copy {
	const struct copy_terms *terms;
	bool received;      /* from a pendrive, which has the limits of one; else onto one */
	const char *target; /* what it is copied to, in messages */
	struct copy_progress *progress;
	char *buffer;
	GError **error;
};

static bool fail_at(struct copy *copy, const char *path, const char *what, int err)
{
	g_autofree char *shown = vm_printable(path, -1);
	const bool full = err == ENOSPC && !copy->received;

	g_set_error(copy->error, VM_ERROR, VM_EXIT_FAILED, "%s %s: %s", shown, what,
		full ? "the pendrive is full, or was taken away" : g_strerror(err));
	return false;
}

/* The same of what was to be done at the target. */
static bool fail_target(struct copy *copy, const char *path, const char *verb, int err)
{
	g_autofree char *what = g_strdup_printf("could not be %s %s", verb, copy->target);

	return fail_at(copy, path, what, err);
}

static bool fail_changed(struct copy *copy, const char *path)
{
	g_autofree char *shown = vm_printable(path, -1);

	g_set_error(copy->error, VM_ERROR, VM_EXIT_FAILED,
		"%s changed while it was being copied; try again when it is at rest", shown);
	return false;
}

static bool is_stopped(struct copy *copy)
{
	if (!copy->terms->stop || !*copy->terms->stop)
		return false;
	g_set_error(copy->error, VM_ERROR, VM_EXIT_INTERRUPTED, "Interrupted while copying");
	return true;
}

static void tell(struct copy *copy)
{
	if (copy->terms->on_progress)
		copy->terms->on_progress(copy->progress, copy->terms->data);
}

static bool write_all(struct copy *copy, int fd, size_t len, const char *path)
{
	size_t done = 0;

	while (done < len) {
		ssize_t r = write(fd, copy->buffer + done, len - done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return fail_target(copy, path, "written to", errno);
		done += (size_t)r;
	}
	return true;
}

/* 0: its end; -1: an error, which is reported. */
static ssize_t read_some(struct copy *copy, int fd, const char *path)
{
	ssize_t r;

	do
		r = read(fd, copy->buffer, BUFFER_BYTES);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		fail_at(copy, path, "could not be read", errno);
	return r;
}

/* False: it did not arrive. That a file system knows no such call is no failure. */
static bool sync_range(int fd, uint64_t from, uint64_t len, unsigned flags)
{
	return sync_file_range(fd, (off_t)from, (off_t)len, flags) == 0 ||
	       (errno != EIO && errno != ENOSPC);
}

/*
 * What was written from `from` on is to go onto the pendrive now: left alone, the kernel begins
 * when a tenth of the memory is full of it, and halts whoever writes at a fifth. What has arrived
 * leaves the page cache, which the VM's other programs have more need of.
 */
static bool send_off(struct copy *copy, int fd, uint64_t from, uint64_t len, const char *path)
{
	if (copy->received || len < BUFFER_BYTES)
		return true;
	if (!sync_range(fd, from, len, SYNC_FILE_RANGE_WRITE))
		return fail_target(copy, path, "written to", errno);
	if (from < UNDER_WAY_BYTES)
		return true;
	from -= UNDER_WAY_BYTES;
	if (!sync_range(fd, from, len, SYNC_FILE_RANGE_WAIT_BEFORE))
		return fail_target(copy, path, "written to", errno);
	posix_fadvise(fd, (off_t)from, (off_t)len, POSIX_FADV_DONTNEED);
	return true;
}

/* Exactly the `size_bytes` that the file had when it was opened. */
static bool copy_bytes(struct copy *copy, int in, int out, uint64_t size_bytes, const char *path)
{
	uint64_t left = size_bytes;

	for (;;) {
		ssize_t r;

		if (is_stopped(copy))
			return false;
		r = read_some(copy, in, path);
		if (r < 0)
			return false;
		if ((uint64_t)r > left || (r == 0 && left))
			return fail_changed(copy, path);
		if (r == 0)
			return true;
		if (!write_all(copy, out, (size_t)r, path) ||
			!send_off(copy, out, size_bytes - left, (uint64_t)r, path))
			return false;
		left -= (uint64_t)r;
		copy->progress->bytes += (uint64_t)r;
		tell(copy);
	}
}

static bool keep_time(struct copy *copy, int fd, const struct stat *st, const char *path)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st->st_mtim};

	if (futimens(fd, times) == 0)
		return true;
	return fail_at(copy, path, "could not be given its time of modification", errno);
}

static bool is_unchanged(const struct stat *before, int fd)
{
	struct stat now;

	return fstat(fd, &now) == 0 && now.st_size == before->st_size &&
	       now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
	       now.st_mtim.tv_nsec == before->st_mtim.tv_nsec;
}

/* File systems tell times by this clock: a write that follows in its tick changes no time. */
static bool is_racy(const struct stat *st)
{
	struct timespec now;

	if (clock_gettime(CLOCK_REALTIME_COARSE, &now) < 0)
		return true;
	return st->st_ctim.tv_sec > now.tv_sec ||
	       (st->st_ctim.tv_sec == now.tv_sec && st->st_ctim.tv_nsec >= now.tv_nsec);
}

static void note_copied(struct tree_node *node, const struct stat *st)
{
	node->copied = true;
	node->racy = !node->is_folder && is_racy(st);
	node->copied_as = *st;
}

static bool copy_file(struct copy *copy, int from, int to, struct tree_node *node, const char *path)
{
	/* Should a FIFO stand there by now, opening it does not wait for a writer. */
	autofd in = openat(
		from, node->source, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	autofd out = -1;
	struct stat st;

	if (in < 0 || fstat(in, &st) < 0)
		return fail_at(copy, path, "could not be opened", errno);
	posix_fadvise(in, 0, 0, POSIX_FADV_SEQUENTIAL); /* reads twice as far ahead */
	if (!S_ISREG(st.st_mode) || (!copy->received && (uint64_t)st.st_size > FAT_FILE_MAX_BYTES))
		return fail_changed(copy, path);
	out = openat(to, node->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (out < 0)
		return fail_target(copy, path, "made on", errno);
	if (!copy_bytes(copy, in, out, (uint64_t)st.st_size, path))
		return false;
	if (!is_unchanged(&st, in))
		return fail_changed(copy, path);
	if (!keep_time(copy, out, &st, path))
		return false;
	if (close(steal_fd(&out)) < 0)
		return fail_target(copy, path, "written to", errno);
	note_copied(node, &st);
	copy->progress->files++;
	tell(copy);
	return true;
}

static bool copy_children(
	struct copy *copy, int from, int to, const struct tree_node *folder, const char *path);

static bool copy_folder(
	struct copy *copy, int from, int to, struct tree_node *node, const char *path)
{
	autofd in = openat(from, node->source, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	autofd out = -1;
	struct stat st;

	if (in < 0 || fstat(in, &st) < 0)
		return fail_at(copy, path, "could not be opened", errno);
	if (mkdirat(to, node->name, 0777) < 0)
		return fail_target(copy, path, "made on", errno);
	out = openat(to, node->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (out < 0)
		return fail_target(copy, path, "opened on", errno);
	note_copied(node, &st);
	/* The time last: every file made in it would change it. */
	return copy_children(copy, in, out, node, path) && keep_time(copy, out, &st, path);
}

static bool copy_children(
	struct copy *copy, int from, int to, const struct tree_node *folder, const char *path)
{
	for (guint i = 0; i < folder->children->len; i++) {
		struct tree_node *node = g_ptr_array_index(folder->children, i);
		g_autofree char *inner = g_build_filename(path, node->source, NULL);
		bool ok;

		if (is_stopped(copy))
			return false;
		copy->progress->path = inner;
		ok = node->is_folder ? copy_folder(copy, from, to, node, inner)
				     : copy_file(copy, from, to, node, inner);
		copy->progress->path = NULL;
		if (!ok)
			return false;
	}
	return true;
}

bool copy_tree(struct tree *tree, int target_fd, const struct copy_terms *terms,
	struct copy_progress *done, GError **error)
{
	struct copy copy = {
		.terms = terms,
		.received = tree->received,
		.target = tree->received ? "the folder" : "the pendrive",
		.progress = done,
		.buffer = g_malloc(BUFFER_BYTES),
		.error = error,
	};
	bool ok;

	*done = (struct copy_progress){0};
	ok = copy_children(&copy, tree->from_fd, target_fd, &tree->root, "");
	g_free(copy.buffer);
	return ok;
}
