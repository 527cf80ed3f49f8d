# SPDX-License-Identifier: GPL-2.0-or-later
"""The Xen box, for scripts/xenbox and for tests.

    import xenboxlib
    box = xenboxlib.Box()            # or Box("name"); the default is $XENBOX or "default"
    box.start()                      # no-op if it runs
    result = box.exec("work", ["uname", "-r"])
    print(result.status, result.stdout, result.stderr)
    background = box.popen("dom0", ["xenstore-watch", "/local/domain"])
    background.stdout.readline(); background.kill(); background.wait()

All is said in the README.md beside this package.
"""

import contextlib
import dataclasses
import json
import os
import signal
import threading
import time
import typing

from . import channel, util
from .util import BoxError

__all__ = ["Box", "BoxError", "Popen", "Preparation", "Result"]

# How long a VM's agent may take to answer: it may be booting, or the machine busy.
WAIT_S = 300


@dataclasses.dataclass
class Result:
    status: int
    stdout: bytes
    stderr: bytes

    def __iter__(self):
        return iter((self.status, self.stdout, self.stderr))


@dataclasses.dataclass
class Preparation:
    """What a test wants done in a box before it begins, kept in a snapshot since it takes long."""

    what: str               # for who watches
    key: str                # changes with whatever run() depends on
    run: typing.Callable    # run(box), in a box just started


class CommandFailed(BoxError):
    """exec(check=True) and the command failed."""

    def __init__(self, domain, argv, result):
        words = result.stderr.decode(errors="replace").strip() or result.stdout.decode(errors="replace").strip()
        super().__init__(f"{domain}: {' '.join(argv)}: status {result.status}: {words}")
        self.result = result


class Box:
    def __init__(self, name=None):
        self.name = name or os.environ.get("XENBOX") or "default"
        if not self.name.replace("-", "").replace("_", "").isalnum():
            raise BoxError(f"{self.name!r} is no name for a box: letters, digits, - and _ only")
        self.run_dir = util.cache_dir() / "run" / self.name
        self._sockets = str(util.socket_dir(self.name))

    def __repr__(self):
        return f"Box({self.name!r})"

    # -- the box as a whole

    def _machine(self):
        from .machine import Machine  # a command in the box does without
        return Machine(self.name)

    def _lock(self):
        return util.lock(self.run_dir / "lock", f"another xenbox is starting or stopping {self.name}; waiting")

    def is_running(self):
        return self._machine().is_running()

    def state(self):
        """What start() wrote about the running box; {} if there is none."""
        try:
            return json.loads((self.run_dir / "state.json").read_text())
        except (OSError, ValueError):
            return {}

    def start(self, fresh=False, bare=False, prepared=None):
        """Restore a box from its snapshot, making that first if need be. Returns the seconds the restore took.

        prepared: a Preparation that has been done in it.
        """
        from . import snapshots
        with self._lock():
            machine = self._machine()
            if machine.is_usable() and self.state():
                if not fresh:
                    if snapshots.is_outdated(self.state().get("key"), bare):
                        util.say(f"{self.name} runs already, but not with the current build; see start --fresh")
                    return 0.0
            machine.stop()
            snapshot = snapshots.base_and_installed(bare)
            if prepared:
                snapshot = snapshots.prepared(snapshot, prepared)
            began = time.monotonic()
            try:
                machine.restore(snapshot, snapshots.accel())
                self.set_clocks()
                took = time.monotonic() - began
                state = {"key": snapshot.name, "snapshot": str(snapshot), "pid": machine.find_pids()[0]}
                (self.run_dir / "state.json").write_text(json.dumps(state))
            except BaseException:
                machine.stop()
                raise
            return took

    def stop(self):
        with self._lock():
            self._machine().stop()

    def set_clocks(self, domains=("dom0", "work", "personal")):
        """The box slept for as long as its snapshot is old."""
        def set_clock(domain):
            self.exec(domain, ["date", "-s", f"@{time.time():.2f}"], check=True)

        run_parallel(set_clock, domains)

    # -- commands in it

    def exec(self, domain, argv, input=b"", timeout=None, check=False, wait=WAIT_S):
        """Run argv as root, without a shell, and return its Result.

        timeout: seconds after which it is killed and BoxError raised. wait: so long the VM's agent may take
        to answer. check: raise CommandFailed if the status is not 0.
        """
        stdout, stderr = bytearray(), bytearray()
        status = self._converse(domain, argv, channel.BytesSource(input), stdout.extend, stderr.extend, timeout, wait)
        result = Result(status, bytes(stdout), bytes(stderr))
        if check and status != 0:
            raise CommandFailed(domain, argv, result)
        return result

    def _converse(self, domain, argv, source, on_stdout, on_stderr, timeout=None, wait=WAIT_S, control=None):
        if not argv:
            raise BoxError("there is no command")
        try:
            line = self._open(domain, argv, wait)
            with contextlib.closing(line):
                return channel.converse(line, source, on_stdout, on_stderr, timeout, control)
        except channel.ChannelError as error:
            raise BoxError(f"{self.name}: {error}") from error

    def _open(self, domain, argv, wait):
        deadline = time.monotonic() + wait
        line = channel.Channel(self._sockets, deadline)
        try:
            line.start(domain, argv, wait, deadline)
        except BaseException:
            line.close()
            raise
        return line

    def exec_fds(self, domain, argv, stdin=0, stdout=1, stderr=2, control=None, wait=WAIT_S):
        """Like exec(), between file descriptors, of any amount; returns the status."""
        return self._converse(domain, argv, channel.FdSource(stdin), lambda data: write_all(stdout, data),
                              lambda data: write_all(stderr, data), wait=wait, control=control)

    def popen(self, domain, argv, wait=WAIT_S):
        """Start argv and return at once; see Popen."""
        return Popen(self, domain, argv, wait)

    def put(self, domain, local, remote):
        """Copy a file into the box, with its mode. A remote folder gets it under its own name."""
        script = 'umask 077; if [ -d "$1" ]; then set -- "$1/$2" "$2" "$3"; fi; ' \
            'cat > "$1" && if [ -f "$1" ]; then chmod "$3" "$1"; fi'
        with open(local, "rb") as f:
            mode = f"{os.fstat(f.fileno()).st_mode & 0o7777:o}"
            argv = ["sh", "-c", script, "sh", remote, os.path.basename(local), mode]
            stderr = bytearray()
            status = self._converse(domain, argv, channel.FdSource(f.fileno()), stderr.extend, stderr.extend)
        if status != 0:
            raise BoxError(f"{domain}: {remote}: {stderr.decode(errors='replace').strip() or f'status {status}'}")

    def get(self, domain, remote, local):
        """Copy a file out of the box, with its mode. A local folder gets it under its own name."""
        if os.path.isdir(local):
            local = os.path.join(local, os.path.basename(remote))
        script = 'mode=$(stat -L -c %a -- "$1") && exec < "$1" && echo "$mode" && exec cat'
        partial = f"{local}.xenbox-{os.getpid()}"
        stderr = bytearray()
        try:
            with open(partial, "wb", buffering=0) as f:
                target = _FileAfterMode(f)
                status = self._converse(domain, ["sh", "-c", script, "sh", remote], channel.BytesSource(),
                                        target.take, stderr.extend)
                if status == 0:
                    os.fchmod(f.fileno(), target.mode)
            if status != 0:
                words = stderr.decode(errors="replace").strip()
                raise BoxError(f"{domain}: {remote}: {words or f'status {status}'}")
            os.replace(partial, local)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)


