/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "xenbus.h"

#include <errno.h>
#include <glib.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xen/io/xs_wire.h>

#include "hv.h"
#include "loop.h"
#include "xs.h"

#define LISTEN_BACKLOG 64
#define CLIENT_OUT_LIMIT_BYTES                                                                     \
	(16u << 20)             /* what a client may leave unread before it is dropped             \
				 */
#define TOKEN_ROOM 24           /* bytes that a token may grow by: "<number>:" */
#define RING_QUEUE_BYTES 65536u /* bytes waiting for the ring that stop the clients */

/* One open of /dev/xen/xenbus. */
struct client {
	struct xenbus *bus;
	struct loop_source source;
	GByteArray *in;           /* bytes of a request not yet complete */
	GByteArray *out;          /* bytes the program has not yet taken */
	GHashTable *transactions; /* set of ids, this client's own */
	GPtrArray *watches;       /* struct watch */
	GList *link;              /* xenbus.clients */
};

/* A watch as xenstored knows it. The token on the ring is its number in decimal. */
struct watch {
	unsigned int number;
	char *path;
	struct client *client; /* NULL: a driver's */
	char *client_token;
	xenbus_watch_fn on_change;
	void *owner;
};

struct pending {
	uint32_t type;
	uint32_t client_request_id;
	struct client *client; /* NULL: a driver's, or the client is gone */
	bool is_orphan;        /* the client is gone: a transaction it started must be ended */
	xenbus_reply_fn on_reply;
	void *owner;
};

struct xenbus {
	unsigned int domid;
	char *socket_path;
	bool is_frozen;
	bool is_throttled; /* the clients are not read from */
	struct loop_source listener;
	GQueue clients;        /* struct client */
	GByteArray *to_ring;   /* requests that the ring had no room for yet */
	GByteArray *from_ring; /* bytes of a reply not yet complete */
	GHashTable *pending;   /* request id -> struct pending */
	GHashTable *watches;   /* number -> struct watch */
	uint32_t last_request_id;
	unsigned int last_watch_number;
};

static void pump(struct xenbus *bus);

static void watch_free(void *data)
{
	struct watch *watch = data;

	g_free(watch->path);
	g_free(watch->client_token);
	g_free(watch);
}

/* Requests onto the ring */

static void queue_request(struct xenbus *bus, uint32_t type, uint32_t tx, const void *body,
	size_t length, const struct pending *answer_to)
{
	struct xsd_sockmsg header = {
		.type = type,
		.req_id = ++bus->last_request_id,
		.tx_id = tx,
		.len = (uint32_t)length,
	};

	g_hash_table_insert(bus->pending, GUINT_TO_POINTER(header.req_id),
		g_memdup2(answer_to, sizeof(*answer_to)));
	g_byte_array_append(bus->to_ring, (const guint8 *)&header, sizeof(header));
	g_byte_array_append(bus->to_ring, body, (guint)length);
}

static void queue_watch(struct xenbus *bus, uint32_t type, const struct watch *watch,
	const struct pending *answer_to)
{
	char token[TOKEN_ROOM];
	g_autoptr(GByteArray) body = g_byte_array_new();

	g_snprintf(token, sizeof(token), "%u", watch->number);
	g_byte_array_append(body, (const guint8 *)watch->path, (guint)strlen(watch->path) + 1);
	g_byte_array_append(body, (const guint8 *)token, (guint)strlen(token) + 1);
	queue_request(bus, type, 0, body->data, body->len, answer_to);
}

static struct watch *add_watch(struct xenbus *bus, const char *path)
{
	struct watch *watch = g_new0(struct watch, 1);

	watch->number = ++bus->last_watch_number;
	watch->path = g_strdup(path);
	g_hash_table_insert(bus->watches, GUINT_TO_POINTER(watch->number), watch);
	return watch;
}

static void drop_watch(struct xenbus *bus, struct watch *watch, const struct pending *answer_to)
{
	queue_watch(bus, XS_UNWATCH, watch, answer_to);
	g_hash_table_remove(bus->watches, GUINT_TO_POINTER(watch->number));
}

