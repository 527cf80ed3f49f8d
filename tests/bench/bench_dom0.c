/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dom0's end of scripts/bench attach: gives a VM its order, lets something happen, and prints how
 * many microseconds went by until the VM said that it has, or has lost, the device.
 *
 *   ask DOMID REQUEST WAITER DEVICE       DOMID posts a request of ours, WAITER waits for the
 * device run WAITER DEVICE COMMAND...          a command of dom0's attach DOMID NAME FILE the
 * floor: the nodes alone, the loop device is ready move DOMID NAME WAITER NAME FILE      the floor:
 * from one VM to the other detach DOMID NAME                     the floor: away from it
 *
 * DEVICE as in bench_words.h, NAME as xvdi. The nodes are those that the daemon writes, by its own
 * functions: what is compared is all the rest.
 */
#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bench_words.h"
#include "loop.h"
#include "qpen_contract.h"
#include "vbd.h"
#include "xs.h"

static struct xs_conn *conn;

static void check(int rc, const char *what)
{
	if (rc < 0) {
		g_printerr("bench_dom0: %s: %s\n", what, g_strerror(-rc));
		exit(1);
	}
}

static void on_event(void *ctx, uint32_t unused)
{
	gboolean *fired = ctx;

	(void)unused;
	*fired = TRUE;
}

/* Waits until the node has that value; NULL: until it is gone. */
static void wait_node(const char *path, const char *value)
{
	gboolean fired = FALSE;
	unsigned watch = xs_conn_watch(conn, path, on_event, &fired, 0);
	char now[64];
	size_t len;

	check(watch ? 0 : -errno, path);
	for (;;) {
		int rc = xs_read_into(conn, XBT_NULL, path, now, sizeof now, &len);

		if (rc < 0 ? !value : value && strcmp(now, value) == 0)
			break;
		fired = FALSE;
		while (!fired)
			g_main_context_iteration(NULL, TRUE);
	}
	xs_conn_unwatch(conn, watch);
}

/* ---- orders ---- */

struct order {
	guint32 domid;
	char number[32];
};

static void node(char out[XS_PATH_MAX], guint32 domid, const char *key)
{
	g_snprintf(out, XS_PATH_MAX, "/local/domain/%" PRIu32 "/%s", domid, key);
}

/* With a request the VM begins at once. */
static struct order give_order(guint32 domid, const char *device, const char *request)
{
	struct order o = {.domid = domid};
	g_autofree char *text = NULL;
	char path[XS_PATH_MAX];

	g_snprintf(o.number, sizeof o.number, "%" G_GINT64_FORMAT, g_get_monotonic_time());
	text = g_strdup_printf(
		"%s %s%s%s", o.number, device, request ? " " : "", request ? request : "");
	node(path, domid, BENCH_ORDER);
	check(xs_put(conn, XBT_NULL, path, text), path);
	return o;
}

static struct order give_order_and_wait(guint32 domid, const char *device)
{
	struct order o = give_order(domid, device, NULL);
	char path[XS_PATH_MAX];

	node(path, domid, BENCH_READY);
	wait_node(path, o.number);
	return o;
}

/* Prints the time since `began_us`. */
static void wait_done(const struct order *o, gint64 began_us)
{
	char path[XS_PATH_MAX];

	node(path, o->domid, BENCH_DONE);
	wait_node(path, o->number);
	g_print("%" G_GINT64_FORMAT "\n", g_get_monotonic_time() - began_us);
}

/* ---- the floor ---- */

struct floor {
	struct vbd vbd;
	struct vbd_disk disk;
};

static guint32 domid_of(const char *word)
{
	guint64 domid;

	if (!g_ascii_string_to_unsigned(word, 10, 0, UINT32_MAX, &domid, NULL))
		check(-EINVAL, word);
	return (guint32)domid;
}

static struct vbd vbd_of(const char *domid, const char *name)
{
	return (struct vbd){
		.domid = domid_of(domid), .vdev = 202u << 8 | (unsigned)(name[3] - 'a') << 4};
}

static int put_floor(struct xs_conn *c, xs_transaction_t t, void *arg)
{
	struct floor *f = arg;

	return vbd_add(c, t, f->vbd, &f->disk);
}

static int put_close(struct xs_conn *c, xs_transaction_t t, void *arg)
{
	const struct vbd *v = arg;

	return vbd_ask_to_close(c, t, *v);
}

static int put_removal(struct xs_conn *c, xs_transaction_t t, void *arg)
{
	const struct vbd *v = arg;

	return vbd_remove(c, t, *v);
}

