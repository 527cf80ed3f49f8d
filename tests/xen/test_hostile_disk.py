# SPDX-License-Identifier: GPL-2.0-or-later
"""What a sender may write on a pendrive, and who looks at it."""
import unittest

import hostilecase
from boxcase import IMAGES, BoxCase

MIB = 64


class HostileDisk(BoxCase):
    def setUp(self):
        super().setUp()
        self.agent()

    def lend(self, *words):
        self.penctl_ok("work", "new", f"size={MIB}M", *words)
        self.assertEqual(int(self.sh("work", "blockdev --getsize64 /dev/xvdg")), MIB << 20)

    def deliver(self):
        self.penctl_ok("work", "send", "personal")
        self.wait_for("personal", "xenstore-read qubes_blocksrc >/dev/null")
        # udev has looked at whatever there is to be looked at.
        self.sh("personal", "udevadm settle")

    def assert_no_partition(self):
        self.assertEqual(self.sh("personal", "grep -c 'xvdh.' /proc/partitions || true"), "0")
        self.assertEqual(self.sh("personal", "ls /dev | grep 'xvdh.' || true"), "")

    def partition(self, label):
        self.lend("format=none")
        self.sh("work", f"printf 'label: {label}\\n,20M\\n,20M\\n' | sfdisk -q --no-reread --no-tell-kernel /dev/xvdg; sync")
        self.assertEqual(self.sh("work", "sfdisk -d /dev/xvdg | grep -c '^/dev/xvdg'"), "2")

    def watch_partitions(self):
        """From now on, every block device that the receiver's kernel announces is written down."""
        watcher = self.start("personal", "sh", "-c", "udevadm monitor --kernel --subsystem-match=block > /run/seen")
        self.wait_for("personal", "grep -q KERNEL /run/seen")
        return watcher

    def test_mbr_and_gpt_make_no_partition(self):
        for label in ("dos", "gpt"):
            with self.subTest(label=label):
                self.box.start(fresh=True)
                self.agent()
                self.watch_partitions()
                self.partition(label)
                self.deliver()
                self.wait_for("personal", "grep -q 'add.*xvdh' /run/seen")
                self.assert_no_partition()
                self.assertEqual(self.sh("personal", "grep -cE 'xvdh.*/xvdh[0-9]' /run/seen || true"), "0")

    def test_control_a_receiver_of_2010_does_see_partitions(self):
        """The check above can fail: without the guards the same disk makes partition nodes."""
        self.make_2010("personal")
        self.partition("dos")
        self.deliver()
        self.wait_for("personal", "grep -q 'xvdh2' /proc/partitions")

    def test_the_sender_reaches_no_guard(self):
        self.lend("format=none")
        # Every byte that the device has, and one more, which it has not.
        self.sh("work", f"tr '\\000' '\\377' < /dev/zero | head -c {MIB << 20} > /dev/xvdg; sync")
        self.sh("work", f"! dd if=/dev/zero of=/dev/xvdg bs=512 seek={(MIB << 20) // 512} count=1 2>/dev/null")
        self.assertEqual(self.sh("work", "tr -d '\\377' < /dev/xvdg | wc -c"), "0")
        image = self.dom0(f"ls -d {IMAGES}/*.pendrive")
        self.assertEqual(int(self.dom0(f"stat -c %s {image}")), (MIB << 20) + 2 * 65536)
        for end in ("head", "tail"):
            self.assertEqual(self.dom0(f"{end} -c 65536 {image} | tr -d '\\000' | wc -c"), "0")
        self.assertEqual(self.dom0(f"tail -c +65537 {image} | head -c {MIB << 20} | tr -d '\\377' | wc -c"), "0")

    def test_the_receiver_cannot_write(self):
        self.lend()
        self.deliver()
        self.wait_incoming("personal")
        self.assertEqual(self.sh("personal", "cat /sys/block/xvdh/ro"), "1")
        options = self.sh("personal", "awk '$2 == \"/mnt/incoming\" { print $4 }' /proc/mounts").split(",")
        for option in ("ro", "nosuid", "nodev", "noexec", "nosymfollow", "uid=1000", "utf8"):
            self.assertIn(option, options)

    def test_rubbish_does_not_hold_the_slot(self):
        self.lend("format=none")
        self.sh("work", f"head -c {MIB << 20} /dev/urandom > /dev/xvdg; sync")
        self.deliver()
        self.wait_for("personal", "! [ -e /dev/xvdh ]", "the receiver to give it back")
        self.wait_nothing_left()
        self.assertEqual(self.sh("personal", "systemctl is-system-running || systemctl --failed --no-legend"), "running")

    def test_the_next_pendrive_is_empty(self):
        """Of what was on a removed one nothing can be read, by the VM that had it or by another."""
        self.lend("format=none")
        self.sh("work", f"tr '\\000' '\\377' < /dev/zero | head -c {MIB << 20} > /dev/xvdg; sync")
        self.dom0("qfilexchgctl cancel 1")
        self.wait_nothing_left()
        for vm in ("personal", "work"):
            self.penctl_ok(vm, "new", f"size={MIB}M", "format=none")
            self.assertEqual(self.sh(vm, "tr -d '\\000' < /dev/xvdg | wc -c"), "0")

    def test_nobody_probes_our_disks(self):
        """udev must have asked blkid of none of them, and offer none to anybody."""
        self.lend()
        loop = self.dom0(f"losetup -n -O NAME -j {IMAGES}/*.pendrive | tr -d ' '")
        self.dom0("udevadm settle")
        for domain, device in (("dom0", loop), ("work", "/dev/xvdg")):
            info = self.sh(domain, f"udevadm info {device}")
            self.assertNotIn("ID_FS_", info)
            self.assertIn("UDISKS_IGNORE=1", info)
            self.assertNotIn("by-", self.sh(domain, f"udevadm info -q symlink {device}"))
        self.deliver()
        self.wait_incoming("personal")
        self.sh("personal", "udevadm settle")
        for device in ("/dev/xvdh", self.sh("personal", "losetup -n -O NAME -j /dev/xvdh | tr -d ' '")):
            self.assertNotIn("ID_FS_", self.sh("personal", f"udevadm info {device}"))


