/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy in force, which a bad file does not change; what tells that files changed; and the
 * answers that are remembered. */
#include "policy_dir.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy_answers.h"
#include "policy_file.h"
#include "policy_fixture.h"

/* For a change to be noticed. It is milliseconds; this long only when it fails. */
#define DEADLINE_MS 20000

static struct policy_dir *dir_of(struct fixture *f, void (*changed)(void *ctx), void *ctx)
{
	return policy_dir_create(&f->places, changed, ctx);
}

static void assert_in_force(const struct policy_dir *d, const char *wanted)
{
	g_autofree char *is = shape(policy_dir_get(d));

	g_assert_cmpstr(is, ==, wanted);
}

static void load(struct policy_dir *d, const char *wanted)
{
	g_autoptr(GError) error = NULL;

	g_assert_true(policy_dir_load(d, &error));
	g_assert_no_error(error);
	assert_in_force(d, wanted);
}

/* ---- what is in force ---- */

static void count(void *ctx)
{
	(*(guint *)ctx)++;
}

static void test_before_load(struct fixture *f, gconstpointer unused)
{
	guint n = 0;
	struct policy_dir *d = dir_of(f, count, &n);
	const struct policy_query query = from_to("a", "b");

	(void)unused;
	put(f->dir, "50-a.policy", RULE("a", "b", "allow"));
	g_assert_cmpint(policy_set_decide(policy_dir_get(d), &query).action, ==, POLICY_DENY);
	load(d, "a>ba");
	g_assert_cmpint(policy_set_decide(policy_dir_get(d), &query).action, ==, POLICY_ALLOW);
	g_assert_cmpstr(policy_dir_places(d)->dir, ==, f->dir);
	g_assert_cmpstr(policy_dir_places(d)->session, ==, f->session);
	policy_dir_destroy(d);
	policy_dir_destroy(NULL);
}

static void test_bad_keeps_old(struct fixture *f, gconstpointer unused)
{
	guint n = 0;
	struct policy_dir *d = dir_of(f, count, &n);
	g_autoptr(GError) error = NULL;
	g_autofree char *at = g_strdup_printf("%s/60-b.policy:2:", f->dir);

	(void)unused;
	put(f->dir, "50-a.policy", RULE("a", "b", "deny"));
	load(d, "a>b-");
	/* The good part of a bad policy does not hold either. */
	put(f->dir, "50-a.policy", RULE("a", "b", "allow"));
	put(f->dir, "60-b.policy", "\nqubes.Pendrive * a\n");
	g_assert_false(policy_dir_load(d, &error));
	g_assert_error(error, POLICY_ERROR, POLICY_ERROR_LINE);
	g_assert_true(g_str_has_prefix(error->message, at));
	assert_in_force(d, "a>b-");
	put(f->dir, "60-b.policy", RULE("a", "c", "ask"));
	load(d, "a>ba a>c?");
	policy_dir_destroy(d);
}

/* ---- changes ---- */

struct waiter {
	GMainLoop *loop;
	guint n;
	gboolean late;
};

static void on_changed(void *ctx)
{
	struct waiter *w = ctx;

	w->n++;
	g_main_loop_quit(w->loop);
}

static gboolean on_late(gpointer ctx)
{
	struct waiter *w = ctx;

	w->late = TRUE;
	g_main_loop_quit(w->loop);
	return G_SOURCE_CONTINUE;
}

static void wait_for_change(struct waiter *w)
{
	guint deadline = g_timeout_add(DEADLINE_MS, on_late, w);

	w->late = FALSE;
	g_main_loop_run(w->loop);
	g_source_remove(deadline);
	g_assert_false(w->late);
}

/* Until the policy is `wanted`: a change may be told in two parts. */
static void wait_for(struct policy_dir *d, struct waiter *w, const char *wanted)
{
	for (;;) {
		g_autofree char *is = NULL;
		g_autoptr(GError) error = NULL;

		wait_for_change(w);
		if (policy_dir_load(d, &error)) {
			is = shape(policy_dir_get(d));
			if (strcmp(is, wanted) == 0)
				return;
		}
	}
}

