# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of DisposableVMs have in common: one box for a class, its save file made once, and an editor in the
template whose doings the tests choose by the name of the file."""
import inspect
import io
import re
import shlex
import unittest

import boxcase
import xenboxlib
from boxcase import BoxCase
from xenboxlib import archive

# What it does is the part of the name before the first dash. It goes on when /run/user-go/go appears.
EDITOR = r"""#!/bin/sh
# An editor for tests: what it does stands in the name of the file.
file=$1
name=${file##*/}
change() { printf 'edited\n' >>"$file"; }
await() { until [ -e /tmp/go ]; do sleep 0.2; done; }
case $name in
append-*) change ;;
empty-*) : >"$file" ;;
rename-*) { cat "$file"; printf 'edited\n'; } >"$file.new" && mv "$file.new" "$file" ;;
touch-*) touch "$file" ;;
wait-*) await; change ;;
fork-*) (setsid sh -c 'until [ -e /tmp/go ]; do sleep 0.2; done; printf "edited\n" >>"$1"' sh "$file" >/dev/null 2>&1 &) ;;
*) ;;
esac
printf '%s\n' "$$" >/tmp/edited
"""
CONFIG = "[open]\nprogram = /usr/lib/qubes/test-editor\n"
PREPARE_S = 900


SETTINGS = {"disposable": {"template": "/etc/xen/disposable.cfg"}}


class _Prepare(BoxCase):
    """The editor put into the template's initramfs, and the template booted and saved."""

    def __init__(self, box):
        super().__init__()
        self.box = box

    def runTest(self):
        layer = archive.Tree()
        layer.file("layer/usr/lib/qubes/test-editor", EDITOR.encode(), 0o755)
        layer.file("layer/etc/qubes-pendrive/dvm.conf", CONFIG.encode())
        out = io.BytesIO()
        layer.write_cpio(out)
        result = self.box.exec("dom0", ["sh", "-c", "cat >> /usr/lib/xenbox/vm.cpio"], input=out.getvalue())
        self.assertEqual(result.status, 0, result.stderr)
        self.configure(SETTINGS)
        self.dom0("qfilexchgctl dvm prepare", timeout=PREPARE_S)


PREPARED = xenboxlib.Preparation("DisposableVMs", EDITOR + CONFIG + inspect.getsource(_Prepare) + repr(SETTINGS),
                                 lambda box: _Prepare(box).runTest())


class DisposableCase(BoxCase):
    """All tests of a class in one box, one after the other; each must leave nothing."""

    settings = SETTINGS

    @classmethod
    def setUpClass(cls):
        cls.shared = xenboxlib.Box(boxcase.box_name())
        cls.shared.start(fresh=True, prepared=PREPARED)
        cls.addClassCleanup(cls.shared.stop)
        if cls.settings != SETTINGS:
            helper = cls("configure")
            helper.box = cls.shared
            helper.configure(cls.settings)

    def setUp(self):
        self.box = self.shared
        self.addCleanup(self._tell)

    # -- words for what is done there

    def open_in_dvm(self, vm, *words):
        """(status, text), when the transaction has ended."""
        return self.run_user(vm, "qvm-open-in-dvm", *words)

    def start_open(self, vm, *words):
        return self.start(vm, "qvm-open-in-dvm", *words, user="user")

    def write(self, vm, name, text):
        """A file of the VM's user with that content."""
        path = f"/home/user/{name}"
        result = self.box.exec(vm, boxcase.as_user("sh", "-c", 'cat > "$1"', "sh", path),
                               input=text.encode() if isinstance(text, str) else text)
        self.assertEqual(result.status, 0, result.stderr)
        return path

    def read(self, vm, path):
        result = self.box.exec(vm, ["cat", path])
        self.assertEqual(result.status, 0, result.stderr)
        return result.stdout

    def disposables(self):
        """The names of those that the daemon knows."""
        return re.findall(r"^(disp\d+) ", self.dom0("qfilexchgctl list"), re.M)

    def wait_open(self, number=1):
        """Waits until so many have a file open; their names."""
        self.wait_for("dom0", f"[ $(qfilexchgctl list | grep -c '^disp[0-9]* *open ') -ge {number} ]",
                      f"{number} DisposableVMs to be open")
        return re.findall(r"^(disp\d+) +open ", self.dom0("qfilexchgctl list"), re.M)

    def go(self, disposable):
        """Lets the editor there go on."""
        self.sh(disposable, "touch /tmp/go")

    def wait_no_disposables(self):
        self.wait_for("dom0", "! qfilexchgctl list | grep -q '^disp'", "the DisposableVMs to go")
        self.assertNotRegex(self.dom0("xl list"), r"(?m)^disp", "no DisposableVM is left")
        self.assertEqual(self.dom0("xenstore-ls /qfilexchgd/disposables"), "")

    def wait_nothing_left(self):
        self.wait_no_disposables()
        super().wait_nothing_left()

    def unchanged(self, vm, path):
        """A context in which the file must stay as it is, to the inode."""
        return _Unchanged(self, vm, path)


class _Unchanged:
    def __init__(self, case, vm, path):
        self.case, self.vm, self.path = case, vm, path

    def _look(self):
        return self.case.sh(self.vm, f"stat -c '%i %s %Y %a %U' {shlex.quote(self.path)}; sha256sum {shlex.quote(self.path)}")

    def __enter__(self):
        self.before = self._look()

    def __exit__(self, kind, *_):
        if kind is None:
            self.case.assertEqual(self._look(), self.before, "the original is as it was")


assert unittest  # for those who import it from here
