/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "control.h"

#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop.h"
#include "toolstack.h"
#include "vm.h"

#define LIBXL_DESTROY_TIMEOUT_MS 10000
#define MAX_LINE_BYTES 65536

/* A test's connection; kept until its last answer was given. */
struct peer {
	struct loop_source source;
	GString *in;
	GString *out;
	unsigned int unanswered;
	bool is_gone;
};

struct request {
	struct peer *peer;
	char *tag;
	GHashTable *arguments; /* key -> value */
	struct vm *vm;         /* the one named by domid=, if the verb needs one */
};

struct verb {
	const char *name;
	const char *arguments; /* for help; a ? marks what may be left out */
	bool needs_vm;
	/* Answers by finish_ok or finish_error, now or later. */
	void (*run)(struct request *request);
};

/* Answers */

static uint32_t peer_events(const struct peer *peer)
{
	return EPOLLIN | (peer->out->len > 0 ? (uint32_t)EPOLLOUT : 0);
}

static void G_GNUC_PRINTF(3, 4)
	answer(struct request *request, const char *kind, const char *format, ...)
{
	struct peer *peer = request->peer;
	va_list args;

	if (peer->is_gone)
		return;
	g_string_append_printf(peer->out, "%s %s ", request->tag, kind);
	va_start(args, format);
	g_string_append_vprintf(peer->out, format, args);
	va_end(args);
	g_string_append_c(peer->out, '\n');
	loop_change(&peer->source, peer_events(peer));
}

static void release_peer(struct peer *peer)
{
	if (!peer->is_gone || peer->unanswered > 0)
		return;
	g_string_free(peer->in, TRUE);
	g_string_free(peer->out, TRUE);
	g_free(peer);
}

static void request_free(struct request *request)
{
	request->peer->unanswered--;
	release_peer(request->peer);
	g_hash_table_unref(request->arguments);
	g_free(request->tag);
	g_free(request);
}

static void finish_ok(struct request *request)
{
	answer(request, "ok", "%s", "");
	request_free(request);
}

static void finish_error(struct request *request, const char *text)
{
	answer(request, "error", "%s", text);
	request_free(request);
}

/* Arguments */

static const char *text_argument(const struct request *request, const char *key)
{
	return g_hash_table_lookup(request->arguments, key);
}

/* False: it is there, but not a number in the range. A missing one leaves *out as it is. */
static bool number_argument(const struct request *request, const char *key, int min, int *out)
{
	const char *text = text_argument(request, key);
	gint64 number;

	if (!text)
		return true;
	if (!g_ascii_string_to_signed(text, 10, min, G_MAXINT, &number, NULL))
		return false;
	*out = (int)number;
	return true;
}

static bool flag_argument(const struct request *request, const char *key, bool fallback)
{
	const char *text = text_argument(request, key);

	return text ? strcmp(text, "1") == 0 : fallback;
}

/* "now", "never" or a number of milliseconds. */
static bool delay_argument(const struct request *request, const char *key, int *out)
{
	const char *text = text_argument(request, key);

	if (g_strcmp0(text, "now") == 0) {
		*out = 0;
		return true;
	}
	if (g_strcmp0(text, "never") == 0) {
		*out = NEVER;
		return true;
	}
	return number_argument(request, key, 0, out);
}

/* Values are written as in a URL, in both directions: a name may hold any byte but NUL. */
static char *escape(const char *text)
{
	return g_uri_escape_string(text, "/:", FALSE);
}

/* Verbs */

static void create_and_answer(struct request *request, const struct toolstack_new *wanted)
{
	const char *error;
	const struct vm *vm = toolstack_create(wanted, &error);

	if (!vm) {
		finish_error(request, error);
		return;
	}
	g_autofree char *name = escape(vm->name);
	answer(request, "-", "domid=%u uuid=%s name=%s", vm->domid, vm->uuid, name);
	finish_ok(request);
}

static void on_create(struct request *request)
{
	struct toolstack_new wanted = {
		.name = text_argument(request, "name"),
		.uuid = text_argument(request, "uuid"),
		.has_blk = flag_argument(request, "blk", true),
		.is_paused = flag_argument(request, "paused", false),
		.is_dormant = flag_argument(request, "dormant", false),
	};
	int domid = 0;

	if (!wanted.name || !number_argument(request, "domid", 1, &domid)) {
		finish_error(request, "a name is needed, and domid must be a number");
		return;
	}
	wanted.domid = (unsigned int)domid;
	create_and_answer(request, &wanted);
}

static void on_introduce(struct request *request)
{
	const char *error = toolstack_introduce(request->vm);

	if (error)
		finish_error(request, error);
	else
		finish_ok(request);
}

static void on_destroyed(void *owner)
{
	finish_ok(owner);
}

