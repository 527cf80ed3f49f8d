# SPDX-License-Identifier: GPL-2.0-or-later
"""A xenstore client in pure Python, over the unix socket of xenstored or of a simulated VM.

    xs = Xs("/path/to/socket")
    xs.write("/a/b", "1");  xs.read("/a/b");  xs.ls("/a");  xs.rm("/a")
    xs.set_perms("/a", "n0", "r5")
    xs.wait("/a/state", "4")                   # by a watch, not by polling
    xs.transact(lambda tx: tx.write("/a", "x"))  # again as long as it conflicts

Not for several threads. Strings are UTF-8; other bytes survive as surrogates.
"""
import collections
import contextlib
import errno
import os
import socket
import struct
import time

# A reply or an event is waited for this long; only a failing test ever waits to the end.
DEADLINE_S = float(os.environ.get("QFX_STORE_DEADLINE", "120"))

DIRECTORY, READ, GET_PERMS, WATCH, UNWATCH, TX_START, TX_END, INTRODUCE, RELEASE, \
    GET_DOMAIN_PATH, WRITE, MKDIR, RM, SET_PERMS, WATCH_EVENT, ERROR, IS_INTRODUCED = range(1, 18)
DIRECTORY_PART = 20

_HEADER = struct.Struct("=IIII")  # type, request id, transaction id, length


class XsError(OSError):
    """xenstored refused a request; errno says why."""

    def __init__(self, number, path):
        super().__init__(number, os.strerror(number), path)


def _encode(text):
    return text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogateescape")


def _decode(raw):
    return raw.decode("utf-8", "surrogateescape")


class _Nodes:
    """What can be done in a transaction and outside of one."""

    def _call(self, kind, body, path=None):
        raise NotImplementedError

    def read(self, path):
        return _decode(self._call(READ, _encode(path) + b"\0", path))

    def read_or(self, path, fallback=None):
        """The value, or fallback if there is no such node."""
        try:
            return self.read(path)
        except XsError as error:
            if error.errno != errno.ENOENT:
                raise
            return fallback

    def exists(self, path):
        return self.read_or(path) is not None

    def write(self, path, value=""):
        self._call(WRITE, _encode(path) + b"\0" + _encode(value), path)

    def mkdir(self, path):
        self._call(MKDIR, _encode(path) + b"\0", path)

    def rm(self, path):
        """Removes the node and all below; it is no error if there is none, but for its parent."""
        self._call(RM, _encode(path) + b"\0", path)

    def ls(self, path):
        """The names of its children, sorted."""
        try:
            raw = self._call(DIRECTORY, _encode(path) + b"\0", path)
        except XsError as error:
            if error.errno != errno.E2BIG:
                raise
            raw = self._ls_in_parts(path)
        return sorted(_decode(name) for name in raw.split(b"\0")[:-1])

    def _ls_in_parts(self, path):
        while True:  # again if the list changed between two parts
            names, generation = b"", None
            while True:
                body = _encode(path) + b"\0" + str(len(names)).encode() + b"\0"
                part_generation, _, part = self._call(DIRECTORY_PART, body, path).partition(b"\0")
                if generation not in (None, part_generation):
                    break
                generation = part_generation
                if part.endswith(b"\0\0") or part == b"\0":
                    return names + part[:-1]
                names += part

    def tree(self, path):
        """All nodes from path on, as {path: value}; empty if there is none."""
        try:
            found = {path: self.read(path)}
            names = self.ls(path)
        except XsError as error:
            if error.errno != errno.ENOENT:
                raise
            return {}  # it may also have gone while we looked
        for name in names:
            found.update(self.tree(path.rstrip("/") + "/" + name))
        return found

    def get_perms(self, path):
        """For example ["n0", "r5"]: the first is the owner and what all others may do."""
        raw = self._call(GET_PERMS, _encode(path) + b"\0", path)
        return [_decode(perm) for perm in raw.split(b"\0")[:-1]]

    def set_perms(self, path, *perms):
        body = b"".join(_encode(part) + b"\0" for part in (path, *perms))
        self._call(SET_PERMS, body, path)


class Transaction(_Nodes):
    """Made by Xs.transaction()."""

    def __init__(self, xs):
        self._xs = xs
        self._id = int(xs._request(TX_START, b"\0").rstrip(b"\0"))

    def _call(self, kind, body, path=None):
        return self._xs._request(kind, body, path, self._id)

    def end(self, commit):
        self._xs._request(TX_END, b"T\0" if commit else b"F\0", None, self._id)


