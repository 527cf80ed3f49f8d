/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hv.h"

#include <glib.h>
#include <string.h>

#include "../fakehv.h"
#include "loop.h"

static struct fakehv hv;
static struct loop_source events_source;
static void (*event_handler)(unsigned int domid);

static void on_events(void *owner, uint32_t events)
{
	int port;

	(void)owner;
	(void)events;
	while ((port = fakehv_take(hv.shared->vm_pending, hv.to_vms_fd)) > 0)
		event_handler(fakehv_domid_of_port((unsigned int)port));
}

void hv_open(const char *dir, void (*on_event)(unsigned int domid))
{
	int rc = fakehv_open(&hv, dir);

	if (rc < 0)
		g_error("cannot open the shared files in %s: %s", dir, g_strerror(-rc));
	event_handler = on_event;
	events_source.on_ready = on_events;
	loop_add(&events_source, hv.to_vms_fd, EPOLLIN);
}

static void raise_port(uint16_t port)
{
	if (!fakehv_notify(hv.shared->store_pending, hv.to_store_fd, port))
		g_error("cannot raise port %u: %s", port, g_strerror(errno));
}

void hv_create_domain(unsigned int domid)
{
	memset(fakehv_ring(&hv, domid), 0, FAKEHV_RING_BYTES);
	atomic_store(&hv.shared->domain_flags[domid], FAKEHV_EXISTS);
}

void hv_set_flags(unsigned int domid, uint8_t flags)
{
	atomic_store(&hv.shared->domain_flags[domid], flags);
	raise_port(FAKEHV_VIRQ_PORT);
}

struct xenstore_domain_interface *hv_ring(unsigned int domid)
{
	return (struct xenstore_domain_interface *)(void *)fakehv_ring(&hv, domid);
}

void hv_kick(unsigned int domid)
{
	raise_port(fakehv_port(domid));
}
