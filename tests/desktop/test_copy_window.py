#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""qvm-copy-to-vm --gui: the window, with a program behind it that says what the tests like."""
import signal
import subprocess

import desktopbox
from desktopbox import Atspi, agentbox, is_in, until

CANNOT = ["say state scanning", "say cannot /home/user/a%0Ab%25<i> a name with a <line break>",
          "say cannot link a symbolic link", "say failed 6 Nothing was copied", "exit 6"]


class CopyTest(desktopbox.DesktopTest):
    APPLICATION = "qvm-copy-gui"
    TITLE = "Copy to another VM"
    files = ["report.odt"]
    options = []

    def setUp(self):
        super().setUp()
        self.fake("qvm-copy-to-vm", "qvm-move-to-vm")
        self.program = self.run_program(desktopbox.PROGRAMS / "qvm-copy-gui", *self.options, "--", *self.files)
        self.shown_window = self.window()
        self.focus(self.x_window())
        self.wait_focus(self.shown_window, "Name of the VM")

    def start(self, name="personal"):
        """As far as the program behind it has been started."""
        self.type(name)
        self.key("Return")
        self.wait_started()
        return self.shown_window

    def heading(self, text):
        def found():
            # Spoken with the text below it.
            return any(n.get_name().split(". ")[0] == text and is_in(n, "SHOWING") and
                       n.get_role_name() == "heading" for n in self.shown_window.nodes())
        until(found, f"the heading {text}; there is {[n.get_name() for n in self.shown_window.nodes()]}")

    def wait_exit(self, status):
        until(lambda: self.program.poll() is not None, "the program to end")
        self.assertEqual(self.program.returncode, status, self.desktop.log("agent"))


class Name(CopyTest):
    files = ["-dash", "it's \"quoted\" %f", "two\nlines", "<b>bold", "fifth", "sixth"]

    def test_what_is_copied(self):
        window = self.shown_window
        self.heading("Copy 6 to another VM")
        self.wait_text(window, "-dash\nit's \"quoted\" %f\ntwo\\x0alines\n<b>bold\nand 2 more")

    def test_only_a_sound_name_starts(self):
        window = self.shown_window
        self.assertFalse(self.is_open(window, "Copy"))
        self.key("Return")
        self.type("-no")
        until(lambda: any(t.startswith("This is no VM's name") for t in window.texts()), "the hint")
        self.assertFalse(self.is_open(window, "Copy"))
        self.key("Return")
        self.key("Home", "Delete")
        until(lambda: self.is_open(window, "Copy"), "a name that is sound")
        self.assertFalse(any(t.startswith("This is no VM's name") for t in window.texts()))
        self.key("Return")
        self.wait_started()
        # The two Returns before would have come first.
        self.assertEqual(self.started(), [["qvm-copy-to-vm", "--quiet", "--report=3", "--", "no", *self.files]])

    def test_escape_closes(self):
        self.key("Escape")
        self.wait_exit(130)
        self.assertEqual(self.started(), [])


