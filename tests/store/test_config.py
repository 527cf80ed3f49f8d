#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration file and the command lines: what is wrong is said with its place, and what was
in force stays so."""
import pathlib
import re
import signal
import subprocess

import storebox

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SHIPPED = SOURCE / "dom0/daemon/qfilexchgd.conf"
OK, USAGE, UNAVAILABLE, CONFIG = 0, 64, 69, 78

# What the file says, and what the message has to name beside the file.
WRONG = (
    ("rubbish\n", ()),
    ("[pendrives\n", ()),
    ("directory = /a\n", ()),
    ("[nonsense]\n", ("[nonsense]",)),
    ("[nonsense]\na = b\n", ("[nonsense]",)),
    ("[Questions]\ntimeout = 1\n", ("[Questions]",)),
    ("[pendrives]\ncolour = red\n", ("[pendrives]", "colour")),
    ("[questions]\nreserve = 1G\n", ("[questions]", "reserve")),
    ("[pendrives]\ndirectory = var/lib\n", ("[pendrives]", "directory", "an absolute path")),
    ("[pendrives]\ndirectory =\n", ("[pendrives]", "directory")),
    ("[pendrives]\ndefault-size = 1\n", ("[pendrives]", "default-size", "a size")),
    ("[pendrives]\ndefault-size = 128G\n", ("[pendrives]", "default-size", "max-size")),
    ("[pendrives]\nmax-size = 2T\n", ("[pendrives]", "max-size")),
    ("[pendrives]\nmax-size = -1G\n", ("[pendrives]", "max-size")),
    ("[pendrives]\nmax-size = 1g\n", ("[pendrives]", "max-size")),
    ("[pendrives]\nmax-size = 1 G\n", ("[pendrives]", "max-size")),
    ("[pendrives]\nmax-size = 99999999999999999999\n", ("[pendrives]", "max-size")),
    ("[pendrives]\nmax-size = 99999999T\n", ("[pendrives]", "max-size")),
    ("[pendrives]\nmax-per-vm = 0\n", ("[pendrives]", "max-per-vm", "a number")),
    ("[pendrives]\nmax-size-per-vm = some\n", ("[pendrives]", "max-size-per-vm")),
    ("[pendrives]\nmax-size-total =\n", ("[pendrives]", "max-size-total")),
    ("[pendrives]\nreserve = 1E\n", ("[pendrives]", "reserve")),
    ("[questions]\ntimeout = soon\n", ("[questions]", "timeout", "a number")),
    ("[questions]\ntimeout = 0\n", ("[questions]", "timeout")),
    ("[questions]\ntimeout = 1.5\n", ("[questions]", "timeout")),
    ("[questions]\ntimeout = 60s\n", ("[questions]", "timeout")),
    ("[questions]\ntimeout = 1K\n", ("[questions]", "timeout")),
    ("[questions]\nhide-refusals = maybe\n", ("[questions]", "hide-refusals", "yes or no")),
    ("[questions]\nhide-refusals = 1\n", ("[questions]", "hide-refusals")),
    ("[questions]\nhide-refusals[de] = nein\n", ("[questions]", "hide-refusals[de]")),
    ("[questions]\nmax-queue = 10001\n", ("[questions]", "max-queue")),
    ("[timeouts]\nlent = 0\n", ("[timeouts]", "lent")),
    ("[timeouts]\ndelivered = x\n", ("[timeouts]", "delivered")),
    ("[timeouts]\nqueued = -1\n", ("[timeouts]", "queued")),
    ("[timeouts]\nattach = 99999999\n", ("[timeouts]", "attach")),
    ("[timeouts]\ndetach = 0x10\n", ("[timeouts]", "detach")),
    ("[requests]\nburst = 0\n", ("[requests]", "burst")),
    ("[requests]\nper-minute = 60001\n", ("[requests]", "per-minute")),
)


class ConfigTest(storebox.DaemonTest):
    names = ("work",)

    def run_daemon(self, *arguments):
        """Runs the daemon's program to its end."""
        return subprocess.run([storebox.find_built("qfilexchgd-store"), *map(str, arguments)],
                              env=self.box.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=storebox.DEADLINE_S)

    def write(self, text):
        path = self.box.dir / "other.conf"
        path.write_text(text)
        return path


