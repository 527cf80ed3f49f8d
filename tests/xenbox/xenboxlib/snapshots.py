# SPDX-License-Identifier: GPL-2.0-or-later
"""What boxes are restored from, made when needed and kept in the cache.

    packages/KEY/   Debian packages as tar files                       (images.py)
    base/KEY/       images, and the snapshot of the system booted from them
    installed/KEY/  the same with our software installed, derived from a base

A KEY is a hash over what the thing is made of. All are made in a folder beside, under one lock, and renamed
when they are complete: a killed run leaves only rubbish, which the next one removes.
"""

import contextlib
import fcntl
import hashlib
import io
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from . import Box, archive, images, run_parallel, util
from .machine import DISKS, IMAGES, Machine
from .util import BoxError

KEEP_INSTALLED = 4
VMS = ("work", "personal")
EVERYWHERE = ("dom0", *VMS)
POST_INSTALL = {"dom0": "/usr/share/qfilexchgd/post-install", "vm": "/usr/share/qubes-pendrive/post-install"}
CAPTURED = "etc usr mnt opt srv var/lib"  # where a post-install script may change a VM
BUILD_COMMAND = "cmake --preset release && cmake --build --preset release"


def accel():
    chosen = os.environ.get("XENBOX_ACCEL") or "tcg"
    if chosen not in ("tcg", "kvm"):
        raise BoxError(f"XENBOX_ACCEL is {chosen!r}; it can be tcg or kvm")
    return chosen


def xenstored():
    chosen = os.environ.get("XENBOX_XENSTORED") or "ocaml"
    if chosen not in ("ocaml", "c"):
        raise BoxError(f"XENBOX_XENSTORED is {chosen!r}; it can be ocaml or c")
    return chosen


def _qemu_version():
    try:
        done = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise BoxError("qemu-system-x86_64 is missing; `xenbox build` installs what is needed") from error
    return done.stdout.splitlines()[0]


def base_key():
    parts = (images.image_key(), accel(), xenstored(), _qemu_version())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _folder(kind, key):
    return util.cache_dir() / kind / key


def _cache_lock():
    return util.lock(util.cache_dir() / "lock", "another xenbox is building; waiting for it")


# -- making them

@contextlib.contextmanager
def _making(kind, key):
    """A folder to make it in, which becomes the real one if nothing goes wrong."""
    target = _folder(kind, key)
    partial = target.with_name(f"{key}.partial")
    util.remove_tree(partial)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(target)
    except BaseException:
        util.remove_tree(partial)
        raise


def build():
    """Make what is missing for a bare box. Returns False if nothing was."""
    if _folder("base", base_key_or_none()).exists():
        return False
    with _cache_lock():
        log = util.cache_dir() / "build.log"
        if log.exists():
            log.replace(log.with_suffix(".old"))
        images.install_host_packages(log)
        key = base_key()
        if _folder("base", key).exists():
            return False
        util.say(f"building the Xen box in {util.cache_dir()}; this takes a few minutes, once")
        began = time.monotonic()
        _remove_partial()
        packages = _folder("packages", images.packages_key())
        if not packages.exists():
            with _making("packages", packages.name) as folder:
                images.make_packages(folder, log)
        with _making("base", key) as folder:
            with util.step("making the images"):
                images.make_images(folder, packages, xenstored(), log)
            _boot_and_save(folder)
        _prune()
        util.say(f"built in {time.monotonic() - began:.0f} s")
        return True


def base_key_or_none():
    """The key, or what no folder is called if the host lacks what the key is computed with."""
    try:
        return base_key()
    except BoxError:
        return "none"


