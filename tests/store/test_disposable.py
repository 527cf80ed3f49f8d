#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A file is opened in a DisposableVM: the real daemon and the real programs, in every state.

Only libxl is played: domains_host.py makes the VMs, when the test lets it. The DisposableVM's side
is done word by word, since it is what may lie.
"""
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading

import domains_host
import storebox

OUT = storebox.OUTGOING
IN = storebox.INCOMING

# Exit statuses of qvm-open-in-dvm, as in its manual page
OK, ERROR, UNCHANGED, LOST = 0, 1, 7, 8

HEADER = 1024
GUARD = 65536
RECORDS = "/qfilexchgd/disposables"


def make_header(name, size):
    raw = os.fsencode(name)
    return size.to_bytes(8, "little") + raw + bytes(HEADER - 8 - len(raw))


class DisposableTest(storebox.DaemonTest):
    """work has a file. No agent runs: whatever asks the user waits for ever."""
    prepared = True  # the save file is there when the daemon starts
    host = None

    def start(self, config=None, **options):
        if self.host is None:
            self.host = domains_host.DomainsHost(self.box)
            self.addCleanup(self.host.close)
            self.template.write_text("a VM's config")
            if self.prepared:
                domains_host.write_savefile(self.savefile, self.template)
        return super().start(config, **options, **self.host.env)

    @property
    def template(self):
        return self.box.dir / "disposable.cfg"

    @property
    def savefile(self):
        return self.box.dir / "disposable.save"

    def make_config(self, config=None):
        whole = super().make_config(config)
        whole["disposable"] = {"template": self.template, "savefile": self.savefile,
                               **whole.get("disposable", {})}
        return whole

    def check_box(self):
        super().check_box()
        self.assertEqual(self.host.errors, [])

    def reload(self, config):
        """SIGHUP, as `systemctl reload` sends it."""
        before = len(self.box.log("daemon"))
        self.box.write_config(self.make_config(config))
        self.box.daemon.process.send_signal(signal.SIGHUP)
        storebox.until(lambda: "read again" in self.box.log("daemon")[before:], "the reload")

    # The opener, word by word

    def send_request(self, opener, seq="7", mode=""):
        """A new pendrive goes off; the ID of the `send`."""
        self.assertEqual(self.ask(opener, "new format=none"), "ok xvdg")
        return self.post(opener, f"send disposable {seq}{mode}")

    def wait_told(self, vm, ident, text):
        """Waits until that VM reads exactly this."""
        vm.xs.wait(f"device/qpen-reply/{ident}", f"{ident} {text}")

    def wait_open(self, opener, ident):
        """Waits until the file is open, and gives the DisposableVM, which has it."""
        path = f"device/qpen-reply/{ident}"

        def is_settled(value):
            return value is not None and not re.fullmatch(rf"{ident} wait (starting|preparing)",
                                                          value)

        reply = opener.xs.wait(path, is_settled)
        self.assertRegex(reply, rf"\A{ident} wait open disp\d+\Z")
        vm = self.find_vm(reply.rpartition(" ")[2])
        vm.wait_connected(IN)
        return vm

    def open(self, opener, seq="7", mode=""):
        """The ID that waits for the end, and the DisposableVM."""
        ident = self.send_request(opener, seq, mode)
        return ident, self.wait_open(opener, ident)

    # The DisposableVM

    def find_vms(self):
        return [vm for vm in (storebox.VM(self.box, line) for line in self.box.sim.call("list"))
                if vm.name.startswith("disp")]

    def find_vm(self, name):
        vm = next((vm for vm in self.find_vms() if vm.name == name), None)
        self.assertIsNotNone(vm, f"there is no {name}")
        return vm

    def is_paused(self, vm):
        line = next(line for line in self.box.sim.call("list")
                    if line.startswith(f"domid={vm.domid} "))
        return " paused=1 " in line

    def send_answer(self, vm, opener, seq="7"):
        """An answer goes off; the ID of the `send`."""
        self.assertEqual(self.ask(vm, "new format=none"), "ok xvdg")
        return self.post(vm, f"send {opener.name} {seq}")

    def finish(self, opener, ident, vm):
        """Edited, sent back, stored: to the very end."""
        self.assertEqual(self.ask(vm, "umount"), "ok")
        self.send_answer(vm, opener)
        opener.wait_connected(IN)
        self.assertEqual(self.ask(opener, "umount"), "ok")
        self.assertEqual(self.wait_reply(opener, ident), "ok saved")
        self.wait_nothing_left()

    # What the daemon knows

    def disposables(self):
        """The records of all DisposableVMs, {name: {key: value}}."""
        found = {}
        for number in self.box.dom0.ls(RECORDS):
            text = self.box.dom0.read_or(f"{RECORDS}/{number}")
            if text is not None:
                pairs = [line.partition("=") for line in text.splitlines()]
                record = {key: value for key, equals, value in pairs if equals}
                found[record["vm-name"]] = record
        return found

    def wait_disposables(self, *states):
        """Waits until these are the states of all of them, and gives the records."""
        with self.box.dom0.watch(RECORDS) as watch:
            while True:
                records = self.disposables()
                if sorted(record["state"] for record in records.values()) == sorted(states):
                    return records
                watch.next()

    def leftovers(self):
        return super().leftovers() + list(self.disposables()) + self.find_vms()


class Whole(DisposableTest):
    """By the real programs of the opener."""
    config = {"labels": {"work": "blue"}}

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="qpen-")
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)
        self.path = self.home / "report"
        self.path.write_text("before")
        # Data is not played by simvm. These files are; the test carries what is on them.
        self.outgoing = self.home / "outgoing"
        self.outgoing.write_bytes(b"\xee" * 65536)
        self.incoming = self.home / "incoming"
        self.env = {"QPEN_DVM_FOLDER": str(self.home / ".dvm")}

    def start_opener(self, *words):
        return self.work.popen(["qvm-open-in-dvm", *words, self.path],
                               env={**self.env, "QPEN_DEVICE": str(self.outgoing)})

    def end(self, child):
        out, err = child.communicate(timeout=storebox.DEADLINE_S)
        return child.returncode, out.splitlines()[-1] if out else "", err

    def perms(self, vm, key):
        return self.box.dom0.get_perms(f"{vm.path}/{key}")

    def assert_keys(self, vm, keys):
        for key, value in keys.items():
            with self.subTest(vm=vm, key=key):
                self.assertEqual(self.box.dom0.read_or(f"{vm.path}/{key}"), value)
                self.assertEqual(self.perms(vm, key), ["n0", f"r{vm.domid}"])

    def open_file(self, mode, *words):
        """Looks at all there is to see before the VM runs. The opener, its SEQ and the VM."""
        gate = self.host.hold("unpause")
        opener = self.start_opener(*words)
        gate.wait_reached()
        vm = self.find_vm("disp1")
        self.assertTrue(self.is_paused(vm))
        self.assertEqual(self.box.dom0.read(f"{vm.path}/device/vbd/{IN}/state"), "1")
        backend = self.box.dom0.read(f"{vm.path}/device/vbd/{IN}/backend")
        self.assertTrue(self.box.dom0.exists(f"{backend}/physical-device"))
        self.assertEqual(self.box.dom0.read(f"{backend}/mode"), "r")
        seq = self.disposables()["disp1"]["seq"]
        self.assert_keys(vm, {"qubes_blocksrc": "work", "qubes_transaction_seq": seq,
                              "qubes_transaction_mode": mode, "qubes_pendrive_offset": str(GUARD),
                              "qubes_vm_type": "DisposableVM", "qubes_label": "blue"})
        gate.release()
        vm.wait_connected(IN)
        self.assertFalse(self.is_paused(vm))
        self.assertEqual(self.outgoing.read_bytes()[:HEADER + 6],
                         make_header("report", 6) + b"before")
        return opener, seq, vm

    def test_edited(self):
        self.work.xs.write("data/qpen-version", "2")
        opener, seq, vm = self.open_file("edit")
        self.assertEqual(self.ask(vm, "umount"), "ok")
        vm.wait_detached(IN)
        for key in ("qubes_blocksrc", "qubes_transaction_seq", "qubes_transaction_mode",
                    "qubes_pendrive_offset"):
            self.assertFalse(self.box.dom0.exists(f"{vm.path}/{key}"), key)
        ident = self.send_answer(vm, self.work, seq)
        self.work.wait_connected(IN)
        self.assertEqual(self.wait_reply(vm, ident), "ok delivered")
        self.assert_keys(self.work, {"qubes_blocksrc": "disp1", "qubes_transaction_seq": seq,
                                     "qubes_pendrive_offset": str(GUARD)})
        self.wait_disposables("answering")  # not destroyed before it is stored
        self.incoming.write_bytes(bytes(GUARD) + make_header("report", 5) + b"after" +
                                  bytes(GUARD))
        with open(self.incoming, "rb") as device:
            done = self.work.run(["qubes_dvm_store", f"--offset={GUARD}", "--from=disp1", seq],
                                 stdin=device, env=self.env)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.ask(self.work, "umount"), "ok")
        self.assertEqual(self.end(opener), (OK, f"saved back: {self.path}", ""))
        self.assertEqual(self.path.read_text(), "after")
        self.wait_nothing_left()
        self.assertEqual([word for word, _ in self.host.calls if word not in ("survey", "sweep")],
                         ["make", "unpause", "destroy"])

    def test_unchanged(self):
        opener, _, vm = self.open_file("edit")
        self.assertEqual(self.ask(vm, "umount"), "ok")
        self.post(vm, "killme")
        self.assertEqual(self.end(opener), (UNCHANGED, "closed without changes", ""))
        self.assertEqual(self.path.read_text(), "before")
        self.wait_nothing_left()

    def test_view(self):
        opener, seq, vm = self.open_file("view", "--view-only")
        self.assert_error(self.wait_reply(vm, self.send_answer(vm, self.work, seq)),
                          "no-transaction")
        self.post(vm, "killme")
        self.assertEqual(self.end(opener), (OK, "closed", ""))
        self.wait_nothing_left()

    def test_lost(self):
        opener, _, vm = self.open_file("edit")
        vm.crash()
        self.assertEqual(self.end(opener)[0], LOST)
        self.wait_nothing_left()

    def test_no_memory(self):
        self.host.fail("make", domains_host.NO_MEMORY, "too little memory is free")
        status, _, err = self.end(self.start_opener())
        self.assertEqual(status, ERROR)
        self.assertIn("no memory", err)
        self.wait_log("too little memory is free")
        self.wait_nothing_left()
        # Whoever tries again when there is some is served.
        opener, _, vm = self.open_file_again("disp2")
        self.post(vm, "killme")
        self.assertEqual(self.end(opener)[0], UNCHANGED)

    def open_file_again(self, name):
        gate = self.host.hold("unpause", after=True)
        opener = self.start_opener()
        gate.wait_reached()
        gate.release()
        vm = self.find_vm(name)
        vm.wait_connected(IN)
        return opener, None, vm


class Liars(DisposableTest):
    """Only that very VM, with that SEQ, to that opener, once."""

    def assert_refused(self, vm, request):
        self.assert_error(self.ask(vm, request), "no-transaction")

    def test_wrong_seq_and_opener(self):
        ident, vm = self.open(self.work)
        self.assertEqual(self.ask(vm, "new format=none"), "ok xvdg")
        for request in ("send work 8", "send work 07", "send work 77", "send personal 7",
                        "send disp1 7", "send nobody 7"):
            with self.subTest(request=request):
                reply = self.ask(vm, request)
                self.assertIn(reply.split(" ")[1], ("no-transaction", "self"), reply)
        self.assertFalse(self.box.dom0.exists(f"{self.personal.path}/device/vbd/{IN}"))
        # Nothing of that has cost it its transaction.
        self.assertEqual(self.wait_reply(vm, self.post(vm, "send work 7")), "ok delivered")
        self.assertEqual(self.ask(self.work, "umount"), "ok")
        self.assertEqual(self.wait_reply(self.work, ident), "ok saved")

    def test_twice(self):
        ident, vm = self.open(self.work)
        first = self.send_answer(vm, self.work)
        self.assertEqual(self.wait_reply(vm, first), "ok delivered")
        self.assert_error(self.wait_reply(vm, self.send_answer(vm, self.work)), "no-transaction")
        self.assertEqual(self.ask(self.work, "umount"), "ok")
        self.assertEqual(self.wait_reply(self.work, ident), "ok saved")
        self.wait_nothing_left()

    def test_same_seq_twice(self):
        """The SEQ is the opener's own: each VM answers for itself, and once."""
        first, vm = self.open(self.work)
        second, another = self.open(self.work)
        self.assertEqual(self.wait_reply(vm, self.send_answer(vm, self.work)), "ok delivered")
        self.assert_error(self.wait_reply(vm, self.send_answer(vm, self.work)), "no-transaction")
        sent = self.send_answer(another, self.work)
        self.wait_record(another, "queued")
        self.assertEqual(self.ask(self.work, "umount"), "ok")
        self.assertEqual(self.wait_reply(self.work, first), "ok saved")
        self.assertEqual(self.wait_reply(another, sent), "ok delivered")
        self.work.wait_connected(IN)
        self.assertEqual(self.box.dom0.read(f"{self.work.path}/qubes_blocksrc"), another.name)
        self.wait_disposables("answering")
        self.assertEqual(self.ask(self.work, "umount"), "ok")
        self.assertEqual(self.wait_reply(self.work, second), "ok saved")
        self.wait_nothing_left()

    def test_foreign(self):
        """Neither a VM of the user nor the DisposableVM of another transaction."""
        ident, vm = self.open(self.work)
        theirs, other_vm = self.open(self.personal, "8")
        for liar in (self.other, self.personal, other_vm):
            with self.subTest(liar=liar):
                self.assertEqual(self.ask(liar, "new format=none"), "ok xvdg")
                self.assert_refused(liar, "send work 7")
        self.assertEqual(self.ask(self.work, "new format=none"), "ok xvdg")
        self.assert_refused(self.work, "send disp1 7")
        self.assertEqual(self.wait_reply(vm, self.post(vm, "killme")), "ok")
        self.assertEqual(self.wait_reply(self.work, ident), "ok unchanged")
        self.wait_disposables("open")
        self.assertEqual(self.ask(other_vm, "killme"), "ok")
        self.assertEqual(self.wait_reply(self.personal, theirs), "ok unchanged")

    def test_before_it_is_open(self):
        """A VM of the pool has run, and may have been up to anything: it has no transaction."""
        self.restart(config={"disposable": {"pool": "1"}})
        self.wait_disposables("pooled")
        vm = self.find_vms()[0]
        vm.unpause()
        vm.wait_mailbox()
        self.assertEqual(self.ask(vm, "new format=none"), "ok xvdg")
        self.assert_refused(vm, "send work 7")
        self.assert_error(self.ask(vm, "killme"), "unsupported")
        self.box.start_agent("--yes")
        self.lend(self.work)
        self.assert_error(self.ask(self.work, f"send {vm.name}"), "refused")

    def test_killme_of_others(self):
        self.open(self.work)
        for vm in (self.work, self.personal):
            self.assert_error(self.ask(vm, "killme"), "unsupported")
        self.wait_disposables("open")

    def test_ordinary_pendrive_is_asked_about(self):
        """SEQ 0 is nobody's answer: without a yes of the user nothing leaves the VM."""
        self.box.start_agent("--no")
        _, vm = self.open(self.work)
        self.assertEqual(self.ask(vm, "new"), "ok xvdg")
        self.assert_error(self.ask(vm, "send work 0"), "refused")
        self.assertFalse(self.box.dom0.exists(f"{self.work.path}/device/vbd/{IN}"))