class Run(CopyTest):
    def test_progress(self):
        window = self.start()
        self.heading("Copying to personal")
        bar = window.find("Copied", "progress bar")
        self.order("say state scanning")
        self.wait_text(window, "Looking at the files")
        self.order("say total 80000000 3", "say state new")
        self.wait_text(window, "Asking dom0 for a pendrive")
        self.wait_text(window, "0 bytes of 80.0 MB, 0 of 3 files")
        self.order("say state copying", "say progress 20000000 1")
        self.wait_text(window, "Copying")
        self.wait_text(window, "20.0 MB of 80.0 MB, 1 of 3 files")
        until(lambda: abs(Atspi.Value.get_current_value(bar) - 0.25) < 0.001, "a quarter")
        for state, words in (("asking", "Waiting for the answer in dom0"),
                             ("queued", "Allowed; waiting until the receiver has unmounted another pendrive"),
                             ("starting", "Allowed; the pendrive is being attached")):
            self.order(f"say state {state}")
            self.wait_text(window, words)

    def test_a_line_of_a_later_version(self):
        window = self.start()
        self.order("say colour blue", "say state dancing", "say progress x", "say total 8 2 1", "say state asking")
        self.wait_text(window, "Waiting for the answer in dom0")

    def test_delivered(self):
        window = self.start()
        self.order("say total 5 1", "say state delivered", "say done", "exit 0")
        self.heading("Delivered to personal")
        self.assertFalse(any(n.get_name() == "Try again" and is_in(n, "SHOWING") for n in window.nodes()))
        self.press(window, "Close")
        self.wait_exit(0)
        names = self.folder / "data/qubes-pendrive/destinations"
        self.assertEqual(names.read_text(encoding="ascii"), "personal\n")

    def test_a_done_with_a_bad_exit_is_none(self):
        self.start()
        self.order("say done", "exit 5")
        self.heading("It was not copied")
        self.key("Escape")
        self.wait_exit(5)

    def test_cancel(self):
        window = self.start()
        self.order("say state asking")
        self.press(window, "Cancel")
        until(lambda: self.happened()[-1] == ["interrupted"], "the interrupt")
        self.wait_text(window, "Cancelled; giving the pendrive back")
        self.assertFalse(self.is_open(window, "Cancel"))
        self.order("say state cancelled", "say failed 130 Interrupted; the pendrive was given back", "exit 130")
        self.heading("Cancelled")
        self.wait_text(window, "Interrupted; the pendrive was given back")
        self.key("Escape")
        self.wait_exit(130)

    def test_escape_asks(self):
        window = self.start()
        self.order("say state copying")
        self.wait_text(window, "Copying")
        for button in ("Go on", "Stop"):
            self.focus(self.x_window())
            self.key("Escape")
            dialog = until(self.dialog, "the question")
            self.wait_focus(dialog, "Go on")
            self.click(self.button(dialog, button))
            until(lambda: not self.dialog(), "the question to go")
        until(lambda: ["interrupted"] in self.happened(), "the interrupt")
        self.assertEqual(self.happened().count(["interrupted"]), 1)
        self.order("say failed 130 Interrupted", "exit 130")
        self.wait_exit(130)

    def dialog(self):
        found = [w for w in self.shown("") + self.shown("Question") if w.find("Go on")]
        return found[0] if found else None

    def test_the_end_answers_the_question(self):
        self.start()
        self.key("Escape")
        until(self.dialog, "the question")
        self.order("say done", "exit 0")
        self.heading("Delivered to personal")
        self.assertIsNone(self.dialog())

    def test_closed_while_it_is_cancelled(self):
        window = self.start()
        self.press(window, "Cancel")
        until(lambda: ["interrupted"] in self.happened(), "the interrupt")
        self.key("Escape")
        until(lambda: not self.shown(self.TITLE), "the window to close")
        self.assertIsNone(self.program.poll())
        self.order("say failed 5 The pendrive is still mounted at /mnt/outgoing", "exit 5")
        self.shown_window = self.window()
        self.wait_text(self.shown_window, "The pendrive is still mounted at /mnt/outgoing")
        # One that comes back need not have the focus.
        self.focus(self.x_window())
        self.key("Escape")
        self.wait_exit(5)

    def test_a_signal_stops_it(self):
        self.start()
        self.program.send_signal(signal.SIGTERM)
        until(lambda: ["interrupted"] in self.happened(), "the interrupt")
        self.order("say failed 130 Interrupted", "exit 130")
        self.wait_exit(130)

    def test_a_signal_ends_it_whatever_comes(self):
        self.start()
        self.program.send_signal(signal.SIGTERM)
        until(lambda: ["interrupted"] in self.happened(), "the interrupt")
        self.order("say failed 5 The pendrive is still mounted", "exit 5")
        self.wait_exit(5)
        self.assertIn("The pendrive is still mounted", self.desktop.log("agent"))

    def test_killed(self):
        """Nothing goes on that nobody sees."""
        self.start()
        self._cleanups = [c for c in self._cleanups if c[0] != self.end_agent]
        self.program.kill()
        until(lambda: ["interrupted"] in self.happened(), "the interrupt")
        self.order("exit 130")
        until(lambda: self.program.poll() is not None, "the program to end")

    def test_no_second_start_by_a_key_that_is_held(self):
        window = self.start()
        self.key("Return", "space", "Return")
        self.order("say state asking")
        self.wait_text(window, "Waiting for the answer in dom0")
        self.order("say failed 1 refused", "exit 1")
        self.heading("It was not copied")
        self.key("Return", "space")
        self.key("Tab")
        until(lambda: not is_in(self.button(window, "It was not copied. refused"), "FOCUSED"), "the Tab")
        self.assertEqual(len(self.happened()), 1)
        self.assertIsNone(self.program.poll())


class Unsupported(CopyTest):
    def refused(self):
        window = self.start()
        self.order(*CANNOT)
        self.heading("A pendrive cannot carry these 2")
        return window

    def test_skip(self):
        window = self.refused()
        self.wait_text(window, "/home/user/a\\x0ab%<i>: a name with a <line break>")
        self.wait_text(window, "link: a symbolic link")
        self.choose(window, "Skip these and copy the rest")
        self.key("space")
        self.assertEqual(self.wait_started(2), ["qvm-copy-to-vm", "--quiet", "--report=3", "--skip-unsupported", "--",
                                                "personal", "report.odt"])
        self.order("say cannot link a symbolic link", "say skipped 2", "say done", "exit 0")
        self.heading("Delivered to personal")
        self.wait_text(window, "2 were left out, and are still here.")

    def test_cancel_is_the_default(self):
        self.wait_focus(self.refused(), "Cancel")
        self.key("Return")
        self.wait_exit(6)
        self.assertEqual(len(self.started()), 1)


