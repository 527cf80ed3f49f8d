#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The extension of Nautilus and Caja, with the classes that these give to extensions.

Each is loaded in a process of its own: the two cannot be in one. test_file_managers has it in a real Caja.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(os.environ.get("QFX_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build/dev"))
HERE = pathlib.Path(__file__).resolve().parent
VERSIONS = {"Nautilus": "4.0", "Caja": "2.0"}
MISSING = 77

# Plays the file manager: host, version, the extension, what to select, which entry to activate.
HOST = r"""
import importlib.util, json, sys
import gi
host, version, path, selected, chosen = json.loads(sys.argv[1])
try:
    gi.require_version(host, version)
except ValueError:
    sys.exit(77)
module = importlib.import_module("gi.repository." + host)
from gi.repository import Gio, GLib

class File:
    def __init__(self, uri, folder):
        self.uri, self.folder = uri, folder
    def get_uri_scheme(self):
        return self.uri.split(":")[0]
    def get_location(self):
        return Gio.File.new_for_uri(self.uri)
    def is_directory(self):
        return self.folder

spec = importlib.util.spec_from_file_location("qvm_menu", path)
extension = importlib.util.module_from_spec(spec)
spec.loader.exec_module(extension)
provider = extension.QvmMenu()
assert isinstance(provider, getattr(module, "MenuProvider"))
files = [File(*s) for s in selected]
new, old = provider.get_file_items(files), provider.get_file_items(None, files)
assert [i.props.label for i in new] == [i.props.label for i in old]
assert all(isinstance(item, getattr(module, "MenuItem")) for item in new)
assert provider.get_background_items(files) == [] == provider.get_background_items(None, files)
for item in new:
    if item.props.label == chosen:
        item.emit("activate")
print(json.dumps([[i.props.name, i.props.label] for i in new]))
"""

RECORD = """#!/usr/bin/python3
import json, os, sys
line = json.dumps([os.path.basename(sys.argv[0])] + [os.fsencode(w).decode("latin-1") for w in sys.argv[1:]])
with open(os.environ["QFX_FIFO"], "w") as fifo:
    fifo.write(line + "\\n")
"""


def uri(name):
    import urllib.parse
    return "file:///home/user/" + urllib.parse.quote(name, encoding="latin-1")


class Extension:
    host = ""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="qfx-menu-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.fifo = self.folder / "fifo"
        os.mkfifo(self.fifo)
        for name in ("qvm-copy-to-vm", "qvm-move-to-vm", "qvm-open-in-dvm"):
            (self.folder / name).write_text(RECORD, encoding="ascii")
            (self.folder / name).chmod(0o755)

    def select(self, *selected, chosen="", path=None):
        """The labels for these files (URI, whether it is a folder)."""
        words = [self.host, VERSIONS[self.host], str(BUILD / "vm/menus" / self.host.lower() / "qvm_menu.py"),
                 [list(s) for s in selected], chosen]
        done = subprocess.run([sys.executable, "-c", HOST, json.dumps(words)], capture_output=True, text=True, check=False,
                              env=os.environ | {"PATH": path or f"{self.folder}:{os.environ['PATH']}",
                                                "QFX_FIFO": str(self.fifo), "PYTHONDONTWRITEBYTECODE": "1",
                                                "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent"})
        if done.returncode == MISSING:
            self.skipTest(f"{self.host}'s library is not installed")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.output = done.stdout + done.stderr
        entries = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual(len({name for name, _ in entries}), len(entries))
        return [label for _, label in entries]

    ALL = ["Copy to other VM...", "Move to other VM...", "Edit in DisposableVM", "View in DisposableVM"]

    def test_files(self):
        self.assertEqual(self.select((uri("a"), False)), self.ALL)
        self.assertEqual(self.select((uri("a"), False), (uri("b"), False)), self.ALL)

    def test_folders_go_into_no_disposable_vm(self):
        self.assertEqual(self.select((uri("a"), False), (uri("b"), True)), self.ALL[:2])

    def test_only_files_of_this_vm(self):
        self.assertEqual(self.select(), [])
        self.assertEqual(self.select(("trash:///a", False)), [])
        self.assertEqual(self.select((uri("a"), False), ("sftp://host/a", False)), [])

    def started(self, label, *names):
        """What is started for them; read while it happens."""
        # For writing as well, so that opening it waits for nobody.
        with open(os.open(self.fifo, os.O_RDWR), "rb", buffering=0) as fifo:
            self.assertIn(label, self.select(*((uri(name), False) for name in names), chosen=label))
            return json.loads(fifo.readline())

    def test_what_is_started(self):
        names = ("-dash", "it's \"q\" %f $(x)", "two\nlines", "Gr\xfc\xdfe")
        paths = [f"/home/user/{name}" for name in names]
        for label, command in zip(self.ALL, (["qvm-copy-to-vm", "--gui"], ["qvm-move-to-vm", "--gui"],
                                             ["qvm-open-in-dvm", "--gui"],
                                             ["qvm-open-in-dvm", "--gui", "--view-only"])):
            self.assertEqual(self.started(label, *names), [*command, "--", *paths])

    def test_a_program_that_is_missing_is_told(self):
        self.select((uri("a"), False), chosen=self.ALL[0], path="/nonexistent")
        self.assertIn("qvm-copy-to-vm cannot be run for 1 selected files", self.output)


class Nautilus(Extension, unittest.TestCase):
    host = "Nautilus"


class Caja(Extension, unittest.TestCase):
    host = "Caja"


if __name__ == "__main__":
    unittest.main(verbosity=2)
