/* SPDX-License-Identifier: GPL-2.0-or-later */
/* org.qubes.FileExchange1 on the system bus: what qfilexchgctl and the agents speak to. */
#ifndef QFX_BUS_H
#define QFX_BUS_H

#include "agents.h"
#include "exchange.h"
#include "rules_dir.h"

struct bus;

/*
 * Takes the name on the system bus as soon as there is one; the daemon serves the VMs without it,
 * but nobody can be asked then. All four must outlive it. Free with bus_destroy (accepts NULL).
 */
struct bus *bus_create(struct exchange *x, struct agents *agents, struct rules *rules,
	const struct clock_port *clock);
void bus_destroy(struct bus *b);

#endif
