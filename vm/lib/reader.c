/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blockio.h"
#include "fail.h"
#include "scope.h"

/* The other end wants the file's bytes. */
#define WORD_BODY 'b'
/* A socket takes so much at once where its owner may not have more; each fill costs a switch. */
#define SOCKET_BYTES (1 << 20)

/* What the reader says first. Both ends are of one build. */
enum hello_kind {
	HELLO_OK,
	HELLO_REFUSED,    /* by `result` */
	HELLO_UNREADABLE, /* the pendrive, by `err` */
	HELLO_HELPLESS,   /* this VM, by `err` */
};

struct hello {
	enum hello_kind kind;
	enum dvm_result result;
	int err;
	uint64_t data_bytes; /* how much the pendrive holds between its guards */
	unsigned char header[QPEN_DVM_HEADER_BYTES];
};

G_STATIC_ASSERT(BLOCKIO_BYTES > QPEN_DVM_HEADER_BYTES);

/* -- the reader's end ---------------------------------------------------------------------------
 */

static bool allow(scmp_filter_ctx filter)
{
	const int calls[] = {SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(pread64), SCMP_SYS(lseek),
		SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn),
		SCMP_SYS(restart_syscall)};
	/* O_DIRECT is given up where the pendrive's end is in the middle of a sector. */
	const int commands[] = {F_GETFL, F_SETFL};

	for (size_t i = 0; i < G_N_ELEMENTS(calls); i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0) < 0)
			return false;
	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
		const struct scmp_arg_cmp command = {
			.arg = 1, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)commands[i]};

		if (seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, &command) <
			0)
			return false;
	}
	return true;
}

bool reader_shut_in(void)
{
	const struct rlimit none = {0, 0};
	scmp_filter_ctx filter;
	int rc;

	/* No core file with what the other VM wrote, and nobody of the same user looks in. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return false;
	filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	/* libseccomp asks the kernel for it first. */
	errno = ENOSYS;
	if (!filter)
		return false;
	rc = allow(filter) ? seccomp_load(filter) : -EINVAL;
	seccomp_release(filter);
	errno = -rc;
	return rc == 0;
}

/* How many bytes are between the guards. Nothing of them is read. */
static int find_data(int device, uint64_t offset, uint64_t *out)
{
	uint64_t size;
	int rc = blockio_size(device, &size);

	if (rc < 0)
		return rc;
	if (offset > size / 2)
		return -EMSGSIZE;
	*out = size - 2 * offset;
	return 0;
}

/* False: there is no use in going on, and the other end was told so. */
static bool say_header(int device, int socket, uint64_t offset, unsigned char *block,
	struct hello *hello, struct dvm_header *out)
{
	ssize_t r = blockio_read(device, block, QPEN_DVM_HEADER_BYTES, offset);

	hello->kind = r < 0 ? HELLO_UNREADABLE : HELLO_OK;
	hello->err = r < 0 ? errno : 0;
	if (r >= 0)
		hello->result = dvm_header_parse(block, (size_t)r, hello->data_bytes, out);
	if (r >= 0 && hello->result != DVM_OK)
		hello->kind = HELLO_REFUSED;
	if (hello->kind == HELLO_OK &&
		!dvm_header_compose(out->name, out->size_bytes, hello->header))
		hello->kind = HELLO_REFUSED;
	return blockio_put(socket, hello, sizeof *hello) && hello->kind == HELLO_OK;
}

/* The blocks are those of the pendrive, header and all, so that O_DIRECT finds them aligned. */
static bool send_body(int device, int socket, uint64_t offset, const struct hello *hello,
	const struct dvm_header *header, unsigned char *block)
{
	const uint64_t total = header->size_bytes + QPEN_DVM_HEADER_BYTES;
	size_t len;

	for (uint64_t at = 0; at < total; at += len) {
		size_t skip = at == 0 ? QPEN_DVM_HEADER_BYTES : 0;
		size_t whole = (size_t)MIN(BLOCKIO_BYTES, hello->data_bytes - at);
		ssize_t r;

		len = (size_t)MIN(BLOCKIO_BYTES, total - at);
		whole = MIN(whole, (len + BLOCKIO_SECTOR - 1) / BLOCKIO_SECTOR * BLOCKIO_SECTOR);
		r = blockio_read(device, block, whole, offset + at);
		/* The other end sees that there comes no more. */
		if (r < 0 || (size_t)r < len || !blockio_put(socket, block + skip, len - skip))
			return false;
	}
	return true;
}

static int fail_hello(int socket, struct hello *hello, enum hello_kind kind, int err)
{
	hello->kind = kind;
	hello->err = err;
	(void)blockio_put(socket, hello, sizeof *hello);
	return VM_EXIT_FAILED;
}

static int serve(int device, int socket, uint64_t offset)
{
	/* Not of the heap, which could not be given back in there. */
	static _Alignas(BLOCKIO_SECTOR) unsigned char block[BLOCKIO_BYTES];
	struct hello hello = {.kind = HELLO_OK};
	struct dvm_header header;
	char word;
	int rc;

	/* The other end may be closed while we write. */
	(void)signal(SIGPIPE, SIG_IGN);
	rc = find_data(device, offset, &hello.data_bytes);
	if (rc < 0)
		return fail_hello(socket, &hello, HELLO_UNREADABLE, -rc);
	blockio_try_direct(device);
	if (!reader_shut_in())
		return fail_hello(socket, &hello, HELLO_HELPLESS, errno);
	if (!say_header(device, socket, offset, block, &hello, &header))
		return VM_EXIT_FAILED;
	while (blockio_get(socket, &word, 1) == 1 && word == WORD_BODY)
		if (!send_body(device, socket, offset, &hello, &header, block))
			return VM_EXIT_FAILED;
	return VM_EXIT_OK;
}

