# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's end of the command channel (agent/wire.h): one connection runs one command in the box."""

import fcntl
import os
import select
import socket
import struct
import time

PORTS = 16  # so many commands can run at once

ESCAPE = b"\xa5"
SYNC = b"\xa5\x01"
WINDOW = 1 << 20
CHUNK = 64 * 1024
HEADER = struct.Struct("<BI")
NUMBER = struct.Struct("<I")

HELLO, START, STDIN, SIGNAL = b"HSik"
TAKEN, STDOUT, STDERR, EXIT, ERROR = b"toexf"


class ChannelError(Exception):
    """There is no connection to the box, or none to the VM: the command may not have run."""


class ChannelTimeout(ChannelError):
    pass


def socket_path(folder, number):
    return os.path.join(folder, f"port{number}")


def _frame(kind, payload=b""):
    return (HEADER.pack(kind, len(payload)) + payload).replace(ESCAPE, ESCAPE + b"\0")


class _Unescaper:
    """Bytes from the port -> plain bytes. After a SYNC the plain bytes begin anew."""

    def __init__(self):
        self.carry = b""

    def feed(self, data):
        """A list of plain pieces; None stands for a SYNC."""
        data = self.carry + data
        self.carry = b""
        if data.endswith(ESCAPE):
            # Whether this one escapes is told by the next byte.
            data, self.carry = data[:-1], ESCAPE
        pieces = []
        for number, part in enumerate(data.split(SYNC)):
            if number > 0:
                pieces.append(None)
            if part:
                pieces.append(part.replace(ESCAPE + b"\0", ESCAPE))
        return pieces


class Channel:
    """A free port of the box, with a command on it from start() to the "exit" event. Close it to kill the command."""

    def __init__(self, folder, deadline):
        self.sock = None
        self._lock = None
        self._out = bytearray()
        self._in = bytearray()
        self._unescape = _Unescaper()
        self._window = WINDOW
        self._nonce = os.urandom(16)
        self._synced = False  # met the beginning of a conversation
        self._greeted = False  # and it is ours
        self._acquire(folder, deadline)

    def _acquire(self, folder, deadline):
        """Take a port that no other client uses: whoever holds the lock on portN.lock."""
        first = os.getpid() % PORTS
        while True:
            for number in range(PORTS):
                path = socket_path(folder, (first + number) % PORTS)
                try:
                    lock = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                except OSError as error:
                    raise ChannelError("the box is not running") from error
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(lock)
                    continue
                self._lock = lock
                self._connect(path)
                return
            if time.monotonic() > deadline:
                raise ChannelTimeout(f"all {PORTS} command ports of the box are in use")
            time.sleep(0.05)

    def _connect(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        try:
            self.sock.connect(path)
        except OSError as error:
            self.close()
            raise ChannelError("the box is not running") from error
        self.sock.setblocking(False)

    def close(self):
        if self.sock is not None:
            self.sock.close()
            self.sock = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def start(self, domain, argv, wait, deadline):
        """Greet the agent, which may still be booting, and give it the command."""
        self._out += SYNC + _frame(HELLO, self._nonce)
        words = [domain, str(int(wait)), *argv]
        payload = b"".join(os.fsencode(word) + b"\0" for word in words)
        if len(payload) > WINDOW:
            raise ChannelError("the command line is too long")
        while not self._greeted:
            left = deadline - time.monotonic()
            if left <= 0:
                raise ChannelTimeout("dom0's agent does not answer")
            self.poll(None, left)
        self._out += _frame(START, payload)

    def room(self):
        """How much input may be sent now."""
        return min(CHUNK, self._window) if len(self._out) < 2 * CHUNK else 0

    def send_input(self, data):
        """At most room() bytes; none at all means the end."""
        self._window -= len(data)
        self._out += _frame(STDIN, data)

    def send_signal(self, number):
        self._out += _frame(SIGNAL, NUMBER.pack(number))

    def poll(self, fds, timeout):
        """Wait for the box or one of the descriptors {fd: events}, move bytes.

        Returns (frames, ready descriptors). Raises ChannelError if the box hangs up.
        """
        poller = select.poll()
        poller.register(self.sock, select.POLLIN | (select.POLLOUT if self._out else 0))
        for fd, events in (fds or {}).items():
            poller.register(fd, events)
        ready = dict(poller.poll(None if timeout is None else max(0, timeout * 1000)))
        events = ready.pop(self.sock.fileno(), 0)
        if events & select.POLLOUT:
            self._flush()
        frames = self._receive() if events & ~select.POLLOUT else []
        return frames, ready

    def _flush(self):
        try:
            sent = self.sock.send(memoryview(self._out)[:1 << 18])
        except BlockingIOError:
            return
        except OSError as error:
            raise ChannelError("the box is gone") from error
        del self._out[:sent]

    def _receive(self):
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return []
        except OSError as error:
            raise ChannelError("the box is gone") from error
        if not data:
            raise ChannelError("the box is gone")
        frames = []
        for piece in self._unescape.feed(data):
            if piece is None:
                self._in.clear()
                self._synced = True
                self._greeted = False
            elif self._synced:
                self._in += piece
                frames += self._take_frames()
        return frames

    def _take_frames(self):
        frames = []
        position = 0
        view = bytes(self._in)
        while len(view) - position >= HEADER.size:
            kind, size = HEADER.unpack_from(view, position)
            if len(view) - position - HEADER.size < size:
                break
            position += HEADER.size
            payload = view[position:position + size]
            position += size
            if kind == HELLO:
                # Anybody else's: what an agent said to a client that was killed.
                self._greeted = payload == self._nonce
            elif not self._greeted:
                continue
            elif kind == TAKEN:
                self._window += NUMBER.unpack(payload)[0]
            elif kind == EXIT:
                frames.append((EXIT, NUMBER.unpack(payload)[0]))
            else:
                frames.append((kind, payload))
        del self._in[:position]
        return frames


class BytesSource:
    """Input that is there already."""

    fd = None

    def __init__(self, data=b""):
        self._view = memoryview(data)

    def read(self, size):
        piece = bytes(self._view[:size])
        self._view = self._view[size:]
        return piece


class FdSource:
    """Input from a file, a pipe or a terminal."""

    def __init__(self, fd):
        self.fd = fd

    def read(self, size):
        return os.read(self.fd, size)


def converse(channel, source, on_stdout, on_stderr, timeout=None, control=None):
    """Serve a started command until it ends; returns its exit status.

    `control` is a descriptor from which each byte read is a signal to send.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        room = channel.room() if source else 0
        if room and source.fd is None:
            source = _feed(channel, source, room)
            room = channel.room() if source else 0
        fds = {}
        if room and source.fd is not None:
            fds[source.fd] = select.POLLIN
        if control is not None:
            fds[control] = select.POLLIN
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise ChannelTimeout("the command took too long and was killed")
        if room and source.fd is None:
            left = 0
        frames, ready = channel.poll(fds, left)
        for kind, value in frames:
            if kind == STDOUT:
                on_stdout(value)
            elif kind == STDERR:
                on_stderr(value)
            elif kind == EXIT:
                return value
            elif kind == ERROR:
                raise ChannelError(value.decode(errors="replace"))
        if control in ready:
            for number in os.read(control, 16):
                channel.send_signal(number)
        if source and source.fd in ready:
            source = _feed(channel, source, room)


def _feed(channel, source, room):
    """Send one piece of input; returns the source, or None after its end."""
    data = source.read(room)
    channel.send_input(data)
    return source if data else None
