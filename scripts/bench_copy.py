#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/bench copy: a large file and many small ones, from the command until the last byte is read again.

In the Xen box: qvm-copy-to-vm in one VM until the other has read all of it, against the parts of that by themselves and
against dd on the disk where the pendrives are. With --host, on this machine without Xen: a file system on a loop
device as the daemon binds it, against the same disk without it and against tar and cp. Needs root.
"""
import argparse
import collections
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import bench_common
from bench_common import say

MIB = 1 << 20


class Load:
    """What is copied: `folders` folders with `files` files in all, together about `mib` MiB."""

    def __init__(self, name, folders, files, mib):
        self.name, self.folders, self.files, self.mib = name, folders, files, mib

    def room_mib(self):
        """On vfat each file takes whole clusters."""
        return self.mib + self.files * 4 // 1024 * 2 + 128

    SCRIPT = r"""
        set -e; rm -rf "$1"; mkdir -p "$1"; cd "$1"; i=0
        while [ $i -lt $2 ]; do
            mkdir $i
            head -c $(($3 * $4)) /dev/urandom | split -b $4 -a 4 -d - $i/f
            i=$((i + 1))
        done
    """

    def argv(self, folder):
        in_each = self.files // self.folders
        size = self.mib * MIB // (in_each * self.folders)
        return ["sh", "-c", self.SCRIPT, "sh", str(folder), str(self.folders), str(in_each), str(size)]


ONE_GIB = Load("1 GiB, one file", 1, 1, 1024)
TEN_THOUSAND = Load("10,000 files of 4 KiB", 100, 10000, 40)
SIXTY_THOUSAND = Load("60,000 files, 688 MB", 4000, 60000, 656)
# What an emulation does in reasonable time.
SMALL = (Load("256 MiB, one file", 1, 1, 256), Load("1,000 files of 4 KiB", 10, 1000, 4))


# ---- on this machine ----

def run(*argv):
    subprocess.run([str(word) for word in argv], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def seconds(action):
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def file_system():
    """vfat, as pendrives have it; where the kernel has none, ext4 stands for it, without a journal."""
    with contextlib.suppress(OSError):
        subprocess.run(["modprobe", "-q", "vfat"], check=False)
    if re.search(r"^\tvfat$", pathlib.Path("/proc/filesystems").read_text(), re.MULTILINE):
        return "vfat", ["mkfs.vfat", "-F", "32"]
    return "ext4 without a journal", ["mkfs.ext4", "-q", "-O", "^has_journal", "-E", "lazy_itable_init=1"]


@contextlib.contextmanager
def loop(image, direct=True, read_only=False):
    argv = ["losetup", "--find", "--show", f"--direct-io={'on' if direct else 'off'}"]
    device = subprocess.run([*argv, *(["--read-only"] if read_only else []), str(image)], check=True,
                            stdout=subprocess.PIPE, text=True).stdout.strip()
    try:
        yield device
    finally:
        run("losetup", "--detach", device)


@contextlib.contextmanager
def mounted(device, folder, *options):
    run("mount", *options, device, folder)
    try:
        yield
    finally:
        run("umount", folder)


class Host:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.image, self.there = self.folder / "image", self.folder / "there"
        self.mount = self.folder / "mount"
        self.mount.mkdir()
        self.kind, self.mkfs = file_system()

    def fresh_image(self, mib):
        self.image.unlink(missing_ok=True)
        run("truncate", "-s", f"{mib}M", self.image)

    def stream(self, source):
        """dd to the disk and back; the same through a loop device, direct and buffered."""
        large = ["bs=4M", "status=none"]

        def bare():
            run("dd", f"if={source}", f"of={self.there}", "oflag=direct", "conv=fsync", *large)
            run("dd", f"if={self.there}", "of=/dev/null", "iflag=direct", *large)

        def through(direct):
            with loop(self.image, direct) as device:
                run("dd", f"if={source}", f"of={device}", "oflag=direct", "conv=fsync", *large)
            with loop(self.image, direct, read_only=True) as device:
                run("dd", f"if={device}", "of=/dev/null", "iflag=direct", "count=256", *large)

        yield "dd to the disk, dd from the disk", bare
        yield "dd to a loop device with direct I/O, dd from it", lambda: through(True)

        def two():
            """Each VM's transfer in a process of its own, as each has its own threads in the kernel."""
            with contextlib.ExitStack() as stack:
                images = [self.image, self.folder / "image2"]
                run("truncate", "-r", self.image, images[1])
                stack.callback(images[1].unlink)
                devices = [stack.enter_context(loop(image)) for image in images]
                for words in (lambda d: [f"if={source}", f"of={d}", "oflag=direct", "conv=fsync"],
                              lambda d: [f"if={d}", "of=/dev/null", "iflag=direct", "count=256"]):
                    children = [subprocess.Popen(["dd", *words(device), *large]) for device in devices]
                    if any(child.wait() for child in children):
                        raise SystemExit("bench: dd failed")

        yield "two such pairs at once", two
        yield "dd through a loop device without direct I/O", lambda: through(False)

    def trees(self, source):
        """The way of a pendrive but for Xen, and what a user of one machine would do."""
        def pendrive(direct):
            with loop(self.image, direct) as device:
                run(*self.mkfs, device)
                with mounted(device, self.mount):
                    run("cp", "-r", source, self.mount)
            with loop(self.image, direct, read_only=True) as device, mounted(device, self.mount, "-o", "ro"):
                run("sh", "-c", f"find {self.mount} -type f -print0 | xargs -0 cat > /dev/null")

        def tar():
            self.there.mkdir()
            run("sh", "-c", f"tar -C {source} -c . | tar -C {self.there} -x && sync -f {self.there}")

        def copy():
            run("cp", "-a", source, self.there)
            run("sync", "-f", self.there)

        yield f"{self.kind} on a loop device: mkfs, cp, umount, mount again, read all", lambda: pendrive(True)
        yield f"{self.kind}, the same without direct I/O", lambda: pendrive(False)
        yield "tar piped to tar, sync", tar
        yield "cp -a, sync", copy

    def clean(self, mib):
        if self.there.is_dir():
            shutil.rmtree(self.there)
        self.there.unlink(missing_ok=True)
        self.fresh_image(mib)

    def measure(self, loads, runs):
        times = collections.defaultdict(list)
        for load in loads:
            with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="qfx-bench-") as source:
                run(*load.argv(source))
                ways = list(self.trees(source))
                if load.files == 1:
                    ways = [*self.stream(next(pathlib.Path(source).glob("*/*"))), *ways]
                for n in range(runs):
                    for name, action in ways:
                        self.clean(load.room_mib())
                        times[f"{load.name}: {name}"].append(seconds(action))
                    say(f"{load.name}, run {n + 1}")
        self.clean(1)
        return times


