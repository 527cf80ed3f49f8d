# SPDX-License-Identifier: GPL-2.0-or-later
"""The real .debs in a box without our software: installed, upgraded while a pendrive is lent, removed, purged."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from boxcase import IMAGES, OUTGOING, BoxCase, xenboxlib

TOP = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = {"dom0": "qfilexchg-dom0", "work": "qfilexchg-vm", "personal": "qfilexchg-vm"}
# Lower than any that was ever made. The "earlier" packages are those of the last release, or else, but for their
# version, the new ones.
EARLIER = "0.0.1"


def run(*argv):
    subprocess.run([str(word) for word in argv], check=True, stdout=subprocess.DEVNULL)


def last_release():
    """The newest tag before this commit; None where there is none, or this is no clone."""
    done = subprocess.run(["git", "-C", str(TOP), "describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD^"],
                          capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def packages_of(tag, folder):
    """Those of another commit, built in a folder of their own."""
    tree = folder / "tree"
    tree.mkdir()
    archive = folder / "tree.tar"
    run("git", "-C", TOP, "archive", "-o", archive, tag)
    run("tar", "-x", "-f", archive, "-C", tree)
    run(tree / "scripts/package", "deb", folder)
    return folder


def find_packages(folder):
    return {name: next(folder.glob(f"{name}_*.deb")) for name in set(PACKAGES.values())}


def repack(deb, version, folder):
    """The same package with another version."""
    tree = folder / deb.stem
    run("dpkg-deb", "-R", deb, tree)
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines(keepends=True)
    control.write_text("".join(f"Version: {version}\n" if line.startswith("Version:") else line for line in lines))
    target = folder / f"{deb.name.partition('_')[0]}_{version}.deb"
    run("dpkg-deb", "--root-owner-group", "-b", tree, target)
    return target


class Packages(BoxCase):
    bare = True

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="qfx-packages-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        build = os.environ.get("XENBOX_BUILD") or TOP / "build/release"
        run(TOP / "scripts/package", "--build", build, "deb", cls.folder)
        cls.debs = find_packages(cls.folder)
        earlier = cls.folder / "earlier"
        earlier.mkdir()
        tag = last_release()
        print(f"upgraded from: {tag or 'these packages with another version, since there is no release'}", file=sys.stderr)
        before = find_packages(packages_of(tag, earlier)) if tag else cls.debs
        cls.earlier = {name: repack(deb, EARLIER, earlier) for name, deb in before.items()}

    def setUp(self):
        super().setUp()
        for domain in PACKAGES:
            self.assertEqual(self.sh(domain, "dpkg-query -W 'qfilexchg-*' 2>/dev/null || true"), "", "the box is not bare")

    def install(self, domain, debs=None):
        deb = (debs or self.debs)[PACKAGES[domain]]
        self.box.put(domain, deb, f"/tmp/{deb.name}")
        return self.sh(domain, f"dpkg -i /tmp/{deb.name} 2>&1")

    def version(self, domain):
        return self.sh(domain, f"dpkg-query -W -f '${{Version}}' {PACKAGES[domain]}")

    def newest(self, domain):
        return subprocess.run(["dpkg-deb", "-f", self.debs[PACKAGES[domain]], "Version"], check=True,
                              capture_output=True, text=True).stdout.strip()

    def pid(self):
        return self.dom0("systemctl show -P MainPID qfilexchgd")

    def write(self, name):
        self.user("work", f"mount | grep -q /mnt/outgoing || mount /mnt/outgoing; echo {name} > /mnt/outgoing/{name}; sync")

    def test_upgraded_while_a_pendrive_is_lent(self):
        xenboxlib.run_parallel(lambda domain: self.install(domain, self.earlier), PACKAGES)
        for domain in PACKAGES:
            self.assertEqual(self.version(domain), EARLIER)
        self.dom0("printf '[questions]\\ntimeout = 77\\n' > /etc/qfilexchgd/qfilexchgd.conf; systemctl restart qfilexchgd")
        self.penctl_ok("work", "new")
        self.write("before")
        before = self.pid()

        self.install("dom0")
        self.assertEqual(self.version("dom0"), self.newest("dom0"))
        self.assert_alive()
        self.assertNotEqual(self.pid(), before, "the daemon that runs is still the one of before")
        self.assertEqual(self.state_of(1), "lent")
        self.assertIn("timeout = 77", self.dom0("cat /etc/qfilexchgd/qfilexchgd.conf"))
        self.install("work")
        self.write("after")
        self.user("work", "umount /mnt/outgoing")
        self.agent()
        self.penctl_ok("work", "send", "personal")
        self.wait_incoming("personal")

        # While it is mounted, both sides once more.
        self.install("personal")
        self.install("dom0")
        self.assertEqual(self.state_of(1), "delivered")
        self.assertEqual(self.user("personal", "cat /mnt/incoming/before /mnt/incoming/after"), "before\nafter")
        self.unmount_incoming("personal")
        self.wait_nothing_left()

    def test_removed_and_purged_while_a_pendrive_is_lent(self):
        xenboxlib.run_parallel(self.install, ("dom0", "work"))
        self.dom0(f"echo mine > {IMAGES}/mine; echo '# mine' > /etc/qfilexchgd/policy.d/80-mine.policy")
        self.penctl_ok("work", "new")
        self.write("before")

        # Removed: it is said what is lent, nobody serves, and the disk works.
        said = self.dom0("dpkg -r qfilexchg-dom0 2>&1")
        self.assertRegex(said, r"(?m)^ +1 +lent +work ")
        self.assertEqual(self.dom0("systemctl is-active qfilexchgd", check=False), "inactive")
        self.assertEqual(self.dom0(f"ls {IMAGES}/*.pendrive | wc -l"), "1")
        self.assertNotEqual(self.dom0("ls /etc/qfilexchgd/qfilexchgd.conf"), "")
        self.write("meanwhile")

        # Installed again: the new daemon knows it.
        self.install("dom0")
        self.assertEqual(self.state_of(1), "lent")
        self.assertEqual(self.user("work", "cat /mnt/outgoing/before /mnt/outgoing/meanwhile"), "before\nmeanwhile")

        # Purged: what is ours is gone, and nothing else. The VM's disk works until the VM lets go of it.
        self.dom0("printf '#\\n' > /etc/qfilexchgd/policy.d/30-remembered.policy; dpkg -P qfilexchg-dom0")
        self.assertEqual(self.dom0(f"ls {IMAGES} | grep -v lost.found"), "mine")
        self.assertEqual(self.dom0("find /etc/qfilexchgd /run/qfilexchgd ! -type d 2>/dev/null", check=False),
                         "/etc/qfilexchgd/policy.d/80-mine.policy")
        self.write("afterwards")
        self.sh("work", "echo 3 > /proc/sys/vm/drop_caches")
        self.assertEqual(self.user("work", "cat /mnt/outgoing/before /mnt/outgoing/afterwards && umount /mnt/outgoing"),
                         "before\nafterwards")
        self.dom0(f"xl block-detach work {OUTGOING}")
        self.wait_for("work", "! [ -e /dev/xvdg ]")
        self.wait_for("dom0", "! losetup -a | grep -q pendrive", "the loop device to be freed")

        # In the VM: what was added is taken out, and no more.
        self.sh("work", "echo '/dev/mine /mnt/mine ext4 noauto 0 0' >> /etc/fstab; dpkg -P qfilexchg-vm")
        self.assertEqual(self.sh("work", "cat /etc/fstab; ls -d /mnt/incoming /mnt/outgoing /var/lib/qubes-pendrive "
                                         "/usr/lib/qubes 2>/dev/null || true"), "/dev/mine /mnt/mine ext4 noauto 0 0")
        self.assertEqual(self.sh("work", "systemctl is-active qubes-pendrive-version", check=False), "inactive")


if __name__ == "__main__":
    unittest.main()
