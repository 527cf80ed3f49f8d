# SPDX-License-Identifier: GPL-2.0-or-later
"""dom0's toolstack for DisposableVMs, in the hands of a test: the other end of fake_domains.py.

It makes, lets run and destroys VMs of the box:

    host = DomainsHost(box)                  # before the daemon is started with host.env
    gate = host.hold("unpause")              # the next `unpause` stops before it does anything
    gate.wait_reached() ... gate.release()
    host.fail("make", NO_MEMORY, "too little memory")
    host.calls                               # what was asked for so far: [("make", {...}), ...]
"""
import collections
import contextlib
import json
import os
import pathlib
import select
import socket
import threading
import time

import fake_domains
import storebox
from fake_domains import DONE, FAILED, NO_MEMORY, SOCKET_VARIABLE, TIMEOUT  # noqa: F401

TEMPLATE_NAME = "disp-template-0001"
TOOLS_VERSION = "2"


class Failure(Exception):
    """The operation ends with that status and line."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class Killed(Exception):
    """The daemon has ended the program; nobody waits for an answer."""


class Gate:
    """Where an operation stops until the test lets it go on, or the daemon kills it."""

    def __init__(self, after):
        self.after = after  # stops when all is done, before it says so
        self._reached = threading.Event()
        self._killed = threading.Event()
        self._out, self._in = os.pipe()

    def _wait(self, event, what):
        if not event.wait(storebox.DEADLINE_S):
            raise TimeoutError(f"waited too long for an operation to {what}")

    def wait_reached(self):
        self._wait(self._reached, "begin")

    def wait_killed(self):
        self._wait(self._killed, "be killed")

    def release(self):
        os.write(self._in, b".")

    def pass_through(self, connection):
        """In the host's thread."""
        self._reached.set()
        ready, _, _ = select.select([self._out, connection], [], [])
        if self._out in ready:
            return
        self._killed.set()
        raise Killed

    def __del__(self):
        os.close(self._out)
        os.close(self._in)


class DomainsHost:
    """dom0's toolstack as the daemon sees it. Its threads serve one operation each."""

    def __init__(self, box):
        self.box = box
        self.calls = []      # (operation, options), in the order of their beginnings
        self.errors = []     # what no test expects: exceptions in the threads
        self.free_kib = 4 << 20
        self.tools_version = TOOLS_VERSION  # of the template; None: of 2010
        self._lock = threading.Lock()
        self._gates = collections.defaultdict(collections.deque)
        self._failures = collections.defaultdict(collections.deque)
        self._all_gates = []
        self._vm_locks = collections.defaultdict(threading.Lock)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def path(self):
        return self.box.dir / "domains.sock"

    @property
    def env(self):
        """What the daemon needs in its environment."""
        return {"QFX_DOMAINS_PROGRAM": os.path.abspath(fake_domains.__file__),
                SOCKET_VARIABLE: str(self.path)}

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for gate in self._all_gates:
            with contextlib.suppress(OSError):
                gate.release()

    # What a test says

    def hold(self, operation, after=False):
        """The next such operation stops before it does anything; after: when it has done all.

        One more to stop at is "booted": a `prepare` whose VM runs.
        """
        gate = Gate(after)
        self._all_gates.append(gate)
        self._gates[operation].append(gate)
        return gate

    def fail(self, operation, status=FAILED, text="played failure"):
        """The next such operation does nothing and ends so."""
        self._failures[operation].append(Failure(status, text))

    def count(self, operation):
        with self._lock:
            return sum(word == operation for word, _ in self.calls)

    def last(self, operation):
        """The options of the last such operation."""
        with self._lock:
            return next(options for word, options in reversed(self.calls) if word == operation)

    # The threads

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            line = connection.makefile("rb").readline()
            if not line:
                return
            options = json.loads(line)
            operation = options.pop("operation")
            try:
                answer = self._answer(connection, operation, options)
            except Killed:
                return
            except Exception as error:  # pylint: disable=broad-except
                self.errors.append(f"{operation} {options}: {error!r}")
                answer = {"status": FAILED, "out": "", "err": f"{error!r}\n"}
            with contextlib.suppress(OSError):  # it was killed meanwhile
                connection.sendall(json.dumps(answer).encode() + b"\n")

    def take_gate(self, operation):
        queue = self._gates[operation]
        return queue.popleft() if queue else None

    def _begin(self, operation, options):
        """What the test has said about it: a failure and a gate, or None."""
        # Each daemon begins with this, at a time that is no test's business.
        word = "sweep" if operation == "destroy" and is_template(options) else operation
        with self._lock:
            self.calls.append((word, options))
            failures = self._failures[word]
            return failures.popleft() if failures else None, self.take_gate(word)

    def _vm_lock(self, uuid):
        if uuid is None:
            return contextlib.nullcontext()
        with self._lock:
            return self._vm_locks[uuid]

    def _answer(self, connection, operation, options):
        failure, gate = self._begin(operation, options)
        if gate and not gate.after:
            gate.pass_through(connection)
        try:
            if failure:
                raise failure
            # Who was killed in the middle is not at work when the next one comes to that VM.
            with self._vm_lock(options.get("uuid")), Hands(self, connection) as hands:
                if has_ended(connection):
                    raise Killed
                out = getattr(hands, operation)(options)
        except Failure as problem:
            return {"status": problem.status, "out": "", "err": f"{problem}\n"}
        if gate and gate.after:
            gate.pass_through(connection)
        return {"status": DONE, "out": out, "err": ""}


