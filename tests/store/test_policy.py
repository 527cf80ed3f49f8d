#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy's files and blocked VMs, with the real daemon: what is asked, what is not, and what is read when."""
import os
import subprocess

import storebox


class PolicyTest(storebox.DaemonTest):
    def setUp(self):
        super().setUp()
        self.work, self.personal = self.vms[:2]

    @property
    def folder(self):
        return self.box.dir / "policy.d"

    def write(self, text, name="50-test.policy"):
        """Writes a file of the policy, in one step, and waits until the daemon has read it."""
        before = self.box.log("daemon").count("the policy was read")
        temporary = self.folder / ".new"
        temporary.write_text(text)
        os.replace(temporary, self.folder / name)
        storebox.until(lambda: self.box.log("daemon").count("the policy was read") > before, "the policy to be read")

    def bus(self, method, *arguments):
        return subprocess.run(
            ["gdbus", "call", "--address", self.box.bus_address, "--dest", "org.qubes.FileExchange1",
             "--object-path", "/org/qubes/FileExchange1", "--method", f"org.qubes.FileExchange1.{method}", *arguments],
            capture_output=True, text=True, timeout=60)

    def sent(self, sender, dest="personal"):
        self.lend(sender)
        return self.ask(sender, f"send {dest}")

    def test_allowed_without_an_agent(self):
        self.write("qubes.Pendrive * work personal allow\n")
        self.assertEqual(self.sent(self.work), "ok delivered")

    def test_denied_though_an_agent_would_allow_it(self):
        self.box.start_agent("--yes")
        self.write("qubes.Pendrive * work personal deny\nqubes.Pendrive * @anyvm @anyvm ask\n")
        self.assert_error(self.sent(self.work), "refused")
        self.assertNotIn("wants to send", self.box.log("agent"))

    def test_a_wrong_line_keeps_the_old_policy(self):
        self.write("qubes.Pendrive * work personal allow\n")
        temporary = self.folder / ".new"
        temporary.write_text("qubes.Pendrive * work personal deny\nqubes.Pendrive * work nonsense\n")
        os.replace(temporary, self.folder / "40-wrong.policy")
        self.wait_log("40-wrong.policy:2")
        self.wait_log("the policy that was in force stays in force")
        self.assertEqual(self.sent(self.work), "ok delivered")

    def test_remembered(self):
        """What an agent says before its answer holds from then on."""
        self.lend(self.work)
        ident = self.post(self.work, "send personal")
        record = self.wait_record(self.work, "asking")
        done = self.bus("Remember", record["id"], "true", "session")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = (self.box.dir / "session-policy.d" / "30-remembered.policy").read_text()
        self.assertRegex(lines, r"(?m)^qubes\.Pendrive\s+\*\s+work\s+personal\s+allow")
        for how in ("for ever", ""):
            self.assertNotEqual(self.bus("Remember", record["id"], "true", how).returncode, 0)
        self.box.start_agent("--no")
        self.assert_error(self.wait_reply(self.work, ident), "refused")
        # The answer was a no, but what is remembered is a yes.
        self.assertEqual(self.sent(self.work), "ok delivered")

    def test_nothing_is_remembered_of_no_question(self):
        done = self.bus("Remember", "1", "true", "always")
        self.assertIn("there is no such question", done.stderr)
        self.assertFalse((self.folder / "30-remembered.policy").exists())

    def test_blocked(self):
        self.box.start_agent("--yes")
        self.box.ctl("block", "work")
        self.assertIn("work", self.box.ctl("blocked"))
        self.assert_error(self.sent(self.work), "refused")
        self.assertNotIn("wants to send", self.box.log("agent"))
        self.assertEqual(self.sent(self.personal, "work"), "ok delivered")
        self.box.ctl("unblock", "work")
        self.assertIn("No VM is blocked", self.box.ctl("blocked"))
        self.assertEqual(self.sent(self.work), "ok delivered")

    def test_blocked_for_a_while(self):
        self.box.ctl("block", "work", "10")
        self.assertRegex(self.box.ctl("blocked"), r"^work +for ")
        answer = self.bus("ListBlocked").stdout
        self.assertRegex(answer, r"'work', (uint32 )?[1-9]")

    def test_a_block_ends_the_question(self):
        self.lend(self.work)
        ident = self.post(self.work, "send personal")
        self.wait_record(self.work, "asking")
        self.box.ctl("block", "work")
        self.assert_error(self.wait_reply(self.work, ident), "refused")

    def test_what_cannot_be_blocked(self):
        self.assertNotEqual(self.box.ctl("block", "no name", check=False).returncode, 0)
        self.assertNotEqual(self.box.ctl("unblock", "work", check=False).returncode, 0)
        for words in (("block",), ("block", "work", "0"), ("block", "work", "soon"), ("block", "a", "1", "2")):
            self.assertEqual(self.box.ctl(*words, check=False).returncode, 64)


if __name__ == "__main__":
    storebox.main()
