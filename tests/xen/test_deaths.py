# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs are destroyed, and the daemon killed, at every stage of a transfer."""
import unittest

from boxcase import INCOMING, OUTGOING, BoxCase


class BlockList(BoxCase):
    def vdevs(self, vm):
        return self.dom0(f"xl block-list {vm} | awk 'NR > 1 {{ print $1 }}'").split()

    def wait_shown(self, vm, vdev):
        """libxl is told when the VM has the disk already."""
        self.wait_for("dom0", f"xl block-list {vm} | grep -q '^{vdev} '")

    def test_xl_shows_our_disks_while_they_are_attached(self):
        self.agent()
        self.assertNotIn(str(OUTGOING), self.vdevs("work"))
        self.penctl_ok("work", "new")
        self.wait_shown("work", OUTGOING)
        self.penctl_ok("work", "send", "personal")
        self.assertNotIn(str(OUTGOING), self.vdevs("work"))
        self.wait_shown("personal", INCOMING)
        self.wait_for("personal", "grep -q /mnt/incoming /proc/mounts || journalctl -u qubes-pendrive@xvdh | grep -q .")
        self.penctl("personal", "umount")
        self.wait_for("personal", "! [ -e /dev/xvdh ]")
        self.assertNotIn(str(INCOMING), self.vdevs("personal"))

    def test_an_admin_detaches_it(self):
        self.penctl_ok("work", "new")
        self.wait_shown("work", OUTGOING)
        self.dom0(f"xl block-detach work {OUTGOING}")
        self.wait_nothing_left()
        self.penctl_ok("work", "new")


class Destroyed(BoxCase):
    """`xl destroy` of sender or receiver leaves nothing, and the daemon serves the others."""

    def destroy(self, vm):
        self.dom0(f"xl destroy {vm}")

    def after(self, other):
        self.wait_nothing_left()
        self.assert_serves(other)
        self.wait_nothing_left()

    def lent(self):
        self.penctl_ok("work", "new")
        self.user("work", "mount /mnt/outgoing && echo x > /mnt/outgoing/x && umount /mnt/outgoing")

    def asking(self):
        self.lent()
        process = self.start_penctl("work", "send", "personal")
        self.wait_state(1, "asking")
        return process

    def delivered(self):
        self.agent()
        self.lent()
        self.penctl_ok("work", "send", "personal")
        self.wait_incoming("personal")

    def test_sender_while_it_asks_for_one(self):
        self.start_penctl("work", "new")
        self.destroy("work")
        self.after("personal")

    def test_sender_with_the_pendrive_mounted(self):
        self.penctl_ok("work", "new")
        self.user("work", "mount /mnt/outgoing; echo x > /mnt/outgoing/x")
        self.destroy("work")
        self.after("personal")

    def test_sender_while_the_user_is_asked(self):
        self.asking()
        self.destroy("work")
        self.after("personal")

    def test_receiver_while_the_user_is_asked(self):
        self.configure({"questions": {"timeout": "5"}})
        sending = self.asking()
        self.destroy("personal")
        status, text = self.finish(sending)
        self.assertEqual(status, 1, text)
        self.assertIn("refused", text)
        self.after("work")

    def test_receiver_while_it_is_attached(self):
        sending = self.asking()
        self.agent()
        self.destroy("personal")
        self.finish(sending)  # either answer is right: the VM may have connected before it died
        self.after("work")

    def test_receiver_with_the_pendrive_mounted(self):
        self.delivered()
        self.destroy("personal")
        self.after("work")

    def test_sender_after_the_delivery_takes_nothing_from_the_receiver(self):
        self.delivered()
        self.destroy("work")
        self.wait_for("dom0", "! xl domid work 2>/dev/null")
        self.assertEqual(self.user("personal", "cat /mnt/incoming/x"), "x")
        self.unmount_incoming("personal")
        self.after("personal")

    def test_receiver_with_others_in_its_queue(self):
        self.delivered()
        self.lent()
        second = self.start_penctl("work", "send", "personal")
        self.wait_state(2, "queued")
        self.destroy("personal")
        status, text = self.finish(second)
        self.assertEqual(status, 1, text)
        self.after("work")

    def test_paused_sender_is_no_hindrance(self):
        """A VM that does not let go of its disk loses it all the same."""
        self.configure({"timeouts": {"detach": "2"}})
        self.lent()
        self.dom0("xl pause work; qfilexchgctl cancel 1")
        self.wait_nothing_left()
        self.dom0("xl unpause work")
        self.wait_for("work", "! [ -e /dev/xvdg ]")
        self.penctl_ok("work", "new")