static void test_change(struct fixture *f, gconstpointer unused)
{
	struct waiter w = {.loop = g_main_loop_new(NULL, FALSE)};
	struct policy_dir *d = dir_of(f, on_changed, &w);
	g_autofree char *path = g_build_filename(f->dir, "50-a.policy", NULL);

	(void)unused;
	load(d, "@>@? @>@a");
	put(f->dir, "50-a.policy", RULE("a", "new", "ask"));
	wait_for(d, &w, "a>new?");
	put(f->dir, "50-a.policy", RULE("a", "changed", "ask"));
	wait_for(d, &w, "a>changed?");
	put(f->session, "50-b.policy", RULE("a", "session", "ask"));
	wait_for(d, &w, "a>changed? a>session?");
	g_assert_cmpint(unlink(path), ==, 0);
	wait_for(d, &w, "a>session?");
	policy_dir_destroy(d);
	g_main_loop_unref(w.loop);
}

/* What lies elsewhere is watched as soon as it is named, also when that is why a load failed. */
static void test_change_elsewhere(struct fixture *f, gconstpointer unused)
{
	struct waiter w = {.loop = g_main_loop_new(NULL, FALSE)};
	struct policy_dir *d = dir_of(f, on_changed, &w);
	g_autoptr(GError) error = NULL;
	g_autoptr(GError) error2 = NULL;

	(void)unused;
	put(f->beside, "inc", RULE("a", "b", "nonsense"));
	put(f->dir, "50-a.policy", "!include ../beside/inc\n");
	g_assert_false(policy_dir_load(d, &error));
	/* Of the file above: it is told of once. */
	wait_for_change(&w);
	put(f->beside, "inc", RULE("a", "good", "ask"));
	wait_for(d, &w, "a>good?");
	put(f->beside, "inc", RULE("a", "better", "ask"));
	wait_for(d, &w, "a>better?");
	put(f->dir, "50-a.policy", "!include ../beside/later\n");
	wait_for_change(&w);
	g_assert_false(policy_dir_load(d, &error2));
	put(f->beside, "later", RULE("a", "later", "ask"));
	wait_for(d, &w, "a>later?");
	put(f->dir, "50-a.policy", "!include-dir ../beside\n");
	wait_for(d, &w, "@>@? @>@a");
	put(f->beside, "x.policy", RULE("a", "x", "ask"));
	wait_for(d, &w, "a>x?");
	policy_dir_destroy(d);
	g_main_loop_unref(w.loop);
}

/* A hundred changes at once are one, or two if they were slow. */
static void test_changes_are_gathered(struct fixture *f, gconstpointer unused)
{
	struct waiter w = {.loop = g_main_loop_new(NULL, FALSE)};
	struct policy_dir *d = dir_of(f, on_changed, &w);

	(void)unused;
	load(d, "@>@? @>@a");
	for (int i = 0; i < 100; i++)
		put(f->dir, "50-a.policy", i < 99 ? "# not yet\n" : RULE("a", "b", "ask"));
	wait_for(d, &w, "a>b?");
	g_assert_cmpuint(w.n, <, 50);
	policy_dir_destroy(d);
	g_main_loop_unref(w.loop);
}

static void on_event(
	GFileMonitor *monitor, GFile *file, GFile *other, GFileMonitorEvent event, gpointer loop)
{
	(void)monitor;
	(void)file;
	(void)other;
	(void)event;
	g_main_loop_quit(loop);
}

/* A change was noticed, and before it is told of there is nobody any more to be told. */
static void test_destroyed_while_settling(struct fixture *f, gconstpointer unused)
{
	guint n = 0;
	struct waiter w = {.loop = g_main_loop_new(NULL, FALSE)};
	struct policy_dir *gone = dir_of(f, count, &n);
	g_autoptr(GFile) folder = g_file_new_for_path(f->dir);
	g_autoptr(GFileMonitor) ours = g_file_monitor(folder, G_FILE_MONITOR_NONE, NULL, NULL);
	struct policy_dir *d = dir_of(f, on_changed, &w);

	(void)unused;
	g_signal_connect(ours, "changed", G_CALLBACK(on_event), w.loop);
	put(f->dir, "50-a.policy", RULE("a", "b", "ask"));
	wait_for_change(&w);
	/* It told us, and so the other one before. */
	g_signal_handlers_disconnect_by_func(ours, on_event, w.loop);
	n = 0;
	policy_dir_destroy(gone);
	if (w.n == 0)
		wait_for_change(&w);
	load(d, "a>b?");
	g_assert_cmpuint(n, ==, 0);
	policy_dir_destroy(d);
	g_main_loop_unref(w.loop);
}

