#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job, through the real daemon: a pendrive is lent, sent, received and given back."""
import storebox

OUT = storebox.OUTGOING
IN = storebox.INCOMING


class TransferTest(storebox.StoreTest):
    def setUp(self):
        super().setUp()
        self.work, self.personal = self.box.create_vms(["work", "personal"])
        self.images = self.box.dir / "images"
        self.images.mkdir()
        self.box.start_daemon({
            "pendrives": {"directory": self.images, "default-size": "64M",
                          "reserve": "1M"},
            "questions": {"hide-refusals": "no"},
        })
        self.work.wait_mailbox()
        self.personal.wait_mailbox()

    def send(self):
        """A pendrive of work stands in the incoming slot of personal."""
        self.assertEqual(self.work.ask("new", "n1"), "n1 ok xvdg")
        self.work.wait_connected(OUT)
        self.assertEqual(self.work.ask("send personal", "s1"), "s1 ok delivered")
        return self.personal.wait_connected(IN)

    def assert_nothing_is_left(self):
        storebox.until(lambda: not list(self.images.iterdir()), "the image to be removed")
        self.assertEqual(self.box.disks(), [])
        backends = self.box.dom0.tree("/local/domain/0/backend")
        self.assertFalse([path for path in backends if path.endswith("/state")])

    def test_from_one_vm_to_the_other(self):
        self.box.start_agent("--yes")
        disk = self.send()
        self.assertEqual(disk.mode, "r")
        self.assertEqual(self.personal.xs.read("qubes_blocksrc"), "work")
        self.assertIsNone(self.work.disk(OUT))
        self.assertEqual(self.personal.ask("umount", "u1"), "u1 ok")
        self.personal.wait_detached(IN)
        self.assert_nothing_is_left()

    def test_refused(self):
        self.box.start_agent("--no")
        self.work.ask("new", "n1")
        reply = self.work.ask("send personal", "s1")
        self.assertTrue(reply.startswith("s1 error refused "), reply)
        self.work.wait_detached(OUT)
        self.assertFalse(any(f"domid={self.personal.domid} " in line
                             for line in self.box.history()))
        self.assert_nothing_is_left()

    def test_the_tool_of_the_vm(self):
        done = self.work.run(["qubes_penctl", "new"])
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.work.wait_connected(OUT)

    def test_receiver_destroyed_while_it_has_the_pendrive(self):
        self.box.start_agent("--yes")
        self.send()
        self.personal.destroy()
        self.assert_nothing_is_left()
        self.assertEqual(self.work.ask("new", "n2"), "n2 ok xvdg")

    def test_fifty_vms_in_a_ring(self):
        """Each sends to the next while it receives from the one before."""
        self.box.start_agent("--yes")
        vms = self.box.create_vms([f"vm{i}" for i in range(50)])
        for vm in vms:
            vm.wait_mailbox()
            vm.post("new #n1")
        for vm in vms:
            self.assertEqual(vm.wait_reply("n1"), "n1 ok xvdg")
        for vm, after in zip(vms, vms[1:] + vms[:1]):
            vm.post(f"send {after.name} #s1")
        for vm, before in zip(vms, vms[-1:] + vms):
            self.assertEqual(vm.wait_reply("s1"), "s1 ok delivered")
            vm.wait_connected(IN)
            self.assertEqual(vm.xs.read("qubes_blocksrc"), before.name)
        for vm in vms:
            self.assertEqual(vm.ask("umount", "u1"), "u1 ok")
        self.assert_nothing_is_left()


if __name__ == "__main__":
    storebox.main()
