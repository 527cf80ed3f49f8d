#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The history: what the daemon writes, which its log shows here, and qfilexchgctl history over a real file of a
journal, made by systemd-journal-remote. That both fit together is seen in the Xen box."""
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile
import unittest

import storebox

OURS = "fb30764965a641f1bb6c2b940cb578ff"
REMOTE = "/lib/systemd/systemd-journal-remote"
NOON_US = 1_790_000_000_000_000
MINUTE_US = 60_000_000
HOST = {"_BOOT_ID": "0123456789abcdef0123456789abcdef", "_MACHINE_ID": "fedcba9876543210fedcba9876543210",
        "_HOSTNAME": "dom0"}

YES = {"MESSAGE": "transfer 3, work to personal: allowed by agent of uid 1000", "QFX_EVENT": "decision",
       "QFX_KIND": "files", "QFX_TRANSFER": "3", "QFX_PENDRIVE": "0" * 31 + "3", "QFX_SENDER": "work",
       "QFX_SENDER_DOMID": "7", "QFX_RECEIVER": "personal", "QFX_RECEIVER_DOMID": "8", "QFX_SIZE": "1073741824",
       "QFX_USED": "52428800", "QFX_DECISION": "allowed", "QFX_BY": "agent", "QFX_UID": "1000",
       "QFX_RULE": "/etc/qfilexchgd/policy.d/90-default.policy:31", "QFX_ASKED_MS": "2500"}
END = {"MESSAGE": "transfer 3, work to personal: delivered, returned", "QFX_EVENT": "end", "QFX_KIND": "files",
       "QFX_TRANSFER": "3", "QFX_PENDRIVE": "0" * 31 + "3", "QFX_SENDER": "work", "QFX_SENDER_DOMID": "7",
       "QFX_RECEIVER": "personal", "QFX_RECEIVER_DOMID": "8", "QFX_SIZE": "1073741824", "QFX_RESULT": "delivered",
       "QFX_REASON": "returned", "QFX_TOTAL_MS": "300000"}
DENIED = {"QFX_EVENT": "decision", "QFX_KIND": "files", "QFX_TRANSFER": "4", "QFX_SENDER": "bank",
          "QFX_RECEIVER": "work", "QFX_SIZE": "1048576", "QFX_DECISION": "refused", "QFX_BY": "policy",
          "QFX_RULE": "/etc/qfilexchgd/policy.d/50-own.policy:2"}
SAVED = {"QFX_EVENT": "disposable-end", "QFX_DISPOSABLE": "5", "QFX_TRANSFER": "9", "QFX_SENDER": "bank",
         "QFX_RECEIVER": "disp5", "QFX_RESULT": "saved", "QFX_TOTAL_MS": "61000"}


def field(name, value):
    """In the export format: a value with anything but text goes by its length."""
    data = value if isinstance(value, bytes) else value.encode()
    if all(32 <= byte < 127 for byte in data):
        return name.encode() + b"=" + data + b"\n"
    return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"


def entry(fields, minute=0, **more):
    """An entry of the daemon's, unless `more` says otherwise."""
    time_us = NOON_US + minute * MINUTE_US
    whole = {"__REALTIME_TIMESTAMP": str(time_us), "__MONOTONIC_TIMESTAMP": str(minute * MINUTE_US + 1), **HOST,
             "_UID": "0", "MESSAGE_ID": OURS, **fields, **more}
    return b"".join(field(name, value) for name, value in whole.items()) + b"\n"