class _Workshop:
    """A machine in which a snapshot is made, with a Box to run commands in it."""

    def __init__(self):
        self.machine = Machine(f"workshop-{accel()}")
        self.box = Box(self.machine.name)

    def __enter__(self):
        self.machine.stop()  # one that was left behind
        return self

    def __exit__(self, *_):
        self.machine.stop()

    def run(self, domain, *argv, **options):
        return self.box.exec(domain, list(argv), **{"check": True, "wait": 600, **options})

    def settle(self, domains=EVERYWHERE):
        """Until systemd has done all it was asked, everywhere."""
        def settle(domain):
            state = self.run(domain, "systemctl", "is-system-running", "--wait", check=False).stdout.decode().strip()
            self.run(domain, "udevadm", "settle")
            if state == "running":
                return
            failed = self.run(domain, "systemctl", "--failed", "--plain", "--no-legend").stdout.decode()
            units = ", ".join(line.split()[0] for line in failed.splitlines())
            util.say(f"{domain} is {state}; failed units: {units or 'none'}")

        run_parallel(settle, domains)

    def save(self, folder):
        run_parallel(lambda domain: self.run(domain, "sync"), VMS)
        self.run("dom0", "sync")
        time.sleep(0.5)
        self.machine.save(folder)


def _boot_and_save(folder):
    with _Workshop() as shop:
        with util.step("booting Xen and dom0"):
            shop.machine.boot(folder, accel())
            shop.box.set_clocks(["dom0"])
            shop.run("dom0", "sh", "-c", "until xenstore-exists /local/domain/0/domid; do sleep 0.2; done")
        with util.step("booting the VMs"):
            run_parallel(lambda vm: shop.run("dom0", "xl", "create", f"/etc/xen/{vm}.cfg"), VMS)
            shop.settle()
            shop.box.set_clocks()
        with util.step("saving the snapshot"):
            shop.save(folder)


# -- our software in it

class Software:
    """The trees to be installed, and their hash."""

    def __init__(self):
        self.dom0 = archive.Tree()
        self.vm = archive.Tree()
        self._collect()
        self.key = hashlib.sha256(f"{self.dom0.digest()} {self.vm.digest()}".encode()).hexdigest()

    def _collect(self):
        roots = {"dom0": os.environ.get("XENBOX_DOM0_ROOT"), "vm": os.environ.get("XENBOX_VM_ROOT")}
        if any(roots.values()):
            for name, root in roots.items():
                if root and not os.path.isdir(root):
                    raise BoxError(f"XENBOX_{name.upper()}_ROOT: {root} is no folder")
                if root:
                    getattr(self, name).add_directory(root)
            return
        build_dir = pathlib.Path(os.environ.get("XENBOX_BUILD") or util.CLONE / "build" / "release")
        if not (build_dir / "cmake_install.cmake").exists():
            raise BoxError(f"there is no build in {build_dir}: {BUILD_COMMAND}")
        for name in roots:
            with tempfile.TemporaryDirectory() as root:
                util.run(f"cmake --install {build_dir} --component {name}",
                         ["cmake", "--install", str(build_dir), "--component", name],
                         util.cache_dir() / "install.log", env=dict(os.environ, DESTDIR=root), umask=0o022)
                getattr(self, name).add_directory(root)
        if not self.dom0.entries and not self.vm.entries:
            raise BoxError(f"the build in {build_dir} installs nothing: {BUILD_COMMAND}")


def installed_key(base, software):
    recipe = pathlib.Path(__file__).read_bytes() + pathlib.Path(archive.__file__).read_bytes()
    return hashlib.sha256(f"{base} {software.key} ".encode() + recipe).hexdigest()[:16]


def is_outdated(key, bare):
    """Whether start would now take another snapshot than the one with this key. False if it could not start."""
    try:
        wanted = base_key() if bare else installed_key(base_key(), Software())
    except BoxError:
        return False
    return key != wanted


def base_and_installed(bare):
    """The folder of the snapshot to start from, made if it is missing."""
    software = None if bare else Software()
    build()
    base = _folder("base", base_key())
    os.utime(base)  # for _prune: recently used
    if bare:
        return base
    target = _folder("installed", installed_key(base.name, software))
    if not target.exists():
        with _cache_lock():
            if not target.exists():
                with util.step("installing our software in a snapshot of its own"):
                    _remove_partial()
                    with _making("installed", target.name) as folder:
                        _derive(base, folder, software)
                _prune()
    os.utime(target)
    return target


