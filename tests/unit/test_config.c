/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration file: what is not said, what is said, and what is said wrongly. */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

#define GIB (G_GUINT64_CONSTANT(1) << 30)
#define TIB (G_GUINT64_CONSTANT(1) << 40)

static char *write_config(const char *text, gssize len)
{
	g_autoptr(GError) error = NULL;
	char *path = NULL;
	int fd = g_file_open_tmp("qfx-config-XXXXXX", &path, &error);

	g_assert_no_error(error);
	close(fd);
	g_file_set_contents(path, text, len, &error);
	g_assert_no_error(error);
	return path;
}

static gboolean load(const char *text, gssize len, struct config *out, GError **error)
{
	g_autofree char *path = write_config(text, len);
	gboolean ok = config_load(path, FALSE, out, error);

	/* Whoever reads the message must know which file it is about. */
	if (!ok)
		g_assert_true(g_str_has_prefix((*error)->message, path));
	g_unlink(path);
	return ok;
}

static void load_good(const char *text, struct config *out)
{
	g_autoptr(GError) error = NULL;

	load(text, -1, out, &error);
	g_assert_no_error(error);
}

static void assert_same(const struct config *a, const struct config *b)
{
	const struct transfer_limits *t = &a->limits.transfer, *u = &b->limits.transfer;
	const struct registry_limits *r = &a->limits.registry, *s = &b->limits.registry;

	g_assert_cmpstr(a->image_dir, ==, b->image_dir);
	g_assert_cmpuint(a->reserve_bytes, ==, b->reserve_bytes);
	g_assert_cmpint(a->log_names, ==, b->log_names);
	g_assert_cmpint(t->make_ms, ==, u->make_ms);
	g_assert_cmpint(t->attach_ms, ==, u->attach_ms);
	g_assert_cmpint(t->lent_ms, ==, u->lent_ms);
	g_assert_cmpint(t->detach_ms, ==, u->detach_ms);
	g_assert_cmpint(t->force_ms, ==, u->force_ms);
	g_assert_cmpint(t->ask_ms, ==, u->ask_ms);
	g_assert_cmpint(t->queue_ms, ==, u->queue_ms);
	g_assert_cmpint(t->delivered_ms, ==, u->delivered_ms);
	g_assert_cmpint(t->remove_ms, ==, u->remove_ms);
	g_assert_cmpint(t->hide_refusals, ==, u->hide_refusals);
	g_assert_cmpuint(r->min_bytes, ==, s->min_bytes);
	g_assert_cmpuint(r->default_bytes, ==, s->default_bytes);
	g_assert_cmpuint(r->max_bytes, ==, s->max_bytes);
	g_assert_cmpuint(r->max_pendrives_per_vm, ==, s->max_pendrives_per_vm);
	g_assert_cmpuint(r->max_bytes_per_vm, ==, s->max_bytes_per_vm);
	g_assert_cmpuint(r->max_bytes_total, ==, s->max_bytes_total);
	g_assert_cmpuint(r->max_queue, ==, s->max_queue);
	g_assert_cmpstr(a->disposable.template, ==, b->disposable.template);
	g_assert_cmpstr(a->disposable.savefile, ==, b->disposable.savefile);
	g_assert_cmpint(a->disposable.from_config, ==, b->disposable.from_config);
	g_assert_cmpuint(a->disposable.memory_mib, ==, b->disposable.memory_mib);
	g_assert_cmpuint(a->disposable.keep_free_mib, ==, b->disposable.keep_free_mib);
	g_assert_cmpint(a->disposable.make_ms, ==, b->disposable.make_ms);
	g_assert_cmpint(a->disposable.prepare_ms, ==, b->disposable.prepare_ms);
	g_assert_cmpint(t->start_ms, ==, u->start_ms);
	g_assert_cmpint(a->limits.dispvm.prepare_ms, ==, b->limits.dispvm.prepare_ms);
	g_assert_cmpint(a->limits.dispvm.make_ms, ==, b->limits.dispvm.make_ms);
	g_assert_cmpint(a->limits.dispvm.life_ms, ==, b->limits.dispvm.life_ms);
	g_assert_cmpuint(a->limits.dispvm.max_per_opener, ==, b->limits.dispvm.max_per_opener);
	g_assert_cmpuint(a->limits.dispvm.max_total, ==, b->limits.dispvm.max_total);
	g_assert_cmpuint(a->limits.dispvm.pool, ==, b->limits.dispvm.pool);
	g_assert_cmpuint(a->limits.pool_keep_free, ==, b->limits.pool_keep_free);
	g_assert_cmpuint(g_hash_table_size(a->labels), ==, g_hash_table_size(b->labels));
	g_assert_cmpint(a->limits.requests.interval_ms, ==, b->limits.requests.interval_ms);
	g_assert_cmpuint(a->limits.requests.burst, ==, b->limits.requests.burst);
}

