#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon is stopped or killed in every state and carries on; what it leaves, and what it does
not touch."""
import functools
import re
import signal

import storebox

OUT = storebox.OUTGOING
IN = storebox.INCOMING
ENDS = (signal.SIGTERM, signal.SIGKILL)


class Answers:
    """Counts the changes of a reply node: one for each `wait`, and a single one for the end.

    Watches are told of every committed write, so an answer that is given twice is seen even if it
    is the same.
    """

    def __init__(self, xs, vm, ident):
        self.xs, self.path = xs, f"{vm.path}/device/qpen-reply/{ident}"
        self.watch = xs.watch(self.path)
        self.watch.next()

    def finals_after(self, waits):
        """How many times it was written, less the waits."""
        count = len([path for path in self.watch.drain() if path == self.path]) - waits
        self.watch.close()
        return count


def both_ends(test):
    """A test for each way in which the daemon can end."""
    @functools.wraps(test)
    def run(self):
        for number in ENDS:
            with self.subTest(number.name):
                test(self, number)
                for record in self.records().values():
                    self.box.ctl("cancel", record["id"], check=False)
                self.wait_nothing_left()

    return run


class RestartTest(storebox.DaemonTest):
    def answers(self, vm, ident):
        return Answers(self.box.dom0, vm, ident)

    def next_ident(self):
        return f"q{self._last_ident + 1}"


class Restarted(RestartTest):
    config = {"questions": {"timeout": "60"}}

    def test_the_last_reply_stays(self):
        """Of those that a former daemon left nobody knows which is the oldest; the one that is written now is not."""
        self.lend(self.work)
        # First by its name and by its time, in whichever order they are listed.
        self.work.post("send personal #a0")
        self.wait_record(self.work, "asking")
        for number in range(16):
            self.assertIn("no-pendrive", self.work.ask("umount", f"z{number}"))
        self.assertEqual(self.box.daemon.kill(), -9)
        self.start()
        self.box.start_agent("--yes")
        self.assertEqual(self.work.wait_reply("a0"), "a0 ok delivered")
        # It is in the same turn that old ones are removed.
        self.assert_error(self.ask(self.work, "umount"), "no-pendrive")
        self.assertEqual(self.work.xs.read("device/qpen-reply/a0"), "a0 ok delivered")

    def test_a_loop_device_that_is_another_s(self):
        """Somebody freed it while no daemon ran: what it is now is nobody's to see."""
        self.lend(self.work)
        self.assertEqual(self.box.daemon.kill(), -9)
        for link in self.box.loops_dir.iterdir():
            if link.is_symlink():
                link.unlink()
                link.symlink_to(self.images / "another")
        self.start()
        self.wait_log("no loop device is over")
        self.work.wait_detached(OUT)
        self.wait_nothing_left()
        self.assert_serves(self.work)

    @both_ends
    def test_with_nothing_under_way(self, number):
        self.restart(number)
        self.assert_serves(self.work)

    @both_ends
    def test_while_it_makes_the_image(self, number):
        """Killed at once after the request was taken: the next one makes it, and answers."""
        answers = self.answers(self.work, self.next_ident())
        ident = self.post(self.work, "new size=100M")
        self.work.xs.wait("device/qpen", "")
        self.restart(number)
        self.assertEqual(self.wait_reply(self.work, ident), "ok xvdg")
        self.assertEqual(answers.finals_after(waits=0), 1)

    @both_ends
    def test_while_the_sender_connects(self, number):
        self.work.set_disks(connect="never")
        answers = self.answers(self.work, self.next_ident())
        ident = self.post(self.work, "new")
        self.wait_record(self.work, "attaching-out")
        self.restart(number)
        self.wait_record(self.work, "attaching-out")
        self.work.set_disks(connect="now")
        self.assertEqual(self.wait_reply(self.work, ident), "ok xvdg")
        self.assertEqual(answers.finals_after(waits=0), 1)

    @both_ends
    def test_while_it_is_lent(self, number):
        disk = self.lend(self.work)
        self.restart(number)
        self.assertEqual(self.work.wait_connected(OUT).physical_device, disk.physical_device)
        self.assert_error(self.ask(self.work, "new"), "have-pendrive")
        self.box.start_agent("--yes")
        self.assertEqual(self.ask(self.work, "send personal"), "ok delivered")
        self.assertEqual(self.personal.wait_connected(IN).image, disk.image)

    @both_ends
    def test_while_the_sender_lets_go(self, number):
        self.lend(self.work)
        self.work.set_disks(close="never")
        answers = self.answers(self.work, self.next_ident())
        ident = self.post(self.work, "send personal")
        self.wait_record(self.work, "freezing")
        self.restart(number)
        self.wait_record(self.work, "freezing")
        self.work.set_disks(close="now")
        self.wait_record(self.work, "asking")
        self.box.start_agent("--yes")
        self.assertEqual(self.wait_reply(self.work, ident), "ok delivered")
        self.assertEqual(answers.finals_after(waits=1), 1)

    @both_ends
    def test_while_the_user_is_asked(self, number):
        """The agent has to start anew, since it ends with the daemon; the question is put again."""
        self.lend(self.work)
        answers = self.answers(self.work, self.next_ident())
        ident = self.post(self.work, "send personal")
        self.wait_record(self.work, "asking")
        self.restart(number)
        self.wait_record(self.work, "asking")
        self.box.start_agent("--yes")
        self.assertEqual(self.wait_reply(self.work, ident), "ok delivered")
        self.assertEqual(answers.finals_after(waits=1), 1)

    @both_ends
    def test_while_one_waits_in_a_queue(self, number):
        self.box.start_agent("--yes")
        self.deliver(self.work, self.personal)
        self.lend(self.other)
        answers = self.answers(self.other, self.next_ident())
        ident = self.post(self.other, "send personal")
        self.wait_record(self.other, "queued")
        self.restart(number)
        self.wait_record(self.other, "queued")
        self.assertEqual(self.ask(self.personal, "umount"), "ok")
        self.assertEqual(self.wait_reply(self.other, ident), "ok delivered")
        self.assertEqual(answers.finals_after(waits=2), 1)
        self.assertEqual(self.personal.xs.read("qubes_blocksrc"), "other")

    @both_ends
    def test_while_the_receiver_connects(self, number):
        self.personal.set_disks(connect="never")
        self.box.start_agent("--yes")
        self.lend(self.work)
        answers = self.answers(self.work, self.next_ident())
        ident = self.post(self.work, "send personal")
        self.wait_record(self.work, "attaching-in")
        self.restart(number)
        self.wait_record(self.work, "attaching-in")
        self.personal.set_disks(connect="now")
        self.assertEqual(self.wait_reply(self.work, ident), "ok delivered")
        self.assertEqual(answers.finals_after(waits=1), 1)

    @both_ends
    def test_while_it_is_delivered(self, number):
        self.box.start_agent("--yes")
        disk = self.deliver(self.work, self.personal)
        self.restart(number)
        self.assertEqual(self.personal.wait_connected(IN).physical_device,
                         disk.physical_device)
        answers = self.answers(self.personal, self.next_ident())
        self.assertEqual(self.ask(self.personal, "umount"), "ok")
        self.wait_nothing_left()
        self.assertEqual(answers.finals_after(waits=0), 1)

    @both_ends
    def test_while_the_receiver_gives_it_back(self, number):
        self.box.start_agent("--yes")
        self.deliver(self.work, self.personal)
        self.personal.set_disks(close="never")
        answers = self.answers(self.personal, self.next_ident())
        ident = self.post(self.personal, "umount")
        self.wait_record(self.work, "taking-back")
        self.restart(number)
        self.wait_record(self.work, "taking-back")
        self.personal.set_disks(close="now")
        self.assertEqual(self.wait_reply(self.personal, ident), "ok")
        self.wait_nothing_left()
        self.assertEqual(answers.finals_after(waits=0), 1)

    @both_ends
    def test_while_it_is_discarded(self, number):
        self.lend(self.work)
        self.work.set_disks(close="never")
        self.box.ctl("cancel", self.wait_record(self.work, "lent")["id"])
        self.wait_record(self.work, "discarding")
        self.restart(number)
        self.work.set_disks(close="now")
        self.wait_nothing_left()

    def test_again_and_again_in_the_middle_of_everything(self):
        """Twenty kills at any moment; each request has one answer, each pendrive one end."""
        for i in range(20):
            ident = self.next_ident()
            answers = self.answers(self.work, ident)
            self.post(self.work, "new")
            if i % 2:
                self.wait_reply(self.work, ident)
            self.restart(signal.SIGKILL)
            self.assertEqual(self.wait_reply(self.work, ident), "ok xvdg")
            self.assertEqual(answers.finals_after(waits=0), 1)
            self.box.ctl("cancel", self.wait_record(self.work, "lent")["id"])
            if i % 3:
                self.wait_nothing_left()
            self.restart(signal.SIGKILL)
            self.wait_nothing_left()


