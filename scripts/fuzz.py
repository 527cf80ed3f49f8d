#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of scripts/fuzz that runs the targets, as many at a time as there are processors."""
import argparse
import concurrent.futures
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

CLONE = pathlib.Path(__file__).resolve().parents[1]
CORPUS = CLONE / "tests/fuzz/corpus"
PROGRAMS = CLONE / "build/fuzz/tests/fuzz"
FOUND = CLONE / "build/fuzz/found"
# libFuzzer ends a target by itself; one that does not is stuck.
GRACE_S = 300
# Of one input. The targets take milliseconds; a machine may be busy.
INPUT_S = 60


def targets():
    """All there are, by the sources: one that was not built is an error, and not left out."""
    return sorted(path.stem.removeprefix("fuzz_") for path in (CLONE / "tests/fuzz").glob("fuzz_*.c"))


class Run:
    """One target. After run(): what there is to tell of it."""

    def __init__(self, name, seconds):
        self.name = name
        self.seconds = seconds
        self.took_s = 0.0
        self.executions = 0
        self.places_before = self.places_after = 0
        self.crashes = []
        self.trouble = ""
        self.log = FOUND / f"{name}.log"
        # Together they outlive the run: this one is given to libFuzzer to write into.
        self.inputs = FOUND / name / "inputs"

    def program(self, *arguments):
        return [str(PROGRAMS / f"fuzz_{self.name}"), f"-artifact_prefix={FOUND / self.name}/",
                f"-timeout={INPUT_S}", *arguments]

    def run(self):
        shutil.rmtree(FOUND / self.name, ignore_errors=True)
        self.inputs.mkdir(parents=True)
        began = time.monotonic()
        with open(self.log, "wb") as log:
            try:
                status = subprocess.run(
                    self.program(f"-max_total_time={self.seconds}", "-print_final_stats=1",
                                 str(self.inputs), str(CORPUS / self.name)),
                    stdout=log, stderr=log, timeout=self.seconds + GRACE_S, check=False).returncode
            except subprocess.TimeoutExpired:
                status = "did not end in time"
            except OSError as error:
                status = str(error)
        self.took_s = time.monotonic() - began
        self.crashes = [path for path in sorted((FOUND / self.name).iterdir()) if path.is_file()]
        self.read_log()
        if status != 0 or self.crashes:
            self.trouble = f"status {status}; {self.log.relative_to(CLONE)} says more"
        elif self.executions == 0:
            self.trouble = f"nothing was run; {self.log.relative_to(CLONE)} says more"
        return self

    def read_log(self):
        text = self.log.read_text(errors="replace")
        coverage = [int(n) for n in re.findall(r"\bcov: (\d+)", text)]
        started = re.search(r"INITED cov: (\d+)", text)
        if coverage:
            self.places_before = int(started[1]) if started else coverage[0]
            self.places_after = max(coverage)
        executed = re.search(r"stat::number_of_executed_units: (\d+)", text)
        self.executions = int(executed[1]) if executed else 0

    def keep(self):
        """What reached new places goes into the corpus, the fewest that do; and what was found."""
        with tempfile.TemporaryDirectory() as folder:
            merged = pathlib.Path(folder)
            for path in (CORPUS / self.name).iterdir():
                shutil.copy(path, merged)
            # By places alone: libFuzzer counts how often each was reached as well, and keeps hundreds.
            subprocess.run(self.program("-merge=1", "-use_counters=0", folder, str(self.inputs)),
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            known = {digest(path) for path in (CORPUS / self.name).iterdir()}
            new = [path for path in merged.iterdir() if digest(path) not in known] + self.crashes
            for path in new:
                shutil.copy(path, CORPUS / self.name / f"found-{digest(path)[:12]}")
        return len(new)


def digest(path):
    return hashlib.sha1(path.read_bytes()).hexdigest()


def read_arguments():
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("minutes", type=float, help="for each target; 0.1 will do as well")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="one of: " + " ".join(targets()))
    parser.add_argument("--keep", action="store_true", help="put what is new into tests/fuzz/corpus")
    arguments = parser.parse_args()
    for name in arguments.targets:
        if name not in targets():
            parser.error(f"there is no target {name}; there are: {' '.join(targets())}")
    if not 0 < arguments.minutes <= 100000:
        parser.error("MINUTES is a number above 0")
    return arguments


def print_table(runs):
    print(f"{'target':<16} {'seconds':>8} {'executions':>12} {'a second':>9} {'coverage':>9} {'new':>6} {'crashes':>8}")
    for run in runs:
        print(f"{run.name:<16} {run.took_s:>8.0f} {run.executions:>12} {run.executions / max(run.took_s, 1):>9.0f} "
              f"{run.places_after:>9} {run.places_after - run.places_before:>6} {len(run.crashes):>8}")


def main():
    arguments = read_arguments()
    FOUND.mkdir(exist_ok=True)
    runs = [Run(name, max(1, round(arguments.minutes * 60))) for name in arguments.targets or targets()]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(Run.run, runs))
    print_table(runs)
    for run in runs:
        if arguments.keep:
            print(f"{run.name}: {run.keep()} new in tests/fuzz/corpus/{run.name}")
        for path in run.crashes:
            print(f"{run.name}: found {path.relative_to(CLONE)}", file=sys.stderr)
        if run.trouble:
            print(f"{run.name}: {run.trouble}", file=sys.stderr)
    return 1 if any(run.trouble for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
