# SPDX-License-Identifier: GPL-2.0-or-later
"""What scripts/screenshots runs: each picture is a test that waits for its window and keeps it."""
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/agent"))
import agentbox  # noqa: E402
from agentbox import until  # noqa: E402

FOLDER = pathlib.Path(sys.argv.pop(1))
COLOURS = 64


class Picture(agentbox.AgentTest):
    def keep(self, window, name):
        """A few colours are enough, and make the file small."""
        subprocess.run(["import", "-frame", "-window", window, "-colors", str(COLOURS), "-strip", "-define",
                        "png:compression-level=9", f"png8:{FOLDER / name}.png"], env=self.desktop.env, check=True)

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


if __name__ == "__main__":
    agentbox.main()
