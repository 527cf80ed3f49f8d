#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon needs is gone: xenstored, the bus, an agent that never answers, a program that hangs. It says so, waits
without turning in circles, and goes on when it can."""
import contextlib
import os
import pathlib
import re
import time

import domains_host
import storebox
from test_disposable import DisposableTest

IN = storebox.INCOMING


class Idle:
    """What a process does between two events."""

    @contextlib.contextmanager
    def idle(self):
        """In this time the daemon waits, and does not turn in circles: that would take all that there is. A busy machine
        gives it less, and lets a mistake pass, but never finds one that is none."""
        began, before = time.monotonic(), self.cpu_s()
        yield
        took, used = time.monotonic() - began, self.cpu_s() - before
        self.assertGreater(took, 2)
        self.assertLess(used, took / 3)

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.box.daemon.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Xenstored(Idle, storebox.DaemonTest):
    config = {"questions": {"timeout": "10"}}

    def check_box(self):
        """The VMs ended with it."""

    def test_it_goes_and_another_one_comes(self):
        self.start_asking(self.work, self.personal)
        self.box.kill_store()
        self.wait_log("the connection to xenstored is lost: ")
        with self.idle():
            # The question's end is the next that happens.
            self.wait_log("cannot write a record or a reply to xenstore: ")
        self.assertTrue(self.box.daemon.is_alive())
        self.assertEqual(self.box.log("daemon").count("the connection to xenstored is lost"), 1)
        self.box.ctl("list")  # the user can still ask it
        self.box.restart_store()
        self.assertEqual(self.box.daemon.process.wait(storebox.DEADLINE_S), 69)
        self.wait_log("xenstored is there again: qfilexchgd ends, to be started anew")
        self.box.daemon = None
        self.start()
        self.assertEqual(self.records(), {})
        storebox.until(lambda: not list(self.images.iterdir()), "images of no record to go")
        self.assertEqual(self.box.daemon.stop(), 0)


class Bus(Idle, storebox.DaemonTest):
    config = {"questions": {"timeout": "10"}}

    def test_nobody_can_be_asked(self):
        """A question ends in time without a bus, and the name is taken again when there is one."""
        self.lend(self.work)
        self.box.stop_bus()
        self.wait_log("nobody can be asked until it is back")
        ident = self.post(self.work, "send personal")
        self.wait_record(self.work, "asking")
        with self.idle():
            self.assert_error(self.wait_reply(self.work, ident), "refused")
        self.assert_serves_without_bus()
        self.box.start_bus()
        self.box.wait_bus_name(self.box.daemon.process)
        self.assert_serves(self.work)

    def assert_serves_without_bus(self):
        self.lend(self.other)
        self.assertEqual(self.ask(self.other, "discard"), "ok")


class Agent(Idle, storebox.DaemonTest):
    config = {"questions": {"timeout": "10"}}

    def test_one_that_never_answers(self):
        """It is stopped in its tracks: the daemon does not wait for it, and serves the others."""
        agent = self.box.start_agent("--yes")
        self.wait_log("Waiting for questions.", "agent")
        os.kill(agent.pid, 19)  # SIGSTOP
        self.lend(self.work)
        ident = self.post(self.work, "send personal")
        self.wait_record(self.work, "asking")
        with self.idle():
            self.assert_error(self.wait_reply(self.work, ident), "refused")
        self.assert_serves()


class Child(Idle, DisposableTest):
    """qfilexchg-domains hangs, as libxl does at times: it is killed at its deadline."""
    config = {"timeouts": {"start": "10"}}

    def test_making_hangs(self):
        gate = self.host.hold("make")
        ident = self.send_request(self.work)
        gate.wait_reached()
        with self.idle():
            gate.wait_killed()
        self.assertRegex(self.box.log("daemon"), r"make \S+ took more than \d+ ms and is killed")
        self.assertNotRegex(self.wait_reply(self.work, ident), "^ok ")
        self.wait_nothing_left()
        self.finish(self.work, *self.open_again())

    def open_again(self):
        return self.open(self.work)


if __name__ == "__main__":
    storebox.main()
