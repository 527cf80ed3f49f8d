# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/demo --gui, with a person who sits at an X display of this machine and clicks at the picture of dom0's."""
import os
import pathlib
import subprocess
import sys
import unittest

from boxcase import box_name, xenboxlib
from desktop import QUESTION, Desktop, until

DEMO = pathlib.Path(__file__).resolve().parents[2] / "scripts/demo.py"
TITLE = r"^The desktop of dom0 \(qfilexchgd's demo\)$"
WAIT_S = 900


class DemoGui(unittest.TestCase):
    def setUp(self):
        self.box = xenboxlib.Box(box_name())
        self.addCleanup(self.box.stop)
        self.env = {name: value for name, value in os.environ.items() if name != "WAYLAND_DISPLAY"} | \
            {"XENBOX": self.box.name, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self.env["DISPLAY"] = self.start_display()
        self.launch("openbox", "--sm-disable")

    def launch(self, *argv, **options):
        """Ended with the test, if not by itself."""
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=self.env,
                                   **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | options)

        def end():
            process.terminate()
            process.wait(WAIT_S)
            if process.stdout:
                process.stdout.close()

        self.addCleanup(end)
        return process

    def start_display(self):
        reader, writer = os.pipe()
        with open(reader, encoding="ascii") as announced:
            self.launch("Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x1024x24", "-nolisten", "tcp", "-noreset",
                        pass_fds=[writer])
            os.close(writer)
            number = announced.readline().strip()
        self.assertTrue(number, "Xvfb does not start")
        return ":" + number

    def xdotool(self, *words, check=True):
        done = subprocess.run(["xdotool", *(str(word) for word in words)], env=self.env, capture_output=True, text=True,
                              check=check, timeout=WAIT_S)
        return done.stdout.strip()

    def read_until(self, process, words):
        for line in process.stdout:
            sys.stdout.write(line)
            if words in line:
                return
        self.fail(f"the demo ended, with status {process.wait(WAIT_S)}, and did not say: {words}")

    def window(self):
        """The demo's, when it has the focus on this machine's display."""
        window = until(lambda: self.xdotool("search", "--limit", 1, "--onlyvisible", "--name", TITLE, check=False),
                       "the demo's window")
        self.xdotool("windowactivate", "--sync", window)
        return window

    def wait_open(self, desktop, question, button):
        """A click gives dom0's window the focus; when it has had that for a second it takes answers."""
        window = self.window()
        # The picture is as large as dom0's screen: what is where on one is there on the other.
        self.xdotool("mousemove", "--window", window, *desktop.middle(button), "click", 1)
        try:
            desktop.wait_focus(question)
        except AssertionError:
            self.show_where_it_went(desktop, window)
            raise
        desktop.wait_takes_clicks(button)

    def show_where_it_went(self, desktop, window):
        print("this display:", self.xdotool("getactivewindow", "getmouselocation", "getwindowgeometry", window, check=False))
        print("dom0's:", desktop.xdotool("getmouselocation"), desktop.xdotool("getdisplaygeometry"))
        desktop.screenshot("demo-gui-no-focus")

    def test_the_person_allows_it(self):
        demo = self.launch(sys.executable, str(DEMO), "--gui", stdout=subprocess.PIPE, stderr=None, text=True)
        self.read_until(demo, "it is your turn")
        desktop = Desktop(self.box)
        question = desktop.window(QUESTION)
        self.wait_open(desktop, question, desktop.button("Allow"))
        self.xdotool("click", 1)
        self.read_until(demo, "all 9 SHA-256 sums are those of work's files")
        self.read_until(demo, "close the window to end")
        desktop.screenshot("demo-gui")
        self.window()
        self.xdotool("key", "alt+F4")
        self.assertEqual(demo.wait(WAIT_S), 0)
        self.assertFalse(self.box.is_running())
        self.assertEqual(self.xdotool("search", "--name", TITLE, check=False), "")


if __name__ == "__main__":
    unittest.main()