/* A host that nobody configured: what the shipped file and the man page promise. */
static void test_defaults(void)
{
	struct config c;

	load_good("", &c);
	g_assert_cmpstr(c.image_dir, ==, "/var/lib/qfilexchgd");
	g_assert_cmpuint(c.reserve_bytes, ==, GIB / 2);
	g_assert_cmpuint(c.limits.registry.default_bytes, ==, GIB);
	g_assert_cmpuint(c.limits.registry.max_bytes, ==, 64 * GIB);
	g_assert_cmpuint(c.limits.registry.max_pendrives_per_vm, ==, 8);
	g_assert_cmpuint(c.limits.registry.max_bytes_per_vm, ==, 128 * GIB);
	g_assert_cmpuint(c.limits.registry.max_bytes_total, ==, TIB);
	g_assert_cmpuint(c.limits.registry.max_queue, ==, 8);
	g_assert_null(c.disposable.template);
	g_assert_cmpstr(c.disposable.savefile, ==, "/var/lib/qfilexchgd/disposable.save");
	g_assert_false(c.disposable.from_config);
	g_assert_cmpuint(c.disposable.memory_mib, ==, 0);
	g_assert_cmpuint(c.disposable.keep_free_mib, ==, 256);
	g_assert_cmpint(c.disposable.make_ms, ==, 300000);
	g_assert_cmpint(c.disposable.prepare_ms, ==, 900000);
	g_assert_cmpint(c.disposable.destroy_ms, >, 0);
	g_assert_cmpint(c.disposable.survey_ms, >, 0);
	/* The port's deadlines come first. */
	g_assert_cmpint(c.limits.dispvm.make_ms, >, c.disposable.make_ms);
	g_assert_cmpint(c.limits.dispvm.prepare_ms, >, c.disposable.prepare_ms);
	g_assert_cmpint(c.limits.dispvm.destroy_ms, >, c.disposable.destroy_ms);
	g_assert_cmpint(c.limits.transfer.start_ms, ==, 1200000);
	g_assert_cmpint(c.limits.dispvm.life_ms, ==, 604800000);
	g_assert_cmpuint(c.limits.dispvm.max_per_opener, ==, 4);
	g_assert_cmpuint(c.limits.dispvm.max_total, ==, 8);
	g_assert_cmpuint(c.limits.dispvm.pool, ==, 0);
	g_assert_cmpuint(c.limits.pool_keep_free, ==, GIB / 4);
	g_assert_cmpuint(g_hash_table_size(c.labels), ==, 0);
	g_assert_cmpint(c.limits.transfer.ask_ms, ==, 120000);
	g_assert_true(c.limits.transfer.hide_refusals);
	g_assert_cmpint(c.limits.transfer.lent_ms, ==, 86400000);
	g_assert_cmpint(c.limits.transfer.delivered_ms, ==, 86400000);
	g_assert_cmpint(c.limits.transfer.queue_ms, ==, 3600000);
	g_assert_cmpint(c.limits.transfer.attach_ms, ==, 60000);
	g_assert_cmpint(c.limits.transfer.detach_ms, ==, 10000);
	g_assert_cmpuint(c.limits.requests.burst, ==, 20);
	g_assert_cmpint(c.limits.requests.interval_ms, ==, 500);
	g_assert_cmpuint(c.limits.questions.burst, ==, 4);
	g_assert_cmpint(c.limits.questions.interval_ms, ==, 30000);
	g_assert_cmpuint(c.limits.registry.max_waiting, ==, 64);
	/* The core's contract: every limit above 0. */
	g_assert_cmpint(c.limits.transfer.make_ms, >, 0);
	g_assert_cmpint(c.limits.transfer.force_ms, ==, 60000);
	g_assert_cmpint(c.limits.transfer.remove_ms, >, 0);
	g_assert_cmpuint(c.limits.registry.min_bytes, >, 0);
	config_clear(&c);
	g_assert_null(c.image_dir);
}

