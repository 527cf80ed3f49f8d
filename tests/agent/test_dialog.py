#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The question: what does not answer it, what does, and what is shown."""
import signal
import subprocess
import time

import agentbox
from agentbox import Atspi, GLib, is_in, until

ALLOW, REFUSE = "Allow", "Refuse"


class Guarded(agentbox.AgentTest):
    def asked(self, ident=1, **facts):
        self.daemon.ask(ident, **facts)
        return self.window()

    def while_closed(self, press):
        """Does `press` to a window that has just got the focus. Where the machine was so slow that
        the guard had opened by then, nothing was shown: once more with another question."""
        for ident in range(1, 10):
            window = self.asked(ident)
            press(window)
            if not self.is_open(window):
                return ident, window
            if self.answers():
                self.no_window()
                self.daemon.did.clear()
            else:
                self.daemon.withdraw(ident)
                self.wait_answer(ident, False)
                self.no_window()
        self.fail("the machine is too slow to press anything within a second")

    def still_asks(self, ident, window):
        """And would still, had what came before counted."""
        self.open_guard(window)
        self.press_barrier(window)
        self.assertEqual(self.answers(), [])
        self.click(self.button(window, ALLOW))
        self.wait_answer(ident, True)

    def test_early_click_on_allow(self):
        def press(window):
            x, y = self.middle(self.button(window, ALLOW))
            self.desktop.xdotool("windowactivate", "--sync", self.x_window(), "mousemove", x, y, "click", 1)
        self.still_asks(*self.while_closed(press))

    def test_early_click_into_a_window_without_the_focus(self):
        """The click gives the focus, and does nothing else."""
        self.still_asks(*self.while_closed(lambda window: self.click(self.button(window, ALLOW))))

    def test_early_keys(self):
        """Neither do they move the focus, so that one that counts would meet a button."""
        def press(_window):
            self.desktop.xdotool("windowactivate", "--sync", self.x_window(), "key", "Return", "key", "Escape",
                                 "key", "Tab", "key", "Tab", "key", "space", "key", "alt+F4")
        self.still_asks(*self.while_closed(press))

    def test_early_action_of_assistive_technology(self):
        def press(window):
            Atspi.Action.do_action(self.button(window, ALLOW), 0)
        self.still_asks(*self.while_closed(press))

    def test_takes_a_second(self):
        window = self.asked()
        self.assertFalse(self.is_open(window))
        before = time.monotonic()
        self.open_guard(window)
        self.assertGreaterEqual(time.monotonic() - before, 1.0)

    def test_losing_the_focus_starts_the_second_anew(self):
        window = self.asked()
        self.open_guard(window)
        self.focus(self.other)
        until(lambda: not self.is_open(window), "the guard to close")
        before = time.monotonic()
        self.open_guard(window)
        self.assertGreaterEqual(time.monotonic() - before, 1.0)

    def test_a_key_held_while_it_opens(self):
        """Pressed too early, and repeating when the guard is open."""
        def press(_window):
            self.desktop.xdotool("windowactivate", "--sync", self.x_window(), "keydown", "Escape")
        self.addCleanup(self.desktop.xdotool, "keyup", "Escape")
        ident, window = self.while_closed(press)
        until(lambda: self.is_open(window), "the guard to open")
        self.repeats_do_nothing(ident, window)

    def test_a_key_held_since_before_the_focus(self):
        self.addCleanup(self.desktop.xdotool, "keyup", "Escape")
        window = self.asked()
        self.desktop.xdotool("keydown", "Escape")
        self.open_guard(window)
        self.repeats_do_nothing(1, window)

    def repeats_do_nothing(self, ident, window):
        # The X server repeats it.
        until(lambda: self.desktop.log("agent").count("a key is ignored: it repeats") >= 3, "repetitions")
        self.press_barrier(window)
        self.assertEqual(self.answers(), [])
        self.desktop.xdotool("keyup", "Escape", "key", "Escape")
        self.wait_answer(ident, False)

    def test_nothing_is_chosen_beforehand(self):
        window = self.asked()
        self.open_guard(window)
        buttons = [n for n in window.nodes()
                   if n.get_role() in (Atspi.Role.PUSH_BUTTON, Atspi.Role.RADIO_BUTTON)]
        self.assertEqual(len(buttons), 8)
        for button in buttons:
            self.assertFalse(is_in(button, "FOCUSED") or is_in(button, "IS_DEFAULT"), button.get_name())
        self.desktop.xdotool("key", "Return", "key", "space", "key", "KP_Enter")
        self.press_barrier(window)
        self.assertEqual(self.answers(), [])

    def test_the_focus_is_not_stolen(self):
        window = self.asked()
        self.x_window()
        self.assertFalse(self.is_open(window))
        self.assertEqual(self.desktop.xdotool("getactivewindow"), self.other)
        self.assertEqual(self.desktop.xdotool("getwindowfocus"), self.other)

    def test_stays_above(self):
        self.asked()
        states = until(lambda: subprocess.run(
            ["xprop", "-id", self.x_window(), "_NET_WM_STATE"], env=self.desktop.env, text=True,
            capture_output=True, check=True).stdout, "its state")
        self.assertIn("_NET_WM_STATE_ABOVE", states)

    def test_does_not_open_under_the_pointer(self):
        for ident, pointer in enumerate(((640, 512), (600, 700), (1200, 1000), (10, 10)), 1):
            with self.subTest(pointer=pointer):
                self.desktop.xdotool("mousemove", *pointer)
                window = self.asked(ident)
                place = Atspi.Component.get_extents(window.node, Atspi.CoordType.SCREEN)
                self.assertFalse(place.x <= pointer[0] < place.x + place.width and
                                 place.y <= pointer[1] < place.y + place.height,
                                 (place.x, place.y, place.width, place.height))
                self.daemon.withdraw(ident)
                self.wait_answer(ident, False)
                self.no_window()