/* ---- answers ---- */

static void remember(struct fixture *f, const char *source, const char *dest,
	enum policy_action action, enum policy_how_long how_long)
{
	const struct policy_query query = from_to(source, dest);
	g_autoptr(GError) error = NULL;

	g_assert_true(policy_answers_add(&f->places, &query, action, how_long, &error));
	g_assert_no_error(error);
}

/* SOURCE>DEST, a or -, and s for this session. */
static char *answers(const struct fixture *f)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(GArray) list = policy_answers_list(&f->places, &error);
	GString *out = g_string_new(NULL);

	g_assert_no_error(error);
	for (guint i = 0; i < list->len; i++) {
		const struct policy_answer *a = &g_array_index(list, struct policy_answer, i);

		g_string_append_printf(out, "%s%s>%s%c%s", i ? " " : "", a->source, a->dest,
			"-?a"[a->action], a -> how_long == POLICY_THIS_SESSION ? "s" : "");
	}
	return g_string_free(out, FALSE);
}

static void assert_answers(const struct fixture *f, const char *wanted)
{
	g_autofree char *is = answers(f);

	g_assert_cmpstr(is, ==, wanted);
}

static void assert_decides(
	const struct fixture *f, const char *source, const char *dest, enum policy_action action)
{
	g_autoptr(GError) error = NULL;
	struct policy_set *set = policy_set_load(&f->places, NULL, &error);
	const struct policy_query query = from_to(source, dest);

	g_assert_no_error(error);
	g_assert_cmpint(policy_set_decide(set, &query).action, ==, action);
	policy_set_free(set);
}

static void test_remember(struct fixture *f, gconstpointer unused)
{
	struct stat st;
	g_autofree char *path = g_build_filename(f->dir, POLICY_ANSWERS, NULL);
	mode_t old;

	(void)unused;
	assert_answers(f, "");
	assert_decides(f, "work", "vault", POLICY_ASK);
	/* A daemon's. The group that may list the answers must be able to read them. */
	old = umask(0077);
	remember(f, "work", "vault", POLICY_ALLOW, POLICY_ALWAYS);
	umask(old);
	assert_answers(f, "work>vaulta");
	assert_decides(f, "work", "vault", POLICY_ALLOW);
	assert_decides(f, "vault", "work", POLICY_ASK);
	g_assert_cmpint(stat(path, &st), ==, 0);
	g_assert_cmpint(st.st_mode & 07777, ==, 0644);
	/* The next answer takes the place of the last. */
	remember(f, "work", "vault", POLICY_DENY, POLICY_ALWAYS);
	remember(f, "work", "mail", POLICY_ALLOW, POLICY_ALWAYS);
	assert_answers(f, "work>maila work>vault-");
	assert_decides(f, "work", "vault", POLICY_DENY);
}

static void test_remember_for_session(struct fixture *f, gconstpointer unused)
{
	g_autoptr(GError) error = NULL;

	(void)unused;
	remember(f, "work", "vault", POLICY_ALLOW, POLICY_ALWAYS);
	remember(f, "work", "vault", POLICY_DENY, POLICY_THIS_SESSION);
	remember(f, "work", "mail", POLICY_ALLOW, POLICY_THIS_SESSION);
	assert_answers(f, "work>mailas work>vault-s work>vaulta");
	assert_decides(f, "work", "vault", POLICY_DENY);
	/* Said last, it holds; what the session had is over. */
	remember(f, "work", "vault", POLICY_ALLOW, POLICY_ALWAYS);
	assert_answers(f, "work>mailas work>vaulta");
	assert_decides(f, "work", "vault", POLICY_ALLOW);
	g_assert_true(policy_answers_end_session(&f->places, &error));
	g_assert_true(policy_answers_end_session(&f->places, &error));
	g_assert_no_error(error);
	assert_answers(f, "work>vaulta");
}

