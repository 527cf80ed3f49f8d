# SPDX-License-Identifier: GPL-2.0-or-later
"""A private little Xen without Xen: the real xenstored, simulated VMs, our daemon.

    class TestSomething(storebox.StoreTest):
        def test_it(self):
            work = self.box.create_vm("work")
            self.box.start_daemon()
            work.wait_mailbox()
            reply = work.run(["qubes_penctl", "new"])

See README.md for what is real here and what is simulated. Programs are looked for under the folder
that the environment variable QFX_BUILD names.
"""
import contextlib
import functools
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

import xswire
from xswire import DEADLINE_S, Xs, XsError  # noqa: F401 (tests take them from here)

HERE = pathlib.Path(__file__).resolve().parent
BUS_NAME = "org.qubes.FileExchange1"
OUTGOING = 51808  # xvdg
INCOMING = 51824  # xvdh
LOG_TAIL_BYTES = 6000

# No process outlives the test, even one that was killed.
_DIE_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL", "--"]


class Skip(unittest.SkipTest):
    """Something that the layer needs cannot be had here."""


@functools.lru_cache(maxsize=None)
def find_xenstored():
    """The path of a C xenstored: QFX_XENSTORED, an installed one or a fetched one."""
    if "QFX_XENSTORED" in os.environ:
        return os.environ["QFX_XENSTORED"]
    found = subprocess.run([HERE / "get-xenstored"], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)
    if found.returncode != 0:
        raise Skip(found.stderr.strip())
    return found.stdout.strip()


@functools.lru_cache(maxsize=None)
def find_built(name, build=None):
    """The path of a built file, somewhere under the build folder."""
    root = build or os.environ.get("QFX_BUILD")
    if not root:
        raise Skip("QFX_BUILD must name the build folder")
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [sub for sub in subfolders if sub != "CMakeFiles"]
        if name in files:
            return os.path.abspath(os.path.join(folder, name))
    raise FileNotFoundError(f"there is no {name} under {root}: is it built?")


def until(condition, what, timeout=None):
    """Waits for something that has no watch. Gives the first true result of condition()."""
    deadline = time.monotonic() + (DEADLINE_S if timeout is None else timeout)
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited too long for {what}")
        time.sleep(0.005)


class SimError(Exception):
    """simvm refused a command."""


