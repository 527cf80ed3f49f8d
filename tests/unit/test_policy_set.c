/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy's files: their order, what they include, who may write them, and what is said of those
 * that are wrong. */
#include <sys/stat.h>
#include <unistd.h>

#include "policy_answers.h"
#include "policy_file.h"
#include "policy_fixture.h"

static void assert_shape(const struct fixture *f, const char *wanted)
{
	g_autoptr(GError) error = NULL;
	struct policy_set *set = policy_set_load(&f->places, NULL, &error);
	g_autofree char *is = NULL;

	g_assert_no_error(error);
	is = shape(set);
	g_assert_cmpstr(is, ==, wanted);
	policy_set_free(set);
}

/* The message is `wanted` with the fixture's root for each %. */
static void assert_error(const struct fixture *f, enum policy_error code, const char *wanted)
{
	g_autoptr(GError) error = NULL;
	g_auto(GStrv) parts = g_strsplit(wanted, "%", -1);
	g_autofree char *text = g_strjoinv(f->root, parts);
	struct policy_set *set = policy_set_load(&f->places, NULL, &error);

	g_assert_null(set);
	g_assert_error(error, POLICY_ERROR, (int)code);
	g_assert_cmpstr(error->message, ==, text);
}

static void assert_missing(const struct fixture *f, const char *wanted)
{
	g_autoptr(GError) error = NULL;
	g_auto(GStrv) parts = g_strsplit(wanted, "%", -1);
	g_autofree char *text = g_strjoinv(f->root, parts);
	struct policy_set *set = policy_set_load(&f->places, NULL, &error);

	g_assert_null(set);
	g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
	g_assert_cmpstr(error->message, ==, text);
}

/* ---- reading ---- */

/*
 * Each feature that Qubes' documentation of its policy shows, in a line of ours: what we have means
 * what it means there, what we have not is refused with the file, the line and the column.
 */
