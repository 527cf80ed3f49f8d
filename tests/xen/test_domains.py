# SPDX-License-Identifier: GPL-2.0-or-later
"""The program that makes DisposableVMs, alone: no daemon asks it. One box for all; each test leaves nothing."""
import contextlib
import unittest
import uuid

import boxcase
import xenboxlib
from boxcase import BoxCase, timed

PROGRAM = "/usr/libexec/qfilexchgd/qfilexchg-domains"
CONFIG = "/etc/xen/disposable.cfg"
SAVEFILE = f"{boxcase.IMAGES}/domains-test.save"
# Generous: the box is an emulation.
SETTLE = "--settle=300"
FAILED, USAGE, NO_MEMORY, NOT_IN_TIME = 1, 2, 10, 11
KILLED = 128 + 9


def setUpModule():
    box = DomainsCase.shared = xenboxlib.Box(boxcase.box_name())
    box.start(fresh=True)
    unittest.addModuleCleanup(box.stop)
    # The daemon would destroy VMs of these names, which it did not make.
    box.exec("dom0", ["systemctl", "stop", "qfilexchgd"], check=True)


class DomainsCase(BoxCase):
    def setUp(self):
        self.box = self.shared
        self.before = self.everything()
        self.addCleanup(self.assert_nothing_left)

    # -- words

    def run_program(self, *words, timeout=boxcase.COPY_S):
        result = self.box.exec("dom0", [PROGRAM, *words], timeout=timeout)
        return result.status, result.stdout.decode(), result.stderr.decode()

    def ok(self, *words):
        status, out, err = self.run_program(*words)
        self.assertEqual((status, err), (0, ""), f"{words}: {out}{err}")
        return out

    def refused(self, wanted, part, *words):
        """It fails with this status, and one line that has this part."""
        status, out, err = self.run_program(*words)
        self.assertEqual((status, out), (wanted, ""), f"{words}: {out}{err}")
        self.assertEqual(err.count("\n"), 1, err)
        self.assertIn(part, err)

    def prepared(self):
        """The save file; made by the first test that needs it."""
        if self.box.exec("dom0", ["test", "-e", SAVEFILE]).status != 0:
            with timed("prepare"):
                self.ok("prepare", f"--config={CONFIG}", f"--savefile={SAVEFILE}")
        return f"--savefile={SAVEFILE}"

    def new_vm(self, name):
        """Words for a VM of that name; it is destroyed at the end of the test."""
        ident = f"--uuid={uuid.uuid4()}"
        self.addCleanup(self.ok, "destroy", ident)
        return ident, f"--name={name}"

    def make(self, ident, name, *words):
        with timed(" ".join(("make", name, *(word.split("=")[0] for word in words)))):
            out = self.ok("make", ident, name, SETTLE, *words)
        self.assertRegex(out, r"\Adomid [0-9]+\n\Z")
        return int(out.split()[1])

    def node(self, domid, key):
        return self.dom0(f"xenstore-read /local/domain/{domid}/{key}", check=False)

    def state(self, ident):
        lines = self.ok("survey").splitlines()
        self.assertRegex(lines[0], r"\Afree [0-9]+\Z")
        found = [line.split() for line in lines if line.split()[2:3] == [ident.partition("=")[2]]]
        return [words[3] for words in found]

    def everything(self):
        """What a VM that is left would show itself in: domains, their nodes in xenstore, the memory they have."""
        return self.dom0("xl list | awk '{ print $1, $2 }'; xenstore-list /local/domain; xenstore-list /vm; xenstore-list /libxl;"
                         "xenstore-list /local/domain/0/backend/vbd; xenstore-list /local/domain/0/backend/console")

    def assert_nothing_left(self):
        self.assertEqual(self.everything(), self.before)
        self.assertEqual(self.dom0(f"ls {boxcase.IMAGES} | grep -vxF lost+found | grep -v '^domains-test.save' || true"), "")

    def answers(self, vm):
        self.assertEqual(self.sh(vm, "systemctl is-system-running --wait"), "running")


