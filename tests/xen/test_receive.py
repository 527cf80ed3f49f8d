# SPDX-License-Identifier: GPL-2.0-or-later
"""The receiver's side of a pendrive, as its ordinary user sees it, with systemd and without."""
import shlex
import unittest

from boxcase import WAIT_S, BoxCase

SCRIPT = "/usr/lib/qubes/qubes_add_pendrive_script"
UNIT = "qubes-pendrive@xvdh.service"


class Session:
    """A shell of the VM's user in a session with a bus, and so with GVfs."""

    END = "--end--"

    def __init__(self, process):
        self.process = process

    def run(self, script):
        """(status, stdout and stderr)"""
        self.process.stdin.write(f"{{ {script}\n}} 2>&1; echo {self.END} $?\n".encode())
        self.process.stdin.flush()
        text = ""
        while True:
            line = self.process.stdout.readline().decode()
            if not line:
                raise AssertionError(f"{script}: the session ended: {text}")
            if line.startswith(self.END):
                return int(line.split()[1]), text
            text += line


class Receive(BoxCase):
    def setUp(self):
        super().setUp()
        self.agent()

    def send(self):
        """A pendrive with a tree on it stands at /mnt/incoming of personal."""
        self.penctl_ok("work", "new")
        self.user("work", "mount /mnt/outgoing && cp -r ~/tree /mnt/outgoing && umount /mnt/outgoing")
        self.penctl_ok("work", "send", "personal")
        self.wait_incoming("personal")

    def incoming(self, *words, status=0):
        got, text = self.run_user("personal", "qvm-incoming", *words)
        self.assertEqual(got, status, text)
        return text

    def wait_gone(self):
        self.wait_for("personal", "! [ -e /dev/xvdh ]", "the pendrive to go")
        self.incoming(status=4)

    def hold(self):
        """A process of the user stands in the pendrive; it and its pid."""
        process = self.start("personal", "sh", "-c", "cd /mnt/incoming && echo $$ && exec sleep 3600", user="user")
        return process, process.stdout.readline().decode().strip()

    def assert_busy_then_done(self):
        holder, pid = self.hold()
        text = self.incoming("--done", status=4)
        self.assertIn(f"in use by process {pid} (s", text)  # sh, or sleep by now
        self.incoming()
        self.user("personal", f"kill {pid}")
        self.finish(holder, WAIT_S)
        self.incoming("--done")
        self.wait_gone()

    def assert_mounted_safely(self):
        options = self.sh("personal", "grep ' /mnt/incoming ' /proc/self/mounts").split()[3].split(",")
        for option in ("ro", "nosuid", "nodev", "noexec", "uid=1000", "gid=1000"):
            self.assertIn(option, options)

    def test_with_systemd(self):
        self.make_tree("work", "tree", 20, 2)
        want = self.sums("work", "tree")
        self.incoming(status=4)

        self.send()
        self.assertIn("A pendrive from work is at /mnt/incoming since 2", self.incoming())
        self.assert_mounted_safely()
        self.assert_busy_then_done()

        self.send()
        text = self.incoming("--take", "/home/user/taken")
        self.assertIn("files from work", text)
        self.wait_gone()
        self.assertEqual(self.sums("personal", "taken/tree"), want)

        # What is there already stays, and so does the pendrive.
        self.send()
        text = self.incoming("--take", "/home/user/taken", status=6)
        self.assertIn("tree: something of that name is in /home/user/taken already", text)
        # Its user never unmounts it; dom0 takes it back, though somebody uses it.
        holder, pid = self.hold()
        number = self.dom0("qfilexchgctl list | awk '$2 == \"delivered\" { print $1 }'")
        self.dom0(f"qfilexchgctl cancel {number}")
        self.wait_gone()
        self.wait_for("personal", f"journalctl -u {UNIT} | grep -q 'pulled the pendrive while it was mounted'")
        self.sh("personal", "! grep -q ' /mnt/incoming ' /proc/mounts; ! [ -e /run/qubes-incoming ]")
        self.user("personal", f"kill {pid}")
        self.finish(holder, WAIT_S)
        self.assertEqual(self.sums("personal", "taken/tree"), want)
        self.wait_nothing_left()

    def start_session(self):
        # As a desktop's boot does; what D-Bus starts itself has 25 s for it.
        self.sh("personal", "systemctl start udisks2")
        process = self.start("personal", "env", "XDG_RUNTIME_DIR=/home/user/.runtime", "LC_ALL=C.UTF-8",
                             "dbus-run-session", "--", "sh", user="user")
        session = Session(process)
        session.run("mkdir -p -m 700 $XDG_RUNTIME_DIR; cd ~")
        return session

    def wait_shown(self, session, line):
        status, text = session.run(f"for i in $(seq {WAIT_S}); do gio mount -l | grep -qF {shlex.quote(line)} && break;"
                                   " sleep 1; done; gio mount -l")
        self.assertIn(line, text)

    def test_a_file_manager(self):
        """The volume tells the sender, and its user unmounts it: by the real udev, udisks and GVfs, which ran before."""
        shown = "Mount(0): Pendrive from work -> file:///mnt/incoming"
        self.make_tree("work", "tree", 5, 1)
        session = self.start_session()
        self.assertNotIn("Mount", session.run("gio mount -l")[1])
        self.send()
        self.wait_shown(session, shown)

        # Not while somebody uses it
        holder, pid = self.hold()
        status, text = session.run("gio mount -u /mnt/incoming </dev/null")
        self.assertNotEqual(status, 0)
        self.assertIn("preventing the unmount", text)
        self.incoming()
        self.user("personal", f"kill {pid}")
        self.finish(holder, WAIT_S)
        self.assertEqual(session.run("gio mount -u /mnt/incoming"), (0, ""))
        self.wait_gone()

        self.wait_nothing_left()

    def start_supervisor(self):
        """It, and its pid."""
        process = self.start("personal", "sh", "-c", f"echo $$; exec {SCRIPT} --supervise")
        pid = process.stdout.readline().decode().strip()
        self.assertIn("waiting for pendrives", process.stderr.readline().decode())
        return process, pid

    def test_with_the_supervisor(self):
        """As OpenRC and runit run it."""
        self.sh("personal", f"systemctl mask --now {UNIT}")
        self.make_tree("work", "tree", 5, 1)
        supervisor, pid = self.start_supervisor()
        self.send()
        self.assertIn("A pendrive from work is at", self.incoming())
        self.assert_mounted_safely()
        self.incoming("--done")
        self.wait_gone()

        # It is killed while a pendrive is there: that stays, and the next one takes care of it.
        self.send()
        self.sh("personal", f"kill -9 {pid}")
        self.finish(supervisor, WAIT_S)
        self.assertIn("A pendrive from work is at", self.incoming())
        supervisor, pid = self.start_supervisor()
        self.assertIn("mounted already", supervisor.stderr.readline().decode())
        self.user("personal", "umount /mnt/incoming")
        self.wait_gone()

        # It is told to end: the pendrive goes back.
        self.send()
        self.sh("personal", f"kill {pid}")
        status, text = self.finish(supervisor, WAIT_S)
        self.assertEqual(status, 0, text)
        self.wait_gone()
        self.wait_nothing_left()


if __name__ == "__main__":
    unittest.main()
