#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The entries in the menus of file managers that are really run, and what is started by them."""
import shutil
import subprocess
import unittest

import desktopbox
from desktopbox import Atspi, agentbox, is_in
from gi.repository import GLib

MENUS = agentbox.TOP / "vm/menus"
COPY, MOVE = "Copy to other VM...", "Move to other VM..."
EDIT, VIEW = "Edit in DisposableVM", "View in DisposableVM"
COMMANDS = {COPY: ["qvm-copy-to-vm", "--gui", "--"], MOVE: ["qvm-move-to-vm", "--gui", "--"],
            EDIT: ["qvm-open-in-dvm", "--gui", "--"], VIEW: ["qvm-open-in-dvm", "--gui", "--view-only", "--"]}
# What a shell, a command line, a field code and a line-wise reader would each stumble over.
NAMES = ("-dash 'n\" %f $(x) `y` \\", "two\nlines")


def until(condition, what):
    """What is looked at may go while it is looked at; then it is looked at again."""
    def attempt():
        try:
            return condition()
        except GLib.Error:
            return None
    return agentbox.until(attempt, what)


class FileManager:
    """One of them, in a folder with `names`; a name with a / at its end is a folder."""

    program = ""
    options = []
    shown = "SHOWING"   # the state of what is on the screen
    application = None  # what screen readers know it by; None: the program's name
    names = NAMES

    @classmethod
    def setUpClass(cls):
        if not shutil.which(cls.program):
            raise unittest.SkipTest(f"{cls.program} is not installed")
        super().setUpClass()

    def setUp(self):
        super().setUp()
        self.fake("qvm-copy-to-vm", "qvm-move-to-vm", "qvm-open-in-dvm")
        self.place = self.folder / "place"
        self.place.mkdir()
        for name in self.names:
            if name.endswith("/"):
                (self.place / name).mkdir()
            else:
                (self.place / name).write_text("x", encoding="ascii")
        self.env |= {"XDG_CONFIG_HOME": str(self.folder / "config"), "QT_LINUX_ACCESSIBILITY_ALWAYS_ON": "1"}
        self.install()
        self.addCleanup(self.end_fakes)
        process = self.desktop.start(self.program, *self.options, self.place, log="agent", env=self.env)
        self.addCleanup(self.end, process)
        window = until(lambda: self.desktop.xdotool("search", "--onlyvisible", "--name", "^place", check=False),
                       "its window")
        self.focus(window.splitlines()[0])

    def install(self):
        """Puts what is tested where the program looks for it."""

    @staticmethod
    def end(process):
        """Whatever it is doing; it is not what is tested."""
        process.kill()
        process.wait()

    def data(self, path):
        folder = self.folder / "data" / path
        folder.mkdir(parents=True)
        return folder

    def nodes(self):
        """All that the program shows, and its menus."""
        desktop = Atspi.get_desktop(0)
        desktop.clear_cache()
        applications = [desktop.get_child_at_index(i) for i in range(desktop.get_child_count())]
        return [node for application in applications if application and application.get_name() == (self.application or self.program)
                for node in agentbox.Shown(application).nodes()]

    def named(self, name):
        return [node for node in self.nodes() if node.get_name() == name]

    def select_all(self):
        self.wait_files()
        self.key("ctrl+a")
        self.wait_selected()

    def paths(self):
        return sorted(str(self.place / name).rstrip("/") for name in self.names)

    def assert_starts(self, entry):
        """What is chosen is started once, with the files as its last arguments."""
        command = COMMANDS[entry]
        started = self.wait_started()
        self.assertEqual(started[:len(command)], command)
        self.assertEqual(sorted(started[len(command):]), self.paths())
        self.assertEqual(len(self.started()), 1)

    # In GTK's, menus are nodes of the application.

    def wait_files(self):
        until(lambda: all(self.named(name.rstrip("/")) for name in self.names), "the files")

    def wait_selected(self):
        """Nothing is selected before, and all at once."""
        until(lambda: any(n.get_role_name() == "status bar" and " selected" in n.get_name() for n in self.nodes()),
              "the selection")

    def wait_item(self, name):
        return until(lambda: next((n for n in self.named(name) if is_in(n, self.shown)), None), f"{name} in the menu")

    def assert_entries(self, *entries):
        """These of ours, and no others: a menu is built as a whole before it is shown."""
        found = until(lambda: {node.get_name() for node in self.nodes() if is_in(node, self.shown)}, "the menu")
        self.assertEqual([name for name in COMMANDS if name in found], list(entries))


