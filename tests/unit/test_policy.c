/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy: what a line may say, where it is wrong, and which rule decides. */
#include <glib.h>
#include <string.h>

#include "policy.h"
#include "qpen_words.h"

#define NAME63 "n23456789012345678901234567890123456789012345678901234567890123"

/* Parses a copy that ends where its memory ends, so that ASan sees a read past it. */
static enum policy_result parse(
	const char *bytes, size_t len, struct policy_line *out, size_t *column)
{
	g_autofree char *copy = g_malloc(MAX(len, 1));
	enum policy_result result;

	memcpy(copy, bytes, len);
	result = policy_parse_line(copy, len, out, column);
	if (result == POLICY_OK && out->path) {
		g_assert_true(out->path >= copy && out->path + out->path_len <= copy + len);
		out->path = bytes + (out->path - copy);
	}
	return result;
}

static struct policy_rule rule_of(const char *text)
{
	struct policy_line line;
	size_t column;

	g_assert_cmpint(parse(text, strlen(text), &line, &column), ==, POLICY_OK);
	g_assert_cmpint(line.kind, ==, POLICY_LINE_RULE);
	return line.rule;
}

#define ANY                                                                                        \
	{                                                                                          \
		.kind = POLICY_VM_ANY                                                              \
	}
#define DISP                                                                                       \
	{                                                                                          \
		.kind = POLICY_VM_DISP                                                             \
	}
#define ADMIN                                                                                      \
	{                                                                                          \
		.kind = POLICY_VM_ADMIN                                                            \
	}
#define VM(text)                                                                                   \
	{                                                                                          \
		.kind = POLICY_VM_NAME, .name = (text)                                             \
	}
#define EVERY POLICY_SERVICE_ANY
#define PENDRIVE POLICY_SERVICE_PENDRIVE
#define DISPOSABLE POLICY_SERVICE_DISPOSABLE

static const struct {
	const char *label, *text;
	struct policy_rule rule;
} rules[] = {
	/* Qubes' documentation and shipped policy, with our services in place of theirs. */
	{"file copy, as shipped",
		"qubes.Pendrive       *           @anyvm          @anyvm      ask",
		{PENDRIVE, ANY, ANY, .action = POLICY_ASK}},
	{"open in a DisposableVM, as shipped",
		"qubes.PendriveDisposable         *           @anyvm          @dispvm     allow",
		{DISPOSABLE, ANY, DISP, .action = POLICY_ALLOW}},
	{"the second line of it", "qubes.PendriveDisposable * @anyvm @anyvm ask",
		{DISPOSABLE, ANY, ANY, .action = POLICY_ASK}},
	{"all to dom0 is denied", "qubes.Pendrive * @anyvm dom0 deny",
		{PENDRIVE, ANY, ADMIN, .action = POLICY_DENY}},
	{"the grammar's second line", "qubes.Pendrive  *           @anyvm      @adminvm    allow",
		{PENDRIVE, ANY, ADMIN, .action = POLICY_ALLOW}},
	{"the grammar's third line, without its tag",
		"*               *           @anyvm   work deny",
		{EVERY, ANY, VM("work"), .action = POLICY_DENY}},
	{"the how-to's vault", "qubes.Pendrive * untrusted vault deny",
		{PENDRIVE, VM("untrusted"), VM("vault"), .action = POLICY_DENY}},
	{"a single plus is the empty argument", "qubes.Pendrive + work personal ask",
		{PENDRIVE, VM("work"), VM("personal"), .action = POLICY_ASK}},
	{"a start in a DisposableVM", "qubes.PendriveDisposable  *    work    @dispvm allow",
		{DISPOSABLE, VM("work"), DISP, .action = POLICY_ALLOW}},
	{"a deny that is told", "qubes.Pendrive * @anyvm @anyvm deny notify=yes",
		{PENDRIVE, ANY, ANY, .action = POLICY_DENY}},
	{"a deny that is not", "qubes.Pendrive * @anyvm @anyvm deny notify=no",
		{PENDRIVE, ANY, ANY, .action = POLICY_DENY, .quiet = true}},

	{"an allow that is not told", "qubes.Pendrive * a b allow notify=no",
		{PENDRIVE, VM("a"), VM("b"), .action = POLICY_ALLOW, .quiet = true}},
	{"an ask that is not told", "qubes.Pendrive * a b ask notify=no",
		{PENDRIVE, VM("a"), VM("b"), .action = POLICY_ASK, .quiet = true}},
	{"dom0 by its other names", "qubes.Pendrive * Domain-0 @adminvm allow",
		{PENDRIVE, ADMIN, ADMIN, .action = POLICY_ALLOW}},
	{"from a DisposableVM", "qubes.Pendrive * @dispvm vault deny",
		{PENDRIVE, DISP, VM("vault"), .action = POLICY_DENY}},
	{"every service to DisposableVMs", "* * @anyvm @dispvm allow",
		{EVERY, ANY, DISP, .action = POLICY_ALLOW}},
	{"a file for dom0: never, but no mistake", "qubes.PendriveDisposable * a @adminvm deny",
		{DISPOSABLE, VM("a"), ADMIN, .action = POLICY_DENY}},
	{"the longest names", "qubes.PendriveDisposable * " NAME63 " @anyvm allow notify=no",
		{DISPOSABLE, VM(NAME63), ANY, .action = POLICY_ALLOW, .quiet = true}},
	{"every character of a name", "qubes.Pendrive * 9a_.+-Z disp1 ask",
		{PENDRIVE, VM("9a_.+-Z"), VM("disp1"), .action = POLICY_ASK}},
	{"words of ours as names", "qubes.Pendrive * allow qubes.Pendrive deny",
		{PENDRIVE, VM("allow"), VM("qubes.Pendrive"), .action = POLICY_DENY}},
	{"blanks and tabs around", " \t qubes.Pendrive\t*\t \ta  b\tallow \t ",
		{PENDRIVE, VM("a"), VM("b"), .action = POLICY_ALLOW}},
	{"the end of a line of DOS", "qubes.Pendrive * a b allow\r",
		{PENDRIVE, VM("a"), VM("b"), .action = POLICY_ALLOW}},
};

