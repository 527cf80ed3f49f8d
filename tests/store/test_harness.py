#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of the store layer itself: is what it plays true to Xen, and do its alarms go off?

Where a test says "as on Xen", the behaviour was seen on a real Xen 4.17 with Linux 6.1.
"""
import errno
import os
import signal
import socket
import struct
import subprocess
import sys
import time

import storebox
import xswire

OUT = storebox.OUTGOING
IN = storebox.INCOMING


class Toolstack:
    """A tiny one: attaches and detaches disks as libxl does, by nodes only."""

    def __init__(self, xs):
        self.xs = xs

    @staticmethod
    def paths(vm, vdev):
        return (f"{vm.path}/device/vbd/{vdev}", f"/local/domain/0/backend/vbd/{vm.domid}/{vdev}",
                f"/libxl/{vm.domid}/device/vbd/{vdev}")

    def attach(self, vm, vdev, physical_device="7:0", params="/img/a", mode="w",
               front_perms=None):
        front, back, libxl = self.paths(vm, vdev)
        front_nodes = {"backend": back, "backend-id": "0", "state": "1",
                       "virtual-device": str(vdev), "device-type": "disk"}
        back_nodes = {"frontend": front, "frontend-id": str(vm.domid), "online": "1",
                      "removable": "1", "bootable": "0", "dev": "xvdg", "type": "phy",
                      "mode": mode, "device-type": "disk", "params": params,
                      "hotplug-status": "connected", "discard-enable": "1", "state": "1"}
        if physical_device:
            back_nodes["physical-device"] = physical_device

        def write(tx):
            for path, perms, nodes in (
                    (front, front_perms or [f"n{vm.domid}", "r0"], front_nodes),
                    (back, ["n0", f"r{vm.domid}"], back_nodes)):
                tx.mkdir(path)
                tx.set_perms(path, *perms)
                for key, value in nodes.items():
                    tx.write(f"{path}/{key}", value)
            tx.write(f"{libxl}/frontend", front)
            tx.write(f"{libxl}/backend", back)

        self.xs.transact(write)

    def ask_to_close(self, vm, vdev):
        _, back, _ = self.paths(vm, vdev)

        def write(tx):
            tx.write(f"{back}/online", "0")
            tx.write(f"{back}/state", "5")

        self.xs.transact(write)

    def remove(self, vm, vdev):
        def write(tx):
            for path in self.paths(vm, vdev):
                tx.rm(path)

        self.xs.transact(write)

    def detach(self, vm, vdev):
        self.ask_to_close(vm, vdev)
        self.xs.wait(self.paths(vm, vdev)[1] + "/state", "6")
        self.remove(vm, vdev)


class HarnessTest(storebox.StoreTest):
    def setUp(self):
        super().setUp()
        self.xl = Toolstack(self.box.dom0)

    def assert_refused(self, number, call, *arguments):
        with self.assertRaises(xswire.XsError) as caught:
            call(*arguments)
        self.assertEqual(errno.errorcode[caught.exception.errno], errno.errorcode[number])


class Permissions(HarnessTest):
    """As on Xen: what a VM may touch under libxl's permissions."""

    def test_vm_reads_its_own_tree(self):
        vm = self.box.create_vm("work")
        self.assertEqual(vm.xs.read("name"), "work")
        self.assertEqual(vm.xs.read("domid"), str(vm.domid))
        self.assertEqual(vm.xs.read(vm.xs.read("vm") + "/uuid"), vm.uuid)

    def test_vm_cannot_make_nodes_of_the_toolstack(self):
        vm = self.box.create_vm("work")
        for path in ("device/qpen", "qpen", "control/qpen", "device/vbd/51808/state"):
            self.assert_refused(errno.EACCES, vm.xs.write, path, "x")
        self.assert_refused(errno.EACCES, vm.xs.write, "name", "other")
        vm.xs.write("data/key", "value")
        self.assertEqual(self.box.dom0.read(vm.path + "/data/key"), "value")

    def test_other_vm_sees_nothing(self):
        work, evil = self.box.create_vms(["work", "evil"])
        work.xs.write("data/key", "secret")
        self.assert_refused(errno.EACCES, evil.xs.read, work.path + "/data/key")
        self.assert_refused(errno.EACCES, evil.xs.read, work.path + "/name")
        self.assert_refused(errno.EACCES, evil.xs.write, work.path + "/data/key", "x")
        self.assert_refused(errno.EACCES, evil.xs.rm, work.path + "/data/key")
        self.assert_refused(errno.EACCES, evil.xs.ls, "/libxl")

    def test_mailbox_given_away_can_be_removed_but_not_made_again(self):
        vm = self.box.create_vm("work")
        mailbox = vm.path + "/device/qpen"
        self.box.dom0.write(mailbox, "")
        self.box.dom0.set_perms(mailbox, "n0", f"b{vm.domid}")
        vm.xs.write("device/qpen", "new")
        self.assertEqual(self.box.dom0.read(mailbox), "new")
        vm.xs.rm("device/qpen")
        self.assertFalse(self.box.dom0.exists(mailbox))
        self.assert_refused(errno.EACCES, vm.xs.write, "device/qpen", "new")

    def test_vm_value_size_limit(self):
        vm = self.box.create_vm("work")
        vm.xs.write("data/key", "x" * 2000)
        self.assert_refused(errno.ENOSPC, vm.xs.write, "data/key", "x" * 2020)

    def test_vm_may_not_introduce(self):
        vm = self.box.create_vm("work")
        self.assert_refused(errno.EACCES, vm.xs.introduce, 77, 1)


