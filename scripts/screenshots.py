# SPDX-License-Identifier: GPL-2.0-or-later
"""What scripts/screenshots runs: each picture is a test that waits for its window and keeps it."""
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/desktop"))
import desktopbox  # noqa: E402
from desktopbox import agentbox  # noqa: E402
from agentbox import until  # noqa: E402

FOLDER = pathlib.Path(sys.argv.pop(1))
COLOURS = 64


class Camera:
    def keep(self, window, name):
        """A few colours are enough, and make the file small."""
        subprocess.run(["import", "-frame", "-window", window, "-colors", str(COLOURS), "-strip", "-define",
                        "png:compression-level=9", f"png8:{FOLDER / name}.png"], env=self.desktop.env, check=True)


class Picture(Camera, agentbox.AgentTest):
    def ask(self, name):
        self.daemon.ask(1, sender="work", receiver="banking", expires=58, **{"receiver-label": "green"})
        window = self.window()
        self.daemon.ask(2, sender="mail")
        self.open_guard(window)
        until(lambda: any("1 more from mail" in t for t in window.texts()), "the count")
        self.keep(self.x_window(), name)


class Light(Picture):
    def test(self):
        self.ask("question")


class Dark(Picture):
    agent_env = {"GTK_THEME": "Adwaita:dark"}

    def test(self):
        self.ask("question-dark")


class List(Picture):
    TITLE = "Pendrives"

    def start_agent(self):
        self.daemon.lists = {
            "ListTransfers": [
                {"id": 11, "state": "delivered", "place": "receiver", "sender": "work", "receiver": "banking",
                 "size": 1 << 30, "age": 260},
                {"id": 12, "state": "lent", "place": "sender", "sender": "mail", "receiver": "", "size": 64 << 20,
                 "age": 8}],
            "ListDisposables": [{"name": "disp1", "state": "open", "opener": "mail", "age": 700},
                                {"name": "disp2", "state": "pooled", "opener": "", "age": 3100}],
            "ListBlocked": [("untrusted", 540)]}
        return self.launch("--list")

    def test(self):
        window = self.window()
        until(lambda: "blocked VM" in window.texts(), "the lines")
        self.keep(self.x_window(), "list")


class Copy(Camera, desktopbox.DesktopTest):
    APPLICATION = "qvm-copy-gui"
    TITLE = "Copy to another VM"

    def test(self):
        self.fake("qvm-copy-to-vm")
        program = self.run_program(desktopbox.PROGRAMS / "qvm-copy-gui", "report.odt", "Pictures")
        window = self.window()
        self.focus(self.x_window())
        self.wait_focus(window, "Name of the VM")
        self.type("personal")
        self.key("Return")
        self.wait_started()
        self.order("say total 1400000000 212", "say state copying")
        begun = time.monotonic()

        def is_paced():
            done = 500 + int((time.monotonic() - begun) * 40)
            self.order(f"say progress {done * 1000000} 83")
            return any("left" in text for text in window.texts())

        until(is_paced, "the time left")
        self.keep(self.x_window(), "copy")
        program.terminate()


if __name__ == "__main__":
    agentbox.main()