class Answers(agentbox.AgentTest):
    def asked(self, ident=1, **facts):
        self.daemon.ask(ident, **facts)
        window = self.window()
        self.open_guard(window)
        return window

    def test_allow(self):
        self.click(self.button(self.asked(), ALLOW))
        self.wait_answer(1, True)
        self.assertEqual(self.daemon.did, [("answer", 1, True)])
        self.no_window()

    def test_refuse(self):
        self.click(self.button(self.asked(), REFUSE))
        self.wait_answer(1, False)
        self.assertEqual(self.daemon.did, [("answer", 1, False)])

    def test_closing_it_refuses(self):
        """The window manager takes the focus for its own key before it asks the window to close."""
        self.asked()
        self.desktop.xdotool("key", "alt+F4")
        self.wait_answer(1, False)

    def test_by_the_keyboard_alone(self):
        window = self.asked()
        self.choose(window, ALLOW)
        self.desktop.xdotool("key", "space")
        self.wait_answer(1, True)

    def test_by_assistive_technology(self):
        Atspi.Action.do_action(self.button(self.asked(), ALLOW), 0)
        self.wait_answer(1, True)

    def test_remember(self):
        for ident, (how, button, allow) in enumerate(
                ((how, button, button == ALLOW) for how in ("session", "always")
                 for button in (ALLOW, REFUSE)), 1):
            with self.subTest(how=how, button=button):
                window = self.asked(ident)
                choice = self.button(window, {"session": "The answer is for this session",
                                              "always": "The answer is for always"}[how])
                self.click(choice)
                until(lambda: is_in(choice, "CHECKED"), "the choice")  # noqa: B023
                self.click(self.button(window, button))
                self.wait_answer(ident, allow)
                self.assertEqual(self.daemon.did[-2:], [("Remember", ident, allow, how),
                                                        ("answer", ident, allow)])
                self.no_window()

    def test_block(self):
        for ident, (text, seconds) in enumerate((("for 10 minutes", 600), ("for 1 hour", 3600),
                                                 ("until unblocked", 0)), 1):
            with self.subTest(text):
                window = self.asked(ident)
                self.click(self.button(window, f"Refuse, and block work {text}"))
                self.wait_answer(ident, False)
                self.assertEqual(self.daemon.did[-2:], [("Block", "work", seconds),
                                                        ("answer", ident, False)])
                self.no_window()

    def test_a_daemon_that_cannot_remember(self):
        """The answer is given all the same, and the user told."""
        self.daemon.unknown = {"Remember"}
        window = self.asked()
        choice = self.button(window, "The answer is for always")
        self.click(choice)
        until(lambda: is_in(choice, "CHECKED"), "the choice")
        self.click(self.button(window, ALLOW))
        self.wait_answer(1, True)
        until(lambda: self.notifications.shown, "a notification")
        self.assertEqual(self.notifications.shown, [(
            "qfilexchgd did not do it", "Cannot remember the answer to transfer 1: the qfilexchgd that runs "
            "cannot do that; it is older than this program.")])