void reader_serve(int device, int socket, uint64_t offset)
{
	/* Past all that is done at an end, by a sanitizer too: it would be killed for it. */
	syscall(SYS_exit_group, serve(device, socket, offset));
	abort();
}

/* -- the other one ------------------------------------------------------------------------------
 */

/* Between fork and the end: only what is safe there. */
static void run_child(int device, int socket, uint64_t offset)
{
	/* Above the numbers that they get, whatever theirs were. */
	int in = fcntl(device, F_DUPFD, 3);
	int out = fcntl(socket, F_DUPFD, 3);

	if (in < 0 || out < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
		_exit(VM_EXIT_FAILED);
	closefrom(STDERR_FILENO + 1);
	reader_serve(STDIN_FILENO, STDOUT_FILENO, offset);
}

static bool start_child(struct reader *reader, int device, uint64_t offset, GError **error)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return blockio_fail(error, errno, "No socket for reading the pendrive");
	reader->pid = fork();
	if (reader->pid == 0)
		run_child(device, ends[1], offset);
	reader->socket = ends[0];
	close(ends[1]);
	if (reader->pid > 0)
		return true;
	blockio_fail(error, errno, "No process for reading the pendrive");
	reader->pid = 0;
	reader_finish(reader);
	return false;
}

static bool attach(struct reader *reader, int in, uint64_t offset, GError **error)
{
	struct stat st;

	*reader = (struct reader){.socket = -1};
	if (fstat(in, &st) < 0)
		return blockio_fail(error, errno, "The pendrive cannot be looked at");
	if (!S_ISSOCK(st.st_mode))
		return start_child(reader, in, offset, error);
	reader->socket = fcntl(in, F_DUPFD_CLOEXEC, 3);
	return reader->socket >= 0 ||
	       blockio_fail(error, errno, "The pendrive's reader cannot be heard");
}

static bool fail_refused(struct reader *reader, enum dvm_result result, GError **error)
{
	reader->refused = true;
	g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
		"What came on the pendrive breaks the rules and is refused: %s",
		dvm_result_text(result));
	return false;
}

static bool fail_unreadable(struct reader *reader, int err, GError **error)
{
	reader->refused = true;
	return blockio_fail(error, err,
		err == EMSGSIZE ? "The pendrive is too small for the layout that dom0 says it has"
				: "The pendrive cannot be read");
}

static bool hear(struct reader *reader, GError **error)
{
	struct hello untrusted_hello;
	enum dvm_result result;

	if (blockio_get(reader->socket, &untrusted_hello, sizeof untrusted_hello) !=
		(ssize_t)sizeof untrusted_hello) {
		g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
			"The process that reads the pendrive ended without a word");
		return false;
	}
	if (untrusted_hello.kind == HELLO_HELPLESS)
		return blockio_fail(error, untrusted_hello.err,
			"This VM cannot shut in the process that reads the pendrive (does its "
			"kernel have seccomp?)");
	if (untrusted_hello.kind == HELLO_REFUSED)
		return fail_refused(reader, untrusted_hello.result, error);
	if (untrusted_hello.kind != HELLO_OK)
		return fail_unreadable(reader, untrusted_hello.err, error);
	result = dvm_header_parse(untrusted_hello.header, sizeof untrusted_hello.header,
		untrusted_hello.data_bytes, &reader->header);
	return result == DVM_OK || fail_refused(reader, result, error);
}

bool reader_start(struct reader *reader, int in, uint64_t offset, GError **error)
{
	const int bytes = SOCKET_BYTES;

	if (!attach(reader, in, offset, error))
		return false;
	/* As far as the system lets us have it; it works with less. */
	(void)setsockopt(reader->socket, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
	if (hear(reader, error))
		return true;
	reader_finish(reader);
	return false;
}

static bool copy(const struct reader *reader, int file, unsigned char *block, GError **error)
{
	const char word = WORD_BODY;
	size_t len;

	/* A reader that was killed must not kill us. */
	if (send(reader->socket, &word, 1, MSG_NOSIGNAL) != 1)
		return blockio_fail(error, errno, "The pendrive's reader does not listen");
	for (uint64_t at = 0; at < reader->header.size_bytes; at += len) {
		ssize_t r;

		len = (size_t)MIN(BLOCKIO_BYTES, reader->header.size_bytes - at);
		r = blockio_get(reader->socket, block, len);
		if (r < (ssize_t)len) {
			g_set_error(error, VM_ERROR, VM_EXIT_FAILED,
				"The pendrive ended before the file did; was it taken back?");
			return false;
		}
		if (!blockio_write(file, block, len, at))
			return blockio_fail(error, errno, "The file cannot be written");
	}
	return true;
}

bool reader_copy(const struct reader *reader, int file, GError **error)
{
	autoblock *block = blockio_make(error);

	if (!block || !copy(reader, file, block, error))
		return false;
	if (ftruncate(file, (off_t)reader->header.size_bytes) == 0)
		return true;
	return blockio_fail(error, errno, "The file's length cannot be set");
}

void reader_finish(struct reader *reader)
{
	if (reader->socket >= 0)
		close(reader->socket);
	reader->socket = -1;
	/* It ends by itself, but not while it waits for a pendrive that does not answer. */
	if (reader->pid > 0) {
		kill(reader->pid, SIGKILL);
		while (waitpid(reader->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	reader->pid = 0;
}