class Clients(HarnessTest):
    """Several programs of one VM share its xenbus and must not meet."""

    def test_watches_reach_their_own_client_only(self):
        vm = self.box.create_vm("work")
        other = vm.new_xs()
        self.addCleanup(other.close)
        with vm.xs.watch("data/a") as first, other.watch("data/b") as second:
            self.assertEqual(first.next(), "data/a")  # the token of both is "1"
            self.assertEqual(second.next(), "data/b")
            self.box.dom0.write(vm.path + "/data/b", "x")
            self.assertEqual(second.next(), "data/b")
            self.assertEqual(first.drain(), [])

    def test_a_closed_watch_is_silent_and_cannot_be_closed_twice(self):
        vm = self.box.create_vm("work")
        watch = vm.xs.watch("data")
        watch.next()
        watch.close()
        self.assert_refused(errno.ENOENT, vm.xs._request, xswire.UNWATCH, b"data\0" b"1\0")

    def test_watches_of_a_closed_client_are_taken_back(self):
        vm = self.box.create_vm("work")
        for _ in range(20):  # xenstored allows a VM 128 in all
            with vm.new_xs() as xs:
                for i in range(50):
                    xs.watch(f"data/{i}")
        vm.xs.read("name")

    def test_transactions_of_a_closed_client_are_ended(self):
        vm = self.box.create_vm("work")
        for _ in range(50):  # xenstored allows a VM 10 at a time
            with vm.new_xs() as xs:
                xswire.Transaction(xs)

    def test_a_transaction_belongs_to_its_client(self):
        vm = self.box.create_vm("work")
        tx = xswire.Transaction(vm.xs)
        with vm.new_xs() as other:
            self.assert_refused(errno.ENOENT, other._request, xswire.READ, b"name\0", "name",
                                tx._id)
        self.assertEqual(tx.read("name"), "work")
        tx.end(False)

    def test_transactions_conflict(self):
        vm = self.box.create_vm("work")
        vm.xs.write("data/count", "0")

        def conflict():
            with vm.xs.transaction() as tx:
                count = int(tx.read("data/count"))
                self.box.dom0.write(vm.path + "/data/count", "7")
                tx.write("data/count", str(count + 1))

        self.assert_refused(errno.EAGAIN, conflict)
        self.assertEqual(vm.xs.read("data/count"), "7")
        vm.xs.transact(lambda tx: tx.write("data/count", str(int(tx.read("data/count")) + 1)))
        self.assertEqual(vm.xs.read("data/count"), "8")

    def test_messages_larger_than_the_ring(self):
        vm = self.box.create_vm("work")
        value = "v" * 1900  # the ring holds 1024 bytes
        for i in range(20):
            vm.xs.write("data/key", value + str(i))
            self.assertEqual(vm.xs.read("data/key"), value + str(i))

    def test_many_requests_without_waiting(self):
        vm = self.box.create_vm("work")
        with vm.new_xs() as xs:
            ids = [xs._send(xswire.READ, b"name\0") for _ in range(2000)]
            for request_id in ids:
                self.assertEqual(xs._reply(request_id, "name"), b"work")

    def test_a_client_that_breaks_the_protocol_is_dropped_alone(self):
        vm = self.box.create_vm("work")
        with vm.new_xs() as xs:
            xs.write_raw(struct.pack("=IIII", xswire.READ, 1, 0, 1 << 20))
            with self.assertRaises(ConnectionError):
                xs.read("name")
        self.assertEqual(vm.xs.read("name"), "work")

    def test_a_program_with_the_ordinary_library_speaks_as_the_vm(self):
        script = """if True:
            import ctypes
            lib = ctypes.CDLL("libxenstore.so.4")
            lib.xs_open.restype = lib.xs_read.restype = ctypes.c_void_p
            lib.xs_read_watch.restype = ctypes.POINTER(ctypes.c_char_p)
            xs, length = ctypes.c_void_p(lib.xs_open(0)), ctypes.c_uint()
            print(ctypes.string_at(lib.xs_read(xs, 0, b"domid", ctypes.byref(length))).decode())
            print(lib.xs_watch(xs, b"data/key", b"token"))
            for _ in range(2):
                event = lib.xs_read_watch(xs, ctypes.byref(length))
                print(event[0].decode(), event[1].decode(), flush=True)
            print(lib.xs_write(xs, 0, b"device/x", b"1", 1))
            """
        vm = self.box.create_vm("work")
        child = vm.popen([sys.executable, "-c", script])
        self.assertEqual([child.stdout.readline() for _ in range(3)],
                         [f"{vm.domid}\n", "1\n", "data/key token\n"])
        self.box.dom0.write(vm.path + "/data/key", "x")
        self.assertEqual(child.communicate(timeout=storebox.DEADLINE_S),
                         ("data/key token\n0\n", ""))