/* Clients */

static uint32_t client_events(const struct client *client)
{
	return (client->bus->is_throttled ? 0 : (uint32_t)EPOLLIN) |
	       (client->out->len > 0 ? (uint32_t)EPOLLOUT : 0);
}

static void forget_client(void *key, void *value, void *client)
{
	struct pending *pending = value;

	(void)key;
	if (pending->client != client)
		return;
	pending->client = NULL;
	pending->is_orphan = true;
}

static void end_transaction(struct xenbus *bus, uint32_t tx)
{
	queue_request(bus, XS_TRANSACTION_END, tx, "F", 2, &(struct pending){0});
}

static void client_free(struct client *client)
{
	loop_remove(&client->source);
	g_queue_delete_link(&client->bus->clients, client->link);
	g_byte_array_unref(client->in);
	g_byte_array_unref(client->out);
	g_hash_table_unref(client->transactions);
	g_ptr_array_unref(client->watches);
	g_free(client);
}

/* The program closed its connection: undo what it left behind, as the kernel does. */
static void drop_client(struct client *client)
{
	struct xenbus *bus = client->bus;
	GHashTableIter iter;
	void *tx;

	g_hash_table_iter_init(&iter, client->transactions);
	while (g_hash_table_iter_next(&iter, &tx, NULL))
		end_transaction(bus, GPOINTER_TO_UINT(tx));
	for (guint i = 0; i < client->watches->len; i++)
		drop_watch(bus, client->watches->pdata[i], &(struct pending){0});
	g_hash_table_foreach(bus->pending, forget_client, client);
	client_free(client);
}

static void send_to_client(
	struct client *client, const struct xsd_sockmsg *header, const void *body)
{
	g_byte_array_append(client->out, (const guint8 *)header, sizeof(*header));
	g_byte_array_append(client->out, body, header->len);
	loop_change(&client->source, client_events(client));
}

static void answer_client(
	struct client *client, uint32_t type, uint32_t request_id, const char *word)
{
	struct xsd_sockmsg header = {
		.type = type,
		.req_id = request_id,
		.len = (uint32_t)strlen(word) + 1,
	};

	send_to_client(client, &header, word);
}

/* Splits "path NUL token NUL". False: it is not of that form. */
static bool split_watch(const char *body, size_t length, const char **path, const char **token)
{
	const char *nul = memchr(body, '\0', length);

	if (!nul || nul + 1 == body + length || body[length - 1] != '\0')
		return false;
	*path = body;
	*token = nul + 1;
	return memchr(*token, '\0', length) == body + length - 1;
}

static void on_client_watch(
	struct client *client, const struct pending *answer_to, const char *path, const char *token)
{
	struct watch *watch = add_watch(client->bus, path);

	watch->client = client;
	watch->client_token = g_strdup(token);
	g_ptr_array_add(client->watches, watch);
	queue_watch(client->bus, XS_WATCH, watch, answer_to);
}

static void on_client_unwatch(
	struct client *client, const struct pending *answer_to, const char *path, const char *token)
{
	for (guint i = 0; i < client->watches->len; i++) {
		struct watch *watch = client->watches->pdata[i];

		if (strcmp(watch->path, path) != 0 || strcmp(watch->client_token, token) != 0)
			continue;
		g_ptr_array_remove_index_fast(client->watches, i);
		drop_watch(client->bus, watch, answer_to);
		return;
	}
	answer_client(client, XS_ERROR, answer_to->client_request_id, "ENOENT");
}

static void on_client_request(
	struct client *client, const struct xsd_sockmsg *header, const char *body)
{
	struct pending answer_to = {
		.type = header->type,
		.client_request_id = header->req_id,
		.client = client,
	};
	void *tx = GUINT_TO_POINTER(header->tx_id);
	const char *path, *token;

