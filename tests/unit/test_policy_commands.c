/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `qfilexchgctl policy`: what it prints, and its exit status. */
#include "policy_commands.h"

#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "policy_answers.h"
#include "policy_fixture.h"

static GString *printed, *complained;

static void keep_printed(const char *text)
{
	g_string_append(printed, text);
}

static void keep_complained(const char *text)
{
	g_string_append(complained, text);
}

/* What came out stays until the next call. `words` are separated by blanks. */
static int run(const struct fixture *f, const char *words)
{
	g_auto(GStrv) argv = *words ? g_strsplit(words, " ", -1) : g_new0(char *, 1);
	GPrintFunc old = g_set_print_handler(keep_printed);
	GPrintFunc old_err = g_set_printerr_handler(keep_complained);
	int status;

	g_string_truncate(printed, 0);
	g_string_truncate(complained, 0);
	status = policy_commands_run(&f->places, argv);
	g_set_print_handler(old);
	g_set_printerr_handler(old_err);
	return status;
}

/* % is the fixture's root, in what is wanted and in the words. */
static char *with_root(const struct fixture *f, const char *text)
{
	g_auto(GStrv) parts = g_strsplit(text, "%", -1);

	return g_strjoinv(f->root, parts);
}

static void assert_says(const struct fixture *f, const char *words, const char *wanted)
{
	g_autofree char *command = with_root(f, words);
	g_autofree char *text = with_root(f, wanted);

	g_assert_cmpint(run(f, command), ==, EXIT_SUCCESS);
	g_assert_cmpstr(printed->str, ==, text);
	g_assert_cmpstr(complained->str, ==, "");
}

static void assert_fails(const struct fixture *f, const char *words, int status, const char *wanted)
{
	g_autofree char *command = with_root(f, words);
	g_autofree char *text = with_root(f, wanted);

	g_assert_cmpint(run(f, command), ==, status);
	g_assert_cmpstr(printed->str, ==, "");
	g_assert_cmpstr(complained->str, ==, text);
}

static void test_check(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	assert_says(f, "check", "%/policy.d: right, 2 rules\n");
	put(f->dir, "50-a.policy", RULE("a", "b", "ask") RULE("a", "c", "ask") "!include inc\n");
	put(f->dir, "inc", RULE("a", "d", "ask"));
	put(f->session, "50-b.policy", RULE("a", "e", "ask"));
	assert_says(f, "check", "%/policy.d: right, 4 rules\n");
	assert_says(f, "check %/policy.d", "%/policy.d: right, 3 rules\n");
	assert_says(f, "check %/session/../session", "%/session: right, 1 rule\n");
	put(f->beside, "draft", "!include inc\n");
	assert_says(f, "check %/beside/draft", "%/beside/draft: right, 1 rule\n");
	put(f->beside, "draft", RULE("a", "b", "no"));
	assert_fails(f, "check %/beside/draft", EXIT_FAILURE,
		"qfilexchgctl: %/beside/draft:1:22: the actions are allow, ask and deny\n");
	assert_fails(f, "check %/none", EXIT_FAILURE,
		"qfilexchgctl: Cannot read the policy %/none: there is no such file\n");
	put(f->dir, "50-a.policy", "\n\nwhat\n");
	assert_fails(f, "check", EXIT_FAILURE,
		"qfilexchgctl: %/policy.d/50-a.policy:3:1: the services are qubes.Pendrive, "
		"qubes.PendriveDisposable and *\n");
}

static void test_explain(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	assert_says(f, "explain a b",
		"ask\n  qubes.Pendrive * @anyvm @anyvm ask\n"
		"  built in, since no file of the policy has a rule\n");
	put(f->dir, "50-a.policy",
		"#\nqubes.Pendrive  +  work vault  deny  notify=no\n"
		"qubes.PendriveDisposable * work @dispvm allow\n");
	assert_says(f, "explain work vault",
		"deny\n  qubes.Pendrive * work vault deny notify=no\n  "
		"%/policy.d/50-a.policy:2\n");
	assert_says(f, "explain work disposable",
		"allow\n  qubes.PendriveDisposable * work @dispvm allow\n  "
		"%/policy.d/50-a.policy:3\n");
	assert_says(f, "explain vault work", "deny\n  no rule matches\n");
	assert_says(f, "explain vault disposable", "deny\n  no rule matches\n");
	assert_fails(f, "explain vault @anyvm", EX_USAGE,
		"qfilexchgctl: @anyvm cannot be the name of a VM\n");
	assert_fails(f, "explain disposable vault", EX_USAGE,
		"qfilexchgctl: disposable cannot be the name of a VM\n");
}