class Domains(HarnessTest):
    def test_special_watches(self):
        with self.box.dom0.watch("@introduceDomain") as introduced, \
                self.box.dom0.watch("@releaseDomain") as released:
            introduced.next()
            released.next()
            vm = self.box.create_vm("work")
            self.assertEqual(introduced.next(), "@introduceDomain")
            self.assertTrue(self.box.dom0.is_introduced(vm.domid))
            self.assertEqual(released.drain(), [])
            vm.destroy()
            self.assertEqual(released.next(), "@releaseDomain")
            self.assertFalse(self.box.dom0.is_introduced(vm.domid))

    def test_a_dormant_vm_has_nodes_but_is_not_introduced(self):
        with self.box.dom0.watch("@introduceDomain") as introduced:
            introduced.next()
            vm = self.box.create_vm("work", dormant=True)
            self.assertEqual(self.box.dom0.read(vm.path + "/name"), "work")
            self.assertEqual(introduced.drain(), [])
            vm.introduce()
            introduced.next()
            self.assertEqual(vm.xs.read("name"), "work")

    def test_destroy_leaves_nothing(self):
        before = self.box.dom0.tree("/")
        vm = self.box.create_vm("work")
        vm.xs.write("data/key", "x")
        vm.destroy()
        after = self.box.dom0.tree("/")
        for parent in ("/local", "/local/domain", "/vm", "/libxl"):
            after.pop(parent, None)  # empty ones stay
        self.assertEqual(after, before)
        with self.assertRaises(OSError):
            vm.new_xs()

    def test_death_removes_what_the_vm_owned_elsewhere(self):
        vm = self.box.create_vm("work")
        self.box.dom0.write("/elsewhere/given", "x")
        self.box.dom0.set_perms("/elsewhere/given", f"n{vm.domid}")
        vm.destroy()
        self.box.dom0.wait("/elsewhere/given", None)
        self.assertTrue(self.box.dom0.exists("/elsewhere"))

    def test_a_crash_is_noticed_before_the_cleaning_up(self):
        vm = self.box.create_vm("work")
        with self.box.dom0.watch("@releaseDomain") as released:
            released.next()
            vm.crash(keep=True)
            released.next()
            self.assertEqual(self.box.dom0.read(vm.path + "/name"), "work")
            vm.destroy()
            released.next()

    def test_reboot_keeps_name_and_uuid(self):
        vm = self.box.create_vm("work")
        again = vm.reboot()
        self.assertEqual((again.name, again.uuid), (vm.name, vm.uuid))
        self.assertNotEqual(again.domid, vm.domid)
        self.assertFalse(self.box.dom0.exists(vm.path))
        self.assertEqual(again.xs.read("name"), "work")

    def test_rename(self):
        vm = self.box.create_vm("work")
        vm.rename("play ground")
        self.assertEqual(vm.xs.read("name"), "play ground")
        self.assertEqual(self.box.dom0.read(f"/vm/{vm.uuid}/name"), "play ground")
        with self.assertRaises(storebox.SimError):
            self.box.create_vm("play ground")

    def test_a_paused_vm_stands_still(self):
        vm = self.box.create_vm("work", paused=True)
        xs = vm.new_xs()
        self.addCleanup(xs.close)
        request_id = xs._send(xswire.READ, b"name\0")
        with self.assertRaises(TimeoutError):
            xs._receive(time.monotonic() + 0.05)
        vm.unpause()
        self.assertEqual(xs._reply(request_id, "name"), b"work")

    def test_commands_that_make_no_sense(self):
        vm = self.box.create_vm("work")
        for verb, arguments in (("destroy", {"domid": 4711}), ("create", {"name": "work"}),
                                ("create", {}), ("create", {"name": "x", "domid": vm.domid}),
                                ("set", {"domid": vm.domid, "connect": "soon"}),
                                ("introduce", {"domid": vm.domid}), ("dance", {})):
            with self.assertRaises(storebox.SimError, msg=verb):
                self.box.sim.call(verb, **arguments)


