#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The xenstore nodes of an attached disk: those of libxl, its halves at once, and none left behind."""
import os
import re
import unittest.mock

import storebox

OUT = storebox.OUTGOING
IN = storebox.INCOMING
GUARD = "65536"


class NodesTest(storebox.DaemonTest):
    def view(self, vm, vdev):
        """What of the image is behind that disk: "r" or "w", from where on, how much; 0: all."""
        device = self.box.dom0.read(f"/local/domain/0/backend/vbd/{vm.domid}/{vdev}/physical-device")
        mode, offset, limit = (self.box.loops_dir / f"{device}.view").read_text().split()
        return mode, int(offset), int(limit)


class Written(NodesTest):
    """VMs without disk drivers: what is there is what the daemon wrote."""
    names = ()

    def setUp(self):
        super().setUp()
        self.work = self.box.create_vm("work", blk=False)

    def paths(self, vm, vdev):
        return (f"/local/domain/0/backend/vbd/{vm.domid}/{vdev}",
                f"{vm.path}/device/vbd/{vdev}", f"/libxl/{vm.domid}/device/vbd/{vdev}")

    def children(self, path):
        return {name: self.box.dom0.read(f"{path}/{name}") for name in self.box.dom0.ls(path)}

    def assert_perms(self, path, *perms):
        for node in self.box.dom0.tree(path):
            self.assertEqual(self.box.dom0.get_perms(node), list(perms), node)

    def attach_out(self):
        self.post(self.work, "new")
        self.wait_record(self.work, "attaching-out")
        return self.paths(self.work, OUT)

    def test_values_are_those_of_libxl(self):
        back, front, _ = self.attach_out()
        self.assert_values(self.work, self.children(back))
        self.assertEqual(self.children(front), {
            "backend": back, "backend-id": "0", "state": "1", "virtual-device": str(OUT),
            "device-type": "disk"})

    def test_libxl_is_told_when_the_vm_has_it(self):
        """What `xl block-list` and `xl destroy` go by: the same as the back end began with, and where it is."""
        self.post(self.work, "new")
        self.wait_record(self.work, "attaching-out")
        back, _, libxl = self.paths(self.work, OUT)
        self.assertFalse(self.box.dom0.exists(libxl))
        personal = self.box.create_vm("personal")
        self.lend(personal)
        back, _, libxl = self.paths(personal, OUT)
        self.box.dom0.wait(f"{libxl}/backend", back)
        written = self.children(libxl)
        del written["backend"]
        self.assert_values(personal, written)
        self.assert_perms(libxl, "n0")

    def test_libxl_is_told_by_the_next_daemon(self):
        """As if this one had been killed between the two."""
        personal = self.box.create_vm("personal")
        self.lend(personal)
        back, _, libxl = self.paths(personal, OUT)
        self.box.dom0.wait(f"{libxl}/backend", back)
        before = self.children(libxl)
        self.box.daemon.kill()
        self.box.dom0.rm(libxl)
        self.start()
        self.box.dom0.wait(f"{libxl}/backend", back)
        self.assertEqual(self.children(libxl), before)

    def assert_values(self, vm, written):
        front = self.paths(vm, OUT)[1]
        # Ours alone to choose: the loop device.
        self.assertRegex(written["params"], r"\A/dev/loop[0-9]+\Z")
        self.assertRegex(written["physical-device"], r"\A7:[0-9a-f]+\Z")
        self.assertEqual(written, {
            # libxl__device_generic_add
            "frontend": front, "frontend-id": str(vm.domid), "online": "1", "state": "1",
            # libxl's device_disk_add
            "removable": "1", "bootable": "0", "dev": "xvdg", "type": "phy", "mode": "w",
            "device-type": "disk", "discard-enable": "1", "params": written["params"],
            # Otherwise the hotplug script, of which ours does nothing.
            "script": "/bin/true", "physical-device": written["physical-device"],
            "hotplug-status": "connected"})

    def test_the_receivers_is_read_only(self):
        """For the back end, which refuses writes, and for what is behind it."""
        self.personal = self.box.create_vm("personal")
        self.sender = self.box.create_vm("sender")
        self.box.start_agent("--yes")
        self.deliver(self.sender, self.personal)
        back, _, libxl = self.paths(self.personal, IN)
        self.box.dom0.wait(f"{libxl}/backend", back)
        for folder in (back, libxl):
            self.assertEqual(self.box.dom0.read(f"{folder}/mode"), "r")
            self.assertEqual(self.box.dom0.read(f"{folder}/discard-enable"), "0")
        self.assertEqual(self.view(self.personal, IN)[0], "r")

    def test_permissions_are_those_of_libxl(self):
        back, front, _ = self.attach_out()
        domid = self.work.domid
        self.assert_perms(back, "n0", f"r{domid}")
        self.assert_perms(front, f"n{domid}", "r0")

    def test_leftovers_of_the_vm_in_its_own_folder_do_not_stay(self):
        """The front end's folder was the VM's own while it had a disk there before."""
        _, front, _ = self.paths(self.work, OUT)
        self.box.dom0.write(front, "")
        self.box.dom0.set_perms(front, f"n{self.work.domid}", "r0")
        self.work.xs.write(f"device/vbd/{OUT}/ring-ref", "666")
        self.work.xs.write(f"device/vbd/{OUT}/state", "4")
        self.attach_out()
        self.assertEqual(self.box.dom0.read(f"{front}/state"), "1")
        self.assertNotIn("ring-ref", self.box.dom0.ls(front))


