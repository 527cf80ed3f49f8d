#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""qvm-open-in-dvm and qubes_dvm_store, what their user sees and what becomes of his file.

dom0 and the DisposableVM are played here, word by word, so that each end of a transaction comes
when the test wants it."""
import os
import pathlib
import signal
import subprocess
import tempfile

import storebox

OUT = storebox.OUTGOING

# Exit statuses, as in the manual page
OK, ERROR, USAGE, FAILED, FILES, UNCHANGED, LOST, INTERRUPTED = 0, 1, 2, 5, 6, 7, 8, 130

HEADER = 1024
NASTY = "-'\"$(touch x)\n\udcff"


def make_header(name, size):
    raw = os.fsencode(name)
    return size.to_bytes(8, "little") + raw + bytes(HEADER - 8 - len(raw))


class OpenerTest(storebox.StoreTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="qpen-")
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)
        self.records = self.home / ".dvm"
        self.vm = self.box.create_vm("work")
        for key, perms in (("device/qpen", f"b{self.vm.domid}"),
                           ("device/qpen-reply", f"r{self.vm.domid}")):
            self.box.dom0.write(f"{self.vm.path}/{key}")
            self.box.dom0.set_perms(f"{self.vm.path}/{key}", "n0", perms)
        self.device = self.vm.device(OUT)
        self.device.parent.mkdir(exist_ok=True)

    def make_file(self, text="before", name="report"):
        path = self.home / name
        path.write_text(text)
        return path

    def start(self, *words):
        return self.vm.popen(["qvm-open-in-dvm", *words], text=False, bufsize=0,
                             env={"QPEN_DVM_FOLDER": str(self.records)})

    def run_opener(self, *words):
        child = self.start(*words)
        return self.end(child)

    def end(self, child):
        """Its status and what else it wrote to its outputs."""
        out, err = child.communicate(timeout=storebox.DEADLINE_S)
        return child.returncode, out.decode(), err.decode()

    def store(self, seq):
        """The unit in the VM: what came is given to qubes_dvm_store. The status and its words."""
        with open(self.device, "rb") as device:
            done = self.vm.run(["qubes_dvm_store", "--offset=0", "--from=disp7", seq],
                               stdin=device, env={"QPEN_DVM_FOLDER": str(self.records)})
        return done.returncode, done.stderr

    # dom0

    def take(self):
        """The next request, without its ID."""
        path = f"{self.vm.path}/device/qpen"
        request = self.box.dom0.wait(path, lambda value: value)
        self.box.dom0.write(path)
        line, _, self.ident = request.rpartition(" #")
        return line

    def reply(self, text):
        path = f"{self.vm.path}/device/qpen-reply/{self.ident}"
        self.box.dom0.write(path, f"{self.ident} {text}")
        self.box.dom0.set_perms(path, "n0", f"r{self.vm.domid}")

    def lend(self, size=4096):
        self.assertEqual(self.take(), f"new size={size} format=none")
        self.device.write_bytes(b"\xee" * (size + 8192))
        self.reply("ok xvdg")

    def expect(self, child, line):
        self.assertEqual(child.stdout.readline().decode(), line + "\n")

    def open_it(self, path, *options, name="disp7", size=4096):
        """All until it is open: the child and the SEQ."""
        child = self.start(*options, "--", str(path))
        self.expect(child, "asking dom0 for a pendrive")
        self.lend(size)
        words = self.take().split(" ")
        self.assertEqual(words[:2], ["send", "disposable"])
        self.assertEqual(words[3:], ["view"] if "--view-only" in options else [])
        self.reply("wait starting")
        self.expect(child, "waiting for a DisposableVM")
        self.reply(f"wait open {name}")
        self.expect(child, f"opened in {name}")
        return child, words[2]

    def answer(self, text):
        self.device.write_bytes(make_header("anything", len(text)) + text.encode())


class Ends(OpenerTest):
    def test_edited(self):
        path = self.make_file()
        path.chmod(0o640)
        child, seq = self.open_it(path)
        sent = self.device.read_bytes()
        self.assertEqual(sent[:HEADER], make_header("report", 6))
        self.assertEqual(sent[HEADER:4096], b"before" + bytes(4096 - HEADER - 6))
        self.answer("after")
        self.assertEqual(self.store(seq)[0], OK)
        self.reply("ok saved")
        self.assertEqual(self.end(child), (OK, f"saved back: {path}\n", ""))
        self.assertEqual(path.read_text(), "after")
        self.assertEqual(path.stat().st_mode & 0o7777, 0o640)
        self.assertEqual([entry.name for entry in self.home.iterdir() if entry.is_file()],
                         ["report"])

    def test_large(self):
        text = "0123456789abcdef" * (40 * 65536)
        path = self.make_file(text)
        child, seq = self.open_it(path, size=40 * 1048576 + 4096)
        self.assertEqual(self.device.read_bytes()[HEADER:HEADER + len(text)], text.encode())
        self.answer(text + "!")
        self.assertEqual(self.store(seq)[0], OK)
        self.reply("ok saved")
        self.assertEqual(self.end(child)[0], OK)
        self.assertEqual(path.read_text(), text + "!")

    def test_nasty_name(self):
        path = self.make_file(name=NASTY)
        child, seq = self.open_it(path)
        self.assertEqual(self.device.read_bytes()[:HEADER], make_header(NASTY, 6))
        self.answer("")
        self.assertEqual(self.store(seq)[0], OK)
        self.reply("ok saved")
        status, out, _ = self.end(child)
        self.assertEqual((status, path.read_bytes()), (OK, b""))
        # One line, whatever the name holds.
        self.assertRegex(out, r"\Asaved back: [^\n]*\\x0a\\xff\n\Z")

    def test_relative_path(self):
        """Where the answer goes does not depend on any folder of work."""
        path = self.make_file()
        child, seq = self.open_it(os.path.relpath(path))
        self.answer("after")
        self.assertEqual(self.store(seq)[0], OK)
        self.reply("ok saved")
        self.assertEqual(self.end(child)[:2], (OK, f"saved back: {path}\n"))
        self.assertEqual(path.read_text(), "after")

    def test_symbolic_link(self):
        path = self.make_file()
        link = self.home / "link"
        link.symlink_to("report")
        child, seq = self.open_it(link)
        self.answer("after")
        self.assertEqual(self.store(seq)[0], OK)
        self.reply("ok saved")
        self.assertEqual(self.end(child)[:2], (OK, f"saved back: {path}\n"))
        self.assertTrue(link.is_symlink())
        self.assertEqual(path.read_text(), "after")

    def test_unchanged(self):
        path = self.make_file()
        before = path.stat()
        child, seq = self.open_it(path)
        self.reply("ok unchanged")
        self.assertEqual(self.end(child), (UNCHANGED, "closed without changes\n", ""))
        after = path.stat()
        self.assertEqual((after.st_ino, after.st_mtime_ns, after.st_ctime_ns),
                         (before.st_ino, before.st_mtime_ns, before.st_ctime_ns))
        self.answer("late")
        self.assertEqual(self.store(seq)[0], ERROR)

    def test_changed_meanwhile(self):
        path = self.make_file()
        child, seq = self.open_it(path)
        path.write_text("mine")
        self.answer("after")
        status, words = self.store(seq)
        self.assertEqual(status, OK)
        self.assertIn("report.before-dvm", words)
        self.reply("ok saved")
        status, out, _ = self.end(child)
        self.assertEqual(status, OK)
        self.assertEqual(out, f"saved back: {path}; the file had changed meanwhile, and that "
                              f"version is kept as {path}.before-dvm\n")
        self.assertEqual(path.read_text(), "after")
        self.assertEqual(pathlib.Path(f"{path}.before-dvm").read_text(), "mine")

    def test_folder_gone(self):
        folder = self.home / "work"
        folder.mkdir()
        path = self.make_file(name="work/report")
        child, seq = self.open_it(path)
        path.unlink()
        folder.rmdir()
        self.answer("after")
        self.assertEqual(self.store(seq)[0], OK)
        self.reply("ok saved")
        status, out, _ = self.end(child)
        self.assertEqual(status, OK)
        self.assertTrue(out.endswith(f" is stored as {self.home}/report.from-dvm\n"), out)
        self.assertEqual((self.home / "report.from-dvm").read_text(), "after")

    def test_lost(self):
        path = self.make_file()
        child, seq = self.open_it(path)
        self.reply("error lost the VM ended")
        status, out, err = self.end(child)
        self.assertEqual((status, out), (LOST, ""))
        self.assertRegex(err, r"\Aqvm-open-in-dvm: the DisposableVM ended [^\n]+\n\Z")
        self.assertEqual(path.read_text(), "before")
        self.answer("late")
        self.assertEqual(self.store(seq)[0], ERROR)
        self.assertEqual(path.read_text(), "before")

    def test_not_stored(self):
        """dom0 says saved, since the pendrive was given back; here nothing was stored."""
        path = self.make_file()
        child, seq = self.open_it(path)
        self.device.write_bytes(make_header("../x", 5) + b"after")
        status, words = self.store(seq)
        self.assertEqual(status, ERROR)
        self.assertIn("disp7", words)
        self.reply("ok saved")
        status, _, err = self.end(child)
        self.assertEqual(status, LOST)
        self.assertIn("slash", err)
        self.assertEqual(path.read_text(), "before")

    def test_view_only(self):
        path = self.make_file()
        child, seq = self.open_it(path, "--view-only")
        self.answer("after")
        self.assertEqual(self.store(seq)[0], ERROR)
        self.reply("ok unchanged")
        self.assertEqual(self.end(child), (OK, "closed\n", ""))
        self.assertEqual(path.read_text(), "before")


class Leaving(OpenerTest):
    def test_no_wait(self):
        path = self.make_file()
        child, seq = self.open_it(path, "--no-wait")
        self.assertEqual(self.end(child), (OK, "", ""))
        self.answer("after")
        self.assertEqual(self.store(seq)[0], OK)
        self.assertEqual(path.read_text(), "after")

    def test_interrupted_when_open(self):
        path = self.make_file()
        child, seq = self.open_it(path)
        child.send_signal(signal.SIGINT)
        status, _, err = self.end(child)
        self.assertEqual(status, INTERRUPTED)
        self.assertIn("stays open in disp7, and is saved back", err)
        self.answer("after")
        self.assertEqual(self.store(seq)[0], OK)
        self.assertEqual(path.read_text(), "after")

    def test_interrupted_before(self):
        """It is withdrawn: nothing is opened that nobody waits for."""
        child = self.start(str(self.make_file()))
        self.box.dom0.wait(f"{self.vm.path}/device/qpen", lambda value: value)
        child.send_signal(signal.SIGINT)
        status, _, err = self.end(child)
        self.assertEqual(status, INTERRUPTED)
        self.assertIn("withdrawn", err)
        self.assertEqual(self.box.dom0.read(f"{self.vm.path}/device/qpen"), "")

    def test_timeout_ends_when_open(self):
        """The deadline is for the DisposableVM, not for the person who edits."""
        child, seq = self.open_it(self.make_file(), "--timeout=5")
        with self.assertRaises(subprocess.TimeoutExpired):
            child.wait(5.5)
        self.reply("ok unchanged")
        self.assertEqual(self.end(child)[0], UNCHANGED)
        self.assertTrue(seq)

    def test_timeout(self):
        child = self.start("--timeout=5", str(self.make_file()))
        self.lend()
        self.take()
        self.reply("wait preparing")
        status, out, err = self.end(child)
        self.assertEqual(status, 3, err)
        self.assertIn("preparing", out)


class Refusals(OpenerTest):
    def test_no_pendrive(self):
        path = self.make_file()
        child = self.start(str(path))
        self.take()
        self.reply("error have-pendrive one is lent")
        status, _, err = self.end(child)
        self.assertEqual(status, ERROR)
        self.assertNotIn("still lent", err)

    def refused(self, word):
        child = self.start(str(self.make_file()))
        self.lend()
        seq = self.take().split(" ")[2]
        self.device.rename(self.home / "device")
        self.reply(f"error {word} no")
        status, _, err = self.end(child)
        self.assertEqual(status, ERROR)
        self.answer("late")
        self.assertEqual(self.store(seq)[0], ERROR)
        return err

    def test_no_memory(self):
        err = self.refused("no-memory")
        self.assertIn("no memory for another DisposableVM", err)
        self.assertNotIn("still lent", err)

    def refused_by_limit(self, answer):
        """The pendrive is this VM's still: it is given back, by the ID of the `new` that brought it."""
        child = self.start(str(self.make_file()))
        self.lend()
        lent_by = self.ident
        self.take()
        self.reply("error limit no")
        self.assertEqual(self.take(), f"discard {lent_by}")
        self.reply(answer)
        return child

    def test_limit(self):
        status, _, err = self.end(self.refused_by_limit("ok"))
        self.assertEqual(status, ERROR)
        self.assertIn("close one first", err)
        self.assertNotIn("still lent", err)

    def test_limit_and_a_daemon_that_was_restarted(self):
        """It does not know the ID of a request that was answered before."""
        child = self.refused_by_limit("error no-pendrive no")
        self.assertEqual(self.take(), "discard")
        self.reply("ok")
        status, _, err = self.end(child)
        self.assertEqual(status, ERROR)
        self.assertNotIn("still lent", err)

    def test_limit_and_an_old_dom0(self):
        status, _, err = self.end(self.refused_by_limit("error bad-request what is that"))
        self.assertEqual(status, ERROR)
        self.assertIn("this dom0 is too old", err)
        self.assertIn("still lent", err)

    def test_files(self):
        fifo = self.home / "fifo"
        os.mkfifo(fifo)
        loop = self.home / "loop"
        loop.symlink_to("loop")
        for words, wanted in (((), USAGE), (("a", "b"), USAGE), (("--nonsense", "a"), USAGE),
                              (("--timeout=0", "a"), USAGE),
                              ((str(self.home),), FILES), ((str(fifo),), FILES),
                              ((str(loop),), FILES), (("/dev/null",), FILES),
                              ((str(self.home / "missing"),), FILES)):
            with self.subTest(words=words):
                status, out, err = self.run_opener(*words)
                self.assertEqual((status, out), (wanted, ""))
                self.assertRegex(err, r"\Aqvm-open-in-dvm: [^\n]+\n\Z")
        self.assertEqual(self.box.dom0.read(f"{self.vm.path}/device/qpen"), "")

    def test_small_pendrive(self):
        """dom0 lends less than was asked for: nothing is sent."""
        path = self.make_file("x" * 5000)
        child = self.start(str(path))
        self.take()
        self.device.write_bytes(bytes(4096))
        self.reply("ok xvdg")
        lent_by = self.ident
        self.assertEqual(self.take(), f"discard {lent_by}")
        self.reply("ok")
        status, _, err = self.end(child)
        self.assertEqual(status, FAILED)
        self.assertNotIn("still lent", err)
        self.assertEqual(self.box.dom0.read(f"{self.vm.path}/device/qpen"), "")


if __name__ == "__main__":
    storebox.main()
