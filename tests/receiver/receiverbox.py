# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM's mounts without a VM: a mount namespace of this process's own, with /mnt/incoming in it.

A tmpfs plays the pendrive's file system: it can hold what a hostile one can, and more. What only a
real pendrive shows (vfat, the setuid umount, the unit) is tested in the Xen box.
"""
import ctypes
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("QFX_BUILD", TOP / "build/dev"))
QVM_INCOMING = BUILD / "vm/qvm-incoming"
INCOMING = pathlib.Path("/mnt/incoming")
DEADLINE_S = float(os.environ.get("QFX_DEADLINE", "120"))

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000


def run(*argv, check=True, **options):
    done = subprocess.run([str(a) for a in argv], text=True, capture_output=True, check=False,
                          stdin=subprocess.DEVNULL, timeout=DEADLINE_S, **options)
    if check and done.returncode:
        raise AssertionError(f"{argv}: status {done.returncode}: {done.stderr}")
    return done


def enter_namespace():
    """This process, and what it starts, mounts for itself from now on. Once, before any thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.geteuid(), os.getegid()
    # root may have been denied it as well, e.g. in a container.
    if libc.unshare(_CLONE_NEWNS):
        if libc.unshare(_CLONE_NEWNS | _CLONE_NEWUSER):
            raise OSError(ctypes.get_errno(), "no mount namespace")
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            pathlib.Path("/proc/self", name).write_text(text, encoding="ascii")
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "tmpfs", "none", "/mnt")
    INCOMING.mkdir()


class Vm:
    """One for a test program."""

    def __init__(self):
        enter_namespace()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="qfx-receiver-"))
        self.note = self.folder / "note"
        self.env = os.environ | {"QPEN_NOTE": str(self.note), "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def close(self):
        while self.is_mounted():
            run("umount", "-l", INCOMING)
        shutil.rmtree(self.folder, ignore_errors=True)

    def mount(self, source="work", since=1_000_000_000, size="16m", note=True):
        """The pendrive comes; the note about it first, as the unit does it."""
        # Its number is known only when it is mounted, so it is mounted elsewhere before.
        place = self.folder / "place"
        place.mkdir(exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", f"size={size}", "/dev/loop99", place)
        device = place.stat().st_dev
        if note:
            self.note.write_text(f"[pendrive]\ndevice={os.major(device)}:{os.minor(device)}\n"
                                 f"source={source}\nsince={since}\n", encoding="utf-8")
        run("mount", "--bind", place, INCOMING)
        run("umount", place)

    @staticmethod
    def is_mounted():
        return f" {INCOMING} " in pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8")

    def incoming(self, *words, **options):
        return run(QVM_INCOMING, *words, check=False, env=self.env, **options)


class ReceiverTest(unittest.TestCase):
    vm = None

    @classmethod
    def setUpClass(cls):
        if not ReceiverTest.vm:
            ReceiverTest.vm = Vm()
            unittest.addModuleCleanup(ReceiverTest.vm.close)

    def setUp(self):
        self.addCleanup(self.leave)

    def leave(self):
        while self.vm.is_mounted():
            run("umount", "-l", INCOMING)
        self.vm.note.unlink(missing_ok=True)

    def until(self, condition, what):
        end = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"waited {DEADLINE_S} s in vain for {what}")
            time.sleep(0.02)


def main():
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