class Flood(DisposableTest):
    config = {"requests": {"burst": "1000000", "per-minute": "60000"}}
    requests = 10000

    def flood(self, xs):
        """Every one of them is taken before the next comes."""
        words = ("send work 8", "send personal 7", "umount", "new", "nonsense", "send work 7 8")
        for i in range(self.requests):
            xs.wait("device/qpen", "")
            xs.write("device/qpen", words[i % len(words)])
        xs.wait("device/qpen", "")

    def test_an_honest_one_is_served(self):
        ident, vm = self.open(self.work)
        self.assertEqual(self.ask(vm, "umount"), "ok")
        self.assertEqual(self.ask(vm, "new format=none"), "ok xvdg")
        problems = []

        def run():
            with vm.new_xs() as xs:
                try:
                    self.flood(xs)
                except Exception as problem:  # pylint: disable=broad-except
                    problems.append(problem)

        flooding = threading.Thread(target=run, daemon=True)
        flooding.start()
        served = 0
        while flooding.is_alive() or served == 0:
            self.assert_serves(self.other)
            theirs, helper = self.open(self.personal, "8")
            self.assertEqual(self.ask(helper, "killme"), "ok")
            self.assertEqual(self.wait_reply(self.personal, theirs), "ok unchanged")
            served += 1
        self.assertEqual(problems, [])
        # One line about it is enough.
        self.assertEqual(self.box.log("daemon").count("answer that nobody waits for"), 1)
        self.assertEqual(self.wait_reply(vm, self.post(vm, "send work 7")), "ok delivered")
        self.assertEqual(self.ask(self.work, "umount"), "ok")
        self.assertEqual(self.wait_reply(self.work, ident), "ok saved")
        self.wait_nothing_left()


