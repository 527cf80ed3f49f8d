#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""--list: what is under way, kept up to date, and ended by a button."""
import agentbox
from agentbox import GLib, is_in, until

LENT = {"id": 3, "state": "lent", "place": "sender", "sender": "work", "receiver": "", "size": 1 << 30, "age": 12}
DELIVERED = {"id": 4, "state": "delivered", "place": "receiver", "sender": "<b>mail</b>", "receiver": "personal",
             "size": 64 << 20, "age": 300}
OPEN = {"name": "disp1", "state": "open", "opener": "work", "age": 7200}


class List(agentbox.AgentTest):
    TITLE = "Pendrives"

    def start_agent(self):
        self.daemon.lists = {"ListTransfers": [LENT, DELIVERED], "ListDisposables": [OPEN],
                             "ListBlocked": [("spam", 600)]}
        return self.launch("--list")

    def wait_row(self, window, *texts):
        until(lambda: any(window.texts()[i:i + len(texts)] == list(texts)
                          for i in range(len(window.texts()))), f"the line {texts}")

    def listed(self):
        window = self.window()
        self.wait_row(window, "pendrive 3", "work", "-", "with its sender", "1.0 GiB", "12 s")
        return window

    def press(self, window, name):
        self.focus(self.x_window())
        self.click(self.button(window, name))

    def wait_done(self, *what):
        until(lambda: what in self.daemon.did, f"{what}")
        self.assertEqual(self.daemon.did, [what])

    def test_shows(self):
        window = self.listed()
        self.wait_row(window, "pendrive 4", "<b>mail</b>", "personal", "with its receiver", "64.0 MiB", "5 min")
        self.wait_row(window, "DisposableVM", "work", "disp1", "open", "", "2 h")
        self.wait_row(window, "blocked VM", "spam", "", "for 10 min more")

    def test_cancel(self):
        self.press(self.listed(), "Cancel pendrive 3")
        self.wait_done("Cancel", 3)

    def test_take_back(self):
        self.press(self.listed(), "Take back pendrive 4")
        self.wait_done("Cancel", 4)

    def test_unblock(self):
        self.press(self.listed(), "Unblock spam")
        self.wait_done("Unblock", "spam")

    def test_destroy_asks_first(self):
        window = self.listed()
        for button, done in (("Keep", []), ("Destroy", [("DestroyDisposable", "disp1")])):
            self.press(window, "Destroy disp1")
            found = until(self.dialog, "the dialog")
            self.assertTrue(is_in(self.button(found, "Keep"), "FOCUSED") or button == "Destroy")
            self.click(self.button(found, button))
            until(lambda: not self.dialog(), "the dialog to close")
            until(lambda: self.daemon.did == done, f"{done}")  # noqa: B023

    def dialog(self):
        """The other window of the program; it has no title."""
        found = [w for w in self.shown("") + self.shown("Question") if w.find("Keep")]
        return found[0] if found else None

    def test_follows(self):
        window = self.listed()
        self.daemon.lists = {"ListTransfers": [LENT | {"state": "asking", "receiver": "personal"}],
                             "ListDisposables": [], "ListBlocked": []}
        self.daemon.emit("TransferRemoved", GLib.Variant("(t)", (4,)))
        self.wait_row(window, "pendrive 3", "work", "personal", "you are asked")
        until(lambda: "pendrive 4" not in window.texts(), "the line to go")
        self.assertNotIn("DisposableVM", window.texts())
        self.assertNotIn("blocked VM", window.texts())
        self.daemon.lists["ListTransfers"] = []
        self.wait_row(window, "No pendrive is under way.")

    def test_an_older_daemon(self):
        self.daemon.unknown = {"ListBlocked", "Cancel"}
        window = self.listed()
        self.press(window, "Cancel pendrive 3")
        self.wait_row(window, "Cannot take the pendrive of transfer 3 back: the qfilexchgd that runs cannot do "
                      "that; it is older than this program.")

    def test_the_daemon_goes(self):
        window = self.listed()
        self.daemon.stop()
        until(lambda: any(t.startswith("qfilexchgd is not running") for t in window.texts()), "the message")
        self.assertNotIn("pendrive 3", window.texts())

    def test_a_second_one_brings_the_first_to_the_front(self):
        self.listed()
        self.focus(self.other)
        second = self.launch("--list")
        until(lambda: second.poll() is not None, "the second one to end")
        self.assertEqual(second.returncode, 0)
        self.window()  # one
        until(lambda: self.desktop.xdotool("getactivewindow") == self.x_window(), "the first one in front")

    def test_it_does_not_register(self):
        self.listed()
        self.assertEqual(self.daemon.agents, [])


if __name__ == "__main__":
    agentbox.main()
