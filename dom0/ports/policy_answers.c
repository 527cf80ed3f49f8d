/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy_answers.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "policy_file.h"
#include "qpen_words.h"

/* One second in all; a change takes milliseconds. */
#define LOCK_TRIES 50
#define LOCK_WAIT_US 20000

static const char header[] =
	"# Answers that the user of dom0 had remembered; see qfilexchgd-policy(5).\n"
	"# `qfilexchgctl policy list` shows them, `qfilexchgctl policy forget` takes one out.\n";

/* So that the file never becomes one that the policy cannot be read with. */
#define ANSWERS_MAX 1000u

/* The pair that a change is about, and what becomes of it. */
struct change {
	const char *source, *dest;
	const char *new_line; /* with its newline; "": none */
	guint n_removed;
};

/* ---- reading ---- */

static bool is_name(const char *name)
{
	/* The words that stand for dom0: as a rule they would be another one than was meant. */
	return name && qpen_is_vm_name(name, strlen(name)) && strcmp(name, "dom0") != 0;
}

bool policy_answers_may_hold(enum policy_service service, const char *source, const char *dest)
{
	return service == POLICY_SERVICE_PENDRIVE && is_name(source) && is_name(dest);
}

static bool is_answer(const struct policy_line *line)
{
	return line->kind == POLICY_LINE_RULE && line->rule.service == POLICY_SERVICE_PENDRIVE &&
	       line->rule.source.kind == POLICY_VM_NAME && line->rule.dest.kind == POLICY_VM_NAME;
}

/* Without a folder for this session there is no such file. */
static char *answers_path(const struct policy_places *places, enum policy_how_long how_long)
{
	const char *dir = how_long == POLICY_ALWAYS ? places->dir : places->session;

	return dir ? g_build_filename(dir, POLICY_ANSWERS, NULL) : NULL;
}

/* The lines of the file; none if it does not exist. NULL with error set. */
static char **read_lines(const char *path, GError **error)
{
	struct stat st;
	gsize len;
	GError *inner = NULL;
	g_autofree char *bytes = policy_file_read(path, &len, &st, &inner);

	if (g_error_matches(inner, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
		g_clear_error(&inner);
		return g_new0(char *, 1);
	}
	if (!bytes) {
		g_propagate_error(error, inner);
		return NULL;
	}
	bytes[len] = '\0'; /* policy_file_read leaves room; a NUL before it is a wrong line */
	if (strlen(bytes) != len) {
		g_set_error(
			error, POLICY_ERROR, POLICY_ERROR_LINE, "%s: a NUL: that is no text", path);
		return NULL;
	}
	return g_strsplit(bytes, "\n", -1);
}

static gboolean parse_line(
	const char *path, guint line_no, const char *text, struct policy_line *line, GError **error)
{
	size_t column;
	enum policy_result result = policy_parse_line(text, strlen(text), line, &column);

	if (result == POLICY_OK)
		return TRUE;
	g_set_error(error, POLICY_ERROR, POLICY_ERROR_LINE, "%s:%u:%zu: %s", path, line_no, column,
		policy_result_text(result));
	return FALSE;
}

static gboolean list_file(const struct policy_places *places, enum policy_how_long how_long,
	GArray *out, GError **error)
{
	g_autofree char *path = answers_path(places, how_long);
	g_auto(GStrv) lines = path ? read_lines(path, error) : g_new0(char *, 1);

	if (!lines)
		return FALSE;
	for (guint i = 0; lines[i]; i++) {
		struct policy_answer answer = {.how_long = how_long};
		struct policy_line line;

		if (!parse_line(path, i + 1, lines[i], &line, error))
			return FALSE;
		if (!is_answer(&line))
			continue;
		answer.action = line.rule.action;
		strcpy(answer.source, line.rule.source.name);
		strcpy(answer.dest, line.rule.dest.name);
		g_array_append_val(out, answer);
	}
	return TRUE;
}

GArray *policy_answers_list(const struct policy_places *places, GError **error)
{
	g_autoptr(GArray) answers = g_array_new(FALSE, FALSE, sizeof(struct policy_answer));

	if (!list_file(places, POLICY_THIS_SESSION, answers, error) ||
		!list_file(places, POLICY_ALWAYS, answers, error))
		return NULL;
	return g_steal_pointer(&answers);
}

/* ---- changing ---- */

static bool wait_for_lock(int fd)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return true;
		if (errno != EWOULDBLOCK)
			return false;
		g_usleep(LOCK_WAIT_US);
	}
	return false;
}

/* The folder, locked until it is closed; -1 with error set. */
static int lock_folder(const char *dir, GError **error)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		policy_fail_errno(error, errno, "Cannot use the policy's folder", dir);
		return -1;
	}
	if (wait_for_lock(fd))
		return fd;
	if (errno == EWOULDBLOCK)
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_FAILED,
			"Another program is changing the answers in %s; try again", dir);
	else
		policy_fail_errno(error, errno, "Cannot lock the policy's folder", dir);
	close(fd);
	return -1;
}

