# SPDX-License-Identifier: GPL-2.0-or-later
"""One QEMU: how it is started, stopped, found again, and saved.

A snapshot is a folder with the images it was booted from (hard links), the machine's memory in a file of
its own (`ram`), the state of its devices (`dev`) and its scratch disks. Because memory is not in the
migration stream (x-ignore-shared), to restore is to map a file copy-on-write: 0.1 s, and any number of
boxes share it.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import select
import shlex
import signal
import socket
import subprocess
import time

from . import channel, util
from .util import BoxError

MEMORY = "4G"
DOM0_MEMORY = "1536M"
IMAGES = ("xen.elf", "vmlinux", "dom0.cpio", "dom0.sqfs", "vm.sqfs")
DISKS = ("dom0.disk", "work.disk", "personal.disk")

XEN_ARGS = f"console=com1 com1=115200,8n1 loglvl=warning dom0_mem={DOM0_MEMORY},max:{DOM0_MEMORY} dom0_max_vcpus=1 " \
    "bootscrub=0 spec-ctrl=no xpti=no"
# What a kernel under emulation can do without; the VMs get the same.
KERNEL_ARGS = "console=hvc0 loglevel=4 mitigations=off audit=0 selinux=0 apparmor=0 xen_scrub_pages=0 " \
    "cryptomgr.notests rcupdate.rcu_expedited=1"


def processors():
    """Two are faster as long as nothing else runs. Boxes beside each other do more with one each: QEMU's threads wait
    for one another when the machine has fewer processors than they are."""
    chosen = os.environ.get("XENBOX_CPUS") or "2"
    if chosen not in ("1", "2", "3", "4"):
        raise BoxError(f"XENBOX_CPUS is {chosen!r}; it can be 1 to 4")
    return int(chosen)


class Qmp:
    """QEMU's control socket; one connection at a time."""

    def __init__(self, path, timeout=60):
        deadline = time.monotonic() + timeout
        while True:
            self.sock = socket.socket(socket.AF_UNIX)
            try:
                self.sock.connect(str(path))
                break
            except OSError as error:
                self.sock.close()
                if time.monotonic() > deadline:
                    raise BoxError("QEMU does not answer") from error
                time.sleep(0.01)
        self.sock.settimeout(timeout)
        self.file = self.sock.makefile("rw")
        self.file.readline()
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        json.dump({"execute": name, "arguments": arguments}, self.file)
        self.file.write("\n")
        self.file.flush()
        while True:
            line = self.file.readline()
            if not line:
                raise BoxError("QEMU hung up")
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise BoxError(f"QEMU: {name}: {answer['error']['desc']}")

    def close(self):
        self.file.close()
        self.sock.close()


