# SPDX-License-Identifier: GPL-2.0-or-later
"""What a sender may write on a pendrive, and who looks at it."""
import struct
import unittest
import zlib

import hostilecase
from boxcase import IMAGES, BoxCase

MIB = 64


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def lvm_label():
    rest = struct.pack("<I8s32s", 32, b"LVM2 001", b"hostile" * 4).ljust(512 - 20, b"\0")
    crc = zlib.crc32(rest, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    return struct.pack("<8sQI", b"LABELONE", 1, crc) + rest


def raid_superblock():
    """Of version 1.2, of an array of one device."""
    def block(csum):
        return struct.pack("<IIII16s32sQIiQIi", 0xA92B4EFC, 1, 0, 0, b"u" * 16, b"hostile:0", 0, 0, 0, 8, 0, 1) \
            .ljust(128, b"\0") + struct.pack("<QQQ", 2048, 4096, 8).ljust(88, b"\0") + \
            struct.pack("<II", csum, 0).ljust(40, b"\0")

    total = sum(struct.unpack("<64I", block(0)))
    return block(((total & 0xFFFFFFFF) + (total >> 32)) & 0xFFFFFFFF)


def btrfs_superblock():
    body = bytearray(4096 - 32)
    body[0x20 - 32 + 16:0x30 - 32 + 16] = struct.pack("<QQ", 65536, 1)
    body[0x40 - 32:0x48 - 32] = b"_BHRfS_M"
    body[0x70 - 32:0x78 - 32] = struct.pack("<Q", MIB << 20)
    body[0x90 - 32:0x98 - 32] = struct.pack("<II", 4096, 4096)
    return struct.pack("<I", crc32c(bytes(body))).ljust(32, b"\0") + bytes(body)


def ext_superblock():
    block = bytearray(1024)
    struct.pack_into("<IIIII", block, 0, 16384, 65536, 0, 60000, 16000)
    struct.pack_into("<H", block, 56, 0xEF53)
    struct.pack_into("<I", block, 76, 1)
    struct.pack_into("<III", block, 92, 0x4, 0x40, 0)  # a journal, extents
    block[104:120] = b"hostile-ext4-sb!"
    return bytes(block)


# What libblkid calls it, where it is, what is there. All of them together leave a vfat that can be mounted.
SIGNATURES = {
    "LVM2_member": (512, lvm_label()),
    "ext4": (1024, ext_superblock()),
    "linux_raid_member": (4096, raid_superblock()),
    "crypto_LUKS": (0x8000, b"SKUL\xba\xbe" + struct.pack(">HQQ", 2, 16384, 1) + b"\0" * 48 + b"sha256".ljust(32, b"\0")
                    + b"s" * 64 + b"12345678-1234-1234-1234-123456789abc".ljust(40, b"\0") + b"\0" * 48
                    + struct.pack(">Q", 0x8000) + b"\0" * 184),
    "btrfs": (65536, btrfs_superblock()),
}
# By SECURITY.md, what keeps root's own LVM off in dom0.
NO_LOOPS = """--config 'devices { global_filter = [ "r|^/dev/loop|" ] }'"""
# A partition of type Linux behind the code of the boot sector.
PARTITION = (446, struct.pack("<B3sB3sII", 0, b"\0\2\0", 0x83, b"\0\2\0", 2048, 65536))


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

    def overlay(self, vm, path, parts):
        """Writes bytes at their places in a file or device of a VM."""
        for offset, data in parts:
            done = self.box.exec(vm, ["dd", f"of={path}", "bs=64k", f"seek={offset}", "oflag=seek_bytes", "conv=notrunc,fsync",
                                      "status=none"], input=data)
            self.assertEqual(done.status, 0, done.stderr)

    def what_is_there(self, vm):
        """All that could have been made of a signature: links, arrays, mapped devices, partitions, what blkid keeps."""
        lvm = f"dmsetup ls; pvs --noheadings {NO_LOOPS}; " if vm == "dom0" else ""
        return self.sh(vm, f"{lvm}find /dev/disk /dev/mapper /dev/md* 2>/dev/null | grep -v by-diskseq | sort; cat /proc/mdstat 2>/dev/null; "
                           "ls /sys/block | grep -E '^(dm|md)' || true; cat /run/blkid/blkid.tab 2>/dev/null || true; "
                           "grep -E '(loop[0-9]+p|xvd[gh])[0-9]' /proc/partitions || true")

    def assert_not_looked_into(self, vm, device):
        """Even when udev is told that it has changed."""
        self.sh(vm, f"udevadm trigger -c change {device}; udevadm settle")
        info = self.sh(vm, f"udevadm info {device}")
        for property_of_blkid in ("ID_FS_", "ID_PART_"):
            self.assertNotIn(property_of_blkid, info)
        self.assertNotIn("by-", self.sh(vm, f"udevadm info -q symlink {device}"))

    def loop(self):
        """Dom0's loop device over the only image."""
        return self.dom0(f"losetup -n -O NAME -j {IMAGES}/*.pendrive | tr -d ' '")

    def test_lvm_of_root(self):
        """Whoever asks LVM by hand is shown a pendrive, unless LVM is told otherwise; asked or not, it makes nothing of it."""
        # As LVM itself makes it, volume and all; here, since the VM has no LVM.
        self.dom0(f"cd /run; truncate -s {MIB}M lvm.pendrive; loop=$(losetup -f --show lvm.pendrive); vgcreate -q hostile $loop && "
                  "lvcreate -q -an -Zn -Wn -L 8M -n volume hostile; losetup -d $loop; mv lvm.pendrive lvm.img")
        head = self.box.exec("dom0", ["head", "-c", "1048576", "/run/lvm.img"], check=True).stdout
        # On any other loop device it is at work at once: this test could fail.
        loop = self.dom0("losetup -f --show /run/lvm.img")
        self.wait_for("dom0", "[ -e /dev/mapper/hostile-volume ]")
        self.dom0(f"udevadm settle; vgchange -q -an hostile; losetup -d {loop}; rm /run/lvm.img")
        before = self.what_is_there("dom0")
        self.lend()
        self.overlay("work", "/dev/xvdg", [(0, head)])
        loop = self.loop()
        self.assert_not_looked_into("dom0", loop)
        self.assertEqual(self.what_is_there("dom0"), before)
        self.assertEqual(self.dom0("pvs --noheadings -o pv_name,vg_name").split(), [loop, "hostile"])
        self.assertEqual(self.dom0(f"pvs --noheadings {NO_LOOPS}"), "")
        self.assertEqual(self.what_is_there("dom0"), before)

    def test_signatures_make_nothing_appear(self):
        """Of a partition table, LVM, RAID, LUKS, btrfs and ext4, in dom0 and in the receiver."""
        for kind, part in SIGNATURES.items():
            # They are what they pretend to be: this test could fail.
            with self.subTest(kind):
                self.sh("work", f"rm -f /run/alone; truncate -s {MIB}M /run/alone")
                self.overlay("work", "/run/alone", [part])
                self.assertEqual(self.sh("work", "blkid -p -o value -s TYPE /run/alone"), kind)
        before = {vm: self.what_is_there(vm) for vm in ("dom0", "personal")}
        self.lend()
        self.overlay("work", "/dev/xvdg", [*SIGNATURES.values(), PARTITION])
        self.assertEqual(self.sh("work", "sfdisk -d /dev/xvdg | grep -c '^/dev/xvdg1'"), "1")
        self.assert_not_looked_into("dom0", self.loop())
        self.assertEqual(self.what_is_there("dom0"), before["dom0"])
        self.deliver()
        self.wait_incoming("personal")
        for device in ("/dev/xvdh", self.sh("personal", "losetup -n -O NAME -j /dev/xvdh | tr -d ' '")):
            self.assert_not_looked_into("personal", device)
        self.assert_not_looked_into("dom0", self.loop())
        self.assertEqual({vm: self.what_is_there(vm) for vm in before}, before)

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
        loop = self.loop()
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