class Savefile(DomainsCase):
    def test_two_at_the_same_time(self):
        savefile = self.prepared()
        first, second = self.new_vm("disp1"), self.new_vm("disp2")
        processes = [self.start("dom0", PROGRAM, "make", *words, SETTLE, savefile, "--label=red")
                     for words in (first, second)]
        for process in processes:
            self.assertEqual(self.finish(process)[0], 0)
        for name, (ident, _) in (("disp1", first), ("disp2", second)):
            domid = self.domid(name)
            self.assertEqual(self.state(ident), ["paused"])
            self.assertEqual(self.node(domid, "qubes_vm_type"), "DisposableVM")
            self.assertEqual(self.node(domid, "qubes_label"), "red")
            self.assertEqual(self.node(domid, "data/qpen-version"), "2")
            self.ok("unpause", ident)
        for name in ("disp1", "disp2"):
            self.answers(name)
            self.sh(name, f"echo {name} > /root/mine")
        # Each has its own memory, and so its own root.
        for name in ("disp1", "disp2"):
            self.assertEqual(self.sh(name, "cat /root/mine"), name)
        for ident, _ in (first, second):
            self.assertEqual(self.state(ident), ["running"])
            with timed("destroy"):
                self.ok("destroy", ident)
            self.assertEqual(self.state(ident), [])

    def test_the_vm_cannot_change_what_it_is(self):
        ident, name = self.new_vm("disp3")
        domid = self.make(ident, name, self.prepared(), "--label=blue")
        self.ok("unpause", ident)
        for key in ("qubes_vm_type", "qubes_label"):
            self.sh("disp3", f"! xenstore-write {key} x")
        self.assertEqual(self.node(domid, "qubes_label"), "blue")

    def test_settled(self):
        ident, name = self.new_vm("disp4")
        domid = self.make(ident, name, self.prepared())
        self.assertEqual(self.state(ident), ["paused"])
        self.assertEqual(self.node(domid, "data/qpen-version"), "2")
        with timed("unpause"):
            self.ok("unpause", ident)
        self.answers("disp4")

    def test_random_numbers_differ(self):
        """Two copies of a memory have the same random numbers before them, unless somebody sees to it."""
        savefile = self.prepared()
        seen = set()
        for name in ("disp5", "disp6"):
            ident, word = self.new_vm(name)
            self.make(ident, word, savefile)
            self.ok("unpause", ident)
            blocks = set(self.sh(name, "head -c 4096 /dev/urandom | od -An -v -tx1 -w16").splitlines())
            self.assertEqual(len(seen & blocks), 0, "the same random numbers in both")
            seen |= blocks

    def test_xl_restores_it(self):
        self.prepared()
        self.dom0(f"xl restore {SAVEFILE}")
        name = self.dom0("xl list | awk '/^disp-template-/ { print $1 }'")
        self.addCleanup(self.dom0, f"xl destroy {name}")
        self.answers(name)

    def test_what_xl_saved(self):
        """Its memory has no program that waits to be made a DisposableVM: it is not used."""
        self.dom0("sed 's/name = .*/name = \"saved\"/' /etc/xen/third.cfg > /root/saved.cfg;"
                  f"xl create -q /root/saved.cfg; until xenstore-exists /local/domain/$(xl domid saved)/data/qpen-version; do"
                  f" sleep 0.2; done; xl save saved {SAVEFILE}.xl")
        self.addCleanup(self.dom0, f"rm -f {SAVEFILE}.xl")
        ident, name = self.new_vm("disp7")
        self.refused(NOT_IN_TIME, "dvm prepare", "make", ident, name, "--settle=20", f"--savefile={SAVEFILE}.xl")
        self.assertEqual(self.state(ident), [])

    def test_broken_files(self):
        self.prepared()
        broken = SAVEFILE + ".broken"
        self.addCleanup(self.dom0, f"rm -f {broken}")
        ident, name = self.new_vm("disp8")
        cases = [
            ("empty", ": >", "ends too soon"),
            ("a head alone", f"head -c 48 {SAVEFILE} >", "ends too soon"),
            ("no stream", f"head -c 5000 {SAVEFILE} >", "Cannot make the VM disp8"),
            ("half a stream", f"head -c 50000000 {SAVEFILE} >", "Cannot make the VM disp8"),
            ("zeros", "head -c 100000 /dev/zero >", "not a save file"),
        ]
        for label, script, part in cases:
            with self.subTest(label):
                self.dom0(f"{script} {broken}")
                self.refused(FAILED, part, "make", ident, name, SETTLE, f"--savefile={broken}")
                self.assertEqual(self.state(ident), [])