class DaemonRestarted(BoxCase):
    def restart(self):
        self.dom0("systemctl restart qfilexchgd")

    def kill(self):
        self.dom0("systemctl kill -s KILL qfilexchgd")
        self.wait_for("dom0", "qfilexchgctl list >/dev/null 2>&1", "the daemon to come back")

    def test_with_a_pendrive_lent(self):
        for stop in (self.restart, self.kill):
            with self.subTest(stop=stop.__name__):
                self.box.start(fresh=True)
                self.penctl_ok("work", "new")
                self.user("work", "mount /mnt/outgoing && echo before > /mnt/outgoing/before")
                stop()
                self.assertEqual(self.state_of(1), "lent")
                self.user("work", "echo after > /mnt/outgoing/after && umount /mnt/outgoing")
                self.agent()
                self.penctl_ok("work", "send", "personal")
                self.wait_incoming("personal")
                stop()
                self.assertEqual(self.state_of(1), "delivered")
                self.assertEqual(self.user("personal", "cat /mnt/incoming/before /mnt/incoming/after"),
                                 "before\nafter")
                self.unmount_incoming("personal")
                self.wait_nothing_left()

    def test_while_the_user_is_asked(self):
        self.penctl_ok("work", "new")
        sending = self.start_penctl("work", "send", "personal")
        self.wait_state(1, "asking")
        self.kill()
        self.assertEqual(self.state_of(1), "asking")
        self.agent()
        status, text = self.finish(sending)
        self.assertEqual(status, 0, text)

    # A VM that is paused neither takes nor gives up a disk. dom0 writes its requests for it.

    def post_for(self, vm, request):
        self.dom0(f"xenstore-write /local/domain/{self.domid(vm)}/device/qpen '{request}'")

    def wait_reply_of(self, vm, ident, text):
        self.wait_for("dom0", f"[ \"$(xenstore-read /local/domain/{self.domid(vm)}/device/qpen-reply/{ident})\" = '{ident} {text}' ]")

    def kill_in(self, state):
        """The next daemon is where the former was."""
        self.wait_state(1, state)
        self.dom0("systemctl reset-failed qfilexchgd", check=False)
        self.kill()
        self.assertEqual(self.state_of(1), state)

    def test_in_the_states_that_wait_for_a_vm(self):
        self.configure({"timeouts": {"attach": "3600", "detach": "3600"}, "questions": {"timeout": "3600"}})
        self.dom0("xl pause work")
        self.post_for("work", "new #a")
        self.kill_in("attaching-out")
        self.dom0("xl unpause work")
        self.wait_reply_of("work", "a", "ok xvdg")
        self.wait_for("work", "[ -e /dev/xvdg ]")
        self.user("work", "mount /mnt/outgoing && echo x > /mnt/outgoing/x && umount /mnt/outgoing")
        self.dom0("xl pause work")
        self.post_for("work", "send personal #b")
        self.kill_in("freezing")
        self.dom0("xl unpause work")
        self.wait_state(1, "asking")
        self.dom0("xl pause personal")
        self.agent()
        self.kill_in("attaching-in")
        self.dom0("xl unpause personal")
        self.wait_reply_of("work", "b", "ok delivered")
        self.wait_incoming("personal")
        self.assertEqual(self.user("personal", "cat /mnt/incoming/x"), "x")
        self.dom0("xl pause personal")
        self.post_for("personal", "umount #c")
        self.kill_in("taking-back")
        self.dom0("xl unpause personal")
        self.wait_reply_of("personal", "c", "ok")
        self.wait_nothing_left()

    def test_the_sender_dies_while_no_daemon_runs(self):
        self.penctl_ok("work", "new")
        self.dom0("systemctl stop qfilexchgd; xl destroy work; systemctl start qfilexchgd")
        self.wait_nothing_left()
        self.assert_serves()


if __name__ == "__main__":
    unittest.main()
