/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tree.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xenstore.h>

#include "qpen_contract.h"

static char *path_of(uint32_t domid, const char *key)
{
	return g_strdup_printf("/local/domain/%" PRIu32 "/%s", domid, key);
}

static struct xs_handle *connect_xs(GError **error)
{
	struct xs_handle *xs = xs_open(0);

	if (!xs)
		fail(error, DOMAINS_FAILED, "Cannot reach xenstored: %s", g_strerror(errno));
	return xs;
}

/* ---- writing ---- */

/* A value with the permissions that it shall have, both or neither. */
static bool write_once(struct xs_handle *xs, const char *path, const char *value,
	struct xs_permissions *perms, unsigned n)
{
	xs_transaction_t t = xs_transaction_start(xs);

	if (t == XBT_NULL)
		return false;
	if (xs_write(xs, t, path, value, (unsigned)strlen(value)) &&
		xs_set_permissions(xs, t, path, perms, n))
		return xs_transaction_end(xs, t, false);
	xs_transaction_end(xs, t, true);
	return false;
}

static bool put(struct xs_handle *xs, uint32_t domid, const char *key, const char *value,
	struct xs_permissions *perms, unsigned n, GError **error)
{
	g_autofree char *path = path_of(domid, key);

	/* EAGAIN: somebody else wrote what the transaction saw. */
	do {
		if (write_once(xs, path, value, perms, n))
			return true;
	} while (errno == EAGAIN);
	return fail_errno(error, errno, "Cannot write in xenstore", path);
}

/* dom0's; the VM reads. */
static bool put_for_vm(
	struct xs_handle *xs, uint32_t domid, const char *key, const char *value, GError **error)
{
	struct xs_permissions perms[] = {
		{.id = 0, .perms = XS_PERM_NONE},
		{.id = domid, .perms = XS_PERM_READ},
	};

	return put(xs, domid, key, value, perms, G_N_ELEMENTS(perms), error);
}

bool tree_mark(uint32_t domid, const char *label, GError **error)
{
	struct xs_handle *xs = connect_xs(error);
	bool ok;

	if (!xs)
		return false;
	ok = put_for_vm(xs, domid, QPEN_KEY_VM_TYPE, QPEN_VM_TYPE_DISPOSABLE, error) &&
	     (!label || put_for_vm(xs, domid, QPEN_KEY_LABEL, label, error));
	xs_close(xs);
	return ok;
}

/* The VM's own, as if it had written it. */
static bool put_as_vm(uint32_t domid, const char *key, const char *value, GError **error)
{
	struct xs_permissions owner = {.id = domid, .perms = XS_PERM_NONE};
	struct xs_handle *xs = connect_xs(error);
	bool ok;

	if (!xs)
		return false;
	ok = put(xs, domid, key, value, &owner, 1, error);
	xs_close(xs);
	return ok;
}

bool tree_give_seed(uint32_t domid, GError **error)
{
	unsigned char bytes[QPEN_SEED_BYTES / 2];
	char seed[QPEN_SEED_BYTES + 1];
	bool ok;

	if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
		return fail(error, DOMAINS_FAILED, "No random numbers from the kernel: %s",
			g_strerror(errno));
	for (size_t i = 0; i < sizeof bytes; i++)
		(void)g_snprintf(seed + 2 * i, 3, "%02x", bytes[i]);
	ok = put_as_vm(domid, QPEN_KEY_SEED, seed, error);
	explicit_bzero(seed, sizeof seed);
	explicit_bzero(bytes, sizeof bytes);
	return ok;
}

/* ---- waiting ---- */

static bool has_value(struct xs_handle *xs, const char *path, const char *value)
{
	unsigned len;
	char *untrusted = xs_read(xs, XBT_NULL, path, &len);
	bool same;

	if (!value)
		same = !untrusted && errno == ENOENT;
	else
		same = untrusted && len == strlen(value) && memcmp(untrusted, value, len) == 0;
	free(untrusted);
	return same;
}

static void take_events(struct xs_handle *xs)
{
	char **event;

	while ((event = xs_check_watch(xs)))
		free(event);
}

/* Sleeps until something changed. False at the deadline. */
static bool sleep_until_event(struct xs_handle *xs, int64_t deadline_us)
{
	struct pollfd fd = {.fd = xs_fileno(xs), .events = POLLIN};
	int64_t left_us = deadline_us - g_get_monotonic_time();
	int n;

	if (left_us <= 0)
		return false;
	/* Rounded up: it shall not spin in the last millisecond. */
	n = poll(&fd, 1, (int)MIN(left_us / 1000 + 1, G_MAXINT));
	if (n > 0)
		take_events(xs);
	return n > 0 || (n < 0 && errno == EINTR);
}

static bool wait_with(struct xs_handle *xs, struct host *host, uint32_t domid, const char *path,
	const char *value, int64_t deadline_us, GError **error)
{
	if (!xs_watch(xs, path, "key") || !xs_watch(xs, "@releaseDomain", "end"))
		return fail_errno(error, errno, "Cannot watch in xenstore", path);
	do {
		if (has_value(xs, path, value))
			return true;
		if (!host_is_alive(host, domid))
			return fail(error, DOMAINS_FAILED,
				"The VM shut down or crashed while dom0 waited for its tools (%s); "
				"its "
				"console (xl console, or xenconsoled's log) may say why",
				path);
	} while (sleep_until_event(xs, deadline_us));
	return fail(error, DOMAINS_TIMEOUT,
		"The VM did not see to %s in time: are qubes-pendrive's tools installed in it, of "
		"this version, and does it boot to the end?",
		path);
}

bool tree_wait(struct host *host, uint32_t domid, const char *key, const char *value,
	int64_t deadline_us, GError **error)
{
	g_autofree char *path = path_of(domid, key);
	struct xs_handle *xs = connect_xs(error);
	bool ok;

	if (!xs)
		return false;
	ok = wait_with(xs, host, domid, path, value, deadline_us, error);
	xs_close(xs);
	return ok;
}
