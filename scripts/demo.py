#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of scripts/demo that happens in the Xen box."""
import argparse
import contextlib
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "xenbox"))

import xenboxlib  # noqa: E402 (found by the line above)
from demo_gui import Desk  # noqa: E402 (after it)

WAIT_S = 300
FOLDER = "/home/user/Holiday photos"

MAKE_FOLDER = r"""
    set -e; rm -rf "$1"; mkdir -p "$1/Größe XL" "$1/北京"; cd "$1"
    for i in 1 2 3 4; do
        head -c 300000 /dev/urandom > "Größe XL/photo $i.jpg"; head -c 300000 /dev/urandom > "北京/照片 $i.jpg"
    done
    echo 'Wish you were here.' > 'read me.txt'
"""

SUMS = 'cd "$1" && find . -type f -exec sha256sum {} + | LC_ALL=C sort -k 2'


class Timeline:
    """One line a step: when it was done, how long it took, where it happened, and what it was."""

    def __init__(self):
        self.began = self.last = time.monotonic()

    def step(self, where, what):
        now = time.monotonic()
        print(f"{(now - self.began) * 1000:8.0f} ms  {(now - self.last) * 1000:+8.0f}   {where:<9} {what}", flush=True)
        self.last = now

    def pause(self):
        """What follows until resume() is a person's time."""
        self._paused = time.monotonic()

    def resume(self):
        away = time.monotonic() - self._paused
        self.began += away
        self.last += away


class Terminal:
    """dom0's user is the person at this terminal."""

    def __init__(self, box):
        self.agent = box.popen("dom0", ["qfilexchgctl", "agent"])
        self.agent.stdout.readline()

    def answer(self, timeline):
        """Puts the question to the person at the terminal; without one says yes. Whether it is allowed."""
        question = self.agent.stdout.readline().decode().strip()
        if not question:
            raise SystemExit("demo: the agent in dom0 ended without a question: " + self.agent.stderr.read().decode())
        timeline.step("dom0", "asks its user:")
        print(f"\n    {question}", flush=True)
        if sys.stdin.isatty():
            timeline.pause()
            typed = input("    Allow it? [y/N] ")
            timeline.resume()
        else:
            typed = "y"
            print("    Allow it? [y/N] y   (nobody is at the terminal, so the demo says yes)")
        print()
        self.agent.stdin.write(typed.encode() + b"\n")
        self.agent.stdin.flush()
        return typed.strip().lower() in ("y", "yes")

    def say_goodbye(self):
        """The terminal stays."""

    def end(self):
        with contextlib.suppress(OSError):
            self.agent.kill()


class Demo:
    def __init__(self, box, person):
        self.box = box
        self.person = person
        self.time = None

    def user(self, vm, script, *arguments):
        argv = ["runuser", "-u", "user", "--", "sh", "-c", script, "sh", *arguments]
        return self.box.exec(vm, argv, check=True, timeout=WAIT_S).stdout.decode()

    def root(self, domain, script):
        return self.box.exec(domain, ["sh", "-c", script], check=True, timeout=WAIT_S).stdout.decode().strip()

    def wait_for(self, domain, condition):
        self.root(domain, f"until {condition}; do sleep 0.02; done")

    def show_copy(self, copy):
        """Prints what qvm-copy-to-vm says, as it says it; ends where dom0 is asked."""
        for line in iter(copy.stderr.readline, b""):
            text = line.decode().strip()
            self.time.step("work", text)
            if "waiting" in text:
                return
        raise SystemExit(f"demo: qvm-copy-to-vm ended with status {copy.wait(WAIT_S)}, before dom0 was to be asked")

    def run(self):
        print("demo: you are the user of dom0, the VM that manages the others. Somebody in VM work wants to give a folder\n"
              "demo: to VM personal: dom0 lends work an empty disk, asks you, and hands the disk on\n"
              "demo: VM work makes a folder with 9 files, 2.4 MB, in its user's home", flush=True)
        self.user("work", MAKE_FOLDER, FOLDER)
        want = self.user("work", SUMS, FOLDER)
        print("\n      time       took   where     what\n", flush=True)
        self.time = Timeline()
        copy = self.box.popen("work", ["runuser", "-u", "user", "--", "qvm-copy-to-vm", "personal", FOLDER])
        self.show_copy(copy)
        allowed = self.person.answer(self.time)
        if not allowed:
            self.time.step("dom0", "its user refused, and the pendrive is gone")
            print("\ndemo: you said no, so nothing was delivered. work is told when the question would have expired,\n"
                  "demo: as it would be if there were no VM personal; the demo does not wait for that", flush=True)
            return
        for line in iter(copy.stderr.readline, b""):
            self.time.step("work", line.decode().strip())
        status = copy.wait(WAIT_S)
        if status != 0:
            raise SystemExit(f"demo: qvm-copy-to-vm failed with status {status}")
        self.receive(want)

    def receive(self, want):
        self.wait_for("personal", "grep -q ' /mnt/incoming ' /proc/mounts")
        self.time.step("personal", "the pendrive stands at /mnt/incoming, read-only")
        folder = "/mnt/incoming/" + os.path.basename(FOLDER)
        got = self.user("personal", SUMS, folder)
        if got != want:
            raise SystemExit(f"demo: the files differ\n--- sent\n{want}--- received\n{got}")
        self.time.step("personal", f"all {len(want.splitlines())} SHA-256 sums are those of work's files")
        self.user("personal", "umount /mnt/incoming")
        self.time.step("personal", "its user unmounts")
        self.wait_for("personal", "! [ -e /dev/xvdh ]")
        self.time.step("personal", "the pendrive is gone")
        self.wait_for("dom0", "qfilexchgctl list | grep -q '^No pendrive'")
        self.time.step("dom0", "nothing is left: " + self.root("dom0", "qfilexchgctl list"))


def end_by_signal(number, _frame):
    raise SystemExit(f"demo: ended by {signal.Signals(number).name}")


def main():
    options = argparse.ArgumentParser(prog="demo", description="Shows how a folder goes from one VM to another.")
    options.add_argument("--gui", action="store_true", help="answer the question in a window, on the desktop of dom0")
    gui = options.parse_args().gui
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_by_signal)
    box = xenboxlib.Box(os.environ.get("XENBOX", "demo"))
    print("demo: starting the Xen box; the first time it is made, which takes some minutes", flush=True)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        stack.callback(stop, box)
        box.start(fresh=True)
        print(f"demo: real Xen, dom0 and two Debian VMs run after {time.monotonic() - began:.1f} s "
              "(an emulated machine: a real one is faster)", flush=True)
        person = Desk(box) if gui else Terminal(box)
        stack.callback(person.end)
        Demo(box, person).run()
        person.say_goodbye()
    print("demo: done; the box is stopped. To play with one: scripts/xenbox start, then scripts/xenbox shell work")


def stop(box):
    with contextlib.suppress(xenboxlib.BoxError):
        box.stop()


if __name__ == "__main__":
    try:
        main()
    except (xenboxlib.BoxError, KeyboardInterrupt) as problem:
        raise SystemExit(f"demo: {problem or 'interrupted'}") from None