class Overwritten(DisposableTest):
    """As Flood, but nothing is waited for, and the budget is the usual one."""

    def test_an_honest_one_is_served(self):
        _, vm = self.open(self.work)
        for i in range(Flood.requests):
            vm.xs.write("device/qpen", f"send work {i}")
        theirs, helper = self.open(self.personal, "8")
        self.finish_one(self.personal, theirs, helper)
        self.assert_serves(self.other)

    def finish_one(self, opener, ident, vm):
        self.assertEqual(self.ask(vm, "killme"), "ok")
        self.assertEqual(self.wait_reply(opener, ident), "ok unchanged")


class Limits(DisposableTest):
    config = {"disposable": {"max-per-vm": "1", "max": "2"}}

    def test_of_one_vm(self):
        """The pendrive stays lent, and can be sent later."""
        ident, vm = self.open(self.work)
        second = self.send_request(self.work, "8")
        self.assert_error(self.wait_reply(self.work, second), "limit")
        self.wait_record(self.work, "lent")
        self.assertTrue(self.work.disk(OUT).is_connected)
        self.assertEqual(self.ask(vm, "killme"), "ok")
        self.assertEqual(self.wait_reply(self.work, ident), "ok unchanged")
        self.wait_disposables()
        later = self.post(self.work, "send disposable 8")
        self.finish_unchanged(self.work, later)

    def test_of_all(self):
        self.open(self.personal)
        ident, vm = self.open(self.other)
        first = self.send_request(self.work)
        self.assert_error(self.wait_reply(self.work, first), "limit")
        vm.crash()
        self.assert_error(self.wait_reply(self.other, ident), "lost")
        self.wait_disposables("open")
        self.finish_unchanged(self.work, self.post(self.work, "send disposable 8"))

    def finish_unchanged(self, opener, ident):
        vm = self.wait_open(opener, ident)
        self.assertEqual(self.ask(vm, "killme"), "ok")
        self.assertEqual(self.wait_reply(opener, ident), "ok unchanged")

    def test_without_a_template(self):
        self.restart(config={"disposable": {"template": "none"}})
        ident = self.send_request(self.work)
        self.assert_error(self.wait_reply(self.work, ident), "unsupported")
        self.wait_record(self.work, "lent")
        self.assertEqual(self.host.count("make"), 0)


