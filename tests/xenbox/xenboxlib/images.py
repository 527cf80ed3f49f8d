# SPDX-License-Identifier: GPL-2.0-or-later
"""From Debian packages to the images a box boots from.

Two steps, each kept in the cache under the hash of what it is made from: the package trees (tar files,
about a minute), and the images with our agents, units and settings laid over them (seconds).
"""

import glob
import gzip
import hashlib
import inspect
import io
import lzma
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile

from . import archive, channel, machine, util
from .util import BoxError, RECIPES

CODENAME = "bookworm"
VM_MEMORY_MIB = 300
# A save file has all of it, and so many DisposableVMs must fit beside the others.
DISPOSABLE_MEMORY_MIB = 256
VMS = {  # name -> the disk of dom0 that is its /home
    "work": "/dev/vdd",
    "personal": "/dev/vde",
    "third": None,
    "disposable": None,  # what DisposableVMs are made from: no disk that one could write to
}
USERS = {
    "dom0": {"user": 1000, "desktop": 1001},  # `desktop` is who sits at dom0's screen
    "vm": {"user": 1000},
}
DISK_SIZES = {"dom0.disk": "8G", "work.disk": "4G", "personal.disk": "4G"}
BUSYBOX_APPLETS = ("sh", "mount", "insmod", "mkdir", "cp", "switch_root", "sleep", "echo")
AGENT_LIBRARIES = ("-Wl,-Bstatic", "-lxenvchan", "-lxengnttab", "-lxenevtchn", "-lxencall", "-lxentoollog",
                   "-lxentoolcore", "-Wl,-Bdynamic", "-lxenstore")
SESSION_SOURCES = ("session.c", "stream.c", "vchan_stream.c")
AGENTS = {  # program -> sources, libraries
    "dom0_agent": (("dom0_agent.c", "port.c", "relay.c", *SESSION_SOURCES), AGENT_LIBRARIES),
    "vm_agent": (("vm_agent.c", *SESSION_SOURCES), AGENT_LIBRARIES),
    "block_phy": (("block_phy.c",), ("-lxenstore",)),
}


# -- what the host must have

def install_host_packages(log):
    wanted = util.words_of("host-packages")
    states = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted],
                            capture_output=True, text=True, check=False).stdout
    present = {line.split()[0] for line in states.splitlines() if line.endswith(" installed")}
    missing = [package for package in wanted if package not in present]
    if not missing:
        return
    with util.step(f"installing {' '.join(missing)}"):
        run_as_root("apt-get update", ["apt-get", "update", "-q"], log)
        run_as_root("apt-get install", ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-q",
                                        "--no-install-recommends", *missing], log)


def run_as_root(what, argv, log):
    if os.geteuid() != 0:
        if not shutil.which("sudo"):
            raise BoxError(f"{what} needs root, and there is no sudo: run `xenbox build` as root once")
        argv = ["sudo", *argv]
    util.run(what, argv, log)


def apt_sources(log):
    """The host's own sources for this Debian, as lines for sources.list."""
    def ask():
        return subprocess.run(
            ["apt-get", "indextargets", "--format", "$(CODENAME)|$(REPO_URI) $(RELEASE) $(COMPONENT)",
             "Created-By: Packages", "Origin: Debian", "Component: main"],
            capture_output=True, text=True, check=False).stdout

    def lines_of(text):
        suites = (CODENAME, f"{CODENAME}-updates", f"{CODENAME}-security")
        found = [line.partition("|") for line in text.splitlines()]
        return list(dict.fromkeys(f"deb {where}" for codename, _, where in found if codename in suites))

    lines = lines_of(ask())
    if not lines:
        run_as_root("apt-get update", ["apt-get", "update", "-q"], log)
        lines = lines_of(ask())
    if not lines:
        raise BoxError(f"this machine's apt has no source for Debian {CODENAME}, of which the box is made")
    return lines


