/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Preloaded into a program, it stands between that program and everything by which it changes the
 * world: xenstore, files, block devices, the bus, processes. It counts these side effects, writes
 * them down, and ends the program by SIGKILL before the one with a given number. No code of the
 * program knows of it, so no place can have been forgotten there; what is not counted is what is
 * not in this file.
 *
 *     QFX_CRASH_PROGRAM  the name of the program that is meant; what it starts is left alone
 *     QFX_CRASH_AT       die before the side effect of this number, the first being 1
 *     QFX_CRASH_FULL_AT  the disk is full from this number on of the times that a file below a
 *                        folder is made, written or named; "full" is the CALL in the log
 *     QFX_CRASH_FULL_DISK  that folder
 *     QFX_CRASH_LOG      a file to which a line is added for each side effect:
 *                        PID NUMBER CALL RESULT ARGUMENT..., separated by tabs, the arguments with
 *                        escapes of C; "die" as the CALL is the last one of a PID
 *
 * What happens inside a transaction of xenstore is one side effect, its end; the log has the writes
 * in it too, with the number 0. Files are followed for tests/store/powerloss.py: the log says what
 * was written where, by the number of the inode.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What is exported here is not declared anywhere: the headers' own declarations would get in the
 * way of their macros. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wmissing-declarations"
#define INSTEAD_OF __attribute__((visibility("default")))

/* More of one write is not logged; the log then says how long it was. */
#define LOG_BYTES_MAX 8192
#define LINE_MAX_BYTES (4 * LOG_BYTES_MAX + 2 * 4096)

static bool is_meant;
static unsigned long crash_at; /* 0: never */
static unsigned long full_at;  /* 0: never */
static const char *full_disk;
static int log_fd = -1;
static atomic_ulong last_number;
static atomic_ulong last_room;

/* The next definition of a symbol behind ours. */
#define REAL(name)                                                                                 \
	static __typeof__(&(name)) real;                                                           \
	if (!real)                                                                                 \
	*(void **)(&real) = dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void)
{
	const char *program = getenv("QFX_CRASH_PROGRAM");
	const char *at = getenv("QFX_CRASH_AT");
	const char *full = getenv("QFX_CRASH_FULL_AT");
	const char *log = getenv("QFX_CRASH_LOG");

	if (!program || strcmp(program, program_invocation_short_name) != 0)
		return;
	if (log)
		log_fd = (int)syscall(
			SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (at)
		crash_at = strtoul(at, NULL, 10);
	full_disk = getenv("QFX_CRASH_FULL_DISK");
	if (full && full_disk)
		full_at = strtoul(full, NULL, 10);
	is_meant = true;
}

/* ---- the log ---- */

struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
};

static void add_char(struct line *line, char c)
{
	if (line->len < sizeof line->text - 1)
		line->text[line->len++] = c;
}

static void add_text(struct line *line, const char *text)
{
	while (*text)
		add_char(line, *text++);
}

static void add_bytes(struct line *line, const void *data, size_t len)
{
	const unsigned char *bytes = data;

	if (len > LOG_BYTES_MAX)
		len = LOG_BYTES_MAX;
	add_char(line, '\t');
	for (size_t i = 0; i < len; i++) {
		char escape[8];

		if (bytes[i] >= ' ' && bytes[i] < 0x7f && bytes[i] != '\\') {
			add_char(line, (char)bytes[i]);
			continue;
		}
		(void)snprintf(escape, sizeof escape, "\\x%02x", bytes[i]);
		add_text(line, escape);
	}
}

static void add_number(struct line *line, long long number)
{
	char text[32];

	(void)snprintf(text, sizeof text, "\t%lld", number);
	add_text(line, text);
}

static void add_string(struct line *line, const char *text)
{
	add_bytes(line, text, strlen(text));
}

#define PATH_BYTES 4096 /* PATH_MAX of <linux/limits.h> */

