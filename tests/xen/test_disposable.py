# SPDX-License-Identifier: GPL-2.0-or-later
"""A file is edited in a DisposableVM and comes back: as the opener's ordinary user sees it."""
import shlex
import struct
import unittest

from dispcase import DisposableCase

UNCHANGED, LOST = 7, 8


class Edit(DisposableCase):
    def edit(self, name, before):
        path = self.write("work", name, before)
        status, text = self.open_in_dvm("work", path)
        self.assertEqual(status, 0, text)
        self.assertIn("saved back", text)
        return path, text

    def test_five_bytes(self):
        """Under an awkward name, with a mode and an attribute of its own."""
        path = self.write("work", "append-'\"$(touch x)`id`.txt", "five\n")
        quoted = shlex.quote(path)
        self.sh("work", f"chmod 0640 {quoted}; setfattr -n user.origin -v here {quoted}")
        status, text = self.open_in_dvm("work", path)
        self.assertEqual(status, 0, text)
        self.assertRegex(text, r"(?s)DisposableVM.*opened in disp\d+.*saved back")
        self.assertEqual(self.read("work", path), b"five\nedited\n")
        self.assertEqual(self.sh("work", f"stat -c '%a %U' {quoted}"), "640 user")
        self.assertEqual(self.sh("work", f"getfattr --only-values -n user.origin {quoted}"), "here")
        self.sh("work", f"! [ -e {quoted}.before-dvm ]; ! [ -e ~user/x ]")
        self.wait_nothing_left()

    def test_forty_megabytes(self):
        path = "/home/user/append-big"
        self.user("work", f"head -c 40000000 /dev/urandom > {path}")
        want = self.box.exec("work", ["sh", "-c", f"{{ cat {path}; echo edited; }} | sha256sum"]).stdout.split()[0]
        status, text = self.open_in_dvm("work", path)
        self.assertEqual(status, 0, text)
        self.assertEqual(self.sh("work", f"sha256sum {path}").split()[0].encode(), want)
        self.wait_nothing_left()

    def test_an_empty_file_gets_a_line(self):
        path, _ = self.edit("append-" + "x" * 248, b"")  # the longest name that there is
        self.assertEqual(self.read("work", path), b"edited\n")
        self.wait_nothing_left()

    def test_a_file_emptied_on_purpose_comes_back_empty(self):
        path, _ = self.edit("empty-it", b"all of this goes\n")
        self.assertEqual(self.read("work", path), b"")
        self.wait_nothing_left()

    def test_an_editor_that_renames(self):
        path, _ = self.edit("rename-two\nlines", b"1\n")
        self.assertEqual(self.read("work", path), b"1\nedited\n")
        self.wait_nothing_left()

    def test_an_editor_that_forks_is_waited_for(self):
        path = self.write("work", "fork-me", "1\n")
        opening = self.start_open("work", path)
        name, = self.wait_open()
        self.wait_for(name, "[ -e /tmp/edited ]", "the editor's first process to end")
        self.go(name)
        status, text = self.finish(opening)
        self.assertEqual(status, 0, text)
        self.assertEqual(self.read("work", path), b"1\nedited\n")
        self.wait_nothing_left()

    def test_without_a_change_the_file_is_not_touched(self):
        path = self.write("work", "touch-it", "as it is\n")
        with self.unchanged("work", path):
            status, text = self.open_in_dvm("work", path)
        self.assertEqual(status, UNCHANGED, text)
        self.assertIn("closed without changes", text)
        self.wait_nothing_left()

    def test_view_only(self):
        path = self.write("work", "append-view", "as it is\n")
        with self.unchanged("work", path):
            status, text = self.open_in_dvm("work", "--view-only", path)
        self.assertEqual(status, 0, text)
        self.wait_nothing_left()

    def test_changed_meanwhile_keeps_both(self):
        path = self.write("work", "wait-both", "1\n")
        opening = self.start_open("work", path)
        name, = self.wait_open()
        self.user("work", f"echo mine >> {path}")
        self.go(name)
        status, text = self.finish(opening)
        self.assertEqual(status, 0, text)
        self.assertEqual(self.read("work", path), b"1\nedited\n")
        self.assertEqual(self.read("work", path + ".before-dvm"), b"1\nmine\n")
        self.wait_nothing_left()

    def test_an_answer_that_finds_no_room_is_not_lost(self):
        """It stays on the pendrive, and so does the DisposableVM, until somebody made room."""
        path = self.write("work", "wait-room", "1\n")
        opening = self.start_open("work", path)
        name, = self.wait_open()
        for folder in ("/home/user", "/var/tmp", "/tmp"):
            self.sh("work", f"mount -t tmpfs -o size=4k,nr_inodes=1,mode=1777 full {folder}")
        self.go(name)
        unit = "qubes-pendrive@xvdh.service"
        self.wait_for("work", "systemctl is-failed -q qubes-dvm-answer.service", "the unit to give up")
        self.assertIn(f"STAYS on the pendrive /dev/xvdh until dom0 takes that back: make room, then run `systemctl restart {unit}`",
                      self.sh("work", "journalctl --sync; journalctl -u qubes-dvm-answer.service -o cat --no-pager"))
        self.assertIsNone(opening.poll())
        self.assertEqual(self.disposables(), [name])
        self.sh("work", "umount /home/user /var/tmp /tmp")
        self.assertEqual(self.read("work", path), b"1\n")
        self.sh("work", f"systemctl restart {unit}")
        status, text = self.finish(opening)
        self.assertEqual(status, 0, text)
        self.assertEqual(self.read("work", path), b"1\nedited\n")
        self.wait_nothing_left()

    def test_the_words_of_2010(self):
        """An opener without our tools: header and file by hand, the words alone, and the answer on the plain disk."""
        self.make_2010("personal")
        self.addCleanup(self.sh, "personal", "systemctl start qubes-pendrive-version")
        self.sh("personal", "xenstore-write device/qpen new")
        self.wait_for("personal", "[ -b /dev/xvdg ]")
        request = struct.pack("<Q", 6) + b"append-old.txt".ljust(1016, b"\0") + b"hello\n"
        self.box.exec("personal", ["sh", "-c", "dd of=/dev/xvdg conv=fsync 2>/dev/null"], input=request, check=True)
        self.sh("personal", "xenstore-write device/qpen 'send disposable 7'")
        self.wait_for("personal", "[ -b /dev/xvdh ]", "the answer")
        self.assertEqual(self.sh("personal", "xenstore-read qubes_transaction_seq"), "7")
        self.assertRegex(self.sh("personal", "xenstore-read qubes_blocksrc"), r"^disp\d+$")
        answer = self.box.exec("personal", ["head", "-c", str(1024 + 13), "/dev/xvdh"], check=True).stdout
        self.assertEqual(answer, struct.pack("<Q", 13) + b"append-old.txt".ljust(1016, b"\0") + b"hello\nedited\n")
        self.sh("personal", "xenstore-write device/qpen umount")
        self.wait_for("personal", "! [ -e /dev/xvdh ]")
        self.assertEqual(self.sh("personal", "xenstore-read device/qpen-reply"), "- ok")
        self.wait_nothing_left()

    def test_no_wait(self):
        path = self.write("work", "wait-nowait", "1\n")
        status, text = self.open_in_dvm("work", "--no-wait", path)
        self.assertEqual(status, 0, text)
        name, = self.wait_open()
        self.go(name)
        self.wait_for("work", f"grep -q edited {path}", "the answer to be stored")
        self.wait_nothing_left()


