/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `xl` does to a domain, as far as xenstore sees it: the nodes, permissions and order of
 * libxl 4.17 (libxl__domain_make, libxl__build_post, libxl__devices_destroy, libxl__domain_rename).
 */
#ifndef QFX_SIMVM_TOOLSTACK_H
#define QFX_SIMVM_TOOLSTACK_H

#include <stdbool.h>

struct vm;

struct toolstack_new {
	const char *name;
	const char *uuid;   /* NULL: a new one */
	unsigned int domid; /* 0: the next free one */
	bool has_blk;
	bool is_paused;
	bool is_dormant; /* only its nodes are made; toolstack_introduce goes on */
};

/* The new VM, or NULL and *error says why. */
struct vm *toolstack_create(const struct toolstack_new *wanted, const char **error);

/*
 * The last step of making a domain: xenstored takes it up, and it runs. NULL, or why not.
 *
 * xenstored checks each write against every domain that it has taken up, so many domains are made
 * much faster by making the nodes of all of them first.
 */
const char *toolstack_introduce(struct vm *vm);

/* NULL, or why not. */
const char *toolstack_rename(struct vm *vm, const char *name);

/*
 * `xl destroy`: asks the backends to close, gives them timeout_ms, removes the nodes of the devices
 * and then those of the domain, and ends it. Afterwards on_done is called; the VM is then gone.
 * False: it is being destroyed already.
 */
bool toolstack_destroy(struct vm *vm, int timeout_ms, void (*on_done)(void *owner), void *owner);

/* The domain stops by itself, crashed or not; nothing is cleaned up yet. */
void toolstack_shutdown(struct vm *vm, bool is_crash);

/* Something changed among the backends: a destroy may be waiting for it. */
void toolstack_on_backend_watch(void);

#endif
