#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A short soak; `scripts/soak` makes long ones."""
import soak
import storebox


class Short(soak.Soak):
    transfers = 80


if __name__ == "__main__":
    storebox.main()
