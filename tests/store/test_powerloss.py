#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The power fails after each thing that our programs do to files, and what was not synced is lost, or some of it.

xenstore is gone then, and every VM; what is left is what stands on disks: dom0's images and remembered answers, and in a VM the
records of what is open in DisposableVMs, and the file that an answer belongs to.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import types
import unittest

import crashpoints
import powerloss
import storebox
import test_opener
from crashpoints import Effects

PROGRAM = "qfilexchgd-store"
ANSWERS = "30-remembered.policy"
RULE = re.compile(r"^qubes\.Pendrive \* (\w+) personal (allow|deny)$", re.M)


def effect(call, *args):
    return crashpoints.Effect(1, 1, call, 0, [str(arg).encode() for arg in args])


class Model(unittest.TestCase):
    """The reckoning itself."""

    def states(self, *effects):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "file").write_text("old")
            disk = powerloss.Disk(folder)
            done = [effect(call, *(f"{folder}/{arg[1:]}" if str(arg).startswith("@") else arg for arg in args))
                    for call, *args in effects]
            return [{name: content[0] for name, content in state.files.items()} for state in disk.states(done)]

    REPLACED = [("open", "@new", 7, 0, 0), ("write", 7, 0, "new"), ("rename", "@new", "@file")]

    def test_renamed_without_a_sync(self):
        """The file may be empty then."""
        self.assertIn({"file": b""}, self.states(*self.REPLACED))

    def test_synced_and_renamed(self):
        synced = self.REPLACED[:2] + [("sync", 7, "@new")] + self.REPLACED[2:]
        found = self.states(*synced)
        self.assertNotIn({"file": b""}, found)
        self.assertIn({"file": b"old"}, found)
        self.assertIn({"file": b"new"}, found)

    def test_with_the_folder_it_is_safe(self):
        synced = self.REPLACED[:2] + [("sync", 7, "@new")] + self.REPLACED[2:] + [("sync", 0, "@.")]
        self.assertEqual(self.states(*synced, ("unlink", "@other"))[-1], {"file": b"new"})
        self.assertEqual(self.states(*synced, ("unlink", "@file"))[-1], {})


class Rebuilt:
    """States are made below this folder."""

    def setUp(self):
        crashpoints.library()  # or the test is skipped
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="qpen-")
        self.addCleanup(folder.cleanup)
        self.place = pathlib.Path(folder.name)
        self.effects = Effects(self.box.dir / "effects")

    def all_states(self, disk):
        """Each, and how many there were when it is over."""
        states = list(disk.states(self.effects.read()))
        print(f"{self.id()}: {len(states)} states", file=sys.stderr)
        self.assertGreater(len(states), 3)
        return states

    def done(self):
        """How many side effects there were so far: what is promised now must be in every state from there on."""
        return len(self.effects.read())


class Dom0(Rebuilt, storebox.DaemonTest):
    config = {"questions": {"timeout": "60"}}

    def start(self, config=None, **options):
        return super().start(config, **{**self.effects.env(PROGRAM), **options} if hasattr(self, "effects") else options)

    def remember(self, vm, word):
        """The number of side effects when the user was told that it is remembered."""
        self.lend(vm)
        self.post(vm, "send personal")
        record = self.wait_record(vm, "asking")
        done = self.box.spawn("remember", ["gdbus", "call", "--address", self.box.bus_address, "--dest", storebox.BUS_NAME,
                                           "--object-path", "/org/qubes/FileExchange1", "--method",
                                           f"{storebox.BUS_NAME}.Remember", record["id"], word, "always"])
        self.assertEqual(done.wait(storebox.DEADLINE_S), 0, self.box.log("remember"))
        return self.done()

    def test_remembered_answers(self):
        """All that were acknowledged are there, and whoever reads the policy finds it whole."""
        policy = self.box.dir / "policy.d"
        self.assertEqual(self.box.daemon.stop(), 0)
        # Something to read, so that the built-in rules do not hold.
        (policy / "90-default.policy").write_text("qubes.Pendrive * @anyvm @anyvm ask\n")
        (policy / "90-default.policy").chmod(0o644)
        disk = powerloss.Disk(policy)
        self.start()
        told = [(0, {}), (self.remember(self.work, "true"), {"work": "allow"}),
                (self.remember(self.other, "false"), {"work": "allow", "other": "deny"})]
        self.assertEqual(self.box.daemon.stop(), 0)
        for state in self.all_states(disk):
            promised = [answers for done, answers in told if done <= state.after][-1]
            text = state.files.get(ANSWERS, (b"", 0))[0].decode()
            answers = dict(RULE.findall(text))
            with self.subTest(after=state.after, files=list(state.files)):
                self.assertIn(answers, [answers for _, answers in told])
                self.assertLessEqual(promised.items(), answers.items())
                powerloss.make(state, self.place / "policy.d")
                before = self.box.log("daemon").count("the policy was read")
                self.start(QFX_POLICY_DIR=str(self.place / "policy.d"))
                self.assertEqual(self.box.log("daemon").count("the policy was read"), before + 1)
                self.assertEqual(self.box.daemon.kill(), -9)

    def test_images(self):
        """None is left over, whatever of them there is."""
        self.assertEqual(self.box.daemon.stop(), 0)
        disk = powerloss.Disk(self.images)
        self.start()
        self.box.start_agent("--yes")
        self.deliver(self.work, self.personal)
        self.assertEqual(self.ask(self.personal, "umount"), "ok")
        self.wait_nothing_left()
        self.assertEqual(self.box.daemon.stop(), 0)
        self.images = self.place / "images"
        for state in self.all_states(disk):
            with self.subTest(after=state.after, files=list(state.files)):
                powerloss.make(state, self.images)
                self.start()
                self.assertEqual(list(self.images.iterdir()), [])
                self.assertEqual(self.box.daemon.kill(), -9)
        self.start()
        self.assert_serves(self.work)


