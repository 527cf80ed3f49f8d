#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/bench hostile [RUNS] [store] [box]: how long a VM waits for dom0 while the VM beside it attacks."""
import os
import statistics
import subprocess
import sys

import bench_common
from bench_common import CLONE, say

for folder in ("xen", "store"):
    sys.path.insert(0, str(CLONE / "tests" / folder))

import hostilecase  # noqa: E402 (found by the lines above)
import storebox  # noqa: E402

OUT = storebox.OUTGOING
# Without Xen: the attacks that need nothing but xenstore, by so many programs of the VM at once.
PROGRAMS = 4
ANSWERS = 5000
HALF = [f"device/vbd/{OUT}/{key}" for key in ("x", "feature-persistent")]
STORE_ATTACKS = {
    "quiet": None,
    "writes elsewhere": ["write", "data/x"],
    "floods": ["flood", "0", "umount"],
    "deletes its keys": ["remove", "device/qpen", "device/qpen-reply"],
    "writes into its half": ["write", *HALF],
    "flips states": ["flip", str(OUT)],
}
# In the box.
BOX_ANSWERS, BOX_LENDS = 5, 2


# ---- without Xen

class Store(storebox.DaemonTest):
    """Every request of the attacker is served: there is no budget to stop it."""
    config = {"requests": {"burst": "1000000", "per-minute": "60000"}}
    names = ("work", "personal")

    def runTest(self):
        """So that an instance can be made for its words alone."""

    def measure(self, words):
        """Milliseconds of each answer to the honest VM."""
        for vm in self.vms:
            vm.wait_mailbox()
        if words and str(OUT) in " ".join(words):
            # One disk after the other, each of which the daemon has to take away while it is written into.
            self.work.popen(["hostile", "ask", "1000000", "new", "discard"], stdout=subprocess.DEVNULL)
        for _ in range(PROGRAMS if words else 0):
            attacker = self.work.popen(["hostile", *words])
            if attacker.stdout.readline() != "ready\n":
                raise SystemExit(f"bench: the attack did not begin: {attacker.stderr.read()}")
        asked = self.personal.run(["hostile", "ask", str(ANSWERS), "umount"], timeout=600)
        return [int(line.split()[0]) / 1000 for line in asked.stdout.splitlines()]


def bench_store(runs):
    times = {name: [] for name in STORE_ATTACKS}
    for run in range(runs):
        for name, words in STORE_ATTACKS.items():
            case = Store()
            case.setUp()
            try:
                times[name] += case.measure(words)
            finally:
                case.doCleanups()
            say(f"run {run + 1}, without Xen, {name}: longest {max(times[name]):.1f} ms")
    return times


# ---- in the Xen box

def bench_box(runs):
    case = hostilecase.HostileCase()
    times = {}
    case.box = hostilecase.HostileCase.start_shared()
    try:
        case.prepare()
        for run in range(runs):
            for attack in case.attacks:
                name = hostilecase.name_of(attack)
                # What else this machine does changes from minute to minute: each attack has a quiet time of its own.
                for when, seen in (("quiet", case.attack(hostilecase.HostileCase.quiet, BOX_ANSWERS, BOX_LENDS)),
                                   ("attack", case.attack(attack, BOX_ANSWERS, BOX_LENDS))):
                    for request, values in seen.items():
                        times.setdefault(name, {}).setdefault(when, {}).setdefault(request, []).extend(values)
                    say(f"run {run + 1}, {name}, {when}: answered in {statistics.median(seen['umount']):.0f} ms")
    finally:
        case.doCleanups()
        case.box.stop()
    return times


# ---- what is shown

def print_store(times):
    quiet = statistics.median(times["quiet"])
    print(f"\nWithout Xen, milliseconds until an honest VM is answered; {len(times['quiet'])} answers each\n\n"
          "| the other VM | median | of quiet | 99 of 100 | longest |\n|---|---|---|---|---|")
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"| {name} | {middle:.2f} | {middle / quiet:.1f} | {statistics.quantiles(values, n=100)[98]:.1f} "
              f"| {max(values):.1f} |")


def print_box(times):
    print("\nIn the Xen box, milliseconds: median when it is quiet, during the attack, and as a multiple\n\n"
          "| the other VM | an answer | | | a pendrive lent | | | given up | | |\n|---|---|---|---|---|---|---|---|---|---|")
    for name, seen in times.items():
        cells = []
        for request in ("umount", "new", "discard"):
            quiet, attack = (statistics.median(seen[when][request]) for when in ("quiet", "attack"))
            cells.append(f"{quiet:.0f} | {attack:.0f} | {attack / quiet:.1f}")
        print(f"| {name} | " + " | ".join(cells) + " |")


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    parts = sys.argv[2:] or ["store", "box"]
    results = bench_common.load("hostile") or {}
    for part, bench, show in (("store", bench_store, print_store), ("box", bench_box, print_box)):
        if part not in parts:
            continue
        results[part] = bench(runs)
        bench_common.save("hostile", results)
        show(results[part])


if __name__ == "__main__":
    main()