static void test_labels(void)
{
	struct config c;

	load_good("[labels]\nwork = blue\nmy.vm-2 = red\n", &c);
	g_assert_cmpuint(g_hash_table_size(c.labels), ==, 2);
	g_assert_cmpstr(g_hash_table_lookup(c.labels, "work"), ==, "blue");
	g_assert_cmpstr(g_hash_table_lookup(c.labels, "my.vm-2"), ==, "red");
	config_clear(&c);
}

static void test_template(void)
{
	struct config c;

	load_good("[disposable]\ntemplate = /etc/xen/d.cfg\nsavefile = /srv/d.save\n", &c);
	g_assert_cmpstr(c.disposable.template, ==, "/etc/xen/d.cfg");
	g_assert_cmpstr(c.disposable.savefile, ==, "/srv/d.save");
	config_clear(&c);
}

#define TRANSFER(field) G_STRUCT_OFFSET(struct config, limits.transfer.field), 8
#define REGISTRY(field, size) G_STRUCT_OFFSET(struct config, limits.registry.field), size

/* Each key changes one number, and no other: the rest is compared with the defaults. */
static const struct {
	const char *text;
	gsize offset, size;
	guint64 wanted;
} keys[] = {
	{"[pendrives]\ndefault-size = 2G\n", REGISTRY(default_bytes, 8), 2 * GIB},
	{"[pendrives]\nmax-size = 1T\n", REGISTRY(max_bytes, 8), TIB},
	{"[pendrives]\nmax-size = 1073741824\n", REGISTRY(max_bytes, 8), GIB},
	{"[pendrives]\nmax-per-vm = 1\n", REGISTRY(max_pendrives_per_vm, 4), 1},
	{"[pendrives]\nmax-size-per-vm = 1048576K\n", REGISTRY(max_bytes_per_vm, 8), GIB},
	{"[pendrives]\nmax-size-total = 64M\n", REGISTRY(max_bytes_total, 8), 64 << 20},
	{"[pendrives]\nreserve = 0\n", G_STRUCT_OFFSET(struct config, reserve_bytes), 8, 0},
	{"[disposable]\nmemory = 300M\n", G_STRUCT_OFFSET(struct config, disposable.memory_mib), 8,
		300},
	{"[disposable]\nmax-per-vm = 1\n",
		G_STRUCT_OFFSET(struct config, limits.dispvm.max_per_opener), 4, 1},
	{"[disposable]\nmax = 9\n", G_STRUCT_OFFSET(struct config, limits.dispvm.max_total), 4, 9},
	{"[disposable]\npool = 2\n", G_STRUCT_OFFSET(struct config, limits.dispvm.pool), 4, 2},
	{"[disposable]\nlifetime = 60\n", G_STRUCT_OFFSET(struct config, limits.dispvm.life_ms), 8,
		60000},
	{"[disposable]\nuse-savefile = no\n",
		G_STRUCT_OFFSET(struct config, disposable.from_config), 4, TRUE},
	{"[questions]\ntimeout = 1\n", TRANSFER(ask_ms), 1000},
	{"[questions]\ntimeout = 31536000\n", TRANSFER(ask_ms), G_GUINT64_CONSTANT(31536000000)},
	{"[questions]\nhide-refusals = no\n",
		G_STRUCT_OFFSET(struct config, limits.transfer.hide_refusals), 1, FALSE},
	{"[questions]\nhide-refusals = false\n",
		G_STRUCT_OFFSET(struct config, limits.transfer.hide_refusals), 1, FALSE},
	{"[questions]\nburst = 1\n", G_STRUCT_OFFSET(struct config, limits.questions.burst), 4, 1},
	{"[questions]\ninterval = 31536000\n",
		G_STRUCT_OFFSET(struct config, limits.questions.interval_ms), 8,
		G_GUINT64_CONSTANT(31536000000)},
	{"[questions]\nmax-waiting = 200\n", REGISTRY(max_waiting, 4), 200},
	{"[questions]\nmax-queue = 10000\n", REGISTRY(max_queue, 4), 10000},
	{"[timeouts]\nlent = 60\n", TRANSFER(lent_ms), 60000},
	{"[timeouts]\ndelivered = 61\n", TRANSFER(delivered_ms), 61000},
	{"[timeouts]\nqueued = 62\n", TRANSFER(queue_ms), 62000},
	{"[timeouts]\nattach = 63\n", TRANSFER(attach_ms), 63000},
	{"[timeouts]\ndetach = 64\n", TRANSFER(detach_ms), 64000},
	{"[timeouts]\nrelease = 65\n", TRANSFER(force_ms), 65000},
	{"[requests]\nburst = 1\n", G_STRUCT_OFFSET(struct config, limits.requests.burst), 4, 1},
	{"[requests]\nper-minute = 60\n",
		G_STRUCT_OFFSET(struct config, limits.requests.interval_ms), 8, 1000},
	{"[log]\nnames = no\n", G_STRUCT_OFFSET(struct config, log_names), 4, FALSE},
	/* The fastest that is allowed must not make the interval 0. */
	{"[requests]\nper-minute = 60000\n",
		G_STRUCT_OFFSET(struct config, limits.requests.interval_ms), 8, 1},
};

