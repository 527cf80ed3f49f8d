#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What file managers see: the real GVfs, over the real udisksd, with the line of our fstab.

Both run on buses of their own, as they would in the receiver. There is no udev, so the name is that of the folder and
GVfs unmounts by itself; how the name tells the VM, and how udisks unmounts, is tested in the Xen box. Needs the right to
make a device node.
"""
import os
import subprocess
import unittest

import receiverbox
from receiverbox import INCOMING, run

FSTAB = receiverbox.TOP / "vm/system/fstab"
GVFS_MONITOR = "/usr/libexec/gvfs-udisks2-volume-monitor"
UDISKSD = "/usr/libexec/udisks2/udisksd"
NAME = "incoming"
SYSTEM_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:tmpdir={folder}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>
"""


class FileManagers(receiverbox.ReceiverTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = cls.vm.folder
        config = folder / "system.conf"
        config.write_text(SYSTEM_BUS.format(folder=folder), encoding="utf-8")
        for name in ("home", "run"):
            (folder / name).mkdir(mode=0o700)
        cls.vm.env |= {"HOME": str(folder / "home"), "XDG_RUNTIME_DIR": str(folder / "run")}
        for variable, which in (("DBUS_SYSTEM_BUS_ADDRESS", f"--config-file={config}"),
                                ("DBUS_SESSION_BUS_ADDRESS", "--session")):
            cls.vm.env[variable] = cls.start_bus(which)
        run("mount", "--bind", FSTAB, "/etc/fstab")
        unittest.addModuleCleanup(run, "umount", "/etc/fstab")
        cls.make_slot()
        cls.start(UDISKSD)
        cls.wait_name("DBUS_SYSTEM_BUS_ADDRESS", "org.freedesktop.UDisks2")
        cls.start(GVFS_MONITOR)
        cls.wait_name("DBUS_SESSION_BUS_ADDRESS", "org.gtk.vfs.UDisks2VolumeMonitor")

    @classmethod
    def make_slot(cls):
        """A /dev of this namespace's own, with the incoming slot in it."""
        dev = cls.vm.folder / "dev"
        dev.mkdir()
        run("mount", "-t", "tmpfs", "none", dev)
        try:
            os.mknod(dev / "null", 0o20666, os.makedev(1, 3))
        except PermissionError as error:
            raise unittest.SkipTest("no right to make a device node; root has it") from error
        os.mknod(dev / "urandom", 0o20666, os.makedev(1, 9))
        os.mknod(dev / "xvdh", 0o60600, os.makedev(202, 112))
        (dev / "qubes-incoming").symlink_to("xvdh")
        run("mount", "--bind", dev, "/dev")
        unittest.addModuleCleanup(run, "umount", "-l", "/dev")

    @classmethod
    def start(cls, *argv, **options):
        with open(cls.vm.folder / "log", "ab") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       env=cls.vm.env, **options)
        unittest.addModuleCleanup(process.wait)
        unittest.addModuleCleanup(process.kill)
        return process

    @classmethod
    def start_bus(cls, which):
        reader, writer = os.pipe()
        try:
            cls.start("dbus-daemon", which, "--nofork", f"--print-address={writer}", pass_fds=[writer])
        finally:
            os.close(writer)
        with open(reader, encoding="ascii") as pipe:
            return pipe.readline().strip()

    @classmethod
    def wait_name(cls, variable, name):
        run("gdbus", "wait", "--address", cls.vm.env[variable], "--timeout", str(int(receiverbox.DEADLINE_S)), name,
            env=cls.vm.env)

    def gio(self, *words, check=True):
        return run("gio", *words, env=self.vm.env, check=check)

    def volumes(self):
        return self.gio("mount", "-l").stdout

    def shown(self):
        return f"Mount(0): {NAME} -> file:///mnt/incoming" in self.volumes()

    def mount(self):
        self.vm.mount()
        self.until(self.shown, "GVfs to show the pendrive")

    def test_it_is_shown_by_a_name(self):
        self.assertNotIn("file:///mnt/incoming", self.volumes())
        self.mount()
        self.assertIn("can_unmount=1", self.gio("mount", "-l", "-i").stdout)

    def test_the_file_manager_unmounts_it(self):
        self.mount()
        self.gio("mount", "-u", str(INCOMING))
        self.assertFalse(self.vm.is_mounted())
        self.until(lambda: not self.shown(), "GVfs to show it no more")

    def test_the_file_manager_is_told_that_it_is_busy(self):
        self.mount()
        (INCOMING / "file").write_text("x", encoding="ascii")
        with open(INCOMING / "file", encoding="ascii"):
            done = self.gio("mount", "-u", str(INCOMING), check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertTrue(self.vm.is_mounted())
        self.gio("mount", "-u", str(INCOMING))
        self.assertFalse(self.vm.is_mounted())

    def test_the_program_unmounts_it_too(self):
        self.mount()
        self.assertEqual(self.vm.incoming("--done").returncode, 0)
        self.until(lambda: not self.shown(), "GVfs to show it no more")


if __name__ == "__main__":
    receiverbox.main()