class Savefile(Rebuilt, unittest.TestCase):
    """What DisposableVMs are restored from."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="qpen-")
        self.addCleanup(folder.cleanup)
        self.box = types.SimpleNamespace(dir=pathlib.Path(folder.name))
        super().setUp()

    def publish(self, size, what):
        subprocess.run([storebox.find_built("publish"), self.folder / "disposable.save", self.place / "config", str(size), what],
                       env={**os.environ, **self.effects.env("publish")}, check=True)

    def test_replaced(self):
        """Whatever there is: a save file that its record says is complete is so."""
        self.folder = self.place / "images"
        self.folder.mkdir()
        (self.place / "config").write_text("a VM's config")
        disk = powerloss.Disk(self.folder)
        versions = {}
        for size, what in ((3000, "1"), (5000, "2"), (4000, "3")):
            self.publish(size, what)
            saved = self.folder / "disposable.save"
            versions[saved.stat().st_size] = saved.read_bytes()
        believed = set()
        for state in self.all_states(disk):
            # The record names the save file by its size and inode, and by its time; whoever reads it asks for all of them.
            look = re.search(rb"^look=(\d+) ", state.files.get("disposable.save.info", (b"", 0))[0], re.M)
            saved = state.files.get("disposable.save", (None, 0))[0]
            if look and saved is not None and len(saved) == int(look[1]):
                with self.subTest(after=state.after, files=list(state.files)):
                    self.assertEqual(saved, versions[int(look[1])])
                    believed.add(int(look[1]))
        self.assertEqual(believed, set(versions))


class Opener(Rebuilt, test_opener.OpenerTest):
    """A file is opened in a DisposableVM, edited, and stored."""

    def setUp(self):
        super().setUp()
        self.opened = self.place / "home"
        self.opened.mkdir()
        self.records = self.opened / ".dvm"

    def start(self, *words):
        return self.vm.popen(["qvm-open-in-dvm", *words], text=False, bufsize=0,
                             env={"QPEN_DVM_FOLDER": str(self.records), **self.effects.env("qvm-open-in-dvm")})

    def store(self, seq):
        with open(self.device, "rb") as device:
            done = self.vm.run(["qubes_dvm_store", "--offset=0", "--from=disp7", seq], stdin=device,
                               env={"QPEN_DVM_FOLDER": str(self.records), **self.effects.env("qubes_dvm_store")})
        return done.returncode, done.stderr

    def assert_record(self, state, seq):
        """It stands in one place at least, and is whole."""
        found = [state.files[f".dvm/{seq}{suffix}"][0] for suffix in ("", ".taken", ".done")
                 if f".dvm/{seq}{suffix}" in state.files]
        self.assertTrue(found, "the record is lost")
        for record in found:
            self.assertTrue(record.startswith(bytes(self.opened / "report") + b"\0[transaction]\n"), record)
            self.assertRegex(record, rb"\nsha256=[0-9a-f]{64}\n")

    def next_seq(self, state):
        """The number that the next file gets, when this is what is left."""
        powerloss.make(state, self.opened)
        other = self.opened / "other"
        other.write_text("other")
        child, seq = self.open_it(other)
        child.kill()
        child.communicate()
        return int(seq)

    def test_stored(self):
        path = self.opened / "report"
        path.write_text("before")
        disk = powerloss.Disk(self.opened)
        child, seq = self.open_it(path)
        asked = self.done()
        self.answer("after")
        self.assertEqual(self.store(seq)[0], 0)
        stored = self.done()
        self.reply("ok saved")
        self.assertEqual(self.end(child)[0], 0)
        states = self.all_states(disk)
        for state in states:
            with self.subTest(after=state.after, files=list(state.files)):
                text = state.files["report"][0]
                self.assertIn(text, (b"before", b"after"))
                if state.after >= stored:
                    self.assertEqual(text, b"after")
                if state.after >= asked:
                    self.assert_record(state, seq)
                    self.assertGreater(self.next_seq(state), int(seq))

    def test_changed_meanwhile(self):
        """Neither the version of before nor the answer is lost."""
        path = self.opened / "report"
        path.write_text("before")
        child, seq = self.open_it(path)
        path.write_text("changed")
        disk = powerloss.Disk(self.opened)
        self.effects.clear()
        self.answer("after")
        self.assertEqual(self.store(seq)[0], 0)
        stored = self.done()
        self.reply("ok saved")
        self.end(child)
        for state in self.all_states(disk):
            with self.subTest(after=state.after, files=list(state.files)):
                texts = [content[0] for name, content in state.files.items() if content and name.startswith("report")]
                self.assertIn(b"changed", texts)
                self.assertIn(state.files["report"][0], (b"changed", b"after"))
                if state.after >= stored:
                    self.assertIn(b"after", texts)


if __name__ == "__main__":
    storebox.main()