static void test_keys(void)
{
	struct config normal;

	load_good("", &normal);
	for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
		struct config c;
		guint64 got = 0;

		g_test_message("%s", keys[i].text);
		load_good(keys[i].text, &c);
		/* Little-endian, as every machine with Xen that we build for. */
		memcpy(&got, (char *)&c + keys[i].offset, keys[i].size);
		g_assert_cmpuint(got, ==, keys[i].wanted);
		memcpy((char *)&c + keys[i].offset, (char *)&normal + keys[i].offset, keys[i].size);
		assert_same(&c, &normal);
		config_clear(&c);
	}
	config_clear(&normal);
}

static const struct {
	const char *text, *wanted;
} directories[] = {
	{"/srv/pendrives", "/srv/pendrives"},
	{"/srv/pendrives/", "/srv/pendrives"},
	{"/srv//a/../pendrives", "/srv/pendrives"},
	{"/", "/"},
	{"/srv/with blank", "/srv/with blank"},
};

static void test_directory(void)
{
	for (gsize i = 0; i < G_N_ELEMENTS(directories); i++) {
		g_autofree char *text =
			g_strdup_printf("[pendrives]\ndirectory = %s\n", directories[i].text);
		struct config c;

		load_good(text, &c);
		g_assert_cmpstr(c.image_dir, ==, directories[i].wanted);
		config_clear(&c);
	}
}

