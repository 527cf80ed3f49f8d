#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Our services where systemd does not run: the real OpenRC and the real runit, from Debian's packages, run what post-install
gave them. This process has mounts of its own, and processes that end with it. Needs root.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

import storebox
from receivertest import ReceiverTest

TOP = storebox.HERE.parents[1]
SUPERVISOR = "/usr/lib/qubes/qubes_add_pendrive_script --supervise"
SERVICES = ("qubes-dvm-seed", "qubes-pendrive", "qubes-pendrive-version")
# What post-install finds; so no systemctl, which it would use.
COMMANDS = ("sh", "awk", "chgrp", "chmod", "cmp", "cp", "dirname", "getent", "groupadd", "ln", "mkdir",
            "mv", "readlink", "rm", "useradd", "usermod")
OPENRC_STATES = ("daemons", "exclusive", "failed", "hotplugged", "inactive", "options", "scheduled", "started", "starting",
                 "stopping", "tmp", "wasinactive")
INSIDE = "QFX_TEST_INSIDE"


def run(*argv, check=True, **options):
    """(status, what it said). Into a file, since a daemon that it starts may hold on to it."""
    with tempfile.TemporaryFile("w+") as said:
        status = subprocess.run([str(word) for word in argv], check=False, stdin=subprocess.DEVNULL, stdout=said,
                                stderr=subprocess.STDOUT, timeout=2 * storebox.DEADLINE_S, **options).returncode
        said.seek(0)
        text = said.read()
    if check and status:
        raise AssertionError(f"{argv}: status {status}: {text}")
    return status, text


def unpack(packages):
    """The packages' files in a folder, and never installed: an init system is not to be changed by a test."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "qfilexchgd", "store")
    target = cache / "-".join(packages)
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        status, text = run("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *packages, cwd=work,
                           check=False)
        if status:
            raise storebox.Skip(f"{' '.join(packages)} cannot be downloaded: {text}")
        root = pathlib.Path(work, "root")
        root.mkdir()
        for deb in pathlib.Path(work).glob("*.deb"):
            run("dpkg", "-x", deb, root)
        for name in ("bin", "lib", "sbin"):  # which are links to those in /usr on the system they are for
            if (root / name).exists():
                run("cp", "-a", root / name, root / "usr")
        root.rename(target)
    return target


class ServicesTest(ReceiverTest):
    packages = ()

    def setUp(self):
        super().setUp()
        self.root = unpack(self.packages)
        self.scratch = self.box.dir / "system"
        self.scratch.mkdir()
        self.make_usr()
        for folder in ("/mnt", "/run", "/var/lib", "/etc", "/dev"):
            self.fill(folder, {"/etc": self.make_etc, "/dev": self.make_dev}.get(folder))
        self.device = pathlib.Path("/dev/xvdh")
        commands = self.scratch / "bin"
        commands.mkdir()
        for name in (*COMMANDS, *self.commands):
            (commands / name).symlink_to(shutil.which(name))
        self.env = {"PATH": str(commands)}

    def mount(self, *words):
        run("mount", *words)
        self.addCleanup(run, "umount", "-l", words[-1])

    def make_usr(self):
        """This machine's, with our programs and the packages' in it."""
        ours = self.scratch / "ours"
        run("cmake", "--install", os.environ["QFX_BUILD"], "--component", "vm", "--prefix", "/usr",
            env=os.environ | {"DESTDIR": str(ours)})
        self.mount("-t", "overlay", "-o", f"lowerdir={ours}/usr:{self.root}/usr:/usr", "none", "/usr")

    def fill(self, folder, make):
        """An empty one in place of this machine's, once it has been made."""
        new = self.scratch / folder.replace("/", "-")
        new.mkdir()
        self.mount("-t", "tmpfs", "none", new)
        if make:
            make(new)
        self.mount("--bind", new, folder)

    def make_etc(self, etc):
        for name in ("ld.so.cache", "nsswitch.conf", "login.defs"):
            if os.path.exists(f"/etc/{name}"):
                shutil.copy(f"/etc/{name}", etc)
        shutil.copytree("/etc/alternatives", etc / "alternatives", symlinks=True)
        (etc / "passwd").write_text("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
        (etc / "group").write_text("root:x:0:\n")

    def make_dev(self, dev):
        for name, minor in (("null", 3), ("zero", 5), ("random", 8), ("urandom", 9)):
            os.mknod(dev / name, 0o20666, os.makedev(1, minor))
            (dev / name).chmod(0o666)
        (dev / "xen").mkdir()
        # libxenstore takes a socket in the device's place.
        (dev / "xen/xenbus").symlink_to(self.vm.socket_path)
        (dev / "fd").symlink_to("/proc/self/fd")
        self.log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.log.close)
        self.log.bind(str(dev / "log"))
        # One that nobody reads holds up whoever writes to it.
        threading.Thread(target=self.read_log, daemon=True).start()

    def read_log(self):
        with contextlib.suppress(OSError):  # closed at the end of the test
            while True:
                self.log.recv(4096)

    def post_install(self):
        run("/usr/share/qubes-pendrive/post-install", env=self.env)

    def wait_xenbus(self):
        """The group may talk to dom0."""
        storebox.until(lambda: self.vm.socket_path.stat().st_mode & 0o777 == 0o660, "the rights of xenbus")

    @staticmethod
    def supervisors():
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().decode().rstrip("\0").replace("\0", " ")
            except OSError:
                continue
            if words == SUPERVISOR:
                found.append(int(folder.name))
        return found

    def wait_supervisor(self, other_than=()):
        found = storebox.until(lambda: [pid for pid in self.supervisors() if pid not in other_than],
                               "the supervisor to run")
        self.assertEqual(len(found), 1)
        return found[0]

    def assert_serves(self):
        self.come()
        ident = self.take()
        self.device.unlink()
        self.answer(ident)

    def story(self, stop, start):
        """Enabled, it runs; killed, it runs again; stopped, it does not."""
        self.box.dom0.wait(f"{self.vm.path}/data/qpen-version", "2")
        pid = self.wait_supervisor()
        self.assert_serves()
        os.kill(pid, signal.SIGKILL)
        pid = self.wait_supervisor(other_than=(pid,))
        self.assert_serves()
        stop()
        self.assertEqual(self.supervisors(), [])
        # One that comes meanwhile waits.
        self.come()
        start()
        self.answer(self.take())
        stop()
        self.assertEqual(self.supervisors(), [])


