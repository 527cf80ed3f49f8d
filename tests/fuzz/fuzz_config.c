/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration: root writes it, but a reload must never end the daemon, nor give it a limit of
 * 0. */
#include <glib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config.h"
#include "fuzz.h"

static void check(const struct config *c)
{
	const struct transfer_limits *t = &c->limits.transfer;
	const struct registry_limits *r = &c->limits.registry;
	const int64_t times[] = {t->make_ms, t->attach_ms, t->lent_ms, t->detach_ms, t->force_ms,
		t->ask_ms, t->queue_ms, t->delivered_ms, t->remove_ms,
		c->limits.requests.interval_ms, c->limits.questions.interval_ms};
	const uint64_t sizes[] = {r->min_bytes, r->default_bytes, r->max_bytes, r->max_bytes_per_vm,
		r->max_bytes_total};

	for (size_t i = 0; i < G_N_ELEMENTS(times); i++) {
		g_assert_cmpint(times[i], >, 0);
		g_assert_cmpint(times[i], <, G_GINT64_CONSTANT(1) << 40);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
		g_assert_cmpuint(sizes[i], >=, r->min_bytes);
		g_assert_cmpuint(sizes[i], <, G_GUINT64_CONSTANT(1) << 62);
	}
	g_assert_cmpuint(r->default_bytes, <=, r->max_bytes);
	g_assert_cmpuint(r->max_pendrives_per_vm, >, 0);
	g_assert_cmpuint(r->max_queue, >, 0);
	g_assert_cmpuint(c->limits.requests.burst, >, 0);
	g_assert_cmpuint(c->limits.questions.burst, >, 0);
	g_assert_cmpuint(c->limits.questions.burst, <, 1 << 20); /* bucket.h */
	g_assert_cmpuint(r->max_waiting, >, 0);
	g_assert_true(g_path_is_absolute(c->image_dir));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *path = NULL;
	struct config c = {.image_dir = NULL};
	int fd = memfd_create("config", MFD_CLOEXEC);

	g_assert_cmpint(write(fd, data, size), ==, (gssize)size);
	path = g_strdup_printf("/proc/self/fd/%d", fd);
	if (config_load(path, FALSE, &c, &error)) {
		g_assert_no_error(error);
		check(&c);
		config_clear(&c);
	} else {
		g_assert_nonnull(error);
		g_assert_true(g_str_has_prefix(error->message, path));
		g_assert_null(c.image_dir);
	}
	close(fd);
	return 0;
}