class Watch:
    """Made by Xs.watch(). Fires once at the start, as every xenstore watch."""

    def __init__(self, xs, path):
        self._xs = xs
        self.path = path
        self._token = xs._new_token()
        xs._events[self._token] = collections.deque()
        xs._request(WATCH, _encode(path) + b"\0" + self._token + b"\0", path)

    def next(self, timeout=None):
        """Waits for an event and gives the path that changed. TimeoutError when none comes."""
        events = self._xs._events[self._token]
        deadline = time.monotonic() + (DEADLINE_S if timeout is None else timeout)
        while not events:
            self._xs._receive(deadline)
        return events.popleft()

    def drain(self):
        """Gives what has come until now, without waiting."""
        found = []
        with contextlib.suppress(TimeoutError):
            while True:
                found.append(self.next(0))
        return found

    def close(self):
        if self._token in self._xs._events:
            self._xs._request(UNWATCH, _encode(self.path) + b"\0" + self._token + b"\0", self.path)
            del self._xs._events[self._token]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Xs(_Nodes):
    """A connection. Over a VM's socket it speaks as that domain."""

    def __init__(self, socket_path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(socket_path))
        except OSError:
            self._socket.close()
            raise
        self._buffer = b""
        self._replies = {}
        self._events = {}  # token -> paths not yet taken
        self._last_id = 0
        self._last_token = 0

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # The wire

    def _new_token(self):
        self._last_token += 1
        return str(self._last_token).encode()

    def _receive(self, deadline):
        """Takes one message in, or raises TimeoutError."""
        while True:
            if len(self._buffer) >= _HEADER.size:
                kind, request_id, _, length = _HEADER.unpack_from(self._buffer)
                end = _HEADER.size + length
                if len(self._buffer) >= end:
                    break
            self._socket.settimeout(max(deadline - time.monotonic(), 0.0001))
            try:
                data = self._socket.recv(65536)
            except (socket.timeout, BlockingIOError):
                raise TimeoutError("nothing more from xenstored") from None
            if not data:
                raise ConnectionResetError("xenstored, or the VM, is gone")
            self._buffer += data
        body, self._buffer = self._buffer[_HEADER.size:end], self._buffer[end:]
        if kind == WATCH_EVENT:
            path, token = body.split(b"\0")[:2]
            if token in self._events:
                self._events[token].append(_decode(path))
        else:
            self._replies[request_id] = (kind, body)

    def _send(self, kind, body, tx_id=0):
        self._last_id += 1
        self._socket.settimeout(DEADLINE_S)
        self._socket.sendall(_HEADER.pack(kind, self._last_id, tx_id, len(body)) + body)
        return self._last_id

    def _reply(self, request_id, path):
        deadline = time.monotonic() + DEADLINE_S
        while request_id not in self._replies:
            self._receive(deadline)
        kind, body = self._replies.pop(request_id)
        if kind == ERROR:
            name = body.rstrip(b"\0").decode()
            raise XsError(getattr(errno, name, errno.EIO), path)
        return body

    def _request(self, kind, body, path=None, tx_id=0):
        return self._reply(self._send(kind, body, tx_id), path)

    def _call(self, kind, body, path=None):
        return self._request(kind, body, path)

    def write_raw(self, data):
        """Puts bytes on the wire as they are: for tests of what a broken client may do."""
        self._socket.sendall(data)

    # Transactions

    @contextlib.contextmanager
    def transaction(self):
        """Commits at the end of the block, drops everything on an exception.

        A conflict is XsError with EAGAIN.
        """
        tx = Transaction(self)
        try:
            yield tx
        except BaseException:
            tx.end(False)
            raise
        tx.end(True)

    def transact(self, body):
        """Runs body(tx) in a transaction until it does not conflict; gives what body gave."""
        while True:
            try:
                with self.transaction() as tx:
                    result = body(tx)
                return result
            except XsError as error:
                if error.errno != errno.EAGAIN:
                    raise

    # Watches

    def watch(self, path):
        return Watch(self, path)

    def wait(self, path, wanted, timeout=None):
        """Waits until the node has a value, and gives it; None stands for "no such node".

        wanted is that value (a string or None) or a function that says yes to it. On time-out the
        error names the path and its last value.
        """
        accepts = wanted if callable(wanted) else lambda value: value == wanted
        deadline = time.monotonic() + (DEADLINE_S if timeout is None else timeout)
        with self.watch(path) as watch:
            while True:
                value = self.read_or(path)
                if accepts(value):
                    return value
                try:
                    watch.next(max(deadline - time.monotonic(), 0))
                except TimeoutError:
                    raise TimeoutError(f"{path} is {value!r}, not {wanted!r}") from None

    # dom0 only

    def introduce(self, domid, port):
        self._request(INTRODUCE, f"{domid}\0001\0{port}\0".encode())

    def release(self, domid):
        self._request(RELEASE, f"{domid}\0".encode())

    def is_introduced(self, domid):
        return self._request(IS_INTRODUCED, f"{domid}\0".encode()) == b"T\0"