class Written(storebox.DaemonTest):
    """By the real daemon, under its agent and its policy."""

    def entries(self):
        """What was written until now: the fields of each entry."""
        lines = [line.partition("history: ")[2] for line in self.box.log("daemon").splitlines() if "history: " in line]
        return [dict(one.split("=", 1) for one in line.split("|")) for line in lines]

    def wait_entries(self, n):
        storebox.until(lambda: len(self.entries()) >= n, f"{n} entries in the history")
        entries = self.entries()
        self.assertEqual(len(entries), n, entries)
        return entries

    def agent(self, answer):
        self.box.start_agent(answer)
        self.wait_log("Waiting for questions.", "agent")

    def give_back(self):
        self.assertEqual(self.ask(self.personal, "umount"), "ok")
        self.wait_nothing_left()

    def test_a_yes_and_what_comes_of_it(self):
        self.agent("--yes")
        self.deliver(self.work, self.personal)
        self.give_back()
        decision, end = self.wait_entries(2)
        self.assertEqual((decision["MESSAGE_ID"], end["MESSAGE_ID"]), (OURS, OURS))
        same = {"QFX_KIND": "files", "QFX_TRANSFER": "1", "QFX_SENDER": "work", "QFX_RECEIVER": "personal",
                "QFX_SENDER_DOMID": str(self.work.domid), "QFX_RECEIVER_DOMID": str(self.personal.domid),
                "QFX_SIZE": str(64 << 20)}
        self.assertLessEqual(same.items(), decision.items())
        self.assertLessEqual(same.items(), end.items())
        self.assertEqual(decision["QFX_PENDRIVE"], end["QFX_PENDRIVE"])
        self.assertLessEqual({"QFX_EVENT": "decision", "QFX_DECISION": "allowed", "QFX_BY": "agent",
                              "QFX_UID": str(os.getuid())}.items(), decision.items())
        self.assertIn("built in", decision["QFX_RULE"])
        self.assertLessEqual({"QFX_EVENT": "end", "QFX_RESULT": "delivered", "QFX_REASON": "returned"}.items(),
                             end.items())
        self.assertGreaterEqual(int(end["QFX_TOTAL_MS"]), int(decision["QFX_ASKED_MS"]))
        self.assertIn(int(decision["QFX_USED"]), range(1, 64 << 20))

    def test_a_rule_by_its_line(self):
        policy = self.box.dir / "policy.d" / "50-test.policy"
        policy.write_text("# two lines\n\nqubes.Pendrive * work personal deny\n")
        policy.chmod(0o644)
        self.restart(config={"questions": {"hide-refusals": "no"}})
        self.lend(self.work)
        self.assert_error(self.ask(self.work, "send personal"), "refused")
        decision, end = self.wait_entries(2)
        self.assertLessEqual({"QFX_DECISION": "refused", "QFX_BY": "policy", "QFX_RULE": f"{policy}:3"}.items(),
                             decision.items())
        self.assertEqual(end["QFX_RESULT"], "refused")
        self.assertNotIn("QFX_UID", decision)

    def test_a_restart_ends_nothing_twice(self):
        self.agent("--yes")
        self.deliver(self.work, self.personal)
        self.wait_entries(1)
        self.restart(number=signal.SIGKILL)
        self.give_back()
        # The log goes on where the killed daemon's ended.
        decision, end = self.wait_entries(2)
        self.assertEqual((decision["QFX_EVENT"], end["QFX_EVENT"]), ("decision", "end"))
        self.assertEqual(end["QFX_REASON"], "returned")

    def test_hidden_names(self):
        self.restart(config={"log": {"names": "no"}})
        self.agent("--yes")
        self.deliver(self.work, self.personal)
        self.give_back()
        decision, end = self.wait_entries(2)
        for entry in decision, end:
            self.assertNotIn("QFX_SENDER", entry)
            self.assertNotIn("QFX_RECEIVER", entry)
            self.assertEqual(entry["QFX_SENDER_DOMID"], str(self.work.domid))
        self.box.ctl("block", "work")
        self.wait_log("VM (hidden) is blocked")
        self.lend(self.work)
        self.post(self.work, "send personal")
        self.wait_log("is blocked: refused, unasked")
        log = self.box.log("daemon").rpartition("qfilexchgd stops")[2]
        self.assertIn(f"domain {self.work.domid} to domain {self.personal.domid}", log)
        self.assertNotRegex(log, r"\bwork\b|\bpersonal\b")

    def test_names_are_hidden_on_reload(self):
        self.box.write_config(self.make_config({"log": {"names": "no"}}))
        self.box.daemon.process.send_signal(signal.SIGHUP)
        self.wait_log("was read again")
        self.agent("--yes")
        self.deliver(self.work, self.personal)
        self.assertNotIn("QFX_SENDER", self.wait_entries(1)[0])