def on_the_host(runs, full, folder):
    if os.geteuid() != 0:
        raise SystemExit("bench: loop devices take root")
    with tempfile.TemporaryDirectory(dir=folder, prefix="qfx-bench-") as scratch:
        loads = (ONE_GIB, TEN_THOUSAND, SIXTY_THOUSAND) if full else (ONE_GIB, TEN_THOUSAND)
        times = Host(scratch).measure(loads, runs)
    bench_common.save("copy-host", times)
    bench_common.table("On this machine, without Xen, in s", times)


# ---- in the Xen box ----

PENCTL = "/usr/lib/qubes/qubes_penctl"
# Reads all that came, and says so.
READER = r"""
until grep -q ' /mnt/incoming ' /proc/mounts; do
    findmnt --poll=mount --first-only --timeout 1000 --mountpoint /mnt/incoming > /dev/null || true
done
find /mnt/incoming -type f -print0 | xargs -0 cat > /dev/null
xenstore-write data/bench-read "$1"
"""
MARKS = r"""
xenstore-watch /local/domain | while read -r path; do
    case $path in
    /local/domain) echo watching ;;
    */data/bench-began|*/data/bench-read|*/device/qpen) echo "${path##*/} ${EPOCHREALTIME/./}" ;;
    esac
done
"""