static void assert_same(const struct policy_rule *a, const struct policy_rule *b)
{
	g_assert_cmpint(a->service, ==, b->service);
	g_assert_cmpint(a->source.kind, ==, b->source.kind);
	g_assert_cmpstr(a->source.name, ==, b->source.name);
	g_assert_cmpint(a->dest.kind, ==, b->dest.kind);
	g_assert_cmpstr(a->dest.name, ==, b->dest.name);
	g_assert_cmpint(a->action, ==, b->action);
	g_assert_cmpint(a->quiet, ==, b->quiet);
}

static void test_rules(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
		struct policy_line line;
		size_t column = 99;

		g_test_message("%s", rules[i].label);
		g_assert_cmpint(
			parse(rules[i].text, strlen(rules[i].text), &line, &column), ==, POLICY_OK);
		g_assert_cmpuint(column, ==, 0);
		g_assert_cmpint(line.kind, ==, POLICY_LINE_RULE);
		g_assert_null(line.path);
		assert_same(&line.rule, &rules[i].rule);
	}
}

/* Written and read again it is the same rule. */
static void test_text(void)
{
	char text[POLICY_RULE_TEXT_MAX];

	for (size_t i = 0; i < G_N_ELEMENTS(rules); i++) {
		struct policy_rule again;

		g_test_message("%s", rules[i].label);
		policy_rule_text(&rules[i].rule, text);
		again = rule_of(text);
		assert_same(&again, &rules[i].rule);
	}
	policy_rule_text(&rules[0].rule, text);
	g_assert_cmpstr(text, ==, "qubes.Pendrive * @anyvm @anyvm ask");
}

/* Some rows hold NULs, so every row says how long it is. */
#define BYTES(text) (text), sizeof(text) - 1

static const struct {
	const char *label, *bytes;
	size_t len;
	enum policy_line_kind kind;
	const char *path;
} others[] = {
	{"nothing", BYTES(""), POLICY_LINE_NOTHING, NULL},
	{"blanks", BYTES(" \t  "), POLICY_LINE_NOTHING, NULL},
	{"the empty line of DOS", BYTES("\r"), POLICY_LINE_NOTHING, NULL},
	{"a comment", BYTES("# qubes.Pendrive"), POLICY_LINE_NOTHING, NULL},
	{"a comment further in", BYTES("\t #!include x"), POLICY_LINE_NOTHING, NULL},
	{"a comment in another tongue", BYTES("# f\xc3\xbcr alle"), POLICY_LINE_NOTHING, NULL},
	{"include", BYTES("!include include/work"), POLICY_LINE_INCLUDE, "include/work"},
	{"include, an absolute path", BYTES("  !include\t/etc/a.policy  "), POLICY_LINE_INCLUDE,
		"/etc/a.policy"},
	{"include-dir", BYTES("!include-dir /srv/policy\r"), POLICY_LINE_INCLUDE_DIR,
		"/srv/policy"},
	{"a path that is a #", BYTES("!include #"), POLICY_LINE_INCLUDE, "#"},
};