class Disks(HarnessTest):
    def test_attach_and_detach(self):
        vm = self.box.create_vm("work")
        self.xl.attach(vm, OUT, "7:3", "/img/one", "w")
        disk = vm.wait_connected(OUT)
        self.assertEqual((disk.physical_device, disk.params, disk.mode, disk.is_connected),
                         ("7:3", "/img/one", "w", True))
        storebox.until(vm.device(OUT).exists, "the device in the VM")
        back = self.xl.paths(vm, OUT)[1]
        self.assertEqual(self.box.dom0.read(back + "/state"), "4")
        self.assertTrue(self.box.dom0.exists(back + "/sectors"))
        self.xl.ask_to_close(vm, OUT)
        self.box.dom0.wait(back + "/state", "6")
        self.assertEqual(self.box.disks(), [])  # closed means let go
        self.assertFalse(vm.device(OUT).exists())
        self.xl.remove(vm, OUT)
        vm.wait_detached(OUT)
        self.assertEqual([line.split(" physical")[0] for line in self.box.history()],
                         [f"connect domid={vm.domid} vdev={OUT}",
                          f"disconnect domid={vm.domid} vdev={OUT}"])

    def test_states_come_in_the_order_of_linux(self):
        """Held back at each step by the test, both ends show where they are."""
        vm = self.box.create_vm("work")
        front, back, _ = self.xl.paths(vm, OUT)

        def states():
            return self.box.dom0.read(front + "/state") + self.box.dom0.read(back + "/state")

        vm.set_disks(connect="never", close="never")
        self.xl.attach(vm, OUT)
        self.box.dom0.wait(back + "/state", "2")
        self.assertEqual(states(), "12")
        with self.box.dom0.watch(front + "/state") as fronts, \
                self.box.dom0.watch(back + "/state") as backs:
            fronts.next()
            backs.next()
            vm.set_disks(connect="now")
            self.box.dom0.wait(front + "/state", "4")
            self.assertEqual(states(), "44")
            self.assertEqual(len(fronts.drain()), 2)  # 3, then 4
            self.assertEqual(len(backs.drain()), 1)   # 4
        for key in ("ring-ref", "event-channel", "protocol"):
            self.assertTrue(self.box.dom0.exists(f"{front}/{key}"), key)
        self.xl.ask_to_close(vm, OUT)
        self.assertEqual(states(), "45")
        vm.set_disks(close="now")
        self.box.dom0.wait(back + "/state", "6")
        self.assertEqual(states(), "66")

    def test_again_and_again_in_the_same_slot(self):
        vm = self.box.create_vm("work")
        for i in range(30):
            self.xl.attach(vm, OUT, f"7:{i}", f"/img/{i}")
            self.assertEqual(vm.wait_connected(OUT).params, f"/img/{i}")
            self.xl.detach(vm, OUT)
        self.assertEqual(len(self.box.history()), 60)

    def test_both_slots_of_many_vms_at_once(self):
        vms = self.box.create_vms([f"vm{i}" for i in range(40)])
        for vm in vms:
            self.xl.attach(vm, OUT, f"7:{vm.domid}", f"/out/{vm.domid}")
            self.xl.attach(vm, IN, f"8:{vm.domid}", f"/in/{vm.domid}", "r")
        for vm in vms:
            self.assertEqual(vm.wait_connected(OUT).mode, "w")
            self.assertEqual(vm.wait_connected(IN).mode, "r")
        self.assertEqual(len(self.box.disks()), 80)
        for vm in vms:
            self.xl.ask_to_close(vm, OUT)
            self.xl.ask_to_close(vm, IN)
        for vm in vms:
            for vdev in (OUT, IN):
                self.box.dom0.wait(self.xl.paths(vm, vdev)[1] + "/state", "6")
                self.xl.remove(vm, vdev)
        self.assertEqual(self.box.disks(), [])

    def test_closing_what_is_closed_waits_for_ever(self):
        """As on Linux: the closed device is unregistered, nobody answers to a second state 5."""
        vm = self.box.create_vm("work")
        back = self.xl.paths(vm, OUT)[1] + "/state"
        self.xl.attach(vm, OUT)
        vm.wait_connected(OUT)
        self.xl.ask_to_close(vm, OUT)
        self.box.dom0.wait(back, "6")
        self.xl.ask_to_close(vm, OUT)
        with self.assertRaises(TimeoutError):
            self.box.dom0.wait(back, "6", 0.05)

    def test_physical_device_that_comes_late(self):
        vm = self.box.create_vm("work")
        self.xl.attach(vm, OUT, physical_device=None)
        back = self.xl.paths(vm, OUT)[1]
        self.box.dom0.wait(self.xl.paths(vm, OUT)[0] + "/state", "3")
        self.assertEqual(self.box.dom0.read(back + "/state"), "2")
        self.box.dom0.write(back + "/physical-device", "7:9")
        self.assertEqual(vm.wait_connected(OUT).physical_device, "7:9")

    def test_a_front_end_that_never_connects(self):
        vm = self.box.create_vm("work")
        vm.set_disks(connect="never")
        self.xl.attach(vm, OUT)
        self.box.dom0.wait(self.xl.paths(vm, OUT)[1] + "/state", "2")
        self.assertFalse(vm.disk(OUT).is_connected)
        vm.set_disks(connect="now")
        self.assertTrue(vm.wait_connected(OUT).is_connected)

    def test_a_front_end_that_never_closes(self):
        vm = self.box.create_vm("work")
        vm.set_disks(close="never")
        self.xl.attach(vm, OUT)
        vm.wait_connected(OUT)
        self.xl.ask_to_close(vm, OUT)
        with self.assertRaises(TimeoutError):
            self.box.dom0.wait(self.xl.paths(vm, OUT)[1] + "/state", "6", 0.05)
        self.assertTrue(vm.disk(OUT).is_connected)
        self.xl.remove(vm, OUT)  # as on Xen: removing the nodes makes the backend let go
        storebox.until(lambda: not self.box.disks(), "the backend to let go")

    def test_a_paused_vm_does_not_close(self):
        vm = self.box.create_vm("work")
        self.xl.attach(vm, OUT)
        vm.wait_connected(OUT)
        vm.pause()
        self.xl.ask_to_close(vm, OUT)
        with self.assertRaises(TimeoutError):
            self.box.dom0.wait(self.xl.paths(vm, OUT)[1] + "/state", "6", 0.05)
        vm.unpause()
        self.box.dom0.wait(self.xl.paths(vm, OUT)[1] + "/state", "6")

    def test_attached_while_paused(self):
        vm = self.box.create_vm("disposable", paused=True)
        self.xl.attach(vm, IN)
        self.box.dom0.wait(self.xl.paths(vm, IN)[1] + "/state", "2")
        vm.unpause()
        vm.wait_connected(IN)

    def test_destroy_closes_disks_and_removes_their_nodes(self):
        vm = self.box.create_vm("work")
        self.xl.attach(vm, OUT)
        vm.wait_connected(OUT)
        vm.destroy()
        self.assertEqual(self.box.disks(), [])
        self.assertFalse(self.box.dom0.exists("/local/domain/0/backend/vbd"))
        self.assertFalse(self.box.dom0.exists(f"/libxl/{vm.domid}"))

    def test_crash_and_reboot_close_disks(self):
        for end in ("crash", "reboot"):
            vm = self.box.create_vm(end)
            self.xl.attach(vm, OUT)
            vm.wait_connected(OUT)
            getattr(vm, end)()
            self.assertEqual(self.box.disks(), [])

    def test_a_driver_domain_less_vm_is_left_alone(self):
        vm = self.box.create_vm("work", blk=False)
        self.xl.attach(vm, OUT)
        vm.destroy(timeout_ms=50)  # nobody closes the backend: libxl goes on after its time
        self.assertFalse(self.box.dom0.exists("/local/domain/0/backend/vbd"))


