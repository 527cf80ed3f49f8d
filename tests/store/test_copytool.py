#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""qvm-copy-to-vm and qvm-move-to-vm with the real daemon: what their user sees, what a front end reads, and that
nothing is deleted which was not delivered. A folder stands for the mounted pendrive."""
import errno
import fcntl
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import struct
import tempfile
import termios

import storebox

OUT = storebox.OUTGOING
IN = storebox.INCOMING
MIB = 1 << 20

# Exit statuses, as in the manual pages
OK, ERROR, USAGE, NO_ANSWER, FAILED, FILES, LEFT, INTERRUPTED = 0, 1, 2, 3, 5, 6, 10, 130


class Report:
    """The reading end of --report. The program is never more than one line ahead of what was read: in a pipe of
    one page every packet takes a page."""

    def __init__(self):
        self.fd, self.writer = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
        fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, 4096)
        self.lines = []

    def started(self):
        os.close(self.writer)

    def close(self):
        os.close(self.fd)

    def wait(self):
        """Until the next line, or the end, can be read."""
        if not select.select([self.fd], [], [], storebox.DEADLINE_S)[0]:
            raise AssertionError(f"nothing is reported after {self.lines}")

    def next(self):
        """The next line, or None."""
        self.wait()
        packet = os.read(self.fd, 4096).decode()
        if not packet:
            return None
        assert packet.endswith("\n") and packet.count("\n") == 1, packet
        self.lines.append(packet[:-1])
        return packet[:-1]

    def read_to(self, line):
        while self.next() != line:
            assert self.lines[-1:] != [] and "\n" not in self.lines[-1], self.lines
            if self.lines[-1].startswith(("failed", "done")):
                raise AssertionError(f"no {line!r} in {self.lines}")

    def rest(self):
        while self.next() is not None:
            pass
        return self.lines


class CopyTest(storebox.DaemonTest):
    config = {"questions": {"timeout": "30"}}

    def setUp(self):
        super().setUp()
        shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        folder = tempfile.TemporaryDirectory(prefix="qpen-", dir=shm)
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name) / "home"
        self.mnt = pathlib.Path(folder.name) / "mnt"
        self.tree = self.home / "tree"
        self.mnt.mkdir()
        (self.tree / "sub" / "empty").mkdir(parents=True)
        (self.tree / "a file").write_text("a\n")
        (self.tree / "sub" / "Grüße").write_bytes(b"b" * 100000)
        self.before = self.listing(self.home)

    @staticmethod
    def listing(top):
        """Everything below it, with what is in it."""
        return {str(path.relative_to(top)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
                for path in sorted(top.rglob("*"))}

    def start_tool(self, program, *words, report=None, **options):
        if report:
            words = (f"--report={report.writer}", *words)
            options["pass_fds"] = [report.writer]
        child = self.work.popen([program, *words], cwd=self.home, env={"QPEN_OUTGOING_FOLDER": str(self.mnt)},
                                stdin=options.pop("stdin", None) or self.null(), **options)
        if report:
            report.started()
        return child

    def null(self):
        file = open(os.devnull, encoding="ascii")
        self.addCleanup(file.close)
        return file

    def report(self):
        report = Report()
        self.addCleanup(report.close)
        return report

    def end(self, child, status):
        out, err = child.communicate(timeout=2 * storebox.DEADLINE_S)
        self.assertEqual(child.returncode, status, (out, err))
        return err

    def run_tool(self, status, program, *words):
        child = self.start_tool(program, *words)
        return self.end(child, status)

    def assert_untouched(self):
        self.assertEqual(self.listing(self.home), self.before)


class Copy(CopyTest):
    def test_copy(self):
        self.box.start_agent("--yes")
        report = self.report()
        child = self.start_tool("qvm-copy-to-vm", "personal", "tree", report=report)
        lines = report.rest()
        err = self.end(child, OK)
        self.assertEqual([line for line in lines if not line.startswith("progress ")],
                         ["state scanning", "total 100002 2", "state new", "state copying"] +
                         (["state asking"] if "state asking" in lines else []) + ["state delivered", "done"])
        self.assertIn("progress 100002 2", lines)
        self.assertRegex(err, r"(?s)\Aasking dom0 for a pendrive\ncopying 2 files, .*\ndelivered\n\Z")
        self.assertNotIn("\x1b", err)
        self.assertEqual(self.listing(self.mnt), self.before)
        self.assert_untouched()
        self.personal.wait_connected(IN)

    def test_quiet(self):
        self.box.start_agent("--yes")
        self.assertEqual(self.run_tool(OK, "qvm-copy-to-vm", "-q", "personal", "tree"), "")

    def test_names_that_look_like_options(self):
        (self.home / "--keep").write_text("x")
        self.box.start_agent("--yes")
        self.run_tool(OK, "qvm-copy-to-vm", "--", "personal", "--keep")
        self.assertEqual(self.listing(self.mnt), {"--keep": b"x"})

    def test_dry_run_asks_nothing(self):
        self.assertEqual(self.box.daemon.stop(), 0)
        done = self.start_tool("qvm-copy-to-vm", "--dry-run", "personal", "tree")
        out, err = done.communicate(timeout=storebox.DEADLINE_S)
        self.assertEqual((done.returncode, err), (OK, ""))
        for name in ("tree/", "tree/a file", "tree/sub/Grüße", "2 files and 3 folders"):
            self.assertIn(name, out)
        self.assertEqual(self.listing(self.mnt), {})
        self.assertEqual(self.work.xs.read("device/qpen"), "")
        self.box.daemon = None

    def test_wrong_command_lines(self):
        for words in ((), ("personal",), ("per sonal", "tree"), ("--size=x", "personal", "tree"),
                      ("--report=77", "personal", "tree"), ("-t", "0", "personal", "tree")):
            with self.subTest(words=words):
                self.assertIn("(see --help)", self.run_tool(USAGE, "qvm-copy-to-vm", *words))
        self.assertIn("called by a name", self.run_tool(USAGE, "qvm-move-to-vm", "personal", "tree/.."))

    def test_what_a_pendrive_cannot_carry(self):
        bad = self.tree / "what?%\x07"
        bad.write_text("x")
        os.symlink("a file", self.tree / "link")
        os.mkfifo(self.tree / "fifo")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.tree / "socket"))
        (self.tree / "A FILE").write_text("x")
        with open(self.tree / "huge", "wb") as file:
            file.truncate(4 << 30)
        report = self.report()
        child = self.start_tool("qvm-copy-to-vm", "personal", "tree", report=report)
        lines = report.rest()
        err = self.end(child, FILES)
        cannot = [line.split(" ", 2)[1] for line in lines if line.startswith("cannot ")]
        self.assertEqual(sorted(cannot), ["tree/a%20file", "tree/fifo", "tree/huge", "tree/link", "tree/socket",
                                          "tree/what?%25%07"])
        self.assertRegex(lines[-1], r"\Afailed 6 Nothing was copied, because of 6 such things")
        self.assertNotIn("state new", lines)
        for name in ("a file", "fifo", "huge", "link", "socket", r"what?%\x07"):
            self.assertIn(f"tree/{name}: ", err)
        # and without them
        self.box.start_agent("--yes")
        report = self.report()
        child = self.start_tool("qvm-copy-to-vm", "--skip-unsupported", "personal", "tree", report=report)
        lines = report.rest()
        self.assertIn("6 left out", self.end(child, OK))
        self.assertIn("skipped 6", lines)
        self.assertIn("total 100001 2", lines)
        self.assertEqual(sorted(self.listing(self.mnt / "tree")), ["A FILE", "sub", "sub/Grüße", "sub/empty"])

    def test_nothing_is_left_to_send(self):
        os.symlink("tree", self.home / "link")
        self.assertIn("nothing is left", self.run_tool(FILES, "qvm-copy-to-vm", "--skip-unsupported", "personal",
                                                       "link"))

    def test_too_large_for_the_quota(self):
        """Known before anything is copied, and the message says how much it may be."""
        self.restart(config={"pendrives": {"max-size-per-vm": "100M", "max-size": "100M"}})
        with open(self.tree / "large", "wb") as file:
            file.truncate(110 * MIB)
        err = self.run_tool(ERROR, "qvm-copy-to-vm", "personal", "tree")
        self.assertIn("at most 100 MiB", err)
        self.assertEqual(self.listing(self.mnt), {})
        self.assertEqual(self.leftovers(), [])

    def test_a_pendrive_is_there_already(self):
        """It is somebody else's, and stays."""
        self.lend(self.work)
        err = self.run_tool(ERROR, "qvm-copy-to-vm", "personal", "tree")
        self.assertIn("qubes_penctl discard", err)
        self.wait_record(self.work, "lent")