	if (header->type == XS_WATCH || header->type == XS_UNWATCH) {
		if (!split_watch(body, header->len, &path, &token))
			answer_client(client, XS_ERROR, header->req_id, "EINVAL");
		else if (header->type == XS_WATCH)
			on_client_watch(client, &answer_to, path, token);
		else
			on_client_unwatch(client, &answer_to, path, token);
		return;
	}
	if (header->tx_id != 0 && !g_hash_table_contains(client->transactions, tx)) {
		answer_client(client, XS_ERROR, header->req_id, "ENOENT");
		return;
	}
	if (header->type == XS_TRANSACTION_END)
		g_hash_table_remove(client->transactions, tx);
	queue_request(client->bus, header->type, header->tx_id, body, header->len, &answer_to);
}

/* False: the client broke the protocol. */
static bool take_requests(struct client *client)
{
	size_t at = 0;

	for (;;) {
		struct xsd_sockmsg header;

		if (client->in->len - at < sizeof(header))
			break;
		memcpy(&header, client->in->data + at, sizeof(header));
		if (header.len > XENSTORE_PAYLOAD_MAX)
			return false;
		if (client->in->len - at - sizeof(header) < header.len)
			break;
		on_client_request(
			client, &header, (const char *)client->in->data + at + sizeof(header));
		at += sizeof(header) + header.len;
	}
	g_byte_array_remove_range(client->in, 0, (guint)at);
	return true;
}