class Thunar(FileManager):
    """In its menu "Send To", which is the one that packages can add to."""
    program = "thunar"

    def install(self):
        for file in (MENUS / "thunar").iterdir():
            shutil.copy(file, self.data_folder())

    def data_folder(self):
        folder = self.folder / "data/Thunar/sendto"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    # Its icons are unknown to screen readers; its status bar tells of them.

    def status(self, begin):
        until(lambda: any(n.get_role_name() == "status bar" and n.get_name().startswith(begin)
                          for n in self.nodes()), f"the status {begin}")

    def wait_files(self):
        self.status("2 files")

    def wait_selected(self):
        self.status("Selection: 2 files")

    def open_menu(self):
        self.select_all()
        self.key("shift+F10")
        self.click(self.wait_item("Send To"))
        self.wait_item(COPY)


class Caja(FileManager):
    program = "caja"
    options = ["--no-desktop"]

    def install(self):
        shutil.copy(agentbox.BUILD / "vm/menus/caja/qvm_menu.py", self.data("caja-python/extensions"))

    def open_menu(self):
        self.select_all()
        self.key("shift+F10")
        self.wait_item(COPY)


class Nautilus(FileManager):
    """GTK 4 does not say where on the screen things are: its menu is walked through by keys."""
    program = "nautilus"
    shown = "VISIBLE"
    application = "org.gnome.Nautilus"

    def install(self):
        shutil.copy(agentbox.BUILD / "vm/menus/nautilus/qvm_menu.py", self.data("nautilus-python/extensions"))
        self.env["GSK_RENDERER"] = "cairo"  # there is no OpenGL

    def cells(self):
        return [node for node in self.nodes() if node.get_role_name() == "table cell" and is_in(node, "SELECTABLE")]

    def wait_selected(self):
        until(lambda: self.cells() and all(is_in(cell, "SELECTED") for cell in self.cells()), "the selection")

    def open_menu(self):
        self.wait_files()
        # Into the empty part, or the keys are for the side bar.
        window = self.desktop.xdotool("getactivewindow")
        size = dict(line.split("=") for line in
                    self.desktop.xdotool("getwindowgeometry", "--shell", window).splitlines())
        self.desktop.xdotool("mousemove", "--window", window, int(size["WIDTH"]) - 150, int(size["HEIGHT"]) - 50,
                             "click", 1)
        self.key("ctrl+a")
        self.wait_selected()
        self.key("shift+F10")
        self.wait_item(COPY)

    def click(self, node):
        name = node.get_name()

        def focused():
            return [n.get_name() for n in self.nodes() if n.get_role_name() == "menu item" and is_in(n, "FOCUSED")]

        for _ in self.nodes():
            before = focused()
            if before == [name]:
                self.key("Return")
                return
            self.key("Down")
            until(lambda: focused() not in (before, []), "the focus to move")  # noqa: B023
        self.fail(f"no key comes to {name}")


