#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy's files and blocked VMs: what is asked, what is not, and what is read when."""
import contextlib
import os
import signal
import subprocess
import time

import storebox
import test_disposable

READ = "the policy was read"


class PolicyBox:
    """What the tests here do with files, on the bus and as the user, beside a DaemonTest's own."""

    @property
    def folder(self):
        return self.box.dir / "policy.d"

    def place(self, text, name="50-test.policy"):
        """A file is there at once, and whole."""
        temporary = self.box.dir / "new.policy"
        temporary.write_text(text)
        temporary.chmod(0o644)
        os.replace(temporary, self.folder / name)

    def write(self, text, name="50-test.policy"):
        """Writes a file of the policy, in one step, and waits until the daemon has read it."""
        with self.reading():
            self.place(text, name)

    @contextlib.contextmanager
    def reading(self):
        """Afterwards the policy has been read once more."""
        before = self.box.log("daemon").count(READ)
        yield
        storebox.until(lambda: self.box.log("daemon").count(READ) > before,
                       "the policy to be read")

    def agent(self, answer):
        """One that is registered."""
        self.box.start_agent(answer)
        self.wait_log("Waiting for questions.", "agent")

    def bus(self, method, *arguments):
        return subprocess.run(
            ["gdbus", "call", "--address", self.box.bus_address, "--dest", storebox.BUS_NAME,
             "--object-path", "/org/qubes/FileExchange1", "--method",
             f"{storebox.BUS_NAME}.{method}", *arguments],
            capture_output=True, text=True, timeout=storebox.DEADLINE_S)

    def assert_not_remembered(self, number, why, how="always"):
        done = self.bus("Remember", str(number), "true", how)
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, why)
        self.assertFalse((self.folder / "30-remembered.policy").exists())
        self.assertFalse((self.box.dir / "session-policy.d" / "30-remembered.policy").exists())

    def sent(self, sender, dest="personal"):
        self.lend(sender)
        return self.ask(sender, f"send {dest}")


class Policy(PolicyBox, storebox.DaemonTest):
    def test_allowed_without_an_agent(self):
        self.write("qubes.Pendrive * work personal allow\n")
        self.assertEqual(self.sent(self.work), "ok delivered")

    def test_denied_though_an_agent_would_allow_it(self):
        """And in the words that are told of a VM which does not exist."""
        self.agent("--yes")
        missing = self.sent(self.work, "nobody")
        self.write("qubes.Pendrive * work personal deny\nqubes.Pendrive * @anyvm @anyvm ask\n")
        self.assertEqual(self.sent(self.work), missing)
        self.assert_error(missing, "refused")
        self.assertNotIn("wants to send", self.box.log("agent"))
        self.wait_nothing_left()
        self.assertEqual(self.sent(self.work, "other"), "ok delivered")

    def test_a_changed_file_holds_from_then_on(self):
        self.write("qubes.Pendrive * work personal allow\n")
        self.assertEqual(self.sent(self.work), "ok delivered")
        self.write("qubes.Pendrive * work personal deny\n")
        self.assert_error(self.sent(self.work), "refused")
        with self.reading():
            (self.folder / "50-test.policy").unlink()
        self.agent("--yes")
        self.assertEqual(self.sent(self.work, "other"), "ok delivered")
        self.assertIn("wants to send", self.box.log("agent"))

    def test_hangup(self):
        """Read again, though nothing has changed."""
        with self.reading():
            self.box.daemon.process.send_signal(signal.SIGHUP)
        self.wait_log("qfilexchgd.conf was read again")

    def test_a_file_that_others_may_write_is_not_believed(self):
        self.write("qubes.Pendrive * work personal deny\n")
        temporary = self.box.dir / "open.policy"
        temporary.write_text("qubes.Pendrive * work personal allow\n")
        temporary.chmod(0o666)
        os.replace(temporary, self.folder / "10-open.policy")
        self.wait_log("the policy that was in force stays in force")
        self.assertIn("10-open.policy", self.box.log("daemon"))
        self.assert_error(self.sent(self.work), "refused")

    def test_wrong_from_the_start_denies_everything(self):
        self.box.daemon.stop()
        self.place("nonsense\n", "20-wrong.policy")
        self.start()
        self.wait_log("20-wrong.policy:1:1: ")
        self.agent("--yes")
        self.assert_error(self.sent(self.work), "refused")
        self.assertNotIn("wants to send", self.box.log("agent"))
        self.write("qubes.Pendrive * work personal allow\n", "20-wrong.policy")
        self.assertEqual(self.sent(self.work), "ok delivered")

    def test_a_wrong_line_keeps_the_old_policy(self):
        self.write("qubes.Pendrive * work personal allow\n")
        self.place("qubes.Pendrive * work personal deny\nqubes.Pendrive * work nonsense\n",
                   "40-wrong.policy")
        self.wait_log("40-wrong.policy:2:")
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
            done = self.bus("Remember", record["id"], "true", how)
            self.assertIn("for this session or always", done.stderr)
        self.box.start_agent("--no")
        self.assert_error(self.wait_reply(self.work, ident), "refused")
        # The answer was a no, but what is remembered is a yes.
        self.assertEqual(self.sent(self.work), "ok delivered")
        self.assertFalse((self.folder / "30-remembered.policy").exists())

    def test_remembered_always(self):
        """A no, in the administrator's folder; the other way round is still asked about."""
        ident = self.start_asking(self.work, self.personal)
        number = self.wait_record(self.work, "asking")["id"]
        done = self.bus("Remember", number, "false", "always")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = (self.folder / "30-remembered.policy").read_text().splitlines()
        self.assertEqual([line for line in lines if line and not line.startswith("#")],
                         ["qubes.Pendrive * work personal deny"])
        self.wait_record(self.work, "asking")  # this question is not answered by it
        self.agent("--yes")
        self.assertEqual(self.wait_reply(self.work, ident), "ok delivered")
        self.restart()
        self.agent("--yes")
        self.assert_error(self.sent(self.work), "refused")
        self.assertEqual(self.sent(self.personal, "work"), "ok delivered")

    def test_nothing_is_remembered_where_it_would_not_hold(self):
        """Before the remembered answers there stands a rule that would beat it."""
        self.write("qubes.Pendrive * @anyvm @anyvm ask\n", "20-user.policy")
        self.start_asking(self.work, self.personal)
        self.assert_not_remembered(
            self.wait_record(self.work, "asking")["id"],
            r"from work to personal is decided before .*/20-user\.policy:1\)")

    def test_nothing_is_remembered_of_no_question(self):
        self.lend(self.work)
        number = self.wait_record(self.work, "lent")["id"]
        for of in (number, "99"):
            self.assert_not_remembered(of, "there is no such question")


