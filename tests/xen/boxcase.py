# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests in the Xen box have in common: a fresh box per test, and words for what they do there.

Conditions are waited for, never slept for; every wait has a generous deadline, since the box is an
emulation and the machine may be busy.
"""
import contextlib
import os
import pathlib
import shlex
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "xenbox"))

import xenboxlib  # noqa: E402 (found by the line above)

WAIT_S = 300
COPY_S = 600
PENCTL = "/usr/lib/qubes/qubes_penctl"
IMAGES = "/var/lib/qfilexchgd"
OUTGOING, INCOMING = 51808, 51824


class Failed(AssertionError):
    pass


def box_name():
    """Whose turn it is to be the test's box: XENBOX, and which of ctest's boxes it gave this test."""
    name = os.environ.get("XENBOX", "xentest")
    given = dict(part.split(":") for part in os.environ.get("CTEST_RESOURCE_GROUP_0_BOXES", "").split(",") if part)
    return f"{name}-{given['id']}" if given else name


def as_user(*argv, user="user"):
    """argv with the rights of that user. runuser would open a session for it, which takes half a second here."""
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "env", f"HOME=/home/{user}", f"USER={user}",
            f"LOGNAME={user}", *argv]


class BoxCase(unittest.TestCase):
    """Each test gets a box just restored from the snapshot: daemon running, no agent."""

    # Settings of qfilexchgd.conf for this class; None: as it is shipped.
    config = None
    # Whether the box is started without our software.
    bare = False

    def setUp(self):
        self.box = xenboxlib.Box(box_name())
        self.box.start(fresh=True, bare=self.bare)
        self.addCleanup(self.box.stop)
        self.addCleanup(self._tell)
        if self.config:
            self.configure(self.config)

    def _tell(self):
        """On failure: what the daemon said."""
        result = self._outcome.result
        failed = any(error for _, error in getattr(self._outcome, "errors", [])) or \
            any(test is self for test, _ in result.failures + result.errors)
        if not failed:
            return
        with contextlib.suppress(Exception):
            print(f"--- the daemon's log, {self.id()}", file=sys.stderr)
            print(self.dom0("journalctl -u qfilexchgd --no-pager -o cat | tail -n 60; "
                            "xenstore-ls /qfilexchgd; losetup -a; ls -la " + IMAGES, check=False), file=sys.stderr)

    # -- running things

    def sh(self, domain, script, user=None, check=True, timeout=COPY_S):
        """A shell script in a domain; its stdout. As root, or as `user`."""
        argv = ["sh", "-c", script]
        if user:
            argv = as_user(*argv, user=user)
        result = self.box.exec(domain, argv, timeout=timeout)
        if check and result.status != 0:
            raise Failed(f"{domain}: {script}\nstatus {result.status}\n{result.stdout.decode(errors='replace')}"
                         f"{result.stderr.decode(errors='replace')}")
        return result.stdout.decode(errors="replace").strip()

    def dom0(self, script, **kwargs):
        return self.sh("dom0", script, **kwargs)

    def user(self, vm, script, **kwargs):
        """As the VM's ordinary user."""
        return self.sh(vm, "cd ~; " + script, user="user", **kwargs)

    def run_user(self, vm, *argv, timeout=COPY_S):
        """A command of the VM's ordinary user: (status, stdout and stderr together)."""
        result = self.box.exec(vm, as_user(*argv), timeout=timeout)
        return result.status, (result.stdout + result.stderr).decode(errors="replace")

    def penctl(self, vm, *words):
        return self.run_user(vm, PENCTL, *words)

    def penctl_ok(self, vm, *words):
        status, text = self.penctl(vm, *words)
        self.assertEqual(status, 0, f"{vm}: qubes_penctl {words}: {text}")
        return text

    def start(self, domain, *argv, user=None):
        """A command in the background; killed at the end of the test."""
        if user:
            argv = as_user(*argv, user=user)
        process = self.box.popen(domain, list(argv))

        def end():
            with contextlib.suppress(Exception):
                if process.poll() is None:
                    process.kill()
                process.wait(30)

        self.addCleanup(end)
        return process

    def start_penctl(self, vm, *words):
        return self.start(vm, PENCTL, *words, user="user")

    def finish(self, process, timeout=COPY_S):
        """Waits for a background command: (status, stdout and stderr together)."""
        out, err = process.communicate(timeout=timeout)
        return process.wait(timeout), (out + err).decode(errors="replace")

    def wait_for(self, domain, condition, what=None, timeout=WAIT_S):
        """Waits until a shell condition holds in a domain."""
        # The first looks follow soon; then looking must not take the time of what is waited for.
        script = (f"for s in 0.1 0.2 0.4; do if {condition}; then exit; fi; sleep $s; done; "
                  f"until {condition}; do sleep 0.8; done")
        try:
            self.sh(domain, script, timeout=timeout)
        except xenboxlib.BoxError as error:
            raise Failed(f"{domain}: waited {timeout} s in vain for {what or condition}") from error

    # -- the daemon and its user

    def configure(self, settings):
        """settings: {"group": {"key": "value"}}; the daemon is restarted with it."""
        text = "".join(f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
                       for group, keys in settings.items())
        self.dom0(f"printf %s {shlex.quote(text)} > /etc/qfilexchgd/qfilexchgd.conf; systemctl restart qfilexchgd")

    def agent(self, answer="--yes"):
        """An agent that answers by itself. Returns when the daemon knows it."""
        process = self.start("dom0", "qfilexchgctl", "agent", answer)
        line = process.stdout.readline()
        self.assertEqual(line, b"Waiting for questions.\n")
        return process

    def transfers(self):
        return self.dom0("qfilexchgctl list")

    def state_of(self, number):
        return self.dom0(f"qfilexchgctl show {number} | sed -n 's/^state: //p'")

    def wait_state(self, number, state):
        self.wait_for("dom0", f"qfilexchgctl show {number} 2>/dev/null | grep -qx 'state: {state}'",
                      f"transfer {number} to be {state}")

    def make_2010(self, vm):
        """The VM has the tools of 2010: they say no version, and their rule did not know us."""
        self.sh(vm, "systemctl stop qubes-pendrive-version; xenstore-rm data/qpen-version; "
                    "rm /usr/lib/udev/rules.d/55-qubes-pendrive.rules; udevadm control --reload")

    def domid(self, vm):
        return int(self.dom0(f"xl domid {vm}"))

    # -- what must hold

    def assert_alive(self):
        self.assertEqual(self.dom0("systemctl is-active qfilexchgd", check=False), "active")

    # What must not be there, as shell conditions. The save file of DisposableVMs is no image, and is meant to stay.
    LEFT = {
        "a transfer": "! qfilexchgctl list | grep -q '^No pendrive'",
        "an image": f"ls {IMAGES} | grep -qvxE 'lost[+]found|disposable[.]save([.]info)?'",
        "a loop device": "losetup -a | grep -q '[.]pendrive'",
    }

    def wait_nothing_left(self):
        """No transfer, image, loop device, record or node of ours, in dom0 or below any VM."""
        # One script: each command in the box takes its time.
        self.wait_for("dom0", " && ".join(f"! {{ {there}; }}" for there in self.LEFT.values()),
                      f"there to be none of {', '.join(self.LEFT)}")
        nodes = self.dom0("xenstore-ls /qfilexchgd/transfers; domains=$(xenstore-list /local/domain); "
                          "xenstore-ls -f /local/domain/0/backend/vbd $(printf '/local/domain/%%s/device/vbd ' $domains) "
                          "$(printf '/libxl/%%s/device/vbd ' $domains) 2>&1 | grep -E '/(%d|%d)(/| =)' || true" % (OUTGOING, INCOMING))
        self.assertEqual(nodes, "")

    def assert_serves(self, vm="personal"):
        """The daemon still serves a VM: it lends it a pendrive, and takes it back."""
        self.assert_alive()
        self.penctl_ok(vm, "new")
        number = self.dom0("qfilexchgctl list | awk '$2 == \"lent\" && $3 == \"%s\" { print $1 }'" % vm)
        self.dom0(f"qfilexchgctl cancel {number}")
        self.wait_for(vm, "! [ -e /dev/xvdg ]")

    # -- files

    # Few processes: each costs a tenth of a second here; and few random bytes, which cost as much. A prime number of
    # them, over and over, is cut into files of another length: no two are the same. Seven folders of files, named as
    # people name them.
    TREE = r"""
        set -e; rm -rf "$1"; mkdir -p "$1/empty folder"; cd "$1"
        head -c 1048573 /dev/urandom > /tmp/tree-bytes
        while :; do cat /tmp/tree-bytes /tmp/tree-bytes /tmp/tree-bytes /tmp/tree-bytes || exit; done 2>/dev/null | {
            while IFS= read -r name <&3; do
                mkdir "./folder $name"
                head -c $(($2 * $3)) | split -b $3 -a 3 -d --additional-suffix=" $name" - "./folder $name/"
            done 3<<'N'
plain
with spaces  twice
Größe äöü ÄÖÜ ß
文件夹 中文名字
-leading dash
quote ' dollar $HOME
.hidden
N
        }
        rm /tmp/tree-bytes
        : > "./empty file"
    """
    TREE_FOLDERS = 7

    def make_tree(self, vm, folder, files, mib):
        """A tree of at least that many files and about that many MiB, with names as people have them."""
        in_each = -(-files // self.TREE_FOLDERS)
        size = mib * (1 << 20) // (in_each * self.TREE_FOLDERS)
        argv = as_user("sh", "-c", self.TREE, "sh", f"/home/user/{folder}", str(in_each), str(size))
        result = self.box.exec(vm, argv, timeout=COPY_S)
        self.assertEqual(result.status, 0, result.stderr)

    def sums(self, vm, folder):
        """SHA-256 of every file below a folder, and the folders' names, in order."""
        return self.user(vm, f"cd {shlex.quote(folder)} && find . -type f -exec sha256sum {{}} + | LC_ALL=C sort -k2"
                             " && find . -type d | LC_ALL=C sort")

    def wait_incoming(self, vm):
        self.wait_for(vm, "grep -q ' /mnt/incoming ' /proc/mounts", "the pendrive to be mounted")

    def unmount_incoming(self, vm):
        self.user(vm, "umount /mnt/incoming")
        self.wait_for(vm, "! [ -e /dev/xvdh ]", "the pendrive to go")


@contextlib.contextmanager
def timed(what):
    began = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began:.1f} s", file=sys.stderr)