class NothingToRemember(agentbox.AgentTest):
    """No answer is offered for the next time when the daemon would not take it."""
    ONCE, SESSION, ALWAYS = ("The answer is for this once", "The answer is for this session",
                             "The answer is for always")

    def offered(self, ident, **facts):
        self.daemon.ask(ident, **facts)
        window = self.window()
        names = [name for name in (self.ONCE, self.SESSION, self.ALWAYS) if window.find(name)]
        self.daemon.withdraw(ident)
        self.wait_answer(ident, False)
        self.no_window()
        return names

    def test_where_it_is_offered(self):
        every = [self.ONCE, self.SESSION, self.ALWAYS]
        self.assertEqual(self.offered(1, **{"can-remember": True}), every)
        self.assertEqual(self.offered(2, **{"can-remember": False}), [])
        self.assertEqual(self.offered(3, kind="disposable", **{"can-remember": False}), [])
        # A daemon that does not say: about DisposableVMs it takes none.
        self.assertEqual(self.offered(4), every)
        self.assertEqual(self.offered(5, kind="disposable"), [])

    def test_the_answer_is_given_all_the_same(self):
        for ident, (button, allow) in enumerate(((ALLOW, True), (REFUSE, False)), 1):
            with self.subTest(button):
                self.daemon.ask(ident, kind="disposable", **{"can-remember": False})
                window = self.window()
                self.open_guard(window)
                self.click(self.button(window, button))
                self.wait_answer(ident, allow)
                self.assertEqual(self.daemon.did[-1], ("answer", ident, allow))
                self.no_window()
        self.assertNotIn("Remember", [did[0] for did in self.daemon.did])


