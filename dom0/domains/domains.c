/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qfilexchg-domains: one operation on a DisposableVM by libxl, for the daemon, which waits for
 * nothing and so does not link libxl. It may be killed at any time: what it leaves then, `destroy`
 * with the uuid removes.
 *
 *   make --name N --uuid U --settle SECONDS [--label L] (--savefile F | --config F)
 *        [--memory MIB] [--keep-free MIB]
 *            makes the VM, lets it run until its tools are there, at most so long, pauses it, and
 *            prints "domid D". --memory only with --config: a saved VM has the memory that it had.
 *   unpause --uuid U
 *   destroy --uuid U
 *            success as well if there is none
 *   survey   prints "free KIB" and for each domain but dom0 "domain D UUID running|paused|down"
 *   prepare --config F --savefile S [--uuid U] [--memory MIB] [--keep-free MIB]
 *        [--timeout SECONDS]
 *            boots a VM from the config, waits until it says that it is ready (300 s if nothing
 *            else is said), saves it in xl's format, and writes beside it S.info, what it was made
 *            from. A VM of that uuid, which one that was killed left, is destroyed first.
 *
 * With --parent PID it ends with that process, its parent.
 *
 * Exit status: 0 done; 1 failed; 2 usage; 10 too little memory, nothing was made; 11 the VM's tools
 * did not answer in time. On failure one line on stderr, and no VM is left.
 */
#include <errno.h>
#include <glib.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "domains.h"
#include "host.h"
#include "operations.h"

#define PROGRAM "qfilexchg-domains"
#define PREPARE_TIMEOUT_S 300
/* No host has more, and no sum of two of them is too large for 64 bits of bytes. */
#define MEMORY_MAX_MIB (INT64_C(1) << 24)
#define SECONDS_MAX (INT64_C(24) * 60 * 60)

enum option {
	OPTION_NAME = 1 << 0,
	OPTION_UUID = 1 << 1,
	OPTION_LABEL = 1 << 2,
	OPTION_CONFIG = 1 << 3,
	OPTION_SAVEFILE = 1 << 4,
	OPTION_MEMORY = 1 << 5,
	OPTION_KEEP_FREE = 1 << 6,
	OPTION_SETTLE = 1 << 7,
	OPTION_TIMEOUT = 1 << 8,
};

/* ---- the operations ---- */

static bool run_make(struct host *host, const struct request *request, GError **error)
{
	uint32_t domid;

	if (!make_vm(host, request, &domid, error))
		return false;
	printf("domid %u\n", domid);
	return true;
}

static bool run_unpause(struct host *host, const struct request *request, GError **error)
{
	uint32_t domid;

	if (!host_find(host, &request->uuid, &domid))
		return fail(error, DOMAINS_FAILED, "Cannot let a VM run: none has that uuid");
	host_forget(host);
	if (libxl_domain_unpause(host_ctx(host), domid, NULL) == 0)
		return true;
	return host_fail(host, error, "Cannot let the VM run");
}

static bool run_destroy(struct host *host, const struct request *request, GError **error)
{
	return host_destroy_domain(host, &request->uuid, error);
}

static bool run_survey(struct host *host, const struct request *request, GError **error)
{
	(void)request;
	return host_survey(host, error);
}

static const struct operation {
	const char *word;
	bool (*run)(struct host *host, const struct request *request, GError **error);
	unsigned needed, allowed; /* enum option */
} operations[] = {
	{"make", run_make, OPTION_NAME | OPTION_UUID | OPTION_SETTLE,
		OPTION_LABEL | OPTION_CONFIG | OPTION_SAVEFILE | OPTION_MEMORY | OPTION_KEEP_FREE},
	{"unpause", run_unpause, OPTION_UUID, 0},
	{"destroy", run_destroy, OPTION_UUID, 0},
	{"survey", run_survey, 0, 0},
	{"prepare", prepare_savefile, OPTION_CONFIG | OPTION_SAVEFILE,
		OPTION_UUID | OPTION_MEMORY | OPTION_KEEP_FREE | OPTION_TIMEOUT},
};