class Traced(storebox.DaemonTest):
    """With xenstored's own account of who asked what in which order."""

    def setUp(self):
        with unittest.mock.patch.dict(os.environ, QFX_STORE_TRACE="1"):
            super().setUp()

    def transactions(self, of):
        """The changes of each transaction that wrote `of`, and whether it was committed."""
        found, current = [], {}
        for line in self.box.log("trace").splitlines():
            match = re.match(r"IN (\S+) \S+ \S+ (\S+) \((\S*) ?(.*)", line)
            if not match:
                continue
            connection, verb, path, rest = match.groups()
            if verb == "TRANSACTION_START":
                current[connection] = []
            elif verb == "TRANSACTION_END":
                changes = current.pop(connection, [])
                if of in changes:
                    found.append((changes, path))
            elif verb in ("WRITE", "RM") and connection in current:
                current[connection].append(path)
            elif verb in ("WRITE", "RM") and path == of:
                found.append(([path], "alone"))
        return found

    def test_the_receiver_finds_the_keys_with_the_device(self):
        """They are written in one transaction, and the record of it too."""
        self.box.start_agent("--yes")
        self.deliver(self.work, self.personal)
        number = self.wait_record(self.work, "delivered")["id"]
        front = f"{self.personal.path}/device/vbd/{IN}/backend"
        (changes, end), = [each for each in self.transactions(front) if each[1] != "F"]
        self.assertEqual(end, "T")
        for path in (f"{self.personal.path}/qubes_blocksrc",
                     f"{self.personal.path}/qubes_transaction_seq",
                     f"{self.personal.path}/qubes_pendrive_offset",
                     f"/local/domain/0/backend/vbd/{self.personal.domid}/{IN}/state",
                     f"/qfilexchgd/transfers/{number}"):
            self.assertIn(path, changes)

    def test_a_reply_comes_with_its_record(self):
        self.lend(self.work)
        number = self.wait_record(self.work, "lent")["id"]
        reply = f"{self.work.path}/device/qpen-reply/q{self._last_ident}"
        (changes, end), = self.transactions(reply)
        self.assertEqual(end, "T")
        self.assertIn(f"/qfilexchgd/transfers/{number}", changes)

    def test_a_request_leaves_the_mailbox_when_it_is_answered_or_recorded(self):
        """And not before: a daemon that is killed in between must not lose it."""
        mailbox = f"{self.work.path}/device/qpen"
        self.ask(self.work, "umount")
        (changes, end), = self.transactions(mailbox)
        self.assertEqual(end, "T")
        self.assertIn(f"{self.work.path}/device/qpen-reply/q{self._last_ident}", changes)
        self.lend(self.work)
        number = self.wait_record(self.work, "lent")["id"]
        self.assertIn(f"/qfilexchgd/transfers/{number}", self.transactions(mailbox)[-1][0])


