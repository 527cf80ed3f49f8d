/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy: a file of it, line by line. What is accepted is in its bounds and can be written and
 * read again; what is not says where; and of all rules read the first that matches decides.
 */
#include <glib.h>
#include <string.h>

#include "fuzz.h"
#include "policy.h"
#include "qpen_words.h"

#define RULES_MAX 64u

static void check_vm(const struct policy_vm *vm)
{
	if (vm->kind == POLICY_VM_NAME)
		g_assert_true(qpen_is_vm_name(vm->name, strlen(vm->name)));
	else
		g_assert_cmpstr(vm->name, ==, "");
}

static void check_rule(const struct policy_rule *rule)
{
	char text[POLICY_RULE_TEXT_MAX], again_text[POLICY_RULE_TEXT_MAX];
	struct policy_line again;
	size_t column;

	check_vm(&rule->source);
	check_vm(&rule->dest);
	g_assert_true(
		rule->service != POLICY_SERVICE_DISPOSABLE || rule->dest.kind != POLICY_VM_NAME);
	policy_rule_text(rule, text);
	g_assert_cmpuint(strlen(text), <, sizeof text - 1);
	g_assert_cmpint(policy_parse_line(text, strlen(text), &again, &column), ==, POLICY_OK);
	g_assert_cmpint(again.kind, ==, POLICY_LINE_RULE);
	g_assert_cmpint(again.rule.service, ==, rule->service);
	g_assert_cmpint(again.rule.action, ==, rule->action);
	g_assert_cmpint(again.rule.quiet, ==, rule->quiet);
	g_assert_cmpint(again.rule.source.kind, ==, rule->source.kind);
	g_assert_cmpint(again.rule.dest.kind, ==, rule->dest.kind);
	policy_rule_text(&again.rule, again_text);
	g_assert_cmpstr(text, ==, again_text);
}

static void check_line(const char *bytes, size_t len, const struct policy_line *line)
{
	for (size_t i = 0; i < len; i++)
		g_assert_true(bytes[i] != '\0' && bytes[i] != '\033');
	switch (line->kind) {
	case POLICY_LINE_NOTHING:
		g_assert_null(line->path);
		return;
	case POLICY_LINE_RULE:
		g_assert_null(line->path);
		check_rule(&line->rule);
		return;
	case POLICY_LINE_INCLUDE:
	case POLICY_LINE_INCLUDE_DIR:
		g_assert_cmpuint(line->path_len, >, 0);
		g_assert_true(line->path > bytes);
		g_assert_true(line->path + line->path_len <= bytes + len);
		g_assert_null(memchr(line->path, ' ', line->path_len));
		return;
	}
}

/* The line in memory of its own, so that ASan sees a read past it. TRUE: it is a rule. */
static gboolean read_line(const uint8_t *bytes, size_t len, struct policy_rule *rule)
{
	g_autofree char *copy = g_malloc(MAX(len, 1));
	struct policy_line line = {.kind = POLICY_LINE_INCLUDE};
	size_t column = SIZE_MAX;
	enum policy_result result;

	memcpy(copy, bytes, len);
	result = policy_parse_line(copy, len, &line, &column);
	g_assert_cmpstr(policy_result_text(result), !=,
		policy_result_text((enum policy_result)POLICY_N_RESULTS));
	if (result != POLICY_OK) {
		g_assert_cmpuint(column, >=, 1);
		g_assert_cmpuint(column, <=, len + 1);
		g_assert_cmpint(line.kind, ==, POLICY_LINE_INCLUDE);
		return FALSE;
	}
	g_assert_cmpuint(column, ==, 0);
	check_line(copy, len, &line);
	*rule = line.rule;
	return line.kind == POLICY_LINE_RULE;
}

/* What matching means, said once more. */
static gboolean matches(const struct policy_vm *vm, const char *name, gboolean disposable)
{
	return vm->kind == POLICY_VM_ANY || (vm->kind == POLICY_VM_DISP && disposable) ||
	       (vm->kind == POLICY_VM_NAME && g_strcmp0(vm->name, name) == 0);
}

static void check_decision(const struct policy_rule *rules, size_t n, const struct policy_query *q)
{
	gboolean fresh = q->service == POLICY_SERVICE_DISPOSABLE;
	struct policy_decision decision = policy_decide(rules, n, q);
	size_t first = 0;

	while (first < n &&
		!((rules[first].service == POLICY_SERVICE_ANY ||
			  rules[first].service == q->service) &&
			matches(&rules[first].source, q->source, q->source_is_disposable) &&
			matches(&rules[first].dest, fresh ? NULL : q->dest,
				fresh || q->dest_is_disposable)))
		first++;
	if (first == n) {
		g_assert_null(decision.rule);
		g_assert_cmpint(decision.action, ==, POLICY_DENY);
		return;
	}
	g_assert_true(decision.rule == &rules[first]);
	g_assert_cmpint(decision.action, ==, rules[first].action);
	g_assert_cmpint(decision.quiet, ==, rules[first].quiet);
}

/* The names that stand in the rules, and one that does not, each as a DisposableVM and not. */
static void check_decisions(const struct policy_rule *rules, size_t n)
{
	for (size_t i = 0; i < n * 8; i++) {
		const struct policy_rule *rule = &rules[i / 8];
		const struct policy_query q = {
			.service = i & 1 ? POLICY_SERVICE_PENDRIVE : POLICY_SERVICE_DISPOSABLE,
			.source = *rule->source.name ? rule->source.name : "nobody",
			.dest = *rule->dest.name ? rule->dest.name : "nobody",
			.source_is_disposable = i & 2,
			.dest_is_disposable = i & 4,
		};

		check_decision(rules, n, &q);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_rule rules[RULES_MAX];
	const uint8_t *end = data + size;
	size_t n = 0;

	while (data < end && n < RULES_MAX) {
		const uint8_t *newline = memchr(data, '\n', (size_t)(end - data));
		const uint8_t *stop = newline ? newline : end;

		if (read_line(data, (size_t)(stop - data), &rules[n]))
			n++;
		data = newline ? newline + 1 : end;
	}
	check_decisions(rules, n);
	return 0;
}