static void test_other_lines(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
		struct policy_line line;
		size_t column = 99;

		g_test_message("%s", others[i].label);
		g_assert_cmpint(
			parse(others[i].bytes, others[i].len, &line, &column), ==, POLICY_OK);
		g_assert_cmpuint(column, ==, 0);
		g_assert_cmpint(line.kind, ==, others[i].kind);
		if (others[i].path)
			g_assert_true(qpen_is_word(line.path, line.path_len, others[i].path));
		else
			g_assert_null(line.path);
	}
}

static const struct {
	const char *label, *bytes;
	size_t len;
	enum policy_result result;
	size_t column;
} refused[] = {
	{"a NUL", BYTES("qubes.Pendrive\0* a b ask"), POLICY_BAD_BYTE, 15},
	{"a NUL at the end", BYTES("qubes.Pendrive * a b ask\0"), POLICY_BAD_BYTE, 25},
	{"an escape in a comment", BYTES("# \033[2K"), POLICY_BAD_BYTE, 3},
	{"a carriage return in a comment", BYTES("# a\rqubes.Pendrive * a b allow"),
		POLICY_BAD_BYTE, 4},
	{"two carriage returns at the end", BYTES("\r\r"), POLICY_BAD_BYTE, 1},
	{"a form feed", BYTES("\fqubes.Pendrive * a b ask"), POLICY_BAD_BYTE, 1},
	{"a delete", BYTES("qubes.Pendrive * a b ask \x7f"), POLICY_BAD_BYTE, 26},

	{"one word", BYTES("qubes.Pendrive"), POLICY_TOO_FEW, 15},
	{"one word and a blank", BYTES("* "), POLICY_TOO_FEW, 3},
	{"two words", BYTES("qubes.Pendrive *"), POLICY_TOO_FEW, 17},
	{"three words", BYTES("qubes.Pendrive * a"), POLICY_TOO_FEW, 19},
	{"four words", BYTES("qubes.Pendrive * a b"), POLICY_TOO_FEW, 21},
	{"four words, DOS", BYTES("qubes.Pendrive * a b\r"), POLICY_TOO_FEW, 21},

	{"Qubes' own service", BYTES("qubes.Filecopy * @anyvm @anyvm ask"), POLICY_BAD_SERVICE, 1},
	{"further in", BYTES("  qubes.OpenInVM * @anyvm @dispvm allow"), POLICY_BAD_SERVICE, 3},
	{"small letters", BYTES("qubes.pendrive * a b ask"), POLICY_BAD_SERVICE, 1},
	{"part of a service", BYTES("qubes.Pendriv * a b ask"), POLICY_BAD_SERVICE, 1},
	{"more than a service", BYTES("qubes.Pendrives * a b ask"), POLICY_BAD_SERVICE, 1},
	{"its argument with it", BYTES("qubes.Pendrive+ * a b ask"), POLICY_BAD_SERVICE, 1},
	{"the format before 4.1", BYTES("@anyvm @anyvm ask"), POLICY_BAD_SERVICE, 1},
	{"a byte order mark", BYTES("\xef\xbb\xbf* * a b ask"), POLICY_BAD_SERVICE, 1},
	{"a no-break space", BYTES("\xc2\xa0* * a b ask"), POLICY_BAD_SERVICE, 1},

	{"an argument", BYTES("qubes.Pendrive +ARGUMENT a b ask"), POLICY_BAD_ARGUMENT, 16},
	{"no argument", BYTES("qubes.Pendrive work vault ask"), POLICY_BAD_ARGUMENT, 16},
	{"two stars", BYTES("qubes.Pendrive ** a b ask"), POLICY_BAD_ARGUMENT, 16},
	{"of every service the empty one", BYTES("* + a b ask"), POLICY_ARGUMENT_OF_ANY, 3},
	{"of every service another", BYTES("* +x a b ask"), POLICY_BAD_ARGUMENT, 3},

	{"a bad name", BYTES("qubes.Pendrive * -a b ask"), POLICY_BAD_VM, 18},
	{"a bad name as DEST", BYTES("qubes.Pendrive * a b/c ask"), POLICY_BAD_VM, 20},
	{"a name too long", BYTES("qubes.Pendrive * " NAME63 "4 b ask"), POLICY_BAD_VM, 18},
	{"a name with an umlaut", BYTES("qubes.Pendrive * \xc3\xa4 b ask"), POLICY_BAD_VM, 18},
	{"the word of requests", BYTES("qubes.Pendrive * a disposable ask"), POLICY_BAD_VM, 20},
	{"a token of nobody's", BYTES("qubes.Pendrive * @anyone b ask"), POLICY_BAD_VM, 18},
	{"a token and more", BYTES("qubes.Pendrive * @anyvm2 b ask"), POLICY_BAD_VM, 18},
	{"an uuid", BYTES("qubes.Pendrive * uuid:0 b ask"), POLICY_BAD_VM, 18},
	{"@tag: as SOURCE", BYTES("qubes.Pendrive * @tag:work b ask"), POLICY_NO_TAGS, 18},
	{"@tag: as DEST", BYTES("qubes.Pendrive * @anyvm @tag:work deny"), POLICY_NO_TAGS, 25},
	{"@type:", BYTES("* * @tag1 @type:AppVM ask"), POLICY_BAD_VM, 5},
	{"the grammar's third line", BYTES("*   *   @tag:tag1   @type:AppVM ask"), POLICY_NO_TAGS,
		9},
	{"@type: as DEST", BYTES("* * @anyvm @type:AppVM ask"), POLICY_NO_TAGS, 12},
	{"@default", BYTES("qubes.Pendrive * a @default ask"), POLICY_NO_DEFAULT, 20},
	{"@dispvm:NAME", BYTES("* * a @dispvm:offline allow"), POLICY_NO_DISPVM_OF, 7},
	{"@dispvm:@tag:", BYTES("* * a @dispvm:@tag:t allow"), POLICY_NO_DISPVM_OF, 7},
	{"$anyvm", BYTES("* * $anyvm $dispvm allow"), POLICY_OLD_TOKEN, 5},
	{"a star as SOURCE", BYTES("* * * @dispvm allow"), POLICY_OLD_TOKEN, 5},
	{"a star as DEST", BYTES("* * @anyvm * allow"), POLICY_OLD_TOKEN, 12},
	{"a file for a VM by name", BYTES("qubes.PendriveDisposable * a b allow"),
		POLICY_DEST_HAS_NAME, 30},

	{"no action", BYTES("* * a b maybe"), POLICY_BAD_ACTION, 9},
	{"capitals", BYTES("* * a b ALLOW"), POLICY_BAD_ACTION, 9},
	{"an option in place of it", BYTES("* * a b notify=no"), POLICY_BAD_ACTION, 9},
	{"a comma", BYTES("* * a b ask,default_target=c"), POLICY_COMMA, 9},
	{"target", BYTES("qubes.Pendrive * a b allow target=c"), POLICY_OPTION_UNSUPPORTED, 28},
	{"default_target", BYTES("* * a b ask default_target=c"), POLICY_OPTION_UNSUPPORTED, 13},
	{"user", BYTES("* * a b allow user=root"), POLICY_OPTION_UNSUPPORTED, 15},
	{"autostart", BYTES("* * a b allow autostart=no"), POLICY_OPTION_UNSUPPORTED, 15},
	{"behind a good one", BYTES("* * a b ask notify=no user=x"), POLICY_OPTION_UNSUPPORTED, 23},
	{"an option of nobody's", BYTES("* * a b ask colour=red"), POLICY_BAD_OPTION, 13},
	{"no option", BYTES("* * a b ask please"), POLICY_BAD_OPTION, 13},
	{"another value", BYTES("* * a b ask notify=maybe"), POLICY_BAD_OPTION, 13},
	{"no value", BYTES("* * a b ask notify="), POLICY_BAD_OPTION, 13},
	{"twice", BYTES("* * a b ask notify=no notify=no"), POLICY_OPTION_TWICE, 23},
	{"one and the other", BYTES("* * a b ask notify=no notify=yes"), POLICY_OPTION_TWICE, 23},
	{"a comment behind", BYTES("* * a b ask # for now"), POLICY_LATE_COMMENT, 13},
	{"a comment behind an option", BYTES("* * a b ask notify=no #x"), POLICY_LATE_COMMENT, 23},

	{"no directive", BYTES("!exclude x"), POLICY_BAD_DIRECTIVE, 1},
	{"part of one", BYTES(" !includ x"), POLICY_BAD_DIRECTIVE, 2},
	{"the bang alone", BYTES("! include x"), POLICY_BAD_DIRECTIVE, 1},
	{"include-service", BYTES("!include-service qubes.Pendrive * /x"),
		POLICY_DIRECTIVE_UNSUPPORTED, 1},
	{"compat", BYTES("!compat-4.0"), POLICY_DIRECTIVE_UNSUPPORTED, 1},
	{"include of nothing", BYTES("!include"), POLICY_BAD_PATH, 9},
	{"include of nothing, blanks", BYTES("!include  "), POLICY_BAD_PATH, 11},
	{"include of two", BYTES("!include a b"), POLICY_BAD_PATH, 12},
	{"include-dir of nothing", BYTES("!include-dir"), POLICY_BAD_PATH, 13},
};