static const struct {
	const char *label, *line;
	const char *source, *dest; /* NULL: it is refused */
	gboolean source_is_disposable, dest_is_disposable;
	enum policy_action action;
	const char *message; /* COLUMN: and the sentence */
} features[] = {
	{"a name to a name", "qubes.Pendrive * laptop archive allow", "laptop", "archive",
		.action = POLICY_ALLOW},
	{"no other source", "qubes.Pendrive * laptop archive allow", "desk", "archive",
		.action = POLICY_DENY},
	{"no other target", "qubes.Pendrive * laptop archive allow", "laptop", "desk",
		.action = POLICY_DENY},
	{"the empty argument", "qubes.Pendrive + laptop archive ask", "laptop", "archive",
		.action = POLICY_ASK},
	{"every service", "* * laptop archive ask", "laptop", "archive", .action = POLICY_ASK},
	{"any source", "qubes.Pendrive * @anyvm archive allow", "desk", "archive",
		.action = POLICY_ALLOW},
	{"any target", "qubes.Pendrive * laptop @anyvm ask", "laptop", "desk",
		.action = POLICY_ASK},
	{"any target is a DisposableVM too", "qubes.Pendrive * laptop @anyvm allow", "laptop",
		"disp3", .dest_is_disposable = TRUE, .action = POLICY_ALLOW},
	{"a DisposableVM as target", "qubes.Pendrive * laptop @dispvm allow", "laptop", "disp3",
		.dest_is_disposable = TRUE, .action = POLICY_ALLOW},
	{"and nothing else", "qubes.Pendrive * laptop @dispvm allow", "laptop", "disp3",
		.action = POLICY_DENY},
	{"a DisposableVM as source", "qubes.Pendrive * @dispvm archive ask", "disp3", "archive",
		.source_is_disposable = TRUE, .action = POLICY_ASK},
	{"dom0 is no VM", "qubes.Pendrive * laptop @adminvm allow", "laptop", "archive",
		.action = POLICY_DENY},
	{"denied in so many words", "qubes.Pendrive * @anyvm archive deny", "laptop", "archive",
		.action = POLICY_DENY},
	{"quietly", "qubes.Pendrive * laptop archive allow notify=no", "laptop", "archive",
		.action = POLICY_ALLOW},
	{"columns of blanks and tabs", "qubes.Pendrive\t*   laptop \t archive  ask", "laptop",
		"archive", .action = POLICY_ASK},
	{"a comment", "  # qubes.Pendrive * laptop archive allow", "laptop", "archive",
		.action = POLICY_DENY},

	{"an argument", "qubes.Pendrive +photos laptop archive ask",
		.message = "16: these services are called without an argument: write * or +"},
	{"every service with an argument", "* + laptop archive ask",
		.message = "3: with the service * the argument must be * as well"},
	{"another service", "qubes.ClipboardPaste * laptop archive ask",
		.message = "1: the services are qubes.Pendrive, qubes.PendriveDisposable and *"},
	{"a tag as source", "qubes.Pendrive * @tag:home archive allow",
		.message = "18: @tag: and @type: are not supported, VMs have neither here: write "
			   "names"},
	{"a tag as target", "qubes.Pendrive * laptop @tag:home allow",
		.message = "25: @tag: and @type: are not supported, VMs have neither here: write "
			   "names"},
	{"a type", "qubes.Pendrive * @type:TemplateVM @anyvm deny",
		.message = "18: @tag: and @type: are not supported, VMs have neither here: write "
			   "names"},
	{"no target", "qubes.Pendrive * laptop @default ask",
		.message = "25: @default is not supported: a VM always names whom it sends to"},
	{"a DisposableVM of a template", "* * laptop @dispvm:thin allow",
		.message = "12: @dispvm: with a template is not supported, since there is one for "
			   "all: write @dispvm"},
	{"a DisposableVM of a tag", "* * laptop @dispvm:@tag:thin allow",
		.message = "12: @dispvm: with a template is not supported, since there is one for "
			   "all: write @dispvm"},
	{"a redirection", "qubes.Pendrive * laptop @anyvm allow target=archive",
		.message = "38: target=, default_target=, user= and autostart= are not supported: "
			   "a pendrive goes to the VM that its sender named, or nowhere"},
	{"a proposal", "qubes.Pendrive * laptop @anyvm ask default_target=archive",
		.message = "36: target=, default_target=, user= and autostart= are not supported: "
			   "a pendrive goes to the VM that its sender named, or nowhere"},
	{"a user", "qubes.Pendrive * laptop archive allow user=root",
		.message = "39: target=, default_target=, user= and autostart= are not supported: "
			   "a pendrive goes to the VM that its sender named, or nowhere"},
	{"no start", "qubes.Pendrive * laptop archive allow autostart=no",
		.message = "39: target=, default_target=, user= and autostart= are not supported: "
			   "a pendrive goes to the VM that its sender named, or nowhere"},
	{"options with a comma", "qubes.Pendrive * laptop archive ask,notify=no",
		.message = "33: options are separated by blanks, not by commas"},
	{"a comment behind a rule", "qubes.Pendrive * laptop archive ask # at home",
		.message = "37: a comment must be a line of its own"},
	{"the old tokens", "qubes.Pendrive * $anyvm archive deny",
		.message = "18: that is of Qubes' format before 4.1: write @anyvm, @dispvm or "
			   "@adminvm"},
	{"the old format", "laptop archive ask",
		.message = "1: the services are qubes.Pendrive, qubes.PendriveDisposable and *"},
	{"files of the old format", "!include-service qubes.Pendrive * include/old",
		.message = "1: !include-service and !compat-4.0 are for Qubes' format before 4.1 "
			   "and not supported: write the rules anew"},
	{"the old folder", "!compat-4.0",
		.message = "1: !include-service and !compat-4.0 are for Qubes' format before 4.1 "
			   "and not supported: write the rules anew"},
};

static void test_features_of_qubes(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	for (size_t i = 0; i < G_N_ELEMENTS(features); i++) {
		g_autofree char *text = g_strconcat("# one\n\n", features[i].line, "\n", NULL);
		g_autofree char *message = NULL;
		g_autoptr(GError) error = NULL;
		struct policy_set *set;
		struct policy_query query;

		g_test_message("%s", features[i].label);
		put(f->dir, "50-a.policy", text);
		if (features[i].message) {
			message =
				g_strconcat("%/policy.d/50-a.policy:3:", features[i].message, NULL);
			assert_error(f, POLICY_ERROR_LINE, message);
			continue;
		}
		/* Another rule, so that the built-in ones do not hold. */
		put(f->dir, "60-b.policy", RULE("x", "x", "deny"));
		set = policy_set_load(&f->places, NULL, &error);
		g_assert_no_error(error);
		query = from_to(features[i].source, features[i].dest);
		query.source_is_disposable = features[i].source_is_disposable;
		query.dest_is_disposable = features[i].dest_is_disposable;
		g_assert_cmpint(policy_set_decide(set, &query).action, ==, features[i].action);
		policy_set_free(set);
	}
}

