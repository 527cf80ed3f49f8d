# SPDX-License-Identifier: GPL-2.0-or-later
"""A receiver without systemd: the real xenstored, with the test as dom0.

A file plays the device. It cannot be mounted, so each worker gives its pendrive back unread, and a
request `umount` is the sign that it ran.
"""
import storebox


class ReceiverTest(storebox.StoreTest):
    device = None  # where the pendrive comes

    def setUp(self):
        super().setUp()
        self.vm = self.box.create_vm("personal")
        for key, perms in (("device/qpen", "b"), ("device/qpen-reply", "r")):
            self.write_key(key, "")
            self.box.dom0.set_perms(f"{self.vm.path}/{key}", "n0", f"{perms}{self.vm.domid}")
        for key, value in (("qubes_blocksrc", "work"), ("qubes_transaction_seq", "0"),
                           ("qubes_pendrive_offset", "65536")):
            self.write_key(key, value)
            self.box.dom0.set_perms(f"{self.vm.path}/{key}", "n0", f"r{self.vm.domid}")

    def write_key(self, key, value):
        self.box.dom0.write(f"{self.vm.path}/{key}", value)

    def come(self):
        self.device.write_bytes(bytes(4096))

    def take(self):
        """The worker's request, taken; its ID."""
        line = self.box.dom0.wait(f"{self.vm.path}/device/qpen", bool)
        self.assertRegex(line, r"\Aumount #\w+\Z")
        self.write_key("device/qpen", "")
        return line.rpartition(" #")[2]

    def answer(self, ident):
        key = f"device/qpen-reply/{ident}"
        self.write_key(key, f"{ident} ok")
        self.box.dom0.set_perms(f"{self.vm.path}/{key}", "n0", f"r{self.vm.domid}")