static void test_refused(void)
{
	static const struct policy_line untouched = {.kind = POLICY_LINE_INCLUDE, .path = "x"};

	for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
		struct policy_line line;
		size_t column = 0;

		memcpy(&line, &untouched, sizeof line);
		g_test_message("%s", refused[i].label);
		g_assert_cmpint(parse(refused[i].bytes, refused[i].len, &line, &column), ==,
			refused[i].result);
		g_assert_cmpuint(column, ==, refused[i].column);
		g_assert_true(memcmp(&line, &untouched, sizeof line) == 0);
	}
}

/* Every mistake has a row above, and a sentence of its own. */
static void test_results(void)
{
	for (int result = 0; result < POLICY_N_RESULTS; result++) {
		const char *text = policy_result_text((enum policy_result)result);
		bool has_row = result == POLICY_OK;

		g_assert_cmpstr(text, !=, policy_result_text((enum policy_result)POLICY_N_RESULTS));
		for (int other = 0; other < result; other++)
			g_assert_cmpstr(text, !=, policy_result_text((enum policy_result)other));
		for (size_t i = 0; i < G_N_ELEMENTS(refused); i++)
			has_row |= (int)refused[i].result == result;
		g_assert_true(has_row);
	}
}

/* ---- deciding ---- */

static const char *const policy[] = {
	/* 0 */ "qubes.Pendrive * @adminvm @adminvm allow",
	/* 1 */ "qubes.Pendrive * work vault deny notify=no",
	/* 2 */ "qubes.Pendrive + work @anyvm allow",
	/* 3 */ "qubes.Pendrive * @dispvm vault deny",
	/* 4 */ "qubes.Pendrive * @anyvm @dispvm ask",
	/* 5 */ "qubes.PendriveDisposable * vault @dispvm deny",
	/* 6 */ "qubes.Pendrive * disp7 personal allow",
	/* 7 */ "* * mail @anyvm allow",
	/* 8 */ "* * safe vault allow",
	/* 9 */ "qubes.PendriveDisposable * @anyvm @anyvm ask",
	/* 10 */ "qubes.Pendrive * personal work ask",
};
#define NONE (-1)