/* Bytes: 9 before 90, - before . before digits, _ before small letters. */
static void test_order(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	put(f->dir, "90-z.policy", RULE("a", "e", "ask"));
	put(f->dir, "9-z.policy", RULE("a", "b", "ask"));
	put(f->dir, "9.policy", RULE("a", "c", "ask") RULE("a", "c2", "deny"));
	put(f->dir, "z.policy", RULE("a", "g", "ask"));
	put(f->dir, "_.policy", RULE("a", "f", "ask"));
	put(f->dir, "90-.policy", RULE("a", "d", "ask"));
	assert_shape(f, "a>b? a>c? a>c2- a>d? a>e? a>f? a>g?");
}

static void test_ignored(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	put(f->dir, ".hidden.policy", "no policy\n");
	put(f->dir, "10-a.policy~", "no policy\n");
	put(f->dir, "10-a.policy.rpmsave", "no policy\n");
	put(f->dir, "10-A", "no policy\n");
	put(f->dir, "README", "no policy\n");
	put(f->dir, "policy", "no policy\n");
	put(f->dir, "50-a.policy", RULE("a", "b", "allow"));
	assert_shape(f, "a>ba");
}

static void test_sessions_folder(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	put(f->dir, "20-a.policy", RULE("a", "dir20", "ask"));
	put(f->session, "20-a.policy", RULE("a", "session20", "ask"));
	put(f->session, "10-a.policy", RULE("a", "session10", "ask"));
	put(f->session, "30-a.policy", RULE("a", "session30", "ask"));
	put(f->dir, "25-a.policy", RULE("a", "dir25", "ask"));
	assert_shape(f, "a>session10? a>session20? a>dir20? a>dir25? a>session30?");
}

/* Defaults: only if nobody but the user's answers says anything. */
static void test_defaults(struct fixture *f, gconstpointer unused)
{
	g_autoptr(GError) error = NULL;
	struct policy_set *set;
	const struct policy_query query = from_to("a", "b");
	struct policy_decision decision;
	g_autofree char *where = NULL;

	(void)unused;
	assert_shape(f, "@>@? @>@a");
	put(f->dir, "90-default.policy", "# nothing\n\n");
	assert_shape(f, "@>@? @>@a");
	put(f->dir, POLICY_ANSWERS, RULE("a", "c", "allow"));
	put(f->session, POLICY_ANSWERS, RULE("a", "d", "deny"));
	assert_shape(f, "a>d- a>ca @>@? @>@a");
	set = policy_set_load(&f->places, NULL, &error);
	decision = policy_set_decide(set, &query);
	g_assert_cmpint(decision.action, ==, POLICY_ASK);
	where = policy_set_where(set, decision.rule);
	g_assert_nonnull(strstr(where, "built in"));
	policy_set_free(set);
	put(f->session, "50-a.policy", RULE("a", "b", "deny"));
	assert_shape(f, "a>d- a>ca a>b-");
}

static void test_no_folders(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	g_assert_cmpint(g_rmdir(f->dir), ==, 0);
	g_assert_cmpint(g_rmdir(f->session), ==, 0);
	assert_shape(f, "@>@? @>@a");
	f->places.session = NULL;
	assert_shape(f, "@>@? @>@a");
}

static void test_where(struct fixture *f, gconstpointer unused)
{
	const struct policy_query inner = from_to("a", "inner"), behind = from_to("a", "behind");
	g_autofree char *in = g_strdup_printf("%s/i:2", f->beside);
	g_autofree char *out = g_strdup_printf("%s/50-a.policy:4", f->dir);
	g_autofree char *where_in = NULL, *where_out = NULL;
	g_autoptr(GError) error = NULL;
	struct policy_set *set;

	(void)unused;
	put(f->beside, "i", "\n" RULE("a", "inner", "deny"));
	put(f->dir, "50-a.policy",
		RULE("a", "before", "deny") "#\n!include ../beside/i\n" RULE(
			"a", "behind", "deny"));
	set = policy_set_load(&f->places, NULL, &error);
	g_assert_no_error(error);
	where_in = policy_set_where(set, policy_set_decide(set, &inner).rule);
	where_out = policy_set_where(set, policy_set_decide(set, &behind).rule);
	g_assert_cmpstr(where_in, ==, in);
	g_assert_cmpstr(where_out, ==, out);
	policy_set_free(set);
}

