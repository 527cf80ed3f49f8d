#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM asks over a thousand times a second, as far as the machine can. The user sees one question and one
notification, and the others' too.

All of it is real but Xen: xenstored, the daemon, the agent and its window. QFX_FLOOD_FIGURES names a file
that gets what was measured, for scripts/bench.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import agentbox
from agentbox import GLib, until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "store"))
import storebox  # noqa: E402 (found by the line above)

SECONDS = 30
# How many it was is for scripts/bench to tell: a slow machine makes the flood smaller, and no promise untrue.
ATTEMPT_PER_SECOND = 1300
BURST, INTERVAL_S = 4, 30  # as shipped
# What was freed must not count as what is used.
SMALL_QUARANTINE = {"ASAN_OPTIONS": "quarantine_size_mb=1:thread_local_quarantine_size_kb=64"}
# Of a process built with sanitizers, in the time of the flood; one that keeps what it is sent has more.
GROWTH_KIB = 16 * 1024
LOOK_EVERY_MS = 500
LISTED = "another VM's question is on the screen"
NEXT = "after the answer to the flooder's question, that one is asked"
MORE = re.compile(r"(\d+) (?:more )?from (\w+)")


def memory_kib(pid):
    """What the process has for itself and in memory."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return sum(int(n) for n in re.findall(r"^(?:Private_Dirty|Private_Clean|Swap): +(\d+) kB", text, re.M))


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pause(milliseconds):
    """This process serves its buses meanwhile; what is measured must not be the looking."""
    over = []
    GLib.timeout_add(milliseconds, lambda: over.append(True))
    until(lambda: over, "the time to pass")


class Flood(agentbox.AgentTest, storebox.DaemonTest):
    """Both boxes: the agent on the desktop, on the system bus of the box in which the daemon runs."""
    names = ("work", "personal", "mail")
    # As shipped, but for what a small machine can lend.
    config = {"questions": {"hide-refusals": "yes", "burst": str(BURST), "interval": str(INTERVAL_S), "timeout": "600"}}

    def setUp(self):
        storebox.DaemonTest.setUp(self)
        self.notifications = agentbox.Notifications(self.desktop.env["DBUS_SESSION_BUS_ADDRESS"])
        self.addCleanup(self.notifications.stop)
        self.agent_env = {"DBUS_SYSTEM_BUS_ADDRESS": self.box.bus_address} | SMALL_QUARANTINE
        self.agent = self.launch()
        until(lambda: "is there to be asked" in self.box.log("daemon"), "the agent to register")
        self.focus(self.other)
        self.figures = {}

    def start(self, config=None, **options):
        return storebox.DaemonTest.start(self, config, **SMALL_QUARANTINE, **options)

    def tearDown(self):
        agentbox.AgentTest.tearDown(self)
        self.end_agent(self.agent)
        storebox.DaemonTest.tearDown(self)

    # ---- what is seen ----

    def sender_of(self, window):
        """Whose question it is: what is spoken of it begins with the name."""
        spoken = [name for name in (n.get_name() for n in window.nodes()) if " wants to send a pendrive to " in name]
        self.assertEqual(len(spoken), 1, spoken)
        return spoken[0].split(" ")[0]

    def counted(self, window):
        """Those that wait below it, {"work": 3}."""
        line = [text for text in window.texts() if MORE.match(text)]
        return {name: int(n) for n, name in MORE.findall(line[0])} if line else {}

    def asking(self, vm):
        """How many of that VM's pendrives the daemon has a question about."""
        return sum((r.get("sender"), r.get("state")) == (str(vm.domid), "asking") for r in self.records().values())

    def waits(self, name):
        windows = self.shown(self.TITLE)
        return bool(windows) and name in self.counted(windows[0])

    # ---- the flood ----

    def start_flood(self):
        # Its mailbox is there before it writes, as in a VM whose programs have started.
        self.work.wait_mailbox()
        return self.work.popen(["/usr/bin/python3", pathlib.Path(__file__).parent / "flooder.py",
                                self.work.socket_path, "personal", SECONDS, ATTEMPT_PER_SECOND],
                               stdin=subprocess.PIPE)

    def measure(self, key, began):
        self.figures[key] = time.monotonic() - began

    def usage(self):
        return {name: (memory_kib(pid), cpu_s(pid)) for name, pid in
                (("agent", self.agent.pid), ("daemon", self.box.daemon.pid))}

    def mail_asks(self):
        """Another VM sends while the flood goes on: the ID of its request."""
        self.lend(self.mail)
        began = time.monotonic()
        ident = self.post(self.mail, "send personal")
        until(lambda: self.waits("mail"), "the other VM's question")
        self.measure(LISTED, began)
        # Below the one that is shown, which is work's still.
        self.assertEqual(self.counted(self.window())["mail"], 1)
        return ident

    def watch_until_it_ends(self, flooder):
        """At each moment there is one question to be seen, and it is work's."""
        looks = 0
        flooder.stdin.close()
        while flooder.poll() is None:
            windows = self.shown(self.TITLE)
            self.assertEqual(len(windows), 1)
            self.assertEqual(self.sender_of(windows[0]), "work")
            looks += 1
            pause(LOOK_EVERY_MS)
        self.assertEqual(flooder.returncode, 0, flooder.stderr.read())
        return looks, json.loads(flooder.stdout.read())

    def tell_rate(self, told):
        rate = told["sends"] / told["seconds"]
        print(f"{told['sends']} sends and {told['writes'] - told['sends']} new in {told['seconds']:.1f} s: "
              f"{rate:.0f} sends a second", flush=True)
        self.figures["sends"] = rate

    def check_usage(self, before, after, seconds):
        for name, (kib, cpu) in after.items():
            grown_kib, share = kib - before[name][0], (cpu - before[name][1]) / seconds
            print(f"{name}: {grown_kib} KiB more, {share:.0%} of a processor", flush=True)
            self.assertLess(grown_kib, GROWTH_KIB, name)
            self.figures[f"{name}, KiB"], self.figures[f"{name}, processor"] = grown_kib, share

    def test_a_thousand_a_second(self):
        flooder, flooding = self.start_flood(), time.monotonic()
        until(lambda: self.shown(self.TITLE) or flooder.poll() is not None, "the first question")
        # From then on nothing new comes to the agent but what the budget allows.
        until(lambda: "asks too often" in self.box.log("daemon"), "the budget to be used up")
        before, began = self.usage(), time.monotonic()
        ident = self.mail_asks()
        self.assertIsNone(flooder.poll(), "the flood was over before the other VM asked")
        looks, told = self.watch_until_it_ends(flooder)
        self.assertGreater(looks, 1)
        self.tell_rate(told)
        self.check_usage(before, self.usage(), time.monotonic() - began)
        self.assertLess(self.figures[LISTED], 20)

        # One notification, of the first that was refused.
        self.assertEqual(self.notifications.shown,
                         [("work asks too often", "1 more of its pendrives was refused, unasked.")])
        # No more questions than its burst, and one for each interval that has passed.
        n_asked = self.box.log("daemon").count("freezing -> asking") - 1
        self.assertGreaterEqual(n_asked, BURST)
        self.assertLessEqual(n_asked, BURST + (time.monotonic() - flooding) // INTERVAL_S + 1)
        self.count_is_right()
        self.answer_both(ident)
        if "QFX_FLOOD_FIGURES" in os.environ:
            pathlib.Path(os.environ["QFX_FLOOD_FIGURES"]).write_text(json.dumps(self.figures), encoding="ascii")

    def count_is_right(self):
        """What waits is what the daemon asks, less the one in the window."""
        until(lambda: self.counted(self.window()) == {"work": self.asking(self.work) - 1, "mail": 1},
              "the count of those that wait")

    def answer_both(self, ident):
        """After work's question comes that of the other VM, and its pendrive arrives."""
        window = self.window()
        self.open_guard(window)
        self.click(self.button(window, "Refuse, and block work for 10 minutes"))
        began = time.monotonic()
        until(lambda: [w for w in self.shown(self.TITLE) if self.sender_of(w) == "mail"], "mail's question")
        self.measure(NEXT, began)
        window = self.window()
        # The block took back what else work had asked.
        until(lambda: self.counted(window) == {}, "work's questions to go")
        self.open_guard(window)
        self.click(self.button(window, "Allow"))
        self.assertEqual(self.wait_reply(self.mail, ident), "ok delivered")
        for key in (LISTED, NEXT):
            print(f"{key}: {self.figures[key]:.2f} s", flush=True)


if __name__ == "__main__":
    try:
        storebox.main()
    finally:
        if agentbox.AgentTest.desktop:
            agentbox.AgentTest.desktop.close()