class SaveFile(DisposableTest):
    prepared = False

    def test_made_first(self):
        gate = self.host.hold("prepare")
        ident = self.send_request(self.work)
        gate.wait_reached()
        self.wait_told(self.work, ident, "wait preparing")
        making = self.host.hold("make")
        gate.release()
        making.wait_reached()
        self.wait_told(self.work, ident, "wait starting")
        making.release()
        self.finish(self.work, ident, self.wait_open(self.work, ident))
        # Made once, for all that come later.
        ident, vm = self.open(self.personal)
        self.finish(self.personal, ident, vm)
        self.assertEqual(self.host.count("prepare"), 1)

    def test_two_wait_for_one(self):
        gate = self.host.hold("prepare")
        first = self.send_request(self.work)
        second = self.send_request(self.personal)
        self.wait_told(self.personal, second, "wait preparing")
        gate.release()
        self.finish_both((self.work, first), (self.personal, second))
        self.assertEqual(self.host.count("prepare"), 1)

    def finish_both(self, *openers):
        for opener, ident in openers:
            vm = self.wait_open(opener, ident)
            self.assertEqual(self.ask(vm, "killme"), "ok")
            self.assertEqual(self.wait_reply(opener, ident), "ok unchanged")
        self.wait_nothing_left()

    def test_fails(self):
        self.host.fail("prepare", text="the template is broken")
        self.assert_error(self.wait_reply(self.work, self.send_request(self.work)), "failed")
        self.wait_log("the template is broken")
        self.wait_nothing_left()
        ident, vm = self.open(self.work)
        self.finish(self.work, ident, vm)

    def test_hangs(self):
        self.restart(config={"timeouts": {"prepare": "1"}})
        gate = self.host.hold("prepare")
        self.assert_error(self.wait_reply(self.work, self.send_request(self.work)), "timeout")
        gate.wait_killed()
        self.wait_nothing_left()

    def test_killed_with_its_vm(self):
        """The template's VM is there when the program is killed."""
        self.restart(config={"timeouts": {"prepare": "1"}})
        gate = self.host.hold("booted")
        ident = self.send_request(self.work)
        gate.wait_reached()
        self.assertEqual([vm.name for vm in self.find_vms()], [domains_host.TEMPLATE_NAME])
        self.assert_error(self.wait_reply(self.work, ident), "timeout")
        gate.wait_killed()
        self.wait_nothing_left()

    def test_newer_template(self):
        ident, vm = self.open(self.work)
        self.finish(self.work, ident, vm)
        self.template.write_text("another config")
        gate = self.host.hold("prepare")
        ident = self.send_request(self.work)
        gate.wait_reached()
        self.wait_told(self.work, ident, "wait preparing")
        gate.release()
        self.finish(self.work, ident, self.wait_open(self.work, ident))
        self.assertEqual(self.host.count("prepare"), 2)

    def test_changed_while_it_is_made(self):
        """What was saved is old already: it is made anew for the next one."""
        gate = self.host.hold("booted")
        ident = self.send_request(self.work)
        gate.wait_reached()
        self.template.write_text("another config")
        gate.release()
        self.finish(self.work, ident, self.wait_open(self.work, ident))
        ident, vm = self.open(self.work)
        self.finish(self.work, ident, vm)
        self.assertEqual(self.host.count("prepare"), 2)

    def test_none_at_all(self):
        """use-savefile=no: every one boots from the config."""
        self.restart(config={"disposable": {"use-savefile": "no", "memory": "200M"}})
        ident, vm = self.open(self.work)
        made = self.host.last("make")
        self.assertEqual((made["config"], made["memory"]), (str(self.template), "200"))
        self.assertNotIn("savefile", made)
        self.finish(self.work, ident, vm)
        self.assertEqual(self.host.count("prepare"), 0)


