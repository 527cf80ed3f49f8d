#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Quotas, a full disk, no inodes, and loop devices that are not there or that somebody holds on to."""
import errno
import os
import subprocess

import storebox

OUT = storebox.OUTGOING
IN = storebox.INCOMING


class Quotas(storebox.DaemonTest):
    config = {"questions": {"timeout": "60", "max-queue": "1"},
              "pendrives": {"max-size": "128M", "max-per-vm": "2", "max-size-per-vm": "200M",
                            "max-size-total": "300M"}}

    def send_away(self, vm, request="new"):
        """A pendrive of that VM waits for an answer: the slot is free, the quota is not."""
        self.assertEqual(self.ask(vm, request), "ok xvdg")
        self.post(vm, "send personal")
        storebox.until(lambda: any(
            (record["sender"], record["state"]) == (str(vm.domid), "asking")
            and record["to-sender"] == f"q{self._last_ident}"
            for record in self.records().values()), "the question")

    def test_number_of_pendrives(self):
        self.send_away(self.work)
        self.send_away(self.work)
        self.assert_error(self.ask(self.work, "new"), "quota")
        self.assert_serves(self.other)
        self.box.ctl("cancel", "1")
        storebox.until(lambda: len(self.records()) == 1, "one to go")
        self.assertEqual(self.ask(self.work, "new"), "ok xvdg")

    def test_bytes_of_a_vm(self):
        self.send_away(self.work, "new size=128M")
        self.assert_error(self.ask(self.work, "new size=73M"), "quota")
        self.assertEqual(self.ask(self.work, "new size=72M"), "ok xvdg")

    def test_bytes_of_all(self):
        self.send_away(self.work, "new size=128M")
        self.send_away(self.other, "new size=108M")
        self.assert_error(self.ask(self.personal, "new size=65M"), "no-space")
        self.assertEqual(self.ask(self.personal, "new size=64M"), "ok xvdg")

    def test_a_dead_vms_share_comes_back(self):
        self.send_away(self.work, "new size=128M")
        self.send_away(self.other, "new size=128M")
        self.assert_error(self.ask(self.personal, "new"), "no-space")
        self.work.destroy()
        storebox.until(lambda: len(self.records()) == 1, "the dead one's to go")
        self.assertEqual(self.ask(self.personal, "new"), "ok xvdg")

    def test_what_a_dead_vm_delivered_counts_for_all_alone(self):
        self.box.start_agent("--yes")
        self.deliver(self.work, self.personal)
        self.work = self.work.reboot()
        self.send_to_queue(self.work)
        self.assertEqual(self.ask(self.work, "new"), "ok xvdg")

    def send_to_queue(self, vm):
        self.lend(vm)
        ident = self.post(vm, "send personal")
        self.wait_record(vm, "queued")
        return ident

    def test_one_queue(self):
        """It is as long as it may be: the next one is told so, and the first ones are served."""
        self.box.start_agent("--yes")
        self.deliver(self.work, self.personal)
        queued = self.send_to_queue(self.other)
        self.lend(self.work)
        self.assert_error(self.ask(self.work, "send personal"), "queue-full")
        self.assertEqual(self.ask(self.personal, "umount"), "ok")
        self.assertEqual(self.wait_reply(self.other, queued), "ok delivered")

    def test_first_come_first_served(self):
        self.restart(config={"questions": {"max-queue": "8"},
                             "pendrives": {"max-size-total": "1G"}})
        self.box.start_agent("--yes")
        senders = self.box.create_vms([f"s{i}" for i in range(5)])
        self.deliver(self.work, self.personal)
        waiting = [(vm, self.send_to_queue(vm)) for vm in senders]
        for vm, ident in waiting:
            self.assertEqual(self.ask(self.personal, "umount"), "ok")
            self.assertEqual(self.wait_reply(vm, ident), "ok delivered")
            self.assertEqual(self.personal.xs.read("qubes_blocksrc"), vm.name)

    def test_the_quota_holds_after_a_restart(self):
        self.send_away(self.work)
        self.send_away(self.work)
        self.restart()
        self.assert_error(self.ask(self.work, "new"), "quota")


class Reserve(storebox.DaemonTest):
    def test_a_reserve_larger_than_what_is_free(self):
        free = os.statvfs(self.images)
        self.restart(config={"pendrives": {"reserve": str(free.f_bavail * free.f_frsize)}})
        self.assert_error(self.ask(self.work, "new"), "no-space")
        self.wait_nothing_left()
        self.restart(config={"pendrives": {"reserve": "0"}})
        self.assert_serves(self.work)


class SmallDisk(storebox.DaemonTest):
    """The images on a file system of their own."""
    options = None

    def start(self, *arguments, **options):
        if not os.path.ismount(self.images):
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", self.options, "qfx", self.images],
                                  stderr=subprocess.PIPE, text=True)
            if done.returncode != 0:
                self.skipTest(f"cannot mount: {done.stderr.strip()}")
            self.addCleanup(subprocess.run, ["umount", "-l", self.images])
        return super().start(*arguments, **options)


