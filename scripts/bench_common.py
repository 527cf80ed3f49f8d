# SPDX-License-Identifier: GPL-2.0-or-later
"""What the parts of scripts/bench have in common: figures, tables, and the file that `scripts/bench plot` reads."""
import json
import pathlib
import statistics

CLONE = pathlib.Path(__file__).resolve().parents[1]
FOLDER = CLONE / "build" / "bench"


def say(text):
    print(f"bench: {text}", flush=True)


def save(name, figures):
    """figures: anything that JSON can hold; the next run of the same bench replaces it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def load(name):
    """What was saved last, or None."""
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def number(value):
    """Three digits that count, and no more than are known."""
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def table(title, rows):
    """rows: {what: [values]}."""
    print(f"\n{title}\n\n| | median | min | max | n |\n|---|---|---|---|---|")
    for name, values in rows.items():
        shown = " | ".join(number(value) for value in (statistics.median(values), min(values), max(values)))
        print(f"| {name} | {shown} | {len(values)} |")


def columns(title, heads, rows):
    """One value for each head: rows {what: [values]}; a value that is None was not measured."""
    print(f"\n{title}\n\n| | " + " | ".join(heads) + " |\n|---|" + "---|" * len(heads))
    for name, values in rows.items():
        print(f"| {name} | " + " | ".join("" if value is None else number(value) for value in values) + " |")
