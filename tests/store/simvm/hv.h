/* SPDX-License-Identifier: GPL-2.0-or-later */
/* simvm's end of the stand-in for the hypervisor (../fakehv.h). */
#ifndef QFX_SIMVM_HV_H
#define QFX_SIMVM_HV_H

#include <stdint.h>

struct xenstore_domain_interface;

/* on_event is called with the domid whose event channel xenstored has raised. */
void hv_open(const char *dir, void (*on_event)(unsigned int domid));

/* Makes the domain exist, with a clean ring page. */
void hv_create_domain(unsigned int domid);

/* Sets enum fakehv_flags and tells xenstored to look at all domains. 0: the domain is gone. */
void hv_set_flags(unsigned int domid, uint8_t flags);

struct xenstore_domain_interface *hv_ring(unsigned int domid);

/* Raises xenstored's end of the domain's event channel. */
void hv_kick(unsigned int domid);

#endif
