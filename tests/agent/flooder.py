#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM that asks without end: flooder.py SOCKET DEST SECONDS SENDS_PER_SECOND

Writes requests into its mailbox without waiting for an answer, two `send` to one `new`, so that it has something
to send as often as it is let. In no order: the daemon looks at times of its own, and must not find the same word
at each of them. Ends after so many seconds, but not before its standard input was closed, and says then how many of
each xenstore took, and in how many seconds.
"""
import json
import random
import select
import socket
import struct
import sys
import time

HEADER = struct.Struct("=IIII")  # type, request id, transaction id, length
WRITE, WATCH_EVENT, ERROR = 11, 15, 16
BATCH_SENDS = 50


def batch(number, dest):
    """The messages of so many sends, and how many messages they are."""
    messages = []
    for i in range(BATCH_SENDS):
        ident = number * BATCH_SENDS + i
        texts = [f"send {dest} #s{ident}"] + ([f"new #n{ident}"] if random.random() < 0.5 else [])
        for text in texts:
            body = b"device/qpen\0" + text.encode()
            messages.append(HEADER.pack(WRITE, 1, 0, len(body)) + body)
    return b"".join(messages), len(messages)


def read_replies(stream, count):
    """Waits for so many answers; a refusal by xenstore ends it all."""
    for _ in range(count):
        kind, _, _, length = HEADER.unpack(stream.read(HEADER.size))
        body = stream.read(length)
        if kind != WRITE:
            raise SystemExit(f"xenstored answers {kind}: {body}")


def let_go():
    return bool(select.select([sys.stdin], [], [], 0)[0])  # nothing is ever written to it


def main():
    path, dest, seconds, rate = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.connect(path)
    stream = link.makefile("rb")
    began = time.monotonic()
    sends = writes = number = 0
    while time.monotonic() < began + seconds or not let_go():
        messages, count = batch(number, dest)
        link.sendall(messages)
        read_replies(stream, count)
        number, sends, writes = number + 1, sends + BATCH_SENDS, writes + count
        # In step with the rate, and as fast as it goes where that is slower.
        time.sleep(max(began + sends / rate - time.monotonic(), 0))
    print(json.dumps({"sends": sends, "writes": writes, "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main()
