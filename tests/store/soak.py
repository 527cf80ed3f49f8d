#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Thousands of transfers with faults at random: VMs and daemons that die, refusals, discards, lame disk drivers, a full
store. In the end all is as it was in the beginning.

    QFX_BUILD=build/soak tests/store/soak.py 10000 [--seed SEED]

In the first half the daemon dies, at random points between two side effects (crashpoints.py); in the second one daemon
serves all, so that what it holds in descriptors and memory can be compared. The seed chooses the faults; in which moment they
come the machine has its say in, too.
"""
import argparse
import collections
import os
import pathlib
import random
import re
import signal
import sys
import time
import unittest

import storebox
from crashwalk import CrashTest

OUT = storebox.OUTGOING
IN = storebox.INCOMING
VMS = 24
EPOCH = 250          # transfers, between two moments of rest
GROWTH_KIB = 2048    # more than this, and a daemon keeps what it should not
EPOCH_TIMEOUT_S = 900
PATIENCE = 20        # steps

# Replies, of which each VM keeps some; empty folders that whoever attaches a disk makes, and removes when it is the last.
NOT_COUNTED = re.compile(r"/qpen-reply/|\A/libxl/\d+/device\Z|\A/local/domain/0(/backend(/vbd)?)?\Z")

CONFIG = {"questions": {"burst": "10000", "interval": "1", "max-queue": "4", "max-waiting": "200", "timeout": "30"},
          "requests": {"burst": "1000000", "per-minute": "60000"},
          "pendrives": {"max-per-vm": "3", "max-size-total": "2000M"},
          "timeouts": {"attach": "3", "detach": "2", "release": "10"}}


class Client:
    """The programs in one VM: one that sends and one that gives back. They share the mailbox."""

    def __init__(self, soak, vm):
        self.soak, self.vm = soak, vm
        self.sending = None  # (what, ID) of the request that the sender waits for
        self.lent = False    # there may be a pendrive in the outgoing slot
        self.giving = None   # the ID of an `umount`
        self.patience = 0    # so many steps before it asks for another one
        self.last = 0

    def is_at_rest(self):
        return not (self.sending or self.lent or self.giving or self.has_incoming())

    def has_incoming(self):
        return self.vm.xs.read_or(f"device/vbd/{IN}/state") is not None

    def post(self, request):
        self.last += 1
        ident = f"v{self.vm.domid}n{self.last}"
        self.vm.xs.write("device/qpen", f"{request} #{ident}")
        self.soak.asked.append((self.vm.domid, ident))
        return ident

    def final(self, ident):
        """The words of the final reply, or None."""
        words = self.vm.xs.read_or(f"device/qpen-reply/{ident}", "").split(" ")
        return words[1:] if words[1:2] in (["ok"], ["error"]) else None

    def step(self):
        if self.sending:
            self.look_at_reply()
        if self.giving and self.final(self.giving):
            self.giving = None
        if self.vm.xs.read_or("device/qpen") != "":
            return
        if not self.giving and self.vm.xs.read_or(f"device/vbd/{IN}/state") == "4":
            self.giving = self.post("umount")
        elif not self.sending:
            self.send_something()
        elif self.sending[0] == "send" and self.soak.random.random() < 0.001:
            self.sending = ("discard", self.post(f"discard {self.sending[1]}"))

    def look_at_reply(self):
        what, ident = self.sending
        words = self.final(ident)
        if not words:
            return
        self.sending = None
        self.soak.outcomes[f"{what}: {' '.join(words[:2])}"] += 1
        if what == "new":
            self.lent = words[0] == "ok"
            if not self.lent:
                self.soak.begin_again()
                self.patience = PATIENCE
        elif what == "discard" or words[0] == "ok":
            self.lent = False
        # One that was refused may be there still, as after a full queue.

    def send_something(self):
        chance = self.soak.random
        self.patience -= self.patience > 0
        if not self.lent:
            if not self.patience and self.soak.begin_one():
                self.sending = ("new", self.post(chance.choice(("new", "new", "new size=100M", "new format=none"))))
        elif self.sending is None and self.vm.xs.read_or(f"device/vbd/{OUT}/state") is None:
            self.lent = False
        elif chance.random() < 0.1:
            self.sending = ("discard", self.post("discard"))
        else:
            self.sending = ("send", self.post(f"send {self.soak.choose_receiver(self.vm)}"))


class Soak(CrashTest):
    names = tuple(f"vm{i}" for i in range(VMS)) + ("bystander",)
    config = CONFIG
    transfers = 200
    seed = None

    def setUp(self):
        super().setUp()
        if self.seed is None:
            type(self).seed = int(os.environ.get("QFX_SEED", time.time_ns() % 2**32))
        self.random = random.Random(self.seed)
        self.outcomes = collections.Counter()
        self.clients = [Client(self, vm) for vm in self.vms if vm is not self.bystander]
        self.dying = []  # (VM, what destroys it)
        self.to_begin = self.begun = self.vm_deaths = self.daemon_deaths = self.full = 0
        self.reserve = "0"
        self.write_policy()

    def write_policy(self):
        """Between most VMs the user is asked, and says yes."""
        lines = []
        for vm in self.vms:
            for action in ("deny", "allow"):
                lines.append(f"qubes.Pendrive * {vm.name} {self.random.choice(self.vms).name} {action}\n")
        lines.append("qubes.Pendrive * @anyvm @anyvm ask\n")
        path = self.box.dir / "policy.d" / "50-soak.policy"
        path.write_text("".join(lines))
        path.chmod(0o644)

    # What the clients ask

    def begin_one(self):
        if not self.to_begin or self.random.random() < 0.5:
            return False
        self.to_begin -= 1
        self.begun += 1
        return True

    def begin_again(self):
        """That one had no pendrive."""
        self.to_begin += 1
        self.begun -= 1

    def choose_receiver(self, vm):
        if self.random.random() < 0.03:
            return "nobody"
        return self.random.choice([client.vm.name for client in self.clients if client.vm is not vm])

    # Faults

    def disturb(self):
        if not self.to_begin:
            return
        if self.random.random() < 0.01 and len(self.dying) < 3:
            client = self.clients.pop(self.random.randrange(len(self.clients)))
            self.dying.append((client.vm, client.vm.start_destroy(timeout_ms=self.random.choice((0, 50, 500)))))
            self.vm_deaths += 1
        if self.random.random() < 0.01:
            delay = self.random.choice(("now", "now", "20", "200", "never"))
            self.random.choice(self.clients).vm.set_disks(**{self.random.choice(("connect", "close")): delay})
        if self.random.random() < (0.002 if self.reserve == "0" else 0.02):
            self.set_full(self.reserve == "0")

    def set_full(self, full):
        """The daemon that runs is told where there is one for sure; else the next one will see it."""
        self.reserve = "1024T" if full else "0"
        self.full += full
        path = self.box.write_config(self.make_config({"pendrives": {"reserve": self.reserve}}))
        assert path
        if self.lives:
            self.daemons.send_signal(signal.SIGHUP)

    def bury(self):
        """A VM of the same name comes in the place of each that is gone."""
        while self.dying:
            vm, tag = self.dying.pop()
            self.box.sim.finish(tag)
            fresh = self.box.create_vm(vm.name)
            self.vms[self.vms.index(vm)] = fresh
            self.clients.append(Client(self, fresh))

    # One epoch after the other

    def epoch(self, count):
        """So many transfers, and all that is left of them ends."""
        self.to_begin = count

        def is_over():
            self.assertIsNone(self.daemons.poll(), f"the daemon has ended (--seed {self.seed})")
            for client in self.clients:
                client.step()
            self.disturb()
            if len(self.dying) > 2 or not self.to_begin:
                self.bury()
            # What a VM sent that is dead by now may wait in a queue, and come to a client that is at rest.
            return (not self.to_begin and not self.dying and all(client.is_at_rest() for client in self.clients)
                    and not self.records())

        storebox.until(is_over, f"all to end (--seed {self.seed}): " +
                       str([(client.vm, client.sending, client.lent, client.giving) for client in self.clients
                            if client.sending]), timeout=EPOCH_TIMEOUT_S)
        for client in self.clients:
            client.vm.set_disks(connect="now", close="0")
        if self.reserve != "0":
            self.set_full(False)
        self.wait_nothing_left()
        self.assert_error(self.ask(self.bystander, "umount"), "no-pendrive")
        self.box.complaints(clear=True)  # of drivers that never connect, and are closed
        self.check_told()
        self.effects.clear()
        self.asked.clear()
        print(f"soak: {self.begun} of {self.transfers}", file=sys.stderr, flush=True)

    def check_told(self):
        """As the store walk does; but the bystander's last answer may be in the log or not yet."""
        alive = {vm.domid for vm in self.vms}
        replies = {key: finals for key, finals in self.effects.replies().items() if key[0] != self.bystander.domid}
        asked = {key for key in self.asked if key[0] != self.bystander.domid}
        for key in asked:
            if key[0] in alive or key in replies:
                self.assertEqual(len(replies.get(key, ())), 1, f"{key} {replies.get(key)} (--seed {self.seed})")
        self.assertLessEqual(set(replies), asked)
        self.assertEqual(self.box.violations(), [], f"--seed {self.seed}")

    def epochs(self, count):
        while count > 0:
            yield min(EPOCH, count)
            count -= EPOCH

    def points(self, count):
        """Where the daemons of an epoch die: some while they take up what there is, most later. More than will be
        reached, since only the next one sees that the store is full no more."""
        return [self.random.randint(1, 60) if self.random.random() < 0.3 else self.random.randint(30, 900)
                for _ in range(4 * count)]

    # What there is

    def count(self):
        """The things that must be as many in the end as in the beginning."""
        nodes = [path for path in self.box.dom0.tree("/") if not NOT_COUNTED.search(path)]
        return {"files": len(list(self.images.iterdir())), "nodes": len(nodes),
                "vms": len(self.box.sim.call("list")), "disks": len(self.box.disks())}

    def count_of_daemon(self):
        proc = pathlib.Path("/proc") / str(self.daemons.pid)
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        return {"descriptors": len(list((proc / "fd").iterdir())), "threads": int(status["Threads"]),
                "memory in KiB": int(status["VmRSS"].split()[0])}

    # The whole

    def test_soak(self):
        print(f"soak: {self.transfers} transfers, --seed {self.seed}", file=sys.stderr, flush=True)
        self.effects.clear()
        for client in self.clients[:1]:
            client.vm.xs.wait("device/vbd", lambda _: True)
        self.lives = False
        before = None
        for count in self.epochs(self.transfers // 2):
            self.start_daemons(self.points(count))
            if before is None:  # the mailboxes are there
                self.assert_error(self.ask(self.bystander, "umount"), "no-pendrive")
                for vm in self.vms:
                    vm.wait_mailbox()
                before = self.count()
            deaths = 0
            self.epoch_with_deaths(count)
            deaths += self.last_deaths
            self.daemon_deaths += deaths
            os.killpg(self.daemons.pid, signal.SIGKILL)
            self.daemons.wait(storebox.DEADLINE_S)
        self.lives = True
        self.start_daemons([])
        counts = []
        for count in self.epochs(self.transfers - self.begun):
            self.epoch(count)
            counts.append(self.count_of_daemon())
        warm, cold = counts[0], counts[-1]
        after = self.count()
        self.stop_daemons(signal.SIGTERM)
        self.tell(before, after, counts)
        self.assertEqual(after, before)
        self.assertEqual(cold["descriptors"], warm["descriptors"])
        self.assertLess(cold["memory in KiB"] - warm["memory in KiB"], GROWTH_KIB)

    def epoch_with_deaths(self, count):
        self.last_deaths = 0
        clear = self.effects.clear

        def count_first():
            self.last_deaths = self.effects.deaths()
            clear()

        self.effects.clear = count_first
        try:
            self.epoch(count)
        finally:
            self.effects.clear = clear

    def tell(self, before, after, counts):
        lines = [f"seed: {self.seed}", f"transfers: {self.begun}", f"deaths of the daemon: {self.daemon_deaths}",
                 f"deaths of VMs: {self.vm_deaths}", f"times the store was full: {self.full}"]
        lines += [f"{what}: {number}" for what, number in sorted(self.outcomes.items())]
        lines += [f"{what}, before and after: {before[what]} {after[what]}" for what in before]
        lines += [f"{what} of the daemon, after each {EPOCH} transfers: {' '.join(str(count[what]) for count in counts)}"
                  for what in counts[0]]
        print("\n".join(lines), flush=True)


def main():
    parser = argparse.ArgumentParser(description="transfers with random faults, in the store layer")
    parser.add_argument("transfers", type=int)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    Soak.transfers, Soak.seed = options.transfers, options.seed
    done = unittest.TextTestRunner().run(unittest.TestSuite([Soak("test_soak")]))
    sys.exit(77 if done.skipped else not done.wasSuccessful())


if __name__ == "__main__":
    main()
