#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/bench plot: docs/images/bench.svg, from what the other subcommands wrote into build/bench.

A panel for each of them; one that has not been run is left out. Bars are medians, the thin line goes from the shortest
to the longest.
"""
import statistics
import sys
from xml.sax.saxutils import escape

import bench_common

WIDTH, LABEL, BAR, ROW, HEAD, NOTE = 860, 300, 430, 24, 46, 22
EMULATED = "In the Xen box, an emulation: only the ratios count."
OURS, OTHER, FLOOR = "#2f6fb0", "#b9b9b9", "#dfdfdf"


class Panel:
    def __init__(self, title, unit, note):
        self.title, self.unit, self.note = title, unit, note
        self.rows = []  # (label, values, colour); None: a gap

    def add(self, label, values, colour):
        if values:
            self.rows.append((label, values, colour))

    def gap(self):
        if self.rows and self.rows[-1]:
            self.rows.append(None)

    def height(self):
        return HEAD + ROW * len(self.rows) + NOTE

    def draw(self, y):
        largest = max(max(row[1]) for row in self.rows if row)
        yield text(20, y + 24, self.title, "font-weight='bold'")
        y += HEAD
        for row in self.rows:
            if row:
                yield from self.bar(y, row, largest)
            y += ROW
        yield text(20, y + 12, self.note, "font-size='12' fill='#666'")

    def bar(self, y, row, largest):
        label, values, colour = row
        median = statistics.median(values)
        length, low, high = (BAR * value / largest for value in (median, min(values), max(values)))
        yield text(LABEL - 10, y + 14, label, "text-anchor='end'")
        yield f"<rect x='{LABEL}' y='{y + 3}' width='{length:.1f}' height='{ROW - 9}' fill='{colour}'/>"
        yield (f"<line x1='{LABEL + low:.1f}' x2='{LABEL + high:.1f}' y1='{y + ROW / 2 - 1}' y2='{y + ROW / 2 - 1}' "
               "stroke='#333'/>")
        yield text(LABEL + max(length, high) + 8, y + 14, f"{bench_common.number(median)} {self.unit}")


def text(x, y, words, more=""):
    return f"<text x='{x:.0f}' y='{y:.0f}' {more}>{escape(words)}</text>"


def grouped(name, title, unit, note, ways):
    """A panel in which each thing that was done has a row for each way it was done. A way: (how its name ends, what is
    shown, colour); the first is ours, and bears the thing's name."""
    found = bench_common.load(name)
    if not found:
        return None
    times = found.get("times", found)
    panel = Panel(title, unit, note)
    for thing in dict.fromkeys(full.partition(": ")[0] for full in times if ": " in full):
        panel.gap()
        for way, shown, colour in ways:
            values = next((values for full, values in times.items()
                           if full.startswith(f"{thing}: ") and full.endswith(f": {way}")), None)
            panel.add(shown or thing, values, colour)
    return panel


def bars(name, title, unit, note, ours):
    """A panel in which every row is its own."""
    found = bench_common.load(name)
    if not found:
        return None
    panel = Panel(title, unit, note)
    for label, values in found.get("times", found).items():
        panel.add(label, values, OURS if ours(label) else OTHER)
    return panel


def scale():
    found = bench_common.load("scale")
    if not found:
        return None
    panel = Panel("What one `send` takes of a processor in the daemon, with so many VMs", "ms",
                  "Over the real xenstored, without Xen.")
    for count, run in found.items():
        panel.add(f"{int(count):,} VMs", run.get("`send`, the daemon's processor, ms"), OURS)
    return panel


def main():
    panels = [grouped("attach", "Until a disk can be used", "ms", EMULATED,
                      (("qfilexchgd", "", OURS), ("xl", "mkfs.vfat and xl", OTHER), ("the floor", "bare nodes", FLOOR))),
              # The way of a pendrive, but for Xen, beside what one would do on one machine.
              grouped("copy-host", "Made, written, unmounted, mounted and read: a pendrive on one machine", "s",
                      "By scripts/bench copy --host, without Xen. tar and cp end when the files are on the disk, and read none again.",
                      (("mkfs, cp, umount, mount again, read all", "", OURS),
                       ("dd to the disk, dd from the disk", "dd and dd", FLOOR),
                       ("tar piped to tar, sync", "tar, sync", OTHER), ("cp -a, sync", "cp -a, sync", OTHER))),
              bars("disposable", "From the command until the file is open in a DisposableVM", "ms",
                   EMULATED, lambda label: not label.startswith("xl")),
              scale()]
    panels = [panel for panel in panels if panel and panel.rows]
    if not panels:
        raise SystemExit("bench: nothing was measured yet: run another subcommand of scripts/bench first")
    height = sum(panel.height() for panel in panels) + 16
    out = [f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' "
           f"height='{height}' font-family='sans-serif' font-size='14'>",
           "<!-- SPDX-License-Identifier: GPL-2.0-or-later; made by scripts/bench plot -->",
           f"<rect width='{WIDTH}' height='{height}' fill='#fff'/>"]
    y = 8
    for panel in panels:
        out += panel.draw(y)
        y += panel.height()
    out.append("</svg>")
    target = bench_common.CLONE / "docs" / "images" / "bench.svg"
    target.write_text("\n".join(out) + "\n", encoding="utf-8")
    print(f"bench: {target.relative_to(bench_common.CLONE)} shows {len(panels)} of 4 panels")


if __name__ == "__main__":
    sys.exit(main())
