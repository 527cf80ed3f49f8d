# SPDX-License-Identifier: GPL-2.0-or-later
"""A DisposableVM that lies: what it sends is refused, logged once, and its opener is unharmed."""
import struct
import unittest

from dispcase import DisposableCase

PENCTL = "/usr/lib/qubes/qubes_penctl"
HEADER, NAME = 1024, 1016


def header(size, name=b"wait-x", rest=b""):
    return struct.pack("<Q", size) + name.ljust(NAME - len(rest), b"\0") + rest


# What may stand on the pendrive, and must not become the file's content. Each other lie is one of unit/vm/test_dvmheader.
LIES = {
    "a size of 2^64 - 1": header(2**64 - 1),
    "a name with a slash": header(2, b"../../etc/x"),
    "bytes behind the name": header(2, b"name", b"x"),
}


class Hostile(DisposableCase):
    def opened(self, name, vm="work"):
        path = self.write(vm, name, "mine\n")
        opening = self.start_open(vm, path)
        disposable, = self.wait_open()
        seq = self.dom0(f"qfilexchgctl list | awk '$1 == \"{disposable}\" {{ print $4 }}'")
        return path, opening, disposable, seq

    def put(self, disposable, data):
        """A pendrive with these bytes, in the DisposableVM."""
        self.sh(disposable, f"{PENCTL} new format=none || {PENCTL} new")
        result = self.box.exec(disposable, ["sh", "-c", "dd of=/dev/xvdg bs=64k conv=fsync 2>/dev/null"], input=data)
        self.assertEqual(result.status, 0, result.stderr)

    def end(self, disposable, opening):
        self.dom0(f"qfilexchgctl dvm destroy {disposable}", check=False)
        self.finish(opening)
        self.dom0("qfilexchgctl list | awk '$2 == \"lent\" { print $1 }' | xargs -r -n1 qfilexchgctl cancel", check=False)
        self.wait_nothing_left()

    def test_headers_that_lie(self):
        for what, data in LIES.items():
            with self.subTest(what):
                path, opening, disposable, seq = self.opened("wait-lie")
                self.put(disposable, data + b"hostile\n")
                with self.unchanged("work", path):
                    self.sh(disposable, f"{PENCTL} send work {seq}")
                    status, text = self.finish(opening)
                self.assertEqual(status, 8, text)
                self.sh("work", "! ls /home/user/*.before-dvm")
                self.wait_nothing_left()

    def test_wrong_seq_other_vm_and_killme_of_others(self):
        path, opening, disposable, seq = self.opened("wait-wrong")
        self.put(disposable, header(4) + b"evil")
        with self.unchanged("work", path):
            for words in (f"send work {int(seq) + 1}", f"send personal {seq}", f"send work x{seq}"):
                status, text = self.run_root(disposable, words)
                self.assertEqual(status, 1, text)
                self.assertIn("no-transaction", text)
            # The foreign one: another VM sends what looks like the answer.
            self.penctl_ok("personal", "new")
            status, text = self.penctl("personal", "send", "work", seq)
            self.assertEqual(status, 1, text)
            self.assertIn("no-transaction", text)
            status, text = self.penctl("personal", "killme")
            self.assertEqual(status, 1, text)
            self.assertIn("unsupported", text)
        self.assertEqual(self.wait_open(), [disposable])
        self.end(disposable, opening)

    def run_root(self, vm, words):
        result = self.box.exec(vm, [PENCTL, *words.split()])
        return result.status, (result.stdout + result.stderr).decode(errors="replace")

    def test_the_same_answer_twice(self):
        """While the first is on its way the second is refused, and afterwards there is no one to send it."""
        path, opening, disposable, seq = self.opened("wait-twice")
        # The opener's slot is taken, so that the first answer waits.
        self.agent()
        self.penctl_ok("personal", "new")
        self.penctl_ok("personal", "send", "work")
        self.wait_incoming("work")
        self.put(disposable, header(4) + b"good")
        first = self.start(disposable, PENCTL, "send", "work", seq)
        self.wait_for("dom0", "qfilexchgctl list | grep -q ' queued '", "the answer to wait")
        self.put(disposable, header(4) + b"evil")
        status, text = self.run_root(disposable, f"send work {seq}")
        self.assertEqual(status, 1, text)
        self.assertIn("no-transaction", text)
        self.unmount_incoming("work")
        status, text = self.finish(first)
        status, text = self.finish(opening)
        self.assertEqual(status, 0, text)
        self.assertEqual(self.read("work", path), b"good")
        self.wait_nothing_left()

    def test_ten_thousand_requests(self):
        """It waits for its own; the others do not."""
        path, opening, disposable, _ = self.opened("wait-flood")
        self.put(disposable, header(4) + b"evil")
        since = self.dom0("date +%s")
        with self.unchanged("work", path):
            flood = self.start(disposable, "sh", "-c", "yes 'send work 0x' | head -n 10000 | while read -r line; do "
                               "echo \"$line\"; done | xargs -d '\\n' -n 1 xenstore-write device/qpen")
            self.assert_serves("personal")
            flood.kill()
            self.sh(disposable, "pkill xargs || true")
        said = self.dom0(f"journalctl -u qfilexchgd --since=@{since} -o cat | grep -c 'nobody waits for' || true")
        self.assertLessEqual(int(said), 1)
        self.assertLess(int(self.dom0(f"journalctl -u qfilexchgd --since=@{since} -o cat | wc -l")), 2000)
        self.end(disposable, opening)


if __name__ == "__main__":
    unittest.main()
