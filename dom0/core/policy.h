/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy: which VM may send to which, in the line grammar of Qubes' qrexec policy, and what it
 * says of one wish to send. The first rule that matches decides.
 * Pure: no I/O, no memory of its own, no state. What the grammar means here: qfilexchgd-policy(5).
 */
#ifndef QFX_POLICY_H
#define QFX_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "qpen_contract.h"

#define POLICY_MUST_USE __attribute__((warn_unused_result))

enum policy_service {
	POLICY_SERVICE_ANY,        /* `*`; in rules only */
	POLICY_SERVICE_PENDRIVE,   /* a pendrive for a VM that has a name */
	POLICY_SERVICE_DISPOSABLE, /* a file for a DisposableVM that is made for it */
};

enum policy_action {
	POLICY_DENY,
	POLICY_ASK,
	POLICY_ALLOW,
};

enum policy_vm_kind {
	POLICY_VM_NAME,
	POLICY_VM_ANY,   /* @anyvm: every VM, and dom0 is none */
	POLICY_VM_DISP,  /* @dispvm: a DisposableVM, or the one that will be made */
	POLICY_VM_ADMIN, /* @adminvm: dom0, which neither sends nor receives; matches nothing */
};

/* Who is meant by SOURCE or DEST. */
struct policy_vm {
	enum policy_vm_kind kind;
	char name[QPEN_NAME_MAX + 1]; /* POLICY_VM_NAME: qpen_is_vm_name; else "" */
};

struct policy_rule {
	enum policy_service service;
	struct policy_vm source, dest;
	enum policy_action action;
	bool quiet; /* notify=no: the user is not told of what this rule decided */
	/* Where it stands, for people: set by who reads the files, not looked at here. */
	uint32_t file, line;
};

enum policy_line_kind {
	POLICY_LINE_NOTHING, /* blank, or a comment */
	POLICY_LINE_RULE,
	POLICY_LINE_INCLUDE,
	POLICY_LINE_INCLUDE_DIR,
};

struct policy_line {
	enum policy_line_kind kind;
	struct policy_rule rule; /* POLICY_LINE_RULE */
	/* The includes: a part of the parsed bytes, not terminated, never empty. */
	const char *path;
	size_t path_len;
};

enum policy_result {
	POLICY_OK,
	POLICY_BAD_BYTE,              /* a control character other than a tab */
	POLICY_TOO_FEW,               /* fewer than five words */
	POLICY_BAD_SERVICE,           /* none of ours */
	POLICY_BAD_ARGUMENT,          /* neither `*` nor `+` */
	POLICY_ARGUMENT_OF_ANY,       /* `* +` */
	POLICY_BAD_VM,                /* neither a name nor a token */
	POLICY_NO_TAGS,               /* @tag:, @type: */
	POLICY_NO_DEFAULT,            /* @default */
	POLICY_NO_DISPVM_OF,          /* @dispvm:NAME */
	POLICY_OLD_TOKEN,             /* `*` and $anyvm, as before Qubes 4.1 */
	POLICY_DEST_HAS_NAME,         /* qubes.PendriveDisposable for a VM that is there already */
	POLICY_BAD_ACTION,            /* not allow, ask, deny */
	POLICY_COMMA,                 /* ask,option: as before Qubes 4.1 */
	POLICY_OPTION_UNSUPPORTED,    /* one of Qubes' that has no meaning here */
	POLICY_BAD_OPTION,            /* any other, or no value that it can have */
	POLICY_OPTION_TWICE,          /* the same once more */
	POLICY_LATE_COMMENT,          /* a # behind a rule */
	POLICY_BAD_DIRECTIVE,         /* a ! and none of Qubes' words */
	POLICY_DIRECTIVE_UNSUPPORTED, /* one of Qubes' for its old policy */
	POLICY_BAD_PATH,              /* not exactly one word behind an include */
};
#define POLICY_N_RESULTS (POLICY_BAD_PATH + 1)

/*
 * Reads one line, `len` bytes without their newline; a carriage return at the end counts as part of
 * the newline. `out` is written only when POLICY_OK is returned. *column is then 0, and otherwise
 * where the error is: bytes from 1 on, len + 1 when something is missing at the end.
 */
POLICY_MUST_USE enum policy_result policy_parse_line(
	const char *bytes, size_t len, struct policy_line *out, size_t *column);

/* What is wrong, and what can be written instead: a fixed sentence. */
const char *policy_result_text(enum policy_result result);

/* A wish to send. */
struct policy_query {
	enum policy_service service; /* not POLICY_SERVICE_ANY */
	const char *source;          /* its name, as dom0 has it */
	const char *dest;            /* the same; not looked at with POLICY_SERVICE_DISPOSABLE */
	/* Whether dom0 made them as DisposableVMs. A name says nothing about that. */
	bool source_is_disposable, dest_is_disposable;
};

struct policy_decision {
	enum policy_action action;
	bool quiet;
	const struct policy_rule *rule; /* one of those given; NULL: none matched, so deny */
};

/* The first of the `n` rules that matches decides; when none does, as in Qubes, it is a deny. */
struct policy_decision policy_decide(
	const struct policy_rule *rules, size_t n, const struct policy_query *query);

/* What holds when nobody wrote a policy: the rules of the shipped 90-default.policy. */
#define POLICY_N_DEFAULTS 2u
extern const struct policy_rule policy_defaults[POLICY_N_DEFAULTS];

/* The longest rule as text: two words of the longest service, names, and the option, with blanks.
 */
#define POLICY_RULE_TEXT_MAX 192u
/* A rule as a line that policy_parse_line reads as the same rule; without a newline. */
void policy_rule_text(const struct policy_rule *rule, char out[POLICY_RULE_TEXT_MAX]);

const char *policy_action_name(enum policy_action action);
const char *policy_service_name(enum policy_service service);

#endif
