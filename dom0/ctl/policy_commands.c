/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy_commands.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "policy_answers.h"
#include "policy_file.h"
#include "qpen_words.h"

static int fail(const GError *error)
{
	g_printerr("qfilexchgctl: %s\n", error->message);
	return EXIT_FAILURE;
}

static bool is_vm_name(const char *word)
{
	if (qpen_is_vm_name(word, strlen(word)))
		return true;
	g_printerr("qfilexchgctl: %s cannot be the name of a VM\n", word);
	return false;
}

/* ---- check ---- */

/* NULL with error set. `path` is absolute. */
static struct policy_set *load(const struct policy_places *places, const char *path, GError **error)
{
	const struct policy_places folder = {.dir = path};

	if (!path)
		return policy_set_load(places, NULL, error);
	if (g_file_test(path, G_FILE_TEST_IS_DIR))
		return policy_set_load(&folder, NULL, error);
	return policy_set_load_file(places, path, error);
}

static int check(const struct policy_places *places, const char *word)
{
	g_autofree char *path = word ? g_canonicalize_filename(word, NULL) : NULL;
	g_autoptr(GError) error = NULL;
	struct policy_set *set = load(places, path, &error);
	size_t n;

	if (!set)
		return fail(error);
	(void)policy_set_rules(set, &n);
	g_print("%s: right, %zu %s\n", path ? path : places->dir, n, n == 1 ? "rule" : "rules");
	policy_set_free(set);
	return EXIT_SUCCESS;
}

/* ---- explain ---- */

/* Called as we call DisposableVMs. Whether it is one, only the daemon knows. */
static bool may_be_disposable(const char *name)
{
	return g_str_has_prefix(name, "disp") && name[4] &&
	       !name[4 + strspn(name + 4, "0123456789")];
}

static void print_decision(const struct policy_set *set, const struct policy_decision *decision)
{
	g_autofree char *where = policy_set_where(set, decision->rule);
	char text[POLICY_RULE_TEXT_MAX];

	g_print("%s\n", policy_action_name(decision->action));
	if (decision->rule) {
		policy_rule_text(decision->rule, text);
		g_print("  %s\n", text);
	}
	g_print("  %s\n", where);
}

static void print_case(const char *name, bool is_disposable)
{
	if (may_be_disposable(name))
		g_print("If %s is %s: ", name,
			is_disposable ? "a DisposableVM" : "not a DisposableVM");
}

/*
 * Up to four wishes: either name may be a DisposableVM's. Where that makes no difference, one is
 * printed.
 */
static void explain_wish(const struct policy_set *set, struct policy_query query)
{
	bool source_may = may_be_disposable(query.source);
	bool dest_may = query.service == POLICY_SERVICE_PENDRIVE && may_be_disposable(query.dest);
	struct policy_decision decisions[4];
	bool differ = false;

	for (int i = 0; i < 4; i++) {
		query.source_is_disposable = source_may && i & 1;
		query.dest_is_disposable = dest_may && i & 2;
		decisions[i] = policy_set_decide(set, &query);
		differ |= decisions[i].rule != decisions[0].rule;
	}
	for (int i = 0; i < (differ ? 4 : 1); i++) {
		if ((i & 1 && !source_may) || (i & 2 && !dest_may))
			continue;
		if (differ) {
			print_case(query.source, i & 1);
			if (dest_may)
				print_case(query.dest, i & 2);
		}
		print_decision(set, &decisions[i]);
	}
}

static int explain(const struct policy_places *places, const char *source, const char *dest)
{
	bool file = strcmp(dest, QPEN_DISPOSABLE) == 0;
	const struct policy_query query = {
		.service = file ? POLICY_SERVICE_DISPOSABLE : POLICY_SERVICE_PENDRIVE,
		.source = source,
		.dest = dest,
	};
	g_autoptr(GError) error = NULL;
	struct policy_set *set;

	if (!is_vm_name(source) || (!file && !is_vm_name(dest)))
		return EX_USAGE;
	set = policy_set_load(places, NULL, &error);
	if (!set)
		return fail(error);
	explain_wish(set, query);
	policy_set_free(set);
	return EXIT_SUCCESS;
}

/* ---- remembered answers ---- */

static int list(const struct policy_places *places)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GArray) answers = policy_answers_list(places, &error);

	if (!answers)
		return fail(error);
	if (answers->len == 0) {
		g_print("No answers are remembered.\n");
		return EXIT_SUCCESS;
	}
	g_print("%-16s  %-16s  %-6s  %s\n", "SOURCE", "DEST", "ANSWER", "FOR");
	for (guint i = 0; i < answers->len; i++) {
		const struct policy_answer *a = &g_array_index(answers, struct policy_answer, i);

		g_print("%-16s  %-16s  %-6s  %s\n", a->source, a->dest,
			policy_action_name(a->action),
			a->how_long == POLICY_ALWAYS ? "always" : "this session");
	}
	return EXIT_SUCCESS;
}

static int forget(const struct policy_places *places, const char *source, const char *dest)
{
	g_autoptr(GError) error = NULL;
	guint n = 0;

	if (!is_vm_name(source) || !is_vm_name(dest))
		return EX_USAGE;
	if (!policy_answers_forget(places, source, dest, &n, &error)) {
		if (geteuid() != 0)
			g_prefix_error(&error, "this may need root: ");
		return fail(error);
	}
	if (n == 0) {
		g_printerr("qfilexchgctl: no answer about %s to %s is remembered; `qfilexchgctl "
			   "policy list` shows those that are\n",
			source, dest);
		return EXIT_FAILURE;
	}
	g_print("Forgotten: the rules behind it decide about %s to %s again.\n", source, dest);
	return EXIT_SUCCESS;
}

int policy_commands_run(const struct policy_places *places, char **words)
{
	guint n = g_strv_length(words);

	if ((n == 1 || n == 2) && strcmp(words[0], "check") == 0)
		return check(places, words[1]);
	if (n == 3 && strcmp(words[0], "explain") == 0)
		return explain(places, words[1], words[2]);
	if (n == 1 && strcmp(words[0], "list") == 0)
		return list(places);
	if (n == 3 && strcmp(words[0], "forget") == 0)
		return forget(places, words[1], words[2]);
	g_printerr("usage: qfilexchgctl COMMAND\n  " POLICY_COMMANDS_USAGE "\n");
	return EX_USAGE;
}
