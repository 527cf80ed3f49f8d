# SPDX-License-Identifier: GPL-2.0-or-later
"""Files cross from one VM to another, as the VMs' ordinary user sees it."""
import json
import unittest

from boxcase import COPY_S, BoxCase, as_user, timed

FILES, MIB = 500, 300
HISTORY_ID = "fb30764965a641f1bb6c2b940cb578ff"


class Copy(BoxCase):
    def copy(self, source, target, folder):
        status, text = self.run_user(source, "qvm-copy-to-vm", target, f"/home/user/{folder}")
        self.assertEqual(status, 0, text)
        self.wait_incoming(target)

    def assert_arrived(self, target, folder, want):
        self.assertEqual(self.sums(target, f"/mnt/incoming/{folder}"), want)

    def test_large_trees_in_both_directions(self):
        """Three times in a row from one to the other; then back, while another one comes again."""
        self.agent()
        self.make_tree("work", "tree", FILES, MIB)
        want = self.sums("work", "tree")
        self.assertGreaterEqual(want.count("\n"), FILES)
        for turn in range(3):
            with timed(f"{MIB} MiB from work to personal"):
                self.copy("work", "personal", "tree")
            self.assert_arrived("personal", "tree", want)
            if turn == 2:
                # What goes back is not quite what came, so that the two cannot be taken for each other.
                self.user("personal", "cp -r /mnt/incoming/tree back && echo more > back/more")
                back = self.sums("personal", "back")
            self.unmount_incoming("personal")
        self.wait_nothing_left()
        with timed(f"{MIB} MiB from each to the other"):
            self.copy_both_ways({"tree": want, "back": back})
        self.wait_nothing_left()

    def copy_both_ways(self, want):
        ways = (("work", "personal", "tree"), ("personal", "work", "back"))
        copies = [self.start(source, "qvm-copy-to-vm", target, f"/home/user/{folder}", user="user")
                  for source, target, folder in ways]
        for process in copies:
            status, text = self.finish(process, COPY_S)
            self.assertEqual(status, 0, text)
        for _, target, folder in ways:
            self.wait_incoming(target)
            self.assert_arrived(target, folder, want[folder])
            self.unmount_incoming(target)

    def test_a_copy_that_is_refused_loses_nothing(self):
        self.configure({"questions": {"hide-refusals": "no"}})
        self.agent("--no")
        self.make_tree("work", "tree", 10, 1)
        want = self.sums("work", "tree")
        status, text = self.run_user("work", "qvm-copy-to-vm", "personal", "/home/user/tree")
        self.assertEqual(status, 1, text)
        self.assertIn("refused", text)
        self.assertEqual(self.sums("work", "tree"), want)
        self.sh("personal", "! [ -e /dev/xvdh ]")
        self.wait_nothing_left()


class Tools(BoxCase):
    """The two programs as the VM's ordinary user has them, who is no root there."""

    config = {"pendrives": {"default-size": "64M", "max-size": "200M", "max-size-per-vm": "200M"},
              "questions": {"hide-refusals": "no"}}

    def assert_given_back(self):
        self.wait_nothing_left()
        self.sh("work", "! [ -e /dev/xvdg ] && ! grep -q ' /mnt/outgoing ' /proc/mounts")

    def reported(self, process, line):
        """Reads what the tool reports until the line, which it gives."""
        for raw in iter(process.stdout.readline, b""):
            text = raw.decode(errors="replace").rstrip("\n")
            if line(text):
                return text
        raise AssertionError(f"it ended before: {process.stderr.read()}")

    def start_tool(self, program, *words):
        return self.start("work", program, "--report=1", "personal", *words, user="user")

    def test_move(self):
        """A tight fit, with what a pendrive cannot carry left out; then all of it goes but that."""
        self.agent()
        self.make_tree("work", "tree", 300, 20)
        want = self.sums("work", "tree")
        self.user("work", "cd tree; ln -s /etc link; mkfifo 'empty folder/fifo'; echo x > 'what?'")
        status, text = self.run_user("work", "qvm-move-to-vm", "personal", "/home/user/tree")
        self.assertEqual(status, 6, text)
        for name in ("/tree/link: ", "/tree/empty folder/fifo: ", "/tree/what?: "):
            self.assertIn(name, text)
        self.wait_nothing_left()
        status, text = self.run_user("work", "qvm-move-to-vm", "--skip-unsupported", "personal", "/home/user/tree")
        self.assertEqual(status, 0, text)
        self.assertIn("3 left out", text)
        self.wait_incoming("personal")
        self.assertEqual(self.sums("personal", "/mnt/incoming/tree"), want)
        self.assertEqual(self.user("work", "find tree ! -type d | LC_ALL=C sort"),
                         "tree/empty folder/fifo\ntree/link\ntree/what?")
        self.unmount_incoming("personal")
        self.wait_nothing_left()

    def test_what_is_not_delivered_is_not_deleted(self):
        """Cancelled half way, too large, refused after the daemon was killed: all in one box."""
        self.make_tree("work", "tree", 30, 60)
        want = self.sums("work", "tree")
        with self.subTest("cancelled at 50 %"):
            process = self.start_tool("qvm-move-to-vm", "/home/user/tree")
            total = int(self.reported(process, lambda line: line.startswith("total ")).split()[1])
            self.reported(process, lambda line: line.startswith("progress ") and int(line.split()[1]) >= total / 2)
            self.sh("work", "pkill -INT -x qvm-move-to-vm")
            status, text = self.finish(process)
            self.assertEqual(status, 130, text)
            self.assertIn("state cancelled\nfailed 130 ", text)
            self.assert_given_back()
            self.assertEqual(self.sums("work", "tree"), want)
        with self.subTest("cancelled while the user is asked"):
            process = self.start_tool("qvm-move-to-vm", "/home/user/tree")
            self.reported(process, lambda line: line == "state asking")
            self.sh("work", "pkill -INT -x qvm-move-to-vm")
            status, text = self.finish(process)
            self.assertEqual(status, 130, text)
            self.assert_given_back()
            self.assertEqual(self.sums("work", "tree"), want)
        with self.subTest("refused, by a daemon that was killed meanwhile"):
            process = self.start_tool("qvm-move-to-vm", "/home/user/tree")
            self.reported(process, lambda line: line == "state asking")
            self.dom0("systemctl kill -s KILL qfilexchgd")
            self.wait_for("dom0", "qfilexchgctl list >/dev/null 2>&1", "the daemon to come again")
            self.agent("--no")
            status, text = self.finish(process)
            self.assertEqual(status, 1, text)
            self.assert_given_back()
            self.assertEqual(self.sums("work", "tree"), want)
        with self.subTest("too large for the quota"):
            self.user("work", "truncate -s 250M tree/large")
            want = self.sums("work", "tree")
            status, text = self.run_user("work", "qvm-move-to-vm", "personal", "/home/user/tree")
            self.assertEqual(status, 1, text)
            self.assertIn("at most 200 MiB", text)
            self.assertNotIn("copying", text)
            self.assert_given_back()
            self.assertEqual(self.sums("work", "tree"), want)