static void start_destroy(struct request *request, void (*on_done)(void *owner), void *owner)
{
	int timeout_ms = LIBXL_DESTROY_TIMEOUT_MS;

	if (!number_argument(request, "timeout", 0, &timeout_ms))
		finish_error(request, "timeout must be a number of milliseconds");
	else if (!toolstack_destroy(request->vm, timeout_ms, on_done, owner))
		finish_error(request, "it is being destroyed already");
}

static void on_destroy(struct request *request)
{
	start_destroy(request, on_destroyed, request);
}

static void on_crash(struct request *request)
{
	toolstack_shutdown(request->vm, true);
	if (flag_argument(request, "keep", false))
		finish_ok(request);
	else
		on_destroy(request);
}

static void on_shutdown(struct request *request)
{
	toolstack_shutdown(request->vm, false);
	if (flag_argument(request, "keep", false))
		finish_ok(request);
	else
		on_destroy(request);
}

struct reboot {
	struct request *request;
	char *name;
	char *uuid;
	bool has_blk;
};

static void on_down(void *owner)
{
	struct reboot *reboot = owner;
	struct toolstack_new wanted = {
		.name = reboot->name,
		.uuid = reboot->uuid,
		.has_blk = reboot->has_blk,
	};

	create_and_answer(reboot->request, &wanted);
	g_free(reboot->name);
	g_free(reboot->uuid);
	g_free(reboot);
}

static void on_reboot(struct request *request)
{
	struct reboot *reboot = g_new0(struct reboot, 1);

	reboot->request = request;
	reboot->name = g_strdup(request->vm->name);
	reboot->uuid = g_strdup(request->vm->uuid);
	reboot->has_blk = request->vm->has_blk;
	if (!toolstack_destroy(request->vm, LIBXL_DESTROY_TIMEOUT_MS, on_down, reboot)) {
		g_free(reboot->name);
		g_free(reboot->uuid);
		g_free(reboot);
		finish_error(request, "it is being destroyed already");
	}
}

static void on_rename(struct request *request)
{
	const char *name = text_argument(request, "name");
	const char *error = name ? toolstack_rename(request->vm, name) : "a name is needed";

	if (error)
		finish_error(request, error);
	else
		finish_ok(request);
}

static void on_pause(struct request *request)
{
	request->vm->is_paused = true;
	vm_update_frozen(request->vm);
	finish_ok(request);
}

static void on_unpause(struct request *request)
{
	request->vm->is_paused = false;
	vm_update_frozen(request->vm);
	finish_ok(request);
}

static void on_set(struct request *request)
{
	struct vm *vm = request->vm;

	if (!delay_argument(request, "connect", &vm->connect_delay_ms) ||
		!delay_argument(request, "close", &vm->close_delay_ms)) {
		finish_error(request, "a delay is now, never or a number of milliseconds");
		return;
	}
	blkfront_reconsider(vm);
	finish_ok(request);
}

static void list_disk(const struct disk *disk, void *context)
{
	g_autofree char *device = escape(disk->physical_device);
	g_autofree char *params = escape(disk->params);
	g_autofree char *image = escape(disk->image);
	g_autofree char *mode = escape(disk->mode);

	answer(context, "-",
		"domid=%u vdev=%u state=%d connected=%d mode=%s physical-device=%s params=%s "
		"image=%s",
		disk->domid, disk->vdev, disk->state, disk->is_connected, mode, device, params,
		image);
}

static void on_disks(struct request *request)
{
	blkback_foreach_disk(list_disk, request);
	finish_ok(request);
}

static void list_vm(struct vm *vm, void *context)
{
	g_autofree char *name = escape(vm->name);

	answer(context, "-", "domid=%u uuid=%s paused=%d dead=%d name=%s", vm->domid, vm->uuid,
		vm->is_paused, vm->is_dead, name);
}

static void on_list(struct request *request)
{
	vm_foreach(list_vm, request);
	finish_ok(request);
}

static void list_records(struct request *request, enum record_kind kind)
{
	const GPtrArray *lines = record_lines(kind);

	for (guint i = 0; i < lines->len; i++)
		answer(request, "-", "%s", (const char *)lines->pdata[i]);
	if (flag_argument(request, "clear", false))
		record_clear(kind);
	finish_ok(request);
}

static void on_history(struct request *request)
{
	list_records(request, RECORD_HISTORY);
}

static void on_violations(struct request *request)
{
	list_records(request, RECORD_VIOLATION);
}

static void on_complaints(struct request *request)
{
	list_records(request, RECORD_COMPLAINT);
}

static void on_quit(struct request *request)
{
	finish_ok(request);
	loop_stop();
}

static void on_help(struct request *request);