class Machine:
    """The QEMU of the box with this name, running or not."""

    def __init__(self, name):
        self.name = name
        self.run_dir = util.cache_dir() / "run" / name
        self.sockets = util.socket_dir(name)
        self.console = self.run_dir / "console.log"
        self._child = None

    # -- finding it

    def _is_ours(self, pid):
        """By what only a QEMU that we started has in its command line; a pid alone may be anybody's by now."""
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            return False
        return os.fsencode(f"file,id=console,path={self.console}") in words

    def find_pids(self):
        return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and self._is_ours(entry)]

    def is_running(self):
        return bool(self.find_pids())

    def is_usable(self):
        """It runs, and nobody has cleaned its sockets out of /tmp."""
        return (self.sockets / "qmp").exists() and self.is_running()

    # -- starting and stopping

    def _arguments(self, snapshot, memory, scratch, accel):
        def quote(path):
            return str(path).replace(",", ",,")

        argv = [
            "qemu-system-x86_64", "-name", f"xenbox-{self.name}", "-nodefaults", "-no-user-config",
            "-display", "none", "-no-reboot",
            "-accel", "kvm" if accel == "kvm" else "tcg,thread=multi", "-smp", str(processors()),
            "-machine", "pc,memory-backend=memory", "-m", MEMORY, "-object", memory,
            "-kernel", str(snapshot / "xen.elf"), "-append", XEN_ARGS,
            # Multiboot modules; a comma would separate them.
            "-initrd", f"{quote(snapshot / 'vmlinux')} {quote(KERNEL_ARGS)} systemd.show_status=no,"
                       f"{quote(snapshot / 'dom0.cpio')}",
            "-chardev", f"file,id=console,path={quote(self.console)}", "-serial", "chardev:console",
            "-qmp", f"unix:{quote(self.sockets / 'qmp')},server=on,wait=off",
            "-device", f"virtio-serial-pci,max_ports={channel.PORTS + 1}",
        ]
        if accel == "kvm":
            argv += ["-cpu", "host"]
        for number in range(channel.PORTS):
            path = quote(channel.socket_path(self.sockets, number))
            argv += ["-chardev", f"socket,id=port{number},path={path},server=on,wait=off",
                     "-device", f"virtserialport,chardev=port{number},name=xenbox.{number}"]
        for name in ("dom0.sqfs", "vm.sqfs"):
            argv += ["-drive", f"if=none,id={name},format=raw,readonly=on,file.locking=off,file={quote(snapshot / name)}",
                     "-device", f"virtio-blk-pci,drive={name}"]
        for name in DISKS:
            argv += ["-drive", f"if=none,id={name},format=raw,cache=unsafe,discard=unmap,{scratch},"
                               f"file={quote(snapshot / name)}",
                     "-device", f"virtio-blk-pci,drive={name}"]
        return argv

    def _spawn(self, argv, keep_fds=(), die_with_us=False):
        self.run_dir.mkdir(parents=True, exist_ok=True)
        util.make_private_dir(self.sockets)
        self._remove_files()
        env = dict(os.environ, TMPDIR=str(self.run_dir))  # QEMU's copy-on-write files go there
        with open(self.run_dir / "qemu.log", "wb") as log:
            self._child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True,
                pass_fds=keep_fds,
                preexec_fn=util.die_with_parent if die_with_us else None)

    def _qmp(self):
        """Connect; if QEMU died instead, say what it said."""
        path = self.sockets / "qmp"
        for _ in range(1000):
            if path.exists():
                break
            if self._child and self._child.poll() is not None:
                break
            time.sleep(0.01)
        if self._child and self._child.poll() is not None:
            words = (self.run_dir / "qemu.log").read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            raise BoxError(f"QEMU ended at once: {words[-1]}")
        return Qmp(path)

    def boot(self, snapshot, accel):
        """A cold boot whose memory, in the end, is the snapshot's. Dies with us."""
        memory = f"memory-backend-file,id=memory,size={MEMORY},mem-path={snapshot / 'ram'},share=on"
        self._spawn(self._arguments(snapshot, memory, "snapshot=off", accel), die_with_us=True)
        self._qmp().close()

    def restore(self, snapshot, accel, writable=False):
        """From a snapshot. writable: what happens then goes into the snapshot's files, and QEMU dies with us."""
        share, scratch = ("on", "snapshot=off") if writable else ("off", "snapshot=on")
        memory = f"memory-backend-file,id=memory,size={MEMORY},mem-path={snapshot / 'ram'},share={share}"
        # As long as this QEMU lives it holds the lock, and the snapshot is not thrown away.
        with open(snapshot / "in-use") as used:
            fcntl.flock(used, fcntl.LOCK_SH)
            argv = self._arguments(snapshot, memory, scratch, accel) + ["-incoming", "defer"]
            self._spawn(argv, keep_fds=(used.fileno(),), die_with_us=writable)
        qmp = self._qmp()
        try:
            qmp.command("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}])
            qmp.command("migrate-incoming", uri=f"exec:cat {shlex.quote(str(snapshot / 'dev'))}")
            deadline = time.monotonic() + 60
            while qmp.command("query-status")["status"] == "inmigrate":
                if time.monotonic() > deadline:
                    raise BoxError("QEMU does not load the snapshot")
                time.sleep(0.01)
            qmp.command("cont")
        finally:
            qmp.close()

    def save(self, snapshot):
        """Write what completes the snapshot that this machine was started on, and end the machine."""
        qmp = self._qmp()
        try:
            qmp.command("stop")
            qmp.command("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}])
            qmp.command("migrate", uri=f"exec:cat > {shlex.quote(str(snapshot / 'dev'))}")
            while (state := qmp.command("query-migrate")["status"]) not in ("completed", "failed", "cancelled"):
                time.sleep(0.02)
            if state != "completed":
                raise BoxError(f"saving the snapshot: {state}")
            with contextlib.suppress(BoxError, OSError):
                qmp.command("quit")
        finally:
            qmp.close()
        self.stop()
        (snapshot / "in-use").touch()

    def stop(self):
        """End it, if it runs, and remove what a running one leaves. Nothing in it is worth saving."""
        for pid in self.find_pids():
            try:
                handle = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            try:
                # Looked at again, now that the pid cannot come to mean somebody else.
                if self._is_ours(pid):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    select.select([handle], [], [], 30)
            except ProcessLookupError:
                pass
            finally:
                os.close(handle)
        if self._child:
            self._child.wait()
            self._child = None
        self._remove_files()
        with contextlib.suppress(OSError):
            self.sockets.rmdir()

    def _remove_files(self):
        for folder, patterns in ((self.sockets, ("*",)), (self.run_dir, ("vl.*", "state.json"))):
            for pattern in patterns:
                for path in pathlib.Path(folder).glob(pattern):
                    with contextlib.suppress(OSError):
                        path.unlink()
