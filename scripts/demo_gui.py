# SPDX-License-Identifier: GPL-2.0-or-later
"""For scripts/demo --gui: dom0's user is the person who looks at dom0's desktop in a window, and clicks there.

The window is a VNC client, a program of its own (demo_window.py). The server in dom0 speaks through stdin and stdout
of a command in the box, so that nothing listens anywhere, neither here nor in the box.
"""
import contextlib
import pathlib
import re
import select
import socket
import subprocess
import tempfile
import threading

from xenboxlib import BoxError, util

WAIT_S = 300
WINDOW = ["/usr/bin/python3", str(pathlib.Path(__file__).with_name("demo_window.py"))]
# socat gives the server a socket, which it wants to have for its client.
VNC = ["runuser", "-u", "desktop", "--", "env", "DISPLAY=:0", "socat", "STDIO",
       "EXEC:x11vnc -inetd -nopw -norc -quiet -o /dev/null"]
# Labels as people have them, and time to look around: an emulated desktop is slow.
SETTINGS = r"s/^\[labels\]$/&\nwork = blue\npersonal = green/; s/^#timeout = 120$/timeout = 600/"
IS_ASKED = "until journalctl -u qfilexchgd -o cat | grep -q '^the agent .* is there to be asked'; do sleep 0.2; done"

# What a transfer is before its user has said anything, and after a yes.
BEFORE = ("making", "attaching-out", "lent", "freezing", "asking")
ALLOWED = ("starting-vm", "queued", "attaching-in", "delivered", "taking-back")


def state_in(line):
    """What gdbus says that a transfer is now; None if it speaks of something else."""
    found = re.search(r"\.TransferChanged \(.*'state': <'([a-z-]+)'>", line)
    if found:
        return found[1]
    return "gone" if ".TransferRemoved (" in line else None


class Desk:
    def __init__(self, box):
        self.box = box
        self._window = self._server = self._changes = None
        self._said = ""
        try:
            self._start_desktop()
            self._open_window()
        except BaseException:
            self.end()
            raise

    # -- dom0's desktop

    def _start_desktop(self):
        print("demo: starting dom0's desktop", flush=True)
        for argv in (["sed", "-i", SETTINGS, "/etc/qfilexchgd/qfilexchgd.conf"], ["systemctl", "reload", "qfilexchgd"],
                     ["systemctl", "start", "xenbox-desktop"], ["sh", "-c", IS_ASKED]):
            self.box.exec("dom0", argv, check=True, timeout=WAIT_S)
        # Its first two lines say that it listens, and to whom.
        self._changes = self.box.popen("dom0", ["gdbus", "monitor", "--system", "--dest", "org.qubes.FileExchange1"])
        self._changes.stdout.readline()
        self._changes.stdout.readline()

    # -- the window

    def _open_window(self):
        ours, its = socket.socketpair()
        with its:
            self._window = subprocess.Popen(
                [*WINDOW, str(its.fileno())], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=[its.fileno()],
                # Ctrl-C is for the demo, which then ends it.
                start_new_session=True, preexec_fn=util.die_with_parent)
        self._server = threading.Thread(target=self._serve, args=(ours,), daemon=True)
        self._server.start()
        threading.Thread(target=self._on_closed, daemon=True).start()
        shown, _, _ = select.select([self._window.stdout], [], [], WAIT_S)
        if not shown or not self._window.stdout.readline():
            self.end()
            raise BoxError(f"dom0's desktop could not be shown in a window; its VNC server said: {self._said or 'nothing'}")

    def _serve(self, ours):
        with ours, tempfile.TemporaryFile() as said:
            try:
                self.box.exec_fds("dom0", VNC, ours.fileno(), ours.fileno(), said.fileno())
            except (BoxError, OSError):
                pass  # the window closes, and that is seen
            said.seek(0)
            self._said = said.read().decode(errors="replace").strip()

    def _on_closed(self):
        """Nobody can answer any more."""
        self._window.wait()
        with contextlib.suppress(OSError):
            self._changes.kill()

    # -- the person

    def answer(self, timeline):
        """Waits until the question was answered there. Whether it is allowed."""
        timeline.step("dom0", "asks its user, in the window; it is your turn")
        timeline.pause()
        for line in iter(self._changes.stdout.readline, b""):
            state = state_in(line.decode())
            if state and state not in BEFORE:
                timeline.resume()
                return state in ALLOWED
        raise SystemExit("demo: dom0's desktop was closed, so nobody answers the question; nothing was delivered")

    def say_goodbye(self):
        if self._window.poll() is None:
            print("demo: close the window to end", flush=True)
            self._window.wait()

    def end(self):
        """No process is left, whatever state this is in."""
        if self._window:
            self._window.terminate()
            self._window.wait()
            self._window.stdout.close()
        if self._server:
            self._server.join(WAIT_S)
        if self._changes:
            with contextlib.suppress(OSError):
                self._changes.kill()