def box_bench():
    """Imported only here: --host needs no box."""
    from bench_box import IMAGES, BoxBench, fresh_box, guarded

    class Copy(BoxBench):
        def prepare(self):
            self.allow()

        def penctl(self, words):
            """What work's user asks dom0 for."""
            self.sh("work", f"runuser -u user -- {PENCTL} {words}")

        def whole(self, folder):
            marks = self.box.popen("dom0", ["bash", "-c", MARKS])
            if marks.stdout.readline() != b"watching\n":
                raise SystemExit(f"bench: xenstore is not watched: {marks.stderr.read()}")
            reader = self.box.popen("personal", ["sh", "-c", READER, "sh", folder])
            self.sh("work", f"xenstore-write data/bench-began {folder}; "
                            f"runuser -u user -- qvm-copy-to-vm -q personal /home/user/{folder}")
            # The last request before the end is `send`: by then all is on the pendrive.
            seen = {}
            for line in iter(marks.stdout.readline, b""):
                match = re.match(rb"(\S+) (\d+)", line)
                if match:
                    seen[match[1].decode()] = int(match[2]) / 1e6
                if match and match[1] == b"bench-read":
                    break
            marks.kill()
            reader.communicate(timeout=600)
            self.sh("personal", "umount /mnt/incoming")
            self.wait_nothing_left()
            return seen["qpen"] - seen["bench-began"], seen["bench-read"] - seen["qpen"]

        def raw(self, mib):
            """The way of the same bytes without a file system and without our copier: (written, read), in seconds."""
            self.penctl(f"new size={mib + 64}M")
            # Behind what mkfs wrote, so that the receiver finds a file system.
            written = self.timed("work", f"dd if=/dev/zero of=/dev/xvdg bs=4M seek=8 count={mib // 4} oflag=direct conv=fsync")
            self.penctl("send personal")
            self.wait_for("personal", "grep -q ' /mnt/incoming ' /proc/mounts")
            read = self.timed("personal", f"dd if=/dev/xvdh of=/dev/null bs=4M skip=8 count={mib // 4} iflag=direct")
            self.sh("personal", "umount /mnt/incoming")
            self.wait_nothing_left()
            return written, read

        def onto(self, room_mib, by_default=False):
            """cp onto a file system as dom0 makes it, or as mkfs.vfat does when it is asked for nothing else."""
            self.penctl(f"new size={room_mib}M" + (" format=none" if by_default else ""))
            if by_default:
                self.sh("work", "mkfs.vfat -F 32 /dev/xvdg")
            self.sh("work", "mount /mnt/outgoing; echo 3 > /proc/sys/vm/drop_caches")
            took = self.timed("work", "cp -r /home/user/tree /mnt/outgoing; umount /mnt/outgoing")
            reads = [self.read_through_loop(direct) for direct in ("off", "on")] if not by_default else []
            self.penctl("discard")
            return [took, *reads]

        def read_through_loop(self, direct):
            """As a receiver has it mounted."""
            loop = self.sh("work", f"losetup --find --show --read-only --direct-io={direct} /dev/xvdg")
            self.sh("work", f"mount -t vfat -o ro {loop} /mnt/outgoing; echo 3 > /proc/sys/vm/drop_caches")
            took = self.timed("work", "find /mnt/outgoing -type f -print0 | xargs -0 cat")
            self.sh("work", f"umount /mnt/outgoing; losetup --detach {loop}")
            return took

        def timed(self, domain, script):
            """Seconds that a script takes, by its own domain's clock."""
            text = "b=${EPOCHREALTIME/./}; { " + script + "; } > /dev/null; echo $((${EPOCHREALTIME/./} - b))"
            out = self.box.exec(domain, ["bash", "-c", "export LC_ALL=C; " + text], check=True, timeout=1800).stdout
            return int(out) / 1e6

        def measure(self, loads, runs):
            times = collections.defaultdict(list)
            for load in loads:
                self.box.exec("work", ["runuser", "-u", "user", "--", *load.argv("/home/user/tree")], check=True,
                              timeout=1800)
                for n in range(runs):
                    if load.files == 1:
                        file = f"{IMAGES}/bench.dd"
                        times[f"{load.name}: dd to dom0's disk, dd from it"].append(self.timed(
                            "dom0", f"dd if=/dev/zero of={file} bs=4M count={load.mib // 4} oflag=direct conv=fsync; "
                                    f"dd if={file} of=/dev/null bs=4M iflag=direct; rm {file}"))
                        times[f"{load.name}: dd to the pendrive in one VM, dd from it in the other"].append(
                            sum(self.raw(load.mib)))
                    times[f"{load.name}: the sender reads it from its own disk"].append(self.timed(
                        "work", "echo 3 > /proc/sys/vm/drop_caches; "
                                "find /home/user/tree -type f -print0 | xargs -0 cat"))
                    for what, took in zip(("cp onto a pendrive, and umount", "read through a loop device",
                                           "read through a loop device with direct I/O"), self.onto(load.room_mib())):
                        times[f"{load.name}: {what}"].append(took)
                    times[f"{load.name}: cp onto what mkfs.vfat makes by its own choice"] += self.onto(
                        load.room_mib(), by_default=True)
                    self.sh("work", "echo 3 > /proc/sys/vm/drop_caches")
                    sent, read = self.whole("tree")
                    times[f"{load.name}: qvm-copy-to-vm until the receiver has read all"].append(sent + read)
                    times[f"{load.name}: of that, until all is on the pendrive"].append(sent)
                    say(f"{load.name}, run {n + 1}: " + ", ".join(
                        f"{values[-1]:.1f} s" for name, values in times.items() if name.startswith(load.name)))
            return times

        def direct_io(self):
            """Whether the kernel goes past dom0's page cache for a lent pendrive."""
            self.penctl("new")
            return self.sh("dom0", "cat /sys/block/loop*/loop/dio") == "1"

    return Copy, fresh_box, guarded


def in_the_box(runs, full):
    kind, fresh_box, guarded = box_bench()

    def measure():
        with fresh_box() as box:
            bench = kind(box)
            bench.prepare()
            times = bench.measure((ONE_GIB, TEN_THOUSAND, SIXTY_THOUSAND) if full else SMALL, runs)
            direct = bench.direct_io()
        bench_common.save("copy", {"times": times, "direct": direct})
        bench_common.table("In the Xen box, in s", times)
        print(f"The loop device of a lent pendrive has direct I/O: {'yes' if direct else 'NO'}")

    guarded(measure)


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench copy")
    parser.add_argument("runs", nargs="?", type=int, default=3)
    parser.add_argument("--host", metavar="FOLDER", help="without Xen, on this machine's disk at FOLDER")
    parser.add_argument("--full", action="store_true", help="60,000 files; in the box 1 GiB as well: an hour a run")
    args = parser.parse_args()
    if args.host:
        on_the_host(args.runs, args.full, args.host)
    else:
        in_the_box(args.runs, args.full)


if __name__ == "__main__":
    main()
