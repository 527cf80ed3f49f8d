# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that die before the side effect of a given number: the test's end of tests/crash/points.c.

    effects = Effects(box.dir / "effects")
    env = effects.env("qfilexchgd-store", at=7)    # dies by SIGKILL before its 7th side effect
    ...
    effects.deaths(), effects.count(pid), effects.replies()
"""
import collections
import os
import re

import storebox

LIBRARY = "libcrashpoints.so"
REPLY = re.compile(r"/local/domain/(\d+)/device/qpen-reply/([0-9A-Za-z]+)")

# call: as in points.c. args: bytes.
Effect = collections.namedtuple("Effect", "pid number call result args")


def library(build=None):
    """The path of what is preloaded."""
    try:
        return storebox.find_built(LIBRARY, build)
    except FileNotFoundError:
        raise storebox.Skip("this build has no QFX_CRASH_POINTS") from None


def unescape(text):
    """The bytes of an argument."""
    return re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), text)


class Effects:
    """The log of side effects of one program, or of several one after the other."""

    def __init__(self, path):
        self.path = path

    def env(self, program, at=None, full=None):
        """What must be in the environment of the program, or of whoever starts it. full: (a folder, the number at which it
        is full)."""
        sanitizer = os.environ.get("ASAN_OPTIONS", "")
        env = {"LD_PRELOAD": library(), "QFX_CRASH_PROGRAM": program, "QFX_CRASH_LOG": str(self.path),
               # The sanitizer wants to be loaded first; it works behind us as well.
               "ASAN_OPTIONS": f"{sanitizer}:verify_asan_link_order=0".lstrip(":")}
        if at is not None:
            env["QFX_CRASH_AT"] = str(at)
        if full is not None:
            env["QFX_CRASH_FULL_DISK"], env["QFX_CRASH_FULL_AT"] = map(str, full)
        return env

    def clear(self):
        self.path.write_bytes(b"")

    def read(self):
        """All effects so far."""
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_bytes().splitlines():
            pid, number, call, result, *args = line.split(b"\t")
            found.append(Effect(int(pid), int(number), call.decode(), int(result), [unescape(arg) for arg in args]))
        return found

    def deaths(self):
        """How many processes have died at their point."""
        return sum(effect.call == "die" for effect in self.read())

    def refusals(self):
        """How often the disk was full."""
        return sum(effect.call == "full" for effect in self.read())

    def highest(self):
        """The number of the last side effect of any process."""
        return max((effect.number for effect in self.read()), default=0)

    def replies(self):
        """(domid, ID) -> the final replies that were written, in order, whoever wrote them."""
        found = collections.defaultdict(list)
        pending = collections.defaultdict(list)  # of transactions that have not ended
        for effect in self.read():
            if effect.call == "xs_write":
                transaction, path, value = int(effect.args[0]), effect.args[1].decode(), effect.args[2].decode()
                match = REPLY.fullmatch(path)
                if match and value.split(" ")[1] in ("ok", "error"):
                    reply = ((int(match[1]), match[2]), value)
                    if transaction:
                        pending[effect.pid, transaction].append(reply)
                    else:
                        found[reply[0]].append(reply[1])
            elif effect.call == "xs_transaction_end":
                transaction, is_aborted = int(effect.args[0]), int(effect.args[1])
                for key, value in pending.pop((effect.pid, transaction), []):
                    if effect.result and not is_aborted:
                        found[key].append(value)
        return found
