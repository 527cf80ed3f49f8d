/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

#include "fail.h"
#include "launcher.h"

#define PATH "/tmp/x/-a b'\"$(touch x)%f"
#define NO_CONFIG "/nonexistent/dvm.conf"

static char *home; /* the data and configuration folder of a desktop that is ours alone */

static void assert_words(char **got, const char *const *wanted)
{
	g_assert_nonnull(got);
	g_assert_true(g_strv_equal((const gchar *const *)got, wanted));
	g_strfreev(got);
}

static void test_expand(void)
{
	static const struct {
		const char *command;
		const char *wanted[5];
	} rows[] = {
		{"edit", {"edit", PATH}},
		{"edit %f", {"edit", PATH}},
		{"edit %F --wait", {"edit", PATH, "--wait"}},
		{"edit --file=%f", {"edit", "--file=" PATH}},
		{"edit %i %c", {"edit", PATH}},
		{"edit '' 100%%", {"edit", "", "100%", PATH}},
		{"'my editor' \"-a b\" %f", {"my editor", "-a b", PATH}},
		/* No shell: these are words like any other. */
		{"edit ; rm $HOME `id`", {"edit", ";", "rm", "$HOME", "`id`"}},
		{"edit %u", {"edit", "file:///tmp/x/-a%20b'%22$(touch%20x)%25f"}},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		char **words = launcher_expand(rows[i].command, PATH, NULL);
		const char *wanted[7] = {NULL};
		size_t count = 0;

		g_test_message("%s", rows[i].command);
		while (count < 5 && rows[i].wanted[count]) {
			wanted[count] = rows[i].wanted[count];
			count++;
		}
		/* Full rows have no room for the path, which is their last word. */
		if (count == 5)
			wanted[5] = PATH;
		assert_words(words, wanted);
	}
}

static void test_unreadable(void)
{
	static const char *const wrong[] = {"", " ", "edit 'a", "edit \"a", "edit \\"};

	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
		g_autoptr(GError) error = NULL;

		g_assert_null(launcher_expand(wrong[i], PATH, &error));
		g_assert_nonnull(error);
	}
}

/* A file in `home`. */
static char *put(const char *name, const char *text)
{
	char *path = g_build_filename(home, name, NULL);
	g_autofree char *folder = g_path_get_dirname(path);

	g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
	g_assert_true(g_file_set_contents(path, text, -1, NULL));
	return path;
}

static void test_config(void)
{
	g_autofree char *config =
		put("dvm.conf", "[open]\nprogram=edit --wait %f\nservices=one;t*\n");
	g_autofree char *broken = put("broken.conf", "program=edit\n");
	const char *const wanted[] = {"edit", "--wait", PATH, NULL};
	const char *const other[] = {"other", PATH, NULL};
	g_auto(GStrv) services = launcher_services(config);
	g_autoptr(GError) error = NULL;

	assert_words(launcher_choose(config, PATH, NULL), wanted);
	g_assert_true(g_strv_contains((const gchar *const *)services, "one"));
	g_assert_true(g_strv_contains((const gchar *const *)services, "t*"));
	g_assert_true(g_strv_contains((const gchar *const *)services, "dbus-daemon"));
	g_assert_null(launcher_choose(broken, PATH, &error));
	g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
	g_setenv("QPEN_OPENER", "other", TRUE);
	assert_words(launcher_choose(config, PATH, NULL), other);
	g_unsetenv("QPEN_OPENER");
}

/* One that wants to be started over D-Bus is started by us, or it could not be waited for. */
static void test_desktop(void)
{
	g_autofree char *file = put("note.txt", "text\n");
	g_autofree char *entry G_GNUC_UNUSED = put("applications/ours.desktop",
		"[Desktop Entry]\nType=Application\nName=Ours\nExec=true --new %U\n"
		"DBusActivatable=true\nMimeType=text/plain;\n");
	g_autofree char *list G_GNUC_UNUSED = put("mimeapps.list", "[Default Applications]\n"
								   "text/plain=ours.desktop\n");
	g_autofree char *uri = g_filename_to_uri(file, NULL, NULL);
	const char *const wanted[] = {"true", "--new", uri, NULL};

	assert_words(launcher_choose(NO_CONFIG, file, NULL), wanted);
}

static void test_none(void)
{
	g_autofree char *file = put("thing.unheard-of", "\x01\x02\x03");
	g_autofree char *path = g_strdup(g_getenv("PATH"));
	g_autoptr(GError) error = NULL;

	g_setenv("PATH", "/nonexistent", TRUE);
	g_assert_null(launcher_choose(NO_CONFIG, file, &error));
	g_setenv("PATH", path, TRUE);
	g_assert_error(error, VM_ERROR, VM_EXIT_FAILED);
	g_assert_nonnull(strstr(error->message, NO_CONFIG));
}

static void remove_tree(const char *path)
{
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *child = g_build_filename(path, name, NULL);

		remove_tree(child);
	}
	g_remove(path);
}

int main(int argc, char **argv)
{
	int status;

	/* Before GLib asks for the first time. */
	home = g_dir_make_tmp("launcher-XXXXXX", NULL);
	g_setenv("XDG_DATA_HOME", home, TRUE);
	g_setenv("XDG_CONFIG_HOME", home, TRUE);
	g_unsetenv("QPEN_OPENER");
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vm/launcher/expand", test_expand);
	g_test_add_func("/vm/launcher/unreadable", test_unreadable);
	g_test_add_func("/vm/launcher/config", test_config);
	g_test_add_func("/vm/launcher/desktop", test_desktop);
	g_test_add_func("/vm/launcher/none", test_none);
	status = g_test_run();
	remove_tree(home);
	g_free(home);
	return status;
}