class Hidden(RestartTest):
    config = {"questions": {"hide-refusals": "yes", "timeout": "4"}}

    def test_while_a_refusal_is_kept_back(self):
        self.lend(self.work)
        answers = self.answers(self.work, self.next_ident())
        ident = self.post(self.work, "send nobody")
        self.wait_record(self.work, "refusing")
        self.restart(signal.SIGKILL)
        self.wait_record(self.work, "refusing")
        self.assert_error(self.wait_reply(self.work, ident), "refused")
        self.assertEqual(answers.finals_after(waits=1), 1)
        self.wait_nothing_left()


class Meanwhile(RestartTest):
    """What happens while no daemon runs."""

    def stop_daemon(self):
        self.assertEqual(self.box.daemon.stop(), 0)

    def test_a_request_is_served_once(self):
        self.work.wait_mailbox()
        self.stop_daemon()
        answers = self.answers(self.work, self.next_ident())
        ident = self.post(self.work, "new")
        self.start()
        self.assertEqual(self.wait_reply(self.work, ident), "ok xvdg")
        self.restart(signal.SIGKILL)
        self.assert_error(self.ask(self.work, "new"), "have-pendrive")
        self.assertEqual(answers.finals_after(waits=0), 1)
        self.assertEqual(len(self.records()), 1)

    def test_the_sender_dies(self):
        self.lend(self.work)
        self.stop_daemon()
        self.work.destroy(timeout_ms=100)
        self.start()
        self.wait_nothing_left()
        self.assert_serves()

    def test_the_sender_reboots(self):
        self.lend(self.work)
        self.stop_daemon()
        self.work = self.work.reboot()
        self.start()
        self.wait_nothing_left()
        self.assert_serves(self.work)

    def test_both_die_in_every_state(self):
        for state in ("lent", "asking", "delivered"):
            for died in ("work", "personal"):
                with self.subTest(state=state, died=died):
                    self.lend(self.work)
                    if state != "lent":
                        self.post(self.work, "send personal")
                        self.wait_record(self.work, "asking")
                    if state == "delivered":
                        self.box.start_agent("--yes")
                        self.wait_record(self.work, "delivered")
                    self.stop_daemon()
                    getattr(self, died).destroy(timeout_ms=100)
                    self.start({"questions": {"timeout": "4"}})
                    if (state, died) == ("lent", "personal"):
                        self.wait_record(self.work, "lent")
                        self.box.ctl("cancel", self.wait_record(self.work, "lent")["id"])
                    elif (state, died) == ("delivered", "work"):
                        self.assertEqual(self.ask(self.personal, "umount"), "ok")
                    self.wait_nothing_left()
                    setattr(self, died, self.box.create_vm(died))

    def test_a_vm_appears(self):
        self.stop_daemon()
        newcomer = self.box.create_vm("newcomer")
        self.start()
        self.lend(newcomer)

    def test_the_receiver_of_a_queue_dies(self):
        self.box.start_agent("--yes")
        self.deliver(self.work, self.personal)
        self.lend(self.other)
        ident = self.post(self.other, "send personal")
        self.wait_record(self.other, "queued")
        self.stop_daemon()
        self.personal.destroy(timeout_ms=100)
        self.start()
        self.assert_error(self.wait_reply(self.other, ident), "receiver-gone")
        self.wait_nothing_left()

    def test_an_admin_takes_the_disk(self):
        self.lend(self.work)
        # libxl is told after the VM.
        self.box.dom0.wait(f"/libxl/{self.work.domid}/device/vbd/{OUT}/backend", lambda value: value is not None)
        self.stop_daemon()

        def take(tx):
            for path in (f"/local/domain/0/backend/vbd/{self.work.domid}/{OUT}",
                         f"{self.work.path}/device/vbd/{OUT}",
                         f"/libxl/{self.work.domid}/device/vbd/{OUT}"):
                tx.rm(path)

        # All at once: a front end without its backend would have to complain.
        self.box.dom0.transact(take)
        self.start()
        self.wait_nothing_left()
        self.assert_serves(self.work)