class TimeOfCheck(BoxCase):
    """What the receiver reads is what the sender had when the question came up, whatever that goes on writing."""
    config = {"questions": {"timeout": "900"}}  # hashing takes its time here

    def image_sum(self):
        return self.dom0(f"cat {IMAGES}/*.pendrive | sha256sum")

    def test_a_sender_that_goes_on_writing(self):
        hostilecase.put_hostile(self.box, "work")
        self.penctl_ok("work", "new", f"size={MIB}M")
        # Through the file system, a loop device, the page cache, around it, and a mapping.
        self.sh("work", "mount -t vfat /dev/xvdg /mnt/outgoing && losetup -f /dev/xvdg")
        loop = self.sh("work", "losetup -n -O NAME -j /dev/xvdg | tr -d ' '")
        writers = [self.start("work", hostilecase.HOSTILE, "scribble", device) for device in ("/dev/xvdg", loop)]
        for writer in writers:
            self.assertEqual(writer.stdout.readline(), b"ready\n")
        self.start("work", "sh", "-c", "while :; do date +%N >> /mnt/outgoing/log; sync; done")
        self.wait_for("work", "[ -s /mnt/outgoing/log ]")
        at_first = self.image_sum()
        self.wait_for("dom0", f"! cat {IMAGES}/*.pendrive | sha256sum | grep -q '{at_first}'", "the image to change")
        # No tool of ours would send what is mounted: this is written by hand.
        self.sh("work", "xenstore-write device/qpen 'send personal #hand'")
        self.wait_state(1, "asking")
        asked = self.image_sum()
        for writer in writers:
            self.assertIsNone(writer.poll(), "it was to go on writing")
        self.agent()
        self.wait_state(1, "delivered")
        self.wait_for("personal", "[ -b /dev/xvdh ]")
        # With the guards, the receiver's device is the image file.
        self.assertEqual(self.sh("personal", "sha256sum < /dev/xvdh"), asked)
        self.assertEqual(self.image_sum(), asked)
        for writer in writers:
            self.assertIsNone(writer.poll(), "it was to go on writing")


if __name__ == "__main__":
    unittest.main()