class Config(DomainsCase):
    def test_make(self):
        ident, name = self.new_vm("disp1")
        self.make(ident, name, f"--config={CONFIG}", "--memory=200")
        self.assertEqual(self.state(ident), ["paused"])
        self.assertEqual(self.dom0("xl list disp1 | awk 'END { print $3 }'"), "200")
        self.ok("unpause", ident)
        self.answers("disp1")

    def test_no_memory(self):
        ident, name = self.new_vm("disp2")
        self.refused(NO_MEMORY, "Not enough memory", "make", ident, name, SETTLE, f"--config={CONFIG}", "--memory=100000")
        self.refused(NO_MEMORY, "Not enough memory", "make", ident, name, SETTLE, f"--config={CONFIG}", "--keep-free=100000")
        self.assertEqual(self.state(ident), [])

    def test_refused(self):
        ident, name = self.new_vm("disp3")
        self.refused(FAILED, "disk xvdb (/dev/vdd) is writable", "make", ident, name, SETTLE, "--config=/etc/xen/work.cfg")
        self.refused(FAILED, "disk xvdb (/dev/vdd) is writable",
                     "prepare", "--config=/etc/xen/work.cfg", f"--savefile={SAVEFILE}.no")
        self.refused(FAILED, "/etc/xen/none.cfg", "make", ident, name, SETTLE, "--config=/etc/xen/none.cfg")
        self.refused(FAILED, "xl cannot read", "make", ident, name, SETTLE, "--config=/etc/passwd")
        self.refused(FAILED, "none has that uuid", "unpause", ident)
        self.refused(FAILED, "already exists", "make", ident, "--name=work", SETTLE, f"--config={CONFIG}")
        self.refused(USAGE, "--name", "make", ident, "--name=../x", SETTLE, f"--config={CONFIG}")
        self.refused(USAGE, "--uuid", "destroy", "--uuid=00000000-0000-0000-0000-000000000000")
        self.refused(USAGE, "missing", "destroy")
        self.assertEqual(self.state(ident), [])

    def test_not_ready_in_time(self):
        ident, name = self.new_vm("disp4")
        self.refused(NOT_IN_TIME, "did not see to", "make", ident, name, f"--config={CONFIG}", "--settle=1")
        self.assertEqual(self.state(ident), [])
        self.refused(NOT_IN_TIME, "did not see to", "prepare", ident, f"--config={CONFIG}", f"--savefile={SAVEFILE}.no",
                     "--timeout=1")
        self.assertEqual(self.state(ident), [])

    def test_dies_before_it_is_ready(self):
        ident, _ = self.new_vm("")
        process = self.start("dom0", PROGRAM, "prepare", ident, f"--config={CONFIG}", f"--savefile={SAVEFILE}.no")
        self.wait_for("dom0", f"{PROGRAM} survey | grep -q '{ident[7:]} running'")
        self.dom0("xl destroy $(xl list | awk '/^disp-template-/ { print $2 }')")
        status, text = self.finish(process)
        self.assertEqual(status, FAILED, text)
        self.assertIn("shut down or crashed", text)


class Killed(DomainsCase):
    """At some moments of its work, with SIGKILL; what it leaves, destroy removes."""

    # What can be seen from outside when the moment has come, in the order of the work.
    MOMENTS = ("xenstore-exists /local/domain/{}", "pidof libxl-save-helper", "xenstore-exists /local/domain/{}/device/vbd")

    def test_make(self):
        savefile = self.prepared()
        ident, name = self.new_vm("disp1")
        domid = self.make(ident, name, savefile)
        self.ok("destroy", ident)
        for moment in self.MOMENTS:
            with self.subTest(moment):
                domid += 1
                # One process, since each costs time here. It is over as well when the program was too fast.
                status = self.dom0(
                    f"{PROGRAM} make {ident} {name} {savefile} {SETTLE} > /dev/null & pid=$!;"
                    f"until {moment.format(domid)} > /dev/null || ! kill -0 $pid; do :; done; kill -KILL $pid; wait $pid; echo $?")
                self.assertEqual(status, str(KILLED))
                self.ok("destroy", ident)
                self.ok("destroy", ident)
                self.assert_nothing_left()

    def test_prepare(self):
        ident, _ = self.new_vm("")
        process = self.start("dom0", PROGRAM, "prepare", ident, f"--config={CONFIG}", f"--savefile={SAVEFILE}.no")
        self.wait_for("dom0", f"{PROGRAM} survey | grep -q '{ident[7:]} running'")
        self.dom0("kill -KILL $(pidof qfilexchg-domains)")
        self.finish(process)
        self.ok("destroy", ident)

    def test_with_its_parent(self):
        ident, name = self.new_vm("disp2")
        script = f"{PROGRAM} make {ident} {name} --config={CONFIG} {SETTLE} --parent=$$; true"
        process = self.start("dom0", "sh", "-c", script)
        self.wait_for("dom0", f"{PROGRAM} survey | grep -q '{ident[7:]} running'")
        self.dom0(f"kill -KILL $(ps -o ppid= -p $(pgrep -f '^{PROGRAM} make'))")
        with contextlib.suppress(xenboxlib.BoxError):
            self.finish(process)
        self.wait_for("dom0", f"! pgrep -f '^{PROGRAM} make'")
        self.refused(FAILED, "parent", "survey", "--parent=1")


if __name__ == "__main__":
    unittest.main()