/* `says`: the group and key, or what else helps who wrote it. */
static const struct {
	const char *label, *text, *says;
} errors[] = {
	{"a group that is none", "[pendrive]\n", "[pendrive]"},
	{"an empty group that is none", "[x]\n", "[x]"},
	{"a key that is none", "[pendrives]\nsize = 1G\n", "[pendrives] size"},
	{"a key of another group", "[questions]\nlent = 5\n", "[questions] lent"},
	{"a key in capitals", "[pendrives]\nReserve = 1G\n", "[pendrives] Reserve"},
	{"a translated key", "[questions]\ntimeout[de] = 5\n", "[questions] timeout[de]"},
	{"no value", "[questions]\ntimeout =\n", "[questions] timeout"},
	{"no question at all", "[questions]\nburst = 0\n", "[questions] burst"},
	{"questions without a pause", "[questions]\ninterval = 0\n", "[questions] interval"},
	{"more waiting than an agent takes", "[questions]\nmax-waiting = 201\n", "from 1 to 200"},
	{"a word for a number", "[questions]\ntimeout = soon\n", "[questions] timeout = soon"},
	{"a negative number", "[questions]\ntimeout = -1\n", "from 1 to 31536000"},
	{"below the least", "[questions]\ntimeout = 0\n", "from 1 to 31536000"},
	{"above the most", "[questions]\ntimeout = 31536001\n", "from 1 to 31536000"},
	{"a fraction", "[questions]\ntimeout = 1.5\n", "[questions] timeout"},
	{"a size for a number", "[questions]\ntimeout = 1K\n", "[questions] timeout"},
	{"hexadecimal", "[questions]\ntimeout = 0x10\n", "[questions] timeout"},
	{"a sign", "[questions]\ntimeout = +5\n", "[questions] timeout"},
	{"beyond 64 bits", "[questions]\ntimeout = 18446744073709551617\n", "[questions] timeout"},
	{"a list", "[questions]\ntimeout = 5;6\n", "[questions] timeout"},
	{"a comment behind it", "[questions]\ntimeout = 5 # s\n", "[questions] timeout"},
	{"a size that wraps", "[pendrives]\nreserve = 16777216T\n", "[pendrives] reserve"},
	{"only a suffix", "[pendrives]\nreserve = G\n", "[pendrives] reserve"},
	{"a small suffix", "[pendrives]\nreserve = 1g\n", "[pendrives] reserve"},
	{"two suffixes", "[pendrives]\nreserve = 1GK\n", "[pendrives] reserve"},
	{"a pendrive too small for FAT32", "[pendrives]\ndefault-size = 32M\n",
		"[pendrives] default-size"},
	{"a pendrive too large for FAT32", "[pendrives]\nmax-size = 2T\n", "[pendrives] max-size"},
	{"the ordinary larger than the largest", "[pendrives]\nmax-size = 512M\n", "default-size"},
	{"a boolean that is none", "[questions]\nhide-refusals = maybe\n",
		"[questions] hide-refusals = maybe"},
	{"a boolean in capitals", "[questions]\nhide-refusals = YES\n", "must be yes or no"},
	{"a colour that is none", "[labels]\nwork = Blue\n", "[labels] work = Blue: must be red"},
	{"a label without a VM", "[labels]\n-x = red\n", "[labels] -x: that cannot be"},
	{"a template that is no path", "[disposable]\ntemplate = d.cfg\n",
		"must be an absolute path or none"},
	{"no save file", "[disposable]\nsavefile = none\n", "must be an absolute path"},
	{"a boolean as a number", "[questions]\nhide-refusals = 1\n", "must be yes or no"},
	{"a relative directory", "[pendrives]\ndirectory = images\n", "[pendrives] directory"},
	{"no directory", "[pendrives]\ndirectory =\n", "[pendrives] directory"},
	{"the same minute's requests, none", "[requests]\nper-minute = 0\n",
		"[requests] per-minute"},
	{"faster than a millisecond", "[requests]\nper-minute = 60001\n", "[requests] per-minute"},
	{"no group", "timeout = 5\n", ""},
	{"no key file at all", "rubbish\n", ""},
};

