#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM that writes, into whatever it may, so that dom0's transactions collide with it: only it waits."""
import os
import pathlib
import re
import unittest.mock

import storebox

OUT = storebox.OUTGOING
# dom0/ports/xs.c: TRIES_AGAINST_VM, for the emptying of one mailbox and for the next answer.
TRIES = 2 * 4


class Flood(storebox.DaemonTest):
    """With the budget that is shipped."""

    def wakeups(self):
        text = pathlib.Path(f"/proc/{self.box.daemon.pid}/status").read_text()
        return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", text, re.M)[1])

    def test_wakes_nobody_when_the_budget_is_used_up(self):
        """What a VM writes into its mailbox then is not even told to the daemon."""
        requests = 100000
        self.other.wait_mailbox()
        before = self.wakeups()
        self.other.run(["hostile", "flood", str(requests), "umount"], timeout=storebox.DEADLINE_S)
        self.assertLess(self.wakeups() - before, requests / 4)
        # And it is not forgotten.
        self.other.xs.write("device/qpen", "umount #last")
        self.other.wait_reply("last")


class Collisions(storebox.DaemonTest):
    """With xenstored's own account of what failed."""
    config = {"requests": {"burst": "1000000", "per-minute": "60000"}, "timeouts": {"detach": "3"}}

    def setUp(self):
        with unittest.mock.patch.dict(os.environ, QFX_STORE_TRACE="1"):
            super().setUp()
        self.box.start_agent("--yes")
        for vm in self.vms:
            vm.wait_mailbox()

    def attack(self, *words):
        """The VM `other` attacks, with four programs at once."""
        for _ in range(4):
            attacker = self.other.popen(["hostile", *words])
            self.assertEqual(attacker.stdout.readline(), "ready\n")

    def collisions(self):
        """How often in a row transactions of the daemon that runs failed, each time."""
        trace = self.box.log("trace")
        begin = list(re.finditer(r"^IN (\S+) \S+ \S+ MKDIR \(/qfilexchgd ", trace, re.M))[-1]
        daemon, trace = begin[1], trace[begin.start():]
        rows, now = [], 0
        for verb, rest in re.findall(rf"^(?:IN|OUT) {daemon} \S+ \S+ (\S+) \((\S*)", trace, re.M):
            if (verb, rest) == ("ERROR", "EAGAIN"):
                now += 1
            elif (verb, rest) == ("TRANSACTION_END", "OK"):
                rows.append(now)
                now = 0
        return rows + [now]

    def assert_others_served(self):
        self.deliver(self.work, self.personal)
        self.assertEqual(self.ask(self.personal, "umount"), "ok")
        self.assertLessEqual(max(self.collisions()), TRIES)

    def test_into_its_mailbox(self):
        """Where each answer is written in one transaction with the emptying of the mailbox."""
        self.attack("flood", "0", "umount")
        self.assert_others_served()

    def test_into_its_mailbox_when_the_daemon_starts(self):
        self.attack("flood", "0", "umount")
        self.box.daemon.kill()
        self.start()
        self.box.start_agent("--yes")
        self.assert_others_served()

    def test_its_mailbox_deleted_and_made_anew(self):
        self.attack("remove", "device/qpen", "device/qpen-reply")
        self.assert_others_served()

    def test_into_its_half_of_a_disk(self):
        self.lend(self.other)
        self.attack("write", *(f"device/vbd/{OUT}/{key}" for key in ("ring-ref", "x", "state")))
        self.assert_others_served()
        for number in self.records():
            self.box.ctl("cancel", number, check=False)
        self.wait_nothing_left()
        self.assertLessEqual(max(self.collisions()), TRIES)

    def test_states_and_rubbish_in_its_half_of_a_disk(self):
        """What blkback answers to it collides as well."""
        self.lend(self.other)
        self.attack("flip", str(OUT))
        self.assert_others_served()
        for number in self.records():
            self.box.ctl("cancel", number, check=False)
        self.wait_nothing_left()
        self.assertLessEqual(max(self.collisions()), TRIES)
        self.box.complaints(clear=True)  # of the rubbish


if __name__ == "__main__":
    storebox.main()
