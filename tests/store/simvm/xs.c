/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "xs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xen/io/xs_wire.h>

#include "loop.h"

#define CONNECT_TRIES 500 /* 10 ms apart */

struct reply {
	uint32_t type;
	char *body; /* NUL-terminated beyond its length */
	uint32_t length;
};

struct event {
	char *path;
	char *token;
};

static struct loop_source source;
static struct loop_task deliver_task;
static void (*watch_handler)(const char *path, const char *token);
static GQueue events = G_QUEUE_INIT; /* struct event, not yet delivered */
static GByteArray *outgoing;         /* requests not yet sent */
static GByteArray *incoming;         /* bytes of replies not yet complete */
static unsigned int unanswered;      /* requests in outgoing or sent */
static uint32_t last_request_id;

int xs_errno_of(const char *name)
{
	for (size_t i = 0; i < G_N_ELEMENTS(xsd_errors); i++) {
		if (strcmp(name, xsd_errors[i].errstring) == 0)
			return xsd_errors[i].errnum;
	}
	return EIO;
}

static void queue_request(uint32_t type, uint32_t tx, const char *body, size_t length)
{
	struct xsd_sockmsg header = {
		.type = type,
		.req_id = ++last_request_id,
		.tx_id = tx,
		.len = (uint32_t)length,
	};

	g_assert(length <= XENSTORE_PAYLOAD_MAX);
	g_byte_array_append(outgoing, (const guint8 *)&header, sizeof(header));
	g_byte_array_append(outgoing, (const guint8 *)body, (guint)length);
	unanswered++;
}