class SimControl:
    """The control socket of simvm (simvm/control.h)."""

    def __init__(self, socket_path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(DEADLINE_S)
        try:
            self._socket.connect(str(socket_path))
        except OSError:
            self._socket.close()
            raise
        self._file = self._socket.makefile("r", encoding="utf-8", errors="surrogateescape")
        self._last_tag = 0
        self._data = {}   # tag -> lines so far
        self._final = {}  # tag -> the last line

    def close(self):
        self._file.close()
        self._socket.close()

    def start(self, verb, **arguments):
        """Sends a command; finish() with the result gives its answer."""
        self._last_tag += 1
        tag = str(self._last_tag)
        words = [tag, verb]
        for key, value in arguments.items():
            if value is None:
                continue
            text = str(int(value)) if isinstance(value, bool) else str(value)
            words.append(key + "=" + urllib.parse.quote(text, safe="", errors="surrogateescape"))
        self._data[tag] = []
        self._socket.sendall((" ".join(words) + "\n").encode())
        return tag

    def finish(self, tag):
        """The data lines of the answer. SimError if it is an error."""
        while tag not in self._final:
            line = self._file.readline()
            if not line:
                raise ConnectionResetError("simvm is gone")
            owner, kind, text = line.rstrip("\n").split(" ", 2)
            if kind == "-":
                self._data[owner].append(text)
            else:
                self._final[owner] = (kind, text)
        kind, text = self._final.pop(tag)
        data = self._data.pop(tag)
        if kind == "error":
            raise SimError(text)
        return data

    def call(self, verb, **arguments):
        return self.finish(self.start(verb, **arguments))


def _fields(line):
    """"a=1 b=x%20y" -> {"a": "1", "b": "x y"}"""
    pairs = (word.partition("=") for word in line.split(" "))
    return {key: urllib.parse.unquote(value, errors="surrogateescape") for key, _, value in pairs}


class Disk:
    """A disk that dom0's backend has open for a VM."""

    def __init__(self, line):
        fields = _fields(line)
        self.domid = int(fields["domid"])
        self.vdev = int(fields["vdev"])
        self.physical_device = fields["physical-device"]
        self.params = fields["params"]
        self.image = fields["image"]  # the file behind it, if the loop layer tells
        self.mode = fields["mode"]
        self.state = int(fields["state"])
        self.is_connected = fields["connected"] == "1"  # the VM can reach it

    def __repr__(self):
        return (f"Disk(dom{self.domid} {self.vdev} {self.physical_device} {self.mode} "
                f"state={self.state} params={self.params} image={self.image})")


class VM:
    """A simulated VM, made by StoreBox.create_vm()."""

    def __init__(self, box, line):
        fields = _fields(line)
        self.box = box
        self.domid = int(fields["domid"])
        self.uuid = fields["uuid"]
        self.name = fields["name"]
        self._xs = None

    def __repr__(self):
        return f"VM({self.name} dom{self.domid})"

    @property
    def path(self):
        """Its tree in xenstore."""
        return f"/local/domain/{self.domid}"

    @property
    def socket_path(self):
        return self.box.dir / f"dom{self.domid}.sock"

    def device(self, vdev):
        """The file that is there while the VM has a disk in that slot, as /dev/xvdg in a VM."""
        return self.box.dir / f"dom{self.domid}.dev" / ("xvd" + chr(ord("a") + (vdev >> 4 & 15)))

    @property
    def xs(self):
        """xenstore as this VM sees it. Paths may be relative to its own tree."""
        if self._xs is None:
            self._xs = self.new_xs()
            self.box._connections.append(self._xs)
        return self._xs

    def new_xs(self):
        """One more connection of this VM, for the caller to close."""
        return Xs(self.socket_path)

    @property
    def env(self):
        """The environment in which a VM's program speaks as this VM and sees its disk."""
        env = dict(os.environ, XENSTORED_PATH=str(self.socket_path),
                   QPEN_DEVICE=str(self.device(OUTGOING)))
        env.pop("XENSTORED_RUNDIR", None)
        env.pop("DBUS_SYSTEM_BUS_ADDRESS", None)
        return env

    def popen(self, argv, **kwargs):
        """Starts a program in this VM; argv[0] without a slash is looked for in the build."""
        argv = [str(word) for word in argv]
        if "/" not in argv[0]:
            argv[0] = find_built(argv[0], self.box.build)
        env = dict(self.env, **kwargs.pop("env", {}))
        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.PIPE)
        kwargs.setdefault("text", True)
        child = subprocess.Popen(_DIE_WITH_PARENT + argv, env=env, **kwargs)
        self.box._children.append(child)
        return child

    def run(self, argv, timeout=None, **kwargs):
        """Runs a program in this VM to its end: .returncode, .stdout, .stderr."""
        child = self.popen(argv, **kwargs)
        try:
            out, err = child.communicate(timeout=DEADLINE_S if timeout is None else timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            out, err = child.communicate()
            raise AssertionError(f"{argv} in {self} did not end\n{out}\n{err}") from None
        return subprocess.CompletedProcess(argv, child.returncode, out, err)

    # What the daemon and the VM say to each other, word by word

    def wait_mailbox(self):
        """Waits until the daemon has made the mailbox of this VM."""
        self.box.dom0.wait(f"{self.path}/device/qpen", lambda value: value is not None)

    def post(self, request):
        """Writes a request into the empty mailbox, as the VM's tools do."""
        self.xs.wait("device/qpen", "")
        self.xs.write("device/qpen", request)

    def ask(self, request, ident, timeout=None):
        """Posts "REQUEST #IDENT" and waits for its final reply, which it gives whole."""
        self.post(f"{request} #{ident}")
        return self.wait_reply(ident, timeout)

    def wait_reply(self, ident, timeout=None):
        def is_final(value):
            return value is not None and value.split(" ")[:2] in ([ident, "ok"], [ident, "error"])

        return self.xs.wait(f"device/qpen-reply/{ident}", is_final, timeout)

    def disk(self, vdev):
        """The disk in that slot, or None."""
        return next((disk for disk in self.box.disks()
                     if (disk.domid, disk.vdev) == (self.domid, vdev)), None)

    def wait_connected(self, vdev, timeout=None):
        """Waits until the VM can reach a disk in that slot, and gives it."""
        self.box.dom0.wait(f"{self.path}/device/vbd/{vdev}/state", "4", timeout)
        return self.disk(vdev)

    def wait_detached(self, vdev, timeout=None):
        """Waits until the slot is empty on both sides."""
        self.box.dom0.wait(f"{self.path}/device/vbd/{vdev}/state", None, timeout)
        self.box.dom0.wait(f"/local/domain/0/backend/vbd/{self.domid}/{vdev}/state", None, timeout)

    # What can happen to it

    def introduce(self):
        """A dormant VM starts to run."""
        self.box.sim.call("introduce", domid=self.domid)

    def _forget_connection(self):
        if self._xs is not None:
            self._xs.close()
            self._xs = None

    def destroy(self, timeout_ms=None):
        """xl destroy; timeout_ms is how long it waits for the backends (libxl: 10 s)."""
        self._forget_connection()
        self.box.sim.call("destroy", domid=self.domid, timeout=timeout_ms)

    def start_destroy(self, timeout_ms=None):
        """The same without waiting; self.box.sim.finish() with the result waits."""
        self._forget_connection()
        return self.box.sim.start("destroy", domid=self.domid, timeout=timeout_ms)

    def crash(self, keep=False, timeout_ms=None):
        """It crashes; unless kept (on_crash=preserve), xl destroys it."""
        self._forget_connection()
        self.box.sim.call("crash", domid=self.domid, keep=keep, timeout=timeout_ms)

    def shutdown(self, keep=False, timeout_ms=None):
        self._forget_connection()
        self.box.sim.call("shutdown", domid=self.domid, keep=keep, timeout=timeout_ms)

    def reboot(self):
        """Gives the new VM: same name, same uuid, another domid."""
        self._forget_connection()
        return VM(self.box, self.box.sim.call("reboot", domid=self.domid)[0])

    def rename(self, name):
        self.box.sim.call("rename", domid=self.domid, name=name)
        self.name = name

    def pause(self):
        """No program and no driver of it runs until unpause()."""
        self.box.sim.call("pause", domid=self.domid)

    def unpause(self):
        self.box.sim.call("unpause", domid=self.domid)

    def set_disks(self, connect=None, close=None):
        """How its disk driver behaves: "now", "never" or milliseconds of delay."""
        self.box.sim.call("set", domid=self.domid, connect=connect, close=close)


class Daemon:
    """Our daemon, as StoreBox.start_daemon() started it."""

    def __init__(self, box, process):
        self.box = box
        self.process = process

    @property
    def pid(self):
        return self.process.pid

    def is_alive(self):
        return self.process.poll() is None

    def stop(self, number=signal.SIGTERM):
        """Ends it as systemd would, and gives its exit status."""
        if self.is_alive():
            self.process.send_signal(number)
        status = self.process.wait(DEADLINE_S)
        if self.box.daemon is self:
            self.box.daemon = None
        return status

    def kill(self):
        return self.stop(signal.SIGKILL)


class StoreBox:
    """One private store with its VMs. Everything ends with stop(), or with the test process."""

    def __init__(self, build=None):
        self.build = build
        self.dir = None
        self.dom0 = None    # Xs: xenstore as dom0
        self.sim = None     # SimControl
        self.daemon = None  # Daemon
        self._children = []
        self._connections = []  # to be closed at the end
        self._logs = {}         # name -> path
        self._bus = None
        self._store = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop()

    def start(self):
        xenstored = find_xenstored()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="qfx-"))
        self.loops_dir.mkdir()
        try:
            self._start_store(xenstored)
            self.spawn("simvm", [find_built("simvm", self.build), self.dir])
            self.sim = self._connect("simvm", SimControl, self.dir / "control.sock")
            self._connections.append(self.sim)
        except BaseException:
            self.stop()
            raise

    def _start_store(self, xenstored):
        argv = [xenstored, "--no-fork", "--pid-file", self.dir / "xenstored.pid"]
        if "QFX_STORE_TRACE" in os.environ:  # every message, into the box's log folder
            self._logs["trace"] = self.dir / "trace.log"
            argv += ["--trace-file", self._logs["trace"]]
        self._store = self.spawn("xenstored", argv, LD_PRELOAD=find_built("libfakexen.so", self.build),
                                 FAKEXEN_DIR=str(self.dir), XENSTORED_ROOTDIR=str(self.dir))
        self.dom0 = self._connect("xenstored", Xs, self.dir / "socket")
        self._connections.append(self.dom0)

    def kill_store(self):
        """xenstored is gone, with all that stood in it and all VMs of this box."""
        self._store.kill()
        self._store.wait()

    def restart_store(self):
        """Another one comes after kill_store(), and knows nothing."""
        self._start_store(find_xenstored())

    def _connect(self, name, kind, path):
        process = self._children[-1]

        def attempt():
            if process.poll() is not None:
                raise AssertionError(f"{name} did not start:\n{self.log(name)}")
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                return kind(path)
            return None

        return until(attempt, f"{name} to listen")

    @property
    def env(self):
        """The environment of a dom0 program of this box."""
        return dict(os.environ, XENSTORED_PATH=str(self.dir / "socket"),
                    XENSTORED_RUNDIR=str(self.dir), QFX_SIM_LOOPS=str(self.loops_dir),
                    DBUS_SYSTEM_BUS_ADDRESS=self.bus_address)

    @property
    def loops_dir(self):
        """Here a simulated loop layer tells what is behind a device: PHYSICAL-DEVICE -> image."""
        return self.dir / "loops"

    @property
    def bus_address(self):
        return f"unix:path={self.dir}/bus"

    def spawn(self, name, argv, stdin=subprocess.DEVNULL, own_group=False, **env):
        """Starts a program of dom0; its output goes to log(name).

        own_group: os.killpg() with its pid reaches it and all that it starts.
        """
        path = self.dir / f"{name}.log"
        self._logs[name] = path
        with open(path, "ab") as log:
            child = subprocess.Popen(_DIE_WITH_PARENT + [str(word) for word in argv],
                                     stdin=stdin, stdout=log, stderr=log,
                                     start_new_session=own_group, env={**self.env, **env})
        self._children.append(child)
        return child

    def log(self, name):
        """What a program has written so far."""
        path = self._logs.get(name)
        if path is None or not path.exists():
            return ""
        return path.read_text(errors="replace")

    def show_logs(self, stream=None):
        """Prints the ends of all logs."""
        stream = sys.stderr if stream is None else stream
        for name in sorted(self._logs):
            tail = self.log(name)[-LOG_TAIL_BYTES:].rstrip()
            if tail:
                print(f"--- {name} ---\n{tail}", file=stream)

    def stop(self):
        for child in reversed(self._children):
            if child.poll() is None:
                child.kill()
        for child in self._children:
            child.wait()
            for pipe in (child.stdin, child.stdout, child.stderr):
                if pipe:
                    pipe.close()
        self._children.clear()
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self.dom0 = self.sim = self.daemon = self._bus = None
        if self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)
            self.dir = None

    # VMs and disks

    def create_vm(self, name, **options):
        """A running VM.

        options: uuid, domid, blk=False (no disk drivers), paused=True, dormant=True (only its
        nodes are made, until introduce()).
        """
        return VM(self, self.sim.call("create", name=name, **options)[0])

    def create_vms(self, names, **options):
        """Many running VMs at once: much faster than one by one (simvm/toolstack.h says why)."""
        tags = [self.sim.start("create", name=name, dormant=True, **options) for name in names]
        vms = [VM(self, self.sim.finish(tag)[0]) for tag in tags]
        for tag in [self.sim.start("introduce", domid=vm.domid) for vm in vms]:
            self.sim.finish(tag)
        return vms

    def disks(self):
        """All disks that are open in dom0's backend now: who can reach which image."""
        return [Disk(line) for line in self.sim.call("disks")]

    def history(self):
        """Every connect and disconnect so far, in order, as text lines."""
        return self.sim.call("history")

    def violations(self, clear=False):
        """Each time that one device or image was open for two VMs at once."""
        return self.sim.call("violations", clear=clear)

    def complaints(self, clear=False):
        """What a real disk driver would have logged as an error."""
        return self.sim.call("complaints", clear=clear)

    # The system bus and our programs in dom0

    def start_bus(self, policy=None):
        """A private system bus; policy: the bus policy file to hold it to, else all may do all."""
        if self._bus:
            return
        if policy:
            rules = (f'<policy context="default"><allow user="*"/><deny own="*"/>'
                     f'<deny send_type="method_call"/><allow send_type="signal"/>'
                     f'<allow send_requested_reply="true" send_type="method_return"/>'
                     f'<allow send_requested_reply="true" send_type="error"/>'
                     f'<allow receive_type="method_call"/><allow receive_type="method_return"/>'
                     f'<allow receive_type="error"/><allow receive_type="signal"/>'
                     f'<allow send_destination="org.freedesktop.DBus"/></policy>'
                     f'<include>{policy}</include>')
        else:
            rules = ('<policy context="default"><allow user="*"/><allow own="*"/>'
                     '<allow send_destination="*"/><allow receive_sender="*"/></policy>')
        config = self.dir / "bus.conf"
        config.write_text(f'<busconfig><type>system</type><auth>EXTERNAL</auth>'
                          f'<listen>{self.bus_address}</listen>{rules}</busconfig>\n')
        self._bus = self.spawn("bus", ["dbus-daemon", f"--config-file={config}", "--nofork",
                                       "--nopidfile"])
        # The socket is there before anybody listens to it.
        until(lambda: self._bus_listens() or self._bus.poll() is not None, "the bus")
        if self._bus.poll() is not None:
            raise AssertionError(f"dbus-daemon did not start:\n{self.log('bus')}")

    def _bus_listens(self):
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.dir / "bus")) == 0

    def stop_bus(self):
        """The bus goes, with all its connections; start_bus() makes another at the same place."""
        self._bus.kill()
        self._bus.wait()
        self._bus = None
        (self.dir / "bus").unlink()

    def write_config(self, config):
        """config: the text of a file, or {group: {key: value}}. Gives the path."""
        if not isinstance(config, str):
            config = "".join(f"[{group}]\n" + "".join(f"{k}={v}\n" for k, v in keys.items())
                             for group, keys in config.items())
        path = self.dir / "qfilexchgd.conf"
        path.write_text(config)
        return path

    def start_daemon(self, config=None, program="qfilexchgd-store", arguments=(), wait=True,
                     **env):
        """Starts our daemon and waits until it owns its bus name.

        config as in write_config(). None: the one of the last start, or an empty one.
        """
        assert self.daemon is None, "it runs already"
        self.start_bus()
        path = self.dir / "qfilexchgd.conf"
        if config is not None or not path.exists():
            path = self.write_config(config or {})
        for name, folder in (("QFX_POLICY_DIR", "policy.d"), ("QFX_POLICY_SESSION_DIR", "session-policy.d")):
            (self.dir / folder).mkdir(mode=0o755, exist_ok=True)
            env.setdefault(name, str(self.dir / folder))
        process = self.spawn("daemon", [find_built(program, self.build), "--config", path,
                                        *arguments], **env)
        if wait:
            self.wait_bus_name(process)
        self.daemon = Daemon(self, process)
        return self.daemon

    def wait_bus_name(self, process):
        waiter = self.spawn("gdbus-wait", ["gdbus", "wait", "--address", self.bus_address,
                                           "--timeout", str(int(DEADLINE_S)), BUS_NAME])
        until(lambda: waiter.poll() is not None or process.poll() is not None,
              "the daemon on the bus", DEADLINE_S + 5)
        if process.poll() is not None:
            waiter.kill()
            raise AssertionError(f"the daemon ended with status {process.returncode}:\n"
                                 f"{self.log('daemon')}")
        if waiter.returncode != 0:
            raise AssertionError(f"the daemon did not take its bus name:\n{self.log('daemon')}")

    def ctl(self, *arguments, check=True, timeout=None):
        """Runs qfilexchgctl to its end and gives what it printed; check=False: the process."""
        argv = [find_built("qfilexchgctl", self.build), *map(str, arguments)]
        done = subprocess.run(argv, env=self.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=DEADLINE_S if timeout is None else timeout)
        if not check:
            return done
        if done.returncode != 0:
            raise AssertionError(f"{argv} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def start_agent(self, *arguments, log="agent", **options):
        """Starts `qfilexchgctl agent`, which answers questions; log("agent") is what it said."""
        return self.spawn(log, [find_built("qfilexchgctl", self.build), "agent", *arguments],
                          **options)


class StoreTest(unittest.TestCase):
    """A test with a fresh box in self.box.

    Afterwards no disk may ever have been open for two VMs at once, no disk driver may have
    complained and a daemon that was started and not stopped must be alive. A test that provokes
    one of these takes it away by violations(clear=True) or complaints(clear=True).
    """

    def setUp(self):
        self.box = StoreBox()
        self.box.start()
        self.addCleanup(self.box.stop)

    def tearDown(self):
        try:
            self.check_box()
        except BaseException:
            self.box.show_logs()
            raise
        if self._has_failed():
            self.box.show_logs()

    def _has_failed(self):
        # unittest has no public word for it: up to Python 3.10 it keeps its own list first.
        own = getattr(self._outcome, "errors", [])
        result = self._outcome.result
        return any(error for _, error in own) or \
            any(test is self for test, _ in result.failures + result.errors)

    def check_box(self):
        self.assertEqual(self.box.violations(), [])
        self.assertEqual(self.box.complaints(), [])
        if self.box.daemon:
            self.assertTrue(self.box.daemon.is_alive(),
                            f"the daemon ended with {self.box.daemon.process.returncode}")


class DaemonTest(StoreTest):
    """A test of the daemon, which runs, with its VMs: self.work, self.personal and so on.

    After the test the daemon is asked to stop and must do so in order; there the sanitizers report
    too. What is set up differently is said by a class in `names` and `config`, or by a test that
    stops the daemon and calls start() itself.
    """
    names = ("work", "personal", "other")
    config = {}

    def setUp(self):
        super().setUp()
        self.images = self.box.dir / "images"
        self.images.mkdir()
        self.vms = self.box.create_vms(self.names)
        for vm in self.vms:
            setattr(self, vm.name, vm)
        self._last_ident = 0
        self.start()

    def make_config(self, config=None):
        """`config` over the class's own over what suits a test; no file has to be large."""
        whole = {"pendrives": {"directory": self.images, "default-size": "64M", "reserve": "0"},
                 "questions": {"hide-refusals": "no", "burst": "1000"}}
        for groups in (self.config, config or {}):
            for group, keys in groups.items():
                whole[group] = {**whole.get(group, {}), **keys}
        return whole

    def start(self, config=None, **options):
        return self.box.start_daemon(self.make_config(config), **options)

    def restart(self, number=signal.SIGTERM, config=None):
        """Stops the daemon, SIGKILL included, and starts it again."""
        status = self.box.daemon.stop(number)
        self.assertEqual(status, 0 if number == signal.SIGTERM else -number,
                         self.box.log("daemon"))
        self.start(config)

    def check_box(self):
        super().check_box()
        if self.box.daemon:
            self.assertEqual(self.box.daemon.stop(), 0, "the daemon did not stop in order")

    # Requests

    def post(self, vm, request):
        """Posts a request under a new ID, which it gives."""
        self._last_ident += 1
        ident = f"q{self._last_ident}"
        vm.post(f"{request} #{ident}")
        return ident

    def wait_reply(self, vm, ident):
        """The final reply without the ID."""
        return vm.wait_reply(ident).partition(" ")[2]

    def ask(self, vm, request):
        return self.wait_reply(vm, self.post(vm, request))

    def assert_error(self, reply, code):
        self.assertEqual(reply.split(" ")[:2], ["error", code], reply)

    def lend(self, vm):
        """A pendrive is in the outgoing slot."""
        self.assertEqual(self.ask(vm, "new"), "ok xvdg")
        return vm.wait_connected(OUTGOING)

    def deliver(self, sender, receiver):
        """A pendrive goes from one to the other, and stays there. Needs an agent that says yes."""
        self.lend(sender)
        self.assertEqual(self.ask(sender, f"send {receiver.name}"), "ok delivered")
        return receiver.wait_connected(INCOMING)

    def start_asking(self, sender, receiver):
        """Nobody answers: the ID of the `send`."""
        self.lend(sender)
        ident = self.post(sender, f"send {receiver.name}")
        self.wait_record(sender, "asking")
        return ident

    # What the daemon knows

    def records(self):
        """The records of all transfers, {number: {key: value}}; {} stands for a damaged one."""
        folder = "/qfilexchgd/transfers"
        found = {}
        for name in self.box.dom0.ls(folder):
            text = self.box.dom0.read_or(f"{folder}/{name}")
            if text is not None:
                pairs = [line.partition("=") for line in text.splitlines()]
                found[name] = {key: value for key, equals, value in pairs if equals}
        return found

    def wait_record(self, sender, state):
        """Waits until a pendrive of that VM is in that state, and gives its record."""
        with self.box.dom0.watch("/qfilexchgd/transfers") as watch:
            while True:
                for record in self.records().values():
                    if (record.get("sender"), record.get("state")) == (str(sender.domid), state):
                        return record
                watch.next()

    def wait_log(self, text, log="daemon"):
        """Waits until a program has said something."""
        until(lambda: text in self.box.log(log), f"{log} to say {text!r}")

    # What may not be left

    def leftovers(self):
        """Everything there is of any pendrive: images, records, nodes, open disks."""
        found = [str(path) for path in self.images.iterdir()]
        found += [f"/qfilexchgd/transfers/{name}" for name in self.records()]
        for top in ("/local/domain", "/libxl"):
            found += [path for path in self.box.dom0.tree(top) if "/vbd" in path
                      and path != "/local/domain/0/backend/vbd"]
        return found + self.box.disks()

    def wait_nothing_left(self):
        try:
            until(lambda: not self.leftovers(), "nothing to be left")
        except TimeoutError:
            raise AssertionError(f"left: {self.leftovers()}") from None

    def assert_serves(self, vm=None):
        """The daemon lends and takes back as if nothing had been."""
        vm = vm or self.other
        self.lend(vm)
        number = self.wait_record(vm, "lent")["id"]
        self.box.ctl("cancel", number)
        vm.wait_detached(OUTGOING)
        until(lambda: number not in self.records(), "the pendrive to be forgotten")


def main():
    """unittest's main, with exit status 77 when every test was skipped."""
    program = unittest.main(exit=False)
    result = program.result
    if result.testsRun and len(result.skipped) == result.testsRun:
        sys.exit(77)
    sys.exit(not result.wasSuccessful())
