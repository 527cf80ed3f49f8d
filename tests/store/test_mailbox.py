#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The mailbox and the replies: what a VM may do wrong, and what another VM cannot do at all."""
import errno

import storebox

OUT = storebox.OUTGOING


class Requests(storebox.DaemonTest):
    config = {"requests": {"burst": "1000"}}

    def ask_old(self, vm, request):
        """Writes a request as it is, without an ID, and gives the reply in device/qpen-reply."""
        reply_path = f"{vm.path}/device/qpen-reply"
        vm.xs.wait("device/qpen", "")
        with self.box.dom0.watch(reply_path) as watch:
            watch.next()
            vm.xs.write("device/qpen", request)
            while watch.next() != reply_path:
                pass
        return self.box.dom0.read(reply_path)

    def test_words_of_2010(self):
        """No ID, no reply read: new, send and umount work, and their replies carry a dash."""
        self.box.start_agent("--yes")
        self.work.post("new")
        self.work.wait_connected(OUT)
        self.work.xs.wait("device/qpen-reply", "- ok xvdg")
        self.work.post("send personal")
        self.personal.wait_connected(storebox.INCOMING)
        self.work.xs.wait("device/qpen-reply", "- ok delivered")
        self.personal.post("umount")
        self.personal.xs.wait("device/qpen-reply", "- ok")
        self.wait_nothing_left()
        self.assertEqual(self.box.dom0.ls(f"{self.work.path}/device/qpen-reply"), [])

    def test_bad_words(self):
        for request, code in (
                ("dance", "bad-request"), ("New", "bad-request"), ("new now", "bad-request"),
                ("new size=0", "bad-request"), ("new size=-1", "bad-request"),
                ("new size=99999999999999999999", "bad-request"), ("new size=9000T", "bad-size"),
                ("new size=1M size=1M", "bad-request"), ("new format=ext4", "bad-request"),
                ("new ", "bad-request"), (" new", "bad-request"), ("new  size=1M", "bad-request"),
                ("send", "bad-request"), ("send personal", "no-pendrive"),
                ("send ../personal", "bad-request"), ("send -rf", "bad-request"),
                ("send " + "x" * 64, "bad-request"), ("send Domain-0", "bad-request"),
                ("send personal 7 8", "bad-request"), ("send personal a/b", "bad-request"),
                ("umount now", "bad-request"), ("umount", "no-pendrive"),
                ("killme", "unsupported"), ("", "bad-request")):
            with self.subTest(request=request):
                self.assert_error(self.ask(self.work, request), code)
        self.assert_serves()
        self.wait_nothing_left()

    def test_bad_words_while_a_pendrive_is_lent(self):
        self.lend(self.work)
        for request, code in (("new", "have-pendrive"), ("send work", "self"),
                              ("send per\x01sonal", "bad-request"), ("umount", "no-pendrive"),
                              ("send disposable 7", "unsupported"),
                              ("send disposable", "bad-request"),
                              ("send disposable 0", "bad-request"),
                              ("send disposable view", "unsupported"),
                              ("send disposable 7 edit", "bad-request"),
                              ("send personal 7 view", "bad-request"),
                              ("send personal 7", "no-transaction"), ("send", "bad-request")):
            with self.subTest(request=request):
                self.assert_error(self.ask(self.work, request), code)
        self.wait_record(self.work, "lent")
        self.assertTrue(self.work.disk(OUT).is_connected)

    def test_control_characters_in_every_field(self):
        for char in ("\0", "\1", "\t", "\n", "\r", "\x1b", "\x7f", "\x80", "ü"):
            for request in ("{}", "n{}w", "new{}", "new size={}1M", "new size=1{}", "new format={}",
                            "new format=vfat{}", "send {}", "send a{}", "send a 1{}", "umount{}"):
                request = request.format(char)
                with self.subTest(request=request):
                    self.assert_error(self.ask(self.work, request), "bad-request")
            with self.subTest(ident=char):  # no ID at all: answered as one of 2010
                self.assertRegex(self.ask_old(self.work, f"umount #a{char}b"), "^- error bad-req")
        log = self.box.log("daemon").replace("\n", "")
        self.assertNotRegex(log, r"[\x00-\x1f\x7f]")
        self.assert_serves()

    def test_rubbish(self):
        for rubbish in ("#", " ", " #", "# #", "x" * 255, "x" * 256, "x" * 2000, "\xff" * 100,
                        "%s%n%s%n", "send " + "a " * 120, "\0" * 255, "\x1b]0;owned\x07",
                        "new #" + "i" * 33, "new #"):
            with self.subTest(rubbish=rubbish):
                self.assertRegex(self.ask_old(self.work, rubbish), "^- error bad-request ")
        self.assertNotIn("\x1b", self.box.log("daemon"))
        self.assert_serves()

    def test_the_longest_request_and_id(self):
        ident = "i" * 32
        self.assertRegex(self.work.ask("umount", ident), f"^{ident} error no-pendrive ")
        ident = "j" * 32
        pad = "x" * (255 - len("send  #" + ident))
        self.assertRegex(self.work.ask(f"send {pad}", ident), f"^{ident} error bad-request ")
        # One byte more, and the ID is not looked for.
        self.work.post(f"send {pad}y #{ident}")
        self.work.xs.wait("device/qpen-reply", "- error bad-request a request has at most 255 bytes")

    def test_an_empty_value_is_no_request(self):
        with self.work.xs.watch("device/qpen-reply") as watch:
            watch.next()
            for _ in range(100):
                self.work.xs.write("device/qpen", "")
            self.assert_error(self.ask(self.work, "umount"), "no-pendrive")
            self.assertEqual({path for path in watch.drain()} - {"device/qpen-reply"},
                             {f"device/qpen-reply/q{self._last_ident}"})

    def test_children_of_the_mailbox_are_ignored(self):
        for child in ("new", "a/b/c", "qpen"):
            self.work.xs.write(f"device/qpen/{child}", "new")
        self.assert_error(self.ask(self.work, "umount"), "no-pendrive")
        self.assertEqual(self.records(), {})
        self.lend(self.work)

    def test_a_deleted_mailbox_is_made_anew(self):
        self.work.wait_mailbox()
        for _ in range(3):
            self.work.xs.rm("device/qpen")
            self.work.xs.wait("device/qpen", "")
        self.assertEqual(self.box.dom0.get_perms(f"{self.work.path}/device/qpen"),
                         ["n0", f"b{self.work.domid}"])
        self.lend(self.work)

    def test_a_request_deleted_at_once_hurts_nobody(self):
        self.work.wait_mailbox()
        for _ in range(20):
            self.work.xs.wait("device/qpen", "")
            self.work.xs.write("device/qpen", "umount #gone")
            self.work.xs.rm("device/qpen")
        self.assert_error(self.ask(self.work, "umount"), "no-pendrive")
        self.assert_serves()

    def test_the_last_16_replies_are_kept(self):
        idents = [self.post(self.work, "umount") for _ in range(20)]
        self.wait_reply(self.work, idents[-1])
        self.work.xs.wait(f"device/qpen-reply/{idents[3]}", None)
        self.assertEqual(sorted(self.work.xs.ls("device/qpen-reply")), sorted(idents[4:]))

    def test_a_reply_that_is_awaited_is_not_dropped_for_others(self):
        sending = self.start_asking(self.work, self.personal)
        for _ in range(20):
            self.ask(self.work, "umount")
        self.assertEqual(self.work.xs.read(f"device/qpen-reply/{sending}"),
                         f"{sending} wait asking")
        self.box.start_agent("--yes")
        self.assertEqual(self.wait_reply(self.work, sending), "ok delivered")