static const struct {
	const char *label;
	enum policy_service service;
	const char *source;
	bool source_is_disposable;
	const char *dest;
	bool dest_is_disposable;
	enum policy_action action;
	int rule;
	bool quiet;
} wishes[] = {
	{"the first that matches", PENDRIVE, "work", false, "vault", false, POLICY_DENY, .rule = 1,
		.quiet = true},
	{"behind it", PENDRIVE, "work", false, "mail", false, POLICY_ALLOW, .rule = 2},
	{"@anyvm is a DisposableVM as well", PENDRIVE, "work", false, "disp1", true, POLICY_ALLOW,
		.rule = 2},
	{"@dispvm as SOURCE", PENDRIVE, "disp1", true, "vault", false, POLICY_DENY, .rule = 3},
	{"only called like one", PENDRIVE, "disp1", false, "vault", false, POLICY_DENY,
		.rule = NONE},
	{"@dispvm as DEST", PENDRIVE, "personal", false, "disp1", true, POLICY_ASK, .rule = 4},
	{"DEST only called like one", PENDRIVE, "personal", false, "disp1", false, POLICY_DENY,
		.rule = NONE},
	{"a DisposableVM by its name", PENDRIVE, "disp7", true, "personal", false, POLICY_ALLOW,
		.rule = 6},
	{"every service, a pendrive", PENDRIVE, "mail", false, "work", false, POLICY_ALLOW,
		.rule = 7},
	{"every service, a file", DISPOSABLE, "mail", false, NULL, false, POLICY_ALLOW, .rule = 7},
	{"a file", DISPOSABLE, "vault", false, NULL, false, POLICY_DENY, .rule = 5},
	{"a file: @anyvm as DEST", DISPOSABLE, "work", false, NULL, false, POLICY_ASK, .rule = 9},
	{"a file: DEST is not looked at", DISPOSABLE, "work", false, "vault", false, POLICY_ASK,
		.rule = 9},
	{"not even by a name", DISPOSABLE, "safe", false, "vault", false, POLICY_ASK, .rule = 9},
	{"every service, by a name", PENDRIVE, "safe", false, "vault", false, POLICY_ALLOW,
		.rule = 8},
	{"a file of a DisposableVM's", DISPOSABLE, "disp1", true, NULL, false, POLICY_ASK,
		.rule = 9},
	{"the last", PENDRIVE, "personal", false, "work", false, POLICY_ASK, .rule = 10},
	{"not the other way round", PENDRIVE, "vault", false, "personal", false, POLICY_DENY,
		.rule = NONE},
	{"dom0 is not in a name", PENDRIVE, "dom0", false, "dom0", false, POLICY_DENY,
		.rule = NONE},
	{"part of a name", PENDRIVE, "personal", false, "wor", false, POLICY_DENY, .rule = NONE},
	{"more than a name", PENDRIVE, "personal", false, "works", false, POLICY_DENY,
		.rule = NONE},
};