static const struct operation *find_operation(const char *word)
{
	for (size_t i = 0; i < G_N_ELEMENTS(operations); i++)
		if (strcmp(operations[i].word, word) == 0)
			return &operations[i];
	return NULL;
}

/* ---- the command line ---- */

/* As GOption reads them. */
struct words {
	char *name, *uuid, *label, *config, *savefile;
	gint64 memory, keep_free, settle, timeout, parent;
	gboolean version;
};

static void free_words(struct words *w)
{
	g_free(w->name);
	g_free(w->uuid);
	g_free(w->label);
	g_free(w->config);
	g_free(w->savefile);
}

static bool parse(struct words *w, int *argc, char ***argv, GError **error)
{
	const GOptionEntry entries[] = {
		{"name", 0, 0, G_OPTION_ARG_STRING, &w->name, "The new VM's name", "NAME"},
		{"uuid", 0, 0, G_OPTION_ARG_STRING, &w->uuid, "The VM's uuid", "UUID"},
		{"label", 0, 0, G_OPTION_ARG_STRING, &w->label, "Its colour", "WORD"},
		{"config", 0, 0, G_OPTION_ARG_FILENAME, &w->config, "Of xl", "FILE"},
		{"savefile", 0, 0, G_OPTION_ARG_FILENAME, &w->savefile, "As of xl save", "FILE"},
		{"memory", 0, 0, G_OPTION_ARG_INT64, &w->memory, "Instead of the config's", "MIB"},
		{"keep-free", 0, 0, G_OPTION_ARG_INT64, &w->keep_free, "Memory to leave", "MIB"},
		{"settle", 0, 0, G_OPTION_ARG_INT64, &w->settle, "Run it until its tools are there",
			"SECONDS"},
		{"timeout", 0, 0, G_OPTION_ARG_INT64, &w->timeout, "For the VM to be ready",
			"SECONDS"},
		{"parent", 0, 0, G_OPTION_ARG_INT64, &w->parent, "End with it", "PID"},
		{"version", 0, 0, G_OPTION_ARG_NONE, &w->version, "Print the version and exit",
			NULL},
		{0},
	};
	GOptionContext *context = g_option_context_new("make|unpause|destroy|survey|prepare");
	bool ok;

	g_option_context_set_summary(context, "One operation on a DisposableVM, for qfilexchgd.");
	g_option_context_add_main_entries(context, entries, NULL);
	ok = g_option_context_parse(context, argc, argv, error);
	g_option_context_free(context);
	return ok;
}

static unsigned given(const struct words *w)
{
	return (w->name ? OPTION_NAME : 0u) | (w->uuid ? OPTION_UUID : 0u) |
	       (w->label ? OPTION_LABEL : 0u) | (w->config ? OPTION_CONFIG : 0u) |
	       (w->savefile ? OPTION_SAVEFILE : 0u) | (w->memory ? OPTION_MEMORY : 0u) |
	       (w->keep_free ? OPTION_KEEP_FREE : 0u) | (w->settle ? OPTION_SETTLE : 0u) |
	       (w->timeout ? OPTION_TIMEOUT : 0u);
}

/* Characters of a word, the first a letter or digit; it becomes part of paths of xenstore. */
static bool is_word(const char *word, size_t max)
{
	return !word ||
	       (g_ascii_isalnum(word[0]) && strlen(word) <= max &&
		       word[strspn(word, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "_.+-")] == '\0');
}

static bool is_path(const char *path)
{
	return !path || path[0] == '/';
}

static bool is_between(gint64 value, gint64 max)
{
	return value >= 0 && value <= max;
}

static bool usage(GError **error, const char *what)
{
	return fail(error, DOMAINS_USAGE, "%s; see " PROGRAM " --help", what);
}

