/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In a DisposableVM: fresh random numbers. All copies of one saved VM have the same state of the
 * kernel's random number generator, and so would draw the same numbers, up to the first keys of
 * their connections. dom0 puts a seed of its own into each; this adds it to the kernel's and
 * removes it, which tells dom0 that it is done.
 *
 * Runs as root with CAP_SYS_ADMIN, which the reseeding takes, until it is stopped: it must be there
 * already when the copy wakes up. Ends at once in every other VM.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/random.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <xenstore.h>

#include "qpen_contract.h"

#define PROGRAM "qubes_dvm_seed"
#define USAGE_STATUS 2
/* QPEN_SEED_BYTES hex digits have half a byte of chance each. */
#define ENTROPY_BITS ((int)(QPEN_SEED_BYTES / 2u * 8u))

static int complain(const char *what)
{
	(void)fprintf(stderr, PROGRAM ": %s: %s\n", what, strerror(errno));
	return -1;
}

static bool is_disposable(struct xs_handle *xs)
{
	unsigned len;
	char *type = xs_read(xs, XBT_NULL, QPEN_KEY_VM_TYPE, &len);
	bool is = type && strcmp(type, QPEN_VM_TYPE_DISPOSABLE) == 0;

	free(type);
	return is;
}

/* Into the pool, and from there at once into the key that numbers are drawn with. */
static int add_entropy(const char *seed)
{
	/* struct rand_pool_info, whose array has no size. */
	struct {
		int entropy_count, buf_size;
		char bytes[QPEN_SEED_BYTES];
	} pool = {.entropy_count = ENTROPY_BITS, .buf_size = sizeof pool.bytes};
	int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return complain("cannot open /dev/urandom");
	memcpy(pool.bytes, seed, sizeof pool.bytes);
	if (ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
		rc = complain("cannot give the kernel dom0's seed (is CAP_SYS_ADMIN missing?)");
	explicit_bzero(&pool, sizeof pool);
	close(fd);
	return rc;
}

/* Takes the seed, if one is there. 0, or -1 after a message. */
static int take_seed(struct xs_handle *xs)
{
	unsigned len;
	char *seed = xs_read(xs, XBT_NULL, QPEN_KEY_SEED, &len);
	int rc = 0;

	if (!seed)
		return errno == ENOENT ? 0 : complain("cannot read dom0's seed");
	if (len == QPEN_SEED_BYTES)
		rc = add_entropy(seed);
	explicit_bzero(seed, len);
	free(seed);
	if (rc == 0 && !xs_rm(xs, XBT_NULL, QPEN_KEY_SEED))
		rc = complain("cannot remove dom0's seed");
	return rc;
}

/* Until there is a watch event; all that wait are one. */
static int wait_for_event(struct xs_handle *xs)
{
	struct pollfd fd = {.fd = xs_fileno(xs), .events = POLLIN};
	char **event;

	if (poll(&fd, 1, -1) < 0)
		return errno == EINTR ? 0 : complain("poll");
	while ((event = xs_check_watch(xs)))
		free(event);
	return errno == EAGAIN ? 0 : complain("the connection to xenstore is lost");
}

static int serve(struct xs_handle *xs)
{
	if (!xs_watch(xs, QPEN_KEY_SEED, "seed"))
		return complain("cannot watch in xenstore");
	while (take_seed(xs) == 0 && wait_for_event(xs) == 0)
		;
	return -1;
}

/* Whether to go on; if not, *status is what to exit with. */
static bool read_options(int argc, char **argv, int *status)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{0},
	};
	int option = getopt_long(argc, argv, "h", options, NULL);

	*status = EXIT_SUCCESS;
	if (option == 'v')
		puts(PROGRAM " " QFX_VERSION);
	else if (option == 'h')
		puts("Usage: " PROGRAM " [--help|--version]\n"
		     "Gives the kernel of a DisposableVM the seed that dom0 put into it, whenever\n"
		     "it finds one. In any other VM it ends at once.");
	else if (option == -1 && optind == argc)
		return true;
	else {
		(void)fprintf(stderr, PROGRAM ": it takes no arguments; see " PROGRAM " --help\n");
		*status = USAGE_STATUS;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct xs_handle *xs;
	int rc = 0;

	if (!read_options(argc, argv, &rc))
		return rc;
	xs = xs_open(0);
	if (!xs)
		return complain("cannot reach xenstore (is this a Xen VM?)") < 0;
	if (is_disposable(xs))
		rc = serve(xs);
	xs_close(xs);
	return rc < 0;
}
