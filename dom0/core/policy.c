/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy.h"

#include <stdio.h>
#include <string.h>

#include "qpen_words.h"

/* A word of the line: a view, nothing is copied until it was checked. */
struct word {
	const char *at;
	size_t len;
};

/* A line that is being read, from left to right. */
struct reader {
	const char *start;
	struct word rest;
	struct word word; /* the last one read; empty at the end of the line */
};

static bool word_is(struct word w, const char *text)
{
	return qpen_is_word(w.at, w.len, text);
}

static bool word_starts(struct word w, const char *prefix)
{
	size_t n = strlen(prefix);

	return w.len >= n && memcmp(w.at, prefix, n) == 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* False at the end; the word is then empty and stands behind the last byte. */
static bool next_word(struct reader *r)
{
	struct word *rest = &r->rest;

	while (rest->len > 0 && is_blank(*rest->at)) {
		rest->at++;
		rest->len--;
	}
	r->word = (struct word){.at = rest->at};
	while (rest->len > 0 && !is_blank(*rest->at)) {
		rest->at++;
		rest->len--;
		r->word.len++;
	}
	return r->word.len > 0;
}

/* ---- the words of a rule ---- */

static enum policy_result parse_service(struct word w, enum policy_service *out)
{
	if (word_is(w, "*"))
		*out = POLICY_SERVICE_ANY;
	else if (word_is(w, "qubes.Pendrive"))
		*out = POLICY_SERVICE_PENDRIVE;
	else if (word_is(w, "qubes.PendriveDisposable"))
		*out = POLICY_SERVICE_DISPOSABLE;
	else
		return POLICY_BAD_SERVICE;
	return POLICY_OK;
}

/* Both mean the same to us, who give no argument: `*` is any, `+` the empty one. */
static enum policy_result parse_argument(struct word w, enum policy_service service)
{
	if (word_is(w, "*"))
		return POLICY_OK;
	if (!word_is(w, "+"))
		return POLICY_BAD_ARGUMENT;
	return service == POLICY_SERVICE_ANY ? POLICY_ARGUMENT_OF_ANY : POLICY_OK;
}

static enum policy_result bad_token(struct word w)
{
	if (word_starts(w, "@tag:") || word_starts(w, "@type:"))
		return POLICY_NO_TAGS;
	if (word_is(w, "@default"))
		return POLICY_NO_DEFAULT;
	if (word_starts(w, "@dispvm:"))
		return POLICY_NO_DISPVM_OF;
	if (word_is(w, "*") || word_starts(w, "$"))
		return POLICY_OLD_TOKEN;
	return POLICY_BAD_VM;
}

static enum policy_result parse_vm(struct word w, struct policy_vm *out)
{
	*out = (struct policy_vm){.kind = POLICY_VM_NAME};
	if (word_is(w, "@anyvm")) {
		out->kind = POLICY_VM_ANY;
	} else if (word_is(w, "@dispvm")) {
		out->kind = POLICY_VM_DISP;
	} else if (word_is(w, "@adminvm") || word_is(w, "dom0") || word_is(w, "Domain-0")) {
		out->kind = POLICY_VM_ADMIN;
	} else if (qpen_is_vm_name(w.at, w.len)) {
		memcpy(out->name, w.at, w.len);
	} else {
		return bad_token(w);
	}
	return POLICY_OK;
}

static enum policy_result parse_dest(struct word w, struct policy_rule *rule)
{
	enum policy_result result = parse_vm(w, &rule->dest);

	/* It would never match, and whoever wrote it would believe that it does. */
	if (result == POLICY_OK && rule->service == POLICY_SERVICE_DISPOSABLE &&
		rule->dest.kind == POLICY_VM_NAME)
		return POLICY_DEST_HAS_NAME;
	return result;
}

static enum policy_result parse_action(struct word w, enum policy_action *out)
{
	if (word_is(w, "allow"))
		*out = POLICY_ALLOW;
	else if (word_is(w, "ask"))
		*out = POLICY_ASK;
	else if (word_is(w, "deny"))
		*out = POLICY_DENY;
	else
		return memchr(w.at, ',', w.len) ? POLICY_COMMA : POLICY_BAD_ACTION;
	return POLICY_OK;
}

static enum policy_result bad_option(struct word w)
{
	static const char *const unsupported[] = {
		"target=", "default_target=", "user=", "autostart="};

	if (w.at[0] == '#')
		return POLICY_LATE_COMMENT;
	for (size_t i = 0; i < sizeof unsupported / sizeof unsupported[0]; i++)
		if (word_starts(w, unsupported[i]))
			return POLICY_OPTION_UNSUPPORTED;
	return POLICY_BAD_OPTION;
}

static enum policy_result parse_options(struct reader *r, struct policy_rule *rule)
{
	bool have_notify = false;

	while (next_word(r)) {
		if (have_notify && word_starts(r->word, "notify="))
			return POLICY_OPTION_TWICE;
		if (word_is(r->word, "notify=no"))
			rule->quiet = true;
		else if (!word_is(r->word, "notify=yes"))
			return bad_option(r->word);
		have_notify = true;
	}
	return POLICY_OK;
}

/* The first word is read already. */
static enum policy_result parse_rule(struct reader *r, struct policy_rule *rule)
{
	enum policy_result result = parse_service(r->word, &rule->service);

	if (result != POLICY_OK)
		return result;
	if (!next_word(r))
		return POLICY_TOO_FEW;
	result = parse_argument(r->word, rule->service);
	if (result != POLICY_OK)
		return result;
	if (!next_word(r))
		return POLICY_TOO_FEW;
	result = parse_vm(r->word, &rule->source);
	if (result != POLICY_OK)
		return result;
	if (!next_word(r))
		return POLICY_TOO_FEW;
	result = parse_dest(r->word, rule);
	if (result != POLICY_OK)
		return result;
	if (!next_word(r))
		return POLICY_TOO_FEW;
	result = parse_action(r->word, &rule->action);
	return result == POLICY_OK ? parse_options(r, rule) : result;
}

/* ---- the line ---- */

static enum policy_result parse_directive(struct reader *r, struct policy_line *line)
{
	struct word path;

	if (word_is(r->word, "!include"))
		line->kind = POLICY_LINE_INCLUDE;
	else if (word_is(r->word, "!include-dir"))
		line->kind = POLICY_LINE_INCLUDE_DIR;
	else if (word_is(r->word, "!include-service") || word_is(r->word, "!compat-4.0"))
		return POLICY_DIRECTIVE_UNSUPPORTED;
	else
		return POLICY_BAD_DIRECTIVE;
	if (!next_word(r))
		return POLICY_BAD_PATH;
	path = r->word;
	if (next_word(r))
		return POLICY_BAD_PATH;
	line->path = path.at;
	line->path_len = path.len;
	return POLICY_OK;
}

/*
 * Comments as well: in a terminal a carriage return or an escape in one shows another file than the
 * one that holds.
 */
static bool find_control(struct reader *r)
{
	for (size_t i = 0; i < r->rest.len; i++) {
		unsigned char c = (unsigned char)r->rest.at[i];

		if ((c < ' ' && c != '\t') || c == 0x7f) {
			r->word.at = r->rest.at + i;
			return true;
		}
	}
	return false;
}

static enum policy_result parse(struct reader *r, struct policy_line *line)
{
	if (r->rest.len > 0 && r->rest.at[r->rest.len - 1] == '\r')
		r->rest.len--;
	if (find_control(r))
		return POLICY_BAD_BYTE;
	if (!next_word(r) || r->word.at[0] == '#')
		return POLICY_OK;
	if (r->word.at[0] == '!')
		return parse_directive(r, line);
	line->kind = POLICY_LINE_RULE;
	return parse_rule(r, &line->rule);
}

enum policy_result policy_parse_line(
	const char *bytes, size_t len, struct policy_line *out, size_t *column)
{
	struct policy_line line = {.kind = POLICY_LINE_NOTHING};
	struct reader r = {.start = bytes, .rest = {.at = bytes, .len = len}};
	enum policy_result result = parse(&r, &line);

	*column = result == POLICY_OK ? 0 : (size_t)(r.word.at - r.start) + 1;
	if (result == POLICY_OK)
		*out = line;
	return result;
}

/* ---- deciding ---- */

static bool vm_matches(const struct policy_vm *vm, const char *name, bool is_disposable)
{
	switch (vm->kind) {
	case POLICY_VM_NAME:
		return name && strcmp(vm->name, name) == 0;
	case POLICY_VM_ANY:
		return true;
	case POLICY_VM_DISP:
		return is_disposable;
	case POLICY_VM_ADMIN:
		return false;
	}
	return false;
}

static bool rule_matches(const struct policy_rule *rule, const struct policy_query *q)
{
	bool fresh = q->service == POLICY_SERVICE_DISPOSABLE;

	return (rule->service == POLICY_SERVICE_ANY || rule->service == q->service) &&
	       vm_matches(&rule->source, q->source, q->source_is_disposable) &&
	       vm_matches(&rule->dest, fresh ? NULL : q->dest, fresh || q->dest_is_disposable);
}

struct policy_decision policy_decide(
	const struct policy_rule *rules, size_t n, const struct policy_query *query)
{
	for (size_t i = 0; i < n; i++)
		if (rule_matches(&rules[i], query))
			return (struct policy_decision){.action = rules[i].action,
				.quiet = rules[i].quiet,
				.rule = &rules[i]};
	return (struct policy_decision){.action = POLICY_DENY};
}

const struct policy_rule policy_defaults[POLICY_N_DEFAULTS] = {
	{.service = POLICY_SERVICE_PENDRIVE,
		.source = {.kind = POLICY_VM_ANY},
		.dest = {.kind = POLICY_VM_ANY},
		.action = POLICY_ASK},
	{.service = POLICY_SERVICE_DISPOSABLE,
		.source = {.kind = POLICY_VM_ANY},
		.dest = {.kind = POLICY_VM_DISP},
		.action = POLICY_ALLOW},
};

/* ---- words for people ---- */

static const char *vm_text(const struct policy_vm *vm)
{
	switch (vm->kind) {
	case POLICY_VM_NAME:
		return vm->name;
	case POLICY_VM_ANY:
		return "@anyvm";
	case POLICY_VM_DISP:
		return "@dispvm";
	case POLICY_VM_ADMIN:
		return "@adminvm";
	}
	return "@adminvm";
}

void policy_rule_text(const struct policy_rule *rule, char out[POLICY_RULE_TEXT_MAX])
{
	(void)snprintf(out, POLICY_RULE_TEXT_MAX, "%s * %s %s %s%s",
		policy_service_name(rule->service), vm_text(&rule->source), vm_text(&rule->dest),
		policy_action_name(rule->action), rule->quiet ? " notify=no" : "");
}

const char *policy_action_name(enum policy_action action)
{
	switch (action) {
	case POLICY_DENY:
		return "deny";
	case POLICY_ASK:
		return "ask";
	case POLICY_ALLOW:
		return "allow";
	}
	return "deny";
}

const char *policy_service_name(enum policy_service service)
{
	switch (service) {
	case POLICY_SERVICE_ANY:
		return "*";
	case POLICY_SERVICE_PENDRIVE:
		return "qubes.Pendrive";
	case POLICY_SERVICE_DISPOSABLE:
		return "qubes.PendriveDisposable";
	}
	return "*";
}

const char *policy_result_text(enum policy_result result)
{
	switch (result) {
	case POLICY_OK:
		return "understood";
	case POLICY_BAD_BYTE:
		return "a control character: there can be none but tabs, not even in a comment";
	case POLICY_TOO_FEW:
		return "words are missing: a rule is SERVICE ARGUMENT SOURCE DEST ACTION [OPTION]";
	case POLICY_BAD_SERVICE:
		return "the services are qubes.Pendrive, qubes.PendriveDisposable and *";
	case POLICY_BAD_ARGUMENT:
		return "these services are called without an argument: write * or +";
	case POLICY_ARGUMENT_OF_ANY:
		return "with the service * the argument must be * as well";
	case POLICY_BAD_VM:
		return "neither a VM's name nor @anyvm, @dispvm or @adminvm";
	case POLICY_NO_TAGS:
		return "@tag: and @type: are not supported, VMs have neither here: write names";
	case POLICY_NO_DEFAULT:
		return "@default is not supported: a VM always names whom it sends to";
	case POLICY_NO_DISPVM_OF:
		return "@dispvm: with a template is not supported, since there is one for all: "
		       "write @dispvm";
	case POLICY_OLD_TOKEN:
		return "that is of Qubes' format before 4.1: write @anyvm, @dispvm or @adminvm";
	case POLICY_DEST_HAS_NAME:
		return "the DisposableVM of qubes.PendriveDisposable has no name yet: write "
		       "@dispvm or @anyvm";
	case POLICY_BAD_ACTION:
		return "the actions are allow, ask and deny";
	case POLICY_COMMA:
		return "options are separated by blanks, not by commas";
	case POLICY_OPTION_UNSUPPORTED:
		return "target=, default_target=, user= and autostart= are not supported: a "
		       "pendrive goes to the VM that its sender named, or nowhere";
	case POLICY_BAD_OPTION:
		return "the options are notify=yes and notify=no";
	case POLICY_OPTION_TWICE:
		return "the same option once more";
	case POLICY_LATE_COMMENT:
		return "a comment must be a line of its own";
	case POLICY_BAD_DIRECTIVE:
		return "the directives are !include FILE and !include-dir FOLDER";
	case POLICY_DIRECTIVE_UNSUPPORTED:
		return "!include-service and !compat-4.0 are for Qubes' format before 4.1 and not "
		       "supported: write the rules anew";
	case POLICY_BAD_PATH:
		return "an include takes one path, which has no blanks in it";
	}
	return "not understood";
}
