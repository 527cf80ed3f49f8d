#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Many VMs at once, VMs that flood, and kills at random: all end well, and nobody waits for others."""
import os
import random
import re
import signal
import time
import unittest.mock

import storebox

OUT = storebox.OUTGOING
IN = storebox.INCOMING
VMS = 100
KILLS = 30


class Client:
    """A VM's program that does new, send, umount, one request after the other.

    It is driven by what it reads, so that a hundred of them need no thread: step() does what can be
    done now, and is called whenever something may have changed.
    """

    def __init__(self, vm, receiver):
        self.vm = vm
        self.script = ["new", f"send {receiver}"]
        self.ident = None
        self.answers = []

    def is_done(self):
        return not self.script and self.ident is None

    def step(self):
        if self.ident is not None:
            reply = self.vm.xs.read_or(f"device/qpen-reply/{self.ident}", "")
            if reply.split(" ")[1:2] not in (["ok"], ["error"]):
                return
            self.answers.append(reply.split(" ", 1)[1])
            self.ident = None
            if " error " in reply:
                self.script.clear()
        if self.script and self.vm.xs.read_or("device/qpen") == "":
            self.ident = f"c{len(self.answers)}"
            self.vm.xs.write("device/qpen", f"{self.script.pop(0)} #{self.ident}")


class Ring(storebox.DaemonTest):
    """Each VM sends to its neighbour."""
    names = tuple(f"vm{i}" for i in range(VMS))
    config = {"questions": {"timeout": "60"}, "pendrives": {"max-size-total": "1T"},
              "requests": {"burst": "100"}}

    def setUp(self):
        super().setUp()
        self.seed = int(os.environ.get("QFX_SEED", time.time_ns() % 2**32))
        self.random = random.Random(self.seed)

    def run_clients(self, clients, disturb=lambda: None):
        """Steps all until they are done. disturb() is called between two rounds."""
        def all_done():
            for client in clients:
                client.step()
            disturb()
            return all(client.is_done() for client in clients)

        storebox.until(all_done, f"all clients to end (QFX_SEED={self.seed})", timeout=300)

    def give_back(self, vms):
        """The receivers unmount until nothing is left."""
        def nothing_left():
            for vm in vms:
                if vm.xs.read_or("device/qpen") == "" and self.box.dom0.exists(
                        f"{vm.path}/device/vbd/{IN}"):
                    vm.xs.write("device/qpen", "umount")
            return not self.records()

        storebox.until(nothing_left, "all to be given back", timeout=300)
        self.wait_nothing_left()

    def test_a_hundred_at_once(self):
        self.box.start_agent("--yes")
        clients = [Client(vm, after.name)
                   for vm, after in zip(self.vms, self.vms[1:] + self.vms[:1])]
        self.run_clients(clients)
        for client in clients:
            self.assertEqual(client.answers, ["ok xvdg", "ok delivered"], client.vm)
        for vm, before in zip(self.vms, self.vms[-1:] + self.vms):
            self.assertEqual(vm.xs.read("qubes_blocksrc"), before.name)
        self.give_back(self.vms)

    def test_with_vms_killed_at_random(self):
        """The living have their answers, and nothing is left of the dead."""
        self.box.start_agent("--yes")
        clients = [Client(vm, after.name)
                   for vm, after in zip(self.vms, self.vms[1:] + self.vms[:1])]
        victims = self.random.sample(clients, KILLS)
        dying = []

        def kill_one():
            if victims and self.random.random() < 0.7:
                victim = victims.pop()
                clients.remove(victim)
                self.vms.remove(victim.vm)
                dying.append(victim.vm.start_destroy(timeout_ms=500))

        self.run_clients(clients, kill_one)
        while victims:
            kill_one()
        for tag in dying:
            self.box.sim.finish(tag)
        for client in clients:
            self.assertEqual(client.answers[0], "ok xvdg", client.vm)
            self.assertRegex(client.answers[1], "^ok delivered$|^error "
                             "(refused|receiver-gone|failed) ", client.vm)
        self.give_back(self.vms)

    def test_with_the_daemon_killed_at_random(self):
        """Every VM has each of its answers all the same. The agent is started again as well."""
        vms = self.vms[:30]
        clients = [Client(vm, after.name) for vm, after in zip(vms, vms[1:] + vms[:1])]
        self.box.start_agent("--yes")
        kills = 6

        def kill_daemon():
            nonlocal kills
            if kills and self.random.random() < 0.3:
                kills -= 1
                self.box.daemon.kill()
                self.start()
                self.box.start_agent("--yes")

        self.run_clients(clients, kill_daemon)
        for client in clients:
            self.assertEqual(client.answers, ["ok xvdg", "ok delivered"], client.vm)
        self.give_back(vms)


