#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Stands in for qfilexchg-domains: the daemon starts it, and the test decides what it does.

As a program it has the arguments, the output and the exit statuses of the real one
(dom0/domains/domains.c says them), but does nothing itself: it tells the test over the socket that
$QFX_DOMAINS_SOCKET names, and ends as the test says. Like the real one it ends with the daemon.

domains_host.py is at the other end.
"""
import argparse
import ctypes
import json
import os
import signal
import socket
import sys

DONE, FAILED, USAGE, NO_MEMORY, TIMEOUT = 0, 1, 2, 10, 11

SOCKET_VARIABLE = "QFX_DOMAINS_SOCKET"
PR_SET_PDEATHSIG = 1

# word -> what must be said, what may be
OPERATIONS = {
    "make": (("name", "uuid"), ("label", "savefile", "config", "memory", "keep-free", "settle")),
    "unpause": (("uuid",), ()),
    "destroy": (("uuid",), ()),
    "survey": ((), ()),
    "prepare": (("config", "savefile"), ("uuid", "memory", "keep-free", "timeout")),
}


# ---- the program ----

def parse(argv):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    words = parser.add_subparsers(dest="operation", required=True)
    for word, (needed, allowed) in OPERATIONS.items():
        sub = words.add_parser(word, allow_abbrev=False)
        sub.add_argument("--parent", type=int, required=True)
        for option in needed + allowed:
            sub.add_argument("--" + option, dest=option, required=option in needed)
    options = {key: value for key, value in vars(parser.parse_args(argv)).items()
               if value is not None}
    if options["operation"] == "make" and ("savefile" in options) == ("config" in options):
        parser.error("make needs either a save file or a config")
    return options


def end_with(parent):
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(FAILED)


def run_program():
    options = parse(sys.argv[1:])
    end_with(options.pop("parent"))
    with socket.socket(socket.AF_UNIX) as host:
        host.connect(os.environ[SOCKET_VARIABLE])
        host.sendall(json.dumps(options).encode() + b"\n")
        line = host.makefile("rb").readline()
    if not line:
        return FAILED
    answer = json.loads(line)
    sys.stdout.write(answer["out"])
    sys.stderr.write(answer["err"])
    return answer["status"]


if __name__ == "__main__":
    sys.exit(run_program())