static void send_all(void)
{
	size_t sent = 0;

	while (sent < outgoing->len) {
		ssize_t n =
			send(source.fd, outgoing->data + sent, outgoing->len - sent, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			g_error("xenstored is gone: %s", g_strerror(errno));
		sent += n > 0 ? (size_t)n : 0;
	}
	g_byte_array_set_size(outgoing, 0);
}

static void receive_more(void)
{
	guint8 buffer[8192];
	ssize_t n = read(source.fd, buffer, sizeof(buffer));

	if (n == 0 || (n < 0 && errno != EINTR))
		g_error("xenstored is gone: %s", n ? g_strerror(errno) : "end of file");
	if (n > 0)
		g_byte_array_append(incoming, buffer, (guint)n);
}

static void keep_event(const char *body, uint32_t length)
{
	const char *nul = memchr(body, '\0', length);

	if (!nul)
		g_error("xenstored sent a watch event without a token");
	struct event *event = g_new(struct event, 1);
	event->path = g_strdup(body);
	event->token = g_strndup(nul + 1, length - (size_t)(nul + 1 - body));
	g_queue_push_tail(&events, event);
	loop_queue(&deliver_task);
}

/* Takes one whole message out of incoming. False: there is none. Watch events are only kept. */
static bool take_message(struct reply *out)
{
	struct xsd_sockmsg header;

	if (incoming->len < sizeof(header))
		return false;
	memcpy(&header, incoming->data, sizeof(header));
	if (incoming->len - sizeof(header) < header.len)
		return false;
	char *body = g_strndup("", header.len);
	memcpy(body, incoming->data + sizeof(header), header.len);
	g_byte_array_remove_range(incoming, 0, (guint)sizeof(header) + header.len);
	*out = (struct reply){.type = header.type, .body = body, .length = header.len};
	if (header.type == XS_WATCH_EVENT)
		keep_event(body, header.len);
	return true;
}

/* Keeps all events that came in; there is no reply to be expected. */
static void take_events(void)
{
	struct reply reply;

	while (take_message(&reply)) {
		if (reply.type != XS_WATCH_EVENT)
			g_error("xenstored sent a reply that nobody asked for");
		g_free(reply.body);
	}
}

/* Behind the last reply events may lie, for which the socket will not become readable again. */
static struct reply next_reply(void)
{
	struct reply reply;

	for (;;) {
		while (!take_message(&reply))
			receive_more();
		if (reply.type != XS_WATCH_EVENT)
			break;
		g_free(reply.body);
	}
	if (--unanswered == 0)
		take_events();
	return reply;
}

/* One request and its reply: the body as a new string, or NULL with errno. */
static char *call(uint32_t type, uint32_t tx, const char *body, size_t length, uint32_t *out_length)
{
	g_assert(unanswered == 0);
	queue_request(type, tx, body, length);
	send_all();
	struct reply reply = next_reply();
	if (reply.type == XS_ERROR) {
		errno = xs_errno_of(reply.body);
		g_free(reply.body);
		return NULL;
	}
	if (out_length)
		*out_length = reply.length;
	return reply.body;
}

static int call_for_status(uint32_t type, uint32_t tx, const char *body, size_t length)
{
	char *answer = call(type, tx, body, length, NULL);

	if (!answer)
		return -errno;
	g_free(answer);
	return 0;
}

int xs_flush(void)
{
	int rc = 0;

	send_all();
	while (unanswered > 0) {
		struct reply reply = next_reply();
		if (reply.type == XS_ERROR && rc == 0)
			rc = -xs_errno_of(reply.body);
		g_free(reply.body);
	}
	return rc;
}

char *xs_read(uint32_t tx, const char *path)
{
	return call(XS_READ, tx, path, strlen(path) + 1, NULL);
}

unsigned int xs_read_number(uint32_t tx, const char *path, unsigned int fallback)
{
	g_autofree char *text = xs_read(tx, path);
	guint64 number;

	if (!text || !g_ascii_string_to_unsigned(text, 10, 0, INT32_MAX, &number, NULL))
		return fallback;
	return (unsigned int)number;
}

char **xs_list(uint32_t tx, const char *path)
{
	uint32_t length;
	g_autofree char *names = call(XS_DIRECTORY, tx, path, strlen(path) + 1, &length);

	if (!names)
		return NULL;
	GPtrArray *list = g_ptr_array_new();
	for (uint32_t at = 0; at < length; at += (uint32_t)strlen(names + at) + 1)
		g_ptr_array_add(list, g_strdup(names + at));
	g_ptr_array_add(list, NULL);
	return (char **)g_ptr_array_free(list, FALSE);
}

void xs_queue_write(uint32_t tx, const char *path, const char *value)
{
	g_autoptr(GString) body = g_string_new(path);

	g_string_append_c(body, '\0');
	g_string_append(body, value); /* a value has no NUL at its end */
	queue_request(XS_WRITE, tx, body->str, body->len);
}

void xs_queue_perms(uint32_t tx, const char *path, const char *perms)
{
	g_autoptr(GString) body = g_string_new(path);

	g_string_append_c(body, '\0');
	g_string_append(body, perms);
	g_string_append_c(body, '\0');
	for (size_t i = strlen(path) + 1; i < body->len; i++) {
		if (body->str[i] == ' ')
			body->str[i] = '\0';
	}
	queue_request(XS_SET_PERMS, tx, body->str, body->len);
}

int xs_write(uint32_t tx, const char *path, const char *value)
{
	g_assert(unanswered == 0);
	xs_queue_write(tx, path, value);
	return xs_flush();
}

int xs_rm(uint32_t tx, const char *path)
{
	return call_for_status(XS_RM, tx, path, strlen(path) + 1);
}

void xs_cleanup(uint32_t tx, const char *path)
{
	g_autofree char *at = g_strdup(path);

	xs_rm(tx, at);
	for (char *slash = strrchr(at, '/'); slash && slash != at; slash = strrchr(at, '/')) {
		*slash = '\0';
		g_auto(GStrv) children = xs_list(tx, at);
		if (!children || children[0])
			return;
		xs_rm(tx, at);
	}
}

static int watch_call(uint32_t type, const char *path, const char *token)
{
	g_autoptr(GString) body = g_string_new(path);

	g_string_append_c(body, '\0');
	g_string_append(body, token);
	g_string_append_c(body, '\0');
	return call_for_status(type, XS_NO_TX, body->str, body->len);
}

int xs_watch(const char *path, const char *token)
{
	return watch_call(XS_WATCH, path, token);
}

void xs_unwatch(const char *path, const char *token)
{
	watch_call(XS_UNWATCH, path, token);
}

int xs_introduce(unsigned int domid, unsigned int port)
{
	char body[64];

	/* The ring's frame number is of no use to xenstored, which goes by the grant. */
	int length = snprintf(body, sizeof(body), "%u%c1%c%u", domid, '\0', '\0', port);
	return call_for_status(XS_INTRODUCE, XS_NO_TX, body, (size_t)length + 1);
}

bool xs_is_introduced(unsigned int domid)
{
	char body[16];
	int length = snprintf(body, sizeof(body), "%u", domid);
	g_autofree char *answer =
		call(XS_IS_DOMAIN_INTRODUCED, XS_NO_TX, body, (size_t)length + 1, NULL);

	return answer && strcmp(answer, "T") == 0;
}

int xs_transact(int (*body)(uint32_t tx, void *context), void *context)
{
	for (;;) {
		g_autofree char *id = call(XS_TRANSACTION_START, XS_NO_TX, "", 1, NULL);
		if (!id)
			return -errno;
		uint32_t tx = (uint32_t)strtoul(id, NULL, 10);
		int rc = body(tx, context);
		int end = call_for_status(XS_TRANSACTION_END, tx, rc == 0 ? "T" : "F", 2);
		if (rc != 0)
			return rc;
		if (end != -EAGAIN)
			return end;
	}
}

static void deliver_events(void *owner)
{
	struct event *event;

	(void)owner;
	while ((event = g_queue_pop_head(&events))) {
		watch_handler(event->path, event->token);
		g_free(event->path);
		g_free(event->token);
		g_free(event);
	}
}

static void on_readable(void *owner, uint32_t ready)
{
	(void)owner;
	(void)ready;
	receive_more();
	take_events();
}

static int connect_once(const char *socket_path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (g_strlcpy(address.sun_path, socket_path, sizeof(address.sun_path)) >=
		sizeof(address.sun_path))
		g_error("socket path too long: %s", socket_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		g_error("socket: %s", g_strerror(errno));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

void xs_open(const char *socket_path, void (*on_watch)(const char *path, const char *token))
{
	int fd = connect_once(socket_path);

	for (int i = 0; fd < 0 && i < CONNECT_TRIES; i++) {
		g_usleep(10 * 1000);
		fd = connect_once(socket_path);
	}
	if (fd < 0)
		g_error("cannot connect to xenstored at %s", socket_path);
	outgoing = g_byte_array_new();
	incoming = g_byte_array_new();
	watch_handler = on_watch;
	deliver_task.run = deliver_events;
	source.on_ready = on_readable;
	loop_add(&source, fd, EPOLLIN);
}