static const struct verb verbs[] = {
	{"create", "name= uuid=? domid=? blk=0|1? paused=0|1? dormant=0|1?", false, on_create},
	{"introduce", "domid=", true, on_introduce},
	{"destroy", "domid= timeout=MS?", true, on_destroy},
	{"crash", "domid= keep=0|1? timeout=MS?", true, on_crash},
	{"shutdown", "domid= keep=0|1? timeout=MS?", true, on_shutdown},
	{"reboot", "domid=", true, on_reboot},
	{"rename", "domid= name=", true, on_rename},
	{"pause", "domid=", true, on_pause},
	{"unpause", "domid=", true, on_unpause},
	{"set", "domid= connect=now|never|MS? close=now|never|MS?", true, on_set},
	{"list", "", false, on_list},
	{"disks", "", false, on_disks},
	{"history", "clear=0|1?", false, on_history},
	{"violations", "clear=0|1?", false, on_violations},
	{"complaints", "clear=0|1?", false, on_complaints},
	{"help", "", false, on_help},
	{"quit", "", false, on_quit},
};

static void on_help(struct request *request)
{
	for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
		answer(request, "-", "%s %s", verbs[i].name, verbs[i].arguments);
	finish_ok(request);
}

/* Requests */

static void run_verb(struct request *request, const char *name)
{
	int domid = 0;

	for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
		if (strcmp(verbs[i].name, name) != 0)
			continue;
		if (verbs[i].needs_vm) {
			number_argument(request, "domid", 1, &domid);
			request->vm = vm_find((unsigned int)domid);
		}
		if (verbs[i].needs_vm && !request->vm)
			finish_error(request, "there is no VM of that domid");
		else
			verbs[i].run(request);
		return;
	}
	finish_error(request, "unknown verb");
}

static void add_argument(struct request *request, const char *word)
{
	const char *equals = strchr(word, '=');

	if (!equals)
		return;
	char *value = g_uri_unescape_string(equals + 1, NULL);
	if (value)
		g_hash_table_insert(
			request->arguments, g_strndup(word, (gsize)(equals - word)), value);
}

static void on_line(struct peer *peer, const char *line)
{
	g_auto(GStrv) words = g_strsplit(line, " ", -1);

	if (g_strv_length(words) < 2)
		return;
	struct request *request = g_new0(struct request, 1);
	request->peer = peer;
	request->tag = g_strdup(words[0]);
	request->arguments = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	peer->unanswered++;
	for (size_t i = 2; words[i]; i++)
		add_argument(request, words[i]);
	run_verb(request, words[1]);
}

static void on_bytes(struct peer *peer)
{
	char *newline;

	while ((newline = strchr(peer->in->str, '\n'))) {
		g_autofree char *line = g_strndup(peer->in->str, (gsize)(newline - peer->in->str));
		g_string_erase(peer->in, 0, (gssize)(newline - peer->in->str) + 1);
		on_line(peer, line);
	}
}

static bool read_peer(struct peer *peer)
{
	char buffer[8192];
	ssize_t n = recv(peer->source.fd, buffer, sizeof(buffer), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0 || memchr(buffer, '\0', (size_t)n) || peer->in->len > MAX_LINE_BYTES)
		return false;
	g_string_append_len(peer->in, buffer, n);
	on_bytes(peer);
	return true;
}

static bool write_peer(struct peer *peer)
{
	ssize_t n =
		send(peer->source.fd, peer->out->str, peer->out->len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	g_string_erase(peer->out, 0, n);
	loop_change(&peer->source, peer_events(peer));
	return true;
}

static void on_peer_ready(void *owner, uint32_t events)
{
	struct peer *peer = owner;
	bool is_alive = true;

	if (events & EPOLLOUT)
		is_alive = write_peer(peer);
	if (is_alive && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		is_alive = read_peer(peer);
	if (is_alive)
		return;
	loop_remove(&peer->source);
	peer->is_gone = true;
	release_peer(peer);
}

static struct loop_source listener;

static void on_connect(void *owner, uint32_t events)
{
	int fd = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC);

	(void)owner;
	(void)events;
	if (fd < 0)
		return;
	struct peer *peer = g_new0(struct peer, 1);
	peer->in = g_string_new(NULL);
	peer->out = g_string_new(NULL);
	peer->source.on_ready = on_peer_ready;
	peer->source.owner = peer;
	loop_add(&peer->source, fd, peer_events(peer));
}

void control_open(const char *socket_path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (g_strlcpy(address.sun_path, socket_path, sizeof(address.sun_path)) >=
		sizeof(address.sun_path))
		g_error("socket path too long: %s", socket_path);
	unlink(socket_path);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(fd, 16) < 0)
		g_error("cannot listen on %s: %s", socket_path, g_strerror(errno));
	listener.on_ready = on_connect;
	loop_add(&listener, fd, EPOLLIN);
}