class PcmanfmQt(FileManager):
    """Its menus are no children of anything; they are heard of when they open."""
    program = "pcmanfm-qt"

    def install(self):
        folder = self.data("file-manager/actions")
        for file in (MENUS / "actions").iterdir():
            shutil.copy(file, folder)
        self.menu = None
        self.listener = Atspi.EventListener.new(self.on_showing)
        self.listener.register("object:state-changed:showing")
        self.addCleanup(self.listener.deregister, "object:state-changed:showing")

    def on_showing(self, event):
        if event.detail1 and event.source.get_role_name() == "popup menu":
            self.menu = event.source

    def wait_files(self):
        until(lambda: all(any(n.get_role_name() == "list item" for n in self.named(name.rstrip("/")))
                          for name in self.names), "the files")

    def wait_selected(self):
        until(lambda: any(n.get_name().startswith(f"{len(self.names)} item(s) selected") or
                          n.get_name().startswith('"') for n in self.nodes()), "the selection")

    def open_menu(self):
        self.select_all()
        self.key("Menu")
        until(lambda: self.menu, "the menu")
        self.wait_item(COPY)

    def nodes(self):
        return super().nodes() + (agentbox.Shown(self.menu).nodes() if self.menu else [])


def tests_of(manager):
    """A test for each entry, and one for all of them."""
    class Entries(manager, desktopbox.DesktopTest):
        def test_copy(self):
            self.open_menu()
            self.assert_entries(COPY, MOVE, EDIT, VIEW)
            self.click(self.wait_item(COPY))
            self.assert_starts(COPY)

        def test_view(self):
            self.open_menu()
            self.click(self.wait_item(VIEW))
            self.assert_starts(VIEW)

    Entries.__name__ = Entries.__qualname__ = f"{manager.__name__}Entries"
    return Entries


def tests_with_folder(manager):
    class WithFolder(manager, desktopbox.DesktopTest):
        names = ("folder/", "file")

        def test_no_folder_in_a_disposable_vm(self):
            self.open_menu()
            self.assert_entries(COPY, MOVE)
            self.click(self.wait_item(MOVE))
            self.assert_starts(MOVE)

    WithFolder.__name__ = WithFolder.__qualname__ = f"{manager.__name__}WithFolder"
    return WithFolder


ThunarEntries, CajaEntries, NautilusEntries, PcmanfmQtEntries = (
    tests_of(m) for m in (Thunar, Caja, Nautilus, PcmanfmQt))
CajaWithFolder, NautilusWithFolder, PcmanfmQtWithFolder = (tests_with_folder(m) for m in (Caja, Nautilus, PcmanfmQt))


# desktop-file-validate knows one of three kinds of files with this ending. What it must say of the others:
# that they are of another kind, and that they have the keys of that kind; nothing else.
KNOWN_COMPLAINTS = {
    "thunar": (),
    "servicemenus": ('contains value "all/allfiles" which is an invalid MIME type',
                     'but the type is "Service" while this key is only valid for type "Application"'),
    "actions": ('value "Action" for key "Type"', 'file contains key "Tooltip"', 'file contains key "Profiles"'),
}


class DesktopFiles(unittest.TestCase):
    def test_valid(self):
        for folder, known in KNOWN_COMPLAINTS.items():
            files = sorted((MENUS / folder).iterdir())
            self.assertTrue(files)
            for file in files:
                done = subprocess.run(["desktop-file-validate", file], capture_output=True, text=True,
                                      check=False)
                said = [line for line in (done.stdout + done.stderr).splitlines()
                        if not any(words in line for words in known)]
                self.assertEqual(said, [], file.name)
                self.assertEqual(bool(done.returncode), bool(known), "it has looked at nothing")

    def test_they_start_the_same(self):
        """What stands behind Exec= is what the tests above have seen started."""
        wanted = {" ".join([*command, "%F"]) for command in COMMANDS.values()}
        for folder in KNOWN_COMPLAINTS:
            lines = [line for file in (MENUS / folder).iterdir()
                     for line in file.read_text(encoding="ascii").splitlines()]
            self.assertEqual(sorted(line.removeprefix("Exec=") for line in lines if line.startswith("Exec=")),
                             sorted(wanted), folder)
            for label in COMMANDS:
                self.assertIn(f"Name={label}", lines, folder)


if __name__ == "__main__":
    agentbox.main()
