# SPDX-License-Identifier: GPL-2.0-or-later
"""Where things are, locks, messages, child programs."""

import contextlib
import ctypes
import fcntl
import hashlib
import os
import pathlib
import signal
import stat
import subprocess
import sys
import time

RECIPES = pathlib.Path(__file__).resolve().parent.parent  # tests/xenbox
CLONE = RECIPES.parent.parent


class BoxError(Exception):
    """Something did not work; the text is one line for the person who asked."""


def say(text):
    print(f"xenbox: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(text):
    """Say what is being done, and afterwards how long it took."""
    say(f"{text} ...")
    began = time.monotonic()
    yield
    say(f"{text}: {time.monotonic() - began:.1f} s")


def cache_dir():
    chosen = os.environ.get("XENBOX_CACHE")
    if not chosen:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        chosen = os.path.join(base, "qfilexchgd", "xenbox")
    path = os.path.abspath(chosen)
    if any(sign in path for sign in ", \n"):
        raise BoxError(f"QEMU can have no comma and no space in paths: set XENBOX_CACHE (now {path!r})")
    return pathlib.Path(path)


def socket_dir(name):
    """A short folder for the sockets of a box: their paths must stay below 108 bytes, and a cache may lie deep."""
    which = hashlib.sha256(f"{cache_dir()}\0{name}".encode()).hexdigest()[:12]
    return pathlib.Path(f"/tmp/xenbox-{os.geteuid()}-{which}")


def make_private_dir(path):
    """In /tmp anybody may have made it before us."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    info = os.lstat(path)
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o077:
        raise BoxError(f"{path} is not a private folder of ours; remove it")


@contextlib.contextmanager
def lock(path, waiting=None):
    """Hold an exclusive lock on a file. `waiting` is said if somebody else has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                say(waiting)
            fcntl.flock(f, fcntl.LOCK_EX)
        yield


def remove_tree(path):
    """Also what a killed mmdebstrap left: never through a mount (a bind of the real /dev!) that it left as well."""
    path = str(path)
    with open("/proc/self/mountinfo") as f:
        mounts = [line.split()[4] for line in f]
    for mount in sorted(mounts, reverse=True):
        if mount.startswith(path + "/"):
            subprocess.run(["umount", "-l", mount], check=False)
    subprocess.run(["rm", "-rf", "--one-file-system", "--", path], check=False)


def die_with_parent(number=signal.SIGKILL):
    """For preexec_fn: a child that must not outlive us even if we are killed (prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, int(number))


def contained(argv):
    """For root: the program in process and mount namespaces of its own, so that all it started and mounted goes
    with it, whoever kills it. An ordinary user's mmdebstrap makes such namespaces itself."""
    if os.geteuid() != 0:
        return argv
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *argv]


def run(what, argv, log, **options):
    """Run a program; on failure raise one line that names its last words and where all of them are."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as out:
        out.write(f"--- {what}: {' '.join(map(str, argv))}\n".encode())
        out.flush()
        began = out.tell()
        options = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out} | options
        status = subprocess.run(argv, check=False, preexec_fn=die_with_parent, **options).returncode
    if status != 0:
        with open(log, "rb") as f:
            f.seek(began)
            lines = f.read().decode(errors="replace").strip().splitlines()
        words = [line for line in lines if line.startswith("E:") or "rror" in line] or lines or ["it said nothing"]
        raise BoxError(f"{what} failed (status {status}): {words[-1].strip()} (all of it: {log})")


def words_of(name):
    """The lines of tests/xenbox/lists/NAME without comments."""
    with open(RECIPES / "lists" / name) as f:
        lines = (line.partition("#")[0].strip() for line in f)
        return [line for line in lines if line]


def copy_sparse(source, target):
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", "--", source, target], check=True)

