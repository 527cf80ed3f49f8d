# SPDX-License-Identifier: GPL-2.0-or-later
"""A desktop of one's own: Xvfb, a window manager, a session bus, a system bus, a daemon that is none.

The agent in it is the real one. Keys and clicks go through the X server (xdotool), and what it shows
is read as a screen reader does (AT-SPI). The daemon and the notification server are this process.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import gi

gi.require_version("Atspi", "2.0")
from gi.repository import Atspi, Gio, GLib  # noqa: E402

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("QFX_BUILD", TOP / "build/dev"))
AGENT = BUILD / "dom0/agent/qfilexchg-agent"
XML = TOP / "dom0/daemon/org.qubes.FileExchange1.xml"
NAME = "org.qubes.FileExchange1"
PATH = "/org/qubes/FileExchange1"
DEADLINE_S = float(os.environ.get("QFX_DEADLINE", "120"))
SCREEN = (1280, 1024)

SYSTEM_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:tmpdir={folder}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>
"""

NOTIFICATIONS_XML = """<node><interface name="org.freedesktop.Notifications">
<method name="GetCapabilities"><arg type="as" direction="out"/></method>
<method name="GetServerInformation"><arg type="s" direction="out"/><arg type="s" direction="out"/>
<arg type="s" direction="out"/><arg type="s" direction="out"/></method>
<method name="CloseNotification"><arg type="u" direction="in"/></method>
<method name="Notify"><arg type="s" direction="in"/><arg type="u" direction="in"/>
<arg type="s" direction="in"/><arg type="s" direction="in"/><arg type="s" direction="in"/>
<arg type="as" direction="in"/><arg type="a{sv}" direction="in"/><arg type="i" direction="in"/>
<arg type="u" direction="out"/></method></interface></node>"""


def run_loop():
    """All that is there to be handled; does not wait."""
    while GLib.MainContext.default().iteration(False):
        pass


def until(condition, what, deadline_s=DEADLINE_S):
    """Waits for a condition while this process serves its buses; returns its value."""
    end = time.monotonic() + deadline_s
    while True:
        run_loop()
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline_s} s in vain for {what}")
        # Woken by whatever comes over a bus, or to look at the screen anew.
        timer = GLib.timeout_add(20, lambda: False)
        GLib.MainContext.default().iteration(True)
        if GLib.MainContext.default().find_source_by_id(timer):
            GLib.source_remove(timer)


