#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Notifications: as text whatever the server can do, not too many, and never at the question's cost."""
import agentbox
from agentbox import GLib, until

PER_MINUTE = 5


class Notices(agentbox.AgentTest):
    def shows(self, *want):
        until(lambda: len(self.notifications.shown) >= len(want), "the notifications")
        self.assertEqual(self.notifications.shown, list(want))

    def test_each_kind(self):
        self.daemon.notice("delivered", vm="work", receiver="personal")
        self.daemon.notice("refused", vm="work", receiver="personal", reason="nobody answered")
        self.daemon.notice("blocked", vm="work")
        self.shows(("Pendrive delivered", "From work to personal."),
                   ("Pendrive refused", "From work to personal: nobody answered."),
                   ("work is blocked",
                    "What it sends is refused, unasked. The list of pendrives lets you unblock it."))

    def test_the_body_is_escaped(self):
        self.daemon.notice("delivered", vm="<b>w&k</b>", receiver="personal")
        self.shows(("Pendrive delivered", "From &lt;b&gt;w&amp;k&lt;/b&gt; to personal."))

    def test_not_more_than_so_many_of_a_vm(self):
        for _ in range(20):
            self.daemon.notice("delivered", vm="work", receiver="personal")
        self.daemon.notice("delivered", vm="mail", receiver="personal")
        # In order: when mail's is there, all of work's were handled.
        self.shows(*[("Pendrive delivered", "From work to personal.")] * PER_MINUTE,
                   ("Pendrive delivered", "From mail to personal."))

    def test_one_that_asks_too_often_is_told_of_whatever_else_it_caused(self):
        for _ in range(PER_MINUTE + 1):
            self.daemon.notice("refused", vm="work", receiver="personal")
        self.daemon.emit("Notice", GLib.Variant("(sa{sv})", ("too-often", {
            "vm": GLib.Variant("s", "work"), "count": GLib.Variant("u", 12)})))
        self.shows(*[("Pendrive refused", "From work to personal.")] * PER_MINUTE,
                   ("work asks too often", "12 more of its pendrives were refused, unasked."))


class PlainServer(agentbox.AgentTest):
    notification_options = {"capabilities": ("body",)}

    def test_a_body_without_markup_is_not_escaped(self):
        self.daemon.notice("delivered", vm="<b>w&k</b>", receiver="personal")
        until(lambda: self.notifications.shown, "the notification")
        self.assertEqual(self.notifications.shown,
                         [("Pendrive delivered", "From <b>w&k</b> to personal.")])


class TitlesOnly(agentbox.AgentTest):
    notification_options = {"capabilities": ()}

    def test_all_of_it_is_in_the_title(self):
        self.daemon.notice("delivered", vm="work", receiver="personal")
        until(lambda: self.notifications.shown, "the notification")
        self.assertEqual(self.notifications.shown[0][0], "Pendrive delivered: From work to personal.")


class HangingServer(agentbox.AgentTest):
    notification_options = {"hangs": True}

    def test_questions_go_on(self):
        self.daemon.notice("delivered", vm="work", receiver="personal")
        until(lambda: self.notifications.shown, "the call that hangs")
        self.daemon.ask(1)
        window = self.window()
        self.open_guard(window)
        self.click(self.button(window, "Allow"))
        self.wait_answer(1, True)


if __name__ == "__main__":
    agentbox.main()