class Alarms(HarnessTest):
    """A harness that cannot fail proves nothing."""

    def test_same_device_in_two_vms(self):
        work, personal = self.box.create_vms(["work", "personal"])
        self.xl.attach(work, OUT, "7:0", "/img/a")
        work.wait_connected(OUT)
        self.xl.attach(personal, IN, "7:0", "/img/b")
        personal.wait_connected(IN)
        self.assertEqual(len(self.box.violations(clear=True)), 1)

    def test_same_image_in_two_vms(self):
        work, personal = self.box.create_vms(["work", "personal"])
        self.xl.attach(work, OUT, "7:0", "/img/a")
        work.wait_connected(OUT)
        self.xl.attach(personal, IN, "7:1", "/img/a")
        personal.wait_connected(IN)
        with self.assertRaises(AssertionError):
            self.check_box()
        violation, = self.box.violations(clear=True)
        self.assertIn("params=/img/a", violation)

    def test_same_image_behind_two_devices(self):
        work, personal = self.box.create_vms(["work", "personal"])
        for device in ("7:a", "7:b"):
            (self.box.loops_dir / device).symlink_to("/img/a b")
        self.xl.attach(work, OUT, "7:a", "/dev/loop10")
        self.assertEqual(work.wait_connected(OUT).image, "/img/a b")
        self.xl.attach(personal, IN, "7:b", "/dev/loop11")
        personal.wait_connected(IN)
        self.assertEqual(len(self.box.violations(clear=True)), 1)

    def test_handed_over_before_the_first_has_closed(self):
        work, personal = self.box.create_vms(["work", "personal"])
        work.set_disks(close="never")
        self.xl.attach(work, OUT, "7:0", "/img/a")
        work.wait_connected(OUT)
        self.xl.ask_to_close(work, OUT)
        self.xl.attach(personal, IN, "7:0", "/img/a")
        personal.wait_connected(IN)
        self.assertEqual(len(self.box.violations(clear=True)), 1)

    def test_a_proper_hand_over_is_none(self):
        work, personal = self.box.create_vms(["work", "personal"])
        for _ in range(20):
            self.xl.attach(work, OUT, "7:0", "/img/a")
            work.wait_connected(OUT)
            self.xl.detach(work, OUT)
            self.xl.attach(personal, IN, "7:0", "/img/a", "r")
            personal.wait_connected(IN)
            self.xl.detach(personal, IN)

    def test_wrong_permissions_stop_the_front_end_and_are_told(self):
        vm = self.box.create_vm("work")
        self.xl.attach(vm, OUT, front_perms=["n0", f"r{vm.domid}"])
        complaint, = storebox.until(self.box.complaints, "a complaint")
        self.assertIn("front end", complaint)
        self.box.complaints(clear=True)