class Pool(DisposableTest):
    config = {"disposable": {"pool": "2", "keep-free": "100M"}, "labels": {"work": "blue"}}

    def test_taken_and_filled_again(self):
        waiting = self.wait_disposables("pooled", "pooled")
        self.assertEqual(self.host.last("make")["keep-free"], "100")
        gate = self.host.hold("make")
        ident, vm = self.open(self.work)
        self.assertIn(vm.name, waiting)
        self.assertEqual(self.box.dom0.read(f"{vm.path}/qubes_label"), "blue")
        gate.wait_reached()
        self.wait_disposables("making", "open", "pooled")
        gate.release()
        self.wait_disposables("open", "pooled", "pooled")
        self.assertEqual(self.ask(vm, "killme"), "ok")
        self.assertEqual(self.wait_reply(self.work, ident), "ok unchanged")
        self.wait_disposables("pooled", "pooled")

    def test_emptied_by_a_new_configuration(self):
        self.wait_disposables("pooled", "pooled")
        ident, vm = self.open(self.work)
        self.wait_disposables("open", "pooled", "pooled")
        self.reload({"disposable": {"pool": "0"}})
        self.wait_disposables("open")
        self.finish(self.work, ident, vm)

    def test_little_memory(self):
        self.host.free_kib = 1024
        self.restart()
        ident, vm = self.open_without_pool()
        self.finish(self.work, ident, vm)

    def open_without_pool(self):
        """The pool leaves memory alone of which there is little; a request does not."""
        self.reload({"disposable": {"pool": "0"}})
        self.wait_disposables()
        self.reload({})
        self.wait_log("too little memory is free")
        self.wait_disposables()
        ident, vm = self.open(self.work)
        self.assertNotIn("keep-free", self.host.last("make"))
        return ident, vm

    def test_new_save_file(self):
        """What was made from the old one goes, and the pool is of the new one."""
        old = self.wait_disposables("pooled", "pooled")
        self.box.ctl("dvm", "prepare")
        storebox.until(lambda: not set(old) & set(self.disposables()), "the old ones to go")
        self.wait_disposables("pooled", "pooled")
        self.assertEqual(self.host.count("prepare"), 1)

    def test_restarted(self):
        """A daemon that finds a pool keeps it."""
        before = self.wait_disposables("pooled", "pooled")
        made = self.host.count("make")
        self.restart(signal.SIGKILL)
        ident, vm = self.open(self.work)
        self.assertIn(vm.name, before)
        self.wait_disposables("open", "pooled", "pooled")
        self.assertEqual(self.host.count("make"), made + 1)
        self.assertEqual(self.ask(vm, "killme"), "ok")
        self.assertEqual(self.wait_reply(self.work, ident), "ok unchanged")


    def test_killed_while_it_is_filled(self):
        """Nobody waits for a half made one: it is removed, and another made."""
        before = self.wait_disposables("pooled", "pooled")
        gate = self.host.hold("make", after=True)
        self.open(self.work)
        gate.wait_reached()
        half, = set(vm.name for vm in self.find_vms()) - set(before)
        self.assertEqual(self.box.daemon.kill(), -signal.SIGKILL)
        gate.wait_killed()
        self.start()
        storebox.until(lambda: half not in self.disposables(), "the half made one to go")
        self.wait_disposables("open", "pooled", "pooled")
        self.assertEqual(len(self.find_vms()), 3)


