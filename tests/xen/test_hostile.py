# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM attacks dom0, in one way after the other. The VM beside it is served, and of the attack nothing is left.

How long the honest VM waits is measured by scripts/bench hostile; a test that asked for that would fail on a busy machine.
"""
import sys
import unittest

from hostilecase import ATTACKER, HostileCase, median, name_of


class Attacks(HostileCase):
    def test_each_leaves_the_others_served(self):
        log_lines = 0
        for attack in self.attacks:
            with self.subTest(name_of(attack)):
                seen = self.attack(attack, 3, 1)
                self.assert_alive()
                now = int(self.dom0("journalctl -u qfilexchgd -o cat --no-pager | wc -l"))
                print(f"{name_of(attack)}: {median(seen['umount']):.0f} ms, {now - log_lines} lines", file=sys.stderr)
                self.assertLess(now - log_lines, 3000)
                log_lines = now
        # And the attacker is a VM like any other again.
        self.assert_serves(ATTACKER)
        self.wait_nothing_left()


if __name__ == "__main__":
    unittest.main()
