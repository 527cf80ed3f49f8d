#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""qubes_penctl end to end: what its user sees, and what it leaves when it is not let finish."""
import signal

import storebox

OUT = storebox.OUTGOING
IN = storebox.INCOMING

# Exit statuses, as in the manual page
OK, ERROR, USAGE, NO_ANSWER, DEVICE, FAILED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130


class PenctlTest(storebox.DaemonTest):
    config = {"questions": {"timeout": "30"}}

    def penctl(self, vm, *words, **options):
        return vm.run(["qubes_penctl", *words], **options)

    def assert_ends(self, done, status, *texts):
        """Errors go to the standard error in one line, all else to the standard output."""
        said = done.stdout if status == OK else done.stderr
        self.assertEqual(done.returncode, status, done)
        for text in texts:
            self.assertIn(text, said)
        if status == OK:
            self.assertEqual(done.stderr, "")
        else:
            self.assertRegex(done.stderr, r"\Aqubes_penctl: [^\n]+\n\Z")

    def start_penctl(self, vm, *words):
        """Starts one that waits for an answer, and gives it when its request was taken."""
        child = vm.popen(["qubes_penctl", *words])
        return child


class Verbs(PenctlTest):
    def test_the_main_job(self):
        self.assert_ends(self.penctl(self.work, "new"), OK,
                         "a pendrive was lent to this VM: /dev/xvdg\n")
        self.assertTrue(self.work.device(OUT).exists(), "it ended before the device was there")
        sending = self.start_penctl(self.work, "send", "personal")
        # It may miss a wait that is over at once: who answers comes when it has seen this one.
        self.assertEqual(sending.stdout.readline(), "waiting for the answer in dom0\n")
        self.box.start_agent("--yes")
        out, err = sending.communicate(timeout=storebox.DEADLINE_S)
        self.assertEqual((sending.returncode, out, err), (OK, "delivered\n", ""))
        self.personal.wait_connected(IN)
        self.assert_ends(self.penctl(self.personal, "umount"), OK, "given back\n")
        self.wait_nothing_left()

    def test_quiet(self):
        done = self.penctl(self.work, "--quiet", "new")
        self.assert_ends(done, OK)
        self.assertEqual(done.stdout, "")

    def test_sizes_and_formats(self):
        for words, size_mib, format_number in (
                ((), 64, "0"),
                (("size=100M",), 100, "0"),
                (("size=104857601", "format=vfat"), 101, "0"),
                (("format=none", "size=81920K"), 80, "1"),
                (("size=1G",), 1024, "0"),
                (("size=1", "format=none"), 64, "1")):  # the least that dom0 lends
            with self.subTest(words=words):
                self.assert_ends(self.penctl(self.work, "new", *words), OK)
                record = self.wait_record(self.work, "lent")
                self.assertEqual((record["size"], record["format"]),
                                 (str(size_mib << 20), format_number))
                image = self.images / (record["image"] + ".pendrive")
                self.assertEqual(image.stat().st_size, (size_mib << 20) + 2 * 65536)
                with open(image, "rb") as file:
                    file.seek(65536 + 510)
                    self.assertEqual(file.read(2) == b"\x55\xaa", format_number == "0")
                self.box.ctl("cancel", record["id"])
                self.wait_nothing_left()

    def test_seq_of_a_transaction(self):
        """An answer that nobody waits for, and what needs a template that is not there."""
        self.lend(self.work)
        self.assert_ends(self.penctl(self.work, "send", "personal", "7"), ERROR, "no-transaction")
        self.assert_ends(self.penctl(self.work, "send", "disposable", "7"), ERROR, "unsupported")
        for words in (("disposable",), ("disposable", "0")):
            self.assert_ends(self.penctl(self.work, "send", *words), USAGE, "needs a SEQ")
        self.wait_record(self.work, "lent")

    def test_errors_of_dom0(self):
        self.assert_ends(self.penctl(self.personal, "umount"), ERROR,
                         "there is no pendrive in that slot", "no-pendrive")
        self.assert_ends(self.penctl(self.work, "new", "size=9000G"), ERROR,
                         "does not allow a pendrive of that size", "bad-size")
        self.lend(self.work)
        self.assert_ends(self.penctl(self.work, "new"), ERROR,
                         "this VM has a pendrive at /dev/xvdg already", "have-pendrive")
        self.assert_ends(self.penctl(self.work, "send", "work"), ERROR,
                         "a VM cannot send a pendrive to itself", "self")
        self.box.start_agent("--no")
        self.assert_ends(self.penctl(self.work, "send", "personal"), ERROR,
                         "the pendrive and what was on it are gone", "refused")
        self.wait_nothing_left()

    def test_cancelled_in_dom0_while_it_waits_in_a_queue(self):
        self.box.start_agent("--yes")
        self.deliver(self.work, self.personal)
        self.lend(self.other)
        sending = self.start_penctl(self.other, "send", "personal")
        # It may have missed the question, which was over at once, but not this.
        self.assertIn("allowed; waiting until the receiver has unmounted its present pendrive\n",
                      iter(sending.stdout.readline, ""))
        record = self.wait_record(self.other, "queued")
        self.box.ctl("cancel", record["id"])
        _, err = sending.communicate(timeout=storebox.DEADLINE_S)
        self.assertEqual(sending.returncode, ERROR)
        self.assertIn("cancelled", err)

    def test_wrong_command_lines_ask_nothing(self):
        with self.work.xs.watch("device/qpen") as watch:
            watch.next()
            watch.drain()
            for words in ((), ("dance",), ("new", "now"), ("new", "size=-1"), ("new", "size=0"),
                          ("new", "size=1M", "size=1M"), ("new", "format=ext4"), ("send",),
                          ("send", "a", "b", "c"), ("send", "per\x1b[31msonal"), ("send", "-rf"),
                          ("send", "x" * 64), ("send", "personal", "7 8"), ("umount", "now"),
                          ("--timeout=0", "new"), ("--frobnicate",), ("dan\x07ce",)):
                with self.subTest(words=words):
                    done = self.penctl(self.work, *words)
                    self.assert_ends(done, USAGE, "(see qubes_penctl --help)")
                    self.assertNotRegex(done.stderr, r"[\x00-\x09\x0b-\x1f\x7f]")
            self.assertEqual(watch.drain(), [])


