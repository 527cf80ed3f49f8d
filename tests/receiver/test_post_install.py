#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""post-install in VMs without systemd: what `cmake --install` put down gets to where OpenRC and runit look.

In a mount namespace with an /etc, a /usr/share and a /var/lib of its own. Of the init systems there are only the
commands that post-install calls, which write down how.
"""
import os
import pathlib
import shutil
import subprocess

import receiverbox
from receiverbox import run

SHARE = pathlib.Path("/usr/share/qubes-pendrive")
ETC = pathlib.Path("/etc")
# Before /etc is another one: awk is found through a link in it.
REAL = {name: os.path.realpath(shutil.which(name)) for name in (
    "sh", "awk", "chmod", "cmp", "cp", "dirname", "ln", "mkdir", "mv", "readlink", "rm")}
SERVICES = ["qubes-dvm-seed", "qubes-pendrive", "qubes-pendrive-version"]


class PostInstall(receiverbox.ReceiverTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.root = cls.vm.folder / "root"
        for component in ("vm", "vm-desktop"):
            run("cmake", "--install", receiverbox.BUILD, "--component", component,
                env=os.environ | {"DESTDIR": str(cls.root)})
        prefix, = (p.parent for p in cls.root.rglob("share/qubes-pendrive"))
        cls.prefix = prefix.parent
        run("mount", "-t", "tmpfs", "none", "/usr/share")
        shutil.copytree(cls.prefix / "share/qubes-pendrive", SHARE)

    def setUp(self):
        super().setUp()
        # The lines that were put into fstab are remembered below /var/lib.
        for folder in (ETC, "/var/lib"):
            run("mount", "-t", "tmpfs", "none", folder)
            self.addCleanup(run, "umount", folder)
        self.path = self.vm.folder / "bin"
        self.path.mkdir()
        self.addCleanup(shutil.rmtree, self.path)
        self.calls = self.vm.folder / "calls"
        self.calls.write_text("")
        for name, program in REAL.items():
            (self.path / name).symlink_to(program)
        self.fake("getent", '[ "$*" = "passwd user" ]')
        self.fake("groupadd", "useradd", "usermod")

    def fake(self, *names):
        """Commands that write down how they were called; the last word may be shell."""
        end = names[-1] if " " in names[-1] else "true"
        for name in names:
            if " " in name:
                continue
            command = self.path / name
            command.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.calls}\n{end}\n')
            command.chmod(0o755)

    def post_install(self):
        done = run(SHARE / "post-install", env={"PATH": str(self.path)})
        return done.stderr

    def called(self, command):
        return [line for line in self.calls.read_text().splitlines() if line.split()[0] == command]

    def test_openrc(self):
        self.fake("openrc-run", "rc-update")
        (ETC / "init.d").mkdir()
        (ETC / "fstab").write_text("/dev/vda / ext4 defaults 0 1\n")
        for _ in range(2):
            self.assertEqual(self.post_install(), "")
        self.assertEqual(self.called("groupadd")[0], "groupadd -r qubes")
        self.assertEqual(self.called("useradd")[0], "useradd -r -d / -s /sbin/nologin -c Reader of pendrives qubes-pendrive")
        self.assertEqual(self.called("usermod")[0], "usermod -a -G qubes user")
        for name in SERVICES:
            script = ETC / "init.d" / name
            self.assertTrue(os.access(script, os.X_OK))
            self.assertEqual(script.read_text().splitlines()[0], "#!/sbin/openrc-run")
            subprocess.run(["/bin/sh", "-n", script], check=True)
        self.assertEqual(sorted(os.listdir(ETC / "init.d")), SERVICES)
        self.assertEqual(self.called("rc-update")[:3], [f"rc-update add {name} default" for name in SERVICES])
        fstab = (ETC / "fstab").read_text().splitlines()
        self.assertEqual([line.split()[1] for line in fstab], ["/", "/mnt/outgoing", "/mnt/incoming"])

    def test_runit(self):
        for folders in (("sv", "service"), ("runit/sv", "runit/runsvdir/default")):
            with self.subTest(folders):
                self.fake("runsv")
                for folder in folders:
                    (ETC / folder).mkdir(parents=True)
                for _ in range(2):
                    self.assertEqual(self.post_install(), "")
                self.assertEqual(sorted(os.listdir(ETC / folders[0])), SERVICES)
                for name in SERVICES:
                    program = ETC / folders[1] / name / "run"
                    self.assertTrue(os.access(program, os.X_OK))
                    subprocess.run(["/bin/sh", "-n", program], check=True)
                shutil.rmtree(ETC / folders[0])

    def test_another_init_system(self):
        self.assertIn("--supervise", self.post_install())

    def test_the_administrators_line_stays(self):
        (ETC / "fstab").write_text("# /dev/x /mnt/outgoing\n/dev/xvdh /mnt/incoming vfat noauto 0 0\n")
        self.post_install()
        fstab = (ETC / "fstab").read_text().splitlines()
        self.assertEqual([line.split()[1] for line in fstab[1:]], ["/mnt/incoming", "/mnt/outgoing"])

    def test_what_a_session_finds(self):
        # Below /etc where the prefix is /usr.
        autostart, = self.root.rglob("etc/xdg/autostart/qvm-incoming-notify.desktop")
        self.assertIn("Exec=qvm-incoming-notify\n", autostart.read_text())
        self.assertIn("ExecStart=/usr/bin/qvm-incoming-notify\n",
                      (self.prefix / "lib/systemd/user/qvm-incoming-notify.service").read_text())
        for program in ("qvm-incoming", "qvm-incoming-notify"):
            self.assertTrue(os.access(self.prefix / "bin" / program, os.X_OK))


if __name__ == "__main__":
    receiverbox.main()
