# SPDX-License-Identifier: GPL-2.0-or-later
"""fstab-lines touches our lines alone, and those only as they were written."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from installed import TOP

OUT = "/dev/xvdg /mnt/outgoing vfat noauto,user 0 0"
IN = "/dev/xvdh /mnt/incoming vfat noauto,users 0 0"
ROOT_LINE = "/dev/xvda\t/ ext4 defaults 0 1"


class Lines(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        (self.root / "etc").mkdir()
        self.fstab = self.root / "etc/fstab"
        share = self.root / "share"
        share.mkdir()
        shutil.copy(TOP / "vm/system/fstab-lines", share)
        self.shipped = share / "fstab"
        self.ship(OUT, IN)

    def ship(self, *lines):
        self.shipped.write_text("".join(f"{line}\n" for line in ("# what they are for", *lines)))

    def have(self, *lines):
        self.fstab.write_text("".join(f"{line}\n" for line in lines))

    def do(self, what):
        subprocess.run([self.shipped.with_name("fstab-lines"), what], check=True,
                       env=dict(os.environ, ROOT=str(self.root)))
        self.assertEqual(os.listdir(self.root / "etc"), ["fstab"])

    def assert_have(self, *lines):
        self.assertEqual(self.fstab.read_text().splitlines(), list(lines))

    def test_added_once_and_removed(self):
        self.have("# mine", ROOT_LINE)
        for _ in range(2):
            self.do("add")
            self.assert_have("# mine", ROOT_LINE, OUT, IN)
        self.do("remove")
        self.assert_have("# mine", ROOT_LINE)

    def test_where_there_is_no_fstab(self):
        self.do("add")
        self.assert_have(OUT, IN)

    def test_a_last_line_without_its_end(self):
        self.fstab.write_text(ROOT_LINE)
        self.do("add")
        self.assert_have(ROOT_LINE, OUT, IN)

    def test_a_line_of_the_administrators_own_stays_and_ours_is_not_added(self):
        mine = "/dev/xvdh /mnt/incoming vfat ro,noexec 0 0"
        self.have(mine)
        self.do("add")
        self.assert_have(mine, OUT)
        self.do("remove")
        self.assert_have(mine)

    def test_a_comment_takes_no_folder(self):
        self.have("# /dev/xvdh /mnt/incoming vfat ro 0 0", "#x /mnt/outgoing")
        self.do("add")
        self.assert_have("# /dev/xvdh /mnt/incoming vfat ro 0 0", "#x /mnt/outgoing", OUT, IN)

    def test_an_upgrade_replaces_what_the_older_one_wrote(self):
        self.have(ROOT_LINE)
        self.do("add")
        newer = IN.replace("users", "users,ro")
        self.ship(OUT, newer)
        self.do("add")
        self.assert_have(ROOT_LINE, OUT, newer)
        self.do("remove")
        self.assert_have(ROOT_LINE)

    def test_what_the_administrator_changed_is_theirs(self):
        self.have(ROOT_LINE)
        self.do("add")
        changed = IN.replace("users", "users,uid=1000")
        self.have(ROOT_LINE, OUT, changed)
        self.ship(OUT, IN.replace("users", "users,ro"))
        self.do("add")
        self.assert_have(ROOT_LINE, OUT, changed)
        self.do("remove")
        self.assert_have(ROOT_LINE, changed)

    def test_a_link_stays_a_link_and_the_mode_what_it_was(self):
        real = self.root / "real-fstab"
        real.write_text(f"{ROOT_LINE}\n")
        real.chmod(0o600)
        self.fstab.symlink_to(real)
        self.do("add")
        self.assertTrue(self.fstab.is_symlink())
        self.assertEqual(real.stat().st_mode & 0o777, 0o600)
        self.assert_have(ROOT_LINE, OUT, IN)


if __name__ == "__main__":
    unittest.main()
