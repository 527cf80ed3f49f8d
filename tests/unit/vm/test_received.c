/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The note that tells the user whose pendrive is mounted. */
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "received.h"

#define NOTE(device, source, since)                                                                \
	"[pendrive]\ndevice=" device "\nsource=" source "\nsince=" since "\n"

static const struct {
	const char *label;
	const char *text;
	bool ok;
	const char *source;
} rows[] = {
	{"sound", NOTE("7:3", "work", "1700000000"), true, "work"},
	{"no name", NOTE("202:112", "", "0"), true, ""},
	{"all letters", NOTE("7:3", "a1_.+-Z", "1"), true, "a1_.+-Z"},
	{"empty", "", false, NULL},
	{"another group", "[x]\ndevice=7:3\nsource=work\nsince=1\n", false, NULL},
	{"no source", "[pendrive]\ndevice=7:3\nsince=1\n", false, NULL},
	{"no device", "[pendrive]\nsource=work\nsince=1\n", false, NULL},
	{"no time", "[pendrive]\ndevice=7:3\nsource=work\n", false, NULL},
	{"a time before all", NOTE("7:3", "work", "-1"), false, NULL},
	{"a time that is none", NOTE("7:3", "work", "x"), false, NULL},
	{"a device without a minor", NOTE("7", "work", "1"), false, NULL},
	{"a device with three parts", NOTE("7:3:1", "work", "1"), false, NULL},
	{"a negative device", NOTE("7:-3", "work", "1"), false, NULL},
	{"a huge device", NOTE("7:4294967296", "work", "1"), false, NULL},
	{"a name with a space", NOTE("7:3", "a b", "1"), false, NULL},
	{"markup in the name", NOTE("7:3", "<b>x</b>", "1"), false, NULL},
	{"an escape in the name", NOTE("7:3", "a\\nb", "1"), false, NULL},
	{"a name of 64 bytes",
		NOTE("7:3", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			"1"),
		false, NULL},
};

static void test_rows(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct received received = {.since_s = 42};

		g_test_message("%s", rows[i].label);
		g_assert_cmpint(received_parse(rows[i].text, strlen(rows[i].text), &received), ==,
			rows[i].ok);
		if (rows[i].ok)
			g_assert_cmpstr(received.source, ==, rows[i].source);
		else
			g_assert_cmpint(received.since_s, ==, 42);
	}
}

static void test_there_and_back(void)
{
	const struct received want = {
		.device = makedev(7, 300), .source = "work-2.web", .since_s = 1700000000};
	g_autofree char *text = received_format(&want);
	struct received got;

	g_assert_true(received_parse(text, strlen(text), &got));
	g_assert_cmpuint(got.device, ==, want.device);
	g_assert_cmpstr(got.source, ==, want.source);
	g_assert_cmpint(got.since_s, ==, want.since_s);
}

/* One line, as udev takes it: nothing in a VM's name means anything there. */
static void test_announcement(void)
{
	g_autofree char *text = received_format_announcement("work-2.web+x_y");
	g_autofree char *unknown = received_format_announcement("");

	g_assert_cmpstr(text, ==, "UDISKS_NAME=Pendrive from work-2.web+x_y\n");
	g_assert_cmpstr(unknown, ==, "UDISKS_NAME=Pendrive from another VM\n");
}

/* Neither the end of the bytes nor a NUL in them matters. */
static void test_cut(void)
{
	static const char text[] = NOTE("7:3", "work", "1700000000");

	for (size_t len = 0; len < sizeof text; len++) {
		g_autofree char *bytes = memcpy(g_malloc(len + 1), text, len);
		struct received received;

		/* The last byte but one is the newline, which may be missing; so may digits. */
		g_assert_cmpint(received_parse(bytes, len, &received), ==,
			len >= strlen(text) - strlen("700000000\n") && len < sizeof text);
	}
}

/* The VM's user reads it, whatever its writer's umask is; systemd's unit has 077. */
static void test_readable(void)
{
	g_autofree char *folder = g_dir_make_tmp("received-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(folder, "note", NULL);
	const struct received received = {.device = makedev(7, 3), .source = "work", .since_s = 1};
	const mode_t before = umask(077);
	struct stat st;

	g_setenv("QPEN_NOTE", path, TRUE);
	g_assert_true(received_note(&received, NULL));
	umask(before);
	g_assert_cmpint(stat(path, &st), ==, 0);
	g_assert_cmpint(st.st_mode & 07777, ==, 0644);
	received_forget();
	g_unsetenv("QPEN_NOTE");
	g_assert_cmpint(rmdir(folder), ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vm/received/rows", test_rows);
	g_test_add_func("/vm/received/there-and-back", test_there_and_back);
	g_test_add_func("/vm/received/announcement", test_announcement);
	g_test_add_func("/vm/received/readable", test_readable);
	g_test_add_func("/vm/received/cut", test_cut);
	return g_test_run();
}