static void test_errors(void)
{
	for (gsize i = 0; i < G_N_ELEMENTS(errors); i++) {
		struct config c = {.reserve_bytes = 4711};
		g_autoptr(GError) error = NULL;

		g_test_message("%s", errors[i].label);
		g_assert_false(load(errors[i].text, -1, &c, &error));
		g_test_message("  %s", error->message);
		g_assert_nonnull(strstr(error->message, errors[i].says));
		g_assert_cmpuint(c.reserve_bytes, ==, 4711);
	}
}

/* What is good before the mistake is not half taken over, nor leaked. */
static void test_error_after_good(void)
{
	struct config c = {.image_dir = NULL};
	g_autoptr(GError) error = NULL;

	g_assert_false(load(
		"[pendrives]\ndirectory = /srv/a\n[questions]\ntimeout = x\n", -1, &c, &error));
	g_assert_null(c.image_dir);
}

static void test_missing(void)
{
	struct config c, normal;
	g_autoptr(GError) error = NULL;
	g_autofree char *path = write_config("", 0);

	g_unlink(path);
	g_assert_false(config_load(path, FALSE, &c, &error));
	g_assert_nonnull(strstr(error->message, path));
	g_clear_error(&error);
	g_assert_true(config_load(path, TRUE, &c, &error));
	load_good("", &normal);
	assert_same(&c, &normal);
	config_clear(&c);
	config_clear(&normal);
	/* Something else in its place is not a missing file. */
	g_assert_false(config_load(g_get_tmp_dir(), TRUE, &c, &error));
}

static char *read_shipped(void)
{
	g_autoptr(GError) error = NULL;
	char *text = NULL;

	g_file_get_contents(SHIPPED_CONF, &text, NULL, &error);
	g_assert_no_error(error);
	return text;
}

static void test_shipped_says_nothing(void)
{
	g_autofree char *text = read_shipped();
	struct config c, normal;

	load_good(text, &c);
	load_good("", &normal);
	assert_same(&c, &normal);
	config_clear(&c);
	config_clear(&normal);
}

/* What is commented out is said to be the default: then saying it changes nothing. */
static void test_shipped_uncommented(void)
{
	g_autofree char *text = read_shipped();
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	g_autoptr(GString) said = g_string_new(NULL);
	struct config c, normal;
	unsigned n = 0;

	for (char **line = lines; *line; line++) {
		gboolean is_key = g_regex_match_simple("^#[a-z-]+ = ", *line, 0, 0);

		g_string_append_printf(said, "%s\n", is_key ? *line + 1 : *line);
		if (is_key)
			n++;
	}
	load_good(said->str, &c);
	load_good("", &normal);
	assert_same(&c, &normal);
	g_assert_cmpuint(n, ==, 33);
	config_clear(&c);
	config_clear(&normal);
}

/* Every key that the daemon knows is explained. */
static void test_shipped_is_whole(void)
{
	g_autofree char *text = read_shipped();

	for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
		g_auto(GStrv) words = g_strsplit_set(keys[i].text, "\n ", 3);
		g_autofree char *line = g_strdup_printf("\n#%s = ", words[1]);

		g_assert_nonnull(strstr(text, words[0]));
		g_test_message("%s %s", words[0], words[1]);
		g_assert_nonnull(strstr(text, line));
	}
	g_assert_nonnull(strstr(text, "\n#directory = "));
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/config/defaults", test_defaults);
	g_test_add_func("/config/keys", test_keys);
	g_test_add_func("/config/labels", test_labels);
	g_test_add_func("/config/template", test_template);
	g_test_add_func("/config/directory", test_directory);
	g_test_add_func("/config/errors", test_errors);
	g_test_add_func("/config/error-after-good", test_error_after_good);
	g_test_add_func("/config/missing", test_missing);
	g_test_add_func("/config/shipped-says-nothing", test_shipped_says_nothing);
	g_test_add_func("/config/shipped-uncommented", test_shipped_uncommented);
	g_test_add_func("/config/shipped-is-whole", test_shipped_is_whole);
	return g_test_run();
}