static void take_away(struct vbd v)
{
	char path[XS_PATH_MAX];

	vbd_state_path(path, v);
	check(xs_conn_transact(conn, put_close, &v), "close");
	wait_node(path, "6");
	check(xs_conn_transact(conn, put_removal, &v), "remove");
}

static void bind_loop(
	struct floor *f, const char *file, bool read_only, struct loop *loop, char params[32])
{
	const struct loop_view view = {.path = file, .read_only = read_only};

	check(loop_bind(&view, loop), file);
	g_snprintf(params, 32, "/dev/loop%u", loop->number);
	f->disk.params = params;
	f->disk.major = loop->major;
	f->disk.minor = loop->minor;
	f->disk.read_only = read_only;
}

/* ---- what is measured ---- */

static void ask(char **args)
{
	guint32 asker = domid_of(args[0]), waiter = domid_of(args[2]);
	struct order o = {0};
	gint64 began_us;

	if (asker != waiter)
		o = give_order_and_wait(waiter, args[3]);
	began_us = g_get_monotonic_time();
	if (asker != waiter)
		give_order(asker, ".", args[1]);
	else
		o = give_order(asker, args[3], args[1]);
	wait_done(&o, began_us);
}

/* A command that failed brings no device, which would be waited for in vain. */
static void on_command_ended(GPid pid, int status, gpointer data)
{
	gboolean *ended = data;

	(void)pid;
	if (status != 0) {
		g_printerr("bench_dom0: the command failed\n");
		exit(1);
	}
	*ended = TRUE;
}

static void run(char **args)
{
	struct order o = give_order_and_wait(domid_of(args[0]), args[1]);
	gint64 began_us = g_get_monotonic_time();
	gboolean ended = FALSE;
	GPid pid;

	if (!g_spawn_async(NULL, args + 2, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD,
		    NULL, NULL, &pid, NULL))
		check(-ENOENT, args[2]);
	g_child_watch_add(pid, on_command_ended, &ended);
	wait_done(&o, began_us);
	while (!ended) /* what it still does must not reach into the next measurement */
		g_main_context_iteration(NULL, TRUE);
}

static void floor_attach(char **args)
{
	struct floor f = {.vbd = vbd_of(args[0], args[1]), .disk = {.name = args[1]}};
	struct loop loop;
	char params[32];
	struct order o;
	gint64 began_us;

	bind_loop(&f, args[2], false, &loop, params);
	o = give_order_and_wait(f.vbd.domid, args[1]);
	began_us = g_get_monotonic_time();
	check(xs_conn_transact(conn, put_floor, &f), "attach");
	wait_done(&o, began_us);
	loop_let_go(&loop);
}

static void floor_move(char **args)
{
	struct floor f = {.vbd = vbd_of(args[2], args[3]), .disk = {.name = args[3]}};
	struct loop loop;
	char params[32];
	struct order o;
	gint64 began_us;

	bind_loop(&f, args[4], true, &loop, params);
	o = give_order_and_wait(f.vbd.domid, args[3]);
	began_us = g_get_monotonic_time();
	take_away(vbd_of(args[0], args[1]));
	check(xs_conn_transact(conn, put_floor, &f), "attach");
	wait_done(&o, began_us);
	loop_let_go(&loop);
}

static void floor_detach(char **args)
{
	struct vbd v = vbd_of(args[0], args[1]);
	g_autofree char *gone = g_strconcat("-", args[1], NULL);
	struct order o = give_order_and_wait(v.domid, gone);
	gint64 began_us = g_get_monotonic_time();

	take_away(v);
	wait_done(&o, began_us);
}

static void ping(char **args)
{
	gint64 began_us = g_get_monotonic_time();
	struct order o = give_order(domid_of(args[0]), ".", NULL);

	wait_done(&o, began_us);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *word;
		int n_args;
		void (*measure)(char **args);
	} verbs[] = {
		{"ask", 4, ask},
		{"run", 3, run},
		{"attach", 3, floor_attach},
		{"move", 5, floor_move},
		{"detach", 2, floor_detach},
		{"ping", 1, ping},
	};

	conn = xs_conn_open();
	check(conn ? 0 : -errno, "xenstore");
	for (size_t i = 0; argc > 1 && i < G_N_ELEMENTS(verbs); i++)
		if (strcmp(argv[1], verbs[i].word) == 0 && argc - 2 >= verbs[i].n_args) {
			verbs[i].measure(argv + 2);
			xs_conn_close(conn);
			return 0;
		}
	g_printerr("bench_dom0: what its first lines say\n");
	return 64;
}
