/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the reader of a pendrive can do and what it cannot, and what is believed of it. That it
 * gives the right bytes of pendrives of all kinds is test_bulk's.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fail.h"
#include "reader.h"

#define SIZE ((size_t)3 << 20)
#define DONE 42

/* -- shut in --------------------------------------------------------------------------------- */

static int outside[2]; /* a pipe that is open when it is shut in */

static void try_nothing(void)
{
}

static void try_read_and_write(void)
{
	char byte = 'x';

	if (write(outside[1], &byte, 1) != 1 || read(outside[0], &byte, 1) != 1)
		_exit(1);
	(void)lseek(outside[0], 0, SEEK_SET);
}

static void try_open(void)
{
	(void)open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void try_stat(void)
{
	(void)access("/", F_OK);
}

static void try_socket(void)
{
	(void)socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void try_execve(void)
{
	char program[] = "/bin/true";
	char *argv[] = {program, NULL};
	char *none[] = {NULL};

	(void)execve(program, argv, none);
}

static void try_fork(void)
{
	if (fork() == 0)
		syscall(SYS_exit_group, DONE);
}

static void try_kill(void)
{
	(void)kill(getppid(), 0);
}

static void try_memory(void)
{
	(void)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void try_duplicate(void)
{
	(void)fcntl(outside[0], F_DUPFD_CLOEXEC, 3);
}

static void try_prctl(void)
{
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

struct shut_row {
	const char *label;
	void (*try)(void);
	bool allowed;
};

static const struct shut_row shut_rows[] = {
	{"nothing", try_nothing, true},
	{"read, write, seek", try_read_and_write, true},
	{"open", try_open, false},
	{"access", try_stat, false},
	{"socket", try_socket, false},
	{"execve", try_execve, false},
	{"fork", try_fork, false},
	{"kill", try_kill, false},
	{"mmap", try_memory, false},
	{"fcntl F_DUPFD", try_duplicate, false},
	{"prctl", try_prctl, false},
};

/* Each in a process of its own, which is killed by what it must not do. */
static void test_shut_in(gconstpointer data)
{
	const struct shut_row *row = data;
	pid_t pid;
	int status;

	g_assert_cmpint(pipe2(outside, O_CLOEXEC), ==, 0);
	pid = fork();
	g_assert_cmpint(pid, >=, 0);
	if (pid == 0) {
		if (!reader_shut_in())
			_exit(2);
		row->try();
		/* Without what a sanitizer does at an end. */
		syscall(SYS_exit_group, DONE);
	}
	g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
	if (row->allowed) {
		g_assert_true(WIFEXITED(status));
		g_assert_cmpint(WEXITSTATUS(status), ==, DONE);
	} else {
		g_assert_true(WIFSIGNALED(status));
		g_assert_cmpint(WTERMSIG(status), ==, SIGSYS);
	}
	close(outside[0]);
	close(outside[1]);
}

/* -- a pendrive ------------------------------------------------------------------------------ */

/* A pendrive without guards, that has a file of SIZE bytes; the caller closes it. */
static int make_pendrive(const char *name, uint64_t size_bytes)
{
	unsigned char header[QPEN_DVM_HEADER_BYTES] = {0};
	g_autofree char *bytes = g_malloc(SIZE);
	int fd = memfd_create("pendrive", MFD_CLOEXEC);

	g_assert_cmpint(fd, >=, 0);
	memset(bytes, 'f', SIZE);
	bytes[SIZE - 1] = 'l';
	for (unsigned i = 0; i < 8; i++)
		header[i] = (unsigned char)(size_bytes >> (8 * i));
	memcpy(header + 8, name, strlen(name));
	g_assert_cmpint(write(fd, header, sizeof header), ==, sizeof header);
	g_assert_cmpint(write(fd, bytes, SIZE), ==, SIZE);
	return fd;
}

static void assert_copied(const struct reader *reader)
{
	g_autofree char *bytes = g_malloc(SIZE + 1);
	g_autoptr(GError) error = NULL;
	int file = memfd_create("file", MFD_CLOEXEC);

	reader_copy(reader, file, &error);
	g_assert_no_error(error);
	g_assert_cmpint(pread(file, bytes, SIZE + 1, 0), ==, SIZE);
	g_assert_cmpint(bytes[0], ==, 'f');
	g_assert_cmpint(bytes[SIZE - 2], ==, 'f');
	g_assert_cmpint(bytes[SIZE - 1], ==, 'l');
	close(file);
}

static void test_any_number_of_times(void)
{
	int pendrive = make_pendrive("name", SIZE);
	g_autoptr(GError) error = NULL;
	struct reader reader;

	reader_start(&reader, pendrive, 0, &error);
	g_assert_no_error(error);
	g_assert_cmpstr(reader.header.name, ==, "name");
	assert_copied(&reader);
	assert_copied(&reader);
	reader_finish(&reader);
	reader_finish(&reader);
	close(pendrive);
}

struct refused_row {
	const char *label;
	const char *name;
	uint64_t size_bytes;
	uint64_t offset;
};

static const struct refused_row refused_rows[] = {
	{"one byte more than there is", "name", SIZE + 1, 0},
	{"a size that would wrap", "name", UINT64_MAX, 0},
	{"a folder", "../name", SIZE, 0},
	{"no name", "", SIZE, 0},
	{"guards that are larger than it", "name", SIZE, UINT64_C(1) << 40},
};

static void test_refused(gconstpointer data)
{
	const struct refused_row *row = data;
	int pendrive = make_pendrive(row->name, row->size_bytes);
	g_autoptr(GError) error = NULL;
	struct reader reader;

	g_assert_false(reader_start(&reader, pendrive, row->offset, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
	g_assert_true(reader.refused);
	close(pendrive);
}

static void test_no_pendrive(void)
{
	g_autoptr(GError) error = NULL;
	struct reader reader;
	int fds[2];

	g_assert_cmpint(pipe2(fds, O_CLOEXEC), ==, 0);
	g_assert_false(reader_start(&reader, fds[0], 0, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
	close(fds[0]);
	close(fds[1]);
}

/* -- a reader that is in the hands of the other VM --------------------------------------------- */

/* What a sound reader says of that pendrive, for a liar to begin with. */
static GByteArray *sound_words(void)
{
	int pendrive = make_pendrive("name", SIZE);
	GByteArray *said = g_byte_array_new();
	guint8 buffer[4096];
	int ends[2];
	pid_t pid;
	ssize_t r;

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		reader_serve(pendrive, ends[1], 0);
	}
	close(ends[1]);
	shutdown(ends[0], SHUT_WR);
	while ((r = read(ends[0], buffer, sizeof buffer)) > 0)
		g_byte_array_append(said, buffer, (guint)r);
	g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
	close(ends[0]);
	close(pendrive);
	return said;
}

/* The end that a program has of a reader which said that, and no more. */
static int liar(const GByteArray *words, guint len)
{
	int ends[2];

	g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
	g_assert_cmpint(write(ends[1], words->data, len), ==, len);
	g_assert_cmpint(shutdown(ends[1], SHUT_WR), ==, 0);
	close(ends[1]);
	return ends[0];
}

static void test_lies(void)
{
	g_autoptr(GByteArray) words = sound_words();
	guint name = words->len - QPEN_DVM_HEADER_BYTES + QPEN_DVM_SIZE_BYTES;
	g_autoptr(GError) error = NULL;
	struct reader reader;
	int in = liar(words, words->len);
	int file = memfd_create("file", MFD_CLOEXEC);

	/* The words themselves are right. */
	g_assert_true(reader_start(&reader, in, 0, &error));
	/* The bytes do not come. */
	g_assert_false(reader_copy(&reader, file, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
	g_clear_error(&error);
	reader_finish(&reader);
	close(in);

	in = liar(words, words->len - 1);
	g_assert_false(reader_start(&reader, in, 0, &error));
	g_assert_false(reader.refused);
	g_clear_error(&error);
	close(in);

	g_assert_cmpint(words->data[name], ==, 'n');
	words->data[name + 1] = '/';
	in = liar(words, words->len);
	g_assert_false(reader_start(&reader, in, 0, &error));
	g_assert_true(reader.refused);
	close(in);
	close(file);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(shut_rows); i++) {
		g_autofree char *path =
			g_strconcat("/vm/reader/shut-in/", shut_rows[i].label, NULL);

		g_test_add_data_func(path, &shut_rows[i], test_shut_in);
	}
	g_test_add_func("/vm/reader/any-number-of-times", test_any_number_of_times);
	for (size_t i = 0; i < G_N_ELEMENTS(refused_rows); i++) {
		g_autofree char *path =
			g_strconcat("/vm/reader/refused/", refused_rows[i].label, NULL);

		g_test_add_data_func(path, &refused_rows[i], test_refused);
	}
	g_test_add_func("/vm/reader/no-pendrive", test_no_pendrive);
	g_test_add_func("/vm/reader/lies", test_lies);
	return g_test_run();
}
