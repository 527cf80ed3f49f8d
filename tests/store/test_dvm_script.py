#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""qubes_add_pendrive_script in a DisposableVM: the real script, qubes_dvm_open and xenstored.

The test plays dom0, word by word, so that it knows the order in which things are asked for; files
play the pendrives, shell scripts the editors. Needs root, whose rights the script drops.
"""
import os
import struct
import subprocess
import unittest

import storebox

NAME = b"-a 'b\"$(touch x)"
USER = "nobody"


def header(name, size):
    return struct.pack("<Q", size) + name.ljust(1016, b"\0")


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class ScriptTest(storebox.StoreTest):
    mode = "edit"

    def setUp(self):
        super().setUp()
        self.box.dir.chmod(0o755)
        self.vm = self.box.create_vm("disp1")
        self.vm.socket_path.chmod(0o666)
        self.folder = self.box.dir / "tools"
        self.folder.mkdir()
        self.folder.chmod(0o1777)
        self.home = self.folder / "home"
        self.home.mkdir()
        self.home.chmod(0o777)
        self.incoming = self.folder / "incoming"
        self.outgoing = self.folder / "outgoing"
        self.fill(header(NAME, 3) + b"old")
        for key, value in (("device/qpen", ""), ("device/qpen-reply", "")):
            self.write_key(key, value)
            self.box.dom0.set_perms(f"{self.vm.path}/{key}", "n0",
                                    ("b" if key == "device/qpen" else "r") + str(self.vm.domid))
        for key, value in (("qubes_blocksrc", "work"), ("qubes_transaction_seq", "A1"),
                           ("qubes_transaction_mode", self.mode), ("qubes_pendrive_offset", "0"),
                           ("qubes_vm_type", "DisposableVM")):
            self.write_key(key, value)
            self.box.dom0.set_perms(f"{self.vm.path}/{key}", "n0", f"r{self.vm.domid}")

    # The stage

    def write_key(self, key, value):
        self.box.dom0.write(f"{self.vm.path}/{key}", value)

    def fill(self, content):
        self.incoming.write_bytes(content.ljust((len(content) + 4095) // 4096 * 4096, b"\0"))
        self.incoming.chmod(0o600)

    def make_gate(self, name):
        gate = self.folder / name
        os.mkfifo(gate)
        gate.chmod(0o666)
        return gate

    def start(self, editor, *options, wrapper="--transaction"):
        """Starts the script; `editor` is shell, with the file as $1 and this folder as $tools."""
        program = self.folder / "editor"
        program.write_text(f"#!/bin/sh\nset -eu\ntools={self.folder}\n"
                           f"echo run >>$tools/runs\n{editor}\n")
        program.chmod(0o755)
        lines = self.folder / "environment"
        lines.write_text(f"QPEN_OPENER={program}\nXENSTORED_PATH={self.vm.socket_path}\n"
                         f"QPEN_DVM_FOLDER={self.folder}/home/.dvm\n"
                         f"QPEN_DEVICE={self.outgoing}\nXDG_RUNTIME_DIR={self.folder}\n")
        built = storebox.find_built("qubes_dvm_open")
        words = [wrapper] if wrapper else []
        return self.vm.popen(
            ["qubes_add_pendrive_script", f"--user={USER}", *options, *words, "xvdh"],
            env={"QPEN_INCOMING": str(self.incoming), "QPEN_PROGRAMS": os.path.dirname(built),
                 "QPEN_RUN": str(self.box.dir / "run"), "QPEN_ENVIRONMENT": str(lines),
                 "QPEN_READER": USER, "QPEN_SYSTEMD": "/nonexistent"})

    def take(self, wanted):
        """dom0 takes the next request, which must be that one, and gives its ID."""
        key = f"{self.vm.path}/device/qpen"
        line = self.box.dom0.wait(key, lambda value: bool(value))
        words, _, ident = line.rpartition(" #")
        self.assertRegex(words, rf"\A{wanted}\Z")
        self.write_key("device/qpen", "")
        return ident

    def answer(self, ident, reply):
        key = f"device/qpen-reply/{ident}"
        self.write_key(key, f"{ident} {reply}")
        self.box.dom0.set_perms(f"{self.vm.path}/{key}", "n0", f"r{self.vm.domid}")

    def serve(self, wanted, reply="ok"):
        self.answer(self.take(wanted), reply)

    def lend(self):
        ident = self.take(r"new size=\d+ format=none")
        self.outgoing.write_bytes(bytes(65536))
        self.outgoing.chmod(0o666)
        self.answer(ident, "ok xvdg")

    def assert_ends(self, script, *texts):
        _, err = script.communicate(timeout=storebox.DEADLINE_S)
        self.assertEqual(script.returncode, 0, err)
        for text in texts:
            self.assertIn(text, err)
        # Nothing is asked for behind the last answer.
        self.assertEqual(self.box.dom0.read(f"{self.vm.path}/device/qpen"), "")
        return err

    def runs(self):
        path = self.folder / "runs"
        return len(path.read_text().splitlines()) if path.exists() else 0


class Requests(ScriptTest):
    def test_unchanged(self):
        gate = self.make_gate("gate")
        script = self.start('cat "$tools/gate" "$1" >/dev/null')
        # The pendrive goes back while the editor is still at it.
        self.serve("umount")
        with open(gate, "w"):
            pass
        self.serve("killme")
        self.assert_ends(script, "no change")

    def test_changed(self):
        script = self.start('printf changed >"$1"')
        self.serve("umount")
        self.lend()
        ident = self.take("send work A1")
        sent = self.outgoing.read_bytes()
        self.assertEqual(sent[:1024], header(NAME, 7))
        self.assertEqual(sent[1024:1031], b"changed")
        self.answer(ident, "ok delivered")
        self.serve("killme")
        self.assert_ends(script, "the edited file was sent to work")

    def test_emptied(self):
        script = self.start(': >"$1"')
        self.serve("umount")
        self.lend()
        ident = self.take("send work A1")
        self.assertEqual(self.outgoing.read_bytes()[:1024], header(NAME, 0))
        self.answer(ident, "ok delivered")
        self.serve("killme")
        self.assert_ends(script)

    def test_sent_at_the_second_try(self):
        script = self.start('printf changed >"$1"')
        self.serve("umount")
        self.serve(r"new size=\d+ format=none", "error no-space full")
        self.lend()
        self.serve("send work A1", "ok delivered")
        self.serve("killme")
        self.assert_ends(script, "no-space", "next try in")

    def test_used_again_after_a_failed_send(self):
        """A pendrive that is still there is not asked for a second time."""
        script = self.start('printf changed >"$1"')
        self.serve("umount")
        self.lend()
        self.serve("send work A1", "error failed broken")
        self.serve("send work A1", "ok delivered")
        self.serve("killme")
        self.assert_ends(script)

    def test_unreadable(self):
        self.fill(b"\xff" * 4096)
        script = self.start('printf changed >"$1"')
        self.serve("umount")
        self.serve("killme")
        self.assert_ends(script, "could not be opened")
        self.assertEqual(self.runs(), 0)

    def test_no_such_user(self):
        script = self.start("", "--user=no-such-user")
        self.serve("umount")
        self.serve("killme")
        self.assert_ends(script, 'no user "no-such-user"')
        self.assertEqual(self.runs(), 0)

    def test_never_root(self):
        script = self.start("", "--user=root")
        self.serve("umount")
        self.serve("killme")
        self.assert_ends(script, "is root")
        self.assertEqual(self.runs(), 0)

    def test_never_twice(self):
        script = self.start("cat \"$1\"")
        self.serve("umount")
        self.serve("killme")
        self.assert_ends(script)
        again = self.start("cat \"$1\"")
        self.serve("umount")
        self.assert_ends(again, "not opened again")
        self.assertEqual(self.runs(), 1)

    def test_killed_editor_program(self):
        """Nobody knows what qubes_dvm_open would have sent: the VM stays."""
        gate = self.make_gate("gate")
        script = self.start('echo "$PPID" >"$tools/pid"; cat "$tools/gate"; printf late >"$1"')
        self.serve("umount")
        pid = int(storebox.until(lambda: (self.folder / "pid").exists() and
                                 (self.folder / "pid").read_text(), "the editor's parent"))
        os.kill(pid, 9)
        self.assertEqual(script.wait(storebox.DEADLINE_S), 0)
        # The orphan has the script's standard error.
        with open(gate, "w"):
            pass
        self.assert_ends(script, "This VM STAYS")

    def test_in_the_background(self):
        """Without systemd: what was called ends, and the work goes on."""
        gate = self.make_gate("gate")
        script = self.start('cat "$tools/gate" "$1" >/dev/null', wrapper=None)
        self.serve("umount")
        self.assertEqual(script.wait(storebox.DEADLINE_S), 0)
        with open(gate, "w"):
            pass
        self.serve("killme")

    def test_bad_keys(self):
        for key, value in (("qubes_blocksrc", "a b"), ("qubes_blocksrc", "disposable"),
                           ("qubes_transaction_seq", "A-1"), ("qubes_transaction_seq", "A" * 33),
                           ("qubes_transaction_mode", "write"), ("qubes_pendrive_offset", "1")):
            with self.subTest(key=key, value=value):
                before = self.box.dom0.read(f"{self.vm.path}/{key}")
                self.write_key(key, value)
                script = self.start("")
                self.serve("umount")
                self.assert_ends(script, key, "given back unread")
                self.write_key(key, before)
        self.assertEqual(self.runs(), 0)


class View(ScriptTest):
    mode = "view"

    def test_nothing_is_sent(self):
        script = self.start('rm -f "$1"; printf changed >"$1"')
        self.serve("umount")
        self.serve("killme")
        self.assert_ends(script, "no change")


class Answers(ScriptTest):
    def test_nobody_waits_for_it(self):
        """In an AppVM it is an answer: qubes_dvm_store, which knows of no such SEQ, gets it."""
        self.write_key("qubes_vm_type", "AppVM")
        script = self.start("", wrapper=None)
        self.serve("umount")
        err = self.assert_ends(script, "transaction A1: the answer from work was refused")
        self.assertNotIn("was stored", err)
        self.assertEqual(self.runs(), 0)

    def test_it_stays_while_it_cannot_be_stored(self):
        """No room for a record, say: the edit is nowhere else, and is not given back."""
        self.write_key("qubes_vm_type", "AppVM")
        self.home.rmdir()
        for _ in range(2):
            script = self.start("", wrapper=None)
            _, err = script.communicate(timeout=storebox.DEADLINE_S)
            self.assertEqual(script.returncode, 9, err)
            self.assertIn("could NOT be stored", err)
            self.assertIn("systemctl restart qubes-pendrive@xvdh.service", err)
            self.assertEqual(self.box.dom0.read(f"{self.vm.path}/device/qpen"), "")
        self.home.mkdir()
        self.home.chmod(0o777)
        script = self.start("", wrapper=None)
        self.serve("umount")
        self.assert_ends(script, "No answer is taken for SEQ")

    def test_an_opener_of_its_own(self):
        """What comes to a DisposableVM after its own file is an answer to itself."""
        script = self.start('cat "$1"')
        self.serve("umount")
        self.serve("killme")
        self.assert_ends(script)
        self.write_key("qubes_blocksrc", "disp2")
        later = self.start('cat "$1"', wrapper=None)
        self.serve("umount")
        self.assert_ends(later, "transaction A1: the answer from disp2")
        self.assertEqual(self.runs(), 1)


class Ready(ScriptTest):
    def ready(self):
        return self.vm.run(["qubes_add_pendrive_script", "--ready"])

    def test_only_in_disposables(self):
        self.write_key("qubes_vm_type", "AppVM")
        self.assertEqual(self.ready().returncode, 0)
        self.assertIsNone(self.box.dom0.read_or(f"{self.vm.path}/data/qpen-ready"))

    @unittest.skipIf(os.path.exists("/run/systemd/system") and subprocess.run(
        ["systemctl", "is-system-running"], stdout=subprocess.PIPE).stdout.strip()
        not in (b"running", b"degraded"), "this machine is not one that has booted")
    def test_told(self):
        done = self.ready()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.box.dom0.read(f"{self.vm.path}/data/qpen-ready"), "1")


if __name__ == "__main__":
    storebox.main()
