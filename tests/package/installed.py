# SPDX-License-Identifier: GPL-2.0-or-later
"""What `cmake --install` puts down, and the packages that are made of it. Made once for a test program."""
import functools
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
RELEASE = pathlib.Path(os.environ.get("QFX_RELEASE") or TOP / "build" / "release")
# The components, and the packages that have their names.
COMPONENTS = {"dom0": "qfilexchg-dom0", "agent": "qfilexchg-agent", "vm": "qfilexchg-vm",
              "vm-desktop": "qfilexchg-vm-desktop"}
PROGRAM_FOLDERS = ("usr/bin", "usr/sbin", "usr/lib/qubes", "usr/libexec/qfilexchgd")


def run(*argv, **options):
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise AssertionError(f"{argv}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@functools.lru_cache(maxsize=None)
def scratch():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="qfx-package-"))
    unittest.addModuleCleanup(shutil.rmtree, folder)
    return folder


@functools.lru_cache(maxsize=None)
def tree(component):
    """The folder that `cmake --install --component` filled; all components if it is None."""
    if not (RELEASE / "cmake_install.cmake").exists():
        raise AssertionError(f"there is no build in {RELEASE}: cmake --preset release && cmake --build --preset release")
    root = scratch() / f"tree-{component}"
    which = ["--component", component] if component else []
    run("cmake", "--install", RELEASE, *which, env=dict(os.environ, DESTDIR=str(root)), umask=0o022)
    return root


def packages(kind, folder=None):
    """{component: path of the package}, made by scripts/package."""
    folder = folder or scratch() / kind
    if not folder.exists():
        run(TOP / "scripts" / "package", "--build", RELEASE, kind, folder)
    return {component: only(folder.glob(f"{package}[-_][0-9]*.{kind}")) for component, package in COMPONENTS.items()}


def only(paths):
    found = list(paths)
    assert len(found) == 1, found
    return found[0]


def files_of_tree(component):
    """{path: mode} of files and links; without the slash in front."""
    root = tree(component)
    return {str(path.relative_to(root)): path.lstat().st_mode & 0o7777
            for path in root.rglob("*") if path.is_symlink() or not path.is_dir()}


def files_of_deb(component):
    argv = ["dpkg-deb", "--fsys-tarfile", packages("deb")[component]]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process, tarfile.open(fileobj=process.stdout, mode="r|") as tar:
        return {os.path.normpath(member.name): member.mode for member in tar if not member.isdir()}


def files_of_rpm(component):
    out = run("rpm", "-qp", "--qf", "[%{FILEMODES:octal} %{FILENAMES}\n]", packages("rpm")[component])
    modes = dict(reversed(line.split(" /", 1)) for line in out.splitlines())
    return {path: int(mode, 8) & 0o7777 for path, mode in modes.items() if not int(mode, 8) & 0o040000}


def programs(component):
    """Paths of what can be run by a person or a unit, in the component's tree."""
    root = tree(component)
    return sorted(path for folder in PROGRAM_FOLDERS for path in (root / folder).glob("*") if os.access(path, os.X_OK))
