/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Folders for a policy, and words to write and read one, for the tests of its files. */
#ifndef QFX_POLICY_FIXTURE_H
#define QFX_POLICY_FIXTURE_H

#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

#include "policy_set.h"

/* Two folders for the policy and one beside them. */
struct fixture {
	char *root, *dir, *session, *beside;
	struct policy_places places;
};

static inline void remove_tree(const char *path)
{
	g_autoptr(GDir) dir = NULL;
	const char *name;

	if (g_file_test(path, G_FILE_TEST_IS_DIR) && !g_file_test(path, G_FILE_TEST_IS_SYMLINK))
		dir = g_dir_open(path, 0, NULL);
	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *below = g_build_filename(path, name, NULL);

		remove_tree(below);
	}
	g_assert_cmpint(g_remove(path), ==, 0);
}

static inline char *make_folder(const struct fixture *f, const char *name)
{
	char *path = g_build_filename(f->root, name, NULL);

	g_assert_cmpint(g_mkdir(path, 0755), ==, 0);
	return path;
}

static inline void set_up(struct fixture *f, gconstpointer unused)
{
	g_autoptr(GError) error = NULL;

	(void)unused;
	f->root = g_dir_make_tmp("policy-XXXXXX", &error);
	g_assert_no_error(error);
	f->dir = make_folder(f, "policy.d");
	f->session = make_folder(f, "session");
	f->beside = make_folder(f, "beside");
	f->places = (struct policy_places){f->dir, f->session};
}

static inline void tear_down(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	remove_tree(f->root);
	g_free(f->root);
	g_free(f->dir);
	g_free(f->session);
	g_free(f->beside);
}

/* The path, which lives as long as the fixture's folder is looked at: until the next call. */
static inline const char *put(const char *dir, const char *name, const char *text)
{
	static char *path;
	g_autoptr(GError) error = NULL;

	g_free(path);
	path = g_build_filename(dir, name, NULL);
	g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0644, &error);
	g_assert_no_error(error);
	return path;
}

static inline char *get(const char *dir, const char *name)
{
	g_autofree char *path = g_build_filename(dir, name, NULL);
	char *text = NULL;

	return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

/* SOURCE>DEST of each rule, and what it says: a for allow, ? for ask, - for deny. */
static inline char *shape(const struct policy_set *set)
{
	GString *out = g_string_new(NULL);
	size_t n;
	const struct policy_rule *rules = policy_set_rules(set, &n);

	for (size_t i = 0; i < n; i++)
		g_string_append_printf(out, "%s%s>%s%c", i ? " " : "",
			*rules[i].source.name ? rules[i].source.name : "@",
			*rules[i].dest.name ? rules[i].dest.name : "@", "-?a"[rules[i].action]);
	return g_string_free(out, FALSE);
}

#define RULE(source, dest, action) "qubes.Pendrive * " source " " dest " " action "\n"

static inline struct policy_query from_to(const char *source, const char *dest)
{
	return (struct policy_query){POLICY_SERVICE_PENDRIVE, source, dest, false, false};
}

#endif
