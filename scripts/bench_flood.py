#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/bench flood: runs the test of a flood over and over, and tells what it measured."""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

CLONE = pathlib.Path(__file__).resolve().parents[1]
TEST = CLONE / "tests" / "agent" / "test_flood.py"

# As the test calls it; how it is to be read, and with how many digits.
ROWS = (
    ("sends", "`send` requests a second", 1, 0),
    ("another VM's question is on the screen", "another VM's question is on the screen, ms", 1000, 0),
    ("after the answer to the flooder's question, that one is asked",
     "after the answer to the flooder's question, that one is asked, ms", 1000, 0),
    ("agent, KiB", "memory of the agent, KiB more", 1, 0),
    ("agent, processor", "the agent's share of a processor, %", 100, 1),
    ("daemon, KiB", "memory of the daemon, KiB more", 1, 0),
    ("daemon, processor", "the daemon's share of a processor, %", 100, 1),
)


def run_once(number):
    print(f"bench: run {number}", flush=True)
    with tempfile.NamedTemporaryFile() as figures:
        env = dict(os.environ, QFX_FLOOD_FIGURES=figures.name)
        done = subprocess.run(["/usr/bin/python3", TEST], env=env, check=False)
        if done.returncode:
            raise SystemExit(f"bench: the test ended with {done.returncode}: nothing was measured")
        return json.load(figures)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    runs = [run_once(n + 1) for n in range(count)]
    folder = CLONE / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "flood.json").write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
    print("\nA VM that asks without end, for 30 s\n\n| | median | min | max | n |\n|---|---|---|---|---|")
    for key, name, scale, digits in ROWS:
        values = [run[key] * scale for run in runs]
        shown = " | ".join(f"{v:.{digits}f}" for v in (statistics.median(values), min(values), max(values)))
        print(f"| {name} | {shown} | {count} |")


if __name__ == "__main__":
    main()