class Discard(PenctlTest):
    def test_lent(self):
        self.lend(self.work)
        self.assert_ends(self.penctl(self.work, "discard"), OK, "given up\n")
        self.assertFalse(self.work.device(OUT).exists())
        self.wait_nothing_left()
        self.assert_serves(self.work)

    def test_while_the_user_is_asked(self):
        """The question is withdrawn, and who sent it hears of it."""
        self.lend(self.work)
        sending = self.start_penctl(self.work, "send", "personal")
        self.wait_record(self.work, "asking")
        self.assert_ends(self.penctl(self.work, "discard"), OK)
        _, err = sending.communicate(timeout=storebox.DEADLINE_S)
        self.assertEqual(sending.returncode, ERROR, err)
        self.assertIn("given up by this VM", err)
        self.wait_nothing_left()
        self.box.start_agent("--yes")
        self.assert_serves(self.work)

    def test_in_a_queue(self):
        self.box.start_agent("--yes")
        self.deliver(self.work, self.personal)
        self.lend(self.other)
        sending = self.start_penctl(self.other, "send", "personal")
        self.wait_record(self.other, "queued")
        self.assert_ends(self.penctl(self.other, "discard"), OK)
        _, err = sending.communicate(timeout=storebox.DEADLINE_S)
        self.assertIn("cancelled", err)
        # What was delivered is not its sender's any more.
        self.assert_ends(self.penctl(self.work, "discard"), ERROR, "no-pendrive")
        self.wait_record(self.work, "delivered")

    def test_none(self):
        self.assert_ends(self.penctl(self.work, "discard"), ERROR, "no-pendrive")

    def test_a_vm_that_does_not_let_go(self):
        """It is taken by force, and the answer says when."""
        self.restart(config={"timeouts": {"detach": "1"}})
        self.lend(self.work)
        self.work.set_disks(close="never")
        self.assert_ends(self.penctl(self.work, "discard"), OK)
        self.wait_nothing_left()
        self.box.complaints(clear=True)

    def test_the_daemon_is_killed_meanwhile(self):
        self.lend(self.work)
        self.work.set_disks(close="never")
        asking = self.start_penctl(self.work, "discard")
        self.wait_record(self.work, "discarding")
        self.box.daemon.kill()
        self.work.set_disks(close="0")
        self.box.start_daemon()
        out, err = asking.communicate(timeout=2 * storebox.DEADLINE_S)
        self.assertEqual((asking.returncode, out, err), (OK, "given up\n", ""))
        self.wait_nothing_left()