class History(unittest.TestCase):
    def setUp(self):
        self.assertTrue(os.access(REMOTE, os.X_OK), "systemd-journal-remote is not installed")
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="qfx-history-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.journal = self.dir / "test.journal"

    def write(self, *entries):
        subprocess.run([REMOTE, f"--output={self.journal}", "-"], input=b"".join(entries), check=True,
                       capture_output=True, timeout=storebox.DEADLINE_S)

    def run_ctl(self, *arguments, file=True):
        where = ["--file", str(self.journal)] if file else []
        return subprocess.run([storebox.find_built("qfilexchgctl"), "history", *where, *arguments],
                              capture_output=True, timeout=storebox.DEADLINE_S, env={**os.environ, "TZ": "UTC"})

    def history(self, *arguments):
        done = self.run_ctl(*arguments)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return done.stdout.decode("ascii")

    def read(self, *arguments):
        """The entries, as JSON has them."""
        return [json.loads(line) for line in self.history("--json", *arguments).splitlines()]

    def events(self, *arguments):
        return [(e["transfer"], e["event"]) for e in self.read(*arguments)]

    def refused(self, *arguments, status=64):
        done = self.run_ctl(*arguments)
        self.assertEqual((done.returncode, done.stdout), (status, b""))
        return done.stderr.decode()

    # -- what is shown

    def test_json(self):
        self.write(entry(YES))
        self.assertEqual(self.read(), [{
            "time": "2026-09-21T14:13:20.000000Z", "event": "decision", "kind": "files", "transfer": 3,
            "pendrive": "0" * 31 + "3", "sender": "work", "sender_domid": 7, "receiver": "personal",
            "receiver_domid": 8, "size": 1 << 30, "used": 50 << 20, "decision": "allowed", "by": "agent", "uid": 1000,
            "rule": "/etc/qfilexchgd/policy.d/90-default.policy:31", "asked_ms": 2500}])

    def test_table(self):
        self.write(entry(YES), entry(END, 5), entry(DENIED, 6), entry(SAVED, 8))
        head, *rows = [line.split() for line in self.history().splitlines()]
        self.assertEqual(head, ["TIME", "ID", "SENDER", "RECEIVER", "SIZE", "USED", "TOOK", "WHAT"])
        self.assertEqual([" ".join(row) for row in rows], [
            "2026-09-21 14:13:20 3 work personal 1.0 GiB 50.0 MiB 2 s allowed by agent, uid 1000",
            "2026-09-21 14:18:20 3 work personal 1.0 GiB - 5 min delivered, returned",
            "2026-09-21 14:19:20 4 bank work 1.0 MiB - - refused by policy, /etc/qfilexchgd/policy.d/50-own.policy:2",
            "2026-09-21 14:21:20 9 bank disp5 - - 61 s DisposableVM: saved"])

    def test_hidden_names(self):
        nameless = {name: value for name, value in YES.items() if name not in ("QFX_SENDER", "QFX_RECEIVER")}
        self.write(entry(nameless))
        self.assertIn("domain 7          domain 8 ", self.history())
        self.assertNotIn("sender", self.read()[0])

    def test_nothing_yet(self):
        self.write(entry({"MESSAGE": "another program's"}, MESSAGE_ID="0" * 32))
        self.assertEqual(self.history(), "No such entry is in the history.\n")
        self.assertEqual(self.history("--json"), "")

    # -- what is asked for

    def test_of_a_vm(self):
        self.write(entry(YES), entry(END, 5), entry(DENIED, 6), entry(SAVED, 8))
        self.assertEqual(self.events("--vm", "personal"), [(3, "decision"), (3, "end")])
        self.assertEqual(self.events("--vm", "work"), [(3, "decision"), (3, "end"), (4, "decision")])
        self.assertEqual(self.events("--vm", "bank"), [(4, "decision"), (9, "disposable-end")])
        self.assertEqual(self.events("--vm", "nobody"), [])

    def test_since(self):
        self.write(entry(YES), entry(END, 5), entry(DENIED, 6))
        self.assertEqual(self.events("--since", "2026-09-21 14:18:20"), [(3, "end"), (4, "decision")])
        self.assertEqual(self.events("--since", "2026-09-21 14:18:21"), [(4, "decision")])
        self.assertEqual(len(self.events("--since", "2026-09-21")), 3)
        self.assertEqual(self.events("--since", "2026-09-22"), [])

    def test_the_last_ones(self):
        self.write(entry(YES), entry(END, 5), entry(DENIED, 6))
        self.assertEqual(self.events("-n", "2"), [(3, "end"), (4, "decision")])
        self.assertEqual(self.events("-n", "1", "--vm", "personal"), [(3, "end")])
        self.assertEqual(len(self.events("-n", "100")), 3)

    # -- what others write

    def test_a_forged_entry_is_not_shown(self):
        """Whoever writes into the journal can send our fields, but not as root."""
        forged = {**YES, "QFX_TRANSFER": "66"}
        self.write(entry(forged, _UID="1000"), entry(forged, 1, _UID="1000", UID="0"),
                   entry(forged, 2, _UID="1000", _SYSTEMD_UNIT="qfilexchgd.service"), entry(YES, 3))
        self.assertEqual(self.events(), [(3, "decision")])
        self.assertEqual(self.events("--vm", "work"), [(3, "decision")])

    def test_nothing_reaches_the_terminal_raw(self):
        hostile = b"\x1b]0;owned\x07a\nb\x9b31m\xff\xc3\xa4"
        self.write(entry(DENIED, QFX_SENDER=hostile, QFX_RULE=hostile, QFX_RESULT=hostile, QFX_SIZE=hostile))
        shown = self.history()
        self.assertIn(r"\033]0;owned\aa\nb\23331m\377\303\244".replace(r"\a", r"\007"), shown)
        self.assertTrue(all(c == "\n" or c.isprintable() for c in shown))
        self.assertEqual(len(shown.splitlines()), 2)
        line = self.history("--json")
        self.assertTrue(all(c.isprintable() for c in line.rstrip("\n")))
        self.assertEqual(json.loads(line)["sender"], r"\033]0;owned\007a\nb\23331m\377\303\244")

    def test_numbers_that_are_none(self):
        """They stay what they are, as text."""
        self.write(entry(DENIED, QFX_SIZE="1e9", QFX_UID="-1", QFX_ASKED_MS="99999999999999999999"))
        got = self.read()[0]
        self.assertEqual((got["size"], got["uid"], got["asked_ms"]), ("1e9", "-1", "99999999999999999999"))
        self.assertIn("  -  ", self.history())

    # -- what goes wrong

    def test_wrong_words(self):
        self.write(entry(YES))
        self.assertIn("cannot be the name of a VM", self.refused("--vm", "a b"))
        self.assertIn("is no time; it can be", self.refused("--since", "tomorrow"))
        self.assertIn("a number from 1 on", self.refused("-n", "0"))
        self.assertIn("a number from 1 on", self.refused("-n", "-1"))
        self.assertIn("and few is none", self.refused("-n", "few"))
        self.assertIn("takes no word", self.refused("work"))
        self.assertIn("Unknown option", self.refused("--colour"))

    def test_no_such_file(self):
        self.assertRegex(self.refused(status=1), r"cannot open .*test\.journal: No such file")

    def test_no_journal(self):
        """A file that is none, as an empty one is."""
        self.journal.write_bytes(b"this is no journal\n" * 1000)
        self.assertRegex(self.refused(status=1), r"cannot (open|read) .*test\.journal: ")

    def test_help(self):
        done = self.run_ctl("--help", file=False)
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"qfilexchgctl history [OPTION", done.stdout)


if __name__ == "__main__":
    storebox.main()
