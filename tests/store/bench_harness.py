#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the store layer costs: prints the table that stands in README.md.

usage: QFX_BUILD=build/release ./bench_harness.py [VMS...]     (default: 1 100 1000)
"""
import sys
import time

import storebox
from test_harness import Toolstack

ROUNDS = 200


def each_us(action, rounds=ROUNDS):
    started = time.perf_counter()
    for i in range(rounds):
        action(i)
    return (time.perf_counter() - started) / rounds * 1e6


def seconds(action):
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def measure(count):
    box = storebox.StoreBox()
    rows = [("box up, ms", seconds(box.start) * 1e3)]
    try:
        vms = []
        rows.append(("all VMs made, s", seconds(
            lambda: vms.extend(box.create_vms([f"vm{i}" for i in range(count)])))))
        # The oldest: xenstored finds the newest domain first, and looks for one very often.
        vm, dom0, xl = vms[0], box.dom0, Toolstack(box.dom0)
        data = vm.path + "/data"
        rows += [
            ("dom0 reads, us", each_us(lambda i: dom0.read(data))),
            ("VM reads, us", each_us(lambda i: vm.xs.read("data"))),
            ("dom0 writes, us", each_us(lambda i: dom0.write(data, str(i)))),
            ("VM writes, us", each_us(lambda i: vm.xs.write("data", str(i)))),
        ]
        with dom0.watch(data) as watch:
            watch.next()

            def write_and_see(i):
                vm.xs.write("data", str(i))
                watch.next()

            rows.append(("VM writes, dom0's watch fires, us", each_us(write_and_see)))

        def attach_and_detach(_):
            xl.attach(vm, storebox.OUTGOING)
            vm.wait_connected(storebox.OUTGOING)
            xl.detach(vm, storebox.OUTGOING)

        rows.append(("disk attached and detached, ms", each_us(attach_and_detach, 10) / 1e3))

        def destroy_all():
            for tag in [one.start_destroy() for one in vms]:
                box.sim.finish(tag)

        rows.append(("all VMs destroyed, s", seconds(destroy_all)))
    finally:
        rows.append(("box down, ms", seconds(box.stop) * 1e3))
    return rows


def main():
    counts = [int(word) for word in sys.argv[1:]] or [1, 100, 1000]
    columns = [measure(count) for count in counts]
    print("| |" + "".join(f" {count} VMs |" for count in counts))
    print("|---|" + "---|" * len(counts))
    for row in zip(*columns):
        print(f"| {row[0][0]} |" + "".join(f" {value:.3g} |" for _, value in row))


if __name__ == "__main__":
    main()