/* From the root on, as far as it fits; in `path` unless `name` is that already. */
static const char *whole_path(char path[static PATH_BYTES], int folder, const char *name)
{
	char link[64];
	ssize_t n;

	if (*name == '/')
		return name;
	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
	n = readlink(folder == AT_FDCWD ? "/proc/self/cwd" : link, path, PATH_BYTES - 1);
	path[n < 0 ? 0 : n] = '\0';
	if (strlen(path) + strlen(name) + 2 < PATH_BYTES) {
		strcat(path, "/");
		strcat(path, name);
	}
	return path;
}

/* A name as the program gave it, absolute. */
static void add_path(struct line *line, int folder, const char *name)
{
	char path[PATH_BYTES];

	add_string(line, whole_path(path, folder, name));
}

/* Which file it is, whatever it is called. */
static void add_inode(struct line *line, int fd)
{
	struct stat st = {0};

	(void)fstat(fd, &st);
	add_number(line, (long long)st.st_ino);
}

static void begin_line(struct line *line, unsigned long number, const char *call, long result)
{
	char head[96];

	line->len = 0;
	(void)snprintf(
		head, sizeof head, "%ld\t%lu\t%s\t%ld", (long)getpid(), number, call, result);
	add_text(line, head);
}

static void end_line(struct line *line)
{
	add_char(line, '\n');
	if (log_fd >= 0)
		syscall(SYS_write, log_fd, line->text, line->len);
}

static bool is_logged(void)
{
	return is_meant && log_fd >= 0;
}

/* ---- the points ---- */

/* The number of the side effect that comes now; does not return from the one that is not to be. */
static unsigned long point(void)
{
	unsigned long number;

	if (!is_meant)
		return 0;
	number = atomic_fetch_add(&last_number, 1) + 1;
	if (number == crash_at) {
		struct line *line = calloc(1, sizeof *line);

		if (line) {
			begin_line(line, number, "die", 0);
			end_line(line);
		}
		syscall(SYS_kill, getpid(), SIGKILL);
		for (;;)
			pause();
	}
	return number;
}

/* Log what was done, with these arguments, and keep errno. */
#define LOG(number, call, result, ...)                                                             \
	do {                                                                                       \
		int saved_errno = errno;                                                           \
		struct line *line = is_logged() ? calloc(1, sizeof *line) : NULL;                  \
                                                                                                   \
		if (line) {                                                                        \
			begin_line(line, number, call, (long)(result));                            \
			__VA_ARGS__;                                                               \
			end_line(line);                                                            \
		}                                                                                  \
		free(line);                                                                        \
		errno = saved_errno;                                                               \
	} while (0)

/* Whether there is no room for what comes now; errno says so. */
static bool is_full(int folder, const char *name)
{
	char path[PATH_BYTES];

	if (strncmp(whole_path(path, folder, name), full_disk, strlen(full_disk)) != 0 ||
		atomic_fetch_add(&last_room, 1) + 1 < full_at)
		return false;
	LOG(0, "full", 0, add_path(line, folder, name));
	errno = ENOSPC;
	return true;
}

/* Pipes, sockets, terminals and logs are no state that anybody finds later. */
static bool is_file(int fd)
{
	int saved_errno = errno;
	struct stat st;
	bool yes = is_meant && fd > STDERR_FILENO && fstat(fd, &st) == 0 &&
		   (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));

	errno = saved_errno;
	return yes;
}

/* Devices are never full. */
static bool is_full_for(int fd)
{
	int saved_errno = errno;
	struct stat st;
	bool is_regular = is_meant && full_at && fd > STDERR_FILENO && fstat(fd, &st) == 0 &&
			  S_ISREG(st.st_mode);

	errno = saved_errno;
	return is_regular && is_full(fd, ".");
}

/* What is there already needs no more room for its name. */
static bool is_full_for_name(int folder, const char *path)
{
	int saved_errno = errno;
	bool is_new =
		is_meant && full_at && faccessat(folder, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0;

	errno = saved_errno;
	return is_new && is_full(folder, path);
}

/* ---- xenstore ---- */

struct xs_handle;
struct xs_permissions;
typedef uint32_t xs_transaction_t;

bool xs_write(
	struct xs_handle *h, xs_transaction_t t, const char *path, const void *data, unsigned len);
bool xs_mkdir(struct xs_handle *h, xs_transaction_t t, const char *path);
bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path);
bool xs_set_permissions(struct xs_handle *h, xs_transaction_t t, const char *path,
	struct xs_permissions *perms, unsigned n);
bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort);

INSTEAD_OF bool xs_write(
	struct xs_handle *h, xs_transaction_t t, const char *path, const void *data, unsigned len)
{
	REAL(xs_write);
	unsigned long number = t ? 0 : point();
	bool ok = real(h, t, path, data, len);

	LOG(number, "xs_write", ok, add_number(line, t), add_string(line, path),
		add_bytes(line, data, len));
	return ok;
}

INSTEAD_OF bool xs_mkdir(struct xs_handle *h, xs_transaction_t t, const char *path)
{
	REAL(xs_mkdir);
	unsigned long number = t ? 0 : point();
	bool ok = real(h, t, path);

	LOG(number, "xs_mkdir", ok, add_number(line, t), add_string(line, path));
	return ok;
}

INSTEAD_OF bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
	REAL(xs_rm);
	unsigned long number = t ? 0 : point();
	bool ok = real(h, t, path);

	LOG(number, "xs_rm", ok, add_number(line, t), add_string(line, path));
	return ok;
}

INSTEAD_OF bool xs_set_permissions(struct xs_handle *h, xs_transaction_t t, const char *path,
	struct xs_permissions *perms, unsigned n)
{
	REAL(xs_set_permissions);
	unsigned long number = t ? 0 : point();
	bool ok = real(h, t, path, perms, n);

	LOG(number, "xs_set_permissions", ok, add_number(line, t), add_string(line, path));
	return ok;
}

/* One that is aborted changes nothing. */
INSTEAD_OF bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
	REAL(xs_transaction_end);
	unsigned long number = abort ? 0 : point();
	bool ok = real(h, t, abort);

	LOG(number, "xs_transaction_end", ok, add_number(line, t), add_number(line, abort));
	return ok;
}

/* ---- files ---- */