class OpenRc(ServicesTest):
    packages = ("openrc", "librc1", "libeinfo1", "insserv")
    commands = ("openrc-run", "rc-service", "rc-update")

    def make_etc(self, etc):
        super().make_etc(etc)
        for path in ("runlevels", "rc.conf", "insserv.conf", "insserv", "insserv.conf.d"):
            if (self.root / "etc" / path).exists():
                run("cp", "-a", self.root / "etc" / path, etc)
        (etc / "init.d").mkdir()
        # What this system has mounted is mounted.
        (etc / "init.d/localmount").write_text("#!/sbin/openrc-run\nstart() { :; }\n")
        (etc / "init.d/localmount").chmod(0o755)

    def service(self, *words, status=0):
        got, text = run("rc-service", *words, check=False)
        self.assertEqual(got, status, text)
        return text

    def test_it(self):
        # As it is where OpenRC booted the system.
        for name in OPENRC_STATES:
            os.makedirs(f"/run/openrc/{name}")
        pathlib.Path("/run/openrc/softlevel").write_text("default\n")
        self.post_install()
        self.wait_xenbus()
        for name in SERVICES:
            self.assertTrue(os.path.exists(f"/etc/runlevels/default/{name}"), name)
        self.story(stop=lambda: self.service("qubes-pendrive", "stop"),
                   start=lambda: self.service("qubes-pendrive", "start"))
        self.assertIn("stopped", self.service("qubes-pendrive", "status", status=3))
        self.assertIn("started", self.service("qubes-pendrive-version", "status"))
        # This is no DisposableVM: the program has ended, and that is no failure.
        self.assertIn("started", self.service("qubes-dvm-seed", "status"))
        self.service("qubes-dvm-seed", "stop")


class Runit(ServicesTest):
    packages = ("runit",)
    commands = ("runsv",)

    def make_etc(self, etc):
        super().make_etc(etc)
        for name in ("runit", "sv", "service"):
            run("cp", "-a", self.root / "etc" / name, etc)
        # As runsvchdir does at the boot.
        (etc / "runit/runsvdir/current").symlink_to("default")

    def sv(self, verb, name="qubes-pendrive", status=0):
        got, text = run("sv", "-w", int(storebox.DEADLINE_S), verb, name, check=False)
        self.assertEqual(got, status, text)
        return text

    def test_it(self):
        self.post_install()
        for name in SERVICES:
            self.assertTrue(os.path.exists(f"/etc/service/{name}/run"), name)
        # As runit does where it booted the system.
        scanner = subprocess.Popen(["runsvdir", "-P", "/etc/service"])
        self.addCleanup(scanner.wait)
        self.addCleanup(scanner.send_signal, signal.SIGHUP)
        self.wait_xenbus()
        self.story(stop=lambda: self.sv("down"), start=lambda: self.sv("up"))
        self.assertIn("down: qubes-pendrive: ", self.sv("status"))
        self.assertIn("run: qubes-pendrive-version: ", self.sv("status", "qubes-pendrive-version"))
        # This is no DisposableVM: it ended, and is not begun again.
        storebox.until(lambda: self.sv("status", "qubes-dvm-seed").startswith("down: "), "the seed's service to end")


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("no root, who alone may mount", file=sys.stderr)
        sys.exit(77)
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        # The shell is there to reap what daemons leave behind.
        os.execvp("unshare", ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--",
                              "sh", "-c", '"$@"; exit $?', "sh", sys.executable, *sys.argv])
    storebox.main()