/* ---- includes ---- */

static void test_include(struct fixture *f, gconstpointer unused)
{
	g_autofree char *text = NULL;

	(void)unused;
	g_free(make_folder(f, "policy.d/include"));
	g_free(make_folder(f, "policy.d/empty"));
	put(f->beside, "abs", RULE("a", "abs", "ask"));
	put(f->dir, "include/rel", RULE("a", "rel", "ask") "!include include/rel2");
	put(f->dir, "include/rel2", RULE("a", "rel2", "ask"));
	put(f->dir, "include/2.policy", RULE("a", "dir2", "ask"));
	put(f->dir, "include/1.policy", RULE("a", "dir1", "ask"));
	text = g_strdup_printf(
		RULE("a", "first", "ask") "!include include/rel\n!include "
					  "%s/abs\n!include-dir include\n"
					  "!include-dir empty\n" RULE("a", "last", "ask"),
		f->beside);
	put(f->dir, "50-a.policy", text);
	assert_shape(f, "a>first? a>rel? a>rel2? a>abs? a>dir1? a>dir2? a>last?");
}

/* Twice is no circle. */
static void test_include_twice(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	put(f->dir, "inc", RULE("a", "b", "ask"));
	put(f->dir, "50-a.policy", "!include inc\n!include inc\n");
	assert_shape(f, "a>b? a>b?");
}

static void test_circle(struct fixture *f, gconstpointer unused)
{
	g_autofree char *path = NULL;

	(void)unused;
	put(f->dir, "50-a.policy", RULE("a", "b", "ask") "!include 50-a.policy\n");
	assert_error(f, POLICY_ERROR_LIMIT,
		"%/policy.d/50-a.policy:2: %/policy.d/50-a.policy includes itself, perhaps by way "
		"of others");
	put(f->dir, "50-a.policy", "!include x\n");
	put(f->dir, "x", "!include y\n");
	put(f->dir, "y", "\n!include x\n");
	assert_error(f, POLICY_ERROR_LIMIT,
		"%/policy.d/50-a.policy:1: %/policy.d/x:1: %/policy.d/y:2: %/policy.d/x includes "
		"itself, perhaps by way of others");
	/* By another name it is the same. */
	path = g_build_filename(f->dir, "link", NULL);
	g_assert_cmpint(symlink("x", path), ==, 0);
	put(f->dir, "x", "!include link\n");
	assert_error(f, POLICY_ERROR_LIMIT,
		"%/policy.d/50-a.policy:1: %/policy.d/x:1: %/policy.d/link includes itself, "
		"perhaps "
		"by way of others");
}

static void test_circle_of_folders(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	put(f->dir, "50-a.policy", "!include-dir .\n");
	assert_error(f, POLICY_ERROR_LIMIT,
		"%/policy.d/50-a.policy:1: %/policy.d/50-a.policy includes itself, perhaps by way "
		"of others");
}

static void put_chain(const struct fixture *f, int n)
{
	for (int i = 1; i <= n; i++) {
		g_autofree char *name = g_strdup_printf("c%d", i);
		g_autofree char *text = i < n ? g_strdup_printf("!include c%d\n", i + 1)
					      : g_strdup(RULE("a", "b", "ask"));

		put(f->dir, name, text);
	}
}

static void test_depth(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	put(f->dir, "50-a.policy", "!include c1\n");
	put_chain(f, POLICY_DEPTH_MAX - 1);
	assert_shape(f, "a>b?");
	put_chain(f, POLICY_DEPTH_MAX);
	assert_error(f, POLICY_ERROR_LIMIT,
		"%/policy.d/50-a.policy:1: %/policy.d/c1:1: %/policy.d/c2:1: %/policy.d/c3:1: "
		"%/policy.d/c4:1: %/policy.d/c5:1: %/policy.d/c6:1: %/policy.d/c7:1: "
		"%/policy.d/c8 is included by more than 8 files, one through the other");
}

