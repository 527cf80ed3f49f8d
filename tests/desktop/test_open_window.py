#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What file managers start to open files in DisposableVMs: its window, over a program that is none."""
import signal

import desktopbox
from desktopbox import agentbox, is_in, until

PROGRAM = "qvm-open-in-dvm"


class OpenTest(desktopbox.DesktopTest):
    APPLICATION = "qvm-open-in-dvm-gui"
    TITLE = "DisposableVM"
    words = ["--", "a<b>.odt"]

    def setUp(self):
        super().setUp()
        self.fake(PROGRAM)
        self.program = self.run_program(desktopbox.PROGRAMS / "qvm-open-in-dvm-gui", *self.words)

    def wait_exit(self, status):
        until(lambda: self.program.poll() is not None, "the program to end")
        self.assertEqual(self.program.returncode, status, self.desktop.log("agent"))


class One(OpenTest):
    def open(self):
        self.wait_started()
        window = self.window()
        self.order("say waiting for a DisposableVM")
        self.wait_text(window, "waiting for a DisposableVM")
        self.order("say opened in disp7")
        self.no_window()

    def test_saved(self):
        self.open()
        self.assertEqual(self.started(), [[PROGRAM, "--", "a<b>.odt"]])
        self.order("say saved back: /home/user/a<b>.odt", "exit 0")
        window = self.window()
        self.wait_text(window, "a<b>.odt: back from its DisposableVM")
        self.wait_text(window, "saved back: /home/user/a<b>.odt")
        self.press(window, "Close")
        self.wait_exit(0)

    def test_unchanged(self):
        self.open()
        self.order("say closed without changes", "exit 7")
        self.wait_exit(7)

    def test_no_memory(self):
        self.wait_started()
        self.order("say asking dom0 for a pendrive",
                   "err qvm-open-in-dvm: the host has no memory for another <DisposableVM>\x1b", "exit 1")
        window = self.window()
        self.wait_text(window, "a<b>.odt: not opened in a DisposableVM")
        self.wait_text(window, "the host has no memory for another <DisposableVM>\\x1b")
        self.focus(self.x_window())
        self.key("Escape")
        self.wait_exit(1)

    def test_lost(self):
        self.open()
        self.order("err qvm-open-in-dvm: the DisposableVM ended before its answer was stored", "exit 8")
        self.wait_text(self.window(), "a<b>.odt: not back from its DisposableVM")
        self.focus(self.x_window())
        self.key("Escape")
        self.wait_exit(8)

    def test_cancel(self):
        self.wait_started()
        window = self.window()
        self.press(window, "Cancel")
        until(lambda: ["interrupted"] in self.happened(), "the interrupt")
        self.order("err qvm-open-in-dvm: Interrupted, but dom0 goes on", "exit 130")
        self.wait_text(window, "Interrupted, but dom0 goes on")
        self.press(window, "Close")
        self.wait_exit(130)

    def test_hidden_comes_back(self):
        self.wait_started()
        self.press(self.window(), "Hide")
        self.no_window()
        self.assertIsNone(self.program.poll())
        self.order("err refused", "exit 1")
        self.wait_text(self.window(), "refused")
        self.focus(self.x_window())
        self.key("Escape")
        self.wait_exit(1)

    def test_keyboard(self):
        self.wait_started()
        window = self.window()
        self.focus(self.x_window())
        self.key("Return", "space")
        self.choose(window, "Cancel")
        self.assertEqual(len(self.happened()), 1)
        self.key("space")
        until(lambda: ["interrupted"] in self.happened(), "the interrupt")
        self.order("exit 130")
        self.wait_text(window, f"{PROGRAM} was ended by signal 2; a file that is open stays open, and is saved back "
                       "when it is closed.")

    def test_a_signal_leaves_nothing(self):
        self.wait_started()
        self.program.send_signal(signal.SIGTERM)
        until(lambda: ["interrupted"] in self.happened(), "the interrupt")
        until(lambda: self.program.poll() is not None, "the program to end")


class View(OpenTest):
    words = ["--view-only", "--", "-dash\n'\"%f"]

    def test(self):
        self.assertEqual(self.wait_started(), [PROGRAM, "--view-only", "--", "-dash\n'\"%f"])
        self.wait_text(self.window(), "-dash\\x0a'\"%f: to be opened in a DisposableVM")
        self.order("say opened in disp1", "say closed", "exit 0")
        self.wait_exit(0)


class Several(OpenTest):
    words = ["--", "1", "2", "3"]

    def test_one_after_the_other(self):
        self.wait_started()
        self.order("say opened in disp1", "say closed without changes", "exit 7")
        self.assertEqual(self.wait_started(2), [PROGRAM, "--", "2"])
        self.order("err qvm-open-in-dvm: no memory", "exit 1")
        self.assertEqual(self.wait_started(3), [PROGRAM, "--", "3"])
        self.wait_text(self.shown_as("2: not opened in a DisposableVM"), "no memory")
        self.order("say opened in disp2", "say closed without changes", "exit 7")
        until(lambda: len(self.shown(self.TITLE)) == 1, "the window of the third to go")
        self.press(self.window(), "Close")
        self.wait_exit(1)

    def shown_as(self, heading):
        def found():
            return next((w for w in self.shown(self.TITLE) if heading in w.texts()), None)
        return until(found, f"the window {heading}")


class Missing(OpenTest):
    def fake(self, *names):
        """None."""

    def test(self):
        window = self.window()
        until(lambda: any(t.startswith("The program qvm-open-in-dvm cannot be run: ") for t in window.texts()),
              "the reason")
        self.assertTrue(is_in(self.button(window, "Close"), "SENSITIVE"))
        self.focus(self.x_window())
        self.key("Escape")
        self.wait_exit(5)


if __name__ == "__main__":
    agentbox.main()