class Names(storebox.DaemonTest):
    def test_a_vm_whose_name_cannot_be_used_is_left_out(self):
        for name in ("bad name", "-rf", "disposable", "x" * 64, "ü"):
            vm = self.box.create_vm(name)
            self.assert_serves()
            self.assertIsNone(self.box.dom0.read_or(f"{vm.path}/device/qpen"), name)
        self.lend(self.work)
        self.assert_error(self.ask(self.work, "send -rf"), "bad-request")

    def test_all_characters_and_the_longest_name(self):
        self.box.start_agent("--yes")
        for name in ("0", "a_b.c+d-E", "n" * 63):
            vm = self.box.create_vm(name)
            self.deliver(self.work, vm)
            self.deliver(vm, self.personal)
            self.assertEqual(self.personal.xs.read("qubes_blocksrc"), name)
            self.assertEqual(self.ask(self.personal, "umount"), "ok")


class Borders(storebox.DaemonTest):
    """What xenstore's permissions keep apart."""

    def assert_denied(self, act, *arguments):
        with self.assertRaises(storebox.XsError) as caught:
            act(*arguments)
        self.assertIn(caught.exception.errno, (errno.EACCES, errno.ENOENT))
        return caught.exception.errno

    def test_another_vm_sees_and_writes_nothing_of_mine(self):
        self.box.start_agent("--yes")
        self.deliver(self.work, self.personal)
        for key in ("device/qpen", "device/qpen-reply", "device/qpen-reply/q1", "qubes_blocksrc",
                    "qubes_transaction_seq", "qubes_pendrive_offset",
                    f"device/vbd/{storebox.INCOMING}/state"):
            vm = self.work if "q1" in key else self.personal
            path = f"{vm.path}/{key}"
            with self.subTest(key=key):
                self.assertTrue(self.box.dom0.exists(path))
                spy = self.other.xs
                self.assertEqual(self.assert_denied(spy.read, path), errno.EACCES)
                self.assert_denied(spy.write, path, "new")
                self.assert_denied(spy.rm, path)
                self.assert_denied(spy.ls, path)
                self.assert_denied(spy.get_perms, path)
                self.assert_denied(spy.set_perms, path, f"b{self.other.domid}")

    def test_nobody_hears_of_another_vms_requests(self):
        self.work.wait_mailbox()
        with self.other.xs.watch(f"{self.work.path}/device") as watch:
            watch.next()
            self.lend(self.work)
            self.assert_error(self.ask(self.other, "umount"), "no-pendrive")
            self.assertEqual(watch.drain(), [])

    def test_a_vm_cannot_write_what_dom0_tells_it(self):
        self.box.start_agent("--yes")
        self.lend(self.work)
        self.assertEqual(self.ask(self.work, "send personal"), "ok delivered")
        self.deliver(self.personal, self.work)
        for key in ("device/qpen-reply", "device/qpen-reply/q2", "device/qpen-reply/new-one",
                    "qubes_blocksrc", "qubes_transaction_seq", "qubes_pendrive_offset"):
            with self.subTest(key=key):
                before = self.box.dom0.read_or(f"{self.work.path}/{key}")
                xs = self.work.xs
                self.assert_denied(xs.write, key, "x")
                if before is not None:
                    self.assert_denied(xs.rm, key)
                self.assert_denied(xs.set_perms, key, f"b{self.work.domid}")
                self.assertEqual(self.box.dom0.read_or(f"{self.work.path}/{key}"), before)

    def test_no_vm_can_read_the_records(self):
        self.lend(self.work)
        number = self.wait_record(self.work, "lent")["id"]
        for path in ("/qfilexchgd", "/qfilexchgd/transfers", f"/qfilexchgd/transfers/{number}"):
            with self.subTest(path=path):
                self.assertEqual(self.box.dom0.get_perms(path), ["n0"])
                for vm in (self.work, self.other):
                    self.assert_denied(vm.xs.read, path)
                    self.assert_denied(vm.xs.ls, path)
                    self.assert_denied(vm.xs.write, path, "x")
                    self.assert_denied(vm.xs.rm, path)

    def test_permissions_are_those_of_the_contract(self):
        self.box.start_agent("--yes")
        self.deliver(self.work, self.personal)
        domid = self.personal.domid
        self.ask(self.personal, "new")
        for key, perms in (("device/qpen", ["n0", f"b{domid}"]),
                           ("device/qpen-reply", ["n0", f"r{domid}"]),
                           (f"device/qpen-reply/q{self._last_ident}", ["n0", f"r{domid}"]),
                           ("qubes_blocksrc", ["n0", f"r{domid}"]),
                           ("qubes_transaction_seq", ["n0", f"r{domid}"]),
                           ("qubes_pendrive_offset", ["n0", f"r{domid}"])):
            with self.subTest(key=key):
                self.assertEqual(self.box.dom0.get_perms(f"{self.personal.path}/{key}"), perms)


if __name__ == "__main__":
    storebox.main()