/* A name that may be made, or a file that is emptied. */
static bool makes(int flags)
{
	return (flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE;
}

static bool needs_name(int flags)
{
	return (flags & O_CREAT) && (flags & O_TMPFILE) != O_TMPFILE;
}

static mode_t mode_of(int flags, va_list *args)
{
	return makes(flags) ? va_arg(*args, mode_t) : 0;
}

#define OPEN_AT(name)                                                                              \
	INSTEAD_OF int name(int folder, const char *path, int flags, ...)                          \
	{                                                                                          \
		REAL(name);                                                                        \
		unsigned long number = makes(flags) ? point() : 0;                                 \
		mode_t mode;                                                                       \
		va_list args;                                                                      \
		int fd;                                                                            \
                                                                                                   \
		va_start(args, flags);                                                             \
		mode = mode_of(flags, &args);                                                      \
		va_end(args);                                                                      \
		if (needs_name(flags) && is_full_for_name(folder, path))                           \
			return -1;                                                                 \
		fd = real(folder, path, flags, mode);                                              \
		if (number && fd >= 0)                                                             \
			LOG(number, "open", 0, add_path(line, folder, path), add_inode(line, fd),  \
				add_number(line, (flags & O_TMPFILE) == O_TMPFILE),                \
				add_number(line, (flags & O_TRUNC) != 0));                         \
		return fd;                                                                         \
	}

#define OPEN(name)                                                                                 \
	INSTEAD_OF int name(const char *path, int flags, ...)                                      \
	{                                                                                          \
		REAL(name);                                                                        \
		unsigned long number = makes(flags) ? point() : 0;                                 \
		mode_t mode;                                                                       \
		va_list args;                                                                      \
		int fd;                                                                            \
                                                                                                   \
		va_start(args, flags);                                                             \
		mode = mode_of(flags, &args);                                                      \
		va_end(args);                                                                      \
		if (needs_name(flags) && is_full_for_name(AT_FDCWD, path))                         \
			return -1;                                                                 \
		fd = real(path, flags, mode);                                                      \
		if (number && fd >= 0)                                                             \
			LOG(number, "open", 0, add_path(line, AT_FDCWD, path),                     \
				add_inode(line, fd),                                               \
				add_number(line, (flags & O_TMPFILE) == O_TMPFILE),                \
				add_number(line, (flags & O_TRUNC) != 0));                         \
		return fd;                                                                         \
	}

OPEN(open)
OPEN(open64)
OPEN_AT(openat)
OPEN_AT(openat64)

INSTEAD_OF ssize_t write(int fd, const void *data, size_t len)
{
	REAL(write);
	unsigned long number = is_file(fd) ? point() : 0;
	ssize_t n = is_full_for(fd) ? -1 : real(fd, data, len);

	if (number && n > 0)
		LOG(number, "write", n, add_inode(line, fd),
			add_number(line, lseek(fd, 0, SEEK_CUR) - n),
			add_bytes(line, data, (size_t)n));
	return n;
}

#define PWRITE(name, offset_t)                                                                     \
	INSTEAD_OF ssize_t name(int fd, const void *data, size_t len, offset_t offset)             \
	{                                                                                          \
		REAL(name);                                                                        \
		unsigned long number = is_file(fd) ? point() : 0;                                  \
		ssize_t n = is_full_for(fd) ? -1 : real(fd, data, len, offset);                    \
                                                                                                   \
		if (number && n > 0)                                                               \
			LOG(number, "write", n, add_inode(line, fd), add_number(line, offset),     \
				add_bytes(line, data, (size_t)n));                                 \
		return n;                                                                          \
	}

PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define FTRUNCATE(name, offset_t)                                                                  \
	INSTEAD_OF int name(int fd, offset_t len)                                                  \
	{                                                                                          \
		REAL(name);                                                                        \
		unsigned long number = is_file(fd) ? point() : 0;                                  \
		int rc = len && is_full_for(fd) ? -1 : real(fd, len);                              \
                                                                                                   \
		if (number && rc == 0)                                                             \
			LOG(number, "truncate", rc, add_inode(line, fd), add_number(line, len));   \
		return rc;                                                                         \
	}

FTRUNCATE(ftruncate, off_t)
FTRUNCATE(ftruncate64, off64_t)

#define FALLOCATE(name, offset_t)                                                                  \
	INSTEAD_OF int name(int fd, int mode, offset_t offset, offset_t len)                       \
	{                                                                                          \
		REAL(name);                                                                        \
		unsigned long number = is_file(fd) ? point() : 0;                                  \
		int rc = mode == 0 && is_full_for(fd) ? -1 : real(fd, mode, offset, len);          \
                                                                                                   \
		if (number && rc == 0 && mode == 0)                                                \
			LOG(number, "allocate", rc, add_inode(line, fd),                           \
				add_number(line, offset + len));                                   \
		return rc;                                                                         \
	}

FALLOCATE(fallocate, off_t)
FALLOCATE(fallocate64, off64_t)

/* copy_file_range and its like: what was copied is read from the file that it came to. */
#define COPY_RANGE_BYTES 4096
INSTEAD_OF ssize_t copy_file_range(
	int in, off64_t *in_offset, int out, off64_t *out_offset, size_t len, unsigned flags)
{
	REAL(copy_file_range);
	unsigned long number = is_file(out) ? point() : 0;
	off64_t at = out_offset ? *out_offset : lseek(out, 0, SEEK_CUR);
	ssize_t n = is_full_for(out) ? -1 : real(in, in_offset, out, out_offset, len, flags);

	if (number && n > 0) {
		char copied[COPY_RANGE_BYTES];
		ssize_t got = pread(out, copied, sizeof copied, at);

		LOG(number, "write", n, add_inode(line, out), add_number(line, at),
			add_bytes(line, copied, got < n ? (size_t)(got < 0 ? 0 : got) : (size_t)n));
	}
	return n;
}

/* fsync and what does as much; a folder's takes its names to the disk. */
#define SYNC(name, call)                                                                           \
	INSTEAD_OF int name(int fd)                                                                \
	{                                                                                          \
		REAL(name);                                                                        \
		unsigned long number = is_meant ? point() : 0;                                     \
		int rc = real(fd);                                                                 \
                                                                                                   \
		if (rc == 0)                                                                       \
			LOG(number, call, rc, add_inode(line, fd), add_path(line, fd, "."));       \
		return rc;                                                                         \
	}

SYNC(fsync, "sync")
SYNC(fdatasync, "sync")
SYNC(syncfs, "syncfs")

/* Calls about names: the paths, and for those that give a file one more name its inode. */
#define NAMES(number, call, rc, ...)                                                               \
	do {                                                                                       \
		if ((rc) == 0)                                                                     \
			LOG(number, call, rc, __VA_ARGS__);                                        \
	} while (0)

INSTEAD_OF int unlink(const char *path)
{
	REAL(unlink);
	unsigned long number = point();
	int rc = real(path);

	NAMES(number, "unlink", rc, add_path(line, AT_FDCWD, path));
	return rc;
}

INSTEAD_OF int unlinkat(int folder, const char *path, int flags)
{
	REAL(unlinkat);
	unsigned long number = point();
	int rc = real(folder, path, flags);

	NAMES(number, "unlink", rc, add_path(line, folder, path));
	return rc;
}

INSTEAD_OF int rmdir(const char *path)
{
	REAL(rmdir);
	unsigned long number = point();
	int rc = real(path);

	NAMES(number, "unlink", rc, add_path(line, AT_FDCWD, path));
	return rc;
}

INSTEAD_OF int rename(const char *from, const char *to)
{
	REAL(rename);
	unsigned long number = point();
	int rc = is_full_for_name(AT_FDCWD, to) ? -1 : real(from, to);

	NAMES(number, "rename", rc, add_path(line, AT_FDCWD, from), add_path(line, AT_FDCWD, to));
	return rc;
}

INSTEAD_OF int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
	REAL(renameat);
	unsigned long number = point();
	int rc = is_full_for_name(to_folder, to) ? -1 : real(from_folder, from, to_folder, to);

	NAMES(number, "rename", rc, add_path(line, from_folder, from),
		add_path(line, to_folder, to));
	return rc;
}

