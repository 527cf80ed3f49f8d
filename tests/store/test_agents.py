#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is asked, how a person answers, what a VM can learn from a refusal, and who may call."""
import os
import pathlib
import pwd
import re
import signal
import subprocess
import unittest

import storebox
import test_policy

OUT = storebox.OUTGOING
IN = storebox.INCOMING
POLICY = pathlib.Path(__file__).resolve().parents[2] / "dom0/daemon/org.qubes.FileExchange1.conf"


class AgentTest(storebox.DaemonTest):
    config = {"questions": {"timeout": "60"}}

    def agent(self, *arguments, name="agent", **options):
        """One that is registered."""
        agent = self.box.start_agent(*arguments, log=name, **options)
        self.wait_log("Waiting for questions.", name)
        return agent

    def agent_at_a_terminal(self, name="agent"):
        """One that asks, and the other end of its terminal."""
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        try:
            return self.agent(name=name, stdin=slave), master
        finally:
            os.close(slave)

    def leave(self, agent, number=signal.SIGTERM):
        """It has gone when the daemon knows."""
        before = self.box.log("daemon").count("has left")
        agent.send_signal(number)
        agent.wait()
        storebox.until(lambda: self.box.log("daemon").count("has left") > before,
                       "the daemon to notice")

    def send(self):
        """work has sent: the ID of the request."""
        self.lend(self.work)
        return self.post(self.work, "send personal")


class Agents(AgentTest):
    def test_yes(self):
        self.agent("--yes")
        self.assertEqual(self.wait_reply(self.work, self.send()), "ok delivered")
        self.wait_log("Allowed.\n", "agent")
        self.assertRegex(self.box.log("agent"), r"Transfer 1: work wants to send a pendrive of "
                         r"64\.0 MiB, [0-9.]+ KiB used, to personal\. \([0-9]+ s left\) Allowed\.")

    def test_no(self):
        self.agent("--no")
        self.assert_error(self.wait_reply(self.work, self.send()), "refused")
        self.wait_log(" Refused.\n", "agent")
        self.wait_nothing_left()

    def test_labels(self):
        """By their names, since a terminal need not have colours, nor its user see them."""
        self.restart(config={"labels": {"work": "blue", "personal": "red"}})
        self.agent("--yes")
        self.assertEqual(self.wait_reply(self.work, self.send()), "ok delivered")
        self.wait_log("Transfer 1: work (blue) wants to send a pendrive of ", "agent")
        self.wait_log(", to personal (red). (", "agent")

    def test_one_that_comes_later_is_asked_what_waits(self):
        ident = self.send()
        self.wait_log("nobody is there to be asked; start an agent")
        self.agent("--yes")
        self.assertEqual(self.wait_reply(self.work, ident), "ok delivered")

    def test_killed_while_asking_and_the_next_is_asked(self):
        first, _ = self.agent_at_a_terminal()
        ident = self.send()
        self.wait_log("work wants to send", "agent")
        self.leave(first, signal.SIGKILL)
        self.wait_record(self.work, "asking")
        self.assert_serves()
        self.agent("--yes", name="second")
        self.assertEqual(self.wait_reply(self.work, ident), "ok delivered")

    def test_the_last_that_registered_is_asked_and_then_the_former(self):
        self.agent("--yes", name="first")
        second = self.agent("--no", name="second")
        self.assert_error(self.wait_reply(self.work, self.send()), "refused")
        self.wait_log("Refused", "second")
        self.assertNotIn("Transfer", self.box.log("first"))
        self.leave(second)
        self.assertEqual(self.wait_reply(self.work, self.send()), "ok delivered")
        self.wait_log("Allowed", "first")

    def test_killed_while_asking_and_the_former_is_asked(self):
        self.agent("--yes", name="first")
        second, _ = self.agent_at_a_terminal("second")
        ident = self.send()
        self.wait_log("wants to send", "second")
        self.leave(second, signal.SIGKILL)
        self.assertEqual(self.wait_reply(self.work, ident), "ok delivered")

    def test_each_question_is_put_once(self):
        self.agent("--yes")
        for vm in (self.work, self.other):
            self.lend(vm)
        for vm in (self.work, self.other):
            self.post(vm, "send personal")
        # Whichever was asked about first has the slot; the other one waits for it.
        storebox.until(lambda: sorted(record.get("state") for record in self.records().values())
                       == ["delivered", "queued"], "one to be delivered and one to wait")
        self.assertEqual(self.box.log("agent").count("wants to send"), 2)

    def test_an_agent_ends_with_the_daemon(self):
        agent = self.agent("--yes")
        self.box.daemon.stop()
        self.assertEqual(agent.wait(storebox.DEADLINE_S), 1)
        self.assertIn("the daemon has stopped", self.box.log("agent"))

    def test_no_daemon(self):
        self.box.daemon.stop()
        for arguments in (("agent",), ("list",), ("show", "1"), ("cancel", "1")):
            done = self.box.ctl(*arguments, check=False)
            self.assertEqual(done.returncode, 69, arguments)
            self.assertIn("qfilexchgd is not running", done.stderr)