class Terminal(CopyTest):
    """As a person sees it, on a terminal of 60 columns."""

    def start_on_terminal(self, *words):
        terminal, slave = os.openpty()
        self.addCleanup(os.close, terminal)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        with open(slave, "r+b", buffering=0) as file:
            child = self.start_tool("qvm-copy-to-vm", *words, stdin=file, stdout=file, stderr=file)
        self.terminal = terminal
        return child

    def read_to(self, text):
        """What is on the terminal, up to that text; None: up to its end."""
        shown = b""
        while text is None or text.encode() not in shown:
            if not select.select([self.terminal], [], [], storebox.DEADLINE_S)[0]:
                raise AssertionError(f"no {text!r} after {shown}")
            try:
                shown += os.read(self.terminal, 4096)
            except OSError as error:  # the last program has gone
                if error.errno != errno.EIO or text is not None:
                    raise
                break
        return shown.decode()

    def test_asked_about_what_cannot_be_carried(self):
        os.symlink("a file", self.tree / "link")
        for answer, status in (("\n", FILES), ("n\n", FILES), ("yes no\n", FILES), ("\x04", FILES), ("y\n", OK)):
            with self.subTest(answer=answer):
                if status == OK:
                    self.box.start_agent("--yes")
                child = self.start_on_terminal("personal", "tree")
                self.assertIn("tree/link: a pendrive cannot carry a symbolic link",
                              self.read_to("Leave out these 1 and go on? [y/N] "))
                os.write(self.terminal, answer.encode())
                shown = self.read_to(None)
                self.assertEqual(child.wait(storebox.DEADLINE_S), status, shown)
        self.assertIn("delivered", shown)
        self.assertNotIn("link", self.listing(self.mnt / "tree"))

    def test_bar(self):
        (self.tree / "a file").write_bytes(bytes(5 * MIB))
        self.box.start_agent("--yes")
        child = self.start_on_terminal("personal", "tree")
        shown = self.read_to(None)
        self.assertEqual(child.wait(storebox.DEADLINE_S), OK, shown)
        bars = [part for part in re.split("\r|\n", shown) if " % " in part]
        self.assertNotEqual(bars, [], shown)
        for bar in bars:
            self.assertRegex(bar, r"\A\x1b\[K(\[#*\.*\] )? *\d+ %  ")
            self.assertLess(len(bar.removeprefix("\x1b[K")), 60)
        # Nothing of it is left on the screen.
        self.assertRegex(shown, r"\r\x1b\[Kwriting out what is still in memory\r\n")

    def test_interrupted_at_the_question(self):
        os.symlink("a file", self.tree / "link")
        child = self.start_on_terminal("personal", "tree")
        self.read_to("[y/N] ")
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(storebox.DEADLINE_S), INTERRUPTED)