def apt_options():
    """How the host reaches its sources (proxies, timeouts): mmdebstrap shall do the same."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    wanted = ("Acquire::http::", "Acquire::https::", "Acquire::Check-Valid-Until", "Acquire::Retries")
    return [line for line in dump.splitlines() if line.startswith(wanted) and not line.endswith('"";')]


# -- package trees

def packages_key():
    total = hashlib.sha256()
    for name in ("dom0-packages", "vm-packages", "boot-packages"):
        total.update("\n".join(util.words_of(name)).encode() + b"\0")
    total.update((RECIPES / "fetch-boot-packages").read_bytes())
    total.update(inspect.getsource(_mmdebstrap_arguments).encode() + repr(USERS).encode())
    return total.hexdigest()[:16]


def _mmdebstrap_arguments(name, target, debs, boot_debs):
    drop = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*",
            # OpenGL in software, which comes with every X server, and of which the desktop in dom0 makes no use.
            "/usr/lib/*/libLLVM-*", "/usr/lib/*/libz3.so*", "/usr/lib/*/dri/*")
    archives = "/var/cache/apt/archives"
    argv = [
        "mmdebstrap", "--variant=minbase", f"--include={','.join(util.words_of(name + '-packages'))}",
        "--skip=download/empty", "--skip=essential/unlink",
        '--aptopt=Apt::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"',
        '--aptopt=Apt::Keep-Downloaded-Packages "true"',
        *(f"--dpkgopt=path-exclude={path}" for path in drop),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        # .debs are kept from one build to the next.
        f'--setup-hook=mkdir -p "$1"{archives}', f"--setup-hook=sync-in {shlex.quote(str(debs))} {archives}",
        f"--customize-hook=sync-out {archives} {shlex.quote(str(debs))}",
        f'--customize-hook=rm -rf "$1"{archives}/*.deb "$1"/var/cache/apt/*.bin',
        *(f'--customize-hook=chroot "$1" useradd --create-home --uid {uid} --shell /bin/bash {user}'
          for user, uid in USERS[name].items()),
    ]
    if boot_debs:
        hook = [RECIPES / "fetch-boot-packages", boot_debs, *util.words_of("boot-packages")]
        argv.append(f"--customize-hook={shlex.join(map(str, hook))}")
    return [*argv, CODENAME, str(target)]


def make_packages(folder, log):
    """Into `folder`: dom0.tar, vm.tar, and boot/*.deb."""
    debs = util.cache_dir() / "debs"
    debs.mkdir(exist_ok=True)
    scratch = util.cache_dir() / "tmp"
    util.remove_tree(scratch)
    scratch.mkdir()
    sources = apt_sources(log)
    options = [f"--aptopt={line}" for line in apt_options()]
    try:
        for name, boot_debs in (("dom0", folder / "boot"), ("vm", None)):
            with util.step(f"installing Debian packages for {name}"):
                argv = _mmdebstrap_arguments(name, folder / f"{name}.tar", debs, boot_debs)
                util.run(f"mmdebstrap for {name}", util.contained(argv + options + sources), log,
                         env=dict(os.environ, TMPDIR=str(scratch)))
    finally:
        util.remove_tree(scratch)


# -- images

def image_key():
    """Over everything an image, or the snapshot of the system booted from it, is made of."""
    total = hashlib.sha256(packages_key().encode())
    for path in sorted(RECIPES.rglob("*")):
        relative = path.relative_to(RECIPES)
        wanted = relative.parts[0] in ("agent", "initramfs", "lists", "rootfs") or \
            relative.as_posix() in ("xenboxlib/images.py", "xenboxlib/archive.py")
        if wanted and path.is_file() and not path.name.startswith("."):
            total.update(f"{relative}\0{os.access(path, os.X_OK)}\0".encode() + path.read_bytes())
    for function in (machine.Machine._arguments, machine.Machine.boot):
        total.update(inspect.getsource(function).encode())
    total.update(f"{machine.MEMORY} {machine.XEN_ARGS} {machine.KERNEL_ARGS} {channel.PORTS}".encode())
    return total.hexdigest()[:16]


class Kernel:
    """The kernel package, unpacked."""

    def __init__(self, root):
        self.root = root
        versions = os.listdir(root / "lib/modules")
        if len(versions) != 1:
            raise BoxError(f"expected one kernel, found {versions}")
        self.version = versions[0]

    def elf(self):
        """The kernel inside the compressed image: a VM starts 4 s sooner if nobody has to unpack it first."""
        image = (self.root / "boot" / f"vmlinuz-{self.version}").read_bytes()
        at = image.find(b"\xfd7zXZ\0")
        if at < 0:
            raise BoxError("the kernel image is not xz-compressed")
        return lzma.LZMADecompressor().decompress(image[at:])

    def modules(self, names):
        """The paths of these modules and of those they need, in the order to load them."""
        paths = {}
        for name in names:
            done = subprocess.run(["modprobe", "-d", str(self.root), "-S", self.version, "--show-depends", name],
                                  capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise BoxError(f"kernel {self.version} has no module {name}")
            for line in done.stdout.splitlines():
                kind, path = line.split()[:2]
                if kind == "insmod":
                    paths[path] = None
        return [pathlib.Path(path) for path in paths]


def _split_modules(name):
    """(all, those for the initramfs) of a list in lists/."""
    lines = [line.split() for line in util.words_of(name)]
    return [words[-1] for words in lines], [words[-1] for words in lines if words[0] == "early"]


def _add_modules(tree, kernel, names):
    """A module tree with its indices, in which modprobe and udev find their way."""
    with tempfile.TemporaryDirectory() as folder:
        base = pathlib.Path(folder) / "lib/modules" / kernel.version
        base.mkdir(parents=True)
        for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
            shutil.copy(kernel.root / "lib/modules" / kernel.version / name, base)
        for path in kernel.modules(names):
            target = base / path.relative_to(kernel.root / "lib/modules" / kernel.version)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        subprocess.run(["depmod", "-b", folder, kernel.version], check=True)
        tree.add_directory(folder)


def _initramfs(kernel, names, init):
    tree = archive.Tree()
    # Not through _add's detour: this root has no /usr.
    for folder in ("bin", "dev", "proc", "sys", "root", "base", "rw", "modules"):
        tree.entries[folder] = archive.Entry(0o040755)
    tree.entries["bin/busybox"] = archive.Entry(0o100755, pathlib.Path("/bin/busybox").read_bytes())
    for applet in BUSYBOX_APPLETS:
        tree.entries[f"bin/{applet}"] = archive.Entry(0o120777, b"busybox")
    paths = kernel.modules(names)
    for path in paths:
        tree.copy(f"modules/{path.name}", path)
    tree.file("modules/order", "".join(f"{path.name}\n" for path in paths))
    tree.copy("init", RECIPES / "initramfs" / init, 0o755)
    out = io.BytesIO()
    tree.write_cpio(out)
    return out.getvalue()


def _common_layer(name):
    tree = archive.Tree()
    tree.add_directory(RECIPES / "rootfs" / "common")
    tree.add_directory(RECIPES / "rootfs" / name)
    for unit in util.words_of("masked-units"):
        tree.link(f"etc/systemd/system/{unit}", "/dev/null")
    for generator in util.words_of("masked-generators"):
        tree.link(f"etc/systemd/system-generators/{generator}", "/dev/null")
    tree.link("etc/systemd/system/default.target", "/usr/lib/systemd/system/multi-user.target")
    tree.link("etc/systemd/system/multi-user.target.wants/xenbox-agent.service", "../xenbox-agent.service")
    # The files of a clone may have any umask's modes.
    for entry in tree.entries.values():
        if entry.mode & 0o170000 != 0o120000:
            entry.mode |= 0o644 | (0o111 if entry.mode & 0o040100 else 0)
    return tree


def vm_config(name):
    home = VMS[name]
    memory = DISPOSABLE_MEMORY_MIB if name == "disposable" else VM_MEMORY_MIB
    number = list(VMS).index(name) + 1
    disks = ["format=raw,vdev=xvda,access=ro,script=block-phy,target=/dev/vdb"]
    args = f"{machine.KERNEL_ARGS} xenbox.hostname={name} xenbox.machine_id={0x78656e626f78 << 64 | number:032x}"
    if home:
        disks.append(f"format=raw,vdev=xvdb,access=rw,script=block-phy,target={home}")
        args += " xenbox.home=/dev/xvdb"
    return "\n".join((
        f'name = "{name}"', 'type = "pv"', f"memory = {memory}", "vcpus = 1",
        'kernel = "/usr/lib/xenbox/vmlinux"', 'ramdisk = "/usr/lib/xenbox/vm.cpio"',
        f"disk = {disks}", f'extra = "{args}"', 'on_crash = "preserve"', 'on_reboot = "destroy"', ""))


def _dom0_layer(kernel, elf, vm_initramfs, agents, xenstored):
    tree = _common_layer("dom0")
    _add_modules(tree, kernel, _split_modules("dom0-modules")[0])
    unit = tree.entries["etc/systemd/system/xenbox-agent.service"]
    unit.data = unit.data.replace(b"@PORTS@", str(channel.PORTS).encode())
    tree.file("etc/hostname", "dom0\n")
    tree.file("etc/hosts", "127.0.0.1 localhost dom0\n")
    tree.file("etc/machine-id", f"{0x78656e626f78 << 64:032x}\n")
    tree.copy("usr/lib/xenbox/dom0_agent", agents / "dom0_agent", 0o755)
    tree.copy("etc/xen/scripts/block-phy", agents / "block_phy", 0o755)
    tree.file("usr/lib/xenbox/vmlinux", elf)
    tree.file("usr/lib/xenbox/vm.cpio", vm_initramfs)
    for name in VMS:
        tree.file(f"etc/xen/{name}.cfg", vm_config(name))
    tree.directory("var/lib/qfilexchgd", 0o700)
    if xenstored == "c":
        tree.file("etc/default/xen", "XENSTORED=/usr/lib/xen-4.17/bin/xenstored\n")
    return tree


def _vm_layer(kernel, agents):
    tree = _common_layer("vm")
    _add_modules(tree, kernel, _split_modules("vm-modules")[0])
    tree.copy("usr/lib/xenbox/vm_agent", agents / "vm_agent", 0o755)
    tree.file("etc/fstab", "")
    return tree


def _make_squashfs(target, tar, layer, log):
    with open(log, "ab") as out:
        # Uncompressed: reading costs nothing under emulation, and the host's page cache holds it once for all.
        squash = subprocess.Popen(
            ["sqfstar", "-noI", "-noD", "-noF", "-noX", "-no-progress", "-quiet", str(target)],
            stdin=subprocess.PIPE, stdout=out, stderr=out, preexec_fn=util.die_with_parent)
        try:
            archive.add_to_tar_stream(tar, layer, squash.stdin)
            squash.stdin.close()
        except BrokenPipeError:
            pass
        if squash.wait() != 0:
            raise BoxError(f"sqfstar could not make {target.name} (see {log})")


def compile_agents(folder, log):
    for program, (sources, libraries) in AGENTS.items():
        util.run(f"compiling {program}",
                 ["gcc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-o", str(folder / program),
                  *(str(RECIPES / "agent" / source) for source in sources), *libraries], log)


def make_images(folder, packages, xenstored, log):
    """Into `folder`: all that machine.IMAGES and machine.DISKS name."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        scratch = pathlib.Path(name)
        for deb in glob.glob(str(packages / "boot" / "*.deb")):
            util.run("unpacking the kernel and Xen", ["dpkg-deb", "-x", deb, str(scratch)], log)
        kernel = Kernel(scratch)
        subprocess.run(["depmod", "-b", str(scratch), kernel.version], check=True)
        compile_agents(scratch, log)

        xen = glob.glob(str(scratch / "boot" / "xen-*-amd64.gz"))
        if len(xen) != 1:
            raise BoxError(f"expected one hypervisor, found {xen}")
        with gzip.open(xen[0]) as f:
            (folder / "xen.elf").write_bytes(f.read())
        elf = kernel.elf()
        (folder / "vmlinux").write_bytes(elf)
        (folder / "dom0.cpio").write_bytes(_initramfs(kernel, _split_modules("dom0-modules")[1], "dom0-init"))
        vm_initramfs = _initramfs(kernel, _split_modules("vm-modules")[1], "vm-init")
        dom0_layer = _dom0_layer(kernel, elf, vm_initramfs, scratch, xenstored)
        _make_squashfs(folder / "dom0.sqfs", packages / "dom0.tar", dom0_layer, log)
        _make_squashfs(folder / "vm.sqfs", packages / "vm.tar", _vm_layer(kernel, scratch), log)
    for disk, size in DISK_SIZES.items():
        # A sparse file is all zeros: nobody has to write more of them, neither mke2fs nor, later, the kernel.
        util.run(f"making {disk}", ["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-J", "size=16",
                                    "-E", "assume_storage_prezeroed=1", str(folder / disk), size], log)