class _FileAfterMode:
    """Takes what get()'s script writes: the mode in a line, then the file."""

    def __init__(self, file):
        self.file = file
        self.mode = None
        self._line = b""

    def take(self, data):
        if self.mode is None:
            line, newline, data = (self._line + data).partition(b"\n")
            if not newline:
                self._line = line
                return
            self.mode = int(line, 8)
        write_all(self.file.fileno(), data)


class Popen:
    """A command running in the box: stdin, stdout and stderr are files, as subprocess.Popen has them.

    A thread moves the bytes. stdout and stderr come over one line: who lets more than a megabyte of one lie
    unread does not get the other.
    """

    def __init__(self, box, domain, argv, wait):
        self.args = argv
        self.returncode = None
        self.error = None
        stdin, self.stdin = self._pipe("wb", ours=1)
        stdout, self.stdout = self._pipe("rb", ours=0)
        stderr, self.stderr = self._pipe("rb", ours=0)
        self._signals, self._control = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True,
                                        args=(box, domain, argv, wait, stdin, stdout, stderr))
        self._thread.start()

    @staticmethod
    def _pipe(mode, ours):
        """(the thread's end, ours as a file)."""
        ends = os.pipe()
        if ours == 0:
            import fcntl
            with contextlib.suppress(OSError):
                fcntl.fcntl(ends[0], fcntl.F_SETPIPE_SZ, 1 << 20)
        return ends[1 - ours], os.fdopen(ends[ours], mode, buffering=0 if ours else -1)

    def _serve(self, box, domain, argv, wait, stdin, stdout, stderr):
        try:
            self.returncode = box.exec_fds(domain, argv, stdin, stdout, stderr, control=self._signals, wait=wait)
        except (BoxError, OSError) as error:
            self.error = error
        finally:
            for fd in (stdin, stdout, stderr):
                os.close(fd)

    def poll(self):
        """The status, or None while it runs."""
        if self._thread.is_alive():
            return None
        return self.wait()

    def wait(self, timeout=None):
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise BoxError(f"{' '.join(self.args)}: still running after {timeout} s")
        if self.error:
            raise self.error
        return self.returncode

    def communicate(self, input=b"", timeout=None):
        """Write, close stdin, read all; returns (stdout, stderr)."""
        out, err = [], []
        readers = [threading.Thread(target=lambda f=f, to=to: to.append(f.read()), daemon=True)
                   for f, to in ((self.stdout, out), (self.stderr, err))]
        for reader in readers:
            reader.start()
        with contextlib.suppress(BrokenPipeError):
            self.stdin.write(input)
        self.stdin.close()
        self.wait(timeout)
        for reader in readers:
            reader.join()
        return out[0], err[0]

    def send_signal(self, number):
        """To the command's process group."""
        os.write(self._control, bytes([number]))

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._thread.is_alive():
            self.kill()
        self._thread.join()
        for file in (self.stdin, self.stdout, self.stderr):
            file.close()
        os.close(self._control)
        os.close(self._signals)


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def run_parallel(function, arguments):
    """Call it for each argument in a thread of its own; raise the first error."""
    errors = []

    def guarded(argument):
        try:
            function(argument)
        except Exception as error:  # handed to the caller
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