/* Only the daemon knows which are DisposableVMs: where it matters, both are told. */
static void test_explain_disposables(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	put(f->dir, "50-a.policy",
		"qubes.Pendrive * @dispvm vault deny\nqubes.Pendrive * @anyvm @dispvm ask\n");
	assert_says(f, "explain disp1 vault",
		"If disp1 is not a DisposableVM: deny\n  no rule matches\n"
		"If disp1 is a DisposableVM: deny\n  qubes.Pendrive * @dispvm vault deny\n"
		"  %/policy.d/50-a.policy:1\n");
	assert_says(f, "explain work disp23",
		"If disp23 is not a DisposableVM: deny\n  no rule matches\n"
		"If disp23 is a DisposableVM: ask\n  qubes.Pendrive * @anyvm @dispvm ask\n"
		"  %/policy.d/50-a.policy:2\n");
	assert_says(f, "explain disp1 work", "deny\n  no rule matches\n");
	assert_says(f, "explain disp1 disposable", "deny\n  no rule matches\n");
	assert_says(f, "explain display1 vault", "deny\n  no rule matches\n");
	assert_says(f, "explain disp vault", "deny\n  no rule matches\n");
}

static void remember(const struct fixture *f, const char *source, const char *dest,
	enum policy_action action, enum policy_how_long how_long)
{
	const struct policy_query query = from_to(source, dest);

	g_assert_true(policy_answers_add(&f->places, &query, action, how_long, NULL));
}

static void test_list_and_forget(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	assert_says(f, "list", "No answers are remembered.\n");
	remember(f, "work", "vault", POLICY_DENY, POLICY_ALWAYS);
	remember(f, "work", "mail", POLICY_ALLOW, POLICY_THIS_SESSION);
	assert_says(f, "list",
		"SOURCE            DEST              ANSWER  FOR\n"
		"work              mail              allow   this session\n"
		"work              vault             deny    always\n");
	assert_says(f, "forget work vault",
		"Forgotten: the rules behind it decide about work to vault again.\n");
	assert_fails(f, "forget work vault", EXIT_FAILURE,
		"qfilexchgctl: no answer about work to vault is remembered; `qfilexchgctl policy "
		"list` shows those that are\n");
	assert_says(f, "forget work mail",
		"Forgotten: the rules behind it decide about work to mail again.\n");
	assert_says(f, "list", "No answers are remembered.\n");
	assert_fails(f, "forget a/b c", EX_USAGE, "qfilexchgctl: a/b cannot be the name of a VM\n");
	put(f->dir, POLICY_ANSWERS, "oh\n");
	assert_fails(f, "list", EXIT_FAILURE,
		"qfilexchgctl: %/policy.d/30-remembered.policy:1:1: the services are "
		"qubes.Pendrive, qubes.PendriveDisposable and *\n");
}

static void test_usage(struct fixture *f, gconstpointer unused)
{
	static const char *const words[] = {"", "frob", "check a b", "explain a", "explain",
		"explain a b c", "list a", "forget", "forget a"};

	(void)unused;
	for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
		assert_fails(f, words[i], EX_USAGE,
			"usage: qfilexchgctl COMMAND\n  " POLICY_COMMANDS_USAGE "\n");
}

#define ADD(name, function)                                                                        \
	g_test_add("/policy-commands/" name, struct fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
	int status;

	g_test_init(&argc, &argv, NULL);
	printed = g_string_new(NULL);
	complained = g_string_new(NULL);
	ADD("check", test_check);
	ADD("explain", test_explain);
	ADD("explain-disposables", test_explain_disposables);
	ADD("list-and-forget", test_list_and_forget);
	ADD("usage", test_usage);
	status = g_test_run();
	g_string_free(printed, TRUE);
	g_string_free(complained, TRUE);
	return status;
}