class Blocks(PolicyBox, storebox.DaemonTest):
    def test_blocked(self):
        self.agent("--yes")
        missing = self.sent(self.work, "nobody")
        self.box.ctl("block", "work")
        self.assertRegex(self.box.ctl("blocked"), r"\Awork +until it is unblocked\n\Z")
        self.assertEqual(self.bus("ListBlocked").stdout, "([('work', uint32 0)],)\n")
        self.assertEqual(self.sent(self.work), missing)
        self.assertNotIn("wants to send", self.box.log("agent"))
        self.assertEqual(self.sent(self.personal, "work"), "ok delivered")
        self.box.ctl("unblock", "work")
        self.assertIn("No VM is blocked", self.box.ctl("blocked"))
        self.assertEqual(self.sent(self.work), "ok delivered")

    def test_blocked_for_a_while(self):
        """Until that is over, or from then on for as long as was said last."""
        self.box.ctl("block", "work", "10")
        self.assertRegex(self.box.ctl("blocked"), r"\Awork +for ")
        self.assertRegex(self.bus("ListBlocked").stdout, r"\('work', uint32 (600|5\d\d)\)")
        self.write("qubes.Pendrive * work personal allow\n")
        self.assert_error(self.sent(self.work), "refused")
        self.assertEqual(self.bus("Block", "work", "1").returncode, 0)
        storebox.until(lambda: self.box.ctl("blocked") == "No VM is blocked.\n",
                       "the block to end")
        self.assertEqual(self.sent(self.work), "ok delivered")

    def test_the_user_is_told(self):
        self.box.spawn("monitor", ["gdbus", "monitor", "--address", self.box.bus_address, "--dest",
                                   storebox.BUS_NAME])
        self.wait_log("is owned by", "monitor")
        self.box.ctl("block", "work")
        self.wait_log("Notice ('blocked', {", "monitor")
        self.assertRegex(self.box.log("monitor"), r"Notice \('blocked', \{.*'vm': <'work'>")

    def test_a_restart_does_not_end_it(self):
        """Nor does a kill; a name may have characters that a path in xenstore may not."""
        self.agent("--yes")
        for vm in ("work", "a.b+c_d-e"):
            self.box.ctl("block", vm)
        for number in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(number):
                self.restart(number)
                self.agent("--yes")
                self.assertEqual(sorted(line.split()[0] for line in self.box.ctl("blocked").splitlines()),
                                 ["a.b+c_d-e", "work"])
                self.assert_error(self.sent(self.work), "refused")
        for vm in ("work", "a.b+c_d-e"):
            self.box.ctl("unblock", vm)
        self.restart()
        self.assertEqual(self.box.ctl("blocked"), "No VM is blocked.\n")
        self.assertEqual(self.box.dom0.ls("/qfilexchgd/blocked"), [])
        self.agent("--yes")
        self.assertEqual(self.sent(self.work), "ok delivered")

    def test_it_ends_while_no_daemon_runs(self):
        self.write("qubes.Pendrive * work personal allow\n")
        self.assertEqual(self.bus("Block", "work", "1").returncode, 0)
        self.box.daemon.stop()
        path, = self.box.dom0.ls("/qfilexchgd/blocked")
        record = self.box.dom0.read(f"/qfilexchgd/blocked/{path}")
        until_ms = int(record.splitlines()[2].partition("=")[2])
        storebox.until(lambda: time.monotonic() * 1000 > until_ms, "the block's end")
        self.start()
        self.assertEqual(self.box.ctl("blocked"), "No VM is blocked.\n")
        self.assertEqual(self.box.dom0.ls("/qfilexchgd/blocked"), [])
        self.assertEqual(self.sent(self.work), "ok delivered")

    def test_a_damaged_record_is_no_block(self):
        self.box.daemon.stop()
        self.box.dom0.write("/qfilexchgd/blocked/x", "rubbish")
        self.start()
        self.wait_log("a record of a blocked VM in xenstore is damaged")
        self.assertEqual(self.box.ctl("blocked"), "No VM is blocked.\n")

    def test_a_block_ends_the_question(self):
        ident = self.start_asking(self.work, self.personal)
        self.box.ctl("block", "work")
        self.assert_error(self.wait_reply(self.work, ident), "refused")
        self.agent("--yes")  # has nothing to answer
        self.box.ctl("unblock", "work")
        self.assertEqual(self.sent(self.work), "ok delivered")
        self.assertEqual(self.box.log("agent").count("wants to send"), 1)

    def test_what_cannot_be_blocked(self):
        for words, why in ((("block", "no name"), "cannot be the name of a VM"),
                           (("unblock", "work"), "is not blocked")):
            done = self.box.ctl(*words, check=False)
            self.assertEqual(done.returncode, 1, words)
            self.assertIn(why, done.stderr)
        for words in (("block",), ("block", "work", "0"), ("block", "work", "soon"),
                      ("block", "a", "1", "2")):
            self.assertEqual(self.box.ctl(*words, check=False).returncode, 64)