class Failure(CopyTest):
    def test_the_reason_is_text(self):
        window = self.start()
        self.order("say failed 1 refused by <b>dom0</b>%0Aask%1b again", "exit 1")
        self.heading("It was not copied")
        self.wait_text(window, "refused by <b>dom0</b>\nask\\x1b again")
        self.press(window, "Try again")
        self.wait_focus(window, "Name of the VM")
        self.key("Return")
        self.assertEqual(self.wait_started(2), ["qvm-copy-to-vm", "--quiet", "--report=3", "--", "personal", "report.odt"])
        self.order("say failed 1 refused", "exit 1")
        self.heading("It was not copied")
        self.wait_text(window, "refused")
        self.key("Escape")
        self.wait_exit(1)
        self.assertFalse((self.folder / "data").exists())

    def test_only_words_on_the_standard_error(self):
        window = self.start()
        self.order(b"err qvm-copy-to-vm: no daemon\x1b[2J", "exit 3")
        self.wait_text(window, "no daemon\\x1b[2J")

    def test_no_words_at_all(self):
        window = self.start()
        self.order("exit 4")
        self.wait_text(window, "qvm-copy-to-vm ended with exit status 4 and without saying why; "
                       "`man qvm-copy-to-vm` says what that means.")

    def test_the_program_is_missing(self):
        (self.bin / "qvm-copy-to-vm").unlink()
        self.type("personal")
        self.key("Return")
        self.heading("It was not copied")
        until(lambda: any(t.startswith("The program qvm-copy-to-vm cannot be run: ")
                          for t in self.shown_window.texts()), "the reason")
        self.key("Escape")
        self.wait_exit(5)


class Move(CopyTest):
    TITLE = "Move to another VM"
    options = ["--move"]

    def test(self):
        self.heading("Move to another VM")
        window = self.start()
        self.assertEqual(self.started(), [["qvm-move-to-vm", "--quiet", "--report=3", "--", "personal", "report.odt"]])
        self.heading("Moving to personal")
        self.order("say state delivered", "say state deleting")
        self.wait_text(window, "Delivered; deleting the originals")
        self.order("say kept report.odt it was changed", "err qvm-move-to-vm: report.odt stays here: it was changed",
                   "err qvm-move-to-vm: All was delivered, but 1 of it could not be deleted here",
                   "say failed 9 All was delivered, but 1 of it could not be deleted here", "exit 9")
        self.heading("Delivered to personal, but not all is deleted here")
        self.wait_text(window, "report.odt stays here: it was changed\n"
                       "All was delivered, but 1 of it could not be deleted here")
        self.assertFalse(any(n.get_name() == "Try again" and is_in(n, "SHOWING") for n in window.nodes()))
        self.key("Escape")
        self.wait_exit(9)

    def test_not_delivered(self):
        self.start()
        self.order("say failed 1 refused", "exit 1")
        self.heading("It was not moved")


class History(CopyTest):
    def setUp(self):
        self.program_env = {}
        names = self.desktop.folder / self.id() / "data/qubes-pendrive/destinations"
        names.parent.mkdir(parents=True)
        names.write_text("work\npersonal\n<b>evil</b>\n", encoding="ascii")
        super().setUp()

    def test_completed(self):
        self.type("pers")
        until(lambda: self.completions() == ["personal"], "the completion")
        self.key("Down", "Return")
        until(lambda: Atspi.Text.get_text(self.button(self.shown_window, "Name of the VM"), 0, -1) == "personal",
              "the name")
        self.key("Return")
        self.assertEqual(self.wait_started()[4], "personal")

    def completions(self):
        """What pops up below the entry."""
        return [n.get_name() for w in self.shown_anywhere() for n in w.nodes()
                if n.get_role_name() == "table cell" and is_in(n, "SHOWING")]

    def shown_anywhere(self):
        found = []
        desktop = Atspi.get_desktop(0)
        for i in range(desktop.get_child_count()):
            application = desktop.get_child_at_index(i)
            if application and application.get_name() == self.APPLICATION:
                application.clear_cache()
                found += [agentbox.Shown(application.get_child_at_index(n))
                          for n in range(application.get_child_count())]
        return found


