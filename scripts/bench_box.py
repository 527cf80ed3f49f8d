# SPDX-License-Identifier: GPL-2.0-or-later
"""What the parts of scripts/bench that happen in the Xen box have in common.

The box is an emulation: each process costs a tenth of a second there. What is compared takes turns within one run.
"""
import contextlib
import json
import os
import shlex
import sys

from bench_common import CLONE

sys.path.insert(0, str(CLONE / "tests" / "xenbox"))

import xenboxlib  # noqa: E402 (found by the line above)

WAIT_S = 1800
IMAGES = "/var/lib/qfilexchgd"


class BoxBench:
    def __init__(self, box):
        self.box = box

    def sh(self, domain, script):
        """As root, in a shell; what it printed."""
        return self.box.exec(domain, ["sh", "-c", script], check=True, timeout=WAIT_S).stdout.decode().strip()

    def wait_for(self, domain, condition):
        self.sh(domain, f"until {condition}; do sleep 0.2; done")

    def wait_nothing_left(self):
        self.wait_for("dom0", "qfilexchgctl list | grep -q '^No pendrive'")

    def configure(self, **groups):
        """The configuration from now on: group={key: value}, with _ for -."""
        text = "".join(f"[{group}]\n" + "".join(f"{key.replace('_', '-')} = {value}\n" for key, value in keys.items())
                       for group, keys in groups.items())
        self.sh("dom0", f"printf %s {shlex.quote(text)} > /etc/qfilexchgd/qfilexchgd.conf "
                        "&& systemctl reload qfilexchgd")

    def allow(self):
        """Pendrives go from VM to VM without a question; a VM may ask as often as it likes."""
        self.sh("dom0", "echo 'qubes.Pendrive * @anyvm @anyvm allow' > /etc/qfilexchgd/policy.d/10-bench.policy")
        self.configure(requests={"burst": 1000, "per_minute": 6000})

    def log(self):
        """What the daemon said: [(microseconds, message)]."""
        lines = self.sh("dom0", "journalctl -u qfilexchgd -o json "
                                "--output-fields=MESSAGE,_SOURCE_REALTIME_TIMESTAMP").splitlines()
        entries = [json.loads(line) for line in lines]
        return [(int(entry["_SOURCE_REALTIME_TIMESTAMP"]), entry["MESSAGE"]) for entry in entries
                if isinstance(entry.get("MESSAGE"), str) and "_SOURCE_REALTIME_TIMESTAMP" in entry]

    def domid(self, vm):
        return self.sh("dom0", f"xl domid {vm}")


@contextlib.contextmanager
def fresh_box():
    box = xenboxlib.Box(os.environ.get("XENBOX", "bench"))
    box.start(fresh=True)
    try:
        yield box
    finally:
        box.stop()


def guarded(main):
    """Runs it; what goes wrong in the box is one line."""
    try:
        main()
    except xenboxlib.BoxError as error:
        raise SystemExit(f"bench: {error}") from error