class Shows(agentbox.AgentTest):
    def test_the_facts(self):
        self.daemon.ask(1)
        window = self.window()
        texts = window.texts()
        for text in ("work", "red", "personal", "blue", "files, on a pendrive", "1.0 GiB, 12.0 MiB of it used",
                     "Refuse, and block work"):
            self.assertIn(text, texts)
        self.assertTrue(any(t.startswith("Refused by itself in ") for t in texts), texts)

    def test_names_are_text(self):
        self.daemon.ask(1, **{"sender": "<b>work</b>", "receiver": "a&amp;_b\n\u202ec", "sender-label": "<i>",
                              "kind": "<u>x</u>"})
        texts = self.window().texts()
        for text in ("<b>work</b>", "a&amp;_b\\x0a\\u{202e}c", "<i>", "<u>x</u>", "Refuse, and block <b>work</b>"):
            self.assertIn(text, texts)

    def test_facts_missing(self):
        """A daemon that knows less."""
        owner, path = self.daemon.agents[-1]
        self.daemon.connection.call(owner, path, agentbox.NAME + ".Agent", "Ask",
                                    GLib.Variant("(ta{sv})", (1, {})), None, 0, GLib.MAXINT, None, None)
        texts = self.window().texts()
        self.assertEqual(texts.count("(no name)"), 2)
        self.assertIn("0 bytes", texts)

    def test_everything_has_a_name(self):
        self.daemon.ask(1)
        window = self.window()
        for node in window.nodes():
            if node.get_role() in (Atspi.Role.PUSH_BUTTON, Atspi.Role.RADIO_BUTTON, Atspi.Role.LABEL,
                                   Atspi.Role.HEADING) and is_in(node, "SHOWING"):
                self.assertNotEqual(node.get_name(), "", node.get_role_name())
        self.assertEqual(window.node.get_role(), Atspi.Role.ALERT)
        for name in ("work (red) wants to send a pendrive to personal (blue): files, on a pendrive, 1.0 GiB, "
                     "12.0 MiB of it used", "From: work (red)", "To: personal (blue)",
                     "Refuse, and block work for 1 hour"):
            self.assertIsNotNone(window.find(name), name)

    def test_the_question_itself_has_the_focus(self):
        """So that a screen reader begins with it."""
        self.daemon.ask(1)
        window = self.window()
        self.open_guard(window)
        focused = [n.get_name() for n in window.nodes() if is_in(n, "FOCUSED")]
        self.assertEqual(len(focused), 1, focused)
        self.assertTrue(focused[0].startswith("work (red) wants to send"), focused)

    def test_it_counts_down(self):
        def seconds():
            text = [t for t in window.texts() if t.startswith("Refused by itself in ")][0]
            return int(text.split()[-2])
        self.daemon.ask(1, expires=100)
        window = self.window()
        first = seconds()
        self.assertLessEqual(first, 100)
        until(lambda: seconds() < first, "a second to pass")


class Queue(agentbox.AgentTest):
    def waiting(self, window):
        return [t for t in window.texts() if " more from " in t]

    def test_one_window_at_a_time(self):
        self.daemon.ask(1)
        window = self.window()
        self.assertEqual(self.waiting(window), [])
        self.daemon.ask(2)
        self.daemon.ask(3)
        until(lambda: self.waiting(window) == ["2 more from work"], "the count")
        self.daemon.ask(4, sender="banking")
        until(lambda: self.waiting(window) == ["2 more from work, 1 from banking"], "the count")
        self.window()  # one
        self.open_guard(window)
        self.click(self.button(window, ALLOW))
        self.wait_answer(1, True)
        # The other VM's turn; and its window begins anew.
        until(lambda: self.shown(self.TITLE) and "banking" in self.window().texts(), "the next question")
        window = self.window()
        self.assertEqual(self.waiting(window), ["2 more from work"])
        self.assertEqual(self.answers(), [("answer", 1, True)])
        before = time.monotonic()
        self.open_guard(window)
        self.assertGreaterEqual(time.monotonic() - before, 1.0)

    def test_expiry_refuses(self):
        before = time.monotonic()
        self.daemon.ask(1, expires=2)
        self.daemon.ask(2, expires=1, sender="other")
        self.window()
        self.wait_answer(1, False)
        self.assertGreaterEqual(time.monotonic() - before, 2.0)
        self.no_window()
        # The one that was never on the screen went first.
        self.assertEqual(self.answers(), [("answer", 2, False), ("answer", 1, False)])

    def test_withdraw(self):
        self.daemon.ask(1)
        self.daemon.ask(2, sender="banking")
        self.daemon.ask(3, sender="mail")
        until(lambda: self.waiting(self.window()) == ["1 more from banking, 1 from mail"], "the count")
        self.daemon.withdraw(3)
        until(lambda: self.waiting(self.window()) == ["1 more from banking"], "the count")
        self.daemon.withdraw(1)
        until(lambda: self.shown(self.TITLE) and "banking" in self.window().texts(), "the next question")
        self.assertEqual(self.waiting(self.window()), [])
        self.daemon.withdraw(2)
        self.no_window()
        self.wait_answer(2, False)

    def test_asked_again_with_the_same_number(self):
        self.daemon.ask(1)
        self.window()
        self.daemon.ask(1, sender="banking")
        until(lambda: self.shown(self.TITLE) and "banking" in self.window().texts(), "the newer one")
        self.assertEqual(self.answers(), [("answer", 1, False)])