class Deaths(DisposableTest):
    def test_opener_destroyed_while_it_is_made(self):
        gate = self.host.hold("make", after=True)
        self.send_request(self.work)
        gate.wait_reached()
        self.work.destroy()
        gate.wait_killed()
        self.wait_nothing_left()

    def test_opener_destroyed_before_it_runs(self):
        gate = self.host.hold("unpause")
        self.send_request(self.work)
        gate.wait_reached()
        self.work.destroy()
        gate.wait_killed()
        self.wait_nothing_left()

    def test_opener_destroyed_when_it_is_open(self):
        self.open(self.work)
        self.work.destroy()
        self.wait_nothing_left()

    def test_opener_destroyed_while_it_stores(self):
        _, vm = self.open(self.work)
        self.assertEqual(self.wait_reply(vm, self.send_answer(vm, self.work)), "ok delivered")
        self.work.destroy()
        self.wait_nothing_left()

    def test_opener_rebooted(self):
        """The new VM has the name and the uuid; the file was of the old one."""
        _, vm = self.open(self.work)
        work = self.work.reboot()
        self.wait_nothing_left()
        work.wait_mailbox()
        ident, vm = self.open(work)
        self.finish(work, ident, vm)

    def test_a_chain(self):
        """A DisposableVM may be an opener itself; with the first VM all end."""
        _, first = self.open(self.work)
        self.assertEqual(self.ask(first, "umount"), "ok")
        _, second = self.open(first, "1")
        self.open(second, "1")
        self.assertEqual(len(self.find_vms()), 3)
        self.assert_error(self.wait_reply(second, self.send_answer(second, self.work)),
                          "no-transaction")
        self.assertEqual(self.wait_reply(second, self.post(second, "send disp1 1")),
                         "ok delivered")
        first.wait_connected(IN)
        self.work.destroy()
        self.wait_nothing_left()

    def ended(self, end):
        ident, vm = self.open(self.work)
        end(vm)
        self.assert_error(self.wait_reply(self.work, ident), "lost")
        self.wait_nothing_left()

    def test_destroyed_by_somebody(self):
        self.ended(lambda vm: vm.destroy())

    def test_crashed(self):
        self.ended(lambda vm: vm.crash())

    def test_shut_down(self):
        """Nobody removes it: the survey says that it is down."""
        self.ended(lambda vm: vm.shutdown(keep=True))
        self.assertGreater(self.host.count("survey"), 0)

    def test_shut_down_before_it_has_the_file(self):
        gate = self.host.hold("unpause")
        ident = self.send_request(self.work)
        gate.wait_reached()
        self.find_vm("disp1").shutdown(keep=True)
        self.assert_error(self.wait_reply(self.work, ident), "lost")
        self.wait_nothing_left()

    def test_shut_down_when_the_answer_is_sent(self):
        """What it has sent is stored all the same."""
        ident, vm = self.open(self.work)
        self.assertEqual(self.wait_reply(vm, self.send_answer(vm, self.work)), "ok delivered")
        vm.shutdown(keep=True)
        # It has been seen, and is written down.
        self.box.dom0.wait(f"{RECORDS}/1", lambda text: "\nkill-asked=1\n" in (text or ""))
        self.wait_disposables("answering")
        self.assertEqual(self.ask(self.work, "umount"), "ok")
        self.assertEqual(self.wait_reply(self.work, ident), "ok saved")
        self.wait_nothing_left()

    def test_making_hangs(self):
        self.restart(config={"timeouts": {"start": "1"}})
        gate = self.host.hold("make", after=True)
        ident = self.send_request(self.work)
        self.assert_error(self.wait_reply(self.work, ident), "timeout")
        gate.wait_killed()
        self.wait_nothing_left()

    def test_making_fails(self):
        self.host.fail("make", text="xenstored is on fire")
        self.assert_error(self.wait_reply(self.work, self.send_request(self.work)), "failed")
        self.wait_log("xenstored is on fire")
        self.wait_nothing_left()

    def test_unpausing_fails(self):
        self.host.fail("unpause")
        self.assert_error(self.wait_reply(self.work, self.send_request(self.work)), "failed")
        self.wait_nothing_left()

    def test_destroying_fails(self):
        """It is tried until it succeeds; the opener does not wait for that."""
        ident, vm = self.open(self.work)
        self.host.fail("destroy")
        self.assertEqual(self.ask(vm, "killme"), "ok")
        self.assertEqual(self.wait_reply(self.work, ident), "ok unchanged")
        self.wait_nothing_left()

    def test_survey_fails(self):
        ident, vm = self.open(self.work)
        self.host.fail("survey")
        vm.shutdown(keep=True)
        self.assert_error(self.wait_reply(self.work, ident), "lost")
        self.wait_nothing_left()

    def test_never_connects(self):
        """A template without our tools: the file is taken away again."""
        self.restart(config={"timeouts": {"start": "1", "prepare": "1", "attach": "1"}})
        gate = self.host.hold("unpause")
        ident = self.send_request(self.work)
        gate.wait_reached()
        self.find_vm("disp1").set_disks(connect="never")
        gate.release()
        reply = self.wait_reply(self.work, ident)
        self.assertEqual(reply.split(" ")[0], "error", reply)
        self.wait_nothing_left()


