# SPDX-License-Identifier: GPL-2.0-or-later
"""A hostile VM and an honest one beside it, for test_hostile.py and scripts/bench hostile.

`work` attacks, `personal` is honest. What attacks and what asks is the program hostile/hostile.c, compiled here.
"""
import contextlib
import pathlib
import re
import statistics
import subprocess
import tempfile

import boxcase
import xenboxlib
from boxcase import IMAGES, OUTGOING, BoxCase

SOURCE = pathlib.Path(__file__).resolve().parent / "hostile" / "hostile.c"
HOSTILE = "/usr/local/bin/hostile"
ATTACKER, HONEST = "work", "personal"
SAVED = "/var/lib/attacker.save"
BOOT_S = 900
# What the honest VM asks for, and what it must be told.
RIGHT = {"umount": "error no-pendrive", "new": "ok xvdg", "discard": "ok"}


def put_hostile(box, vm):
    """The program into a running VM."""
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "hostile"
        subprocess.run(["gcc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-D_GNU_SOURCE", "-o", str(program), str(SOURCE),
                        "-lxenstore", "-lpthread"], check=True)
        box.put(vm, str(program), HOSTILE)


class HostileCase(BoxCase):
    """All attacks in one box, one after the other; each must leave nothing."""

    # As it is shipped, but for questions: they end soon, and the attacks may ask one after the other.
    config = {"questions": {"timeout": "30", "burst": "1000"}, "pendrives": {"default-size": "64M"}}

    @classmethod
    def start_shared(cls):
        box = xenboxlib.Box(boxcase.box_name())
        box.start(fresh=True)
        return box

    @classmethod
    def setUpClass(cls):
        cls.shared = cls.start_shared()
        cls.addClassCleanup(cls.shared.stop)
        helper = cls()
        helper.box = cls.shared
        helper.prepare()

    def runTest(self):
        """So that an instance can be made for its words alone."""

    def setUp(self):
        self.box = self.shared
        self.addCleanup(self._tell)

    def prepare(self):
        self.configure(self.config)
        for vm in (ATTACKER, HONEST):
            put_hostile(self.box, vm)

    # -- the honest VM

    def ask(self, n, *requests):
        """Asks n times for each of them, in turn. {request: [milliseconds]}"""
        said = self.sh(HONEST, f"{HOSTILE} ask {n} " + " ".join(requests))
        took = {request: [] for request in requests}
        for line in said.splitlines():
            us, request, reply = re.fullmatch(r"(\d+) (\w+): (.*)", line).groups()
            self.assertEqual(reply[:len(RIGHT[request])], RIGHT[request], line)
            took[request].append(int(us) / 1000)
        return took

    def probe(self, answers, lends):
        return {**self.ask(answers, "umount"), **self.ask(lends, "new", "discard")}

    # -- the hostile one

    @contextlib.contextmanager
    def running(self, *words, vm=ATTACKER):
        """hostile WORDS, under way."""
        process = self.box.popen(vm, [HOSTILE, *words])
        try:
            line = process.stdout.readline()
            self.assertEqual(line, b"ready\n", process.stderr.read() if line == b"" else "")
            yield process
        finally:
            process.kill()
            process.wait(60)

    def raw(self, request, vm=ATTACKER):
        """Written as it is by whoever is root in the VM; no program of ours has a say."""
        self.sh(vm, f"xenstore-write device/qpen '{request}'")

    def raw_for_paused(self, request):
        """What the VM had written just before it stopped to react to anything."""
        self.dom0(f"xenstore-write /local/domain/{self.domid(ATTACKER)}/device/qpen '{request}'")

    def lend(self):
        self.sh(ATTACKER, f"{HOSTILE} ask 1 new | grep -q 'ok xvdg'")
        # Its kernel says that it is connected before it has made the device.
        self.wait_for(ATTACKER, "[ -b /dev/xvdg ]")

    def wait_state_of_attacker(self, state):
        self.wait_for("dom0", f"qfilexchgctl list | awk '$2 == \"{state}\" && $3 == \"{ATTACKER}\"' | grep -q .",
                      f"a pendrive of {ATTACKER} to be {state}")

    def boot_again(self):
        self.dom0(f"xl destroy {ATTACKER} && xl create -q /etc/xen/{ATTACKER}.cfg")

    def wait_booted(self):
        """It boots beside whatever else this machine does."""
        self.box.exec(ATTACKER, ["true"], wait=BOOT_S, check=True)
        put_hostile(self.box, ATTACKER)

    @contextlib.contextmanager
    def paused(self):
        self.dom0(f"xl pause {ATTACKER}")
        try:
            yield
        finally:
            self.dom0(f"xl unpause {ATTACKER}")

    # -- the attacks, in the order of how dear they are

    @contextlib.contextmanager
    def quiet(self):
        """Nothing."""
        yield

    @contextlib.contextmanager
    def burns_cpu(self):
        """Nothing but work for the processor that all VMs share: what is above this, dom0 adds."""
        with self.running("burn"):
            yield

    @contextlib.contextmanager
    def writes_elsewhere(self):
        """Into its own part of xenstore without pause, where nobody looks: what xenstored makes of that."""
        with self.running("write", "data/x"):
            yield

    @contextlib.contextmanager
    def writes_below_device(self):
        """The same where its own kernel watches, which xenstored has to tell then: what is above this, our daemon adds."""
        with self.running("write", "device/x"):
            yield

    @contextlib.contextmanager
    def floods(self):
        """Requests without pause."""
        with self.running("flood", "100000", "umount"):
            yield

    @contextlib.contextmanager
    def deletes_its_keys(self):
        """The mailbox deleted and made anew, without pause."""
        with self.running("remove", "device/qpen", "device/qpen-reply"):
            yield

    @contextlib.contextmanager
    def fills_its_quota(self):
        """As many nodes in xenstore as it may have, and more."""
        with self.running("fill"):
            yield
        self.sh(ATTACKER, "xenstore-rm data/fill")

    @contextlib.contextmanager
    def writes_into_its_half(self):
        """New values in its half of the disk without pause, so that dom0's transactions collide."""
        self.lend()
        with self.running("write", *(f"device/vbd/{OUTGOING}/{key}" for key in ("x", "feature-persistent"))):
            yield

    @contextlib.contextmanager
    def flips_states(self):
        """Each state of a front end in turn, with rubbish where its ring should be; a new disk when that is gone."""
        self.lend()
        again = self.box.popen(ATTACKER, ["sh", "-c", f"while sleep 2; do {HOSTILE} ask 1 new >/dev/null; done"])
        try:
            with self.running("flip", str(OUTGOING)):
                yield
        finally:
            again.kill()
            again.wait(60)

    @contextlib.contextmanager
    def never_connects(self):
        """It asks for a disk and does not take it."""
        with self.paused():
            self.raw_for_paused("new #p1")
            self.wait_state_of_attacker("attaching-out")
            yield

    @contextlib.contextmanager
    def never_closes(self):
        """It sends a disk and does not let go of it."""
        self.lend()
        with self.paused():
            self.raw_for_paused(f"send {HONEST} #p2")
            self.wait_state_of_attacker("freezing")
            yield

    @contextlib.contextmanager
    def holds_and_writes(self):
        """It has the disk mounted and open, sends it, and goes on writing."""
        self.lend()
        self.sh(ATTACKER, "mount -t vfat /dev/xvdg /mnt/outgoing && echo x > /mnt/outgoing/x")
        with self.running("scribble", "/dev/xvdg"):
            self.raw(f"send {HONEST} #p3")
            self.wait_state_of_attacker("asking")
            yield
        # With the device its mount may have gone.
        self.sh(ATTACKER, "umount -l /mnt/outgoing", check=False)

    @contextlib.contextmanager
    def is_renamed(self):
        """Its name changes while it has a disk, to the honest one's and back."""
        self.lend()
        self.dom0(f"xl rename {ATTACKER} renamed")
        try:
            yield
        finally:
            self.dom0(f"xl rename renamed {ATTACKER}")

    @contextlib.contextmanager
    def returns_as_the_same_number(self):
        """It is saved while it has a disk, and comes back as the same domain in all that xenstore says of it, without the
        disk. Another VM of that number there cannot be in a test: Xen gives each the next one, up to 32752."""
        self.lend()
        domid = self.domid(ATTACKER)
        # For a minute libxl gives the number of a VM that is gone to nobody, and for a second whatever it is told.
        self.dom0(f"xl save -D {ATTACKER} {SAVED} >/dev/null 2>&1 && "
                  f"until LIBXL_DOMID_REUSE_TIMEOUT=0 xl restore {SAVED} >/dev/null 2>&1; do :; done; rm {SAVED}")
        self.assertEqual(self.domid(ATTACKER), domid)
        yield
        # Its kernel still has the disk of before, and would let go of that after a request in vain.
        self.boot_again()
        self.wait_booted()

    @contextlib.contextmanager
    def dies_and_returns(self):
        """It dies with a disk, and another VM of its name boots."""
        self.lend()
        self.boot_again()
        yield
        self.wait_booted()

    @contextlib.contextmanager
    def hundred_are_removed(self):
        """A hundred full pendrives of a former daemon's are removed, in all more than 3 GB."""
        self.dom0("systemctl stop qfilexchgd; for i in $(seq 100 199); do "
                  f"fallocate -l 32M {IMAGES}/${{i}}{'0' * 29}.pendrive; done; systemctl start qfilexchgd")
        yield

    attacks = (quiet, burns_cpu, writes_elsewhere, writes_below_device, floods, deletes_its_keys, fills_its_quota,
               writes_into_its_half, flips_states, never_connects, never_closes, holds_and_writes, is_renamed,
               hundred_are_removed, dies_and_returns, returns_as_the_same_number)

    def clear_up(self):
        """The user of dom0 takes back what there still is; then there must be nothing."""
        self.dom0("qfilexchgctl list | awk '$1 ~ /^[0-9]+$/ { print $1 }' | xargs -rn1 qfilexchgctl cancel", check=False)
        self.wait_nothing_left()
        self.wait_for(ATTACKER, "xenstore-read device/qpen >/dev/null 2>&1")

    def attack(self, attack, answers, lends):
        """What the honest VM sees of it: {request: [milliseconds]}."""
        with attack(self):
            seen = self.probe(answers, lends)
        self.clear_up()
        return seen


def name_of(attack):
    return attack.__name__.replace("_", " ")


def median(values):
    return statistics.median(values)