class Large(CopyTest):
    """A screen with twice the dots in an inch, and a dark theme: all can be read and reached."""
    program_env = {"GDK_SCALE": "2", "GTK_THEME": "Adwaita:dark"}
    files = ["a very long name " * 12]

    def on_screen(self, name):
        node = self.button(self.shown_window, name)

        def inside():
            place = Atspi.Component.get_extents(node, Atspi.CoordType.SCREEN)
            return (place.width > 0 and place.x >= 0 and place.y >= 0 and
                    2 * (place.x + place.width) <= agentbox.SCREEN[0] and
                    2 * (place.y + place.height) <= agentbox.SCREEN[1])
        until(inside, f"{name} on the screen")

    def test(self):
        self.on_screen("Copy")
        self.start()
        self.on_screen("Cancel")
        self.order(*(f"say cannot {'x' * 300} {'word ' * 60}" for _ in range(30)), "say failed 6 no", "exit 6")
        self.heading("A pendrive cannot carry these 30")
        self.on_screen("Skip these and copy the rest")


class CommandLine(desktopbox.DesktopTest):
    """From the program that one types."""
    APPLICATION = "qvm-copy-gui"

    def test_gui(self):
        self.run_program(agentbox.BUILD / "vm/qvm-copy-to-vm", "--gui", "--", "--version")
        window = self.window("Copy to another VM")
        self.wait_text(window, "--version")

    def test_gui_of_a_move(self):
        self.run_program(agentbox.BUILD / "vm/qvm-move-to-vm", "--gui", "a", "b")
        self.wait_text(self.window("Move to another VM"), "a\nb")

    def test_gui_comes_first(self):
        for program in ("qvm-copy-to-vm", "qvm-open-in-dvm"):
            done = subprocess.run([agentbox.BUILD / "vm" / program, "-q", "--gui", "x"], capture_output=True, text=True,
                                  env=self.env, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn("--gui must be the first argument", done.stderr)

    def test_no_window_without_its_program(self):
        done = subprocess.run([agentbox.BUILD / "vm/qvm-copy-to-vm", "--gui", "x"], capture_output=True, text=True,
                              env=self.env | {"QPEN_PROGRAMS": "/nonexistent"}, check=False)
        self.assertEqual(done.returncode, 5)
        self.assertIn("/nonexistent/qvm-copy-gui: No such file", done.stderr)

    def test_no_display(self):
        done = subprocess.run([desktopbox.PROGRAMS / "qvm-copy-gui", "x"], capture_output=True, text=True,
                              env=self.env | {"DISPLAY": ""}, check=False)
        self.assertEqual(done.returncode, 5)
        self.assertIn("there is no display", done.stderr)

    def test_no_files(self):
        done = subprocess.run([desktopbox.PROGRAMS / "qvm-copy-gui"], capture_output=True, text=True, env=self.env,
                              check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("say which files", done.stderr)


class Real(desktopbox.DesktopTest):
    """With the program that copies: it speaks as the window expects. There is no dom0 here to go on with."""
    APPLICATION = "qvm-copy-gui"
    TITLE = "Copy to another VM"

    def test(self):
        for name in ("qvm-copy-to-vm", "qvm-move-to-vm"):
            (self.bin / name).symlink_to(agentbox.BUILD / "vm" / name)
        (self.folder / "files").mkdir()
        (self.folder / "files/sound").write_text("x", encoding="ascii")
        (self.folder / "files/a 10% <b>?").write_text("x", encoding="ascii")
        (self.folder / "files/link").symlink_to("sound")
        program = self.run_program(desktopbox.PROGRAMS / "qvm-copy-gui", self.folder / "files",
                                   env=self.env | {"QPEN_DEVICE": str(self.folder / "no-device"),
                                                   "XENSTORED_RUNDIR": str(self.folder),
                                                   "XENSTORED_PATH": str(self.folder / "no-socket")})
        window = self.window()
        self.focus(self.x_window())
        self.wait_focus(window, "Name of the VM")
        self.type("personal")
        self.key("Return")
        until(lambda: len([t for t in window.texts() if t.startswith(str(self.folder / "files"))]) == 2, "two of three")
        self.assertTrue(any("/a 10% <b>?: " in t for t in window.texts()), window.texts())
        self.assertTrue(any("/link: " in t for t in window.texts()), window.texts())
        self.press(window, "Skip these and copy the rest")
        until(lambda: "It was not copied" in window.texts(), "the failure")
        self.assertTrue(any("xenstore" in t for t in window.texts()), window.texts())
        self.key("Escape")
        until(lambda: program.poll() is not None, "the program to end")
        self.assertEqual(program.returncode, 5)


if __name__ == "__main__":
    agentbox.main()
