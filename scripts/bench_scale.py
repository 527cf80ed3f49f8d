#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/bench scale: the daemon with many VMs, over the real xenstored and without Xen.

xenstored itself becomes slow with many VMs (tests/store/README.md), so that beside each request stands what a bare
client pays that writes the same nodes, and what the daemon itself used of a processor.
"""
import argparse
import os
import pathlib
import statistics
import sys
import time

import bench_common
from bench_common import CLONE, say

sys.path.insert(0, str(CLONE / "tests" / "store"))
# With thousands of VMs xenstored takes minutes over what else is done in milliseconds.
os.environ.setdefault("QFX_STORE_DEADLINE", "1800")

import storebox  # noqa: E402 (found by the line above)
from test_harness import Toolstack  # noqa: E402

ASKING_AT_ONCE = 100
# A VM's kernel needs time to connect a disk and to let go of it. What two transfers wait for at the same time must
# not add up; what xenstored and the daemon do for them must.
DRIVER_MS = 50
LENT_AT_THE_KILL = 50
# Above FIRST_START_MAX, where xenstored takes ten seconds for each pendrive.
LENT_AT_THE_KILL_OF_MANY = 5
IDLE_S = 60
# With more VMs than that it is not measured how long the daemon takes to make all mailboxes.
FIRST_START_MAX = 1000


class Clock:
    """What one process uses of a processor, in milliseconds, and how often it was woken up."""

    def __init__(self, pid):
        self.folder = pathlib.Path(f"/proc/{pid}")

    def used_ms(self):
        return int((self.folder / "schedstat").read_text().split()[0]) / 1e6

    def wakeups(self):
        lines = (self.folder / "status").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))


def memory_kib(pid):
    """The daemon's memory: (all that is resident, what it does not share with others)."""
    fields = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        key, value = line.split(":")
        fields[key] = int(value.split()[0])
    return fields["Rss"], fields["Pss"], fields["Private_Clean"] + fields["Private_Dirty"]


