# SPDX-License-Identifier: GPL-2.0-or-later
"""The desktop of a VM: tests/agent's screen and buses, with the programs of a VM's user on it."""
import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import signal
import struct
import sys
import termios

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "agent"))
import agentbox  # noqa: E402
from agentbox import Atspi, is_in, until  # noqa: E402,F401

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = agentbox.BUILD / "vm/gui"


class DesktopTest(agentbox.AgentTest):
    """A folder in front of PATH, in which the tests have programs of their own."""

    program_env = {}

    def setUp(self):
        self.folder = self.desktop.folder / self.id()
        self.bin = self.folder / "bin"
        self.bin.mkdir(parents=True)
        self.addCleanup(shutil.rmtree, self.folder)
        os.mkfifo(self.folder / "orders")
        (self.folder / "happened").touch()
        (self.desktop.folder / "agent").unlink(missing_ok=True)
        self.env = self.desktop.env | {
            "PATH": f"{self.bin}:{os.environ['PATH']}", "QFX_FAKE": str(self.folder),
            "QPEN_PROGRAMS": str(PROGRAMS), "XDG_DATA_HOME": str(self.folder / "data"),
        } | self.program_env

    def run_program(self, *command, **options):
        process = self.desktop.start(*command, log="agent", **{"env": self.env} | options)
        self.addCleanup(self.end_agent, process)
        self.addCleanup(self.end_fakes)
        return process

    def end_fakes(self):
        """Those that a test that failed has left; windows wait for them."""
        for line in (self.folder / "happened").read_text(encoding="ascii").splitlines():
            what = json.loads(line)
            if what[0] == "started":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(what[1], signal.SIGKILL)

    # ---- the fake of a program that works for a window ----

    def fake(self, *names):
        for name in names:
            (self.bin / name).symlink_to(HERE / "fake_copier.py")

    def happened(self):
        """What the fakes were told, in order; the numbers of their processes are left out."""
        lines = (self.folder / "happened").read_text(encoding="ascii").splitlines()
        return [[w for w in json.loads(line) if not isinstance(w, int)] for line in lines]

    def started(self):
        return [what[1:] for what in self.happened() if what[0] == "started"]

    def wait_started(self, count=1):
        until(lambda: len(self.started()) == count, f"program {count} to be started")
        return self.started()[-1]

    def order(self, *orders):
        """To the one that runs; it takes them when it is ready."""
        with open(os.open(self.folder / "orders", os.O_RDWR), "wb", buffering=0) as fifo:
            for order in orders:
                fifo.write((order if isinstance(order, bytes) else order.encode()) + b"\n")
            # Both ends are closed with it, and what is in it lost, unless the fake has it open.
            until(lambda: not self.is_unread(fifo), "the orders to be read")

    @staticmethod
    def is_unread(fifo):
        return struct.unpack("i", fcntl.ioctl(fifo, termios.FIONREAD, b"\0" * 4))[0] > 0

    # ---- windows ----

    def wait_text(self, window, text):
        def texts():
            """With ordinary spaces between numbers and their units."""
            return [t.replace("\xa0", " ") for t in window.texts()]
        until(lambda: text in texts(), f"the text {text!r}; there is {texts()}")

    def wait_focus(self, window, name):
        until(lambda: any(n.get_name() == name and is_in(n, "FOCUSED") for n in window.nodes()),
              f"the focus on {name}")

    def press(self, window, name):
        self.focus(self.x_window())
        until(lambda: self.is_open(window, name), f"{name} to be there")
        self.click(self.button(window, name))

    def type(self, text):
        self.desktop.xdotool("type", "--delay", "0", "--", text)

    def key(self, *keys):
        self.desktop.xdotool("key", *keys)