/* Each includes the next ten times: ten to the seventh files, if nobody counted. */
static void test_too_many_files(struct fixture *f, gconstpointer unused)
{
	g_autoptr(GError) error = NULL;
	struct policy_set *set;

	(void)unused;
	for (int i = 0; i < 7; i++) {
		g_autofree char *name = i ? g_strdup_printf("f%d", i) : g_strdup("50-a.policy");
		g_autofree char *line = g_strdup_printf("!include f%d\n", i + 1);
		GString *text = g_string_new(NULL);

		for (int k = 0; k < 10; k++)
			g_string_append(text, line);
		put(f->dir, name, text->str);
		g_string_free(text, TRUE);
	}
	put(f->dir, "f7", "#\n");
	set = policy_set_load(&f->places, NULL, &error);
	g_assert_null(set);
	g_assert_error(error, POLICY_ERROR, POLICY_ERROR_LIMIT);
	g_assert_nonnull(strstr(error->message, "more than 1000 files"));
}

static void test_too_many_rules(struct fixture *f, gconstpointer unused)
{
	GString *text = g_string_new(NULL);

	(void)unused;
	for (guint i = 0; i < POLICY_RULES_MAX; i++)
		g_string_append(text, RULE("a", "b", "ask"));
	put(f->dir, "10-a.policy", text->str);
	g_string_append(text, "# the last one is one too many\n" RULE("a", "b", "ask"));
	put(f->dir, "10-a.policy", text->str);
	g_string_free(text, TRUE);
	assert_error(f, POLICY_ERROR_LIMIT,
		"%/policy.d/10-a.policy:10002: the policy has more than 10000 rules");
}

static void test_missing_includes(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	put(f->dir, "50-a.policy", "\n!include none\n");
	assert_missing(f, "%/policy.d/50-a.policy:2: Cannot read the policy %/policy.d/none: there "
			  "is no such file");
	put(f->dir, "50-a.policy", "!include-dir ../none\n");
	assert_missing(f, "%/policy.d/50-a.policy:1: Cannot read the policy's folder %/none: there "
			  "is no such file");
	put(f->dir, "50-a.policy", "!include-dir 50-a.policy\n");
	assert_error(f, POLICY_ERROR_FAILED,
		"%/policy.d/50-a.policy:1: Cannot read the policy's folder "
		"%/policy.d/50-a.policy: Not a directory");
	put(f->dir, "50-a.policy", "!include ../beside\n");
	assert_error(f, POLICY_ERROR_FAILED,
		"%/policy.d/50-a.policy:1: %/beside is not a file: a policy is");
}

/* ---- mistakes ---- */

static void test_bad_line(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	put(f->dir, "10-a.policy", RULE("a", "b", "ask"));
	put(f->dir, "50-a.policy", "#\n" RULE("a", "b", "allow") RULE("a", "b", "perhaps"));
	assert_error(f, POLICY_ERROR_LINE,
		"%/policy.d/50-a.policy:3:22: the actions are allow, ask and deny");
	/* The last line needs no newline. */
	put(f->dir, "50-a.policy", "qubes.Pendrive * a b");
	assert_error(f, POLICY_ERROR_LINE,
		"%/policy.d/50-a.policy:1:21: words are missing: a rule is SERVICE ARGUMENT SOURCE "
		"DEST ACTION [OPTION]");
	put(f->dir, "50-a.policy", "\n!include inc\n");
	put(f->dir, "inc", "\r\n\n\n x");
	assert_error(f, POLICY_ERROR_LINE,
		"%/policy.d/inc:4:2: the services are qubes.Pendrive, qubes.PendriveDisposable and "
		"*");
}

static void test_bad_name(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	put(f->dir, "50-User.policy", "");
	assert_error(f, POLICY_ERROR_FAILED,
		"The policy's folder %/policy.d has a file whose name has other characters than "
		"a-z, 0-9, _, . and -: rename it");
}

static void test_no_files(struct fixture *f, gconstpointer unused)
{
	g_autofree char *fifo = g_build_filename(f->dir, "10-fifo.policy", NULL);

	(void)unused;
	g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
	assert_error(
		f, POLICY_ERROR_FAILED, "%/policy.d/10-fifo.policy is not a file: a policy is");
	g_assert_cmpint(unlink(fifo), ==, 0);
	g_free(make_folder(f, "policy.d/10-dir.policy"));
	assert_error(f, POLICY_ERROR_FAILED, "%/policy.d/10-dir.policy is not a file: a policy is");
}

