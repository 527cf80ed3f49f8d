#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Hundreds of transfers in the Xen box with faults at random. In the end all is as it was in the beginning.

    tests/xen/soak.py 200 LIBRARY [--seed SEED]

LIBRARY is libcrashpoints.so: preloaded into the daemon as it is installed, it ends that before a side effect of a number
that is chosen anew each time.
"""
import argparse
import collections
import os
import random
import re
import sys
import time
import unittest

import boxcase
import xenboxlib
from boxcase import IMAGES, PENCTL, BoxCase

CRASHES = "/usr/lib/libcrashpoints.so"
# One start of the daemon has the number, and the next one none.
DROP_IN = f"""[Unit]
StartLimitIntervalSec=0
[Service]
Environment=LD_PRELOAD={CRASHES} QFX_CRASH_PROGRAM=qfilexchgd
ExecStartPre=-/bin/sh -c 'mv -f /run/soak-next /run/soak-point 2>/dev/null || rm -f /run/soak-point'
EnvironmentFile=-/run/soak-point
"""
AGENTS = ("systemd-run -q --unit=soak-agent -p Restart=always -p RestartSec=0 -p StartLimitIntervalSec=0 "
          "qfilexchgctl agent --yes")
SETTINGS = {"questions": {"burst": "1000", "hide-refusals": "no"}, "requests": {"burst": "1000", "per-minute": "6000"},
            "pendrives": {"default-size": "64M"}}
# Its own words for how it went: what qubes_penctl said last.
SEND = f"""
set -e
p={PENCTL}
$p new >/tmp/said 2>&1 || {{ tail -n 1 /tmp/said; exit 0; }}
if [ "$2" = written ]; then mount /mnt/outgoing; head -c 300000 /dev/urandom >/mnt/outgoing/file; umount /mnt/outgoing; fi
case $1 in
discard) $p discard >/tmp/said 2>&1 || true ;;
*) $p send "$1" >/tmp/said 2>&1 || {{ tail -n 1 /tmp/said; $p discard >/dev/null 2>&1 || true; exit 0; }} ;;
esac
echo "$1"
"""
GIVE_BACK = f"""
until [ -e /dev/xvdh ] && grep -q /mnt/incoming /proc/mounts; do sleep 0.1; done
umount /mnt/incoming || {PENCTL} umount
until ! [ -e /dev/xvdh ]; do sleep 0.1; done
"""


class Soak(BoxCase):
    transfers, seed, library = 200, None, None
    VMS = ("work", "personal")

    def setUp(self):
        super().setUp()
        if self.seed is None:
            type(self).seed = int(os.environ.get("QFX_SEED", time.time_ns() % 2**32))
        self.random = random.Random(self.seed)
        self.outcomes = collections.Counter()
        self.box.put("dom0", self.library, CRASHES)
        self.dom0("mkdir -p /etc/systemd/system/qfilexchgd.service.d; cat > /etc/systemd/system/qfilexchgd.service.d/soak.conf"
                  f" <<'E'\n{DROP_IN}E\nsystemctl daemon-reload\n"
                  "echo 'qubes.Pendrive * @anyvm third deny' > /etc/qfilexchgd/policy.d/20-soak.policy")
        self.configure(SETTINGS)
        self.dom0(AGENTS)

    # What there is

    def count(self):
        """What must be as much in the end as in the beginning; of the daemon, when it has just started."""
        self.dom0("systemctl restart qfilexchgd; systemctl restart soak-agent")
        self.wait_for("dom0", "qfilexchgctl list >/dev/null 2>&1", "the daemon to serve")
        script = fr"""
            pid=$(systemctl show -P MainPID qfilexchgd)
            echo files $(ls {IMAGES} | wc -l)
            echo loops $(losetup -a | wc -l)
            echo vms $(xl list | wc -l)
            echo nodes $(xenstore-ls -f | grep -vcE 'qpen-reply/|^/libxl/[0-9]+/device = |^/local/domain/0/backend(/vbd)? = ')
            echo descriptors $(ls /proc/$pid/fd | wc -l)
            echo kib $(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' /proc/$pid/status)
            echo processes $(ps -e -o comm= | grep -cE '^(qfilexchg|mkfs)')
        """
        return {what: int(number) for what, number in re.findall(r"(\w+) (\d+)", self.dom0(script))}

    # One transfer

    def talk(self, vm, *arguments):
        process = self.box.popen(vm, boxcase.as_user("sh", "-c", SEND, "sh", *arguments))
        out, err = process.communicate(timeout=boxcase.COPY_S)
        return out.decode(errors="replace").strip(), err.decode(errors="replace")

    def plan_death(self):
        """The daemon starts anew, and dies before that side effect."""
        point = self.random.randint(5, 90)
        self.dom0(f"echo QFX_CRASH_AT={point} > /run/soak-next; systemctl restart qfilexchgd", check=False)
        self.outcomes["planned deaths of the daemon"] += 1

    def make_anew(self, vm):
        self.dom0(f"xl destroy {vm}; until ! xl domid {vm} 2>/dev/null; do sleep 0.1; done; xl create -q /etc/xen/{vm}.cfg")
        self.wait_for(vm, "[ \"$(xenstore-read data/qpen-version)\" = 2 ]", "its tools to be there")
        self.outcomes["deaths of VMs"] += 1

    def one(self):
        sender, receiver = self.random.sample(self.VMS, 2)
        chance = self.random.random()
        written = "written" if self.random.random() < 0.3 else "empty"
        if self.random.random() < 0.2:
            self.plan_death()
        if chance < 0.10:
            self.expect("discard", self.talk(sender, "discard", written))
        elif chance < 0.22:
            self.expect(": refused", self.talk(sender, self.random.choice(("third", "nobody")), written))
        elif chance < 0.27:
            self.dom0(f"fallocate -l $(($(stat -fc %a*%S {IMAGES}) - (16 << 20))) {IMAGES}/full")
            self.expect("no-space|no room|no space", self.talk(sender, receiver, written))
            self.dom0(f"rm {IMAGES}/full")
        elif chance < 0.29:
            self.penctl(sender, "new")
            self.make_anew(sender)
        else:
            self.expect(receiver, self.talk(sender, receiver, written))
            if chance < 0.31:
                self.make_anew(receiver)
            else:
                self.sh(receiver, GIVE_BACK)

    def expect(self, pattern, said):
        self.assertRegex(said[0], pattern, f"{said[1]} (--seed {self.seed})")
        self.outcomes[pattern] += 1

    def test_soak(self):
        print(f"soak: {self.transfers} transfers, --seed {self.seed}", file=sys.stderr, flush=True)
        self.one()  # mkfs has run once, the folders of xenstore are there
        before = self.count()
        for i in range(self.transfers):
            self.one()
            if i % 10 == 9:
                self.wait_for("dom0", "qfilexchgctl list 2>/dev/null | grep -q '^No pendrive'", "all to end")
            print(f"soak: {i + 1} of {self.transfers}", file=sys.stderr, flush=True)
        self.wait_nothing_left()
        after = self.count()
        deaths = self.dom0("journalctl -u qfilexchgd -o cat | grep -c 'status=9/KILL'", check=False)
        print("\n".join([f"seed: {self.seed}", f"transfers: {self.transfers}", f"deaths of the daemon: {deaths}"] +
                        [f"{what}: {number}" for what, number in sorted(self.outcomes.items())] +
                        [f"{what}, before and after: {before[what]} {after[what]}" for what in before]), flush=True)
        kib = before.pop("kib"), after.pop("kib")
        self.assertEqual(after, before)
        self.assertLess(kib[1] - kib[0], 2048)


def main():
    parser = argparse.ArgumentParser(description="transfers with random faults, in the Xen box")
    parser.add_argument("transfers", type=int)
    parser.add_argument("library")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    Soak.transfers, Soak.seed, Soak.library = options.transfers, options.seed, options.library
    assert xenboxlib
    done = unittest.TextTestRunner().run(unittest.TestSuite([Soak("test_soak")]))
    sys.exit(not done.wasSuccessful())


if __name__ == "__main__":
    main()