static void test_decide(void)
{
	struct policy_rule all[G_N_ELEMENTS(policy)];

	for (size_t i = 0; i < G_N_ELEMENTS(policy); i++)
		all[i] = rule_of(policy[i]);
	for (size_t i = 0; i < G_N_ELEMENTS(wishes); i++) {
		const struct policy_query query = {wishes[i].service, wishes[i].source,
			wishes[i].dest, wishes[i].source_is_disposable,
			wishes[i].dest_is_disposable};
		struct policy_decision decision = policy_decide(all, G_N_ELEMENTS(all), &query);

		g_test_message("%s", wishes[i].label);
		g_assert_cmpint(decision.action, ==, wishes[i].action);
		g_assert_cmpint(
			decision.rule ? (int)(decision.rule - all) : NONE, ==, wishes[i].rule);
		g_assert_cmpint(decision.quiet, ==, wishes[i].quiet);
	}
}

static void test_defaults(void)
{
	const struct policy_query pendrive = {PENDRIVE, "a", "b", false, false};
	const struct policy_query from_disp = {PENDRIVE, "disp1", "b", true, false};
	const struct policy_query file = {DISPOSABLE, "a", NULL, false, false};
	struct policy_decision decision;

	decision = policy_decide(policy_defaults, POLICY_N_DEFAULTS, &pendrive);
	g_assert_cmpint(decision.action, ==, POLICY_ASK);
	g_assert_false(decision.quiet);
	decision = policy_decide(policy_defaults, POLICY_N_DEFAULTS, &from_disp);
	g_assert_cmpint(decision.action, ==, POLICY_ASK);
	decision = policy_decide(policy_defaults, POLICY_N_DEFAULTS, &file);
	g_assert_cmpint(decision.action, ==, POLICY_ALLOW);
	decision = policy_decide(NULL, 0, &file);
	g_assert_cmpint(decision.action, ==, POLICY_DENY);
	g_assert_null(decision.rule);
}

/* The names that are written are those that are read. */
static void test_names(void)
{
	g_assert_cmpstr(policy_action_name(POLICY_DENY), ==, "deny");
	g_assert_cmpstr(policy_action_name(POLICY_ASK), ==, "ask");
	g_assert_cmpstr(policy_action_name(POLICY_ALLOW), ==, "allow");
	g_assert_cmpstr(policy_service_name(EVERY), ==, "*");
	g_assert_cmpstr(policy_service_name(PENDRIVE), ==, "qubes.Pendrive");
	g_assert_cmpstr(policy_service_name(DISPOSABLE), ==, "qubes.PendriveDisposable");
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/policy/rules", test_rules);
	g_test_add_func("/policy/text", test_text);
	g_test_add_func("/policy/other-lines", test_other_lines);
	g_test_add_func("/policy/refused", test_refused);
	g_test_add_func("/policy/results", test_results);
	g_test_add_func("/policy/decide", test_decide);
	g_test_add_func("/policy/defaults", test_defaults);
	g_test_add_func("/policy/names", test_names);
	return g_test_run();
}