class Several(DisposableCase):
    """In a box of their own: the test with the words of 2010 leaves `personal` without its rules."""

    def test_two_openers_and_three_files_at_once(self):
        files = [("work", "wait-a"), ("work", "wait-b"), ("personal", "wait-c")]
        opening = []
        for vm, name in files:
            path = self.write(vm, name, f"{vm} {name}\n")
            opening.append((vm, path, self.start_open(vm, path)))
            self.wait_open(len(opening))
        for name in self.wait_open(3):
            self.go(name)
        for vm, path, process in opening:
            status, text = self.finish(process)
            self.assertEqual(status, 0, text)
            self.assertEqual(self.read(vm, path).decode(), f"{vm} {path.rsplit('/')[-1]}\nedited\n")
        self.wait_nothing_left()

    def test_limit(self):
        self.configure({"disposable": {**self.settings["disposable"], "max-per-vm": "1"}})
        try:
            path = self.write("work", "wait-limit", "1\n")
            first = self.start_open("work", path)
            name, = self.wait_open()
            status, text = self.open_in_dvm("work", self.write("work", "append-two", "2\n"))
            self.assertEqual(status, 1, text)
            self.assertIn("limit", text)
            self.go(name)
            status, text = self.finish(first)
            self.assertEqual(status, 0, text)
            self.dom0("qfilexchgctl list | awk '$2 == \"lent\" { print $1 }' | xargs -r -n1 qfilexchgctl cancel")
        finally:
            self.configure(self.settings)
        self.wait_nothing_left()


class Pool(DisposableCase):
    settings = {"disposable": {"template": "/etc/xen/disposable.cfg", "pool": "1"}}

    def test_from_the_pool_and_filled_again(self):
        pooled = r"qfilexchgctl list | grep -q '^disp[0-9]* *pooled '"
        self.wait_for("dom0", pooled, "a DisposableVM in the pool", timeout=300)
        before = self.disposables()
        path = self.write("work", "append-pool", "1\n")
        status, text = self.open_in_dvm("work", path)
        self.assertEqual(status, 0, text)
        self.assertIn(f"opened in {before[0]}", text)
        self.assertEqual(self.read("work", path), b"1\nedited\n")
        self.wait_for("dom0", pooled, "the pool to be filled again", timeout=300)
        self.assertNotEqual(self.disposables(), before)
        self.configure({"disposable": {"template": "/etc/xen/disposable.cfg"}})
        self.dom0("for d in $(qfilexchgctl list | sed -n 's/^\\(disp[0-9]*\\) .*/\\1/p'); do "
                  "qfilexchgctl dvm destroy $d; done")
        self.wait_nothing_left()


if __name__ == "__main__":
    unittest.main()