#define EXCHANGE 2u /* RENAME_EXCHANGE */
INSTEAD_OF int renameat2(
	int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
	REAL(renameat2);
	unsigned long number = point();
	int rc = is_full_for_name(to_folder, to) ? -1
						 : real(from_folder, from, to_folder, to, flags);

	NAMES(number, flags & EXCHANGE ? "exchange" : "rename", rc,
		add_path(line, from_folder, from), add_path(line, to_folder, to));
	return rc;
}

/* The inode of a name that was just made. */
static void add_inode_of(struct line *line, int folder, const char *path)
{
	struct stat st = {0};

	(void)fstatat(folder, path, &st, AT_SYMLINK_NOFOLLOW);
	add_number(line, (long long)st.st_ino);
}

INSTEAD_OF int link(const char *from, const char *to)
{
	REAL(link);
	unsigned long number = point();
	int rc = is_full_for_name(AT_FDCWD, to) ? -1 : real(from, to);

	NAMES(number, "link", rc, add_path(line, AT_FDCWD, to), add_inode_of(line, AT_FDCWD, to));
	return rc;
}

INSTEAD_OF int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
	REAL(linkat);
	unsigned long number = point();
	int rc = is_full_for_name(to_folder, to) ? -1
						 : real(from_folder, from, to_folder, to, flags);

	NAMES(number, "link", rc, add_path(line, to_folder, to), add_inode_of(line, to_folder, to));
	return rc;
}

INSTEAD_OF int symlink(const char *target, const char *path)
{
	REAL(symlink);
	unsigned long number = point();
	int rc = is_full_for_name(AT_FDCWD, path) ? -1 : real(target, path);

	NAMES(number, "symlink", rc, add_path(line, AT_FDCWD, path), add_string(line, target));
	return rc;
}

INSTEAD_OF int mkdir(const char *path, mode_t mode)
{
	REAL(mkdir);
	unsigned long number = point();
	int rc = is_full_for_name(AT_FDCWD, path) ? -1 : real(path, mode);

	NAMES(number, "mkdir", rc, add_path(line, AT_FDCWD, path));
	return rc;
}

