#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""qvm-incoming: what is there, --done, --take."""
import os
import pathlib
import resource
import subprocess
import sys
import tempfile

import receiverbox
from receiverbox import INCOMING, run

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "store"))

import crashpoints  # noqa: E402 (found by the line above)
import powerloss  # noqa: E402


class Status(receiverbox.ReceiverTest):
    def test_nothing_is_there(self):
        for words in ((), ("--done",), ("--take", "/tmp/nowhere")):
            done = self.vm.incoming(*words)
            self.assertEqual(done.returncode, 4, words)
            self.assertIn("No pendrive is at /mnt/incoming", done.stderr)
        self.assertFalse(os.path.exists("/tmp/nowhere"))

    def test_one_is_there(self):
        self.vm.mount("work-2.web", since=1_000_000_000, size="16m")
        (INCOMING / "file").write_bytes(bytes(1 << 20))
        done = self.vm.incoming()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, "A pendrive from work-2.web is at /mnt/incoming since "
                                      "2001-09-09 01:46:40; 1.0\u00a0MB of 16.8\u00a0MB are used.\n")
        self.assertTrue(self.vm.is_mounted())

    def test_nobody_said_whose_it_is(self):
        self.vm.mount(note=False)
        self.assertIn("from a VM that is not known is at", self.vm.incoming().stdout)

    def test_a_note_about_another_device_or_a_name_that_is_none(self):
        self.vm.mount()
        note = self.vm.note.read_text()
        for wrong in (note.replace("device=", "device=1"), note.replace("source=work", "source=a b"),
                      note.replace("source=work", "source=\\u202ework"), note.replace("since=", "since=-"),
                      note.replace("[pendrive]", ""), "\0" * 100, "[pendrive]\n" * 1000):
            self.vm.note.write_text(wrong)
            out = self.vm.incoming().stdout
            self.assertIn("A pendrive from a VM that is not known is at /mnt/incoming;", out, wrong)

    def test_usage(self):
        for words in (("--done", "--take", "x"), ("word",), ("--take",), ("--take", ""), ("--bad",)):
            self.assertEqual(self.vm.incoming(*words).returncode, 2, words)


class Done(receiverbox.ReceiverTest):
    def test_done(self):
        self.vm.mount()
        done = self.vm.incoming("--done")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(self.vm.is_mounted())
        self.assertIn("unmounted", done.stderr)

    def hold(self, *argv, **options):
        """A process that uses the pendrive, when it does."""
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        self.assertEqual(process.stdout.readline(), b"here\n")
        return process

    def assert_busy(self, process, name):
        done = self.vm.incoming("--done")
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertIn(f"in use by process {process.pid} ({name})", done.stderr)
        self.assertTrue(self.vm.is_mounted())
        process.stdin.close()
        process.wait(receiverbox.DEADLINE_S)
        done = self.vm.incoming("--done")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_shell_stands_in_it(self):
        self.vm.mount()
        self.assert_busy(self.hold("sh", "-c", "echo here; read x", cwd=INCOMING), "sh")

    def test_a_file_is_open(self):
        self.vm.mount()
        (INCOMING / "file").write_text("x")
        self.assert_busy(self.hold("sh", "-c", "exec 3</mnt/incoming/file; echo here; read x"), "sh")

    def test_a_file_is_mapped(self):
        self.vm.mount()
        (INCOMING / "file").write_bytes(bytes(8192))
        # By ctypes: Python's own mapping keeps a descriptor beside it.
        script = ("import ctypes,os,sys\nf=os.open('/mnt/incoming/file',os.O_RDONLY)\n"
                  "libc=ctypes.CDLL(None)\nlibc.mmap.restype=ctypes.c_void_p\n"
                  "assert libc.mmap(None,ctypes.c_size_t(8192),1,2,f,ctypes.c_long(0))!=2**64-1\n"
                  "os.close(f)\nprint('here',flush=True)\nsys.stdin.read()")
        self.assert_busy(self.hold("/usr/bin/python3", "-c", script), "python3")