class Start(ConfigTest):
    def setUp(self):
        super().setUp()
        self.assertEqual(self.box.daemon.stop(), 0)

    def assert_refused(self, done, path, *named):
        self.assertEqual((done.returncode, done.stdout), (CONFIG, ""), done.stderr)
        self.assertRegex(done.stderr, r"\Aqfilexchgd: [^\n]+\n\Z")
        for text in (str(path), *named):
            self.assertIn(text, done.stderr)

    def test_wrong_files_are_refused(self):
        for text, named in WRONG:
            with self.subTest(text=text):
                path = self.write(text)
                self.assert_refused(self.run_daemon("--check-config", "--config", path), path,
                                    *named)

    def test_a_wrong_file_stops_the_start_before_anything_is_touched(self):
        path = self.write(f"[pendrives]\ndirectory = {self.box.dir}/new\n[questions]\ntimeout=x\n")
        before = self.box.dom0.tree("/")
        self.assert_refused(self.run_daemon("--config", path), path, "[questions]", "timeout")
        self.assertEqual(self.box.dom0.tree("/"), before)
        self.assertFalse((self.box.dir / "new").exists())

    def test_files_that_cannot_be_read(self):
        for path in (self.box.dir / "none", self.box.dir):
            with self.subTest(path=path):
                self.assert_refused(self.run_daemon("--check-config", "--config", path), path)

    def test_right_files(self):
        for text in ("", "# nothing\n", "[pendrives]\n", "[questions]\nhide-refusals = true\n",
                     "[pendrives]\ndefault-size = 67108864\nmax-size = 1T\nreserve = 0\n"):
            with self.subTest(text=text):
                path = self.write(text)
                done = self.run_daemon("--check-config", "--config", path)
                self.assertEqual((done.returncode, done.stdout, done.stderr),
                                 (OK, f"{path}: all right\n", ""))

    def test_the_shipped_file_names_every_key(self):
        """With its comments taken away it is accepted, and it holds no key less than the daemon."""
        text = re.sub(r"(?m)^#(?=[a-z-]+ = )", "", SHIPPED.read_text())
        done = self.run_daemon("--check-config", "--config", self.write(text))
        self.assertEqual((done.returncode, done.stderr), (OK, ""))
        keys = re.findall(r'(?m)^\t\{"([a-z]+)", "([a-z-]+)", KEY_',
                          (SOURCE / "dom0/daemon/config.c").read_text())
        self.assertGreater(len(keys), 10)
        for group, key in keys:
            section = re.search(rf"(?ms)^\[{group}\]$(.*?)(^\[|\Z)", text).group(1)
            self.assertRegex(section, rf"(?m)^{key} = ")

    def test_a_folder_that_is_named_with_dots(self):
        folder = f"{self.box.dir}/a/../images/./"
        self.start({"pendrives": {"directory": folder}})
        self.assert_serves(self.work)


class Reload(ConfigTest):
    """SIGHUP, as `systemctl reload` sends it."""

    def reload(self, config):
        path = self.box.write_config(config)
        before = self.box.log("daemon")
        self.box.daemon.process.send_signal(signal.SIGHUP)
        storebox.until(lambda: re.search("was read again|stays in force",
                                         self.box.log("daemon")[len(before):]), "the reload")
        return path, self.box.log("daemon")[len(before):]

    def test_a_right_file_is_in_force_at_once(self):
        path, said = self.reload(self.make_config({"pendrives": {"max-size": "64M"}}))
        self.assertIn(f"{path} was read again", said)
        self.assert_error(self.ask(self.work, "new size=65M"), "bad-size")
        self.reload(self.make_config())
        self.assertEqual(self.ask(self.work, "new size=65M"), "ok xvdg")

    def test_a_wrong_file_changes_nothing(self):
        self.reload(self.make_config({"pendrives": {"max-size": "64M"}}))
        for text, named in WRONG:
            with self.subTest(text=text):
                path, said = self.reload(text)
                for word in (str(path), "CRITICAL", "stays in force", *named):
                    self.assertIn(word, said)
        self.assert_error(self.ask(self.work, "new size=65M"), "bad-size")
        self.assert_serves(self.work)

    def test_a_file_that_was_removed_changes_nothing(self):
        self.lend(self.work)
        (self.box.dir / "qfilexchgd.conf").unlink()
        self.box.daemon.process.send_signal(signal.SIGHUP)
        self.wait_log("stays in force")
        self.wait_record(self.work, "lent")

    def test_what_is_lent_stays_when_limits_shrink(self):
        self.ask(self.work, "new size=100M")
        self.reload(self.make_config({"pendrives": {"max-size": "64M", "max-size-per-vm": "64M",
                                                    "max-per-vm": "1", "max-size-total": "64M"}}))
        self.work.wait_connected(storebox.OUTGOING)
        self.box.ctl("cancel", self.wait_record(self.work, "lent")["id"])
        self.wait_nothing_left()
        self.assert_serves(self.work)

    def test_the_directory_is_not_read_again(self):
        self.lend(self.work)
        self.reload(self.make_config({"pendrives": {"directory": self.box.dir / "elsewhere"}}))
        self.box.ctl("cancel", self.wait_record(self.work, "lent")["id"])
        self.wait_nothing_left()
        self.assert_serves(self.work)
        self.assertFalse((self.box.dir / "elsewhere").exists())


class CommandLines(ConfigTest):
    def test_version_and_help_of_every_program(self):
        for name in ("qfilexchgd", "qfilexchgctl", "qubes_penctl", "qvm-copy-to-vm",
                     "qubes_add_pendrive_script"):
            for option, pattern in (("--version", rf"\A{name} [0-9.]+\n\Z"),
                                    ("--help", r"\AUsage:\n")):
                with self.subTest(name=name, option=option):
                    # No xenstore, no bus: neither is needed for that.
                    done = subprocess.run([storebox.find_built(name), option], env={},
                                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                          stderr=subprocess.PIPE, text=True)
                    self.assertEqual((done.returncode, done.stderr), (OK, ""))
                    self.assertRegex(done.stdout, pattern)

    def test_wrong_command_lines_of_the_daemon(self):
        for arguments in (("--frobnicate",), ("start",), ("--config",)):
            with self.subTest(arguments=arguments):
                done = self.run_daemon(*arguments)
                self.assertEqual((done.returncode, done.stdout), (USAGE, ""))
                self.assertRegex(done.stderr, r"\Aqfilexchgd: [^\n]+\n\Z")


if __name__ == "__main__":
    storebox.main()
