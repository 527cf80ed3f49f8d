#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""VMs die, are rebooted, renamed and paused, or their disk drivers fail, in every state of a
transfer: nothing is left, and the others are served."""
import storebox

OUT = storebox.OUTGOING
IN = storebox.INCOMING

# From here on the user has said yes: the sender's death changes nothing for the receiver.
PROMISED = ("queued", "attaching-in", "delivered", "taking-back")


class DeathTest(storebox.DaemonTest):
    names = ("work", "personal", "other", "spare")
    config = {"questions": {"timeout": "3"}, "timeouts": {"detach": "3"}}

    def bring_to(self, state):
        """A pendrive of work, on its way to personal, in that state. The IDs of what waits."""
        agent = None
        if state in PROMISED:
            agent = self.box.start_agent("--yes")
        if state == "attaching-out":
            self.work.set_disks(connect="never")
            ident = self.post(self.work, "new")
            self.wait_record(self.work, state)
            return ident
        if state == "queued":
            self.deliver(self.other, self.personal)
        self.lend(self.work)
        ident = None
        if state == "freezing":
            self.work.set_disks(close="never")
        if state == "attaching-in":
            self.personal.set_disks(connect="never")
        if state != "lent":
            ident = self.post(self.work, "send personal")
        if state == "taking-back":
            self.wait_reply(self.work, ident)
            self.personal.set_disks(close="never")
            ident = self.post(self.personal, "umount")
        self.wait_record(self.work, state)
        if agent:
            agent.terminate()
            agent.wait()
        return ident

    def assert_others_are_served(self):
        self.wait_nothing_left()
        self.assert_serves(self.spare)
        self.wait_nothing_left()


def destroy(vm):
    vm.destroy(timeout_ms=200)


def crash(vm):
    vm.crash(timeout_ms=200)


class Sender(DeathTest):
    def end(self, state, kill):
        ident = self.bring_to(state)
        kill(self.work)
        if state == "queued":
            self.assertEqual(self.ask(self.personal, "umount"), "ok")  # other's
            self.personal.wait_connected(IN)
            self.assertEqual(self.personal.xs.wait("qubes_blocksrc", "work"), "work")
        if state == "attaching-in":
            self.personal.set_disks(connect="now")
        if state in ("queued", "attaching-in", "delivered"):
            self.personal.wait_connected(IN)
            self.assertEqual(self.ask(self.personal, "umount"), "ok")
        if state == "taking-back":
            self.personal.set_disks(close="now")
            self.assertEqual(self.wait_reply(self.personal, ident), "ok")
        self.assert_others_are_served()

    def test_destroyed_while_it_connects(self):
        self.end("attaching-out", destroy)

    def test_destroyed_while_it_has_one(self):
        self.end("lent", destroy)

    def test_crashed_while_it_has_one(self):
        self.end("lent", crash)

    def test_destroyed_while_it_lets_go(self):
        self.end("freezing", destroy)

    def test_destroyed_while_the_user_is_asked(self):
        self.end("asking", destroy)

    def test_crashed_while_the_user_is_asked(self):
        self.end("asking", crash)

    def test_destroyed_while_it_waits_in_a_queue(self):
        self.end("queued", destroy)

    def test_destroyed_while_the_receiver_connects(self):
        self.end("attaching-in", destroy)

    def test_destroyed_while_the_receiver_has_it(self):
        self.end("delivered", destroy)

    def test_destroyed_while_the_receiver_gives_it_back(self):
        self.end("taking-back", destroy)

    def test_destroyed_with_everything_under_way(self):
        """One delivered, one asked about, one in the outgoing slot: the promised one stays."""
        agent = self.box.start_agent("--yes")
        self.deliver(self.work, self.personal)
        agent.terminate()
        agent.wait()
        self.start_asking(self.work, self.other)
        self.lend(self.work)
        self.work.destroy()
        storebox.until(lambda: len(self.records()) == 1, "two of three to go")
        self.assertTrue(self.personal.disk(IN).is_connected)
        self.assertEqual(self.ask(self.personal, "umount"), "ok")
        self.assert_others_are_served()


class Receiver(DeathTest):
    def end(self, state, kill, codes=""):
        ident = self.bring_to(state)
        kill(self.personal)
        if codes:
            self.assertRegex(self.wait_reply(self.work, ident), f"^error ({codes}) ")
        self.wait_nothing_left()
        self.work.set_disks(connect="now", close="now")
        self.assert_others_are_served()
        self.assert_serves(self.work)

    def test_destroyed_before_the_send(self):
        self.bring_to("lent")
        self.personal.destroy()
        self.assert_error(self.ask(self.work, "send personal"), "refused")
        self.assert_others_are_served()

    def test_destroyed_while_the_sender_lets_go(self):
        self.end("freezing", destroy, "refused")

    def test_destroyed_while_the_user_is_asked(self):
        self.end("asking", destroy, "refused")

    def test_crashed_while_the_user_is_asked(self):
        self.end("asking", crash, "refused")

    def test_destroyed_while_one_waits_for_it(self):
        # The first disk goes before the VM does: the second may just have been given to it.
        self.end("queued", destroy, "receiver-gone|failed")

    def test_destroyed_while_it_connects(self):
        # The daemon may see its disk go before it sees the VM go.
        self.end("attaching-in", destroy, "receiver-gone|failed")

    def test_destroyed_with_the_pendrive(self):
        self.end("delivered", destroy)

    def test_crashed_with_the_pendrive(self):
        self.end("delivered", crash)

    def test_destroyed_while_it_gives_it_back(self):
        self.end("taking-back", destroy)

    def test_a_crash_that_is_preserved_keeps_the_slot(self):
        """on_crash=preserve: the domain is there and its disk too, until somebody destroys it."""
        self.bring_to("delivered")
        self.personal.crash(keep=True)
        self.assert_serves(self.spare)
        self.assertIsNotNone(self.personal.disk(IN))
        self.personal.destroy(timeout_ms=200)
        self.assert_others_are_served()


class Reborn(DeathTest):
    """Same name and uuid, another domain: it has no part in what the former one did."""

    def test_a_receiver_that_was_asked_about_is_not_the_one_that_gets_it(self):
        ident = self.bring_to("asking")
        self.personal = self.personal.reboot()
        self.box.start_agent("--yes")
        self.assert_error(self.wait_reply(self.work, ident), "refused")
        self.wait_nothing_left()
        self.assertEqual([line for line in self.box.history()
                          if f"domid={self.personal.domid} " in line], [])
        self.deliver(self.work, self.personal)

    def test_a_sender_that_rebooted_does_not_hear_of_it(self):
        self.bring_to("asking")
        self.work = self.work.reboot()
        self.wait_nothing_left()
        self.assertEqual(self.work.xs.wait("device/qpen-reply", ""), "")
        self.assert_serves(self.work)

    def test_a_receiver_with_a_pendrive(self):
        self.bring_to("delivered")
        self.personal = self.personal.reboot()
        self.wait_nothing_left()
        self.assert_error(self.ask(self.personal, "umount"), "no-pendrive")

    def test_send_right_after_the_reboot_of_the_receiver(self):
        self.box.start_agent("--yes")
        for _ in range(5):
            self.lend(self.work)
            self.personal = self.personal.reboot()
            self.assertEqual(self.ask(self.work, "send personal"), "ok delivered")
            self.personal.wait_connected(IN)
            self.assertEqual(self.ask(self.personal, "umount"), "ok")
            self.wait_nothing_left()

    def test_the_queue_of_a_receiver_that_rebooted(self):
        ident = self.bring_to("queued")
        self.personal = self.personal.reboot()
        # As when it is destroyed: it may have been given the next one while it went down.
        self.assertRegex(self.wait_reply(self.work, ident), "^error (receiver-gone|failed) ")
        self.assert_others_are_served()


class Renamed(DeathTest):
    def test_a_receiver_is_found_by_its_new_name(self):
        self.box.start_agent("--yes")
        self.lend(self.work)
        self.personal.rename("private")
        self.assertEqual(self.ask(self.work, "send private"), "ok delivered")
        self.personal.wait_connected(IN)

    def test_a_receiver_is_not_found_by_its_old_name(self):
        self.box.start_agent("--yes")
        self.lend(self.work)
        self.personal.rename("private")
        self.assert_error(self.ask(self.work, "send personal"), "refused")

    def test_names_that_changed_hands(self):
        """The one who has the name now is meant, and not who had it when the daemon looked last."""
        self.box.start_agent("--yes")
        self.lend(self.work)
        self.personal.rename("former")
        self.other.rename("personal")
        self.assertEqual(self.ask(self.work, "send personal"), "ok delivered")
        self.other.wait_connected(IN)
        self.assertIsNone(self.personal.disk(IN))

    def test_a_sender_is_shown_by_the_name_it_has_when_it_sends(self):
        self.box.start_agent("--yes")
        self.lend(self.work)
        self.work.rename("holiday")
        self.assertEqual(self.ask(self.work, "send personal"), "ok delivered")
        self.personal.wait_connected(IN)
        self.assertEqual(self.personal.xs.read("qubes_blocksrc"), "holiday")
        self.wait_log("holiday wants to send", "agent")

    def test_a_vm_cannot_send_to_itself_by_any_name(self):
        self.lend(self.work)
        self.work.rename("holiday")
        self.assert_error(self.ask(self.work, "send holiday"), "self")

    def test_a_name_that_cannot_be_used_any_more(self):
        """It loses nothing by that but what it could do."""
        self.box.start_agent("--yes")
        self.deliver(self.work, self.personal)
        self.personal.rename("bad name")
        self.personal.post("umount")  # makes the daemon look
        self.assert_others_are_served()


class Races(DeathTest):
    """xl and the daemon take the same disk at the same time."""

    def race(self, vm, act):
        """`xl destroy` starts before what `act` does, and ends after it; later ones overlap more."""
        destroying = vm.start_destroy(timeout_ms=500)
        act()
        self.box.sim.finish(destroying)
        self.assert_others_are_served()

    def cancel(self):
        for name in self.records():
            self.box.ctl("cancel", name, check=False)

    def test_cancel_and_destroy_of_the_sender(self):
        self.bring_to("lent")
        self.race(self.work, self.cancel)

    def test_destroy_after_the_cancel_began(self):
        self.bring_to("lent")
        self.work.set_disks(close=50)
        self.cancel()
        self.race(self.work, lambda: None)

    def test_umount_and_destroy_of_the_receiver(self):
        self.bring_to("delivered")
        self.personal.set_disks(close=50)
        self.post(self.personal, "umount")
        self.race(self.personal, lambda: None)

    def test_send_and_destroy_of_the_sender(self):
        self.bring_to("lent")
        self.work.set_disks(close=20)
        self.post(self.work, "send personal")
        self.race(self.work, lambda: None)

    def test_destroy_while_it_is_attached(self):
        for delay in (0, 1, 3, 6):
            victim = self.box.create_vm(f"victim{delay}")
            victim.set_disks(connect=delay)
            self.post(victim, "new")
            self.race(victim, lambda: None)

    def test_a_destroy_that_hangs_does_not_hang_the_others(self):
        self.bring_to("lent")
        self.work.set_disks(close="never")
        destroying = self.work.start_destroy(timeout_ms=1500)
        self.assert_serves(self.spare)
        self.wait_nothing_left()  # the daemon's patience ends first: it takes the nodes away
        self.box.sim.finish(destroying)

    def test_block_detach_by_an_admin(self):
        self.bring_to("lent")
        back = f"/local/domain/0/backend/vbd/{self.work.domid}/{OUT}"
        self.box.dom0.transact(lambda tx: (tx.write(f"{back}/online", "0"),
                                           tx.write(f"{back}/state", "5")))
        self.assert_others_are_served()
        self.assert_serves(self.work)


class Drivers(DeathTest):
    config = {"questions": {"timeout": "30"}, "timeouts": {"attach": "3", "detach": "3"}}

    def test_sender_never_connects(self):
        self.work.set_disks(connect="never")
        self.assert_error(self.ask(self.work, "new"), "timeout")
        self.assert_others_are_served()
        self.work.set_disks(connect="now")
        self.assert_serves(self.work)

    def test_receiver_never_connects(self):
        self.box.start_agent("--yes")
        self.personal.set_disks(connect="never")
        self.lend(self.work)
        self.assert_error(self.ask(self.work, "send personal"), "timeout")
        self.assert_others_are_served()

    def test_sender_never_lets_go(self):
        """It loses the disk all the same, and then the user is asked."""
        self.box.start_agent("--yes")
        self.lend(self.work)
        self.work.set_disks(close="never")
        self.assertEqual(self.ask(self.work, "send personal"), "ok delivered")
        self.assertIsNone(self.work.disk(OUT))
        self.assertTrue(self.personal.wait_connected(IN).is_connected)

    def test_receiver_never_lets_go(self):
        self.box.start_agent("--yes")
        self.deliver(self.work, self.personal)
        self.personal.set_disks(close="never")
        self.assertEqual(self.ask(self.personal, "umount"), "ok")
        self.assert_others_are_served()

    def test_a_paused_receiver_gets_it_when_it_runs_again(self):
        self.box.start_agent("--yes")
        self.lend(self.work)
        self.personal.pause()
        ident = self.post(self.work, "send personal")
        self.wait_record(self.work, "attaching-in")
        self.personal.unpause()
        self.assertEqual(self.wait_reply(self.work, ident), "ok delivered")

    def test_a_paused_sender_loses_it(self):
        self.lend(self.work)
        self.work.pause()
        self.box.ctl("cancel", self.wait_record(self.work, "lent")["id"])
        self.assert_others_are_served()
        self.work.unpause()
        self.assert_serves(self.work)

    def test_a_vm_that_never_stops_writing_into_its_own_nodes_loses_it(self):
        """It cannot keep the daemon from removing them by making its transactions collide."""
        self.lend(self.work)
        program = ("import sys; sys.path.insert(0, sys.argv[1]); import xswire\n"
                   "xs = xswire.Xs(sys.argv[2])\n"
                   "print('ready', flush=True)\n"
                   "while True:\n"
                   "    for key in ('state', 'x'):\n"
                   f"        try: xs.write('device/vbd/{OUT}/' + key, '4')\n"
                   "        except OSError: pass\n")
        hammers = [self.work.popen(["/usr/bin/env", "python3", "-c", program,
                                    storebox.HERE, self.work.socket_path]) for _ in range(4)]
        for hammer in hammers:
            self.assertEqual(hammer.stdout.readline(), "ready\n")
        self.box.ctl("cancel", self.wait_record(self.work, "lent")["id"])
        self.wait_nothing_left()
        self.assertNotIn("cannot remove the disk", self.box.log("daemon"))


class Deadlines(DeathTest):
    config = {"questions": {"timeout": "3"},
              "timeouts": {"lent": "3", "delivered": "3", "queued": "3"}}

    def test_an_empty_pendrive_is_not_lent_for_ever(self):
        self.lend(self.work)
        self.work.wait_detached(OUT)
        self.wait_nothing_left()

    def test_a_received_one_is_not_kept_for_ever(self):
        self.box.start_agent("--yes")
        self.deliver(self.work, self.personal)
        self.personal.wait_detached(IN)
        self.wait_nothing_left()

    def test_one_does_not_wait_in_a_queue_for_ever(self):
        self.box.daemon.stop()
        self.start({"timeouts": {"delivered": "60"}})
        self.box.start_agent("--yes")
        self.deliver(self.work, self.personal)
        self.lend(self.other)
        self.assert_error(self.ask(self.other, "send personal"), "timeout")


if __name__ == "__main__":
    storebox.main()