static bool check_values(const struct words *w, GError **error)
{
	if (!is_word(w->name, QPEN_NAME_MAX))
		return usage(error, "--name: letters, digits and _.+-, at most 63");
	if (!is_word(w->label, QPEN_LABEL_MAX))
		return usage(error, "--label: letters, digits and _.+-, at most 31");
	if (!is_path(w->config) || !is_path(w->savefile))
		return usage(error, "--config and --savefile want an absolute path");
	if (!is_between(w->memory, MEMORY_MAX_MIB) || !is_between(w->keep_free, MEMORY_MAX_MIB))
		return usage(error, "--memory and --keep-free: MiB, at most 16777216");
	if (!is_between(w->settle, SECONDS_MAX) || !is_between(w->timeout, SECONDS_MAX))
		return usage(error, "--settle and --timeout: seconds, at most a day");
	return true;
}

static bool check(const struct operation *operation, const struct words *w, GError **error)
{
	unsigned options = given(w);
	bool is_make = (operation->needed & OPTION_NAME) != 0;

	if ((options & operation->needed) != operation->needed)
		return usage(error, "an option that this operation needs is missing");
	if (options & ~(operation->needed | operation->allowed))
		return usage(error, "an option that this operation does not have");
	if (is_make && !w->config == !w->savefile)
		return usage(error, "make wants either --config or --savefile");
	if (is_make && w->savefile && w->memory)
		return usage(error, "make has --memory only with --config");
	return check_values(w, error);
}

/* Takes the strings over. */
static bool to_request(struct words *w, struct request *r, GError **error)
{
	if (!w->uuid)
		libxl_uuid_generate(&r->uuid);
	else if (libxl_uuid_from_string(&r->uuid, w->uuid) != 0 || libxl_uuid_is_nil(&r->uuid))
		return usage(error, "--uuid: not a uuid");
	r->name = g_steal_pointer(&w->name);
	r->label = g_steal_pointer(&w->label);
	r->config = g_steal_pointer(&w->config);
	r->savefile = g_steal_pointer(&w->savefile);
	r->memory_mib = (uint64_t)w->memory;
	r->keep_free_mib = (uint64_t)w->keep_free;
	r->settle_s = w->settle;
	r->timeout_s = w->timeout ? w->timeout : PREPARE_TIMEOUT_S;
	return true;
}

static void free_request(struct request *r)
{
	g_free(r->name);
	g_free(r->label);
	g_free(r->config);
	g_free(r->savefile);
}

/* ---- the frame ---- */

/* An operation that nobody waits for would make a VM that nobody knows of. */
static bool end_with(gint64 parent, GError **error)
{
	if (parent == 0)
		return true;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		return fail(error, DOMAINS_FAILED, "prctl: %s", g_strerror(errno));
	/* It may have gone before the signal was asked for. */
	return getppid() == parent || fail(error, DOMAINS_FAILED, "the parent has gone");
}

static bool run(const struct operation *operation, const struct request *request, GError **error)
{
	struct host *host = host_open(error);
	bool ok;

	if (!host)
		return false;
	ok = operation->run(host, request, error);
	host_close(host);
	if (ok && (fflush(stdout) != 0 || ferror(stdout)))
		return fail(
			error, DOMAINS_FAILED, "Cannot write the result: %s", g_strerror(errno));
	return ok;
}

static bool serve(struct words *w, int argc, char **argv, GError **error)
{
	const struct operation *operation;
	struct request request = {0};
	g_autoptr(GError) problem = NULL;
	bool ok;

	if (!parse(w, &argc, &argv, &problem))
		return usage(error, problem->message);
	if (w->version) {
		puts(PROGRAM " " QFX_VERSION);
		return true;
	}
	operation = argc == 2 ? find_operation(argv[1]) : NULL;
	if (!operation)
		return usage(error, "one operation is wanted");
	if (!end_with(w->parent, error) || !check(operation, w, error))
		return false;
	ok = to_request(w, &request, error) && run(operation, &request, error);
	free_request(&request);
	return ok;
}

int main(int argc, char **argv)
{
	struct words words = {0};
	g_autoptr(GError) error = NULL;
	int status = DOMAINS_OK;

	(void)setlocale(LC_ALL, "");
	if (!serve(&words, argc, argv, &error)) {
		g_strdelimit(error->message, "\r\n", ' ');
		(void)fprintf(stderr, PROGRAM ": %s\n", error->message);
		status = error->code;
	}
	free_words(&words);
	return status;
}