class Machinery(HarnessTest):
    def test_a_thousand_vms(self):
        started = time.monotonic()
        vms = self.box.create_vms([f"vm{i}" for i in range(1000)])
        made = time.monotonic()
        for vm in vms:
            with vm.new_xs() as xs:
                self.assertEqual(xs.read("domid"), str(vm.domid))
        asked = time.monotonic()
        print(f"1000 VMs: made in {made - started:.1f} s, each asked once in "
              f"{asked - made:.1f} s", file=sys.stderr)

    def test_nothing_survives_the_test_process(self):
        script = ("import os, sys, storebox; box = storebox.StoreBox(); box.start();"
                  "print(*[child.pid for child in box._children], box.dir, flush=True);"
                  "os.kill(os.getpid(), 9)")
        done = subprocess.run([sys.executable, "-c", script], cwd=storebox.HERE,
                              stdout=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, -signal.SIGKILL)
        *pids, folder = done.stdout.split()
        self.assertEqual(len(pids), 2)
        for pid in pids:
            storebox.until(lambda pid=pid: not os.path.exists(f"/proc/{pid}/exe"), "its end")
        subprocess.run(["rm", "-r", folder], check=True)

    def test_a_dead_xenstored_is_told(self):
        self.box._children[0].kill()
        with self.assertRaises((ConnectionError, BrokenPipeError)):
            while True:
                self.box.dom0.read("/")
        self.box._children[1].wait(storebox.DEADLINE_S)
        self.assertIn("xenstored is gone", self.box.log("simvm"))

    def check_box(self):
        if self.box._children[0].poll() is None:
            super().check_box()

    def test_a_call_that_the_library_lacks_is_named(self):
        """A program that imports a Xen call which is not played, as a newer xenstored would."""
        compiler = next((name for name in ("cc", "gcc", "clang") if _has(name)), None)
        if not compiler:
            self.skipTest("no C compiler")
        source = self.box.dir / "newer.c"
        source.write_text("int xc_not_played(void); int main(void) { return xc_not_played(); }")
        stub = self.box.dir / "libstub.so"
        (self.box.dir / "stub.c").write_text("int xc_not_played(void) { return 0; }")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", stub, self.box.dir / "stub.c"],
                       check=True)
        subprocess.run([compiler, "-o", self.box.dir / "newer", source, stub,
                        f"-Wl,-rpath,{self.box.dir}"], check=True)
        env = dict(os.environ, FAKEXEN_DIR=str(self.box.dir),
                   LD_PRELOAD=storebox.find_built("libfakexen.so"))
        done = subprocess.run([self.box.dir / "newer"], env=env, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 70)
        self.assertIn("xc_not_played", done.stderr)

    def test_the_bus(self):
        self.box.start_bus()
        done = subprocess.run(["gdbus", "call", "--address", self.box.bus_address, "--dest",
                               "org.freedesktop.DBus", "--object-path", "/", "--method",
                               "org.freedesktop.DBus.GetId"], stdout=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 0)

    def test_the_bus_holds_to_a_policy(self):
        """Our name may be owned by the user of the test, any other name by nobody."""
        policy = self.box.dir / "policy.conf"
        policy.write_text(f'<busconfig><policy user="{os.getuid()}">'
                          f'<allow own="{storebox.BUS_NAME}"/></policy></busconfig>')
        self.box.start_bus(policy)

        def request(name):
            return subprocess.run(
                ["gdbus", "call", "--address", self.box.bus_address, "--dest",
                 "org.freedesktop.DBus", "--object-path", "/", "--method",
                 "org.freedesktop.DBus.RequestName", name, "0"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        self.assertEqual(request(storebox.BUS_NAME).stdout, "(uint32 1,)\n")
        self.assertIn("AccessDenied", request("org.example.Other").stderr)

    def test_the_control_socket_survives_rubbish(self):
        with socket.socket(socket.AF_UNIX) as rubbish:
            rubbish.connect(str(self.box.dir / "control.sock"))
            rubbish.sendall(b"\n\n1\n1 create name=%zz\n" + bytes(range(1, 256)) + b"\0\n")
        self.assertTrue(self.box.sim.call("help"))


def _has(program):
    return any(os.access(os.path.join(folder, program), os.X_OK) for folder in os.get_exec_path())


if __name__ == "__main__":
    storebox.main()
