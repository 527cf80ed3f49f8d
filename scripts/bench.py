#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of scripts/bench that happens in the Xen box."""
import contextlib
import io
import json
import os
import pathlib
import re
import statistics
import sys

CLONE = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CLONE / "tests" / "xenbox"))

import xenboxlib  # noqa: E402 (found by the line above)
from xenboxlib import archive  # noqa: E402

WAIT_S = 900
TEMPLATE = "/etc/xen/disposable.cfg"

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


class Bench:
    def __init__(self, box):
        self.box = box

    def root(self, domain, script):
        return self.box.exec(domain, ["sh", "-c", script], check=True, timeout=WAIT_S).stdout.decode().strip()

    def wait_for(self, domain, condition):
        self.root(domain, f"until {condition}; do sleep 0.2; done")

    def put_editor(self):
        layer = archive.Tree()
        layer.file("layer/usr/lib/qubes/bench-editor", EDITOR.encode(), 0o755)
        layer.file("layer/etc/qubes-pendrive/dvm.conf", b"[open]\nprogram = /usr/lib/qubes/bench-editor\n")
        out = io.BytesIO()
        layer.write_cpio(out)
        self.box.exec("dom0", ["sh", "-c", "cat >> /usr/lib/xenbox/vm.cpio"], input=out.getvalue(), check=True)

    def configure(self, **keys):
        text = "[disposable]\n" + "".join(f"{key.replace('_', '-')} = {value}\n" for key, value in keys.items())
        self.box.exec("dom0", ["sh", "-c", "cat > /etc/qfilexchgd/qfilexchgd.conf && systemctl reload qfilexchgd"],
                      input=text.encode(), check=True)

    def empty_pool(self):
        self.root("dom0", "for d in $(qfilexchgctl list | sed -n 's/^\\(disp[0-9]*\\) .*/\\1/p'); do "
                          "qfilexchgctl dvm destroy $d || true; done")
        self.wait_for("dom0", "! qfilexchgctl list | grep -q '^disp'")

    def open_once(self):
        """Milliseconds from the opener's command until the file is open."""
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
        return (seen["opened"] - seen["began"]) / 1000

    def disposable(self, runs):
        modes = {
            "a new boot (config)": {"use_savefile": "no"},
            "save file": {},
            "pool": {"pool": 1},
        }
        times = {mode: [] for mode in modes}
        self.put_editor()
        self.root("work", "echo bench > /home/user/bench.txt; chown user /home/user/bench.txt")
        self.configure(template=TEMPLATE)
        print("bench: preparing the save file", flush=True)
        self.root("dom0", "qfilexchgctl dvm prepare")
        for run in range(runs):
            for mode, keys in modes.items():
                self.configure(template=TEMPLATE, **keys)
                if mode == "pool":
                    self.wait_for("dom0", "qfilexchgctl list | grep -q '^disp[0-9]* *pooled'")
                times[mode].append(self.open_once())
                print(f"bench: run {run + 1}, {mode}: {times[mode][-1]:.0f} ms", flush=True)
                self.configure(template=TEMPLATE)
                self.wait_for("dom0", "! qfilexchgctl list | grep -E '^disp[0-9]+ ' | grep -qv pooled")
                self.empty_pool()
        return times


def table(title, times):
    print(f"\n{title}, in ms\n\n| | median | min | max | n |\n|---|---|---|---|---|")
    for name, values in times.items():
        print(f"| {name} | {statistics.median(values):.0f} | {min(values):.0f} | {max(values):.0f} | {len(values)} |")


def main():
    if len(sys.argv) < 2 or sys.argv[1] != "disposable":
        raise SystemExit("usage: scripts/bench disposable [RUNS], or scripts/bench flood [RUNS]")
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    box = xenboxlib.Box(os.environ.get("XENBOX", "bench"))
    box.start(fresh=True)
    with contextlib.ExitStack() as stack:
        stack.callback(box.stop)
        times = Bench(box).disposable(runs)
    folder = CLONE / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "disposable.json").write_text(json.dumps(times, indent=1) + "\n")
    table("From the command until the file is open in a DisposableVM", times)


if __name__ == "__main__":
    try:
        main()
    except xenboxlib.BoxError as error:
        raise SystemExit(f"bench: {error}") from error
