# SPDX-License-Identifier: GPL-2.0-or-later
"""The question on the screen of dom0, answered with the mouse by an ordinary user in a session of its own.

The pictures of it stay in build/artifacts.
"""
import unittest

from boxcase import BoxCase
from desktop import QUESTION, USER, Desktop

FILES, MIB = 20, 2
# Long enough for any machine; what is waited for is the click.
ANSWER_S = 1800


class Click(BoxCase):
    config = {"questions": {"timeout": ANSWER_S, "hide-refusals": "no"}, "labels": {"work": "blue", "personal": "green"}}

    def setUp(self):
        super().setUp()
        self.desktop = Desktop(self.box)
        self.desktop.start()

    def send(self):
        """work's user sends a folder; returns the copy under way, and the folder's sums, when dom0 is to be asked."""
        self.make_tree("work", "tree", FILES, MIB)
        sums = self.sums("work", "tree")
        copy = self.start("work", "qvm-copy-to-vm", "personal", "/home/user/tree", user="user")
        said = []
        for line in iter(copy.stderr.readline, b""):
            said.append(line.decode())
            if "waiting for the answer" in said[-1]:
                return copy, sums
        self.fail(f"qvm-copy-to-vm ended without a question: {''.join(said)}")

    def state(self):
        """Of the only transfer."""
        return self.dom0("qfilexchgctl list | awk '$3 == \"work\" { print $2 }'")

    def too_early(self, window, name):
        """A click at a window that has not had the focus for a second gives it the focus, and is no answer."""
        button = self.desktop.button(name)
        self.assertFalse(self.desktop.has_focus(window), "the question took the focus by itself")
        self.assertFalse(self.desktop.takes_clicks(button), "the question takes answers without having the focus")
        self.desktop.click(button)
        # The guard opens after the click was handled: the window is there still, and has its focus from it.
        self.desktop.wait_takes_clicks(button)
        self.assertTrue(self.desktop.has_focus(window))
        self.assertEqual(self.state(), "asking")
        return button

    def test_allowed(self):
        # More than one for a moment: a desktop starts it by two ways, and the second one ends.
        self.assertNotEqual(self.dom0(f"pgrep -u {USER} -x qfilexchg-agent"), "")
        copy, want = self.send()
        window = self.desktop.window(QUESTION)
        self.desktop.screenshot("question-asked")
        allow = self.too_early(window, "Allow")
        self.desktop.screenshot("question-takes-answers")
        self.desktop.click(allow)
        status, text = self.finish(copy)
        self.assertEqual(status, 0, text)
        self.wait_incoming("personal")
        self.assertEqual(self.sums("personal", "/mnt/incoming/tree"), want)
        self.desktop.notification()
        self.desktop.screenshot("delivered")
        self.unmount_incoming("personal")
        self.wait_nothing_left()

    def test_refused(self):
        copy, want = self.send()
        refuse = self.too_early(self.desktop.window(QUESTION), "Refuse")
        self.desktop.click(refuse)
        status, text = self.finish(copy)
        self.assertEqual(status, 1, text)
        self.assertIn("refused", text)
        self.assertEqual(self.sums("work", "tree"), want)
        self.sh("personal", "! [ -e /dev/xvdh ]")
        self.desktop.notification()
        self.desktop.screenshot("refused")
        self.wait_nothing_left()


if __name__ == "__main__":
    unittest.main()
