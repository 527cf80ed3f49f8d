# SPDX-License-Identifier: GPL-2.0-or-later
"""What a VM may do wrong, and dom0 suffer: a clear answer each time, nothing lost, the others served."""
import unittest

from boxcase import IMAGES, BoxCase

TIMEOUT_S = 4


class BadRequests(BoxCase):
    config = {"questions": {"timeout": str(TIMEOUT_S)}}

    def ask_raw(self, request, ident):
        """Writes a request as it is and returns the answer that ends it."""
        self.sh("work", f"xenstore-write device/qpen \"$(printf '%b' '{request} #{ident}')\"")
        self.wait_for("work", f"xenstore-read device/qpen-reply/{ident} 2>/dev/null | grep -q '{ident} [oe]'")
        return self.sh("work", f"xenstore-read device/qpen-reply/{ident}")

    def assert_error(self, answer, code):
        self.assertEqual(answer.split()[1:3], ["error", code], answer)

    def test_words(self):
        cases = [
            ("dance", "bad-request"),
            ("new now", "bad-request"),
            ("new size=0", "bad-request"),
            ("new size=9000T", "bad-size"),
            ("send", "bad-request"),
            ("send personal", "no-pendrive"),
            ("umount", "no-pendrive"),
            ("send per\\033[31msonal", "bad-request"),
            ("send -rf", "bad-request"),
            ("killme", "unsupported"),
        ]
        for i, (request, code) in enumerate(cases):
            with self.subTest(request=request):
                self.assert_error(self.ask_raw(request, f"w{i}"), code)
        self.assert_serves()
        self.wait_nothing_left()

    def test_with_a_pendrive_lent(self):
        self.penctl_ok("work", "new")
        self.user("work", "mount /mnt/outgoing && echo precious > /mnt/outgoing/f && umount /mnt/outgoing")
        cases = [
            ("new", "have-pendrive"),
            ("send work", "self"),
            ("send per\\001sonal", "bad-request"),
            ("send disposable 7", "unsupported"),
        ]
        for i, (request, code) in enumerate(cases):
            with self.subTest(request=request):
                self.assert_error(self.ask_raw(request, f"l{i}"), code)
        self.assertEqual(self.state_of(1), "lent")
        self.assertEqual(self.user("work", "mount /mnt/outgoing && cat /mnt/outgoing/f && umount /mnt/outgoing"),
                         "precious")
        self.assert_serves()

    def test_rubbish(self):
        rubbish = [
            # Every byte that a shell's word can hold.
            "printf '" + "".join(f"\\{byte:03o}" for byte in range(1, 256)) + "'",
            "head -c 1900 /dev/zero | tr '\\000' A",
            "printf ''",
            "printf ' '",
            "printf '#'",
            "printf '\\033]0;owned\\007'",
        ]
        for command in rubbish:
            with self.subTest(command=command):
                self.sh("work", f"xenstore-write -- device/qpen \"$({command})\"")
                self.wait_for("work", "[ -z \"$(xenstore-read device/qpen)\" ]")
        self.assertNotIn("\x1b", self.dom0("journalctl -u qfilexchgd -o cat --no-pager"))
        self.assert_serves()
        self.penctl_ok("work", "new")

    def test_deleted_mailbox(self):
        self.sh("work", "xenstore-rm device/qpen")
        self.wait_for("work", "xenstore-read device/qpen >/dev/null 2>&1")
        self.assertEqual(self.dom0(f"xenstore-ls -fp /local/domain/{self.domid('work')}/device | "
                                   "sed -n 's/.*qpen = \"\" *(\\(.*\\))/\\1/p'"), f"n0,b{self.domid('work')}")
        self.penctl_ok("work", "new")
        self.assert_serves()

    def test_children_below_the_mailbox(self):
        self.sh("work", "xenstore-write device/qpen/child new; xenstore-write device/qpen/child/a/b 'send personal'")
        self.penctl_ok("work", "new")
        self.assert_serves()

    def test_a_missing_vm_and_a_refusal_look_the_same(self):
        self.agent("--no")
        answers = []
        for i, target in enumerate(("nosuchvm", "personal")):
            self.penctl_ok("work", "new")
            # The times are the daemon's own: from `wait asking` to the answer.
            answers.append(self.ask_raw(f"send {target}", f"m{i}").split(" ", 1)[1])
        self.assertEqual(answers[0], answers[1])
        self.assert_error(f"x {answers[0]}", "refused")
        show = "journalctl -u qfilexchgd -o short-unix --no-pager | grep -E 'm[01] (wait|error)'"
        self.wait_for("dom0", f"[ $({show} | wc -l) -ge 4 ]", "both answers to be logged")
        log = self.dom0(show)
        times = [float(line.split()[0]) for line in log.splitlines()]
        self.assertEqual(len(times), 4, log)
        for asked, told in ((times[0], times[1]), (times[2], times[3])):
            self.assertGreaterEqual(told - asked, TIMEOUT_S)
        self.wait_nothing_left()

    def test_send_while_mounted(self):
        self.penctl_ok("work", "new")
        self.user("work", "mount /mnt/outgoing")
        status, text = self.penctl("work", "send", "personal")
        self.assertEqual(status, 4, text)
        self.assertIn("/mnt/outgoing", text)
        self.assertEqual(self.state_of(1), "lent")
        self.user("work", "umount /mnt/outgoing")
        self.assert_serves()

    def test_send_while_held_open(self):
        self.penctl_ok("work", "new")
        self.start("work", "sh", "-c", "exec sleep 1000 < /dev/xvdg", user="user")
        self.wait_for("work", "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q /dev/xvdg")
        status, text = self.penctl("work", "send", "personal")
        self.assertEqual(status, 4, text)
        self.assertEqual(self.state_of(1), "lent")
        self.assert_serves()

    def test_no_agent(self):
        self.penctl_ok("work", "new")
        status, text = self.penctl("work", "send", "personal")
        self.assertEqual(status, 1, text)
        self.assertIn("refused", text)
        self.sh("personal", "! [ -e /dev/xvdh ]")
        self.wait_nothing_left()
        self.assert_serves()


