#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does the box do what its README says? Needs a running one: scripts/xenbox start --bare && tests/xenbox/selftest.py

It makes and destroys VMs in the box ($XENBOX); start --fresh afterwards.
"""

import contextlib
import hashlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import xenboxlib  # noqa: E402 (after the path to it)
from xenboxlib import snapshots  # noqa: E402

XENBOX = str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "xenbox")
EVERYWHERE = ("dom0", "work", "personal")
BOX = xenboxlib.Box()


class Exec(unittest.TestCase):
    def test_output_and_status(self):
        for domain in EVERYWHERE:
            with self.subTest(domain):
                result = BOX.exec(domain, ["sh", "-c", "echo out; echo err >&2; exit 7"])
                self.assertEqual(tuple(result), (7, b"out\n", b"err\n"))

    def test_argv_is_not_for_a_shell(self):
        argv = ["printf", "%s|", "a b", "$HOME", "*", "", "quote'", "new\nline", "\u00e4\u4e2d"]
        for domain in EVERYWHERE:
            with self.subTest(domain):
                self.assertEqual(BOX.exec(domain, argv).stdout.decode(), "".join(word + "|" for word in argv[2:]))

    def test_runs_as_root_with_ordinary_pipes(self):
        for domain in EVERYWHERE:
            with self.subTest(domain):
                self.assertEqual(BOX.exec(domain, ["id", "-un"]).stdout, b"root\n")
                self.assertEqual(BOX.exec(domain, ["ls", "/proc/self/fd"]).stdout.split(), [b"0", b"1", b"2", b"3"])

    def test_binary_input_of_any_size_and_its_end(self):
        for size in (0, 1, 65535, 65536, 5_000_000):
            data = b"\xa5\x01\xa5\x00\xa5\xa5" * 100 + os.urandom(size)
            for domain in EVERYWHERE:
                with self.subTest(domain, size=size):
                    result = BOX.exec(domain, ["cat"], input=data)
                    self.assertEqual(result.status, 0)
                    self.assertEqual(hashlib.sha256(result.stdout).digest(), hashlib.sha256(data).digest())

    def test_input_that_nobody_reads(self):
        for domain in EVERYWHERE:
            with self.subTest(domain):
                self.assertEqual(BOX.exec(domain, ["true"], input=bytes(10_000_000)).status, 0)
                self.assertEqual(BOX.exec(domain, ["sh", "-c", "exec <&-; sleep 0.2"], input=bytes(10_000_000)).status, 0)

    def test_killed_command(self):
        for domain in EVERYWHERE:
            with self.subTest(domain):
                self.assertEqual(BOX.exec(domain, ["sh", "-c", "kill -9 $$"]).status, 128 + 9)
                self.assertEqual(BOX.exec(domain, ["sh", "-c", "kill -TERM $$"]).status, 128 + 15)

    def test_missing_and_unusable_commands(self):
        for domain in EVERYWHERE:
            with self.subTest(domain):
                result = BOX.exec(domain, ["no-such-command"])
                self.assertEqual(result.status, 127)
                self.assertIn(b"no-such-command", result.stderr)
                self.assertEqual(BOX.exec(domain, ["/etc/passwd"]).status, 126)

    def test_missing_vm(self):
        with self.assertRaisesRegex(xenboxlib.BoxError, "nobody: no such VM"):
            BOX.exec("nobody", ["true"])

    def test_daemon_left_behind_does_not_hold_us(self):
        for domain in EVERYWHERE:
            with self.subTest(domain):
                began = time.monotonic()
                result = BOX.exec(domain, ["sh", "-c", "setsid sleep 60 & echo started"])
                self.assertEqual(result.stdout, b"started\n")
                self.assertLess(time.monotonic() - began, 30)

    def test_timeout_kills(self):
        for domain in EVERYWHERE:
            with self.subTest(domain), self.assertRaises(xenboxlib.BoxError):
                BOX.exec(domain, ["sleep", "4711"], timeout=1)
            self.assert_soon_gone(domain, "sleep 4711")

    def assert_soon_gone(self, domain, words):
        for _ in range(50):
            if BOX.exec(domain, ["pgrep", "-f", "-x", words]).status != 0:
                return
            time.sleep(0.1)
        self.fail(f"{domain}: {words} still runs")

    def test_domid_instead_of_name(self):
        domid = BOX.exec("dom0", ["xl", "domid", "work"]).stdout.decode().strip()
        self.assertEqual(BOX.exec(domid, ["cat", "/etc/hostname"]).stdout, b"work\n")
        self.assertEqual(BOX.exec("0", ["cat", "/etc/hostname"]).stdout, b"dom0\n")

    def test_many_at_once(self):
        results = {}

        def run(number):
            domain = EVERYWHERE[number % 3]
            data = os.urandom(200_000)
            results[number] = BOX.exec(domain, ["cat"], input=data).stdout == data

        threads = [threading.Thread(target=run, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, {number: True for number in range(24)})

    def test_popen(self):
        for domain in EVERYWHERE:
            with self.subTest(domain), BOX.popen(domain, ["sh", "-c", "while read x; do echo got $x; done; exit 3"]) as p:
                for word in (b"one", b"two"):
                    p.stdin.write(word + b"\n")
                    self.assertEqual(p.stdout.readline(), b"got " + word + b"\n")
                self.assertIsNone(p.poll())
                p.stdin.close()
                self.assertEqual(p.wait(30), 3)
            with BOX.popen(domain, ["sleep", "60"]) as p:
                p.terminate()
                self.assertEqual(p.wait(30), 128 + 15)
            with BOX.popen(domain, ["cat"]) as p:
                self.assertEqual(p.communicate(b"x" * 3_000_000)[0], b"x" * 3_000_000)


class Client(unittest.TestCase):
    """The command scripts/xenbox, and what happens when it is killed."""

    def run_client(self, *words, **options):
        return subprocess.run([XENBOX, *words], capture_output=True, check=False, **options)

    def test_passes_all_through(self):
        for domain in EVERYWHERE:
            done = self.run_client("exec", domain, "--", "sh", "-c", "cat; echo err >&2; exit 9", input=b"\0\xff\xa5in")
            self.assertEqual((done.returncode, done.stdout, done.stderr), (9, b"\0\xff\xa5in", b"err\n"))

    def test_missing_vm(self):
        done = self.run_client("exec", "nobody", "--", "true")
        self.assertEqual(done.returncode, 125)
        self.assertEqual(done.stderr.count(b"\n"), 1)

    def test_a_killed_client_takes_its_command_along(self):
        for domain in EVERYWHERE:
            for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
                with self.subTest(domain, signal=number):
                    seconds = str(5000 + int(number))
                    client = subprocess.Popen([XENBOX, "exec", domain, "--", "sh", "-c", f"echo up; sleep {seconds}; true"],
                                              stdout=subprocess.PIPE)
                    self.assertEqual(client.stdout.readline(), b"up\n")
                    client.send_signal(number)
                    client.wait(20)
                    client.stdout.close()
                    Exec.assert_soon_gone(self, domain, f"sleep {seconds}")

    def test_ports_survive_clients_killed_in_the_middle(self):
        clients = [subprocess.Popen([XENBOX, "exec", EVERYWHERE[number % 3], "--", "sh", "-c", "yes & cat > /dev/null"],
                                    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) for number in range(12)]
        writers = [threading.Thread(target=self.flood, args=(client,), daemon=True) for client in clients]
        for writer in writers:
            writer.start()
        time.sleep(3)
        for client in clients:
            client.kill()
            client.wait()
        for client, writer in zip(clients, writers):
            writer.join()
            with contextlib.suppress(OSError):
                client.stdin.close()
        for number in range(32):
            self.assertEqual(BOX.exec(EVERYWHERE[number % 3], ["echo", "fine"]).stdout, b"fine\n")
        for domain in EVERYWHERE:
            Exec.assert_soon_gone(self, domain, "yes")

    @staticmethod
    def flood(client):
        try:
            while True:
                client.stdin.write(b"\xa5" * 65536)
        except OSError:
            pass


class Files(unittest.TestCase):
    def test_put_and_get(self):
        with tempfile.TemporaryDirectory() as folder:
            source, back = os.path.join(folder, "a file"), os.path.join(folder, "back")
            pathlib.Path(source).write_bytes(os.urandom(3_000_000) + b"\xa5" * 1000)
            os.chmod(source, 0o751)
            for domain in EVERYWHERE:
                with self.subTest(domain):
                    BOX.put(domain, source, "/tmp/the copy")
                    BOX.put(domain, source, "/tmp")
                    BOX.get(domain, "/tmp/a file", back)
                    self.assertEqual(pathlib.Path(back).read_bytes(), pathlib.Path(source).read_bytes())
                    self.assertEqual(os.stat(back).st_mode & 0o7777, 0o751)
                    os.unlink(back)
                    with self.assertRaisesRegex(xenboxlib.BoxError, "No such file"):
                        BOX.get(domain, "/nowhere", back)
                    self.assertFalse(os.path.exists(back))
                    with self.assertRaises(xenboxlib.BoxError):
                        BOX.put(domain, source, "/no/where")


class System(unittest.TestCase):
    def test_systemd_is_content(self):
        for domain in EVERYWHERE:
            self.assertEqual(BOX.exec(domain, ["systemctl", "is-system-running", "--wait"]).stdout, b"running\n")

    def test_clocks(self):
        for domain in EVERYWHERE:
            self.assertLess(abs(float(BOX.exec(domain, ["date", "+%s"]).stdout) - time.time()), 10)

    def test_scratch_disks(self):
        self.assertEqual(BOX.exec("dom0", ["stat", "-c", "%a %u", "/var/lib/qfilexchgd"]).stdout, b"700 0\n")
        for domain in ("work", "personal"):
            script = "findmnt -no FSTYPE /home; stat -c '%U' /home/user; runuser -u user -- touch /home/user/x"
            self.assertEqual(BOX.exec(domain, ["sh", "-c", script]).stdout, b"ext4\nuser\n")

    def test_vm_made_later_saved_and_restored(self):
        BOX.exec("dom0", ["xl", "create", "/etc/xen/third.cfg"], check=True)
        try:
            self.assertEqual(BOX.exec("third", ["cat", "/etc/hostname"]).stdout, b"third\n")
            BOX.exec("third", ["systemctl", "is-system-running", "--wait"])
            image = "/var/lib/qfilexchgd/third.save"
            BOX.exec("dom0", ["xl", "save", "third", image], check=True)
            with self.assertRaises(xenboxlib.BoxError):
                BOX.exec("third", ["true"])
            BOX.exec("dom0", ["xl", "restore", image], check=True)
            self.assertEqual(BOX.exec("third", ["cat", "/etc/hostname"]).stdout, b"third\n")
            BOX.exec("dom0", ["rm", image])
            with BOX.popen("third", ["sleep", "600"]) as p:
                BOX.exec("third", ["true"], check=True)
                BOX.exec("dom0", ["xl", "destroy", "third"], check=True)
                with self.assertRaisesRegex(xenboxlib.BoxError, "died"):
                    p.wait(30)
        finally:
            BOX.exec("dom0", ["xl", "destroy", "third"])

    def test_vm_destroyed_and_made_again(self):
        BOX.exec("work", ["sh", "-c", "echo kept > /home/user/kept; sync"], check=True)
        BOX.exec("dom0", ["xl", "destroy", "work"], check=True)
        BOX.exec("dom0", ["xl", "create", "/etc/xen/work.cfg"], check=True)
        self.assertEqual(BOX.exec("work", ["cat", "/home/user/kept"]).stdout, b"kept\n")
        self.assertEqual(BOX.exec("work", ["systemctl", "is-system-running", "--wait"]).stdout, b"running\n")


class Cache(unittest.TestCase):
    """Needs no box: tests/xenbox/selftest.py Cache"""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        patch = unittest.mock.patch.dict(os.environ, XENBOX_CACHE=folder.name)
        patch.start()
        self.addCleanup(patch.stop)

    def make(self, text, meanwhile=lambda: None):
        with snapshots._making("base", "key") as folder:
            (folder / "file").write_text(text)
            meanwhile()

    def assert_made(self, text):
        self.assertEqual([path.name for path in (self.folder / "base").iterdir()], ["key"])
        self.assertEqual((self.folder / "base/key/file").read_text(), text)

    def test_made(self):
        self.make("ours")
        self.assert_made("ours")

    def test_another_was_first(self):
        def another():
            other = self.folder / "base/key"
            other.mkdir()
            (other / "file").write_text("theirs")

        self.make("ours", another)
        self.assert_made("theirs")

    def test_it_fails(self):
        with self.assertRaises(ZeroDivisionError):
            self.make("ours", lambda: 1 // 0)
        self.assertEqual(list((self.folder / "base").iterdir()), [])


if __name__ == "__main__":
    unittest.main()
