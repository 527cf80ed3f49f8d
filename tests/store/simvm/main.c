/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * simvm DIR: plays the VMs of one store test, hundreds or thousands of them, in one process.
 *
 * In DIR it shares the stand-in for the hypervisor with xenstored (../fakehv.h), expects
 * xenstored's socket at DIR/socket, serves each VM's xenbus at DIR/dom<N>.sock and takes commands
 * at DIR/control.sock (control.h). There is one thread and one loop:
 *
 *   main       puts the parts together
 *   control    commands of a test
 *   toolstack  what xl does to a domain
 *   vm         the VMs, and the records of what happened
 *   blkfront   the disk driver in each VM      xenbus  each VM's way to xenstored
 *   blkback    the disk driver in dom0         xs      dom0's way to xenstored
 *   loop, hv   events, timers; event channels and rings
 */
#include <errno.h>
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "control.h"
#include "hv.h"
#include "loop.h"
#include "toolstack.h"
#include "vm.h"
#include "xs.h"

static void on_watch(const char *path, const char *token)
{
	if (blkback_on_watch(path, token))
		toolstack_on_backend_watch();
}

/* Each VM needs a socket and its programs some more. */
static void allow_many_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		g_warning("cannot raise the limit of open files: %s", g_strerror(errno));
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: simvm DIR\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that is killed leaves nothing behind */
	allow_many_files();

	g_autofree char *store_path = g_strconcat(argv[1], "/socket", NULL);
	g_autofree char *control_path = g_strconcat(argv[1], "/control.sock", NULL);
	loop_init();
	vm_set_dir(argv[1]);
	hv_open(argv[1], vm_on_event);
	xs_open(store_path, on_watch);
	blkback_start();
	control_open(control_path);
	loop_run();
	return 0;
}