class Agents(BoxCase):
    def test_killed_while_asking(self):
        terminal = self.start("dom0", "qfilexchgctl", "agent")
        self.assertEqual(terminal.stdout.readline(), b"Waiting for questions.\n")
        self.penctl_ok("work", "new")
        sending = self.start_penctl("work", "send", "personal")
        self.assertIn(b"work wants to send", terminal.stdout.readline())
        self.dom0("pkill -KILL -x qfilexchgctl")
        self.wait_for("dom0", "journalctl -u qfilexchgd -o cat | grep -q 'has left'")
        self.assertEqual(self.state_of(1), "asking")
        self.assert_serves()
        # The next one is asked the same question.
        self.agent("--yes")
        status, text = self.finish(sending)
        self.assertEqual(status, 0, text)

    def test_a_person_answers(self):
        for typed, status_wanted in ((b"y\n", 0), (b"\n", 1)):
            with self.subTest(typed=typed):
                self.box.start(fresh=True)
                self.configure({"questions": {"hide-refusals": "no"}})
                terminal = self.start("dom0", "qfilexchgctl", "agent")
                self.assertEqual(terminal.stdout.readline(), b"Waiting for questions.\n")
                self.penctl_ok("work", "new")
                sending = self.start_penctl("work", "send", "personal")
                self.assertIn(b"work wants to send", terminal.stdout.readline())
                terminal.stdin.write(typed)
                terminal.stdin.flush()
                status, text = self.finish(sending)
                self.assertEqual(status, status_wanted, text)

    def test_cancel_by_the_user_of_dom0(self):
        self.agent("--yes")
        self.penctl_ok("work", "new")
        self.dom0("qfilexchgctl cancel 1")
        self.wait_for("work", "! [ -e /dev/xvdg ]")
        self.wait_nothing_left()
        self.penctl_ok("work", "new")
        self.penctl_ok("work", "send", "personal")
        self.wait_incoming("personal")
        self.dom0("qfilexchgctl cancel 2")
        self.wait_for("personal", "! grep -q /mnt/incoming /proc/mounts")
        self.wait_nothing_left()