class Disposables(PolicyBox, test_disposable.DisposableTest):
    def ask_about(self):
        self.write("qubes.PendriveDisposable * @anyvm @dispvm ask\n"
                   "qubes.Pendrive * @anyvm @anyvm ask\n")

    def test_asked_and_allowed(self):
        self.ask_about()
        self.agent("--yes")
        ident, vm = self.open(self.work)
        self.assertIn("work wants to open a file in a DisposableVM", self.box.log("agent"))
        self.finish(self.work, ident, vm)

    def test_asked_and_refused(self):
        self.ask_about()
        self.agent("--no")
        self.assert_error(self.wait_reply(self.work, self.send_request(self.work)), "refused")
        self.wait_nothing_left()

    def test_denied(self):
        """None is made, and the pendrive stays where it is."""
        self.write("qubes.PendriveDisposable * work @dispvm deny\n"
                   "qubes.PendriveDisposable * @anyvm @dispvm allow\n")
        self.assert_error(self.wait_reply(self.work, self.send_request(self.work)), "refused")
        self.wait_record(self.work, "lent")
        self.assertEqual(self.find_vms(), [])
        ident, vm = self.open(self.personal)
        self.finish_of(self.personal, ident, vm)

    def finish_of(self, opener, ident, vm):
        self.assertEqual(self.ask(vm, "killme"), "ok")
        self.assertEqual(self.wait_reply(opener, ident), "ok unchanged")

    def test_blocked(self):
        self.box.ctl("block", "work")
        self.assert_error(self.wait_reply(self.work, self.send_request(self.work)), "refused")
        self.assertEqual(self.find_vms(), [])

    def test_answers_are_not_remembered(self):
        """Neither about a file for one, nor about what one sends."""
        self.ask_about()
        self.send_request(self.work)
        number = self.wait_record(self.work, "asking")["id"]
        self.assert_not_remembered(number, "answers about DisposableVMs are not remembered")
        self.write("qubes.PendriveDisposable * @anyvm @dispvm allow\n"
                   "qubes.Pendrive * @anyvm @anyvm ask\n")
        _, vm = self.open(self.personal)
        self.assertEqual(self.ask(vm, "umount"), "ok")
        self.start_asking(vm, self.work)
        number = self.wait_record(vm, "asking")["id"]
        self.assert_not_remembered(number, "DisposableVMs are not: the next one of that name")


if __name__ == "__main__":
    storebox.main()
