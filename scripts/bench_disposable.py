#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/bench disposable: from the command until the file is open in a DisposableVM, in the Xen box.

Beside it what xl takes for a VM of the same template alone, until its command returns: nothing is open in it then.
"""
import argparse
import collections
import io
import re
import statistics

import bench_common
from bench_box import IMAGES, WAIT_S, BoxBench, fresh_box, guarded
from bench_common import say
from xenboxlib import archive

TEMPLATE = "/etc/xen/disposable.cfg"
SAVEFILE = f"{IMAGES}/disposable.save"

# By themselves: the template under another name, and the save file as it is.
XL = {
    "xl create": (f"sed 's/^name *=.*/name = \"bench\"/' {TEMPLATE} > /run/bench.cfg", "xl create -q /run/bench.cfg"),
    "xl restore": (":", f"xl restore {SAVEFILE}"),
}
XL_DESTROY = "xl list | awk '$1 == \"bench\" || /^disp-template-/ { print $1 }' | xargs -r -n 1 xl destroy"

# Where the time goes: the daemon's lines about the transfer, in their order; what happened up to there.
PHASES = (
    ("a new pendrive of", "the opener's program asks for a pendrive"),
    ("attached, so attaching-out", "it is lent"),
    ("send, so lent", "the file is written onto it, and sent"),
    ("detached, so", "it is taken from the opener"),
    ("attached, so attaching-in", "the VM runs and has it"),
)
OPENED = "the VM's programs open the file"

# Says in xenstore that it has the file, which is then open; dom0 sees that at once.
EDITOR = "#!/bin/sh\nexec xenstore-write data/opened \"${1##*/}\"\n"
BEGIN = 'xenstore-write data/began "$1" && exec qvm-open-in-dvm -q "/home/user/$1"'

# dom0's clock alone is read: the time at which each mark was seen, in microseconds.
MARKS = r"""
export LC_ALL=C
xenstore-watch /local/domain | while read -r path; do
    case $path in
    */data/began|*/data/opened) echo "${path##*/} ${EPOCHREALTIME/./}" ;;
    esac
done
"""


class Disposable(BoxBench):
    def put_editor(self):
        layer = archive.Tree()
        layer.file("layer/usr/lib/qubes/bench-editor", EDITOR.encode(), 0o755)
        layer.file("layer/etc/qubes-pendrive/dvm.conf", b"[open]\nprogram = /usr/lib/qubes/bench-editor\n")
        out = io.BytesIO()
        layer.write_cpio(out)
        self.box.exec("dom0", ["sh", "-c", "cat >> /usr/lib/xenbox/vm.cpio"], input=out.getvalue(), check=True)

    def settings(self, **keys):
        self.configure(disposable=keys)

    def empty_pool(self):
        self.sh("dom0", "for d in $(qfilexchgctl list | sed -n 's/^\\(disp[0-9]*\\) .*/\\1/p'); do "
                          "qfilexchgctl dvm destroy $d || true; done")
        self.wait_for("dom0", "! qfilexchgctl list | grep -q '^disp'")

    def open_once(self):
        """When the opener's command began and when the file was open, in microseconds."""
        marks = self.box.popen("dom0", ["bash", "-c", MARKS])
        opener = self.box.popen("work", ["runuser", "-u", "user", "--", "sh", "-c", BEGIN, "sh", "bench.txt"])
        seen = {}
        for line in iter(marks.stdout.readline, b""):
            match = re.match(rb"(\w+) (\d+)", line)
            if match:
                seen.setdefault(match[1].decode(), int(match[2]))
            if match and match[1] == b"opened":
                break
        marks.kill()
        opener.communicate(timeout=WAIT_S)
        return seen["began"], seen["opened"]

    def phases(self, began, opened):
        """[(what, milliseconds)] of what happened between the two, by the daemon's log."""
        found, last, left = [], began, list(PHASES)
        for now, message in self.log():
            if began <= now <= opened and left and message.startswith("transfer ") and left[0][0] in message:
                found.append((left.pop(0)[1], (now - last) / 1000))
                last = now
        return [*found, (OPENED, (opened - last) / 1000)]

    def xl_once(self, prepare, command):
        self.sh("dom0", prepare)
        began, ended = self.sh("dom0", f"date +%s%6N; {command} > /dev/null; date +%s%6N").split()
        self.sh("dom0", XL_DESTROY)
        return (int(ended) - int(began)) / 1000

    def prepare(self):
        self.put_editor()
        self.sh("work", "echo bench > /home/user/bench.txt; chown user /home/user/bench.txt")
        self.settings(template=TEMPLATE)
        say("preparing the save file")
        self.sh("dom0", "qfilexchgctl dvm prepare")

    def measure(self, runs):
        modes = {
            "a new boot (config)": {"use_savefile": "no"},
            "save file": {},
            "pool": {"pool": 1},
        }
        times, phases = collections.defaultdict(list), {mode: collections.defaultdict(list) for mode in modes}
        for run in range(runs):
            for name, (prepare, command) in XL.items():
                times[name].append(self.xl_once(prepare, command))
                say(f"run {run + 1}, {name}: {times[name][-1]:.0f} ms")
            for mode, keys in modes.items():
                self.settings(template=TEMPLATE, **keys)
                if mode == "pool":
                    self.wait_for("dom0", "qfilexchgctl list | grep -q '^disp[0-9]* *pooled'")
                began, opened = self.open_once()
                times[mode].append((opened - began) / 1000)
                say(f"run {run + 1}, {mode}: {times[mode][-1]:.0f} ms")
                for what, took in self.phases(began, opened):
                    phases[mode][what].append(took)
                self.settings(template=TEMPLATE)
                self.wait_for("dom0", "! qfilexchgctl list | grep -E '^disp[0-9]+ ' | grep -qv pooled")
                self.empty_pool()
        return times, phases


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench disposable")
    parser.add_argument("runs", nargs="?", type=int, default=5)
    args = parser.parse_args()
    with fresh_box() as box:
        bench = Disposable(box)
        bench.prepare()
        times, phases = bench.measure(args.runs)
    bench_common.save("disposable", {"times": times, "phases": phases})
    bench_common.table("From the command until the file is open in a DisposableVM, in ms", times)
    for mode, found in phases.items():
        bench_common.table(f"Where the time goes: {mode}, in ms", found)
    faster = statistics.median(times["xl restore"]) / statistics.median(times["pool"])
    print(f"from the pool: xl restore takes {faster:.2f} times as long")


if __name__ == "__main__":
    guarded(main)