class Take(receiverbox.ReceiverTest):
    def setUp(self):
        super().setUp()
        self.target = pathlib.Path(tempfile.mkdtemp(dir=self.vm.folder))

    def test_on_the_disk_before_the_pendrive_goes(self):
        """The power may fail as soon as it is unmounted: dom0 removes the image then."""
        self.vm.mount()
        (INCOMING / "folder").mkdir()
        wanted = {"folder": None}
        for name in ("a", "folder/b", "folder/c"):
            (INCOMING / name).write_text(name)
            wanted[name] = name.encode()
        effects = crashpoints.Effects(self.vm.folder / "effects")
        disk = powerloss.Disk(self.target)
        done = run(receiverbox.QVM_INCOMING, "--take", self.target,
                   env={**self.vm.env, **effects.env("qvm-incoming")})
        self.assertFalse(self.vm.is_mounted(), done.stderr)
        all_effects = effects.read()
        unmounted = max(i for i, effect in enumerate(all_effects, 1) if effect.call in ("spawn", "fork"))
        states = list(disk.states(all_effects[:unmounted]))
        self.assertGreater(len(states), 4)
        left = [{name: content and content[0] for name, content in files.items()} for files in disk.now_possible()]
        self.assertEqual(left, [wanted])

    def fill(self):
        self.vm.mount()
        (INCOMING / "folder/inner").mkdir(parents=True)
        (INCOMING / "empty").mkdir()
        (INCOMING / "note").write_text("hello")
        (INCOMING / "folder/inner/big").write_bytes(os.urandom(3 << 20))
        # No pendrive may be sent with these names, but a hostile one can have them.
        (INCOMING / "folder/a:b?\"*<>|").write_text("odd")
        (INCOMING / "folder/A").write_text("1")
        (INCOMING / "folder/a").write_text("2")
        os.utime(INCOMING / "note", (1_000_000_000, 1_000_000_000))

    @staticmethod
    def tree(folder):
        return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
                for p in pathlib.Path(folder).rglob("*")}

    def take(self, *words, folder=None, status=0):
        done = self.vm.incoming("--take", folder or self.target, *words)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stderr

    def test_all_of_it_and_then_it_goes(self):
        self.fill()
        want = self.tree(INCOMING)
        said = self.take()
        self.assertEqual(self.tree(self.target), want)
        self.assertEqual((self.target / "note").stat().st_mtime, 1_000_000_000)
        self.assertFalse(self.vm.is_mounted())
        self.assertIn("5 files from work", said)
        self.assertIn("unmounted", said)

    def test_a_new_folder_and_quiet(self):
        self.fill()
        want = self.tree(INCOMING)
        self.assertEqual(self.take("--quiet", folder=self.target / "new"), "")
        self.assertEqual(self.tree(self.target / "new"), want)

    def test_an_empty_pendrive(self):
        self.vm.mount()
        self.assertIn("0 files", self.take())
        self.assertFalse(self.vm.is_mounted())

    def assert_nothing_copied(self, said, before):
        self.assertEqual(self.tree(self.target), before)
        self.assertTrue(self.vm.is_mounted())
        self.assertIn("Nothing was copied", said)
        self.assertIn("still at /mnt/incoming", said)

    def test_what_is_there_stays(self):
        for kind in ("file", "folder", "dangling link"):
            with self.subTest(kind):
                self.fill()
                if kind == "file":
                    (self.target / "note").write_text("mine")
                elif kind == "folder":
                    (self.target / "folder").mkdir()
                else:
                    (self.target / "empty").symlink_to("nowhere")
                before = self.tree(self.target)
                said = self.take(status=6)
                self.assert_nothing_copied(said, before)
                self.assertIn("is in", said)
                self.leave()

    def test_links_and_the_like_are_not_followed(self):
        outside = self.vm.folder / "secret"
        outside.write_text("secret")
        for make in (lambda: (INCOMING / "link").symlink_to(outside),
                     lambda: (INCOMING / "folder/link").symlink_to(outside.parent),
                     lambda: os.mkfifo(INCOMING / "fifo")):
            self.fill()
            make()
            self.assert_nothing_copied(self.take(status=6), {})
            self.leave()

    def test_control_characters_are_not_shown(self):
        self.fill()
        (INCOMING / "a\n\x1b[2Jb\udcff").symlink_to("x")
        said = self.take(status=6)
        self.assertIn(r"a\x0a\x1b[2Jb\xff: a pendrive cannot carry a symbolic link", said)
        self.assertNotIn("\x1b", said)

    def test_such_names_are_copied_as_they_are(self):
        self.vm.mount()
        (INCOMING / "a\n\x1b[2Jb").write_text("x")
        self.take()
        self.assertEqual((self.target / "a\n\x1b[2Jb").read_text(), "x")

    def test_more_than_fits_is_a_lie(self):
        """A sparse file: the file system says more than the device has."""
        self.vm.mount(size="1m")
        with open(INCOMING / "lie", "wb") as lie:
            lie.truncate(1 << 30)
        said = self.take(status=6)
        self.assertIn("lie: with it, it would be more than the pendrive has room for", said)
        self.assert_nothing_copied(said, {})

    def test_a_tree_that_is_too_deep(self):
        self.vm.mount()
        fd = os.open(INCOMING, os.O_RDONLY)
        for _ in range(210):
            os.mkdir("d", dir_fd=fd)
            inner = os.open("d", os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = inner
        os.close(fd)
        said = self.take(status=6)
        self.assertIn("it lies too deep", said)
        self.assert_nothing_copied(said, {})

    def test_no_room(self):
        self.fill()
        small = self.target / "small"
        small.mkdir()
        run("mount", "-t", "tmpfs", "-o", "size=1m", "none", small)
        self.addCleanup(run, "umount", "-l", small)
        said = self.take(folder=small, status=6)
        self.assertIn("there is room for", said)
        self.assertTrue(self.vm.is_mounted())
        self.assertEqual(os.listdir(small), [])

    def test_the_disk_fails_in_the_middle(self):
        """What was copied is told, and the pendrive stays. (No file may be larger than 1 MiB.)"""
        self.vm.mount()
        for name, size in (("a", 100), ("b", 3 << 20), ("c", 100)):
            (INCOMING / name).write_bytes(bytes(size))

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

        # Python ignores SIGXFSZ, and so does its child then.
        done = self.vm.incoming("--take", self.target, preexec_fn=limit, restore_signals=False)
        self.assertEqual(done.returncode, 5)
        self.assertIn("1 of 3 files were copied to", done.stderr)
        self.assertIn("incoming: b could not be written to the folder: File too large", done.stderr)
        self.assertIn("still at /mnt/incoming", done.stderr)
        self.assertTrue(self.vm.is_mounted())
        self.assertEqual((self.target / "a").read_bytes(), bytes(100))
        self.assertFalse((self.target / "c").exists())

    def test_a_folder_that_cannot_be_had(self):
        self.fill()
        (self.target / "file").write_text("")
        for folder in (self.target / "no/such", self.target / "file"):
            self.assertIn(str(folder), self.take(folder=folder, status=5))
        self.take(folder=INCOMING / "folder", status=2)
        self.assertTrue(self.vm.is_mounted())

    def test_it_stays_where_it_cannot_be_unmounted(self):
        """The copy is there, and the message says so, though somebody holds the pendrive."""
        self.fill()
        want = self.tree(INCOMING)
        with open(INCOMING / "note", encoding="utf-8"):
            said = self.take(status=4)
            self.assertIn("5 files from work", said)
            self.assertIn(f"in use by process {os.getpid()} (", said)
            self.assertTrue(self.vm.is_mounted())
        self.assertEqual(self.tree(self.target), want)


if __name__ == "__main__":
    receiverbox.main()