INSTEAD_OF int mkdirat(int folder, const char *path, mode_t mode)
{
	REAL(mkdirat);
	unsigned long number = point();
	int rc = is_full_for_name(folder, path) ? -1 : real(folder, path, mode);

	NAMES(number, "mkdir", rc, add_path(line, folder, path));
	return rc;
}

INSTEAD_OF int chmod(const char *path, mode_t mode)
{
	REAL(chmod);
	unsigned long number = point();
	int rc = real(path, mode);

	NAMES(number, "chmod", rc, add_path(line, AT_FDCWD, path), add_number(line, mode));
	return rc;
}

INSTEAD_OF int fchmod(int fd, mode_t mode)
{
	REAL(fchmod);
	unsigned long number = point();
	int rc = real(fd, mode);

	NAMES(number, "fchmod", rc, add_inode(line, fd), add_number(line, mode));
	return rc;
}

/* ---- devices ---- */

/* <linux/loop.h> has them: LOOP_SET_FD, LOOP_CLR_FD, ... LOOP_CONFIGURE, and LOOP_CTL_ADD, ... */
static bool is_loop_request(unsigned long request)
{
	return (request & ~0xffUL) == 0x4c00;
}

INSTEAD_OF int ioctl(int fd, unsigned long request, ...)
{
	REAL(ioctl);
	unsigned long number = is_meant && is_loop_request(request) ? point() : 0;
	va_list args;
	void *arg;
	int rc;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	rc = real(fd, request, arg);
	if (number)
		LOG(number, "ioctl", rc, add_number(line, (long long)request));
	return rc;
}

/* ---- processes ---- */

INSTEAD_OF pid_t fork(void)
{
	REAL(fork);
	unsigned long number = point();
	pid_t pid = real();

	if (pid == 0)
		is_meant = false; /* until it becomes another program */
	else
		LOG(number, "fork", pid, (void)0);
	return pid;
}

#define SPAWN(name)                                                                                \
	INSTEAD_OF int name(pid_t *pid, const char *path,                                          \
		const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,          \
		char *const argv[], char *const envp[])                                            \
	{                                                                                          \
		REAL(name);                                                                        \
		unsigned long number = point();                                                    \
		int rc = real(pid, path, actions, attr, argv, envp);                               \
                                                                                                   \
		LOG(number, "spawn", rc, add_string(line, path));                                  \
		return rc;                                                                         \
	}

SPAWN(posix_spawn)
SPAWN(posix_spawnp)

INSTEAD_OF int kill(pid_t pid, int signal_number)
{
	REAL(kill);
	unsigned long number = signal_number ? point() : 0;
	int rc = real(pid, signal_number);

	if (number)
		LOG(number, "kill", rc, add_number(line, pid), add_number(line, signal_number));
	return rc;
}

/*
 * The bus, and libxenctrl as libxl calls it. Their arguments are only passed on: so many words
 * are enough for each of them, in registers and on the stack, and none of them is a double.
 */
#define WORDS(X) X(a), X(b), X(c), X(d), X(e), X(f), X(g), X(h), X(i), X(j), X(k), X(l)
#define TAKE_(name) uintptr_t name
#define GIVE_(name) name
#define OTHER(name)                                                                                \
	INSTEAD_OF uintptr_t name(WORDS(TAKE_));                                                   \
	INSTEAD_OF uintptr_t name(WORDS(TAKE_))                                                    \
	{                                                                                          \
		REAL(name);                                                                        \
		unsigned long number = point();                                                    \
		uintptr_t result = real(WORDS(GIVE_));                                             \
                                                                                                   \
		LOG(number, #name, result, (void)0);                                               \
		return result;                                                                     \
	}

OTHER(g_bus_own_name_on_connection)
OTHER(g_dbus_connection_call)
OTHER(g_dbus_connection_emit_signal)
OTHER(g_dbus_method_invocation_return_value)
OTHER(xc_domain_create)
OTHER(xc_domain_destroy)
OTHER(xc_domain_max_vcpus)
OTHER(xc_domain_pause)
OTHER(xc_domain_restore)
OTHER(xc_domain_save)
OTHER(xc_domain_setmaxmem)
OTHER(xc_domain_shutdown)
OTHER(xc_domain_unpause)