class Kills(DisposableTest):
    """The daemon is killed, and its successor goes on as if nothing had been."""

    def die(self):
        self.assertEqual(self.box.daemon.kill(), -signal.SIGKILL)

    def go_on(self):
        self.start()

    def test_before_it_is_made(self):
        gate = self.host.hold("make")
        ident = self.send_request(self.work)
        gate.wait_reached()
        self.die()
        gate.wait_killed()
        self.go_on()
        self.finish(self.work, ident, self.wait_open(self.work, ident))

    def test_half_made(self):
        gate = self.host.hold("make", after=True)
        ident = self.send_request(self.work)
        gate.wait_reached()
        half = self.find_vm("disp1")
        self.die()
        gate.wait_killed()
        self.go_on()
        vm = self.wait_open(self.work, ident)
        self.assertNotEqual(vm.domid, half.domid)
        self.assertEqual(len(self.find_vms()), 1)
        self.finish(self.work, ident, vm)

    def test_stopped_in_order(self):
        """systemctl restart: the programs end with the daemon, by its own hand."""
        gate = self.host.hold("make", after=True)
        ident = self.send_request(self.work)
        gate.wait_reached()
        self.restart()
        gate.wait_killed()
        self.finish(self.work, ident, self.wait_open(self.work, ident))

    def test_preparing(self):
        self.savefile.unlink()
        gate = self.host.hold("booted")
        ident = self.send_request(self.work)
        gate.wait_reached()
        self.die()
        gate.wait_killed()
        self.go_on()
        self.finish(self.work, ident, self.wait_open(self.work, ident))

    def test_ready(self):
        gate = self.host.hold("unpause")
        ident = self.send_request(self.work)
        gate.wait_reached()
        self.wait_disposables("ready")
        self.die()
        gate.wait_killed()
        self.go_on()
        self.finish(self.work, ident, self.wait_open(self.work, ident))
        self.assertEqual(self.host.count("make"), 1)

    def test_connected_meanwhile(self):
        gate = self.host.hold("unpause")
        ident = self.send_request(self.work)
        gate.wait_reached()
        vm = self.find_vm("disp1")
        self.die()
        vm.unpause()
        vm.wait_connected(IN)
        self.go_on()
        self.assertEqual(self.wait_open(self.work, ident).domid, vm.domid)
        self.finish(self.work, ident, vm)

    def test_open(self):
        ident, vm = self.open(self.work)
        self.die()
        self.go_on()
        self.finish(self.work, ident, vm)

    def test_given_back(self):
        ident, vm = self.open(self.work)
        self.assertEqual(self.ask(vm, "umount"), "ok")
        self.die()
        self.go_on()
        self.send_answer(vm, self.work)
        self.work.wait_connected(IN)
        self.assertEqual(self.ask(self.work, "umount"), "ok")
        self.assertEqual(self.wait_reply(self.work, ident), "ok saved")
        self.wait_nothing_left()

    def answer_in_the_queue(self):
        """personal's pendrive is in the slot for which the answer waits. The two IDs, the VM."""
        agent = self.box.start_agent("--yes")
        ident, vm = self.open(self.work)
        self.deliver(self.personal, self.work)
        agent.terminate()
        sent = self.send_answer(vm, self.work)
        self.wait_record(vm, "queued")
        self.wait_disposables("answering")
        return ident, sent, vm

    def test_answer_in_the_queue(self):
        ident, sent, vm = self.answer_in_the_queue()
        self.die()
        self.go_on()
        self.assertEqual(self.ask(self.work, "umount"), "ok")
        self.assertEqual(self.wait_reply(vm, sent), "ok delivered")
        self.work.wait_connected(IN)
        self.assertEqual(self.box.dom0.read(f"{self.work.path}/qubes_transaction_seq"), "7")
        self.assertEqual(self.ask(self.work, "umount"), "ok")
        self.assertEqual(self.wait_reply(self.work, ident), "ok saved")
        self.wait_nothing_left()

    def test_answer_is_delivered(self):
        ident, vm = self.open(self.work)
        self.assertEqual(self.wait_reply(vm, self.send_answer(vm, self.work)), "ok delivered")
        self.die()
        self.go_on()
        self.assert_error(self.wait_reply(vm, self.send_answer(vm, self.work)), "no-transaction")
        self.assertEqual(self.ask(self.work, "umount"), "ok")
        self.assertEqual(self.wait_reply(self.work, ident), "ok saved")
        self.wait_nothing_left()

    def test_opener_gives_back_meanwhile(self):
        """The request waits in the mailbox for the next daemon."""
        ident, vm = self.open(self.work)
        self.assertEqual(self.wait_reply(vm, self.send_answer(vm, self.work)), "ok delivered")
        self.die()
        given_back = self.post(self.work, "umount")
        self.go_on()
        self.assertEqual(self.wait_reply(self.work, given_back), "ok")
        self.assertEqual(self.wait_reply(self.work, ident), "ok saved")
        self.wait_nothing_left()

    def test_destroying(self):
        for after in (False, True):
            with self.subTest(after=after):
                gate = self.host.hold("destroy", after)
                ident, vm = self.open(self.work)
                self.assertEqual(self.ask(vm, "killme"), "ok")
                self.assertEqual(self.wait_reply(self.work, ident), "ok unchanged")
                gate.wait_reached()
                self.wait_disposables("destroying")
                self.die()
                gate.wait_killed()
                self.go_on()
                self.wait_nothing_left()

    def test_vm_ends_meanwhile(self):
        ident, vm = self.open(self.work)
        self.die()
        vm.destroy(timeout_ms=200)
        self.go_on()
        self.assert_error(self.wait_reply(self.work, ident), "lost")
        self.wait_nothing_left()

    def test_vm_shuts_down_meanwhile(self):
        ident, vm = self.open(self.work)
        self.die()
        vm.shutdown(keep=True)
        self.go_on()
        self.assert_error(self.wait_reply(self.work, ident), "lost")
        self.wait_nothing_left()

    def test_damaged_records(self):
        """They are left alone, and so are the VMs that they may be of."""
        ident, vm = self.open(self.work)
        number, = self.box.dom0.ls(RECORDS)
        text = self.box.dom0.read(f"{RECORDS}/{number}")
        stranger = self.box.create_vm("disp100")
        damaged = {
            "100": "", "101": text[:-1], "102": text + "more=1\n", "103": "x" * 3000,
            "104": re.sub(r"\Aversion=\d+\n", "version=99\n", text),
            "105": text.replace("state=open", "state=gone"),
            "106": text.replace(f"vm-uuid={vm.uuid}", "vm-uuid="),
            # A right one under a wrong name: that DisposableVM is there already.
            "107": text, "word": "version=1\n"}
        for name, value in damaged.items():
            self.box.dom0.write(f"{RECORDS}/{name}", value)
        before = self.box.log("daemon").count("left alone")
        self.restart(signal.SIGKILL)
        self.assertEqual(self.box.log("daemon").count("left alone"), before + len(damaged))
        self.assertEqual(self.ask(vm, "killme"), "ok")
        self.assertEqual(self.wait_reply(self.work, ident), "ok unchanged")
        self.box.dom0.wait(f"{RECORDS}/{number}", None)
        for name, value in damaged.items():
            self.assertEqual(self.box.dom0.read(f"{RECORDS}/{name}"), value)
            self.box.dom0.rm(f"{RECORDS}/{name}")
        stranger.wait_mailbox()
        stranger.destroy()
        self.wait_nothing_left()

    def test_opener_ends_meanwhile(self):
        self.open(self.work)
        self.die()
        self.work.destroy(timeout_ms=200)
        self.go_on()
        self.wait_nothing_left()

    def test_again_and_again(self):
        """One life, and after each of its steps another daemon."""
        ident = self.send_request(self.work)
        self.restart(signal.SIGKILL)
        vm = self.wait_open(self.work, ident)
        self.restart(signal.SIGKILL)
        given_back = self.post(vm, "umount")
        self.restart(signal.SIGKILL)
        self.assertEqual(self.wait_reply(vm, given_back), "ok")
        new = self.post(vm, "new format=none")
        self.restart(signal.SIGKILL)
        self.assertEqual(self.wait_reply(vm, new), "ok xvdg")
        sent = self.post(vm, "send work 7")
        self.restart(signal.SIGKILL)
        self.assertEqual(self.wait_reply(vm, sent), "ok delivered")
        stored = self.post(self.work, "umount")
        self.restart(signal.SIGKILL)
        self.assertEqual(self.wait_reply(self.work, stored), "ok")
        self.assertEqual(self.wait_reply(self.work, ident), "ok saved")
        self.wait_nothing_left()