class GivenBack(CopyTest):
    def test_failed_send(self):
        """To itself: dom0 refuses that, and the pendrive is this VM's still."""
        err = self.run_tool(ERROR, "qvm-copy-to-vm", "work", "tree")
        self.assertIn("the pendrive was given back", err)
        self.wait_nothing_left()

    def test_keep(self):
        err = self.run_tool(ERROR, "qvm-copy-to-vm", "--keep", "work", "tree")
        self.assertIn("the pendrive is kept as", err)
        self.assertIn("with 2 of 2 files on it", err)
        self.assertIn("qubes_penctl send VM", err)
        self.wait_record(self.work, "lent")

    def test_failed_copy(self):
        (self.mnt / "tree").mkdir()
        self.assertIn("could not be made on the pendrive", self.run_tool(FAILED, "qvm-copy-to-vm", "personal", "tree"))
        self.wait_nothing_left()

    def test_another_pendrive_is_left_alone(self):
        """When the first one is taken back another program has the slot: there is nothing to give back, nor to say."""
        child = self.start_tool("qvm-copy-to-vm", "personal", "tree")
        number = self.wait_record(self.work, "asking")["id"]
        self.lend(self.work)
        self.box.ctl("cancel", number)
        err = self.end(child, ERROR)
        self.assertRegex(err, r"\nqvm-copy-to-vm: refused; [^\n]*\n\Z")
        storebox.until(lambda: [record.get("state") for record in self.records().values()] == ["lent"],
                       "the other's to be left")

    def test_no_answer_in_time(self):
        """Nobody waits any more, so nobody is asked any more."""
        err = self.run_tool(NO_ANSWER, "qvm-copy-to-vm", "-t", "1", "personal", "tree")
        self.assertIn("the pendrive was given back", err)
        self.wait_nothing_left()

    def interrupted_at(self, number, *lines):
        """Cancelled when the last of these lines has been written, and read after that."""
        report = self.report()
        child = self.start_tool("qvm-copy-to-vm", "personal", "tree", report=report)
        for line in lines[:-1]:
            report.read_to(line)
        report.wait()
        child.send_signal(number)
        self.assertEqual(report.next(), lines[-1])
        lines = report.rest()
        self.end(child, INTERRUPTED)
        self.assertEqual(lines[-2], "state cancelled")
        self.assertTrue(lines[-1].startswith("failed 130 "), lines)
        self.wait_nothing_left()
        shutil.rmtree(self.mnt / "tree", ignore_errors=True)

    def test_interrupted_in_every_phase(self):
        (self.tree / "a file").write_bytes(bytes(2 * MIB))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number=number):
                self.interrupted_at(number, "state scanning")
                self.interrupted_at(number, "state scanning", "total 2197152 2", "state new")
                self.interrupted_at(number, "state new", "state copying")
                # Half of a file of two, which is the first: nobody gets past the next line before this one is read.
                self.interrupted_at(number, "state copying", "progress 1048576 0")
                self.interrupted_at(number, "state copying", "progress 1048576 0", "progress 2197152 2",
                                    "state asking")

    def test_interrupted_while_it_waits_in_a_queue(self):
        self.box.start_agent("--yes")
        self.deliver(self.other, self.personal)
        report = self.report()
        child = self.start_tool("qvm-move-to-vm", "personal", "tree", report=report)
        report.read_to("state queued")
        child.send_signal(signal.SIGINT)
        lines = report.rest()
        self.end(child, INTERRUPTED)
        self.assertEqual(lines[-2], "state cancelled")
        storebox.until(lambda: len(self.records()) == 1, "only the other's to be left")
        self.assert_untouched()

    def test_a_second_interrupt_changes_nothing(self):
        self.work.set_disks(close="never")
        report = self.report()
        child = self.start_tool("qvm-copy-to-vm", "personal", "tree", report=report)
        report.read_to("state copying")
        report.wait()
        child.send_signal(signal.SIGINT)
        report.read_to("state cancelled")
        self.wait_record(self.work, "discarding")
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGTERM)
        self.assertIsNone(child.poll())
        self.work.set_disks(close="0")
        report.rest()
        self.assertIn("given back", self.end(child, INTERRUPTED))
        self.wait_nothing_left()
        self.box.complaints(clear=True)