/* False: the connection is closed or broken. */
static bool read_client(struct client *client)
{
	guint8 buffer[8192];
	ssize_t n = recv(client->source.fd, buffer, sizeof(buffer), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	g_byte_array_append(client->in, buffer, (guint)n);
	return take_requests(client);
}

static bool write_client(struct client *client)
{
	ssize_t n = send(client->source.fd, client->out->data, client->out->len,
		MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	g_byte_array_remove_range(client->out, 0, (guint)n);
	loop_change(&client->source, client_events(client));
	return client->out->len <= CLIENT_OUT_LIMIT_BYTES;
}

static void on_client_ready(void *owner, uint32_t events)
{
	struct client *client = owner;
	struct xenbus *bus = client->bus;
	bool is_alive = true;

	if (events & EPOLLOUT)
		is_alive = write_client(client);
	if (is_alive && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		is_alive = read_client(client);
	if (!is_alive)
		drop_client(client);
	pump(bus);
}

static void on_connect(void *owner, uint32_t events)
{
	struct xenbus *bus = owner;
	int fd = accept4(bus->listener.fd, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	if (fd < 0) {
		g_warning("dom%u: accept: %s", bus->domid, g_strerror(errno));
		return;
	}
	struct client *client = g_new0(struct client, 1);
	client->bus = bus;
	client->in = g_byte_array_new();
	client->out = g_byte_array_new();
	client->transactions = g_hash_table_new(NULL, NULL);
	client->watches = g_ptr_array_new();
	client->source.on_ready = on_client_ready;
	client->source.owner = client;
	g_queue_push_tail(&bus->clients, client);
	client->link = bus->clients.tail;
	loop_add(&client->source, fd, client_events(client));
}

/* Replies from the ring */

static void on_watch_event(struct xenbus *bus, const struct xsd_sockmsg *event, const char *body)
{
	const char *path, *token;

	if (!split_watch(body, event->len, &path, &token))
		g_error("dom%u: xenstored sent a broken watch event", bus->domid);
	guint64 number = g_ascii_strtoull(token, NULL, 10);
	struct watch *watch = g_hash_table_lookup(bus->watches, GUINT_TO_POINTER(number));
	if (!watch) /* was on its way when the watch was removed */
		return;
	if (!watch->client) {
		watch->on_change(watch->owner, path);
		return;
	}
	g_autoptr(GByteArray) translated = g_byte_array_new();
	g_byte_array_append(translated, (const guint8 *)path, (guint)strlen(path) + 1);
	g_byte_array_append(translated, (const guint8 *)watch->client_token,
		(guint)strlen(watch->client_token) + 1);
	struct xsd_sockmsg header = {.type = XS_WATCH_EVENT, .len = translated->len};
	send_to_client(watch->client, &header, translated->data);
}

static void on_reply(struct xenbus *bus, const struct xsd_sockmsg *reply, const char *body)
{
	void *key = GUINT_TO_POINTER(reply->req_id);
	struct pending *found = g_hash_table_lookup(bus->pending, key);

	if (!found)
		g_error("dom%u: xenstored answered a request that nobody made", bus->domid);
	struct pending pending = *found;
	g_hash_table_remove(bus->pending, key);

	bool is_start = pending.type == XS_TRANSACTION_START && reply->type != XS_ERROR;
	uint32_t tx = is_start ? (uint32_t)g_ascii_strtoull(body, NULL, 10) : 0;
	if (is_start && pending.is_orphan)
		end_transaction(bus, tx);
	if (pending.client) {
		struct xsd_sockmsg header = *reply;
		header.req_id = pending.client_request_id;
		if (is_start)
			g_hash_table_add(pending.client->transactions, GUINT_TO_POINTER(tx));
		send_to_client(pending.client, &header, body);
	}
	if (pending.on_reply) {
		int error = reply->type == XS_ERROR ? xs_errno_of(body) : 0;
		pending.on_reply(pending.owner, error, body, reply->len);
	}
}

/* Takes one whole message out of from_ring. False: there is none. */
static bool take_message(struct xenbus *bus)
{
	struct xsd_sockmsg header;

	if (bus->from_ring->len < sizeof(header))
		return false;
	memcpy(&header, bus->from_ring->data, sizeof(header));
	if (bus->from_ring->len - sizeof(header) < header.len)
		return false;
	g_autofree char *body = g_malloc0((gsize)header.len + 1);
	memcpy(body, bus->from_ring->data + sizeof(header), header.len);
	g_byte_array_remove_range(bus->from_ring, 0, (guint)sizeof(header) + header.len);

	if (header.type == XS_WATCH_EVENT)
		on_watch_event(bus, &header, body);
	else
		on_reply(bus, &header, body);
	return true;
}

/* The ring. Its indexes run freely; xenstored owns req_cons and rsp_prod, we the other two. */

static bool drain_ring(struct xenbus *bus)
{
	struct xenstore_domain_interface *ring = hv_ring(bus->domid);
	XENSTORE_RING_IDX prod = __atomic_load_n(&ring->rsp_prod, __ATOMIC_ACQUIRE);
	XENSTORE_RING_IDX cons = ring->rsp_cons;

	if (cons == prod)
		return false;
	while (cons != prod) {
		uint32_t at = MASK_XENSTORE_IDX(cons);
		uint32_t n = MIN(prod - cons, XENSTORE_RING_SIZE - at);
		g_byte_array_append(bus->from_ring, (const guint8 *)ring->rsp + at, n);
		cons += n;
	}
	__atomic_store_n(&ring->rsp_cons, cons, __ATOMIC_RELEASE);
	return true;
}

static bool fill_ring(struct xenbus *bus)
{
	struct xenstore_domain_interface *ring = hv_ring(bus->domid);
	XENSTORE_RING_IDX cons = __atomic_load_n(&ring->req_cons, __ATOMIC_ACQUIRE);
	XENSTORE_RING_IDX prod = ring->req_prod;
	uint32_t total = MIN(bus->to_ring->len, XENSTORE_RING_SIZE - (prod - cons));

	if (total == 0)
		return false;
	for (uint32_t done = 0; done < total;) {
		uint32_t at = MASK_XENSTORE_IDX(prod);
		uint32_t n = MIN(total - done, XENSTORE_RING_SIZE - at);
		memcpy(ring->req + at, bus->to_ring->data + done, n);
		prod += n;
		done += n;
	}
	__atomic_store_n(&ring->req_prod, prod, __ATOMIC_RELEASE);
	g_byte_array_remove_range(bus->to_ring, 0, total);
	return true;
}

static void throttle_clients(struct xenbus *bus)
{
	bool must_throttle = bus->to_ring->len > RING_QUEUE_BYTES;

	if (must_throttle == bus->is_throttled)
		return;
	bus->is_throttled = must_throttle;
	for (GList *link = bus->clients.head; link; link = link->next) {
		struct client *client = link->data;
		loop_change(&client->source, client_events(client));
	}
}

/* Moves what can be moved in both directions. */
static void pump(struct xenbus *bus)
{
	bool is_moved = false;

	if (bus->is_frozen)
		return;
	while (drain_ring(bus)) {
		is_moved = true;
		while (take_message(bus)) {
		}
	}
	is_moved |= fill_ring(bus);
	if (is_moved)
		hv_kick(bus->domid);
	throttle_clients(bus);
}

/* Public functions */

void xenbus_on_event(struct xenbus *bus)
{
	pump(bus);
}

void xenbus_set_frozen(struct xenbus *bus, bool is_frozen)
{
	bus->is_frozen = is_frozen;
	pump(bus);
}

void xenbus_request(struct xenbus *bus, uint32_t type, uint32_t tx, const void *body, size_t length,
	xenbus_reply_fn reply, void *owner)
{
	struct pending answer_to = {.type = type, .on_reply = reply, .owner = owner};

	queue_request(bus, type, tx, body, length, &answer_to);
	if (!bus->is_frozen && fill_ring(bus))
		hv_kick(bus->domid);
}

void xenbus_watch(struct xenbus *bus, const char *path, xenbus_watch_fn on_change, void *owner)
{
	struct watch *watch = add_watch(bus, path);

	watch->on_change = on_change;
	watch->owner = owner;
	queue_watch(bus, XS_WATCH, watch, &(struct pending){0});
	if (!bus->is_frozen && fill_ring(bus))
		hv_kick(bus->domid);
}

struct watch_key {
	const char *path;
	const void *owner;
};

static gboolean is_drivers_watch(void *key, void *value, void *data)
{
	const struct watch *watch = value;
	const struct watch_key *wanted = data;

	(void)key;
	return !watch->client && watch->owner == wanted->owner &&
	       strcmp(watch->path, wanted->path) == 0;
}

void xenbus_unwatch(struct xenbus *bus, const char *path, void *owner)
{
	struct watch_key key = {.path = path, .owner = owner};
	struct watch *watch = g_hash_table_find(bus->watches, is_drivers_watch, &key);

	if (!watch)
		return;
	drop_watch(bus, watch, &(struct pending){0});
	if (!bus->is_frozen && fill_ring(bus))
		hv_kick(bus->domid);
}

static int listen_on(const char *socket_path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (g_strlcpy(address.sun_path, socket_path, sizeof(address.sun_path)) >=
		sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	unlink(socket_path);
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(fd, LISTEN_BACKLOG) < 0) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

struct xenbus *xenbus_create(unsigned int domid, const char *socket_path)
{
	int fd = listen_on(socket_path);

	if (fd < 0)
		return NULL;
	struct xenbus *bus = g_new0(struct xenbus, 1);
	bus->domid = domid;
	bus->socket_path = g_strdup(socket_path);
	g_queue_init(&bus->clients);
	bus->to_ring = g_byte_array_new();
	bus->from_ring = g_byte_array_new();
	bus->pending = g_hash_table_new_full(NULL, NULL, NULL, g_free);
	bus->watches = g_hash_table_new_full(NULL, NULL, NULL, watch_free);
	bus->listener.on_ready = on_connect;
	bus->listener.owner = bus;
	loop_add(&bus->listener, fd, EPOLLIN);
	return bus;
}

void xenbus_destroy(struct xenbus *bus)
{
	if (!bus)
		return;
	while (bus->clients.head)
		client_free(bus->clients.head->data);
	loop_remove(&bus->listener);
	unlink(bus->socket_path);
	g_hash_table_unref(bus->pending);
	g_hash_table_unref(bus->watches);
	g_byte_array_unref(bus->to_ring);
	g_byte_array_unref(bus->from_ring);
	g_free(bus->socket_path);
	g_free(bus);
}