class Desktop:
    """One for all tests of a program: it takes a second to start."""

    def __init__(self, *xvfb_options):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="qfx-agent-"))
        self.processes = []
        for name in ("home", "run"):
            (self.folder / name).mkdir(mode=0o700)
        settings = self.folder / "home/.config/gtk-3.0/settings.ini"
        settings.parent.mkdir(parents=True)
        settings.write_text("[Settings]\ngtk-enable-animations=0\n")
        keep = {k: v for k, v in os.environ.items()
                if k in ("PATH", "QFX_BUILD", "ASAN_OPTIONS", "UBSAN_OPTIONS")}
        self.env = keep | {
            "HOME": str(self.folder / "home"), "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "LANG": "C.UTF-8", "GDK_BACKEND": "x11", "GSETTINGS_BACKEND": "memory",
            "XDG_DATA_DIRS": "/usr/local/share:/usr/share", "NO_AT_BRIDGE": "0",
            "G_MESSAGES_DEBUG": "qfilexchg-agent", "GTK_THEME": "Adwaita",
            # The toolkits keep things until the end; what is looked for are errors.
            "LSAN_OPTIONS": f"suppressions={pathlib.Path(__file__).parent / 'lsan.supp'}"
                            ":print_suppressions=0"}
        # Longer than the agent's guard: a key held since before is heard of only after it has opened.
        self.env["DISPLAY"] = ":" + self._start_announcing(
            "Xvfb", "-displayfd", "{fd}", "-screen", "0", f"{SCREEN[0]}x{SCREEN[1]}x24",
            "-nolisten", "tcp", "-noreset", "-ardelay", "2500", "-arinterval", "50", *xvfb_options)
        config = self.folder / "system.conf"
        config.write_text(SYSTEM_BUS.format(folder=self.folder))
        for variable, which in (("DBUS_SYSTEM_BUS_ADDRESS", f"--config-file={config}"),
                                ("DBUS_SESSION_BUS_ADDRESS", "--session")):
            self.env[variable] = self._start_announcing(
                "dbus-daemon", which, "--nofork", "--print-address={fd}")
        # What this process itself asks of the desktop goes to that one.
        for name in ("DISPLAY", "XDG_RUNTIME_DIR", "DBUS_SYSTEM_BUS_ADDRESS",
                     "DBUS_SESSION_BUS_ADDRESS"):
            os.environ[name] = self.env[name]
        os.environ.pop("AT_SPI_BUS_ADDRESS", None)
        self.start("openbox", "--sm-disable")
        until(lambda: self.xdotool("get_desktop", check=False), "the window manager")
        if Atspi.init() not in (0, 1):
            raise RuntimeError("AT-SPI does not start")
        Atspi.set_timeout(5000, 10000)

    def start(self, *command, log="log", **options):
        with open(self.folder / log, "ab") as output:
            process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=output, **{"env": self.env} | options)
        self.processes.append(process)
        return process

    def _start_announcing(self, *command):
        """A server that writes where it is to be found into a pipe."""
        reader, writer = os.pipe()
        try:
            self.start(*(c.replace("{fd}", str(writer)) for c in command), pass_fds=[writer])
        finally:
            os.close(writer)
        with open(reader, encoding="ascii") as pipe:
            line = pipe.readline().strip()
        if not line:
            raise RuntimeError(f"{command[0]} did not start: {self.log()}")
        return line

    def log(self, name="log"):
        return (self.folder / name).read_text(encoding="utf-8", errors="replace")

    def xdotool(self, *words, check=True):
        done = subprocess.run(["xdotool", *(str(w) for w in words)], env=self.env, text=True,
                              capture_output=True, check=False, timeout=DEADLINE_S)
        if check and done.returncode:
            raise AssertionError(f"xdotool {words}: {done.stderr}")
        return done.stdout.strip()

    def close(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def open_bus(address):
    flags = Gio.DBusConnectionFlags
    return Gio.DBusConnection.new_for_address_sync(
        address, flags.AUTHENTICATION_CLIENT | flags.MESSAGE_BUS_CONNECTION, None, None)


class Served:
    """An object on a bus, with the name that it is found by."""

    def __init__(self, address, name, path, xml):
        self.connection = open_bus(address)
        self.interface = Gio.DBusNodeInfo.new_for_xml(xml).lookup_interface(name)
        self.connection.register_object(path, self.interface, self._on_call, None, None)
        self.connection.call_sync(
            "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName",
            GLib.Variant("(su)", (name, 4)), None, 0, -1, None)

    def _on_call(self, _connection, sender, _path, _interface, method, arguments, call):
        try:
            result = self.serve(sender, method, arguments.unpack(), call)
        except PermissionError as error:
            call.return_dbus_error("org.freedesktop.DBus.Error.AccessDenied", str(error))
            return
        except NotImplementedError:
            call.return_dbus_error("org.freedesktop.DBus.Error.UnknownMethod", f"no {method}")
            return
        if result is not NotImplemented:
            call.return_value(result)

    def stop(self):
        if not self.connection.is_closed():
            self.connection.close_sync(None)


def variants(facts):
    """a{sv}; an int is a `t`."""
    kinds = {str: "s", int: "t", bool: "b"}
    return {key: GLib.Variant(kinds[type(value)], value) for key, value in facts.items()}


class Daemon(Served):
    """Says what the tests tell it to, and remembers what the agent did."""

    def __init__(self, address, unknown=(), turns_away=False):
        self.agents = []    # (unique name, path)
        self.did = []       # what came, in order: ("Block", "work", 600), ("answer", 1, False)
        self.lists = {"ListTransfers": [], "ListDisposables": [], "ListBlocked": []}
        self.unknown = set(unknown)
        self.turns_away = turns_away
        super().__init__(address, NAME, PATH, XML.read_text(encoding="utf-8"))

    def serve(self, sender, method, arguments, _call):
        if method in self.unknown:
            raise NotImplementedError
        if method == "RegisterAgent":
            if self.turns_away:
                raise PermissionError("you are not of the group")
            self.agents.append((sender, *arguments))
        elif method in ("ListTransfers", "ListDisposables"):
            return GLib.Variant("(aa{sv})", ([variants(f) for f in self.lists[method]],))
        elif method == "ListBlocked":
            return GLib.Variant("(a(su))", (self.lists[method],))
        else:
            self.did.append((method, *arguments))
        return None

    def ask(self, ident, **facts):
        """Asks the agent that registered last; its answer goes into `did`."""
        facts = {"sender": "work", "receiver": "personal", "sender-label": "red",
                 "receiver-label": "blue", "kind": "files", "size": 1 << 30, "used": 12 << 20,
                 "expires": 300} | facts
        owner, path = self.agents[-1]

        def on_answer(connection, result):
            try:
                answer = connection.call_finish(result).unpack()[0]
            except GLib.Error as error:
                answer = error.message
            self.did.append(("answer", ident, answer))

        self.connection.call(owner, path, NAME + ".Agent", "Ask",
                             GLib.Variant("(ta{sv})", (ident, variants(facts))),
                             GLib.VariantType("(b)"), 0, GLib.MAXINT, None, on_answer)

    def withdraw(self, ident):
        owner, path = self.agents[-1]
        self.connection.call(owner, path, NAME + ".Agent", "Withdraw",
                             GLib.Variant("(t)", (ident,)), None, 0, -1, None, None)

    def emit(self, signal_name, variant):
        self.connection.emit_signal(None, PATH, NAME, signal_name, variant)

    def notice(self, what, **details):
        self.emit("Notice", GLib.Variant("(sa{sv})", (what, variants(details))))


class Notifications(Served):
    """The session's notification server."""

    def __init__(self, address, capabilities=("body", "body-markup"), hangs=False):
        self.shown = []  # (title, body)
        self.capabilities = capabilities
        self.hangs = hangs
        super().__init__(address, "org.freedesktop.Notifications", "/org/freedesktop/Notifications",
                         NOTIFICATIONS_XML)

    def serve(self, _sender, method, arguments, _call):
        if method == "GetCapabilities":
            return GLib.Variant("(as)", (list(self.capabilities),))
        if method == "GetServerInformation":
            return GLib.Variant("(ssss)", ("none", "none", "1", "1.2"))
        if method == "Notify":
            self.shown.append((arguments[3], arguments[4]))
            return NotImplemented if self.hangs else GLib.Variant("(u)", (len(self.shown),))
        return None


class Shown:
    """A window of the agent, as a screen reader knows it."""

    def __init__(self, node):
        self.node = node

    def nodes(self):
        found, waiting = [], [self.node]
        while waiting:
            node = waiting.pop()
            try:
                node.clear_cache()
                children = [node.get_child_at_index(i) for i in range(node.get_child_count())]
            except GLib.Error:
                continue  # it went while we looked
            found.append(node)
            waiting += [c for c in reversed(children) if c]
        return found

    def find(self, name, role=None):
        for node in self.nodes():
            if node.get_name() == name and role in (None, node.get_role_name()):
                return node
        return None

    def texts(self):
        """What the labels say: the text itself, not what is spoken."""
        return [Atspi.Text.get_text(node, 0, -1) for node in self.nodes()
                if node.get_role() == Atspi.Role.LABEL and is_in(node, "SHOWING")]


def is_in(node, *states):
    node.clear_cache()
    got = node.get_state_set()
    return all(got.contains(getattr(Atspi.StateType, state)) for state in states)


def have_tools():
    return all(shutil.which(tool) for tool in ("Xvfb", "openbox", "xdotool", "dbus-daemon"))


OTHER = """
import gi
gi.require_version("Gtk", "3.0")
from gi.repository import Gtk
window = Gtk.Window(title="Other")
window.add(Gtk.Entry())
window.set_default_size(200, 80)
window.show_all()
window.move(5, 900)
Gtk.main()
"""


def start_other(desktop):
    """A window that has the focus while the agent's has not; its number."""
    desktop.start("/usr/bin/python3", "-c", OTHER, env=desktop.env | {"NO_AT_BRIDGE": "1"})
    return until(lambda: desktop.xdotool("search", "--onlyvisible", "--name", "^Other$", check=False),
                 "the other window")


class AgentTest(unittest.TestCase):
    """A fresh agent, registered with a fresh daemon, on a desktop that is kept."""

    desktop = None
    agent_options = ()
    agent_env = {}
    daemon_options = {}
    notification_options = {}
    APPLICATION = "qfilexchg-agent"
    TITLE = "Pendrive: allow or refuse?"

    @classmethod
    def setUpClass(cls):
        if not have_tools():
            raise unittest.SkipTest("Xvfb, openbox, xdotool or dbus-daemon is missing")
        if not AgentTest.desktop:  # AT-SPI can be used for one desktop in a process
            AgentTest.desktop = Desktop()
            AgentTest.other = start_other(cls.desktop)

    def setUp(self):
        self.notifications = Notifications(self.desktop.env["DBUS_SESSION_BUS_ADDRESS"],
                                           **self.notification_options)
        self.addCleanup(self.notifications.stop)
        self.daemon = self.start_daemon(**self.daemon_options)
        self.agent = self.start_agent()
        self.focus(self.other)

    def start_daemon(self, **options):
        daemon = Daemon(self.desktop.env["DBUS_SYSTEM_BUS_ADDRESS"], **options)
        self.addCleanup(daemon.stop)
        return daemon

    def launch(self, *options):
        agent = self.desktop.start(AGENT, *options, log="agent",
                                   env=self.desktop.env | self.agent_env)
        self.addCleanup(self.end_agent, agent)
        return agent

    def start_agent(self):
        (self.desktop.folder / "agent").unlink(missing_ok=True)
        agent = self.launch(*self.agent_options)
        until(lambda: self.daemon.agents, "the agent to register")
        return agent

    def end_agent(self, agent):
        """Cleanly, so that the sanitizers have their say."""
        if agent.poll() is None:
            agent.send_signal(signal.SIGTERM)
        until(lambda: agent.poll() is not None, "the agent to end")
        if "Sanitizer" in self.desktop.log("agent") or agent.returncode < 0:
            raise AssertionError(self.desktop.log("agent"))

    def tearDown(self):
        outcome = self._outcome.result
        if any(test is self for test, _ in outcome.errors + outcome.failures):
            sys.stderr.write(self.desktop.log("agent"))

    # ---- windows ----

    def shown(self, title):
        """The windows of that title."""
        desktop = Atspi.get_desktop(0)
        desktop.clear_cache()
        found = []
        for i in range(desktop.get_child_count()):
            application = desktop.get_child_at_index(i)
            try:
                if not application or application.get_name() != self.APPLICATION:
                    continue
                application.clear_cache()
                windows = [application.get_child_at_index(n)
                           for n in range(application.get_child_count())]
                found += [Shown(w) for w in windows
                          if w and w.get_name() == title and is_in(w, "SHOWING")]
            except GLib.Error:
                continue  # one that ended
        return found

    def window(self, title=None):
        """The one window of that title, when it is there."""
        title = title or self.TITLE
        window = until(lambda: self.shown(title), f"the window {title}")
        self.assertEqual(len(window), 1)
        return window[0]

    def x_window(self):
        pattern = "^" + self.TITLE.replace("?", r"\?") + "$"
        return until(lambda: self.desktop.xdotool(
            "search", "--onlyvisible", "--name", pattern, check=False), "its X window")

    def no_window(self):
        until(lambda: not self.shown(self.TITLE), "the window to close")

    def focus(self, window):
        self.desktop.xdotool("windowactivate", "--sync", window)

    def button(self, window, name):
        node = window.find(name)
        self.assertIsNotNone(node, f"no {name} among {[n.get_name() for n in window.nodes()]}")
        return node

    def middle(self, node):
        place = Atspi.Component.get_extents(node, Atspi.CoordType.SCREEN)
        return place.x + place.width // 2, place.y + place.height // 2

    def click(self, node):
        x, y = self.middle(node)
        self.desktop.xdotool("mousemove", x, y, "click", 1)

    def is_open(self, window, button="Allow"):
        return is_in(self.button(window, button), "SENSITIVE")

    def open_guard(self, window):
        """The window gets the focus and keeps it until it takes answers."""
        self.focus(self.x_window())
        until(lambda: self.is_open(window), "the guard to open")

    # ---- answers ----

    def answers(self):
        return [d for d in self.daemon.did if d[0] == "answer"]

    def wait_answer(self, ident, allow):
        until(lambda: any(a[1] == ident for a in self.answers()), f"an answer to {ident}")
        self.assertIn(("answer", ident, allow), self.answers())

    def choose(self, window, name):
        """Moves the focus there with Tab."""
        def focused():
            return [n.get_name() for n in window.nodes() if is_in(n, "FOCUSED")]

        for _ in range(len(window.nodes())):
            before = focused()
            if before == [name]:
                return
            self.desktop.xdotool("key", "Tab")
            until(lambda: focused() not in (before, []), "the focus to move")  # noqa: B023
        self.fail(f"Tab does not come to {name}")

    def press_barrier(self, window, name="The answer is for this once"):
        """Tab counts, and moves the focus: when it has moved, all that came before was handled."""
        self.desktop.xdotool("key", "Tab")
        until(lambda: is_in(self.button(window, name), "FOCUSED"), f"the focus on {name}")


def main():
    """All tests of the program; 77 if none can run here."""
    try:
        program = unittest.main(verbosity=2, exit=False)
    finally:
        if AgentTest.desktop:
            AgentTest.desktop.close()
    result = program.result
    if result.testsRun == 0 and result.skipped:
        sys.exit(77)
    sys.exit(not result.wasSuccessful())