class Others(storebox.DaemonTest):
    """What one VM does is no work over the others; xenstored's own account tells."""

    def setUp(self):
        with unittest.mock.patch.dict(os.environ, QFX_STORE_TRACE="1"):
            super().setUp()
        for vm in self.vms:
            vm.wait_mailbox()

    def traced_since(self, start, verbs, paths):
        return [line for line in self.box.log("trace")[start:].splitlines()
                if line.startswith("IN ") and any(f" {verb} (" in line for verb in verbs)
                and any(f"({path}" in line for path in paths)]

    def test_a_vm_that_comes_or_goes(self):
        """Nothing is read of those that were there, and the new one is served."""
        self.assert_serves(self.other)  # its mailbox's own events are over
        start = len(self.box.log("trace"))
        late = self.box.create_vm("late")
        self.assert_serves(late)
        late.destroy()
        self.box.create_vm("later").wait_mailbox()
        others = [f"{vm.path}/" for vm in self.vms]
        self.assertNotEqual(self.traced_since(start, ["READ"], [f"{late.path}/vm"]), [])
        self.assertEqual(self.traced_since(start, ["READ", "WRITE", "MKDIR", "SET_PERMS"], others), [])

    def test_a_restart(self):
        """The mailboxes are found as they were left, and none is written anew."""
        nodes = [f"{vm.path}/device/qpen" for vm in self.vms]
        self.assertNotEqual(self.traced_since(0, ["MKDIR"], nodes), [])
        start = len(self.box.log("trace"))
        self.restart()
        self.assertEqual(self.traced_since(start, ["WRITE", "MKDIR", "SET_PERMS"], nodes), [])
        self.assert_serves(self.work)

    def test_a_restart_over_a_mailbox_that_others_may_read(self):
        node = f"{self.work.path}/device/qpen"
        self.restart_after(lambda: self.box.dom0.set_perms(node, "r0", f"b{self.work.domid}"))
        self.assertEqual(self.box.dom0.get_perms(node), ["n0", f"b{self.work.domid}"])

    def restart_after(self, action):
        self.box.daemon.stop()
        action()
        self.start()

    def test_a_number_that_is_another_vms_when_the_daemon_looks(self):
        self.box.start_agent("--yes")
        self.lend(self.work)
        os.kill(self.box.daemon.pid, signal.SIGSTOP)
        self.work.destroy()
        new = self.box.create_vm("new", domid=self.work.domid)
        os.kill(self.box.daemon.pid, signal.SIGCONT)
        new.wait_mailbox()
        self.assert_error(self.ask(new, "umount"), "no-pendrive")
        self.wait_nothing_left()
        self.deliver(new, self.personal)


class Flood(storebox.DaemonTest):
    config = {"requests": {"burst": "20", "per-minute": "6000"}}

    def test_a_vm_that_floods_its_mailbox(self):
        """Another one's transfer is completed, and the flooder's last request is answered."""
        self.box.start_agent("--yes")
        self.other.wait_mailbox()
        program = ("import sys; sys.path.insert(0, sys.argv[1]); import xswire\n"
                   "xs = xswire.Xs(sys.argv[2])\n"
                   "for i in range(2000):\n"
                   "    xs.write('device/qpen', 'umount #f%d' % i)\n"
                   "    if i == 200: print('flooding', flush=True)\n")
        flooder = self.other.popen(["/usr/bin/env", "python3", "-c", program, storebox.HERE,
                                    self.other.socket_path])
        self.assertEqual(flooder.stdout.readline(), "flooding\n")
        self.deliver(self.work, self.personal)
        self.assertEqual(self.ask(self.personal, "umount"), "ok")
        self.assertEqual(flooder.wait(storebox.DEADLINE_S), 0, flooder.stderr.read())
        self.assertRegex(self.other.wait_reply("f1999"), "^f1999 error no-pendrive ")
        self.wait_nothing_left()
        self.assertLess(len(self.other.xs.ls("device/qpen-reply")), 20)

    def test_a_vm_that_keeps_deleting_its_mailbox(self):
        self.other.wait_mailbox()
        program = ("import sys; sys.path.insert(0, sys.argv[1]); import xswire\n"
                   "xs = xswire.Xs(sys.argv[2])\n"
                   "print('ready', flush=True)\n"
                   "while True:\n"
                   "    try: xs.rm('device/qpen')\n"
                   "    except OSError: pass\n")
        flooder = self.other.popen(["/usr/bin/env", "python3", "-c", program, storebox.HERE,
                                    self.other.socket_path])
        self.assertEqual(flooder.stdout.readline(), "ready\n")
        self.box.start_agent("--yes")
        self.deliver(self.work, self.personal)
        flooder.kill()
        flooder.wait()
        self.assert_error(self.ask(self.other, "umount"), "no-pendrive")

    def test_one_that_asks_too_often_waits_and_the_others_do_not(self):
        self.restart(config={"requests": {"burst": "3", "per-minute": "60"}})
        for _ in range(3):
            self.ask(self.work, "umount")
        self.post(self.work, "umount")
        for vm in (self.personal, self.other):
            self.assert_error(self.ask(vm, "umount"), "no-pendrive")
        last = self.box.dom0.read(f"{self.work.path}/device/qpen")
        self.assertEqual(last, f"umount #q{self._last_ident - 2}")
        self.assert_error(self.wait_reply(self.work, f"q{self._last_ident - 2}"), "no-pendrive")

    def test_vms_come_and_go(self):
        """Two hundred short lives beside one transfer."""
        self.box.start_agent("--yes")
        self.lend(self.work)
        for i in range(10):
            vms = self.box.create_vms([f"short{i}-{j}" for j in range(20)])
            for tag in [vm.start_destroy(timeout_ms=0) for vm in vms]:
                self.box.sim.finish(tag)
        self.assertEqual(self.ask(self.work, "send personal"), "ok delivered")
        storebox.until(lambda: len([line for line in self.box.log("daemon").splitlines()
                                    if " is gone" in line]) ==
                       len(re.findall("VM short.* is there", self.box.log("daemon"))),
                       "the daemon to know")


if __name__ == "__main__":
    storebox.main()
