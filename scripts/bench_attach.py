#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/bench attach: how long until a disk can be used, ours against xl and against bare nodes, in the Xen box."""
import argparse
import collections
import statistics

import bench_common
from bench_box import IMAGES, BoxBench, fresh_box, guarded
from bench_common import say

# The pendrive's size; mkfs.vfat of xl's way makes the same.
SIZE = "1G"
FILE = f"{IMAGES}/bench/disk.img"
PROGRAM = "/run/bench"

# Of each of the three ways: how it is shown. {w}, {p}: the domids of the VMs work and personal.
NEW, SEND, BACK = "new -> the VM can open it", "send -> the receiver can open it", "taken back"

OURS = (
    (NEW, ["ask", "{w}", "new size=" + SIZE + " #n{n}", "{w}", "xvdg"]),
    (SEND, ["ask", "{w}", "send personal #s{n}", "{p}", "xvdh"]),
    (BACK, ["ask", "{p}", "umount #u{n}", "{p}", "-xvdh"]),
)
XL = (
    (NEW, ["run", "{w}", "xvdi", "sh", "-c",
           f"truncate -s {SIZE} {FILE} && mkfs.vfat -F 32 {FILE} > /dev/null && "
           f"xl block-attach work format=raw,vdev=xvdi,access=rw,target={FILE}"]),
    (SEND, ["run", "{p}", "xvdj", "sh", "-c",
            "xl block-detach work xvdi && "
            f"xl block-attach personal format=raw,vdev=xvdj,access=ro,target={FILE}"]),
    (BACK, ["run", "{p}", "-xvdj", "sh", "-c", f"xl block-detach personal xvdj && rm {FILE}"]),
)
# The file is there before, with its file system.
FLOOR = (
    (NEW, ["attach", "{w}", "xvdi", FILE]),
    (SEND, ["move", "{w}", "xvdi", "{p}", "xvdj", FILE]),
    (BACK, ["detach", "{p}", "xvdj"]),
)

# Where our time goes: from one line of the daemon's log to the next of the same transfer, in the order of a life.
# The words that are looked for; what happened up to there.
PHASES = (
    ("a new pendrive of", None),
    ("made, so making", "new: the image is made"),
    ("is bound", "new: the loop device is bound"),
    ("its nodes are written", "new: the nodes are written"),
    ("attached, so attaching-out", "new: the VM and blkback connect"),
    ("send, so lent", None),
    ("is asked to let go", "send: the VM is asked to let go"),
    ("has let go", "send: the VM and blkback let go"),
    ("its nodes are gone", "send: the nodes are removed"),
    ("detached, so freezing", "send: the loop device is free"),
    ("is bound", "send: the loop device is bound"),
    ("its nodes are written", "send: the nodes are written"),
    ("attached, so attaching-in", "send: the receiver and blkback connect"),
)


class Attach(BoxBench):
    def prepare(self):
        self.allow()
        built = bench_common.CLONE / "build" / "measured" / "tests" / "bench"
        self.box.put("dom0", str(built / "bench_dom0"), PROGRAM)
        self.sh("dom0", f"mkdir -p {IMAGES}/bench")
        for vm in ("work", "personal"):
            # The unit that mounts what comes would be at work in the same moment.
            self.sh(vm, "systemctl mask --runtime qubes-pendrive@xvdh.service")
            self.box.put(vm, str(built / "bench_vm"), PROGRAM)
        self.waiting = [self.box.popen(vm, [PROGRAM]) for vm in ("work", "personal")]
        self.ids = {"w": self.domid("work"), "p": self.domid("personal")}

    def measure(self, words, **more):
        argv = [word.format(**self.ids, **more) for word in words]
        return int(self.box.exec("dom0", [PROGRAM, *argv], check=True, timeout=600).stdout) / 1000

    def run(self, runs):
        times = collections.defaultdict(list)
        for n in range(runs):
            for way, steps in (("qfilexchgd", OURS), ("xl", XL), ("the floor", FLOOR)):
                if way == "the floor":
                    self.sh("dom0", f"truncate -s {SIZE} {FILE} && mkfs.vfat -F 32 {FILE}")
                for what, words in steps:
                    times[f"{what}: {way}"].append(self.measure(words, n=n))
                if way == "qfilexchgd":
                    self.wait_nothing_left()
            self.sh("dom0", f"rm -f {FILE}")
            times["an order to a VM and its word back"].append(self.measure(["ping", "{w}"]))
            say(f"run {n + 1} of {runs}: " + ", ".join(f"{name} {values[-1]:.0f}" for name, values in times.items()))
        return times

    def phases(self):
        """{what happened: [milliseconds]}, from the daemon's log, whose entries have microseconds."""
        found = collections.defaultdict(list)
        at = collections.defaultdict(int)  # transfer -> the next of PHASES
        last = {}
        for now, message in self.log():
            if not message.startswith("transfer "):
                continue
            number = message.split()[1].strip(",:")
            if at[number] == len(PHASES) or PHASES[at[number]][0] not in message:
                continue
            if PHASES[at[number]][1]:
                found[PHASES[at[number]][1]].append((now - last[number]) / 1000)
            last[number] = now
            at[number] += 1
        return found


def ratios(times):
    """{what: {way: how many times ours}} of the medians."""
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {what: {way: medians[f"{what}: {way}"] / medians[f"{what}: qfilexchgd"] for way in ("xl", "the floor")}
            for what in (NEW, SEND, BACK)}


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench attach")
    parser.add_argument("runs", nargs="?", type=int, default=7)
    args = parser.parse_args()
    with fresh_box() as box:
        bench = Attach(box)
        bench.prepare()
        times = bench.run(args.runs)
        phases = bench.phases()
    bench_common.save("attach", {"times": times, "phases": phases})
    bench_common.table("Until a disk can be used, in ms", times)
    bench_common.table("Where our time goes, in ms", phases)
    for what, of in ratios(times).items():
        print(f"{what}: xl takes {of['xl']:.1f} times as long, ours {1 / of['the floor']:.2f} times the floor")


if __name__ == "__main__":
    guarded(main)
