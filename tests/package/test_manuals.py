# SPDX-License-Identifier: GPL-2.0-or-later
"""Every installed program tells what it is, and has a manual page; the pages are right."""
import os
import re
import subprocess
import tempfile
import unittest

import installed
from installed import COMPONENTS

# What no program of ours brings along, but a page of ours may speak of.
OURS = re.compile(r"^\.Xr (q[a-z0-9_.-]+) (\d)", re.M)


def pages(component):
    return sorted(path for path in (installed.tree(component) / "usr/share/man").rglob("*") if path.is_file())


class Programs(unittest.TestCase):
    def setUp(self):
        # A program that has no display, no bus and no xenstore can still say what it is.
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": home.name, "LC_ALL": "C.UTF-8"}

    def each(self, check):
        found = 0
        for component in COMPONENTS:
            for program in installed.programs(component):
                found += 1
                with self.subTest(program.name):
                    check(component, program)
        self.assertGreater(found, 8)

    def ask(self, program, option):
        done = subprocess.run([str(program), option], capture_output=True, text=True, check=False, timeout=60,
                              env=self.environment, stdin=subprocess.DEVNULL)
        self.assertEqual((done.returncode, done.stderr), (0, ""), option)
        return done.stdout

    def test_help(self):
        self.each(lambda _, program: self.assertRegex(
            self.ask(program, "--help"), rf"Usage:\s+{re.escape(program.name)} "))

    def test_version(self):
        self.each(lambda _, program: self.assertRegex(
            self.ask(program, "--version"), rf"^{re.escape(program.name)} \d+\.\d+\.\d+\n$"))

    def test_each_has_a_page_in_its_own_component_that_names_its_options(self):
        def check(component, program):
            page = installed.only(path for path in pages(component) if path.name.rpartition(".")[0] == program.name)
            text = subprocess.run(["mandoc", "-T", "ascii", str(page)], capture_output=True, text=True, check=True).stdout
            text = re.sub(r".\x08", "", text)
            options = set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", self.ask(program, "--help"), re.M))
            for option in sorted(options - {"--help", "--help-all", "--help-gtk", "--version", "--display"}):
                self.assertRegex(text, rf"(?<![\w-]){option}(?![\w-])", f"{page.name} does not say what {option} is")

        self.each(check)


class Pages(unittest.TestCase):
    def test_mandoc_finds_nothing(self):
        found = 0
        for component in COMPONENTS:
            for page in pages(component):
                found += 1
                done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(page)], capture_output=True,
                                      text=True, check=False)
                self.assertEqual((done.returncode, done.stdout), (0, ""), page.name)
        self.assertGreater(found, 10)

    def test_what_they_refer_to_is_there(self):
        there = {tuple(page.name.rpartition(".")[::2]) for component in COMPONENTS for page in pages(component)}
        for component in COMPONENTS:
            for page in pages(component):
                for name in OURS.findall(page.read_text()):
                    self.assertIn(name, there, page.name)

    def test_configuration_policy_and_protocol_have_theirs(self):
        names = {page.name for component in COMPONENTS for page in pages(component)}
        self.assertLessEqual({"qfilexchgd.conf.5", "qfilexchgd-policy.5", "qubes-pendrive.7"}, names)


if __name__ == "__main__":
    unittest.main()