class Scale:
    def __init__(self, count, rounds, idle_s):
        self.count, self.rounds, self.idle_s = count, rounds, idle_s
        self.box = storebox.StoreBox()
        self.figures = {}
        self.last = 0

    def run(self):
        with self.box:
            began = time.perf_counter()
            self.make_vms()
            say(f"{self.count} VMs, made in {time.perf_counter() - began:.1f} s")
            (self.box.dir / "images").mkdir()
            self.note("starts for the first time, ms" if self.count <= FIRST_START_MAX else
                      "starts over mailboxes that are there, ms", self.start_ms())
            self.idle()
            self.requests()
            self.two_at_once()
            self.crowd()
            self.domain_comes()
            self.recovery()
        return self.figures

    def make_vms(self):
        """With many of them xenstored would need an hour for the mailboxes, once the VMs run: there a former daemon
        has made them, before."""
        names = [f"vm{n}" for n in range(self.count)]
        if self.count <= FIRST_START_MAX:
            self.vms = self.box.create_vms(names)
            return
        sim, dom0 = self.box.sim, self.box.dom0
        tags = [sim.start("create", name=name, dormant=True) for name in names]
        self.vms = [storebox.VM(self.box, sim.finish(tag)[0]) for tag in tags]
        for vm in self.vms:
            for key, may in (("qpen", "b"), ("qpen-reply", "r")):
                dom0.write(f"{vm.path}/device/{key}")
                dom0.set_perms(f"{vm.path}/device/{key}", "n0", f"{may}{vm.domid}")
        for tag in [sim.start("introduce", domid=vm.domid) for vm in self.vms]:
            sim.finish(tag)

    def note(self, name, value):
        self.figures.setdefault(name, []).append(value)

    def start_ms(self):
        """Until it has its name on the bus, which it takes when all VMs have their mailboxes."""
        self.box.start_bus()
        config = {"pendrives": {"directory": self.box.dir / "images", "default-size": "64M", "reserve": "0",
                                "max-size-total": "1T"},
                  "questions": {"hide-refusals": "no"}, "requests": {"burst": "1000", "per-minute": "60000"}}
        (self.box.dir / "policy.d").mkdir(mode=0o755, exist_ok=True)
        (self.box.dir / "policy.d" / "10-bench.policy").write_text("qubes.Pendrive * @anyvm @anyvm allow\n")
        began = time.perf_counter()
        self.box.start_daemon(config)
        took = (time.perf_counter() - began) * 1e3
        self.clock = Clock(self.box.daemon.pid)
        return took

    def idle(self):
        self.rest()
        before, used = self.clock.wakeups(), self.clock.used_ms()
        time.sleep(self.idle_s)
        self.note(f"wake-ups in {self.idle_s} s of rest", self.clock.wakeups() - before)
        self.note(f"processor in {self.idle_s} s of rest, ms", self.clock.used_ms() - used)
        for name, kib in zip(("RSS", "PSS", "its own"), memory_kib(self.box.daemon.pid)):
            self.note(f"memory, {name}, KiB", kib)

    def rest(self):
        """Until the daemon has no work left: it has not been woken up for a while."""
        last = -1
        while self.clock.wakeups() != last:
            last = self.clock.wakeups()
            time.sleep(1)

    def timed(self, name, action):
        """Both what a user would see of it and what it costs the daemon."""
        used, began = self.clock.used_ms(), time.perf_counter()
        action()
        self.note(f"{name}, ms", (time.perf_counter() - began) * 1e3)
        self.note(f"{name}, the daemon's processor, ms", self.clock.used_ms() - used)

    def ident(self):
        self.last += 1
        return f"b{self.last}"

    def ask(self, vm, request, wanted):
        reply = vm.ask(request, self.ident()).split(" ", 1)[1]
        if not reply.startswith(wanted):
            raise SystemExit(f"bench: {vm.name}: {request}: {reply}")

    def requests(self):
        """The oldest VM sends to the newest. Small: one that is refused; whole: a pendrive's life."""
        sender, receiver = self.vms[0], self.vms[-1]
        toolstack = Toolstack(self.box.dom0)
        self.ask(sender, "umount", "error")  # what is made at the first request is not counted
        for _ in range(self.rounds):
            self.timed("`umount` without a pendrive", lambda: self.ask(sender, "umount", "error no-pendrive"))
        for _ in range(self.rounds):
            began = time.perf_counter()
            toolstack.attach(sender, storebox.OUTGOING)
            sender.wait_connected(storebox.OUTGOING)
            self.note("a bare client attaches a disk, ms", (time.perf_counter() - began) * 1e3)
            toolstack.detach(sender, storebox.OUTGOING)
            self.timed("`new`", lambda: self.ask(sender, "new format=none", "ok"))
            self.timed("`send`", lambda: self.ask(sender, f"send {receiver.name}", "ok"))
            self.timed("`umount`", lambda: self.ask(receiver, "umount", "ok"))

    def two_at_once(self):
        """A pendrive's whole life: of one VM alone, and of two in the same moment, each with its own receiver."""
        pairs = [(self.vms[0], self.vms[-1]), (self.vms[1], self.vms[-2])]

        def lives(some):
            for verb, at in (("new format=none", 0), ("send {}", 0), ("umount", 1)):
                asked = []
                for pair in some:
                    asked.append((pair[at], self.ident()))
                    pair[at].post(f"{verb.format(pair[1].name)} #{asked[-1][1]}")
                for vm, ident in asked:
                    if " ok" not in vm.wait_reply(ident):
                        raise SystemExit(f"bench: {vm.name}: {verb} failed")

        for drivers in ("now", DRIVER_MS):
            for vm in (vm for pair in pairs for vm in pair):
                vm.set_disks(connect=drivers, close=drivers)
            how = "" if drivers == "now" else f", kernels take {drivers} ms"
            for _ in range(self.rounds):
                for name, some in (("one pendrive's life", pairs[:1]), ("two lives at once", pairs)):
                    began = time.perf_counter()
                    lives(some)
                    self.note(f"{name}{how}, ms", (time.perf_counter() - began) * 1e3)
        for vm in (vm for pair in pairs for vm in pair):
            vm.set_disks(connect="now", close="now")

    def crowd(self):
        """A hundred VMs ask in the same moment."""
        some = self.vms[-ASKING_AT_ONCE:]
        if len(some) < ASKING_AT_ONCE:
            return
        for vm in some:
            vm.xs.read("device/qpen")
        for _ in range(3):
            used, began = self.clock.used_ms(), time.perf_counter()
            asked = []
            for vm in some:
                asked.append((vm, self.ident()))
                vm.xs.write("device/qpen", f"umount #{asked[-1][1]}")
            for vm, ident in asked:
                vm.wait_reply(ident)
            self.note("requests a second, 100 VMs at once", len(some) / (time.perf_counter() - began))
            self.note("100 requests at once, the daemon's processor, ms", self.clock.used_ms() - used)

    def domain_comes(self):
        """A VM starts: what the daemon does until that one has its mailbox."""
        for _ in range(3):
            used, began = self.clock.used_ms(), time.perf_counter()
            vm = self.box.create_vm(f"late{self.ident()}")
            vm.wait_mailbox()
            self.note("a VM starts and has its mailbox, ms", (time.perf_counter() - began) * 1e3)
            self.rest()
            self.note("a VM starts, the daemon's processor, ms", self.clock.used_ms() - used)

    def recovery(self):
        lent = self.vms[:LENT_AT_THE_KILL if self.count <= FIRST_START_MAX else LENT_AT_THE_KILL_OF_MANY]
        for vm in lent:
            self.ask(vm, "new format=none", "ok")
        self.box.daemon.kill()
        self.note(f"starts again over {len(lent)} pendrives, ms", self.start_ms())
        for vm in lent:
            vm.wait_connected(storebox.OUTGOING)


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench scale")
    parser.add_argument("vms", nargs="*", type=int, default=[10, 100, 1000, 5000])
    parser.add_argument("--rounds", type=int, default=20, help="of each request")
    parser.add_argument("--idle", type=int, default=IDLE_S, metavar="SECONDS")
    args = parser.parse_args()
    runs = {}
    for count in args.vms:
        runs[str(count)] = Scale(count, args.rounds, args.idle).run()
        bench_common.save("scale", runs)  # the last ones take long
    names = list(dict.fromkeys(name for run in runs.values() for name in run))
    rows = {name: [statistics.median(run[name]) if name in run else None for run in runs.values()] for name in names}
    bench_common.columns("With so many VMs; medians", [f"{count} VMs" for count in runs], rows)


if __name__ == "__main__":
    main()