/* /run is empty after a start of the host. */
static void test_folder_is_made(struct fixture *f, gconstpointer unused)
{
	mode_t old;
	struct stat st;

	(void)unused;
	g_assert_cmpint(g_rmdir(f->session), ==, 0);
	old = umask(0022);
	remember(f, "a", "b", POLICY_DENY, POLICY_THIS_SESSION);
	umask(old);
	assert_answers(f, "a>b-s");
	g_assert_cmpint(stat(f->session, &st), ==, 0);
	g_assert_cmpint(st.st_mode & 07777, ==, 0755);
}

static void test_no_session(struct fixture *f, gconstpointer unused)
{
	const struct policy_query query = from_to("a", "b");
	g_autoptr(GError) error = NULL;
	guint n = 9;

	(void)unused;
	f->places.session = NULL;
	remember(f, "a", "b", POLICY_DENY, POLICY_ALWAYS);
	assert_answers(f, "a>b-");
	g_assert_false(
		policy_answers_add(&f->places, &query, POLICY_ALLOW, POLICY_THIS_SESSION, &error));
	g_assert_error(error, POLICY_ERROR, POLICY_ERROR_FAILED);
	g_assert_true(policy_answers_forget(&f->places, "a", "b", &n, NULL));
	g_assert_cmpuint(n, ==, 1);
	g_assert_true(policy_answers_end_session(&f->places, NULL));
}