class NoAgent(AgentTest):
    config = {"questions": {"timeout": "1"}}

    def test_nobody_answers(self):
        self.lend(self.work)
        self.assert_error(self.ask(self.work, "send personal"), "refused")
        self.wait_nothing_left()
        self.assertFalse([line for line in self.box.history()
                          if f"domid={self.personal.domid} " in line])

    def test_the_one_asked_does_not_answer(self):
        agent, _ = self.agent_at_a_terminal()
        self.lend(self.work)
        self.assert_error(self.ask(self.work, "send personal"), "refused")
        self.wait_log("Transfer 1 needs no answer any more.", "agent")
        self.assertIsNone(agent.poll())


class Person(AgentTest):
    """Somebody sits at the terminal and types."""

    def setUp(self):
        super().setUp()
        self.person, self.terminal = self.agent_at_a_terminal()

    def type(self, text):
        os.write(self.terminal, text)

    def wait_question(self, count=1):
        storebox.until(lambda: self.box.log("agent").count("Allow it? [y/N]") >= count,
                       "the question")

    def test_what_counts_as_a_yes(self):
        for i, (typed, wanted) in enumerate((
                (b"y\n", "ok"), (b"Y\n", "ok"), (b"yes\n", "ok"), (b" yes \n", "ok"),
                (b"\n", "error"), (b"n\n", "error"), (b"yy\n", "error"), (b"ye\n", "error"),
                (b"y y\n", "error"))):
            with self.subTest(typed=typed):
                ident = self.send()
                self.wait_question(i + 1)
                self.type(typed)
                self.assertEqual(self.wait_reply(self.work, ident).split()[0], wanted)
                if wanted == "ok":
                    self.personal.wait_connected(IN)
                    self.assertEqual(self.ask(self.personal, "umount"), "ok")
                self.wait_nothing_left()

    def test_end_of_file_is_no_answer(self):
        """The terminal was closed: the question waits for somebody else."""
        ident = self.send()
        self.wait_question()
        self.type(b"\x04")
        self.assertEqual(self.person.wait(storebox.DEADLINE_S), 0)
        self.wait_record(self.work, "asking")
        self.agent("--yes", name="second")
        self.assertEqual(self.wait_reply(self.work, ident), "ok delivered")

    def test_a_line_before_the_question_does_not_answer_it(self):
        self.type(b"y\n")
        ident = self.send()
        self.wait_question()
        self.assertEqual(self.work.xs.read(f"device/qpen-reply/{ident}"), f"{ident} wait asking")
        self.type(b"n\n")
        self.assert_error(self.wait_reply(self.work, ident), "refused")

    def test_several_questions_one_after_the_other(self):
        idents = [(self.work, self.send())]
        self.wait_question()
        self.lend(self.other)
        idents.append((self.other, self.post(self.other, "send personal")))
        self.wait_record(self.other, "asking")
        self.type(b"y\n")
        self.wait_question(2)
        self.assertEqual(self.wait_reply(*idents[0]), "ok delivered")
        self.type(b"n\n")
        self.assert_error(self.wait_reply(*idents[1]), "refused")

    def test_the_senders_death_withdraws_the_question(self):
        self.send()
        self.wait_question()
        self.work.destroy()
        self.wait_log("Transfer 1 needs no answer any more.", "agent")
        self.wait_nothing_left()

    def test_what_was_typed_for_a_withdrawn_question_does_not_answer_the_next(self):
        self.send()
        self.wait_question()
        self.lend(self.other)
        ident = self.post(self.other, "send personal")
        self.wait_record(self.other, "asking")
        self.type(b"y")  # and before the Enter
        self.work.destroy()
        self.wait_question(2)
        self.type(b"\n")
        self.assert_error(self.wait_reply(self.other, ident), "refused")

    def test_a_cancel_withdraws_the_question(self):
        ident = self.send()
        self.wait_question()
        self.box.ctl("cancel", "1")
        self.wait_log("Transfer 1 needs no answer any more.", "agent")
        self.assert_error(self.wait_reply(self.work, ident), "refused")
        self.wait_nothing_left()