def _derive(base, folder, software):
    for name in IMAGES:
        os.link(base / name, folder / name)
    for name in ("ram", "dev", *DISKS):
        util.copy_sparse(base / name, folder / name)
    (folder / "in-use").touch()
    with _Workshop() as shop:
        shop.machine.restore(folder, accel(), writable=True)
        shop.box.set_clocks()
        captured = {}

        def install(domain):
            tree = software.dom0 if domain == "dom0" else software.vm
            captured[domain] = _install(shop, domain, tree)

        run_parallel(install, EVERYWHERE)
        _configure(shop, software)
        _put_into_initramfs(shop, software.vm, captured["work"])
        shop.settle()
        shop.save(folder)


def _install(shop, domain, tree):
    """Unpack, run the post-install script. Returns a tar of what the script changed or made."""
    if not tree.entries:
        return b""
    script = POST_INSTALL["dom0" if domain == "dom0" else "vm"]
    shop.run(domain, "tar", "-x", "-p", "-C", "/", "--no-overwrite-dir", "--keep-directory-symlink", input=tree.tar())
    if script.lstrip("/") not in tree:
        return b""
    marker = "/run/xenbox/installed"
    shop.run(domain, "touch", marker)
    result = shop.run(domain, script, check=False)
    if result.status != 0:
        words = (result.stderr or result.stdout).decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise BoxError(f"{domain}: {script}: status {result.status}: {words[-1]}")
    # /run/xenbox/rw/upper is the tmpfs over the image: what is not from the image.
    changed = f"cd /run/xenbox/rw/upper && find {CAPTURED} -newer {marker} ! -type c ! -path 'var/lib/systemd*' " \
        "-print0 2> /dev/null | tar -c --no-recursion --null -T -"
    return shop.run(domain, "sh", "-c", changed).stdout


DAEMON_CONFIG = "etc/qfilexchgd/qfilexchgd.conf"


def _configure(shop, software):
    """What nobody could guess for an administrator: which of the VMs is the template of DisposableVMs."""
    if DAEMON_CONFIG in software.dom0:
        shop.run("dom0", "sed", "-i", "s|^#template = none$|template = /etc/xen/disposable.cfg|", f"/{DAEMON_CONFIG}")
        shop.run("dom0", "systemctl", "reload", "qfilexchgd")


def _put_into_initramfs(shop, tree, captured):
    """A VM that is created later boots with our software: the initramfs brings it, and what the script changed."""
    layer = archive.Tree()
    layer.entries.update({f"layer/{path}": entry for path, entry in tree.entries.items()})
    if captured:
        changes = archive.Tree()
        changes.add_tar(captured)
        layer.entries.update({f"layer/{path}": entry for path, entry in changes.entries.items()})
    layer.entries.setdefault("layer", archive.Entry(0o040755))
    out = io.BytesIO()
    layer.write_cpio(out)
    # The kernel unpacks several archives one after the other.
    shop.run("dom0", "sh", "-c", "cat >> /usr/lib/xenbox/vm.cpio", input=out.getvalue())


# -- throwing them away

def _remove_partial():
    """What killed runs left. To be called with the cache locked."""
    for kind in ("packages", "base", "installed"):
        for path in (util.cache_dir() / kind).glob("*.partial"):
            util.remove_tree(path)


def _is_in_use(snapshot):
    try:
        with open(snapshot / "in-use") as f:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _prune():
    """Keep what this recipe makes and the newest installed snapshots; nothing that a box is running on goes."""
    def by_age(kind):
        folders = [path for path in (util.cache_dir() / kind).glob("*") if not path.name.endswith(".partial")]
        return sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)

    for path in by_age("installed")[KEEP_INSTALLED:] + by_age("base")[3:]:
        if not _is_in_use(path):
            shutil.rmtree(path, ignore_errors=True)
    for path in by_age("packages")[2:]:
        shutil.rmtree(path, ignore_errors=True)