class Files(storebox.DaemonTest):
    def test_strangers_in_the_image_folder_are_left_alone(self):
        strangers = ["README", "lost+found", ".hidden", "Template.1", ".pendrive", "0" * 32]
        strangers += [name + ".pendrive" for name in ("0" * 31, "0" * 33, "A" * 32, "g" * 32)]
        strangers += ["0" * 32 + ".pendrive.bak"]
        ours = ["0123456789abcdef" * 2 + ".pendrive", "template.67108864"]
        self.assertEqual(self.box.daemon.stop(), 0)
        for name in strangers + ours:
            (self.images / name).touch()
        outside = self.box.dir / "outside"
        outside.write_text("precious")
        (self.images / ("f" * 32 + ".pendrive")).symlink_to(outside)
        self.start()
        self.assert_serves(self.work)
        storebox.until(lambda: not self.records(), "the records to go")
        self.assertEqual(sorted(path.name for path in self.images.iterdir()), sorted(strangers))
        self.assertEqual(outside.read_text(), "precious")

    def test_images_and_folder_are_for_root_alone(self):
        (self.images).chmod(0o755)
        self.lend(self.work)
        image, = self.images.iterdir()
        self.assertEqual(oct(image.stat().st_mode & 0o777), "0o600")

    def test_a_folder_that_is_not_there_is_made(self):
        self.assertEqual(self.box.daemon.stop(), 0)
        self.images = self.box.dir / "new" / "folder"
        self.start()
        self.assertEqual(oct(self.images.stat().st_mode & 0o777), "0o700")
        self.assert_serves()

    def test_a_folder_that_cannot_be_used(self):
        self.assertEqual(self.box.daemon.stop(), 0)
        self.images = self.box.dir / "file"
        self.images.touch()
        daemon = self.start(wait=False)
        self.assertEqual(daemon.process.wait(storebox.DEADLINE_S), 69)
        self.box.daemon = None
        self.wait_log(f"cannot use {self.images} for the images: ")

    def test_damaged_records_are_left_alone_and_the_daemon_serves(self):
        self.lend(self.work)
        good = self.wait_record(self.work, "lent")
        text = self.box.dom0.read(f"/qfilexchgd/transfers/{good['id']}")
        self.assertEqual(self.box.daemon.stop(), 0)
        damaged = {
            "100": "", "101": "rubbish", "102": text[:-1], "103": text + "more=1\n",
            "104": re.sub(r"\Aversion=\d+\n", "version=99\n", text), "105": "x" * 3000,
            "106": text.replace("state=lent", "state=asking"), "107": "\0" * 500,
            "108": text.replace("image=", "image=../"), "word": "version=1\n",
            # A right one under a wrong name: that transfer is there already.
            "109": text}
        for name, value in damaged.items():
            self.box.dom0.write(f"/qfilexchgd/transfers/{name}", value)
        self.start()
        self.assertEqual(self.box.log("daemon").count("left alone"), len(damaged))
        self.assertIn("of another release; left alone", self.box.log("daemon"))
        self.assert_serves(self.other)
        for name, value in damaged.items():
            self.assertEqual(self.box.dom0.read(f"/qfilexchgd/transfers/{name}"), value)
            self.box.dom0.rm(f"/qfilexchgd/transfers/{name}")
        self.assertEqual(self.wait_record(self.work, "lent"), good)
        self.box.ctl("cancel", good["id"])
        self.wait_nothing_left()

    def test_a_record_without_its_image(self):
        """Somebody removed the file: the VM keeps the disk that it has, and it ends in order."""
        self.lend(self.work)
        image, = self.images.iterdir()
        self.assertEqual(self.box.daemon.stop(), 0)
        image.unlink()
        self.start()
        self.box.start_agent("--yes")
        self.assert_error(self.ask(self.work, "send personal"), "failed")
        self.wait_nothing_left()


