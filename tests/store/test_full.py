#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The disk is full from the n-th thing on that takes room, for every n: who asked is told, and nothing is half done.

In dom0 the images and the remembered answers, in a VM the records of what is open in DisposableVMs and the answers."""
import pathlib
import tempfile

import crashpoints
import storebox
import test_opener
from crashpoints import Effects

PROGRAM = "qfilexchgd-store"
ANSWERS = "30-remembered.policy"


class Walk:
    """A story is told with a disk that is full from the first thing on, from the second on, until there is always room."""

    def setUp(self):
        crashpoints.library()  # or the test is skipped
        super().setUp()
        self.effects = Effects(self.box.dir / "effects")

    def walk(self, story, least):
        full_at = 0
        while True:
            full_at += 1
            self.effects.clear()
            with self.subTest(full_at=full_at):
                story(full_at)
            if self.effects.refusals() == 0:
                break
        print(f"{self.id()}: full at {full_at - 1} places")
        self.assertGreater(full_at, least)


class Dom0(Walk, storebox.DaemonTest):
    config = {"questions": {"timeout": "60", "burst": "10000"}}

    def restart(self, **env):
        self.assertEqual(self.box.daemon.stop(), 0)
        self.start(**env)

    def one_pendrive(self, full_at):
        """Either it is lent and all goes well, or its VM is told that there is no room, and of the image nothing is left."""
        self.restart(**self.effects.env(PROGRAM, full=(self.images, full_at)))
        reply = self.ask(self.work, "new")
        if reply == "ok xvdg":
            self.work.wait_connected(storebox.OUTGOING)
            self.assertEqual(self.ask(self.work, "discard"), "ok")
        else:
            self.assert_error(reply, "no-space")
            self.assertIn("no space", self.box.log("daemon").lower())
            self.assertIn(str(self.images), self.box.log("daemon"))
        self.wait_nothing_left()
        self.assertEqual(list(self.images.iterdir()), [])
        # It serves, and as soon as there is room it lends.
        self.restart()
        self.assert_serves(self.work)

    def test_images(self):
        self.walk(self.one_pendrive, least=4)

    def remember(self, full_at):
        """It is told that it is remembered, and it is; or that it is not, and the policy is as it was."""
        policy = self.box.dir / "policy.d"
        (policy / ANSWERS).unlink(missing_ok=True)
        self.restart()
        ident = self.start_asking(self.work, self.personal)
        record, = [record for record in self.records().values() if record["state"] == "asking"]
        self.restart(**self.effects.env(PROGRAM, full=(policy, full_at)))
        done = self.box.spawn("remember", ["gdbus", "call", "--address", self.box.bus_address, "--dest", storebox.BUS_NAME,
                                           "--object-path", "/org/qubes/FileExchange1", "--method",
                                           f"{storebox.BUS_NAME}.Remember", record["id"], "true", "always"])
        status = done.wait(storebox.DEADLINE_S)
        names = sorted(path.name for path in policy.iterdir())
        if status == 0:
            self.assertEqual(names, [ANSWERS])
            self.assertIn("work personal allow", (policy / ANSWERS).read_text())
        else:
            self.assertIn("space", self.box.log("remember").lower())
            self.assertEqual(names, [])
        self.assertEqual(status == 0, self.effects.refusals() == 0)
        self.box.ctl("cancel", record["id"], check=False)
        self.wait_reply(self.work, ident)
        self.wait_nothing_left()
        self.assert_error(self.ask(self.work, "umount"), "no-pendrive")

    def test_remembered_answers(self):
        self.walk(self.remember, least=2)


class Opener(Walk, test_opener.OpenerTest):
    """All disks of the VM are full. What is stored elsewhere when the home alone is full, test_opener tells."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="qpen-")
        self.addCleanup(folder.cleanup)
        self.place = pathlib.Path(folder.name)
        self.program, self.full_at = None, None

    def env(self, program):
        full = self.effects.env(program, full=("/", self.full_at)) if program == self.program else {}
        return {"QPEN_DVM_FOLDER": str(self.records), **full}

    def start(self, *words):
        return self.vm.popen(["qvm-open-in-dvm", *words], text=False, bufsize=0, env=self.env("qvm-open-in-dvm"))

    def store(self, seq, *words):
        with open(self.device, "rb") as device:
            done = self.vm.run(["qubes_dvm_store", "--offset=0", "--from=disp7", *words, seq], stdin=device,
                               env=self.env("qubes_dvm_store"))
        return done.returncode, done.stderr

    def make_place(self, full_at):
        """A new home, in which there is room or not; nothing of the former."""
        self.full_at = full_at
        self.home = self.place / str(full_at)
        self.home.mkdir()
        self.records = self.home / ".dvm"

    def opened(self, full_at):
        """There is a record before dom0 is asked for anything; without one nothing is asked."""
        self.make_place(full_at)
        path = self.make_file()
        self.program = "qvm-open-in-dvm"
        child = self.start("--", str(path))
        request = None
        if child.stdout.readline():
            self.lend()
            request = self.take()
            self.reply("ok" if request.startswith("discard ") else "error refused")
        status, out, err = self.end(child)
        if self.effects.refusals():
            self.assertIn("No space left", out + err)
        if request and request.startswith("send "):
            # The last that it writes is that dom0 has refused it.
            self.assertEqual(status, test_opener.ERROR, err)
        else:
            # Its pendrive goes back, and dom0 is not asked for a DisposableVM.
            self.assertRegex(request or "discard ", "^discard ")
            self.assertEqual(status, test_opener.FAILED, err)
        self.assertEqual(path.read_text(), "before")

    def test_opened(self):
        self.walk(self.opened, least=2)

    def answered(self, full_at, meanwhile=None):
        """A file is opened, may change meanwhile, and its answer comes: the file, who waits for it, the SEQ, and how
        storing it ended."""
        self.make_place(full_at)
        self.program = "qubes_dvm_store"
        path = self.make_file()
        child, seq = self.open_it(path)
        if meanwhile:
            path.write_text(meanwhile)
        self.answer("after")
        return (path, child, seq, *self.store(seq))

    def store_again(self, seq):
        """Somebody made room."""
        self.program = None
        status, err = self.store(seq, "--again")
        self.assertEqual(status, 0, err)

    def stored(self, full_at):
        """The file is whole, and the answer is stored, or can be stored once there is room. Who waits for it is told."""
        path, child, seq, status, err = self.answered(full_at)
        if status != 0:
            self.assertEqual(path.read_text(), "before")
            self.assertIn("No space left", err)
            self.store_again(seq)
        self.assertEqual(path.read_text(), "after")
        self.reply("ok saved")
        ended = self.end(child)
        if (self.records / f"{seq}.done").exists():
            self.assertEqual(ended, (0, f"saved back: {path}\n", ""))
        else:
            self.assertIn("No space left", err)
            self.assertEqual(ended[:2], (test_opener.FAILED, ""))
            self.assertIn("look at the file", ended[2])

    def test_stored(self):
        self.walk(self.stored, least=2)

    def changed_meanwhile(self, full_at):
        """Neither the version of before nor the answer is lost."""
        _, child, seq, status, err = self.answered(full_at, meanwhile="changed")
        if status != 0:
            self.assertIn("No space left", err)
            self.assertIn("changed", self.texts())
            self.store_again(seq)
        self.assertEqual(sorted(self.texts()), ["after", "changed"])
        self.reply("ok saved")
        self.end(child)

    def texts(self):
        return [found.read_text() for found in self.home.iterdir() if found.is_file()]

    def test_changed_meanwhile(self):
        self.walk(self.changed_meanwhile, least=2)


if __name__ == "__main__":
    storebox.main()
