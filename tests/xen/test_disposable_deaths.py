# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs, daemon and disks that fail while a file is open in a DisposableVM: the original is never damaged, and nothing
stays behind."""
import os
import pathlib
import shlex
import sys
import unittest

from dispcase import DisposableCase

LOST = 8
# tests/crash, which is built with the other tests.
BUILT = pathlib.Path(os.environ.get("QFX_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build/dev"),
                     "tests/crash/libcrashpoints.so")
LIBRARY = "/usr/lib/libcrashpoints.so"
EFFECTS = "/run/qfilexchgd/effects"
DROP_IN = "/etc/systemd/system/qfilexchgd.service.d/crash.conf"
# At so many of the side effects it is killed; all twenty take eight minutes.
POINTS = int(os.environ.get("QFX_CRASH_STEPS", "3"))


class Deaths(DisposableCase):
    def test_killed_while_editing(self):
        path = self.write("work", "wait-killed", "1\n")
        with self.unchanged("work", path):
            opening = self.start_open("work", path)
            name, = self.wait_open()
            self.dom0(f"xl destroy {name}")
            status, text = self.finish(opening)
        self.assertEqual(status, LOST, text)
        self.wait_nothing_left()

    def test_it_shuts_itself_down(self):
        path = self.write("work", "wait-off", "1\n")
        with self.unchanged("work", path):
            opening = self.start_open("work", path)
            name, = self.wait_open()
            self.start(name, "systemctl", "poweroff", "--force", "--force")
            status, text = self.finish(opening)
        self.assertEqual(status, LOST, text)
        self.wait_nothing_left()

    def test_killed_before_it_has_read(self):
        path = self.write("work", "wait-early", "1\n")
        with self.unchanged("work", path):
            opening = self.start_open("work", path)
            self.dom0("until d=$(xl list | grep -o '^disp[0-9]*'); do :; done; xl destroy $d")
            status, text = self.finish(opening)
        self.assertNotEqual(status, 0, text)
        self.wait_nothing_left()

    def test_killed_while_it_sends(self):
        """Wherever it was hit: the file is the old one, or the new one, and the status says which."""
        path = self.write("work", "wait-send", "1\n")
        opening = self.start_open("work", path)
        name, = self.wait_open()
        self.go(name)
        self.dom0(f"until qfilexchgctl list | grep -q '^{name} *\\(answering\\|destroying\\)'; do :; done; xl destroy {name}",
                  check=False)
        status, text = self.finish(opening)
        self.assertIn((status, self.read("work", path)), ((0, b"1\nedited\n"), (LOST, b"1\n")), text)
        self.wait_nothing_left()

    def test_the_opener_is_destroyed(self):
        self.dom0("xl create -q /etc/xen/third.cfg")
        self.wait_for("third", "[ $(xenstore-read data/qpen-version) = 2 ]")
        self.sh("third", "mkdir -p /home/user; chown user /home/user")
        path = self.write("third", "wait-opener", "1\n")
        self.start_open("third", path)
        self.wait_open()
        self.dom0("xl destroy third")
        self.wait_nothing_left()
        self.assert_serves()

    def kill_daemon(self):
        self.dom0("systemctl kill -s KILL qfilexchgd; until systemctl is-active -q qfilexchgd; do sleep 0.1; done")

    def test_the_daemon_is_killed_while_editing(self):
        path = self.write("work", "wait-daemon", "1\n")
        opening = self.start_open("work", path)
        name, = self.wait_open()
        self.kill_daemon()
        self.assertEqual(self.wait_open(), [name])
        self.go(name)
        status, text = self.finish(opening)
        self.assertEqual(status, 0, text)
        self.assertEqual(self.read("work", path), b"1\nedited\n")
        self.wait_nothing_left()

    def test_the_daemon_is_killed_while_the_vm_is_made(self):
        """The half made one is removed, and another one opens the file."""
        path = self.write("work", "append-making", "1\n")
        opening = self.start_open("work", path)
        self.dom0("until xl list | grep -q '^disp'; do :; done")
        self.kill_daemon()
        status, text = self.finish(opening)
        self.assertEqual(status, 0, text)
        self.assertEqual(self.read("work", path), b"1\nedited\n")
        self.wait_nothing_left()

    def restart_daemon(self):
        self.dom0("systemctl daemon-reload; systemctl reset-failed qfilexchgd; systemctl restart qfilexchgd")

    def count_side_effects(self, at):
        """From now on, qfilexchg-domains counts what it does, and dies before the side effect of that number."""
        self.dom0(f"rm -f {EFFECTS}; mkdir -p $(dirname {DROP_IN}); printf '[Service]\nEnvironment=LD_PRELOAD={LIBRARY} "
                  f"QFX_CRASH_PROGRAM=qfilexchg-domains QFX_CRASH_AT={at} QFX_CRASH_LOG={EFFECTS}\n' > {DROP_IN}")
        self.restart_daemon()

    def test_the_program_that_makes_it_dies(self):
        """At any step of its own or of libxl's: the opener is told, or gets another one, and nothing half made is left."""
        self.assertTrue(BUILT.exists(), f"{BUILT} is built with the preset dev")
        self.box.put("dom0", str(BUILT), LIBRARY)
        self.addCleanup(self.dom0, f"rm -f {LIBRARY}")
        self.count_side_effects(at=0)
        path = self.write("work", "append-maker", "1\n")
        status, text = self.open_in_dvm("work", path)
        self.assertEqual(status, 0, text)
        most = int(self.dom0(f"cut -f 2 {EFFECTS} | sort -n | tail -n 1"))
        self.assertGreater(most, 10, "libxl's side effects are counted")
        print(f"{most} side effects; killed before {POINTS} of them", file=sys.stderr)
        for point in sorted({1 + turn * (most - 1) // max(POINTS - 1, 1) for turn in range(POINTS)}):
            with self.subTest(point=point):
                path = self.write("work", f"append-maker-{point}", "1\n")
                self.count_side_effects(at=point)
                opening = self.start_open("work", path)
                self.wait_for("dom0", f"cut -f 3 {EFFECTS} | grep -qx die", "qfilexchg-domains to die")
                self.dom0(f"rm {DROP_IN}")
                self.restart_daemon()
                status, text = self.finish(opening)
                self.assertIn((status == 0, self.read("work", path)), ((True, b"1\nedited\n"), (False, b"1\n")), text)
                self.wait_nothing_left()
        self.assertEqual(self.open_in_dvm("work", self.write("work", "append-after", "1\n"))[0], 0)
        self.wait_nothing_left()

    def test_the_daemon_is_killed_while_the_answer_is_on_its_way(self):
        path = self.write("work", "wait-answer", "1\n")
        opening = self.start_open("work", path)
        name, = self.wait_open()
        self.go(name)
        self.dom0(f"until qfilexchgctl list | grep -q '^{name} *\\(answering\\|destroying\\)'; do :; done", check=False)
        self.kill_daemon()
        status, text = self.finish(opening)
        self.assertEqual(status, 0, text)
        self.assertEqual(self.read("work", path), b"1\nedited\n")
        self.wait_nothing_left()

    def test_the_disk_is_full_in_the_opener(self):
        """The answer finds no place beside the file, and is kept where there is one."""
        self.sh("work", "mkdir -p /home/user/small && mount -t tmpfs -o size=64k,uid=user tmpfs /home/user/small")
        self.addCleanup(self.sh, "work", "umount /home/user/small")
        path = self.write("work", "small/wait-full", "1\n")
        opening = self.start_open("work", path)
        name, = self.wait_open()
        self.user("work", "cat /dev/zero > small/filler || true", check=False)
        self.go(name)
        with self.unchanged("work", path):
            status, text = self.finish(opening)
        elsewhere = self.user("work", "find ~ /var/tmp /tmp -xdev -newer small/filler -name '*wait-full*' -type f "
                                      "-not -path '*/small/*' 2>/dev/null", check=False).splitlines()
        self.assertEqual(len(elsewhere), 1, text)
        self.assertIn(elsewhere[0], text)
        self.assertEqual(self.read("work", elsewhere[0]), b"1\nedited\n")
        self.sh("work", f"rm {shlex.quote(elsewhere[0])}")
        self.wait_nothing_left()


if __name__ == "__main__":
    unittest.main()