class Control(DisposableTest):
    """What dom0's user sees and does."""
    config = {"labels": {"work": "blue"}}

    def call_daemon(self, method, *arguments):
        done = subprocess.run(
            ["gdbus", "call", "--address", self.box.bus_address, "--dest", storebox.BUS_NAME,
             "--object-path", "/org/qubes/FileExchange1", "--method",
             f"{storebox.BUS_NAME}.{method}", *arguments], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, timeout=storebox.DEADLINE_S)
        return done.stdout + done.stderr

    def test_list(self):
        self.assertNotIn("DISPOSABLEVM", self.box.ctl("list"))
        gate = self.host.hold("make")
        ident = self.send_request(self.work, "A7")
        gate.wait_reached()
        self.assertRegex(self.box.ctl("list"), r"(?m)^disp1 +making +work +A7 +\S")
        gate.release()
        vm = self.wait_open(self.work, ident)
        self.assertRegex(self.box.ctl("list"), r"(?m)^disp1 +open +work +A7 +\S")
        listed = self.call_daemon("ListDisposables")
        for key, value in (("name", "'disp1'"), ("state", "'open'"),
                           ("domid", f"uint32 {vm.domid}"), ("opener", "'work'"),
                           ("opener-domid", f"uint32 {self.work.domid}"), ("label", "'blue'"),
                           ("seq", "'A7'"), ("view", "false")):
            self.assertIn(f"'{key}': <{value}>", listed)
        self.assertEqual(self.ask(vm, "killme"), "ok")
        self.wait_nothing_left()
        self.assertNotIn("disp1", self.box.ctl("list"))
        self.assertEqual(self.call_daemon("ListDisposables").strip(), "(@aa{sv} [],)")

    def test_destroy(self):
        ident, _ = self.open(self.work)
        self.box.ctl("dvm", "destroy", "disp1")
        self.assert_error(self.wait_reply(self.work, ident), "cancelled")
        self.wait_nothing_left()
        for name in ("disp1", "work", "disp2"):
            done = self.box.ctl("dvm", "destroy", name, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("no such DisposableVM", done.stderr)
        self.assertEqual([options["uuid"] for word, options in self.host.calls
                          if word == "destroy"].count(self.work.uuid), 0)

    def test_destroy_while_it_is_made(self):
        gate = self.host.hold("make", after=True)
        ident = self.send_request(self.work)
        gate.wait_reached()
        self.box.ctl("dvm", "destroy", "disp1")
        gate.wait_killed()
        self.assert_error(self.wait_reply(self.work, ident), "cancelled")
        self.wait_nothing_left()

    def test_prepare(self):
        self.box.ctl("dvm", "prepare")
        self.assertEqual(self.host.count("prepare"), 1)
        self.host.fail("prepare", text="no disk")
        done = self.box.ctl("dvm", "prepare", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("could not be made", done.stderr)
        self.wait_log("no disk")

    def test_prepare_without_a_template(self):
        self.restart(config={"disposable": {"template": "none"}})
        done = self.box.ctl("dvm", "prepare", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("[disposable]", done.stderr)

    def test_template_taken_away(self):
        """What is open goes on to its end; nothing new is opened."""
        ident, vm = self.open(self.work)
        self.reload({"disposable": {"template": "none"}})
        refused = self.send_request(self.personal)
        self.assert_error(self.wait_reply(self.personal, refused), "unsupported")
        self.box.ctl("cancel", self.wait_record(self.personal, "lent")["id"])
        self.finish(self.work, ident, vm)

    def test_signals(self):
        """What is shown to the user follows each change."""
        log = "monitor"
        self.box.spawn(log, ["gdbus", "monitor", "--address", self.box.bus_address, "--dest",
                             storebox.BUS_NAME])
        self.wait_log("is owned by", log)
        ident, vm = self.open(self.work)
        self.finish(self.work, ident, vm)
        self.wait_log("DisposableRemoved ('disp1',)", log)
        states = re.findall(r"DisposableChanged \('disp1', .*?'state': <'(\w+)'>",
                            self.box.log(log))
        self.assertEqual([state for i, state in enumerate(states) if states[i - 1:i] != [state]],
                         ["making", "ready", "open", "answering", "destroying"])

    def test_labels(self):
        """None without one in the configuration; and a word that is none is not taken."""
        _, vm = self.open(self.personal)
        self.assertFalse(self.box.dom0.exists(f"{vm.path}/qubes_label"))
        self.assertNotIn("label", self.host.last("make"))


if __name__ == "__main__":
    storebox.main()