static void test_forget(struct fixture *f, gconstpointer unused)
{
	g_autoptr(GError) error = NULL;
	guint n = 9;

	(void)unused;
	g_assert_true(policy_answers_forget(&f->places, "a", "b", &n, &error));
	g_assert_cmpuint(n, ==, 0);
	remember(f, "a", "b", POLICY_ALLOW, POLICY_ALWAYS);
	remember(f, "a", "c", POLICY_ALLOW, POLICY_ALWAYS);
	remember(f, "a", "b", POLICY_DENY, POLICY_THIS_SESSION);
	g_assert_true(policy_answers_forget(&f->places, "b", "a", &n, &error));
	g_assert_cmpuint(n, ==, 0);
	assert_answers(f, "a>b-s a>ca a>ba");
	g_assert_true(policy_answers_forget(&f->places, "a", "b", &n, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(n, ==, 2);
	assert_answers(f, "a>ca");
}

/* What somebody wrote in it by hand stays, and comes behind what was answered. */
static void test_by_hand(struct fixture *f, gconstpointer unused)
{
	g_autofree char *text = NULL;

	(void)unused;
	put(f->dir, POLICY_ANSWERS,
		"# mine\n" RULE("work", "@anyvm", "deny") "# more\n" RULE("work", "vault", "deny")
			RULE("work", "mail", "ask"));
	remember(f, "work", "vault", POLICY_ALLOW, POLICY_ALWAYS);
	text = get(f->dir, POLICY_ANSWERS);
	g_assert_cmpstr(text, ==,
		"# mine\n" RULE("work", "vault", "allow")
			RULE("work", "@anyvm", "deny") "# more\n" RULE("work", "mail", "ask"));
	assert_decides(f, "work", "vault", POLICY_ALLOW);
	assert_decides(f, "work", "x", POLICY_DENY);
}

static void test_broken_by_hand(struct fixture *f, gconstpointer unused)
{
	const struct policy_query query = from_to("a", "b");
	g_autoptr(GError) error = NULL;
	g_autoptr(GError) error2 = NULL;
	g_autofree char *at = g_strdup_printf("%s/" POLICY_ANSWERS ":2:1: ", f->dir);
	g_autofree char *text = NULL;

	(void)unused;
	put(f->dir, POLICY_ANSWERS, "#\nnonsense\n");
	g_assert_false(policy_answers_add(&f->places, &query, POLICY_ALLOW, POLICY_ALWAYS, &error));
	g_assert_error(error, POLICY_ERROR, POLICY_ERROR_LINE);
	g_assert_true(g_str_has_prefix(error->message, at));
	g_assert_null(policy_answers_list(&f->places, &error2));
	g_assert_error(error2, POLICY_ERROR, POLICY_ERROR_LINE);
	text = get(f->dir, POLICY_ANSWERS);
	g_assert_cmpstr(text, ==, "#\nnonsense\n");
}

static const struct {
	const char *label;
	struct policy_query query;
	enum policy_action action;
} not_remembered[] = {
	{"from a DisposableVM", {POLICY_SERVICE_PENDRIVE, "disp1", "b", true, false}, POLICY_DENY},
	{"to a DisposableVM", {POLICY_SERVICE_PENDRIVE, "a", "disp1", false, true}, POLICY_ALLOW},
	{"a file", {POLICY_SERVICE_DISPOSABLE, "a", NULL, false, false}, POLICY_ALLOW},
	{"every service", {POLICY_SERVICE_ANY, "a", "b", false, false}, POLICY_ALLOW},
	{"no answer", {POLICY_SERVICE_PENDRIVE, "a", "b", false, false}, POLICY_ASK},
	{"dom0", {POLICY_SERVICE_PENDRIVE, "a", "dom0", false, false}, POLICY_ALLOW},
	{"all VMs", {POLICY_SERVICE_PENDRIVE, "a", "@anyvm", false, false}, POLICY_ALLOW},
	{"two words", {POLICY_SERVICE_PENDRIVE, "a b", "c", false, false}, POLICY_ALLOW},
	{"a line more", {POLICY_SERVICE_PENDRIVE, "a", "b allow\n* * @anyvm", false, false},
		POLICY_DENY},
	{"no name", {POLICY_SERVICE_PENDRIVE, "", "b", false, false}, POLICY_DENY},
};

static void test_not_remembered(struct fixture *f, gconstpointer unused)
{
	(void)unused;
	for (size_t i = 0; i < G_N_ELEMENTS(not_remembered); i++) {
		g_autoptr(GError) error = NULL;

		g_test_message("%s", not_remembered[i].label);
		g_assert_false(policy_answers_add(&f->places, &not_remembered[i].query,
			not_remembered[i].action, POLICY_ALWAYS, &error));
		g_assert_error(error, POLICY_ERROR, POLICY_ERROR_REFUSED);
		assert_answers(f, "");
	}
}

/* Offered only where it would hold. */
static void test_can_remember(struct fixture *f, gconstpointer unused)
{
	static const struct {
		struct policy_query query;
		gboolean can;
	} rows[] = {
		{{POLICY_SERVICE_PENDRIVE, "early", "b", false, false}, FALSE},
		{{POLICY_SERVICE_PENDRIVE, "late", "b", false, false}, TRUE},
		{{POLICY_SERVICE_PENDRIVE, "asked", "b", false, false}, TRUE},
		{{POLICY_SERVICE_PENDRIVE, "late", "disp1", false, true}, FALSE},
		{{POLICY_SERVICE_PENDRIVE, "late", "disp1", false, false}, TRUE},
		{{POLICY_SERVICE_PENDRIVE, "disp1", "b", true, false}, FALSE},
		{{POLICY_SERVICE_PENDRIVE, "allowed", "b", false, false}, FALSE},
		{{POLICY_SERVICE_PENDRIVE, "late", "dom0", false, false}, FALSE},
		{{POLICY_SERVICE_DISPOSABLE, "late", NULL, false, false}, FALSE},
	};
	g_autoptr(GError) error = NULL;
	struct policy_set *set;

	(void)unused;
	put(f->dir, "20-a.policy", RULE("early", "b", "ask"));
	put(f->dir, POLICY_ANSWERS, RULE("late", "x", "deny") RULE("asked", "b", "ask"));
	put(f->dir, "90-a.policy", RULE("allowed", "@anyvm", "allow") "* * @anyvm @anyvm ask\n");
	set = policy_set_load(&f->places, NULL, &error);
	g_assert_no_error(error);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct policy_decision decision = policy_set_decide(set, &rows[i].query);

		g_test_message("row %zu: %s", i, rows[i].query.source);
		g_assert_cmpint(
			policy_set_can_remember(set, &rows[i].query, &decision), ==, rows[i].can);
	}
	policy_set_free(set);
}

/* A full disk: the old answers stay, and no other file. */
static void test_full_disk(struct fixture *f, gconstpointer unused)
{
	const struct policy_query query = from_to("work", "mail");
	g_autoptr(GError) error = NULL;
	g_autoptr(GDir) dir = NULL;
	struct rlimit old, small;
	gboolean ok;

	(void)unused;
	remember(f, "work", "vault", POLICY_DENY, POLICY_ALWAYS);
	signal(SIGXFSZ, SIG_IGN);
	g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &old), ==, 0);
	small = (struct rlimit){16, old.rlim_max};
	g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &small), ==, 0);
	ok = policy_answers_add(&f->places, &query, POLICY_ALLOW, POLICY_ALWAYS, &error);
	g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &old), ==, 0);
	g_assert_false(ok);
	g_assert_error(error, POLICY_ERROR, POLICY_ERROR_FAILED);
	assert_answers(f, "work>vault-");
	dir = g_dir_open(f->dir, 0, NULL);
	g_assert_cmpstr(g_dir_read_name(dir), ==, POLICY_ANSWERS);
	g_assert_null(g_dir_read_name(dir));
}