class Hidden(test_policy.PolicyBox, storebox.DaemonTest):
    """hide-refusals: a VM cannot tell a no from no answer, nor from a VM that is not there."""
    config = {"questions": {"hide-refusals": "yes", "timeout": "1"}}

    def refused(self, dest, meanwhile=lambda: None):
        """Sends to dest. What the VM sees of it, and the daemon's times from wait to answer."""
        with self.box.dom0.watch(f"{self.work.path}/device/qpen-reply") as watch:
            self.lend(self.work)
            watch.drain()
            ident = self.post(self.work, f"send {dest}")
            reply = self.work.xs.wait(f"device/qpen-reply/{ident}", f"{ident} wait asking")
            meanwhile()
            reply = self.wait_reply(self.work, ident)
            seen = [path.replace(ident, "ID") for path in watch.drain()]
        self.wait_nothing_left()
        return reply, seen, self.waited_s(ident)

    def waited_s(self, ident):
        """By the daemon's log, which it writes after the answer is out."""
        def logged():
            times = re.findall(rf"INFO: (\d+):(\d+):([0-9.]+): to domain {self.work.domid}: {ident} ",
                               self.box.log("daemon"))
            return times if len(times) > 1 else None

        first, last = (int(h) * 3600 + int(m) * 60 + float(s)
                       for h, m, s in storebox.until(logged, f"{ident} to be logged as answered"))
        return (last - first) % 86400

    def test_all_refusals_look_the_same(self):
        """Whatever the reason: no VM, no answer, a death, a no, the policy, too often, a block."""
        def destroy_receiver():
            self.wait_record(self.work, "asking")
            self.personal.destroy()

        cases = {"no such VM": self.refused("nobody"),
                 "no answer": self.refused("personal"),
                 "died meanwhile": self.refused("personal", destroy_receiver)}
        agent = self.box.start_agent("--no")
        cases["no"] = self.refused("other")
        agent.kill()
        self.write("qubes.Pendrive * @anyvm @anyvm deny\n")
        cases["denied"] = self.refused("other")
        self.write("qubes.Pendrive * @anyvm @anyvm ask\n")
        self.reload({"burst": "1", "interval": "86400"})  # and that one was spent above
        asked = self.box.log("daemon").count("asks too often: refused, unasked")
        cases["too often"] = self.refused("other")
        self.assertEqual(self.box.log("daemon").count("asks too often: refused, unasked"), asked + 1)
        self.reload({})
        self.box.ctl("block", "work")
        cases["blocked"] = self.refused("other")
        self.wait_log("VM work is blocked: refused, unasked")
        reply, seen, _ = cases["no such VM"]
        self.assert_error(reply, "refused")
        for name, (other_reply, other_seen, took_s) in cases.items():
            with self.subTest(name):
                self.assertEqual((other_reply, other_seen), (reply, seen))
                self.assertGreaterEqual(took_s, 1.0)
                # Later is what a busy machine makes of it.
                self.assertLess(took_s, storebox.DEADLINE_S)

    def reload(self, questions):
        """[questions], over the class's own."""
        before = self.box.log("daemon").count("was read again")
        self.box.write_config(self.make_config({"questions": questions}))
        self.box.daemon.process.send_signal(signal.SIGHUP)
        storebox.until(lambda: self.box.log("daemon").count("was read again") > before,
                       "the configuration to be read")

    def test_a_no_does_not_move_the_time_of_the_answer(self):
        # Long enough for an agent to start, on a busy machine as well.
        self.restart(config={"questions": {"hide-refusals": "yes", "timeout": "60"}})
        self.lend(self.work)
        self.post(self.work, "send personal")
        expires = self.wait_record(self.work, "asking")["deadline"]
        self.box.start_agent("--no")
        self.assertEqual(self.wait_record(self.work, "refusing")["deadline"], expires)
        # The VM may go on.
        self.lend(self.work)

    def test_a_yes_is_told_at_once(self):
        self.box.start_agent("--yes")
        self.deliver(self.work, self.personal)

    def test_told_at_once_if_so_configured(self):
        self.restart(config={"questions": {"hide-refusals": "no", "timeout": "600"}})
        self.lend(self.work)
        self.assert_error(self.ask(self.work, "send nobody"), "refused")
        self.box.start_agent("--no")
        self.lend(self.work)
        self.assert_error(self.ask(self.work, "send personal"), "refused")


