#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""qvm-incoming-notify: the real program on a session bus of its own; this process is the server."""
import os
import pathlib
import subprocess
import sys

import receiverbox
from receiverbox import INCOMING, run

sys.path.insert(0, str(receiverbox.TOP / "tests/agent"))

from agentbox import GLib, NOTIFICATIONS_XML, Notifications, until  # noqa: E402 (found by the line above)

NOTIFIER = receiverbox.BUILD / "vm/qvm-incoming-notify"
PATH = "/org/freedesktop/Notifications"
NAME = "org.freedesktop.Notifications"


class Server(Notifications):
    """Remembers all of what is shown, and presses buttons."""

    def __init__(self, address, capabilities=("body", "body-markup", "actions")):
        self.up = {}      # id -> {"title", "body", "actions"}
        self.closed = []  # ids
        super().__init__(address, capabilities)

    def serve(self, sender, method, arguments, call):
        if method == "CloseNotification":
            self.closed.append(arguments[0])
            self.up.pop(arguments[0], None)
        result = super().serve(sender, method, arguments, call)
        if method == "Notify":
            actions = arguments[5]
            self.up[len(self.shown)] = {"title": arguments[3], "body": arguments[4], "hints": arguments[6],
                                        "actions": dict(zip(actions[::2], actions[1::2]))}
        return result

    def press(self, ident, action):
        self.connection.emit_signal(None, PATH, NAME, "ActionInvoked", GLib.Variant("(us)", (ident, action)))


