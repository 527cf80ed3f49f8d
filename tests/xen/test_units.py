# SPDX-License-Identifier: GPL-2.0-or-later
"""How much our units may do, by the measure of `systemd-analyze security`, as they are loaded; what they do with it is
what all other tests here show.
"""
import unittest

from boxcase import BoxCase
from desktop import USER, Desktop

# Tenths; what is above that is an error, with a figure of its own and its reason in SECURITY.md.
MOST = 29
EDITORS = 54
DOM0 = ("qfilexchgd.service",)
VM = ("qubes-dvm-answer.service", "qubes-dvm-seed.service", "qubes-pendrive-ready.service",
      "qubes-pendrive-version.service", "qubes-pendrive@xvdh.service")


class Units(BoxCase):
    def assert_exposure(self, domain, unit, most, *before):
        argv = [*before, "systemd-analyze", "security", "--no-pager", *(["--user"] if before else []), unit]
        done = self.box.exec(domain, [*argv, f"--threshold={most}"])
        self.assertEqual(done.status, 0, done.stdout.decode(errors="replace")[-200:] + done.stderr.decode(errors="replace"))
        # A measure that nothing exceeds would hold nothing.
        self.assertNotEqual(self.box.exec(domain, [*argv, "--threshold=1"]).status, 0)

    def test_exposure(self):
        for unit in DOM0:
            self.assert_exposure("dom0", unit, MOST)
        for unit in VM:
            self.assert_exposure("work", unit, MOST)
        # An editor runs in it.
        self.assert_exposure("work", "qubes-dvm-transaction.service", EDITORS)

    def test_the_agents(self):
        """Of a user's own systemd; and it runs like that, in a user namespace."""
        Desktop(self.box).start()
        uid = self.dom0(f"id -u {USER}")
        user = ["runuser", "-u", USER, "--", "env", f"XDG_RUNTIME_DIR=/run/user/{uid}"]
        self.assert_exposure("dom0", "qfilexchg-agent.service", MOST, *user)
        # A desktop starts it by two ways, and which of them is first is chance.
        said = "journalctl -u qfilexchgd -o cat | grep -c '^the agent .* is there to be asked'"
        before = int(self.dom0(said))
        systemctl = " ".join([*user, "systemctl", "--user"])
        self.dom0(f"{systemctl} stop qfilexchg-agent; pkill -u {USER} -x qfilexchg-agent; {systemctl} start qfilexchg-agent")
        self.wait_for("dom0", f"[ $({said}) -gt {before} ]", "the agent to come back")
        pid = self.dom0(f"{systemctl} show -P MainPID qfilexchg-agent")
        self.assertEqual(self.dom0(f"cat /proc/{pid}/comm"), "qfilexchg-agent")
        self.assertNotEqual(*(self.dom0(f"readlink /proc/{number}/ns/user") for number in (pid, 1)))

    def test_none_is_forgotten(self):
        """Each unit of ours that the box has is looked at here; its VMs have no desktop."""
        def ours(domain):
            out = self.sh(domain, "cd /usr/lib/systemd && ls system user | grep -E '^(qfilexchg|qubes-|qvm-).*[.]service$'")
            return {name.replace("@.", "@xvdh.") for name in out.split()}

        self.assertEqual(ours("dom0"), {*DOM0, "qfilexchg-agent.service"})
        self.assertEqual(ours("work"), {*VM, "qubes-dvm-transaction.service"})


if __name__ == "__main__":
    unittest.main()