class Device(PenctlTest):
    def test_send_without_a_pendrive(self):
        self.assert_ends(self.penctl(self.work, "send", "personal"), DEVICE,
                         "There is no pendrive at", "qubes_penctl new")

    def test_send_while_somebody_holds_it_open(self):
        self.lend(self.work)
        with open(self.work.device(OUT), "rb"):
            self.assert_ends(self.penctl(self.work, "send", "personal"), DEVICE,
                             "holds it open")
        self.wait_record(self.work, "lent")  # dom0 was not asked

    def test_device_that_comes_late(self):
        """`new` ends when the device can be used, however long after dom0's answer that is."""
        late = self.box.dir / "late-device"
        asking = self.work.popen(["qubes_penctl", "new"], env={"QPEN_DEVICE": str(late)})
        self.wait_record(self.work, "lent")
        self.work.wait_connected(OUT)
        self.assertIsNone(asking.poll())
        late.touch()
        out, err = asking.communicate(timeout=storebox.DEADLINE_S)
        self.assertEqual((asking.returncode, err), (OK, ""), out)

    def test_no_xenstore(self):
        done = self.penctl(self.work, "new", env={"XENSTORED_PATH": str(self.box.dir / "none")})
        self.assert_ends(done, FAILED, "is this a Xen VM")


class Waiting(PenctlTest):
    def test_no_wait(self):
        """The request lies there, or was taken by now; nothing more is asked of the program."""
        self.assert_ends(self.penctl(self.work, "--no-wait", "new"), OK,
                         "the request lies in the mailbox")
        self.work.wait_connected(OUT)

    def test_two_programs_each_get_their_own_answer(self):
        for _ in range(5):
            asking = [self.start_penctl(self.work, "new"), self.start_penctl(self.work, "umount"),
                      self.start_penctl(self.work, "new", "size=9000G")]
            said = [child.communicate(timeout=storebox.DEADLINE_S) for child in asking]
            self.assertEqual([child.returncode for child in asking], [OK, ERROR, ERROR], said)
            self.assertIn("xvdg", said[0][0])
            self.assertIn("no-pendrive", said[1][1])
            self.assertRegex(said[2][1], "bad-size|have-pendrive|busy")
            self.box.ctl("cancel", self.wait_record(self.work, "lent")["id"])
            self.wait_nothing_left()

    def test_two_ask_for_a_pendrive_and_one_gets_it(self):
        asking = [self.start_penctl(self.work, "new") for _ in range(2)]
        said = [child.communicate(timeout=storebox.DEADLINE_S) for child in asking]
        self.assertEqual(sorted(child.returncode for child in asking), [OK, ERROR], said)
        self.assertEqual(len(self.records()), 1)

    def test_killed_while_it_waits(self):
        """Its request goes on, and the VM can ask for other things."""
        self.lend(self.work)
        sending = self.start_penctl(self.work, "send", "personal")
        self.wait_record(self.work, "asking")
        sending.kill()
        sending.wait()
        self.assert_ends(self.penctl(self.work, "new"), OK)
        self.box.start_agent("--yes")
        self.personal.wait_connected(IN)
        self.wait_record(self.work, "delivered")

    def test_interrupted_while_dom0_has_the_request(self):
        self.lend(self.work)
        for asking, number in enumerate((signal.SIGINT, signal.SIGTERM), 1):
            sending = self.start_penctl(self.work, "send", "personal")
            storebox.until(lambda n=asking: [record.get("state") for record in self.records().values()] == ["asking"] * n,
                           f"dom0 to be asked {asking} times")
            self.assertIn("waiting for the answer", sending.stdout.readline())
            sending.send_signal(number)
            _, err = sending.communicate(timeout=storebox.DEADLINE_S)
            self.assertEqual(sending.returncode, INTERRUPTED, err)
            self.assertIn("dom0 has the request and goes on with it", err)
            self.lend(self.work)

    def test_no_answer_in_time(self):
        self.lend(self.work)
        done = self.penctl(self.work, "--timeout=1", "send", "personal")
        self.assert_ends(done, NO_ANSWER, "no final answer within 1 s", "may still act on it")
        self.wait_record(self.work, "asking")