class NotifyTest(receiverbox.ReceiverTest):
    def setUp(self):
        super().setUp()
        self.assertIn("CloseNotification", NOTIFICATIONS_XML)
        self.log = self.vm.folder / "notifier.log"
        self.log.unlink(missing_ok=True)
        self.address = self.start_bus()
        self.env = self.vm.env | {
            "DBUS_SESSION_BUS_ADDRESS": self.address, "G_MESSAGES_DEBUG": "all", "GIO_USE_VFS": "local",
            "XDG_DATA_HOME": str(self.vm.folder / "data"), "XDG_CONFIG_HOME": str(self.vm.folder / "config"),
            # The toolkit keeps things until the end; what is looked for are errors.
            "LSAN_OPTIONS": f"suppressions={receiverbox.TOP}/tests/agent/lsan.supp:print_suppressions=0"}

    def start(self, *argv, **options):
        with open(self.log, "ab") as log:
            process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       **options)
        return process

    def start_bus(self):
        reader, writer = os.pipe()
        try:
            bus = self.start("dbus-daemon", "--session", "--nofork", f"--print-address={writer}", pass_fds=[writer])
        finally:
            os.close(writer)
        self.addCleanup(bus.wait)
        self.addCleanup(bus.kill)
        with open(reader, encoding="ascii") as pipe:
            return pipe.readline().strip()

    def start_server(self, *args):
        server = Server(self.address, *args)
        self.addCleanup(server.stop)
        return server

    def start_notifier(self):
        process = self.start(NOTIFIER, env=self.env)
        self.addCleanup(self.end, process)
        # It has its name when it has begun, and looks at the mounts before it serves anybody.
        run("gdbus", "wait", "--address", self.address, "--timeout", "60", "org.qubes.Incoming1", env=self.env)
        return process

    def end(self, process):
        """In order, so that the sanitizers have their say."""
        if process.poll() is None:
            process.terminate()
        until(lambda: process.poll() is not None, "the notifier to end")
        self.assertEqual(process.returncode, 0, self.log.read_text(encoding="utf-8"))

    def shown(self, server, count=1):
        until(lambda: len(server.shown) >= count, f"notification {count}: {self.log.read_text(encoding='utf-8')}")
        self.assertEqual(len(server.shown), count)
        return server.up[count]

    def test_it_comes_and_goes(self):
        server = self.start_server()
        self.start_notifier()
        self.vm.mount("work")
        notice = self.shown(server)
        self.assertEqual(notice["title"], "A pendrive from work")
        self.assertIn("are in /mnt/incoming. It stays until you are done with it.", notice["body"])
        self.assertEqual(notice["actions"], {"default": "Open", "open": "Open", "done": "Done"})
        self.assertTrue(notice["hints"]["resident"])
        run("umount", INCOMING)
        until(lambda: server.closed == [1], "the notification to go")
        self.vm.mount("vault")
        self.assertEqual(self.shown(server, 2)["title"], "A pendrive from vault")

    def test_it_was_there_before(self):
        self.vm.mount("work")
        server = self.start_server()
        self.start_notifier()
        self.assertEqual(self.shown(server)["title"], "A pendrive from work")

    def test_nobody_said_whose_it_is(self):
        server = self.start_server()
        self.start_notifier()
        self.vm.mount("<b>a&b</b>")
        self.assertEqual(self.shown(server)["title"], "A pendrive from a VM that is not known")

    def test_done(self):
        server = self.start_server()
        self.start_notifier()
        self.vm.mount()
        self.shown(server)
        server.press(1, "done")
        until(lambda: not self.vm.is_mounted(), "the pendrive to be unmounted")
        until(lambda: server.closed == [1], "the notification to go")

    def test_done_while_somebody_uses_it(self):
        server = self.start_server()
        self.start_notifier()
        self.vm.mount()
        self.shown(server)
        with open(INCOMING / "<i>", "w", encoding="ascii"):
            server.press(1, "done")
            complaint = self.shown(server, 2)
            self.assertEqual(complaint["title"], "The pendrive is still there")
            self.assertIn(f"in use by process {os.getpid()}", complaint["body"])
        server.press(1, "done")
        until(lambda: not self.vm.is_mounted(), "the pendrive to be unmounted")
        until(lambda: sorted(server.closed) == [1, 2], "both notifications to go")

    def test_open(self):
        opened = self.vm.folder / "opened"
        os.mkfifo(opened)
        applications = pathlib.Path(self.env["XDG_DATA_HOME"]) / "applications"
        applications.mkdir(parents=True)
        (applications / "files.desktop").write_text(
            "[Desktop Entry]\nType=Application\nName=Files\nMimeType=inode/directory;\n"
            f"Exec=sh -c 'printf \"%%s\" \"$1\" >{opened}' sh %f\n", encoding="utf-8")
        config = pathlib.Path(self.env["XDG_CONFIG_HOME"])
        config.mkdir()
        (config / "mimeapps.list").write_text("[Default Applications]\ninode/directory=files.desktop\n",
                                              encoding="utf-8")
        server = self.start_server()
        self.start_notifier()
        self.vm.mount()
        self.shown(server)
        reader = os.open(opened, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        server.press(1, "open")
        self.assertEqual(until(lambda: self.read(reader), "the file manager"), b"/mnt/incoming")
        self.assertTrue(self.vm.is_mounted())

    @staticmethod
    def read(fd):
        try:
            return os.read(fd, 100)
        except BlockingIOError:
            return None

    def test_no_file_manager(self):
        server = self.start_server()
        self.env |= {"XDG_DATA_DIRS": "/nonexistent", "XDG_DATA_HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent"}
        self.start_notifier()
        self.vm.mount()
        self.shown(server)
        server.press(1, "default")
        self.assertIn("The files are in /mnt/incoming", self.shown(server, 2)["body"])

    def test_a_server_without_buttons_or_markup(self):
        server = self.start_server(("body",))
        self.start_notifier()
        self.vm.mount()
        notice = self.shown(server)
        self.assertEqual(notice["actions"], {})
        self.assertIn("qvm-incoming --done", notice["body"])

    def test_the_server_comes_later_and_again(self):
        notifier = self.start_notifier()
        self.vm.mount("work")
        until(lambda: "no notification could be shown" in self.log.read_text(encoding="utf-8"), "it to be tried")
        self.assertIsNone(notifier.poll())
        server = self.start_server()
        self.assertEqual(self.shown(server)["title"], "A pendrive from work")
        server.stop()
        again = self.start_server()
        self.assertEqual(self.shown(again)["title"], "A pendrive from work")

    def test_a_second_one_ends(self):
        server = self.start_server()
        first = self.start_notifier()
        second = self.start(NOTIFIER, env=self.env)
        self.assertEqual(second.wait(receiverbox.DEADLINE_S), 0)
        self.assertIsNone(first.poll())
        self.vm.mount()
        self.shown(server)

    def test_no_session_bus(self):
        self.env["DBUS_SESSION_BUS_ADDRESS"] = "unix:path=/nonexistent"
        self.vm.mount()
        process = self.start(NOTIFIER, env=self.env)
        until(lambda: process.poll() is not None or "no notification could be shown" in
              self.log.read_text(encoding="utf-8"), "it to be tried")
        self.end(process)


if __name__ == "__main__":
    receiverbox.main()