class Ctl(AgentTest):
    def test_list_and_show(self):
        self.assertEqual(self.box.ctl("list"), "No pendrive is under way.\n")
        self.start_asking(self.work, self.personal)
        head, line = self.box.ctl("list").splitlines()
        self.assertEqual(head.split(), ["ID", "STATE", "SENDER", "RECEIVER", "SIZE", "AGE"])
        self.assertEqual(line.split()[:6], ["1", "asking", "work", "personal", "64.0", "MiB"])
        shown = dict(line.split(": ", 1) for line in self.box.ctl("show", "1").splitlines())
        self.assertEqual({key: shown[key] for key in (
            "id", "state", "place", "sender", "sender-domid", "receiver", "receiver-domid", "size",
            "format")}, {
                "id": "1", "state": "asking", "place": "nowhere", "sender": "work",
                "sender-domid": str(self.work.domid), "receiver": "personal",
                "receiver-domid": str(self.personal.domid), "size": "67108864", "format": "vfat"})

    def test_cancel_in_each_place(self):
        self.lend(self.work)
        self.box.ctl("cancel", "1")
        self.work.wait_detached(OUT)
        self.agent("--yes")
        self.deliver(self.work, self.personal)
        self.box.ctl("cancel", "2")
        self.personal.wait_detached(IN)
        self.wait_nothing_left()

    def test_wrong_numbers_and_words(self):
        for arguments, status, text in (
                (("show", "7"), 1, "there is no transfer 7"),
                (("cancel", "7"), 1, "there is no transfer 7"),
                (("cancel", "x"), 64, "x is no transfer's number"),
                (("cancel", "0"), 64, "0 is no transfer's number"),
                (("cancel",), 64, "usage: "), ((), 64, "usage: "), (("dance",), 64, "usage: "),
                (("list", "--yes"), 64, "usage: "), (("list", "1"), 64, "usage: "),
                (("agent", "--yes", "--no"), 64, "either --yes or --no"),
                (("--frobnicate",), 64, "frobnicate")):
            with self.subTest(arguments=arguments):
                done = self.box.ctl(*arguments, check=False)
                self.assertEqual((done.returncode, done.stdout), (status, ""))
                self.assertIn(text, done.stderr)

    def test_cancel_twice(self):
        self.lend(self.work)
        self.work.set_disks(close="never")
        self.box.ctl("cancel", "1")
        done = self.box.ctl("cancel", "1", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("transfer 1 is being taken back already", done.stderr)
        self.work.set_disks(close="now")
        self.wait_nothing_left()


class Bus(AgentTest):
    def test_the_bus_goes_and_comes_back(self):
        """VMs are served meanwhile, and what is asked waits."""
        self.agent("--yes", name="first")
        self.box.stop_bus()
        self.wait_log("the system bus is gone")
        self.wait_log("nobody can be asked until it is back")
        ident = self.send()
        self.wait_record(self.work, "asking")
        self.box.start_bus()
        self.box.wait_bus_name(self.box.daemon.process)
        self.agent("--yes", name="second")
        self.assertEqual(self.wait_reply(self.work, ident), "ok delivered")

    def test_no_bus_at_the_start(self):
        self.box.daemon.stop()
        self.box.stop_bus()
        with open(self.box.dir / "bus", "w"):  # no bus is started over this
            self.box._bus = self.box._children[-1]
            self.start(wait=False)
        self.wait_log("cannot use the system bus: ")
        self.lend(self.work)


@unittest.skipUnless(os.getuid() == 0, "only root may own the name, and be somebody else")
class Policy(AgentTest):
    """The policy file that is installed, on a bus of its own."""

    def start(self, *arguments, **options):
        # A group that is everywhere stands for `qubes`, which a test machine has not.
        policy = self.box.dir / "policy.conf"
        policy.write_text(POLICY.read_text().replace('group="qubes"', 'group="games"'))
        self.box.start_bus(policy)
        self.box.dir.chmod(0o711)
        return super().start(*arguments, **options)

    def call(self, user, dest, path, method, *arguments):
        uid, gid = pwd.getpwnam(user)[2:4]
        return subprocess.run(
            ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "gdbus", "call",
             "--address", self.box.bus_address, "--dest", dest, "--object-path", path, "--method",
             method, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=storebox.DEADLINE_S)

    def call_daemon(self, user, method, *arguments):
        return self.call(user, storebox.BUS_NAME, "/org/qubes/FileExchange1", method, *arguments)

    def test_root_may_do_everything(self):
        self.agent("--yes")
        self.deliver(self.work, self.personal)
        self.box.ctl("cancel", "1")
        self.wait_nothing_left()

    def test_a_stranger_may_do_nothing(self):
        self.lend(self.work)
        interface = storebox.BUS_NAME
        for method, *arguments in ((f"{interface}.ListTransfers",), (f"{interface}.Cancel", "1"),
                                   (f"{interface}.GetTransfer", "1"),
                                   (f"{interface}.RegisterAgent", "/a"),
                                   ("org.freedesktop.DBus.Properties.GetAll", interface),
                                   ("org.freedesktop.DBus.Introspectable.Introspect",)):
            with self.subTest(method=method):
                done = self.call_daemon("nobody", method, *arguments)
                self.assertEqual(done.returncode, 1)
                self.assertIn("AccessDenied", done.stderr)
        self.wait_record(self.work, "lent")

    def test_a_member_of_the_group_may(self):
        done = self.call_daemon("games", f"{storebox.BUS_NAME}.ListTransfers")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_member_of_the_group_is_asked(self):
        uid, gid = pwd.getpwnam("games")[2:4]
        self.box.spawn("agent", ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups",
                                 storebox.find_built("qfilexchgctl"), "agent", "--yes"])
        self.wait_log("is there to be asked")
        self.deliver(self.work, self.personal)

    def test_nobody_but_root_may_own_the_name(self):
        self.box.daemon.stop()
        for user in ("nobody", "games"):
            done = self.call(user, "org.freedesktop.DBus", "/", "org.freedesktop.DBus.RequestName",
                             storebox.BUS_NAME, "0")
            self.assertIn("AccessDenied", done.stderr)


if __name__ == "__main__":
    storebox.main()