class Buses(agentbox.AgentTest):
    def test_the_daemon_goes_and_comes_back(self):
        self.daemon.ask(1)
        self.daemon.ask(2)
        self.window()
        self.daemon.stop()
        self.no_window()
        self.daemon = self.start_daemon()
        until(lambda: self.daemon.agents, "the agent to register anew")
        self.assertEqual(len(self.daemon.agents), 1)
        self.daemon.ask(1)
        window = self.window()
        self.open_guard(window)
        self.click(self.button(window, ALLOW))
        self.wait_answer(1, True)

    def test_only_the_daemon_may_ask(self):
        stranger = agentbox.open_bus(self.desktop.env["DBUS_SYSTEM_BUS_ADDRESS"])
        self.addCleanup(stranger.close_sync, None)
        owner, path = self.daemon.agents[-1]
        for method, arguments in (("Ask", GLib.Variant("(ta{sv})", (1, {}))),
                                  ("Withdraw", GLib.Variant("(t)", (2,)))):
            self.daemon.ask(2)
            window = self.window()
            with self.assertRaises(GLib.Error) as caught:
                stranger.call_sync(owner, path, agentbox.NAME + ".Agent", method, arguments, None, 0, -1, None)
            self.assertIn("AccessDenied", caught.exception.message)
            self.assertIn("work", window.texts())
            self.daemon.withdraw(2)
            self.no_window()

    def test_ended_while_asking_it_does_not_answer(self):
        """The daemon asks the next agent then, or refuses at the deadline."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(number):
                self.daemon.ask(1)
                self.window()
                self.agent.send_signal(number)
                self.agent.wait(agentbox.DEADLINE_S)
                until(self.answers, "the end of the call")
                self.assertIn("NoReply", self.answers()[0][2])
                self.daemon.did.clear()
                self.daemon.agents.clear()
                if number == signal.SIGTERM:
                    self.agent = self.start_agent()
        self.agent.returncode = 0  # the kill was ours

    def test_a_second_one_in_the_session(self):
        second = self.launch()
        until(lambda: second.poll() is not None, "the second one to end")
        self.assertEqual(second.returncode, 0)
        self.assertIn("it runs in this session already", self.desktop.log("agent"))
        self.assertEqual(len(self.daemon.agents), 1)


class TurnedAway(agentbox.AgentTest):
    daemon_options = {"turns_away": True}

    def start_agent(self):
        return self.launch()

    def test_says_what_to_do(self):
        until(lambda: self.agent.poll() is not None, "the agent to end")
        self.assertEqual(self.agent.returncode, 77)
        self.assertIn("you are not of the group", self.desktop.log("agent"))
        self.assertIn("usermod -aG qubes", self.desktop.log("agent"))


class LargeAndDark(agentbox.AgentTest):
    agent_env = {"GDK_SCALE": "2", "GTK_THEME": "Adwaita:dark"}

    def test_fits_and_works(self):
        self.daemon.ask(1, sender="w" * 63, receiver="p" * 63)
        window = self.window()
        size = dict(line.split("=") for line in self.desktop.xdotool(
            "getwindowgeometry", "--shell", self.x_window()).splitlines())
        self.assertLessEqual(int(size["WIDTH"]), agentbox.SCREEN[0])
        self.assertLessEqual(int(size["HEIGHT"]), agentbox.SCREEN[1])
        self.assertGreater(int(size["WIDTH"]), 700)  # it is at scale 2
        self.open_guard(window)
        self.choose(window, ALLOW)
        self.desktop.xdotool("key", "space")
        self.wait_answer(1, True)


if __name__ == "__main__":
    agentbox.main()
