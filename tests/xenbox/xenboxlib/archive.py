# SPDX-License-Identifier: GPL-2.0-or-later
"""File trees that are not on the disk.

A Tree is a set of paths with owner, mode and content, put together in memory and written as a cpio
archive (an initramfs) or into a tar stream (an image). So nobody needs to be root to give a file to
root, and nothing unpacked has to be cleaned up.
"""

import hashlib
import io
import os
import stat
import tarfile

# Debian has these as links into /usr. A tree that came with its own /lib would put a directory over
# the link and make the system unbootable.
MERGED_INTO_USR = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


class Entry:
    def __init__(self, mode, data=b"", uid=0, gid=0):
        self.mode = mode  # with the type bits, as in stat
        self.data = data  # a regular file's content, a link's target, else empty
        self.uid = uid
        self.gid = gid


class Tree:
    """Relative paths without a leading slash -> Entry. Parents of what is added are made as needed."""

    def __init__(self):
        self.entries = {}

    def __contains__(self, path):
        return path in self.entries

    def _add(self, path, entry):
        path = os.path.normpath(path).lstrip("/")
        first, _, rest = path.partition("/")
        if first in MERGED_INTO_USR:
            if not rest:
                return
            path = "usr/" + path
        self._add_parents(path)
        self.entries[path] = entry

    def _add_parents(self, path):
        parent = os.path.dirname(path)
        if parent and parent not in self.entries:
            self._add_parents(parent)
            self.entries[parent] = Entry(stat.S_IFDIR | 0o755)

    def directory(self, path, mode=0o755):
        self._add(path, Entry(stat.S_IFDIR | mode))

    def file(self, path, data, mode=0o644):
        if isinstance(data, str):
            data = data.encode()
        self._add(path, Entry(stat.S_IFREG | mode, data))

    def copy(self, path, source, mode=None):
        with open(source, "rb") as f:
            data = f.read()
        self.file(path, data, stat.S_IMODE(os.stat(source).st_mode) if mode is None else mode)

    def link(self, path, target):
        self._add(path, Entry(stat.S_IFLNK | 0o777, os.fsencode(target)))

    def add_directory(self, root, into=""):
        """Everything below a real directory, given to root. Anything but files, links and directories is refused."""
        for folder, subfolders, files in os.walk(root):
            for name in sorted(subfolders + files):
                source = os.path.join(folder, name)
                path = os.path.join(into, os.path.relpath(source, root))
                info = os.lstat(source)
                if stat.S_ISLNK(info.st_mode):
                    self.link(path, os.readlink(source))
                elif stat.S_ISDIR(info.st_mode):
                    self.directory(path, stat.S_IMODE(info.st_mode))
                elif stat.S_ISREG(info.st_mode):
                    self.copy(path, source)
                else:
                    raise ValueError(f"{source}: neither a file nor a link nor a directory")

    def add_tar(self, data):
        """Files, links and directories of a tar archive (bytes), with their owners."""
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                if member.isreg():
                    entry = Entry(stat.S_IFREG | member.mode, tar.extractfile(member).read())
                elif member.issym():
                    entry = Entry(stat.S_IFLNK | 0o777, os.fsencode(member.linkname))
                elif member.isdir():
                    entry = Entry(stat.S_IFDIR | member.mode)
                else:
                    continue
                entry.uid, entry.gid = member.uid, member.gid
                self._add(member.name, entry)

    def digest(self):
        """A hash over all that matters: paths, modes, owners, contents; not over times."""
        total = hashlib.sha256()
        for path, entry in sorted(self.entries.items()):
            content = hashlib.sha256(entry.data).hexdigest()
            total.update(f"{path}\0{entry.mode:o} {entry.uid} {entry.gid} {content}\n".encode("utf-8", "surrogateescape"))
        return total.hexdigest()

    def write_cpio(self, out):
        """As a "newc" archive, which the kernel unpacks as an initramfs; several may follow each other."""
        for number, (path, entry) in enumerate(sorted(self.entries.items()), 1):
            _write_cpio_member(out, number, os.fsencode(path), entry)
        _write_cpio_member(out, 0, b"TRAILER!!!", Entry(0))

    def write_tar(self, tar):
        """Into an open tarfile."""
        for path, entry in sorted(self.entries.items()):
            member = tarfile.TarInfo(path)
            member.mode = stat.S_IMODE(entry.mode)
            member.uid, member.gid = entry.uid, entry.gid
            if stat.S_ISDIR(entry.mode):
                member.type = tarfile.DIRTYPE
            elif stat.S_ISLNK(entry.mode):
                member.type = tarfile.SYMTYPE
                member.linkname = os.fsdecode(entry.data)
            else:
                member.size = len(entry.data)
            tar.addfile(member, io.BytesIO(entry.data) if member.isreg() else None)

    def tar(self):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            self.write_tar(tar)
        return out.getvalue()


def _write_cpio_member(out, inode, name, entry):
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (inode, entry.mode, entry.uid, entry.gid, links, 0, len(entry.data), 0, 0, 0, 0, len(name) + 1, 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name + b"\0"
    out.write(header + b"\0" * (-len(header) % 4))
    out.write(entry.data + b"\0" * (-len(entry.data) % 4))


def add_to_tar_stream(source, layer, out):
    """Copy the tar file `source` to the stream `out` with the Tree `layer` laid over it.

    Members which the layer brings too are left out, because squashfs does not know "the last one wins".
    A directory keeps the owner and mode it has in the source, as it does when a package is installed.
    """
    known_directories = set()
    with tarfile.open(source) as old, \
            tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as new:
        for member in old:
            path = os.path.normpath(member.name)
            if path == ".":
                continue
            if member.isdir():
                known_directories.add(path)
            elif path in layer:
                continue
            member.name = path
            member.pax_headers = {}
            if member.islnk():
                member.linkname = os.path.normpath(member.linkname)
            new.addfile(member, old.extractfile(member) if member.isreg() else None)
        rest = Tree()
        rest.entries = {path: entry for path, entry in layer.entries.items() if path not in known_directories}
        rest.write_tar(new)