class ByHand(BoxCase):
    """The words of 2010, written by hand, do what they did in 2010."""

    def test_new_mount_write_umount_send(self):
        self.agent()
        self.user("work", "xenstore-write device/qpen new")
        self.wait_for("work", "[ -b /dev/xvdg ]")
        self.wait_for("work", " ".join(as_user("test", "-w", "/dev/xvdg")))
        self.user("work", "mount /mnt/outgoing && echo 'by hand' > /mnt/outgoing/note.txt && umount /mnt/outgoing")
        self.user("work", "xenstore-write device/qpen 'send personal'")
        self.wait_incoming("personal")
        self.assertEqual(self.sh("personal", "xenstore-read qubes_blocksrc"), "work")
        self.assertEqual(self.sh("personal", "xenstore-read qubes_transaction_seq"), "0")
        self.assertEqual(self.user("personal", "cat /mnt/incoming/note.txt"), "by hand")
        self.sh("work", "! [ -e /dev/xvdg ]")
        self.assertEqual(self.sh("work", "xenstore-read device/qpen-reply"), "- ok delivered")
        self.unmount_incoming("personal")
        self.wait_nothing_left()
        self.check_history()

    def check_history(self):
        """The one transfer stands in dom0's journal, and what others wrote there in the same fields does not count."""
        forged = f"MESSAGE_ID={HISTORY_ID}\nMESSAGE=forged\nQFX_EVENT=end\nQFX_SENDER=work\nQFX_RESULT=forged"
        self.dom0(f"printf '{forged}\n' | runuser -u nobody -- logger --journald; journalctl --sync")
        self.assertIn("forged", self.dom0(f"journalctl -o cat MESSAGE_ID={HISTORY_ID}"))
        decision, end = [json.loads(line) for line in self.dom0("qfilexchgctl history --json").splitlines()]
        same = {"transfer": 1, "kind": "files", "sender": "work", "sender_domid": self.domid("work"),
                "receiver": "personal", "receiver_domid": self.domid("personal"), "size": 1 << 30,
                "pendrive": decision["pendrive"]}
        self.assertLessEqual({**same, "event": "decision", "decision": "allowed", "by": "agent", "uid": 0}.items(),
                             decision.items())
        self.assertRegex(decision["rule"], "^/etc/qfilexchgd/policy.d/90-default.policy:[0-9]+$")
        self.assertIn(decision["used"], range(1, 16 << 20))
        self.assertLessEqual({**same, "event": "end", "result": "delivered", "reason": "returned"}.items(), end.items())
        self.assertGreaterEqual(end["total_ms"], decision["asked_ms"])
        self.assertRegex(self.dom0("qfilexchgctl history --vm personal -n 1"), "work .* personal .* delivered, returned")

    def test_root_does_it_with_plain_mount(self):
        self.agent()
        self.sh("work", "xenstore-write device/qpen new")
        self.wait_for("work", "[ -b /dev/xvdg ]")
        self.sh("work", "mount -t vfat /dev/xvdg /mnt/outgoing && cp /etc/hostname /mnt/outgoing && umount /mnt/outgoing")
        self.sh("work", "xenstore-write device/qpen 'send personal'")
        self.wait_incoming("personal")
        self.assertEqual(self.user("personal", "cat /mnt/incoming/hostname"), "work")
        self.sh("personal", "umount /mnt/incoming")
        self.wait_for("personal", "! [ -e /dev/xvdh ]")
        self.wait_nothing_left()

    def test_a_receiver_of_2010_gets_the_plain_disk(self):
        self.agent()
        self.make_2010("personal")
        self.penctl_ok("work", "new")
        self.user("work", "mount /mnt/outgoing && echo plain > /mnt/outgoing/note && umount /mnt/outgoing")
        self.penctl_ok("work", "send", "personal")
        self.wait_for("personal", "[ -b /dev/xvdh ]")
        self.assertEqual(self.sh("personal", "xenstore-read qubes_pendrive_offset"), "0")
        self.sh("personal", "mount -t vfat -o ro /dev/xvdh /mnt/incoming")
        self.assertEqual(self.sh("personal", "cat /mnt/incoming/note"), "plain")
        self.sh("personal", "umount /mnt/incoming; xenstore-write device/qpen umount")
        self.wait_for("personal", "! [ -e /dev/xvdh ]")
        self.wait_nothing_left()


if __name__ == "__main__":
    unittest.main()
