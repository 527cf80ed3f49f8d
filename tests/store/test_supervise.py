#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""qubes_add_pendrive_script --supervise, for VMs without systemd: the real program and xenstored."""
import signal

import storebox
from receivertest import ReceiverTest


class SuperviseTest(ReceiverTest):
    def setUp(self):
        super().setUp()
        self.slot = self.box.dir / "dev"
        self.slot.mkdir()
        self.device = self.slot / "xvdh"

    def start(self):
        supervisor = self.vm.popen(["qubes_add_pendrive_script", "--supervise"],
                                   env={"QPEN_INCOMING": str(self.device), "QPEN_RUN": str(self.box.dir / "run"),
                                        "QPEN_NOTE": str(self.box.dir / "note")})
        line = supervisor.stderr.readline()
        self.assertIn("waiting for pendrives", line)
        return supervisor

    def stop(self, supervisor):
        supervisor.send_signal(signal.SIGTERM)
        _, err = supervisor.communicate(timeout=storebox.DEADLINE_S)
        self.assertEqual(supervisor.returncode, 0, err)
        return err

    def test_one_after_the_other(self):
        supervisor = self.start()
        for _ in range(3):
            self.come()
            ident = self.take()
            # dom0 pulls the device as part of its answer.
            self.device.unlink()
            self.answer(ident)
        err = self.stop(supervisor)
        self.assertEqual(err.count("given back unread"), 3)

    def test_it_is_there_before(self):
        self.come()
        supervisor = self.start()
        self.answer(self.take())
        self.stop(supervisor)

    def test_other_devices_are_left_alone(self):
        supervisor = self.start()
        for name in ("xvdg", "xvdh1", "xvdi"):
            (self.slot / name).write_bytes(b"")
        (self.slot / "new").write_bytes(bytes(4096))
        # What comes after them shows that nothing came of them.
        (self.slot / "new").rename(self.device)
        self.answer(self.take())
        self.assertEqual(self.stop(supervisor).count("given back unread"), 1)

    def test_killed_and_begun_again(self):
        """The worker goes with its supervisor, so that no two of them serve one pendrive."""
        supervisor = self.start()
        self.come()
        first = self.take()
        supervisor.kill()
        # The pipe ends when the last of them has ended.
        supervisor.communicate(timeout=storebox.DEADLINE_S)
        supervisor = self.start()
        second = self.take()
        self.assertNotEqual(first, second)
        self.answer(second)
        self.stop(supervisor)
        self.assertEqual(self.box.dom0.read(f"{self.vm.path}/device/qpen"), "")

    def test_two_at_once(self):
        supervisor = self.start()
        other = self.vm.popen(["qubes_add_pendrive_script", "--supervise"],
                              env={"QPEN_INCOMING": str(self.device), "QPEN_RUN": str(self.box.dir / "run")})
        _, err = other.communicate(timeout=storebox.DEADLINE_S)
        self.assertEqual(other.returncode, 5)
        self.assertIn("Another supervisor runs already", err)
        self.stop(supervisor)

    def test_a_worker_that_fails_is_begun_again(self):
        self.write_key("qubes_transaction_seq", "x\x01y")  # no value that may be read
        supervisor = self.start()
        self.come()
        line = ""
        while "the worker of the pendrive failed" not in line:
            line = supervisor.stderr.readline()
            self.assertTrue(line, "the supervisor ended")
        self.write_key("qubes_transaction_seq", "0")
        self.answer(self.take())
        self.stop(supervisor)

    def test_stopped_while_a_worker_asks(self):
        """The worker is ended first; a request that dom0 has taken stays taken."""
        supervisor = self.start()
        self.come()
        self.take()
        self.stop(supervisor)

    def test_no_such_folder(self):
        self.device = self.box.dir / "nowhere" / "xvdh"
        process = self.vm.popen(["qubes_add_pendrive_script", "--supervise"],
                                env={"QPEN_INCOMING": str(self.device), "QPEN_RUN": str(self.box.dir / "run")})
        _, err = process.communicate(timeout=storebox.DEADLINE_S)
        self.assertEqual(process.returncode, 5)
        self.assertIn("cannot be watched", err)

    def test_usage(self):
        for words in (["--supervise", "xvdh"], ["--supervise", "--announce"], ["--supervise", "--ready"]):
            process = self.vm.popen(["qubes_add_pendrive_script", *words])
            process.communicate(timeout=storebox.DEADLINE_S)
            self.assertEqual(process.returncode, 2, words)


if __name__ == "__main__":
    storebox.main()