class Two(storebox.DaemonTest):
    def test_a_second_one_does_not_start(self):
        disk = self.lend(self.work)
        first, self.box.daemon = self.box.daemon, None
        second = self.start(wait=False)
        self.assertEqual(second.process.wait(storebox.DEADLINE_S), 69)
        self.box.daemon = first
        self.assertTrue(first.is_alive())
        self.assertIn(f"another qfilexchgd works with {self.images}", self.box.log("daemon"))
        self.assertEqual(self.work.disk(OUT).physical_device, disk.physical_device)
        self.assertEqual(self.box.log("daemon").count("taken up again"), 0)
        self.assert_serves()

    def test_mkfs_of_a_killed_one_does_not_keep_the_next_from_starting(self):
        self.work.wait_mailbox()
        self.work.post("new size=2G")
        self.work.xs.wait("device/qpen", "")
        self.restart(signal.SIGKILL)
        self.work.wait_connected(OUT)

    def test_no_xenstored(self):
        self.assertEqual(self.box.daemon.stop(), 0)
        daemon = self.start(wait=False, XENSTORED_PATH=str(self.box.dir / "none"))
        self.assertEqual(daemon.process.wait(storebox.DEADLINE_S), 69)
        self.box.daemon = None
        self.wait_log("cannot reach xenstored: ")


if __name__ == "__main__":
    storebox.main()
