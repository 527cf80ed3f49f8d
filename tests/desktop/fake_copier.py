#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Stands in for qvm-copy-to-vm --report=FD: says what a test tells it to, and tells what it is told.

What happens goes as lines of JSON into the file $QFX_FAKE/happened; orders come from the FIFO
$QFX_FAKE/orders: `say LINE` into the report, `err TEXT` to the standard error, `exit STATUS`.
"""
import json
import os
import pathlib
import signal
import sys

FOLDER = pathlib.Path(os.environ["QFX_FAKE"])


def happened(*what):
    line = json.dumps(what) + "\n"
    file = os.open(FOLDER / "happened", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, line.encode())
    os.close(file)


def main():
    signal.signal(signal.SIGINT, lambda *_: happened("interrupted"))
    report = next((int(w.removeprefix("--report=")) for w in sys.argv if w.startswith("--report=")), 1)
    happened("started", os.getpid(), os.path.basename(sys.argv[0]),
             *(os.fsencode(w).decode("latin-1") for w in sys.argv[1:]))
    # For writing as well: so it has no end when the test closes it.
    orders = os.fdopen(os.open(FOLDER / "orders", os.O_RDWR), "rb", buffering=0)
    for order in orders:
        word, _, rest = order.rstrip(b"\n").partition(b" ")
        if word == b"say":
            os.write(report, rest + b"\n")
        elif word == b"err":
            os.write(2, rest + b"\n")
        else:
            sys.exit(int(rest))


main()