class Slots(BoxCase):
    def test_receivers_slot_taken(self):
        self.agent("--yes")
        self.penctl_ok("work", "new")
        self.user("work", "mount /mnt/outgoing && echo 1 > /mnt/outgoing/n && umount /mnt/outgoing")
        self.penctl_ok("work", "send", "personal")
        self.wait_incoming("personal")
        self.penctl_ok("work", "new")
        self.user("work", "mount /mnt/outgoing && echo 2 > /mnt/outgoing/n && umount /mnt/outgoing")
        second = self.start_penctl("work", "send", "personal")
        self.wait_state(2, "queued")
        self.assertEqual(self.user("personal", "cat /mnt/incoming/n"), "1")
        self.assert_serves()
        self.unmount_first_and_wait_for_second()
        status, text = self.finish(second)
        self.assertEqual(status, 0, text)
        self.assertEqual(self.user("personal", "cat /mnt/incoming/n"), "2")
        self.unmount_incoming("personal")
        self.wait_nothing_left()

    def unmount_first_and_wait_for_second(self):
        self.user("personal", "umount /mnt/incoming")
        self.wait_state(2, "delivered")
        self.wait_incoming("personal")


class Dom0Trouble(BoxCase):
    def test_disk_full(self):
        free_kib = int(self.dom0(f"df --output=avail -k {IMAGES} | tail -n 1"))
        # Outside the images' names; leaves half of a pendrive's room.
        self.dom0(f"fallocate -l {free_kib - 600 * 1024}K {IMAGES}/filler")
        status, text = self.penctl("work", "new")
        self.assertEqual(status, 1, text)
        self.assertIn("room", text)
        self.dom0(f"rm {IMAGES}/filler")
        self.assert_serves()
        self.penctl_ok("work", "new")

    def test_corrupt_config(self):
        path = "/etc/qfilexchgd/qfilexchgd.conf"
        self.penctl_ok("work", "new")
        for text, named in (("[questions]\ntimeout = soon\n", "timeout"), ("[pendrives]\ncolour = red\n", "colour"),
                            ("[nonsense]\n", "nonsense"), ("rubbish\n", path)):
            with self.subTest(text=text):
                self.dom0(f"printf '{text}' > {path}")
                refused = self.box.exec("dom0", ["systemctl", "reload", "qfilexchgd"])
                self.assertNotEqual(refused.status, 0)
                self.assert_serves()
                check = self.box.exec("dom0", ["qfilexchgd", "--check-config"])
                self.assertEqual(check.status, 78)
                self.assertIn(path.encode(), check.stderr)
                self.assertIn(named.encode(), check.stderr)
                # A daemon that is sent the signal by hand says so and keeps what it has.
                self.dom0("kill -HUP $(systemctl show -p MainPID --value qfilexchgd)")
                self.wait_for("dom0", "journalctl -u qfilexchgd -o cat | grep -q 'stays in force'")
        self.box.exec("dom0", ["systemctl", "restart", "qfilexchgd"])
        self.wait_for("dom0", "systemctl is-failed -q qfilexchgd")
        self.assertIn(path, self.dom0("journalctl --sync; journalctl -u qfilexchgd -o cat -n 20"))
        # Nothing was lost by that: with the configuration mended the pendrive is still lent.
        self.dom0(f": > {path}; systemctl reset-failed qfilexchgd; systemctl start qfilexchgd")
        self.assertEqual(self.state_of(1), "lent")
        self.assert_serves()


if __name__ == "__main__":
    unittest.main()
