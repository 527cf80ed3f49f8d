/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a hostile VM does to dom0, and the honest one beside it that tells how it fares. Runs in a
 * VM of the Xen box, and as a VM of the store layer (but for scribble). Paths are those of the VM's
 * own part of xenstore.
 *
 * An attack says "ready" when it is under way and goes on until it is killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <xenstore.h>

#define MAILBOX "device/qpen"
#define REPLIES "device/qpen-reply"
/* So often an attack has done its worst before it says that it is under way. */
#define ROUNDS_BEFORE_READY 20
/* The first bytes of a device are left alone, then each way of writing has a part of its own. */
#define PART_BYTES (4u << 20)
#define BLOCK_BYTES 4096u

static struct xs_handle *xs;

static void die(const char *what)
{
	fprintf(stderr, "hostile: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void connect_store(void)
{
	xs = xs_open(0);
	if (!xs)
		die("cannot reach xenstored");
}

static bool put(const char *path, const char *value)
{
	return xs_write(xs, XBT_NULL, path, value, (unsigned)strlen(value));
}

/* Counts a round of an attack. */
static void round_done(void)
{
	static unsigned n;

	if (++n == ROUNDS_BEFORE_READY) {
		puts("ready");
		fflush(stdout);
	}
}

/* ---- the honest one ---- */

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Waits for something to change in what is watched. */
static void wait_change(void)
{
	unsigned n;
	char **event = xs_read_watch(xs, &n);

	if (!event)
		die("waiting");
	free(event);
}

static bool mailbox_is_empty(void)
{
	unsigned len = 1;
	char *value = xs_read(xs, XBT_NULL, MAILBOX, &len);

	free(value);
	return value && len == 0;
}

/* The final reply to that request without its ID, or NULL; to be freed. */
static char *find_reply(const char *id)
{
	char path[64], *value, *text, *found = NULL;
	unsigned len;

	snprintf(path, sizeof path, REPLIES "/%s", id);
	value = xs_read(xs, XBT_NULL, path, &len);
	text = value ? strchr(value, ' ') : NULL;
	if (text && (strncmp(text, " ok", 3) == 0 || strncmp(text, " error", 6) == 0))
		found = strdup(text + 1);
	free(value);
	return found;
}

/* From when the VM asks until it has its answer. */
static void ask_once(const char *request)
{
	static unsigned n;
	char id[32], text[256], *reply;
	int64_t began_us;

	snprintf(id, sizeof id, "h%d%u", (int)getpid(), ++n);
	snprintf(text, sizeof text, "%s #%s", request, id);
	while (!mailbox_is_empty())
		wait_change();
	began_us = now_us();
	if (!put(MAILBOX, text))
		die("cannot ask");
	while (!(reply = find_reply(id)))
		wait_change();
	printf("%lld %s: %s\n", (long long)(now_us() - began_us), request, reply);
	fflush(stdout);
	free(reply);
}

static int ask(long n, char **requests)
{
	connect_store();
	if (!xs_watch(xs, MAILBOX, "m") || !xs_watch(xs, REPLIES, "r"))
		die("cannot watch");
	while (n-- > 0)
		for (char **request = requests; *request; request++)
			ask_once(*request);
	return 0;
}

/* ---- attacks on dom0 through xenstore ---- */

/* `n` 0: for ever. */
static int flood(long n, const char *request)
{
	char text[256];

	connect_store();
	for (long i = 1; n == 0 || i <= n; i++) {
		snprintf(text, sizeof text, "%s #f%ld", request, i);
		put(MAILBOX, text);
		round_done();
	}
	puts("done");
	return 0;
}

static _Noreturn void write_all(char **paths)
{
	connect_store();
	for (unsigned i = 0;; i++) {
		char value[16];

		snprintf(value, sizeof value, "%u", i % 8);
		for (char **path = paths; *path; path++)
			put(*path, value);
		round_done();
	}
}

/* Deletes nodes, and makes them again as far as it may. */
static _Noreturn void remove_all(char **paths)
{
	connect_store();
	for (;;) {
		for (char **path = paths; *path; path++) {
			xs_rm(xs, XBT_NULL, *path);
			put(*path, "umount");
			xs_rm(xs, XBT_NULL, *path);
		}
		round_done();
	}
}

/* As many nodes as the VM may have. Goes on trying, so that what dom0 removes is taken again. */
static _Noreturn void fill(void)
{
	char path[64];
	unsigned n = 0;

	connect_store();
	for (;;) {
		snprintf(path, sizeof path, "data/fill/%u", n);
		if (put(path, "x"))
			n++;
		else if (errno == EACCES)
			die(path);
		else
			round_done();
	}
}

/* Says each state of a front end in turn, with rubbish where its ring should be. */
static _Noreturn void flip(const char *vdev)
{
	static const char *const rubbish[] = {
		"", "0", "8", "4294967295", "-1", "x", "18446744073709551616"};
	static const char *const keys[] = {"ring-ref", "event-channel", "protocol",
		"ring-page-order", "multi-queue-num-queues"};
	char path[96], value[16];

	connect_store();
	for (unsigned i = 0;; i++) {
		for (unsigned k = 0; k < sizeof keys / sizeof *keys; k++) {
			snprintf(path, sizeof path, "device/vbd/%s/%s", vdev, keys[k]);
			put(path, rubbish[(i + k) % (sizeof rubbish / sizeof *rubbish)]);
		}
		snprintf(path, sizeof path, "device/vbd/%s/state", vdev);
		snprintf(value, sizeof value, "%u", i % 9);
		put(path, value);
		round_done();
	}
}

static _Noreturn void burn(void)
{
	for (volatile unsigned i = 0;; i++)
		if (i % 1000000 == 0)
			round_done();
}

/* ---- a sender that goes on writing ---- */

static const char *device;

/* Each block says in which round it was written. */
static void stamp(void *block, uint64_t round)
{
	uint64_t *words = block;

	for (unsigned i = 0; i < BLOCK_BYTES / sizeof *words; i++)
		words[i] = round * 0x9e3779b97f4a7c15u + i;
}

static _Noreturn void write_through(int flags)
{
	int fd = open(device, O_WRONLY | flags);
	off_t part = (off_t)PART_BYTES * (flags & O_DIRECT ? 1 : 2);
	void *block = aligned_alloc(BLOCK_BYTES, BLOCK_BYTES);

	if (fd < 0 || !block)
		die(device);
	for (uint64_t round = 0;; round++) {
		stamp(block, round);
		/* When the device is taken away it fails, and is tried all the same. */
		if (pwrite(fd, block, BLOCK_BYTES,
			    part + (off_t)(round * BLOCK_BYTES % PART_BYTES)) < 0)
			usleep(1000);
		else if (round % 64 == 0)
			fdatasync(fd);
	}
}

static _Noreturn void write_mapped(void)
{
	int fd = open(device, O_RDWR);
	char *map = fd < 0 ? MAP_FAILED
			   : mmap(NULL, PART_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_LOCKED,
				     fd, 3 * PART_BYTES);

	if (map == MAP_FAILED)
		die(device);
	for (uint64_t round = 0;; round++) {
		char *block = map + round * BLOCK_BYTES % PART_BYTES;

		stamp(block, round);
		if (msync(block, BLOCK_BYTES, MS_SYNC) < 0)
			usleep(1000);
		round_done();
	}
}

static void *run_part(void *number)
{
	switch (*(int *)number) {
	case 0:
		write_through(O_DIRECT);
	case 1:
		write_through(0);
	default:
		write_mapped();
	}
}

/* Around the page cache, through it and through a mapping, all at once. */
static int scribble(const char *path)
{
	static int parts[] = {0, 1, 2};

	device = path;
	for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, run_part, &parts[i]) != 0)
			die("cannot start");
	}
	pause();
	return 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (strcmp(verb, "ask") == 0 && argc > 3)
		return ask(strtol(argv[2], NULL, 10), argv + 3);
	if (strcmp(verb, "flood") == 0 && argc == 4)
		return flood(strtol(argv[2], NULL, 10), argv[3]);
	if (strcmp(verb, "write") == 0 && argc > 2)
		write_all(argv + 2);
	if (strcmp(verb, "remove") == 0 && argc > 2)
		remove_all(argv + 2);
	if (strcmp(verb, "fill") == 0)
		fill();
	if (strcmp(verb, "flip") == 0 && argc == 3)
		flip(argv[2]);
	if (strcmp(verb, "burn") == 0)
		burn();
	if (strcmp(verb, "scribble") == 0 && argc == 3)
		return scribble(argv[2]);
	fprintf(stderr, "usage: hostile ask N REQUEST... | flood N REQUEST | write PATH... |\n"
			"       remove PATH... | fill | flip VDEV | burn | scribble DEVICE\n");
	return 2;
}