class NoDaemon(PenctlTest):
    def setUp(self):
        super().setUp()
        self.work.wait_mailbox()
        self.assertEqual(self.box.daemon.stop(), 0)

    def test_not_taken_in_time_is_withdrawn(self):
        done = self.penctl(self.work, "--timeout=1", "new")
        self.assert_ends(done, NO_ANSWER, "which was withdrawn", "does qfilexchgd run in dom0?")
        self.assertEqual(self.work.xs.read("device/qpen"), "")
        self.start()
        self.assert_error(self.ask(self.work, "umount"), "no-pendrive")
        self.assertEqual(self.records(), {})

    def test_interrupted_before_it_was_taken_is_withdrawn(self):
        asking = self.start_penctl(self.work, "new")
        self.work.xs.wait("device/qpen", lambda value: value != "")
        asking.send_signal(signal.SIGINT)
        _, err = asking.communicate(timeout=storebox.DEADLINE_S)
        self.assertEqual(asking.returncode, INTERRUPTED, err)
        self.assertIn("the request was withdrawn", err)
        self.assertEqual(self.work.xs.read("device/qpen"), "")

    def test_somebody_elses_request_lies_there(self):
        self.work.xs.write("device/qpen", "new #first")
        done = self.penctl(self.work, "--timeout=1", "umount")
        self.assert_ends(done, NO_ANSWER, '("new #first") still lies in the mailbox')
        self.assertEqual(self.work.xs.read("device/qpen"), "new #first")

    def test_no_mailbox(self):
        newcomer = self.box.create_vm("newcomer")
        done = self.penctl(newcomer, "--timeout=1", "new")
        self.assert_ends(done, NO_ANSWER, "This VM has no mailbox")

    def test_a_request_waits_for_the_daemon(self):
        asking = self.start_penctl(self.work, "new")
        self.work.xs.wait("device/qpen", lambda value: value != "")
        self.start()
        out, err = asking.communicate(timeout=storebox.DEADLINE_S)
        self.assertEqual((asking.returncode, err), (OK, ""), out)


class Answers(PenctlTest):
    """A dom0 of another release, or gone mad: played by the test, which answers itself."""

    def setUp(self):
        super().setUp()
        self.work.wait_mailbox()
        self.assertEqual(self.box.daemon.stop(), 0)

    def answer(self, text, *words):
        child = self.start_penctl(self.work, *words)
        dom0 = self.box.dom0
        request = dom0.wait(f"{self.work.path}/device/qpen", lambda value: value != "")
        ident = request.rpartition("#")[2]
        dom0.write(f"{self.work.path}/device/qpen", "")
        dom0.write(f"{self.work.path}/device/qpen-reply/{ident}", text.replace("ID", ident))
        out, err = child.communicate(timeout=storebox.DEADLINE_S)
        return child.returncode, out, err

    def test_answers_that_are_none(self):
        for text in ("ID perhaps", "ID error dunno what", "other ok", "ID ok xvdg\nID ok",
                     "\x1b]0;owned\x07"):
            with self.subTest(text=text):
                status, _, err = self.answer(text, "umount")
                self.assertEqual(status, NO_ANSWER, err)
                self.assertIn("different versions?", err)
                self.assertNotRegex(err, r"[\x00-\x09\x0b-\x1f\x7f]")

    def test_a_dom0_that_knows_no_discard(self):
        for text in ("ID error bad-request the requests are new, send, umount and killme",
                     "ID error unsupported"):
            with self.subTest(text=text):
                status, _, err = self.answer(text, "discard")
                self.assertEqual(status, ERROR, err)
                self.assertIn("this dom0 is too old", err)
                self.assertIn("qfilexchgctl cancel", err)

    def test_another_device_than_ours(self):
        status, _, err = self.answer("ID ok xvdz", "new")
        self.assertEqual(status, NO_ANSWER, err)
        self.assertIn('"xvdz"', err)


if __name__ == "__main__":
    storebox.main()