static void test_too_large(struct fixture *f, gconstpointer unused)
{
	g_autofree char *text = g_strnfill(POLICY_FILE_MAX + 1, '\n');

	(void)unused;
	put(f->dir, "50-a.policy", text);
	assert_error(f, POLICY_ERROR_LIMIT,
		"%/policy.d/50-a.policy has more than 1048576 bytes: that is no policy");
	text[POLICY_FILE_MAX] = '\0';
	put(f->dir, "50-a.policy", text);
	assert_shape(f, "@>@? @>@a");
}

static void test_permissions(struct fixture *f, gconstpointer unused)
{
	const char *path = put(f->dir, "50-a.policy", RULE("a", "b", "ask"));

	(void)unused;
	g_assert_cmpint(chmod(path, 0664), ==, 0);
	assert_error(f, POLICY_ERROR_UNSAFE,
		"%/policy.d/50-a.policy may be written by others than root: `chmod go-w "
		"%/policy.d/50-a.policy`");
	g_assert_cmpint(chmod(path, 0642), ==, 0);
	assert_error(f, POLICY_ERROR_UNSAFE,
		"%/policy.d/50-a.policy may be written by others than root: `chmod go-w "
		"%/policy.d/50-a.policy`");
	g_assert_cmpint(chmod(path, 0444), ==, 0);
	assert_shape(f, "a>b?");
	g_assert_cmpint(chmod(f->dir, 01777), ==, 0);
	assert_error(f, POLICY_ERROR_UNSAFE,
		"Others than root may put files into the policy's folder %/policy.d: `chmod go-w "
		"%/policy.d`");
	g_assert_cmpint(chmod(f->dir, 0755), ==, 0);
	g_assert_cmpint(chmod(f->session, 0775), ==, 0);
	assert_error(f, POLICY_ERROR_UNSAFE,
		"Others than root may put files into the policy's folder %/session: `chmod go-w "
		"%/session`");
}

/* A file in a folder like /tmp cannot be replaced by others; a folder like that can be filled. */
static void test_permissions_of_includes(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	put(f->beside, "i.policy", RULE("a", "b", "ask"));
	put(f->dir, "50-a.policy", "!include ../beside/i.policy\n");
	g_assert_cmpint(chmod(f->beside, 01777), ==, 0);
	assert_shape(f, "a>b?");
	g_assert_cmpint(chmod(f->beside, 0777), ==, 0);
	assert_error(f, POLICY_ERROR_UNSAFE,
		"%/policy.d/50-a.policy:1: Others than root may put files into the policy's folder "
		"%/beside: `chmod go-w %/beside`");
	put(f->dir, "50-a.policy", "!include-dir ../beside\n");
	g_assert_cmpint(chmod(f->beside, 01777), ==, 0);
	assert_error(f, POLICY_ERROR_UNSAFE,
		"%/policy.d/50-a.policy:1: Others than root may put files into the policy's folder "
		"%/beside: `chmod go-w %/beside`");
	g_assert_cmpint(chmod(f->beside, 0755), ==, 0);
	assert_shape(f, "a>b?");
}

static void test_owner(struct fixture *f, gconstpointer unused)
{
	const char *path = put(f->dir, "50-a.policy", RULE("a", "b", "ask"));

	(void)unused;
	if (geteuid() != 0) {
		g_test_skip("only root can give a file to another user");
		return;
	}
	g_assert_cmpint(chown(path, 12345, 0), ==, 0);
	assert_error(f, POLICY_ERROR_UNSAFE,
		"%/policy.d/50-a.policy belongs to user 12345: the policy must be root's, `chown "
		"root %/policy.d/50-a.policy`");
	g_assert_cmpint(chown(path, 0, 0), ==, 0);
	g_assert_cmpint(chown(f->dir, 12345, 0), ==, 0);
	assert_error(f, POLICY_ERROR_UNSAFE,
		"The policy's folder %/policy.d belongs to user 12345: it must be root's, `chown "
		"root %/policy.d`");
}