def has_ended(connection):
    """Whether nobody is at the other end; the program says nothing after its first line."""
    return bool(select.select([connection], [], [], 0)[0])


def is_template(options):
    """The VM that becomes a save file has a uuid made from that file's name, of version 8."""
    return options["uuid"][14] == "8"


class Hands:
    """One operation, over connections of its own: those of the test are not for several threads."""

    def __init__(self, host, connection):
        self.host = host
        self.connection = connection
        self.sim = storebox.SimControl(host.box.dir / "control.sock")
        self.dom0 = storebox.Xs(host.box.dir / "socket")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sim.close()
        self.dom0.close()

    def _list(self):
        return [storebox._fields(line) for line in self.sim.call("list")]

    def _find(self, uuid):
        return next((vm for vm in self._list() if vm["uuid"] == uuid), None)

    def _create(self, name, uuid, **options):
        fields = storebox._fields(self.sim.call("create", name=name, uuid=uuid, **options)[0])
        return fields["domid"]

    def _write(self, domid, key, value, *perms):
        path = f"/local/domain/{domid}/{key}"

        def body(tx):
            tx.write(path, value)
            tx.set_perms(path, *perms)

        self.dom0.transact(body)

    def make(self, options):
        if self.host.free_kib < int(options.get("keep-free", 0)) * 1024:
            raise Failure(NO_MEMORY, "too little memory is free")
        source = options.get("savefile") or options["config"]
        if not pathlib.Path(source).exists():
            raise Failure(FAILED, f"{source} is missing")
        domid = self._create(options["name"], options["uuid"], paused=True)
        self._write(domid, "qubes_vm_type", "DisposableVM", "n0", f"r{domid}")
        if "label" in options:
            self._write(domid, "qubes_label", options["label"], "n0", f"r{domid}")
        if self.host.tools_version:
            self._write(domid, "data/qpen-version", self.host.tools_version, f"n{domid}")
        self._write(domid, "data/qpen-seed", os.urandom(64).hex(), f"n{domid}")
        return f"domid {domid}\n"

    def unpause(self, options):
        vm = self._find(options["uuid"])
        if not vm:
            raise Failure(FAILED, "no VM has that uuid")
        self.sim.call("unpause", domid=vm["domid"])
        return ""

    def destroy(self, options):
        vm = self._find(options["uuid"])
        if vm:
            with contextlib.suppress(storebox.SimError):  # somebody else does it already
                self.sim.call("destroy", domid=vm["domid"])
        storebox.until(lambda: not self._find(options["uuid"]), "the VM to be destroyed")
        return ""

    def survey(self, _):
        def state(vm):
            return "down" if vm["dead"] == "1" else "paused" if vm["paused"] == "1" else "running"

        lines = [f"domain {vm['domid']} {vm['uuid']} {state(vm)}" for vm in self._list()]
        return "\n".join([f"free {self.host.free_kib}"] + lines) + "\n"

    def prepare(self, options):
        config, savefile = options["config"], options["savefile"]
        if not os.path.exists(config):
            raise Failure(FAILED, f"Cannot look at {config}")
        source = look_at(config)  # before it boots: what changes from now on makes it old
        self.destroy(options)
        domid = self._create(TEMPLATE_NAME, options["uuid"])
        gate = self.host.take_gate("booted")
        if gate:
            gate.pass_through(self.connection)
        self.sim.call("destroy", domid=domid)
        write_savefile(savefile, config, source, int(options.get("memory", 0)))
        return ""


# ---- the save file, as dom0/ports/savefile_info.c reads it ----

def look_at(path):
    st = os.stat(path)
    seconds, nanoseconds = divmod(st.st_mtime_ns, 10**9)
    return (f"{st.st_size} {seconds}.{nanoseconds:09} {st.st_ino} "
            f"{os.major(st.st_rdev)}:{os.minor(st.st_rdev)}")


def write_savefile(savefile, config, source=None, memory=0):
    """As a `prepare` that has looked at the config in time does."""
    new = pathlib.Path(f"{savefile}.new")
    new.write_text(f"the memory of a VM, {time.time_ns()}")
    new.rename(savefile)
    pathlib.Path(f"{savefile}.info").write_text(
        f"[savefile]\nlayout=1\nconfig={config}\nmemory={memory}\n"
        f"look={look_at(savefile)}\n\n[file 1]\npath={config}\nlook={source or look_at(config)}\n")
