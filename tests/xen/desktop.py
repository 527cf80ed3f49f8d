# SPDX-License-Identifier: GPL-2.0-or-later
"""The desktop of dom0's user in the Xen box: what is on its screen, and the hand on its mouse.

Windows are found by their titles, what is in them as a screen reader finds it (AT-SPI), and clicks go through the
X server. All of it is run in dom0, by programs that end at once; nothing is kept open.
"""
import json
import pathlib
import re
import shlex
import time

from xenboxlib import BoxError

ARTIFACTS = pathlib.Path(__file__).resolve().parents[2] / "build/artifacts"
QUESTION = "Pendrive: allow or refuse?"
USER = "desktop"
WAIT_S = 300

ROLE_PUSH_BUTTON = 43
STATE_SENSITIVE = 24
ROOT = "/org/a11y/atspi/accessible/root"
ACCESSIBLE, COLLECTION, COMPONENT = (f"org.a11y.atspi.{name}" for name in ("Accessible", "Collection", "Component"))


def bits(*numbers):
    """Bits of states or roles, as AT-SPI has them: `ai`, a 32-bit word each, as words for busctl."""
    words = [sum(1 << (n % 32) for n in numbers if n // 32 == i) for i in range(4)]
    return [str(len(words)), *(str(word) for word in words)]


def until(condition, what):
    """Waits for it by looking, and gives its first true value. A look at a display takes its time."""
    end = time.monotonic() + WAIT_S
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {WAIT_S} s in vain for {what}")


class Desktop:
    """Of a running box; it is started by start()."""

    def __init__(self, box):
        self.box = box
        self._bus = None

    def start(self):
        """Returns when somebody is there to be asked: what starts at login was started."""
        self._run("systemctl", "start", "xenbox-desktop")
        self._wait("journalctl -u qfilexchgd -o cat | grep -q '^the agent .* is there to be asked'")

    def _run(self, *argv):
        done = self.box.exec("dom0", [str(word) for word in argv], check=True, timeout=WAIT_S)
        return done.stdout.decode().strip()

    def _wait(self, condition):
        """Until a shell condition holds in dom0; what it printed."""
        return self._run("sh", "-c", f"until {condition}; do sleep 0.2; done")

    def xdotool(self, *words):
        return self._run("env", "DISPLAY=:0", "xdotool", *words)

    # -- windows

    def window(self, title):
        """Its number, as soon as it is on the screen."""
        return self._window("--name", f"^{re.escape(title)}$")

    def notification(self):
        return self._window("--class", "^Dunst$")

    def _window(self, *words):
        # Not xdotool's own --sync: its search fails when any window goes while it looks (xdotool's issue 60).
        return self._wait(shlex.join(["env", "DISPLAY=:0", "xdotool", "search", "--limit", "1", "--onlyvisible", *words]))

    def has_focus(self, window):
        """Whether the keyboard and the window manager say so."""
        done = self.box.exec("dom0", ["env", "DISPLAY=:0", "xdotool", "getactivewindow"], timeout=WAIT_S)
        return done.stdout.decode().strip() == window

    def wait_focus(self, window):
        until(lambda: self.has_focus(window), "the window to have the focus")

    def screenshot(self, name):
        """The whole screen, as a PNG beside the build."""
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        path = ARTIFACTS / f"{name}.png"
        done = self.box.exec("dom0", ["env", "DISPLAY=:0", "maim"], check=True, timeout=WAIT_S)
        path.write_bytes(done.stdout)
        print(f"screenshot: {path}", flush=True)
        return path

    # -- what is in them

    def _ask(self, *words):
        """An answer of the bus of accessibility. Root may ask on it."""
        if not self._bus:
            self._bus = self._find_bus()
        answer = json.loads(self._run("busctl", f"--address={self._bus}", "--json=short", *words))
        return answer["data"]

    def _find_bus(self):
        """The session's bus says where."""
        return json.loads(self._run(
            "runuser", "-u", USER, "--", "sh", "-c", "XDG_RUNTIME_DIR=/run/user/$(id -u) exec busctl --user "
            "--json=short call org.a11y.Bus /org/a11y/bus org.a11y.Bus GetAddress"))["data"][0]

    def _agent(self):
        """The name on that bus of the agent that has a window."""
        children, = self._ask("call", "org.a11y.atspi.Registry", ROOT, ACCESSIBLE, "GetChildren")
        for owner, path in children:
            name = self._ask("get-property", owner, path, ACCESSIBLE, "Name")
            if name == "qfilexchg-agent" and self._ask("get-property", owner, path, ACCESSIBLE, "ChildCount"):
                return owner
        raise AssertionError(f"no agent with a window is among the programs on the screen: {children}")

    def button(self, name):
        """A button in a window of the agent: (owner, path).

        Waited for: a program that starts or ends meanwhile, or a window that is only just there, is not told at once.
        """
        end = time.monotonic() + WAIT_S
        while True:
            try:
                return self._find_button(name)
            except (AssertionError, BoxError):
                if time.monotonic() > end:
                    raise

    def _find_button(self, name):
        rule = [*bits(), "1", "0", "1", *bits(ROLE_PUSH_BUTTON), "2", "0", "1", "false"]
        buttons, = self._ask("call", self._agent(), ROOT, COLLECTION, "GetMatches",
                             "(aiia{ss}iaiiasib)uib", *rule, "1", "0", "true")
        names = [self._ask("get-property", *button, ACCESSIBLE, "Name") for button in buttons]
        if names.count(name) != 1:
            raise AssertionError(f"not one button {name}, but: {names}")
        return tuple(buttons[names.index(name)])

    def takes_clicks(self, button):
        states, = self._ask("call", *button, ACCESSIBLE, "GetState")
        return bool(states[STATE_SENSITIVE // 32] >> STATE_SENSITIVE % 32 & 1)

    def wait_takes_clicks(self, button):
        """Until the window's guard has opened. A window that went meanwhile is an error."""
        until(lambda: self.takes_clicks(button), "the window to take clicks")

    def middle(self, button):
        """Where it is on the screen."""
        (x, y, width, height), = self._ask("call", *button, COMPONENT, "GetExtents", "u", "0")
        return x + width // 2, y + height // 2

    def click(self, button):
        self.xdotool("mousemove", *self.middle(button), "click", 1)
