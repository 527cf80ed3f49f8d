# SPDX-License-Identifier: GPL-2.0-or-later
"""What a folder may look like after the power failed, reckoned from the log of what a program did to it.

What was not synced may be lost. Of a file's bytes: all since it was synced last, or none, or all while its length is kept, and
zeros are in their place. Of names (made, moved, removed):
those since their folder was synced last, from any moment on, since file systems write them in order. Each such state can be made
a folder again, for a program to be started on.

    disk = Disk(folder)             # as it is now, all of it safe
    ... the program runs with crashpoints' log ...
    for state in disk.states(effects.read()):
        state.make(elsewhere)
"""
import collections
import os
import pathlib
import shutil
import stat


# What is larger is an image of a pendrive, and nobody looks into one after the host was rebooted.
IMAGE_BYTES = 1 << 20

State = collections.namedtuple("State", "after files")  # after: how many effects were done; files: name -> bytes or None


class File:
    def __init__(self, data=b"", mode=0o600):
        self.now = bytearray(data)
        self.safe = bytes(data)
        self.mode = mode

    def lost_but_its_length(self):
        return self.safe[:len(self.now)].ljust(len(self.now), b"\0")

    def write(self, offset, data):
        self.resize(max(len(self.now), offset))
        self.now[offset:offset + len(data)] = data

    def resize(self, size):
        self.now[size:] = b""
        self.now.extend(bytes(size - len(self.now)))


class Disk:
    """What is in a folder, and below it, and what of that would survive."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.inodes = {}   # number -> the file that has it now; the number of one that is gone is given out again
        self.names = {}    # name below the folder -> file, or None for a folder
        for path in self.folder.rglob("*"):
            found = path.stat()
            file = None if path.is_dir() else File(path.read_bytes(), stat.S_IMODE(found.st_mode))
            self.names[str(path.relative_to(self.folder))] = file
            if file:
                self.inodes[found.st_ino] = file
        self.safe_names = dict(self.names)
        self.changes = []  # of names, since: (folders that it is in, what to do)

    def name(self, path):
        """Below our folder, without a dot at its end; None: not there."""
        path = os.path.normpath(os.fsdecode(path))
        prefix = str(self.folder) + "/"
        if path == str(self.folder):
            return ""
        return path[len(prefix):] if path.startswith(prefix) else None

    def change(self, names, action):
        """A change of names: done now, and safe when all folders that it is in are synced."""
        folders = {os.path.dirname(name) for name in names}
        self.changes.append((folders, action))
        action(self.names)

    def sync_folder(self, folder):
        """What was changed there is safe, and what came before it anywhere: a journal is written in order."""
        last = max((i for i, (folders, _) in enumerate(self.changes) if folder in folders), default=-1)
        for _, action in self.changes[:last + 1]:
            action(self.safe_names)
        del self.changes[:last + 1]

    def apply(self, effect):
        """Whether that changed anything here."""
        handler = getattr(self, "do_" + effect.call, None)
        return handler is not None and handler(*effect.args) is not False

    def do_open(self, path, inode, unnamed, truncated):
        name, inode = self.name(path), int(inode)
        if name is None:
            return False
        file = self.inodes.get(inode)
        if int(unnamed) or file is None or self.names.get(name) is not file:
            file = self.inodes[inode] = File()
        if int(truncated):
            file.resize(0)
        if not int(unnamed) and self.names.get(name) is not file:
            self.change([name], lambda names: names.__setitem__(name, file))
        return True

    def do_write(self, inode, offset, data=b""):
        file = self.inodes.get(int(inode))
        if not file or int(offset) > IMAGE_BYTES:
            return False
        file.write(int(offset), data)
        return True

    def do_truncate(self, inode, size):
        file = self.inodes.get(int(inode))
        if not file or int(size) > IMAGE_BYTES:
            return False
        file.resize(int(size))
        return True

    def do_allocate(self, inode, size):
        file = self.inodes.get(int(inode))
        if not file:
            return False
        file.resize(max(int(size), len(file.now)))
        return True

    def do_fchmod(self, inode, mode):
        file = self.inodes.get(int(inode))
        if not file:
            return False
        file.mode = int(mode)
        return True

    def do_sync(self, inode, path):
        file = self.inodes.get(int(inode))
        if file:
            file.safe = bytes(file.now)
            return True
        name = self.name(path)
        if name is None:
            return False
        self.sync_folder(name)
        return True

    def do_syncfs(self, *_):
        for file in self.inodes.values():
            file.safe = bytes(file.now)
        for _, action in self.changes:
            action(self.safe_names)
        self.changes.clear()
        return True

    def do_mkdir(self, path):
        name = self.name(path)
        if not name:
            return False
        self.change([name], lambda names: names.__setitem__(name, None))
        return True

    def do_unlink(self, path):
        name = self.name(path)
        if name is None:
            return False
        self.change([name], lambda names: names.pop(name, None))
        return True

    def do_rename(self, source, target):
        source, target = self.name(source), self.name(target)
        if source is None or target is None:
            return False

        def action(names):
            if source in names:
                names[target] = names.pop(source)

        self.change([source, target], action)
        return True

    def do_exchange(self, one, other):
        one, other = self.name(one), self.name(other)
        if one is None or other is None:
            return False

        def action(names):
            if one in names and other in names:
                names[one], names[other] = names[other], names[one]

        self.change([one, other], action)
        return True

    def do_link(self, path, inode):
        name, file = self.name(path), self.inodes.get(int(inode))
        if name is None or file is None:
            return False
        self.change([name], lambda names: names.__setitem__(name, file))
        return True

    def now_possible(self):
        """All that may be on the disk now, each once."""
        found = []
        for cut in range(len(self.changes) + 1):
            names = dict(self.safe_names)
            for _, action in self.changes[:cut]:
                action(names)
            for content in (lambda file: file.safe, File.lost_but_its_length, lambda file: bytes(file.now)):
                files = {name: None if file is None else (content(file), file.mode)
                         for name, file in names.items() if self.has_folder(name, names)}
                if files not in found:
                    found.append(files)
        return found

    @staticmethod
    def has_folder(name, names):
        folder = os.path.dirname(name)
        return not folder or folder in names

    def states(self, effects):
        """All that may be on the disk when the power fails, after each of the effects; each once."""
        told = []
        for done in range(len(effects) + 1):
            if done and not self.apply(effects[done - 1]):
                continue
            for files in self.now_possible():
                if files not in told:
                    told.append(files)
                    yield State(done, files)


def make(state, folder):
    """The folder as it would be found."""
    folder = pathlib.Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o755)
    for name, content in sorted(state.files.items()):
        path = folder / name
        if content is None:
            path.mkdir(mode=0o700)
        else:
            path.write_bytes(content[0])
            path.chmod(content[1])