/* A link to somebody else's file is somebody else's file. */
static void test_links(struct fixture *f, gconstpointer unused)
{
	g_autofree char *link = g_build_filename(f->dir, "50-link.policy", NULL);
	const char *path = put(f->beside, "real", RULE("a", "b", "ask"));

	(void)unused;
	g_assert_cmpint(symlink("../beside/real", link), ==, 0);
	assert_shape(f, "a>b?");
	g_assert_cmpint(chmod(path, 0666), ==, 0);
	assert_error(f, POLICY_ERROR_UNSAFE,
		"%/policy.d/50-link.policy may be written by others than root: `chmod go-w "
		"%/policy.d/50-link.policy`");
	g_assert_cmpint(unlink(path), ==, 0);
	assert_missing(f, "Cannot read the policy %/policy.d/50-link.policy: there is no such "
			  "file");
}

/* `policy check FILE`: one file, with its includes, wherever it lies. */
static void test_one_file(struct fixture *f, gconstpointer unused)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *is = NULL;
	struct policy_set *set;

	(void)unused;
	put(f->dir, "inc", RULE("a", "inc", "ask"));
	put(f->dir, "50-a.policy", RULE("a", "not-this", "ask"));
	set = policy_set_load_file(&f->places,
		put(f->beside, "draft", "!include inc\n" RULE("a", "b", "ask")), &error);
	g_assert_no_error(error);
	is = shape(set);
	g_assert_cmpstr(is, ==, "a>inc? a>b?");
	policy_set_free(set);
	set = policy_set_load_file(&f->places, put(f->beside, "draft", "nonsense"), &error);
	g_assert_null(set);
	g_assert_error(error, POLICY_ERROR, POLICY_ERROR_LINE);
}

static void test_shipped(void)
{
	const struct policy_places places = {"/nonexistent", NULL};
	g_autoptr(GError) error = NULL;
	struct policy_set *set = policy_set_load_file(&places, SHIPPED_POLICY, &error);
	const struct policy_rule *rules;
	size_t n;

	g_assert_no_error(error);
	rules = policy_set_rules(set, &n);
	g_assert_cmpuint(n, ==, POLICY_N_DEFAULTS);
	for (size_t i = 0; i < n; i++) {
		char is[POLICY_RULE_TEXT_MAX], wanted[POLICY_RULE_TEXT_MAX];

		policy_rule_text(&rules[i], is);
		policy_rule_text(&policy_defaults[i], wanted);
		g_assert_cmpstr(is, ==, wanted);
	}
	policy_set_free(set);
}

/* What the manual shows as a rule is one. */
static void test_manual(struct fixture *f, gconstpointer unused)
{
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;
	GString *examples = g_string_new(NULL);

	(void)unused;
	g_assert_true(g_file_get_contents(MANUAL, &text, NULL, NULL));
	lines = g_strsplit(text, "\n", -1);
	for (char **line = lines; *line; line++)
		if (g_str_has_prefix(*line, "qubes.") || g_str_has_prefix(*line, "*"))
			g_string_append_printf(examples, "%s\n", *line);
	put(f->dir, "50-manual.policy", examples->str);
	g_string_free(examples, TRUE);
	assert_shape(f, "vault>@- @>vault- work>archivea work>@- untrusted>@? untrusted>@-");
}

#define ADD(name, function)                                                                        \
	g_test_add("/policy-set/" name, struct fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("order", test_order);
	ADD("ignored", test_ignored);
	ADD("sessions-folder", test_sessions_folder);
	ADD("defaults", test_defaults);
	ADD("no-folders", test_no_folders);
	ADD("where", test_where);
	ADD("include", test_include);
	ADD("include-twice", test_include_twice);
	ADD("circle", test_circle);
	ADD("circle-of-folders", test_circle_of_folders);
	ADD("depth", test_depth);
	ADD("too-many-files", test_too_many_files);
	ADD("too-many-rules", test_too_many_rules);
	ADD("missing-includes", test_missing_includes);
	ADD("bad-line", test_bad_line);
	ADD("features-of-qubes", test_features_of_qubes);
	ADD("bad-name", test_bad_name);
	ADD("no-files", test_no_files);
	ADD("too-large", test_too_large);
	ADD("permissions", test_permissions);
	ADD("permissions-of-includes", test_permissions_of_includes);
	ADD("owner", test_owner);
	ADD("links", test_links);
	ADD("one-file", test_one_file);
	g_test_add_func("/policy-set/shipped", test_shipped);
	ADD("manual", test_manual);
	return g_test_run();
}
