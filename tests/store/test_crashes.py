#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon dies at each point between two side effects, and its successor brings every story to the same end."""
import pathlib
import shutil
import tempfile

import storebox
from crashwalk import CrashTest

OUT = storebox.OUTGOING
IN = storebox.INCOMING


class Pendrives(CrashTest):
    every = 4
    config = {"questions": {"burst": "10000"}, "requests": {"burst": "100000"}}

    def lend_image(self, vm):
        """Which image it has."""
        self.assertEqual(self.ask(vm, "new"), "ok xvdg")
        return vm.wait_connected(OUT).image

    def receive(self, sender, receiver, image):
        """It is promised, and comes."""
        self.assertEqual(self.ask(sender, f"send {receiver.name}"), "ok delivered")
        self.assertEqual(receiver.wait_connected(IN).image, image)

    def make_anew(self, vm):
        """A VM that has died, with another domid."""
        fresh = self.box.create_vm(vm.name)
        self.vms[self.vms.index(vm)] = fresh
        setattr(self, vm.name, fresh)

    def die(self, vm):
        vm.destroy(timeout_ms=500)
        self.wait_nothing_left()
        self.make_anew(vm)


class Yes(Pendrives):
    """The user says yes, as often as he is asked."""

    def delivered(self):
        self.receive(self.work, self.personal, self.lend_image(self.work))
        self.assertEqual(self.personal.xs.read("qubes_blocksrc"), "work")
        self.assertEqual(self.ask(self.personal, "umount"), "ok")

    def test_delivered(self):
        self.walk(self.delivered)

    def queue_of_two(self):
        first, second = self.lend_image(self.work), self.lend_image(self.other)
        self.receive(self.work, self.personal, first)
        sent = self.post(self.other, "send personal")
        self.wait_record(self.other, "queued")
        self.assertEqual(self.ask(self.personal, "umount"), "ok")
        self.assertEqual(self.wait_reply(self.other, sent), "ok delivered")
        self.assertEqual(self.personal.wait_connected(IN).image, second)
        self.assertEqual(self.ask(self.personal, "umount"), "ok")

    def test_queue_of_two(self):
        self.walk(self.queue_of_two)

    def sender_dies_after_the_yes(self):
        """It is promised to the receiver, and stays there."""
        image = self.lend_image(self.work)
        self.receive(self.work, self.personal, image)
        self.work.destroy(timeout_ms=500)
        self.assertEqual(self.personal.wait_connected(IN).image, image)
        self.assertEqual(self.ask(self.personal, "umount"), "ok")
        self.make_anew(self.work)

    def test_sender_dies_after_the_yes(self):
        self.walk(self.sender_dies_after_the_yes)

    def receiver_dies(self):
        self.receive(self.work, self.personal, self.lend_image(self.work))
        self.die(self.personal)

    def test_receiver_dies(self):
        self.walk(self.receiver_dies)

    def taken_back(self):
        """By the user of dom0, who says it again when the daemon died instead of answering."""
        self.receive(self.work, self.personal, self.lend_image(self.work))

        def is_gone():
            for record in self.records().values():
                self.box.ctl("cancel", record["id"], check=False)
            return not self.records()

        storebox.until(is_gone, "it to be taken back")
        self.personal.wait_detached(IN)

    def test_taken_back(self):
        self.walk(self.taken_back)


class No(Pendrives):
    agent = "--no"

    def refused(self):
        self.lend_image(self.work)
        self.assert_error(self.ask(self.work, "send personal"), "refused")

    def test_refused(self):
        self.walk(self.refused)


class Nobody(Pendrives):
    """Nobody answers."""
    agent = None

    def sender_dies(self):
        self.lend_image(self.work)
        self.post(self.work, "send personal")
        self.wait_record(self.work, "asking")
        self.die(self.work)

    def test_sender_dies(self):
        self.walk(self.sender_dies)

    def discarded(self):
        self.lend_image(self.work)
        self.assertEqual(self.ask(self.work, "discard"), "ok")

    def test_discarded(self):
        self.walk(self.discarded)

    def discarded_while_asking(self):
        self.lend_image(self.work)
        sent = self.post(self.work, "send personal")
        self.wait_record(self.work, "asking")
        self.assertEqual(self.ask(self.work, f"discard {sent}"), "ok")
        self.assert_error(self.wait_reply(self.work, sent), "cancelled")

    def test_discarded_while_asking(self):
        self.walk(self.discarded_while_asking)


class Expires(Pendrives):
    """A refusal is kept back until the question would have expired."""
    agent = None
    config = {"questions": {"burst": "10000", "timeout": "1", "hide-refusals": "yes"}, "requests": {"burst": "100000"}}
    every = 8

    def expired(self):
        self.lend_image(self.work)
        self.assert_error(self.ask(self.work, "send personal"), "refused")

    def test_expired(self):
        self.walk(self.expired)

    def no_such_vm(self):
        self.lend_image(self.work)
        self.assert_error(self.ask(self.work, "send nobody"), "refused")

    def test_no_such_vm(self):
        self.walk(self.no_such_vm)


class Moving(Pendrives):
    """qvm-move-to-vm, whole. A folder stands for the mounted pendrive."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="qpen-")
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name) / "home"
        self.mnt = pathlib.Path(folder.name) / "mnt"

    def make_tree(self):
        for path in (self.home, self.mnt):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
        (self.home / "tree").mkdir()
        for name in ("a", "b"):
            (self.home / "tree" / name).write_text(name)

    def move(self, status, receiver="personal"):
        self.make_tree()
        done = self.work.run(["qvm-move-to-vm", receiver, "tree"], cwd=self.home,
                             env={"QPEN_OUTGOING_FOLDER": str(self.mnt)})
        self.assertEqual(done.returncode, status, done.stderr)

    def assert_whole(self, folder):
        self.assertEqual({path.name: path.is_file() and path.read_text() for path in folder.rglob("*")},
                         {"tree": False, "a": "a", "b": "b"})

    def check_told(self):
        """The requests of the program have IDs of its own."""
        replies = self.effects.replies()
        for key, finals in replies.items():
            self.assertEqual(len(finals), 1, (key, finals))
        self.assertEqual(self.box.violations(), [])
        self.assertIn(len([key for key in replies if key[0] == self.work.domid]), self.requests)


class Move(Moving):
    requests = (2,)  # new, send

    def moved(self):
        """What is deleted was delivered, and is whole."""
        self.move(0)
        self.personal.wait_connected(IN)
        self.assert_whole(self.mnt)
        self.assertEqual(list(self.home.iterdir()), [])
        self.assertEqual(self.ask(self.personal, "umount"), "ok")

    def test_moved(self):
        self.walk(self.moved)


class NotMoved(Moving):
    """Nothing is deleted, wherever the daemon dies."""
    agent = "--no"
    requests = (2,)

    def refused(self):
        self.move(1)
        self.assert_whole(self.home)

    def test_refused(self):
        self.walk(self.refused)


class NotSent(Moving):
    """The program gives its pendrive back itself."""
    agent = None
    # And a discard; two, where the daemon does not know the ID of the `new` of its predecessor's time.
    requests = (3, 4)

    def to_itself(self):
        self.move(1, receiver="work")
        self.assert_whole(self.home)

    def test_to_itself(self):
        self.walk(self.to_itself)


if __name__ == "__main__":
    storebox.main()
