# SPDX-License-Identifier: GPL-2.0-or-later
"""What boxes are restored from, made when needed and kept in the cache.

    packages/KEY/   Debian packages as tar files                       (images.py)
    base/KEY/       images, and the snapshot of the system booted from them
    installed/KEY/  the same with our software installed, derived from a base
    prepared/KEY/   that again, after something that tests need and that takes long (a Preparation)

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
from .machine import DISKS, IMAGES, Machine, processors
from .util import BoxError

KEEP_BASE = 4
KEEP_INSTALLED = 4
KEEP_PREPARED = 2
VMS = ("work", "personal")
EVERYWHERE = ("dom0", *VMS)
# The components that are installed, each a package; those of the desktop where dom0 has what it needs.
COMPONENTS = {"dom0": ("dom0", "agent"), "vm": ("vm", "vm-desktop")}
NEEDS = {"agent": "libgtk-3-0", "vm-desktop": "libgtk-3-0"}
CAPTURED = "etc usr mnt opt srv var/lib"  # where installing may change a VM
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
    parts = (images.image_key(), accel(), str(processors()), xenstored(), _qemu_version())
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
        try:
            partial.rename(target)
        except OSError:
            # The lock keeps two builders apart, unless somebody removed it with the cache: whoever was first is as good.
            if not target.is_dir():
                raise
            util.remove_tree(partial)
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

def _components(kind):
    """Those that can be installed in dom0 or in the VMs, with the packages that are in their images."""
    there = util.words_of(f"{kind}-packages")
    return [name for name in COMPONENTS[kind] if NEEDS.get(name, there[0]) in there]


class Software:
    """The .debs of a folder, or of a CMake build, which scripts/package makes when they are needed."""

    def __init__(self):
        self.folder = os.environ.get("XENBOX_DEBS")
        self.build = pathlib.Path(os.environ.get("XENBOX_BUILD") or util.CLONE / "build" / "release")
        if self.folder:
            self.key = hashlib.sha256(repr(self._read(pathlib.Path(self.folder))).encode()).hexdigest()
        else:
            self.key = self._key_of_build()

    def _read(self, folder):
        """{kind: {name: bytes}}"""
        files = {}
        for kind in COMPONENTS:
            files[kind] = {}
            for component in _components(kind):
                found = sorted(folder.glob(f"qfilexchg-{component}_*.deb"))
                if len(found) != 1:
                    raise BoxError(f"{folder}: one qfilexchg-{component}_*.deb is wanted, and {len(found)} are there")
                files[kind][found[0].name] = found[0].read_bytes()
        return files

    def _key_of_build(self):
        """Over what the packages are made from: cheaper than making them, which this is to spare."""
        if not (self.build / "cmake_install.cmake").exists():
            raise BoxError(f"there is no build in {self.build}: {BUILD_COMMAND}")
        recipe = archive.Tree()
        recipe.add_directory(util.CLONE / "debian", "debian")
        recipe.copy("package", util.CLONE / "scripts" / "package")
        total = hashlib.sha256(recipe.digest().encode())
        for component in [*_components("dom0"), *_components("vm")]:
            with tempfile.TemporaryDirectory() as root:
                util.run(f"cmake --install {self.build} --component {component}",
                         ["cmake", "--install", str(self.build), "--component", component],
                         util.cache_dir() / "install.log", env=dict(os.environ, DESTDIR=root), umask=0o022)
                tree = archive.Tree()
                tree.add_directory(root)
            if not tree.entries:
                raise BoxError(f"the build in {self.build} installs nothing: {BUILD_COMMAND}")
            total.update(tree.digest().encode())
        return total.hexdigest()

    @contextlib.contextmanager
    def files(self):
        if self.folder:
            yield self._read(pathlib.Path(self.folder))
            return
        if not shutil.which("dpkg-buildpackage"):
            raise BoxError("dpkg-buildpackage is missing, and the box installs packages: apt-get install debhelper")
        with tempfile.TemporaryDirectory() as folder:
            with util.step("making the packages"):
                util.run("scripts/package", [str(util.CLONE / "scripts" / "package"), "--build", str(self.build), "deb", folder],
                         util.cache_dir() / "install.log")
            if self._key_of_build() != self.key:
                raise BoxError(f"{self.build} changed while it was packaged: start again")
            yield self._read(pathlib.Path(folder))


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
                    with software.files() as files, _making("installed", target.name) as folder:
                        _install_everywhere(base, folder, files)
                _prune()
    os.utime(target)
    return target


def prepared(base, preparation):
    """The folder of the snapshot after what a test prepares in a box just started, made if it is missing."""
    key = hashlib.sha256(f"{base.name} {preparation.key}".encode()).hexdigest()[:16]
    target = _folder("prepared", key)
    if not target.exists():
        with _cache_lock():
            if not target.exists():
                with util.step(f"preparing {preparation.what}, in a snapshot of its own"):
                    _remove_partial()
                    with _making("prepared", key) as folder, _derived(base, folder) as shop:
                        preparation.run(shop.box)
                _prune()
    os.utime(target)
    return target


@contextlib.contextmanager
def _derived(base, folder):
    """A workshop in which a copy of a snapshot runs; what is done there is saved in the folder."""
    for name in IMAGES:
        os.link(base / name, folder / name)
    for name in ("ram", "dev", *DISKS):
        util.copy_sparse(base / name, folder / name)
    (folder / "in-use").touch()
    with _Workshop() as shop:
        shop.machine.restore(folder, accel(), writable=True)
        shop.box.set_clocks()
        yield shop
        shop.settle()
        shop.save(folder)


def _install_everywhere(base, folder, files):
    with _derived(base, folder) as shop:
        captured = {}

        def install(domain):
            captured[domain] = _install(shop, domain, files["dom0" if domain == "dom0" else "vm"])

        run_parallel(install, EVERYWHERE)
        _configure(shop)
        _put_into_initramfs(shop, captured["work"])


def _install(shop, domain, files):
    """Install, and return a tar of what that changed or made."""
    if not files:
        return b""
    folder = "/run/xenbox/software"
    shop.run(domain, "mkdir", folder)
    for name, data in files.items():
        shop.run(domain, "sh", "-c", 'cat > "$1"', "sh", f"{folder}/{name}", input=data)
    result = shop.run(domain, "sh", "-c", f"dpkg -i {folder}/*.deb", check=False)
    if result.status != 0:
        words = (result.stdout + result.stderr).decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise BoxError(f"{domain}: dpkg: status {result.status}: {' / '.join(words[-12:])}")
    # /run/xenbox/rw/upper is the tmpfs over the image: what is not from the image. By the time of the inode, since
    # a package's files have the times that they were packed with.
    changed = f"cd /run/xenbox/rw/upper && find {CAPTURED} -cnewer {folder} ! -type c ! -path 'var/lib/systemd*' " \
        "-print0 2> /dev/null | tar -c --no-recursion --null -T -"
    return shop.run(domain, "sh", "-c", changed).stdout


DAEMON_CONFIG = "/etc/qfilexchgd/qfilexchgd.conf"


def _configure(shop):
    """What nobody could guess for an administrator: which of the VMs is the template of DisposableVMs."""
    if shop.run("dom0", "test", "-e", DAEMON_CONFIG, check=False).status == 0:
        shop.run("dom0", "sed", "-i", "s|^#template = none$|template = /etc/xen/disposable.cfg|", DAEMON_CONFIG)
        shop.run("dom0", "systemctl", "reload", "qfilexchgd")


def _put_into_initramfs(shop, captured):
    """A VM that is created later boots with our software: the initramfs brings what installing it changed."""
    layer = archive.Tree()
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
    for kind in ("packages", "base", "installed", "prepared"):
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

    for path in by_age("prepared")[KEEP_PREPARED:] + by_age("installed")[KEEP_INSTALLED:] + by_age("base")[KEEP_BASE:]:
        if not _is_in_use(path):
            shutil.rmtree(path, ignore_errors=True)
    for path in by_age("packages")[2:]:
        shutil.rmtree(path, ignore_errors=True)
