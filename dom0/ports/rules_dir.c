/* SPDX-License-Identifier: GPL-2.0-or-later */
#define G_LOG_DOMAIN "qfilexchgd"
#include "rules_dir.h"

#include "policy_answers.h"
#include "policy_dir.h"
#include "policy_file.h"

struct rules {
	struct policy_dir *dir;
};

void rules_reload(struct rules *r)
{
	g_autoptr(GError) error = NULL;

	if (policy_dir_load(r->dir, &error))
		g_message("the policy was read");
	else
		g_critical("%s; the policy that was in force stays in force", error->message);
}

static void on_changed(void *ctx)
{
	rules_reload(ctx);
}

struct rules *rules_create(const struct policy_places *places)
{
	struct rules *r = g_new0(struct rules, 1);

	r->dir = policy_dir_create(places, on_changed, r);
	rules_reload(r);
	return r;
}

void rules_destroy(struct rules *r)
{
	if (!r)
		return;
	policy_dir_destroy(r->dir);
	g_free(r);
}

static struct policy_decision decide(void *ctx, const struct policy_query *query)
{
	const struct rules *r = ctx;

	return policy_set_decide(policy_dir_get(r->dir), query);
}

static bool can_remember(void *ctx, const struct policy_query *query)
{
	const struct rules *r = ctx;
	const struct policy_set *set = policy_dir_get(r->dir);
	const struct policy_decision decision = policy_set_decide(set, query);

	return policy_set_can_remember(set, query, &decision);
}

static char *where(void *ctx, const struct policy_rule *rule)
{
	const struct rules *r = ctx;

	return policy_set_where(policy_dir_get(r->dir), rule);
}

struct rules_port rules_port(struct rules *r)
{
	return (struct rules_port){
		.ctx = r, .decide = decide, .can_remember = can_remember, .where = where};
}

static void refuse_to_remember(const struct policy_set *set, const struct policy_query *query,
	const struct policy_decision *decision, GError **error)
{
	g_autofree char *where = policy_set_where(set, decision->rule);

	if (query->source_is_disposable || query->dest_is_disposable)
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_REFUSED,
			"answers about DisposableVMs are not: the next one of that name is another "
			"VM");
	else
		g_set_error(error, POLICY_ERROR, POLICY_ERROR_REFUSED,
			"what becomes of pendrives from %s to %s is decided before the remembered "
			"answers (%s)",
			query->source, query->dest, where);
}

gboolean rules_remember(
	struct rules *r, struct policy_query query, gboolean allow, gboolean always, GError **error)
{
	const struct policy_set *set = policy_dir_get(r->dir);
	const struct policy_decision decision = policy_set_decide(set, &query);

	if (!policy_set_can_remember(set, &query, &decision)) {
		refuse_to_remember(set, &query, &decision, error);
		return FALSE;
	}
	if (!policy_answers_add(policy_dir_places(r->dir), &query,
		    allow ? POLICY_ALLOW : POLICY_DENY,
		    always ? POLICY_ALWAYS : POLICY_THIS_SESSION, error))
		return FALSE;
	rules_reload(r);
	return TRUE;
}