class FullDisk(SmallDisk):
    options = "size=160M"

    def test_room_is_promised_once(self):
        """Sparse as they are, all together could be filled to the brim."""
        self.lend(self.work)
        self.lend(self.personal)
        self.assert_error(self.ask(self.other, "new"), "no-space")
        self.box.ctl("cancel", "1")
        storebox.until(lambda: len(self.records()) == 1, "the first to go")
        self.lend(self.other)

    def test_what_others_write_counts(self):
        (self.images / "filler").write_bytes(bytes(100 << 20))
        self.assert_error(self.ask(self.work, "new"), "no-space")
        self.assertEqual([path.name for path in self.images.iterdir()], ["filler"])
        (self.images / "filler").unlink()
        self.lend(self.work)

    def test_a_disk_that_is_full_to_the_last_byte(self):
        """Even making a template fails; what is lent stays."""
        self.restart(config={"pendrives": {"default-size": "64M"}})
        self.lend(self.work)
        with open(self.images / "filler", "wb") as filler, self.assertRaises(OSError):
            while True:
                filler.write(bytes(1 << 20))
                filler.flush()
        for request in ("new", "new size=66M", "new format=none"):
            self.assert_error(self.ask(self.personal, request), "no-space")
        self.wait_record(self.work, "lent")
        (self.images / "filler").unlink()
        self.lend(self.personal)


class NoInodes(SmallDisk):
    """There is room, but for no file more."""
    options = "size=1G,nr_inodes=6"  # the folder, and five files

    def fill(self):
        with self.assertRaises(OSError) as failed:
            for i in range(7):
                (self.images / f"filler{i}").touch()
        self.assertEqual(failed.exception.errno, errno.ENOSPC)

    def free(self):
        for path in self.images.glob("filler*"):
            path.unlink()

    def test_new(self):
        """Neither the template can be made nor, when there is one, the image."""
        self.fill()
        self.assert_error(self.ask(self.work, "new"), "no-space")
        self.assert_error(self.ask(self.work, "new format=none"), "no-space")
        self.free()
        self.assert_serves(self.work)
        storebox.until(lambda: not list(self.images.iterdir()), "the image to go")
        self.fill()
        self.assert_error(self.ask(self.work, "new"), "no-space")
        storebox.until(lambda: not self.records(), "it to be given up")
        self.free()
        self.assert_serves(self.work)
        self.assertEqual(list(self.images.iterdir()), [])

    def test_what_is_lent_goes_on(self):
        self.box.start_agent("--yes")
        self.lend(self.work)
        self.fill()
        self.assertEqual(self.ask(self.work, "send personal"), "ok delivered")
        self.assertEqual(self.ask(self.personal, "umount"), "ok")
        self.free()
        self.wait_nothing_left()


class NoLoops(storebox.DaemonTest):
    """No loop device is to be had."""

    def setUp(self):
        super().setUp()
        self.none = self.images / "no-loops"  # tests/sim/loop_sim.c
        self.box.start_agent("--yes")

    def assert_all_left_serves(self):
        storebox.until(lambda: self.leftovers() == [str(self.none)], "all but the file to go")
        self.none.unlink()
        self.deliver(self.work, self.personal)

    def test_for_the_sender(self):
        self.none.touch()
        self.assert_error(self.ask(self.work, "new"), "failed")
        self.wait_log("cannot bind")
        self.assert_all_left_serves()

    def test_for_the_receiver(self):
        self.lend(self.work)
        self.none.touch()
        self.assert_error(self.ask(self.work, "send personal"), "failed")
        self.assert_all_left_serves()


class Held(storebox.DaemonTest):
    """A loop device that is not given back: somebody in dom0 has it open, say."""
    config = {"timeouts": {"detach": "3", "release": "3"}, "questions": {"timeout": "60"}}

    def setUp(self):
        super().setUp()
        self.held = self.images / "held"  # tests/sim/loop_sim.c
        self.box.start_agent("--yes")

    def assert_only_it_is_left(self):
        storebox.until(lambda: self.leftovers() == [str(self.held)], "all but the file to go")

    def test_the_senders_disk(self):
        """Nobody is asked, and nothing is handed over: what it holds could still change."""
        self.lend(self.work)
        self.held.touch()
        self.assert_error(self.ask(self.work, "send personal"), "timeout")
        self.assert_only_it_is_left()
        self.assertNotIn("wants to send", self.box.log("agent"))
        self.assertFalse([line for line in self.box.history()
                          if f"domid={self.personal.domid} " in line])
        self.wait_log("holds on to its disk")
        self.held.unlink()
        self.assert_serves(self.work)

    def test_it_goes_on_when_the_device_is_given_back_in_time(self):
        self.lend(self.work)
        self.held.touch()
        ident = self.post(self.work, "send personal")
        self.wait_record(self.work, "freezing")
        self.work.wait_detached(OUT)
        self.held.unlink()
        self.assertEqual(self.wait_reply(self.work, ident), "ok delivered")

    def test_the_receivers_disk(self):
        """The VM is told that it is rid of it, and others may use the slot."""
        self.deliver(self.work, self.personal)
        self.held.touch()
        self.assertEqual(self.ask(self.personal, "umount"), "ok")
        self.assert_only_it_is_left()
        self.held.unlink()
        self.deliver(self.other, self.personal)

    def test_a_dead_senders_disk(self):
        self.lend(self.work)
        self.held.touch()
        self.work.destroy(timeout_ms=100)
        self.assert_only_it_is_left()
        self.assert_error(self.ask(self.personal, "umount"), "no-pendrive")


if __name__ == "__main__":
    storebox.main()
