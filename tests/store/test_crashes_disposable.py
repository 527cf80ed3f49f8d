#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A file is opened in a DisposableVM, and the daemon dies at each point between two side effects."""
import storebox
from crashwalk import CrashTest
from test_disposable import DisposableTest

IN = storebox.INCOMING


class Disposables(DisposableTest, CrashTest):
    agent = None
    every = 6
    config = {"requests": {"burst": "100000"}}

    def start(self, config=None, **options):
        super().start(config, **options)
        self.daemon_env = self.host.env

    def edited(self):
        ident, vm = self.open(self.work)
        self.finish(self.work, ident, vm)

    def test_edited(self):
        self.walk(self.edited)

    def edited_with_the_first_save_file(self):
        self.savefile.unlink()
        self.edited()

    def test_edited_with_the_first_save_file(self):
        self.walk(self.edited_with_the_first_save_file)

    def unchanged(self):
        ident, vm = self.open(self.work)
        self.post(vm, "killme")
        self.assertEqual(self.wait_reply(self.work, ident), "ok unchanged")

    def test_unchanged(self):
        self.walk(self.unchanged)

    def lost(self):
        """It ends while it is open."""
        ident, vm = self.open(self.work)
        vm.destroy(timeout_ms=500)
        self.assert_error(self.wait_reply(self.work, ident), "lost")

    def test_lost(self):
        self.walk(self.lost)

    def opener_dies(self):
        self.open(self.work)
        self.work.destroy(timeout_ms=500)
        self.wait_nothing_left()
        fresh = self.box.create_vm("work")
        self.vms[self.vms.index(self.work)] = fresh
        self.work = fresh

    def test_opener_dies(self):
        self.walk(self.opener_dies)


if __name__ == "__main__":
    storebox.main()
