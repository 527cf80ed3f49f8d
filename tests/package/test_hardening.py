# SPDX-License-Identifier: GPL-2.0-or-later
"""Every installed program is built with what makes the use of a mistake hard.

What shows in the program's file is read from there; what the compiler put into each function, from its code; and the
flags that leave no such trace in a small program, from what the compiler noted in the debugging information.
"""
import os
import platform
import re
import unittest

import installed
from installed import COMPONENTS, run

X86 = platform.machine() == "x86_64"
# With FORTIFY each call of these goes to one of the name __NAME_chk, whatever the compiler knows of the buffer.
PRINTERS = re.compile(r"\bU (_|__)?(v?f?printf|v?sn?printf|v?asprintf|v?dprintf)(_chk)?(?:@|$)", re.M)
PAGE = 4096


def is_elf(path):
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def elf_files(component):
    return sorted(path for path in installed.tree(component).rglob("*") if is_elf(path))


def segment_flags(headers, name):
    """The flags (R, W, E) of the first segment of that name; None: there is none."""
    found = re.search(rf"^\s+{name}\s+(?:0x\S+\s+){{5}}([RWE ]+?)\s+0x", headers, re.M)
    return found and found.group(1).replace(" ", "")


def compiler_options(path):
    """What the compilers of all its parts noted of their command lines."""
    return [line for line in run("readelf", "--debug-dump=info", "--wide", path).splitlines() if "DW_AT_producer" in line]


class Hardening(unittest.TestCase):
    def each(self, check):
        found = 0
        for component in COMPONENTS:
            for path in elf_files(component):
                found += 1
                with self.subTest(path.name):
                    check(path)
        self.assertGreater(found, 12, "where are our programs?")

    def test_loaded_anywhere(self):
        """PIE: a program, and loaded at another address each time."""
        def check(path):
            self.assertRegex(run("readelf", "-hW", path), r"Type:\s+DYN ")
            self.assertRegex(run("readelf", "-dW", path), r"FLAGS_1.*\bPIE\b")

        self.each(check)

    def test_full_relro(self):
        """The tables of functions are filled in at the start, and cannot be written then."""
        def check(path):
            self.assertIsNotNone(segment_flags(run("readelf", "-lW", path), "GNU_RELRO"))
            self.assertRegex(run("readelf", "-dW", path), r"FLAGS_1.*\bNOW\b")

        self.each(check)

    def test_nothing_is_writable_and_executable(self):
        def check(path):
            headers = run("readelf", "-lW", path)
            self.assertEqual(segment_flags(headers, "GNU_STACK"), "RW")
            loads = re.findall(r"^\s+LOAD\s+(?:0x\S+\s+){5}([RWE ]+?)\s+0x", headers, re.M)
            self.assertGreater(len(loads), 2, headers)
            for flags in loads:
                self.assertNotRegex(flags, "W.*E")

        self.each(check)

    def test_no_library_from_elsewhere(self):
        self.each(lambda path: self.assertNotRegex(run("readelf", "-dW", path), r"RPATH|RUNPATH"))

    def test_stack_protector(self):
        self.each(lambda path: self.assertIn("__stack_chk_fail", run("nm", "-D", path)))

    def test_fortified(self):
        calls = []

        def check(path):
            for prefix, name, suffix in PRINTERS.findall(run("nm", "-D", path)):
                calls.append(name)
                self.assertEqual((prefix, suffix), ("__", "_chk"), name)

        self.each(check)
        self.assertGreater(len(calls), 4, "programs print without libc, and this test sees nothing")

    @unittest.skipUnless(X86, "of x86 only")
    def test_control_flow_of_x86(self):
        """CET: an indirect jump lands where one may land. Debian's own parts of a program are not marked, so it has no note."""
        def check(path):
            code = run("objdump", "-d", "--no-show-raw-insn", "--disassemble=main", path)
            self.assertRegex(code, r"<main>:\n\s+[0-9a-f]+:\s+endbr64")

        self.each(check)

    @unittest.skipUnless(X86, "of x86 only")
    def test_stack_clash(self):
        """A frame of more than a page is entered page by page, so that none leaps over the guard below the stack."""
        def check(path):
            for line in run("objdump", "-d", "--no-show-raw-insn", path).splitlines():
                found = re.search(r"\bsub\s+\$0x([0-9a-f]+),%rsp", line)
                size = int(found.group(1), 16) if found else 0
                # A large one is a negative one, which makes the frame smaller.
                self.assertTrue(size <= PAGE or size >= 1 << 63, line)

        self.each(check)

    def test_every_part_was_compiled_so(self):
        """Also those in which it leaves no trace. Without debugging information, as in a package, this is not to be seen."""
        wanted = ["-fstack-protector-strong", "-fstack-clash-protection"] + (["-fcf-protection"] if X86 else [])

        def check(path):
            options = compiler_options(path)
            self.assertTrue(options, "no debugging information")
            for line in options:
                # What the linker brings along for each program is the distribution's.
                if "GNU AS" in line:
                    continue
                for flag in wanted:
                    self.assertIn(flag, line)

        self.each(check)


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C"
    unittest.main()