/* Everything but the pair's answers stays as it is; the new one comes before all other rules. */
static char *changed_text(const char *path, char **lines, struct change *change, GError **error)
{
	g_autoptr(GString) head = g_string_new(NULL);
	g_autoptr(GString) rest = g_string_new(NULL);
	guint n_rules = 0;

	for (guint i = 0; lines[i]; i++) {
		struct policy_line line;
		GString *to;

		if (!lines[i + 1] && !*lines[i])
			break; /* behind the last newline */
		if (!parse_line(path, i + 1, lines[i], &line, error))
			return NULL;
		if (is_answer(&line) && strcmp(line.rule.source.name, change->source) == 0 &&
			strcmp(line.rule.dest.name, change->dest) == 0) {
			change->n_removed++;
			continue;
		}
		n_rules += line.kind == POLICY_LINE_RULE;
		to = rest->len > 0 || line.kind != POLICY_LINE_NOTHING ? rest : head;
		g_string_append_printf(to, "%s\n", lines[i]);
	}
	if (*change->new_line && n_rules >= ANSWERS_MAX) {
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_LIMIT,
			"%s has %u answers, which is as many as can be remembered: `qfilexchgctl "
			"policy forget` makes room",
			path, n_rules);
		return NULL;
	}
	return g_strconcat(head->len > 0 ? head->str : header, change->new_line, rest->str, NULL);
}

static gboolean write_text(const char *path, int folder, const char *text, GError **error)
{
	GError *inner = NULL;

	if (!g_file_set_contents_full(path, text, -1,
		    G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0644, &inner)) {
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_FAILED, "Cannot remember answers: %s",
			inner->message);
		g_error_free(inner);
		return FALSE;
	}
	/* The umask of a daemon hides it from those who may list the answers. The new name is only
	 * durable when the folder is; where that cannot be had the answer holds all the same. */
	(void)g_chmod(path, 0644);
	(void)fsync(folder);
	return TRUE;
}

static gboolean change_locked(const char *path, int folder, struct change *change, GError **error)
{
	g_auto(GStrv) lines = read_lines(path, error);
	g_autofree char *text = lines ? changed_text(path, lines, change, error) : NULL;

	if (!text)
		return FALSE;
	if (!*change->new_line && change->n_removed == 0)
		return TRUE;
	return write_text(path, folder, text, error);
}

static gboolean change_file(const struct policy_places *places, enum policy_how_long how_long,
	struct change *change, GError **error)
{
	g_autofree char *path = answers_path(places, how_long);
	g_autofree char *dir = path ? g_path_get_dirname(path) : NULL;
	gboolean ok;
	int folder;

	/* Nothing is there that could be taken out. */
	if (!*change->new_line && (!path || !g_file_test(path, G_FILE_TEST_EXISTS)))
		return TRUE;
	if (!path) {
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_FAILED,
			"There is no folder for answers that hold for a session");
		return FALSE;
	}
	if (g_mkdir_with_parents(dir, 0755) < 0)
		return policy_fail_errno(error, errno, "Cannot make the policy's folder", dir);
	if (!policy_folder_is_safe(dir, FALSE, error))
		return FALSE;
	folder = lock_folder(dir, error);
	if (folder < 0)
		return FALSE;
	ok = change_locked(path, folder, change, error);
	close(folder);
	return ok;
}

static gboolean check_may_add(
	const struct policy_query *query, enum policy_action action, GError **error)
{
	if (query->source_is_disposable || query->dest_is_disposable)
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_REFUSED,
			"Answers about DisposableVMs are not remembered: the next one of that name "
			"is another VM");
	else if (!policy_answers_may_hold(query->service, query->source, query->dest) ||
		 action == POLICY_ASK)
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_REFUSED,
			"Only a yes or no about a pendrive from one VM to another is remembered");
	else
		return TRUE;
	return FALSE;
}

gboolean policy_answers_add(const struct policy_places *places, const struct policy_query *query,
	enum policy_action action, enum policy_how_long how_long, GError **error)
{
	g_autofree char *line = NULL;
	struct change add, end_session;

	if (!check_may_add(query, action, error))
		return FALSE;
	line = g_strdup_printf("%s * %s %s %s\n", policy_service_name(query->service),
		query->source, query->dest, policy_action_name(action));
	add = (struct change){query->source, query->dest, line, 0};
	end_session = (struct change){query->source, query->dest, "", 0};
	return change_file(places, how_long, &add, error) &&
	       (how_long != POLICY_ALWAYS ||
		       change_file(places, POLICY_THIS_SESSION, &end_session, error));
}

gboolean policy_answers_forget(const struct policy_places *places, const char *source,
	const char *dest, guint *n_forgotten, GError **error)
{
	struct change change = {source, dest, "", 0};

	if (!change_file(places, POLICY_THIS_SESSION, &change, error) ||
		!change_file(places, POLICY_ALWAYS, &change, error))
		return FALSE;
	*n_forgotten = change.n_removed;
	return TRUE;
}

gboolean policy_answers_end_session(const struct policy_places *places, GError **error)
{
	g_autofree char *path = answers_path(places, POLICY_THIS_SESSION);

	if (!path || unlink(path) == 0 || errno == ENOENT)
		return TRUE;
	return policy_fail_errno(error, errno, "Cannot forget the answers in", path);
}
