# SPDX-License-Identifier: GPL-2.0-or-later
"""A story is told again and again, and each time the daemon dies at another point of it.

Whoever stands in the story waits for replies and disks alone, as a VM does, and so tells it to the end whichever
daemon serves it: what must have come of it is the same, wherever the first daemon was killed.
"""
import os
import signal
import sys

import crashpoints
import storebox
from crashpoints import Effects

PROGRAM = "qfilexchgd-store"

# Each daemon but the last is killed at its point; one that ends otherwise ends all. Stopped by its process group.
DAEMONS = """
trap : TERM
for at in $QFX_CRASH_POINTS; do
    QFX_CRASH_AT=$at setpriv --pdeathsig KILL -- "$@"
    status=$?
    [ $status = 137 ] || exit $status
done
exec "$@"
"""

# One agent after the other, since each ends with its daemon.
AGENTS = """
while setpriv --pdeathsig KILL -- gdbus wait --system org.qubes.FileExchange1; do
    setpriv --pdeathsig KILL -- "$@"
done
"""


def stride(default):
    """Every so many points are walked; QFX_CRASH_STRIDE=1: all of them."""
    return int(os.environ.get("QFX_CRASH_STRIDE", default))


class CrashTest(storebox.DaemonTest):
    """The daemon runs only while a story is told."""
    names = ("work", "personal", "other", "bystander")
    every = 1        # so many points are one step, unless QFX_CRASH_STRIDE says otherwise
    agent = "--yes"  # None: nobody answers
    daemon_env = {}

    def setUp(self):
        crashpoints.library()  # or the test is skipped
        super().setUp()
        self.effects = Effects(self.box.dir / "effects")
        self.asked = []
        self.daemons = None
        if self.agent:
            program = storebox.find_built("qfilexchgctl", self.box.build)
            self.box.spawn("agents", ["sh", "-c", AGENTS, "sh", program, "agent", self.agent])

    def start(self, config=None, **options):
        """Not before its time; the bus and the configuration are made."""
        self.box.start_bus()
        self.box.write_config(self.make_config(config))
        for folder in ("policy.d", "session-policy.d"):
            (self.box.dir / folder).mkdir(mode=0o755, exist_ok=True)

    def post(self, vm, request):
        ident = super().post(vm, request)
        self.asked.append((vm.domid, ident))
        return ident

    # One life

    def start_daemons(self, points):
        program = storebox.find_built(PROGRAM, self.box.build)
        env = {**self.effects.env(PROGRAM), "QFX_CRASH_POINTS": " ".join(map(str, points)),
               "QFX_POLICY_DIR": str(self.box.dir / "policy.d"),
               "QFX_POLICY_SESSION_DIR": str(self.box.dir / "session-policy.d"), **self.daemon_env}
        self.daemons = self.box.spawn("daemon", ["sh", "-c", DAEMONS, "sh", program, "--config",
                                                 self.box.dir / "qfilexchgd.conf"], own_group=True, **env)

    def stop_daemons(self, number):
        """In order, where the sanitizers report; or at once."""
        self.assertIsNone(self.daemons.poll(), "the daemon has ended by itself")
        os.killpg(self.daemons.pid, number)
        status = self.daemons.wait(storebox.DEADLINE_S)
        self.assertEqual(status, 0 if number == signal.SIGTERM else -number)

    def live(self, story, points=()):
        """Tells it, with daemons that die at these points. How many did, and how many effects the longest had."""
        self.effects.clear()
        self.asked.clear()
        self.start_daemons(points)
        story()
        self.wait_nothing_left()
        # One that has its point before it would meet it while it stops, and not be the last.
        is_last = self.effects.deaths() == len(points)
        # It serves; and what it did before is in the log.
        self.assert_error(self.ask(self.bystander, "umount"), "no-pendrive")
        self.stop_daemons(signal.SIGTERM if is_last else signal.SIGKILL)
        self.check_told()
        return self.effects.deaths(), self.effects.highest()

    def check_told(self):
        """Every request had one final answer. A VM that is gone may have had none."""
        replies = self.effects.replies()
        alive = {vm.domid for vm in self.vms} - {self.bystander.domid}
        self.assertLessEqual(set(replies), set(self.asked))
        for key in self.asked:
            if key[0] in alive or key in replies:
                self.assertEqual(len(replies[key]), 1, (key, replies[key]))
        self.assertEqual(self.box.violations(), [])
        self.assertEqual(self.box.complaints(), [])

    # All of them

    def walk(self, story):
        """With a death at each point of it, one after the other."""
        deaths, total = self.live(story)
        self.assertEqual(deaths, 0)
        self.assertGreater(total, 10)
        step = stride(self.every)
        walked = died = 0
        point = 1
        while True:
            with self.subTest(point=point):
                try:
                    deaths, _ = self.live(story, [point])
                except BaseException:
                    print(f"{self.id()}: died at point {point}", file=sys.stderr)
                    raise
            walked += 1
            died += deaths
            # A life may be longer than the first one was.
            if deaths == 0 and point > total:
                break
            point += step
        print(f"{self.id()}: {total} points, died at {died} of {walked - 1} that were walked", file=sys.stderr)
        self.assertGreaterEqual(died, (walked - 1) * 3 // 4)