static void test_locked(struct fixture *f, gconstpointer unused)
{
	const struct policy_query query = from_to("a", "b");
	g_autoptr(GError) error = NULL;
	int fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)unused;
	g_assert_cmpint(flock(fd, LOCK_EX), ==, 0);
	g_assert_false(policy_answers_add(&f->places, &query, POLICY_ALLOW, POLICY_ALWAYS, &error));
	g_assert_error(error, POLICY_ERROR, POLICY_ERROR_FAILED);
	g_assert_nonnull(strstr(error->message, "try again"));
	close(fd);
	remember(f, "a", "b", POLICY_ALLOW, POLICY_ALWAYS);
	assert_answers(f, "a>ba");
}

/* Others could take out what the user refused. */
static void test_unsafe(struct fixture *f, gconstpointer unused)
{
	const struct policy_query query = from_to("a", "b");
	g_autoptr(GError) error = NULL;

	(void)unused;
	g_assert_cmpint(chmod(f->dir, 0777), ==, 0);
	g_assert_false(policy_answers_add(&f->places, &query, POLICY_ALLOW, POLICY_ALWAYS, &error));
	g_assert_error(error, POLICY_ERROR, POLICY_ERROR_UNSAFE);
}

static void test_too_many(struct fixture *f, gconstpointer unused)
{
	const struct policy_query more = from_to("one", "more"), first = from_to("a", "b0");
	GString *text = g_string_new(NULL);
	g_autoptr(GError) error = NULL;

	(void)unused;
	for (int i = 0; i < 1000; i++)
		g_string_append_printf(text, RULE("a", "b%d", "deny"), i);
	put(f->dir, POLICY_ANSWERS, text->str);
	g_string_free(text, TRUE);
	g_assert_false(policy_answers_add(&f->places, &more, POLICY_ALLOW, POLICY_ALWAYS, &error));
	g_assert_error(error, POLICY_ERROR, POLICY_ERROR_LIMIT);
	/* In place of an older one there is room. */
	g_assert_true(policy_answers_add(&f->places, &first, POLICY_ALLOW, POLICY_ALWAYS, NULL));
	assert_decides(f, "a", "b0", POLICY_ALLOW);
}

#define ADD(name, function)                                                                        \
	g_test_add("/policy-dir/" name, struct fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	ADD("before-load", test_before_load);
	ADD("bad-keeps-old", test_bad_keeps_old);
	ADD("change", test_change);
	ADD("change-elsewhere", test_change_elsewhere);
	ADD("changes-are-gathered", test_changes_are_gathered);
	ADD("destroyed-while-settling", test_destroyed_while_settling);
	ADD("remember", test_remember);
	ADD("remember-for-session", test_remember_for_session);
	ADD("folder-is-made", test_folder_is_made);
	ADD("no-session", test_no_session);
	ADD("forget", test_forget);
	ADD("by-hand", test_by_hand);
	ADD("broken-by-hand", test_broken_by_hand);
	ADD("not-remembered", test_not_remembered);
	ADD("can-remember", test_can_remember);
	ADD("full-disk", test_full_disk);
	ADD("locked", test_locked);
	ADD("unsafe", test_unsafe);
	ADD("too-many", test_too_many);
	return g_test_run();
}
