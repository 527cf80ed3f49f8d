# SPDX-License-Identifier: GPL-2.0-or-later
"""The .debs and the .rpms have what `cmake --install` puts down, and what their kind wants."""
import hashlib
import pathlib
import re
import subprocess
import unittest

import installed
from installed import COMPONENTS, TOP, run


def as_installed(files):
    """Without what packagers add and change: compressed manual pages, documents, what lintian shall know."""
    names = {re.sub(r"(/man\d/.*)\.gz$", r"\1", path): mode for path, mode in files.items()}
    # Debian's zsh looks into a folder of its own.
    names = {path.replace("zsh/vendor-completions", "zsh/site-functions"): mode for path, mode in names.items()}
    return {path: mode for path, mode in names.items() if not path.startswith(("usr/share/doc/", "usr/share/lintian/"))}


def control_file(component, name):
    return run("dpkg-deb", "-I", installed.packages("deb")[component], name)


class Files(unittest.TestCase):
    def test_every_package_has_what_its_component_installs(self):
        for component in COMPONENTS:
            wanted = as_installed(installed.files_of_tree(component))
            self.assertTrue(wanted, component)
            for kind, files in (("deb", installed.files_of_deb), ("rpm", installed.files_of_rpm)):
                with self.subTest(component, kind=kind):
                    self.assertEqual(as_installed(files(component)), wanted)

    def test_every_file_is_in_one_component(self):
        together = {}
        for component in COMPONENTS:
            for path in installed.files_of_tree(component):
                self.assertNotIn(path, together, f"in {component} as well")
                together[path] = component
        self.assertEqual(sorted(installed.files_of_tree(None)), sorted(together))

    def test_what_an_administrator_may_change_is_a_configuration_file(self):
        for component in COMPONENTS:
            wanted = sorted(path for path in installed.files_of_tree(component) if path.startswith("etc/"))
            with self.subTest(component):
                text = control_file(component, "conffiles") if wanted else ""
                self.assertEqual(sorted(line.strip().lstrip("/") for line in text.splitlines()), wanted)
                text = run("rpm", "-qpc", installed.packages("rpm")[component])
                self.assertEqual(sorted(line.lstrip("/") for line in text.splitlines() if line.startswith("/")), wanted)

    def test_no_file_says_where_it_was_built(self):
        for component in COMPONENTS:
            for path in sorted(installed.tree(component).rglob("*")):
                if path.is_file():
                    self.assertNotIn(str(TOP).encode(), path.read_bytes(), path)

    def test_nothing_that_ends_programs_for_tests(self):
        """QFX_CRASH_POINTS, of tests/crash."""
        for component in COMPONENTS:
            for path in sorted(installed.tree(component).rglob("*")):
                if path.is_file():
                    self.assertNotIn(b"QFX_CRASH", path.read_bytes(), path)


class Packages(unittest.TestCase):
    def test_lintian(self):
        done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0",
                               *map(str, installed.packages("deb").values())],
                              capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)

    def test_the_version_is_that_of_the_programs(self):
        says = run(installed.tree("vm") / "usr/lib/qubes/qubes_penctl", "--version").split()[-1]
        for component in COMPONENTS:
            self.assertEqual(run("dpkg-deb", "-f", installed.packages("deb")[component], "Version").strip(), says)
            self.assertEqual(run("rpm", "-qp", "--qf", "%{VERSION}", installed.packages("rpm")[component]), says)

    def test_made_again_they_are_the_same(self):
        for kind in ("deb", "rpm"):
            first = installed.packages(kind)
            again = installed.packages(kind, installed.scratch() / f"{kind}-again")
            for component in COMPONENTS:
                with self.subTest(component, kind=kind):
                    sums = [hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
                            for path in (first[component], again[component])]
                    self.assertEqual(sums[0], sums[1])

    def test_no_gtk_but_where_there_is_a_screen(self):
        for component, wanted in (("dom0", False), ("vm", False), ("agent", True), ("vm-desktop", True)):
            with self.subTest(component):
                depends = run("dpkg-deb", "-f", installed.packages("deb")[component], "Depends")
                self.assertEqual("libgtk-3" in depends, wanted, depends)
                requires = run("rpm", "-qp", "--requires", installed.packages("rpm")[component])
                self.assertEqual("libgtk-3" in requires, wanted, requires)

    def test_every_unit_that_can_be_enabled_is(self):
        """By the preset, and by the scripts of the .debs and .rpms."""
        found = 0
        for component in COMPONENTS:
            root = installed.tree(component)
            for unit in sorted(root.glob("usr/lib/systemd/*/*.service")):
                if "[Install]" not in unit.read_text():
                    continue
                found += 1
                kind = unit.parent.name
                presets = "".join(path.read_text() for path in root.glob(f"usr/lib/systemd/{kind}-preset/*.preset"))
                with self.subTest(unit.name):
                    self.assertIn(f"enable {unit.name}\n", presets)
                    self.assertRegex(control_file(component, "postinst"), rf"deb-systemd-helper.* enable '{unit.name}'")
                    scripts = run("rpm", "-qp", "--scripts", installed.packages("rpm")[component])
                    self.assertRegex(scripts, rf"systemctl .*preset .*\b{unit.name}")
        self.assertGreater(found, 1)


if __name__ == "__main__":
    unittest.main()