class Removed(storebox.DaemonTest):
    def nodes_of(self, vm):
        return [path for path in self.box.dom0.tree("/") if f"/vbd/{vm.domid}" in path or (
            "/vbd" in path and path.startswith((vm.path + "/", f"/libxl/{vm.domid}/")))]

    def test_all_are_gone_after_a_detach_and_empty_parents_too(self):
        self.box.start_agent("--yes")
        before = set(self.box.dom0.tree("/libxl"))
        self.lend(self.work)
        self.assertNotEqual(self.nodes_of(self.work), [])
        self.ask(self.work, "send personal")
        self.assertEqual(self.nodes_of(self.work), [])
        self.personal.wait_connected(IN)
        self.ask(self.personal, "umount")
        self.wait_nothing_left()
        self.assertEqual(self.nodes_of(self.personal), [])
        # libxl prunes as far up as it is empty; so do we, and no further.
        self.assertLessEqual(before - set(self.box.dom0.tree("/libxl")),
                             {f"/libxl/{vm.domid}/device" for vm in self.vms})

    def test_other_devices_keep_their_folders(self):
        neighbour = [f"/local/domain/0/backend/vbd/{self.work.domid}/51712/state",
                     f"{self.work.path}/device/vbd/51712/state",
                     f"/libxl/{self.work.domid}/device/vbd/51712/backend"]
        for path in neighbour:
            self.box.dom0.write(path, "x")
        self.lend(self.work)
        self.box.ctl("cancel", self.wait_record(self.work, "lent")["id"])
        self.work.wait_detached(OUT)
        for path in neighbour:
            self.assertTrue(self.box.dom0.exists(path), path)

    def test_a_device_of_somebody_else_in_our_slot_is_left_alone(self):
        """`new` fails; the disk that an admin attached as xvdg is not touched."""
        theirs = {f"/local/domain/0/backend/vbd/{self.work.domid}/{OUT}/state": "4",
                  f"/local/domain/0/backend/vbd/{self.work.domid}/{OUT}/online": "1",
                  f"/local/domain/0/backend/vbd/{self.work.domid}/{OUT}/params": "/dev/vg/theirs",
                  f"/libxl/{self.work.domid}/device/vbd/{OUT}/params": "/dev/vg/theirs",
                  f"{self.work.path}/device/vbd/{OUT}/state": "4"}
        for path, value in theirs.items():
            self.box.dom0.write(path, value)
        self.assert_error(self.ask(self.work, "new"), "failed")
        storebox.until(lambda: not self.records(), "the pendrive to be given up")
        for path, value in theirs.items():
            self.assertEqual(self.box.dom0.read_or(path), value, path)
        self.assertEqual(list(self.images.iterdir()), [])
        self.assert_serves()


class Keys(NodesTest):
    """What the receiver is told of the pendrive in its slot."""

    def setUp(self):
        super().setUp()
        self.box.start_agent("--yes")

    def deliver_to(self, receiver):
        self.deliver(self.work, receiver)
        xs = receiver.xs
        keys = tuple(xs.read(key) for key in ("qubes_blocksrc", "qubes_transaction_seq",
                                              "qubes_pendrive_offset"))
        self.assertEqual(self.ask(receiver, "umount"), "ok")
        return keys

    def test_the_keys_go_with_the_device(self):
        self.deliver_to(self.personal)
        for key in ("qubes_blocksrc", "qubes_transaction_seq", "qubes_pendrive_offset"):
            self.assertIsNone(self.personal.xs.read_or(key), key)

    def test_tools_of_2010_get_the_data_alone(self):
        self.assertEqual(self.deliver_to(self.personal), ("work", "0", "0"))

    def test_our_tools_get_the_guards_too(self):
        self.personal.xs.write("data/qpen-version", "2")
        self.assertEqual(self.deliver_to(self.personal), ("work", "0", GUARD))

    def test_what_of_the_image_each_of_them_sees(self):
        """The guards are out of the sender's reach, and around what a receiver with our tools gets."""
        size = 64 << 20
        self.other.xs.write("data/qpen-version", "2")
        for receiver, seen in ((self.personal, ("r", int(GUARD), size)), (self.other, ("r", 0, 0))):
            self.assertRegex(self.ask(self.work, f"new size={size}"), "^ok")
            self.work.wait_connected(OUT)
            self.assertEqual(self.view(self.work, OUT), ("w", int(GUARD), size))
            self.assertEqual(self.ask(self.work, f"send {receiver.name}"), "ok delivered")
            self.assertEqual(self.view(receiver, IN), seen)

    def test_rubbish_in_the_version_counts_as_none(self):
        for rubbish in ("", "1", "3", "22", "2 ", " 2", "2\n", "02", "\0", "2\0", "x" * 2000):
            with self.subTest(rubbish=rubbish):
                self.personal.xs.write("data/qpen-version", rubbish)
                self.assertEqual(self.deliver_to(self.personal), ("work", "0", "0"))

    def test_the_version_is_looked_at_when_it_is_attached(self):
        """Not when it was sent: the receiver may have booted meanwhile."""
        self.deliver(self.other, self.personal)
        self.lend(self.work)
        sending = self.post(self.work, "send personal")
        self.wait_record(self.work, "queued")
        self.personal.xs.write("data/qpen-version", "2")
        self.assertEqual(self.ask(self.personal, "umount"), "ok")
        self.assertEqual(self.wait_reply(self.work, sending), "ok delivered")
        self.assertEqual(self.personal.xs.read("qubes_pendrive_offset"), GUARD)
        self.assertEqual(self.personal.xs.read("qubes_blocksrc"), "work")

    def test_modes(self):
        self.assertEqual(self.lend(self.work).mode, "w")
        self.ask(self.work, "send personal")
        self.assertEqual(self.personal.wait_connected(IN).mode, "r")
        back = f"/local/domain/0/backend/vbd/{self.personal.domid}/{IN}"
        self.assertEqual(self.box.dom0.read(f"{back}/discard-enable"), "0")
        self.assertEqual(self.box.dom0.read(f"{back}/dev"), "xvdh")


if __name__ == "__main__":
    storebox.main()