class Move(CopyTest):
    def move(self, status, *words):
        return self.run_tool(status, "qvm-move-to-vm", *words, "personal", "tree")

    def test_moved(self):
        self.box.start_agent("--yes")
        report = self.report()
        child = self.start_tool("qvm-move-to-vm", "personal", "tree", report=report)
        lines = report.rest()
        self.assertIn("deleted here", self.end(child, OK))
        self.assertEqual(lines[-3:], ["state delivered", "state deleting", "done"])
        self.assertEqual(self.listing(self.mnt), self.before)
        self.assertEqual(self.listing(self.home), {})

    def test_what_changed_or_appeared_stays(self):
        """After it was copied, and before it is deleted."""
        report = self.report()
        (self.tree / "other").write_text("x")
        child = self.start_tool("qvm-move-to-vm", "personal", "tree", report=report)
        report.read_to("state asking")
        (self.tree / "a file").write_text("b\n")
        (self.tree / "sub" / "new").write_text("new")
        os.chmod(self.tree / "other", 0o600)
        self.box.start_agent("--yes")
        lines = report.rest()
        err = self.end(child, LEFT)
        kept = sorted(line.split(" ", 2)[1] for line in lines if line.startswith("kept "))
        self.assertEqual(kept, ["tree/a%20file", "tree/other", "tree/sub/new"])
        for name in ("tree/a file", "tree/other", "tree/sub/new"):
            self.assertIn(f"{name} stays here: ", err)
        self.assertIn("3 of it could not be deleted", err)
        self.assertEqual(self.listing(self.home), {"tree": None, "tree/a file": b"b\n", "tree/other": b"x",
                                                   "tree/sub": None, "tree/sub/new": b"new"})

    def test_what_was_left_out_stays(self):
        os.symlink("/etc", self.tree / "sub" / "link")
        self.box.start_agent("--yes")
        self.move(OK, "--skip-unsupported")
        self.assertEqual(self.listing(self.home), {"tree": None, "tree/sub": None, "tree/sub/link": None})

    def test_a_link_in_place_of_a_folder_is_not_followed(self):
        elsewhere = self.home / "elsewhere"
        report = self.report()
        child = self.start_tool("qvm-move-to-vm", "personal", "tree", report=report)
        report.read_to("state asking")
        (self.tree / "sub").rename(elsewhere)
        os.symlink("../elsewhere", self.tree / "sub")
        self.box.start_agent("--yes")
        report.rest()
        self.end(child, LEFT)
        self.assertEqual(self.listing(elsewhere), {"empty": None, "Grüße": b"b" * 100000})

    def test_refused(self):
        self.box.start_agent("--no")
        self.assertIn("refused", self.move(ERROR))
        self.assert_untouched()

    def test_expired(self):
        self.restart(config={"questions": {"timeout": "1"}})
        self.assertIn("refused", self.move(ERROR))
        self.assert_untouched()
        self.wait_nothing_left()

    def test_cancelled_in_dom0(self):
        child = self.start_tool("qvm-move-to-vm", "personal", "tree")
        self.box.ctl("cancel", self.wait_record(self.work, "asking")["id"])
        self.end(child, ERROR)
        self.assert_untouched()

    def test_interrupted(self):
        child = self.start_tool("qvm-move-to-vm", "personal", "tree")
        self.wait_record(self.work, "asking")
        child.send_signal(signal.SIGINT)
        self.assertIn("given back", self.end(child, INTERRUPTED))
        self.assert_untouched()
        self.wait_nothing_left()

    def test_no_such_vm(self):
        self.assertIn("refused", self.run_tool(ERROR, "qvm-move-to-vm", "nobody", "tree"))
        self.assert_untouched()

    def test_the_receiver_ends(self):
        child = self.start_tool("qvm-move-to-vm", "personal", "tree")
        self.wait_record(self.work, "asking")
        self.personal.destroy()
        self.end(child, ERROR)
        self.assert_untouched()

    def test_the_daemon_is_killed_for_good(self):
        """In each phase, and no other one comes."""
        for line in ("state new", "state copying", "state asking"):
            with self.subTest(line=line):
                report = self.report()
                child = self.start_tool("qvm-move-to-vm", "-t", "1", "personal", "tree", report=report)
                report.read_to(line)
                self.box.daemon.kill()
                lines = report.rest()
                self.assertIn(lines[-1].split(" ")[:2], (["failed", "3"], ["failed", "5"]), lines)
                child.communicate(timeout=4 * storebox.DEADLINE_S)
                self.assert_untouched()
                self.box.start_daemon()
                shutil.rmtree(self.mnt / "tree", ignore_errors=True)
                for number in list(self.records()):
                    self.box.ctl("cancel", number, check=False)
                self.wait_nothing_left()

    def test_the_daemon_is_killed_and_comes_again(self):
        """Nothing is lost, and what is deleted was delivered."""
        for line in ("state new", "state copying", "state asking"):
            with self.subTest(line=line):
                report = self.report()
                child = self.start_tool("qvm-move-to-vm", "personal", "tree", report=report)
                report.read_to(line)
                self.box.daemon.kill()
                self.assert_untouched()
                self.box.start_daemon()
                agent = self.box.start_agent("--yes")
                report.rest()
                self.end(child, OK)
                self.personal.wait_connected(IN)
                self.assertEqual(self.listing(self.mnt), self.before)
                self.assertEqual(self.listing(self.home), {})
                agent.kill()
                self.assertEqual(self.ask(self.personal, "umount"), "ok")
                self.wait_nothing_left()
                shutil.move(self.mnt / "tree", self.tree)


if __name__ == "__main__":
    storebox.main()
