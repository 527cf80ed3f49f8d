/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What bench_dom0 and bench_vm say to each other, in nodes of the VM's own: an order "N DEVICE
 * [REQUEST]", and "N" when the VM stands ready for it, and when it is done.
 *
 * Done is: DEVICE can be opened, or with "-DEVICE", is gone. With a REQUEST the VM posts it first;
 * with "." for a DEVICE it only says that it is done.
 */
#ifndef QFX_BENCH_WORDS_H
#define QFX_BENCH_WORDS_H

#define BENCH_ORDER "data/bench-order"
#define BENCH_READY "data/bench-ready"
#define BENCH_DONE "data/bench-done"

#endif
